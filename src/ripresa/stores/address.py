"""From the address of a store to the store: the one place that knows all adapters and imports none before use."""

from __future__ import annotations

from ..errors import StoreError
from ..ports import Store

KNOWN = "'memory:', 'sqlite:PATH' or a path that ends in .db"
_LATER = ("postgresql:", "postgres:", "temporal:")


def open_store(url: str, durability: str = "full") -> Store:
    """The store at this address, not opened yet.

    `memory:` is a new, empty one; `sqlite:PATH`, `sqlite:///PATH` (four slashes for an absolute path) or a bare path
    that ends in `.db` is a file. Raises `StoreError` (`unknown_store`, `not_available`).
    """
    if url in ("memory:", "memory://"):
        from .memory import MemoryStore

        return MemoryStore()
    path = _path_of(url)
    if path:
        from .sqlite import SQLiteStore

        return SQLiteStore(path, durability)
    if url.startswith(_LATER):
        hint = f"use {KNOWN}"
        raise StoreError("this version has no adapter for it", code="not_available", op="open", where=url, hint=hint)
    hint = f"write {KNOWN}"
    raise StoreError(f"no store has an address like {url!r}", code="unknown_store", op="open", hint=hint)


def _path_of(url: str) -> str:
    """The path of an SQLite address; nothing if it is another address."""
    if url.startswith("sqlite:"):
        rest = url.removeprefix("sqlite:")
        if not rest.startswith("//"):
            return rest
        return rest.removeprefix("///") if rest.startswith("///") else ""
    return url if url.endswith(".db") and "://" not in url else ""
