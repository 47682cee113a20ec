"""`checked`: rules that a body's result must keep. What each of them says is an event; a broken one may fail it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic_core import from_json
from typing_extensions import override

from ..events import RulesChecked
from ..frames import ScopeFrame
from ..parts import Failure, ValidationResult
from ..values import Value, text_of
from .node import Node, Scope

if TYPE_CHECKING:
    from ..state import RunState


class Checked(Scope[ScopeFrame]):
    """The body's result is the node's, unless a rule of the severity `error` is broken. `rules`: name and severity."""

    kind: ClassVar[str] = "checked"

    def __init__(
        self, name: str, body: Node[Any], *, rules: tuple[tuple[str, str], ...], code: Any, **types: Any
    ) -> None:
        super().__init__(name, code=code, **types)
        self.body = body
        self.rules = rules

    @property
    @override
    def children(self) -> tuple[Node[Any], ...]:
        return (self.body,)

    @override
    def policy(self) -> dict[str, Any]:
        return {"rules": [list(rule) for rule in self.rules]}

    @override
    def open(self, run: RunState, frame: ScopeFrame) -> None:
        run.spawn_body(frame, self.body, frame.input)

    @override
    def on_done(self, run: RunState, frame: ScopeFrame, key: int, value: Value) -> None:
        run.ask(frame, "rules", value)

    def answered(self, run: RunState, frame: ScopeFrame, question: str, answer: Value) -> None:
        """What each rule says: a list of name, severity, whether it is kept, and why not."""
        results = tuple(ValidationResult(*item) for item in from_json(text_of(answer)))
        run.consequences.append(RulesChecked(frame.path, results))
        broken = [result for result in results if result.severity == "error" and not result.passed]
        if not broken:
            run.done(frame, frame.about)
            return
        frame.question = question  # a reopened run is checked again: what was missing may be there by then
        message = "; ".join(f"{result.rule}: {result.message}" for result in broken)
        run.abort(frame, Failure("rule_failed", message, path=frame.path))
