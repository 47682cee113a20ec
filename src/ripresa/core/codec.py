"""JSON for events and run state, versioned.

A row holds the events of one append: one line of JSON, then one line for each value they carry (compact JSON has no
line breaks, so a value is written exactly as the border encoded it, and read without being parsed). The first line is
an array: a number sets the time of the facts that follow, an array is an event: its name, then its fields in order,
where a value is the number of its line. Names and fields are only ever added; `VERSION` is in `RunStarted.core`.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from typing import Any, Final, cast, get_args

from pydantic_core import PydanticSerializationError, from_json, to_json

from ..errors import StoreError
from . import events as _events
from .definition import Definition
from .events import CallSpec, Event, Failure, Intercepted, Recorded, StateRestored, ValidationResult, Write
from .frames import ENDED, Frame, ScopeFrame
from .gates import Gate, set_points
from .ledger import Entry, Lasting
from .merge import CUSTOM, Held, held_of, writes_of
from .nodes.compensation import COMPENSATION, MARK
from .nodes.dynamic import Outcome
from .nodes.node import Node
from .shared import Fields, Layer, Mark, Shape, Shared, same
from .state import Message, RunState
from .values import NULL, Pick, Value, is_inline, text_of

VERSION: Final = 1

_escaped = json.JSONEncoder(separators=(",", ":")).encode

_KINDS: Final = {
    "Value": "value",
    "Failure": "failure",
    "Failure | None": "failure",
    "tuple[Failure, ...]": "failures",
    "tuple[CallSpec, ...]": "calls",
    "tuple[ValidationResult, ...]": "results",
    "tuple[StateRestored, ...]": "states",
    "tuple[int, ...]": "list",
    "tuple[str, ...]": "list",
}
_WRITES: Final = "tuple[Write, ...]"
"""Left out where there are none, so that a run without a typed state does not pay for it."""
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
        self.read: Callable[[Any], tuple[Any, ...]] = attrgetter(*names) if len(names) > 1 else self._read
        """The values of its fields."""
        self.special = tuple(
            (index, _KINDS[annotations[name]]) for index, name in enumerate(names, 1) if annotations[name] in _KINDS
        )
        self.writes = next((index for index, name in enumerate(names, 1) if annotations[name] == _WRITES), 0)
        self.is_plain = not self.special and not self.writes
        self.says_own = names[-1:] == ["own"]
        self.says_reads = "reads" in names[-2 if self.says_own else -1 :]

    def _read(self, event: Any) -> tuple[Any, ...]:
        """The values of no field, or of one."""
        return tuple(getattr(event, name) for name in self.names)


_LAYOUTS: Final = {kind: _Layout(kind) for kind in EVENTS.values()}
_NAMED: Final = {name: _LAYOUTS[kind] for name, kind in EVENTS.items()}


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


def _write(kind: str, value: Any, lines: list[bytes]) -> Any:  # noqa: C901 - one arm per kind
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
            return [_write_call(spec, lines) for spec in value]
        case "calls by key":
            return _write("calls", value.values(), lines)
        case "results":
            return [[item.rule, item.severity, item.passed, item.message] for item in value]
        case "states":
            return [[item.path, _write_writes(item.writes, lines), item.gone] for item in value]
        case "optional values":
            return [None if item is None else _line(item, lines) for item in value]
        case "writes by key":
            return value and {key: _write_writes(writes, lines) for key, writes in value.items()}
        case "values by key":
            return value and {key: _line(item, lines) for key, item in value.items()}
        case "facts":
            return [_write_fact(fact, lines) for fact in value]
        case _:  # outcomes
            return [
                [o.key, o.at, o.asked, _line(o.value, lines), o.failure and failure_plain(o.failure)] for o in value
            ]


def _line(value: Value, lines: list[bytes]) -> int:
    lines.append(value if isinstance(value, bytes) else encode_value(value))
    return len(lines) - 1


def _value(number: int, lines: list[bytes]) -> Value:
    return decode_value(lines[number])


def _read(kind: str, data: Any, lines: list[bytes]) -> Any:  # noqa: C901 - one arm per kind
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
            return tuple(_read_call(item, lines) for item in data)
        case "calls by key":
            return {spec.key: spec for spec in _read("calls", data, lines)}
        case "results":
            return tuple(ValidationResult(*item) for item in data)
        case "states":
            return tuple(StateRestored(path, _read_writes(writes, lines), tuple(gone)) for path, writes, gone in data)
        case "optional values":
            return [None if item is None else _value(item, lines) for item in data]
        case "writes by key":
            return data and {key: _read_writes(item, lines) for key, item in data.items()}
        case "values by key":
            return data and {key: _value(item, lines) for key, item in data.items()}
        case "facts":
            return tuple(_read_fact(item, lines) for item in data)
        case _:  # outcomes
            return [Outcome(k, at, n, _value(v, lines), f and failure_from(f)) for k, at, n, v, f in data]


def _write_call(spec: CallSpec, lines: list[bytes]) -> list[Any]:
    written = [spec.key, spec.kind, spec.segment, _line(spec.input, lines), spec.shape]
    if spec.expected:
        return [*written, _write_writes(spec.writes, lines), spec.undo, spec.expected]
    if spec.undo:
        return [*written, _write_writes(spec.writes, lines), spec.undo]
    return [*written, _write_writes(spec.writes, lines)] if spec.writes else written


def _read_call(data: list[Any], lines: list[bytes]) -> CallSpec:
    key, kind, segment, number, shape, *more = data
    seen = _read_writes(more[0], lines) if more else ()
    return CallSpec(key, kind, segment, _value(number, lines), shape, seen, *more[1:])


def _write_writes(writes: Iterable[Write], lines: list[bytes]) -> list[Any]:
    return [_write_write(write, lines) for write in writes]


def _read_writes(data: list[Any], lines: list[bytes]) -> tuple[Write, ...]:
    return tuple(_read_write(item, lines) for item in data)


def _write_write(write: Write, lines: list[bytes]) -> list[Any]:
    """A write; what is not there at its end is left out."""
    written = [write.field, write.op, _line(write.value, lines)]
    if write.op == CUSTOM:
        return [*written, write.by, _line(write.operand, lines)]
    return [*written, write.by] if write.by else written


def _read_write(data: list[Any], lines: list[bytes]) -> Write:
    name, op, number, *rest = data
    by = rest[0] if rest else ""
    return Write(name, op, _value(number, lines), by, _value(rest[1], lines) if len(rest) > 1 else NULL)


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
        if layout.is_fact and event.at != at:  # type: ignore[union-attr]
            at = event.at  # type: ignore[union-attr]
            head.append(at)
        head.append((layout.name, *layout.read(event)) if layout.is_plain else _item(layout, event, lines))
    return b"\n".join((_encode(head), *lines))


def _item(layout: _Layout, event: Event, lines: list[bytes]) -> list[Any]:
    """An event some of whose fields are not plain."""
    if type(event) is Intercepted and _says_nothing(event):
        return [layout.name, event.path, event.point, event.answer]
    item: list[Any] = [layout.name, *layout.read(event)]
    for index, kind in layout.special:
        item[index] = _line(item[index], lines) if kind == "value" else _write(kind, item[index], lines)
    if layout.writes:
        if layout.says_own and not item[-1]:
            del item[-1]
        if layout.says_reads and not item[-1]:
            del item[-1]
        _put_writes(item, layout.writes, lines)
    return item


def _says_nothing(event: Intercepted) -> bool:
    """Whether interceptors only let it go on, as they mostly do: then there is nothing to write of the rest."""
    if event.answer != "continue" or event.hook or event.detail or event.number:
        return False
    return event.value == NULL and event.failure is None


def _put_writes(item: list[Any], index: int, lines: list[bytes]) -> None:
    writes = item[index]
    if writes or index < len(item) - 1:
        item[index] = _write_writes(writes, lines)
    else:
        del item[index]


def decode_events(row: bytes, run: str = "", seq: int = 1) -> Iterator[Recorded]:
    """The events of a row, numbered from `seq`. Raises `StoreError(store_corrupt)` if it is no row."""
    text, *lines = row.split(b"\n")
    at = 0
    try:
        for item in _parse(text):
            if isinstance(item, int):
                at = item
                continue
            layout = _NAMED[item[0]]
            for index, kind in layout.special:
                if index < len(item):
                    item[index] = _read(kind, item[index], lines)
            if 0 < layout.writes < len(item):
                item[layout.writes] = _read_writes(item[layout.writes], lines)
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
    "dues", "limit", "undone", "settled", "core", "parent", "paused",
)  # fmt: skip


_FRAMES: Final[dict[type[Frame], tuple[Callable[[Frame], tuple[Any, ...]], tuple[tuple[int, str], ...]]]] = {}
"""By class of frame: what reads its fields, and where those stand that are not plain."""


def _write_frame(frame: Frame, lines: list[bytes]) -> list[Any]:
    kind = type(frame)
    if kind not in _FRAMES:
        special = tuple((index, how) for index, (_, how) in enumerate(kind.FIELDS) if how != "plain")
        _FRAMES[kind] = attrgetter(*(name for name, _ in kind.FIELDS)), special
    read, special = _FRAMES[kind]
    fields = [*read(frame)]
    for index, how in special:
        fields[index] = _write(how, fields[index], lines)
    return fields


def encode_state(state: RunState) -> bytes:
    """The state of a run as one row: it can be thrown away, the journal gives it back."""
    lines: list[bytes] = []
    frames: list[list[Any]] = []
    for frame in state.frames.values():
        fields = _write_frame(frame, lines)
        frames.append([frame.path, frame.parent.path if frame.parent else None, frame.key, fields])
    plain = [getattr(state, name) for name in _STATE_FIELDS]
    failures = [failure_plain(failure) for failure in state.cleanup_failures]
    more = _encode_messages(state, lines) | _encode_hooks(state, lines) | _encode_ledger(state, lines)
    if state.children or state.parent:
        more["family"] = [state.parent, state.children]
    if state.shared is not None:
        more["shared"] = _write_shared(state, state.shared, lines)
    return b"\n".join((_encode([VERSION, plain, failures, frames, *([more] if more else [])]), *lines))


def _encode_messages(state: RunState, lines: list[bytes]) -> dict[str, Any]:
    """What waits for whom, and how the steps that conditions look at have ended, if there is anything."""
    found: dict[str, Any] = {}
    if state.outcomes:
        found["outcomes"] = {name: [status, _line(value, lines)] for name, (status, value) in state.outcomes.items()}
    if not state.messages and not state.waiters:
        return found
    kept = {
        name: [[_line(message.value, lines), message.id, message.by] for message in messages]
        for name, messages in state.messages.items()
    }
    return found | {"messages": kept, "waiters": state.waiters}


def _encode_hooks(state: RunState, lines: list[bytes]) -> dict[str, Any]:
    """Where hooks stand and who waits for one, if any do."""
    if not state.hooks and not state.gates and not state.refused and not state.granted and not state.requests:
        return {}
    gates, refused = _encode_gates(state.gates, lines), _encode_gates(state.refused, lines)
    found: dict[str, Any] = {"hooks": state.hooks, "gates": gates, "refused": refused}
    if state.requests or state.granted:
        found["requests"] = [[key, _write_fact(fact, lines)] for key, fact in state.requests.items()]
        found["granted"] = [_write_fact(fact, lines) for fact in state.granted]
    return found


def _write_fact(fact: Any, lines: list[bytes]) -> list[Any]:
    layout = _LAYOUTS[type(fact)]
    item = [layout.name, *layout.read(fact)]
    for index, kind in layout.special:
        item[index] = _write(kind, item[index], lines)
    return [fact.at, *item]


def _read_fact(data: list[Any], lines: list[bytes]) -> Any:
    at, name, *fields = data
    layout = _NAMED[name]
    for index, kind in layout.special:
        fields[index - 1] = _read(kind, fields[index - 1], lines)
    return layout.kind(at, *fields)


def decode_state(data: bytes, definition: Definition) -> RunState:
    """The state that `encode_state` wrote, with the nodes of this definition."""
    text, *lines = data.split(b"\n")
    _, plain, failures, frames, *more = _parse(text)
    state = RunState(definition)
    for name, value in zip(_STATE_FIELDS, plain, strict=True):
        setattr(state, name, value)
    state.cleanup_failures = tuple(map(failure_from, failures))
    for found in more:
        state.outcomes = {n: (how, _value(number, lines)) for n, (how, number) in found.get("outcomes", {}).items()}
        state.waiters = found.get("waiters", {})
        for name, messages in found.get("messages", {}).items():
            state.messages[name] = deque(Message(_value(number, lines), id, by) for number, id, by in messages)
        set_points(state, tuple(found.get("hooks", ())))
        state.gates = _decode_gates(found.get("gates", ()), lines)
        state.refused = _decode_gates(found.get("refused", ()), lines)
        state.requests = {key: _read_fact(data, lines) for key, data in found.get("requests", ())}
        state.granted = tuple(_read_fact(data, lines) for data in found.get("granted", ()))
        _decode_ledger(state, found.get("ledger", (0,)), lines)
        for entry in (_entry_from(data, lines) for data in found.get("doubted", ())):
            state.ledger.doubted[entry.path, entry.generation] = entry
        for path, key, number, seq, calls in found.get("lasting", ()):
            state.ledger.lasting[path, key] = Lasting(
                path, key, number, seq, tuple((place, seen) for place, seen in calls)
            )
        state.parent, state.children = found.get("family", ("", {}))
    for path, parent, key, fields in frames:
        _decode_frame(state, path, parent, key, fields, lines)
    for frame in state.frames.values():
        if frame.parent is not None and frame.phase not in ENDED:
            frame.parent.active += 1
    for found in more:
        if "shared" in found:
            _read_shared(state, found["shared"], lines)
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


def _encode_ledger(state: RunState, lines: list[bytes]) -> dict[str, Any]:
    """What could be undone, if anything ever could."""
    ledger = state.ledger
    entries = [_entry_plain(entry, lines) for entry in ledger.entries.values()]
    found: dict[str, Any] = {"ledger": [ledger.last, *entries]} if ledger.last else {}
    if ledger.doubted:
        found["doubted"] = [_entry_plain(entry, lines) for entry in ledger.doubted.values()]
    return found | {"lasting": list(ledger.lasting.values())} if ledger.lasting else found


def _decode_ledger(state: RunState, data: Any, lines: list[bytes]) -> None:
    for entry in data[1:]:
        state.ledger.add(_entry_from(entry, lines))
    state.ledger.last = data[0]


def _entry_plain(entry: Entry, lines: list[bytes]) -> list[Any]:
    place = [entry.number, entry.seq, entry.path, entry.attempt, entry.generation, entry.base, entry.shape, entry.place]
    plain = [*place, _line(entry.input, lines), _line(entry.output, lines), entry.known, entry.stuck]
    more = [entry.undo, entry.takes_unknown, entry.doubted, entry.again]
    return [*plain, *more] if entry.undo or entry.again else plain


def _entry_from(data: list[Any], lines: list[bytes]) -> Entry:
    entry: Any = Entry
    result: Entry = entry(*data[:8], _value(data[8], lines), _value(data[9], lines), *data[10:])
    return result


def _decode_frame(
    state: RunState, path: str, parent_path: str | None, key: int, fields: list[Any], lines: list[bytes]
) -> None:
    parent: Any = None if parent_path is None else state.frames[parent_path]
    if path.endswith(MARK):
        node: Node[Any] = COMPENSATION
    else:
        node = state.definition.root if parent is None else parent.node.child_node(state, parent, key, path)
    frame: Frame = node.frame_class(path, node, parent, key, b"null")
    for (name, kind), data in zip(frame.FIELDS, fields, strict=True):
        setattr(frame, name, data if kind == "plain" else _read(kind, data, lines))
    state.frames[path] = frame
    if parent is None and path:
        return
    if parent is None:
        assert isinstance(frame, ScopeFrame)
        state.root = frame
    else:
        parent.children[key] = frame


# --- the typed state of a run


def _write_shared(state: RunState, shared: Shared, lines: list[bytes]) -> list[Any]:
    """Scopes, then the writes of ended branches, then layers: each by what differs from what its branch began with."""
    scopes = [[path, _write_fields(fields, lines)] for path, fields in shared.scopes.items()]
    deltas = [
        [path, [[key, _write_writes(writes, lines)] for key, writes in by_key.items()]]
        for path, by_key in shared.deltas.items()
    ]
    layers: list[list[Any]] = []
    for path in [path for path in state.frames if path in shared.layers]:
        layer, beneath = shared.layers[path], _beneath(state, shared, path)
        own = {name: held for name, held in layer.fields.items() if not same(beneath.get(name), held)}
        gone = sorted(name for name in beneath if name not in layer.fields)
        layers.append([path, _write_fields(own, lines), gone, _write_writes(layer.writes, lines)])
    bases = [[path, _write_fields(fields, lines)] for path, fields in shared.bases.items()]
    marks = [
        [path, [[asked, place, _write_fields(fields, lines), count] for asked, (place, fields, count) in found]]
        for path, found in shared.marks.items()
    ]
    pending = [[path, _write_writes(writes, lines)] for path, writes in shared.pending.items()]
    merged = [
        [path, [[key, _write_writes(writes, lines)] for key, writes in by_key.items()]]
        for path, by_key in shared.merged.items()
    ]
    return [
        scopes,
        deltas,
        layers,
        bases,
        marks,
        pending,
        _write_writes(shared.given, lines),
        merged,
        sorted(shared.judged),
    ]


def _read_shared(state: RunState, data: list[Any], lines: list[bytes]) -> None:
    scopes, deltas, layers, bases, marks, pending, given, *more = data
    shared = state.shared = Shared(_read_writes(given, lines))
    shared.pending.update((path, _read_writes(writes, lines)) for path, writes in pending)
    for path, fields in scopes:
        shared.scopes[path] = _read_fields(fields, lines)
        node: Any = state.frames[path].node
        shape: Shape = node.shape
        shared.shapes[path] = shape
    for path, by_key in deltas:
        shared.deltas[path] = {key: _read_writes(writes, lines) for key, writes in by_key}
    shared.judged.update(more[1] if len(more) > 1 else ())
    for path, by_key in more[0] if more else ():
        shared.merged[path] = {key: _read_writes(writes, lines) for key, writes in by_key}
    for path, own, gone, writes in layers:
        beneath = _beneath(state, shared, path)
        kept = {name: held for name, held in beneath.items() if name not in gone}
        layer = shared.layers[path] = Layer({**kept, **_read_fields(own, lines)})
        layer.writes.extend(_read_writes(writes, lines))
    shared.bases.update((path, _read_fields(fields, lines)) for path, fields in bases)
    for path, found in marks:
        shared.marks[path] = [_read_mark(item, lines) for item in found]


def _read_mark(data: list[Any], lines: list[bytes]) -> tuple[int, Mark]:
    asked, place, fields, count = data
    return asked, (place, _read_fields(fields, lines), count)


def _beneath(state: RunState, shared: Shared, path: str) -> Fields:
    """What a branch would see if it had no layer."""
    frame = state.frames[path]
    assert frame.parent is not None
    return shared.beginning(frame.parent, frame.key)


def _write_fields(fields: Fields, lines: list[bytes]) -> dict[str, Any]:
    held = sorted(fields.items())
    return {name: [[op, _line(value, lines)] for op, value in writes_of(writes)] for name, writes in held}


def _read_fields(data: dict[str, Any], lines: list[bytes]) -> dict[str, Held]:
    found = {name: held_of([(op, _value(number, lines)) for op, number in writes]) for name, writes in data.items()}
    return {name: held for name, held in found.items() if held is not None}
