"""`loop`: one body again and again, with an index and an accumulator, until something ends it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from ..events import IterationStarted, LoopEnded
from ..frames import Frame, ScopeFrame
from ..gates import Gate, gated, reached
from ..values import Pick, Value, text_of
from .node import Node, Scope

if TYPE_CHECKING:
    from ..events import Intercepted
    from ..state import RunState


class LoopFrame(ScopeFrame):
    """Where the loop is: iterations begun, how many there can be (-1: no end in sight), and the accumulator."""

    __slots__ = ("accumulator", "count", "index")
    FIELDS = (*ScopeFrame.FIELDS, ("index", "plain"), ("count", "plain"), ("accumulator", "value"))

    def __init__(self, *place: Any) -> None:
        super().__init__(*place)
        self.index = 0
        self.count = -1
        self.accumulator: Value = self.input

    @override
    def begin_with(self, input: Value) -> None:
        self.input = self.accumulator = input


@dataclass(frozen=True, slots=True)
class Over:
    """What a loop goes over.

    `items`: the list that is its input, beginning with the accumulator `start`; `range`: the numbers from `first` to
    before `last` by `step`; `condition`: nothing, it goes on while its questions say so. A body over items or numbers
    is given (accumulator, item), and the index as a third if `indexed`; else the accumulator alone.
    """

    kind: str
    start: bytes = b"null"
    first: int = 0
    last: int = 0
    step: int = 1
    indexed: bool = False

    def plain(self) -> list[Any]:
        """As plain data, for the definition's hash."""
        return [self.kind, self.start.decode(), self.first, self.last, self.step, self.indexed]


class Loop(Scope[LoopFrame]):
    """The final accumulator is the loop's result.

    `before` and `after` say whether user code is asked, before an iteration whether to go on (`while`) and after one
    whether to stop (`until`). `at_most` bounds the iterations; 0 means that only the collection does.
    """

    kind: ClassVar[str] = "loop"
    frame_class: ClassVar[type[Frame]] = LoopFrame

    def __init__(
        self,
        name: str,
        body: Node[Any],
        *,
        over: Over,
        before: bool = False,
        after: bool = False,
        at_most: int = 0,
        **types: Any,
    ) -> None:
        super().__init__(name, **types)
        self.body = body
        self.over = over
        self.before = before
        self.after = after
        self.at_most = at_most

    @property
    @override
    def children(self) -> tuple[Node[Any], ...]:
        return (self.body,)

    @override
    def policy(self) -> dict[str, Any]:
        return {"over": self.over.plain(), "before": self.before, "after": self.after, "at_most": self.at_most}

    @override
    def expected(self) -> int:
        return 0

    @override
    def child_node(self, run: RunState, frame: LoopFrame, key: int, path: str) -> Node[Any]:
        return self.body

    @override
    def open(self, run: RunState, frame: LoopFrame) -> None:
        if not run.points or not self._gated(run, frame, "loop_start", frame.input):
            self._open(run, frame)

    def _open(self, run: RunState, frame: LoopFrame) -> None:
        if self.over.kind == "items":
            frame.accumulator = self.over.start
            run.ask(frame, "count", frame.input)
            return
        if self.over.kind == "range":
            frame.count = len(range(self.over.first, self.over.last, self.over.step))
        self._next(run, frame)

    def answered(self, run: RunState, frame: LoopFrame, question: str, answer: Value) -> None:
        """How many items there are (`count`), whether to go on (`while`), whether to stop (`until`)."""
        if question == "count":
            frame.count = int(text_of(answer))
            self._next(run, frame)
        elif question == "while":
            if answer == b"true":
                self._iterate(run, frame)
            else:
                self._end(run, frame, "while")
        elif answer == b"true":
            self._end(run, frame, "until")
        else:
            self._next(run, frame)

    @override
    def on_done(self, run: RunState, frame: LoopFrame, key: int, value: Value) -> None:
        frame.accumulator = value
        if not run.points or not self._gated(run, frame, "iterated", value, key):
            self._iterated(run, frame)

    def _iterated(self, run: RunState, frame: LoopFrame) -> None:
        if self.after:
            run.ask(frame, "until", frame.accumulator)
        else:
            self._next(run, frame)

    @override
    def intercepted(self, run: RunState, frame: LoopFrame, gate: Gate, fact: Intercepted) -> None:
        if gate.point == "loop_start" and fact.answer == "skip":
            run.done(frame, fact.value)
            return
        if gate.point == "loop_start" and fact.answer == "replace":
            frame.begin_with(fact.value)
        elif fact.answer == "replace" or (fact.answer in ("skip", "redirect") and fact.number):
            frame.accumulator = fact.value
        match gate.point:
            case "loop_start":
                self._open(run, frame)
            case "loop_end":
                run.done(frame, frame.accumulator)
            case _ if fact.answer == "redirect":
                self._end(run, frame, "hook")
            case "iteration" if fact.answer == "skip":
                frame.index += 1
                self._iterated(run, frame)
            case "iteration":
                self._begin(run, frame)
            case _:
                self._iterated(run, frame)

    def _gated(self, run: RunState, frame: LoopFrame, point: str, value: Value, index: int = 0) -> bool:
        if point in ("loop_start", "iterated"):
            reached(run, frame, point, self.body.name, index)
        return gated(run, frame, Gate(point, value, index))

    def _next(self, run: RunState, frame: LoopFrame) -> None:
        if frame.index == frame.count:
            self._end(run, frame, "exhausted" if frame.count else "empty")
        elif self.at_most and frame.index == self.at_most:
            self._end(run, frame, "max_iterations")
        elif self.before:
            run.ask(frame, "while", frame.accumulator)
        else:
            self._iterate(run, frame)

    def _iterate(self, run: RunState, frame: LoopFrame) -> None:
        if not run.points or not self._gated(run, frame, "iteration", frame.accumulator, frame.index):
            self._begin(run, frame)

    def _begin(self, run: RunState, frame: LoopFrame) -> None:
        index = frame.index
        frame.index += 1
        run.consequences.append(IterationStarted(frame.path, index, self.body.expected()))
        run.spawn(frame, self.body, f"{self.body.name}[{index}]", index, self._argument(frame, index))

    def _argument(self, frame: LoopFrame, index: int) -> Value:
        over = self.over
        if over.kind == "condition":
            return frame.accumulator
        item: Value = Pick(frame.input, index) if over.kind == "items" else b"%d" % (over.first + index * over.step)
        if over.indexed:
            return (frame.accumulator, item, b"%d" % index)
        return (frame.accumulator, item)

    def _end(self, run: RunState, frame: LoopFrame, reason: str) -> None:
        run.consequences.append(LoopEnded(frame.path, frame.index, reason))
        if not run.points or not self._gated(run, frame, "loop_end", frame.accumulator, frame.index):
            run.done(frame, frame.accumulator)
