"""Values as the core sees them: encoded once at the border, never looked into.

A value is JSON text (`bytes`), a reference to a large one that is stored by content (`b"@" + digest`), a tuple of
values (which reads as a JSON array without being copied into one), or a `Pick`: one item of a list that stays whole.
The core moves values about; only the border decodes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TypeAlias, Union

Value: TypeAlias = Union[bytes, "tuple[Value, ...]", "Pick"]

NULL: bytes = b"null"
LARGE = 4096
"""Bytes above which a value is stored by content instead of inline."""


@dataclass(frozen=True, slots=True)
class Pick:
    """The item at `index` of a list value."""

    source: Value
    index: int


def reference(digest: str) -> bytes:
    """The value that stands for the large one with this digest."""
    return b"@" + digest.encode()


def digest_of(value: bytes) -> str | None:
    """The digest that a reference names; None for a value that is inline."""
    return value[1:].decode() if value[:1] == b"@" else None


def by_content(text: bytes) -> tuple[bytes, str]:
    """The reference and the digest of a value that is to be stored by content."""
    digest = sha256(text).hexdigest()
    return reference(digest), digest


def is_inline(value: Value) -> bool:
    """Whether the value can be written as JSON text without reading anything else."""
    if isinstance(value, bytes):
        return value[:1] != b"@"
    return isinstance(value, tuple) and all(map(is_inline, value))


def text_of(value: Value) -> bytes:
    """The JSON text of an inline value (see `is_inline`)."""
    if isinstance(value, bytes):
        return value
    assert isinstance(value, tuple)
    return b"[" + b",".join(map(text_of, value)) + b"]"
