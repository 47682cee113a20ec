"""Flows without an app: in a script, a running loop, a thread, side by side, told while they happen."""

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ripresa import Context, Limits, RunCancelled, RunFailed, StepError, chain, current, map_each, step, workflow
from ripresa.core.events import CancelRequested, RunCompleted, TerminateRequested
from ripresa.errors import InvalidValue, RipresaError
from ripresa.runtime import attempts
from ripresa.runtime.driver import Driver
from ripresa.runtime.mail import Mail
from tests.runtime.stage import Tally, leftovers, turns


@step
async def add(value: int) -> int:
    await asyncio.sleep(0)
    return value + 1


@step
def double(value: int) -> int:
    return 2 * value


@workflow
async def function(ctx: Context, value: int) -> int:
    return await double(await add(value))


FLOW = chain(add).then(double)


async def test_a_flow_is_awaited_invoked_batched_and_streamed() -> None:
    assert await FLOW(1) == 4
    assert await FLOW.invoke(1) == 4
    assert await FLOW.batch([1, 2, 3], concurrency=2) == [4, 6, 8]
    assert await function(1) == 4
    assert await function.batch([1, 2]) == [4, 6]
    items = [item async for item in FLOW.stream(1)]
    assert [item.seq for item in items] == list(range(1, len(items) + 1))
    assert isinstance(items[-1].event, RunCompleted)
    assert items[-1].event.output == b"4"
    assert leftovers() == set()


def test_a_script_needs_no_more_than_asyncio_run() -> None:
    async def main() -> int:
        return await FLOW(1)

    assert asyncio.run(main()) == 4


async def test_a_thread_with_a_loop_of_its_own_runs_flows_beside() -> None:
    async def main() -> list[int]:
        return await FLOW.batch([1, 2])

    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(asyncio.run(main()))) for _ in range(3)]
    for thread in threads:
        thread.start()
    here = await FLOW.batch([5])
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert found == [[4, 6]] * 3
    assert here == [12]


async def test_a_flow_runs_inside_a_step_of_another() -> None:
    @step
    async def nested(value: int) -> tuple[int, str]:
        found = await FLOW.invoke(value)
        return found, current().path

    assert await chain(nested)(1) == (4, "nested")


async def test_a_slow_reader_of_a_stream_misses_nothing() -> None:
    seen: list[int] = []
    async for item in chain(map_each(add)).stream(list(range(2000))):
        seen.append(item.seq)
        if len(seen) in (1, 5, 1500):
            await turns(300)
    assert seen == list(range(1, len(seen) + 1))
    assert len(seen) > 4000


async def test_a_stream_that_is_left_stops_its_run() -> None:
    tally = Tally()

    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    stream: Any = chain(wait).stream(1)
    assert (await anext(stream)).seq == 1
    await tally.reach(1)
    await stream.aclose()
    assert tally.now == 0
    assert leftovers() == set()


async def test_what_a_step_raises_comes_out_as_it_is() -> None:
    @step
    async def fail(value: int) -> int:
        raise LookupError(f"no {value}")

    @step
    async def fail_with_a_code(value: int) -> int:
        raise StepError("no use", code="not_available", retryable=False)

    with pytest.raises(LookupError, match="no 1"):
        await chain(fail)(1)
    with pytest.raises(LookupError, match="no 1"):
        async for _ in chain(fail).stream(1):
            pass
    with pytest.raises(RunFailed, match="no use") as coded:
        await chain(fail_with_a_code)(1)
    assert coded.value.failure.code == "not_available"
    with pytest.raises(InvalidValue):
        await chain(fail)("x")  # type: ignore[arg-type]
    assert leftovers() == set()


async def test_a_workflow_that_runs_out_of_time_says_so() -> None:
    @step
    async def hang() -> None:
        await asyncio.Event().wait()

    @workflow(timeout=0.02)
    async def impatient(ctx: Context) -> None:
        await hang()

    with pytest.raises(RipresaError) as caught:
        await impatient()
    assert "time" in str(caught.value)


async def test_a_workflow_in_memory_can_be_cancelled_from_within() -> None:
    """Not a way to do it; but whatever happens to its engine is said."""

    @step
    async def stop(value: str) -> str:
        running: Any = current()._attempt
        assert isinstance(running, attempts.Running)
        kind = CancelRequested if value == "cancelled" else TerminateRequested
        running.driver.deliver(Mail(kind(0, "inside")))
        await asyncio.Event().wait()
        return value

    for status in ("cancelled", "terminated"):
        with pytest.raises(RunCancelled, match="was " + status) as caught:
            await chain(stop)(status)
        assert caught.value.code == status


async def test_nothing_is_left_of_a_run_in_memory() -> None:
    gc.collect()
    gc.freeze()  # from here on only what is new is looked at
    await chain(add)(1)
    gc.collect()
    assert not any(isinstance(item, Driver) for item in gc.get_objects())


# --- limits


@step
async def turn(number: int) -> int:
    return number


once = chain(turn).then(turn).with_limits(Limits(steps=1))


@workflow(limits=Limits(steps=1))
async def twice(ctx: Context, number: int) -> int:
    return await turn(await turn(number))


async def streamed(number: int) -> None:
    async for _ in once.stream(number):
        pass


@pytest.mark.parametrize(
    "run",
    [
        lambda: once.invoke(1),
        lambda: once(1),
        lambda: streamed(1),
        lambda: twice(1),
        lambda: once.batch([1, 2]),
        lambda: twice.batch([1, 2]),
    ],
)
async def test_limits_of_a_flow_hold_in_memory(run: Callable[[], Awaitable[object]]) -> None:
    with pytest.raises(RunFailed, match="the limit of steps is reached: 1 of 1 are used"):
        await run()


async def test_limits_of_a_batch_are_those_of_all_its_inputs_together() -> None:
    flow = chain(turn).with_limits(Limits(steps=2, concurrency=1))
    assert await flow.batch([1, 2]) == [1, 2]
    with pytest.raises(RunFailed, match="the limit of steps"):
        await flow.batch([1, 2, 3])


@pytest.mark.parametrize("policy", ["pause", "ask"])
async def test_limits_that_nobody_could_answer_are_refused_in_memory(policy: Any) -> None:
    flow = chain(turn).with_limits(Limits(steps=9, on_exceeded=policy))
    for run in (flow.invoke(1), flow.batch([1])):
        with pytest.raises(RipresaError, match="nobody reaches a run in memory") as caught:
            await run
        assert caught.value.code == "not_available"
    assert await chain(turn).with_limits(Limits(concurrency=1, on_exceeded=policy)).invoke(1) == 1


async def test_what_has_no_session_in_memory_says_so() -> None:
    async def look(number: int) -> object:
        return current().session.get("sum")

    with pytest.raises(RunFailed, match="belongs to no session") as caught:
        await chain(look).invoke(1)
    assert caught.value.failure.code == "not_available"
