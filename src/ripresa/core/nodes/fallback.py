"""`fallback`: alternatives in order; the next is tried when the one before failed in a way that counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from ..events import Failure, FallbackTaken
from ..frames import ScopeFrame
from ..gates import Gate, gated
from ..values import Value
from .node import Node, Scope

if TYPE_CHECKING:
    from ..events import Intercepted
    from ..state import RunState


class Fallback(Scope[ScopeFrame]):
    """All alternatives are given the same input. `on` are qualified names of exception types; empty means any."""

    kind: ClassVar[str] = "fallback"
    forks: ClassVar[bool] = True

    def __init__(self, name: str, choices: tuple[Node[Any], ...], *, on: tuple[str, ...] = (), **types: Any) -> None:
        super().__init__(name, **types)
        self.choices = choices
        self.on = on

    @property
    @override
    def children(self) -> tuple[Node[Any], ...]:
        return self.choices

    @override
    def policy(self) -> dict[str, Any]:
        return {"on": list(self.on)}

    @override
    def expected(self) -> int:
        return self.choices[0].expected()

    @override
    def open(self, run: RunState, frame: ScopeFrame) -> None:
        run.spawn(frame, self.choices[0], self.choices[0].name, 0, frame.input)

    @override
    def on_done(self, run: RunState, frame: ScopeFrame, key: int, value: Value) -> None:
        if run.shared is not None:
            run.shared.join(run, frame)
        run.done(frame, value)

    @override
    def on_failed(self, run: RunState, frame: ScopeFrame, key: int, failure: Failure) -> None:
        following = key + 1
        if following == len(self.choices) or not self._counts(failure):
            run.abort(frame, failure)
            return
        gate = Gate("fallback", frame.input, key, self.choices[following].name, failure)
        if not run.points or not gated(run, frame, gate):
            self._take(run, frame, key, following, failure)

    @override
    def intercepted(self, run: RunState, frame: ScopeFrame, gate: Gate, fact: Intercepted) -> None:
        name = fact.detail if fact.answer == "redirect" else gate.detail
        following = next(index for index, choice in enumerate(self.choices) if choice.name == name)
        assert gate.failure is not None
        self._take(run, frame, gate.number, following, gate.failure)

    def _take(self, run: RunState, frame: ScopeFrame, key: int, following: int, failure: Failure) -> None:
        frame.others = (*frame.others, failure)
        run.drop(frame, key)
        choice = self.choices[following]
        expected = choice.expected() if run.core > 2 else 0
        run.consequences.append(FallbackTaken(frame.path, choice.name, failure, expected))
        run.spawn(frame, choice, choice.name, following, frame.input)

    def _counts(self, failure: Failure) -> bool:
        return not self.on or any(name in failure.types for name in self.on)
