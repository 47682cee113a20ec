"""Events about what a durable function sends out of its run, and about the runs that it starts.

See `events` for what holds for every fact.
"""

from __future__ import annotations

from ..records import record
from .parts import Failure
from .values import NULL, Value


@record
class Dispatched:
    """A durable function sends something out of its run, in the batch that this is in; see `ports.Outgoing`.

    `kind` is `start` for a run that is to begin, whose id is `target`; `close` is what becomes of that run when this
    one ends (see `nodes.child.CLOSE`).
    """

    at: int
    path: str
    kind: str
    target: str
    id: str
    body: Value
    close: str = ""
    again: bool = False
    """Whether it was sent before the run was migrated, and is not sent now."""


@record
class ChildEnded:
    """A run that this one started has ended, as `status`: what it returned, or why it did not."""

    at: int
    run: str
    status: str
    output: Value = NULL
    failure: Failure | None = None


@record
class ChildAwaited:
    """The end of a run that this one started is waited for."""

    path: str
    run: str
