"""The state of a run, and the moves by which nodes change it.

Law: every move keeps `frames`, `children` and `active` in step; what a move decides goes into `consequences`, what it
wants done into `commands`. A frame that fails stays where it is, so that a failed run can be reopened; so does one
that returns to a scope that winds up, for a reopened run takes its result.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from . import gates, requested
from .commands import Ask, ClearTimer, Command, HoldStream, RunStep
from .events import (
    CallSpec,
    Consequence,
    Fact,
    Failure,
    Requested,
    RunCancelled,
    RunCancelling,
    RunCompleted,
    RunFailed,
    RunUndone,
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
    PARKED,
    WINDING,
    CallFrame,
    Frame,
    ScopeFrame,
    StreamFrame,
)
from .gates import Gate
from .lazily import Late
from .ledger import KEEPS_WHAT_LASTS, Entry, Ledger
from .nodes.compensation import COMPENSATION, MARK, CompensationFrame
from .nodes.dynamic import DynamicFrame
from .values import NULL, Value

if TYPE_CHECKING:
    from .definition import Definition
    from .nodes.node import Node
    from .shared import Shared

UNDO_KEY = -1
"""The key of a scope's compensation among its children."""


class Message(NamedTuple):
    """A signal that came before anything waited for it."""

    value: Value
    id: str = ""
    by: str = ""


class RunState:
    """Everything about a run that its future depends on. Built by `advance` from facts alone.

    `settled`: what a run did that then failed or was cancelled has been undone, as far as it could be; `undone`:
    some of it was, so that a reopened run begins anew.
    """

    __slots__ = (
        "_children",
        "_dues",
        "_gates",
        "_ledger",
        "_messages",
        "_refused",
        "_requests",
        "allowed",
        "at",
        "cleanup_failures",
        "commands",
        "consequences",
        "core",
        "deadline",
        "definition",
        "epoch",
        "frames",
        "generation",
        "granted",
        "hooks",
        "kept",
        "limit",
        "outcomes",
        "parent",
        "paused",
        "points",
        "reason",
        "root",
        "run",
        "seed",
        "seq",
        "served",
        "settled",
        "shared",
        "status",
        "undone",
        "waiters",
    )

    children = Late[dict[str, str]](dict)
    """Runs that it started and that are not to outlive it, and what becomes of them: see `nodes.child.CLOSE`."""
    dues = Late[dict[str, int]](dict)
    """Timers of another definition, by path: they keep their moment."""
    gates = Late[dict[str, Gate]](dict)
    ledger = Late[Ledger](Ledger)
    messages = Late[dict[str, deque[Message]]](dict)
    refused = Late[dict[str, Gate]](dict)
    requests = Late[dict[str, Requested]](dict)
    """What interceptors are asked about before it happens, in order; see `requested`."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.run = ""
        self.status = "created"
        self.seq = 0
        self.at = 0
        self.allowed = 0
        self.deadline = 0
        self.core = 1
        """The rules that it goes by; see `RunStarted`."""
        self.epoch = 1
        self.generation = 0
        self.seed = 0
        self.parent = ""
        """The run that is told how this one ends."""
        self.reason = ""
        self.paused = ""
        """Who has paused it last, see `bounds.LIMIT`; it counts while the run is paused."""
        self.limit = ""
        self.undone = False
        self.settled = False
        self.cleanup_failures: tuple[Failure, ...] = ()
        self.frames: dict[str, Frame] = {}
        self.outcomes: dict[str, tuple[str, Value]] = {}
        self.points: dict[str, tuple[str, ...]] = {}
        self.waiters: dict[str, list[str]] = {}
        self.hooks: tuple[str, ...] = ()
        self.granted: tuple[Fact, ...] = ()
        """What they have let through and has not come yet."""
        self.root: ScopeFrame | None = None
        self.shared: Shared | None = None
        self.consequences: list[Consequence] = []
        self.commands: list[Command] = []
        self.kept = False
        self.served: tuple[str, ...] = ()

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
        """Schedule the attempts that were held while the run was paused; let streams, timers and what is sent go on."""
        for frame in list(self.frames.values()):
            if isinstance(frame, CallFrame) and frame.phase == HELD:
                self.schedule(frame)
            elif isinstance(frame, StreamFrame) and frame.phase == OPEN:
                self.commands.append(HoldStream(frame.path, frame.attempt, on=False))
            elif frame.phase == OPEN:
                frame.node.release(self, frame)

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

    def spawn_at(self, parent: ScopeFrame, node: Node[Any], path: str, key: int, input: Value) -> None:
        """Open a child that stands at a path of its own."""
        frame = node.frame_class(path, node, parent, key, input)
        self.frames[path] = frame
        parent.children[key] = frame
        parent.active += 1
        if isinstance(frame, ScopeFrame):
            frame.prefix = f"{path}/"
        node.open(self, frame)

    # --- messages in

    def waits(self, name: str, frame: Frame) -> None:
        """The frame waits for a message of this name, behind those that do already."""
        self.waiters.setdefault(name, []).append(frame.path)
        if name in self.messages:
            self.served = (*self.served, name)

    def waits_no_more(self, name: str, frame: Frame) -> None:
        """The frame gives up waiting."""
        paths = self.waiters[name]
        paths.remove(frame.path)
        if not paths:
            del self.waiters[name]

    def receive(self, name: str, message: Message) -> None:
        """Keep a message for the oldest frame that waits for it, now or later."""
        self.messages.setdefault(name, deque()).append(message)
        self.served = (*self.served, name)

    def serve(self) -> None:
        """Hand out messages that are there to the frames that wait for them (a frame that goes on may wait again)."""
        while self.served:
            name, *rest = self.served
            self.served = tuple(rest)
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
        self._over()
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
                parent.others = (*parent.others, failure)
            self.wind(parent)

    def give_up(self, root: Frame, failure: Failure) -> None:
        """The run failed; first of all what it did is undone."""
        if self._unwind(self._root(), FAILING, failure):
            return
        root.phase = FAILED
        root.failure = failure
        self.status = "failed"
        self._over()
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
        parent = frame.parent
        if parent is None and self._unwind(self._root(), CANCELLING, frame.failure):
            return
        frame.phase = CANCELLED
        if parent is None:
            self.status = "cancelled"
            self._over()
            self.consequences.append(RunCancelled(self.reason, self.cleanup_failures))
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
        if frame.phase in (OPEN, HELD, BACKOFF, PARKED):
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
            others, frame.others = (*failure.others, *frame.others), ()
            self.fail(frame, replace(failure, others=others) if others else failure)

    # --- what happened is undone

    def record(self, frame: Frame, output: Value, *, known: bool = True) -> None:
        """Keep that what a frame stands for has happened (or may have) and can be undone.

        What happens in a compensation is not undone again.
        """
        found = self._origin(frame)
        if found is not None:
            if known:
                self.ledger.drop_calls(frame.path)
            number = frame.attempt if isinstance(frame, CallFrame) else 1
            generation = frame.generation if isinstance(frame, CallFrame) else self.generation
            place = (self.ledger.last + 1, self.seq + 1, frame.path, number, generation, *found)
            self.ledger.add(Entry(*place, frame.input, output, known))

    def lasts(self, frame: Frame, key: str = "") -> None:
        """Keep that what nothing can undo is about to happen. What a compensation does is not among that."""
        calls: list[tuple[str, int]] = []
        child, scope = frame, frame.parent
        while scope is not None and self.core >= KEEPS_WHAT_LASTS:
            if isinstance(scope, CompensationFrame):
                return
            if isinstance(scope, DynamicFrame):
                calls.append((scope.path, child.key))
            child, scope = scope, scope.parent
        if self.core >= KEEPS_WHAT_LASTS:
            self.ledger.began(frame.path, key, self.seq + 1, tuple(calls))

    def compensate(self, scope: ScopeFrame, prefixes: tuple[str, ...], since: int = 0) -> bool:
        """Undo what happened below these prefixes, if anything did, before the scope goes on (see `compensated`)."""
        numbers = self.ledger.below(prefixes, since) if self.ledger.entries else []
        if not numbers:
            return False
        self._begin_undo(scope, scope.path, numbers, self.ledger.lasting_below(prefixes, since))
        return True

    def compensated(self, frame: CompensationFrame) -> None:
        """What was to be undone is, as far as it could be."""
        parent = frame.parent
        if isinstance(parent, DynamicFrame) and not frame.whole:
            if frame.undone:
                parent.undone[frame.key] = COMPENSATION.since(frame)
            self.done(frame, NULL)
            return
        frame.phase = DONE
        self._forget(frame)
        if parent is not None:
            del parent.children[frame.key]
            parent.active -= 1
            self._goes_on(parent, frame)
        else:
            self.status = "undone"
            self._over()
            self.consequences.append(RunUndone())

    def _goes_on(self, scope: ScopeFrame, frame: CompensationFrame) -> None:
        if frame.whole:
            self.settled = True
            self.undone = frame.undone > 0
            if self.undone and self.shared is not None:
                self.shared.back_to_beginning(self, "")
            if scope.phase == CANCELLING:
                self.cancelled(scope)
            else:
                assert scope.failure is not None
                self.give_up(scope, scope.failure)
        else:
            scope.node.compensated(self, scope, frame.undone)  # type: ignore[attr-defined]

    def undo(self, after: int) -> None:
        """Take back what a run did that has ended: all that can be undone and happened after event number `after`."""
        self._begin_undo(None, "", self.ledger.after(after), self.ledger.lasting_after(after))

    def begin_anew(self, frame: ScopeFrame) -> None:
        """Let a scope begin again with its input, as if it had never run."""
        self._forget_below(frame)
        self.refused.pop(frame.path, None)
        if self.shared is not None and frame.path not in self.shared.scopes:
            self.shared.forget(frame.path)
        fresh = frame.node.frame_class(frame.path, frame.node, frame.parent, frame.key, frame.input)
        assert isinstance(fresh, ScopeFrame)
        fresh.prefix = frame.prefix
        self.frames[frame.path] = fresh
        if frame.parent is None:
            self.root = fresh
        else:
            frame.parent.children[frame.key] = fresh
        fresh.node.begin_anew(self, fresh)  # type: ignore[attr-defined]

    def _root(self) -> ScopeFrame:
        assert self.root is not None
        return self.root

    def _unwind(self, root: ScopeFrame, phase: str, failure: Failure | None) -> bool:
        """Undo what the run did before it ends as failed or cancelled, if there is anything."""
        numbers = [] if self.settled or not self.ledger.entries else self.ledger.below(("",))
        if not numbers:
            return False
        root.phase, root.failure = phase, failure
        self._clear_deadline()
        self._begin_undo(root, "", numbers, self.ledger.lasting_below(("",)), whole=True)
        return True

    def _begin_undo(
        self, scope: ScopeFrame | None, path: str, numbers: list[int], lasting: list[str], *, whole: bool = False
    ) -> None:
        """Open the compensation of a scope (None: of a run that has ended) for these entries of the ledger.

        `lasting` are the paths of what happened there and cannot be undone.
        """
        frame = CompensationFrame(path + MARK, COMPENSATION, scope, UNDO_KEY, NULL)
        frame.whole = whole
        self.frames[frame.path] = frame
        if scope is not None:
            scope.children[frame.key] = frame
            scope.active += 1
        COMPENSATION.begin(self, frame, numbers, lasting)

    def _origin(self, frame: Frame) -> tuple[str, str, str] | None:
        """Where in the definition it is found what undoes a frame; None inside a compensation."""
        found: tuple[str, str, str] | None = None
        child, scope = frame, frame.parent
        while scope is not None:
            if isinstance(scope, CompensationFrame):
                return None
            if found is None and isinstance(scope, DynamicFrame):
                found = self._called(frame, child, scope.calls[child.key])
            child, scope = scope, scope.parent
        return found or ("", "", self.definition.place(self.definition.root, frame.node))

    def _called(self, frame: Frame, child: Frame, spec: CallSpec) -> tuple[str, str, str]:
        """The same for what a durable function called."""
        if spec.undo and child is frame:
            return f"{frame.path}/undo", spec.undo, ""
        self.definition.keep(child.path)
        return child.path, spec.shape, self.definition.place(child.node, frame.node)

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

    def _over(self) -> None:
        """The run has ended: it waits for nothing that concerns it as a whole."""
        self._clear_deadline()
        if self.gates:
            requested.withdraw(self)

    def _clear_deadline(self) -> None:
        if self.deadline:
            self.deadline = 0
            self.commands.append(ClearTimer(""))
