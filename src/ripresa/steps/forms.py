"""Structured answers: the form that a model is asked for, and reading what it gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..authoring.encoding import adapter, decode, encode
from ..errors import InvalidValue
from .conversation import ModelAnswer, ToolSpec

OUTPUT: Final = "final_result"
"""The name under which a model gives a structured answer, like the call of a tool."""


class Form:
    """The form of answers of a type. What is no object in JSON is asked for as the field `value` of one.

    Raises `InvalidValue(not_encodable)` for a type that has no form.
    """

    def __init__(self, kind: Any) -> None:
        self.kind = kind
        schema: dict[str, Any] = adapter(kind).json_schema()
        self._wrapped = schema.get("type") != "object"
        self.schema: Mapping[str, Any] = _wrap(schema) if self._wrapped else schema

    @property
    def spec(self) -> ToolSpec:
        """The form as a model is told about it."""
        return ToolSpec(OUTPUT, "The final answer. Call this, once, when the answer is known.", self.schema)

    def read(self, answer: ModelAnswer) -> Any:
        """The value that an answer gives. Raises `InvalidValue(invalid_model_answer)` that says what is wrong."""
        text = next((call.arguments for call in answer.calls if call.name == OUTPUT), answer.text)
        if not text.strip():
            raise InvalidValue("there is no answer", code="invalid_model_answer", op="llm")
        try:
            if not self._wrapped:
                return decode(text.encode(), self.kind, code="invalid_model_answer")
            fields = decode(text.encode(), dict[str, Any], code="invalid_model_answer")
            return decode(encode(fields.get("value")), self.kind, code="invalid_model_answer")
        except ValueError as error:
            raise InvalidValue(f"it is no JSON: {error}", code="invalid_model_answer", op="llm") from None


def _wrap(schema: dict[str, Any]) -> dict[str, Any]:
    inner = dict(schema)
    shared = inner.pop("$defs", None)
    whole = {"type": "object", "properties": {"value": inner}, "required": ["value"]}
    return whole if shared is None else {**whole, "$defs": shared}
