"""What a frame waits for: the answer to a question, a moment."""

from __future__ import annotations

from .commands import Ask, Resume
from .frames import BACKOFF, OPEN, CallFrame, Frame, ScopeFrame
from .nodes.compensation import CompensationFrame
from .nodes.dynamic import DynamicFrame
from .state import RunState


def awaits_answer(state: RunState, path: str) -> bool:
    """Whether the question that was asked at this path is still to be answered."""
    frame = state.frames.get(path)
    return isinstance(frame, ScopeFrame) and is_asked(frame)


def is_asked(frame: ScopeFrame) -> bool:
    """Whether a frame waits for an answer."""
    return bool(frame.question) and (frame.phase == OPEN or frame.shielded)


def question_of(frame: ScopeFrame) -> Ask | Resume:
    """What it is asked."""
    if isinstance(frame, DynamicFrame):
        return Resume(frame.path, frame.delivered)
    return Ask(frame.path, frame.question, frame.about)


def due_of(frame: Frame) -> int:
    """When the timer of a frame that has not ended is due, 0 if it has none."""
    if isinstance(frame, CallFrame) and frame.phase != BACKOFF:
        return 0
    due: int = getattr(frame, "due", 0)
    return due


def ends_by(run: RunState, frame: Frame) -> int:
    """When what this frame belongs to is out of time, the first of all that it is within; 0 for never."""
    limits = [run.deadline] if run.deadline else []
    scope = frame.parent
    while scope is not None and not isinstance(scope, CompensationFrame):
        if getattr(scope, "due", 0):
            limits.append(scope.due)  # type: ignore[attr-defined]
        scope = scope.parent
    return min(limits, default=0)
