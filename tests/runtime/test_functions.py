"""Durable functions: what they may await, how fibers end, and that replay asks and answers the same."""

import asyncio
import gc
from collections.abc import Coroutine
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from ripresa import Context, Nondeterminism, RunFailed, Signal, StepFailed, chain, current, map_each, step, workflow
from ripresa.core.events import Asked, AttemptLost, StepCompleted
from ripresa.errors import RipresaError
from ripresa.runtime.deaf import ThrownAway
from ripresa.stores.memory import Memory
from ripresa.testing.clock import ManualClock
from tests.runtime.stage import Tally, in_memory, journal_of, kinds, leftovers, on_clock, turns


@step
async def add(value: int) -> int:
    await asyncio.sleep(0)
    return value + 1


@step
async def fail(message: str) -> int:
    raise ValueError(message)


async def code_of(flow: Any) -> str:
    """The code with which a run of a workflow without arguments fails."""
    async with in_memory() as app:
        handle = await app.start(flow())
        with pytest.raises(RunFailed) as caught:
            await handle.result()
        return str(caught.value.failure.code)


# --- foreign awaits


async def sleep_in_the_loop() -> None:
    await asyncio.sleep(1)


async def give_way() -> None:
    await asyncio.sleep(0)


async def wait_for_a_future() -> None:
    await future


async def ask_for_the_task() -> None:
    asyncio.current_task()


async def use_a_timeout() -> None:
    async with asyncio.timeout(1):
        await add(1)


async def use_a_group() -> None:
    async with asyncio.TaskGroup():
        pass


async def use_anyio() -> None:
    import anyio

    await anyio.sleep(1)


async def use_a_thread() -> None:
    await asyncio.to_thread(print)


async def make_a_task() -> None:
    coroutine = give_way()
    try:
        await asyncio.create_task(coroutine)
    finally:
        coroutine.close()


future: Any = None


@pytest.mark.parametrize(
    "forbidden",
    [
        sleep_in_the_loop,
        give_way,
        wait_for_a_future,
        ask_for_the_task,
        use_a_timeout,
        use_a_group,
        use_anyio,
        use_a_thread,
        make_a_task,
    ],
)
async def test_waiting_for_anything_foreign_is_a_coded_error(forbidden: Any) -> None:
    global future
    future = asyncio.get_running_loop().create_future()

    @workflow
    async def naughty(ctx: Context) -> None:
        await add(1)
        await forbidden()

    assert await code_of(naughty) == "foreign_await"


async def test_what_is_foreign_can_be_caught_and_is_refused_beside_others_too() -> None:
    @workflow
    async def careful(ctx: Context) -> list[str]:
        found = []
        seven: Any = 7
        for attempt in (ctx.gather(add(1), seven), ctx.race(give_way(), add(1)), ctx.gather(add(1), give_way())):
            try:
                await attempt
            except RipresaError as error:
                found.append(f"{error.code} at {error.where}")
        return found

    assert await careful() == ["foreign_await at careful"] * 3


async def test_where_a_function_failed_is_the_users_own_line() -> None:
    @workflow
    async def sleepy(ctx: Context) -> None:
        await sleep_in_the_loop()

    @workflow
    async def broken(ctx: Context) -> None:
        raise ValueError("no")

    async with in_memory() as app:
        for flow in (sleepy, broken):
            with pytest.raises(RunFailed) as caught:
                await app.run(flow())
            assert caught.value.where.rpartition(":")[0] == __file__


async def test_helpers_are_plain_coroutines() -> None:
    async def helper(value: int) -> int:
        return await add(await add(value))

    @workflow
    async def with_helpers(ctx: Context, value: int) -> tuple[int, int, int]:
        alone = await helper(value)
        left, right = await ctx.gather(helper(alone), helper(10))
        return alone, left, right

    assert await with_helpers(1) == (3, 5, 12)


async def test_a_context_works_only_in_its_function() -> None:
    kept: list[Context] = []

    @workflow
    async def leak(ctx: Context) -> None:
        kept.append(ctx)

    await leak()
    with pytest.raises(RipresaError) as caught:
        await kept[0].sleep(1)
    assert (caught.value.code, caught.value.where.rpartition(":")[0]) == ("foreign_await", __file__)


async def test_arguments_that_do_not_fit_are_raised_where_they_are_given() -> None:
    @workflow
    async def wrong(ctx: Context) -> list[str]:
        found = []
        text: Any = "x"
        for call in (add(text), chain(add)(text), ctx.map(add, [text])):
            try:
                await call
            except RipresaError as error:
                found.append(error.code)
        try:
            await ctx.race()
        except RipresaError as error:
            found.append(error.code)
        return found

    assert await wrong() == ["invalid_input", "invalid_input", "invalid_input", "usage"]


async def test_a_result_that_does_not_fit_and_an_input_that_cannot_be_read_are_coded() -> None:
    @workflow
    async def wrong(ctx: Context) -> int:
        return "x"  # type: ignore[return-value]

    assert await code_of(wrong) == "invalid_output"


# --- side by side


async def test_map_keeps_its_window_for_steps_and_for_helpers() -> None:
    tally = Tally(open=True)

    @step
    async def visit(value: int) -> int:
        await tally.visit()
        return value + 1

    async def helper(value: int) -> int:
        return await visit(value)

    @workflow
    async def mapping(ctx: Context) -> list[list[int]]:
        return [
            await ctx.map(visit, range(6), concurrency=2),
            await ctx.map(helper, range(6), concurrency=2),
            await ctx.map(helper, []),
            list(await ctx.gather()),
        ]

    assert await mapping() == [[1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6], [], []]
    assert tally.most == 2


async def test_the_first_failure_of_a_gather_is_raised_and_the_others_are_stopped() -> None:
    tally, log = Tally(), list[str]()

    @step
    async def wait(name: str) -> str:
        try:
            await tally.visit()
        except asyncio.CancelledError:
            log.append(name)
            raise
        return name

    async def helper(name: str) -> str:
        try:
            return await wait(name)
        except asyncio.CancelledError:
            log.append(f"{name} is told")
            raise
        finally:
            await add(1)

    @workflow
    async def gathering(ctx: Context) -> str:
        try:
            await ctx.gather(wait("a"), helper("b"), fail("no"), ctx.gather(helper("c"), wait("d")))
        except ValueError as error:
            return str(error)
        return "?"

    async with in_memory() as app:
        handle = await app.start(gathering())
        assert await handle.result() == "no"
        events = await journal_of(handle)
    assert sorted(log) == ["a", "b", "b is told", "c", "c is told", "d"]
    assert sum(isinstance(event, AttemptLost) for event in events) == 4
    assert sum(isinstance(event, StepCompleted) for event in events) == 2


async def test_a_loser_of_a_race_runs_its_finally_to_the_end_before_the_function_is_over() -> None:
    log: list[str] = []

    @step
    async def tidy(name: str) -> None:
        log.append(f"tidied {name}")

    @workflow
    async def racing(ctx: Context) -> str:
        async def slow(name: str) -> str:
            try:
                await ctx.sleep("1 d")
            except asyncio.CancelledError:
                log.append(f"{name} lost")
            finally:
                await tidy(name)
                await tidy(f"{name} again")
            return name

        async def quick() -> str:
            await add(1)
            return "quick"

        return await ctx.race(slow("one"), quick(), slow("two"))

    async with in_memory() as app:
        assert await app.run(racing()) == "quick"
    assert sorted(log) == ["one lost", "tidied one", "tidied one again", "tidied two", "tidied two again", "two lost"]


async def test_a_race_that_ends_at_once_starts_nothing_more() -> None:
    @workflow
    async def racing(ctx: Context) -> int:
        async def at_once(value: int) -> int:
            return value

        async def never() -> int:
            raise AssertionError

        seven: Any = 7
        first = await ctx.race(at_once(1), never())
        try:
            await ctx.race(seven, never())
        except RipresaError:
            return first
        return 0

    assert await racing() == 1


async def test_a_race_is_lost_by_failing_first() -> None:
    @workflow
    async def racing(ctx: Context) -> str:
        try:
            await ctx.race(fail("quick"), ctx.sleep(60))
        except ValueError as error:
            return str(error)
        return "?"

    assert await racing() == "quick"


async def test_cancelling_the_run_is_told_to_the_function_and_its_fibers() -> None:
    tally, log = Tally(), list[str]()

    @step
    async def wait(name: str) -> str:
        await tally.visit()
        return name

    @step
    async def tidy(name: str) -> None:
        log.append(name)

    @workflow
    async def function(ctx: Context) -> None:
        async def fiber(name: str) -> None:
            try:
                await wait(name)
            finally:
                await tidy(name)

        try:
            await ctx.gather(fiber("a"), fiber("b"))
        finally:
            await tidy("function")

    async with in_memory() as app:
        handle = await app.start(function())
        await tally.reach(2)
        await handle.cancel()
        assert (await handle.outcome()).status == "cancelled"
    assert sorted(log) == ["a", "b", "function"]


# --- the same in replay


async def test_time_chance_and_identity_are_the_same_in_replay_and_differ_from_run_to_run() -> None:
    seen: dict[str, list[Any]] = {}
    tally = Tally()

    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    @workflow
    async def curious(ctx: Context) -> int:
        log: list[Any] = [ctx.run, ctx.workflow, ctx.now(), ctx.random.random(), ctx.uuid()]
        seen.setdefault(ctx.run, []).append(log)
        await ctx.sleep("1 h")
        log += [ctx.now(), ctx.random.random()]
        await wait(1)
        log += [ctx.now(), ctx.uuid()]
        return len(log)

    memory = Memory()
    async with on_clock(memory) as (app, clock):
        for name in ("one", "two"):
            await app.start(curious(), id=name)
        await clock.jump()
        await tally.reach(2)
    async with on_clock(memory, at=clock.now()) as (app, clock):
        clock.advance("3 d")
        handles = [await app.resume(name, curious) for name in ("one", "two")]
        tally.open()
        assert [await handle.result() for handle in handles] == [9, 9]
    for name in ("one", "two"):
        before, after = seen[name]
        assert after[: len(before)] == before
        assert before[:2] == [name, "curious"]
        assert isinstance(after[2], datetime)
        assert after[2].tzinfo is not None
        assert after[5] - after[2] == timedelta(hours=1)
        assert isinstance(after[4], UUID)
        assert after[4] != after[8]
        assert after[7] - after[5] >= timedelta(days=3)
    assert seen["one"][0][3] != seen["two"][0][3]


async def test_flows_made_in_the_function_from_closures_are_made_again_in_replay() -> None:
    tally, calls = Tally(), list[str]()

    @step
    async def wait(value: int) -> int:
        calls.append(f"wait {value}")
        await tally.visit()
        return value

    @workflow
    async def building(ctx: Context, factor: int) -> list[int]:
        @step
        async def times(value: int) -> int:
            calls.append(f"times {value}")
            return value * factor

        numbers = await chain(map_each(chain(times).then(add)))([1, 2, 3])
        more = await chain(times).then(wait)(factor)
        return [*numbers, more]

    memory = Memory()
    async with in_memory(memory) as app:
        await app.start(building(10), id="r")
        await tally.reach(1)
    async with in_memory(memory) as app:
        handle = await app.resume("r", building)
        tally.open()
        assert await handle.result() == [11, 21, 31, 100]
    assert sorted(calls) == ["times 1", "times 10", "times 2", "times 3", "wait 100", "wait 100"]


async def test_nested_workflows_share_a_journal_and_fail_into_their_parent() -> None:
    @workflow
    async def inner(ctx: Context, value: int) -> int:
        if value == 2:
            return await fail("two")
        return await add(value)

    @workflow
    async def outer(ctx: Context) -> list[Any]:
        found: list[Any] = []
        for value in (1, 2):
            try:
                found.append(await inner(value))
            except ValueError as error:
                found.append(str(error))
        return [*found, *await ctx.gather(inner(5), inner(6))]

    async with in_memory() as app:
        handle = await app.start(outer())
        assert await handle.result() == [2, "two", 6, 7]
        found = kinds(await journal_of(handle))
    assert found.count("RunStarted") == 1
    assert found.count("ScopeStarted") == found.count("ScopeEnded") == 4


async def test_a_failure_that_cannot_be_raised_again_is_a_step_failure_with_its_record() -> None:
    @step(timeout=0.001)
    async def hang() -> None:
        await asyncio.Event().wait()

    @workflow
    async def patient(ctx: Context) -> str:
        try:
            await hang()
        except StepFailed as error:
            return f"{error.code} at {error.failure.path}"
        return "?"

    assert await patient() == "timeout at hang"


# --- replay that finds something else


def variants(kind: str) -> Any:
    """A durable function that asks for something else when it is run again."""
    times = 0

    @workflow(name="fickle")
    async def fickle(ctx: Context) -> int:
        nonlocal times
        times += 1
        changed = times > 1
        first = await add(1)
        if changed and kind == "another step":
            await other(1)
        elif changed and kind == "more":
            await ctx.gather(wait(1), add(1))
        elif changed and kind == "raises":
            raise ValueError("now")
        elif changed and kind == "returns":
            return first
        elif changed and kind == "another flow":
            await chain(wait).then(add)(1)
        elif kind == "another flow":
            await chain(wait)(1)
        await wait(2)
        return first

    return fickle


tally = Tally()


@step
async def wait(value: int) -> int:
    await tally.visit()
    return value


@step
async def other(value: int) -> int:
    return value


@pytest.mark.parametrize("kind", ["another step", "more", "raises", "returns", "another flow"])
async def test_a_function_that_asks_for_something_else_in_replay_is_found_out(kind: str) -> None:
    global tally
    tally = Tally()
    fickle, memory = variants(kind), Memory()
    async with in_memory(memory) as app:
        await app.start(fickle(), id="r")
        await tally.reach(1)
    async with in_memory(memory) as app:
        with pytest.raises(Nondeterminism, match="durable function") as caught:
            await app.resume("r", fickle)
        assert caught.value.where
        assert await app.store.owner("r") is None
        assert (await (await app.handle("r")).status()).status == "running"
    await turns(2)
    assert leftovers() == set()


# --- thrown away


@pytest.mark.parametrize("how", ["main", "fiber", "nested", "raises", "finally"])
async def test_a_function_that_is_thrown_away_does_not_run_the_steps_of_its_finally(how: str) -> None:
    global tally
    tally = Tally()
    ran: list[int] = []

    @step
    def undo(value: int) -> int:
        ran.append(value)
        return value

    @step
    async def undo_in_the_loop(value: int) -> int:
        ran.append(value)
        return value

    async def guarded(ctx: Context) -> None:
        try:
            try:
                await wait(1)
            finally:
                if how == "finally":
                    await ctx.gather(guarded(ctx), guarded(ctx))
                await undo(1)
        finally:
            await undo_in_the_loop(2)
            if how == "raises":
                raise ValueError("on the way out")

    @workflow
    async def function(ctx: Context) -> None:
        if how in ("main", "raises", "finally"):
            await guarded(ctx)
        elif how == "fiber":
            await ctx.gather(guarded(ctx), guarded(ctx))
        else:
            await ctx.gather(ctx.gather(guarded(ctx), wait(5)), ctx.race(guarded(ctx), wait(6)))

    app = in_memory()
    await app.open()
    await app.start(function())
    await tally.reach(1)
    await app.close()
    del app
    gc.collect()
    await turns(3)
    assert ran == []


def swallowing(how: str, turns: list[object]) -> Any:
    @step
    async def outer(value: int) -> int:
        turns.append("ran")
        return value

    async def deaf(ctx: Context) -> None:
        while True:
            try:
                turns.append(None)
                if how == "step":
                    await wait(1)
                elif how == "gather":
                    await ctx.gather(ctx.sleep(60), ctx.sleep(90))
                else:
                    await ctx.sleep(60)
            except BaseException as error:
                turns.append(error)
                if how == "step" and isinstance(error, ThrownAway):
                    await outer(1)

    @workflow
    async def function(ctx: Context) -> None:
        if how == "race":
            await ctx.race(deaf(ctx), ctx.sleep(30))
        else:
            await deaf(ctx)

    return function()


@pytest.mark.parametrize("how", ["sleep", "gather", "race"])
@pytest.mark.parametrize("asked", ["cancel", "timeout"])
async def test_a_function_that_swallows_everything_ends_when_it_has_waited_often_enough(how: str, asked: str) -> None:
    told: list[object] = []
    async with on_clock() as (app, clock):
        handle = await app.start(swallowing(how, told), timeout="1 h" if asked == "timeout" else None)
        await turns(3)
        if asked == "cancel":
            await handle.cancel()
        ending = asyncio.create_task(handle.outcome())
        while not ending.done():
            if clock.waiting():
                await clock.jump()
            await turns(3)
        if asked == "cancel":
            assert ending.result().status == "cancelled"
        else:
            assert ending.result().status == ("completed" if how == "race" else "failed")
        assert sum(type(event) is Asked for event in await journal_of(handle)) < 1000
    seen = len(told)
    del app, handle
    gc.collect()
    await turns(3)
    assert len(told) == seen


async def test_a_function_that_swallows_its_termination_is_kept_and_never_runs_again() -> None:
    global tally
    tally = Tally()
    told: list[object] = []
    async with in_memory() as app:
        handle = await app.start(swallowing("step", told))
        await tally.reach(1)
        await handle.terminate()
        assert (await handle.outcome()).status == "terminated"
    seen = len(told)
    del app, handle
    gc.collect()
    await turns(3)
    assert len(told) == seen
    assert "ran" not in told


@pytest.mark.parametrize("beside", [False, True])
async def test_a_function_that_swallows_error_after_error_ends_with_the_last(beside: bool) -> None:
    @step
    async def double(value: int) -> int:
        return 2 * value

    async def deaf(ctx: Context, given: Any) -> None:
        while True:
            try:
                await double(given)
            except Exception:
                continue

    @workflow
    async def function(ctx: Context, given: Any) -> str:
        if beside:
            try:
                await ctx.gather(deaf(ctx, given), double(1))
            except RipresaError as error:
                return error.code
        await deaf(ctx, given)
        return "?"

    async with in_memory() as app:
        outcome = await (await app.start(function("two"))).outcome()
    if beside:
        assert outcome.value == "invalid_input"
    else:
        assert isinstance(outcome.error, RunFailed)
        assert outcome.error.failure.code == "invalid_input"


async def test_an_interrupt_of_the_user_passes_through_a_function_that_is_thrown_away() -> None:
    global tally
    tally = Tally()

    @workflow
    async def function(ctx: Context) -> None:
        try:
            await wait(1)
        finally:
            raise KeyboardInterrupt

    async with in_memory() as app:
        handle = await app.start(function())
        await tally.reach(1)
        with pytest.raises(KeyboardInterrupt):
            app.engine.drivers[handle.id].functions.close()


async def test_a_function_whose_run_cannot_begin_is_thrown_away_too() -> None:
    from ripresa.errors import StoreError
    from ripresa.stores.memory import MemoryStore
    from tests.runtime.stage import Failing

    ran: list[int] = []

    @step
    def undo(value: int) -> int:
        ran.append(value)
        return value

    @workflow
    async def function(ctx: Context) -> None:
        try:
            await add(1)
        finally:
            await undo(1)

    async with in_memory() as app:
        app.engine.store = Failing(MemoryStore(), 1)
        with pytest.raises(StoreError):
            await app.start(function())
    gc.collect()
    await turns(2)
    assert ran == []


# --- calls journaled inside a step


async def test_the_next_attempt_is_handed_what_a_journaled_call_returned() -> None:
    calls: list[Any] = []

    async def model(prompt: str, temperature: float = 0.5) -> dict[str, Any]:
        calls.append((prompt, temperature))
        return {"answer": prompt, "n": len(calls)}

    @step(retry=3)
    async def agent(value: int) -> list[Any]:
        context = current()
        first = await context.call(model, "a")
        first["spoiled"] = True
        same = await asyncio.gather(
            context.call(model, "b"), context.call(model, "b"), context.call(model, "c", temperature=0.1)
        )
        keyed = await context.call_with_key("mine", model, f"attempt {context.attempt}")
        if context.attempt == 1:
            raise ValueError
        return [first, *same, keyed]

    async with on_clock() as (app, clock):
        handle = await app.start(chain(agent)(1))
        await clock.jump()
        found = await handle.result()
    assert calls == [("a", 0.5), ("b", 0.5), ("b", 0.5), ("c", 0.1), ("attempt 1", 0.5)]
    assert [item["n"] for item in found] == [1, 2, 3, 4, 5]
    assert found[4]["answer"] == "attempt 1"


async def test_a_failed_journaled_call_is_not_kept_and_is_tried_as_its_step_says() -> None:
    from ripresa import Retry

    calls: list[int] = []

    @step(retry=Retry(2, "1 h", max_wait="1 d"))
    async def tool(value: int) -> int:
        calls.append(value)
        if len(calls) < 4:
            raise ValueError(f"call {len(calls)}")
        return value

    @step(retry=Retry(2, "1 d", max_wait="1 d", jitter=0))
    async def agent(value: int) -> int:
        return await current().call(tool, value)

    async with on_clock() as (app, clock):
        handle = await app.start(chain(agent)(7))
        waits = [await clock.jump() for _ in range(3)]
        assert await handle.result() == 7
    assert calls == [7, 7, 7, 7]
    assert [round(wait / 3_600_000_000) for wait in waits] == [1, 24, 1]


async def test_a_journaled_sync_step_does_not_block_the_loop() -> None:
    import threading

    main = threading.get_ident()

    @step
    def where(value: int) -> bool:
        return threading.get_ident() != main

    @step
    async def agent(value: int) -> bool:
        return await current().call(where, value)

    assert await chain(agent)(1)


async def test_outside_a_run_current_answers_and_calls_just_run() -> None:
    async def double(value: int) -> int:
        return 2 * value

    context = current()
    assert (context.run, context.attempt, context.deadline, context.cancelled) == ("", 1, None, False)
    context.progress(1)
    assert await context.call(double, 4) == 8
    assert await context.call_with_key("k", double, 4) == 8
    assert await context.call(lambda value: value, 4) == 4  # type: ignore[call-overload]


async def test_asked_slices_are_journaled_in_the_batch_of_their_cause() -> None:
    @workflow
    async def two(ctx: Context) -> int:
        return await add(await add(1))

    async with in_memory() as app:
        handle = await app.start(two())
        await handle.result()
        rows = await app.store.read(handle.id)
        events = await journal_of(handle)
    assert len(rows) == 3
    assert [len(event.calls) for event in events if isinstance(event, Asked)] == [1, 1]


async def jumped(clock: ManualClock, wanted: Coroutine[Any, Any, Any]) -> Any:
    """Let time go from one thing that is due to the next, until this is there."""
    task = asyncio.create_task(wanted)
    while not task.done():
        if clock.waiting():
            await clock.jump()
        await turns(3)
    return task.result()


@pytest.mark.parametrize("how", ["sleep", "wait", "gather", "race"])
@pytest.mark.parametrize("asked", ["cancel", "timeout"])
async def test_what_a_function_waits_for_when_it_was_told_to_stop_lasts_as_long_as_the_patience(
    how: str, asked: str
) -> None:
    bell = Signal("bell", int)

    async def deaf(ctx: Context) -> None:
        while True:
            with suppress(BaseException):
                if how == "wait":
                    await ctx.wait_for(bell, timeout="1 h")
                elif how == "gather":
                    await ctx.gather(ctx.sleep("1 h"), ctx.sleep("2 h"))
                else:
                    await ctx.sleep("1 h")

    @workflow
    async def function(ctx: Context) -> None:
        if how == "race":
            await ctx.race(deaf(ctx), ctx.sleep("1 min"))
        else:
            await deaf(ctx)

    async with on_clock(patience=3) as (app, clock):
        handle = await app.start(function(), timeout="1 min" if asked == "timeout" else None)
        await turns(3)
        began = clock.now()
        if asked == "cancel":
            await handle.cancel()
        assert (await jumped(clock, handle.outcome())).status != "running"
        minute = 60 * (asked == "timeout" or how == "race")
        assert clock.now() - began <= (minute + 3) * 1_000_000 + 100


@pytest.mark.parametrize("length", [2, 30])
async def test_a_sleep_that_is_cut_short_says_so_and_so_does_its_replay(length: int) -> None:
    seen: list[str] = []
    tally = Tally()

    @step
    async def release(value: int) -> int:
        await tally.visit()
        return value

    @workflow
    async def function(ctx: Context) -> None:
        try:
            await ctx.sleep("1 h")
        finally:
            try:
                await ctx.sleep(length)
                seen.append("slept")
            except asyncio.CancelledError:
                seen.append("cut")
            await release(1)

    memory = Memory()
    async with on_clock(memory, patience=5) as (app, clock):
        handle = await app.start(function(), id="r")
        await turns(3)
        await handle.cancel()
        await jumped(clock, tally.reach(1))
    found = "slept" if length == 2 else "cut"
    tally.open()
    async with on_clock(memory, patience=60) as (app, clock):
        handle = await app.resume("r", function)
        assert (await jumped(clock, handle.outcome())).status == "cancelled"
    assert seen == [found, found]


async def test_a_clean_up_may_start_other_runs() -> None:
    @workflow
    async def other(ctx: Context) -> str:
        return "done"

    @workflow
    async def function(ctx: Context) -> None:
        try:
            await ctx.sleep("1 h")
        finally:
            await ctx.start(other(), id="other")

    async with in_memory(workflows=[other]) as app:
        handle = await app.start(function())
        await turns(3)
        await handle.cancel()
        assert (await handle.outcome()).status == "cancelled"
        while await app.store.find_run("other") is None:
            await turns(1)
        assert await (await app.handle("other", other)).result() == "done"
