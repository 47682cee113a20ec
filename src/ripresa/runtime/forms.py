"""A run as plain data that migrations change, and what they made of it as values of the new version."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json, to_json

from ..authoring.encoding import decode, encode
from ..authoring.migration import FieldWrite, RunForm
from ..core import events as e
from ..core.events import Event, Failure, Recorded, Write
from ..core.merge import CUSTOM, SET
from ..errors import InvalidValue, RipresaError
from .values import Values

if TYPE_CHECKING:
    from ..authoring.state_type import StateField


def form_of(started: e.RunStarted, line: list[Recorded], values: Values) -> RunForm:
    """A run as plain data."""
    form = RunForm(started.workflow, started.version, from_json(values.text(started.input)))
    form.state = {write.field: from_json(values.text(write.value)) for write in started.state}
    for item in line:
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


def _settled(form: RunForm, event: Event, values: Values) -> None:
    """What became of steps."""
    match event:
        case e.StepCompleted(_, path, _, output) | e.StepReused(_, path, _, output):
            form.results[path] = from_json(values.text(output))
            form.writes[path] = [_field_write(write, values) for write in event.writes]
            if not form.writes[path]:
                del form.writes[path]
        case e.Reconciled(_, path, _, "completed", output):
            form.results[path] = from_json(values.text(output))
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
        raise InvalidValue(f"it is not written by {op!r}")
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
