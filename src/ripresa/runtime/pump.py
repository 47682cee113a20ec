"""The pump of one stream: a task for the source, one for each stage, one for the sink; all of them end together.

Law: bounded by its buffers. Whatever ends it, every task has stopped and every source is closed when it returns.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, aclosing, closing
from itertools import islice
from typing import Any, Protocol, cast

from ..authoring.failures import failure_of
from ..authoring.stream import DeadLetter, Plan, Stage
from ..context import Variables
from ..core.durations import MICROSECONDS
from ..core.events import Failure
from ..errors import RipresaError
from .buffers import CHUNK, Buffer
from .marks import Cut, base_of, label
from .stages import Call, Ground, Line, calling, no_key, not_cancelled

KEPT_FAILURES = 5
"""How many failures of dead letters are recorded with a batch."""

ENTERED = MICROSECONDS // 10
"""The least time between two items whose moments are remembered."""

RECORDED = MICROSECONDS // 100
"""After this time at the latest what the sink acknowledged is recorded, when it is recorded in groups."""

_log = logging.getLogger("ripresa")


class Records(Protocol):
    """What becomes of the progress of a stream, and what its functions see of the run."""

    def variables(self, key: Callable[[], str], *, sink: bool = False) -> Variables:
        """Context variables for a function; `key` names what it has in hand."""
        ...

    def begin(self) -> None:
        """The sink is called, perhaps once more for one batch: what an earlier call asked for is void."""
        ...

    @property
    def asks(self) -> bool:
        """Whether the call that the sink returned from asked for anything that is recorded with its batch."""
        ...

    @property
    def bounded(self) -> bool:
        """Whether there may be limits to what the stream uses."""
        ...

    def may_take(self) -> None:
        """Raise `RipresaError(limit_exceeded)` if the source is to give nothing more."""
        ...

    async def may_give(self, pump: Pump) -> None:
        """Raise `RipresaError(limit_exceeded)` if the sink is not to be called once more."""
        ...

    def paused(self, why: str, *, on: bool) -> None:
        """A hook has paused the stream, or lets it go on."""
        ...

    async def advanced(self, pump: Pump, mark: Any) -> None:
        """The sink acknowledged a batch, or `pump.unrecorded` of them."""
        ...


class Pump:
    """One stream under way; what its hooks see of it (`authoring.stream.StreamControl`).

    It begins after the mark `start`, with what stages held open there (`rest`, by number); `again` if there was an
    attempt before that got so far. `mark` is that of the batch in hand, `last` that of the item taken last.
    """

    def __init__(self, plan: Plan, ground: Ground, records: Records, *, path: str = "") -> None:
        self.plan = plan
        self.path = path
        self.ground = ground
        self.records = records
        self.argument: Any = None
        self.start: Any = 0
        self.mark: Any = 0
        self.last: Any = 0
        self.rest: dict[int, tuple[Any, int]] = {}
        self.again = False
        self.taken = 0
        self.batches = 0
        self.unrecorded = 0
        self.dropped_before = 0
        self.elapsed_before = 0
        self.dead = 0
        self.folded: Any = None
        self.failures: list[Failure] = []
        self.reason = "exhausted"
        self.paused = False
        self.stopped = False
        self.holds: set[str] = set()
        self.trouble = ""
        """What went wrong of which the hook is being told that ends the stream, unless it says otherwise."""
        self.waits = False
        self._go = asyncio.Event()
        self._begun_at = ground.clock.now()
        self._held_at = 0
        self._entered: deque[tuple[int, int]] = deque(maxlen=256)
        self._source: asyncio.Task[None] | None = None
        self.buffers = [*self._rooms()]

    def _rooms(self) -> Iterator[Buffer]:
        """The buffer before each stage and the sink; where lists of items pass, a list counts as many."""
        plan, clock, items = self.plan, self.ground.clock, 1
        whole, overflow = plan.room.buffer or CHUNK, plan.room.overflow or "block"
        for stage in plan.stages:
            size = stage.room.buffer or max(1, whole // items)
            yield Buffer(stage.name, size, stage.room.overflow or overflow, clock, self._pressed)
            items = _items_of(stage, items, whole)
        yield Buffer(plan.sink.name, max(1, whole // items), overflow, clock, self._pressed)

    # --- what hooks see

    @property
    def dropped(self) -> int:
        """Items lost to full buffers."""
        return self.dropped_before + sum(buffer.dropped for buffer in self.buffers)

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """Items taken, batches acknowledged, items dropped, dead letters."""
        return self.taken, self.batches, self.dropped, self.dead

    @property
    def elapsed(self) -> int:
        """Microseconds that it was pumped for, by all attempts; the time in which it is held does not count."""
        now = self._held_at if self.paused else self.ground.clock.now()
        return self.elapsed_before + now - self._begun_at

    def pause(self) -> None:
        """Take nothing more from the source until `go_on`, or until somebody lets the run go on."""
        self.hold("hook", on=True)
        self.records.paused(self.trouble, on=True)

    def go_on(self) -> None:
        """Take items again."""
        self.hold("hook", on=False)
        self.records.paused("", on=False)

    def hold(self, who: str, *, on: bool) -> None:
        """One of those who may pause a stream does, or does no longer."""
        (self.holds.add if on else self.holds.discard)(who)
        paused, self.paused = self.paused, bool(self.holds)
        if self.paused and not paused:
            self._held_at = self.ground.clock.now()
        if paused and not self.paused:
            self._begun_at += self.ground.clock.now() - self._held_at
        if not self.paused:
            self._go.set()

    def stop(self, reason: str = "stopped") -> None:
        """Take nothing more; what has been taken still reaches the sink."""
        if self.stopped:
            return
        self.stopped, self.reason = True, reason
        if self._source is not None:
            self._source.cancel()

    def key(self) -> str:
        """What the sink has in hand: the span of the source that the batch was made of."""
        return f"#{label(self.start)}-{label(self.mark)}"

    def _no_key(self) -> str:
        raise no_key("the source of a stream")

    # --- all of it

    async def run(self) -> None:
        """Pump until the end. Raises what a function raised, after everything has been stopped."""
        self._tell("start")
        try:
            async with asyncio.TaskGroup() as group:
                for line in self._lines():
                    group.create_task(not_cancelled(line.run()), context=self.records.variables(line.key))
                sink = self.records.variables(self.key, sink=True)
                group.create_task(not_cancelled(self._drain()), context=sink)
                source = self.records.variables(self._no_key)
                self._source = group.create_task(not_cancelled(self._pull()), context=source)
        except ExceptionGroup as group:
            error = first_of(group)
            self.records.begin()
            await self.record()
            if not self._excused(error):
                raise error from error.__cause__
        finally:
            self._source = None
            self.buffers[-1].close()
        self._tell("end")

    def _excused(self, error: Exception) -> bool:
        """Tell the hook what ends the stream; whether it lets it end as one that was stopped there.

        If it pauses the stream, the attempt `waits` to be run again from the last recorded batch.
        """
        failure = failure_of(error, self.path)
        stopped, held = self.stopped, "hook" in self.holds
        self.trouble = failure.message
        self._tell("error", failure)
        self.trouble = ""
        if failure.code == "limit_exceeded":
            return False
        self.waits = "hook" in self.holds and not held
        if self.waits or stopped or not self.stopped:
            return False
        if self.plan.sink.kind == "into":
            self.last = self.start
        return True

    def _lines(self) -> list[Line]:
        lines: list[Line] = []
        mark = base_of(self.start)
        for number, stage in enumerate(self.plan.stages):
            inbox, outbox = self.buffers[number : number + 2]
            line = Line(number, stage, inbox, outbox, self.ground, self, self.records.variables)
            line.mark = mark
            if number in self.rest:
                line.rest = self.rest[number]
                mark = Cut(mark, number, line.rest)
            lines.append(line)
        return lines

    async def item_failed(self, stage: str, policy: str, item: Any, error: Exception) -> None:
        """See `stages.Failures`."""
        failure = failure_of(error, f"{self.path}/{stage}" if self.path else stage)
        if policy == "fail" or getattr(error, "code", "") == "limit_exceeded":
            error.add_note(f"in stage {stage!r} of the stream")
            raise error
        self._tell("error", failure)
        self.dead += 1
        if len(self.failures) < KEPT_FAILURES:
            self.failures.append(failure)
        letters = self.plan.sink.dead_letters
        if letters is not None:
            await calling(letters, self.ground)(DeadLetter(stage, item, failure))

    def _pressed(self, name: str) -> None:
        self._tell("backpressure", name)

    def _tell(self, what: str, *more: Any) -> None:
        hook = getattr(self.plan.sink.hooks, what)
        if hook is None:
            return
        try:
            hook(self, *more)
        except Exception:  # a hook watches and steers; what it raises is not the stream's failure
            _log.exception("a hook of a stream raised", extra={"hook": what, "path": self.path})

    # --- the source

    async def _pull(self) -> None:
        alarm = None
        within = self.plan.source.within
        if within is not None:
            due = self.ground.clock.now() + round(within * MICROSECONDS)
            alarm = self.ground.clock.call_at(due, lambda: self.stop("within"))
        try:
            if not self.stopped:
                await self._take_all()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self.stopped or task is None or task.cancelling() > 1:
                raise
            task.uncancel()
        finally:
            if alarm is not None:
                alarm.cancel()
        self.buffers[0].close()

    async def _take_all(self) -> None:
        found = self._open()
        async with AsyncExitStack() as stack:
            if hasattr(found, "__aiter__"):
                if hasattr(found, "aclose"):
                    await stack.enter_async_context(aclosing(found))
                await self._take_slowly(aiter(found))
            else:
                iterator = iter(found)
                if hasattr(iterator, "close"):
                    stack.enter_context(closing(iterator))
                await self._take_quickly(iterator)

    def _open(self) -> Any:
        source = self.plan.source
        if source.positioned:
            return source.fn(self.argument, base_of(self.start)[1] if self.again else None)
        if self.again and source.on_restart == "fail":
            raise RipresaError(
                f"the source of this stream cannot go on after item {self.taken}",
                code="stream_not_resumable",
                where=self.path,
                hint="let it take a position and give At(item, position), or say on_restart='skip' or 'live'",
            )
        return source.fn(self.argument)

    def _enter(self, mark: Any) -> None:
        """Items up to this mark have been taken; remember when, now and then."""
        self.last = mark
        now = self.ground.clock.now()
        if not self._entered or now - self._entered[-1][1] >= ENTERED:
            self._entered.append((self.taken, now))

    def lag(self, taken: int) -> float:
        """How many seconds ago the item of this number was taken, to a tenth (less, if that is very long ago)."""
        if not self._entered:
            return 0.0
        while len(self._entered) > 1 and self._entered[1][0] <= taken:
            self._entered.popleft()
        return (self.ground.clock.now() - self._entered[0][1]) / MICROSECONDS

    @property
    def _skips(self) -> int:
        return self.taken if self.again and self.plan.source.on_restart == "skip" else 0

    def _left(self) -> int:
        """How many items may still be taken; 0 ends the stream."""
        most = self.plan.source.at_most
        return CHUNK if most is None else most - self.taken

    def _mark(self, item: Any) -> tuple[Any, Any]:
        """An item and its mark, of what a source with positions gives."""
        if not isinstance(item, tuple) or len(item) != 2:  # pyright: ignore[reportUnknownArgumentType]
            raise RipresaError(
                f"the source takes a position, but gives {item!r}",
                code="usage",
                op="stream",
                hint="yield At(item, position)",
            )
        return item[0], (self.taken, item[1])  # pyright: ignore[reportUnknownVariableType]

    async def _take_quickly(self, found: Iterator[Any]) -> None:
        """From an iterator: in chunks, with a turn of the loop after each."""
        for begin in range(0, self._skips, CHUNK):
            deque(islice(found, min(CHUNK, self._skips - begin)), maxlen=0)
            await asyncio.sleep(0)
        buffer = self.buffers[0]
        hook = self.plan.sink.hooks.item
        while (left := self._left()) > 0:
            await self._held()
            items = list(islice(found, min(CHUNK, left, buffer.capacity, 1 if hook else CHUNK)))
            if not items:
                return
            if self.records.bounded:
                self.records.may_take()
            begin = self.taken + 1
            marks: Any = range(begin, begin + len(items))
            if self.plan.source.positioned:
                pairs: list[tuple[Any, Any]] = []
                for item in items:
                    self.taken += 1
                    pairs.append(self._mark(item))
                items, marks = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
            else:
                self.taken += len(items)
            self._enter(marks[-1])
            if hook is not None:
                self._tell("item", items[0])
            await buffer.put(items, marks)
            await asyncio.sleep(0)
        self.reason = "at_most"

    async def _take_slowly(self, found: Any) -> None:
        buffer = self.buffers[0]
        positioned = self.plan.source.positioned
        hook = self.plan.sink.hooks.item
        skips = self._skips
        if self._left() <= 0:
            self.reason = "at_most"
            return
        await self._held()
        async for item in found:
            if skips:
                skips -= 1
                continue
            if self.records.bounded:
                self.records.may_take()
            self.taken += 1
            mark: Any = self.taken
            if positioned:
                item, mark = self._mark(item)
            self._enter(mark)
            if hook is not None:
                self._tell("item", item)
            if not buffer.add(item, mark):
                await buffer.put([item], [mark])
            if self.taken % CHUNK == 0:
                await asyncio.sleep(0)
            if self.plan.source.at_most == self.taken:
                self.reason = "at_most"
                return
            if self.paused:
                await self._held()

    async def _held(self) -> None:
        while self.paused:
            self._go.clear()
            await self._go.wait()

    # --- the sink

    async def _drain(self) -> None:
        if self.plan.sink.kind == "into":
            await self._give_all()
        elif self.plan.sink.kind == "fold":
            await self._fold_all()

    async def _give_all(self) -> None:
        sink, inbox, clock = self.plan.sink, self.buffers[-1], self.ground.clock
        call = calling(sink.fn, self.ground._replace(begin=self.records.begin))
        due = 0
        while (taken := await inbox.take(1, due)) is not None:
            for item, mark in zip(*taken, strict=True):
                if self.records.bounded:
                    await self.records.may_give(self)
                self.mark = mark
                await self._give(call, item)
                self.batches += 1
                self.unrecorded += 1
                self.start = mark
            if self.unrecorded >= sink.every or self.records.asks or (due and clock.now() >= due):
                await self.record()
                due = 0
            elif not due:
                due = clock.now() + RECORDED

    async def _give(self, call: Call, item: Any) -> None:
        """Call the sink for one batch."""
        self.records.begin()
        try:
            await call(item)
        except Exception as error:
            self.records.begin()
            await self.record()
            await self.item_failed(self.plan.sink.name, self.plan.sink.on_error, item, error)

    async def record(self) -> None:
        """Record what the sink acknowledged and is not recorded yet; once, for what it asked for goes with it."""
        if self.unrecorded:
            try:
                await self.records.advanced(self, self.start)
            finally:
                self.unrecorded = 0

    async def _fold_all(self) -> None:
        sink, inbox = self.plan.sink, self.buffers[-1]
        fn: Any = sink.fn
        since = 0
        while (taken := await inbox.take()) is not None:
            if self.records.bounded:
                self.records.may_take()
            folded = self.folded
            for item, mark in zip(*taken, strict=True):
                folded = fn(folded, item)
                since += 1
                if since == sink.every:
                    if self.records.bounded:
                        await self.records.may_give(self)
                    self.folded, since = folded, 0
                    self.batches += 1
                    await self.records.advanced(self, mark)
            self.folded = folded


def _items_of(stage: Stage, items: int, whole: int) -> int:
    """How many items stand in one that a stage gives; `whole` for a window of time, which may hold any number."""
    if stage.kind == "time_window":
        return whole
    return 1 if stage.kind == "flat_map" else items * (stage.count or 1)


def first_of(group: ExceptionGroup[Exception]) -> Exception:
    """The first error of a group that is no group itself."""
    error: Exception = group
    while isinstance(error, ExceptionGroup):
        inside = cast("tuple[Exception, ...]", error.exceptions)  # pyright: ignore[reportUnknownMemberType]
        error = next(iter(inside))
    return error
