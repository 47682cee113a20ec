"""JSON for events and run state, versioned.

A row holds the events of one append: one line of JSON, then one line for each value they carry (compact JSON has no
line breaks, so a value is written exactly as the border encoded it, and read without being parsed). The first line is
an array: a number sets the time of the facts that follow, an array is an event: its name, then its fields in order,
where a value is the number of its line. Names and fields are only ever added; `VERSION` is in `RunStarted.core`.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import Any, Final, cast, get_args

from pydantic_core import PydanticSerializationError, from_json, to_json

from ..errors import StoreError
from . import events as _events
from .definition import Definition
from .events import CallSpec, Event, Failure, Recorded
from .frames import ENDED, Frame, ScopeFrame
from .gates import Gate, set_points
from .nodes.dynamic import Outcome
from .state import Message, RunState
from .values import Pick, Value, is_inline, text_of

VERSION: Final = 1

_escaped = json.JSONEncoder(separators=(",", ":")).encode

_KINDS: Final = {
    "Value": "value",
    "Failure": "failure",
    "Failure | None": "failure",
    "tuple[Failure, ...]": "failures",
    "tuple[CallSpec, ...]": "calls",
    "tuple[int, ...]": "list",
    "tuple[str, ...]": "list",
}
EVENTS: Final[dict[str, type[Any]]] = {
    kind.__name__: kind for kind in (*get_args(_events.Fact), *get_args(_events.Consequence))
}


class _Layout:
    """How the fields of an event are written: their values in order, and those that are not plain."""

    def __init__(self, kind: type[Any]) -> None:
        annotations: dict[str, str] = kind.__annotations__
        self.name = kind.__name__
        self.kind = kind
        self.is_fact = "at" in annotations
        names = [name for name in annotations if name != "at"]
        self.names = names
        self.getter: Any = attrgetter(*names) if len(names) > 1 else None
        self.special = tuple(
            (index, _KINDS[annotations[name]]) for index, name in enumerate(names, 1) if annotations[name] in _KINDS
        )

    def read(self, event: Any) -> tuple[Any, ...]:
        """The values of its fields."""
        return self.getter(event) if self.getter else tuple(getattr(event, name) for name in self.names)


_LAYOUTS: Final = {kind: _Layout(kind) for kind in EVENTS.values()}


def _encode(data: Any) -> bytes:
    try:
        return to_json(data)
    except PydanticSerializationError:  # half a surrogate pair, as in the names of some files
        return _escaped(data).encode()


def _parse(text: bytes) -> Any:
    try:
        return from_json(text)
    except ValueError:  # what `_escaped` wrote, or no JSON at all
        return json.loads(text)


# --- values


def encode_value(value: Value) -> bytes:
    """A value as one line."""
    if isinstance(value, bytes):
        return value
    if is_inline(value):
        return text_of(value)
    return b"*" + _encode(_parts(value))


def decode_value(line: bytes) -> Value:
    """The value that a line stands for."""
    return _join(_parse(line[1:])) if line[:1] == b"*" else line


def _parts(value: Value) -> Any:
    if isinstance(value, Pick):
        return {"of": _parts(value.source), "index": value.index}
    if isinstance(value, bytes) or is_inline(value):
        return encode_value(value).decode()
    return [_parts(part) for part in value]


def _join(parts: Any) -> Value:
    if isinstance(parts, str):
        return parts.encode()
    if isinstance(parts, dict):
        pick = cast("dict[str, Any]", parts)
        return Pick(_join(pick["of"]), pick["index"])
    return tuple(_join(part) for part in parts)


# --- fields


def _write(kind: str, value: Any, lines: list[bytes]) -> Any:
    match kind:
        case "plain" | "list" | "plain list":
            return value
        case "pairs":
            return list(value.items())
        case "value":
            return _line(value, lines)
        case "failure":
            return value and failure_plain(value)
        case "failures" | "failure list":
            return [failure_plain(failure) for failure in value]
        case "calls":
            return [[spec.key, spec.kind, spec.segment, _line(spec.input, lines), spec.shape] for spec in value]
        case "calls by key":
            return _write("calls", value.values(), lines)
        case "optional values":
            return [None if item is None else _line(item, lines) for item in value]
        case "values by key":
            return value and {key: _line(item, lines) for key, item in value.items()}
        case _:  # outcomes
            return [
                [o.key, o.at, o.asked, _line(o.value, lines), o.failure and failure_plain(o.failure)] for o in value
            ]


def _line(value: Value, lines: list[bytes]) -> int:
    lines.append(encode_value(value))
    return len(lines) - 1


def _value(number: int, lines: list[bytes]) -> Value:
    return decode_value(lines[number])


def _read(kind: str, data: Any, lines: list[bytes]) -> Any:
    match kind:
        case "plain" | "plain list":
            return data
        case "pairs":
            return dict(data)
        case "list":
            return tuple(data)
        case "value":
            return _value(data, lines)
        case "failure":
            return data and failure_from(data)
        case "failures":
            return tuple(failure_from(item) for item in data)
        case "failure list":
            return [failure_from(item) for item in data]
        case "calls":
            return tuple(CallSpec(key, how, seg, _value(n, lines), shape) for key, how, seg, n, shape in data)
        case "calls by key":
            return {spec.key: spec for spec in _read("calls", data, lines)}
        case "optional values":
            return [None if item is None else _value(item, lines) for item in data]
        case "values by key":
            return data and {key: _value(item, lines) for key, item in data.items()}
        case _:  # outcomes
            return [Outcome(k, at, n, _value(v, lines), f and failure_from(f)) for k, at, n, v, f in data]


def failure_plain(failure: Failure) -> list[Any]:
    """A failure as plain data."""
    return [
        failure.code,
        failure.message,
        list(failure.types),
        failure.retryable,
        failure.path,
        failure.attempt,
        failure.traceback,
        failure.cause and failure_plain(failure.cause),
        [failure_plain(other) for other in failure.others],
    ]


def failure_from(data: list[Any]) -> Failure:
    """The failure that plain data stands for."""
    code, message, types, retryable, path, attempt, traceback, cause, others = data
    return Failure(
        code,
        message,
        tuple(types),
        retryable,
        path,
        attempt,
        traceback,
        cause and failure_from(cause),
        tuple(failure_from(other) for other in others),
    )


# --- rows


def encode_events(events: Iterable[Event], at: int = 0) -> bytes:
    """A row of events. `at` is the time of consequences that no fact of the row comes before."""
    head: list[Any] = [at] if at else []
    lines: list[bytes] = []
    for event in events:
        layout = _LAYOUTS[type(event)]
        moment: int = getattr(event, "at", at)
        if moment != at:
            at = moment
            head.append(at)
        item = [layout.name, *layout.read(event)]
        for index, kind in layout.special:
            item[index] = _write(kind, item[index], lines)
        head.append(item)
    return b"\n".join((_encode(head), *lines))


def decode_events(row: bytes, run: str = "", seq: int = 1) -> Iterator[Recorded]:
    """The events of a row, numbered from `seq`. Raises `StoreError(store_corrupt)` if it is no row."""
    text, *lines = row.split(b"\n")
    at = 0
    try:
        for item in _parse(text):
            if isinstance(item, int):
                at = item
                continue
            layout = _LAYOUTS[EVENTS[item[0]]]
            for index, kind in layout.special:
                if index < len(item):
                    item[index] = _read(kind, item[index], lines)
            event = layout.kind(at, *item[1:]) if layout.is_fact else layout.kind(*item[1:])
            yield Recorded(run, seq, at, event)
            seq += 1
    except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
        raise StoreError(
            f"event {seq} of run {run!r} cannot be read: {error}",
            code="store_corrupt",
            op="read",
            hint="was it written by a newer version?",
        ) from error


# --- run state

_STATE_FIELDS: Final = (
    "run", "status", "seq", "at", "allowed", "deadline", "epoch", "generation", "seed", "reason", "kept",
)  # fmt: skip


def encode_state(state: RunState) -> bytes:
    """The state of a run as one row: it can be thrown away, the journal gives it back."""
    lines: list[bytes] = []
    frames: list[list[Any]] = []
    for frame in state.frames.values():
        fields = [_write(kind, getattr(frame, name), lines) for name, kind in frame.FIELDS]
        frames.append([frame.path, frame.parent.path if frame.parent else None, frame.key, fields])
    plain = [getattr(state, name) for name in _STATE_FIELDS]
    failures = [failure_plain(failure) for failure in state.cleanup_failures]
    more = _encode_messages(state, lines) | _encode_hooks(state, lines)
    return b"\n".join((_encode([VERSION, plain, failures, frames, *([more] if more else [])]), *lines))


def _encode_messages(state: RunState, lines: list[bytes]) -> dict[str, Any]:
    """What waits for whom, if anything does."""
    if not state.messages and not state.waiters:
        return {}
    kept = {
        name: [[_line(message.value, lines), message.id, message.by] for message in messages]
        for name, messages in state.messages.items()
    }
    return {"messages": kept, "waiters": state.waiters}


def _encode_hooks(state: RunState, lines: list[bytes]) -> dict[str, Any]:
    """Where hooks stand and who waits for one, if any do."""
    if not state.hooks and not state.gates and not state.refused:
        return {}
    gates, refused = _encode_gates(state.gates, lines), _encode_gates(state.refused, lines)
    return {"hooks": state.hooks, "gates": gates, "refused": refused}


def decode_state(data: bytes, definition: Definition) -> RunState:
    """The state that `encode_state` wrote, with the nodes of this definition."""
    text, *lines = data.split(b"\n")
    _, plain, failures, frames, *more = _parse(text)
    state = RunState(definition)
    for name, value in zip(_STATE_FIELDS, plain, strict=True):
        setattr(state, name, value)
    state.cleanup_failures = [failure_from(failure) for failure in failures]
    for found in more:
        state.waiters = found.get("waiters", {})
        for name, messages in found.get("messages", {}).items():
            state.messages[name] = deque(Message(_value(number, lines), id, by) for number, id, by in messages)
        set_points(state, tuple(found.get("hooks", ())))
        state.gates = _decode_gates(found.get("gates", ()), lines)
        state.refused = _decode_gates(found.get("refused", ()), lines)
    for path, parent, key, fields in frames:
        _decode_frame(state, path, parent, key, fields, lines)
    for frame in state.frames.values():
        if frame.parent is not None and frame.phase not in ENDED:
            frame.parent.active += 1
    return state


def _encode_gates(gates: dict[str, Gate], lines: list[bytes]) -> list[Any]:
    return [
        [
            path,
            gate.point,
            _line(gate.value, lines),
            gate.number,
            gate.detail,
            gate.failure and failure_plain(gate.failure),
        ]
        for path, gate in gates.items()
    ]


def _decode_gates(data: list[Any], lines: list[bytes]) -> dict[str, Gate]:
    return {
        path: Gate(point, _value(value, lines), number, detail, failure and failure_from(failure))
        for path, point, value, number, detail, failure in data
    }


def _decode_frame(
    state: RunState, path: str, parent_path: str | None, key: int, fields: list[Any], lines: list[bytes]
) -> None:
    parent: Any = None if parent_path is None else state.frames[parent_path]
    node = state.definition.root if parent is None else parent.node.child_node(state, parent, key, path)
    frame: Frame = node.frame_class(path, node, parent, key, b"null")
    for (name, kind), data in zip(frame.FIELDS, fields, strict=True):
        setattr(frame, name, _read(kind, data, lines))
    state.frames[path] = frame
    if parent is None:
        assert isinstance(frame, ScopeFrame)
        state.root = frame
    else:
        parent.children[key] = frame
