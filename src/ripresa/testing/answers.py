"""What a scripted model says: text, calls of tools, structured values, and everything that goes wrong with models."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias
from zlib import crc32


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A model wants a tool called with these arguments; text stands for arguments that are not even JSON."""

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict[str, Any])
    id: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answers: `text`, or `uses` of tools, or a `value` in the form that the request asks for.

    `tokens` are those of the prompt and of the answer; by default the words are counted.
    """

    text: str = ""
    uses: tuple[ToolUse, ...] = ()
    value: Any = None
    tokens: tuple[int, int] | None = None
    finish: Literal["", "stop", "length", "tool_calls", "content_filter"] = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong instead of an answer.

    `status` is that of a refusal, with `retry_after` in seconds. `malformed` sends what is no JSON, `dropped` breaks
    the connection off (of a stream in the middle).
    """

    kind: Literal["status", "malformed", "dropped"] = "status"
    status: int = 500
    message: str = "scripted"
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Slow:
    """An answer that takes so many seconds to come."""

    seconds: float
    answer: Answer | str = "late"


@dataclass(frozen=True, slots=True)
class Received:
    """A request that was made: its path, its headers (lower case) and its body."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]

    @property
    def model(self) -> str:
        """The model that was asked for."""
        return str(self.body.get("model", ""))

    def option(self, name: str) -> dict[str, Any]:
        """An object of the body; an empty one if it has none of this name."""
        return dict(self.body.get(name) or {})

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages, as they were sent."""
        return list(self.body.get("messages", ()))

    @property
    def prompt(self) -> str:
        """The text of the last message of the user."""
        return next((text_of(item) for item in reversed(self.messages) if item.get("role") == "user"), "")

    @property
    def system(self) -> str:
        """The text of the messages of the system."""
        return "\n".join(text_of(item) for item in self.messages if item.get("role") in ("system", "developer"))

    @property
    def tools(self) -> list[str]:
        """The names of the tools that the model was offered."""
        return [str(tool["function"]["name"]) for tool in self.body.get("tools") or ()]

    @property
    def results(self) -> list[str]:
        """What tools that were called have returned, in order."""
        return [text_of(item) for item in self.messages if item.get("role") == "tool"]


def text_of(message: Mapping[str, Any]) -> str:
    """The text of a message, whether it is one text or a list of parts."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text", "")) for part in content)


Reply: TypeAlias = Answer | Fault | Slow | str
"""What is scripted for one request; a text stands for `Answer(text)`."""

Script: TypeAlias = Reply | Callable[[Received], Reply]
"""A reply, or a function that makes one of the request."""


def use(name: str, /, **arguments: Any) -> Answer:
    """The model calls one tool: `use("search", query="tides")`."""
    return Answer(uses=(ToolUse(name, arguments),))


def value(content: Any, /) -> Answer:
    """The model answers with a structured value, in the form that the request asks for."""
    return Answer(value=content)


def next_reply(script: list[Script], request: Received) -> Reply:
    """Take what is scripted for a request; a refusal that says so where nothing is left."""
    if not script:
        return Fault(status=400, message=f"no answer is scripted for this request to {request.model!r}")
    head = script.pop(0)
    return head(request) if callable(head) else head


def vector_of(text: str, size: int = 64) -> list[float]:
    """A vector of a text for tests: which words it has, so that texts of the same words are near each other."""
    found = [0.0] * size
    for word in re.findall(r"\w+", text.lower()):
        found[crc32(word.encode()) % size] += 1.0
    return found if any(found) else [1.0] * size
