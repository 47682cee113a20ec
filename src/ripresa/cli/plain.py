"""Runs, steps, events and errors as plain data: what `--json` prints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, fields
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

from pydantic_core import from_json

from ..advice import ADVICE
from ..approvals import OpenApproval
from ..core.changes import Change
from ..core.events import CallSpec, Failure, Recorded, StreamAdvanced, StreamEnded, ValidationResult, Write
from ..core.lifecycle import ACTIVE
from ..core.limits import Limits
from ..core.merge import Held, whole
from ..core.merge import read as read_held
from ..core.values import Pick, Value, digest_of
from ..core.view import ApprovalView, HookAnswer, RunView, StateView, StepView, StreamView
from ..errors import InvalidWorkflow, RipresaError
from ..interactions import Interaction, interactions_of
from ..ports import NEVER, Outgoing, RunHead

_VALUES = {"input", "output", "answer", "position", "held", "value", "about", "body", "content", "operand", "reuse"}
"""The fields of events that hold values."""

Read = Callable[[Value], bytes]
"""Gives the JSON text of a value, large ones looked up."""


def moment(microseconds: int) -> str | None:
    """A moment in ISO 8601, UTC; None for 0, which stands for none."""
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC).isoformat() if microseconds else None


def amount(number: float) -> str:
    """A number as people write it, without an exponent: 0.00005035."""
    return f"{Decimal(f'{number:.10g}'):f}"


def value(found: Value | None, read: Read) -> Any:
    """A value as it was written."""
    return None if found is None else from_json(read(found))


def parcel_plain(parcel: Outgoing) -> dict[str, Any]:
    """Something that was sent and is not delivered."""
    given_up = parcel.due == NEVER
    return {
        "path": parcel.path,
        "kind": parcel.kind,
        "target": parcel.target,
        "id": parcel.id,
        "tries": parcel.tries,
        "error": parcel.error,
        "given_up": given_up,
        "due": None if given_up else moment(parcel.due),
    }


def run_plain(view: RunView, read: Read, owner: str | None = None) -> dict[str, Any]:
    """Everything that is known of a run."""
    hooks: dict[str, list[dict[str, Any]]] = {}
    for answer in view.answers:
        hooks.setdefault(answer.path, []).append(answer_plain(answer))
    return {
        "id": view.id,
        "workflow": view.workflow,
        "version": view.version,
        "status": view.status,
        "left": view.left,
        "input": value(view.input, read),
        "output": value(view.output, read),
        "error": failure_plain(view.failure),
        "progress": _progress(view),
        "limit": view.limit,
        "totals": _totals(view),
        "interactions": [interaction_plain(each) for each in interactions_of(view, read)],
        "steps": [step_plain(step, read) | {"hooks": hooks.get(step.path, [])} for step in view.steps.values()],
        "hooks": [answer_plain(answer) for answer in view.answers],
        "asked": [asdict(wait) | {"since": moment(wait.since)} for wait in view.asked.values()],
        "timers": [{"path": path, "due": moment(due)} for path, due in view.timers.items()],
        "waits": [
            {"path": wait.path, "signal": wait.signal, "since": moment(wait.since), "due": moment(wait.due)}
            for wait in view.waits.values()
        ],
        "parent": view.parent,
        "children": [{"run": run, "status": status} for run, status in view.children.items()],
        "approvals": [
            {"path": asked.path, "question": asked.question, "about": value(asked.about, read), "digest": asked.digest}
            for asked in view.approvals.values()
        ],
        "decided": [decided_plain(asked) for asked in view.decided.values()],
        "streams": [stream_plain(stream) for stream in view.streams.values()],
        "state": None if view.state is None else fields_plain(view.state, read),
        "states": [state_plain(state, read) for state in view.states.values()],
        "validations": {path: [asdict(result) for result in found] for path, found in view.validations.items()},
        "reason": view.reason,
        "parked": view.parked,
        "undone": view.undone,
        "undo_skipped": view.undo_skipped,
        "not_undone": {path: failure_plain(failure) for path, failure in view.not_undone.items()},
        "cleanup_failures": [failure_plain(failure) for failure in view.failures],
        "tags": list(view.tags),
        "session": view.session,
        "by": view.by,
        "target": view.target,
        "definition": view.definition,
        "created_at": moment(view.created_at),
        "updated_at": moment(view.updated_at),
        "deadline": moment(view.deadline),
        "origin": {"run": view.origin, "event": view.forked_at} if view.origin else None,
        "events": view.seq,
        "epoch": view.epoch,
        "owner": owner,
    }


def _progress(view: RunView) -> dict[str, Any]:
    return {
        "completed": view.completed,
        "total": view.total,
        "percent": view.percent,
        "current": [step.path for step in view.current],
    }


def _totals(view: RunView) -> dict[str, Any]:
    return {
        "duration": view.duration / 1_000_000,
        "tokens": view.tokens,
        "cost": view.cost,
        "unpriced": view.unpriced,
        "artifacts": view.artifacts,
        "sent": view.sent,
        "statements": view.statements,
        "files": list(view.files),
    }


def interaction_plain(told: Interaction) -> dict[str, Any]:
    """Who sent what to whom, as data."""
    who = {"path": told.path, "attempt": told.attempt, "from": told.sender, "to": told.receiver, "kind": told.kind}
    return {"at": told.at.isoformat(), **who, "content": told.content}


def fields_plain(state: StateView, read: Read) -> dict[str, Any]:
    """The fields of a typed state, as JSON has them."""
    found: dict[str, Any] = from_json(whole(state.fields, read))
    return found


def state_plain(state: StateView, read: Read) -> dict[str, Any]:
    """A typed state as it stands, with the scope it belongs to."""
    return {
        "path": state.path,
        "name": state.name,
        "version": state.version,
        "fields": fields_plain(state, read),
    }


def result_plain(view: RunView, read: Read, place: str) -> dict[str, Any]:
    """How a run ended, or where it was left."""
    return {
        "id": view.id,
        "workflow": view.workflow,
        "version": view.version,
        "status": view.status,
        "output": value(view.output, read),
        "error": failure_plain(view.failure),
        "reason": view.reason,
        "store": place,
    }


def step_plain(step: StepView, read: Read) -> dict[str, Any]:
    """A step as it stands."""
    return {
        "path": step.path,
        "name": step.name,
        "status": step.status,
        "attempt": step.attempt,
        "scheduled_at": moment(step.scheduled_at),
        "ended_at": moment(step.ended_at),
        "due": moment(step.due),
        "output": value(step.output, read),
        "error": failure_plain(step.failure),
    }


def answer_plain(answer: HookAnswer) -> dict[str, Any]:
    """What a hook answered."""
    return asdict(answer) | {"at": moment(answer.at)}


def stream_plain(stream: StreamView) -> dict[str, Any]:
    """A stream as it stands; throughput and rate in items a second, lengths of time in seconds."""
    lengths = {name: getattr(stream, name) / 1_000_000 for name in ("elapsed", "lag", "most_lag")}
    return asdict(stream) | lengths | {"moved_at": moment(stream.moved_at), "throughput": stream.throughput}


def failure_plain(failure: Failure | None) -> dict[str, Any] | None:
    """A failure as data."""
    if failure is None:
        return None
    return {
        "code": failure.code,
        "message": failure.message,
        "hint": ADVICE.get(failure.code, ""),
        "type": failure.types[0] if failure.types else None,
        "path": failure.path,
        "attempt": failure.attempt,
        "retryable": failure.retryable,
        "traceback": failure.traceback,
        "cause": failure_plain(failure.cause),
        "others": [failure_plain(other) for other in failure.others],
    }


def error_plain(error: RipresaError) -> dict[str, Any]:
    """An error of ours as data."""
    found: dict[str, Any] = {
        "code": error.code,
        "op": error.op,
        "where": error.where,
        "message": error.message,
        "hint": error.hint,
    }
    if isinstance(error, InvalidWorkflow):
        found["problems"] = [
            {"where": each.where, "message": each.message, "code": each.code, "hint": each.hint}
            for each in error.problems
        ]
    return found


def change_plain(change: Change, read: Read) -> dict[str, Any]:
    """A difference between two views: of a step its status, attempt and output, of the run the field itself."""
    return {"what": change.what, "before": _side(change.before, read), "after": _side(change.after, read)}


def _side(side: Any, read: Read) -> Any:
    if isinstance(side, Failure):
        return failure_plain(side)
    if isinstance(side, bytes | Pick):
        return value(side, read)
    if isinstance(side, Held):
        return value(read_held(side, read), read)
    if isinstance(side, tuple):
        status, attempt, output = cast("tuple[str, int, Value | None]", side)
        return {"status": status, "attempt": attempt, "output": value(output, read)}
    return side


def is_left(status: str, owner: str | None) -> bool:
    """Whether nobody drives a run though it has not ended, for the process that did has gone."""
    return status in ACTIVE and status != "paused" and owner is None


def head_plain(head: RunHead, owner: str | None) -> dict[str, Any]:
    """A line of the list of runs."""
    return {
        "id": head.id,
        "workflow": head.workflow,
        "version": head.version,
        "status": head.status,
        "left": is_left(head.status, owner),
        "error": head.error,
        "tags": list(head.tags),
        "session": head.session,
        "created_at": moment(head.created_at),
        "updated_at": moment(head.updated_at),
        "target": head.target,
        "owner": owner,
    }


def event_plain(recorded: Recorded) -> dict[str, Any]:
    """An event as data; a large value stays a reference: `{"digest": ...}`."""
    event = recorded.event
    told = {"seq": recorded.seq, "at": moment(recorded.at), "event": type(event).__name__}
    names = [field.name for field in fields(event) if field.name != "at"]
    told |= {name: _field(name, getattr(event, name)) for name in names}
    return told | ({"throughput": event.throughput} if isinstance(event, StreamAdvanced | StreamEnded) else {})


def _field(name: str, found: Any) -> Any:
    if name in _VALUES and not isinstance(found, str):
        return _reference(found)
    if isinstance(found, Failure):
        return failure_plain(found)
    if isinstance(found, CallSpec | Write | ValidationResult):
        return {field.name: _field(field.name, getattr(found, field.name)) for field in fields(found)}
    if isinstance(found, tuple):
        return _fields(found)
    return found


def _fields(found: Any) -> list[Any]:
    return [_field("", each) for each in found]


def _reference(found: Value) -> Any:
    if isinstance(found, tuple):
        return [_reference(part) for part in found]
    if isinstance(found, Pick):
        return {"item": found.index, "of": _reference(found.source)}
    digest = digest_of(found)
    return from_json(found) if digest is None else {"digest": digest}


def decided_plain(asked: ApprovalView) -> dict[str, Any]:
    """What people were asked and have decided."""
    return {
        "path": asked.path,
        "question": asked.question,
        "granted": asked.granted,
        "how": asked.how,
        "by": list(asked.by),
        "votes": [{"by": by, "granted": granted} for by, granted in asked.votes],
        "at": moment(asked.decided_at),
    }


def approval_plain(found: OpenApproval) -> dict[str, Any]:
    """What people are asked, as data."""
    return {
        "run": found.run,
        "workflow": found.workflow,
        "path": found.path,
        "question": found.question,
        "about": found.about,
        "digest": found.digest,
        "assignees": list(found.assignees),
        "quorum": found.quorum,
        "votes": [{"by": by, "granted": granted} for by, granted in found.votes],
        "form": found.form,
        "since": found.since.isoformat(),
        "expires": found.expires and found.expires.isoformat(),
    }


def limits_plain(limits: Limits) -> dict[str, Any]:
    """Limits that are set, by name; empty for none."""
    return {name: value for name, value in asdict(limits).items() if value is not None} if limits else {}
