"""Addresses with variables in them: `https://host/pet/{petId}`, by simple string expansion (RFC 6570)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from .jq import Expression, Names, Plain, Template, Text, shown
from .problems import Bad

_HOLE: Final = re.compile(r"\{([^{}]+)\}")
_FREE: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


@dataclass(frozen=True, slots=True)
class Uri(Template):
    """An address: its own text is expanded, what its expressions give is not."""

    parts: tuple[str | Expression, ...]

    def value(self, data: Any, names: Names) -> Any:
        """See `Template`."""
        return "".join(
            expanded(part, data) if isinstance(part, str) else shown(part.value(data, names)) for part in self.parts
        )

    def expressions(self) -> list[Expression]:
        """See `Template`."""
        return [part for part in self.parts if isinstance(part, Expression)]


def uri_of(template: Template) -> Template:
    """The address that a text is; an expression as a whole stays what it is."""
    if isinstance(template, Plain) and isinstance(template.data, str):
        return Uri((template.data,))
    return Uri(template.parts) if isinstance(template, Text) else template


def expanded(text: str, data: Any) -> str:
    """The text with the fields of `data` in its holes. Raises `Bad(expression)` for what cannot stand there."""
    fields: Mapping[str, Any] = cast("Mapping[str, Any]", data) if isinstance(data, Mapping) else {}

    def put(hole: re.Match[str]) -> str:
        value = fields.get(hole[1])
        if isinstance(value, Mapping | list):
            raise Bad("expression", f"{hole[0]} in the address {text!r} is no text, number, true, false or null")
        put_in = shown(value)
        if put_in in (".", ".."):
            raise Bad("expression", f"{hole[0]} in the address {text!r} is {put_in!r}, which is no part of a path")
        return quoted(put_in)

    return _HOLE.sub(put, text)


def quoted(text: str) -> str:
    """The text as a part of an address."""
    return "".join(char if char in _FREE else "".join(f"%{byte:02X}" for byte in char.encode()) for char in text)
