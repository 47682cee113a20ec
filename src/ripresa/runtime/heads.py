"""The line of a run in lists, as it follows from its state."""

from __future__ import annotations

from ..core.nodes.approval import ASKED
from ..core.requested import GUARDED, is_guarded
from ..core.state import RunState
from ..ports import RunHead


def listed(was: RunHead, run: RunState, *, asks: bool, error: str) -> RunHead:
    """The line of a run that was listed so: whether it `asks` somebody, and what it failed of, are among it."""
    tags = was.tags
    guarded = bool(run.points) and is_guarded(run)
    if tags or asks or guarded:
        own = {ASKED: asks, GUARDED: guarded}
        tags = (*(tag for tag in tags if tag not in own), *(tag for tag, is_so in own.items() if is_so))
    place = was.id, was.workflow, was.version, run.status, was.target, was.created_at, run.at
    return RunHead(*place, error, tags, was.session, was.wake_at)
