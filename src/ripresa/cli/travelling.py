"""Time travel from the command line: places of a run, what differs between them, going back, and forks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from ..app import App
from ..client import Effects, Handle
from ..core.view import Change
from ..errors import RipresaError
from ..runtime.values import Values
from .exits import COMPLETED
from .listing import refuse_empty, short
from .places import Place
from .plain import change_plain
from .running import BY, code_of, driven, head_of
from .telling import Teller, print_json


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


def print_change(change: Change, read: Any) -> None:
    """Print one difference: what it was, what it is."""
    plain = change_plain(change, read)
    print(change.what)
    for sign, side in (("-", plain["before"]), ("+", plain["after"])):
        if side is not None:
            print(f"  {sign} {short(side)}")


# --- back, and elsewhere


def rollback(place: Place, run: str, at: str, target: str, *, again: bool, as_json: bool, quiet: bool) -> int:
    """Take a run back to a place and see it to its end. Raises what `Handle.rollback` does."""
    workflow = code_of(asyncio.run(head_of(place, run)), target)

    async def begin(app: App) -> list[Handle[Any]]:
        handle = await app.handle(run, workflow)
        await handle.rollback(at, again=again, by=BY)
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
