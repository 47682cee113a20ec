"""How attempts end: what the step did, or what was done to it, as a fact of the run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..authoring.encoding import encode
from ..authoring.failures import failure_of
from ..authoring.step import Step
from ..core.advance import accepts
from ..core.commands import CancelStep
from ..core.durations import MICROSECONDS
from ..core.events import AttemptLost, Fact, Failure, LateOutcome, Reconciled, StepCompleted, StepFailed
from ..core.frames import CallFrame
from ..core.lifecycle import TERMINAL
from ..core.nodes.call import lost_failure
from ..core.retry import retry_after, spread_of
from ..core.values import Value
from ..errors import RipresaError, asked_wait

if TYPE_CHECKING:
    from .attempts import Running
    from .driver import Driver


class StreamHeld(RipresaError):
    """A stream that failed was paused by its hook: its attempt is run again when the run goes on."""


def raised(running: Running, error: BaseException, limit: asyncio.Timeout | None) -> Fact:
    """What it is that an attempt raised this."""
    if isinstance(error, StreamHeld):
        return lost(running, "interrupted")
    if isinstance(error, RipresaError):
        irreversible = running.step.options.effect == "irreversible"
        if error.code == "limit_exceeded" and running.refused is not None and not irreversible:
            return running.refused
        unknown = irreversible and getattr(error, "unknown", False)
        return lost(running, "process_died") if unknown or error.code == "process_died" else failed(running, error)
    if isinstance(error, TimeoutError) and limit is not None and limit.expired():
        return lost(running, "timeout")
    return failed(running, error)


def is_closed(running: Running) -> bool:
    """Whether a GeneratorExit comes of closing a coroutine that nobody awaits any more, and not of the step."""
    found = running.driver.flight.under_way.get((running.path, running.number))
    if found is None:
        return True
    try:
        return asyncio.current_task() is not (found[1] or running.driver.task)
    except RuntimeError:  # no loop runs
        return True


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__


def failed(running: Running, error: BaseException) -> StepFailed | AttemptLost:
    """The fact that an attempt raised, with the decision whether and when there is another one.

    One that ended because nobody knows what an irreversible call inside it did is not repeated: it waits for who does.
    """
    driver = running.driver
    if running.unknown is not None and running.unknown in _chain(error):
        return AttemptLost(driver.clock.now(), running.path, running.number, "parked")
    failure = failure_of(error, running.path, running.number)
    now = driver.clock.now()
    retry_at = next_attempt(driver, running.frame, running.step, failure, now)
    least = now + round(asked_wait(error) * MICROSECONDS)
    return StepFailed(now, running.path, running.number, failure, max(retry_at, least) if retry_at else 0)


def lost(running: Running, reason: str) -> AttemptLost:
    """The fact that an attempt ended without a report, with the decision whether there is another one."""
    driver = running.driver
    fact = lost_attempt(driver, running.frame, running.step, reason, driver.clock.now())
    if not running.began and running.frame.node.undo is not None:
        return replace(fact, began=False)
    return fact


def lost_attempt(driver: Driver, frame: CallFrame, step: Step[..., Any], reason: str, now: int) -> AttemptLost:
    """The same for an attempt that may have run in another process.

    An irreversible step that had begun may have done its work: it waits until somebody says whether it has.
    """
    if step.options.effect == "irreversible" and frame.started == frame.attempt and reason != "cancelled":
        return AttemptLost(now, frame.path, frame.attempt, "parked")
    if reason == "interrupted":
        return AttemptLost(now, frame.path, frame.attempt, reason, now + 1)  # due when somebody drives the run again
    failure = lost_failure(reason, frame.path, frame.attempt)
    return AttemptLost(now, frame.path, frame.attempt, reason, next_attempt(driver, frame, step, failure, now))


def next_attempt(driver: Driver, frame: CallFrame, step: Step[..., Any], failure: Failure, now: int) -> int:
    """When the next attempt is due (microseconds since 1970), 0 if there is none."""
    tries = frame.attempt - frame.base + 1
    spread = spread_of(driver.state.seed, frame.path, frame.attempt)
    wait = retry_after(step.options.retry, tries, failure, spread)
    return 0 if wait is None else now + round(wait * MICROSECONDS)


def stopped(running: Running) -> Fact:
    """An attempt was cancelled: because the run asked for it, because the engine stops, or by the step's own doing."""
    if running.cancelling:
        return lost(running, "cancelled")
    if running.driver.stopping:
        return lost(running, "interrupted")
    return failed(running, RipresaError("the step cancelled itself", code="cancelled", where=running.path))


def late_result(running: Running, result: Any) -> None:
    """A thread that was left to itself has returned; what it did counts if it can be undone, or if nobody knew it."""
    try:
        text = encode(result, running.step.parameters.returns, where=running.path)
    except RipresaError:  # then nobody knows what it did, as before
        return
    _tell_late(running, text)


def late(running: Running, fact: Fact) -> None:
    """An attempt that had been given up ended after all: tell the run what it returned, if that is news to it."""
    if isinstance(fact, StepCompleted):
        _tell_late(running, fact.output)


def _tell_late(running: Running, output: Value) -> None:
    driver, now = running.driver, running.driver.clock.now()
    facts: tuple[LateOutcome | Reconciled, ...] = (
        LateOutcome(now, running.path, running.number, output, running.frame.generation),
        Reconciled(now, running.path, running.number, "completed", output, by="late report"),
    )
    for fact in facts[: 1 if driver.state.shared is not None else 2]:  # what it wrote to the state is lost
        if driver.state.status in TERMINAL:
            if isinstance(fact, LateOutcome):
                driver.engine.late.put(driver, fact)
        elif accepts(driver.state, fact):
            kept = driver.keeper.keep(output) if isinstance(output, bytes) else output
            driver.deliver_if_driven(replace(fact, output=kept))


def never_began(driver: Driver, command: CancelStep) -> AttemptLost:
    """The fact that an attempt was cancelled which nobody has in flight."""
    frame = driver.state.frames.get(command.path)
    undoable = frame is not None and frame.node.undo is not None
    return AttemptLost(driver.clock.now(), command.path, command.attempt, "cancelled", began=not undoable)
