"""What a durable function asks of whoever steps it: the requests that its awaits yield."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class Sleep:
    """Request: wait."""

    microseconds: int


@dataclass(frozen=True, slots=True)
class WaitFor:
    """Request: wait for a signal, at most so many microseconds (0: for ever)."""

    shape: str
    output_type: Any
    microseconds: int
    accepts: Any = None
    """For an update the type of what comes with it."""

    @property
    def taken(self) -> Any:
        """The type that a message has to fit before it is accepted."""
        return self.output_type if self.accepts is None else self.accepts


@dataclass(frozen=True, slots=True)
class AskPeople:
    """Request: an approval of `about`; `shape` are its terms, `form` is what people fill in."""

    shape: str
    output_type: Any
    form: Any
    about: object
    name: str


@dataclass(frozen=True, slots=True)
class Gather:
    """Request: run all; the results in order, or the first failure."""

    awaitables: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Race:
    """Request: run all; the outcome of the first to end."""

    awaitables: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class MapOver:
    """Request: one call per item."""

    link: Any
    items: Sequence[Any]
    concurrency: int | None


@dataclass(frozen=True, slots=True)
class Saga:
    """Request: what is called from now on belongs to a scope of compensation; answered with its `Scope`."""


@dataclass(frozen=True, slots=True)
class Scope:
    """A scope of compensation in a durable function: how the paths of its calls begin, and what came before it."""

    label: str
    outer: str
    asked: int
    seen: int


@dataclass(frozen=True, slots=True)
class Leave:
    """Request: leave a scope of compensation, and if it failed undo what was done in it."""

    scope: Scope
    failed: bool


OnClose: TypeAlias = Literal["abandon", "cancel", "terminate"]
"""What becomes of a run when the one that started it ends first."""


@dataclass(frozen=True, slots=True)
class StartRun:
    """Request: start a run of its own of a call; answered with its id, its workflow's name and what it returns."""

    call: Any
    id: str
    close: str


@dataclass(frozen=True, slots=True)
class AwaitChild:
    """Request: what the run `shape` returns, which the function has started."""

    shape: str
    name: str
    output_type: Any


@dataclass(frozen=True, slots=True)
class SendOut:
    """Request: send the run `target` a signal, or ask it to end; `value` is of `type`."""

    kind: str
    target: str
    name: str
    type: Any
    value: object
    id: str = ""


@dataclass(frozen=True, slots=True)
class Outgo:
    """What a function has asked to be sent, for whoever sends it: `shape` as in `nodes.child.Dispatch`.

    `runnable` is what is started, if a run is.
    """

    shape: str
    runnable: Any = None
    output_type: Any = str
