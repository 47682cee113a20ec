"""`signal`: what is sent to runs from the command line."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from ..app import App
from ..client import Handle
from ..core.events import SignalReceived, SignalRefused
from ..errors import InvalidValue
from ..runtime.requests import encode_signal
from .exits import COMPLETED
from .inputs import read_input
from .places import Place
from .running import LOOK, PATIENCE, code_of, driven, head_of
from .telling import Teller, warn


@dataclass(frozen=True, slots=True)
class Sent:
    """A signal as it stands on the command line."""

    run: str
    name: str
    value: str = "null"
    id: str = ""
    by: str = ""


def signal(place: Place, sent: Sent, target: str, *, quiet: bool) -> int:
    """Send a signal; without an owner, this process takes the run up and sees what follows.

    Raises `RunNotFound`, `IllegalTransition` for a run that has ended, `InvalidValue`.
    """
    value = read_input(sent.value)
    head = asyncio.run(head_of(place, sent.run))
    id = sent.id or uuid4().hex
    body = encode_signal(sent.name, value, id, sent.by)
    if asyncio.run(_left(place, sent, id, body)):
        return COMPLETED
    workflow = code_of(head, target)

    async def begin(app: App) -> list[Handle[Any]]:
        handle = await app.resume(sent.run, workflow)
        if not await app.engine.signal(sent.run, body, id):
            warn(f"run {sent.run} was sent a signal of this id before")
        return [handle]

    return driven(place, begin, Teller(place, quiet=quiet))


async def _left(place: Place, sent: Sent, id: str, body: bytes) -> bool:
    """Leave the signal for the run's owner and see it taken up; False if there is none."""
    async with place.app() as app:
        if await app.store.owner(sent.run) is None:
            return False
        seq = len(await app.engine.history(sent.run))
        if not await app.engine.signal(sent.run, body, id):
            warn(f"run {sent.run} was sent a signal of this id before")
            return True
        found = await _answer(app, sent.run, seq, id)
        if isinstance(found, SignalRefused):
            raise InvalidValue(found.failure.message, op="signal", where=sent.name)
        warn(f"run {sent.run} has it" if found else f"sent; run {sent.run} will take it up")
    return True


async def _answer(app: App, run: str, seq: int, id: str) -> SignalReceived | SignalRefused | None:
    """What the run's owner made of the signal, None if nothing within `PATIENCE`."""
    for _ in range(round(PATIENCE / LOOK)):
        for recorded in await app.engine.history(run, seq):
            seq = recorded.seq
            if isinstance(recorded.event, SignalReceived | SignalRefused) and recorded.event.id == id:
                return recorded.event
        await asyncio.sleep(LOOK)
    return None
