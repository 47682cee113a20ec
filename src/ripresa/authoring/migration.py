"""Migrations: how an unfinished run of one version of a workflow becomes one of the next.

Law: a migration is a function from a run's form to a run's form; it touches nothing else, so that it can be tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from ..core.calling import told, told_of
from ..core.merge import CUSTOM, SET
from ..core.parts import Failure
from ..errors import RipresaError
from .flow import Runnable
from .options import check_name, refuse


@dataclass(slots=True)
class FieldWrite:
    """What a step wrote to a field of the typed state, as JSON: `op` is `set`, or the name of a built-in reducer.

    With `custom`, a reducer of one's own, `value` is what that made of `operand`.
    """

    field: str
    op: str
    value: Any
    operand: Any = None


@dataclass(slots=True)
class StreamPlace:
    """How far a stream is: its counts, where its source goes on, what its stages hold open there.

    `held` is by the number of the stage: the items, and how many they are; `folded` the result so far of one that
    folds; `ended` why it has ended, empty while it goes on.
    """

    batches: int
    taken: int
    dropped: int = 0
    dead: int = 0
    position: Any = None
    held: dict[str, Any] = field(default_factory=dict[str, Any])
    folded: Any = None
    ended: str = ""
    stages: tuple[str, ...] | None = None
    flow: str = ""
    elapsed: int = field(default=0, compare=False)
    """Microseconds for which it was pumped."""


@dataclass(slots=True)
class RunForm:
    """A run as plain data: what a migration may read and change.

    `input` is the run's input as JSON, `results` the outputs of its completed steps by path, `waits` the moments of
    its timers by path (microseconds since 1970). In the new version a step at the path of a result is not run: it has
    returned that. What the new version has no step for is left out.

    `state` is what the run's own typed state began with, by field, of version `state_version` of its class (0: there
    is none); `writes` are what each of the completed steps wrote to the state that it shared, by path. The new version
    begins with that state, and a step that is not run has written that.

    `approvals` are those that people were asked for, by path: the path that they had in the old version, whose answers
    they keep. Their moment in `waits` is when they were asked for.

    `sent` are the places, by path, at which durable functions started runs or sent anything else: the path that each
    had in the old version. It is not sent again. `origins` are the paths that results had there.

    `streams` are how far streams are, by path: one whose result is not there goes on from there.

    `failures` are the steps, by path, of which somebody said that they failed (`ripresa reconcile`); they fail again.
    """

    workflow: str
    version: str
    input: Any
    results: dict[str, Any] = field(default_factory=dict[str, Any])
    waits: dict[str, int] = field(default_factory=dict[str, int])
    state: dict[str, Any] = field(default_factory=dict[str, Any])
    state_version: int = 0
    writes: dict[str, list[FieldWrite]] = field(default_factory=dict[str, list[FieldWrite]])
    approvals: dict[str, str] = field(default_factory=dict[str, str])
    failures: dict[str, Failure] = field(default_factory=dict[str, Failure])
    sent: dict[str, str] = field(default_factory=dict[str, str])
    streams: dict[str, StreamPlace] = field(default_factory=dict[str, StreamPlace])
    origins: dict[str, str] = field(default_factory=dict[str, str])

    def rename(self, old: str, new: str) -> None:
        """Let what stood at a path, and below it, stand at another one."""
        self.results = {_moved(path, old, new): result for path, result in self.results.items()}
        self.waits = {_moved(path, old, new): due for path, due in self.waits.items()}
        self.approvals = {_moved(path, old, new): asked for path, asked in self.approvals.items()}
        self.writes = {_moved(path, old, new): writes for path, writes in self.writes.items()}
        self.failures = {_moved(path, old, new): failure for path, failure in self.failures.items()}
        self.sent = {_moved(path, old, new): place for path, place in self.sent.items()}
        self.streams = {_moved(path, old, new): place for path, place in self.streams.items()}
        self.origins = {_moved(path, old, new): origin for path, origin in self.origins.items()}

    def forget(self, path: str) -> None:
        """Let what stood at a path, and below it, be done anew."""
        self.results = {at: result for at, result in self.results.items() if not _is_below(at, path)}
        self.waits = {at: due for at, due in self.waits.items() if not _is_below(at, path)}
        self.approvals = {at: asked for at, asked in self.approvals.items() if not _is_below(at, path)}
        self.writes = {at: writes for at, writes in self.writes.items() if not _is_below(at, path)}
        self.failures = {at: failure for at, failure in self.failures.items() if not _is_below(at, path)}
        self.sent = {at: place for at, place in self.sent.items() if not _is_below(at, path)}
        self.streams = {at: place for at, place in self.streams.items() if not _is_below(at, path)}
        self.origins = {at: origin for at, origin in self.origins.items() if not _is_below(at, path)}

    def rename_field(self, old: str, new: str) -> None:
        """Let a field of the state have another name."""
        self.state = {new if name == old else name: value for name, value in self.state.items()}
        for write in self._writes_of(old):
            write.field = new

    def drop_field(self, name: str) -> None:
        """Let a field of the state be gone, with all that was written to it."""
        self.state.pop(name, None)
        self.writes = {path: [each for each in writes if each.field != name] for path, writes in self.writes.items()}

    def change_field(self, name: str, value: Callable[[Any], Any], operand: Callable[[Any], Any] | None = None) -> None:
        """Let a field hold something else: `value` changes what the whole field holds, `operand` what a reducer takes.

        Raises `ValueError` if a step used a reducer and there is no `operand`.
        """
        if name in self.state:
            self.state[name] = value(self.state[name])
        for write in self._writes_of(name):
            if write.op in (SET, CUSTOM):
                write.value = value(write.value)
            if write.op != SET:
                if operand is None:
                    raise ValueError(
                        f"field {name!r} was written by the reducer {write.op!r}: say what its operands become"
                    )
                if write.op == CUSTOM:
                    write.operand = operand(write.operand)
                else:
                    write.value = operand(write.value)

    def _writes_of(self, name: str) -> list[FieldWrite]:
        return [write for writes in self.writes.values() for write in writes if write.field == name]


def _is_below(path: str, place: str) -> bool:
    return path == place or (path.startswith(place) and path[len(place)] in "/[#")


def _moved(path: str, old: str, new: str) -> str:
    return new + path[len(old) :] if _is_below(path, old) else path


Change = Callable[[RunForm], RunForm | None]
"""Changes the form it is given, or makes another one."""


@told_of
@dataclass(frozen=True, slots=True)
class Migration:
    """How a run of version `from_` becomes one of version `to`: steps are renamed, then `change` has its say."""

    workflow: str
    from_: str
    to: str
    change: Change | None = None
    renamed: Mapping[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        same = f"from_ and to are both {self.to!r}, must differ" if self.from_ == self.to else None
        names = [check_name(getattr(self, name), name) for name in ("workflow", "from_", "to")]
        refuse("migration", *names, same)

    def __call__(self, run: RunForm) -> RunForm:
        """The run as one of the next version. Raises what the change raises."""
        form = deepcopy(run)
        for old, new in self.renamed.items():
            form.rename(old, new)
        if self.change is not None:
            form = self.change(form) or form
        form.version = self.to
        return form


@told
def migration(
    workflow: str | Runnable[..., Any], *, from_: str, to: str, renamed: Mapping[str, str] | None = None
) -> Callable[[Change], Migration]:
    """Make a function a migration: `@migration("report", from_="1", to="2")` over `def up(run: RunForm) -> None`.

    `renamed` maps paths of steps to those that they have in the new version. A migration that only renames needs no
    function: `Migration("report", "1", "2", renamed={"write": "draft"})`. Raises `InvalidConfig`.
    """
    name = workflow if isinstance(workflow, str) else workflow.name
    Migration(name, from_, to)  # refuses at once

    def make(change: Change) -> Migration:
        return Migration(name, from_, to, change, dict(renamed or {}))

    return make


def path_between(migrations: Iterable[Migration], workflow: str, start: str, end: str) -> list[Migration] | None:
    """The fewest migrations from one version of a workflow to another, in order; None if they do not lead there."""
    known = [each for each in migrations if each.workflow == workflow]
    found: dict[str, list[Migration]] = {start: []}
    ahead = [start]
    while ahead:
        version = ahead.pop(0)
        if version == end:
            return found[version]
        for each in known:
            if each.from_ == version and each.to not in found:
                found[each.to] = [*found[version], each]
                ahead.append(each.to)
    return None


def migrated(form: RunForm, way: Iterable[Migration]) -> RunForm:
    """The form after all of these migrations. Raises `RipresaError(migration_failed)` caused by what one raised."""
    for each in way:
        try:
            form = each(form)
        except Exception as error:
            raise RipresaError(
                f"the migration of {each.workflow!r} from version {each.from_!r} to {each.to!r} raised "
                f"{type(error).__name__}: {error}",
                code="migration_failed",
                op="migrate",
                where=each.workflow,
                hint="nothing has changed: mend the migration and try again",
            ) from error
    return form
