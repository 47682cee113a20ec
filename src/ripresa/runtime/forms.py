"""A run as plain data that migrations change, and what they made of it as values of the new version."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic_core import from_json, to_json

from ..authoring.encoding import decode, encode
from ..authoring.migration import FieldWrite, RunForm
from ..core import events as e
from ..core.events import Event, Failure, Recorded, Write
from ..core.merge import CUSTOM, SET
from ..core.values import Value
from ..errors import InvalidValue, RipresaError
from .values import Values

if TYPE_CHECKING:
    from ..authoring.state_type import StateField


def form_of(started: e.RunStarted, line: list[Recorded], begun: Begun, values: Values) -> RunForm:
    """A run as plain data."""
    input = started.input if begun.input is None else begun.input
    form = RunForm(started.workflow, started.version, from_json(values.text(input)))
    form.state = {write.field: from_json(values.text(write.value)) for write in started.state}
    for item in line:
        if item.seq < begun.since:
            _lasting(form, item.event, begun, values)
            continue
        _settled(form, item.event, values)
        match item.event:
            case e.Dispatched(_, path):
                form.sent[path] = path
            case e.StateOpened("", _, version):
                form.state_version = version
            case e.TimerSet(path, due) | e.WaitStarted(path, _, due) if due:
                form.waits[path] = due
            case e.ApprovalRequested(path):
                form.waits[path] = item.at
                form.approvals[path] = path
            case _:
                pass
    return form


class Begun(NamedTuple):
    """Since which event a run is what it is: it had begun anew there, with what input if with another (see `begun`).

    `lasting` are the steps before whose results stay, for they cannot be taken back; `again`: it has not gone on yet.
    """

    since: int = 0
    input: Value | None = None
    lasting: frozenset[str] = frozenset()
    again: bool = False


def begun(line: list[Recorded]) -> Begun:
    """Where a run began anew last, because its function wanted it or all that it did was undone.

    Raises `RipresaError(not_available)` where a function began anew within it.
    """
    found, irreversible = Begun(), set[str]()
    for item in line:
        match item.event:
            case e.Restarted(_, path, input):
                if path.rstrip("()") or _has_state(line):
                    raise _restarted(item)
                found = Begun(item.seq + 1, input)
            case e.CompensationEnded("", _, undone) if undone:
                found = Begun(item.seq + 1, found.input, frozenset(irreversible), again=True)
            case e.StepStarted(_, path):
                irreversible.add(path)
            case e.RunReopened():
                found = found._replace(again=False)
            case _:
                pass
    return found


def _has_state(line: list[Recorded]) -> bool:
    return any(isinstance(item.event, e.StateOpened) and not item.event.path.rstrip("()") for item in line)


def _restarted(item: Recorded) -> RipresaError:
    path = getattr(item.event, "path", "").rstrip("()")
    return RipresaError(
        f"run {item.run!r} cannot be taken over: "
        + (f"the function at {path!r} began anew in it" if path else "its function, which has a state, began anew"),
        code="not_available",
        op="migrate",
        where=path or item.run,
        hint="let it go on with its own version",
    )


def _lasting(form: RunForm, event: Event, begun: Begun, values: Values) -> None:
    """What was before the run began anew."""
    match event:
        case e.StateOpened("", _, version):
            form.state_version = version
        case e.StepCompleted(_, path) if path in begun.lasting:
            _settled(form, event, values)
        case _:
            pass


def _settled(form: RunForm, event: Event, values: Values) -> None:
    """What became of steps."""
    match event:
        case e.StepCompleted(_, path, _, output) | e.StepReused(_, path, _, output):
            form.results[path], form.origins[path] = from_json(values.text(output)), path
            form.writes[path] = [_field_write(write, values) for write in event.writes]
            if not form.writes[path]:
                del form.writes[path]
        case e.Reconciled(_, path, _, "completed", output):
            form.results[path], form.origins[path] = from_json(values.text(output)), path
        case e.Reconciled(_, path, _, "failed", _, Failure() as failure):
            form.failures[path] = failure
        case e.StepScheduled(path):
            form.failures.pop(path, None)
        case e.RunFailed(failure):
            for cause in causes(failure):  # whoever lets the run go on wants it tried again
                form.failures.pop(cause.path, None)
        case _:
            pass


def causes(failure: Failure) -> Iterator[Failure]:
    """A failure and all that led to it."""
    yield failure
    for other in (failure.cause, *failure.others):
        if other is not None:
            yield from causes(other)


def _field_write(write: Write, values: Values) -> FieldWrite:
    operand = from_json(values.text(write.operand))
    return FieldWrite(write.field, write.op, from_json(values.text(write.value)), operand)


def as_written(field: StateField, op: str, value: bytes, operand: bytes) -> tuple[bytes, bytes]:
    """Value and operand as they are written to such a field. Raises `InvalidValue` if they cannot be."""
    if op not in (SET, field.operation):
        raise InvalidValue(f"it is not written by {op!r}", op="write")
    takes = field.kind if field.reducer is None else field.reducer.operand(field.kind)
    kind = field.kind if op in (SET, CUSTOM) else takes
    return encode(decode(value, kind), kind), encode(decode(operand, takes), takes) if op == CUSTOM else operand


def text_of(found: Any, where: str) -> bytes:
    """What a migration left somewhere, as JSON text. Raises `RipresaError(migration_failed)`."""
    try:
        return to_json(found)
    except ValueError as error:
        raise RipresaError(
            f"{where} is no JSON after the migration: {error}", code="migration_failed", op="migrate", where=where
        ) from error


def wrong_state(run: str, message: str) -> RipresaError:
    """The error for a state that the new version cannot begin with."""
    return RipresaError(
        f"the state of run {run!r} does not fit the new version: {message}",
        code="migration_failed",
        op="migrate",
        where="state",
        hint="let a migration change it: run.rename_field, run.change_field, run.drop_field",
    )
