"""Prompts as templates: `"Sum up {text} for {reader.name}"`.

Law: a template is written by the author of the workflow and is read once, when the step is made. What is put in is
data: it is never read as a template again, and a name reaches fields and items of data only, never attributes of
objects.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from string import Formatter
from typing import Any, get_type_hints

from pydantic import BaseModel
from pydantic_core import from_json
from typing_extensions import is_typeddict

from ..authoring.encoding import encode
from ..errors import InvalidConfig, RipresaError


class Template:
    """A text with places for values: `{name}`, `{name.field}`, `{name.0}`; `{{` and `}}` stand for braces.

    Raises `InvalidConfig` for a text that is no template.
    """

    def __init__(self, text: str, *, option: str = "prompt") -> None:
        self.text = text
        self.parts: list[tuple[str, tuple[str, ...]]] = []
        try:
            pieces = list(Formatter().parse(text))
        except ValueError as error:
            raise InvalidConfig(
                f"{option} is no template: {error}", op="llm", hint="write {{ and }} for braces"
            ) from None
        bad: list[str] = []
        for literal, place, spec, conversion in pieces:
            path = () if place is None else tuple(place.split("."))
            if place is not None and (spec or conversion or not all(map(_is_name, path))):
                bad.append("{" + place + (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "") + "}")
            self.parts.append((literal, path))
        if bad:
            raise InvalidConfig(
                f"{option} has {', '.join(bad)}: a place is a name, with fields after dots",
                op="llm",
                hint="write {{ and }} for braces",
            )

    @property
    def names(self) -> tuple[tuple[str, ...], ...]:
        """The places, each with its fields."""
        return tuple(path for _, path in self.parts if path)

    def filled(self, values: Mapping[str, Any]) -> str:
        """The text with these values: texts as they are, everything else as JSON. Raises `RipresaError(no_case)`."""
        return "".join(literal + (_text(_found(path, values)) if path else "") for literal, path in self.parts)


def _is_name(part: str) -> bool:
    return (part.isidentifier() and not part.startswith("_")) or part.isdecimal()


def _found(path: tuple[str, ...], values: Mapping[str, Any]) -> Any:
    """The value at a path: plain data from the second part on."""
    if path[0] not in values:
        raise _missing(path, values)
    found = values[path[0]]
    if len(path) == 1:
        return found
    data = _plain(found)
    for part in path[1:]:
        if isinstance(data, dict) and part in data:
            data = data[part]  # pyright: ignore[reportUnknownVariableType]
        elif isinstance(data, list) and part.isdecimal() and int(part) < len(data):  # pyright: ignore[reportUnknownArgumentType]
            data = data[int(part)]  # pyright: ignore[reportUnknownVariableType]
        else:
            raise _missing(path, values)
    return data  # pyright: ignore[reportUnknownVariableType]


def _plain(value: Any) -> Any:
    return from_json(encode(value))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(_plain(value), ensure_ascii=False)


def _missing(path: tuple[str, ...], values: Mapping[str, Any]) -> RipresaError:
    there = ", ".join(values) or "nothing"
    return RipresaError(
        f"there is nothing to put in for {{{'.'.join(path)}}}",
        code="invalid_input",
        op="prompt",
        hint=f"given: {there}",
    )


def fields_of(kind: Any) -> tuple[str, ...] | None:
    """The names of the fields of a model, dataclass or TypedDict; None for anything else."""
    if not isinstance(kind, type):
        return None
    if dataclasses.is_dataclass(kind):
        return tuple(each.name for each in dataclasses.fields(kind))
    if issubclass(kind, BaseModel):
        return tuple(kind.model_fields)
    return tuple(get_type_hints(kind)) if is_typeddict(kind) else None  # pyright: ignore[reportUnknownArgumentType]


def unknown_places(template: Template, known: Iterable[str], option: str) -> str | None:
    """A complaint about places of a template that nothing will be put in for, or None."""
    names = tuple(known)
    wrong = sorted({"{" + ".".join(path) + "}" for path in template.names if path[0] not in names})
    if not wrong:
        return None
    return f"{option} has {', '.join(wrong)}, must be of {', '.join(names) or 'nothing'}"
