"""`run`, `resume` and what is asked of runs (`cancel`, `pause`, ...): code is loaded before an event loop runs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, replace
from sys import stderr
from typing import Any

from ..app import App
from ..authoring.flow import Runnable
from ..client import Handle
from ..core.lifecycle import ACTIVE, TERMINAL, check_transition
from ..core.limits import Limits
from ..core.replay import lineage
from ..core.usage import used_in
from ..errors import RipresaError
from ..ports import RunFilter, RunHead
from ..runtime.bodies import encode_request
from ..runtime.results import not_found
from .driving import Begin, drive
from .exits import COMPLETED, USAGE, UserCodeFailed, exit_of, worst
from .inputs import call_of, load, read_input
from .places import Place
from .screen import screen
from .telling import Teller, print_json, process_of, tell_error, tell_user_error, warn

PATIENCE = 5.0
"""Seconds to wait for the process that drives a run to take up a request."""

LOOK = 0.05

ALL = 1_000_000

BY = "command line"

REACHED = {
    "cancel": ("cancelling", "cancelled", "completed", "failed"),
    "terminate": ("terminated",),
    "pause": ("paused",),
    "continue": ("running", "waiting", *TERMINAL),
}
"""The statuses that show that a request was taken up."""

AIMS = {"cancel": "cancelling", "terminate": "terminated", "pause": "paused", "continue": "running"}


@dataclass(frozen=True, slots=True)
class Start:
    """What a run is started with, as it stands on the command line."""

    target: str
    input: str | None = None
    id: str | None = None
    concurrency: int | None = None
    tags: Sequence[str] = ()
    session: str = ""
    limits: Limits | None = None


def run(place: Place, start: Start, *, as_json: bool, quiet: bool) -> int:
    """Start a run, or find the recorded one of this id, and see it to its end."""
    with redirect_stdout(stderr):  # standard output belongs to the result: what user code prints goes beside it
        runnable = load(start.target)
        _refuse_scheduled(runnable, start)
        call = call_of(runnable, None if start.input is None else read_input(start.input))

    async def begin(app: App) -> list[Handle[Any]]:
        handle = await app.start(
            call,
            id=start.id,
            concurrency=start.concurrency,
            tags=start.tags,
            session=start.session,
            limits=start.limits,
        )
        await _take_up_if_left(app, handle)
        return [handle]

    return driven(place, begin, Teller(place, as_json, quiet))


def _refuse_scheduled(runnable: Runnable[..., Any], start: Start) -> None:
    """Raise `RipresaError(not_available)` for a document that begins by itself, unless it is begun now by hand."""
    how = getattr(getattr(runnable, "terms", None), "scheduled", "")
    if how and start.input is None:
        raise RipresaError(
            f"{start.target} says that its runs begin by themselves (schedule.{how}), and nothing here begins them",
            code="not_available",
            op="run",
            where=runnable.name,
            hint="begin one now: --input null (or another input); repeat that by cron or a timer of systemd",
        )


def driven(place: Place, begin: Begin, teller: Teller) -> int:
    """Drive runs until they end or wait, and tell how they were left; what user code prints goes beside the result."""
    from sys import stdout

    def tell(left: Any) -> int:
        with redirect_stdout(stdout):
            return teller(left)

    with redirect_stdout(stderr):
        return drive(place, screen(teller.quiet), begin, tell)


async def _take_up_if_left(app: App, handle: Handle[Any]) -> None:
    """Go on with a run that its process left unfinished; one that is paused waits for `continue`."""
    head = await app.store.find_run(handle.id)
    if head is None or head.status in TERMINAL or head.status == "paused" or handle.id in app.engine.drivers:
        return
    owner = await app.store.owner(handle.id)
    if owner is None:
        await handle.resume()
    else:
        warn(f"watching run {handle.id}, which process {process_of(owner)} drives")


# --- resume


@dataclass(frozen=True, slots=True)
class Resumed:
    """A run that is to be taken up, as it stands on the command line, perhaps with `limits` of other numbers."""

    run: str
    target: str = ""
    limits: Limits | None = None
    again: bool = False


def resume(place: Place, asked: Resumed, *, as_json: bool, quiet: bool) -> int:
    """Take a run up, with limits instead of its own of the same names, and see it to its end.

    Raises `RunNotFound`, `IllegalTransition` for one that was cancelled, `RipresaError(effects_undecided)`.
    """
    id, target, limits = asked.run, asked.target, asked.limits
    head = asyncio.run(head_of(place, id))
    workflow = None if head.status == "completed" else code_of(head, target)

    async def begin(app: App) -> list[Handle[Any]]:
        if limits is not None and head.status != "completed":
            return [await _allowed(app, head, workflow, limits, again=asked.again)]
        return [await _taken(app, id, workflow, again=asked.again)]

    return driven(place, begin, Teller(place, as_json, quiet))


async def _taken(app: App, id: str, workflow: Runnable[..., Any] | None, *, again: bool) -> Handle[Any]:
    head = await app.store.find_run(id)
    if head is not None and head.status == "paused":
        handle = await app.handle(id, workflow)
        if await app.store.owner(id) is None:
            handle = await app.resume(id, workflow)
        await handle.resume()
        return handle
    return await app.resume(id, workflow, again=again)


async def _allowed(
    app: App, head: RunHead, workflow: Runnable[..., Any] | None, more: Limits, *, again: bool
) -> Handle[Any]:
    limits, _ = used_in(item.event for item in lineage(await app.engine.history(head.id)))
    given = {name: value for name, value in asdict(more).items() if value is not None and name != "on_exceeded"}
    limits = replace(limits, **given)
    if head.status == "failed":  # it finds them as it is taken up
        await app.store.put(head.id, "limits", encode_request(limits.encode(), BY))
        return await app.resume(head.id, workflow, again=again)
    handle = await app.handle(head.id, workflow)
    await handle.allow(limits, by=BY)
    return handle


def resume_all(place: Place, *, as_json: bool, quiet: bool) -> int:
    """Take up all unfinished runs that no living process drives, and see them to their ends.

    Those that are paused stay so; those whose code cannot be loaded are told, and the others go on.
    """
    heads = [] if place.is_empty else asyncio.run(_unowned(place))
    loaded, codes = _loaded(heads)
    if not loaded:
        if not heads:
            warn(f"nothing to resume in {place.shown}")
        if as_json:
            print_json([])
        return worst(codes)

    async def begin(app: App) -> list[Handle[Any]]:
        handles: list[Handle[Any]] = []
        for id, workflow in loaded.items():
            try:
                handles.append(await app.resume(id, workflow))
            except RipresaError as error:
                codes.append(_told(error))
        return handles

    codes.append(driven(place, begin, Teller(place, as_json, quiet, several=True)))
    return worst(codes)


def _loaded(heads: list[RunHead]) -> tuple[dict[str, Runnable[..., Any]], list[int]]:
    found: dict[str, Runnable[..., Any]] = {}
    codes: list[int] = []
    for head in heads:
        try:
            found[head.id] = code_of(head, "")
        except RipresaError as error:
            codes.append(_told(error))
        except UserCodeFailed as error:
            tell_user_error(error.__cause__ or error)
            codes.append(USAGE)
    return found, codes


def _told(error: RipresaError) -> int:
    tell_error(error)
    return exit_of(error)


def code_of(head: RunHead, target: str) -> Runnable[..., Any]:
    """The code of a run. Raises `RipresaError` with the code that says why it cannot be had."""
    if not target and not head.target:
        raise RipresaError(
            f"the code of run {head.id!r} (workflow {head.workflow!r}) cannot be found: it recorded no target",
            code="unknown_workflow",
            op="resume",
            hint="say where it is: --target file.py:name",
        )
    with redirect_stdout(stderr):
        return load(target or head.target, head.version)


async def head_of(place: Place, id: str) -> RunHead:
    """The line of a run. Raises `RunNotFound`."""
    if place.is_empty:
        raise not_found(id)
    async with place.app() as app:
        head = await app.store.find_run(id)
        if head is None:
            raise not_found(id)
        return head


async def _unowned(place: Place) -> list[RunHead]:
    async with place.app() as app:
        statuses = tuple(status for status in ACTIVE if status != "paused")
        page = await app.store.list_runs(RunFilter(status=statuses, limit=ALL))
        due = await app.store.due(app.engine.clock.now(), ALL)
        return [head for head in (*reversed(page.runs), *due) if await app.store.owner(head.id) is None]


# --- requests


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked of a run: `kind` is cancel, terminate, pause or continue."""

    run: str
    kind: str
    reason: str = ""
    target: str = ""


def ask(place: Place, asked: Ask, *, quiet: bool = False) -> int:
    """Ask something of a run.

    Its owner takes it up; without one, this process takes the run up and sees the request through, clean-up included.
    Raises `RunNotFound`, `IllegalTransition`.
    """
    head = asyncio.run(head_of(place, asked.run))
    if head.status != AIMS[asked.kind]:  # a second request of the same kind changes nothing, and is no mistake
        only_from = "paused" if asked.kind == "continue" else ""
        check_transition(head.status, AIMS[asked.kind], only_from=only_from, run=asked.run, op=asked.kind)
    if asyncio.run(_asked(place, asked)):
        return COMPLETED
    try:
        workflow = code_of(head, asked.target)
    except RipresaError as error:
        if asked.kind != "pause":
            raise
        asyncio.run(_left_for_later(place, asked, error))
        return COMPLETED

    async def begin(app: App) -> list[Handle[Any]]:
        handle = await app.handle(asked.run, workflow)
        await app.engine.inbox.request(
            asked.run, asked.kind, reason=asked.reason, by=BY, take=lambda: app.resume(asked.run, workflow)
        )
        return [handle]

    code = driven(place, begin, Teller(place, quiet=quiet, asked_for=True))
    return code if asked.kind == "continue" else COMPLETED


async def _asked(place: Place, asked: Ask) -> bool:
    """Leave the request for the run's owner and see it taken up; False if the run has to be taken up for it."""
    async with place.app() as app:
        if await app.store.owner(asked.run) is None:
            return False
        hear = asked.kind == "cancel"  # what its status forbids is known already
        await app.engine.inbox.request(asked.run, asked.kind, reason=asked.reason, by=BY, hear=hear)
        status = await _wait(app, asked)
        warn(f"run {asked.run} is {status}" if status else f"asked; run {asked.run} will take it up")
    return True


async def _left_for_later(place: Place, asked: Ask, why: RipresaError) -> None:
    """Leave the request for whoever has the code of a run that nobody drives."""
    async with place.app() as app:
        await app.engine.inbox.request(asked.run, asked.kind, reason=asked.reason, by=BY, hear=False)
    warn(f"nobody drives run {asked.run}, and its code is not here; it will be paused when it is taken up ({why})")


async def _wait(app: App, asked: Ask) -> str:
    """The status that the run has taken, empty if it has not within `PATIENCE`."""
    for _ in range(round(PATIENCE / LOOK)):
        head = await app.store.find_run(asked.run)
        if head is not None and head.status in REACHED[asked.kind]:
            return head.status
        await asyncio.sleep(LOOK)
    return ""
