"""The typed state that the steps of a run share: what its scopes hold, and what each branch has written.

Law: a branch reads what was there when it began and what it wrote itself; its writes reach the others at the join,
in the order of the branches. What is held is never changed in place, so that branches and marks share it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from .events import Failure, StateChanged, StateOpened, StateRestored, Write
from .merge import CUSTOM, LONGEST, SET, Held, put, writes_of

if TYPE_CHECKING:
    from .frames import Frame, ScopeFrame
    from .state import RunState
    from .values import Value

Fields: TypeAlias = Mapping[str, Held]
"""What a state holds, by field; a field that was never written is not there. Replaced, never changed."""

MERGE: Final = "merge"
"""The question what comes out of fields that several branches wrote by reducers of the user's own."""

ALL: Final = -1
"""What it is about at the end of a fork; else the number of a branch that is to begin."""

ERROR: Final = "error"
LAST_WRITE: Final = "last_write"
"""What several branches may do to a field: an error if one of them replaced it, or the last branch has it."""


@dataclass(frozen=True, slots=True)
class FieldShape:
    """A field as the core knows it: its type's name, its reducer (empty: none), and what happens on a conflict."""

    name: str
    kind: str
    reducer: str = ""
    conflict: str = ERROR
    custom: bool = False
    """Whether the reducer is the user's own, so that a join asks it what comes out."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A state's class as the core knows it."""

    name: str
    version: int
    fields: tuple[FieldShape, ...]

    @property
    def asks(self) -> bool:
        """Whether joins may have to ask a reducer of the user's."""
        return any(field.custom for field in self.fields)

    def plain(self) -> dict[str, Any]:
        """As plain data, for the definition's hash."""
        fields = [[field.name, field.kind, field.reducer, field.conflict] for field in self.fields]
        return {"name": self.name, "version": self.version, "fields": fields}


class Layer:
    """What a branch sees (`fields`), and what it wrote itself, in order."""

    __slots__ = ("fields", "writes")

    def __init__(self, fields: Fields) -> None:
        self.fields = fields
        self.writes: list[Write] = []


Mark: TypeAlias = tuple[str, Fields, int]
"""A place to go back to: the path of the scope or branch, what it held, and how much the branch had written."""


class Shared:
    """The states of one run: scopes by path, layers of branches under way, and writes of branches that have ended.

    `bases` is what a durable function saw when it began; `marks` are what its branch held before each of its slices
    that wrote, with the number of calls it had asked for by then. `pending` are writes of calls that have returned
    and wait at a gate, `given` what the run's own state is to begin with. `merged` is what came out, for a branch that
    waited for several others, of fields that each of those wrote by a reducer of the user's. `judged` are the scopes
    whose class is asked about what comes out where branches are joined.
    """

    __slots__ = ("bases", "deltas", "given", "judged", "layers", "marks", "merged", "pending", "scopes", "shapes")

    def __init__(self, given: tuple[Write, ...] = (), *, judged: bool = False) -> None:
        self.given = given
        self.judged = {""} if judged else set[str]()
        self.pending: dict[str, tuple[Write, ...]] = {}
        self.scopes: dict[str, Fields] = {}
        self.shapes: dict[str, Shape] = {}
        self.layers: dict[str, Layer] = {}
        self.deltas: dict[str, dict[int, tuple[Write, ...]]] = {}
        self.bases: dict[str, Fields] = {}
        self.marks: dict[str, list[tuple[int, Mark]]] = {}
        self.merged: dict[str, dict[int, tuple[Write, ...]]] = {}

    # --- what is seen

    def open(self, run: RunState, path: str, shape: Shape, writes: tuple[Write, ...], *, judged: bool = False) -> None:
        """A scope has a state of its own from here on; it begins with what the fact at hand gives."""
        self.shapes[path] = shape
        if judged:
            self.judged.add(path)
        self.scopes[path] = after({}, writes)
        run.consequences.append(StateOpened(path, shape.name, shape.version))

    def scope(self, frame: Frame | None) -> str | None:
        """The path of the scope whose state something at this place shares; None if there is none."""
        while frame is not None and not frame.node.hides_state:
            if frame.path in self.scopes:
                return frame.path
            frame = frame.parent
        return None

    def visible(self, frame: Frame) -> Fields:
        """What is seen from a place: its branch's layer, or what the branch began with."""
        place: Frame = frame
        while True:
            layer = self.layers.get(place.path)
            if layer is not None:
                return layer.fields
            scope = self.scopes.get(place.path)
            if scope is not None:
                return scope
            if place.parent is None:
                return {}
            if place.parent.forks:
                return self.beginning(place.parent, place.key)
            place = place.parent

    def beginning(self, fork: ScopeFrame, key: int) -> Fields:
        """What a branch begins with: what its fork sees, and the writes of the siblings that it waited for."""
        fields = self.visible(fork)
        deltas = self.deltas.get(fork.path)
        if deltas:
            for sibling in fork.node.precedes(key):
                fields = after(fields, deltas.get(sibling, ()))
        merged = self.merged.get(fork.path)
        return after(fields, merged[key]) if merged and key in merged else fields

    # --- what is written

    def completed(self, run: RunState, call: Frame, writes: tuple[Write, ...], *, waits: bool) -> None:
        """A call has returned: what it wrote counts now, or when the gate at which it waits lets it go."""
        self.pending.pop(call.path, None)
        if waits and writes:
            self.pending[call.path] = writes
        elif writes:
            self.write(run, call, writes, told=True)

    def write(self, run: RunState, frame: Frame, writes: tuple[Write, ...], *, told: bool = False) -> None:
        """Keep writes made at a place: in its branch, or in the state itself. `told`: the fact at hand has them."""
        if self.scope(frame) is None:
            return
        place = self._branch(frame)
        if place in self.scopes:
            self.scopes[place] = after(self.scopes[place], writes)
            run.consequences.append(StateChanged(place, () if told else writes))
            return
        layer = self._layer(run.frames[place])
        layer.fields = after(layer.fields, writes)
        layer.writes.extend(signed(writes, frame.path))

    def _branch(self, frame: Frame) -> str:
        """The path of the branch, or of the scope, that a place belongs to."""
        place: Frame = frame
        while place.path not in self.scopes and place.parent is not None and not place.parent.forks:
            place = place.parent
        return place.path

    def _layer(self, branch: Frame) -> Layer:
        layer = self.layers.get(branch.path)
        if layer is None:
            layer = self.layers[branch.path] = Layer(self.visible(branch))
        return layer

    # --- durable functions

    def enter(self, frame: ScopeFrame) -> None:
        """A durable function begins (anew): what it sees now is what it is rebuilt from."""
        self.marks.pop(frame.path, None)
        self.deltas.pop(frame.path, None)
        if self.scope(frame) is not None:
            self.bases[frame.path] = self.visible(frame)

    def begin(self, frame: ScopeFrame, segment: str, writes: tuple[Write, ...]) -> None:
        """A call of a durable function begins with what the function sees now, and these writes of its fiber."""
        if frame.path in self.bases:
            self.layers[frame.prefix + segment] = Layer(after(self.visible(frame), writes))

    def write_slice(self, run: RunState, frame: ScopeFrame, asked: int, writes: tuple[Write, ...]) -> None:
        """A slice of a durable function, begun when it had asked for so many calls, wrote."""
        marks = self.marks.setdefault(frame.path, [])
        marks.append((asked, self.mark(frame)))
        del marks[:-LONGEST]
        self.write(run, frame, writes, told=True)

    def take_back(self, run: RunState, frame: ScopeFrame, asked: int) -> None:
        """Take back what a durable function wrote in all slices that began when it had asked for so many calls."""
        marks = self.marks.get(frame.path, [])
        taken = [mark for count, mark in marks if count >= asked]
        if taken:
            del marks[-len(taken) :]
            self.restore(run, taken[0])

    # --- joins

    def returns(self, run: RunState, frame: Frame) -> None:
        """Something has returned: what it wrote and was held back counts from here on."""
        writes = self.pending.pop(frame.path, ())
        if writes:
            self.write(run, frame, writes)

    def drop_pending(self, call: Frame) -> None:
        """A call is made again: what its last attempt wrote and was held back never counts."""
        self.pending.pop(call.path, None)

    def ended(self, frame: Frame) -> None:
        """A child has returned: if it was a branch, its fork has its writes from here on."""
        parent = frame.parent
        if parent is None or not parent.forks:
            return
        layer = self.layers.pop(frame.path, None)
        if layer is not None and layer.writes:
            self.deltas.setdefault(parent.path, {})[frame.key] = tuple(layer.writes)
        elif parent.path in self.deltas:
            self.deltas[parent.path].pop(frame.key, None)

    def conflict(self, fork: ScopeFrame, keys: Iterable[int] | None = None) -> Failure | None:
        """What these branches of a fork (or all that have ended), which do not see each other, may not do together."""
        deltas = self.deltas.get(fork.path)
        scope = self.scope(fork)
        if deltas is None or len(deltas) < 2 or scope is None:
            return None
        return conflict_of(self.shapes[scope], [deltas[key] for key in keys or sorted(deltas)], fork.path)

    def writers(self, fork: ScopeFrame) -> list[int]:
        """The branches of a fork that have ended and wrote."""
        return sorted(self.deltas.get(fork.path, ()))

    def unmerged(self, fork: ScopeFrame, keys: Iterable[int] | None = None) -> dict[str, list[int]]:
        """Fields that several of these branches of a fork (or of all) wrote by a reducer of the user's own: by whom.

        A field whose last writer had seen what the others wrote is not among them.
        """
        deltas = self.deltas.get(fork.path)
        scope = self.scope(fork)
        if deltas is None or len(deltas) < 2 or scope is None or not self.shapes[scope].asks:
            return {}
        shown = sorted(deltas if keys is None else deltas.keys() & set(keys))
        found: dict[str, list[int]] = {}
        for name in folded_fields(self.shapes[scope], [deltas[key] for key in shown]):
            *others, last = (key for key in shown if any(write.field == name for write in deltas[key]))
            if not set(others) <= set(fork.node.precedes(last)):
                found[name] = [*others, last]
        return found

    def asks_to_join(self, fork: ScopeFrame) -> bool:
        """Whether user code is asked before all branches of a fork are joined: reducers, or what judges the whole."""
        deltas = self.deltas.get(fork.path)
        if deltas is None or len(deltas) < 2:
            return False
        return bool(self.unmerged(fork)) or self.scope(fork) in self.judged

    def judges(self, fork: ScopeFrame) -> bool:
        """Whether what a branch wrote is judged with what its fork holds before it reaches that."""
        return bool(self.deltas.get(fork.path)) and self.scope(fork) in self.judged

    def written(self, fork: ScopeFrame, keys: Iterable[int]) -> list[Write]:
        """What branches of a fork that have ended wrote, in this order."""
        deltas = self.deltas[fork.path]
        return [write for key in keys for write in deltas[key]]

    def keep(self, fork: ScopeFrame, key: int, writes: tuple[Write, ...]) -> None:
        """What came out for a branch of a fork that is to begin."""
        self.merged.setdefault(fork.path, {})[key] = writes

    def is_kept(self, fork: ScopeFrame, key: int) -> bool:
        """Whether that is known."""
        return key in self.merged.get(fork.path, {})

    def join(self, run: RunState, fork: ScopeFrame, merged: tuple[Write, ...] = ()) -> None:
        """The writes of the branches that have ended reach the fork's own branch, in the order of the branches.

        `merged`: what came out of fields that several of them wrote by a reducer of the user's.
        """
        writes = self.joining(fork, merged)
        self.deltas.pop(fork.path, None)
        self.merged.pop(fork.path, None)
        if writes:
            self.write(run, fork, tuple(writes))

    def joining(self, fork: ScopeFrame, merged: tuple[Write, ...] = ()) -> list[Write]:
        """What all branches of a fork that have ended wrote together, in their order."""
        deltas = self.deltas.get(fork.path, {})
        writes = [write for key in sorted(deltas) for write in deltas[key]]
        for each in merged:
            last = max(index for index, write in enumerate(writes) if write.field == each.field)
            writes[last] = replace(writes[last], value=each.value)
        return writes

    def values(self) -> Iterator[Value]:
        """All values that are held: by scopes, by branches under way, and by those that wait to be joined."""
        for fields in self.scopes.values():
            for held in fields.values():
                yield from (value for _, value in writes_of(held))
        kept = [layer.writes for layer in self.layers.values()]
        waiting = [writes for by_key in self.deltas.values() for writes in by_key.values()]
        for writes in (*kept, *waiting, *self.pending.values()):
            yield from (write.value for write in writes)

    # --- going back

    def mark(self, frame: Frame) -> Mark:
        """Remember what the branch or scope of a place holds now: costs nothing but the reference."""
        path = self._branch(frame)
        if path in self.scopes:
            return path, self.scopes[path], 0
        layer = self.layers.get(path)
        return (path, self.visible(frame), 0) if layer is None else (path, layer.fields, len(layer.writes))

    def remember(self, frame: Frame) -> None:
        """Keep what is held where a scope begins that may have to be undone (a run, a saga)."""
        self.marks[frame.path] = [(0, self.mark(frame))]

    def back_to_beginning(self, run: RunState, path: str) -> None:
        """What a scope did is undone, and with it what it wrote."""
        for _, mark in self.marks.get(path, ())[:1]:
            self.restore(run, mark)

    def restore(self, run: RunState, mark: Mark) -> None:
        """Take back everything that was written at the place of a mark since then."""
        path, fields, count = mark
        if path in self.scopes:
            now = self.scopes[path]
            changed = differing(in_order(now), in_order(fields)) if run.core > 2 else differing(now, fields)
            if changed is not None:
                self.scopes[path] = fields
                run.consequences.append(StateRestored(path, *changed))
        elif path in self.layers:
            layer = self.layers[path]
            layer.fields = fields
            del layer.writes[count:]

    def were(self, states: Iterable[StateRestored]) -> None:
        """Scopes hold this from here on, whatever they held."""
        for state in states:
            if state.path in self.scopes:
                anew = {*state.gone, *(write.field for write in state.writes)}
                kept = {name: held for name, held in self.scopes[state.path].items() if name not in anew}
                self.scopes[state.path] = after(kept, state.writes)

    def forget(self, path: str) -> None:
        """Nothing is at this place any more."""
        for known in (self.scopes, self.shapes, self.layers, self.deltas, self.bases, self.marks):
            known.pop(path, None)
        self.pending.pop(path, None)
        self.merged.pop(path, None)
        self.judged.discard(path)


def were(run: RunState, states: Sequence[StateRestored]) -> None:
    """Scopes of a run hold what they did before somebody took back what was done since, or what they are given."""
    run.consequences.extend(states)
    if run.shared is not None:
        run.shared.were(states)


def after(fields: Fields, writes: Iterable[Write]) -> Fields:
    """The fields after these writes."""
    found = dict(fields)
    for write in writes:
        found[write.field] = put(found.get(write.field), write.op, write.value)
    return found


def signed(writes: tuple[Write, ...], path: str) -> tuple[Write, ...]:
    """The writes, each with the path of its writer."""
    return tuple(write if write.by else replace(write, by=path) for write in writes)


def in_order(fields: Fields) -> Fields:
    """The same by name: a state that was written and read again holds its fields in another order."""
    return dict(sorted(fields.items()))


def differing(now: Fields, then: Fields) -> tuple[tuple[Write, ...], tuple[str, ...]] | None:
    """How to get from one state to another: writes, and fields that are not there; None if they are the same."""
    writes = tuple(
        Write(name, op, value)
        for name, held in then.items()
        if not same(now.get(name), held)
        for op, value in writes_of(held)
    )
    gone = tuple(name for name in now if name not in then)
    return (writes, gone) if writes or gone else None


def same(now: Held | None, then: Held) -> bool:
    """Whether a field holds the same writes."""
    return now is then or (now is not None and writes_of(now) == writes_of(then))


def conflict_of(shape: Shape, deltas: list[tuple[Write, ...]], where: str) -> Failure | None:
    """The failure of branches that wrote the same field, unless a reducer or a policy says how that is merged."""
    by_field: dict[str, list[list[Write]]] = {}
    for delta in deltas:
        mine: dict[str, list[Write]] = {}
        for write in delta:
            mine.setdefault(write.field, []).append(write)
        for name, writes in mine.items():
            by_field.setdefault(name, []).append(writes)
    for field in shape.fields:
        branches = by_field.get(field.name, [])
        replaced = any(write.op == SET for writes in branches for write in writes)
        if len(branches) > 1 and field.conflict == ERROR and replaced:
            return conflicting(shape, field, sorted({writes[-1].by for writes in branches}), where)
    return None


def folded_fields(shape: Shape, deltas: list[tuple[Write, ...]]) -> tuple[str, ...]:
    """The fields that several branches wrote, and one of them by a reducer of the user's: it says what comes out."""
    found: list[str] = []
    for field in shape.fields if shape.asks else ():
        written = [{write.op for write in delta if write.field == field.name} for delta in deltas]
        if field.custom and sum(map(bool, written)) > 1 and any(CUSTOM in ops for ops in written):
            found.append(field.name)
    return tuple(found)


def conflicting(shape: Shape, field: FieldShape, writers: list[str], where: str) -> Failure:
    """The failure that says which writers did not see each other."""
    names = ", ".join(writers)
    other = "give the field a reducer, or conflicts='last_write'"
    hint = f"use its reducer {field.reducer}" if field.reducer else other
    return Failure(
        "state_conflict",
        f"{shape.name}.{field.name} was replaced by branches that do not see each other: {names}; {hint}",
        path=where,
    )
