"""Updates in a durable function: the next one, and how it is answered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from .core.nodes.answer import UPDATES
from .errors import InvalidValue, RipresaError
from .function_context import Awaited
from .messages import Update
from .requested import WaitFor

if TYPE_CHECKING:
    from .function_context import Context

A = TypeVar("A")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class AnswerUpdate:
    """Request: answer an update with a value of this type, or refuse it with the value as the reason."""

    name: str
    id: str
    type: Any
    value: object
    refused: bool


@dataclass(frozen=True, slots=True)
class ReadText:
    """Request: the value that a JSON text is of a type; it takes no time."""

    text: bytes
    type: Any


class Answered(NamedTuple):
    """An update that is answered: its name and id."""

    shape: str
    output_type: Any = None


@dataclass(frozen=True, slots=True)
class Sent:
    """An update as it travels: its id, who sends it, and its value as JSON text."""

    id: str
    value: str
    by: str = ""


class UpdateRequest(Generic[A, R]):
    """An update that came: `value` is of its type, `by` a claim of who sent it. It is answered once."""

    def __init__(self, update: Update[A, R], sent: Sent, value: A) -> None:
        self.value = value
        self.id = sent.id
        self.by = sent.by
        self._update = update
        self._is_answered = False

    async def answer(self, value: R, /) -> None:
        """Answer it; recorded on return. Raises `InvalidValue` for an answer of another type, `invalid_state` again."""
        await self._answer(self._update.answer, value, refused=False)

    async def refuse(self, reason: str, /) -> None:
        """Refuse it: whoever sent it is told why; recorded on return. Raises `invalid_state` if it was answered."""
        await self._answer(str, reason, refused=True)

    async def _answer(self, kind: Any, value: object, *, refused: bool) -> None:
        if self._is_answered:
            raise RipresaError(
                f"this {self._update.name!r} has been answered",
                code="invalid_state",
                op="refuse" if refused else "answer",
            )
        await Awaited(AnswerUpdate(self._update.name, self.id, kind, value, refused))
        self._is_answered = True


async def next_update(ctx: Context[Any], update: Update[A, R], microseconds: int) -> UpdateRequest[A, R]:
    """See `Context.next_update`. What came before its type was known, and is of another, is refused here."""
    until = ctx.now() + timedelta(microseconds=microseconds)
    while True:
        sent: Sent = await Awaited(WaitFor(UPDATES + update.name, Sent, microseconds, update.type))
        try:
            value: A = await Awaited(ReadText(sent.value.encode(), update.type))
        except InvalidValue as error:
            await Awaited(AnswerUpdate(update.name, sent.id, str, error.message, True))
        else:
            return UpdateRequest(update, sent, value)
        if microseconds:
            microseconds = max((until - ctx.now()) // timedelta(microseconds=1), 1)
