"""What others may ask of a run, as the facts that its owner makes of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from ..authoring.encoding import decode
from ..authoring.failures import failure_of, printable
from ..core.events import (
    ApprovalDelegated,
    CancelRequested,
    CheckpointNamed,
    ChildEnded,
    ContinueRequested,
    Fact,
    LimitsSet,
    PauseRequested,
    Reconciled,
    SignalReceived,
    SignalRefused,
    TerminateRequested,
    VoteCast,
)
from ..core.nodes.answer import UPDATES
from ..core.nodes.approval import ApprovalFrame
from ..core.nodes.dynamic import DynamicFrame
from ..errors import InvalidValue, RipresaError
from ..ports import Request
from . import family
from .reconciling import fact_of, kept

if TYPE_CHECKING:
    from .driver import Driver

KINDS: Final = (
    "cancel",
    "terminate",
    "pause",
    "continue",
    "limits",
    "checkpoint",
    "signal",
    "vote",
    "delegate",
    "reconcile",
    "child",
)


def decode_request(request: Request, now: int) -> Fact:
    """The fact that a request becomes when its owner takes it up."""
    body = json.loads(request.body)
    reason, by = printable(str(body.get("reason", ""))), printable(str(body.get("by", "")))
    match request.kind:
        case "cancel":
            return CancelRequested(now, reason, by)
        case "terminate":
            return TerminateRequested(now, reason, by)
        case "pause":
            return PauseRequested(now, reason, by)
        case "continue":
            return ContinueRequested(now, by, printable(str(body.get("only", ""))))
        case "limits":
            return LimitsSet(now, reason, by)
        case "checkpoint":
            return CheckpointNamed(now, reason, by)
        case "signal":
            return SignalReceived(now, str(body["name"]), str(body["value"]).encode(), str(body["id"]), by)
        case "vote":
            return VoteCast(now, **_voice(body, by))
        case "delegate":
            return ApprovalDelegated(now, **_voice(body, by))
        case "reconcile":
            return fact_of(body, now)
        case "child":
            return family.decode_end(body, now)
        case kind:
            raise RipresaError(f"a run cannot be asked to {kind!r}", code="usage", op="request", hint=", ".join(KINDS))


def _voice(body: dict[str, Any], by: str) -> dict[str, Any]:
    """The fields of a vote or delegation that come from its body."""
    return {**body, "by": by, "roles": tuple(body["roles"])}


def checked(fact: Fact, driver: Driver) -> Fact:
    """The fact itself, or, for a signal that the wait which would get it cannot take, that it was refused."""
    if isinstance(fact, VoteCast):
        return _checked_vote(fact, driver)
    if isinstance(fact, Reconciled):
        return kept(fact, driver)
    if isinstance(fact, ChildEnded):
        return family.kept(fact, driver)
    if not isinstance(fact, SignalReceived):
        return fact
    paths = driver.state.waiters.get(fact.name)
    assert isinstance(fact.value, bytes)
    try:
        if paths:
            awaited = _awaited_type(driver, paths[0])
            value, name = fact.value, fact.name.removeprefix(UPDATES)
            decode(value if name == fact.name else _inner(value, name), awaited, where=name)
    except InvalidValue as error:
        return SignalRefused(fact.at, fact.name, failure_of(error), fact.id, fact.by)
    return replace(fact, value=driver.keeper.keep(fact.value))


def _inner(value: bytes, name: str) -> bytes:
    """The value of an update, which came as a signal with the sender's own name for it."""
    try:
        return str(json.loads(value)["value"]).encode()
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidValue(f"{name!r} is an update: send it as one (ripresa update)", where=name) from error


def _checked_vote(vote: VoteCast, driver: Driver) -> VoteCast:
    """The vote with what is wrong with it, as far as that is known here: nothing says what it is about, or its form."""
    if not vote.digest:
        return replace(vote, wrong="an answer says by its digest what was looked at")
    frame = driver.state.frames.get(vote.path)
    if not isinstance(frame, ApprovalFrame) or (not vote.granted and vote.form == "null"):
        return vote
    if isinstance(frame.parent, DynamicFrame):
        form: Any = driver.functions.callee(frame.parent.path, frame.key).form
    else:
        form = frame.node.code
    if form is None:
        return vote if vote.form == "null" else replace(vote, wrong="there is no form to fill in")
    try:
        decode(vote.form.encode(), form, where="form")
    except InvalidValue as error:
        return replace(vote, wrong=f"the form is not filled in right: {error.message}")
    return vote


def _awaited_type(driver: Driver, path: str) -> Any:
    frame = driver.state.frames[path]
    if isinstance(frame.parent, DynamicFrame):
        return driver.functions.callee(frame.parent.path, frame.key).taken
    return frame.node.output_type
