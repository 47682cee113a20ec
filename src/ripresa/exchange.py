"""Updates from outside: sent to a run wherever it is, and answered by what its journal says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from .core.events import Recorded, SignalRefused, UpdateAnswered
from .core.lifecycle import TERMINAL
from .core.nodes.answer import UPDATES
from .errors import RipresaError
from .runtime.bodies import encode_update
from .runtime.engine import Engine
from .runtime.letting import not_taken
from .runtime.results import not_found
from .runtime.values import Values

Follow = Callable[[int], AsyncGenerator[Recorded, None]]
"""The events of the run after a number, until it ends or is left alone."""

Take = Callable[[], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Asking:
    """An update as it is sent: its value as JSON text; with an `id` of the sender's it counts once."""

    run: str
    name: str
    value: bytes
    id: str = ""
    by: str = ""


async def update(engine: Engine, asking: Asking, follow: Follow, take: Take | None, seconds: float | None) -> bytes:
    """Send an update; the JSON text of its answer.

    Raises `RipresaError` with `update_refused`, `update_unanswered`, `update_timeout`, `InvalidValue`,
    `IllegalTransition` if the run has ended.
    """
    limit: asyncio.Timeout | None = None
    try:
        async with asyncio.timeout(seconds) as limit:
            return await _update(engine, asking, follow, take)
    except TimeoutError as error:
        if limit is None or not limit.expired():
            raise
        raise _failed(asking, f"was not answered within {seconds:g} s", code="update_timeout") from error


async def _update(engine: Engine, asking: Asking, follow: Follow, take: Take | None) -> bytes:
    run, id = asking.run, asking.id or uuid4().hex
    driver = engine.drivers.get(run)
    if asking.id or driver is None:
        history = await engine.history(run)
        known = _answer(history, asking, id)
        if known is not None:
            return _said(engine, known, asking)
        seq = history[-1].seq
    else:
        seq = driver.state.seq
    key = asking.id and f"{UPDATES}{asking.name}/{id}"
    body = encode_update(asking.name, asking.value, id, asking.by)
    await engine.inbox.signal(run, body, key, take=take, hear=False)
    async with aclosing(follow(seq)) as events:
        async for recorded in events:
            found = _answer((recorded,), asking, id)
            if found is not None:
                return _said(engine, found, asking)
    head = await engine.store.find_run(run)
    if head is None:
        raise not_found(run)
    how = f"is {head.status}" if head.status in TERMINAL else "is driven by nobody"
    raise _failed(asking, f"was not answered: the run {how}", code="update_unanswered")


def _answer(events: Iterable[Recorded], asking: Asking, id: str) -> UpdateAnswered | SignalRefused | None:
    for recorded in events:
        event = recorded.event
        if isinstance(event, UpdateAnswered) and (event.name, event.id) == (asking.name, id):
            return event
        if isinstance(event, SignalRefused) and (event.name, event.id) == (UPDATES + asking.name, id):
            return event
    return None


def _said(engine: Engine, answer: UpdateAnswered | SignalRefused, asking: Asking) -> bytes:
    if isinstance(answer, SignalRefused):
        raise not_taken(answer)
    values = Values(engine.store.blob)
    if answer.refused:
        raise _failed(asking, f"was refused: {values.read(answer.value, str)}", code="update_refused")
    return values.text(answer.value)


def _failed(asking: Asking, what: str, *, code: str) -> RipresaError:
    hint = "give updates an id: sent again under it one counts once, and gets the answer that there is meanwhile"
    return RipresaError(
        f"update {asking.name!r} of run {asking.run!r} {what}",
        code=code,
        op="update",
        where=asking.name,
        hint="" if code == "update_refused" else hint,
    )
