"""What is said to a language model and what it answers, as plain data: the same for every provider, and journaled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model asks for a tool to be called. `arguments` is JSON text, as the model wrote it: it may be wrong."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation.

    `role` is `user`, `model`, or `tool` for what a tool returned to the call of this `id`. `calls` are the tools that
    a model asks for; `raw` is what else its provider wants to be given back, as JSON text.
    """

    role: Literal["user", "model", "tool"]
    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    id: str = ""
    name: str = ""
    raw: str = ""


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as a model is told about it; `schema` is the JSON Schema of its arguments."""

    name: str
    description: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """What a model is asked. `output` is the form of a structured answer, which is given like the call of a tool."""

    model: str
    messages: tuple[Message, ...]
    system: str = ""
    tools: tuple[ToolSpec, ...] = ()
    output: ToolSpec | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    stream: bool = False


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """What a model answers, and what it cost: money in dollars, None where the price is not known.

    `finish` says why it ended: `stop`, `length`, `tool_call`, `content_filter` or `error`.
    """

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    finish: str = "stop"
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None
    raw: str = ""

    @property
    def tokens(self) -> int:
        """The tokens of question and answer."""
        return self.input_tokens + self.output_tokens

    @property
    def message(self) -> Message:
        """The answer as a message of the conversation."""
        return Message("model", self.text, self.calls, raw=self.raw)


Write: TypeAlias = Callable[[str], None]
"""Is given text piece by piece, as a model writes it."""


class Model(Protocol):
    """A provider of answers: what `App(models={"name": ...})` may hold besides names."""

    async def answer(self, request: ModelRequest, write: Write) -> ModelAnswer:
        """Answer a request; tell the text to `write` as it comes if the request wants to be streamed.

        Raises `ModelError`.
        """
        ...

    def price(self, request: ModelRequest, input_tokens: int, output_tokens: int) -> float | None:
        """What so many tokens cost in dollars; None if that is not known."""
        ...
