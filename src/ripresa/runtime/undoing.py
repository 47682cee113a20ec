"""Takes back what a run did that has ended, and says what was undone, what was not, and what cannot be."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..authoring.flow import Runnable
from ..core.events import (
    CallFailed,
    CallRecorded,
    CallStarted,
    Failure,
    Reconciled,
    Recorded,
    RunTaken,
    StateChanged,
    StateOpened,
    StateRestored,
    StepFailed,
    StepStarted,
    UndoRequested,
)
from ..core.joined import as_joined
from ..core.lifecycle import LIVE
from ..core.places import find_place
from ..core.replay import lineage
from ..core.shared import Fields, differing, in_order
from ..core.view import RunView, view_of
from ..errors import IllegalTransition
from ..ports import RunHead
from .driver import Driver
from .engine import Engine
from .mail import Mail
from .restoring import replayed
from .results import not_found

LOOK: Final = 0.01
"""Seconds between two looks whether another process has let go of a run that has ended."""


@dataclass(frozen=True, slots=True)
class UndoReport:
    """What became of what a run did: the paths of what was `undone`, in this order, and why the rest `failed`.

    `irreversible` are the steps that nothing can undo: they did, or may have done, what they do. `skipped` are those of
    `undone` that only count as such, because a hook says so.
    """

    undone: tuple[str, ...]
    failed: Mapping[str, Failure]
    irreversible: tuple[str, ...]
    skipped: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether all that can be undone is undone."""
        return not self.failed


@dataclass(frozen=True, slots=True)
class Undo:
    """What is to be undone: all that happened after the place `to` (see `core.places`), or all."""

    to: int | str | None = None
    reason: str = ""
    by: str = ""


async def begin_undo(
    engine: Engine, run: str, code: Callable[[], Awaitable[Runnable[..., Any]]], asked: Undo
) -> Driver | None:
    """Begin to undo a run, here; None if another process does already, or if nothing is left to undo.

    An undo that was left in the middle goes on. Raises `IllegalTransition` for a run that has not ended,
    `RipresaError(no_such_place)`, `RunNotFound`, and what taking a run up raises.
    """
    after = 0 if asked.to is None else find_place(await engine.history(run), asked.to)
    leaving = engine.drivers.get(run)
    if leaving is not None and leaving.state.status not in ("running", "paused", "cancelling", "undoing"):
        await leaving.ended.wait()
        leaving.ended.result()
    head = await engine.store.find_run(run)
    if head is None:
        raise not_found(run)
    if head.status == "undoing":
        here = engine.drivers.get(run)
        return here if await engine.is_driven(run) else await engine.take(head, await code())
    require_ended(run, head.status)
    runnable = await code()
    late = engine.loop.time() + engine.patience
    while True:
        async with engine.gate(run):
            epoch = await engine.store.claim(run)
            if epoch is not None:
                return await _begun(engine, run, runnable, asked, after, epoch)
        head = await engine.store.find_run(run)
        if head is None or head.status == "undoing":  # whoever has it is at it: that is seen to its end
            return None
        if engine.loop.time() >= late:
            raise await engine.owned_elsewhere(run)
        await asyncio.sleep(LOOK)


def require_ended(run: str, status: str) -> None:
    """Raise `IllegalTransition` for a run that has not ended."""
    if status in LIVE and status != "undoing":
        hint = f"cancel it, which undoes what it did: ripresa cancel {run}; or undo it when it has ended"
        raise IllegalTransition(f"run {run!r} is {status} and cannot be undone yet", run=run, op="undo", hint=hint)


async def _begun(
    engine: Engine, run: str, code: Runnable[..., Any], asked: Undo, after: int, epoch: int
) -> Driver | None:
    try:
        head = await engine.store.find_run(run)
        assert head is not None
        require_ended(run, head.status)
        line = lineage(await engine.history(run))
        driver = replayed(engine, head, code, line)
        if driver.state.status == "undone" and not driver.state.ledger.after(after):
            driver.close()
            await engine.release(run)
            return None
        now = engine.clock.now()
        taken = Mail(RunTaken(now, epoch, engine.name))
        try:
            undo = Mail(UndoRequested(now, after, asked.reason, asked.by, _states(engine, head, code, line, after)))
            await driver.commit_takeover([taken, *engine.hooks_of(driver), undo])
        except BaseException:
            driver.close()
            raise
    except BaseException:
        await engine.release(run)
        raise
    engine.rolled_back.add(run)
    engine.drive(driver, engine.wanted(driver))
    return driver


def _states(
    engine: Engine, head: RunHead, code: Runnable[..., Any], line: list[Recorded], place: int
) -> tuple[StateRestored, ...]:
    """How the states of a run get back to what they were at a place; those that began later, to their beginning."""
    view, then = RunView(), dict[str, Fields]()
    for recorded in line:
        event = recorded.event
        view.apply(recorded)
        if isinstance(event, StateOpened if recorded.seq > place else StateOpened | StateChanged | StateRestored):
            then[event.path] = view.states[event.path].fields
    if then and place:
        there = replayed(engine, head, code, [recorded for recorded in line if recorded.seq <= place])
        there.close()
        then.update(as_joined(there.state))
    found = {path: differing(in_order(view.states[path].fields), in_order(fields)) for path, fields in then.items()}
    return tuple(StateRestored(path, *changed) for path, changed in found.items() if changed is not None)


def report_of(journal: list[Recorded]) -> UndoReport:
    """What a whole journal says of what was undone."""
    view = view_of(journal)
    begun: dict[tuple[str, str], None] = {}
    done: set[tuple[str, str]] = set()
    for recorded in lineage(journal):
        match recorded.event:
            case StepStarted(_, path):
                begun[path, ""] = None
            case CallStarted(_, path, _, key):
                begun[path, key] = None
            case CallRecorded(_, path, _, key) if (path, key) in begun:
                done.add((path, key))
            case CallFailed(_, path, _, key):
                begun.pop((path, key), None)
            case StepFailed(_, path):
                begun.pop((path, ""), None)
            case Reconciled(_, path, _, "failed" | "retry"):
                for place in [place for place in begun if place[0] == path and place not in done]:
                    del begun[place]
            case _:
                pass
    irreversible = tuple(dict.fromkeys(path for path, _ in begun))
    failed = {path: failure for path, failure in view.not_undone.items() if path not in irreversible}
    return UndoReport(tuple(view.undone), failed, irreversible, tuple(view.undo_skipped))
