"""The state of a run, and the moves by which nodes change it.

Law: every move keeps `frames`, `children` and `active` in step; what a move decides goes into `consequences`, what it
wants done into `commands`. A frame that fails stays where it is, so that a failed run can be reopened; so does one
that returns to a scope that winds up, for a reopened run takes its result.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from . import gates
from .commands import Ask, ClearTimer, Command, HoldStream, RunStep
from .events import (
    Consequence,
    Failure,
    RunCancelled,
    RunCancelling,
    RunCompleted,
    RunFailed,
    SignalTaken,
    StepScheduled,
)
from .frames import (
    BACKOFF,
    CANCELLED,
    CANCELLING,
    DONE,
    FAILED,
    FAILING,
    HELD,
    JOINING,
    OPEN,
    WINDING,
    CallFrame,
    Frame,
    ScopeFrame,
    StreamFrame,
)
from .gates import Gate
from .values import NULL, Value

if TYPE_CHECKING:
    from .definition import Definition
    from .nodes.node import Node
    from .shared import Shared


class Message(NamedTuple):
    """A signal that came before anything waited for it."""

    value: Value
    id: str = ""
    by: str = ""


class RunState:
    """Everything about a run that its future depends on. Built by `advance` from facts alone."""

    __slots__ = (
        "allowed",
        "at",
        "cleanup_failures",
        "commands",
        "consequences",
        "deadline",
        "definition",
        "dues",
        "epoch",
        "frames",
        "gates",
        "generation",
        "hooks",
        "kept",
        "limit",
        "messages",
        "outcomes",
        "points",
        "reason",
        "refused",
        "root",
        "run",
        "seed",
        "seq",
        "served",
        "shared",
        "status",
        "waiters",
    )

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.run = ""
        self.status = "created"
        self.seq = 0
        self.at = 0
        self.allowed = 0
        self.deadline = 0
        self.dues: dict[str, int] = {}
        """Timers of another definition, by path: they keep their moment."""
        self.epoch = 1
        self.generation = 0
        self.seed = 0
        self.reason = ""
        self.limit = ""
        self.cleanup_failures: list[Failure] = []
        self.outcomes: dict[str, tuple[str, Value]] = {}
        self.frames: dict[str, Frame] = {}
        self.hooks: tuple[str, ...] = ()
        self.points: dict[str, tuple[str, ...]] = {}
        self.gates: dict[str, Gate] = {}
        self.refused: dict[str, Gate] = {}
        self.root: ScopeFrame | None = None
        self.shared: Shared | None = None
        self.consequences: list[Consequence] = []
        self.commands: list[Command] = []
        self.kept = False
        self.messages: dict[str, deque[Message]] = {}
        self.waiters: dict[str, list[str]] = {}
        self.served: list[str] = []

    def remember(self, path: str, status: str, value: Value = NULL) -> None:
        """Keep how a step ended, if a condition looks at it by its name or path."""
        for name in (self.frames[path].node.name, path):
            if name in self.definition.watched:
                self.outcomes[name] = (status, value)

    # --- frames begin

    def spawn(self, parent: ScopeFrame, node: Node[Any], segment: str, key: int, input: Value) -> None:
        """Open a child of `parent` below the path segment `segment`."""
        path = parent.prefix + segment
        frame = node.frame_class(path, node, parent, key, input)
        self.frames[path] = frame
        parent.children[key] = frame
        parent.active += 1
        node.open(self, frame)

    def spawn_body(self, parent: ScopeFrame, node: Node[Any], input: Value) -> None:
        """Open the body of a scope. One that is a scope itself does not show in the paths of what is below it."""
        if not issubclass(node.frame_class, ScopeFrame):
            self.spawn(parent, node, node.name, 0, input)
            return
        path = f"{parent.path}()"
        frame = node.frame_class(path, node, parent, 0, input)
        frame.prefix = parent.prefix
        self.frames[path] = frame
        parent.children[0] = frame
        parent.active += 1
        node.open(self, frame)

    def schedule(self, frame: CallFrame) -> None:
        """Let the current attempt of a call run; while the run is paused it is held (see `release`)."""
        if self.status == "paused":
            frame.phase = HELD
            return
        frame.phase = OPEN
        self.consequences.append(StepScheduled(frame.path, frame.attempt))
        self.commands.append(RunStep(frame.path, frame.attempt, frame.input))

    def release(self) -> None:
        """Schedule the attempts that were held while the run was paused, and let streams go on."""
        for frame in list(self.frames.values()):
            if isinstance(frame, CallFrame) and frame.phase == HELD:
                self.schedule(frame)
            elif isinstance(frame, StreamFrame) and frame.phase == OPEN:
                self.commands.append(HoldStream(frame.path, frame.attempt, on=False))

    def hold(self) -> None:
        """Let streams take nothing more from their sources."""
        for frame in self.frames.values():
            if isinstance(frame, StreamFrame) and frame.phase == OPEN:
                self.commands.append(HoldStream(frame.path, frame.attempt, on=True))

    def ask(self, frame: ScopeFrame, question: str, about: Value) -> None:
        """Put a question to user code; the answer comes to the node's `answered`."""
        frame.question = question
        frame.about = about
        self.commands.append(Ask(frame.path, question, about))

    # --- messages in

    def waits(self, name: str, frame: Frame) -> None:
        """The frame waits for a message of this name, behind those that do already."""
        self.waiters.setdefault(name, []).append(frame.path)
        if name in self.messages:
            self.served.append(name)

    def waits_no_more(self, name: str, frame: Frame) -> None:
        """The frame gives up waiting."""
        paths = self.waiters[name]
        paths.remove(frame.path)
        if not paths:
            del self.waiters[name]

    def receive(self, name: str, message: Message) -> None:
        """Keep a message for the oldest frame that waits for it, now or later."""
        self.messages.setdefault(name, deque()).append(message)
        self.served.append(name)

    def serve(self) -> None:
        """Hand out messages that are there to the frames that wait for them (a frame that goes on may wait again)."""
        while self.served:
            name = self.served.pop(0)
            while name in self.messages and name in self.waiters:
                message = self.messages[name].popleft()
                if not self.messages[name]:
                    del self.messages[name]
                frame = self.frames[self.waiters[name][0]]
                self.waits_no_more(name, frame)
                if getattr(frame, "due", 0):
                    self.commands.append(ClearTimer(frame.path))
                self.consequences.append(SignalTaken(frame.path, name, message.id))
                self.done(frame, message.value)

    # --- frames end

    def done(self, frame: Frame, value: Value) -> None:
        """The frame returned `value`: it leaves the state, its parent goes on."""
        parent = frame.parent
        if parent is None:
            if not self.points or not gates.gated(self, frame, Gate("complete", value)):
                self.complete(frame, value)
            return
        frame.phase = DONE
        parent.active -= 1
        if self.shared is not None:
            self.shared.returns(self, frame)
        if parent.phase == OPEN or parent.shielded:
            if self.shared is not None:
                self.shared.ended(frame)
            self.drop(parent, frame.key)
            parent.node.on_done(self, parent, frame.key, value)  # type: ignore[attr-defined]
        else:
            frame.result = value
            self._forget_below(frame)
            self.wind(parent)

    def complete(self, root: Frame, value: Value) -> None:
        """The run returned `value`."""
        root.phase = DONE
        self._forget(root)
        self.status = "completed"
        self._clear_deadline()
        self.consequences.append(RunCompleted(value))

    def fail(self, frame: Frame, failure: Failure) -> None:
        """The frame failed for good. None of its children is active any more."""
        parent = frame.parent
        if parent is None:
            if not self.points or not gates.gated(self, frame, Gate("fail", failure=failure)):
                self.give_up(frame, failure)
            return
        frame.phase = FAILED
        frame.failure = failure
        parent.active -= 1
        if parent.phase == OPEN or parent.shielded:
            parent.node.on_failed(self, parent, frame.key, failure)  # type: ignore[attr-defined]
        else:
            if parent.phase == FAILING:
                parent.others.append(failure)
            self.wind(parent)

    def give_up(self, root: Frame, failure: Failure) -> None:
        """The run failed."""
        root.phase = FAILED
        root.failure = failure
        self.status = "failed"
        self._clear_deadline()
        self.consequences.append(RunFailed(failure))

    def cancel_run(self, reason: str) -> None:
        """Stop everything and clean up."""
        assert self.root is not None
        self.status = "cancelling"
        self.reason = reason
        self.consequences.append(RunCancelling(reason))
        root = self.root
        if root.phase in WINDING and "" not in self.gates:
            root.phase = CANCELLING if root.phase == FAILING else root.phase
        else:
            self.cancel(root)
        self.release()

    def cancelled(self, frame: Frame) -> None:
        """The frame ended because it was stopped."""
        frame.phase = CANCELLED
        parent = frame.parent
        if parent is None:
            self.status = "cancelled"
            self._clear_deadline()
            self.consequences.append(RunCancelled(self.reason, tuple(self.cleanup_failures)))
            return
        parent.active -= 1
        if parent.phase == OPEN or parent.shielded:
            parent.node.on_cancelled(self, parent, frame.key)  # type: ignore[attr-defined]
        else:
            self.wind(parent)

    def skipped(self, frame: Frame) -> None:
        """The frame decided not to run what it stands for."""
        parent = self._leave(frame)
        parent.node.on_skipped(self, parent, frame.key)  # type: ignore[attr-defined]

    def replace(self, frame: Frame, node: Node[Any], input: Value) -> None:
        """Put a node in the place of a frame, with the same key."""
        parent = self._leave(frame)
        self.spawn(parent, node, node.name, frame.key, input)

    def drop(self, frame: ScopeFrame, key: int) -> None:
        """Let an ended child go for good: a reopened run will not come back to it."""
        child = frame.children.pop(key)
        if self.shared is not None:
            self.shared.forget(child.path)
        del self.frames[child.path]
        if isinstance(child, ScopeFrame):
            self._forget_below(child)

    # --- scopes wind up

    def finish(self, frame: ScopeFrame, value: Value) -> None:
        """Return `value` as soon as the children that are still active have been stopped."""
        frame.phase = JOINING
        frame.result = value
        self.stop_children(frame)
        self.wind(frame)

    def abort(self, frame: ScopeFrame, failure: Failure) -> None:
        """Fail as soon as the children that are still active have been stopped."""
        if self.gates and frame.path in self.gates and gates.abort(self, frame, failure):
            return
        frame.phase = FAILING
        frame.failure = failure
        self.stop_children(frame)
        self.wind(frame)

    def cancel(self, frame: Frame) -> None:
        """Stop a frame. One that already winds up is left alone."""
        if self.gates and frame.path in self.gates and gates.cancel(self, frame):
            return
        if frame.phase in (OPEN, HELD, BACKOFF):
            if frame.phase == OPEN:
                frame.phase = CANCELLING
            frame.node.cancel(self, frame)

    def stop_children(self, frame: ScopeFrame) -> None:
        """Cancel every child that has not ended."""
        for child in list(frame.children.values()):
            self.cancel(child)

    def wind(self, frame: ScopeFrame) -> None:
        """Go on winding up if all children have ended (a shielded scope has already wound up, and does its last)."""
        if frame.active == 0 and frame.phase in WINDING and not frame.shielded and frame.path not in self.gates:
            frame.node.wound(self, frame)  # type: ignore[attr-defined]

    def close(self, frame: ScopeFrame) -> None:
        """End a scope that winds up in the way it was going to."""
        if frame.phase == JOINING:
            self.done(frame, frame.result)
        elif frame.phase == CANCELLING:
            self.cancelled(frame)
        else:
            failure = frame.failure
            assert failure is not None
            others, frame.others = (*failure.others, *frame.others), []
            self.fail(frame, replace(failure, others=others) if others else failure)

    # --- a failed run goes on

    def reopen(self, frame: Frame) -> None:
        """Bring an ended frame back to life; one that had returned while its scope wound up returns now."""
        if frame.phase == DONE:
            self.done(frame, frame.result)
            return
        if self.refused and gates.ask_again(self, frame):
            return
        frame.phase = OPEN
        frame.failure = None
        if isinstance(frame, ScopeFrame):
            frame.shielded = False
        frame.node.reopen(self, frame)

    def reopen_children(self, frame: ScopeFrame) -> None:
        """Bring back all children of a scope that has ended, and they with it."""
        ended = list(frame.children.values())
        frame.active = len(ended)
        for child in ended:
            self.reopen(child)

    def _leave(self, frame: Frame) -> ScopeFrame:
        parent = frame.parent
        assert parent is not None
        frame.phase = DONE
        parent.active -= 1
        self.drop(parent, frame.key)
        return parent

    def _forget(self, frame: Frame) -> None:
        if self.shared is not None:
            self.shared.forget(frame.path)
        del self.frames[frame.path]
        if self.refused:
            gates.forget(self, frame.path)
        self._forget_below(frame)

    def _forget_below(self, frame: Frame) -> None:
        if isinstance(frame, ScopeFrame):
            for child in frame.children.values():
                self._forget(child)
            frame.children = {}

    def _clear_deadline(self) -> None:
        if self.deadline:
            self.deadline = 0
            self.commands.append(ClearTimer(""))
