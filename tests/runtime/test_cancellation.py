"""Cancellation reaches everything that is under way; what does not stop is left behind, and nothing is left over."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from ripresa import Context, Graph, Retry, chain, current, delay, map_each, parallel, step, stream, workflow
from ripresa.core.events import AttemptLost, CleanupEnded, CleanupStarted, NodeCancelled
from ripresa.errors import IllegalTransition, RunCancelled
from tests.runtime.stage import Slow, Tally, in_memory, journal_of, kinds, leftovers, on_clock, turns


class Stubborn:
    """A step that does not stop when it is cancelled, until the test lets it."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.over = asyncio.Event()
        self.heard = asyncio.Event()
        self.asked = 0

    async def run(self) -> None:
        self.began.set()
        while not self.over.is_set():
            try:
                await self.over.wait()
            except asyncio.CancelledError:
                self.asked += 1
                self.heard.set()


def waiting(tally: Tally, log: list[str]) -> Any:
    @step
    async def wait(name: str) -> str:
        try:
            await tally.visit()
        except asyncio.CancelledError:
            log.append(name)
            raise
        return name

    return wait


async def test_every_branch_in_flight_is_interrupted() -> None:
    tally, log = Tally(), list[str]()
    wait = waiting(tally, log)

    @workflow
    async def inner(ctx: Context, name: str) -> str:
        found: str = await wait(name)
        return found

    flow = chain(parallel(wait, chain(wait), inner, map_one(wait)))
    async with in_memory() as app:
        handle = await app.start(flow("x"))
        await tally.reach(4)
        await handle.cancel("enough", by="me")
        with pytest.raises(RunCancelled, match="enough") as caught:
            await handle.result()
        events = await journal_of(handle)
    assert log == ["x"] * 4
    assert caught.value.code == "cancelled"
    assert caught.value.reason == "enough"
    assert [event.reason for event in events if isinstance(event, AttemptLost)] == ["cancelled"] * 4
    assert kinds(events)[-1] == "RunCancelled"
    assert tally.now == 0


def map_one(link: Any) -> Any:
    @step(name="listed")
    async def listed(name: str) -> list[str]:
        return [name]

    return chain(listed).then(map_each(link))


async def test_a_single_step_in_the_runs_own_task_is_interrupted() -> None:
    tally, log = Tally(), list[str]()
    async with in_memory() as app:
        handle = await app.start(chain(waiting(tally, log))("alone"))
        await tally.reach(1)
        await handle.cancel()
        assert (await handle.outcome()).status == "cancelled"
    assert log == ["alone"]


async def test_a_backoff_and_a_sleep_are_cancelled_at_once() -> None:
    @step(retry=Retry(2, "1 h"))
    async def fail(value: int) -> int:
        raise ValueError

    async with on_clock() as (app, clock):
        flows: tuple[Any, ...] = chain(fail), chain(delay("3 days"))
        for flow in flows:
            handle = await app.start(flow(1))
            while not clock.waiting():
                await turns(1)
            await handle.cancel()
            assert (await handle.outcome()).status == "cancelled"
            assert clock.waiting() == []
            assert any(isinstance(event, NodeCancelled) for event in await journal_of(handle))


async def test_a_process_step_is_killed() -> None:
    nap = step(executor="process")(time.sleep)
    began = time.monotonic()
    async with in_memory(processes=1) as app:
        handle = await app.start(nap(60))
        await asyncio.sleep(0.05)
        await handle.cancel()
        assert (await handle.outcome()).status == "cancelled"
    assert time.monotonic() - began < 30


async def test_a_sync_step_learns_that_it_was_cancelled_and_nobody_waits_for_it() -> None:
    began, ended = threading.Event(), threading.Event()
    loop, seen = asyncio.get_running_loop(), asyncio.Event()

    @step
    def look() -> None:
        context = current()
        began.set()
        while not context.cancelled:
            time.sleep(0.001)
        loop.call_soon_threadsafe(seen.set)
        ended.wait(10)

    async with in_memory() as app:
        handle = await app.start(look())
        await asyncio.to_thread(began.wait)
        await handle.cancel()
        assert (await handle.outcome()).status == "cancelled"
        await seen.wait()
    ended.set()


async def test_cancelling_twice_changes_nothing_and_afterwards_it_is_too_late() -> None:
    stubborn = Stubborn()

    @step
    async def ignore() -> None:
        await stubborn.run()

    async with in_memory(patience=60) as app:
        handle = await app.start(ignore())
        await stubborn.began.wait()
        await handle.cancel("first")
        await handle.cancel("second")
        stubborn.over.set()
        error = (await handle.outcome()).error
        assert isinstance(error, RunCancelled)
        assert error.message.endswith("was cancelled: first")
        assert kinds(await journal_of(handle)).count("CancelRequested") == 1
        with pytest.raises(IllegalTransition):
            await handle.cancel()


@pytest.mark.parametrize("turns_before", range(8))
@pytest.mark.parametrize("slow", [False, True])
async def test_a_run_can_be_cancelled_at_any_moment(turns_before: int, slow: bool) -> None:
    @step
    async def split(value: int) -> list[int]:
        return [value, value]

    @step
    async def hang(value: int) -> int:
        await asyncio.Event().wait()
        return value

    async with in_memory() as app:
        if slow:
            app.engine.store = Slow(app.engine.store)
        handle = await app.start(chain(split).then(map_each(hang))(1))
        await turns(turns_before)
        await handle.cancel()
        assert (await handle.outcome()).status == "cancelled"


# --- steps that do not stop


@pytest.mark.parametrize("beside", [False, True])
async def test_a_step_that_swallows_its_cancellation_and_ends_has_its_result_recorded_but_not_used(
    beside: bool,
) -> None:
    began = asyncio.Event()

    @step
    async def swallow(value: int) -> int:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return value
        return value

    @step
    async def never(value: Any) -> Any:
        raise AssertionError

    first: Any = map_each(swallow) if beside else chain(swallow)
    async with in_memory() as app:
        handle = await app.start(chain(first).then(never)([1, 2] if beside else 1))
        await began.wait()
        await handle.cancel()
        assert (await handle.outcome()).status == "cancelled"
        found = kinds(await journal_of(handle))
        assert found.count("StepCompleted") == (2 if beside else 1)
        # what the step swallowed does not come up again in the next run of this app
        began.clear()
        again = await app.start(chain(swallow)(5))
        await began.wait()
        await again.cancel()
        assert (await again.outcome()).status == "cancelled"


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("how", ["cancel", "terminate", "close"])
async def test_a_step_that_does_not_stop_is_given_up_after_a_while(beside: bool, how: str) -> None:
    steps = [Stubborn(), Stubborn()]

    @step
    async def ignore(number: int) -> int:
        await steps[number].run()
        return number

    flow: Any = chain(map_each(ignore)) if beside else chain(ignore)
    app = in_memory(patience=0.02)
    await app.open()
    handle = await app.start(flow([0, 1] if beside else 0))
    await steps[int(beside)].began.wait()
    if how == "close":
        await app.close()
    else:
        await getattr(handle, how)("now")
        assert (await handle.outcome()).status == ("cancelled" if how == "cancel" else "terminated")
        await app.close()
    assert steps[0].asked >= 1
    for stubborn in steps:
        stubborn.over.set()
    await turns(5)
    assert leftovers() == set()


@pytest.mark.parametrize("fails", [False, True])
async def test_a_run_goes_on_after_it_gave_a_step_up(fails: bool) -> None:
    stubborn, log = Stubborn(), list[str]()

    @step
    async def ignore(value: int) -> int:
        await stubborn.run()
        if fails:
            raise ValueError("of no interest any more")
        return value

    @step
    async def tidy(value: int) -> None:
        log.append("tidy")

    async with in_memory(patience=0.02) as app:
        handle = await app.start(chain(ignore).cleanup(tidy)(1))
        await stubborn.began.wait()
        await handle.cancel()
        assert (await handle.outcome()).status == "cancelled"
    assert log == ["tidy"]
    stubborn.over.set()
    await turns(5)
    assert leftovers() == set()


async def given_up(app: Any, call: Any, *stubborn: Stubborn) -> list[str]:
    """Run something whose step does not stop at its timeout, then let that end; why attempts were lost."""
    handle = await app.start(call)
    async with asyncio.timeout(10):
        outcome = await handle.outcome()
    assert outcome.error is None or outcome.error.failure.code == "timeout"
    events = await journal_of(handle)
    for each in stubborn:
        assert each.asked >= 1
        each.over.set()
    await turns(5)
    return [event.reason for event in events if isinstance(event, AttemptLost)]


@pytest.mark.parametrize("beside", [False, True])
async def test_a_step_that_does_not_stop_at_its_timeout_is_given_up_after_a_while(beside: bool) -> None:
    steps = [Stubborn(), Stubborn()]

    @step(timeout=0.01, retry=Retry(2, 0))
    async def ignore(value: int) -> int:
        await steps[current().attempt - 1].run()
        return value

    @step(timeout=5)
    async def other(value: int) -> int:
        await asyncio.Event().wait()
        return value

    flow: Any = chain(parallel(ignore, other)) if beside else chain(ignore)
    async with in_memory(patience=0.02) as app:
        lost = await given_up(app, flow(0), *steps)
    assert lost == ["timeout", "timeout", *(["cancelled"] if beside else [])]
    assert leftovers() == set()


async def test_a_durable_function_and_a_graph_go_on_after_a_step_that_does_not_stop_at_its_timeout() -> None:
    stubborn = Stubborn()

    @step(timeout=0.01)
    async def ignore(value: int) -> int:
        await stubborn.run()
        return value

    @workflow
    async def patient(ctx: Context, value: int) -> str:
        try:
            return str(await ignore(value))
        except TimeoutError:
            return "too late"

    graph = Graph("patient", input=int)
    asked = graph.add(patient(graph.input))
    async with in_memory(patience=0.02) as app:
        handle = await app.start(graph.returns(asked.out)(1))
        assert await handle.result() == "too late"
    stubborn.over.set()
    await turns(5)
    assert leftovers() == set()


async def test_a_step_is_given_up_whose_call_does_not_stop_at_its_timeout() -> None:
    stubborn = Stubborn()

    @step(timeout=0.01)
    async def ignore(value: int) -> int:
        await stubborn.run()
        return value

    @step
    async def outer(value: int) -> int:
        return await current().call(ignore, value)

    async with in_memory(patience=0.02) as app:
        assert await given_up(app, chain(outer)(1), stubborn) == ["timeout"]
    assert leftovers() == set()


async def test_a_stream_is_given_up_whose_step_does_not_stop_at_its_timeout() -> None:
    stubborn = Stubborn()

    @step(timeout=0.01)
    async def ignore(value: int) -> int:
        await stubborn.run()
        return value

    def numbers(count: int) -> list[int]:
        return list(range(count))

    async def take(found: list[int]) -> None:
        raise AssertionError

    async with in_memory(patience=0.02) as app:
        assert await given_up(app, stream(numbers).map(ignore).batch(2).into(take)(2), stubborn) == ["timeout"]
    assert leftovers() == set()


async def test_a_step_whose_time_is_up_is_given_up_once_when_its_run_is_cancelled_too() -> None:
    stubborn = Stubborn()

    @step(timeout=0.01)
    async def ignore(value: int) -> int:
        await stubborn.run()
        return value

    async with in_memory(patience=0.02) as app:
        handle = await app.start(chain(ignore)(1))
        await stubborn.heard.wait()
        await handle.cancel()
        assert (await handle.outcome()).status == "cancelled"
        await asyncio.sleep(0.04)  # until the other patience has ended too
        assert kinds(await journal_of(handle)).count("AttemptLost") == 1
    stubborn.over.set()
    await turns(5)
    assert leftovers() == set()


async def test_termination_stops_everything_and_cleans_nothing_up() -> None:
    tally, log = Tally(), list[str]()
    wait = waiting(tally, log)
    async with in_memory() as app:
        for call in (chain(wait).cleanup(wait)("a"), chain(map_each(wait)).cleanup(map_each(wait))(["a", "b"])):
            before = tally.entered
            handle = await app.start(call)
            await tally.reach(before + 1)
            await handle.terminate("burn")
            with pytest.raises(RunCancelled, match="burn") as caught:
                await handle.result()
            assert caught.value.code == "terminated"
            assert kinds(await journal_of(handle))[-2:] == ["TerminateRequested", "RunTerminated"]
            assert tally.now == 0


# --- clean-up


async def test_cleanup_runs_last_first_on_cancel_and_on_error_but_not_on_success() -> None:
    log: list[str] = []
    tally = Tally()

    def handler(name: str) -> Callable[[str], Any]:
        @step(name=name)
        async def clean(value: str) -> None:
            log.append(f"{name} {value}")

        return clean

    @step
    async def body(value: str) -> str:
        if value == "wait":
            await tally.visit()
        if value == "fail":
            raise ValueError
        return value

    flow = chain(body).cleanup(handler("one"), handler("two"))
    async with in_memory() as app:
        assert await app.run(flow("good")) == "good"
        assert log == []
        handle = await app.start(flow("wait"))
        await tally.reach(1)
        await handle.cancel()
        assert (await handle.outcome()).status == "cancelled"
        assert log == ["two wait", "one wait"]
        failed = await app.start(flow("fail"))
        assert (await failed.outcome()).status == "failed"
        assert log[2:] == ["two fail", "one fail"]


async def test_clean_up_is_shielded_and_its_failures_are_kept() -> None:
    tally = Tally()
    entered = asyncio.Event()
    gate = asyncio.Event()

    @step
    async def body(value: int) -> int:
        await tally.visit()
        return value

    @step
    async def slow(value: int) -> None:
        entered.set()
        await gate.wait()

    @step
    async def broken(value: int) -> None:
        raise ValueError("the broom broke")

    async with in_memory() as app:
        handle = await app.start(chain(body).cleanup(slow, broken)(1))
        await tally.reach(1)
        await handle.cancel()
        await entered.wait()
        await handle.cancel()
        gate.set()
        with pytest.raises(RunCancelled) as caught:
            await handle.result()
        events = await journal_of(handle)
    assert [failure.message for failure in caught.value.failures] == ["the broom broke"]
    assert [type(event) for event in events if isinstance(event, CleanupStarted | CleanupEnded)] == [
        CleanupStarted,
        CleanupEnded,
    ]


# --- failures that stop the others


async def test_the_first_failure_stops_the_siblings_and_the_others_are_attached() -> None:
    tally, log = Tally(), list[str]()
    wait = waiting(tally, log)

    @step
    async def fail(name: str) -> str:
        await tally.reach(1)
        raise ValueError("first")

    @step
    async def fail_as_it_stops(name: str) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("second") from None
        return name

    async with in_memory() as app:
        handle = await app.start(chain(parallel(wait, fail, fail_as_it_stops))("x"))
        outcome = await handle.outcome()
    assert outcome.status == "failed"
    assert log == ["x"]
    failure = outcome.error.failure  # type: ignore[union-attr]
    assert failure.message == "first"


async def test_a_deadline_stops_the_run_and_one_of_a_child_stops_the_child() -> None:
    tally, log = Tally(), list[str]()
    wait = waiting(tally, log)

    @workflow(timeout=10)
    async def child(ctx: Context) -> str:
        found: str = await wait("child")
        return found

    @workflow
    async def parent(ctx: Context) -> str:
        try:
            await child()
        except Exception as error:
            return getattr(error, "code", "?")
        return "?"

    async with on_clock() as (app, clock):
        handle = await app.start(parent())
        await tally.reach(1)
        clock.advance(10)
        assert await handle.result() == "deadline_exceeded"
        run = await app.start(chain(wait)("run"), timeout="1 h")
        await tally.reach(2)
        clock.advance("1 h")
        outcome = await run.outcome()
        assert outcome.error.failure.code == "deadline_exceeded"  # type: ignore[union-attr]
        assert clock.waiting() == []
    assert log == ["child", "run"]


async def test_what_was_scheduled_and_cancelled_in_one_turn_never_runs() -> None:
    ran: list[int] = []

    @step
    async def run(number: int) -> int:
        ran.append(number)
        return number

    @workflow
    async def hasty(ctx: Context) -> int:
        async def give_up() -> int:
            return 1

        async def lose() -> int:
            return await run(7)

        return await run(await ctx.race(lose(), give_up()))

    async with in_memory() as app:
        handle = await app.start(hasty())
        assert await handle.result() == 1
        events = await journal_of(handle)
    assert ran == [1]
    assert [event.reason for event in events if isinstance(event, AttemptLost)] == ["cancelled"]


# --- the caller


@pytest.mark.parametrize("scope", ["task", "timeout", "anyio", "group"])
async def test_cancelling_the_caller_of_a_flow_in_memory_stops_all_of_it(scope: str) -> None:
    tally, log = Tally(), list[str]()
    flow = chain(map_each(waiting(tally, log)))
    if scope == "task":
        task = asyncio.create_task(flow.invoke(["a", "b"]))
        await tally.reach(2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    elif scope == "timeout":
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await flow(["a", "b"])
    elif scope == "anyio":
        with anyio.move_on_after(0.02) as limit:
            await flow(["a", "b"])
        assert limit.cancelled_caught
    else:
        with pytest.raises(ExceptionGroup):
            await failing_group(flow, tally)
    assert sorted(log) == ["a", "b"]
    assert tally.now == 0
    assert leftovers() == set()


async def failing_group(flow: Any, tally: Tally) -> None:
    """A flow beside something that fails."""
    async with asyncio.TaskGroup() as group:
        group.create_task(flow.invoke(["a", "b"]))
        await tally.reach(2)
        raise ValueError


async def test_cancelling_who_waits_leaves_the_run_to_itself() -> None:
    tally = Tally()
    async with in_memory() as app:
        handle = await app.start(chain(waiting(tally, []))("x"))
        await tally.reach(1)
        waits = [asyncio.create_task(handle.result()), asyncio.create_task(app.run(chain(waiting(tally, []))("y")))]
        await tally.reach(2)
        for task in waits:
            task.cancel()
        await asyncio.wait(waits)
        assert all(task.cancelled() for task in waits)
        tally.open()
        assert await handle.result() == "x"


async def test_a_request_whose_sender_is_cancelled_hurts_nobody() -> None:
    tally = Tally()
    async with in_memory() as app:
        handle = await app.start(chain(waiting(tally, []))("x"))
        await tally.reach(1)
        await handle.pause()
        again = asyncio.create_task(handle.pause())
        await turns(1)
        again.cancel()
        await asyncio.wait([again])
        await handle.resume()
        tally.open()
        assert await handle.result() == "x"


async def test_the_end_of_the_loop_leaves_runs_that_can_be_resumed() -> None:
    def script() -> str:
        seen: list[str] = []

        async def main() -> None:
            app = in_memory()
            await app.open()
            handle = await app.start(chain(waiting(Tally(), seen))("x"))
            await turns(3)

            async def wait_for_it() -> None:
                try:
                    await handle.result()
                except BaseException as error:
                    seen.append(type(error).__name__)
                    raise

            left_over = asyncio.create_task(wait_for_it())
            await turns(3)
            assert not left_over.done()

        asyncio.run(main())
        return ",".join(sorted(seen))

    assert await asyncio.to_thread(script) == "CancelledError,x"
