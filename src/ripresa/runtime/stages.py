"""The stages of a stream under way: each takes items from the buffer before it and puts items into the one behind it.

Law: what a stage gives carries the mark of what it came from, wrapped in a `Cut` where the stage holds something open
there; order is kept.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, nullcontext
from functools import partial
from inspect import isawaitable
from itertools import islice
from typing import Any, NamedTuple, Protocol, TypeVar

from ..authoring import running
from ..authoring.failures import failure_of
from ..authoring.flow import Runnable
from ..authoring.pool import Pool
from ..authoring.step import Step, run_plainly
from ..authoring.stream import Stage
from ..context import Variables, copy_variables, current
from ..core.durations import MICROSECONDS
from ..core.retry import retry_after, spread_of
from ..errors import RipresaError, asked_wait
from ..executors.threads import Threads
from ..ports import Clock
from .buffers import CHUNK, Buffer, Items, Marks
from .clock import sleep, time_limit
from .marks import Cut, label
from .slots import Slots
from .time_windows import TimeWindows, microseconds_of, moment


def _nothing() -> None:
    """Forget nothing."""


def _as_it_is(pool: Pool[Any] | str | None) -> AbstractAsyncContextManager[None]:
    """Outside a run pools are not drawn from."""
    return nullcontext()


class Ground(NamedTuple):
    """What functions of a stream stand on: time, threads, slots of steps, and what spreads their retries.

    `begin` is called before each try of a step; `lent` holds a member of the pool that a step names, in a run.
    """

    clock: Clock
    threads: Callable[[], Threads]
    slots: Slots
    seed: int = 0
    begin: Callable[[], None] = _nothing
    lent: Callable[[Pool[Any] | str | None], AbstractAsyncContextManager[None]] = _as_it_is
    overdue: tuple[float, Callable[[], None]] | None = None
    """What becomes of the whole stream where a step does not stop so long after its time is up."""


T = TypeVar("T")

Call = Callable[[Any], Awaitable[Any]]


class Failures(Protocol):
    """Whoever decides what an item means for which a function failed."""

    async def item_failed(self, stage: str, policy: str, item: Any, error: Exception) -> None:
        """Raise the error, or make the item a dead letter."""
        ...


def waits(fn: Any) -> bool:
    """Whether a function is to be awaited: a step, a flow or an async one."""
    called = getattr(fn, "__call__", None)  # noqa: B004
    return isinstance(fn, Step | Runnable) or inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(called)


def calling(fn: Any, ground: Ground) -> Call:
    """How a function is called for one item: as it is, a step with its timeout, retry and slots, a flow in memory."""
    if isinstance(fn, Runnable):
        return partial(_in_memory, fn, ground)
    if not isinstance(fn, Step):
        return partial(_plainly, fn)
    return partial(_attempts, fn, ground)


async def _plainly(fn: Callable[[Any], Any], item: Any) -> Any:
    return await run_plainly(fn, (item,), {})


async def _in_memory(flow: Runnable[..., Any], ground: Ground, item: Any) -> Any:
    """Run a flow for an item: its steps have keys that begin with that of the item, the same when it comes again."""
    ground.begin()
    return await running.run(flow, (item,), {}, current().idempotency_key)


async def _attempts(step: Step[..., Any], ground: Ground, item: Any) -> Any:
    options = step.options
    tries = 0
    while True:
        tries += 1
        ground.begin()
        try:
            async with AsyncExitStack() as stack:
                if options.concurrency is not None:
                    await stack.enter_async_context(ground.slots.of_step(options.name, options.concurrency))
                if options.pool is not None:
                    await stack.enter_async_context(ground.lent(options.pool))
                if options.timeout is not None:
                    await stack.enter_async_context(time_limit(ground.clock, options.timeout, ground.overdue))
                return await _attempt(step, ground, item)
        except Exception as error:
            spread = spread_of(ground.seed, options.name, tries)
            wait = retry_after(options.retry, tries, failure_of(error), spread)
            if wait is None:
                raise
            await sleep(ground.clock, max(wait, asked_wait(error)))


async def _attempt(step: Step[..., Any], ground: Ground, item: Any) -> Any:
    if step.is_async:
        return await step.fn(item)
    result = await ground.threads().run(partial(copy_variables().run, step.fn, item))
    return await result if isawaitable(result) else result


class Line:
    """One stage between two buffers. `rest` is what it held open where the stream goes on, `mark` that place."""

    def __init__(
        self,
        number: int,
        stage: Stage,
        inbox: Buffer,
        outbox: Buffer,
        ground: Ground,
        failures: Failures,
        variables: Callable[[Callable[[], str]], Variables],
    ) -> None:
        self.number = number
        self.stage = stage
        self.inbox = inbox
        self.outbox = outbox
        self.ground = ground
        self.failures = failures
        self.variables = variables
        self.hand: Any = None
        self.rest: tuple[Any, int] | None = None
        self.mark: Any = 0

    async def run(self) -> None:
        """Work until nothing more comes, then say so to the next one."""
        stage = self.stage
        match stage.kind:
            case "map" | "filter":
                if not waits(stage.fn):
                    await self._quickly()
                elif stage.concurrency == 1:
                    await self._one_by_one()
                else:
                    await self._side_by_side()
            case "flat_map":
                await self._spread()
            case "batch":
                await self._batch()
            case "time_window":
                await self._by_time()
            case _:
                await self._window()
        self.outbox.close()

    def key(self) -> str:
        """What the stage has in hand, as text; a plain function has many items at a time, so none."""
        if self.hand is None:
            raise no_key(f"the plain function {self.stage.name!r}")
        return _key_of(self.stage.name, self.hand)

    async def failed(self, item: Any, error: Exception) -> None:
        """An item failed."""
        await self.failures.item_failed(self.stage.name, self.stage.on_error, item, error)

    # --- map and filter

    async def _quickly(self) -> None:
        fn: Any = self.stage.fn
        while (taken := await self.inbox.take()) is not None:
            items, marks = taken
            while items:
                results, error = _apply(fn, items)
                done = len(results)
                await self._pass(results, items[:done], marks[:done])
                if error is None:
                    break
                await self.failed(items[done], error)
                items, marks = items[done + 1 :], marks[done + 1 :]

    async def _pass(self, results: Items, items: Items, marks: Marks) -> None:
        """Pass on what a function said of items: its results, or those items for which it said yes."""
        if results and isawaitable(results[0]):
            for result in results:
                getattr(result, "close", bool)()
            raise RipresaError(
                f"stage {self.stage.name!r} is a plain function that gives something to await",
                code="usage",
                op="stream",
                hint="write it as an async def, or give the step itself",
            )
        if self.stage.kind == "filter":
            marks = [mark for mark, yes in zip(marks, results, strict=True) if yes]
            results = [item for item, yes in zip(items, results, strict=True) if yes]
        await self.outbox.put(results, marks)

    async def _one_by_one(self) -> None:
        call = calling(self.stage.fn, self.ground)
        async for item, mark in each(self.inbox):
            self.hand = mark
            try:
                result = await call(item)
            except Exception as error:
                await self.failed(item, error)
            else:
                await self._pass([result], [item], [mark])

    async def _side_by_side(self) -> None:
        """Up to `concurrency` at a time; what has ended waits for those before it."""
        room = asyncio.Semaphore(self.stage.concurrency)
        under_way: asyncio.Queue[tuple[asyncio.Task[Any], Any, Any] | None] = asyncio.Queue()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._in_order(under_way, room))
            await room.acquire()
            async for item, mark in each(self.inbox):
                variables = self.variables(partial(_key_of, self.stage.name, mark))
                under_way.put_nowait((group.create_task(self._apart(item), context=variables), item, mark))
                await room.acquire()
            under_way.put_nowait(None)

    async def _apart(self, item: Any) -> tuple[Any, ...]:
        """The result in a tuple; nothing for an item that failed and was skipped."""
        try:
            return (await not_cancelled(calling(self.stage.fn, self.ground)(item)),)
        except Exception as error:
            await self.failed(item, error)
            return ()

    async def _in_order(self, under_way: asyncio.Queue[Any], room: asyncio.Semaphore) -> None:
        while (begun := await under_way.get()) is not None:
            task, item, mark = begun
            for result in await task:
                await self._pass([result], [item], [mark])
            room.release()

    # --- flat map

    async def _spread(self) -> None:
        if self.rest is not None:
            item, skip = self.rest
            await self._spread_or_fail(item, self.mark, skip)
        async for item, mark in each(self.inbox):
            await self._spread_or_fail(item, mark, 0)

    async def _spread_or_fail(self, item: Any, mark: Any, skip: int) -> None:
        self.hand = mark
        try:
            found = calling(self.stage.fn, self.ground)(item) if waits(self.stage.fn) else self._fn(item)
            if isawaitable(found):
                found = await found
            if isinstance(found, AsyncIterable):
                await self._spread_slowly(found, item, mark, skip)  # pyright: ignore[reportUnknownArgumentType]
            else:
                await self._spread_quickly(iter(found), item, mark, skip)
        except _Outside as outside:
            raise outside.error from outside.error.__cause__
        except Exception as error:
            await self.failed(item, error)

    def _fn(self, item: Any) -> Any:
        fn: Any = self.stage.fn
        return fn(item)

    async def _spread_slowly(self, found: AsyncIterable[Any], item: Any, mark: Any, skip: int) -> None:
        count = 0
        async with AsyncExitStack() as stack:
            if hasattr(found, "aclose"):
                await stack.enter_async_context(aclosing(found))  # type: ignore[type-var]
            async for result in found:
                count += 1
                if count > skip:
                    await self._put([result], [Cut(mark, self.number, (item, count))])

    async def _spread_quickly(self, found: Iterator[Any], item: Any, mark: Any, skip: int) -> None:
        """The last one ends the item, and carries the item's own mark."""
        count = skip
        chunk = list(islice(found, skip, skip + CHUNK))
        while chunk:
            following = list(islice(found, CHUNK))
            marks: list[Any] = [Cut(mark, self.number, (item, count + n)) for n in range(1, len(chunk) + 1)]
            if not following:
                marks[-1] = mark
            count += len(chunk)
            await self._put(chunk, marks)
            chunk = following

    async def _put(self, items: Items, marks: Marks) -> None:
        try:
            await self.outbox.put(items, marks)
        except RipresaError as error:  # a full buffer is not the item's fault
            raise _Outside(error) from error

    # --- batches and windows

    async def _batch(self) -> None:
        size, within = self.stage.count, self.stage.within
        filled: Items = []
        mark: Any = None
        due = 0
        while (taken := await self.inbox.take(due=due)) is not None:
            items, marks = taken
            whole: Items = []
            ends: list[Any] = []
            begin = 0
            while begin < len(items):
                end = min(begin + size - len(filled), len(items))
                if not filled and within is not None:
                    due = self.ground.clock.now() + round(within * MICROSECONDS)
                filled += items[begin:end]
                mark = marks[end - 1]
                begin = end
                if len(filled) == size:
                    whole.append(filled)
                    ends.append(mark)
                    filled, due = [], 0
            if filled and due and self.ground.clock.now() >= due:
                whole.append(filled)
                ends.append(mark)
                filled, due = [], 0
            await self.outbox.put(whole, ends)
        if filled:
            await self.outbox.put([filled], [mark])

    async def _window(self) -> None:
        size, every = self.stage.count, self.stage.every
        before, skip = self.rest or ([], 0)
        recent: Items = [*before]
        while (taken := await self.inbox.take()) is not None:
            whole: Items = []
            ends: list[Any] = []
            for item, mark in zip(*taken, strict=True):
                if skip:
                    skip -= 1
                    continue
                recent.append(item)
                if len(recent) == size:
                    whole.append(recent)
                    recent, skip = recent[every:], max(0, every - size)
                    ends.append(Cut(mark, self.number, (recent[:], skip)) if recent or skip else mark)
            await self.outbox.put(whole, ends)

    async def _by_time(self) -> None:
        stage = self.stage
        windows = TimeWindows(stage.count, stage.every, stage.lateness)
        last = self.mark
        if self.rest is not None:
            content, closed = self.rest
            windows.go_on([(self._time_of(item), item) for item in content], closed)
            await self._give_windows(windows.due(), windows, last)
        while (taken := await self.inbox.take()) is not None:
            for item, mark in zip(*taken, strict=True):
                last = mark
                at = self._time_of(item)
                if windows.add(at, item):
                    await self._give_windows(windows.due(), windows, mark)
                else:
                    await self.failed(item, _late(at))
        await self._give_windows(windows.due(all=True), windows, last)

    def _time_of(self, item: Any) -> int:
        try:
            return microseconds_of(self._fn(item))
        except Exception as error:  # the border: an item that cannot be placed fails the stream
            error.add_note(f"in stage {self.stage.name!r} of the stream")
            raise

    async def _give_windows(self, found: Iterator[Any], windows: TimeWindows, mark: Any) -> None:
        for window in found:
            content: Any = windows.content, windows.closed
            await self.outbox.put([window], [Cut(mark, self.number, content)])


def _late(at: int) -> RipresaError:
    return RipresaError(
        f"an item of {moment(at).isoformat()} came after its window had been given",
        code="late_item",
        op="time_window",
        hint="give more lateness",
    )


class _Outside(Exception):
    """Carries an error through a stage's own handling of errors."""

    def __init__(self, error: RipresaError) -> None:
        self.error = error


async def not_cancelled(work: Awaitable[T]) -> T:
    """Await something; that it cancelled itself is an error, else nobody would hear of it."""
    try:
        return await work
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise RipresaError("a function of the stream cancelled itself", code="cancelled", op="stream") from None


def no_key(what: str) -> RipresaError:
    """The error for whoever asks for an idempotency key and has nothing in hand that it could name."""
    return RipresaError(
        f"{what} has no idempotency key",
        code="not_available",
        op="current",
        hint="make it an async function or a step: each item has a key there",
    )


def _key_of(name: str, mark: Any) -> str:
    return f"/{name}#{label(mark)}"


async def each(inbox: Buffer) -> AsyncIterator[tuple[Any, Any]]:
    """The items of a buffer with their marks, none taken before it is wanted."""
    while (taken := await inbox.take(1)) is not None:
        items, marks = taken
        yield items[0], marks[0]


def _apply(fn: Callable[[Any], Any], items: Items) -> tuple[Items, Exception | None]:
    """What a function gives for items, up to the first for which it raises."""
    results: Items = []
    append = results.append
    try:
        for item in items:
            append(fn(item))
    except Exception as error:  # the border: what a function raises concerns its item
        return results, error
    return results, None
