"""Time travel from the command line: places of a run, what differs between them, going back, and forks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from ..app import App
from ..authoring.flow import Runnable
from ..client import Effects, Handle
from ..core.changes import Change
from ..errors import RipresaError
from ..ports import RunHead
from ..runtime import comparing
from ..runtime.values import Values
from .exits import COMPLETED, UserCodeFailed
from .listing import refuse_empty, short
from .places import Place
from .plain import change_plain
from .running import BY, code_of, driven, head_of
from .telling import Teller, print_json, warn


@dataclass(frozen=True, slots=True)
class Forked:
    """A fork as it is asked for on the command line: `set` are texts of the form path=json."""

    run: str
    at: str = ""
    set: Sequence[str] = ()
    id: str | None = None
    effects: str = "refuse"
    fresh: bool = False
    target: str = ""


def checkpoints(place: Place, run: str, *, as_json: bool) -> int:
    """Print the places of a run. Raises `RunNotFound`."""
    refuse_empty(place, run)
    found = asyncio.run(_checkpoints(place, run))
    if as_json:
        print_json(
            [
                {"seq": it.seq, "at": it.at.isoformat(), "name": it.name, "named": it.named, "undone": it.undone}
                for it in found
            ]
        )
        return COMPLETED
    for it in found:
        kind = "checkpoint" if it.named else "step"
        print(f"{it.seq:>5}  {it.at.astimezone():%Y-%m-%d %H:%M:%S}  {kind:<10}  {it.name}{_undone(it.undone)}")
    return COMPLETED


def _undone(undone: bool) -> str:
    return "  (rolled back)" if undone else ""


async def _checkpoints(place: Place, run: str) -> list[Any]:
    async with place.app() as app:
        return await (await app.handle(run)).checkpoints()


# --- diff


def diff(place: Place, run: str, start: str, end: str, *, as_json: bool) -> int:
    """Print what became of a run between two places. Raises `RunNotFound`, `RipresaError(no_such_place)`."""
    refuse_empty(place, run)
    asyncio.run(_diff(place, run, start, end, as_json))
    return COMPLETED


async def _diff(place: Place, run: str, start: str, end: str, as_json: bool) -> None:
    async with place.app() as app:
        handle: Handle[Any] = await app.handle(run)
        last = (await handle.status()).seq
        found = await handle.diff(start or 1, end or last)
        read = Values(app.store.blob).text
        if as_json:
            print_json([change_plain(change, read) for change in found])
            return
        for change in found:
            print_change(change, read)


def compare(place: Place, run: str, other: str, *, as_json: bool) -> int:
    """Print how a run differs from another one. Raises `RunNotFound`."""
    code: dict[str, Runnable[..., Any]] = {}
    for id in (run, other):
        head = asyncio.run(head_of(place, id))
        with suppress(RipresaError, UserCodeFailed):  # then what steps were given is not compared
            code[id] = code_of(head, "")
    asyncio.run(_compare(place, (run, other), code, as_json))
    return COMPLETED


async def _compare(place: Place, runs: tuple[str, str], code: dict[str, Runnable[..., Any]], as_json: bool) -> None:
    def of(head: RunHead) -> Runnable[..., Any]:
        if head.id in code:
            return code[head.id]
        raise RipresaError(f"the code of run {head.id!r} is not here", code="unknown_workflow", op="diff")

    async with place.app() as app:
        one, other = await app.store.find_run(runs[0]), await app.store.find_run(runs[1])
        assert one is not None
        assert other is not None
        found = await comparing.compare(app.engine, one, other, of)
        read = Values(app.store.blob).text
        if as_json:
            inputs = None if found.inputs is None else [change_plain(change, read) for change in found.inputs]
            plain = [change_plain(change, read) for change in found.changes]
            print_json({"structure": list(found.structure), "changes": plain, "inputs": inputs})
            return
        for line in found.structure:
            print(f"structure: {line}")
        for change in found.changes:
            print_change(change, read)
        for change in found.inputs or ():
            print_change(Change(f"{change.what} was given", change.before, change.after), read)
        if found.inputs is None:
            warn("what steps were given was not compared: the code of one of the runs is not here")


def print_change(change: Change, read: Any) -> None:
    """Print one difference: what it was, what it is."""
    plain = change_plain(change, read)
    print(change.what)
    for sign, side in (("-", plain["before"]), ("+", plain["after"])):
        if side is not None:
            print(f"  {sign} {short(side)}")


# --- back, and elsewhere


@dataclass(frozen=True, slots=True)
class Back:
    """A rollback as it is asked for on the command line: `set` are texts of the form path=json."""

    run: str
    at: str
    set: Sequence[str] = ()
    again: bool = False
    target: str = ""


def rollback(place: Place, wanted: Back, *, as_json: bool, quiet: bool) -> int:
    """Take a run back to a place and see it to its end. Raises what `Handle.rollback` does."""
    given = dict(_setting(text) for text in wanted.set)
    workflow = code_of(asyncio.run(head_of(place, wanted.run)), wanted.target)

    async def begin(app: App) -> list[Handle[Any]]:
        handle = await app.handle(wanted.run, workflow)
        await handle.rollback(wanted.at, set=given, again=wanted.again, by=BY)
        return [handle]

    return driven(place, begin, Teller(place, as_json, quiet))


def fork(place: Place, wanted: Forked, *, as_json: bool, quiet: bool) -> int:
    """Begin a run from a place of another and see it to its end. Raises what `Handle.fork` does."""
    given = dict(_setting(text) for text in wanted.set)
    workflow = code_of(asyncio.run(head_of(place, wanted.run)), wanted.target)

    async def begin(app: App) -> list[Handle[Any]]:
        handle = await app.handle(wanted.run, workflow)
        effects = cast("Effects", wanted.effects)
        at = wanted.at or None
        return [await handle.fork(at, set=given, id=wanted.id, effects=effects, fresh=wanted.fresh, by=BY)]

    return driven(place, begin, Teller(place, as_json, quiet))


def _setting(text: str) -> tuple[str, Any]:
    path, equals, value = text.partition("=")
    try:
        if not path or not equals:
            raise ValueError("there is no path before a =")
        return path, json.loads(value)
    except ValueError as error:
        raise RipresaError(
            f"{text!r} cannot be understood: {error}",
            code="usage",
            where="--set",
            hint="--set PATH=JSON, as in --set input='{\"topic\": \"tides\"}' or --set search='[1, 2]'",
        ) from error
