"""What is done to many runs at once: `bulk`, `prune`, `restore`, `tombstones`; and `forget`, for cached results."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..app import App
from ..client import Handle
from ..core.durations import microseconds
from ..core.lifecycle import TERMINAL
from ..ports import Tombstone
from ..runtime.functions import moment
from ..selection import Report
from .exits import COMPLETED, FAILED, worst
from .places import Place
from .running import BY, driven
from .telling import Teller, print_json, warn

ACTIONS = ("cancel", "terminate", "pause", "resume", "retry")


@dataclass(frozen=True, slots=True)
class Many:
    """What is asked of which runs, as it stands on the command line."""

    action: str
    status: Sequence[str] = ()
    workflow: str = ""
    tag: str = ""
    reason: str = ""

    def select(self, app: App) -> Any:
        """The runs that are meant."""
        return app.select(status=self.status, workflow=self.workflow, tag=self.tag)

    async def ask(self, app: App) -> Report:
        """Ask them all."""
        why = {"reason": self.reason} if self.action in ("cancel", "terminate", "pause") else {}
        report: Report = await getattr(self.select(app), self.action)(**why, by=BY)
        return report


def bulk(place: Place, many: Many, *, as_json: bool, quiet: bool) -> int:
    """Ask all of them; those that go on in this process are seen to their ends."""
    reports: list[Report] = []

    async def begin(app: App) -> list[Handle[Any]]:
        reports.append(await many.ask(app))
        return [await app.handle(run) for run in reports[0].done if run in app.engine.drivers]

    code = COMPLETED
    if place.is_empty:
        reports.append(Report())
    else:
        code = driven(place, begin, Teller(place, quiet=quiet, several=True))
    report = reports[0]
    for refusal in report.refused:
        warn(f"error [{refusal.code}] {refusal.run}: {refusal.message}")
    if as_json:
        refused = [{"run": each.run, "code": each.code, "message": each.message} for each in report.refused]
        print_json({"done": list(report.done), "refused": refused})
    elif not quiet:
        warn(f"{many.action}: {len(report.done)} runs, {len(report.refused)} refused")
    if many.action not in ("resume", "retry"):
        code = COMPLETED
    return worst([code, FAILED if report.refused else COMPLETED])


async def _chosen(place: Place, many: Many) -> list[str]:
    async with place.app() as app:
        return [head.id async for head in many.select(app)]


def rehearse(place: Place, many: Many, *, as_json: bool) -> int:
    """Say which runs the filter chooses, and ask nothing of them."""
    chosen = [] if place.is_empty else asyncio.run(_chosen(place, many))
    if as_json:
        print_json({"chosen": chosen})
    else:
        for run in chosen:
            print(run)
        warn(f"{many.action} would be asked of those among these {len(chosen)} runs that it makes sense for")
    return COMPLETED


def forget(place: Place, step: str, *, expired: bool, quiet: bool) -> int:
    """Forget cached results; see `App.forget`."""

    async def forgotten() -> int:
        async with place.app() as app:
            return await app.forget(step, expired=expired)

    count = 0 if place.is_empty else asyncio.run(forgotten())
    if not quiet:
        warn(f"{count} results forgotten")
    return COMPLETED


@dataclass(frozen=True, slots=True)
class Old:
    """Which runs are to be removed, and where to, as it stands on the command line."""

    older_than: str
    status: Sequence[str] = ()
    workflow: str = ""
    tag: str = ""
    archive: str = ""
    reason: str = ""


def prune(place: Place, old: Old, *, dry_run: bool, as_json: bool, quiet: bool) -> int:
    """Remove runs that ended long ago; see `App.prune`."""
    report = Report() if place.is_empty else asyncio.run(_pruned(place, old, dry_run=dry_run))
    for refusal in report.refused:
        warn(f"error [{refusal.code}] {refusal.run}: {refusal.message}")
    if as_json:
        refused = [{"run": each.run, "code": each.code, "message": each.message} for each in report.refused]
        print_json({"done": list(report.done), "refused": refused, "dry_run": dry_run})
    else:
        if dry_run:
            for run in report.done:
                print(run)
        if not quiet:
            warn(f"{len(report.done)} runs {'would be removed' if dry_run else 'removed'}")
    return FAILED if report.refused else COMPLETED


async def _pruned(place: Place, old: Old, *, dry_run: bool) -> Report:
    async with place.app() as app:
        before = moment(app.engine.clock.now() - microseconds(old.older_than, "older-than"))
        chosen = app.select(status=tuple(old.status) or tuple(TERMINAL), workflow=old.workflow, tag=old.tag)
        if dry_run:
            return Report(tuple([head.id async for head in chosen if moment(head.updated_at) < before]))
        archive = Path(old.archive) if old.archive else None
        report = await chosen.prune(ended_before=before, archive=archive, by=BY, reason=old.reason)
        await app.sweep()
        return report


def restore(place: Place, file: str, *, quiet: bool) -> int:
    """Bring an archived run back; see `App.restore`."""

    async def restored() -> str:
        async with place.app() as app:
            return (await app.restore(file)).id

    run = asyncio.run(restored())
    if not quiet:
        warn(f"restored run {run}")
    return COMPLETED


def tombstones(place: Place, *, limit: int, as_json: bool) -> int:
    """List what stayed of runs that were removed, newest first."""

    async def found() -> list[Tombstone]:
        async with place.app() as app:
            return list(await app.store.list_tombstones(limit))

    stones = [] if place.is_empty else asyncio.run(found())
    if as_json:
        print_json([stone._asdict() for stone in stones])
        return COMPLETED
    for stone in stones:
        pruned_at = moment(stone.pruned_at).isoformat(timespec="seconds")
        print(f"{stone.id}  {stone.workflow}  {stone.status}  removed {pruned_at}  {stone.by}  {stone.reason}".rstrip())
    return COMPLETED
