"""Updates in chains and graphs: taken by a link of their own, or beside a flow for as long as it goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from ..core.calling import told
from ..core.durations import Duration
from ..core.nodes.checked import Checked
from ..core.nodes.cleanup import Cleanup
from ..core.nodes.node import Node
from ..core.nodes.stateful import Stateful
from ..core.nodes.updates import TAKEN, Serving, TakeUpdate
from ..core.values import Value
from ..errors import InvalidValue
from ..messages import Update
from .call import Call
from .encoding import Reader, decode
from .flow import Build, Built, Flow, Link, as_links, build_link
from .options import check_name, refuse
from .place import One, Place, distinct
from .switches import require
from .waits import ZERO, limit_of

X = TypeVar("X")
Y = TypeVar("Y")


@dataclass(frozen=True, slots=True)
class Taken:
    """What is asked about an update that has come: who sent it and whether its value is one, and that value."""

    update: Update[Any, Any]
    taken_type = list[str]

    @property
    def value_type(self) -> Any:
        """The annotation of its value."""
        return self.update.type

    def answer(self, question: str, about: Value, reader: Reader) -> object:
        """Its id, with why it is refused; or its value."""
        sent = reader.read(about, Any)
        try:
            value = decode(str(sent["value"]).encode(), self.update.type, where=self.update.name)
        except InvalidValue as error:
            if question != TAKEN:
                raise
            return [str(sent["id"]), error.message]
        return [str(sent["id"]), ""] if question == TAKEN else value


class WaitForUpdate(Flow[object, Y]):
    """A wait for an update; what it is given does not matter."""

    def __call__(self, value: object = None, /) -> Call[Y]:
        """See `Runnable`."""
        return super().__call__(value)


@told
def wait_for_update(
    update: Update[X, Y], handler: Link[X, Y], /, *, timeout: Duration | None = None, name: str = ""
) -> WaitForUpdate[Y]:
    """Wait for the next update and answer it with what the handler makes of its value; that is also the result.

    The handler is a step or flow like any other. When it fails, the update is refused with the failure's message, and
    the next one is waited for; so is one whose value is of another type. When none has come within `timeout`, those
    that were refused not counted, it fails as a step does whose time is up (`timeout`, a `TimeoutError`). Raises
    `InvalidConfig`.
    """
    require("waits", "wait_for_update")
    length = limit_of(timeout)
    bad = (_bad_update(update), _bad_name(name), ZERO if length == 0 else None)
    (link,) = as_links((handler,), "wait_for_update", *bad)
    return WaitForUpdate(partial(_build_wait, update, link, length or 0), name=name or update.name)


def served(flow: Flow[Any, Any], update: Update[X, Y], handler: Link[X, Y]) -> Callable[[str, Build, Place], Node[Any]]:
    """What builds a flow that answers an update around what builds the flow; see `Flow.with_update`."""
    require("waits", "with_update")
    (link,) = as_links((handler,), "with_update", _bad_update(update))
    refuse("with_update", _bad_second(flow.node, update))
    return partial(_build_serving, update, link)


def _bad_update(update: object) -> str | None:
    return None if isinstance(update, Update) else f"update is {update!r}, must be an Update"


def _bad_name(name: str) -> str | None:
    return check_name(name, "name") if name else None


def _bad_second(node: Node[Any], update: Update[Any, Any]) -> str | None:
    """Of two handlers beside one flow nobody could say which takes the update."""
    while isinstance(node, Serving | Cleanup | Stateful | Checked):
        if isinstance(node, Serving) and any(handler.update == update.name for handler in node.handlers):
            return f"the flow answers the update {update.name!r} already"
        node = node.body
    return None


def _build_wait(update: Update[Any, Any], link: Built, timeout: int, place: Place) -> TakeUpdate:
    given = place.given.single(place)
    return _take(update, link, place, input_type=given, timeout=timeout)


def _take(
    update: Update[Any, Any], link: Built, place: Place, *, input_type: Any, lasts: bool = False, timeout: int = 0
) -> TakeUpdate:
    _, name = distinct([update.name, link.name])
    inner = place.inner(name, One(update.type))
    body = build_link(link, inner)
    inner.answers(body.output_type, update.answer)
    types: dict[str, Any] = {"code": Taken(update), "input_type": input_type, "output_type": body.output_type}
    return TakeUpdate(place.name, update.name, body, lasts=lasts, timeout=timeout, **types)


def _build_serving(update: Update[Any, Any], link: Built, _: str, build: Build, place: Place) -> Node[Any]:
    first, second = distinct([place.name, f"update:{update.name}"])
    body = build(place.inner(first, place.given))
    handler = _take(update, link, place.inner(second, One(update.type)), lasts=True, input_type=update.type)
    types = {"input_type": body.input_type, "output_type": body.output_type}
    return Serving(place.name, body, (handler,), **types)
