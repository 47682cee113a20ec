"""What the core wants done: asks are answered at once, effects are performed when their cause is durable.

Law: a command is plain data, and performing it twice for one (path, attempt) is the driver's to prevent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from .values import Value

if TYPE_CHECKING:
    from .events import Fact


@dataclass(frozen=True, slots=True)
class RunStep:
    """Effect: run an attempt of the call at this path and report its outcome."""

    path: str
    attempt: int
    input: Value


@dataclass(frozen=True, slots=True)
class CancelStep:
    """Effect: stop an attempt that is in flight and report how it ended."""

    path: str
    attempt: int


@dataclass(frozen=True, slots=True)
class HoldStream:
    """Effect: let the stream that this attempt pumps take nothing more from its source, or (`on` false) go on."""

    path: str
    attempt: int
    on: bool


@dataclass(frozen=True, slots=True)
class Reconcile:
    """Effect: find out what an attempt did whose outcome nobody knows, and report it if that can be found out."""

    path: str
    attempt: int
    input: Value


@dataclass(frozen=True, slots=True)
class LookUp:
    """Effect: see whether the run `run`, whose end this path waits for, has ended, and report it if it has."""

    path: str
    run: str


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Effect: report `TimerFired` for this path at `due` (microseconds since 1970); replaces an earlier one."""

    path: str
    due: int


@dataclass(frozen=True, slots=True)
class ClearTimer:
    """Effect: forget the timer of this path."""

    path: str


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask: put the question that the node at this path has about a value; answer with `Answered`."""

    path: str
    question: str
    value: Value


@dataclass(frozen=True, slots=True)
class Resume:
    """Ask: step the durable function at this path on with the outcomes from number `first` (from 0)."""

    path: str
    first: int


@dataclass(frozen=True, slots=True)
class Intercept:
    """Ask the interceptors at this gate; answer with `Intercepted`. An effect where one of them must be awaited."""

    path: str
    point: str


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Effect: nobody waits for the answer of this path's gate any more."""

    path: str


@dataclass(frozen=True, slots=True)
class Proceed:
    """Ask: let this fact come now; interceptors have let it through."""

    fact: Fact


@dataclass(frozen=True, slots=True)
class Share:
    """Ask: do beyond the run what these facts say, which was withheld until now."""

    facts: tuple[Any, ...]


Command: TypeAlias = (
    RunStep
    | CancelStep
    | HoldStream
    | Reconcile
    | LookUp
    | SetTimer
    | ClearTimer
    | Ask
    | Resume
    | Intercept
    | Withdraw
    | Proceed
    | Share
)
