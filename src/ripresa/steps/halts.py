"""What tools ask people in the middle of a call: as questions that a run waits for, with the form that they ask for.

Law: a tool that asks has not ended its call and does not wait: the call comes to its questions, which are journaled;
when people have answered them the tool is called again with their answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, NotRequired, TypeAlias

from pydantic import Field
from typing_extensions import TypedDict

Action: TypeAlias = Literal["accept", "decline", "cancel"]


@dataclass(frozen=True, slots=True)
class Question:
    """One question: its text, and the JSON Schema of what is to be filled in; None where yes or no is all."""

    text: str
    schema: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What people answered to one question; nobody in time is `cancel`."""

    action: Action
    content: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Halt:
    """Where a call stopped to ask: questions by the tool's own keys, and what the tool has to be handed again."""

    questions: dict[str, Question]
    state: str | None = None
    more: dict[str, Any] = field(default_factory=dict[str, Any])
    """What the tool asked beside that, and was answered without people."""


@dataclass(frozen=True, slots=True)
class Replies:
    """What a call that stopped is made again with."""

    halt: Halt
    by_key: dict[str, Reply]


Resumable: TypeAlias = Callable[[dict[str, Any], Replies | None], Awaitable[Any]]
"""A tool that may ask: given its arguments, and answers if it has asked before, it gives its result or a `Halt`."""

_KINDS: Final[Mapping[str, Any]] = {"string": str, "integer": int, "number": float, "boolean": bool}
_BOUNDS: Final = {
    "minLength": "min_length",
    "maxLength": "max_length",
    "minimum": "ge",
    "maximum": "le",
    "minItems": "min_length",
    "maxItems": "max_length",
}

_with: Any = Annotated
_or_not: Any = NotRequired
_object: Any = TypedDict


def form_of(schema: Mapping[str, Any] | None) -> Any:
    """The type of what people fill in for a flat JSON Schema, as tools ask for it; None where there is nothing to."""
    schema = schema or {}
    required = schema.get("required") or ()
    fields: dict[str, Any] = {}
    properties: Mapping[str, Any] = schema.get("properties") or {}
    for name, each in properties.items():
        kind = _with[_kind_of(each), Field(**_told(each))]
        fields[name] = kind if name in required else _or_not[kind]
    return _object("Form", fields) if fields else None


def _kind_of(schema: Mapping[str, Any]) -> Any:
    """The type of one field: plain values, one of several, or some of several."""
    choices = schema.get("enum") or [each["const"] for each in schema.get("oneOf") or schema.get("anyOf") or ()]
    if choices:
        return Literal[tuple(choices)]
    if schema.get("type") == "array":
        return list[_kind_of(schema.get("items") or {})]  # type: ignore[misc]
    return _KINDS.get(str(schema.get("type")), str)


def _told(schema: Mapping[str, Any]) -> dict[str, Any]:
    """What is said about a field: its words, and what its value may be."""
    words = {name: schema[name] for name in ("title", "description") if name in schema}
    return {**words, **{ours: schema[theirs] for theirs, ours in _BOUNDS.items() if theirs in schema}}
