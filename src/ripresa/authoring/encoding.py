"""Values cross the border here: encoded once, and decoded by the annotated type, anew for every consumer."""

from __future__ import annotations

from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, Protocol, Union, get_args, get_origin

from pydantic_core import PydanticSerializationError, ValidationError, from_json, to_json

from ..core.values import Value
from ..errors import InvalidValue


class Reader(Protocol):
    """Reads the values of a run: large ones are looked up, lists are split."""

    def read(self, value: Value, kind: Any) -> Any:
        """The value decoded by the annotation `kind`, a new object each time."""
        ...

    def items(self, value: Value) -> list[Value]:
        """The items of a list value, undecoded. Raises `InvalidValue` if it is no list."""
        ...

    def outcome(self, step: str) -> tuple[str, Value] | None:
        """How a step that a condition looks at ended last, and what it returned; None if it has not ended."""
        ...


@lru_cache(maxsize=4096)
def _adapter(kind: Any) -> Any:
    from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter

    try:
        return TypeAdapter(kind)
    except (PydanticSchemaGenerationError, PydanticUserError) as error:
        raise InvalidValue(
            f"values of type {kind!r} cannot be written as JSON",
            code="not_encodable",
            op="encode",
            hint="use a pydantic model, a dataclass, a TypedDict or plain data",
        ) from error


@lru_cache(maxsize=4096)
def _known_validator(kind: Any) -> Any:
    return adapter(kind).validator


def _validator(kind: Any) -> Any:
    """What validates by an annotation, made once."""
    try:
        return _known_validator(kind)
    except TypeError:  # an unhashable annotation
        return adapter(kind).validator


def adapter(kind: Any) -> Any:
    """Pydantic's `TypeAdapter` of an annotation, made once.

    Raises `InvalidValue(not_encodable)` for a type that pydantic has no schema for.
    """
    try:
        return _adapter(kind)
    except TypeError:  # an unhashable annotation, such as one with a list among its metadata
        return _adapter.__wrapped__(kind)


def encode(value: object, kind: Any = Any, *, where: str = "", code: str = "invalid_output") -> bytes:
    """Validate a value by an annotation and write it as JSON text on one line.

    Raises `InvalidValue` with `code` if it does not fit, `not_encodable` if it cannot be written.
    """
    if kind is not Any:
        value = _validated(value, kind, where, code)
    text = _write(value, kind, where)
    if not isinstance(kind, type) and _is_choice(kind) and type(decode(text, kind, where=where)) is not type(value):
        raise InvalidValue(
            f"a {type(value).__name__} reads back as another type of {kind!r}",
            code="not_encodable",
            where=where,
            hint="give the types of the union a field that tells them apart, such as kind: Literal[...]",
        )
    return text


def decode(text: bytes, kind: Any = Any, *, where: str = "", code: str = "invalid_input") -> Any:
    """Read JSON text by an annotation. Raises `InvalidValue` with `code` if it does not fit."""
    if kind is Any:
        return from_json(text)
    try:
        return _validator(kind).validate_json(text)
    except ValidationError as error:
        raise InvalidValue(_explain(error), code=code, where=where) from error


def _validated(value: object, kind: Any, where: str, code: str) -> object:
    try:
        return _validator(kind).validate_python(value)
    except ValidationError as error:
        raise InvalidValue(_explain(error), code=code, where=where) from error


def _write(value: object, kind: Any, where: str) -> bytes:
    try:
        return to_json(value, round_trip=True, inf_nan_mode="constants")
    except (PydanticSerializationError, ValueError) as first:
        try:
            written: bytes = adapter(kind).dump_json(value, round_trip=True, warnings="error")
        except (PydanticSerializationError, ValueError):
            raise InvalidValue(
                f"a {type(value).__name__} cannot be written as JSON: {first}",
                code="not_encodable",
                where=where,
                hint="return plain data, a dataclass or a pydantic model; bytes that are not text as base64",
            ) from first
        return written


@lru_cache(maxsize=4096)
def _choice(kind: Any) -> bool:
    if get_origin(kind) not in (Union, UnionType):
        return False
    members = [member for member in get_args(kind) if member is not NoneType]
    return len(members) > 1


def _is_choice(kind: Any) -> bool:
    try:
        return _choice(kind)
    except TypeError:
        return _choice.__wrapped__(kind)


def _explain(error: Any) -> str:
    problems: list[str] = []
    for item in error.errors(include_url=False, include_context=False):
        place = ".".join(map(str, item["loc"]))
        given = repr(item["input"])
        shown = given if len(given) <= 80 else given[:77] + "..."
        problems.append(f"{place + ': ' if place else ''}{item['msg']} (given: {shown})")
    return "; ".join(problems)
