"""What user code sees of a typed state: a view of its own, decoded field by field, whose assignments are writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from ..authoring.encoding import decode
from ..authoring.reducers import Custom, Reducer, Target
from ..authoring.state_type import StateField, StateType
from ..core.definition import Definition
from ..core.events import Write
from ..core.frames import Frame
from ..core.merge import CUSTOM, SET, read
from ..core.nodes.stateful import Stateful
from ..core.shared import Fields, after, conflict_of, folded_fields, same
from ..core.values import Value
from ..errors import RipresaError
from .values import Keeper, Values

if TYPE_CHECKING:
    from ..core.state import RunState

SheetMark: TypeAlias = tuple[Fields, int]
"""What a sheet held, and how much had been written to it."""

_PLAIN = (str, int, float, bool, bytes, type(None))
"""Values that cannot be changed in place."""


class Sheet:
    """The state as one attempt, predicate or fiber sees it, and what it wrote. `where` names it in errors."""

    def __init__(self, kind: StateType[Any], fields: Fields, values: Values, where: str, *, fixed: str = "") -> None:
        self.kind = kind
        self.fields = fields
        self.values = values
        self.where = where
        self.fixed = fixed
        self.writes: list[Write] = []
        self.given = 0
        """How many writes have been taken from it."""
        self.seen: set[str] = set()
        """The fields that were looked at."""
        self.outer: tuple[Write, ...] | None = None
        """Of a fiber that is to be joined: what it saw when it began and the function's own branch did not hold."""
        self._read: dict[str, tuple[bytes, Any]] = {}
        self._unchecked = fields if kind.rules else None
        """What it begins with, until the validators of the whole class have been asked about it."""

    def of(self, kind: Any) -> Sheet:
        """The same. Raises `RipresaError(no_state)` if the state is of another class."""
        if kind is not self.kind.kind:
            name = getattr(kind, "__name__", repr(kind))
            raise no_state(self.where, f"the state here is {self.kind.name}, not {name}")
        return self

    def read(self, name: str) -> Any:
        """The value of a field, decoded at the first read.

        Raises `InvalidValue(invalid_field)` if it does not fit the class any more, `RipresaError(no_state)` if it was
        never set.
        """
        field = self.kind.field(name, self.where)
        self.seen.add(name)
        if self._unchecked is not None:
            found, self._unchecked = self._unchecked, None
            self._require_valid(found)
        if name in self._read:
            return self._read[name][1]
        held = self.fields.get(name)
        if held is None:
            raise no_state(self.where, f"{self.kind.name}.{name} was never set and has no default")
        text = read(held, self.values.text)
        value = self._decode(field, text)
        self._read[name] = text, value
        return value

    def assign(self, name: str, value: object) -> None:
        """Replace a field. Raises `InvalidValue(invalid_field)`."""
        field = self.kind.field(name, self.where)
        self._write(field, SET, self.kind.encode(field, value, field.kind, self.where))

    def target(self, name: str) -> Target[Any]:
        """The field as what a reducer writes to."""
        field = self.kind.field(name, self.where)
        return Target(lambda reducer, operand: self._contribute(field, reducer, operand))

    def _contribute(self, field: StateField, reducer: Reducer, operand: object) -> None:
        check_reducer(self.kind, field, reducer, self.where)
        text = self.kind.encode(field, operand, reducer.operand(field.kind), self.where)
        if not isinstance(reducer, Custom):
            self._write(field, reducer.name, text)
            return
        self.seen.add(field.name)
        held = self.fields.get(field.name)
        before = None if held is None else self._decode(field, read(held, self.values.text))
        fn: Callable[[Any, Any], Any] = reducer.fn  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        made = fn(before, decode(text, reducer.operand(field.kind)))
        self._write(field, field.operation, self.kind.encode(field, made, field.kind, self.where), text)

    def _write(self, field: StateField, op: str, text: bytes, operand: bytes = b"null") -> None:
        if self.fixed:
            raise RipresaError(
                f"{self.kind.name}.{field.name} cannot be written by {self.fixed}",
                code="usage",
                op="state",
                where=self.where,
                hint="write it in a step",
            )
        self._read.pop(field.name, None)
        write = Write(field.name, op, text, operand=operand)
        self.fields = after(self.fields, (write,))
        self.writes.append(write)

    def _decode(self, field: StateField, text: bytes) -> Any:
        return decode(text, field.kind, where=f"{self.where}: {self.kind.name}.{field.name}", code="invalid_field")

    def check(self) -> None:
        """Raise `RipresaError(usage)` if a value was changed in place instead of being assigned: that is no write.

        And `InvalidValue(invalid_field)` if what was written does not pass the validators of the whole class.
        """
        for name, (text, value) in self._read.items():
            field = self.kind.fields[name]
            if not isinstance(value, _PLAIN) and self._text(field, value) != self._text(
                field, self._decode(field, text)
            ):
                raise RipresaError(
                    f"{self.kind.name}.{name} was changed in place, which writes nothing",
                    code="usage",
                    op="state",
                    where=self.where,
                    hint="assign the field, or use its reducer",
                )

        if self.kind.is_judged and self.writes:
            self.kind.require_joined(self._texts(self.fields), self.where, self.writes)

    def require_joined(self, writes: Iterable[Write]) -> None:
        """Raise `InvalidValue(invalid_field)` that names the writers if what branches wrote is not valid together."""
        self.kind.require_joined(self._texts(after(self.fields, writes)), self.where, writes)

    def _require_valid(self, fields: Fields, written: Iterable[str] = ()) -> None:
        self.kind.require_valid(self._texts(fields), self.where, written)

    def _texts(self, fields: Fields) -> dict[str, bytes]:
        return {name: read(held, self.values.text) for name, held in fields.items()}

    def _text(self, field: StateField, value: Any) -> bytes:
        return self.kind.encode(field, value, field.kind, self.where)

    def heard(self, also: list[Write]) -> Heard:
        """The same; what is written through it is noted in `also` too."""
        return Heard(self, also)

    def mark(self) -> SheetMark:
        """A place to go back to."""
        return self.fields, self.given + len(self.writes)

    def back_to(self, mark: SheetMark) -> None:
        """Take back what was written since: it is forgotten, or, where it has been recorded, written over.

        A field without a default that was set for the first time since then stays set in that case.
        """
        fields, count = mark
        if count >= self.given:
            del self.writes[count - self.given :]
            self.fields = fields
            self._read = {}
            return
        for name, held in fields.items():
            if not same(self.fields.get(name), held):
                field = self.kind.fields[name]
                self._write(field, SET, read(held, self.values.text))

    # --- the fibers of durable functions

    def inner(self) -> Sheet:
        """The state as a fiber begins with it that will be joined to this one."""
        sheet = Sheet(self.kind, self.fields, self.values, self.where)
        sheet.outer = self.unjoined()
        return sheet

    def unjoined(self) -> tuple[Write, ...]:
        """What was written up to here and the function's own branch does not hold."""
        return () if self.outer is None else (*self.outer, *self.writes)

    def absorb(self, writes: tuple[Write, ...]) -> None:
        """Something that this waited for has ended: what it wrote is seen, and counts as written here."""
        if writes:
            self.fields = after(self.fields, writes)
            self.writes.extend(writes)
            for write in writes:
                self._read.pop(write.field, None)

    def joined(self, deltas: list[tuple[Write, ...]]) -> tuple[Write, ...]:
        """What several things side by side have written, in their order.

        Raises `RipresaError(state_conflict)` that names those which wrote the same field.
        """
        conflict = conflict_of(self.kind.shape, deltas, self.where)
        if conflict is not None:
            raise RipresaError(conflict.message, code=conflict.code, op="join", where=self.where)
        writes = [write for delta in deltas for write in delta]
        return tuple(self.folded(writes, folded_fields(self.kind.shape, deltas)))

    def folded(self, writes: list[Write], names: tuple[str, ...]) -> list[Write]:
        """Writes of several branches, one after another: reducers of the user's own are asked what comes out."""
        latest: dict[str, Any] = {}
        found: list[Write] = []
        for write in writes:
            field = self.kind.fields[write.field]
            if write.op == SET and write.field in names:
                latest[write.field] = self._decode(field, self.values.text(write.value))
            elif write.op == CUSTOM and write.field in names and isinstance(field.reducer, Custom):
                value = self._decode(field, self.values.text(write.value))
                if write.field in latest:
                    fn: Callable[[Any, Any], Any] = field.reducer.fn  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
                    operand = decode(self.values.text(write.operand), field.reducer.operand(field.kind))  # pyright: ignore[reportUnknownMemberType]
                    value = fn(latest[write.field], operand)
                    write = replace(write, value=self.kind.encode(field, value, field.kind, self.where))
                latest[write.field] = value
            found.append(write)
        return found

    def merged(self, writes: list[Write], name: str, keeper: Keeper) -> Write:
        """What comes out of the writes of several branches to this field."""
        mine = [write for write in writes if write.field == name]
        return kept(Write(name, CUSTOM, self.folded(mine, (name,))[-1].value), keeper)

    def taken(self, keeper: Keeper) -> tuple[Write, ...]:
        """What was written since the last time, as it goes into an event: large values are kept by content."""
        writes, self.writes = self.writes, []
        self.given += len(writes)
        return tuple(kept(write, keeper) for write in writes)


class Heard:
    """A sheet through which something writes whose writes are told apart."""

    __slots__ = ("_also", "_sheet")

    def __init__(self, sheet: Sheet, also: list[Write]) -> None:
        self._sheet = sheet
        self._also = also

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sheet, name)

    def assign(self, name: str, value: object) -> None:
        """See `Sheet.assign`."""
        before = len(self._sheet.writes)
        self._sheet.assign(name, value)
        self._also.extend(self._sheet.writes[before:])

    def target(self, name: str) -> Target[Any]:
        """See `Sheet.target`."""
        inner = self._sheet.target(name)

        def contribute(reducer: Reducer, operand: object) -> None:
            before = len(self._sheet.writes)
            inner.take(reducer, operand)
            self._also.extend(self._sheet.writes[before:])

        return Target(contribute)


def kept(write: Write, keeper: Keeper) -> Write:
    """A write whose large values are stored by content."""
    return Write(write.field, write.op, _kept(write.value, keeper), write.by, _kept(write.operand, keeper))


def _kept(value: Value, keeper: Keeper) -> Value:
    return keeper.keep(value) if isinstance(value, bytes) and value[:1] != b"@" else value


class View:
    """A state as user code sees it: statically of its own class. Assigning a field writes it."""

    __slots__ = ("_sheet",)

    _sheet: Sheet | Heard

    def __init__(self, sheet: Sheet | Heard) -> None:
        object.__setattr__(self, "_sheet", sheet)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._sheet.read(name)

    def __setattr__(self, name: str, value: object) -> None:
        self._sheet.assign(name, value)

    def __getitem__(self, name: str) -> Any:
        return self._sheet.read(name)

    def __setitem__(self, name: str, value: object) -> None:
        self._sheet.assign(name, value)

    def __contains__(self, name: object) -> bool:
        self._sheet.seen.add(str(name))
        return name in self._sheet.fields

    def __repr__(self) -> str:
        return f"<state {self._sheet.kind.name}>"


class Targets:
    """The fields of a state as what reducers write to: statically of its own class."""

    __slots__ = ("_sheet",)

    def __init__(self, sheet: Sheet | Heard) -> None:
        self._sheet = sheet

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._sheet.target(name)

    def __getitem__(self, name: str) -> Any:
        return self._sheet.target(name)

    def __repr__(self) -> str:
        return f"<fields of {self._sheet.kind.name}>"


class Sighted:
    """A `Reader` that also reads the state as it is seen from a place: for expressions of graphs.

    The names of the fields that are read are added to `seen`.
    """

    def __init__(self, run: RunState, frame: Frame, values: Values, seen: set[str] | None = None) -> None:
        self._values = values
        self._place = run, frame
        self._seen = set[str]() if seen is None else seen

    def read(self, value: Value, kind: Any) -> Any:
        """See `Reader`."""
        return self._values.read(value, kind)

    def items(self, value: Value) -> list[Value]:
        """See `Reader`."""
        return self._values.items(value)

    def outcome(self, step: str) -> tuple[str, Value] | None:
        """See `Reader`."""
        return self._values.outcome(step)

    def field(self, name: str) -> Any:
        """The value of a field of the state, decoded anew."""
        run, frame = self._place
        self._seen.add(name)
        return sheet_of(run, frame, self._values, fixed="an expression").read(name)


def sheet_of(run: RunState, frame: Frame, values: Values, *, fixed: str = "") -> Sheet:
    """The state as it is seen from a place. Raises `RipresaError(no_state)` if there is none."""
    shared = run.shared
    scope = None if shared is None else shared.scope(frame)
    if shared is None or scope is None:
        raise no_state(frame.path, "nothing here has a state")
    kind: StateType[Any] = run.frames[scope].node.code
    return Sheet(kind, shared.visible(frame), values, frame.path, fixed=fixed)


def sheet_within(run: RunState, frame: Frame, values: Values) -> Sheet | None:
    """The state as a durable function saw it when it began; None if it sees none."""
    shared = run.shared
    fields = None if shared is None else shared.bases.get(frame.path)
    scope = None if shared is None else shared.scope(frame)
    if fields is None or scope is None:
        return None
    return Sheet(run.frames[scope].node.code, fields, values, frame.path.rstrip("()") or run.definition.name)


def beginning(kind: StateType[Any], given: object, keeper: Keeper) -> tuple[Write, ...]:
    """What a state begins with: what it is given, else its defaults. Raises `InvalidValue(invalid_field)`."""
    return tuple(Write(name, SET, keeper.keep(text)) for name, text in kind.initial(given))


def is_judged(definition: Definition) -> bool:
    """Whether the state of a run, if it has one, is judged where branches are joined."""
    root = definition.root
    return isinstance(root, Stateful) and root.code.is_judged


def check_reducer(kind: StateType[Any], field: StateField, reducer: Reducer, where: str) -> None:
    """Raise `RipresaError(usage)` unless the field was declared with this reducer."""
    if field.reducer is not reducer:
        has = "no reducer" if field.reducer is None else f"the reducer {field.reducer.name}"
        raise RipresaError(
            f"{kind.name}.{field.name} has {has}, not {reducer.name}",
            code="usage",
            op=reducer.name,
            where=where,
            hint=f"declare it: {field.name}: Annotated[..., {reducer.name}]",
        )


def no_state(where: str, message: str) -> RipresaError:
    """The error for a state that is not there."""
    return RipresaError(
        message,
        code="no_state",
        op="state",
        where=where,
        hint="give the flow a state: flow.with_state(S), Graph(..., state=S), or ctx: Context[S]; "
        "a workflow called by another sees only its own",
    )
