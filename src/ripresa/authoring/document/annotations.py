"""Types as documents write them: `string`, `list[integer]`, `string | null`, `package.module:Class`; and back."""

from __future__ import annotations

import re
from collections.abc import Callable
from inspect import isclass
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Union, cast, get_args, get_origin

from ...errors import InvalidConfig
from ..fit import union
from .near import nearest

NAMES: Final[dict[str, Any]] = {
    "any": Any,
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "null": NoneType,
    "object": dict[str, Any],
    "array": list[Any],
    "list": list,
    "dict": dict,
    "tuple": tuple,
    "bytes": bytes,
}
"""The names of types that are nowhere imported from."""

_DEEPEST: Final = 100
_WORD: Final = re.compile(r"\s*([^\[\],|:]+\.py:[A-Za-z_][\w.]*|[A-Za-z_][\w.]*(?::[A-Za-z_][\w.]*)?|\.\.\.|[\[\],|])")


def kind_of(text: object, find: Callable[[str], object]) -> Any:
    """The type that a text names. Raises `InvalidConfig(invalid_type)`, or what `find` raises."""
    words = _words(text)
    if words.count("[") > _DEEPEST:
        raise _bad(text)
    kind = _union(words, find, str(text))
    if words:
        raise _bad(text)
    return kind


def _words(text: object) -> list[str]:
    if not isinstance(text, str) or not text.strip():
        raise _bad(text)
    found: list[str] = []
    at = 0
    while at < len(text.rstrip()):
        word = _WORD.match(text, at)
        if word is None:
            raise _bad(text)
        found.append(word[1])
        at = word.end()
    return found


def _union(words: list[str], find: Callable[[str], object], text: str) -> Any:
    kinds = [_kind(words, find, text)]
    while words and words[0] == "|":
        words.pop(0)
        kinds.append(_kind(words, find, text))
    return kinds[0] if len(kinds) == 1 else union(kinds)


def _kind(words: list[str], find: Callable[[str], object], text: str) -> Any:
    name = words.pop(0) if words else ""
    if name == "...":
        return Ellipsis
    origin: Any = cast("Any", NAMES.get(name))
    if origin is None:
        if ":" not in name:
            raise _bad(text)
        origin = cast("Any", find(name))
        if not isclass(origin) and get_origin(origin) is None:
            raise InvalidConfig(f"{name} is {origin!r}, which is no type", code="invalid_type", op="document")
    if not words or words[0] != "[":
        return origin
    generic: Any = origin
    arguments = _arguments(words, find, text)
    try:
        return generic[arguments]
    except TypeError:  # it takes none, or not so many
        raise _bad(text) from None


def _arguments(words: list[str], find: Callable[[str], object], text: str) -> tuple[Any, ...]:
    """What stands in brackets; each argument is led in by the opening one or a comma."""
    found: list[Any] = []
    while words and words.pop(0) in ("[", ","):
        found.append(_union(words, find, text))
        if words[:1] not in ([","], ["]"]):
            raise _bad(text)
    return tuple(found)


def _bad(text: object) -> InvalidConfig:
    known, near = ", ".join(NAMES), nearest(text, NAMES)
    meant = f"did you mean {near}? else " if near else ""
    return InvalidConfig(
        f"{text!r} is no type: {meant}write {known}, list[...], a | b, package.module:Class or file.py:Class",
        code="invalid_type",
        op="document",
    )


def text_of(kind: Any, place: Callable[[object], str]) -> str:
    """How a document writes a type; `place` gives the target of a class. Raises what that raises."""
    for name, known in NAMES.items():
        if kind is known or (get_origin(kind) is not None and kind == known):
            return name
    if kind is None:
        return "null"
    if kind is Ellipsis:
        return "..."
    origin: Any = get_origin(kind)
    if origin is Annotated:
        return text_of(get_args(kind)[0], place)
    if origin in (Union, UnionType):
        return " | ".join(text_of(member, place) for member in get_args(kind))
    if origin is None:
        return place(kind)
    inner = ", ".join(text_of(arg, place) for arg in get_args(kind))
    return f"{text_of(origin, place)}[{inner}]"
