"""What the contract of a store is played with: runs, sessions and batches that say only what matters."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from ..errors import RipresaError
from ..ports import Batch, RunHead, SessionHead, Store

Make = Callable[[], Store]


def a_head(run: str = "r", **fields: Any) -> RunHead:
    """A line in lists; `fields` replace what is not worth saying."""
    plain = RunHead(run, "publish", "1", "running", "app:publish", created_at=1000, updated_at=1000)
    return replace(plain, **fields)


def first(run: str = "r", row: bytes = b"[1]", count: int = 1, **fields: Any) -> Batch:
    """The batch that creates a run; `fields` are those of its head."""
    return Batch(run, 1, count, row, head=a_head(run, **fields))


def then(seq: int, run: str = "r", row: bytes = b"", count: int = 1, **more: Any) -> Batch:
    """A batch that follows."""
    return Batch(run, seq, count, row or b"[%d]" % seq, **more)


@asynccontextmanager
async def opened(make: Make) -> AsyncGenerator[Store, None]:
    """A store that is open, and closed in the end."""
    store = make()
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def outcome(waiting: Awaitable[object]) -> object:
    """What an append came to: its result or the class of its error."""
    try:
        return await waiting
    except RipresaError as error:
        return type(error)


def a_session(id: str = "s", **fields: Any) -> SessionHead:
    """A session; `fields` replace what is not worth saying."""
    return replace(SessionHead(id, "ada", "active", 1000, 1000), **fields)
