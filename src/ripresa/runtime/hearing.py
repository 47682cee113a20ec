"""Tells whoever asks something of a run that another process drives when that is refused there.

Law: a request is durable before it is heard of; who hears nothing, because the owner takes its time or has gone, is
told no refusal that there is not. Where nobody could refuse, nobody waits.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Final

from ..authoring.failures import printable
from ..core.events import (
    CancelRequested,
    CheckpointNamed,
    ContinueRequested,
    Event,
    Intercepted,
    PauseRequested,
    Recorded,
    Requested,
    SignalReceived,
    SignalRefused,
)
from ..core.lifecycle import check_transition
from ..core.requested import GUARDED, POINTS
from ..errors import IllegalTransition, RipresaError, RunNotFound
from ..ports import RunHead
from .letting import key_of, not_taken, refusal

if TYPE_CHECKING:
    from .engine import Engine

LOOK: Final = 0.05
"""Seconds between two looks at what the owner has made of a request."""

PATIENCE = 10.0
"""Seconds after which an owner that has not even taken a request up is left to take its time."""

TAKEN = 2.0
"""Seconds after which whoever asked something that nobody refuses goes on, though the owner has not taken it up."""

FORBIDDEN = 1.0
"""The same for a request that the status of the run seems to forbid: one that is dropped leaves no trace."""

_MOVES: Final = {"pause": ("paused", ""), "continue": ("running", "paused")}
"""Requests that the status of a run may forbid though it has not ended: where they lead, and from where alone."""


KINDS: Final[dict[type[Event], str]] = {CancelRequested: "cancel", PauseRequested: "pause"}


@dataclass(frozen=True, slots=True)
class Asking:
    """What was asked of a run, and the number of the last event before that."""

    run: str
    kind: str
    body: bytes
    since: int


async def before(engine: Engine, head: RunHead, kind: str, body: bytes) -> Asking | None:
    """What is to be heard about, if this may be refused where the run is driven; None if it cannot be."""
    guarded = GUARDED in head.tags and kind in POINTS.values()
    if not guarded and not _is_forbidden(head, kind):
        return None
    return Asking(head.id, kind, body, (await engine.history(head.id))[-1].seq)


async def heard(engine: Engine, asking: Asking) -> None:
    """Wait until the owner of the run has said what becomes of a request; raises the refusal if it was refused.

    Interceptors that are being asked about it are waited for as long as somebody drives the run.
    """
    looks = round((FORBIDDEN if asking.kind in _MOVES else PATIENCE) / LOOK)
    while True:
        driven = await engine.is_driven(asking.run)  # before the look: whoever left had written all it would
        taken = not await _waits(engine, asking)
        news = [recorded async for recorded in _since(engine, asking)]
        place = _place(asking, news)
        if place is not None:
            answer = _answer(news, place)
            error = None if answer is None else _error(answer)
            if error is not None:
                raise error
            if answer is not None:
                return
        elif taken or looks <= 0:
            await _require_allowed(engine, asking)
            return
        if not driven:
            return
        looks -= 1
        await asyncio.sleep(LOOK)


async def taken(engine: Engine, asking: Asking) -> None:
    """Wait until the owner of the run has taken a request up; not for one that has gone or takes its time."""
    for _ in range(round(TAKEN / LOOK)):
        if not await _waits(engine, asking) or not await engine.is_driven(asking.run):
            return
        await asyncio.sleep(LOOK)


def _error(answer: Sequence[Event]) -> RipresaError | None:
    if isinstance(answer[0], SignalRefused):
        return not_taken(answer[0])
    return refusal(answer)


async def _since(engine: Engine, asking: Asking) -> AsyncIterator[Recorded]:
    """What has been recorded since it was asked; nothing of a run that was pruned meanwhile."""
    with suppress(RunNotFound):
        for recorded in await engine.history(asking.run, asking.since):
            yield recorded


async def _require_allowed(engine: Engine, asking: Asking) -> None:
    """Raise `IllegalTransition` for a request that nothing was recorded of, if the status of the run forbids it."""
    head = await engine.store.find_run(asking.run)
    if head is not None and asking.kind in _MOVES:
        to, only_from = _MOVES[asking.kind]
        check_transition(head.status, to, only_from=only_from, run=asking.run, op=asking.kind)


def _is_forbidden(head: RunHead, kind: str) -> bool:
    """Whether the status of a run that has not ended seems to forbid this."""
    if kind not in _MOVES:
        return False
    try:
        to, only_from = _MOVES[kind]
        check_transition(head.status, to, only_from=only_from)
    except IllegalTransition:
        return True
    return False


async def _waits(engine: Engine, asking: Asking) -> bool:
    """Whether nobody has taken the request up yet."""
    found = await engine.store.pending([asking.run])
    return any((each.kind, each.body) == (asking.kind, asking.body) for each in found)


def _place(asking: Asking, news: Sequence[Recorded]) -> int | None:
    """Which of the news says that it was asked, or that it happens."""
    body = json.loads(asking.body)
    by, name = printable(str(body["by"])), printable(str(body.get("reason", body.get("name"))))
    id = str(body.get("id", ""))
    for index, recorded in enumerate(news):
        if _is_it(recorded.event, asking.kind, name, id, by):
            return index
    return None


def _is_it(event: Event, kind: str, name: str, id: str, by: str) -> bool:
    match event:
        case Requested():
            return (event.point, event.name, event.id, event.by) == (kind, name, id, by)
        case SignalReceived() | SignalRefused():
            return (kind, event.name, event.id, event.by) == ("signal", name, id, by)
        case CancelRequested() | PauseRequested():
            return (KINDS[type(event)], event.reason, event.by) == (kind, name, by)
        case CheckpointNamed():
            return (kind, event.name, event.by) == ("checkpoint", name, by)
        case ContinueRequested():
            return (kind, event.by) == ("continue", by)
        case _:
            return False


def _answer(news: Sequence[Recorded], place: int) -> list[Event] | None:
    """What became of the request that the news say at this place; None if interceptors have not answered yet."""
    asked = news[place]
    if not isinstance(asked.event, Requested):
        return [asked.event]
    for index, recorded in enumerate(news):
        event = recorded.event
        if isinstance(event, Intercepted) and event.path == key_of(asked.seq):
            rest = [each.event for each in news[index:]]
            return [event, *takewhile(lambda each: not isinstance(each, Intercepted), rest[1:])]
    return None
