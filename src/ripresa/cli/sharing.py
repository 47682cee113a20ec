"""What runs share, on the command line: sessions with their values and errors, artifacts with their versions."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import asdict
from typing import Any

from ..app import App
from ..artifacts import Artifact
from ..errors import RipresaError, SessionError
from ..sessions import Session, SessionFailure
from .exits import COMPLETED
from .places import Place
from .plain import failure_plain, head_plain
from .telling import print_json, warn

ACTIONS = ("create", "suspend", "resume", "complete", "archive")


def within(place: Place, work: Callable[[App], Coroutine[Any, Any, int]]) -> int:
    """Do something with an open app."""

    async def do() -> int:
        async with place.app() as app:
            return await work(app)

    return asyncio.run(do())


def list_sessions(place: Place, status: str, owner: str, limit: int, *, as_json: bool) -> int:
    """Print sessions, newest first."""

    async def work(app: App) -> int:
        sessions = await app.sessions.list(status=status, owner=owner, limit=limit)
        if as_json:
            print_json([session_plain(session) for session in sessions])
            return COMPLETED
        rows = [(each.id, each.status, each.owner, f"{each.created_at:%Y-%m-%d %H:%M:%S}") for each in sessions]
        print_table(("SESSION", "STATUS", "OWNER", "CREATED"), rows, f"no sessions in {place.shown}")
        return COMPLETED

    return COMPLETED if place.is_empty and _nothing(place, "sessions", as_json) else within(place, work)


def show_session(place: Place, id: str, *, as_json: bool) -> int:
    """Print everything about a session. Raises `SessionError(session_not_found)`."""
    if place.is_empty:
        raise SessionError(f"there is no session {id!r}", session=id, code="session_not_found", op="show")

    async def work(app: App) -> int:
        session, values = await app.sessions.get(id), await app.sessions.values(id)
        runs, errors = (await app.sessions.runs(id)).runs, await app.sessions.errors(id)
        if as_json:
            shown = {"values": values, "runs": [head_plain(head, None) for head in runs]}
            print_json({**session_plain(session), **shown, "errors": [_failure_plain(each) for each in errors]})
            return COMPLETED
        print(f"session:   {session.id}\nstatus:    {session.status}\nowner:     {session.owner}")
        for name, value in values.items():
            print(f"value:     {name} = {value!r}")
        for head in runs:
            print(f"run:       {head.id}  {head.workflow}  {head.status}")
        for each in errors:
            print(f"error:     {each.run}  {each.step}  attempt {each.attempt}  {each.failure.message}")
        return COMPLETED

    return within(place, work)


def act(place: Place, action: str, id: str, owner: str) -> int:
    """Change the status of a session, or create it. Raises `SessionError`, `RipresaError(usage)`."""
    if action not in ACTIONS:
        raise RipresaError(
            f"a session cannot be asked to {action!r}", code="usage", op="session", hint=", ".join(ACTIONS)
        )

    async def work(app: App) -> int:
        if action == "create":
            session = await app.sessions.create(id, owner=owner)
        else:
            session = await getattr(app.sessions, action)(id)
        warn(f"session {session.id} is {session.status}")
        return COMPLETED

    return within(place, work)


def list_artifacts(place: Place, run: str, session: str, *, as_json: bool) -> int:
    """Print the artifacts of a run or session with all their versions."""

    async def work(app: App) -> int:
        names = [each.name for each in await app.artifacts.list(run=run, session=session)]
        found = [each for name in names for each in await app.artifacts.versions(name, run=run, session=session)]
        if as_json:
            print_json([artifact_plain(each) for each in found])
            return COMPLETED
        rows = [(each.name, str(each.version), str(each.size), each.media_type, each.run, each.step) for each in found]
        print_table(("ARTIFACT", "VERSION", "BYTES", "TYPE", "RUN", "STEP"), rows, "no artifacts")
        return COMPLETED

    return COMPLETED if place.is_empty and _nothing(place, "artifacts", as_json) else within(place, work)


def get_artifact(place: Place, name: str, scope: tuple[str, str], version: int | None, out: str) -> int:
    """Write an artifact to a file, or to standard output."""
    run, session = scope

    async def work(app: App) -> int:
        if out:
            saved = await app.artifacts.save(name, out, run=run, session=session, version=version)
            warn(f"version {saved.version} of {name}: {saved.size} bytes in {out}")
        else:
            sys.stdout.flush()
            sys.stdout.buffer.write(await app.artifacts.get(name, run=run, session=session, version=version))
        return COMPLETED

    if place.is_empty:
        raise RipresaError(f"there is no artifact {name!r}", code="artifact_not_found", op="artifact")
    return within(place, work)


def print_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]], nothing: str) -> None:
    """Print rows in columns, or say that there is nothing."""
    if not rows:
        warn(nothing)
        return
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _nothing(place: Place, what: str, as_json: bool) -> bool:
    if as_json:
        print_json([])
    else:
        warn(f"no {what} in {place.shown}")
    return True


def session_plain(session: Session) -> dict[str, Any]:
    """A session as data."""
    limits = {name: value for name, value in asdict(session.limits).items() if value is not None}
    return {
        "id": session.id,
        "owner": session.owner,
        "status": session.status,
        "created_at": session.created_at.isoformat(),
        "updated_at": session.updated_at.isoformat(),
        "limits": limits if session.limits else None,
    }


def artifact_plain(artifact: Artifact) -> dict[str, Any]:
    """A version of an artifact as data."""
    return {**asdict(artifact), "at": artifact.at.isoformat()}


def _failure_plain(each: SessionFailure) -> dict[str, Any]:
    where = {"run": each.run, "workflow": each.workflow, "step": each.step, "attempt": each.attempt}
    return {**where, "at": each.at.isoformat(), "failure": failure_plain(each.failure)}
