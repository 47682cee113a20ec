"""What becomes of a run that reaches a limit, and of one that is given others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .events import Failure, LimitReached, LimitsSet, RunContinued, RunPausing
from .frames import CANCELLING, HELD, OPEN

if TYPE_CHECKING:
    from .state import RunState


def limit_reached(state: RunState, fact: LimitReached) -> None:
    """The attempt is held as if it had not been scheduled; the run fails, or starts nothing new."""
    assert state.root is not None
    if fact.path:
        frame = state.frames[fact.path]
        if frame.phase == CANCELLING:
            state.cancelled(frame)
            return
        frame.phase = HELD
    if fact.policy == "fail":
        if state.root.phase == OPEN:
            state.abort(state.root, exceeded(fact))
    elif state.status == "running":
        state.status = "paused"
        state.limit = fact.limit if fact.policy == "ask" else ""
        state.consequences.append(RunPausing())


def limits_set(state: RunState, fact: LimitsSet) -> None:
    """The run goes on with other limits, or fails of the one that it asked about."""
    assert state.root is not None
    asked, state.limit = state.limit, ""
    if state.status == "paused":
        state.status = "running"
        state.consequences.append(RunContinued())
        if fact.limits or not asked:
            state.release()
    if not fact.limits and state.root.phase == OPEN:
        state.abort(state.root, Failure("limit_exceeded", f"nothing more was allowed{asked and ' of ' + asked}"))


def exceeded(fact: LimitReached) -> Failure:
    """The failure that a reached limit is."""
    whose = f" of session {fact.session!r}" if fact.session else ""
    told = f"the limit of {fact.limit}{whose} is reached: {fact.used:g} of {fact.allowed:g} are used"
    return Failure("limit_exceeded", told, path=fact.path, attempt=fact.attempt)
