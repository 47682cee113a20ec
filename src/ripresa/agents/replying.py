"""People who answer what a tool asks in the middle of a call: approvals that a run waits for, and a call made again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar, cast

from typing_extensions import override

from ..authoring.call import Call, Pending
from ..authoring.encoding import decode, encode
from ..authoring.function import Workflow, workflow
from ..authoring.step import Step
from ..function_context import Context
from ..messages import Approval
from ..steps.halts import Halt, Question, Replies, Reply, form_of

A = TypeVar("A")
R = TypeVar("R")

Shown: TypeAlias = Mapping[str, Any]
"""What people are shown of a call."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call came to: its result as JSON text, or where it stopped to ask."""

    answer: str = ""
    halt: Halt | None = None


async def replied(ctx: Context, name: str, about: Shown, halt: Halt, options: Mapping[str, Any]) -> Replies:
    """What people answer to the questions of a call, who are shown what it is about, and the form."""
    return Replies(halt, {key: await _reply(ctx, name, about, each, options) for key, each in halt.questions.items()})


async def _reply(ctx: Context, name: str, about: Shown, question: Question, options: Mapping[str, Any]) -> Reply:
    form = form_of(question.schema)
    given = options if form is None else {**options, "form": form}
    decision: Approval[Any] = await ctx.approval(question.text, {**about, "form": question.schema}, name=name, **given)
    if not decision.granted:
        return Reply("decline" if decision.by else "cancel")
    return Reply("accept", None if question.schema is None else decision.form or {})


class AskingStep(Step[[A], R]):
    """A step whose tool may ask people: in flows and durable functions the run waits for them.

    Inside another step, and by hand, nobody is asked: the tool is told that they declined.
    """

    turn: Callable[[Any, Replies | None], Awaitable[Outcome]]
    kinds: tuple[Any, Any]
    """What it takes and what it gives."""
    _waiting: Workflow[[A], R] | None = None

    def ask_by(self, turn: Callable[[Any, Replies | None], Awaitable[Outcome]], kinds: tuple[Any, Any]) -> None:
        """Say how its tool is called, and what it takes and gives."""
        self.turn, self.kinds = turn, kinds

    @property
    @override
    def stand_in(self) -> Workflow[[A], R]:
        """The workflow that asks."""
        if self._waiting is None:
            self._waiting = self._workflow()
            self._waiting.stands_for = self
        return self._waiting

    @override
    def __call__(self, value: A, /) -> Call[R]:
        """See `Step`."""
        made = cast("Pending", super().__call__(value))
        return cast("Call[R]", Pending(self.stand_in, (value,), {}, made.perform))

    @override
    def _twin(self, options: Any) -> AskingStep[A, R]:
        twin = AskingStep[A, R](self.fn, options)
        twin.turn, twin.kinds, twin.recipe = self.turn, self.kinds, self.recipe
        return twin

    def _workflow(self) -> Workflow[[A], R]:
        kind, output = self.kinds
        turning = Step[[Any, Replies | None], Outcome](_typed(self.turn), replace(self.options, name="call"))

        async def run(ctx: Context, value: Any) -> Any:
            outcome = await turning(value, None)
            while outcome.halt is not None:
                replies = await replied(ctx, self.name, {"arguments": value}, outcome.halt, {})
                outcome = await turning(value, replies)
            return decode(outcome.answer.encode(), output)

        run.__annotations__ = {"ctx": Context, "value": kind, "return": output}
        return workflow(name=self.name)(run)


def _typed(turn: Callable[[Any, Replies | None], Awaitable[Outcome]]) -> Callable[..., Any]:
    async def call(value: Any, replies: Replies | None) -> Outcome:
        return await turn(value, replies)

    return call


def outcome_of(value: Any, output: Any) -> Outcome:
    """A result of this type, or where a call stopped, to be recorded."""
    return Outcome(halt=value) if isinstance(value, Halt) else Outcome(encode(value, output).decode())
