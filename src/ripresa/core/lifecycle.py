"""The life of a run as a table: every status, and the statuses that may follow it."""

from __future__ import annotations

from typing import Final

from ..errors import IllegalTransition

TRANSITIONS: Final[dict[str, tuple[str, ...]]] = {
    "created": ("running",),
    "running": ("paused", "cancelling", "completed", "failed", "cancelled", "terminated"),
    "paused": ("running", "cancelling", "completed", "failed", "cancelled", "terminated"),
    "cancelling": ("cancelled", "completed", "failed", "terminated"),
    "failed": ("running", "undoing"),
    "completed": ("running", "undoing"),
    "cancelled": ("running", "undoing"),
    "terminated": ("undoing",),
    "undoing": ("undone", "terminated"),
    "undone": ("undoing",),
}
"""`completed` and `failed` follow `cancelling` only where a scope shields its end from cancellation.

A `completed` or `cancelled` run becomes `running` only by being rolled back.
"""

REWINDABLE: Final = frozenset({"running", "waiting", "paused", "cancelling", "failed", "completed", "cancelled"})
"""Statuses from which a run can be rolled back."""

TERMINAL: Final = frozenset({"completed", "failed", "cancelled", "terminated", "undone"})
"""Statuses in which nothing happens any more.

A failed run can be reopened, what a run did can be undone, all but a terminated or undone one rolled back.
"""

WAITING: Final = "waiting"
"""How lists call a running run that has left memory because it only waits; in its journal it is running."""

LISTED: Final = (*TRANSITIONS, WAITING)
"""The statuses that lists show."""

ACTIVE: Final = tuple(status for status in TRANSITIONS if status not in TERMINAL)

LIVE: Final = (*ACTIVE, WAITING)
"""The statuses of lists in which a run has not ended."""


_AGAIN: Final = "ripresa rollback {run} does a part of it again, ripresa fork {run} begins another from a place in it"

_HELPS: Final = {
    "created": "it has not begun: ripresa resume {run} begins it",
    "paused": "ripresa continue {run} lets it go on",
    "failed": "ripresa resume {run} takes it up where it failed",
    "completed": _AGAIN,
    "cancelled": _AGAIN,
}
"""What has a run of this status become running, for whoever asked for it in another way."""


def check_transition(status: str, to: str, *, only_from: str = "", run: str = "", op: str = "") -> None:
    """Raise `IllegalTransition` unless a run of this status may go to that one (by what leads from one status only)."""
    listed, status = status, "running" if status == WAITING else status
    if to not in TRANSITIONS[status] or (only_from and status != only_from):
        allowed = f"from {listed} it can become {', '.join(TRANSITIONS[status])}"
        raise IllegalTransition(
            f"run {run!r} is {listed} and cannot become {to}",
            run=run,
            op=op,
            hint=_HELPS[status].format(run=run or "RUN") if to in TRANSITIONS[status] else allowed,
        )


def not_a_place(run: str, seq: int, status: str) -> IllegalTransition:
    """The error for going back to where there was nothing to go on with."""
    return IllegalTransition(
        f"run {run!r} was {status} after event {seq}: there is nothing to go on with from there",
        run=run,
        op="rollback",
        hint="choose a place before that; ripresa checkpoints lists them",
    )


def asks_for_more(run: str, limit: str) -> IllegalTransition:
    """The error for a run that is to go on without an answer to what it asks about its limit."""
    return IllegalTransition(
        f"run {run!r} asks for more {limit} and goes on only with an answer",
        run=run,
        op="continue",
        hint=f"answer: ripresa resume {run} --limit {limit}=NUMBER, or handle.allow(Limits(...) or None: it fails)",
    )
