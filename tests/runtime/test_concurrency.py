"""What runs side by side really does, never more of it than the caps allow, and none of it sees the others' values."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from ripresa import App, Context, chain, map_each, parallel, step, workflow
from ripresa.errors import InvalidConfig
from tests.runtime.stage import Tally, in_memory


def visitor(tally: Tally, **options: Any) -> Any:
    @step(**options)
    async def visit(number: int) -> int:
        await tally.visit()
        return number

    return visit


async def test_all_branches_of_a_map_are_in_flight_at_once() -> None:
    tally = Tally()
    async with in_memory() as app:
        handle = await app.start(chain(map_each(visitor(tally)))(list(range(50))))
        await tally.reach(50)
        assert tally.now == 50
        tally.open()
        assert await handle.result() == list(range(50))


async def test_all_calls_of_a_gather_are_in_flight_at_once() -> None:
    tally = Tally()
    visit = visitor(tally)

    @workflow
    async def both(ctx: Context) -> list[int]:
        return list(await ctx.gather(*(visit(number) for number in range(20))))

    async with in_memory() as app:
        handle = await app.start(both())
        await tally.reach(20)
        tally.open()
        assert await handle.result() == list(range(20))


async def test_runs_go_side_by_side() -> None:
    tally = Tally()
    flow = chain(visitor(tally))
    async with in_memory() as app:
        handles = [await app.start(flow(number)) for number in range(30)]
        await tally.reach(30)
        tally.open()
        assert [await handle.result() for handle in handles] == list(range(30))


async def test_sync_steps_run_side_by_side_in_threads() -> None:
    import threading

    barrier = threading.Barrier(4)

    @step
    def meet(number: int) -> int:
        barrier.wait(10)
        return number

    async with in_memory(threads=4) as app:
        assert await app.run(chain(map_each(meet))([1, 2, 3, 4])) == [1, 2, 3, 4]


@pytest.mark.parametrize("cap", [1, 3])
@pytest.mark.parametrize("place", ["app", "run", "step", "map"])
async def test_no_more_attempts_than_the_cap_are_in_flight(place: str, cap: int) -> None:
    tally = Tally(open=True)
    visit = visitor(tally, concurrency=cap if place == "step" else None)
    flow = chain(map_each(visit, concurrency=cap if place == "map" else None))
    async with in_memory(max_concurrency=cap if place == "app" else None) as app:
        handle = await app.start(flow(list(range(20))), concurrency=cap if place == "run" else None)
        assert await handle.result() == list(range(20))
    assert tally.most == cap
    assert tally.entered == 20


async def test_the_cap_of_a_step_holds_across_runs_and_that_of_a_run_does_not() -> None:
    of_step, of_run = Tally(open=True), Tally(open=True)
    capped, free = chain(visitor(of_step, concurrency=2)), chain(map_each(visitor(of_run)))
    async with in_memory() as app:
        handles = [await app.start(capped(number)) for number in range(10)]
        handles += [await app.start(free([1, 2, 3]), concurrency=1) for _ in range(3)]
        for handle in handles:
            await handle.result()
    assert of_step.most == 2
    assert of_run.most == 3


async def test_caps_of_run_step_and_app_hold_together() -> None:
    tally = Tally(open=True)
    flow = chain(map_each(visitor(tally, concurrency=3)))
    async with in_memory(max_concurrency=4) as app:
        handles = [await app.start(flow(list(range(8))), concurrency=2) for _ in range(4)]
        for handle in handles:
            assert await handle.result() == list(range(8))
    assert tally.most == 3


async def test_a_nested_workflow_needs_no_slot_of_its_own() -> None:
    tally = Tally(open=True)
    visit = visitor(tally)

    @workflow
    async def inner(ctx: Context, number: int) -> int:
        found: int = await visit(number)
        return found

    @workflow
    async def outer(ctx: Context) -> int:
        return sum(await ctx.map(inner, [1, 2, 3]))

    async with in_memory(max_concurrency=1) as app:
        assert await app.run(outer(), concurrency=1) == 6
    assert tally.most == 1


async def test_a_waiting_attempt_gives_its_place_up_when_it_is_cancelled() -> None:
    tally = Tally()
    flow = chain(visitor(tally))
    async with in_memory(max_concurrency=1) as app:
        first = await app.start(flow(1))
        await tally.reach(1)
        second, third = await app.start(flow(2)), await app.start(flow(3))
        await second.cancel()
        assert (await second.outcome()).status == "cancelled"
        tally.open()
        assert [await first.result(), await third.result()] == [1, 3]
    assert tally.entered == 2


async def test_the_timeout_of_an_attempt_begins_when_it_has_its_slot() -> None:
    @step(timeout=0.15)
    async def slow(number: int) -> int:
        await asyncio.sleep(0.06)
        return number

    async with in_memory(max_concurrency=1) as app:
        assert await app.run(chain(map_each(slow))([1, 2, 3, 4])) == [1, 2, 3, 4]


@pytest.mark.parametrize("bad", [0, -1, True, 1.5])
async def test_a_cap_that_is_no_count_is_refused(bad: Any) -> None:
    async with in_memory() as app:
        with pytest.raises(InvalidConfig, match="concurrency"):
            await app.start(chain(visitor(Tally()))(1), concurrency=bad)
    for option in ("max_concurrency", "threads", "processes"):
        with pytest.raises(InvalidConfig, match=option):
            App("memory:", **{option: bad})


async def test_results_stand_in_the_order_of_the_items_whatever_ends_first() -> None:
    order: list[int] = []
    gates = [asyncio.Event() for _ in range(4)]

    @step
    async def wait_for_the_next(number: int) -> int:
        if number < 3:
            await gates[number + 1].wait()
        order.append(number)
        gates[number].set()
        return number

    assert await chain(map_each(wait_for_the_next))([0, 1, 2, 3]) == [0, 1, 2, 3]
    assert order == [3, 2, 1, 0]


async def test_a_step_begins_when_everything_before_it_has_ended() -> None:
    log: list[str] = []

    def noting(name: str) -> Callable[[Any], Any]:
        @step(name=name)
        async def note(value: Any) -> Any:
            log.append(f"{name} begins")
            await asyncio.sleep(0)
            log.append(f"{name} ends")
            return value

        return note

    await chain(noting("a")).then(parallel(noting("b"), noting("c"))).then(noting("d"))(1)
    assert log[:2] == ["a begins", "a ends"]
    assert set(log[2:6]) == {"b begins", "c begins", "b ends", "c ends"}
    assert log[6:] == ["d begins", "d ends"]


async def test_what_one_branch_does_to_its_input_no_other_sees() -> None:
    @step
    async def spoil(values: list[int]) -> list[int]:
        values.append(len(values))
        await asyncio.sleep(0)
        return values

    @step
    async def give() -> list[int]:
        return [7]

    @workflow
    async def shared(ctx: Context) -> list[list[int]]:
        values = await give()
        found = list(await ctx.gather(*(spoil(values) for _ in range(3))))
        return [*found, values]

    assert await chain(parallel(spoil, spoil, spoil))([7]) == ([7, 1], [7, 1], [7, 1])
    assert await shared() == [[7, 1], [7, 1], [7, 1], [7]]


async def test_what_an_attempt_does_to_its_input_the_next_one_does_not_see() -> None:
    seen: list[list[int]] = []

    @step(retry=3)
    async def spoil(values: list[int]) -> list[int]:
        seen.append(list(values))
        values.append(1)
        if len(seen) < 3:
            raise ValueError
        return values

    from tests.runtime.stage import on_clock

    async with on_clock() as (app, clock):
        handle = await app.start(chain(spoil)([0]))
        await clock.jump()
        await clock.jump()
        assert await handle.result() == [0, 1]
    assert seen == [[0], [0], [0]]
