"""What all runs of one app share: store, clock, caps, executors, watchers; and how runs begin here and are taken up."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from ..authoring.flow import Runnable
from ..authoring.hooks import Hooks
from ..authoring.pool import Pool
from ..context import switching_off
from ..core.advance import outstanding
from ..core.codec import decode_events
from ..core.commands import Command
from ..core.definition import Definition
from ..core.durations import MICROSECONDS
from ..core.events import (
    CancelRequested,
    ContinueRequested,
    Fact,
    LimitsSet,
    Recorded,
    RunStarted,
    SessionEntered,
    Write,
)
from ..core.lifecycle import TERMINAL, check_transition
from ..core.limits import NONE, Limits
from ..core.nodes.stateful import Stateful
from ..core.replay import began_at, lineage
from ..core.state import RunState
from ..errors import (
    IllegalTransition,
    InvalidConfig,
    RipresaError,
    RunError,
    RunExists,
    SessionError,
    StoreError,
)
from ..ports import Clock, Executor, RunHead, Store
from ..records import record
from ..stores.rules import require_active
from .callees import Callees
from .driver import Driver
from .family import PARENT
from .feed import Feed
from .hooks import Switchboard, changed_points
from .ids import new_id
from .inbox import Inbox
from .kin import Kin
from .late_failures import LateFailures
from .mail import Mail
from .outbox import Announce, Outbox, Sender
from .pools import Pools
from .restoring import refuse_repeats, replayed, stopped, takeover
from .results import not_found
from .slots import Slots
from .views import beginning, is_judged
from .waits import Waits
from .waking import Waker

if TYPE_CHECKING:
    from ..executors.processes import Processes
    from ..executors.threads import Threads
    from ..steps.gateway import Gateway
    from .cancellation import CancelToken

POLL = 0.2
"""Seconds between two looks at the inbox for requests of other processes."""


PAGE = 2000
"""Events that are read from a journal at a time."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How an engine runs: caps on attempts at a time (None: none), seconds it waits for steps that do not stop.

    `linger` is how many seconds a run that only waits stays in memory (None: as long as it lives), unless a timer of
    it is due in less than `near` seconds.
    """

    max_concurrency: int | None = None
    threads: int | None = None
    processes: int | None = None
    patience: float = 5.0
    pools: tuple[Pool[Any], ...] = ()
    linger: float | None = None
    near: float = 5.0
    executors: Mapping[str, Executor] = field(default_factory=dict[str, Executor])
    senders: Mapping[str, Sender] = field(default_factory=dict[str, "Sender"])
    models: Mapping[str, Any] = field(default_factory=dict[str, Any])
    announce: Announce | None = None
    off: frozenset[str] = frozenset()
    """The features that what runs here may not ask for."""

    def __post_init__(self) -> None:
        bad = [
            f"{name} is {value!r}, must be a whole number from 1"
            for name, value in (
                ("max_concurrency", self.max_concurrency),
                ("threads", self.threads),
                ("processes", self.processes),
            )
            if value is not None and not is_count(value)
        ]
        if self.patience < 0:
            bad.append(f"patience is {self.patience!r}, must not be negative")
        if bad:
            raise InvalidConfig("; ".join(bad), op="App")


@record
class Start:
    """What a new run is started with. `timeout` is in seconds."""

    runnable: Runnable[..., Any]
    input: bytes
    id: str = ""
    target: str = ""
    tags: tuple[str, ...] = ()
    timeout: float | None = None
    session: str = ""
    limits: Limits = NONE
    state: object = None
    parent: str = ""
    """The run that starts it."""
    reports: bool = False
    """Whether that one is told how it ends."""
    by: str = ""
    deadline: int = 0
    """When it is out of time at the latest, in microseconds since 1970; 0 for never."""

    def due(self, now: int) -> int:
        """When a run that is started now is out of time, 0 for never; what is past is out of time at once."""
        own = now + round(self.timeout * MICROSECONDS) if self.timeout else 0
        return max(min(due for due in (own, self.deadline) if due), now + 1) if own or self.deadline else 0


def is_count(value: object) -> bool:
    """Whether a value is a whole number from 1."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


class Engine:
    """Begins runs, takes runs up, and brings requests to them."""

    def __init__(
        self, store: Store, clock: Clock, settings: Settings | None = None, hooks: Hooks | None = None
    ) -> None:
        self.store = store
        self.blob = store.blob
        """Gives the large value of a digest."""
        self.clock = clock
        self.settings = settings or Settings()
        self.loop = asyncio.get_running_loop()
        self.waits = Waits(Kin(self))
        self.slots = Slots(self.settings.max_concurrency, self.waits)
        self.pools = Pools(self.settings.pools, self.waits)
        self.patience = self.settings.patience
        self.announce = self.settings.announce
        self.feed = Feed()
        self.switchboard = Switchboard(self, Hooks() if hooks is None else hooks)
        self.drivers: dict[str, Driver] = {}
        self._described: set[str] = set()
        self._gateway: Gateway | None = None
        self._threads: Threads | None = None
        self._processes: Processes | None = None
        self._poller: asyncio.Task[None] | None = None
        self._gates: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.rolled_back: set[str] = set()
        """Runs that were taken back to an earlier place here: what was known of their end is not for good."""
        self.turning: set[str] = set()
        """Runs that are being taken back here: nobody drives them for a moment, but they are not left."""
        self._look = False
        self._unreleased: set[str] = set()
        self.name = f"{os.getpid()}"
        self.late = LateFailures(self)
        self.inbox = Inbox(self)
        self.waker = Waker(self)
        self.outbox = Outbox(self, self.settings.senders)
        self.callees = Callees()

    @property
    def gateway(self) -> Gateway:
        """The models of the app."""
        if self._gateway is None:
            from ..steps.gateway import Gateway

            self._gateway = Gateway(self.settings.models)
        return self._gateway

    @property
    def threads(self) -> Threads:
        """Where sync steps run."""
        if self._threads is None:
            from ..executors.threads import Threads

            self._threads = Threads(self.settings.threads) if self.settings.threads else Threads()
        return self._threads

    @property
    def processes(self) -> Processes:
        """Where steps with `executor="process"` run."""
        if self._processes is None:
            from ..executors.processes import Processes

            self._processes = Processes(self.settings.processes) if self.settings.processes else Processes()
        return self._processes

    def executor(self, name: str) -> Executor:
        """The executor that a step names. Raises `RipresaError(unknown_executor)`."""
        found = self.settings.executors.get(name)
        if found is None:
            there = ", ".join(("auto", "process", *self.settings.executors))
            raise RipresaError(
                f"there is no executor named {name!r}; there are {there}",
                code="unknown_executor",
                op="executor",
            )
        return found

    # --- runs begin

    async def start(self, start: Start) -> Driver:
        """Begin a new run; it is durable on return. Raises `RunExists` if there is one of this id."""
        definition = start.runnable.definition
        now = self.clock.now()
        run = start.id or new_id(now)
        tags = (*start.tags, PARENT + start.parent) if start.parent else start.tags
        place = run, definition.name, definition.version, "created", start.target
        driver = Driver(
            self,
            RunState(definition.for_run()),
            RunHead(*place, now, now, tags=tags, session=start.session),
            start.runnable,
            concurrency=start.limits.concurrency,
        )
        self.limit(driver, start.limits, now, ())
        driver.hooks = self.switchboard.of_run(driver)
        points = () if driver.hooks is None else driver.hooks.recorded()
        fact = RunStarted(
            now,
            run,
            definition.name,
            definition.version,
            definition.hash,
            driver.keeper.keep(start.input),
            int.from_bytes(os.urandom(6)),
            start.target,
            start.due(now),
            definition.expected,
            tags=start.tags,
            session=start.session,
            limits=start.limits.encode(),
            hooks=points,
            state=self._beginning(start, definition, driver),
            parent=start.parent,
            reports=start.reports,
            by=start.by,
            judged=is_judged(definition),
        )
        self.describe(driver, definition)
        if start.id:
            async with self.gate(run):
                return await self._create(driver, fact)
        return await self._create(driver, fact)  # nobody else knows of it yet

    async def _create(self, driver: Driver, fact: RunStarted) -> Driver:
        try:
            effects = await driver.create(fact)
        except BaseException as error:
            driver.close()
            if not isinstance(error, RunExists | SessionError):
                await self.release(driver.run)  # the store may have kept it nevertheless
            raise
        self._described.add(fact.definition)
        self.drive(driver, effects)
        return driver

    def hooks_of(self, driver: Driver) -> tuple[Mail, ...]:
        """Find the hooks that concern a run which was recorded earlier; tells it if they stand elsewhere than then."""
        return tuple(map(Mail, changed_points(driver)))

    def _beginning(self, start: Start, definition: Definition, driver: Driver) -> tuple[Write, ...]:
        root = definition.root
        if isinstance(root, Stateful):
            return beginning(root.code, start.state, driver.keeper)
        if start.state is not None:
            raise InvalidConfig(
                f"{definition.name!r} has no state to begin with {start.state!r}",
                op="start",
                hint="declare it: flow.with_state(S), Graph(..., state=S), or ctx: Context[S]",
            )
        return ()

    def describe(self, driver: Driver, definition: Definition) -> None:
        """Let a definition become durable with what the driver records next, unless it is known to be."""
        if definition.hash not in self._described:
            driver.keeper.add(definition.hash, definition.description)

    def limit(self, driver: Driver, limits: Limits, began_at: int, line: Sequence[Recorded]) -> None:
        """Give the run a budget if it has limits, or a session, which may be given some at any time."""
        changed = any(type(item.event) is LimitsSet for item in line)
        if limits.bounds or changed or driver.head.session:
            from .budget import Budget

            driver.budget = Budget(driver, limits, began_at)
            driver.budget.restore(line)

    async def limit_late(self, driver: Driver) -> None:
        """Give a run a budget that began without limits and has been given some; what it used until then counts."""
        line = lineage(await self.history(driver.run))
        self.limit(driver, NONE, began_at(line), line)
        assert driver.budget is not None, "it has limits or a session now"
        driver.budget.watch_time()

    def drive(self, driver: Driver, effects: Any, mail: tuple[Mail, ...] = ()) -> None:
        """Begin to carry out a run whose state is durable, performing these effects first."""
        if driver.budget is not None:
            driver.budget.watch_time()
        self.drivers[driver.run] = driver
        self._unreleased.discard(driver.run)
        self._look = True  # something may have been asked of it meanwhile
        self.feed.begin(driver.run)
        with switching_off(self.settings.off):
            driver.start(effects, mail)
        self.begin_polling()

    def begin_polling(self) -> None:
        """Look for requests to the runs that are driven here, and for runs that are due, from now on."""
        if self._poller is None:
            self._look = True
            self._poller = self.loop.create_task(self._poll(), name="ripresa inbox")

    def bind(self, driver: Driver, token: CancelToken) -> None:
        """Cancel the run when the token is cancelled."""

        def cancel() -> None:
            self.loop.call_soon_threadsafe(driver.deliver_if_driven, CancelRequested(self.clock.now(), token.reason))

        driver.idle.allowed = False
        forget = token.on_cancel(cancel)
        driver.ended.then.append(forget)

    # --- runs are taken up

    async def take(
        self, head: RunHead, runnable: Runnable[..., Any], *, session: str = "", again: bool = False
    ) -> Driver:
        """Take an unfinished or failed run up: replay its journal, report lost attempts, go on, perhaps in a `session`.

        Raises `RunError(owned_elsewhere)` while another living owner has it, `DefinitionChanged` naming the nodes
        that differ, `Nondeterminism`, `SessionError` for a failed run whose session is not active, and
        `RipresaError(effects_undecided)` for a failed one that would do `again` what nothing can undo.
        """
        async with self.gate(head.id):
            running = self.drivers.get(head.id)
            if running is not None:
                if session not in ("", running.head.session):
                    await self._enter(running, session)
                return running
            self._check_session(head, session)
            epoch = await self.store.claim(head.id)
            if epoch is None:
                raise await self.owned_elsewhere(head.id)
            try:
                driver = await self._restored(head.id, runnable, session, epoch, again=again)
            except BaseException:
                await self.release(head.id)
                raise
            self.drive(driver, self.wanted(driver))
            return driver

    def wanted(self, driver: Driver) -> list[Command]:
        """What is to be done first of all for a run that was taken up."""
        return [*outstanding(driver.state), *stopped(driver)]

    def gate(self, run: str) -> asyncio.Lock:
        """One at a time begins a run or takes it up."""
        return self._gates.setdefault(run, asyncio.Lock())

    def _check_session(self, head: RunHead, session: str) -> None:
        """A run goes on in an active session; one that is suspended with its own may be taken up, and stays paused."""
        if head.status == "created":
            raise IllegalTransition(
                f"run {head.id!r} was being restored from its archive, and is not whole",
                run=head.id,
                op="resume",
                hint="restore it again: ripresa restore FILE",
            )
        if session and session != head.session:
            require_active(session, self.store.find_session(session), "resume")
        elif head.session and head.status == "failed":
            require_active(head.session, self.store.find_session(head.session), "resume")

    async def _enter(self, driver: Driver, session: str) -> None:
        """Let a paused run that is driven here go on in another session."""
        if driver.state.status != "paused":
            message = f"run {driver.run!r} is {driver.state.status} and cannot go on in another session"
            hint = "suspend its session or pause it first"
            raise RunError(message, run=driver.run, code="invalid_state", op="resume", hint=hint)
        require_active(session, self.store.find_session(session), "resume")
        for fact in self._entering(driver, session):
            await driver.durable(fact)

    def _entering(self, driver: Driver, session: str) -> list[Fact]:
        now = self.clock.now()
        paused = driver.state.status == "paused"
        return [SessionEntered(now, session), *([ContinueRequested(now)] if paused else [])]

    async def _restored(
        self, run: str, runnable: Runnable[..., Any], session: str, epoch: int, *, again: bool
    ) -> Driver:
        head = await self.store.find_run(run)
        assert head is not None
        if head.status in TERMINAL:  # by whoever had it just before
            check_transition(head.status, "running", only_from="failed", run=run, op="resume")
        driver = replayed(self, head, runnable, lineage(await self.history(run)))
        entering = self._entering(driver, session) if session not in ("", head.session) else []
        try:
            if not again:
                refuse_repeats(driver.state)
            mail = [*takeover(driver, epoch, await self.inbox.pending(driver)), *map(Mail, entering)]
            await driver.commit_takeover(mail)
        except BaseException:
            driver.close()
            raise
        return driver

    async def history(self, run: str, after: int = 0) -> list[Recorded]:
        """The events of a run after sequence number `after`. Raises `RunNotFound`.

        A long journal is read a page at a time, so that the loop is not held up.
        """
        rows = await self.store.read(run, after, PAGE)
        if not rows and not after:
            raise not_found(run)
        found: list[Recorded] = []
        while rows:
            for row in rows:
                items = decode_events(row.data, run, row.seq)
                found.extend(items if row.seq > after else [item for item in items if item.seq > after])
            if sum(row.events for row in rows) < PAGE:
                break
            after = found[-1].seq
            await asyncio.sleep(0)
            rows = await self.store.read(run, after, PAGE)
        return found

    async def owned_elsewhere(self, run: str) -> RunError:
        """The error for a run that another living owner has."""
        owner = await self.store.owner(run)
        return RunError(
            f"run {run!r} is being driven by another process ({owner})",
            run=run,
            code="owned_elsewhere",
            op="resume",
            hint="it goes on there; look at it with: ripresa show " + run,
        )

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL)
            with suppress(StoreError):
                if self.store.changed() or self._look:
                    self._look = False
                    await self.inbox.collect()
                    self.outbox.look()
                    if self.settings.linger is not None:
                        self.waker.look()

    # --- the end

    @property
    def is_torn_down(self) -> bool:
        """Whether all tasks of the loop are being cancelled, as at the end of `asyncio.run`."""
        return self._poller is not None and self._poller.cancelling() > 0

    async def left(self, driver: Driver) -> None:
        """A driver has stopped: its run is not owned here any more."""
        self.drivers.pop(driver.run, None)
        self.outbox.settled()
        self.feed.end(driver.run)
        if driver.released or driver.run in self.turning:
            return
        async with self.gate(driver.run):
            if driver.run not in self.drivers:  # else it has been taken up again already
                await self.release(driver.run)

    def fell_asleep(self, driver: Driver, mail: list[Mail]) -> None:
        """A driver has put its run to sleep; `mail` came at that very moment."""
        self.waker.fell_asleep(driver)
        if mail:
            self.waker.deliver_later(driver, mail)

    @asynccontextmanager
    async def owning(self, run: str) -> AsyncGenerator[int]:
        """Own a run that nobody drives for a moment, within its gate. Raises `RunError(owned_elsewhere)`."""
        epoch = await self.store.claim(run)
        if epoch is None:
            raise await self.owned_elsewhere(run)
        self._unreleased.add(run)
        try:
            yield epoch
        finally:
            self._unreleased.discard(run)
            await self.release(run)

    async def release(self, run: str) -> None:
        """Give a run up that was claimed here."""
        try:
            await self.store.release(run)
        except RipresaError:
            self._unreleased.add(run)

    async def is_driven(self, run: str) -> bool:
        """Whether anybody alive drives the run, here or elsewhere."""
        if run in self.turning:
            return True
        if run in self.drivers or run in self._unreleased:
            return run in self.drivers
        return await self.store.owner(run) is not None

    async def close(self) -> None:
        """Stop all runs so that they can be taken up again, and let the executors go."""
        await self.waker.close()
        await self.outbox.close()
        await asyncio.gather(*(driver.stop() for driver in list(self.drivers.values())))
        await self.switchboard.close()
        await self.late.close()
        if self._poller is not None:
            self._poller.cancel()
            await asyncio.wait([self._poller])
        if self._gateway is not None:
            await self._gateway.close()
        if self._threads is not None:
            self._threads.close()
        if self._processes is not None:
            await self._processes.close()
