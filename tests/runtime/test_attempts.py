"""Attempts: how often and how long a step is tried, what it knows about itself, and what it leaves to the next."""

import asyncio
import time
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest

from ripresa import Context, Retry, RunFailed, Step, StepError, chain, current, map_each, step, workflow
from ripresa.core.events import (
    AttemptLost,
    CallFailed,
    CallRecorded,
    RetryScheduled,
    StepCompleted,
    StepFailed,
    StepStarted,
)
from ripresa.errors import StepFailed as StepFailedError
from ripresa.runtime.clock import SystemClock, time_limit
from ripresa.stores.memory import Memory
from tests.runtime.stage import Tally, in_memory, journal_of, on_clock, turns

MINUTE = 60_000_000


def failing(times: int, error: BaseException, log: list[Any] | None = None, **options: Any) -> Any:
    @step(name="flaky", **options)
    async def flaky(value: int) -> int:
        number = current().attempt
        if log is not None:
            log.append(number)
        if number <= times:
            raise error
        return value + number

    return flaky


# --- retries


async def test_backoff_doubles_on_the_runs_own_clock_and_the_attempts_are_numbered() -> None:
    flaky = failing(3, ValueError("not yet"), retry=Retry(4, "1 m", max_wait="10 m", jitter=0))
    async with on_clock() as (app, clock):
        handle = await app.start(chain(flaky)(10))
        assert [await clock.jump() for _ in range(3)] == [1 * MINUTE, 2 * MINUTE, 4 * MINUTE]
        assert await handle.result() == 14
        found = [event for event in await journal_of(handle) if isinstance(event, StepFailed | RetryScheduled)]
    assert [event.attempt for event in found] == [1, 2, 2, 3, 3, 4]


@pytest.mark.parametrize(
    ("backoff", "waits"), [("fixed", [60, 60, 60]), ("linear", [60, 120, 180]), ("exponential", [60, 120, 150])]
)
async def test_each_kind_of_backoff_is_waited_out(backoff: Any, waits: list[int]) -> None:
    flaky = failing(
        3, ValueError(), retry=Retry(4, 60, backoff=backoff, max_wait=180 if waits[2] == 180 else 150, jitter=0)
    )
    async with on_clock() as (app, clock):
        handle = await app.start(chain(flaky)(0))
        assert [await clock.jump() for _ in range(3)] == [wait * 1_000_000 for wait in waits]
        await handle.result()


async def test_one_attempt_means_one_and_three_mean_three() -> None:
    for attempts in (1, 3):
        log: list[int] = []
        async with on_clock() as (app, clock):
            flaky = failing(9, ValueError("never"), log, retry=Retry(attempts, 1))
            handle = await app.start(chain(flaky)(0))
            for _ in range(attempts - 1):
                await clock.jump()
            with pytest.raises(RunFailed, match="never") as caught:
                await handle.result()
        assert log == list(range(1, attempts + 1))
        assert caught.value.failure.attempt == attempts
        assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize(
    ("error", "retry"),
    [
        (StepError("no use", retryable=False), Retry(5)),
        (KeyError("other"), Retry(5, on=ValueError)),
        (ValueError("this"), Retry(5, never=ValueError)),
    ],
)
async def test_what_is_not_retryable_is_tried_once(error: Exception, retry: Retry) -> None:
    log: list[int] = []
    async with on_clock() as (app, _):
        handle = await app.start(chain(failing(9, error, log, retry=retry))(0))
        with pytest.raises(RunFailed):
            await handle.result()
    assert log == [1]


async def test_an_error_may_ask_to_wait_longer_than_the_policy_does() -> None:
    busy = StepError("busy", retry_after=60)

    async with on_clock() as (app, clock):
        flaky = failing(1, busy, retry=Retry(2, 1, jitter=0))
        handle = await app.start(chain(flaky)(0))
        assert await clock.jump() == 1 * MINUTE
        assert await handle.result() == 2

        calls = failing(1, busy, retry=Retry(2, 90, jitter=0, max_wait=90))
        handle = await app.start(chain(calls)(0))
        assert await clock.jump() == 1.5 * MINUTE
        assert await handle.result() == 2

        handle = await app.start(chain(failing(1, busy, retry=1))(0))
        with pytest.raises(RunFailed, match="busy"):
            await handle.result()


async def test_a_journaled_call_waits_as_long_as_its_error_asks() -> None:
    tries: list[int] = []

    @step(retry=Retry(2, 1, jitter=0))
    async def flaky(number: int) -> int:
        tries.append(number)
        if len(tries) == 1:
            raise StepError("busy", retry_after=60)
        return number

    @step
    async def calling() -> int:
        return await current().call(flaky, 9)

    async with on_clock() as (app, clock):
        handle = await app.start(calling())
        assert await clock.jump() == 1 * MINUTE
        assert await handle.result() == 9


async def test_a_step_without_retry_is_tried_once() -> None:
    log: list[int] = []
    with pytest.raises(ValueError, match="once"):
        await chain(failing(9, ValueError("once"), log))(0)
    assert log == [1]


async def test_a_result_that_does_not_fit_or_cannot_be_written_is_a_coded_failure() -> None:
    @step
    async def wrong() -> int:
        return "seven"  # type: ignore[return-value]

    @step
    async def unwritable() -> Any:
        return object()

    for bad, code in ((wrong, "invalid_output"), (unwritable, "not_encodable")):
        async with in_memory() as app:
            handle = await app.start(bad())
            with pytest.raises(RunFailed) as caught:
                await handle.result()
        assert caught.value.failure.code == code
        assert caught.value.failure.path == bad.name


# --- time limits


async def test_a_hung_step_is_interrupted_and_reported_as_timeout() -> None:
    interrupted: list[int] = []

    @step(timeout=0.01, retry=Retry(2, 0))
    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            interrupted.append(current().attempt)
            raise

    async with in_memory() as app:
        handle = await app.start(hang())
        with pytest.raises(RunFailed) as caught:
            await handle.result()
        lost = [event.reason for event in await journal_of(handle) if isinstance(event, AttemptLost)]
    assert caught.value.failure.code == "timeout"
    assert caught.value.failure.retryable
    assert interrupted == [1, 2]
    assert lost == ["timeout", "timeout"]


async def test_a_timeout_runs_by_the_apps_clock() -> None:
    @step(timeout="30 days")
    async def hang() -> None:
        await asyncio.Event().wait()

    async with on_clock() as (app, clock):
        handle = await app.start(hang())
        assert await clock.jump() == 30 * 86_400_000_000
        with pytest.raises(RunFailed) as caught:
            await handle.result()
    assert caught.value.failure.code == "timeout"
    assert clock.waiting() == []


async def test_a_timeout_of_a_journaled_call_runs_by_the_apps_clock() -> None:
    @step(timeout=60)
    async def hang() -> None:
        await asyncio.Event().wait()

    @step
    async def calling() -> str:
        try:
            await current().call(hang)
        except TimeoutError:
            return "too late"
        return "in time"

    async with on_clock() as (app, clock):
        handle = await app.start(calling())
        await clock.jump()
        assert await handle.result() == "too late"


async def test_hung_steps_side_by_side_time_out_each_for_itself() -> None:
    @step(timeout=0.02)
    async def hang(number: int) -> int:
        if number:
            await asyncio.Event().wait()
        return number

    @workflow
    async def patient(ctx: Context) -> list[str]:
        async def one(number: int) -> str:
            try:
                return str(await hang(number))
            except StepFailedError as error:
                return error.code

        return list(await ctx.gather(one(0), one(1), one(2)))

    assert await patient() == ["0", "timeout", "timeout"]


async def test_a_sync_step_is_abandoned_at_its_timeout() -> None:
    over = asyncio.Event()
    loop = asyncio.get_running_loop()

    @step(timeout=0.02)
    def sleepy() -> None:
        time.sleep(0.2)
        loop.call_soon_threadsafe(over.set)

    async with in_memory() as app:
        handle = await app.start(sleepy())
        with pytest.raises(RunFailed) as caught:
            await handle.result()
        assert not over.is_set()
    assert caught.value.failure.code == "timeout"
    await over.wait()


def hang_in_a_process(seconds: float) -> None:
    time.sleep(seconds)


async def test_a_process_step_is_killed_at_its_timeout() -> None:
    hang = step(executor="process", timeout=0.1)(hang_in_a_process)
    began = time.monotonic()
    async with in_memory(processes=1) as app:
        handle = await app.start(hang(60))
        with pytest.raises(RunFailed) as caught:
            await handle.result()
    assert caught.value.failure.code == "timeout"
    assert time.monotonic() - began < 30


async def test_a_timeout_of_the_steps_own_is_an_error_like_any_other() -> None:
    @step(timeout=30)
    async def impatient(kind: str) -> None:
        if kind == "asyncio":
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        elif kind == "anyio":
            with anyio.fail_after(0):
                await anyio.sleep_forever()
        raise TimeoutError("raised")

    for kind in ("asyncio", "anyio", "raised"):
        with pytest.raises(TimeoutError):
            await chain(impatient)(kind)


async def test_task_groups_and_scopes_work_inside_steps() -> None:
    async def double(number: int, into: list[int]) -> None:
        await asyncio.sleep(0)
        into.append(2 * number)

    @step
    async def with_asyncio(numbers: list[int]) -> list[int]:
        found: list[int] = []
        async with asyncio.TaskGroup() as group, asyncio.timeout(30):
            for number in numbers:
                group.create_task(double(number, found))
            await asyncio.sleep(0)
        return found

    @step
    async def with_anyio(numbers: list[int]) -> list[int]:
        found: list[int] = []
        with anyio.move_on_after(0.001):
            await anyio.sleep_forever()
        async with anyio.create_task_group() as group:
            for number in numbers:
                group.start_soon(double, number, found)
        return found

    @step
    async def failing_group(numbers: list[int]) -> list[int]:
        async def fail() -> None:
            raise ValueError("inside")

        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            await asyncio.Event().wait()
        return numbers

    flow = chain(with_asyncio).then(with_anyio).then(with_asyncio)
    assert await flow([1, 2]) == [8, 16]
    assert await chain(map_each(flow))([[1], [2]]) == [[8], [16]]
    with pytest.raises(ValueError, match="inside"):
        await chain(with_anyio).then(failing_group)([1])


# --- what a step knows


async def test_journaled_calls_have_keys_that_no_other_call_has() -> None:
    seen: list[tuple[str, str]] = []

    async def inner(value: int) -> int:
        seen.append((current().run, current().idempotency_key))
        return value

    async def around(value: int) -> int:
        return await current().call(inner, value)

    @step(retry=Retry(2, 0))
    async def outer(value: int) -> int:
        await current().call(inner, value)
        await current().call(inner, value)
        await current().call(around, value)
        if current().attempt == 1:
            seen.append((current().run, current().idempotency_key))
            raise ValueError
        return value

    async with on_clock() as (app, _):
        for run in ("r1", "r2"):
            await app.run(chain(outer)(1), id=run)
    assert len(seen) == 8
    assert len({key for _, key in seen}) == 8
    assert all(key.startswith(f"{run}/outer") for run, key in seen)


async def test_a_step_learns_where_it_stands() -> None:
    seen: list[Any] = []

    @step(retry=Retry(2, 0))
    async def look(value: int) -> int:
        context = current()
        seen.append((context.run, context.workflow, context.path, context.attempt, context.idempotency_key))
        assert context.deadline is None
        assert not context.cancelled
        if context.attempt == 1:
            raise ValueError
        return value

    async with on_clock() as (app, _):
        await app.run(chain(look).then(look).named("twice")(1), id="r1")
    assert [place[:4] for place in seen] == [
        ("r1", "twice", "look", 1),
        ("r1", "twice", "look", 2),
        ("r1", "twice", "look#2", 1),
        ("r1", "twice", "look#2", 2),
    ]
    keys = [place[4] for place in seen]
    assert keys[0] == keys[1] != keys[2] == keys[3]


async def test_the_deadline_is_the_nearest_of_attempt_scopes_and_run() -> None:
    seen: dict[str, datetime | None] = {}

    @step
    async def look(name: str) -> str:
        seen[name] = current().deadline
        return name

    quick = look.with_(timeout=1)

    @workflow(timeout=100)
    async def inner(ctx: Context, name: str) -> str:
        await quick(f"quick {name}")
        return await look(name)

    @workflow
    async def outer(ctx: Context) -> None:
        await look("outer")
        await inner("inner")
        await look("after")

    async with on_clock() as (app, clock):
        start = datetime.fromtimestamp(clock.now() / 1_000_000, UTC)
        await app.run(outer(), timeout=500)
        await app.run(inner("capped"), timeout=30)
    assert {name: (at - start).total_seconds() if at else None for name, at in seen.items()} == {
        "outer": 500,
        "quick inner": 1,
        "inner": 100,
        "after": 500,
        "quick capped": 1,
        "capped": 30,
    }
    assert await chain(look)("none") == "none"
    assert seen["none"] is None


async def test_context_variables_do_not_leak_from_step_to_step_nor_out_of_the_run() -> None:
    colour: ContextVar[str] = ContextVar("colour", default="none")
    seen: list[str] = []

    @step
    async def paint(name: str) -> str:
        seen.append(colour.get())
        colour.set(name)
        await asyncio.sleep(0)
        assert colour.get() == name
        return name

    @step
    def paint_in_a_thread(name: str) -> str:
        seen.append(colour.get())
        colour.set("thread")
        return name

    token = colour.set("outside")
    flow = chain(paint).then(paint_in_a_thread).then(paint)
    await flow("red")
    await chain(map_each(flow))(["green", "blue"])
    assert colour.get() == "outside"
    assert set(seen) == {"outside"}
    colour.reset(token)


async def test_progress_reaches_watchers_and_costs_nothing_without() -> None:
    from ripresa.runtime.feed import StepBegan, StepProgressed

    tally = Tally()

    @step
    async def work(value: int) -> int:
        await tally.visit()
        current().progress(1, 2, "half")
        return value

    async with in_memory() as app:
        handle = await app.start(chain(work).then(work)(1))
        await tally.reach(1)
        notices: list[Any] = []

        async def watch() -> None:
            notices.extend([item async for item in handle.watch() if isinstance(item, StepBegan | StepProgressed)])

        watching = asyncio.create_task(watch())
        await turns(2)
        tally.open()
        await watching
    assert [(type(item).__name__, item.path) for item in notices] == [
        ("StepProgressed", "work"),
        ("StepBegan", "work#2"),
        ("StepProgressed", "work#2"),
    ]
    assert notices[0] == StepProgressed(handle.id, "work", 1, 1, 2, "half")


# --- what ends an attempt otherwise


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("late", [False, True])
async def test_a_step_that_cancels_itself_fails_and_the_run_with_it(beside: bool, late: bool) -> None:
    @step
    async def suicidal(value: int) -> int:
        task = asyncio.current_task()
        assert task is not None
        if late:
            asyncio.get_running_loop().call_soon(task.cancel)
        else:
            task.cancel()
        await asyncio.sleep(0.01)
        return value

    flow = chain(map_each(suicidal)) if beside else chain(suicidal)
    async with in_memory() as app:
        handle = await app.start(flow([1, 2] if beside else 1))  # type: ignore[arg-type]
        with pytest.raises(RunFailed) as caught:
            await handle.result()
    assert caught.value.failure.code == "cancelled"


async def test_a_cancellation_that_a_step_asks_for_as_it_returns_hurts_nobody() -> None:
    @step
    async def leave(value: int) -> int:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        return value + 1

    async with in_memory() as app:
        assert await app.run(chain(leave).then(leave).then(leave)(0)) == 3


class Stop(BaseException):
    pass


@pytest.mark.parametrize("error", [SystemExit(3), Stop("now")])
async def test_whatever_a_step_raises_becomes_data(error: BaseException) -> None:
    @step(retry=3)
    async def in_the_loop(value: int) -> int:
        raise error

    @step
    def in_a_thread(value: int) -> int:
        raise error

    async with in_memory() as app:
        for bad in (in_the_loop, in_a_thread):
            handle = await app.start(chain(bad)(1))
            outcome = await handle.outcome()
            assert outcome.status == "failed"
            assert isinstance(outcome.error, RunFailed)
            assert outcome.error.failure.types[0].endswith(type(error).__name__)
            assert outcome.error.failure.attempt == 1


async def test_a_sync_function_may_give_something_to_await() -> None:
    async def later(value: int) -> int:
        await asyncio.sleep(0)
        return value + 1

    @step
    def soon(value: int) -> Any:
        return later(value)

    assert await chain(soon)(1) == 2


async def test_an_irreversible_step_is_announced_before_it_runs() -> None:
    tally = Tally()

    @step(effect="irreversible")
    async def pay(value: int) -> int:
        await tally.visit()
        return value

    async with in_memory() as app:
        alone, beside = await app.start(chain(pay)(1)), await app.start(chain(map_each(pay))([1, 2]))
        await tally.reach(3)
        for handle, count in ((alone, 1), (beside, 2)):
            seen = [item.event for item in await app.engine.history(handle.id)]
            assert sum(isinstance(event, StepStarted) for event in seen) == count
            assert not any(isinstance(event, StepCompleted) for event in seen)
        tally.open()
        assert (await alone.result(), await beside.result()) == (1, [1, 2])


# --- journaled calls that fail, and those that cannot be taken back


async def test_every_failing_try_of_a_journaled_call_is_an_event() -> None:
    tries: list[int] = []

    @step(retry=Retry(3, 60, jitter=0))
    async def flaky(number: int) -> int:
        tries.append(number)
        if len(tries) < 3:
            raise ValueError(f"try {len(tries)}")
        return number

    @step
    async def calling() -> int:
        return await current().call(flaky, 7)

    async with on_clock() as (app, clock):
        handle = await app.start(calling())
        assert [await clock.jump(), await clock.jump()] == [60_000_000, 60_000_000]
        assert await handle.result() == 7
        failed = [event for event in await journal_of(handle) if isinstance(event, CallFailed)]
    assert [(event.failure.message, event.retry_at - event.at) for event in failed] == [
        ("try 1", 60_000_000),
        ("try 2", 60_000_000),
    ]


async def test_an_irreversible_call_without_a_report_is_not_made_again() -> None:
    sent: list[int] = []
    memory, tally = Memory(), Tally()

    @step(effect="irreversible")
    async def send(number: int) -> int:
        sent.append(number)
        await tally.visit()
        return number

    @step(retry=Retry(3, 0))
    async def calling(number: int) -> int:
        return await current().call(send, number)

    flow = chain(calling)
    async with in_memory(memory) as app:
        await app.start(flow(7), id="run")
        await tally.reach(1)
    tally.open()
    async with in_memory(memory) as app:
        handle = await app.resume("run", flow)
        while not (await handle.status()).parked:
            await turns(1)
        assert sent == [7]
        await handle.reconcile("calling", retry=True, by="ann")  # it did nothing: it may be made again
        assert await handle.result() == 7
    assert sent == [7, 7]


async def test_who_knows_what_an_irreversible_call_did_says_what_the_step_returned() -> None:
    @step(effect="irreversible", timeout=1)
    async def send(number: int) -> int:
        await asyncio.Event().wait()
        return number

    @step
    async def calling(*, again: bool) -> int:
        try:
            return await current().call(send, 7)
        except TimeoutError as error:
            raise ValueError("again") from (error if again else None)

    async with on_clock() as (app, clock):
        handle = await app.start(calling(again=True), id="a")
        await clock.jump()
        while not (await handle.status()).parked:
            await turns(1)
        await handle.reconcile("calling", completed=8, by="ann")
        assert await handle.result() == 8
        other = await app.start(calling(again=False))
        await clock.jump()
        with pytest.raises(RunFailed, match="again"):  # it took the error for its own
            await other.result()


async def test_an_irreversible_call_that_raised_is_made_again_by_its_policy() -> None:
    sent: list[int] = []

    @step(effect="irreversible", retry=Retry(2, 0))
    async def send(number: int) -> int:
        sent.append(number)
        if len(sent) == 1:
            raise ConnectionError("refused at once")
        return number

    @step
    async def calling() -> int:
        return await current().call(send, 7)

    async with in_memory() as app:
        handle = await app.start(calling())
        assert await handle.result() == 7
        calls = [type(event).__name__ for event in await journal_of(handle) if "Call" in type(event).__name__]
    assert calls == ["CallStarted", "CallFailed", "CallStarted", "CallRecorded"]


async def test_an_irreversible_call_that_ran_into_its_timeout_is_not_made_again() -> None:
    sent: list[int] = []

    @step(effect="irreversible", retry=Retry(5, 0), timeout=1)
    async def send(number: int) -> int:
        sent.append(number)
        await asyncio.Event().wait()
        return number

    @step(retry=Retry(2, 0))
    async def calling() -> int:
        return await current().call(send, 7)

    async with on_clock() as (app, clock):
        handle = await app.start(calling())
        await clock.jump()
        while not (await handle.status()).parked:
            await turns(1)
        await handle.reconcile("calling", failed="the line was dead", by="ann")
        with pytest.raises(RunFailed, match="the line was dead"):
            await handle.result()
    assert sent == [7]


async def test_a_journaled_call_that_raises_a_timeout_of_its_own_did_not_take_too_long() -> None:
    @step(timeout=60)
    async def impatient() -> str:
        raise TimeoutError("of my own")

    @step
    async def calling() -> str:
        try:
            return await current().call(impatient)
        except TimeoutError as error:
            return str(error)

    async with in_memory() as app:
        assert await app.run(calling()) == "of my own"


async def test_calls_within_a_journaled_call_are_its_own() -> None:
    """Two equal calls whose inner calls are equal: what the first did inside is not handed to the second."""
    sent: list[str] = []

    @step
    async def send(text: str) -> int:
        sent.append(text)
        return len(sent)

    @step
    async def outer(text: str) -> int:
        number = await current().call(send, text)
        if len(sent) == 2 and not sent.count("crash"):
            sent.append("crash")
            raise ValueError("between the inner call and the end of the outer one")
        return number

    @step(retry=Retry(2, 0))
    async def calling() -> list[int]:
        return [await current().call(outer, "a"), await current().call(outer, "a")]

    async with in_memory() as app:
        handle = await app.start(calling())
        assert await handle.result() == [1, 2]
        keys = [event.key for event in await journal_of(handle) if isinstance(event, CallRecorded)]
    assert sent == ["a", "a", "crash"]
    assert len(keys) == len(set(keys)) == 4
    assert keys[0].startswith(f"{keys[1]}>send:")


async def test_a_call_may_say_as_what_its_failure_is_recorded() -> None:
    tries: list[int] = []

    class Telling(Step[[int], str]):
        def settle(self, error: Exception) -> str:
            return f"failed: {error}"

    @step(retry=Retry(2, 0))
    async def failing_for_good(number: int) -> str:
        tries.append(number)
        raise ValueError("no")

    told = Telling(failing_for_good.fn, failing_for_good.options)

    @step(retry=Retry(2, 0))
    async def calling() -> str:
        result = await current().call(told, 1)
        if current().attempt == 1:
            raise ValueError("again")
        return result

    async with in_memory() as app:
        assert await app.run(calling()) == "failed: no"
    assert tries == [1, 1]


async def test_a_time_limit_with_nobody_to_give_up_just_stops_what_it_limits() -> None:
    with pytest.raises(TimeoutError):
        async with time_limit(SystemClock(), 0.001):
            await asyncio.Event().wait()
