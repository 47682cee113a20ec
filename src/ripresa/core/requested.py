"""Requests that interceptors are asked about before they happen: a cancellation, a signal, a checkpoint, a rollback.

Law: the request is a fact and so is the answer; what is let through comes as the fact that it would have been, in the
batch of the answer. Requests at one point are asked about one after another, so that none overtakes the one before.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from . import gates
from .commands import Intercept, Proceed, Withdraw
from .events import (
    CancelRequested,
    CheckpointNamed,
    Fact,
    Failure,
    Intercepted,
    Requested,
    RequestRefused,
    SignalReceived,
    UpdateAnswered,
)
from .gates import Gate
from .nodes.answer import UPDATES

if TYPE_CHECKING:
    from .state import RunState

Request: TypeAlias = CancelRequested | CheckpointNamed | SignalReceived
"""What may be asked about before it happens, in a run as it stands; a rollback is asked about in another way."""

ROLLBACK: Final = "rollback"
"""What is asked about, and answered, in one go by whoever rolls the run back."""

POINTS: Final[dict[type[Fact], str]] = {
    CancelRequested: "cancel",
    CheckpointNamed: "checkpoint",
    SignalReceived: "signal",
}
"""The point at which each request stands."""


GUARDED: Final = "?hooks"
"""Among the tags of a run at which interceptors stand that may refuse what is asked of it."""


def is_guarded(run: RunState) -> bool:
    """Whether interceptors may refuse something that is asked of the run."""
    return any(point in run.points for point in POINTS.values())


def asks_first(run: RunState, fact: Fact) -> bool:
    """Whether interceptors are to be asked before this happens."""
    point = POINTS.get(type(fact))
    return point is not None and run.root is not None and gates.stands_at_root(run, point)


def as_request(fact: Any) -> Requested:
    """The request that this would be."""
    match fact:
        case CancelRequested(at, reason, by):
            return Requested(at, "cancel", reason, by=by)
        case CheckpointNamed(at, name, by):
            return Requested(at, "checkpoint", name, by=by)
        case _:
            return Requested(fact.at, "signal", fact.name, fact.value, fact.id, fact.by)


def as_fact(request: Requested) -> Request:
    """What happens if it is let through."""
    if request.point == "cancel":
        return CancelRequested(request.at, request.name, request.by)
    if request.point == "checkpoint":
        return CheckpointNamed(request.at, request.name, request.by)
    return SignalReceived(request.at, request.name, request.value, request.id, request.by)


def requested(run: RunState, fact: Requested) -> None:
    """Ask about a request, as soon as those before it at its point have been answered."""
    run.requests[f"!{run.seq + 1}"] = fact
    _ask_next(run, fact.point)


def ask_again(run: RunState) -> None:
    """The run goes on after it had ended: ask about what waits still, but not about stopping what has stopped."""
    for key in [key for key, request in run.requests.items() if request.point in ("cancel", "rollback")]:
        del run.requests[key]
    run.granted = tuple(let for let in run.granted if not isinstance(let, CancelRequested))
    run.commands.extend(map(Proceed, run.granted))
    for point in dict.fromkeys(request.point for request in run.requests.values()):
        _ask_next(run, point)


def withdraw(run: RunState) -> None:
    """The run has ended: nobody waits for answers about it as a whole."""
    for key in [key for key in run.gates if key.startswith("!") and key not in run.frames]:
        del run.gates[key]
        run.commands.append(Withdraw(key))


def _ask_next(run: RunState, point: str) -> None:
    for key, request in run.requests.items():
        if request.point == point:
            if key not in run.gates:
                run.gates[key] = Gate(point, request.value, request.number, request.name)
                if point != ROLLBACK:
                    run.commands.append(Intercept(key, point))
            return


def intercepted(run: RunState, fact: Intercepted) -> None:
    """Let a request through, as it was or another, or refuse it."""
    request = run.requests.pop(fact.path)
    del run.gates[fact.path]
    match fact.answer:
        case "veto":
            _refuse(run, request, Failure("vetoed", fact.detail or "a hook forbids it"))
        case "fail" if request.point != "cancel":
            assert fact.failure is not None
            _refuse(run, request, fact.failure)
        case "cancel":
            if run.status not in ("cancelling", "undoing"):
                run.cancel_run(fact.detail)
        case "skip":
            pass
        case _ if request.point == ROLLBACK:
            pass  # it happens elsewhere: not in the run as it stands
        case _:
            _let(run, request, fact)
    _ask_next(run, request.point)


def _let(run: RunState, request: Requested, fact: Intercepted) -> None:
    if fact.answer == "replace" and request.point == "signal":
        request = replace(request, value=fact.value)
    elif fact.answer == "replace":
        request = replace(request, name=fact.detail)
    let = as_fact(replace(request, at=run.at))
    if isinstance(let, CancelRequested) and run.status in ("cancelling", "undoing"):
        return  # it has been stopped meanwhile; kept, this would stop it when it is reopened
    run.granted = (*run.granted, let)
    run.commands.append(Proceed(let))


def _refuse(run: RunState, request: Requested, failure: Failure) -> None:
    name = request.name.removeprefix(UPDATES)
    if request.point == "signal" and name != request.name:
        told = json.dumps(failure.message, ensure_ascii=False).encode()
        run.consequences.append(UpdateAnswered("", name, request.id, told, refused=True))
    run.consequences.append(RequestRefused(request.point, name, request.id, failure))


def carried_out(run: RunState, fact: Any) -> None:
    """A request that was let through has happened."""
    for index, let in enumerate(run.granted):
        if type(let) is type(fact) and replace(let, at=fact.at) == fact:
            run.granted = (*run.granted[:index], *run.granted[index + 1 :])
            return
