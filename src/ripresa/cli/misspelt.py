"""Keys of an input that its type does not know, and that pydantic would pass over without a word."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import ValidationError

from ..authoring.document.source import is_list, is_object
from ..authoring.encoding import adapter, decode
from ..errors import InvalidValue

_UNKNOWN: Final = ("extra_forbidden", "unexpected_keyword_argument")


def decode_strictly(text: bytes, kind: Any, where: str) -> Any:
    """Read an input by its type.

    Raises `InvalidValue(invalid_input)` if it does not fit, or has a key that the type does not know and drops: one of
    a class that does not say itself what becomes of such keys (`extra` of its config).
    """
    value = decode(text, kind, where=where)
    if kind is not Any and not isinstance(value, str | int | float | None):
        wrong = list(_dropped(text, kind, value))
        if wrong:
            raise InvalidValue("; ".join(wrong), where=where)
    return value


def _dropped(text: bytes, kind: Any, value: Any) -> Iterator[str]:
    try:
        adapter(kind).validator.validate_json(text, extra="forbid")
    except ValidationError as error:
        for item in error.errors(include_url=False, include_context=False, include_input=False):
            if item["type"] in _UNKNOWN:
                *around, key = item["loc"]
                found = _below(value, around)
                if found is not None and isinstance(key, str):
                    yield from _told(found, around, key)


def _below(value: Any, around: list[int | str]) -> Any:
    """What stands at a place of an input; None if that cannot be said."""
    found = value
    for part in around:
        if is_list(found) and isinstance(part, int):
            found = found[part]
        elif is_object(found) and part in found:
            found = found[str(part)]
        elif str(part) in (names := _names(found)):
            found = getattr(found, names[str(part)])
        elif part != type(found).__name__:  # in a union the class stands there as well
            return None
    return found


def _told(found: Any, around: list[int | str], key: str) -> Iterator[str]:
    if is_object(found):
        names = list(found)
    elif _config(found).get("extra") is None:
        names = list(_names(found))
    else:
        return
    if key not in names:
        near = get_close_matches(key, names, 1)
        hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(names) or 'none'}"
        yield f"{'.'.join(map(str, [*around, key]))} is no key here; {hint}"


def _config(found: Any) -> dict[str, Any]:
    name = "model_config" if isinstance(found, BaseModel) else "__pydantic_config__"
    return dict(getattr(found, name, {}))


def _names(found: Any) -> dict[str, str]:
    """The keys by which an object is written, with the names of its fields."""
    if isinstance(found, BaseModel):
        return {field.alias or name: name for name, field in type(found).model_fields.items()}
    if is_dataclass(found):
        return {field.name: field.name for field in fields(found)}
    return {}
