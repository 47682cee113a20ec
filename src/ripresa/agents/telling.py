"""`tells`: a link whose result is recorded as sent to somebody, with the completion of the step that made it.

Law: an interaction is told by whoever sends, in the transaction of the result that was sent: once, whatever happens.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from functools import wraps
from typing import Any, ParamSpec, TypeAlias, TypeVar, cast, overload

from ..authoring.chain import Chain
from ..authoring.flow import Flow, Link, as_links
from ..authoring.options import refuse
from ..authoring.step import Step, step
from ..context import current
from ..core.calling import told

A = TypeVar("A")
B = TypeVar("B")
P = ParamSpec("P")

Told: TypeAlias = tuple[str, str, object]
"""To whom, of which kind, and what."""


@overload
def tells(  # type: ignore[overload-overlap] # a step is a link too, and stays a step
    link: Step[P, B], to: str, kind: str = ..., /
) -> Step[P, B]: ...
@overload
def tells(link: Link[A, B], to: str, kind: str = ..., /) -> Flow[A, B]: ...
@told
def tells(link: Any, to: str, kind: str = "reply", /) -> Any:
    """The same link; each of its results is recorded as an interaction: sent by it, to `to`, as a `kind`.

    Raises `InvalidConfig`.
    """
    refuse("tells", _no_text(to, "to"), _no_text(kind, "kind"))
    (checked,) = as_links((link,), "tells")
    return telling(checked, checked.name, lambda result: ((to, kind, result),))


def _no_text(value: object, option: str) -> str | None:
    return None if isinstance(value, str) and value else f"{option} is {value!r}, must be a text"


def telling(link: Any, name: str, told: Callable[[Any], Iterable[Told]]) -> Any:
    """A link that tells of each of its results what it sent, under this name.

    An async step tells it itself. Anything else is followed by a step of its own that does: flows, agents that may
    have to ask people, and steps whose function is not called in the loop, or not each time.
    """
    made = _as_step(link)
    if made is not None and _tells_itself(made):
        return _itself(made, name, told)

    async def tell(result: Any) -> Any:
        _tell(name, told, result)
        return result

    output = link.output_type if made is None else made.parameters.returns
    tell.__annotations__ = {"result": output, "return": output}
    return Chain[Any, Any]((link, step(tell)), name=link.name)


def _as_step(link: object) -> Step[..., Any] | None:
    return cast("Step[..., Any]", link) if isinstance(link, Step) else None


def _tells_itself(made: Step[..., Any]) -> bool:
    options = made.options
    plain = options.executor == "auto" and options.cache is None and made.stand_in is None
    return plain and inspect.iscoroutinefunction(made.fn)


def _itself(made: Step[..., Any], name: str, told: Callable[[Any], Iterable[Told]]) -> Step[..., Any]:
    fn: Callable[..., Awaitable[Any]] = made.fn

    @wraps(fn)
    async def perform(*args: Any, **kwargs: Any) -> Any:
        result = await fn(*args, **kwargs)
        _tell(name, told, result)
        return result

    twin = Step[..., Any](perform, made.options)
    twin.compensation, twin.reconciler = made.compensation, made.reconciler
    return twin


def _tell(name: str, told: Callable[[Any], Iterable[Told]], result: Any) -> None:
    context = current()
    for to, kind, content in told(result):
        context.interaction(name, to, kind, content)
