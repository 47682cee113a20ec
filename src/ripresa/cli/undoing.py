"""`undo` and `reconcile`: what a run did is taken back, or what a step really did is said."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from ..app import App
from ..client import Handle
from ..runtime.undoing import Undo, UndoReport, begin_undo, report_of, require_ended
from .driving import Begin
from .exits import CANCELLED, COMPLETED, FAILED, WAITING
from .inputs import read_input
from .listing import told_undoing
from .places import Place
from .plain import failure_plain
from .running import BY, code_of, driven, head_of
from .telling import Teller, print_json, warn


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
    require_ended(asked.run, head.status)
    workflow = code_of(head, asked.target)

    async def begin(app: App) -> list[Handle[Any]]:
        async def code() -> Any:
            return workflow

        await begin_undo(app.engine, asked.run, code, Undo(asked.to or None, asked.reason, BY))
        return [await app.handle(asked.run, workflow)]

    ended = driven(place, begin, Teller(place, quiet=quiet))
    return ended if ended != CANCELLED else _told(asyncio.run(_report(place, asked.run)), as_json)


def _told(report: UndoReport, as_json: bool) -> int:
    if as_json:
        failed = {path: failure_plain(failure) for path, failure in report.failed.items()}
        told = {"undone": report.undone, "failed": failed, "irreversible": report.irreversible}
        print_json(told | {"skipped": report.skipped})
    else:
        for line in told_undoing(report.undone, report.failed, report.skipped):
            print(line)
        for path in report.irreversible:
            print(f"cannot be undone: {path}")
    return COMPLETED if report.complete else FAILED


async def _report(place: Place, run: str) -> UndoReport:
    async with place.app() as app:
        return report_of(await app.engine.history(run))


# --- reconcile


@dataclass(frozen=True, slots=True)
class Said:
    """What somebody knows about a step, as it stands on the command line: one of three."""

    run: str
    path: str
    completed: str | None
    failed: str | None
    retry: bool
    by: str
    target: str = ""


def reconcile(place: Place, said: Said, *, quiet: bool) -> int:
    """Say what a step did; without an owner, this process takes the run up and sees what follows.

    Raises `RunNotFound`, `IllegalTransition`, `InvalidValue`, `RipresaError(not_available)`.
    """
    given = None if said.completed is None else read_input(said.completed)
    workflow = code_of(asyncio.run(head_of(place, said.run)), said.target)

    async def tell(app: App) -> list[Handle[Any]]:
        handle = await app.handle(said.run, workflow)
        value = ... if given is None else from_json(given)
        await handle.reconcile(said.path, completed=value, failed=said.failed, retry=said.retry, by=said.by)
        return [handle]

    if asyncio.run(_left(place, said.run, tell)):
        return COMPLETED
    code = driven(place, tell, Teller(place, quiet=quiet))
    return COMPLETED if code == WAITING else code


async def _left(place: Place, run: str, tell: Begin) -> bool:
    """Leave it for the run's owner; False if there is none."""
    async with place.app() as app:
        if await app.store.owner(run) is None:
            return False
        await tell(app)
        warn(f"left; run {run} will take it up")
    return True
