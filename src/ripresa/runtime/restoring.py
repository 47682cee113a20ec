"""How a run is built up again from its journal, and what taking it over entails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from ..authoring.flow import Runnable
from ..core.commands import CancelStep, Command
from ..core.definition import Definition, differences
from ..core.events import (
    ApprovalDelegated,
    Asked,
    AttemptLost,
    ContinueRequested,
    Fact,
    LimitsSet,
    Migrated,
    PauseRequested,
    Raised,
    Recorded,
    Restarted,
    Returned,
    RolledBack,
    RunFailed,
    RunForked,
    RunReopened,
    RunStarted,
    RunTaken,
    SignalReceived,
    SignalRefused,
    VoteCast,
)
from ..core.frames import CANCELLING, OPEN, CallFrame
from ..core.limits import decode_limits
from ..core.repeating import repeats
from ..core.replay import began_at, feed, started_of, steps
from ..core.state import RunState
from ..core.values import NULL
from ..errors import DefinitionChanged
from ..ports import RunHead
from .attempts import bound_at
from .driver import Driver
from .endings import lost_attempt
from .mail import Mail
from .undecided import RESUME, refuse_undecided

if TYPE_CHECKING:
    from .engine import Engine

_MENDED: Final = frozenset((RunReopened, RunFailed))
_FRESH: Final = frozenset((Migrated, RolledBack, RunTaken, RunForked))
SLICES: Final = (Asked, Returned, Raised, Restarted)
"""What a durable function has done, as facts."""

MESSAGES: Final = (SignalReceived, SignalRefused, VoteCast, ApprovalDelegated)
"""Facts that are for the run as it goes on, also when it had failed before they came."""


def replayed(
    engine: Engine,
    head: RunHead,
    runnable: Runnable[..., Any],
    line: list[Recorded],
    *,
    told: Callable[[Driver, Recorded, list[Recorded]], None] | None = None,
    checked: bool = True,
    state: RunState | None = None,
) -> Driver:
    """A driver that stands at the end of a line. `told` is called before each fact that led there is fed.

    If not `checked` the definition may be another one than the run's, as long as it decides the same. `state` is what
    is brought there, without a word a new one.
    """
    definition, started = runnable.definition, started_of(line)
    if checked:
        _check_definition(engine, started, definition, head.id)
    limits = decode_limits(started.limits)
    state = state or RunState(definition.for_run())
    driver = Driver(engine, state, head, runnable, concurrency=limits.concurrency)
    mended = max((item.seq for item in line if type(item.event) in _MENDED), default=0)
    try:
        for fact, recorded in steps(line):
            if told is not None:
                told(driver, fact, recorded)
            if isinstance(fact.event, SLICES):
                driver.functions.replay(fact.event, strict=fact.seq > mended)
            feed(driver.state, fact, recorded)
    except BaseException:
        driver.close()
        raise
    driver.keeper.take()
    _restore_reuse(driver, line)
    engine.limit(driver, limits, began_at(line), line)
    return driver


def _restore_reuse(driver: Driver, line: list[Recorded]) -> None:
    """A fork or migrated run goes on taking over results after it was taken up again, and one that was given some."""
    for recorded in line:
        event = recorded.event
        if type(event) not in _FRESH:
            continue
        if isinstance(event, Migrated | RunTaken):
            driver.fresh = isinstance(event, Migrated)
        if isinstance(event, RunForked | Migrated) or (isinstance(event, RolledBack) and event.reuse != NULL):
            from .reuse import Reuse

            driver.take_over(Reuse.decode(driver.values.text(event.reuse), event.generation))


def _check_definition(engine: Engine, started: RunStarted, definition: Definition, run: str) -> None:
    if started.definition == definition.hash:
        return
    found = differences(engine.store.blob(started.definition), definition.description)
    error = DefinitionChanged(
        f"the structure of workflow {started.workflow!r} changed since run {run!r} began:\n"
        + "\n".join(f"  - {line}" for line in found),
        op="resume",
        where=started.workflow,
        hint="bodies, retries and timeouts of steps may change under a run; restore the structure or start anew",
    )
    error.nodes = tuple(line.split(":")[0] for line in found)
    raise error


def takeover(driver: Driver, epoch: int, pending: list[Mail]) -> list[Mail]:
    """What is appended first of all by whoever takes a run over: that it did, what was lost, what was asked since."""
    state, now = driver.state, driver.clock.now()
    taken = [Mail(RunTaken(now, epoch, driver.engine.name))]
    hooks = driver.engine.hooks_of(driver)
    if state.status == "failed":
        signals = [mail for mail in pending if isinstance(mail.fact, MESSAGES) or _allows(mail)]
        void = [mail for mail in pending if mail not in signals]  # asked of the run before it failed
        return [*taken, *void, Mail(RunReopened(now, kept=True)), *hooks, *signals]
    lost = () if driver.fresh else _lost(driver, now)
    first = [mail for mail in pending if isinstance(mail.fact, PauseRequested | ContinueRequested)]
    rest = [mail for mail in pending if mail not in first]  # a run that is to pause begins none of its attempts anew
    return [*taken, *hooks, *first, *map(Mail, lost), *rest]


def refuse_repeats(state: RunState) -> None:
    """Raise `RipresaError(effects_undecided)` for a failed run that, reopened, would do again what nothing can undo."""
    if state.status == "failed":
        refuse_undecided(RESUME, "resume", state.run, repeats(state))


def _allows(mail: Mail) -> bool:
    """Whether somebody gives the run other limits: with those it goes on."""
    return isinstance(mail.fact, LimitsSet) and bool(mail.fact.limits)


def _lost(driver: Driver, now: int) -> Iterator[Fact]:
    """What became of the attempts that were under way when the run was left."""
    state = driver.state
    for frame in list(state.frames.values()):
        if not isinstance(frame, CallFrame):
            continue
        if frame.phase == CANCELLING:
            yield AttemptLost(now, frame.path, frame.attempt, "cancelled")
        elif frame.phase == OPEN:
            step = bound_at(driver, frame).step
            if step.options.effect != "irreversible" or frame.started == frame.attempt:
                yield lost_attempt(driver, frame, step, "crashed", now)


def stopped(driver: Driver) -> Iterator[Command]:
    """A request that waited for the run has cancelled attempts that nobody has in flight."""
    for frame in driver.state.frames.values():
        if isinstance(frame, CallFrame) and frame.phase == CANCELLING:
            yield CancelStep(frame.path, frame.attempt)
