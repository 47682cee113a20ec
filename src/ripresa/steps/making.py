"""Makes a step of what a ready-made one does, and of the options that every step has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from ..authoring.cache import Cache
from ..authoring.step import Effect, Step, step
from ..context import current
from ..core.durations import Duration
from ..core.retry import Retry
from ..errors import StepTimeout

if TYPE_CHECKING:
    from ..authoring.hooks import Hook

R = TypeVar("R")
S = TypeVar("S", bound=Step[..., Any])


class StepOptions(TypedDict, total=False):
    """What can be said of every ready-made step; see `ripresa.step`."""

    name: str
    retry: Retry | int | None
    timeout: Duration | None
    effect: Effect
    concurrency: int | None
    hooks: Iterable[Hook]
    cache: Cache | Duration | bool


STEP_OPTIONS = frozenset(StepOptions.__annotations__)


def divided(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of every step, and those of its kind."""
    every = {name: value for name, value in options.items() if name in STEP_OPTIONS}
    return every, {name: value for name, value in options.items() if name not in STEP_OPTIONS}


def made(
    kind: type[S],
    fn: Callable[..., Coroutine[Any, Any, Any]],
    what: object,
    returns: Any,
    options: dict[str, Any],
) -> S:
    """A step of this class. `what` tells what it does from what others do, for results that are kept for other runs.

    Raises `InvalidConfig`.
    """
    digest = sha256(repr(what).encode()).hexdigest()[:16]
    fn.__qualname__ = f"{kind.__name__}-{digest}"
    fn.__annotations__["return"] = returns
    plain = step(**options)(fn)
    return kind(plain.fn, plain.options)


async def within(limit: float | None, what: str, work: Coroutine[Any, Any, R]) -> R:
    """What this comes to, within so many seconds where nobody else keeps the limit: inside a run the engine does.

    Raises `StepTimeout`.
    """
    if limit is None or current().run:
        return await work
    try:
        async with asyncio.timeout(limit):
            return await work
    except TimeoutError:
        raise StepTimeout(f"{what} took longer than its timeout of {limit:g} s") from None


def own_name(kind: str, what: str) -> str:
    """A name for a step that was given none: of characters that names may have."""
    cleaned = "".join(char if char.isalnum() or char in "-_." else "_" for char in what)
    return cleaned.strip("_") or kind
