"""Addresses with variables in them: `https://host/pet/{petId}`, by simple string expansion (RFC 6570)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from .jq import Expression, Names, Plain, Template, Text, shown
from .problems import Bad

_HOLE: Final = re.compile(r"\{([^{}]+)\}")
_PLACE: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#]*", re.IGNORECASE)
"""An address as far as its host goes, or less."""

_IN_HOST: Final = re.compile(r"[A-Za-z0-9.-]*")
_FREE: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


@dataclass(frozen=True, slots=True)
class Uri(Template):
    """An address: its own text is expanded, what its expressions give is not."""

    parts: tuple[str | Expression, ...]

    def value(self, data: Any, names: Names) -> Any:
        """See `Template`."""
        pieces: list[tuple[str, bool]] = []
        for part in self.parts:
            pieces += expanded(part, data) if isinstance(part, str) else [(shown(part.value(data, names)), True)]
        return _joined(pieces)

    def expressions(self) -> list[Expression]:
        """See `Template`."""
        return [part for part in self.parts if isinstance(part, Expression)]


def uri_of(template: Template) -> Template:
    """The address that a text is; an expression as a whole stays what it is."""
    if isinstance(template, Plain) and isinstance(template.data, str):
        return Uri((template.data,))
    return Uri(template.parts) if isinstance(template, Text) else template


def expanded(text: str, data: Any) -> list[tuple[str, bool]]:
    """The pieces of a text with the fields of `data` in its holes, each with whether it was put in.

    Raises `Bad(expression)` for what cannot stand there.
    """
    fields: Mapping[str, Any] = cast("Mapping[str, Any]", data) if isinstance(data, Mapping) else {}

    def put(name: str) -> str:
        value, hole = fields.get(name), f"{{{name}}}"
        if isinstance(value, Mapping | list):
            raise Bad("expression", f"{hole} in the address {text!r} is no text, number, true, false or null")
        put_in = shown(value)
        if put_in in (".", ".."):
            raise Bad("expression", f"{hole} in the address {text!r} is {put_in!r}, which is no part of a path")
        return quoted(put_in)

    parts = _HOLE.split(text)
    return [(put(part), True) if place % 2 else (part, False) for place, part in enumerate(parts) if part]


def _joined(pieces: list[tuple[str, bool]]) -> str:
    """The address of these pieces. Raises `Bad(expression)` for what is put in and would name another host."""
    found = ""
    for (text, is_put), (after, _) in zip(pieces, [*pieces[1:], ("", False)], strict=True):
        if is_put and _PLACE.fullmatch(found) and not _keeps_host(found, text, after):
            raise Bad("expression", f"{text!r} after {found!r} would have another host called")
        found += text
    return found


def _keeps_host(before: str, text: str, after: str) -> bool:
    """Whether what is put into the host of an address, or behind it, leaves the rest of the host as it is written."""
    goes_on = after != "" and after[0] not in "/?#"
    if before.endswith("://") and not goes_on:
        return True  # the whole of it is put in
    if goes_on or before[-1] in ".:-/":
        return _IN_HOST.fullmatch(text) is not None
    return text == "" or text[0] in "/?#"


def quoted(text: str) -> str:
    """The text as a part of an address."""
    return "".join(char if char in _FREE else "".join(f"%{byte:02X}" for byte in char.encode()) for char in text)
