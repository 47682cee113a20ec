"""`router`: one of several nodes at a time; what it returns picks the next, until the answer is that it is the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from pydantic_core import from_json
from typing_extensions import override

from ..events import Failure, TransitionTaken
from ..frames import Frame, ScopeFrame
from ..gates import Gate, gated
from ..values import NULL, Pick, Value, text_of
from .node import Node, Scope

if TYPE_CHECKING:
    from ..events import Intercepted
    from ..state import RunState

END: Final = -1
"""The answer that the value is the router's result."""

FINISH: Final = "end"
"""The name of that choice."""

HANDED: Final = 1
"""Where in a handoff the value stands that it hands on."""


class RouterFrame(ScopeFrame):
    """Which arm is active (-1: none yet), how many were begun and may be, and what the last one returned.

    `pending` is where to go on, which hooks are asked about: the question, the next arm, and why.
    """

    __slots__ = ("arm", "count", "limit", "pending", "value")
    FIELDS = (
        *ScopeFrame.FIELDS,
        ("arm", "plain"),
        ("count", "plain"),
        ("limit", "plain"),
        ("value", "value"),
        ("pending", "plain list"),
    )

    def __init__(self, *place: Any) -> None:
        super().__init__(*place)
        self.arm = -1
        self.count = 0
        self.limit = 0
        self.value: Value = NULL
        self.pending: list[Any] = []


class Router(Scope[RouterFrame]):
    """One of `arms` is active at a time. At most `at_most` are begun in a row; a reopened run may begin as many again.

    Which one is first is asked (`enter`, about the router's input), or it is the first of them if `handoff`. What an
    arm returned is asked about together with the index of the arm (`next`): the answer is a list of the index of the
    next arm (-1: the value is the result) and the reason. `handoff`: the next is given the item at `HANDED` of the
    value, else the whole of it. `condition` names the choice for readers.
    """

    kind: ClassVar[str] = "router"
    frame_class: ClassVar[type[Frame]] = RouterFrame

    def __init__(
        self,
        name: str,
        arms: tuple[Node[Any], ...],
        *,
        condition: str,
        at_most: int,
        handoff: bool = False,
        **types: Any,
    ) -> None:
        super().__init__(name, **types)
        self.arms = arms
        self.condition = condition
        self.at_most = at_most
        self.handoff = handoff

    @property
    @override
    def children(self) -> tuple[Node[Any], ...]:
        return self.arms

    @override
    def policy(self) -> dict[str, Any]:
        return {"condition": self.condition, "at_most": self.at_most, "handoff": self.handoff}

    @override
    def expected(self) -> int:
        return 0

    @override
    def child_node(self, run: RunState, frame: RouterFrame, key: int, path: str) -> Node[Any]:
        return self.arms[frame.arm]

    @override
    def open(self, run: RunState, frame: RouterFrame) -> None:
        frame.limit = self.at_most
        frame.value = frame.input
        if self.handoff:
            self._go(run, frame, 0, frame.input, "start")
        else:
            run.ask(frame, "enter", frame.input)

    def answered(self, run: RunState, frame: RouterFrame, question: str, answer: Value) -> None:
        """Where to go on (`enter`, `next`), and why."""
        found: tuple[int, str] = from_json(text_of(answer))
        arm, reason = found
        if run.points and gated(run, frame, Gate("branch", frame.value, arm, self.name_of(arm))):
            frame.pending = [question, arm, reason]
        else:
            self._decided(run, frame, question, arm, reason)

    @override
    def intercepted(self, run: RunState, frame: RouterFrame, gate: Gate, fact: Intercepted) -> None:
        question, arm, reason = frame.pending
        if fact.answer == "skip":
            run.done(frame, fact.value)
        elif fact.answer == "redirect":
            names = [self.name_of(index) for index in range(END, len(self.arms))]
            handed = self.handed(frame.value, arm, question)
            self._decided(run, frame, question, names.index(fact.detail) + END, "hook", handed)
        else:
            self._decided(run, frame, question, arm, reason)

    def handed(self, value: Value, arm: int, question: str = "next") -> Value:
        """What the next arm is given where this one was chosen: a result of the router is handed on as it is."""
        return Pick(value, HANDED) if self.handoff and question == "next" and arm != END else value

    def name_of(self, arm: int) -> str:
        """What a choice is called."""
        return FINISH if arm == END else self.arms[arm].name

    def _decided(
        self, run: RunState, frame: RouterFrame, question: str, arm: int, reason: str, handed: Value | None = None
    ) -> None:
        if arm == END:
            self._note(run, frame, "", reason)
            run.done(frame, frame.value)
        elif frame.count == frame.limit:
            frame.question = question
            frame.limit += self.at_most
            self._note(run, frame, "", "too_many_transitions")
            message = f"{frame.count} of its nodes have run, at most {self.at_most} may; {self.arms[arm].name} is next"
            run.abort(frame, Failure("too_many_transitions", message, path=frame.path))
        else:
            self._go(run, frame, arm, self.handed(frame.value, arm, question) if handed is None else handed, reason)

    @override
    def on_done(self, run: RunState, frame: RouterFrame, key: int, value: Value) -> None:
        frame.value = value
        run.ask(frame, "next", (b"%d" % frame.arm, value))

    def _go(self, run: RunState, frame: RouterFrame, arm: int, value: Value, reason: str) -> None:
        node = self.arms[arm]
        self._note(run, frame, node.name, reason, node.expected())
        frame.arm = arm
        frame.count += 1
        run.spawn(frame, node, f"{node.name}[{frame.count - 1}]", frame.count - 1, value)

    def _note(self, run: RunState, frame: RouterFrame, target: str, reason: str, expected: int = 0) -> None:
        source = "" if frame.arm < 0 else self.arms[frame.arm].name
        run.consequences.append(TransitionTaken(frame.path, frame.count, source, target, reason, expected))
