"""The life of a run as a table: every status, and the statuses that may follow it."""

from __future__ import annotations

from typing import Final

from ..errors import IllegalTransition

TRANSITIONS: Final[dict[str, tuple[str, ...]]] = {
    "created": ("running",),
    "running": ("paused", "cancelling", "completed", "failed", "cancelled", "terminated"),
    "paused": ("running", "cancelling", "completed", "failed", "cancelled", "terminated"),
    "cancelling": ("cancelled", "completed", "failed", "terminated"),
    "failed": ("running",),
    "completed": (),
    "cancelled": (),
    "terminated": (),
}
"""`completed` and `failed` follow `cancelling` only where a scope shields its end from cancellation."""

TERMINAL: Final = frozenset({"completed", "failed", "cancelled", "terminated"})
"""Statuses in which nothing happens any more (a failed run can be reopened)."""

ACTIVE: Final = tuple(status for status in TRANSITIONS if status not in TERMINAL)


def check_transition(status: str, to: str, *, only_from: str = "", run: str = "", op: str = "") -> None:
    """Raise `IllegalTransition` unless a run of this status may go to that one (by what leads from one status only)."""
    if to not in TRANSITIONS[status] or (only_from and status != only_from):
        allowed = ", ".join(TRANSITIONS[status]) or "nothing: it has ended"
        raise IllegalTransition(
            f"run {run!r} is {status} and cannot become {to}",
            run=run,
            op=op,
            hint=f"from {status} it can become {allowed}",
        )
