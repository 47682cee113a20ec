"""Carries out one run on the event loop: facts in, events appended, then effects performed.

Law: append, then perform. Nothing is done and nobody is told before the batch that caused it is durable. After a
failed append the driver drops its state and stops; the run goes on from its journal.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from ..authoring.failures import failure_of
from ..authoring.flow import Runnable
from ..authoring.hooks import Hook, Placed
from ..core.advance import advance, awaits_answer, may_come
from ..core.codec import decode_events, encode_events
from ..core.commands import (
    Ask,
    CancelStep,
    ClearTimer,
    Command,
    Intercept,
    Proceed,
    Resume,
    RunStep,
    SetTimer,
    Share,
)
from ..core.events import (
    AnswerFailed,
    Event,
    Fact,
    Failure,
    HooksSet,
    Intercepted,
    LimitsSet,
    Requested,
    RowsWritten,
    RunStarted,
    SessionEntered,
    SignalReceived,
    StreamAdvanced,
)
from ..core.frames import OPEN, CallFrame
from ..core.gates import is_withheld
from ..core.lazily import Late
from ..core.lifecycle import TERMINAL
from ..core.nodes.approval import ASKED
from ..core.requested import as_request, asks_first
from ..core.state import RunState
from ..errors import Fenced, IllegalTransition, RipresaError, StoreError
from ..ports import Batch, RunHead, Shared, Written
from . import hooks, rare
from .alarms import Alarms
from .asking import answered
from .attempts import Running, attempt
from .endings import late
from .feed import Notice, StepBegan
from .flight import Flight, Place
from .functions import Functions
from .heads import listed
from .idle import Idle, deadlock
from .letting import Done, Letting, key_of
from .mail import Mail
from .over import Over
from .reports import SHARING, shared_by
from .results import conclude, ended, interrupted
from .values import Keeper, RunValues

if TYPE_CHECKING:
    from .budget import Budget
    from .engine import Engine
    from .hooks import RunHooks
    from .pump import Pump
    from .reuse import Reuse

QUESTIONS: Final = frozenset({Ask, Resume, Intercept, Proceed, Share})
"""Commands that are answered at once, in the batch of what caused them."""

LIMITING: Final = frozenset((LimitsSet, SessionEntered))
"""Facts that may limit a run which had no limits."""

NOTHING: Final[deque[Any]] = deque(maxlen=0)
"""No question."""


class Driver:
    """One run in this process. `ended` becomes true with the run, or with the error that keeps it from going on."""

    __slots__ = (
        "__weakref__",
        "_alarms",
        "_asks",
        "_began",
        "_broken",
        "_flying",
        "_functions",
        "_idle",
        "_left",
        "_mail",
        "_moved",
        "_pump",
        "_questions",
        "_streams",
        "_taken",
        "_woken",
        "_written",
        "asleep",
        "budget",
        "clock",
        "ended",
        "engine",
        "failure",
        "flight",
        "fresh",
        "head",
        "hooks",
        "keeper",
        "letting",
        "output",
        "released",
        "reuse",
        "run",
        "runnable",
        "seen",
        "shared",
        "slot",
        "state",
        "stopping",
        "task",
        "values",
    )

    began = Late[dict[Place, int]](dict)
    streams: Late[dict[str, Pump]] = Late(dict)
    written = Late[dict[Place, Written]](dict)
    """What attempts that have completed write to the store's database, until it is on its way."""

    def __init__(
        self,
        engine: Engine,
        state: RunState,
        head: RunHead,
        runnable: Runnable[..., Any],
        *,
        concurrency: int | None = None,
    ) -> None:
        self.engine = engine
        self.runnable = runnable
        self.clock = engine.clock
        self.state = state
        self.head = head
        self.run = head.id
        self.keeper = Keeper()
        self.values = RunValues(engine.blob, self.keeper, state)
        self._functions: Functions | None = None
        self.reuse: Reuse | None = None
        self.fresh = False
        """Whether nothing of what the run wants done can have been begun: it was migrated and not taken up since."""
        self.budget: Budget | None = None
        self._questions: frozenset[type[Any]] = QUESTIONS
        self.slot = asyncio.Semaphore(concurrency) if concurrency else None
        self.ended = Over()
        self.failure: Failure | None = None
        self.output: Any = None
        self.hooks: RunHooks | None = None
        self.letting: Letting | None = None
        self.stopping = self.released = self.asleep = self._left = self._moved = False
        self.seen = 0
        self._mail: list[Mail] = []
        self._taken: tuple[int, ...] = ()
        self.shared: tuple[Shared, ...] = ()
        self._woken: asyncio.Future[None] | None = None
        self.flight = Flight()
        self._flying = self.flight.under_way
        self._alarms: Alarms | None = None
        self._pump: asyncio.Task[None] | None = None
        self._broken: BaseException | None = None
        self._asks = ASKED in head.tags
        self._idle: Idle | None = None
        self.task: asyncio.Task[None] | None = None

    @property
    def functions(self) -> Functions:
        """The durable functions of the run: made when the first is stepped."""
        if self._functions is None:
            self._functions = Functions(self.state, self.values, self.keeper, self.engine.settings)
        return self._functions

    @property
    def noted(self) -> Mapping[tuple[str, Hook], Placed]:
        """Hooks of what its durable functions have called."""
        return {} if self._functions is None else self._functions.noted

    @property
    def idle(self) -> Idle:
        """What becomes of the run while nothing is in flight: made when it first waits for anything but a step."""
        if self._idle is None:
            self._idle = Idle(allowed=self.engine.settings.linger is not None)
        return self._idle

    @property
    def alarms(self) -> Alarms:
        """The timers of the run: made when the first is set."""
        if self._alarms is None:
            self._alarms = Alarms(self.clock, self.deliver_if_driven)
        return self._alarms

    # --- facts come in

    def deliver(self, mail: Mail) -> None:
        """Hand in a fact; it is dealt with in order of arrival."""
        self._mail.append(mail)
        if self._woken is not None:
            if not self._woken.done():
                self._woken.set_result(None)
        elif self._pump is None and self.flight.is_inline:
            self._pump = self.engine.loop.create_task(self._pump_mail())

    def hand_in(self, fact: Fact) -> None:
        """Hand in a fact that nobody waits for."""
        self.deliver(Mail(fact))

    def deliver_if_driven(self, fact: Fact) -> None:
        """Hand in a fact unless the run is not driven any more."""
        if not self.ended.done():
            self.deliver(Mail(fact))

    async def durable(self, fact: Fact) -> None:
        """Hand in a fact and wait until it is durable. Raises `IllegalTransition` if the run's status forbids it."""
        if self._left:
            raise RipresaError(f"run {self.run!r} is not driven here any more", code="closed", op="deliver")
        done: asyncio.Future[None] = self.engine.loop.create_future()
        self.deliver(Mail(fact, done))
        await done

    def tell(self, notice: Notice) -> None:
        """Let watchers know something that is not kept."""
        self.engine.feed.notify(notice)

    def note_start(self, running: Running) -> None:
        """An attempt begins to run now."""
        if running.bound.step.options.timeout is not None:
            self.began[running.path, running.number] = self.clock.now()
        if self.engine.feed.watched(self.run):
            self.tell(StepBegan(self.run, running.path, running.number, self.clock.now()))

    # --- the run

    def start(self, effects: Sequence[Command], mail: Sequence[Mail] = ()) -> None:
        """Begin to drive in a task of its own."""
        self.task = self.engine.loop.create_task(self.drive(effects, mail), name=f"ripresa run {self.run}")

    async def drive(self, effects: Sequence[Command], mail: Sequence[Mail] = ()) -> None:
        """Drive until the run ends, is stopped, or cannot go on."""
        error: BaseException | None = None
        try:
            self._mail.extend(mail)
            loop = self._loop(effects)
            effects = mail = ()  # for as long as the run lasts nothing is kept that has been dealt with
            await loop
        except asyncio.CancelledError:
            error = self._broken or (None if self.stopping else interrupted(self.run))
        except RipresaError as failed:
            error = failed
        except BaseException as failed:
            error = failed
            raise
        finally:
            if self.task is asyncio.current_task():  # else the run goes on in another task, see `go_on_without`
                await self._leave(error)

    async def stop(self) -> None:
        """Stop driving: what is in flight is interrupted and recorded, and the run can be taken up again."""
        self.stopping = True
        self.idle.enough = not self._flying and self.idle.allowed
        self.flight.interrupt_all()
        self.rouse()
        await self.ended.wait()

    async def _loop(self, effects: Sequence[Command]) -> None:
        if self._pump is not None:  # of the task whose place this one takes
            await self._pump
        alone = self._perform(effects)
        while self.state.status not in TERMINAL:
            if self.stopping and not self._flying and not self._mail:
                if self.idle.enough and self.state.status == "running":
                    await self.idle.sleep(self)
                return
            if alone is None or self.stopping:
                mail = await self._next_mail()
                if self.idle.enough and not mail and not self.stopping and await self.idle.sleep(self):
                    return
                effects = await self._commit(mail)
            else:
                fact = await self._inline(alone)
                if self._mail or alone.report is not None:
                    mail = [*map(Mail, alone.reported(fact)), Mail(fact), *self._take_mail()]
                    effects = await self._commit(mail)
                else:
                    batch, told, effects = self._alone(fact)
                    alone = None
                    del fact  # nothing of it is kept while the commits of many runs are waited for
                    if batch is not None:
                        await self.engine.store.append(batch)
                        self._kept(batch, told)
            alone = self._perform(effects)

    async def _next_mail(self) -> list[Mail]:
        while not self._mail:
            if self.idle.enough or (self.stopping and not self._flying):
                return []
            if not self._flying and not self._alarms and not self.stopping:
                fact = deadlock(self)
                if fact is not None:
                    return [Mail(fact)]
            self._woken = self.engine.loop.create_future()
            linger = self.idle.linger(self) if self.idle.allowed and not self._flying else None
            try:
                await self._woken
            finally:
                self._woken = None
                if linger is not None:
                    linger.cancel()
        return self._take_mail()

    def rouse(self) -> None:
        """Let the run's own task look around, if it waits for mail."""
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    def _take_mail(self) -> list[Mail]:
        mail, self._mail = self._mail, []
        return mail

    async def _inline(self, running: Running) -> Fact:
        """Run the only attempt in flight in this very task."""
        place = (running.path, running.number)
        running.inline = True
        self._flying[place] = (running, None)
        try:
            fact = await attempt(running)
        finally:
            self.flight.landed(running)
        assert self.task is not None
        if running.given_up:
            late(running, fact)
            raise asyncio.CancelledError
        if self.task.cancelling():
            await self._absorb(self.task)
        if self._pump is not None:
            await self._pump
        if self._broken is not None:
            raise self._broken
        return fact

    async def _absorb(self, task: asyncio.Task[None]) -> None:
        """Forget that the task was cancelled: that was meant for the attempt, which has ended."""
        if self.engine.is_torn_down:
            raise asyncio.CancelledError
        while task.cancelling():
            task.uncancel()
        with suppress(asyncio.CancelledError):  # the attempt may have ended before it was thrown in
            await asyncio.sleep(0)

    async def _pump_mail(self) -> None:
        """Deal with facts that arrive while an attempt runs in the run's own task."""
        try:
            while self._mail and self._flying:
                self._perform(await self._commit(self._take_mail()), beside=True)
                if self.state.status in TERMINAL:
                    self.flight.interrupt_all(cancelling=True)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._broken = error
            if self.task is not None and self._flying:
                self.task.cancel()
        finally:
            self._pump = None

    # --- append

    async def _commit(self, mail: Sequence[Mail], listed: str = "") -> list[Command]:
        """Make facts durable with what follows from them; the run was `listed` with another status than it has."""
        first = self.state.seq + 1
        status = listed or self.state.status
        waiting: list[asyncio.Future[None]] = []
        try:
            events, effects = self._turn(mail, waiting)
            if listed and self._functions is not None:
                self._functions.refuse_differences()
            if events:
                batch = self._batch(first, events, status)
                await self.engine.store.append(batch)
                self._kept(batch, events)
                if self.budget is None and not LIMITING.isdisjoint(map(type, events)):
                    await self.engine.limit_late(self)
        except BaseException as error:
            for done in waiting:
                if not done.done():
                    done.set_exception(self._too_late(error))
                    done.exception()
            raise
        if self.letting is not None:
            self.letting.told()
        for done in waiting:
            if not done.done():
                done.set_result(None)
        return effects

    def _alone(self, fact: Fact) -> tuple[Batch | None, Sequence[Event], list[Command]]:
        """The turn of a serial run: a fact with what follows as one batch, the events that are told, the effects."""
        first, status = self.state.seq + 1, self.state.status
        events: list[Event] = []
        effects: list[Command] = []
        self._advance(fact, events, effects)
        batch = self._batch(first, events, status) if events else None
        return batch, events if self.budget or self.engine.feed.is_heard(self.run) else (), effects

    async def create(self, fact: RunStarted) -> list[Command]:
        """Make the run durable with its first events; returns what is to be performed."""
        events: list[Event] = []
        effects: list[Command] = []
        self._advance(fact, events, effects)
        self._listed_anew()
        if self.engine.announce is not None:
            self.shared += tuple(self.engine.announce(self.head, self.state.at, 1, events))
        batch = self._first_batch(events)
        await self.engine.store.create(batch)
        hooks.follow(self)
        self._kept(batch, events)
        return effects

    async def branch_off(self, events: list[Event], first: int, fact: Fact) -> list[Command]:
        """Go on with a fact that begins a new line of the journal; `events` go before it, from number `first`."""
        effects: list[Command] = []
        self._advance(fact, events, effects)
        await self.keep(events, first)
        return effects

    def heed(self, requests: Iterable[int]) -> None:
        """What these requests asked for happens with the next batch."""
        self._taken += tuple(requests)

    def carry(self, fact: Fact, events: list[Event]) -> None:
        """Advance by a fact whose effects nobody performs here; what follows is added to the events."""
        self._advance(fact, events, [])

    async def keep(self, events: list[Event], first: int) -> None:
        """Append events that the state has been advanced by."""
        batch = self._batch(first, events, "")
        await self.engine.store.append(batch)
        self._kept(batch, events)

    async def begin_fork(self, events: list[Event], fact: Fact) -> list[Command]:
        """Make a fork durable: the events of the other run, and what follows from its being forked."""
        effects: list[Command] = []
        self._advance(fact, events, effects)
        self._listed_anew()
        batch = self._first_batch(events)
        await self.engine.store.create(batch)
        self.engine.outbox.kept(batch.shared)
        self.engine.feed.publish(self.run, 1, events)
        return effects

    async def commit_takeover(self, mail: Sequence[Mail]) -> None:
        """Append that this driver has taken the run over, with what that entails; effects follow from the state."""
        await self._commit(mail, self.head.status)

    def _kept(self, batch: Batch, events: Sequence[Event]) -> None:
        """The batch is durable. Its events are read from it if nobody was to be told of them when it was written."""
        self.released = batch.release
        if self.budget is not None:
            self.budget.kept(events)
        if batch.shared:
            self.engine.outbox.kept(batch.shared)
        if self.engine.feed.is_heard(self.run):
            self.engine.feed.publish(self.run, batch.seq, events or [each.event for each in decode_events(batch.row)])

    def _first_batch(self, events: list[Event]) -> Batch:
        shared, self.shared = self.shared, ()
        return Batch(self.run, 1, len(events), encode_events(events), self.keeper.take(), self.head, shared=shared)

    def _batch(self, first: int, events: list[Event], status: str) -> Batch:
        """What is to become durable together; the run's line in lists only if its status was another before."""
        row = encode_events(events)
        if self.budget is not None and self.head.session:
            self.shared += tuple(self.budget.settle(events))
        if self.engine.announce is not None:
            self.shared += tuple(self.engine.announce(self.head, self.state.at, first, events))
        asks, more = ASKED in self.state.waiters, self._taken or self.shared or self._moved
        if self.state.status == status and asks == self._asks and not more:
            return Batch(self.run, first, len(events), row, self.keeper.take() if self.keeper.blobs else ())
        head = self._listed_anew() if self.state.status != status or self._moved or asks != self._asks else None
        taken, self._taken = self._taken, ()
        shared, self.shared = self.shared, ()
        self._moved = False
        over = head is not None and head.status in TERMINAL
        return Batch(self.run, first, len(events), row, self.keeper.take(), head, taken, over, shared)

    def _listed_anew(self) -> RunHead:
        self._asks = ASKED in self.state.waiters
        failure = self.failure if self.state.status == "failed" else None
        self.head = listed(self.head, self.state, asks=self._asks, error="" if failure is None else failure.code)
        return self.head

    def _turn(self, mail: Sequence[Mail], waiting: list[asyncio.Future[None]]) -> tuple[list[Event], list[Command]]:
        """Advance by these facts and by the answers that they lead to."""
        events: list[Event] = []
        effects: list[Command] = []
        for item in mail:
            if item.number:
                self._taken += (item.number,)
            if item.done is not None:
                waiting.append(item.done)
            fact, number, before = item.fact, self.state.seq + 1, len(events)
            try:
                if isinstance(fact, SignalReceived) and self.state.status in TERMINAL:
                    raise ended(self.run, self.state.status)
                if self.state.points and asks_first(self.state, fact):
                    fact = as_request(fact)
                self._advance(fact, events, effects)
            except IllegalTransition as error:
                if item.done is not None and not item.done.done():
                    item.done.set_exception(error)
            else:
                if (self.state.points or self.letting is not None) and isinstance(fact, Requested | Intercepted):
                    self._heard(fact, number, item.done, events[before:], waiting)
        return events, effects

    def _heard(self, fact: Any, number: int, done: Done | None, events: list[Event], waiting: list[Done]) -> None:
        """Whoever asked for something hears when interceptors have let it, or have not."""
        self.letting = self.letting or Letting()
        if isinstance(fact, Intercepted):
            waiting.extend(self.letting.answered(events))
        elif done is not None and self.letting.asked(number, done, events, key_of(number) in self.state.requests):
            waiting.remove(done)

    def _advance(self, fact: Fact, events: list[Event], effects: list[Command]) -> None:
        asked = self._step(fact, events, effects)
        while asked:
            ask = asked.popleft()
            if isinstance(ask, RunStep):
                asked.extend(self._reused(ask, events, effects))
            elif isinstance(ask, Proceed):
                if may_come(self.state, ask.fact):
                    asked.extend(self._step(ask.fact, events, effects))
            elif isinstance(ask, Share):
                self.shared += tuple(shared_by(each, self.head, self.values) for each in ask.facts)
            elif isinstance(ask, Intercept):
                self._feed(hooks.answers(self, ask, effects), events, effects, asked)
            elif awaits_answer(self.state, ask.path):
                answer = self.answer(ask) if isinstance(ask, Ask) else self.functions.resume(ask.path, ask.first)
                if self.noted:
                    self._feed(hooks.changed_points(self), events, effects, asked)
                asked.extend(self._step(answer, events, effects))
                if self.budget is not None and self.state.shared is not None and isinstance(ask, Resume):
                    outgrown = self.budget.state_outgrown(self.state.at)
                    asked.extend(NOTHING if outgrown is None else self._step(outgrown, events, effects))
        if self.state.status in TERMINAL:
            conclude(self, events)

    def _feed(self, facts: list[Fact], events: list[Event], effects: list[Command], asked: deque[Any]) -> None:
        for fact in facts:
            asked.extend(self._step(fact, events, effects))

    def _reused(self, step: RunStep, events: list[Event], effects: list[Command]) -> deque[Any]:
        """Take over what a step returned in another run, or let it run."""
        assert self.reuse is not None
        found = self.reuse.find(self, step)
        if not found or isinstance(found[-1], StreamAdvanced):  # a stream goes on from there
            effects.append(step)
        asked: deque[Any] = deque()
        for fact in found:
            asked.extend(self._step(fact, events, effects))
        return asked

    def take_over(self, reuse: Reuse) -> None:
        """From now on steps are looked up in what another run recorded before they run."""
        self.reuse = reuse
        self._questions = QUESTIONS | {RunStep}

    def _step(self, fact: Fact, events: list[Event], effects: list[Command]) -> deque[Any]:
        """Advance by one fact; its questions are given back, to be answered in turn by what is known then."""
        before = self.state.seq
        if fact.at < self.state.at:  # it was made before another that came first: time does not go back
            fact = replace(fact, at=self.state.at)
        consequences, commands = advance(self.state, fact)
        if self.state.seq == before:
            return NOTHING
        events.append(fact)
        if type(fact) in SHARING:
            self._share(fact)
        events.extend(consequences)
        asked = NOTHING
        for command in commands:
            if type(command) in self._questions:
                asked = asked or deque()
                asked.append(command)
            else:
                effects.append(command)
        return asked

    def _share(self, fact: Any) -> None:
        """What runs share changes with the batch that this fact is in."""
        written = self.written.pop((fact.path, fact.attempt)) if isinstance(fact, RowsWritten) else None
        if is_withheld(self.state, fact) or getattr(fact, "again", False):
            return
        if written is not None:
            self.shared += (written,)
        elif isinstance(fact, HooksSet):
            self._moved = True
        elif isinstance(fact, SessionEntered):
            self.head, self._moved = replace(self.head, session=fact.session), True
        else:
            self.shared += (shared_by(fact, self.head, self.values),)

    def answer(self, ask: Ask) -> Fact:
        """Put a question to user code."""
        try:
            return answered(self, ask)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # the border: whatever a predicate raises is data from here on, any of it
            return AnswerFailed(self.state.at, ask.path, failure_of(error, ask.path))

    # --- perform

    def _perform(self, effects: Sequence[Command], *, beside: bool = False) -> Running | None:
        """Carry out effects. An attempt that would be the only one in flight is returned, to be run in this task."""
        starts: list[Running] = []
        for command in effects:
            if isinstance(command, RunStep):
                if self.stopping:
                    continue
                frame = self.state.frames.get(command.path)
                wanted = isinstance(frame, CallFrame) and frame.phase == OPEN and frame.attempt == command.attempt
                if wanted and (command.path, command.attempt) not in self._flying:
                    starts.append(Running(self, command))
            elif isinstance(command, CancelStep):
                self.flight.cancel(self, command)
            elif isinstance(command, SetTimer):
                self.alarms.set(command)
            elif isinstance(command, ClearTimer):
                self.alarms.clear(command.path)
            else:
                rare.perform(self, command)
        if len(starts) == 1 and not beside and not self._flying and not self._mail:
            return starts[0]
        for running in starts:
            self.flight.begin(running)
        return None

    # --- the end

    async def _leave(self, error: BaseException | None) -> None:
        if self._alarms is not None:
            self._alarms.close()
            self._alarms = None
        await self.flight.abandon(self.engine.patience)
        if self.hooks is not None:
            await self.hooks.close()
        self._left = True
        if self.letting is not None:
            self.letting.close(self._too_late(error))
        self.close()
        late = self._take_mail()
        if not self.asleep or self.stopping:
            for mail in late:
                if mail.done is not None and not mail.done.done():
                    mail.done.set_exception(self._too_late(error))
        try:
            await self.engine.left(self)
            if self.asleep and not self.stopping:
                self.engine.fell_asleep(self, late)
        finally:
            self.ended.set(error)

    def close(self) -> None:
        """Throw the coroutines of its functions away."""
        if self._functions is not None:
            self._functions.close()

    def go_on_without(self, running: Running, fact: Fact) -> None:
        """Go on after an attempt was given up: in another task, if it holds the run's own."""
        self._mail.append(Mail(fact))
        if running.inline:
            self.start(())
        else:
            self.rouse()

    def _too_late(self, error: BaseException | None) -> BaseException:
        if isinstance(error, Fenced | StoreError):
            return error
        return ended(self.run, self.state.status) if self.state.status in TERMINAL else interrupted(self.run)
