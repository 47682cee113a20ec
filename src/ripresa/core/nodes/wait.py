"""`wait`: until a signal comes, which is what it returns, or until its time is up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from typing_extensions import override

from ..bounds import holds
from ..commands import ClearTimer, SetTimer
from ..events import Failure, NodeCancelled, WaitStarted
from ..frames import Frame
from .answer import UPDATES
from .node import Node

if TYPE_CHECKING:
    from ..state import RunState

TIMED_OUT = ("TimeoutError", "OSError", "Exception")
"""The types of the failure that a wait ends with when its time is up: a timeout like any other."""


HOLDS_WAITS: Final = 10
"""The rules of the core from which on the time of a wait that a paused run comes to begins when the run goes on."""


class WaitFrame(Frame):
    """A wait under way: when its time is up (0: never)."""

    __slots__ = ("due",)
    FIELDS = (*Frame.FIELDS, ("due", "plain"))

    def __init__(self, *place: Any) -> None:
        super().__init__(*place)
        self.due = 0


class Wait(Node[WaitFrame]):
    """Wait for the next signal of this name. `timeout` is in microseconds, 0 for none."""

    kind: ClassVar[str] = "wait"
    frame_class: ClassVar[type[Frame]] = WaitFrame

    def __init__(self, name: str, signal: str, *, timeout: int = 0, **types: Any) -> None:
        super().__init__(name, **types)
        self.signal = signal
        self.timeout = timeout

    @override
    def policy(self) -> dict[str, Any]:
        return {"signal": self.signal, "timeout": self.timeout}

    @override
    def open(self, run: RunState, frame: WaitFrame) -> None:
        self.wait(run, frame, self.due(run, frame))
        run.waits(self.signal, frame)

    @override
    def release(self, run: RunState, frame: WaitFrame) -> None:
        """A wait that a paused run came to takes what comes; its time begins now."""
        if self.timeout and not frame.due:
            self.wait(run, frame, self.due(run, frame))

    @override
    def rewind(self, run: RunState, frame: WaitFrame) -> None:
        self.release(run, frame)

    @override
    def timer(self, run: RunState, frame: WaitFrame) -> None:
        run.waits_no_more(self.signal, frame)
        message = f"no {self._awaited(run)} came within {self.timeout / 1_000_000:g} s"
        run.fail(frame, Failure("timeout", message, TIMED_OUT, path=frame.path))

    @override
    def cancel(self, run: RunState, frame: WaitFrame) -> None:
        run.waits_no_more(self.signal, frame)
        if frame.due:
            run.commands.append(ClearTimer(frame.path))
        run.consequences.append(NodeCancelled(frame.path))
        run.cancelled(frame)

    @override
    def reopen(self, run: RunState, frame: WaitFrame) -> None:
        """One that was stopped has what was left of its time; one whose time was up has all of it again."""
        self.wait(run, frame, frame.due if frame.due > run.at else run.at + self.timeout if self.timeout else 0)
        run.waits(self.signal, frame)

    def _awaited(self, run: RunState) -> str:
        if run.core >= HOLDS_WAITS and self.signal.startswith(UPDATES):
            return f"update {self.signal.removeprefix(UPDATES)!r}"
        return f"signal {self.signal!r}"

    def due(self, run: RunState, frame: WaitFrame) -> int:
        """When the time of a wait that begins is up; 0 if it has none, or has yet to begin."""
        if not self.timeout or (holds(run) and run.core >= HOLDS_WAITS):
            return 0
        return run.dues.pop(frame.path, 0) or run.at + self.timeout

    def wait(self, run: RunState, frame: WaitFrame, due: int) -> None:
        """The time of a wait begins."""
        frame.due = due
        run.consequences.append(WaitStarted(frame.path, self.signal, due))
        if due:
            run.commands.append(SetTimer(frame.path, due))
