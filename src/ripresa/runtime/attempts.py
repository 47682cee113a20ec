"""The border: the one place where steps are called and where what they raise becomes data."""

from __future__ import annotations

import asyncio
import types
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import datetime
from functools import partial
from hashlib import sha256
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final, cast

from ..authoring.cache import Cache
from ..authoring.encoding import encode
from ..authoring.failures import failure_of
from ..authoring.parameters import Parameters
from ..authoring.pool import Pool
from ..authoring.step import Bound, Named, Options, Share, Step, run_plainly
from ..authoring.undo import Doable, called_undo, undoable
from ..authoring.undoable import home_of
from ..context import Holding, StepContext, Variables, copy_variables, current, enter_step, holding, within
from ..core.commands import RunStep
from ..core.durations import MICROSECONDS
from ..core.events import (
    ANY,
    CallBegan,
    CallFailed,
    CallRecorded,
    CallReturned,
    CallStarted,
    Fact,
    LimitReached,
    StepCompleted,
    StepStarted,
    Write,
)
from ..core.frames import CANCELLING, CallFrame, ScopeFrame, StreamFrame
from ..core.journaled import path_of_call
from ..core.nodes.compensation import CompensationFrame
from ..core.nodes.dynamic import DynamicFrame
from ..core.retry import retry_after, spread_of
from ..core.values import Value
from ..errors import RipresaError, StepTimeout, asked_wait
from ..ports import Work
from ..reporting import Hold
from . import caching
from .callees import undo_at
from .clock import sleep, time_limit
from .endings import failed, is_closed, late_result, lost, raised, stopped
from .feed import StepProgressed
from .functions import moment
from .reports import Report, reported
from .views import Sheet, Sighted, Targets, View, kept, sheet_of

if TYPE_CHECKING:
    from .budget import Budget
    from .driver import Driver
from .values import Values

_PLAIN = Options(name="call")

_NO_MORE_THAN: Final[dict[str, tuple[str, ...]]] = {"pure": ("pure",), "read": ("pure", "read")}
"""Effects of the steps that a step of an effect may call; one that is not here may call any.

A plain function that is called belongs to the step itself.
"""


class Running:
    """One attempt that is under way; what `current()` shows to the step."""

    __slots__ = (
        "_counts",
        "_seen",
        "_sheet",
        "began",
        "bound",
        "cancelling",
        "driver",
        "frame",
        "given_up",
        "inline",
        "input",
        "number",
        "path",
        "patience",
        "refused",
        "report",
        "started",
        "unknown",
    )

    def __init__(self, driver: Driver, command: RunStep) -> None:
        frame = driver.state.frames[command.path]
        assert isinstance(frame, CallFrame)
        self.driver = driver
        self.frame = frame
        self.path = command.path
        self.number = command.attempt
        self.input = command.input
        self.bound = bound_at(driver, frame)
        self.cancelling = False
        self.inline = False
        self.started = False
        self.began = False
        self.given_up = False
        self.patience: asyncio.TimerHandle | None = None
        self._counts: dict[str, int] | None = None
        self.report: Report | None = None
        self.refused: LimitReached | None = None
        self.unknown: BaseException | None = None
        """The error of an irreversible call inside it that has begun and of which nobody knows what it did."""
        self._sheet: Sheet | None = None
        self._seen: set[str] | None = None

    @property
    def run(self) -> str:
        """The id of the run."""
        return self.driver.state.run

    @property
    def workflow(self) -> str:
        """The name of the workflow."""
        return self.driver.state.definition.name

    @property
    def key(self) -> str:
        """The idempotency key: the same for all attempts, another after a rollback."""
        number = self.frame.generation
        scope = self.frame.parent
        while scope is not None:  # an undo has the generation of what it undoes
            if isinstance(scope, CompensationFrame):
                number = scope.generation
            scope = scope.parent
        generation = f"~{number}" if number else ""
        return f"{self.run}{generation}/{self.path}"

    @property
    def who(self) -> str:
        """The attempt in words."""
        return f"{self.path} of run {self.run}"

    def checkout(self, pool: Any, holds: tuple[Hold, ...]) -> AbstractAsyncContextManager[Hold]:
        """Hold a member of a pool while holding these."""
        engine = self.driver.engine
        slots = engine.waits.slots_of(self.run, self.path)
        return engine.pools.take(pool, self.who, (*slots, *holds), self.run)

    @property
    def step(self) -> Step[..., Any]:
        """The step that runs."""
        return self.bound.step

    def deadline(self) -> datetime | None:
        """When the attempt will be stopped."""
        due = self.deadline_at()
        return moment(due) if due else None

    def deadline_at(self) -> int:
        """The same in microseconds since 1970; 0 for never."""
        timeout = self.step.options.timeout
        limits = [self.driver.began.get((self.path, self.number), 0) + int(timeout * MICROSECONDS)] if timeout else []
        if self.driver.state.deadline:
            limits.append(self.driver.state.deadline)
        scope: ScopeFrame | None = self.frame.parent
        while scope is not None and not isinstance(scope, CompensationFrame):
            if getattr(scope, "due", 0):
                limits.append(scope.due)  # type: ignore[attr-defined]
            scope = scope.parent
        return min(limits, default=0)

    def cancelled(self) -> bool:
        """Whether the attempt was asked to stop."""
        return self.cancelling

    def progress(self, completed: float, total: float | None, message: str) -> None:
        """Tell watchers how far the step is."""
        notice = StepProgressed(self.run, self.path, self.number, completed, total, message)
        self.driver.tell(notice)

    @property
    def place(self) -> str:
        """The attempt as one word."""
        return f"{self.path}#{self.number}"

    async def reserve(self, tokens: int, cost: float) -> None:
        """Hold tokens and money until the attempt ends."""
        if self.driver.budget is not None:
            await self.driver.budget.reserve(self, tokens, cost)

    def reporting(self) -> Report:
        """What the attempt reports beside its result."""
        if self.report is None:
            self.report = Report(self.driver, self)
        return self.report

    def reported(self, fact: Fact) -> Iterable[Fact]:
        """What is recorded before the fact that ends the attempt."""
        return () if self.report is None else reported(self.report, fact)

    async def record_progress(self, fact: Fact) -> None:
        """Make a fact durable with all that was reported since the last time."""
        if self.report is not None:
            if self.report.unstored:
                await self.report.store()
            for each in self.report.facts(fact.at, self.path, self.number, completed=True):
                self.driver.deliver_if_driven(each)
        await self.driver.durable(fact)

    def sheet(self) -> Sheet:
        """The typed state as this attempt sees it."""
        if self._sheet is None:
            self._sheet = sheet_of(self.driver.state, self.frame, self.driver.values)
        return self._sheet

    def state(self, kind: Any) -> Any:
        """The view of the typed state."""
        return View(self.sheet().of(kind))

    def to(self, kind: Any) -> Any:
        """The fields of the typed state, for reducers."""
        return Targets(self.sheet().of(kind))

    def written(self) -> tuple[Write, ...]:
        """What the attempt wrote to the state. Raises if it changed a value in place."""
        if self._sheet is None:
            return ()
        self._sheet.check()
        return self._sheet.taken(self.driver.keeper)

    def reader(self) -> Values | Sighted:
        """What reads the attempt's input; what it reads of the state is remembered."""
        driver = self.driver
        if driver.state.shared is None:
            return driver.values
        self._seen = set()
        return Sighted(driver.state, self.frame, driver.values, self._seen)

    def seen(self) -> tuple[str, ...]:
        """The fields of the state that the attempt looked at; all that there are if an earlier one left calls to it."""
        if self.number > 1 and self.frame.recorded:
            return (ANY,)
        found = self._seen or set()
        return tuple(sorted(found if self._sheet is None else found | self._sheet.seen))

    async def record(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], key: str) -> Any:
        """Perform a journaled call: the recorded result, or a new one that is durable before it is returned."""
        return await self.record_within(None, fn, args, kwargs, key)

    async def record_within(
        self, call: _Within | None, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], key: str
    ) -> Any:
        """The same inside another journaled call, or inside none."""
        scope = "" if call is None else f"{call.name}>"
        known = getattr(fn, "parameters", None)
        parameters = known if isinstance(known, Parameters) else Parameters(fn)
        name: object = getattr(fn, "name", None) or getattr(fn, "__qualname__", repr(fn))
        caller = self.step if call is None else call.caller
        if isinstance(fn, Step) and not isinstance(fn, Share):
            called: Step[..., Any] = fn  # pyright: ignore[reportUnknownVariableType]
            self._refuse_stronger(called, caller, self.path)
            caller = called
        text = parameters.encode(args, kwargs, where=f"{self.path}/{name}")
        key = self._call_key(f"{scope}{name}", text, key)
        found = (self.frame.recorded or {}).get(key)
        if found is None:
            inside, budget = _Within(self, key, caller, () if call is None else call.held), self.driver.budget
            try:
                if budget is not None:
                    await budget.begin_call(self, key)
                found, writes = await self._perform(fn, parameters, args, kwargs, inside)
            finally:
                if budget is not None:
                    budget.end_call(self, key)
        else:
            writes = (self.frame.written or {}).get(key, ())
            if writes:
                self.sheet().absorb(writes)
        if call is not None:
            call.writes.extend(writes)
        return self.driver.values.read(found, parameters.returns)

    @staticmethod
    def _refuse_stronger(called: Step[..., Any], caller: Step[..., Any], where: str) -> None:
        """Raise `effect_exceeded` where a step that changes nothing makes a call that does."""
        effect = caller.options.effect
        allowed = _NO_MORE_THAN.get(effect)
        if allowed is not None and called.options.effect not in allowed:
            raise RipresaError(
                f"{caller.name} says that it is {effect}, but calls {called.name}, which is {called.options.effect}",
                code="effect_exceeded",
                op="call",
                where=where,
                hint=f"give {caller.name} the effect of all that it does, or call only what is {' or '.join(allowed)}",
            )

    def _call_key(self, name: str, text: bytes, key: str) -> str:
        if key:
            return f"{name}={key}"
        base = f"{name}:{sha256(text).hexdigest()[:16]}"
        self._counts = self._counts or {}
        count = self._counts[base] = self._counts.get(base, 0) + 1
        return base if count == 1 else f"{base}#{count}"

    async def _perform(
        self, fn: Any, parameters: Parameters, args: tuple[Any, ...], kwargs: dict[str, Any], call: _Within
    ) -> tuple[Value, tuple[Write, ...]]:
        options, key = fn.options if isinstance(fn, Step) else _PLAIN, call.name
        self._refuse_unknown(options, key)
        if options.effect == "reversible":
            call.undoable = undoable(cast("Step[..., Any]", fn), args, kwargs)
        tries = 0
        while True:
            tries += 1
            call.writes.clear()
            call.output = None
            try:
                slot = self.driver.engine.slots.lend(options.name, options.concurrency, self, call)
                async with slot, self.lent(options.pool):
                    await self._intend(options, key, call.undoable)
                    with within(call):
                        result = await self._limited(fn, options, args, kwargs)
                break
            except Exception as error:
                wait = await self._failed_call(options, error, key, tries)
                if wait is None:
                    settle: Any = getattr(fn, "settle", None)  # pyright: ignore[reportUnknownArgumentType]
                    if settle is None:
                        raise
                    result = settle(error)
                    break
                await sleep(self.driver.clock, wait)
        text = encode(result, parameters.returns, where=f"{self.path}/{options.name}")
        value = self.driver.keeper.keep(text)
        now = self.driver.clock.now()
        if self.report is not None:
            for each in self.report.facts(now, self.path, self.number, completed=False):
                self.driver.deliver_if_driven(each)
        writes = tuple(kept(write, self.driver.keeper) for write in call.writes)
        if call.undoable is not None:
            self._returned(call, text, now)
        await self.driver.durable(CallRecorded(now, self.path, self.number, key, value, writes))
        return value, writes

    def _refuse_unknown(self, options: Options, key: str) -> None:
        """Raise `outcome_unknown` for an irreversible call that had begun before without a report."""
        if options.effect == "irreversible" and key in self.frame.intents:
            self.unknown = RipresaError(
                f"the irreversible call {key!r} had begun when its process ended: nobody knows what it did",
                code="outcome_unknown",
                op="call",
                where=self.path,
                hint=f"find out what it did, then say so: ripresa reconcile {self.run} {self.path}",
            )
            raise self.unknown

    async def _intend(self, options: Options, key: str, undoable: Doable | None) -> None:
        """Append that a call begins that can be undone or is irreversible, when it has what it needs."""
        driver, now = self.driver, self.driver.clock.now()
        if options.effect == "irreversible":
            await driver.durable(CallStarted(now, self.path, self.number, key))
        elif undoable is not None:
            driver.engine.callees.note(driver.run, path_of_call(self.path, key), undoable.step)
            given, undo = driver.keeper.keep(undoable.arguments), called_undo(undoable.step)
            home = home_of(undoable.step)
            place = (now, self.path, self.number, key, undo.body.name, home, given, undo.takes_unknown)
            await driver.durable(CallBegan(*place))

    def _returned(self, call: _Within, text: bytes, now: int) -> None:
        """Hand in what a call returned that can be undone; of one that wraps a step, what that returned, if it did."""
        output = call.output if call.undoable is not None and call.undoable.wrapped else text
        if output is not None:
            fact = CallReturned(now, self.path, self.number, call.name, self.driver.keeper.keep(output))
            self.driver.deliver_if_driven(fact)

    async def _failed_call(self, options: Options, error: Exception, key: str, tries: int) -> float | None:
        """Record that a try of a call raised; seconds to wait before the next, or None.

        An irreversible call that ran into its timeout has not reported: it stays intended, and is not tried again.
        """
        unknown = isinstance(error, StepTimeout) or getattr(error, "unknown", False)
        if options.effect == "irreversible" and unknown:
            self.unknown = error
            return None
        now, failure = self.driver.clock.now(), failure_of(error, self.path, self.number)
        wait = retry_after(options.retry, tries, failure, spread_of(self.driver.state.seed, key, tries))
        wait = wait if wait is None else max(wait, asked_wait(error))
        retry_at = 0 if wait is None else now + round(wait * MICROSECONDS)
        in_doubt = unknown and options.effect == "reversible"
        await self.driver.durable(CallFailed(now, self.path, self.number, key, failure, retry_at, in_doubt))
        return wait

    async def _limited(self, fn: Any, options: Options, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if options.timeout is None:
            return await self._called(fn, args, kwargs)
        limit: asyncio.Timeout | None = None
        try:
            async with time_limit(self.driver.clock, options.timeout, self.driver.flight.overdue(self)) as limit:
                return await self._called(fn, args, kwargs)
        except TimeoutError:
            if limit is None or not limit.expired():
                raise
            message = f"the call of {options.name} took longer than its timeout of {options.timeout:g} s"
            raise StepTimeout(message, op="call", where=self.path) from None

    @asynccontextmanager
    async def lent(self, pool: Pool[Any] | str | None) -> AsyncGenerator[None, None]:
        """Hold a member of the pool of a journaled call or a stage, unless what is around it holds one already."""
        context = current()
        name = pool.name if isinstance(pool, Pool) else pool
        if pool is None or any(hold.pool == name for hold in context.holds):
            yield
            return
        async with self.checkout(pool, context.holds) as hold:
            with holding(hold):
                yield

    async def _called(self, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not isinstance(fn, Step) or fn.is_async:
            return await run_plainly(fn.fn if isinstance(fn, Step) else fn, args, kwargs)
        result = await self.driver.engine.threads.run(partial(copy_variables().run, fn.fn, *args, **kwargs))
        return await result if isawaitable(result) else result


class _Within:
    """The attempt as a journaled call sees it: the calls that it makes in turn are told apart by its own key too."""

    __slots__ = ("_running", "caller", "held", "name", "output", "undoable", "writes")

    def __init__(self, running: Running, name: str, caller: Step[..., Any], held: tuple[Hold, ...] = ()) -> None:
        self._running = running
        self.held = held
        self.name = name
        self.caller = caller
        """The step that says what it may do: what is called, or what calls a plain function."""
        self.undoable: Doable | None = None
        self.output: bytes | None = None
        """What a step that it wraps returned; see `returns`."""
        self.writes: list[Write] = []
        """What it wrote to the typed state, with the calls that it made in turn."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._running, name)

    @property
    def key(self) -> str:
        """The idempotency key of the call: that of its step, and which of the step's calls it is."""
        return f"{self._running.key}>{self.name}"

    def checkout(self, pool: Any, holds: tuple[Hold, ...]) -> AbstractAsyncContextManager[Hold]:
        """Hold a member of a pool while holding these."""
        return self._running.checkout(pool, (*self.held, *holds))

    def returns(self, text: bytes) -> None:
        """Take what a step that it wraps has returned: that is what its undo is given."""
        self.output = text

    def record(self, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any], key: str) -> Awaitable[Any]:
        """Perform a journaled call within this one."""
        return self._running.record_within(self, fn, args, kwargs, key)

    def state(self, kind: Any) -> Any:
        """The view of the typed state."""
        return View(self._running.sheet().of(kind).heard(self.writes))

    def to(self, kind: Any) -> Any:
        """The fields of the typed state, for reducers."""
        return Targets(self._running.sheet().of(kind).heard(self.writes))


def bound_at(driver: Driver, frame: CallFrame) -> Bound:
    """The step behind a call and how it is given its input."""
    code = frame.node.code
    if isinstance(code, Bound):
        return Bound(code.step, Named(code.step.parameters)) if frame.replaced else code
    parent = frame.parent
    if isinstance(parent, CompensationFrame):
        return undo_at(driver, driver.state.ledger.entries[frame.key])
    assert isinstance(parent, DynamicFrame)
    found: Step[..., Any] = driver.functions.callee(parent.path, frame.key)
    return Bound(found, Named(found.parameters))


def attempt(running: Running, *, afresh: bool = False) -> Awaitable[Fact]:
    """Run one attempt to its end; what happened, as a fact. `afresh` does not look for a cached result."""
    driver, options = running.driver, running.bound.step.options
    running.started = True
    if running.cancelling or driver.stopping:
        return _never(running)
    if options.cache is not None and not afresh:
        return _cached(running, options.cache)
    child = driver.engine.processes.slot if options.executor == "process" else None
    limited = driver.budget is not None or driver.engine.slots.needed(driver.slot, options.concurrency)
    if limited or child is not None or options.pool is not None or options.effect == "irreversible":
        return _admitted(running, child)
    return _run(running)


async def _never(running: Running) -> Fact:
    """An attempt that was stopped before it began."""
    return stopped(running)


async def _admitted(running: Running, child: asyncio.Semaphore | None) -> Fact:
    """Run an attempt that has to wait for something first: its slots, a child process, its budget, the journal."""
    driver, options = running.driver, running.bound.step.options
    stack = AsyncExitStack()
    try:
        slots = driver.engine.slots.take(driver.slot, options.name, options.concurrency, child, running)
        try:
            await stack.enter_async_context(slots)
        except RipresaError as error:  # they could never be had
            return failed(running, error)
        async with stack:
            return await (_run(running) if options.pool is None else _pooled(running, options.pool))
    except asyncio.CancelledError:
        if _is_torn_down(running):
            raise
        return stopped(running)


def _is_torn_down(running: Running) -> bool:
    """Whether an attempt is cancelled because the event loop ends, and nobody will record anything."""
    return running.driver.engine.is_torn_down and not running.driver.stopping


async def _cached(running: Running, cache: Cache) -> Fact:
    """The result of an earlier attempt like this one, or an attempt whose result others may use."""
    try:
        key = caching.key_of(running, cache)
    except Exception as error:  # the border: the key is the user's function
        return failed(running, error)
    found = caching.find(running, key)
    if found is not None:
        return found
    fact = await attempt(running, afresh=True)
    if isinstance(fact, StepCompleted) and not fact.reads and not fact.writes:  # else it is good for this state only
        await caching.keep(running, cache, key, fact.output)
    return fact


async def _pooled(running: Running, pool: Pool[Any] | str) -> Fact:
    """Run an attempt that holds a member of a pool. That there is none to be had is a failure of the attempt."""
    stack = AsyncExitStack()
    try:
        hold = await stack.enter_async_context(running.checkout(pool, ()))
    except Exception as error:  # the border: a health check is user code
        return failed(running, error)
    async with stack:
        return await _run(running, hold)


async def _refused(budget: Budget, running: Running) -> Fact | None:
    """Why an attempt may not begin."""
    if running.frame.phase == CANCELLING:  # by the limit that another attempt has reached meanwhile
        return lost(running, "cancelled")
    return await budget.admit(running)


async def _run(running: Running, hold: Hold | None = None) -> Fact:
    driver, path, number, step = running.driver, running.path, running.number, running.bound.step
    clock, options = driver.clock, step.options
    refused = None if driver.budget is None else await _refused(driver.budget, running)
    if refused is not None:
        return refused
    driver.note_start(running)
    running.began = True
    if options.effect == "irreversible":
        await driver.durable(StepStarted(clock.now(), path, number))
    limit: asyncio.Timeout | None = None
    try:
        if options.timeout is not None:
            async with time_limit(clock, options.timeout, driver.flight.overdue(running)) as limit:
                text = await _called(running, hold)
        elif step.in_loop and type(running.frame) is CallFrame:
            text = encode(await _in_loop(running, hold), step.parameters.returns, where=path)
        else:
            text = await _called(running, hold)
        if running.report is not None and running.report.unstored:
            await running.report.store()
        if driver.state.shared is None:
            return StepCompleted(clock.now(), path, number, driver.keeper.keep(text))
        writes, seen = _written(running), running.seen()
        return StepCompleted(clock.now(), path, number, driver.keeper.keep(text), writes, seen)
    except asyncio.CancelledError:
        if _is_torn_down(running):
            raise
        return stopped(running)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the border: whatever a step raises is data from here on, `SystemExit` too
        if type(error) is GeneratorExit and is_closed(running):
            raise
        return raised(running, error, limit)


def _written(running: Running) -> tuple[Write, ...]:
    """What a step wrote to the state. Raises `RipresaError(limit_exceeded)` if that is more than the state may hold."""
    writes, budget = running.written(), running.driver.budget
    if writes and budget is not None:
        budget.require_state(running, writes)
    return writes


def _in_loop(running: Running, hold: Hold | None) -> Awaitable[Any]:
    """Call an async step, in context variables of its own."""
    args, kwargs = running.bound.binding.arguments(running.input, running.reader())
    variables = copy_variables()
    enter_step(variables, StepContext(running) if hold is None else Holding(running, (hold,)))
    return in_context(variables, variables.run(running.bound.step.fn, *args, **kwargs))


async def _called(running: Running, hold: Hold | None) -> bytes:
    """Call a step wherever it belongs."""
    step = running.bound.step
    if step.in_loop and type(running.frame) is CallFrame:
        return encode(await _in_loop(running, hold), step.parameters.returns, where=running.path)
    args, kwargs = running.bound.binding.arguments(running.input, running.reader())
    if step.options.executor != "auto":
        elsewhere = _in_process if step.options.executor == "process" else _by_executor
        return await elsewhere(running, hold, args, kwargs)
    if type(running.frame) is StreamFrame:
        return await _pumped(running, step, args[0])
    variables = copy_variables()
    enter_step(variables, StepContext(running) if hold is None else Holding(running, (hold,)))
    left = partial(late_result, running)
    result = await running.driver.engine.threads.run(partial(variables.run, step.fn, *args, **kwargs), left)
    if isawaitable(result):
        result = await in_context(variables, run_plainly(lambda: result, (), {}))
    return encode(result, step.parameters.returns, where=running.path)


async def _pumped(running: Running, step: Any, argument: Any) -> bytes:
    from .streams import pumped

    return await pumped(running, step, argument)


async def _in_process(running: Running, hold: Hold | None, args: Any, kwargs: Any) -> bytes:
    from ..executors.processes import Job, target_of
    from .session_data import plain_session

    step, context = running.bound.step, _context(running) | plain_session(running.driver)
    if hold is not None:
        context["pool"], context["member"] = hold.pool, encode(hold.member, where=running.path).decode()
    text = step.parameters.encode(args, kwargs, where=running.path)
    job = Job(target_of(step.fn), text, context, lambda told, failed: running.reporting().hear(told, failed=failed))
    return await running.driver.engine.processes.perform(job)


async def _by_executor(running: Running, hold: Hold | None, args: Any, kwargs: Any) -> bytes:
    step = running.bound.step
    variables = copy_variables()
    enter_step(variables, Holding(running, () if hold is None else (hold,)))

    async def here() -> Any:
        if step.is_async:
            return await in_context(variables, variables.run(step.fn, *args, **kwargs))
        return await running.driver.engine.threads.run(partial(variables.run, step.fn, *args, **kwargs))

    work = Work(step.fn, args, kwargs, _context(running), here)
    result = await running.driver.engine.executor(step.options.executor).perform(work)
    return encode(result, step.parameters.returns, where=running.path)


def _context(running: Running) -> dict[str, Any]:
    """What `current()` says of an attempt, as plain data."""
    return {
        "run": running.run,
        "workflow": running.workflow,
        "path": running.path,
        "attempt": running.number,
        "key": running.key,
        "deadline": running.deadline_at() or None,
    }


@types.coroutine
def in_context(variables: Variables, coroutine: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Await a coroutine in context variables of its own, without a task for it."""
    run, send, throw = variables.run, coroutine.send, coroutine.throw
    try:
        awaited = run(send, None)
        while True:
            try:
                value = yield awaited
            except GeneratorExit:
                run(coroutine.close)
                raise
            except BaseException as error:
                awaited = run(throw, error)
            else:
                awaited = run(send, value)
    except StopIteration as stop:
        return stop.value
