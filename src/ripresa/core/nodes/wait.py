"""`wait`: until a signal comes, which is what it returns, or until its time is up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from ..commands import ClearTimer, SetTimer
from ..events import Failure, NodeCancelled, WaitStarted
from ..frames import Frame
from .node import Node

if TYPE_CHECKING:
    from ..state import RunState

TIMED_OUT = ("TimeoutError", "OSError", "Exception")
"""The types of the failure that a wait ends with when its time is up: a timeout like any other."""


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
        kept = run.dues.pop(frame.path, 0) if self.timeout else 0
        self._wait(run, frame, kept or (run.at + self.timeout if self.timeout else 0))

    @override
    def timer(self, run: RunState, frame: WaitFrame) -> None:
        run.waits_no_more(self.signal, frame)
        message = f"no signal {self.signal!r} came within {self.timeout / 1_000_000:g} s"
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
        self._wait(run, frame, frame.due if frame.due > run.at else run.at + self.timeout if self.timeout else 0)

    def _wait(self, run: RunState, frame: WaitFrame, due: int) -> None:
        frame.due = due
        run.consequences.append(WaitStarted(frame.path, self.signal, due))
        if due:
            run.commands.append(SetTimer(frame.path, due))
        run.waits(self.signal, frame)
