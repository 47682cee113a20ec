"""Moments at which things meet: a write that is on its way while something else happens. Each is set up by hand."""

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any

import pytest

from ripresa import App, Context, Handle, StepFailed, chain, delay, map_each, parallel, repeat, step, workflow
from ripresa.context import copy_variables
from ripresa.core.events import AttemptLost, StepStarted
from ripresa.errors import InvalidConfig, Nondeterminism, RipresaError, RunFailed, StoreError
from ripresa.ports import Batch
from ripresa.runtime.attempts import in_context
from ripresa.runtime.engine import Settings
from ripresa.stores.memory import Memory, MemoryStore
from ripresa.testing.clock import ManualClock
from tests.runtime.stage import Failing, Slow, Tally, Wrapped, in_memory, journal_of, kinds, leftovers, turns


class Gated(Wrapped):
    """Holds every write back while the test says so, and may fail it then."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = asyncio.Event()
        self.error: BaseException | None = None

    def hold(self) -> None:
        self.gate.clear()
        self.waiting.clear()

    async def append(self, batch: Batch) -> None:
        self.waiting.set()
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        await self.inner.append(batch)


@step
async def add(value: int) -> int:
    await asyncio.sleep(0)
    return value + 1


def waiting(tally: Tally, **options: Any) -> Any:
    @step(**options)
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    return wait


def gated(**options: Any) -> tuple[App, Gated]:
    store = Gated(MemoryStore())
    return App(store, **{"patience": 0.02, **options}), store


async def test_a_step_is_given_up_while_a_write_beside_it_is_on_its_way() -> None:
    over, asked = asyncio.Event(), asyncio.Event()

    @step
    async def ignore(value: int) -> int:
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                asked.set()
        return value

    app, store = gated()
    async with app:
        handle = await app.start(chain(ignore)(1))
        await turns(3)
        await handle.cancel()
        await asked.wait()
        store.hold()
        named = asyncio.create_task(handle.checkpoint("meanwhile"))
        await store.waiting.wait()
        await asyncio.sleep(0.05)  # the patience passes
        store.gate.set()
        await named
        assert (await handle.outcome()).status == "cancelled"
        assert kinds(await journal_of(handle)).count("CheckpointNamed") == 1
    over.set()
    await turns(3)
    assert leftovers() == set()


@pytest.mark.parametrize("error", [StoreError("full", code="store_full"), KeyError("a bug")])
async def test_a_write_beside_a_step_fails_as_the_step_ends(error: Exception) -> None:
    tally = Tally()
    app, store = gated()
    async with app:
        handle = await app.start(chain(waiting(tally))(1))
        await tally.reach(1)
        store.hold()
        asking = asyncio.create_task(handle.pause())
        await store.waiting.wait()
        tally.open()
        await turns(6)
        store.error = error
        store.gate.set()
        with pytest.raises(RipresaError):
            await asking
        with pytest.raises(type(error)):
            await handle.result()
        store.error = None
        assert (await handle.status()).status == "running"


async def test_an_engine_error_beside_a_running_step_stops_it() -> None:
    tally = Tally()
    app, store = gated()
    async with app:
        handle = await app.start(chain(waiting(tally))(1))
        await tally.reach(1)
        store.error = KeyError("a bug")
        with pytest.raises(RipresaError):
            await handle.pause()
        with pytest.raises(KeyError):
            await handle.result()
        assert tally.now == 0
        store.error = None


async def test_whoever_gave_up_waiting_is_not_told_of_a_failed_write() -> None:
    tally = Tally()
    app, store = gated()
    async with app:
        handle = await app.start(chain(waiting(tally))(1))
        await tally.reach(1)
        store.hold()
        asking = asyncio.create_task(handle.pause())
        await store.waiting.wait()
        asking.cancel()
        await asyncio.wait([asking])
        store.error = StoreError("full")
        store.gate.set()
        with pytest.raises(StoreError):
            await handle.result()
        store.error = None


async def test_an_app_that_closes_while_a_step_is_being_recorded_starts_nothing_more() -> None:
    tally = Tally(open=True)
    memory = Memory()
    store = Gated(MemoryStore(memory))
    app = App(store, patience=0.02)
    await app.open()
    flow = chain(waiting(tally)).then(waiting(tally)).then(parallel(waiting(tally), waiting(tally)))
    store.hold()
    handle = await app.start(flow(1), id="run")
    await store.waiting.wait()
    closing = asyncio.create_task(app.close())
    await turns(2)
    store.gate.set()
    await closing
    assert tally.entered == 1
    async with in_memory(memory) as again:
        assert await (await again.resume(handle.id, flow)).result() == (1, 1)


async def test_a_cancelled_step_that_lingers_is_not_waited_for_twice_when_the_app_closes() -> None:
    over = asyncio.Event()

    @step
    async def linger(value: int) -> int:
        try:
            await over.wait()
        finally:
            await asyncio.sleep(0.03)
        return value

    for call in (chain(linger)(1), chain(map_each(linger))([1, 2])):
        app = in_memory(patience=10)
        await app.open()
        handle: Handle[Any] = await app.start(call)
        await turns(3)
        await handle.cancel()
        async with asyncio.timeout(5):
            await app.close()
    assert leftovers() == set()


async def test_irreversible_steps_side_by_side_that_cannot_be_announced_do_not_run() -> None:
    tally = Tally(open=True)
    async with App(Failing(MemoryStore(), 2), patience=0.02) as app:
        flow = chain(map_each(waiting(tally, effect="irreversible")))
        handle = await app.start(flow([1, 2]), id="run")
        with pytest.raises(StoreError):
            await handle.result()
        assert tally.entered == 0
        assert await (await app.resume("run", flow)).result() == [1, 2]
    assert leftovers() == set()


async def test_an_irreversible_step_of_a_run_that_was_terminated_meanwhile_does_not_run() -> None:
    tally = Tally(open=True)
    pay = waiting(tally, effect="irreversible")
    for call in (chain(pay)(1), chain(map_each(pay))([1, 2])):
        app, store = gated()
        async with app:
            store.hold()
            handle: Handle[Any] = await app.start(call)
            await store.waiting.wait()  # for the announcement
            ending = asyncio.create_task(handle.terminate())
            await turns(3)
            store.gate.set()
            await ending
            assert (await handle.outcome()).status == "terminated"
            events = await journal_of(handle)
        announced = sum(isinstance(event, StepStarted) for event in events)
        assert tally.entered <= announced
        tally.entered = 0


async def test_a_step_that_cannot_be_announced_beside_one_in_the_runs_own_task_does_not_run() -> None:
    tally, paid, clock = Tally(), list[int](), ManualClock()

    @step(effect="irreversible")
    async def pay(value: int) -> int:
        paid.append(value)
        return value

    @step
    async def slow_to_stop(value: int) -> int:
        try:
            await tally.visit()
        except asyncio.CancelledError:
            await turns(5)
        return value

    async with App(Failing(MemoryStore(), 3), clock=clock, patience=1) as app:
        later: Any = chain(delay(10)).then(pay)
        handle = await app.start(chain(parallel(slow_to_stop, later))(1))
        await tally.reach(1)
        clock.advance(10)
        with pytest.raises(StoreError):
            await handle.result()
    assert paid == []
    assert leftovers() == set()


async def test_the_end_of_the_loop_while_a_write_is_on_its_way_leaves_the_run_as_it_is() -> None:
    def script() -> str:
        memory = Memory()

        async def main() -> None:
            tally = Tally()
            store = Gated(MemoryStore(memory))
            app = App(store)
            await app.open()
            handle = await app.start(chain(waiting(tally))(1), id="run")
            await tally.reach(1)
            store.hold()
            asking = asyncio.create_task(handle.pause())
            await store.waiting.wait()
            tally.open()
            await turns(8)
            asking.cancel()

        asyncio.run(main())
        return memory.runs["run"].head.status

    assert await asyncio.to_thread(script) == "running"


async def test_a_question_that_is_void_is_not_put() -> None:
    asked: list[str] = []

    def broken(value: int) -> bool:
        raise ValueError("no answer")

    def noted(value: int) -> bool:
        asked.append("noted")
        return True

    flow = chain(parallel(repeat(add, while_=broken, at_most=3), repeat(add, while_=noted, at_most=3)))
    async with in_memory() as app:
        handle = await app.start(flow(1))
        with pytest.raises(RunFailed, match="no answer"):
            await handle.result()
    assert asked == []


async def test_a_run_that_was_left_while_it_stopped_its_steps_is_taken_up_and_stops() -> None:
    tally, log = Tally(), list[str]()

    @step
    async def wait(value: int) -> int:
        log.append("begins")
        await tally.visit()
        return value

    @workflow
    async def racing(ctx: Context) -> int:
        return await ctx.race(wait(1), add(1)) + await add(5)

    for number in range(2, 6):
        for flow, given in ((racing, ()), (chain(map_each(wait)), ([1, 2],))):
            store = Failing(MemoryStore(), number)
            async with App(store, patience=0.02) as app:
                handle = await app.start(flow(*given), id="run")
                if flow is not racing:
                    await turns(5)
                    try:
                        await handle.cancel()
                    except StoreError:
                        continue
                outcome = await handle.outcome()
                if isinstance(outcome.error, StoreError):
                    handle = await app.resume("run", flow)
                    outcome = await handle.outcome()
                assert outcome.status == ("completed" if flow is racing else "cancelled")
                if flow is racing:
                    assert outcome.value == 8
                assert any(isinstance(event, AttemptLost) for event in await journal_of(handle))


async def test_a_request_that_waits_for_a_run_cancels_also_what_had_not_begun() -> None:
    memory, tally = Memory(), Tally()
    flow = chain(waiting(tally, effect="irreversible"))
    async with App(Failing(MemoryStore(memory), 2), patience=0.02) as app:
        handle = await app.start(flow(1), id="run")
        await handle.outcome()
    async with in_memory(memory, workflows=[flow]) as app:
        handle = await app.handle("run")
        await handle.cancel("before it began")
        assert (await handle.outcome()).status == "cancelled"
    assert tally.entered == 0


async def test_the_end_of_the_loop_stops_a_run_whose_step_swallows_it() -> None:
    log: list[str] = []

    def script() -> None:
        async def main() -> None:
            @step
            async def swallow(value: int) -> int:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    log.append("swallowed")
                return value

            @step
            async def never(value: int) -> int:
                log.append("never")
                return value

            app = in_memory()
            await app.open()
            await app.start(chain(swallow).then(never)(1))
            await turns(3)

        asyncio.run(main())

    await asyncio.to_thread(script)
    assert log == ["swallowed"]


def test_a_coroutine_that_is_dropped_in_the_middle_is_closed_in_its_context() -> None:
    log: list[str] = []

    class Forever:
        def __await__(self) -> Generator[Any, Any, None]:
            yield

    async def work() -> None:
        try:
            await Forever()
        finally:
            log.append("closed")

    inner: Coroutine[Any, Any, None] = work()
    outer: Any = in_context(copy_variables(), inner)
    outer.send(None)
    outer.close()
    assert log == ["closed"]


def test_settings_say_everything_that_is_wrong() -> None:
    with pytest.raises(InvalidConfig, match=r"threads is 0.*patience is -1"):
        Settings(threads=0, patience=-1)


# --- durable functions


async def test_a_race_of_two_that_end_together_has_one_winner_also_in_replay() -> None:
    tally, late = Tally(), Tally()
    memory = Memory()

    @workflow
    async def racing(ctx: Context) -> list[int]:
        first = await ctx.race(waiting(tally)(1), waiting(tally)(2))
        again = await ctx.race(helper(3), helper(4))
        return [first, again, await waiting(late)(5)]

    async def helper(value: int) -> int:
        found: int = await waiting(tally)(value)
        return found

    async with in_memory(memory) as app:
        await app.start(racing(), id="run")
        await tally.reach(2)
        tally.open()
        await late.reach(1)
    async with in_memory(memory) as app:
        handle = await app.resume("run", racing)
        late.open()
        assert await handle.result() == [1, 3, 5]


async def test_cancelling_a_function_that_has_returned_stops_the_losers_at_their_end() -> None:
    tally, log = Tally(), list[str]()

    @step
    async def tidy(value: int) -> int:
        await tally.visit()
        log.append("tidied")
        return value

    @workflow
    async def racing(ctx: Context) -> int:
        async def slow() -> int:
            try:
                await ctx.sleep("1 d")
            finally:
                await tidy(1)
            return 0

        return await ctx.race(slow(), add(1))

    async with in_memory() as app:
        handle = await app.start(racing())
        await tally.reach(1)
        await handle.cancel()
        async with asyncio.timeout(5):
            assert (await handle.outcome()).status == "cancelled"
    assert log == []


async def test_an_input_that_a_child_cannot_read_fails_the_child() -> None:
    @step
    async def anything(value: int) -> Any:
        return "text"

    @workflow
    async def child(ctx: Context, value: int) -> int:
        return value

    async with in_memory() as app:
        handle = await app.start(chain(anything).then(child)(1))
        with pytest.raises(RunFailed) as caught:
            await handle.result()
    assert caught.value.failure.code == "invalid_input"


async def test_a_recorded_result_that_does_not_fit_any_more_is_raised_in_the_function() -> None:
    strict = False

    @step(name="make")
    async def make_anything() -> Any:
        return "text"

    @step(name="make")
    async def make_a_number() -> int:
        return 7

    @workflow
    async def function(ctx: Context) -> str:
        try:
            found = await (make_a_number if strict else make_anything)()
        except RipresaError as error:
            return error.code
        raise ValueError(found)

    async with in_memory() as app:
        handle = await app.start(function(), id="run")
        assert (await handle.outcome()).status == "failed"
        strict = True
        await handle.resume()
        assert await handle.result() == "invalid_input"


async def test_a_window_that_is_no_count_is_refused_for_helpers_too() -> None:
    async def helper(value: int) -> int:
        return await add(value)

    @workflow
    async def mapping(ctx: Context) -> list[str]:
        found = []
        for link in (add, helper):
            for window in (0, -1, True):
                try:
                    await ctx.map(link, [1], concurrency=window)
                except InvalidConfig as error:
                    found.append(error.code)
        return found

    async with asyncio.timeout(5):
        assert await mapping() == ["invalid_config"] * 6


@pytest.mark.parametrize(
    ("last", "told"),
    [
        (lambda ctx: ctx.gather(add(1), add(1), add(1)), "asked for add#2 as call 3 where it had asked for another"),
        (lambda ctx: ctx.gather(ctx.sleep(1)), "asked for sleep.sleep as call 2 where it had asked for another"),
        (lambda ctx: add(1), "asked for add as call 1 where it had asked for another"),
        (lambda ctx: ctx.gather(), "asked for 0 calls where it had asked for 3"),
    ],
)
async def test_a_function_that_is_never_the_same_is_found_out_when_it_goes_on(last: Any, told: str) -> None:
    times = 0

    @workflow
    async def fickle(ctx: Context) -> int:
        nonlocal times
        times += 1
        await (ctx.gather(add(1)) if times < 3 else last(ctx))
        raise ValueError(f"{times}")

    async with in_memory() as app:
        handle = await app.start(fickle(), id="run")
        assert (await handle.outcome()).status == "failed"
        with pytest.raises(Nondeterminism, match=told) as caught:
            await handle.resume()
        assert caught.value.where == "fickle"
        assert (await handle.status()).status == "failed"


async def test_a_function_that_does_not_let_itself_be_thrown_away_is_left_alone() -> None:
    tally, deaf = Tally(), 0

    @workflow
    async def stubborn(ctx: Context) -> None:
        nonlocal deaf
        while True:
            try:
                await waiting(tally)(1)
            except GeneratorExit:
                raise
            except BaseException:
                deaf += 1

    app = in_memory()
    await app.open()
    await app.start(stubborn())
    await tally.reach(1)
    await app.close()
    assert deaf == 100


async def test_an_interrupt_from_the_keyboard_comes_through_a_function() -> None:
    @workflow
    async def function(ctx: Context) -> None:
        raise KeyboardInterrupt

    async with in_memory() as app:
        with pytest.raises(KeyboardInterrupt):
            await app.start(function())


async def test_an_exit_in_a_function_is_its_failure() -> None:
    @workflow
    async def function(ctx: Context) -> str:
        try:
            await leave()
        except StepFailed as error:
            return str(error.failure.types[0])
        return "?"

    @step
    async def leave() -> None:
        raise SystemExit(3)

    @workflow
    async def leaving(ctx: Context) -> None:
        raise SystemExit(4)

    assert await function() == "SystemExit"
    async with in_memory() as app:
        outcome = await (await app.start(leaving())).outcome()
    assert outcome.error.failure.types[0] == "SystemExit"  # type: ignore[union-attr]


async def test_a_run_that_is_taken_up_while_it_is_being_left_is_not_given_up() -> None:
    class Crowded(Gated):
        async def create(self, batch: Batch) -> None:
            await self.gate.wait()
            await self.inner.create(batch)

        async def append(self, batch: Batch) -> None:
            if self.error is not None:
                raise self.error
            await self.inner.append(batch)

    tally = Tally()
    flow = chain(waiting(tally))
    store = Crowded(MemoryStore())
    async with App(store, patience=0.02) as app:
        handle = await app.start(flow(1), id="run")
        await tally.reach(1)
        store.hold()
        again = asyncio.create_task(app.start(flow(1), id="run"))  # holds the gate
        await turns(2)
        taking = asyncio.create_task(app.resume("run", flow))  # waits for it, before the run is left
        await turns(5)
        store.error = StoreError("full")
        with pytest.raises(StoreError):
            await handle.pause()
        await turns(5)
        store.error = None
        store.gate.set()
        await again
        taken = await taking
        tally.open()
        async with asyncio.timeout(5):
            assert await taken.result() == 1
    assert tally.entered == 2


async def test_slow_writes_change_nothing() -> None:
    tally = Tally(open=True)
    async with App(Slow(MemoryStore())) as app:
        flow = chain(map_each(waiting(tally), concurrency=3)).then(map_each(add))
        assert await app.run(flow(list(range(10)))) == list(range(1, 11))


def test_an_attempt_that_waits_for_a_slot_ends_with_its_event_loop() -> None:
    tally, memory = Tally(), Memory()

    @step(concurrency=1)
    async def one_at_a_time(value: int) -> int:
        await tally.visit()
        return value

    async def main() -> None:
        app = in_memory(memory)
        await app.open()
        await app.start(chain(map_each(one_at_a_time))([1, 2]), id="r")
        await tally.reach(1)
        await turns(5)

    asyncio.run(main())
    assert tally.entered == 1
    assert memory.runs["r"].head.status == "running"
