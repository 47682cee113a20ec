"""`dynamic`: a durable function. The core holds the ordered outcomes of its calls; the border steps the coroutine."""

from __future__ import annotations


from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from ..commands import Resume
from ..events import CallSpec, Failure
from ..frames import CANCELLING, ENDED, FAILING, JOINING, Frame, ScopeFrame
from ..values import NULL, Value, text_of
from .call import Call
from .delay import Delay
from .node import Node, Scope

if TYPE_CHECKING:
    from ..state import RunState


class Outcome(NamedTuple):
    """How call number `key` ended, when, and how many calls had been asked for by then; key 0 is the cancellation."""

    key: int
    at: int
    asked: int
    value: Value
    failure: Failure | None = None


class DynamicFrame(ScopeFrame):
    """Outcomes in the order in which the function learns of them, and the calls that are under way."""

    __slots__ = ("asked", "began", "calls", "delivered", "dropped", "finished", "outcomes")
    FIELDS = (
        *ScopeFrame.FIELDS,
        ("began", "plain"),
        ("asked", "plain"),
        ("delivered", "plain"),
        ("finished", "plain"),
        ("dropped", "plain list"),
        ("calls", "calls"),
        ("outcomes", "outcomes"),
    )

    def __init__(self, *place: Any) -> None:
        super().__init__(*place)
        self.began = 0
        self.asked = 0
        self.delivered = 0
        self.finished = False
        self.dropped: list[int] = []
        self.calls: dict[int, CallSpec] = {}
        self.outcomes: list[Outcome] = []


class Dynamic(Scope[DynamicFrame]):
    """A durable function, known by its workflow's name and declared version."""

    kind: ClassVar[str] = "dynamic"
    frame_class: ClassVar[type[Frame]] = DynamicFrame

    def __init__(self, name: str, *, workflow: str, version: str, code: Any = None, **types: Any) -> None:
        super().__init__(name, code=code, **types)
        self.workflow = workflow
        self.version = version

    def policy(self) -> dict[str, Any]:
        return {"workflow": self.workflow, "version": self.version}

    def child_node(self, run: RunState, frame: DynamicFrame, key: int, path: str) -> Node[Any]:
        return self._node(run, frame.calls[key])

    def open(self, run: RunState, frame: DynamicFrame) -> None:
        frame.began = run.at
        self._resume(run, frame)

    def asked(self, run: RunState, frame: Any, calls: tuple[CallSpec, ...], dropped: tuple[int, ...]) -> None:
        """The function asks for calls, which begin, and gives others up, which are stopped."""
        frame.question = ""
        self._let_go(run, frame)
        for spec in calls:
            frame.calls[spec.key] = spec
            frame.asked = spec.key
            run.spawn(frame, self._node(run, spec), spec.segment, spec.key, spec.input)
        for key in dropped:
            if key in frame.children:
                frame.dropped.append(key)
                run.cancel(frame.children[key])
        self._continue(run, frame)

    def returned(self, run: RunState, frame: Any, output: Value) -> None:
        """The function returned; calls that nobody awaited are stopped."""
        if not self._wound_up(run, frame):
            run.finish(frame, output)

    def raised(self, run: RunState, frame: Any, failure: Failure) -> None:
        """The function raised; calls that nobody awaited are stopped."""
        if not self._wound_up(run, frame):
            run.abort(frame, failure)

    def on_done(self, run: RunState, frame: DynamicFrame, key: int, value: Value) -> None:
        if key in frame.dropped:
            frame.dropped.remove(key)
            frame.calls.pop(key, None)
        else:
            self._outcome(run, frame, Outcome(key, run.at, frame.asked, value))

    def on_failed(self, run: RunState, frame: DynamicFrame, key: int, failure: Failure) -> None:
        if key in frame.dropped:
            self.on_cancelled(run, frame, key)
        else:
            self._outcome(run, frame, Outcome(key, run.at, frame.asked, NULL, failure))

    def on_cancelled(self, run: RunState, frame: DynamicFrame, key: int) -> None:
        """A call that the function gave up has ended."""
        frame.dropped.remove(key)

    def wound(self, run: RunState, frame: DynamicFrame) -> None:
        """Throw the cancellation into the function once, so that its `finally` blocks run; then end."""
        if frame.finished or frame.phase == JOINING:
            run.close(frame)
            return
        frame.shielded = True
        frame.question = ""
        self._outcome(run, frame, Outcome(0, run.at, frame.asked, NULL))

    def reopen(self, run: RunState, frame: DynamicFrame) -> None:
        """Take back the outcome that the function died of, and what it did afterwards; go on from there."""
        frame.finished = False
        frame.outcomes = [outcome for outcome in frame.outcomes if outcome.key != 0]
        frame.dropped = []
        fatal = self._fatal(frame)
        if fatal is None:
            frame.delivered = len(frame.outcomes)
            self._resume(run, frame)
        else:
            self._take_back(run, frame, fatal)
        ended = [child for child in frame.children.values() if child.phase in ENDED]
        frame.active += len(ended)
        for child in ended:
            run.reopen(child)

    def _wound_up(self, run: RunState, frame: DynamicFrame) -> bool:
        """Note that the function has ended; if that was the end of winding up, close."""
        frame.question = ""
        frame.finished = True
        frame.shielded = False
        if frame.phase not in (CANCELLING, FAILING):
            return False
        run.stop_children(frame)
        run.wind(frame)
        return True

    def _fatal(self, frame: DynamicFrame) -> int | None:
        for index in reversed(range(len(frame.outcomes))):
            if frame.outcomes[index].failure is not None and frame.outcomes[index].key in frame.children:
                return index
        return None

    def _take_back(self, run: RunState, frame: DynamicFrame, index: int) -> None:
        fatal = frame.outcomes[index]
        later = [outcome for outcome in frame.outcomes[index + 1 :] if outcome.key <= fatal.asked]
        frame.outcomes = frame.outcomes[:index]
        for key in [key for key in frame.children if key > fatal.asked]:
            run.drop(frame, key)
        frame.calls = {key: spec for key, spec in frame.calls.items() if key <= fatal.asked}
        frame.asked = fatal.asked
        frame.delivered = len(frame.outcomes)
        frame.outcomes += [outcome._replace(asked=fatal.asked) for outcome in later]
        self._continue(run, frame)

    def _outcome(self, run: RunState, frame: DynamicFrame, outcome: Outcome) -> None:
        frame.outcomes.append(outcome)
        if outcome.failure is None:
            frame.calls.pop(outcome.key, None)
        if not frame.question:
            self._resume(run, frame)

    def _continue(self, run: RunState, frame: DynamicFrame) -> None:
        if frame.delivered < len(frame.outcomes):
            self._resume(run, frame)

    def _resume(self, run: RunState, frame: DynamicFrame) -> None:
        frame.question = "resume"
        run.commands.append(Resume(frame.path, frame.delivered))
        frame.delivered = len(frame.outcomes)

    def _let_go(self, run: RunState, frame: DynamicFrame) -> None:
        """The function lives on after the failures it has been told: a reopened run need not come back to them."""
        for key in [key for key, child in frame.children.items() if child.phase in ENDED and key not in frame.dropped]:
            run.drop(frame, key)
            frame.calls.pop(key, None)

    def _node(self, run: RunState, spec: CallSpec) -> Node[Any]:
        if spec.kind == "sleep":
            return Delay(spec.segment, int(text_of(spec.input)))
        if spec.kind == "step":
            return Call(spec.segment)
        return run.definition.flow(spec.shape)

