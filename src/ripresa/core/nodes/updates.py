"""`update`: takes an update, lets its body work out the answer, and answers it; `serving`: does so beside a body.

Law: one update at a time and in order; what was taken is answered before the flow around it ends. A body that fails
refuses its update, stops nothing, and has written nothing to the state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from pydantic_core import from_json, to_json
from typing_extensions import override

from ..events import Failure, UpdateAnswered, Write
from ..frames import FAILING, OPEN, Frame, ScopeFrame
from ..shared import ALL, MERGE
from ..values import NULL, Value, text_of
from .answer import UPDATES
from .node import Node, Scope
from .wait import Wait, WaitFrame

if TYPE_CHECKING:
    from ..state import RunState

WRITES_APART: Final = 10
"""The rules of the core from which on what answers an update writes to the state all or nothing."""

TAKEN = "taken"
"""The question who sent an update (its id), and why its value is refused, if it is."""

VALUE = "value"
"""The question what the value of an update is."""

GOES_ON, ENDS, ENDED = range(3)
"""Whether the body of `serving` goes on, has ended while an update is still being answered, or all has ended."""


class UpdateFrame(ScopeFrame):
    """An update under way: its id, how many were taken before it, and by when one is to come (0: at any time).

    `apart`: what its body writes counts when that has returned, and not at all when it fails.
    """

    __slots__ = ("apart", "id", "number", "until")
    FIELDS = (*ScopeFrame.FIELDS, ("id", "plain"), ("number", "plain"), ("until", "plain"), ("apart", "plain"))

    def __init__(self, *place: Any) -> None:
        super().__init__(*place)
        self.id = ""
        self.number = 0
        self.until = 0
        self.apart = False

    @property
    @override
    def forks(self) -> bool:
        return self.apart

    @property
    def is_free(self) -> bool:
        """Whether it waits for the next one."""
        return not self.question and all(child.key % 2 == 0 for child in self.children.values())


class Next(Wait):
    """Wait for the next update. One that was refused leaves the one after it what was left of the time."""

    @override
    def due(self, run: RunState, frame: WaitFrame) -> int:
        assert isinstance(frame.parent, UpdateFrame)
        return frame.parent.until or super().due(run, frame)

    @override
    def wait(self, run: RunState, frame: WaitFrame, due: int) -> None:
        assert isinstance(frame.parent, UpdateFrame)
        frame.parent.until = due
        super().wait(run, frame, due)


class TakeUpdate(Scope[UpdateFrame]):
    """Wait for an update, give its value to the body, and answer with what that returned.

    One that `lasts` takes the next then; else that is its result, and if none has come within `timeout` (in
    microseconds, 0 for none) it fails. The key of a wait is even, that of a body odd.
    """

    kind: ClassVar[str] = "update"
    frame_class: ClassVar[type[Frame]] = UpdateFrame

    def __init__(
        self, name: str, update: str, body: Node[Any], *, lasts: bool = False, timeout: int = 0, **types: Any
    ) -> None:
        super().__init__(name, **types)
        self.update = update
        self.wait = Next(update, UPDATES + update, timeout=timeout, output_type=body.input_type)
        self.body = body
        self.lasts = lasts

    @property
    @override
    def children(self) -> tuple[Node[Any], ...]:
        return (self.wait, self.body)

    @override
    def policy(self) -> dict[str, Any]:
        timeout = {"timeout": self.wait.timeout} if self.wait.timeout else {}
        return {"update": self.update, "lasts": self.lasts, **timeout}

    @override
    def expected(self) -> int:
        return 0 if self.lasts else self.body.expected()

    @override
    def child_node(self, run: RunState, frame: UpdateFrame, key: int, path: str) -> Node[Any]:
        return self.children[key % 2]

    @override
    def open(self, run: RunState, frame: UpdateFrame) -> None:
        frame.apart = run.core >= WRITES_APART
        run.spawn(frame, self.wait, f"{self.wait.name}[{frame.number}]", 2 * frame.number, NULL)

    @override
    def on_done(self, run: RunState, frame: UpdateFrame, key: int, value: Value) -> None:
        if key % 2 == 0:
            run.ask(frame, TAKEN, value)
            return
        if run.shared is not None and frame.apart:
            if run.shared.judges(frame):
                frame.result = value
                run.ask(frame, MERGE, b"%d" % ALL)
                return
            run.shared.join(run, frame)
        self._reply(run, frame, value)

    def merged(self, run: RunState, frame: UpdateFrame, writes: tuple[Write, ...]) -> None:
        """What the body wrote is valid with what the flow has meanwhile."""
        assert run.shared is not None
        run.shared.join(run, frame, writes)
        value, frame.result = frame.result, NULL
        self._reply(run, frame, value)

    @override
    def wound(self, run: RunState, frame: UpdateFrame) -> None:
        """What the body wrote and is not valid so refuses its update, as a body that fails."""
        failure = frame.failure
        if frame.question != MERGE or frame.phase != FAILING or run.shared is None or failure is None:
            super().wound(run, frame)
            return
        run.shared.deltas.pop(frame.path, None)
        frame.phase, frame.question, frame.failure, frame.result = OPEN, "", None, NULL
        self._answer(run, frame, to_json(failure.message), refused=True)
        self._next(run, frame)

    def _reply(self, run: RunState, frame: UpdateFrame, value: Value) -> None:
        self._answer(run, frame, value)
        if self.lasts:
            self._next(run, frame)
        else:
            run.done(frame, value)

    def answered(self, run: RunState, frame: UpdateFrame, question: str, answer: Value) -> None:
        """Who sent it and whether its value is one, then the value."""
        if question == VALUE:
            run.spawn(frame, self.body, f"{self.body.name}[{frame.number}]", 2 * frame.number + 1, answer)
            return
        frame.id, refused = from_json(text_of(answer))
        if refused:
            self._answer(run, frame, to_json(refused), refused=True)
            self._next(run, frame)
        else:
            run.ask(frame, VALUE, frame.about)

    @override
    def on_failed(self, run: RunState, frame: UpdateFrame, key: int, failure: Failure) -> None:
        if key % 2 == 0:
            run.abort(frame, failure)
            return
        run.drop(frame, key)
        self._answer(run, frame, to_json(failure.message), refused=True)
        self._next(run, frame)

    def _answer(self, run: RunState, frame: UpdateFrame, value: Value, *, refused: bool = False) -> None:
        run.consequences.append(UpdateAnswered(frame.path, self.update, frame.id, value, refused))

    def _next(self, run: RunState, frame: UpdateFrame) -> None:
        frame.number += 1
        if isinstance(frame.parent, ServingFrame) and frame.parent.stage != GOES_ON:
            run.done(frame, NULL)
        else:
            self.open(run, frame)


class ServingFrame(ScopeFrame):
    """Whether the body goes on, and what it returned."""

    __slots__ = ("output", "stage")
    FIELDS = (*ScopeFrame.FIELDS, ("stage", "plain"), ("output", "value"))

    def __init__(self, *place: Any) -> None:
        super().__init__(*place)
        self.begin()

    def begin(self) -> None:
        """The body has not ended."""
        self.stage = GOES_ON
        self.output: Value = NULL


class Serving(Scope[ServingFrame]):
    """The body's result is the scope's; updates are taken and answered while it goes on."""

    kind: ClassVar[str] = "serving"
    frame_class: ClassVar[type[Frame]] = ServingFrame

    def __init__(self, name: str, body: Node[Any], handlers: tuple[TakeUpdate, ...], **types: Any) -> None:
        super().__init__(name, **types)
        self.body = body
        self.handlers = handlers

    @property
    @override
    def children(self) -> tuple[Node[Any], ...]:
        return (self.body, *self.handlers)

    @override
    def open(self, run: RunState, frame: ServingFrame) -> None:
        frame.begin()
        for number, handler in enumerate(self.handlers, 1):
            run.spawn(frame, handler, handler.name, number, NULL)
        run.spawn_body(frame, self.body, frame.input)

    @override
    def on_done(self, run: RunState, frame: ServingFrame, key: int, value: Value) -> None:
        if key == 0:
            frame.stage, frame.output = ENDS, value
            for child in list(frame.children.values()):
                if isinstance(child, UpdateFrame) and child.is_free:
                    run.cancel(child)
        self._settle(run, frame)

    def on_cancelled(self, run: RunState, frame: ServingFrame, key: int) -> None:
        """A handler that waited has been told that there is nothing to wait for any more."""
        run.drop(frame, key)
        self._settle(run, frame)

    def _settle(self, run: RunState, frame: ServingFrame) -> None:
        if frame.stage == ENDS and frame.active == 0:
            frame.stage = ENDED
            run.done(frame, frame.output)

    @override
    def reopen(self, run: RunState, frame: ServingFrame) -> None:
        """A body that had returned has; what was being answered then is not answered any more."""
        if frame.stage == GOES_ON:
            run.reopen_children(frame)
            return
        for key in list(frame.children):
            run.drop(frame, key)
        frame.stage = ENDED
        run.done(frame, frame.output)
