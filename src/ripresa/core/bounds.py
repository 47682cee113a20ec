"""What happens when a limit is reached, as a hook or the policy says; and who ends which pause of a run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from . import gates
from .commands import SetTimer
from .events import (
    ContinueRequested,
    Failure,
    Intercepted,
    LimitReached,
    LimitsSet,
    RetryScheduled,
    RunContinued,
    RunPausing,
)
from .frames import BACKOFF, CANCELLING, HELD, OPEN, CallFrame, Frame
from .gates import Gate
from .limits import NO_PRICE
from .values import Value, text_of

if TYPE_CHECKING:
    from .state import RunState

TIME_IS_UP: Final = "!limit"
"""The gate of a limit that no attempt has reached but the run itself: its time."""

TELLS_PAUSES_APART: Final = 4
"""The rules of the core from which on other limits do not end a pause that somebody asked for."""

HOLDS: Final = 8
"""The rules of the core from which on a paused run neither lets its delays end nor sends anything."""

LIMIT: Final = "\0limit"
"""Who has paused a run that reached a limit: what allows it more ends that pause, and no other."""


def limit_reached(run: RunState, fact: LimitReached) -> None:
    """The attempt is held as if it had not been scheduled; the run fails, or starts nothing new, unless a hook says."""
    frame: Any = run.frames[fact.path] if fact.path else None
    if frame is not None and frame.phase == CANCELLING:
        run.cancelled(frame)
        return
    gate = Gate("limit", _told(fact), fact.attempt, fact.policy, exceeded(fact))
    if frame is None:
        if TIME_IS_UP in run.gates or (run.points and gates.gated_at(run, TIME_IS_UP, gate)):
            return
    elif run.points and gates.gated(run, frame, gate):
        return
    else:
        frame.phase = HELD
    _follow(run, gate, fact.policy)


def _told(fact: LimitReached) -> Value:
    told = {"limit": fact.limit, "used": fact.used, "allowed": fact.allowed, "session": fact.session}
    return json.dumps(told, ensure_ascii=False).encode()


def intercepted(run: RunState, frame: CallFrame | None, gate: Gate, fact: Intercepted) -> None:
    """Go on as a hook answered (neither a veto nor a cancellation); `frame` is that of the attempt, if there is one."""
    if fact.answer in ("continue", "redirect"):
        if frame is not None:
            frame.phase = HELD
        _follow(run, gate, fact.detail if fact.answer == "redirect" else gate.detail)
    elif frame is None:
        pass  # there are other limits now
    elif fact.answer == "skip":
        run.done(frame, fact.value)
    elif fact.answer == "again":
        _wait(run, frame, fact.number)
    else:
        run.schedule(frame)


def _wait(run: RunState, frame: CallFrame, due: int) -> None:
    """A hook lets the attempt be tried again after a while."""
    frame.delays += 1
    if due > run.at:
        frame.phase, frame.due = BACKOFF, due
        run.consequences.append(RetryScheduled(frame.path, frame.attempt, due))
        run.commands.append(SetTimer(frame.path, due))
    else:
        run.schedule(frame)


def time_is_up(run: RunState, fact: Intercepted) -> None:
    """A hook has answered about the time of the run, or another limit that no attempt has reached."""
    gate = run.gates.pop(TIME_IS_UP)
    if fact.answer == "cancel":
        if run.status not in ("cancelling", "undoing"):
            run.cancel_run(fact.detail)
    elif fact.answer in ("veto", "fail"):
        if run.root is not None and run.root.phase == OPEN:
            reason = Failure("vetoed", fact.detail or "a hook forbids it", cause=gate.failure)
            run.abort(run.root, fact.failure or reason)
    else:
        intercepted(run, None, gate, fact)


def _follow(run: RunState, gate: Gate, policy: str) -> None:
    assert gate.failure is not None
    if policy == "fail":
        if run.root is not None and run.root.phase == OPEN:
            run.abort(run.root, gate.failure)
    elif run.status == "running":
        run.status, run.paused = "paused", LIMIT
        run.limit = json.loads(text_of(gate.value))["limit"] if policy == "ask" else ""
        run.consequences.append(RunPausing())


def limits_set(run: RunState, fact: LimitsSet) -> None:
    """Somebody answers a run that asks for more, or gives it other limits; what others have paused stays so."""
    assert run.root is not None
    asked, run.limit = run.limit, ""
    denied = not fact.limits and run.root.phase == OPEN
    was_paused = run.status == "paused" and (denied or run.paused == LIMIT or run.core < TELLS_PAUSES_APART)
    if was_paused:
        run.status = "running"
        run.consequences.append(RunContinued())
        if not (denied and asked):
            run.release()
    if denied:
        run.abort(run.root, Failure("limit_exceeded", f"nothing more was allowed{asked and ' of ' + asked}"))
        if was_paused and asked:  # what winds up was held too, and is to come to its end
            run.release()


def pauses_at_limit(run: RunState) -> bool:
    """Whether it is only a limit that holds the run, so that somebody may pause it beyond that."""
    return run.status == "paused" and run.paused == LIMIT and run.core >= TELLS_PAUSES_APART


def holds(run: RunState) -> bool:
    """Whether nothing new is to begin, not even a delay or another run."""
    return run.status == "paused" and run.core >= HOLDS


def pause(run: RunState, by: str) -> None:
    """Somebody lets the run start nothing new."""
    if run.status != "paused":
        run.status = "paused"
        run.consequences.append(RunPausing())
        run.hold()
    run.paused = by


def ends_pause(run: RunState, fact: ContinueRequested) -> bool:
    """Whether this may end the pause that the run is in."""
    return fact.only in ("", run.paused)


def go_on(run: RunState) -> None:
    """Somebody ends the pause."""
    run.status = "running"
    run.consequences.append(RunContinued())
    run.release()


def cleans_up(frame: Frame) -> bool:
    """Whether an attempt belongs to the end of a scope that winds up, or undoes something: no limit forbids that."""
    scope = frame.parent
    while scope is not None:
        if scope.shielded or scope.phase != OPEN:
            return True
        scope = scope.parent
    return False


def exceeded(fact: LimitReached) -> Failure:
    """The failure that a reached limit is."""
    whose = f" of session {fact.session!r}" if fact.session else ""
    told = f"the limit of {fact.limit}{whose} is reached: {fact.used:g} of {fact.allowed:g} are used"
    told += f" ({NO_PRICE})" if fact.limit == "unpriced" else ""
    return Failure("limit_exceeded", told, path=fact.path, attempt=fact.attempt)
