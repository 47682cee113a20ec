"""Runs streams as attempts of a run: what the sink acknowledged becomes a fact, and the next attempt begins there.

Law: a batch is recorded after the sink acknowledged it, with the position from which its source goes on and what the
stages held open there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from pydantic_core import from_json, to_json

from ..authoring.encoding import decode, encode
from ..authoring.fit import list_of
from ..authoring.stream import Plan, Pumped, StreamResult
from ..context import StepContext, Variables, copy_variables, enter_step
from ..core.bounds import cleans_up
from ..core.durations import MICROSECONDS
from ..core.events import ContinueRequested, PauseRequested, StreamAdvanced
from ..core.frames import StreamFrame
from ..core.values import NULL
from ..errors import RipresaError
from ..ports import Clock
from ..reporting import Attempt, Reporting, Transaction
from .clock import SystemClock
from .endings import StreamHeld
from .feed import StreamProgressed
from .marks import Cut, number_of
from .pump import Pump
from .session_data import ReadSession, session_of
from .slots import Slots
from .stages import Ground
from .views import Sheet, Targets, View, sheet_of

if TYPE_CHECKING:
    from ..executors.threads import Threads
    from .attempts import Running
    from .driver import Driver

PACE = MICROSECONDS
"""The least time between two notices of one stream."""

# --- without a run


class _Nothing:
    """Records nothing."""

    def variables(self, key: Callable[[], str], *, sink: bool = False) -> Variables:
        """See `Records`."""
        return copy_variables()

    asks = bounded = False

    def begin(self) -> None:
        """See `Records`."""

    def may_take(self) -> None:
        """See `Records`."""

    async def may_give(self, pump: Pump) -> None:
        """See `Records`."""

    def paused(self, why: str, *, on: bool) -> None:
        """See `Records`."""

    async def advanced(self, pump: Pump, mark: Any) -> None:
        """See `Records`."""


async def items(plan: Plan, argument: Any) -> AsyncGenerator[Any]:
    """The items of a stream without a sink, pumped in this process while they are read."""
    from ..executors.threads import Threads

    threads: list[Threads] = []

    def pool() -> Threads:
        if not threads:
            threads.append(Threads())
        return threads[0]

    ground = Ground(SystemClock(), pool, Slots())
    pump = Pump(plan, ground, _Nothing())
    pump.argument = argument
    running = asyncio.get_running_loop().create_task(pump.run(), name="ripresa items")
    try:
        while (taken := await pump.buffers[-1].take()) is not None:
            for item in taken[0]:
                yield item
        await running
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await running
        for each in threads:
            each.close()


# --- as an attempt of a run


class _Function:
    """What `current()` shows to a function of a stream: the attempt, with the key of what the function has in hand."""

    def __init__(self, running: Running, key: Callable[[], str], reporting: Callable[[], Reporting]) -> None:
        self._running = running
        self._key = key
        self.reporting = reporting

    def __getattr__(self, name: str) -> Any:
        return getattr(self._running, name)

    @property
    def key(self) -> str:
        """Names run, place and what the function has in hand; the same when it comes again."""
        step: Any = self._running.step
        live = f"!{self._running.number}" if step.plan.source.on_restart == "live" else ""
        return f"{self._running.key}{live}{self._key()}"

    def state(self, kind: Any) -> Any:
        """A view of the typed state, to read."""
        return View(self._sheet(kind))

    def to(self, kind: Any) -> Any:
        """Its fields; writing to them raises `RipresaError(usage)`."""
        return Targets(self._sheet(kind))

    def _sheet(self, kind: Any) -> Sheet:
        driver = self._running.driver
        return sheet_of(driver.state, self._running.frame, driver.values, fixed="a function of a stream").of(kind)

    async def record(self, fn: Any, args: Any, kwargs: Any, key: str) -> Any:
        """Refused: each of a million items would stay in the run's state."""
        raise RipresaError(
            "the functions of a stream cannot journal calls of their own",
            code="usage",
            where=self._running.path,
            hint="call the function itself",
        )


class _SeenSession(ReadSession):
    """The session as stages see it: they are ahead of what is recorded, so they cannot change it."""

    def _change(self, name: str, op: str, operand: object) -> None:
        raise _ahead("change the session", op)


class _StageReport:
    """What a stage may report: what it used, touched and told, which has happened whatever becomes of its item."""

    def __init__(self, running: Running) -> None:
        self._running = running
        report = running.reporting()
        self.use, self.touch, self.left = report.use, report.touch, report.left
        self.write, self.tell, self.models, self.ensure = report.write, report.tell, report.models, report.ensure

    def session(self) -> ReadSession:
        """The session, to read."""
        return _SeenSession(self._running.driver, session_of(self._running.driver))

    def save(self, name: str, source: object, media_type: str) -> None:
        """Refused."""
        raise _ahead("save artifacts", "save_artifact")

    def send(self, run: str, signal: object, value: object, id: str) -> None:
        """Refused."""
        raise _ahead("send signals", "send")

    def start(self, call: object, id: str) -> str:
        """Refused."""
        raise _ahead("start runs", "start")

    def queue(self, kind: str, value: object, target: str, id: str) -> None:
        """Refused."""
        raise _ahead("send anything", "queue")

    def transaction(self) -> Transaction:
        """Refused."""
        raise _ahead("write to the database", "transaction")


def _ahead(what: str, op: str) -> RipresaError:
    return RipresaError(
        f"only the sink of a stream that is durable can {what}",
        code="invalid_state",
        op=op,
        hint="what it asks for is recorded together with its batch",
    )


class _Recorded:
    """Makes facts of a stream's progress, and notices of how it is doing."""

    def __init__(self, running: Running, plan: Plan, clock: Clock) -> None:
        self.running = running
        self.plan = plan
        self.clock = clock
        self._told_at = self.clock.now()
        self._through: list[int] = [0] * (len(plan.stages) + 1)

    def variables(self, key: Callable[[], str], *, sink: bool = False) -> Variables:
        """See `Records`."""
        found = copy_variables()
        whole = sink and self.plan.sink.durable
        reporting = self.running.reporting if whole else partial(_StageReport, self.running)
        enter_step(found, StepContext(cast("Attempt", _Function(self.running, key, reporting))))
        return found

    def begin(self) -> None:
        """See `Records`."""
        if self.running.report is not None:
            self.running.report.forget()

    @property
    def asks(self) -> bool:
        """See `Records`."""
        return self.running.report is not None and self.running.report.asks

    @property
    def bounded(self) -> bool:
        """See `Records`."""
        return self.running.driver.budget is not None and not cleans_up(self.running.frame)

    def may_take(self) -> None:
        """See `Records`."""
        assert self.running.driver.budget is not None
        self.running.driver.budget.require_left(self.running)

    async def may_give(self, pump: Pump) -> None:
        """See `Records`."""
        budget, sink = self.running.driver.budget, self.plan.sink
        assert budget is not None
        if not sink.durable:  # its calls are not counted, for they are not recorded
            budget.require_left(self.running)
            return
        try:
            await budget.call(self.running, sink.every if sink.kind == "into" else 1)
        except RipresaError:
            if not pump.unrecorded:
                raise
            self.running.refused = None
            await pump.record()  # what the calls before have reserved and not used is free again
            await budget.call(self.running, 1)

    def paused(self, why: str, *, on: bool) -> None:
        """The run pauses with its stream, so that it is seen, outlasts the process, and can be ended from outside."""
        now, who = self.clock.now(), f"stream {self.running.path}"
        reason = f"a hook of the stream paused it{why and ': ' + why}"
        fact = PauseRequested(now, reason, who) if on else ContinueRequested(now, who, who)
        self.running.driver.deliver_if_driven(fact)

    async def advanced(self, pump: Pump, mark: Any) -> None:
        """See `Records`."""
        if self.plan.sink.durable:
            await self.running.record_progress(self.fact(pump, mark))
        self._progressed(pump, mark)

    def fact(self, pump: Pump, mark: Any, ended: str = "") -> StreamAdvanced:
        """Where the stream stands."""
        keep = self.running.driver.keeper.keep
        taken, position, held = self._resolved(mark)
        folds = self.plan.sink.kind == "fold"
        failures, pump.failures = tuple(pump.failures), []
        return StreamAdvanced(
            self.clock.now(),
            self.running.path,
            self.running.number,
            pump.batches,
            keep(position),
            keep(held),
            taken,
            pump.dropped,
            pump.dead,
            failures,
            keep(encode(pump.folded, self.plan.result_type, where=self.running.path)) if folds else NULL,
            ended,
            1 if ended or folds else pump.unrecorded,
            pump.elapsed,
            round(pump.lag(taken) * MICROSECONDS),
            pump.taken - taken,
        )

    def _resolved(self, mark: Any) -> tuple[int, bytes, bytes]:
        """What a mark stands for: items taken, the position, and what the stages hold open."""
        held: list[bytes] = []
        while isinstance(mark, Cut):
            content, count = mark.content
            text = encode(content, content_type(self.plan, mark.stage), where=self.running.path)
            held.append(b'"%d":[%b,%d]' % (mark.stage, text, count))
            mark = mark.mark
        whole = b"{" + b",".join(held) + b"}" if held else NULL
        if isinstance(mark, tuple):
            return mark[0], encode(mark[1], self.plan.position_type, where=self.running.path), whole  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        return mark, b"%d" % mark, whole

    def _progressed(self, pump: Pump, mark: Any) -> None:
        now = self.clock.now()
        length = now - self._told_at
        if length < PACE:
            return
        self._told_at = now
        driver = self.running.driver
        through = [buffer.through for buffer in pump.buffers]
        rates = [(new - old) * MICROSECONDS / length for new, old in zip(through, self._through, strict=True)]
        self._through = through
        if not driver.engine.feed.watched(driver.run):
            return
        waiting = [len(buffer.items) for buffer in pump.buffers]
        names = [buffer.name for buffer in pump.buffers]
        driver.tell(
            StreamProgressed(
                self.running.run,
                self.running.path,
                self.running.number,
                now,
                pump.taken,
                pump.batches,
                pump.dropped,
                pump.dead,
                tuple(zip(names, rates, strict=True)),
                tuple(zip(names, waiting, strict=True)),
                pump.lag(number_of(mark)),
            )
        )
        self.running.progress(pump.taken, self.plan.source.at_most, f"{rates[0]:.0f} items/s")


def content_type(plan: Plan, number: int) -> Any:
    """The type of what a stage holds open: an item, or the items of a window."""
    kind = plan.kinds[number]
    return list_of(kind) if plan.stages[number].kind in ("window", "time_window") else kind


async def pumped(running: Running, step: Pumped, argument: Any) -> bytes:
    """Run a stream to its end, as an attempt; its result as text. It goes on where the attempt before it stood."""
    driver: Driver = running.driver
    frame, plan = running.frame, step.plan
    assert isinstance(frame, StreamFrame)
    records = _Recorded(running, plan, driver.clock)
    if frame.ended:
        return _result(running, plan)
    engine = driver.engine
    stand = driver.clock, lambda: engine.threads, engine.slots, driver.state.seed
    ground = Ground(*stand, lent=running.lent, overdue=driver.flight.overdue(running))
    pump = Pump(plan, ground, records, path=running.path)
    pump.argument = argument
    _place(pump, frame, running)
    driver.streams[running.path] = pump
    pump.hold("run", on=driver.state.status == "paused")
    try:
        await pump.run()
    except Exception as error:
        if pump.waits:
            raise StreamHeld(f"a hook paused the stream: {error}", code="interrupted", where=running.path) from error
        raise
    finally:
        driver.streams.pop(running.path, None)
    await running.record_progress(records.fact(pump, pump.last, pump.reason))
    return _result(running, plan)


def _place(pump: Pump, frame: StreamFrame, running: Running) -> None:
    """Put a pump where the last recorded batch ended."""
    plan, values = pump.plan, running.driver.values
    pump.dropped_before, pump.dead, pump.elapsed_before = frame.dropped, frame.dead, frame.elapsed
    pump.again = frame.batches > 0
    if plan.sink.kind == "fold":
        folded = values.text(frame.folded) if pump.again else encode(plan.sink.start, plan.result_type)
        pump.folded = decode(folded, plan.result_type)
    if not pump.again:
        return
    pump.batches, pump.taken = frame.batches, frame.taken
    mark: Any = frame.taken
    if plan.source.positioned:
        mark = (frame.taken, values.read(frame.position, plan.position_type))
    pump.last = mark
    held: dict[str, Any] = from_json(values.text(frame.held)) or {}
    for number in sorted(map(int, held)):
        content, count = held[str(number)]
        text = to_json(content, inf_nan_mode="constants")
        pump.rest[number] = (decode(text, content_type(plan, number)), count)
        mark = Cut(mark, number, pump.rest[number])
    pump.start = mark


def _result(running: Running, plan: Plan) -> bytes:
    """What a stream that has ended returns."""
    frame, values = running.frame, running.driver.values
    assert isinstance(frame, StreamFrame)
    if plan.sink.kind == "fold":
        return values.text(frame.folded)
    position = from_json(values.text(frame.position))
    found = StreamResult(frame.batches, frame.taken, frame.dropped, frame.dead, frame.ended, position)
    return encode(found, StreamResult, where=running.path)
