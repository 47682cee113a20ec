"""Time travel: takes a run back to an earlier place, and begins a new run from a place of another.

Law: nothing is copied but events; large values are shared by content. What a step did to the world is never done
again, nor taken over by another run, unless somebody says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ..authoring.encoding import decode, encode
from ..authoring.flow import Runnable
from ..core.advance import advance
from ..core.commands import Intercept
from ..core.events import (
    ANY,
    CallBegan,
    CallStarted,
    Event,
    Fact,
    Intercepted,
    Migrated,
    Recorded,
    Requested,
    RolledBack,
    RunForked,
    RunReopened,
    RunStarted,
    RunTaken,
    StateEdited,
    StateRestored,
    StepCompleted,
    StepReused,
    StepStarted,
    Write,
)
from ..core.journaled import path_of_call
from ..core.lifecycle import REWINDABLE, TERMINAL, check_transition
from ..core.merge import SET
from ..core.nodes.child import begun_after
from ..core.nodes.stateful import Stateful
from ..core.places import find_place
from ..core.repeating import repeats
from ..core.replay import lineage, next_generation, place_after
from ..core.requested import ROLLBACK
from ..core.state import RunState
from ..errors import InvalidValue, Nondeterminism, RipresaError
from ..ports import RunHead
from .driver import Driver
from .engine import Engine
from .happened import TakenBack, changing, step_at, under_way
from .hooks import standing
from .ids import new_id
from .letting import key_of, refusal
from .mail import Mail
from .restoring import replayed
from .reuse import ANYWHERE, CHANGING, Result, Reuse, digest_of_input, digest_of_state
from .undecided import FORK, OVER, refuse_undecided
from .views import kept

if TYPE_CHECKING:
    from ..authoring.state_type import StateType

INPUT: Final = "input"
"""What stands for the run's own input where a step's path would stand for its output."""

STATE: Final = "state."
"""What stands before the name of a field of the run's own state."""

WITHIN: Final = ": state."
"""What stands between the path of a flow within the run and the name of a field of its state, as in a diff."""


@dataclass(frozen=True, slots=True)
class Back:
    """Where a run is to be taken back to, and whether steps that changed the world may be done `again`.

    `set` is as that of a `Fork`, but for `input`, which a run has for good.
    """

    to: int | str
    again: bool = False
    reason: str = ""
    by: str = ""
    set: Mapping[str, bytes] = field(default_factory=dict[str, bytes])


async def roll_back(engine: Engine, run: str, code: Runnable[..., Any], back: Back) -> Driver:
    """Let a run go on from an earlier place, here. What it has in flight is stopped first.

    Raises `RipresaError(no_such_place, effects_undecided)`, `IllegalTransition` for a terminated run and for a place
    where there is nothing to go on with, and what taking a run up raises.
    """
    find_place(await engine.history(run), back.to)
    running = engine.drivers.get(run)
    engine.turning.add(run)
    try:
        if running is None:
            return await _rolled_back(engine, run, code, back)
        await running.stop()  # and keep it: nobody else is to take up what has its hooks here
        try:
            return await _rolled_back(engine, run, code, back, kept=not running.released)
        except BaseException:
            if running.state.status not in TERMINAL:
                await engine.take(running.head, code)
            raise
    finally:
        engine.turning.discard(run)


async def _rolled_back(engine: Engine, run: str, code: Runnable[..., Any], back: Back, *, kept: bool = False) -> Driver:
    """`kept`: the run is owned here, and stays so whatever happens."""
    async with engine.gate(run):
        epoch = await engine.store.claim(run, anew=kept)
        if epoch is None:
            raise await engine.owned_elsewhere(run)
        try:
            driver, effects, hooks = await _branched(engine, run, code, back, epoch)
        except BaseException:
            if not kept:
                await engine.release(run)
            raise
        engine.rolled_back.add(run)
        engine.drive(driver, effects, hooks)
        return driver


async def _branched(
    engine: Engine, run: str, code: Runnable[..., Any], back: Back, epoch: int
) -> tuple[Driver, Any, tuple[Mail, ...]]:
    journal = await engine.history(run)
    head = await engine.store.find_run(run)
    assert head is not None
    _check_status(head)
    to, before = await _let(engine, head, code, journal, back, epoch)
    source = _source(engine, head, code, journal, back, to)
    to = to if source is None else source.cut
    changed = [] if back.again else changing(engine, head, code, journal, to)
    driver = replayed(engine, head, code, lineage(journal[:to]))
    try:
        driver.functions.refuse_differences()
        _refuse_repeats(driver.state, journal, to, changed, back)
    except BaseException:
        driver.close()
        raise
    hooks = engine.hooks_of(driver)
    now, since = max(engine.clock.now(), journal[-1].at), len(journal) + len(before)
    later = begun_after(lineage(journal), driver.state.children)
    generation = next_generation(journal)
    fact = RolledBack(now, to, since, generation, epoch, back.reason, back.by, tuple(later), tuple(later.values()))
    try:
        if source is not None:
            fact = source.changed(driver, fact)
        driver.heed(request.number for request in await engine.store.pending([run]) if request.kind == ROLLBACK)
        return driver, await driver.branch_off(before, len(journal) + 1, fact), hooks
    except BaseException:
        driver.close()
        raise


def _source(
    engine: Engine, head: RunHead, code: Runnable[..., Any], journal: list[Recorded], back: Back, to: int
) -> _Source | None:
    """What a run is to go on with otherwise than it was at a place; nothing if all is to be as it was.

    Raises `RipresaError(usage, no_such_place, no_state)`, `InvalidValue`.
    """
    if not back.set:
        return None
    if INPUT in back.set:
        raise RipresaError(
            f"run {head.id!r} has its input for good",
            code="usage",
            op="rollback",
            where=INPUT,
            hint=f"a fork may begin with another: ripresa fork {head.id} --set input=JSON",
        )
    return _Source(engine, head, code, journal, Fork(to, back.set, effects="reuse"), "rollback")


def may_go_back(engine: Engine, head: RunHead, code: Runnable[..., Any], journal: list[Recorded], back: Back) -> int:
    """The place that a run may be taken back to. Raises what `roll_back` does, as far as that is known beforehand."""
    _check_status(head)
    to = find_place(journal, back.to)
    source = _source(engine, head, code, journal, back, to)
    to = to if source is None else source.cut
    changed = [] if back.again else changing(engine, head, code, journal, to)
    driver = replayed(engine, head, code, lineage(journal[:to]))
    driver.close()
    driver.functions.refuse_differences()
    if source is not None:
        source.edited(driver, 0)
    _refuse_repeats(driver.state, journal, to, changed, back)
    return to


def _refuse_repeats(state: RunState, journal: list[Recorded], to: int, changed: list[str], back: Back) -> None:
    repeated = changed if back.again else [*changed, *under_way(state)]
    refuse_undecided(OVER, "rollback", state.run, repeated, to)
    TakenBack(journal).refuse(state, "rollback", to)


def _check_status(head: RunHead) -> None:
    if head.status not in REWINDABLE:
        check_transition(head.status, "running", run=head.id, op="rollback")


async def _let(
    engine: Engine, head: RunHead, code: Runnable[..., Any], journal: list[Recorded], back: Back, epoch: int
) -> tuple[int, list[Event]]:
    """Where the run goes back to, and what is recorded before that: it is taken over, and interceptors have answered.

    Raises `RipresaError(vetoed, hook_failed)`, which is recorded, if they do not let it.
    """
    now, to = max(engine.clock.now(), journal[-1].at), find_place(journal, back.to)
    if not any(hook.point == ROLLBACK for hook in standing(engine, code)):
        return to, [RunTaken(now, epoch, engine.name)]
    driver = replayed(engine, head, code, lineage(journal))
    try:
        events: list[Event] = []
        engine.hooks_of(driver)
        if driver.hooks is None or not driver.hooks.stands_at(ROLLBACK):
            return to, [RunTaken(now, epoch, engine.name)]
        driver.hooks.place = partial(find_place, journal)
        driver.carry(RunTaken(now, epoch, engine.name), events)
        number = driver.state.seq + 1
        driver.carry(Requested(now, ROLLBACK, str(back.to), by=back.by, number=to), events)
        for fact in await driver.hooks.answered(Intercept(key_of(number), ROLLBACK)):
            driver.carry(fact, events)
        refused = refusal(events)
        if refused is not None:
            await driver.keep(events, len(journal) + 1)
            raise refused
    finally:
        driver.close()
    answer = events[-1]
    sent = answer.detail if isinstance(answer, Intercepted) and answer.answer == "redirect" else ""
    return find_place(journal, sent) if sent else to, events


# --- fork


@dataclass(frozen=True, slots=True)
class Fork:
    """How a new run is made of another: from which place, and with what changed.

    `set` maps the path of a step, `input`, or `state.` and the name of a field to JSON text; without a place the state
    begins with it, else it holds it from there on. That of a flow within the run, which must be under way at the
    place, is named by its path before that: `inner: state.total`. `effects` says what becomes of steps that changed the
    world after the place: `reuse` their results, do them `again`, or `refuse` to fork if there are any. With `fresh`
    nothing that was recorded after the place is taken over.
    """

    at: int | str | None = None
    set: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    id: str = ""
    effects: str = "refuse"
    fresh: bool = False
    by: str = ""
    tags: tuple[str, ...] | None = None


async def fork(engine: Engine, origin: str, code: Runnable[..., Any], wanted: Fork) -> Driver:
    """Begin a new run from a place of another; it is durable on return.

    Raises `RunExists`, `RipresaError(no_such_place, effects_undecided, usage)`, `InvalidValue` for an output that is
    not of the step's type, `IllegalTransition` for a place where there is nothing to go on with.
    """
    journal = await engine.history(origin)
    head = await engine.store.find_run(origin)
    assert head is not None
    source = _Source(engine, head, code, journal, wanted)
    now = engine.clock.now()
    run = wanted.id or new_id(now)
    tags = head.tags if wanted.tags is None else wanted.tags
    twin = replace(head, id=run, status="created", created_at=now, updated_at=now, wake_at=0, error="", tags=tags)
    events = source.events(run)
    driver = replayed(engine, twin, code, [Recorded(run, n, _at(e), e) for n, e in enumerate(events, 1)])
    before: list[Fact] = [RunReopened(now)] if driver.state.status == "failed" else []
    generation = driver.state.generation + len(before)
    try:
        again = [*(repeats(driver.state) if before else ()), *under_way(driver.state)]
        reuse = source.reuse(generation, again)
    except BaseException:
        driver.close()
        raise
    driver.take_over(reuse)
    hooks = engine.hooks_of(driver)
    edited = source.edited(driver, now)
    async with engine.gate(run):
        try:
            for earlier in (*before, *edited):
                driver.carry(earlier, events)
            driver.functions.refuse_differences()
            value = driver.keeper.keep(reuse.encode())
            fact = RunForked(now, origin, source.cut, generation, value, wanted.by)
            effects = await driver.begin_fork(events, fact)
        except BaseException:
            driver.close()
            raise
        engine.drive(driver, effects, hooks)
    return driver


def _at(event: Event) -> int:
    return getattr(event, "at", 0)


class _Source:
    """The run that is forked: which of its events the new one begins with, and what it may take over.

    Or one that is taken back and given something else: its own next events are what is new.
    """

    def __init__(
        self,
        engine: Engine,
        head: RunHead,
        code: Runnable[..., Any],
        journal: list[Recorded],
        wanted: Fork,
        op: str = "fork",
    ) -> None:
        self.op = op
        self.run = head.id
        self.code = code
        self.wanted = wanted
        upto = len(journal) if wanted.at is None else find_place(journal, wanted.at)
        self.line = lineage(journal[:upto])
        whole = lineage(journal)
        self._later = whole if not wanted.fresh and whole[: len(self.line)] == self.line else self.line
        self._undone = TakenBack(journal)
        self._results: list[tuple[int, str, str, str, str, Result]] = []
        self._begun: list[str] = []
        self._given: dict[str, bytes] = {}
        self._fields = self._state_fields()
        self.kept = self._kept()
        self.cut = self.line[self.kept - 1].seq
        self._read(engine, head)
        if self._undone:
            there = replayed(engine, head, code, self.line[: self.kept])
            there.close()
            self._undone.refuse(there.state, self.op, self.cut)
        if self._later is not whole:
            self._begun.extend(changing(engine, head, code, journal, self.cut))
        missing = [path for path in wanted.set if not self._is_own(path) and path not in self._given]
        if missing:
            raise RipresaError(
                f"run {head.id!r} has no step {', '.join(map(repr, missing))}",
                code="no_such_place",
                op=self.op,
                where=missing[0],
                hint=f"ripresa show {head.id} --steps lists them; `input` is the input of the run, `state.` and a name "
                "a field of its state, `path: state.` and a name one of the state of a flow within",
            )

    @staticmethod
    def _is_own(path: str) -> bool:
        """Whether this stands for something of the run as a whole."""
        return path == INPUT or path.startswith(STATE) or WITHIN in path

    def _state_fields(self) -> tuple[Write, ...]:
        """What the fields of the run's own state are to hold. Raises `RipresaError(no_state)`, `InvalidValue`."""
        given = {path.removeprefix(STATE): text for path, text in self.wanted.set.items() if path.startswith(STATE)}
        if not given:
            return ()
        root = self.code.definition.root
        if not isinstance(root, Stateful):
            raise RipresaError(
                f"run {self.run!r} has no state of its own to set {', '.join(map(repr, given))} of",
                code="no_state",
                op=self.op,
                where=self.run,
                hint="that of a flow within is set by its path, at a place within: `path: state.field`",
            )
        return tuple(_write(root.code, name, text, self.op) for name, text in given.items())

    @property
    def _anew(self) -> bool:
        """Whether the run begins with something else, so that nothing of it is kept as it is."""
        return INPUT in self.wanted.set or (self.wanted.at is None and bool(self._fields))

    def _kept(self) -> int:
        """How many events of the line come before everything that is changed."""
        if self._anew:
            return place_after(self.line, 2 if isinstance(self.line[0].event, Migrated) else 1)
        for index, recorded in enumerate(self.line):
            event = recorded.event
            if isinstance(event, StepCompleted | StepReused) and event.path in self.wanted.set:
                return index
        return len(self.line)

    def _read(self, engine: Engine, head: RunHead) -> None:
        changed = {recorded.seq for recorded in self._later} - {recorded.seq for recorded in self.line[: self.kept]}

        def told(driver: Driver, fact: Recorded, recorded: list[Recorded]) -> None:
            event = fact.event
            step = step_at(driver, event.path) if isinstance(event, StepCompleted | StepReused) else None
            if isinstance(event, StepCompleted | StepReused) and step is not None:
                frame, options = driver.state.frames[event.path], step.options
                digest = digest_of_input(driver.values.text, frame.input)
                assert isinstance(event.output, bytes)
                seen = digest_of_state(driver, frame, event.reads)
                result = Result(event.output, event.writes, event.reads, seen)
                self._results.append((fact.seq, event.path, options.name, digest, options.effect, result))
            elif isinstance(event, StepStarted | CallStarted | CallBegan) and self._stands(fact, changed):
                self._begun.append(event.path)
            self._check_given(driver)

        try:
            driver = replayed(engine, head, self.code, self._later, told=told)
        except Nondeterminism:
            if not self._results or self._results[-1][0] < self.cut:
                raise
            return  # the code has been mended behind the place: what it did there before is not taken over
        self._check_given(driver)
        driver.close()

    def _stands(self, fact: Recorded, changed: set[int]) -> bool:
        """Whether what an attempt began happened after the place and was not undone since."""
        event = fact.event
        path = path_of_call(event.path, event.key) if isinstance(event, CallBegan) else getattr(event, "path", "")
        return fact.seq in changed and not self._undone.has(path, fact.seq)

    def _check_given(self, driver: Driver) -> None:
        """Encode what is given for the steps that are under way here, as their type says."""
        for path, text in self.wanted.set.items():
            step = None if path in self._given else step_at(driver, path)
            if step is not None:
                self._given[path] = validated(text, step.parameters.returns, path)

    def events(self, run: str) -> list[Event]:
        """The events that the new run begins with."""
        found: list[Event] = []
        for recorded in self.line[: self.kept]:
            event = recorded.event
            if isinstance(event, RunStarted):
                event = replace(event, run=run)
            elif isinstance(event, RolledBack):
                event = replace(event, to=len(found), since=len(found))
            elif isinstance(event, Migrated):
                event = replace(event, since=0)
            elif isinstance(event, RunTaken):
                continue
            found.append(event)
        return self._started(found) if self._anew else found

    def _started(self, events: list[Event]) -> list[Event]:
        """The same beginning with another input, or another state."""
        state = RunState(self.code.definition.for_run())
        found: list[Event] = []
        for event in events:
            if isinstance(event, Migrated | RunStarted):
                fact = self._start(event) if isinstance(event, RunStarted) else event
                found.extend((fact, *advance(state, fact)[0]))
        return found

    def _start(self, started: RunStarted) -> RunStarted:
        text = self.wanted.set.get(INPUT)
        if text is not None:
            started = replace(started, input=validated(text, self.code.input_type, INPUT))
        if self.wanted.at is None and self._fields:
            edited = {write.field for write in self._fields}
            kept = tuple(write for write in started.state if write.field not in edited)
            started = replace(started, state=(*kept, *self._fields))
        return started

    def edited(self, driver: Driver, now: int) -> list[StateEdited]:
        """What states are given at the place, if that is not the beginning.

        Raises `RipresaError(no_state)`, `InvalidValue`.
        """
        found: list[StateEdited] = []
        if self.wanted.at is not None and self._fields:
            found.append(StateEdited(now, "", tuple(kept(write, driver.keeper) for write in self._fields)))
        for place, text in self.wanted.set.items():
            path, within, name = place.rpartition(WITHIN)
            if within:
                scope = self._scope(driver, path)
                kind: StateType[Any] = driver.state.frames[scope].node.code
                found.append(StateEdited(now, scope, (kept(_write(kind, name, text, self.op), driver.keeper),)))
        return found

    def _scope(self, driver: Driver, path: str) -> str:
        """The flow at this path that has a state and is under way at the place."""
        scopes = {} if driver.state.shared is None else driver.state.shared.scopes
        for scope in (path, f"{path}()"):
            if scope in scopes:
                return scope
        there = [scope.removesuffix("()") for scope in scopes if scope]
        raise RipresaError(
            f"run {self.run!r} has no flow {path!r} with a state under way at event {self.cut}",
            code="no_state",
            op=self.op,
            where=path,
            hint=f"there are: {', '.join(there)}" if there else "choose a place within that flow: --at",
        )

    def changed(self, driver: Driver, fact: RolledBack) -> RolledBack:
        """The fact by which the run goes back, with what it is given; its steps are looked up there from here on."""
        states = tuple(StateRestored(edited.path, edited.writes) for edited in self.edited(driver, fact.at))
        if not self._given:
            return replace(fact, states=states)
        reuse = Reuse(fact.generation) if driver.reuse is None else driver.reuse.heir(fact.generation)
        for path, output in self._given.items():
            reuse.give(path, Result(output))
        driver.take_over(reuse)
        return replace(fact, states=states, reuse=driver.keeper.keep(reuse.encode()))

    def reuse(self, generation: int, repeated: list[str]) -> Reuse:
        """What the new run takes over; it would also do again what is `repeated`.

        Raises `RipresaError(effects_undecided)`.
        """
        found = Reuse(generation)
        for path, output in self._given.items():
            found.give(path, Result(output))
        changed = [path for path in (*repeated, *self._begun) if path not in self.wanted.set]
        for seq, path, name, digest, effect, result in self._results:
            if effect in ANYWHERE and ANY not in result.reads:
                found.keep_anywhere(name, digest, result)
            if (seq <= self.cut and path not in repeated) or path in self.wanted.set or self._undone.has(path, seq):
                continue
            if effect in CHANGING:
                changed.append(path)
            if ANY not in result.reads and (effect not in CHANGING or self.wanted.effects == "reuse"):
                found.keep(path, name, digest, result)
        if self.wanted.effects == "refuse":
            refuse_undecided(FORK, "fork", self.run, changed, self.cut)
        return found


def validated(text: bytes, kind: Any, where: str) -> bytes:
    """JSON text as a value of an annotated type is written. Raises `InvalidValue`."""
    return encode(decode(text, kind), kind, where=where)


def _write(kind: StateType[Any], name: str, text: bytes, op: str) -> Write:
    """What a field of a state is to hold. Raises `InvalidValue`."""
    if name not in kind.fields:
        raise InvalidValue(
            f"{kind.name} has no field {name}; it has {', '.join(kind.fields)}",
            code="invalid_input",
            op=op,
            where=kind.name,
        )
    return Write(name, SET, validated(text, kind.fields[name].kind, f"{kind.name}.{name}"))
