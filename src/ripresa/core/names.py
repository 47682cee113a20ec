"""What a name may be: it stands in paths, where some characters have a meaning."""

from __future__ import annotations

NAME_SEPARATORS = "/[]()#?!:"
"""Characters that have a meaning in paths and cannot stand in a name."""


def check_name(name: object, what: str) -> str | None:
    """What is wrong with a name, or None."""
    if not isinstance(name, str) or not name.strip():
        return f"{what} is {name!r}, must be a text that is not empty"
    if name.isidentifier():  # as most are
        return None
    bad = sorted({char for char in name if char in NAME_SEPARATORS or not char.isprintable()})
    return f"{what} is {name!r}, must not contain {' '.join(map(repr, bad))}" if bad else None
