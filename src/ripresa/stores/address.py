"""From the address of a store to the store: the one place that knows all adapters and imports none before use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from ..errors import StoreError
from ..ports import Store

KNOWN = "'memory:', 'sqlite:PATH' or a path that ends in .db"
SCHEMES = ("memory", "sqlite")
"""What an address of a store of Ripresa's own begins with."""

GROUP = "ripresa.stores"
"""The entry points by which packages bring stores along."""

Factory: TypeAlias = Callable[[str], Store]
"""Makes the store at an address, not opened yet."""

_LATER = ("postgresql:", "postgres:", "temporal:")


def open_store(url: str, durability: str = "full", own: Mapping[str, Factory] = MappingProxyType({})) -> Store:
    """The store at this address, not opened yet.

    `memory:` is a new, empty one; `sqlite:PATH`, `sqlite:///PATH` (four slashes for an absolute path) or a bare path
    that ends in `.db` is a file. For any other scheme `own` has a factory, or an installed package brings one along:
    an entry point of the group `ripresa.stores`, named like the scheme. Raises `StoreError` (`unknown_store`,
    `not_available`).
    """
    scheme = url.partition(":")[0]
    if scheme in own:
        return own[scheme](url)
    if url in ("memory:", "memory://"):
        from .memory import MemoryStore

        return MemoryStore()
    path = _path_of(url)
    if path:
        from .sqlite import SQLiteStore

        return SQLiteStore(path, durability)
    brought = _brought_along(scheme)
    if brought is not None:
        return brought(url)
    if url.startswith(_LATER):
        hint = f"use {KNOWN}"
        raise StoreError("this version has no adapter for it", code="not_available", op="open", where=url, hint=hint)
    hint = f"write {KNOWN}"
    raise StoreError(f"no store has an address like {url!r}", code="unknown_store", op="open", hint=hint)


def _brought_along(scheme: str) -> Factory | None:
    from importlib.metadata import entry_points

    for found in entry_points(group=GROUP, name=scheme):
        factory: Factory = found.load()
        return factory
    return None


def _path_of(url: str) -> str:
    """The path of an SQLite address; nothing if it is another address."""
    if url.startswith("sqlite:"):
        rest = url.removeprefix("sqlite:")
        if not rest.startswith("//"):
            return rest
        return rest.removeprefix("///") if rest.startswith("///") else ""
    return url if url.endswith(".db") and "://" not in url else ""
