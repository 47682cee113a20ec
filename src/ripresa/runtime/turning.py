"""Takes a run back wherever it is driven: here, or by asking the living process that drives it.

Law: what cannot be is refused before anything is asked; who asks is told when it has happened, and by nobody else.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from ..authoring.failures import printable
from ..authoring.flow import Runnable
from ..core.durations import MICROSECONDS
from ..core.events import Event, Requested, RolledBack
from ..core.requested import ROLLBACK
from ..errors import RipresaError, RunError
from ..ports import Request
from .clock import sleep
from .letting import refusal
from .travel import Back, may_go_back, roll_back

if TYPE_CHECKING:
    from .driver import Driver
    from .engine import Engine

LOOK: Final = 0.1
"""Seconds between two looks whether the run has been taken back."""

PATIENCE = 30.0
"""Seconds after which nobody seems to hear: the owner takes up requests at once, and stops what is in flight first."""

_log = logging.getLogger("ripresa")


async def take_back(engine: Engine, run: str, code: Runnable[..., Any], back: Back) -> None:
    """Let a run go on from an earlier place, here or where another living process drives it. See `travel.roll_back`.

    Raises `RunError(owned_elsewhere)` if that process does not do it.
    """
    try:
        await roll_back(engine, run, code, back)
    except RunError as error:
        if error.code != "owned_elsewhere":
            raise
        await _asked(engine, run, code, back)


async def _asked(engine: Engine, run: str, code: Runnable[..., Any], back: Back) -> None:
    """Ask the owner, and wait until it has done so."""
    journal = await engine.history(run)
    head = await engine.store.find_run(run)
    assert head is not None
    to, last = may_go_back(engine, head, code, journal, back), len(journal)
    body: dict[str, Any] = {"to": to, "again": back.again, "reason": back.reason, "by": back.by}
    if back.set:
        body["set"] = {path: text.decode() for path, text in back.set.items()}
    await engine.store.put(run, ROLLBACK, json.dumps(body).encode())
    late = engine.clock.now() + PATIENCE * MICROSECONDS
    while engine.clock.now() < late:
        await sleep(engine.clock, LOOK)
        news = [recorded.event for recorded in await engine.history(run, last)]
        if _is_back(news, to):
            engine.rolled_back.add(run)
            return
        refused = refusal(news)
        if refused is not None:
            raise refused
        if not await engine.is_driven(run):  # its owner has gone
            await take_back(engine, run, code, back)
            return
    raise await engine.owned_elsewhere(run)


def _is_back(news: Sequence[Event], to: int) -> bool:
    """Whether the run was taken back to this place, or elsewhere because a hook that was asked about it said so."""
    asked = False
    for event in news:
        asked = asked or (isinstance(event, Requested) and (event.point, event.number) == (ROLLBACK, to))
        if isinstance(event, RolledBack) and (asked or event.to == to):
            return True
    return False


async def turn(engine: Engine, driver: Driver, request: Request) -> None:
    """Do what another process asks: take a run back that is driven here. What keeps it from that is logged."""
    body = json.loads(request.body)
    reason, by = printable(str(body["reason"])), printable(str(body["by"]))
    given = {str(path): str(text).encode() for path, text in body.get("set", {}).items()}
    back = Back(int(body["to"]), bool(body["again"]), reason, by, given)
    try:
        await roll_back(engine, driver.run, driver.runnable, back)
    except RipresaError:
        _log.warning("a run was not taken back", exc_info=True, extra={"run": driver.run})
