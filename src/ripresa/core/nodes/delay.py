"""`delay`: a durable timer; what it was given is what it returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from ..bounds import HOLDS, holds
from ..commands import ClearTimer, SetTimer
from ..events import NodeCancelled, TimerSet
from ..frames import Frame
from .node import Node

if TYPE_CHECKING:
    from ..state import RunState


class DelayFrame(Frame):
    """A timer that is set: when it is due."""

    __slots__ = ("due",)
    FIELDS = (*Frame.FIELDS, ("due", "plain"))

    def __init__(self, *place: Any) -> None:
        super().__init__(*place)
        self.due = 0


class Delay(Node[DelayFrame]):
    """Wait for `length` microseconds; across restarts, and without holding anything but its timer."""

    kind: ClassVar[str] = "delay"
    frame_class: ClassVar[type[Frame]] = DelayFrame

    def __init__(self, name: str, length: int) -> None:
        super().__init__(name)
        self.length = length

    @override
    def policy(self) -> dict[str, Any]:
        return {"length": self.length}

    @override
    def open(self, run: RunState, frame: DelayFrame) -> None:
        if holds(run):
            return  # it begins when the run goes on, see `release`
        frame.due = run.dues.pop(frame.path, 0) or run.at + self.length
        self._set(run, frame)

    def _set(self, run: RunState, frame: DelayFrame) -> None:
        run.consequences.append(TimerSet(frame.path, frame.due))
        run.commands.append(SetTimer(frame.path, frame.due))

    @override
    def timer(self, run: RunState, frame: DelayFrame) -> None:
        run.done(frame, frame.input)

    @override
    def release(self, run: RunState, frame: DelayFrame) -> None:
        if run.core < HOLDS:
            return
        if frame.due:
            run.commands.append(SetTimer(frame.path, frame.due))
        else:
            self.open(run, frame)

    @override
    def rewind(self, run: RunState, frame: DelayFrame) -> None:
        if not frame.due:
            self.open(run, frame)

    @override
    def cancel(self, run: RunState, frame: DelayFrame) -> None:
        if frame.due:
            run.commands.append(ClearTimer(frame.path))
        run.consequences.append(NodeCancelled(frame.path))
        run.cancelled(frame)

    @override
    def reopen(self, run: RunState, frame: DelayFrame) -> None:
        """It is due when it was (in journals of the first version it began anew)."""
        if run.kept and frame.due:
            self._set(run, frame)
        else:
            self.open(run, frame)
