"""How a run ended, as a value or as the error that says why there is none."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..advice import mending
from ..authoring.failures import error_of, place_of
from ..core import events as facts
from ..core.events import Event, Failure
from ..core.values import NULL, Value, is_inline, text_of
from ..errors import IllegalTransition, RunCancelled, RunError, RunFailed, RunNotFound
from . import family

if TYPE_CHECKING:
    from ..core.view import RunView
    from .driver import Driver
    from .values import Values


def result_of(run: str, status: str, output: Value | None, values: Values, output_type: Any) -> Any:
    """The decoded output of a completed run. Raises `RunFailed`, `RunCancelled` or, while it goes on, `RunError`."""
    if status == "completed":
        return values.read(NULL if output is None else output, output_type)
    raise RunError(f"run {run!r} is {status} and has no result yet", run=run, code="not_available", op="result")


def run_error(run: str, failure: Failure) -> RunFailed:
    """What `result()` raises for a failed run; its cause is the step's exception."""
    place = f" in step {failure.path!r}, attempt {failure.attempt}" if failure.path and failure.attempt else ""
    kind = failure.types[0].rpartition(".")[2] + ": " if failure.types else ""
    error = RunFailed(
        f"run {run!r} failed{place}: {kind}{failure.message}",
        run=run,
        op="result",
        where=place_of(failure),
        hint=mending(failure, run, "ripresa resume {}".format),
    )
    error.failure = failure
    error.__cause__ = error_of(failure)
    return error


def cancel_error(run: str, status: str, reason: str, view: RunView | None = None) -> RunCancelled:
    """What `result()` raises for a run that was cancelled or terminated, with what its view knows of it."""
    why = f": {reason}" if reason else ""
    error = RunCancelled(f"run {run!r} was {status}{why}", run=run, code=status, op="result")
    error.reason = reason
    if view is not None:
        error.failures = view.failures
        error.at = datetime.fromtimestamp(view.updated_at / 1_000_000, UTC)
        error.undone, error.not_undone = tuple(view.undone), dict(view.not_undone)
    return error


def child_error(run: str, failure: Failure) -> RunError:
    """What whoever waits for the end of another run sees if it did not complete."""
    kind = RunFailed if failure.code == "run_failed" else RunCancelled
    error = kind(failure.message, run=run, op="result", where=failure.path)
    error.code = failure.code
    error.__dict__["failure"] = failure
    if failure.cause is not None:
        error.__cause__ = error_of(failure.cause)
    return error


def ended(run: str, status: str) -> IllegalTransition:
    """The error for whatever is asked of a run that has ended."""
    return IllegalTransition(f"run {run!r} is {status}: nothing can be asked of it", run=run)


def interrupted(run: str) -> RunError:
    """The error for whoever waits for a run that this process does not drive any more."""
    return RunError(
        f"run {run!r} was left where it stood",
        run=run,
        code="interrupted",
        hint=f"take it up again: ripresa resume {run}",
    )


def not_found(run: str) -> RunNotFound:
    """The error for a run that is not in the store."""
    return RunNotFound(
        f"there is no run {run!r} in this store", run=run, hint="ripresa runs lists those that there are"
    )


def conclude(driver: Driver, events: list[Event]) -> None:
    """Keep how a run ended for whoever waits for it; a large result is stored by content."""
    for index, event in enumerate(events):
        if isinstance(event, facts.RunCompleted):
            output = event.output
            if not isinstance(output, bytes) and is_inline(output):
                output = driver.keeper.keep(text_of(output))
                events[index] = facts.RunCompleted(output)
            driver.output = output
        elif isinstance(event, facts.RunFailed):
            driver.failure = event.failure
    if driver.state.parent or driver.state.children:
        driver.shared += tuple(family.conclude(driver, events))
