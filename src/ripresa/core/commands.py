"""What the core wants done: asks are answered at once, effects are performed when their cause is durable.

Law: a command is plain data, and performing it twice for one (path, attempt) is the driver's to prevent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from ..records import record
from .values import Value

if TYPE_CHECKING:
    from .events import Fact


@record
class RunStep:
    """Effect: run an attempt of the call at this path and report its outcome."""

    path: str
    attempt: int
    input: Value


@record
class CancelStep:
    """Effect: stop an attempt that is in flight and report how it ended."""

    path: str
    attempt: int


@record
class HoldStream:
    """Effect: let the stream that this attempt pumps take nothing more from its source, or (`on` false) go on."""

    path: str
    attempt: int
    on: bool


@record
class Reconcile:
    """Effect: find out what an attempt did whose outcome nobody knows, and report it if that can be found out."""

    path: str
    attempt: int
    input: Value


@record
class LookUp:
    """Effect: see whether the run `run`, whose end this path waits for, has ended, and report it if it has."""

    path: str
    run: str


@record
class SetTimer:
    """Effect: report `TimerFired` for this path at `due` (microseconds since 1970); replaces an earlier one."""

    path: str
    due: int


@record
class ClearTimer:
    """Effect: forget the timer of this path."""

    path: str


@record
class Ask:
    """Ask: put the question that the node at this path has about a value; answer with `Answered`."""

    path: str
    question: str
    value: Value


@record
class Resume:
    """Ask: step the durable function at this path on with the outcomes from number `first` (from 0)."""

    path: str
    first: int


@record
class Intercept:
    """Ask the interceptors at this gate; answer with `Intercepted`. An effect where one of them must be awaited."""

    path: str
    point: str


@record
class Withdraw:
    """Effect: nobody waits for the answer of this path's gate any more."""

    path: str


@record
class Proceed:
    """Ask: let this fact come now; interceptors have let it through."""

    fact: Fact


@record
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
