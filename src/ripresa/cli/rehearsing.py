"""`run --dry-run`: what a run would do, without doing it; no store is opened but to look at its session."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import redirect_stdout
from sys import stderr
from typing import Any, Final

from pydantic_core import to_jsonable_python

from ..authoring.call import pending
from ..authoring.single import runnable_of
from ..core.limits import NONE, limits_of
from ..runtime.rehearsing import Given, Rehearsal, rehearse
from ..stores.rules import require_session
from .exits import COMPLETED, FAILED, WAITING
from .inputs import call_of, load, read_input
from .places import Place
from .running import Start
from .sharing import print_table
from .telling import print_json, warn

EXITS: Final = {"completed": COMPLETED, "waiting": WAITING}
"""Exit codes; a rehearsal that failed, or that cannot go on, has failed."""


def dry_run(place: Place, start: Start, *, as_json: bool) -> int:
    """Rehearse a workflow and print its steps in order, those that ran and those that would.

    Raises `SessionError(session_not_found)`.
    """
    with redirect_stdout(stderr):  # what user code prints goes beside the result
        runnable = load(start.target)
        call = call_of(runnable, None if start.input is None else read_input(start.input))
        found = asyncio.run(_in_session(place, call, start) if start.session else _alone(call, start))
    if as_json:
        print_json(_plain(found))
    else:
        rows = [
            (each.path, each.effect, "ran" if each.ran else "would run", _shown(each.arguments)) for each in found.steps
        ]
        print_table(("STEP", "EFFECT", "", "ARGUMENTS"), rows, "no step would run")
        for line in _end(found):
            warn(line)
    return EXITS.get(found.status, FAILED)


async def _alone(call: Any, start: Start) -> Rehearsal:
    asked = pending(call, "run")
    runnable = runnable_of(asked.callee)
    given = Given(limits=limits_of(start.limits, runnable, NONE, None))
    return await rehearse(runnable, asked.args, asked.kwargs, given)


async def _in_session(place: Place, call: Any, start: Start) -> Rehearsal:
    if place.is_empty:  # nothing is made for a look
        require_session(start.session, None, "rehearse")
    async with place.app() as app:
        return await app.rehearse(call, session=start.session, limits=start.limits)


def _end(found: Rehearsal) -> list[str]:
    if found.status == "stopped":
        return [f"stopped at {found.stopped_at}: what it returns cannot be made up, so nothing can be said beyond it"]
    if found.status == "failed":
        return [f"failed: {found.error}"]
    return ["it would wait from here"] if found.status == "waiting" else []


def _plain(found: Rehearsal) -> dict[str, Any]:
    return {
        "status": found.status,
        "steps": [
            {"path": each.path, "effect": each.effect, "ran": each.ran, "arguments": _values(each.arguments)}
            for each in found.steps
        ],
        "stopped_at": found.stopped_at,
        "error": found.error,
    }


def _values(arguments: Mapping[str, Any]) -> Any:
    return to_jsonable_python(dict(arguments), fallback=repr)


def _shown(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in _values(arguments).items())
