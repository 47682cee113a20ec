"""Runs that start runs: what a durable function sends, how a run tells the one that started it of its end.

Law: a run is started, and asked to end, by the outbox of the one that wants it, in the batch that says so; its end is
told by its own outbox, in the batch in which it ends. Who waits looks at the store first, so that no end is missed.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from ..authoring.flow import Runnable
from ..core.codec import failure_from, failure_plain
from ..core.commands import Ask, LookUp
from ..core.events import (
    ChildEnded,
    Dispatched,
    Event,
    Failure,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunTerminated,
    RunUndone,
)
from ..core.lifecycle import ACTIVE, TERMINAL
from ..core.nodes.child import ABANDON, Dispatch
from ..core.nodes.dynamic import DynamicFrame
from ..core.questions import ends_by
from ..core.values import Value
from ..core.view import view_of
from ..errors import IllegalTransition, RipresaError, RunExists, RunNotFound, StoreError
from ..ports import NEVER, Outgoing, RunHead
from .bodies import encode_request, encode_signal
from .clock import sleep
from .mailing import QueuedStart
from .targets import target_of

if TYPE_CHECKING:
    from .driver import Driver
    from .engine import Engine

PARENT: Final = "parent:"
"""What stands before the id of the run that started it among the tags by which a run is listed."""

AGAIN: Final = 1.0
"""Seconds after which a store that did not say how a run has ended is asked again."""

_OVER: Final = (RunCompleted, RunFailed, RunCancelled, RunTerminated, RunUndone)
_FOR_GOOD: Final = ("completed", "cancelled", "terminated", "undone")

_log = logging.getLogger("ripresa")


# --- what a function sends


def dispatched(driver: Driver, ask: Ask) -> Dispatched:
    """What a durable function has asked to be sent, as a fact."""
    state, frame = driver.state, driver.state.frames[ask.path]
    assert isinstance(frame.node, Dispatch)
    assert isinstance(frame.parent, DynamicFrame)
    wanted, text = frame.node.wanted, driver.values.text(frame.input)
    kind: str = wanted["kind"]
    where = f"{driver.run}~{state.generation}/{frame.path}"
    if driver.reuse is not None:
        before = driver.reuse.sent(driver, frame.path)
        if before is not None:
            _require_same(driver, before, wanted, frame.key)
            return before
        if frame.path in driver.reuse.anew:
            where += f"~{driver.reuse.anew[frame.path]}"
    id: str = wanted["id"] or id_of(driver.run, where)
    if kind == "start":
        runnable: Runnable[..., Any] = driver.functions.callee(frame.parent.path, frame.key).runnable
        driver.engine.outbox.remember(runnable)
        definition, target = runnable.definition, target_of(runnable)
        place = (id, definition.name, definition.version, definition.hash, target, text)
        due = 0 if wanted["close"] == ABANDON else ends_by(state, frame)  # it is to outlive this run, or not
        queued = QueuedStart(*place, driver.run, reports=True, session=driver.head.session, deadline=due)
        body = queued.encode()
        return Dispatched(state.at, ask.path, kind, id, id, driver.keeper.keep(body), wanted["close"])
    if kind == "signal":
        body = encode_signal(wanted["name"], text, id, driver.run)
    else:
        body = encode_request(json.loads(text), driver.run)
    return Dispatched(state.at, ask.path, kind, wanted["target"], id, driver.keeper.keep(body))


def _require_same(driver: Driver, before: Dispatched, wanted: dict[str, Any], key: int) -> None:
    """Raise `RipresaError(migration_failed)` if a function sends something else than before the run was migrated."""
    sent, sends = before.target, str(wanted.get("target", ""))
    if wanted["kind"] == "start":
        parent = driver.state.frames[before.path].parent
        assert parent is not None
        sends = driver.functions.callee(parent.path, key).runnable.definition.name
        sent = QueuedStart.decode(driver.values.text(before.body)).workflow if before.kind == "start" else sent
    if (before.kind, sent) != (wanted["kind"], sends):
        raise RipresaError(
            f"at {before.path!r} run {driver.run!r} did {before.kind} {sent!r}, where its new version wants to "
            f"{wanted['kind']} {sends!r}",
            code="migration_failed",
            op="migrate",
            where=before.path,
            hint="say in a migration where it stands now, run.rename(), or run.forget() it",
        )


def id_of(run: str, place: str) -> str:
    """An id that nothing else has: the run's own with a digest of the place."""
    return f"{run[:160]}.{sha256(place.encode()).hexdigest()[:16]}"


# --- a run ends


def conclude(driver: Driver, events: Sequence[Event]) -> list[Outgoing]:
    """What a run with a family sends as it ends: to the one that started it, and to those that must not outlive it."""
    state = driver.state
    if not events or not isinstance(events[-1], _OVER):
        return []
    sent: list[Outgoing] = []
    place = f"{driver.run}/{state.seq}"
    if state.parent:
        output = driver.values.text(driver.output) if driver.output is not None else b"null"
        body = encode_end(driver.run, state.status, output, failure_for(driver.run, state.status, _why(driver)))
        sent.append(Outgoing(driver.run, "", "ended", state.parent, place, body, state.at))
    for child, close in state.children.items():
        body = encode_request(f"run {driver.run!r}, which started it, is {state.status}", driver.run)
        sent.append(Outgoing(driver.run, "", close, child, f"{place}/{child}", body, state.at))
    return [each for each in sent if each not in driver.shared]


def _why(driver: Driver) -> Failure | str:
    return driver.failure if driver.failure is not None else driver.state.reason


def failure_for(run: str, status: str, why: Failure | str | None) -> Failure | None:
    """What whoever waits for a run that ended like this sees; None if it has completed."""
    if status == "completed":
        return None
    if status == "failed" and isinstance(why, Failure):
        kind = why.types[0].rpartition(".")[2] + ": " if why.types else ""
        return Failure("run_failed", f"run {run!r} failed: {kind}{why.message}", path=why.path, cause=why)
    reason = f": {why}" if isinstance(why, str) and why else ""
    return Failure(status, f"run {run!r} was {status}{reason}")


def encode_end(run: str, status: str, output: bytes, failure: Failure | None) -> bytes:
    """The end of a run, as the body of a request to the one that started it."""
    plain = failure and failure_plain(failure)
    return json.dumps({"run": run, "status": status, "output": output.decode(), "failure": plain}).encode()


def decode_end(body: dict[str, Any], now: int) -> ChildEnded:
    """The fact that such a request becomes."""
    failure, output = body["failure"], str(body["output"]).encode()
    return ChildEnded(now, str(body["run"]), str(body["status"]), output, failure and failure_from(failure))


def kept(fact: ChildEnded, driver: Driver) -> ChildEnded:
    """The fact with a large output stored by content."""
    assert isinstance(fact.output, bytes)
    return replace(fact, output=driver.keeper.keep(fact.output))


# --- what the outbox delivers


async def tell_end(engine: Engine, run: str, body: bytes, id: str) -> None:
    """Tell a run that one which it started has ended. One that has ended for good is not told."""
    head = await engine.store.find_run(run)
    if head is None or head.status in _FOR_GOOD:
        return
    with suppress(RunNotFound):  # pruned at this very moment
        if await engine.store.put(run, "child", body, f"child/{id}") and run in engine.drivers:
            await engine.inbox.collect()


async def ask_to_end(engine: Engine, parcel: Outgoing) -> None:
    """Ask a run to end, unless it has."""
    body = json.loads(parcel.body)
    with suppress(IllegalTransition, RunNotFound):
        await engine.inbox.request(parcel.target, parcel.kind, reason=body["reason"], by=body["by"], hear=False)


async def tell_not_started(engine: Engine, parcel: Outgoing) -> None:
    """Tell the run that wanted another one started that this was given up."""
    queued = QueuedStart.decode(parcel.body)
    if queued.reports:
        body = encode_end(queued.run, "failed", b"null", _not_started(parcel))
        await tell_end(engine, parcel.run, body, f"{queued.run}/{parcel.number}")


def _not_started(parcel: Outgoing) -> Failure:
    return Failure("run_failed", f"run {parcel.target!r} could not be started: {parcel.error}")


async def begin_here(engine: Engine, known: Runnable[..., Any] | None, queued: QueuedStart) -> bool:
    """Begin a run in an engine that has no app around it."""
    from .engine import Start

    assert known is not None, "whoever starts a run here has its code"
    with suppress(RunExists):
        await engine.start(
            Start(
                known,
                queued.input,
                queued.run,
                queued.target,
                deadline=queued.deadline,
                parent=queued.parent,
                reports=queued.reports,
            )
        )
    return True


def require_own(head: RunHead, queued: QueuedStart) -> None:
    """Raise `RunExists` if a run that is there already is not the one which was to be started, but somebody else's."""
    if queued.reports and PARENT + queued.parent not in head.tags:
        raise RunExists(
            f"run {head.id!r} was not started by run {queued.parent!r}",
            run=head.id,
            op="start",
            hint="choose another id",
        )


# --- who waits looks


async def look_up(driver: Driver, command: LookUp) -> None:
    """See whether a run that is waited for has ended already; if not, it will tell."""
    found = None if driver.reuse is None else driver.reuse.ended(command.run)
    while found is None and not driver.ended.done():
        try:
            found = await _end_of(driver.engine, driver.run, command.run)
            break
        except StoreError:  # if it has ended, it will not tell again
            _log.warning("the store does not say how a run has ended", exc_info=True, extra={"run": command.run})
            await sleep(driver.clock, AGAIN)
    if found is not None:
        fact = replace(found, at=driver.clock.now())
        driver.deliver_if_driven(kept(fact, driver) if isinstance(fact.output, bytes) else fact)


async def _end_of(engine: Engine, parent: str, run: str) -> ChildEnded | None:
    sent = [each for each in await engine.store.outgoing_of(parent) if (each.kind, each.target) == ("start", run)]
    head = await engine.store.find_run(run)
    if sent and (head is None or PARENT + parent not in head.tags):  # nobody has begun it yet
        return ChildEnded(0, run, "failed", failure=_not_started(sent[-1])) if sent[-1].due == NEVER else None
    if head is None:
        return _gone(run)
    if head.status not in TERMINAL:
        if head.status in ACTIVE and not await engine.is_driven(run):
            await engine.waker.take_up(head)  # its process left it; if its code is not here, others may have it
        return None
    try:
        view = view_of(await engine.history(run))
    except RunNotFound:  # pruned at this very moment
        return _gone(run)
    if not view.ended:  # it was taken up again at this very moment
        return None
    output: Value = view.output if view.status == "completed" and view.output is not None else b"null"
    why = view.failure if view.status == "failed" else view.reason
    return ChildEnded(0, run, view.status, output, failure_for(run, view.status, why))


def _gone(run: str) -> ChildEnded:
    """The end of a run of which nobody knows any more how it ended."""
    return ChildEnded(0, run, "failed", failure=Failure("run_failed", f"run {run!r} is not there any more"))
