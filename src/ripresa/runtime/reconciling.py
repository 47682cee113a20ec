"""Finds out what an attempt did that ended without a report: by the step's own function, or by what a person says."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from functools import partial
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, Final

from ..authoring.encoding import encode
from ..authoring.failures import failure_of, printable
from ..authoring.unknown import Unknown
from ..context import StepContext, copy_variables, enter_step
from ..core.commands import Reconcile, RunStep
from ..core.events import Fact, Failure, Reconciled
from ..core.frames import PARKED, CallFrame
from ..core.lifecycle import TERMINAL
from ..errors import RipresaError
from .attempts import Running, bound_at, in_context
from .endings import is_closed
from .values import Values
from .views import Sighted

if TYPE_CHECKING:
    from ..core.state import RunState
    from .driver import Driver
    from .engine import Engine

PATIENCE: Final = 5.0
"""Seconds to wait for the process that drives a run to take an answer up."""

LOOK: Final = 0.05

_log = logging.getLogger("ripresa")


def parked_at(state: RunState, path: str) -> CallFrame | None:
    """The frame of the step at this path, if it waits until somebody says what it did."""
    frame = state.frames.get(path)
    return frame if isinstance(frame, CallFrame) and frame.phase == PARKED else None


def ask(driver: Driver, command: Reconcile) -> None:
    """Let the step's own function find out what happened; without one, a person is waited for."""
    frame = parked_at(driver.state, command.path)
    if frame is not None and not driver.stopping and bound_at(driver, frame).step.reconciler is not None:
        driver.flight.begin(Running(driver, RunStep(command.path, command.attempt, command.input)), found_out)


async def found_out(running: Running) -> Fact | None:
    """What the step's function says; None if it does not know, or was not let."""
    running.started = True
    driver, step = running.driver, running.step
    if driver.stopping:
        return None
    try:
        result = await _called(running, step.reconciler)
    except asyncio.CancelledError:
        if driver.engine.is_torn_down and not driver.stopping:
            raise
        return None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the border: what it raises is how the step failed
        if type(error) is GeneratorExit and is_closed(running):
            raise
        failure = failure_of(error, running.path, running.number)
        return Reconciled(driver.clock.now(), running.path, running.number, "failed", failure=failure, by=step.name)
    if isinstance(result, Unknown) or result is Unknown:
        return None
    try:
        text = encode(result, step.parameters.returns, where=running.path)
    except RipresaError:
        _log.warning("a reconciliation does not return what its step does", exc_info=True, extra={"run": driver.run})
        return None
    value = driver.keeper.keep(text)
    return Reconciled(driver.clock.now(), running.path, running.number, "completed", value, by=step.name)


async def _called(running: Running, fn: Any) -> Any:
    driver = running.driver
    reader = driver.values if driver.state.shared is None else Sighted(driver.state, running.frame, driver.values)
    args, kwargs = running.bound.binding.arguments(running.input, reader)
    variables = copy_variables()
    enter_step(variables, StepContext(running))
    if iscoroutinefunction(fn):
        return await in_context(variables, variables.run(fn, *args, **kwargs))
    return await driver.engine.threads.run(partial(variables.run, fn, *args, **kwargs))


def answer_to(driver: Driver, path: str, verdict: str, given: Any, by: str) -> dict[str, Any]:
    """What somebody says about the step that is parked at this path, as the body of a request.

    Raises `RipresaError(not_available)` if none is, `InvalidValue` if the step could not have returned this.
    """
    frame = parked_at(driver.state, path)
    if frame is None:
        parked = [frame.path for frame in driver.state.frames.values() if parked_at(driver.state, frame.path)]
        raise RipresaError(
            f"run {driver.run!r} does not wait for what the step at {path!r} did",
            code="not_available",
            op="reconcile",
            where=path,
            hint=f"it waits for: {', '.join(parked) or 'no step'}",
        )
    body = {"path": path, "attempt": frame.attempt, "verdict": verdict, "by": by, "output": "null", "why": ""}
    if verdict == "completed":
        returns = bound_at(driver, frame).step.parameters.returns
        body["output"] = encode(given, returns, where=path, code="invalid_input").decode()
    elif verdict == "failed":
        body["why"] = printable(str(given))
    return body


async def heard(engine: Engine, run: str, body: dict[str, Any], after: int) -> None:
    """Wait until the run has taken the answer up, if anybody drives it.

    Raises `RipresaError(invalid_state)` if the step was settled by another answer since event number `after`.
    """
    seq = after
    for _ in range(round(PATIENCE / LOOK)):
        driven = await engine.is_driven(run)  # before the look: whoever left meanwhile had written all it would
        for recorded in await engine.history(run, seq):
            seq, event = recorded.seq, recorded.event
            if isinstance(event, Reconciled) and (event.path, event.attempt) == (body["path"], body["attempt"]):
                if not _says(event, body, engine):
                    raise _too_late(run, body["path"], f"{event.by or 'somebody'} said {event.verdict!r} before")
                return
        if not driven:
            break
        await asyncio.sleep(LOOK)
    head = await engine.store.find_run(run)
    if head is not None and head.status in TERMINAL:
        raise _too_late(run, body["path"], f"the run is {head.status}")


def _says(event: Reconciled, body: dict[str, Any], engine: Engine) -> bool:
    """Whether what was recorded is this answer, or one that cannot be told from it."""
    if (event.verdict, event.by) != (body["verdict"], body["by"]):
        return False
    why = event.failure.message if event.failure is not None else ""
    return why == body["why"] and Values(engine.store.blob).text(event.output) == str(body["output"]).encode()


def _too_late(run: str, path: str, why: str) -> RipresaError:
    return RipresaError(
        f"the answer about the step at {path!r} of run {run!r} came too late: {why}",
        code="invalid_state",
        op="reconcile",
        where=path,
        hint=f"see what was recorded: ripresa show {run}",
    )


def fact_of(body: dict[str, Any], now: int) -> Reconciled:
    """The fact that such a request becomes."""
    path, attempt = str(body["path"]), int(body["attempt"])
    why = Failure("step_failed", str(body["why"]), path=path, attempt=attempt) if body["verdict"] == "failed" else None
    output = str(body["output"]).encode()
    return Reconciled(now, path, attempt, str(body["verdict"]), output, why, str(body["by"]))


def kept(fact: Reconciled, driver: Driver) -> Reconciled:
    """The fact with a large output stored by content."""
    assert isinstance(fact.output, bytes)
    return replace(fact, output=driver.keeper.keep(fact.output))
