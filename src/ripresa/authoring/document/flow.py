"""The flow that a document is, and the small parts that only documents have."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, TypeVar, cast

from ...core.limits import Limits
from ...core.nodes.node import Node
from ...core.nodes.sequence import Sequence
from ..flow import Build, Flow, build_link
from ..hooks import Hook
from ..patterns import Spreading
from ..place import One, Place, root, settle
from ..rules import Rule, joined
from ..step import Step

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Terms:
    """What a document says about itself. `given` is the type of its input, `timeout` in seconds."""

    title: str = ""
    description: str = ""
    given: Any = Any
    timeout: float | None = None
    limits: Limits | None = None
    hooks: tuple[Hook, ...] = ()
    rules: tuple[Rule, ...] = ()
    scheduled: str = ""
    """How a document says that its runs begin by themselves: every, cron or after; empty if it does not."""


class DocumentFlow(Flow[Any, Any]):
    """A workflow that was read from a document. `title` is its name for people, `name` that by which it is found."""

    def __init__(self, build: Build, terms: Terms, *, name: str, version: str) -> None:
        self.terms = terms
        self.title = terms.title
        self.timeout = terms.timeout
        self.limits = terms.limits
        super().__init__(build, name=name, version=version)
        if terms.hooks:
            self.hooks = terms.hooks
        if terms.rules:
            self.rules = joined((), terms.rules)
            self.__dict__.pop("node", None)

    def __repr__(self) -> str:
        return f"<document {self.name}>"

    @cached_property
    def node(self) -> Node[Any]:
        """See `Runnable`."""
        place = root(self.name, One(self.terms.given))
        node = self.build(place)
        settle(place, self.name)
        return node


def built_as(flow: Any, place: Place) -> Node[Any]:
    """The node of a link at another place."""
    return build_link(flow, place)


def as_whole(link: Any) -> Flow[Any, Any]:
    """A link as a flow around which more can stand."""
    return Flow(partial(built_as, link), name=link.name)


def passing(name: str = "pass") -> Flow[Any, Any]:
    """What gives back what it is given."""
    return Flow(_build_pass, name=name)


def _build_pass(place: Place) -> Sequence:
    given = place.given.single(place)
    return Sequence(place.name, (), input_type=given, output_type=given)


def is_step(link: object) -> bool:
    """Whether a link is a single step."""
    return isinstance(link, Step)


def described(link: T, text: str) -> T:
    """The same link with words for people, which its node keeps."""
    if isinstance(link, Spreading):
        return cast("T", replace(link, link=described(link.link, text)))
    twin: Any = copy(link)
    twin.remark = text
    twin.__dict__.pop("node", None)
    return cast("T", twin)


def is_flow(link: object) -> bool:
    """Whether a link is a flow."""
    return isinstance(link, Flow)


def as_flow(part: Any) -> Flow[Any, Any]:
    """A part as a flow, so that it can stand wherever a link can."""
    return Flow(partial(_build_part, part), name=part.name)


def _build_part(part: Any, place: Place) -> Node[Any]:
    node: Node[Any] = part.build(replace(place, given=One(place.given.single(place))))
    return node
