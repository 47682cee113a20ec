"""Waits as links: for a signal, for what people decide."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final, TypedDict, overload

from typing_extensions import TypeVar, Unpack

from ..core.calling import told
from ..core.durations import Duration, microseconds
from ..core.nodes.approval import Approval as ApprovalNode
from ..core.nodes.approval import Terms
from ..core.nodes.approved import Approved
from ..core.nodes.wait import Wait
from ..errors import InvalidValue
from ..messages import Approval, Signal
from ..terms import Asking, Expiry
from .call import Call
from .encoding import adapter
from .fit import union
from .flow import Built, Flow, Link, as_links, build_link
from .options import check_name, refuse
from .patterns import common_input
from .place import One, Place, distinct
from .switches import require

R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")


class Options(TypedDict, total=False):
    """The options of `approval` and `approved`."""

    quorum: int
    assignees: Sequence[str]
    remind: Duration | None
    escalate: Duration | None
    escalate_to: Sequence[str]
    timeout: Duration | None
    expiry: Expiry


class WaitFor(Flow[object, R_co]):
    """A durable wait for a signal, which is its result; what it is given does not matter."""

    def __call__(self, value: object = None, /) -> Call[R_co]:
        """See `Runnable`."""
        return super().__call__(value)


ZERO: Final = "timeout is 0, must be a length of time above 0"


def limit_of(timeout: Duration | None) -> int | None:
    """How long something is waited for, in microseconds. Raises `InvalidConfig`."""
    return None if timeout is None else microseconds(timeout, "timeout")


@told
def wait_for(signal: Signal[T], /, *, timeout: Duration | None = None, name: str = "") -> WaitFor[T]:
    """Wait for the next signal: one that came early, or the first to come.

    When none has come within `timeout` it fails as a step does whose time is up (`timeout`, a `TimeoutError`).
    """
    require("waits", "wait_for")
    length = limit_of(timeout)
    refuse(
        "wait_for",
        _bad_signal(signal),
        check_name(name, "name") if name else None,
        ZERO if length == 0 else None,
    )
    return WaitFor(partial(_build_wait, signal, length or 0), name=name or signal.name)


@overload
def approval(question: str, /, *, name: str = ..., **options: Unpack[Options]) -> Asked[None]: ...
@overload
def approval(question: str, /, *, form: type[T], name: str = ..., **options: Unpack[Options]) -> Asked[T]: ...
@told
def approval(question: str, /, *, form: Any = None, name: str = "approval", **options: Any) -> Asked[Any]:
    """Ask people about the value that it is given; what they decided is its result.

    `form` is what they fill in: a pydantic model or dataclass. `assignees` are those who may answer, people and roles
    (`role:legal`), without a word anybody; each has one vote, and `quorum` of them grant it. Every `remind` those who
    are asked are reminded; after `escalate` those in `escalate_to` may answer too. When `timeout` is up, `expiry` says
    what that means: `fail` (code `timeout`), `reject` or `approve`. Raises `InvalidConfig`.
    """
    require("waits", "approval")
    require("approvals", "approval")
    refuse("approval", _bad_form(form))
    asking = Asking(name=name, **options)
    terms = asking.checked(question, form, "approval")
    return Asked(partial(_build_approval, terms, form), name=asking.name)


def _bad_form(form: Any) -> str | None:
    """What is wrong with what people are to fill in: a value is no type."""
    if form is None or isinstance(form, type):
        return None
    try:
        adapter(form)
        fine = not isinstance(form, str)
    except InvalidValue:
        fine = False
    return None if fine else f"form is {form!r}, must be a type"


class Asked(Flow[object, Approval[T]]):
    """A step that people take: given what it is about, it returns what they decided."""

    def __call__(self, value: object = None, /) -> Call[Approval[T]]:
        """See `Runnable`."""
        return super().__call__(value)


def _build_approval(terms: Terms, form: Any, place: Place) -> ApprovalNode:
    output: Any = Approval[form] if form is not None else Approval[None]
    return ApprovalNode(place.name, terms, code=form, input_type=place.given.single(place), output_type=output)


@told
def approved(
    question: str,
    then: Link[A, B],
    otherwise: Link[A, C],
    /,
    *,
    name: str = "approved",
    **options: Unpack[Options],
) -> Flow[A, B | C]:
    """A branch that people decide: `then` if they grant, else `otherwise`; both are given the value.

    The options are those of `approval`. Raises `InvalidConfig`.
    """
    require("waits", "approved")
    require("approvals", "approved")
    asking = Asking(name=name, **options)
    terms = asking.checked(question, None, "approved")
    links = as_links((then, otherwise), "approved")
    return Flow(partial(_build_approved, terms, links), name=asking.name)


def _build_approved(terms: Terms, links: tuple[Built, ...], place: Place) -> Approved:
    given = place.given.single(place)
    first, *rest = distinct(["approval", *(link.name for link in links)])
    asked = ApprovalNode(first, terms, input_type=given, output_type=Approval[None])
    arms = tuple(build_link(link, place.inner(name, One(given))) for link, name in zip(links, rest, strict=True))
    return Approved(
        place.name,
        asked,
        arms,
        input_type=common_input(tuple(arm.input_type for arm in arms), place),
        output_type=union(arm.output_type for arm in arms),
    )


def _bad_signal(signal: object) -> str | None:
    return None if isinstance(signal, Signal) else f"signal is {signal!r}, must be a Signal"


def _build_wait(signal: Signal[Any], timeout: int, place: Place) -> Wait:
    given = place.given.single(place)
    return Wait(place.name, signal.name, timeout=timeout, input_type=given, output_type=signal.type)
