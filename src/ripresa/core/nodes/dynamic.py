"""`dynamic`: a durable function. The core holds the ordered outcomes of its calls; the border steps the coroutine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from typing_extensions import override

from ..commands import Resume
from ..events import Asked, CallSpec, Failure, Raised, Restarted, Returned, Write
from ..frames import CANCELLING, ENDED, OPEN, WINDING, Frame, ScopeFrame
from ..values import NULL, Value, text_of
from .answer import Answer
from .approval import Approval, terms_from
from .call import Call
from .child import ChildResult, Dispatch
from .compensation import COMPENSATION, CompensationFrame
from .delay import Delay
from .node import Node, Scope
from .sides import FORK, JOIN, is_failed_join, node_of
from .undo import Undo
from .wait import Wait

if TYPE_CHECKING:
    from ..state import RunState


CALLS: Final = "!calls below "
"""What stands before a prefix in the name of the patch that says: steps below it journaled what can be undone."""

PATCH: Final = "patch"
"""The kind of call that only says: from here on the function goes by this change of its code."""

OFF: Final = "!off "
"""What stands before the rest of a patch that says: after so many outcomes this request was refused, for what."""

AGAIN: Final = "again"
"""The shape of a patch after which the function is asked once more, for it has ended."""

HORIZON: Final = 64
"""A reopened run can take back so many outcomes: failed calls, and those given up since, are kept as long."""


_ELSEWHERE: Final = Undo(Call("undo"))
"""Marks a call whose undo is found by the shape in its `CallSpec`."""


class Outcome(NamedTuple):
    """How call number `key` ended, when, and how many calls had been asked for by then; key 0 is the cancellation."""

    key: int
    at: int
    asked: int
    value: Value
    failure: Failure | None = None


class TakenBack(NamedTuple):
    """Where a function goes on when the run is reopened: so many calls asked for, outcomes told of those known."""

    asked: int
    delivered: int
    outcomes: list[Outcome]
    gone: set[int]

    def lets_go(self, key: int) -> bool:
        """Whether the call of this number is forgotten: it was asked for later, or how it ended is known."""
        return key > self.asked or key in self.gone


class DynamicFrame(ScopeFrame):
    """Outcomes in the order in which the function learns of them, and the calls that are under way or kept.

    `delivered` of the outcomes were told to it before its last answer; `fatal` is the index of the one it died of;
    `dropped` are the calls that it gave up, with the number of outcomes that it had been told by then; `patches` are
    the changes of its code that it goes by; `restarts` is how often it began anew, which it is about to do if `again`;
    `undone` are its calls that undid something, with the number of calls before the first that was undone.
    """

    __slots__ = (
        "again",
        "asked",
        "began",
        "calls",
        "delivered",
        "dropped",
        "fatal",
        "finished",
        "outcomes",
        "patches",
        "restarts",
        "undone",
    )
    FIELDS = (
        *ScopeFrame.FIELDS,
        ("began", "plain"),
        ("asked", "plain"),
        ("delivered", "plain"),
        ("finished", "plain"),
        ("fatal", "plain"),
        ("dropped", "pairs"),
        ("calls", "calls by key"),
        ("outcomes", "outcomes"),
        ("patches", "plain list"),
        ("restarts", "plain"),
        ("again", "plain"),
        ("undone", "pairs"),
    )

    def __init__(self, *place: Any) -> None:
        super().__init__(*place)
        self.began = 0
        self.asked = 0
        self.delivered = 0
        self.finished = False
        self.fatal = -1
        self.dropped: dict[int, int] = {}
        self.calls: dict[int, CallSpec] = {}
        self.outcomes: list[Outcome] = []
        self.patches: list[str] = []
        self.restarts = 0
        self.again = False
        self.undone: dict[int, int] = {}


class Dynamic(Scope[DynamicFrame]):
    """A durable function, known by its workflow's name and declared version."""

    kind: ClassVar[str] = "dynamic"
    forks: ClassVar[bool] = True
    frame_class: ClassVar[type[Frame]] = DynamicFrame

    def __init__(self, name: str, *, workflow: str, version: str, code: Any = None, **types: Any) -> None:
        super().__init__(name, code=code, **types)
        self.workflow = workflow
        self.version = version

    @override
    def policy(self) -> dict[str, Any]:
        return {"workflow": self.workflow, "version": self.version}

    @override
    def child_node(self, run: RunState, frame: DynamicFrame, key: int, path: str) -> Node[Any]:
        return self._node(run, frame, frame.calls[key])

    @override
    def open(self, run: RunState, frame: DynamicFrame) -> None:
        frame.began = run.at
        if run.shared is not None:
            run.shared.enter(frame)
        self._resume(run, frame)

    def asked(self, run: RunState, frame: Any, fact: Asked) -> None:
        """The function asks for calls, which begin, and gives others up, which are stopped."""
        self._write(run, frame, fact.writes)
        frame.fatal = self._latest(frame) if any(map(is_failed_join, fact.calls)) else -1
        self._answered(run, frame)
        patches = [spec for spec in fact.calls if spec.kind == PATCH]
        calls = fact.calls[len(patches) :]
        for spec in calls:
            frame.calls[spec.key] = spec
            frame.asked = spec.key  # of all before the first begins: one may end as it begins
        for spec in calls:
            if run.shared is not None:
                run.shared.begin(frame, spec.segment, spec.writes)
            run.spawn(frame, self._node(run, frame, spec), spec.segment, spec.key, spec.input)
        for key in fact.dropped:
            if key in frame.children and frame.children[key].phase not in ENDED:
                frame.dropped[key] = frame.delivered
                run.cancel(frame.children[key])
        if patches:
            frame.patches = [*frame.patches, *(spec.segment for spec in patches)]
            if patches[-1].shape == AGAIN:
                self._resume(run, frame)

    def restarted(self, run: RunState, frame: Any, fact: Restarted) -> None:
        """The function begins anew, as soon as calls that nobody awaited have been stopped."""
        self._write(run, frame, fact.writes)
        run.generation += 1
        frame.again = True
        self._finished(frame)
        run.finish(frame, fact.input)

    def returned(self, run: RunState, frame: Any, fact: Returned) -> None:
        """The function returned; calls that nobody awaited are stopped."""
        self._write(run, frame, fact.writes)
        if frame.phase == OPEN:
            self._finished(frame)
            run.finish(frame, fact.output)
        else:
            self._wound_up(run, frame)

    def raised(self, run: RunState, frame: Any, fact: Raised) -> None:
        """The function raised; calls that nobody awaited are stopped."""
        self._write(run, frame, fact.writes)
        if frame.phase == OPEN:
            found = self._fatal(frame, fact.failure)
            frame.fatal = found if found >= 0 else frame.fatal
            self._finished(frame)
            run.abort(frame, fact.failure)
        else:
            self._wound_up(run, frame)

    @override
    def on_done(self, run: RunState, frame: DynamicFrame, key: int, value: Value) -> None:
        del frame.calls[key]
        outcome = Outcome(key, run.at, frame.asked, value)
        if frame.dropped.pop(key, None) is None:
            self._outcome(run, frame, outcome)
        else:
            frame.outcomes.append(outcome)  # the function has no ear for it, unless it is taken back
            self._go_on_undoing(run, frame)

    @override
    def on_failed(self, run: RunState, frame: DynamicFrame, key: int, failure: Failure) -> None:
        if key not in frame.dropped:
            self._outcome(run, frame, Outcome(key, run.at, frame.asked, NULL, failure))
        else:
            self._go_on_undoing(run, frame)

    def on_cancelled(self, run: RunState, frame: DynamicFrame, key: int) -> None:
        """A call that the function gave up has ended; it is kept in case this is taken back."""
        self._go_on_undoing(run, frame)

    def wound(self, run: RunState, frame: DynamicFrame) -> None:
        """Throw the cancellation into the function once, so that its `finally` blocks run; then end."""
        if frame.again:
            self._begin_again(run, frame)
            return
        if frame.finished:
            run.close(frame)
            return
        frame.shielded = True
        frame.question = ""
        self._outcome(run, frame, Outcome(0, run.at, frame.asked, NULL))

    def reopen(self, run: RunState, frame: DynamicFrame) -> None:
        """Take back what the function died of and all that it did afterwards; go on from there."""
        frame.finished = False
        frame.question = ""
        self._take_back(run, frame)
        frame.fatal = -1
        run.reopen_children(frame)
        if not frame.question and (frame.delivered < len(frame.outcomes) or not frame.active):
            self._resume(run, frame)

    def _begin_again(self, run: RunState, frame: DynamicFrame) -> None:
        """Forget everything but the input; unless what the function stands in is being stopped meanwhile."""
        frame.again = False
        if _is_stopping(run, frame):
            frame.phase = CANCELLING
            run.close(frame)
            return
        for key in list(frame.children):
            run.drop(frame, key)
        frame.calls, frame.dropped, frame.outcomes, frame.patches = {}, {}, [], []
        frame.asked, frame.delivered, frame.fatal, frame.finished = 0, 0, -1, False
        frame.undone = {}
        frame.input, frame.result, frame.phase = frame.result, NULL, OPEN
        frame.began = run.at
        frame.restarts += 1
        if run.shared is not None:
            run.shared.enter(frame)
        self._resume(run, frame)

    def _write(self, run: RunState, frame: DynamicFrame, writes: tuple[Write, ...]) -> None:
        if writes and run.shared is not None:
            run.shared.write_slice(run, frame, frame.asked, writes)

    def _wound_up(self, run: RunState, frame: DynamicFrame) -> None:
        """The function has ended, and with it the winding up."""
        self._finished(frame)
        frame.shielded = False
        run.stop_children(frame)
        run.wind(frame)

    def _finished(self, frame: DynamicFrame) -> None:
        frame.question = ""
        frame.finished = True

    def _fatal(self, frame: DynamicFrame, failure: Failure) -> int:
        """The index of the outcome that the function died of, -1 if it died of its own.

        It is the failure that the function raised or that caused it, else the first one told since its last answer.
        """
        chain: list[Failure] = []
        cause: Failure | None = failure
        while cause is not None:
            chain.append(cause)
            cause = cause.cause
        told = [index for index, outcome in enumerate(frame.outcomes) if outcome.failure and outcome.key in frame.calls]
        raised = [index for index in told if frame.outcomes[index].failure in chain]
        return raised[0] if raised else self._latest(frame)

    def _latest(self, frame: DynamicFrame) -> int:
        """The index of the first failure told since the function's last answer, -1 if there is none."""
        told = enumerate(frame.outcomes[frame.delivered :], frame.delivered)
        return next((index for index, outcome in told if outcome.failure and outcome.key in frame.calls), -1)

    def goes_back_to(self, frame: DynamicFrame) -> tuple[int, int]:
        """How many calls it had asked for before it failed; and before what was undone since, if anything was.

        It asks anew for all calls after the second when the run is reopened.
        """
        return self._goes_back(frame, self._died_of(frame))

    def _goes_back(self, frame: DynamicFrame, index: int) -> tuple[int, int]:
        asked = frame.outcomes[index].asked if index < len(frame.outcomes) else frame.asked
        return asked, min((since for key, since in frame.undone.items() if key > asked), default=asked)

    def _died_of(self, frame: DynamicFrame) -> int:
        """The index of the cancellation, if one was thrown in; else of the fatal outcome; else the end."""
        for index, outcome in enumerate(frame.outcomes):
            if outcome.key == 0:
                return index
        return frame.fatal if frame.fatal >= 0 else len(frame.outcomes)

    def taken_back(self, frame: DynamicFrame) -> TakenBack:
        """What is left without the outcome that it died of and what followed; the slice before is told again."""
        index = self._died_of(frame)
        asked, since = self._goes_back(frame, index)
        later = frame.outcomes[index + 1 :]
        if since < asked:
            index = next((i for i, outcome in enumerate(frame.outcomes[:index]) if outcome.asked > since), index)
            later = frame.outcomes[index:]
            asked = frame.outcomes[index - 1].asked if index else 0
        earlier = frame.outcomes[:index]
        delivered = index
        while delivered and earlier[delivered - 1].asked == asked:
            delivered -= 1
        for outcome in later:
            if outcome.key <= asked and outcome.key not in frame.calls:
                earlier.append(outcome._replace(asked=asked))
        gone = {outcome.key for outcome in earlier} | {key for key, told in frame.dropped.items() if told <= index}
        return TakenBack(asked, delivered, earlier, gone)

    def _take_back(self, run: RunState, frame: DynamicFrame) -> None:
        """Forget the outcome that it died of and what followed from it; tell the function the slice before it again."""
        back = self.taken_back(frame)
        frame.undone = {key: since for key, since in frame.undone.items() if key <= back.asked}
        frame.asked, frame.delivered, frame.outcomes = back.asked, back.delivered, back.outcomes
        kept = back.delivered if back.outcomes or back.asked else -1
        frame.patches = [name for name in frame.patches if _refused_after(name) <= kept]
        if run.shared is not None:
            run.shared.take_back(run, frame, back.asked)
        for key in [key for key in frame.children if back.lets_go(key)]:
            self._let_go(run, frame, key)
        frame.dropped = {}

    def _go_on_undoing(self, run: RunState, frame: DynamicFrame) -> None:
        """A call that was being stopped has ended: what waited for that may begin to be undone."""
        for child in list(frame.children.values()):
            if isinstance(child, CompensationFrame) and child.waits:
                COMPENSATION.go_on(run, child)

    def _outcome(self, run: RunState, frame: DynamicFrame, outcome: Outcome) -> None:
        frame.outcomes.append(outcome)
        if not frame.question:
            self._resume(run, frame)

    def _resume(self, run: RunState, frame: DynamicFrame) -> None:
        frame.question = "resume"
        run.commands.append(Resume(frame.path, frame.delivered))

    def _answered(self, run: RunState, frame: DynamicFrame) -> None:
        """The function lives on after all it has been told, and what lies behind the horizon will not be taken back."""
        before, horizon = max(frame.delivered - HORIZON, 0), len(frame.outcomes) - HORIZON
        frame.question = ""
        frame.delivered = len(frame.outcomes)
        if frame.shielded:
            return
        for outcome in frame.outcomes[before : max(horizon, 0)]:
            if outcome.key in frame.calls and outcome.key not in frame.dropped:
                self._let_go(run, frame, outcome.key)
        for key in [key for key, told in frame.dropped.items() if told <= horizon]:
            if frame.children[key].phase in ENDED:
                self._let_go(run, frame, key)
                del frame.dropped[key]

    def _let_go(self, run: RunState, frame: DynamicFrame, key: int) -> None:
        run.drop(frame, key)
        del frame.calls[key]

    def _node(self, run: RunState, frame: DynamicFrame, spec: CallSpec) -> Node[Any]:
        if spec.kind == "sleep":
            return Delay(spec.segment, int(text_of(spec.input)))
        if spec.kind == "undo":
            return COMPENSATION
        if spec.kind == "step":
            return Call(spec.segment, undo=_ELSEWHERE if spec.undo else None)
        if spec.kind == "approval":
            return Approval(spec.segment, terms_from(spec.shape))
        if spec.kind in ("answer", "refuse"):
            return Answer(spec.segment, spec.shape, refused=spec.kind == "refuse")
        if spec.kind == "dispatch":
            return Dispatch(spec.segment, spec.shape)
        if spec.kind == "child":
            return ChildResult(spec.segment, spec.shape)
        if spec.kind in (FORK, JOIN):
            return node_of(spec)
        if spec.kind == "wait":
            return Wait(spec.segment, spec.shape, timeout=int(text_of(spec.input)))
        return run.definition.flow(frame.prefix + spec.segment, spec.shape)


def _refused_after(patch: str) -> int:
    """After how many outcomes what a patch says was refused; -1 for one that says something else."""
    return int(patch.removeprefix(OFF).partition(".")[0]) if patch.startswith(OFF) else -1


def _is_stopping(run: RunState, frame: Frame) -> bool:
    scope = frame.parent
    while scope is not None:
        if scope.shielded:
            return False
        if scope.phase in WINDING:
            return True
        scope = scope.parent
    return run.status == "cancelling"
