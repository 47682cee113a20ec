"""`undo`: what a run did that has ended is taken back, and what became of it is told."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from ..app import App
from ..client import Handle
from ..core.lifecycle import check_transition
from ..runtime.undoing import Undo, UndoReport, begin_undo, report_of
from .exits import CANCELLED, COMPLETED, FAILED
from .listing import told_undoing
from .places import Place
from .plain import failure_plain
from .running import BY, code_of, driven, head_of
from .telling import Teller, print_json


@dataclass(frozen=True, slots=True)
class Asked:
    """An undo as it stands on the command line."""

    run: str
    to: str = ""
    reason: str = ""
    target: str = ""


def undo(place: Place, asked: Asked, *, as_json: bool, quiet: bool) -> int:
    """Undo a run and say what became of it.

    Raises `RunNotFound`, `IllegalTransition` for a run that has not ended, `RipresaError(no_such_place)`.
    """
    head = asyncio.run(head_of(place, asked.run))
    if head.status != "undoing":
        check_transition(head.status, "undoing", run=asked.run, op="undo")
    workflow = code_of(head, asked.target)

    async def begin(app: App) -> list[Handle[Any]]:
        async def code() -> Any:
            return workflow

        await begin_undo(app.engine, asked.run, code, Undo(asked.to or None, asked.reason, BY))
        return [await app.handle(asked.run, workflow)]

    ended = driven(place, begin, Teller(place, quiet=quiet))
    if ended != CANCELLED:
        return ended
    report = asyncio.run(_report(place, asked.run))
    if as_json:
        failed = {path: failure_plain(failure) for path, failure in report.failed.items()}
        print_json({"undone": report.undone, "failed": failed, "irreversible": report.irreversible})
    else:
        for line in told_undoing(report.undone, report.failed):
            print(line)
        for path in report.irreversible:
            print(f"cannot be undone: {path}")
    return COMPLETED if report.complete else FAILED


async def _report(place: Place, run: str) -> UndoReport:
    async with place.app() as app:
        return report_of(await app.engine.history(run))
