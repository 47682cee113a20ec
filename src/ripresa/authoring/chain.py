"""Chains: links one after another, each given what the one before returned."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast, overload

from typing_extensions import TypeVar

from ..core.calling import told
from ..core.nodes.node import Node
from ..core.nodes.sequence import Sequence
from .flow import Built, Flow, Link, as_links, build_link
from .options import check_name
from .place import One, Place, distinct
from .protocols import Invocable, OpenAIAgent, PydanticAgent
from .switches import require
from .undo import undone_by

if TYPE_CHECKING:
    from .patterns import Pause

A = TypeVar("A")
B = TypeVar("B")
A_contra = TypeVar("A_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)


class Chain(Flow[A_contra, R_co]):
    """A typed pipeline. A mismatch of neighbours fails in the type checkers, and when the chain is written."""

    def __init__(
        self, links: tuple[Built, ...], built: tuple[Node[Any], ...] = (), *, name: str, version: str = "1"
    ) -> None:
        self.links = links
        super().__init__(partial(build_chain, links, built), name=name, version=version)

    def then(
        self,
        link: Callable[[R_co], Awaitable[B]] | PydanticAgent[R_co, B] | Invocable[R_co, B],
        /,
        *,
        undo: Callable[[B], Awaitable[None]] | Callable[[B, R_co], Awaitable[None]] | None = None,
    ) -> Chain[A_contra, B]:
        """The chain with one more link, which is given the result so far.

        What was said about the chain holds for the longer one; rules are about the result they were written for.
        `undo` (function, step, flow or workflow) undoes what the link did: see `Step.undo`. That of a flow takes the
        place of the undos of its steps.
        """
        (last,) = as_links((link,), "then")
        if undo is not None:
            last = undone_by(last, *as_links((undo,), "then"))
        node = None if self.rules or self.layers else self.__dict__.get("node")  # none of what is checked later
        links, built = (*self._before(), last), () if node is None else node.children
        return cast("Chain[A_contra, B]", self._twin(links=links, rules=(), _build=partial(build_chain, links, built)))

    def _before(self) -> tuple[Built, ...]:
        """The links to which one more is added: what rules say is about the result so far."""
        return (self._twin(hooks=(), answers=(), layers=(), limits=None),) if self.rules else self.links


class Waiting(Chain[Any, Any]):
    """A chain of pauses alone: what goes through it is of whatever type the first other link takes."""

    @overload
    def then(self, link: Pause, /) -> Waiting: ...
    @overload
    def then(
        self,
        link: Callable[[A], Awaitable[B]] | PydanticAgent[A, B] | Invocable[A, B],
        /,
        *,
        undo: Callable[[B], Awaitable[None]] | Callable[[B, A], Awaitable[None]] | None = None,
    ) -> Chain[A, B]: ...
    def then(self, link: Any, /, *, undo: Any = None) -> Chain[Any, Any]:
        """See `Chain.then`."""
        longer = super().then(link, undo=undo)
        return (
            longer
            if _pauses(link)
            else Chain[Any, Any](longer.links, name=self.name, version=self.version).like(longer)
        )


def _pauses(link: object) -> bool:
    return getattr(link, "pauses", False)


@overload
def chain(first: Pause, /, *, name: str = ..., version: str = ...) -> Waiting: ...
@overload
def chain(first: Link[A, B], /, *, name: str = ..., version: str = ...) -> Chain[A, B]: ...
@overload
def chain(first: PydanticAgent[str, B], /, *, name: str = ..., version: str = ...) -> Chain[str, B]: ...
@overload
def chain(first: OpenAIAgent, /, *, name: str = ..., version: str = ...) -> Chain[str, Any]: ...
@overload
def chain(first: Invocable[A, B], /, *, name: str = ..., version: str = ...) -> Chain[A, B]: ...
@told
def chain(first: Any, /, *, name: str = "chain", version: str = "1") -> Chain[Any, Any]:
    """Begin a chain: `chain(search).then(map_each(fetch)).then(write)`.

    `version` is what unfinished runs are recognised by: give a chain of another structure another one, and both may
    be registered.
    """
    require("chains", "chain")
    links = as_links((first,), "chain", check_name(name, "name"), check_name(version, "version"))
    return (Waiting if _pauses(first) else Chain)(links, name=name, version=version)


def build_chain(links: tuple[Built, ...], built: tuple[Node[Any], ...], place: Place) -> Sequence:
    """The links in order, each given what the one before returns; `built` are the first of them if nothing is given."""
    nodes = list(built) if place.given == One() else []
    names = distinct(link.name for link in links)[len(nodes) :]
    given = One(nodes[-1].output_type) if nodes else place.given
    for link, name in zip(links[len(nodes) :], names, strict=True):
        nodes.append(build_link(link, place.inner(name, given)))
        given = One(nodes[-1].output_type)
    return Sequence(place.name, tuple(nodes), input_type=nodes[0].input_type, output_type=nodes[-1].output_type)
