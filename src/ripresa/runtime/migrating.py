"""Takes unfinished runs over to another version of their workflow, and says beforehand which it can be done with.

Law: all or nothing. What a migrated run begins with is one batch: the run is as it was before, or as it is after.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from ..authoring.check import walk
from ..authoring.encoding import decode, encode
from ..authoring.flow import Runnable
from ..authoring.migration import FieldWrite, Migration, RunForm, migrated, path_between
from ..core import events as e
from ..core.events import Event, Fact, Migrated, Recorded, Write
from ..core.limits import decode_limits
from ..core.merge import CUSTOM
from ..core.nodes.stateful import Stateful
from ..core.replay import began_at, lineage, next_generation, started_of
from ..core.state import RunState
from ..core.values import NULL
from ..core.view import view_of
from ..errors import IllegalTransition, InvalidValue, RipresaError
from ..ports import RunHead, Spend
from .carried import Carried
from .driver import Driver
from .engine import Engine
from .forms import as_written, begun, form_of, text_of, wrong_state
from .requests import checked
from .restoring import replayed
from .reuse import Result, Reuse
from .stream_places import places_in
from .undecided import MIGRATE, refuse_undecided
from .values import Values
from .views import beginning, is_judged

if TYPE_CHECKING:
    from ..authoring.state_type import StateType

MIGRATABLE: Final = ("running", "waiting", "paused", "failed")
"""Statuses of runs that can be taken over to another version."""

_UNDERSTOOD: Final = (
    e.RunStarted, e.RunTaken, e.RunReopened, e.StepStarted, e.StepCompleted, e.StepFailed, e.AttemptLost, e.TimerFired,
    e.Answered, e.AnswerFailed, e.Asked, e.Returned, e.Raised, e.CallRecorded, e.CallStarted, e.CallFailed,
    e.PauseRequested, e.ContinueRequested, e.CheckpointNamed, e.SignalReceived, e.SignalRefused, e.Restarted,
    e.RolledBack, e.RunForked, e.StepReused, e.Migrated, e.Reported, e.SessionEntered,
    e.StateGiven, e.StateMerged, e.StateEdited, e.HooksSet, e.HookFailed, e.Intercepted, e.Requested,
    e.RunStuck, e.VoteCast, e.ApprovalDelegated, e.LimitReached, e.LimitsSet, e.Reconciled, e.Dispatched, e.ChildEnded,
    e.StreamAdvanced,
)  # fmt: skip
"""Facts that a run may have and be migrated: what they mean is in its form, or is taken along."""


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """What a migration did, or would do.

    `taken` are the steps whose results were taken over, `ahead` those that are run next, `unused` the results that no
    step has taken yet: the new version may come to them later, or never.
    """

    run: str
    start: str
    end: str
    done: bool
    status: str
    taken: tuple[str, ...] = ()
    ahead: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Planned:
    """What becomes of an unfinished run with a new definition.

    `verdict`: `safe` (it goes on with it), `migrate` (a migration takes it over), `pinned` (it keeps its version, which
    is there) or `blocked` (`why` says what is missing).
    """

    run: str
    version: str
    status: str
    verdict: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Move:
    """Where runs are to be taken: to this code, by these migrations; `by` whom."""

    code: Runnable[..., Any]
    migrations: Sequence[Migration] = ()
    by: str = ""


async def migrate(engine: Engine, head: RunHead, move: Move, *, dry_run: bool = False) -> MigrationReport:
    """Take a run over to another version of its workflow; it is not driven afterwards.

    Raises `IllegalTransition` for a run that has ended or is being cancelled, `RunError(owned_elsewhere)`,
    `RipresaError(migration_missing, migration_failed, effects_undecided, not_available)`, `InvalidValue`.
    """
    if dry_run:
        journal = await engine.history(head.id)
        taken = _Taken(engine, head, move, journal, epoch=0)
        taken.driver.close()
        return taken.report(done=False)
    async with engine.gate(head.id):
        epoch = None if head.id in engine.drivers else await engine.store.claim(head.id)
        if epoch is None:
            raise await engine.owned_elsewhere(head.id)
        try:
            fresh = await engine.store.find_run(head.id)
            assert fresh is not None
            journal = await engine.history(head.id)
            taken = _Taken(engine, fresh, move, journal, epoch)
            try:
                if taken.facts:
                    await taken.driver.keep(taken.events, len(journal) + 1)
                    engine.rolled_back.add(head.id)
            finally:
                taken.driver.close()
            return taken.report(done=True)
        finally:
            await engine.release(head.id)


class _Taken:
    """A run as it is after a migration, and the events that make it so."""

    def __init__(self, engine: Engine, head: RunHead, move: Move, journal: list[Recorded], epoch: int) -> None:
        self.engine, self.head, self.move, self.journal = engine, head, move, journal
        self.line = lineage(journal)
        self.started = started_of(self.line)
        self.definition = move.code.definition
        self.now = engine.clock.now()
        self.facts: list[Fact] = []
        self.events: list[Event] = []
        self.values = Values(engine.store.blob)
        self.begun = begun(self.line)
        self.carried = Carried(self.line, self.begun)
        limits = decode_limits(self.carried.limits)
        twin = replace(head, version=self.definition.version, wake_at=0)
        self.driver = Driver(
            engine, RunState(self.definition.for_run()), twin, move.code, concurrency=limits.concurrency
        )
        self.given: dict[str, bytes] = {}
        self.origins: dict[str, str] = {}
        self.sent: list[str] = []
        self.streams: list[str] = []
        if self.started.definition != self.definition.hash:
            self._check()
            self._take(epoch)

    def _check(self) -> None:
        if self.head.status not in MIGRATABLE:
            raise _not_now(self.head)
        strange = {type(item.event).__name__ for item in self.line if _is_strange(item.event)}
        if strange:
            raise RipresaError(
                f"run {self.head.id!r} has what cannot be taken over: {', '.join(sorted(strange))}",
                code="not_available",
                op="migrate",
                where=self.head.id,
                hint="let it go on with its own version",
            )

    def _take(self, epoch: int) -> None:
        old = form_of(self.started, self.line, self.begun, self.values)
        recent = [item.event for item in self.line if item.seq >= self.begun.since]
        if any(isinstance(event, e.StreamAdvanced) for event in recent):
            description = self.engine.store.blob(self.started.definition)
            old.streams = places_in(recent, description, self.values)
        form = self._migrated(old)
        reuse = Reuse(next_generation(self.journal) - (not self.begun.again))
        self.origins = {form.origins.get(path, path): path for path in form.results}
        reuse.lasting = {path for origin, path in self.origins.items() if origin in self.carried.lasting}
        reuse.own = {path for origin, path in self.origins.items() if self.carried.own.get(origin)}
        for path, result in form.results.items():
            self.given[path] = text_of(result, f"results[{path!r}]")
            writes = self._writes(path, form.writes.get(path, ()))
            reuse.give(path, Result(self.driver.keeper.keep(self.given[path]), writes))
        for path, failure in form.failures.items():
            reuse.fail(path, replace(failure, path=path))
        self.streams = list(form.streams)
        for path, place in form.streams.items():
            text_of(asdict(place), f"streams[{path!r}]")
            reuse.go_on(path, place)
        self._relate(form, reuse)
        self.driver.take_over(reuse)
        self.facts = [self._fact(form, reuse, epoch), self._start(form), *self.carried.heard(form, self.now)]
        self.events = [e.RunTaken(self.now, epoch, self.engine.name)] if epoch else []
        for fact in self.facts:
            self._carry(checked(fact, self.driver) if isinstance(fact, e.VoteCast) else fact)
        ends: list[Fact] = [fact for fact in self.facts if isinstance(fact, e.ChildEnded)]
        while len(ends) > len(ends := [fact for fact in ends if not self._carry(fact)]):
            pass  # it may wait for them in another order than before
        self._check_answers()
        for fact in self.carried.attempts(self.now):
            self._carry(fact)
        self._check_effects()
        if self.head.status == "paused":
            for fact in self.carried.paused(self.driver, self.now):
                self._carry(fact)
        self._settle()
        self.engine.describe(self.driver, self.definition)

    def _carry(self, fact: Fact) -> bool:
        """Advance by a fact; whether the run waited for it."""
        before = len(self.events)
        self.driver.carry(fact, self.events)
        return len(self.events) > before

    def _relate(self, form: RunForm, reuse: Reuse) -> None:
        """Take over what was sent to other runs, and how those ended."""
        self.sent = list(form.sent)
        for path, place in form.sent.items():
            reuse.send(path, self.carried.sent[place])
        since = len(self.journal) + 1
        reuse.anew = {path: since for path in self.carried.sent if path not in form.sent.values()}
        for end in self.carried.ends:
            if end.status == "completed":
                reuse.end(end)

    def _check_answers(self) -> None:
        """Raise what the new version does not agree with, if that is known already."""
        for event in self.events:
            if isinstance(event, e.AnswerFailed | e.StepFailed) and event.failure.code == "migration_failed":
                raise RipresaError(
                    event.failure.message,
                    code="migration_failed",
                    op="migrate",
                    where=event.path,
                    hint="let a migration say where it stands now (run.rename), change it, or forget it (run.forget)",
                )

    def _settle(self) -> None:
        """What was used before stays used, also of what the run's session has."""
        used = self.carried.used(self.events)
        self.events = [replace(event, used=used) if isinstance(event, Migrated) else event for event in self.events]
        for path, attempt in self.carried.in_flight.items() if self.head.session else ():
            first = self.carried.usage.first.get(path) == attempt
            unheld = (("operations", 1.0), ("steps", float(first)))
            self.driver.shared += (Spend(self.head.session, self.head.id, f"{path}#{attempt}", unheld=unheld),)

    def _migrated(self, form: RunForm) -> RunForm:
        way = path_between(self.move.migrations, form.workflow, form.version, self.definition.version)
        if way:
            return migrated(form, way)
        try:
            fits(self.engine, self.head, self.move.code, self.line)
        except RipresaError as error:
            raise missing(self.head, self.definition.version) from error
        return form

    def _fact(self, form: RunForm, reuse: Reuse, epoch: int) -> Fact:
        text = self.driver.keeper.keep(reuse.encode())
        waits, dues = tuple(form.waits), tuple(form.waits.values())
        since, created_at = len(self.journal) + 1, began_at(self.journal)
        origin, by = self.started.version, self.move.by
        return Migrated(
            self.now,
            origin,
            since,
            reuse.generation,
            epoch,
            created_at,
            text,
            waits,
            dues,
            by,
            allowed=view_of(self.line).allowed,
            children=tuple(self.carried.children),
            closes=tuple(self.carried.children.values()),
        )

    def _start(self, form: RunForm) -> Fact:
        old = self.started
        kind = self.move.code.input_type
        try:
            text = encode(decode(text_of(form.input, "input"), kind), kind, where="input", code="invalid_input")
        except InvalidValue as error:
            raise _unfit(self.head.id, error) from error
        return replace(
            old,
            at=self.now,
            version=self.definition.version,
            definition=self.definition.hash,
            input=self.driver.keeper.keep(text),
            state=self._beginning(form),
            judged=is_judged(self.definition),
            deadline=self._deadline(),
            expected=self.definition.expected,
            session=self.head.session,
            limits=self.carried.limits,
            hooks=self._hooks(),
        )

    def _hooks(self) -> tuple[str, ...]:
        """Where hooks stand in the new version and in this app: they are asked about all that it goes on with."""
        self.engine.hooks_of(self.driver)
        return () if self.driver.hooks is None else self.driver.hooks.recorded()

    def _deadline(self) -> int:
        """When the run is to have ended; one that failed has as long again."""
        view = view_of(self.line)
        return self.now + view.allowed if view.allowed and self.head.status == "failed" else view.deadline

    def _beginning(self, form: RunForm) -> tuple[Write, ...]:
        """What the state of the new version begins with."""
        root = self.definition.root
        if isinstance(root, Stateful):
            try:
                return beginning(root.code, form.state, self.driver.keeper)
            except InvalidValue as error:
                raise wrong_state(self.head.id, f"{error.where}: {error.message}") from error
        if form.state:
            raise wrong_state(self.head.id, f"it has no state to begin with {', '.join(form.state)}")
        return ()

    def _writes(self, path: str, writes: Iterable[FieldWrite]) -> tuple[Write, ...]:
        """What a step is to have written, if a state of the new version has such a field."""
        return tuple(self._write(path, write) for write in writes)

    def _write(self, path: str, write: FieldWrite) -> Write:
        where = f"writes[{path!r}]"
        value, operand = text_of(write.value, where), text_of(write.operand, where)
        known = [kind.fields[write.field] for kind in self._kinds if write.field in kind.fields]
        if not known and self._scope_of(path) == "":
            raise wrong_state(self.head.id, f"{where}: it has no field {write.field!r}")
        problems: list[str] = []
        for declared in known:
            try:
                value, operand = as_written(declared, write.op, value, operand)
                break
            except InvalidValue as error:
                problems.append(f"{where}: {write.field}: {error.message}")
        else:
            if problems:
                raise wrong_state(self.head.id, problems[0])
        keep = self.driver.keeper.keep
        return Write(write.field, write.op, keep(value), operand=NULL if write.op != CUSTOM else keep(operand))

    @cached_property
    def _kinds(self) -> list[StateType[Any]]:
        """The classes of the states that the new version declares."""
        return [node.code for node in walk(self.definition.root) if isinstance(node, Stateful)]

    def _scope_of(self, path: str) -> str:
        """The path of the scope that had the state which a step of the old version wrote to."""
        opened = [item.event.path for item in self.line if isinstance(item.event, e.StateOpened)]
        return max((scope for scope in opened if path.startswith(scope.rstrip("()"))), key=len, default="")

    def _check_effects(self) -> None:
        """Nothing irreversible is done again because its result found no place."""
        homeless = sorted(self.carried.homeless(self.driver, self.taken, self.origins))
        refuse_undecided(MIGRATE, "migrate", self.head.id, homeless)

    @property
    def taken(self) -> list[str]:
        """The steps that took a result over, and where something is that was sent before."""
        found = [event for event in self.events if isinstance(event, e.StepReused | e.Dispatched)]
        return [event.path for event in found if isinstance(event, e.StepReused) or event.again]

    def _waiting(self) -> list[str]:
        """Streams that nothing goes on with yet."""
        gone_on = {event.path for event in self.events if isinstance(event, e.StreamAdvanced)}
        return [path for path in self.streams if path not in gone_on and path not in self.given]

    def report(self, *, done: bool) -> MigrationReport:
        """What happened."""
        state, taken = self.driver.state, self.taken
        scheduled = [event.path for event in self.events if isinstance(event, e.StepScheduled)]
        return MigrationReport(
            self.head.id,
            self.started.version,
            self.definition.version,
            done,
            state.status if self.facts else self.head.status,
            tuple(taken),
            tuple(path for path in scheduled if path not in taken),
            tuple(path for path in (*self.given, *self.sent, *self._waiting()) if path not in taken),
        )


def _is_strange(event: Event) -> bool:
    return hasattr(event, "at") and not isinstance(event, _UNDERSTOOD)


def _unfit(run: str, error: InvalidValue) -> RipresaError:
    return RipresaError(
        f"the input of run {run!r} does not fit the new version: {error.message}",
        code="migration_failed",
        op="migrate",
        where="input",
        hint="let a migration change run.input",
    )


def _not_now(head: RunHead) -> RipresaError:
    return IllegalTransition(
        f"run {head.id!r} is {head.status}: only runs that are {', '.join(MIGRATABLE)} can be migrated",
        run=head.id,
        op="migrate",
    )


def missing(head: RunHead, version: str) -> RipresaError:
    """The error for a run that nothing leads from to a version."""
    return RipresaError(
        f"no migration leads from version {head.version!r} of {head.workflow!r} to version {version!r}, and the "
        f"journal of run {head.id!r} does not fit the new definition as it is",
        code="migration_missing",
        op="migrate",
        where=head.id,
        hint=f"write one: @migration({head.workflow!r}, from_={head.version!r}, to={version!r})",
    )


def fits(engine: Engine, head: RunHead, code: Runnable[..., Any], line: list[Recorded]) -> None:
    """Replay a line against another definition. Raises where that decides otherwise."""
    replayed(engine, head, code, line, checked=False).close()


# --- plan


@dataclass(frozen=True, slots=True)
class Planning:
    """What runs may go on with: a new definition, others that are registered, and migrations."""

    move: Move
    others: Sequence[Runnable[..., Any]] = field(default=())

    @property
    def pinned(self) -> set[str]:
        """The hashes of the definitions that are there beside the new one."""
        return {other.definition.hash for other in self.others}


async def plan(engine: Engine, heads: Iterable[RunHead], planning: Planning) -> list[Planned]:
    """Say for every run what becomes of it with the new definition, by replaying its journal. Nothing is changed."""
    return [await _planned(engine, head, planning) for head in heads]


async def _planned(engine: Engine, head: RunHead, planning: Planning) -> Planned:
    line = lineage(await engine.history(head.id))
    verdict, why = _verdict(engine, head, line, planning)
    if verdict == "try":
        try:
            await migrate(engine, head, planning.move, dry_run=True)
        except RipresaError as error:
            verdict, why = "blocked", str(error)
        else:
            verdict = "migrate"
    return Planned(head.id, head.version, head.status, verdict, why)


def _verdict(engine: Engine, head: RunHead, line: list[Recorded], planning: Planning) -> tuple[str, str]:
    recorded, definition = started_of(line).definition, planning.move.code.definition
    if recorded == definition.hash:
        try:
            fits(engine, head, planning.move.code, line)
        except RipresaError as error:
            return "blocked", str(error)
        return "safe", ""
    if path_between(planning.move.migrations, head.workflow, head.version, definition.version):
        return "try", "by migration"
    if recorded in planning.pinned:
        return "pinned", f"version {head.version} is there"
    return "try", "its journal fits as it is"
