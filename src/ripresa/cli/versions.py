"""Versions from the command line: what becomes of unfinished runs with a new definition, and migrations."""

from __future__ import annotations

import asyncio
from contextlib import redirect_stdout
from dataclasses import asdict
from sys import stderr
from typing import Any

from ..authoring.flow import Runnable
from ..authoring.migration import Migration
from ..core.lifecycle import LIVE
from ..errors import RipresaError
from ..ports import RunFilter, RunHead
from ..runtime.migrating import MigrationReport, Move, Planned, Planning, migrate, plan
from ..runtime.results import not_found
from ..runtime.targets import migrations_beside, versions_beside
from .exits import COMPLETED, FAILED, exit_of, worst
from .inputs import load
from .places import Place
from .running import ALL, BY
from .telling import print_json, tell_error, warn


def plan_for(place: Place, target: str, *, as_json: bool) -> int:
    """Print what becomes of every unfinished run of a workflow; the exit code is 1 if anything is missing for one."""
    code, beside, migrations = _loaded(target)
    found = [] if place.is_empty else asyncio.run(_plan(place, Planning(Move(code, migrations), beside)))
    if as_json:
        print_json([asdict(run) for run in found])
    elif not found:
        warn(f"no unfinished runs of {code.name!r} in {place.shown}")
    else:
        for run in found:
            why = f": {run.why}" if run.why else ""
            print(f"{run.verdict:<8}  {run.run}  (version {run.version}, {run.status}){why}")
    return FAILED if any(run.verdict == "blocked" for run in found) else COMPLETED


async def _plan(place: Place, planning: Planning) -> list[Planned]:
    async with place.app() as app:
        page = await app.store.list_runs(
            RunFilter(status=(*LIVE, "failed"), workflow=planning.move.code.name, limit=ALL)
        )
        return await plan(app.engine, reversed(page.runs), planning)


def migrate_run(place: Place, run: str, target: str, *, dry_run: bool, as_json: bool) -> int:
    """Take one run over to the version that a target names. Raises what `App.migrate` does."""
    if place.is_empty:
        raise not_found(run)
    head = asyncio.run(_head(place, run))
    code, _, migrations = _loaded(target or head.target)
    report = asyncio.run(_migrate(place, [head], Move(code, migrations, BY), dry_run))[0]
    if isinstance(report, RipresaError):
        raise report
    if as_json:
        print_json(asdict(report))
    else:
        _tell(report)
    return COMPLETED


def migrate_all(place: Place, target: str, *, dry_run: bool, as_json: bool) -> int:
    """Take all unfinished runs of a workflow over that are of another version; each by itself, all or nothing."""
    code, _, migrations = _loaded(target)
    heads = [] if place.is_empty else asyncio.run(_others(place, code))
    reports = asyncio.run(_migrate(place, heads, Move(code, migrations, BY), dry_run)) if heads else []
    done = [report for report in reports if isinstance(report, MigrationReport)]
    failed = [report for report in reports if isinstance(report, RipresaError)]
    if as_json:
        print_json([asdict(report) for report in done])
    for report in () if as_json else done:
        _tell(report)
    for error in failed:
        tell_error(error)
    if not reports and not as_json:
        warn(f"no unfinished runs of another version of {code.name!r} in {place.shown}")
    return worst([exit_of(error) for error in failed])


async def _head(place: Place, run: str) -> RunHead:
    async with place.app() as app:
        head = await app.store.find_run(run)
        if head is None:
            raise not_found(run)
        return head


async def _others(place: Place, code: Runnable[..., Any]) -> list[RunHead]:
    async with place.app() as app:
        page = await app.store.list_runs(RunFilter(status=LIVE, workflow=code.name, limit=ALL))
        return [head for head in reversed(page.runs) if head.version != code.version]


async def _migrate(
    place: Place, heads: list[RunHead], move: Move, dry_run: bool
) -> list[MigrationReport | RipresaError]:
    found: list[MigrationReport | RipresaError] = []
    async with place.app() as app:
        for head in heads:
            try:
                found.append(await migrate(app.engine, head, move, dry_run=dry_run))
            except RipresaError as error:
                found.append(error)
    return found


def _tell(report: MigrationReport) -> None:
    done = "migrated" if report.done else "would be migrated"
    print(f"run {report.run} {done} from version {report.start} to {report.end}: {report.status}")
    for name, paths in (("taken over", report.taken), ("runs next", report.ahead), ("unused", report.unused)):
        if paths:
            print(f"  {name}: {', '.join(paths)}")


def _loaded(target: str) -> tuple[Runnable[..., Any], list[Runnable[..., Any]], list[Migration]]:
    with redirect_stdout(stderr):
        code = load(target)
        return code, [other for other in versions_beside(target) if other is not code], migrations_beside(target)
