"""How long, and by what, the result of a step is kept for other runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..core.durations import Duration, microseconds
from ..errors import InvalidConfig


@dataclass(frozen=True, slots=True, init=False)
class Cache:
    """Keep the results of a `pure` or `read` step for whoever calls it alike, in this run or another of the store.

    Results are found by the step's function, `version`, and its arguments; `key`, called with the same arguments,
    gives a text that stands for them. `ttl` is how long a result is good, for ever without it (in microseconds, 0: for
    ever). A failure is never kept. Raises `InvalidConfig` that names every bad option.
    """

    ttl: int
    key: Callable[..., Any] | None
    version: str

    def __init__(self, ttl: Duration | None = None, *, key: Any = None, version: str = "") -> None:
        bad: list[str] = []
        length = 0 if ttl is None else microseconds(ttl, "ttl")
        if ttl is not None and length <= 0:
            bad.append(f"ttl is {ttl!r}, must be a length of time above 0")
        if key is not None and not callable(key):
            bad.append(f"key is {key!r}, must be a function of the step's arguments that gives a text")
        if bad:
            raise InvalidConfig("; ".join(bad), op="Cache")
        object.__setattr__(self, "ttl", length)
        object.__setattr__(self, "key", key)
        object.__setattr__(self, "version", version)


def cache_of(value: Cache | Duration | bool) -> Cache | None:
    """The `cache` option of a step: a `Cache`, how long a result is good, True for ever, False not at all."""
    if isinstance(value, bool):
        return Cache() if value else None
    return value if isinstance(value, Cache) else Cache(value)


def cached_name(fn: Callable[..., Any]) -> str:
    """The name under which the results of a function are kept."""
    return f"{getattr(fn, '__module__', '')}.{getattr(fn, '__qualname__', type(fn).__qualname__)}"
