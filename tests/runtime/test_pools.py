"""Pools: members are lent one at a time, in order, given back whatever happens, and never waited for in vain."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ripresa import (
    App,
    Context,
    InvalidConfig,
    Pool,
    Retry,
    RipresaError,
    RunFailed,
    chain,
    current,
    map_each,
    parallel,
    step,
    stream,
    workflow,
)
from ripresa.runtime.pools import PoolStatus
from tests.executors.jobs import lent
from tests.runtime.stage import Tally, in_memory, turns


def users(pool: Any, tally: Tally) -> Any:
    @step(pool=pool)
    async def use(number: int) -> str:
        await tally.visit()
        return str(current().resource)

    return use


async def code_of(call: Any) -> str:
    with pytest.raises(RunFailed) as caught:
        await call
    return str(caught.value.failure.code)


async def test_no_more_attempts_run_than_there_are_members_and_each_has_its_own() -> None:
    pool, tally = Pool("gpu", ["a", "b"]), Tally()
    async with in_memory(pools=[pool]) as app:
        handle = await app.start(chain(map_each(users("gpu", tally)))(list(range(6))))
        await tally.reach(2)
        await turns(5)
        assert tally.now == 2
        assert app.pools() == [PoolStatus("gpu", 2, 0, 2, 4)]
        tally.open()
        assert sorted(set(await handle.result())) == ["a", "b"]
        assert tally.most == 2
        assert app.pools() == [PoolStatus("gpu", 2, 2, 0, 0)]


async def test_members_are_lent_in_order_of_arrival_across_runs() -> None:
    order: list[int] = []
    pool = Pool("one", size=1)

    @step(pool=pool)
    async def use(number: int) -> int:
        await turns(2)
        order.append(number)
        return pool.mine()

    async with in_memory() as app:
        handles = [await app.start(chain(use)(number)) for number in range(5)]
        assert [await handle.result() for handle in handles] == [0] * 5
    assert order == [0, 1, 2, 3, 4]


async def test_a_member_is_given_back_when_a_step_fails_is_cancelled_or_takes_too_long() -> None:
    pool, tally = Pool("one", size=1), Tally()

    @step(pool=pool)
    async def fails(number: int) -> int:
        raise ValueError(number)

    async with in_memory() as app:
        assert await code_of(app.run(chain(fails)(1))) == "step_failed"
        waiting = await app.start(chain(users(pool, tally))(1))
        await tally.reach(1)
        queued = await app.start(chain(users(pool, tally))(2))
        await turns(3)
        await queued.cancel()
        await waiting.cancel()
        assert (await waiting.outcome()).status == (await queued.outcome()).status == "cancelled"
        assert await code_of(app.run(chain(users(pool, tally).with_(timeout=0.01))(1))) == "timeout"
        assert app.pools() == [PoolStatus("one", 1, 1, 0, 0)]


async def test_a_member_that_is_not_well_is_replaced() -> None:
    async def is_well(member: str) -> bool:
        return not member.startswith("sick")

    pool = Pool("gpu", ["sick"], health=is_well, replace=lambda member: member.removeprefix("sick") + "new")

    @step(pool=pool)
    def use(number: int) -> str:
        return pool.mine()

    async with in_memory() as app:
        assert await app.run(chain(use)(1)) == "new"
        assert await app.run(chain(use)(1)) == "new"


async def test_members_that_are_not_well_are_passed_over_and_looked_at_again_later() -> None:
    sick = {"a", "b"}
    pool = Pool("gpu", ["a", "b"], health=lambda member: member not in sick)

    @step(pool=pool)
    async def use(number: int) -> str:
        return pool.mine()

    async with in_memory() as app:
        assert await code_of(app.run(chain(use)(1))) == "pool_unhealthy"
        sick.discard("b")
        assert await app.run(chain(use)(1)) == "b"
        sick.clear()
        assert sorted(await app.run(chain(map_each(use))([1, 2]))) == ["a", "b"]
        assert app.pools() == [PoolStatus("gpu", 2, 2, 0, 0)]


async def test_whoever_waits_while_the_others_are_not_well_is_told_when_none_is_left() -> None:
    sick: set[str] = {"b"}
    pool, tally = Pool("gpu", ["a", "b"], health=lambda member: member not in sick), Tally()
    async with in_memory() as app:
        holder = await app.start(chain(users(pool, tally))(1))
        await tally.reach(1)
        first = await app.start(chain(users(pool, tally))(2))
        second = await app.start(chain(users(pool, tally))(3))
        await turns(3)
        sick.add("a")
        tally.open()
        assert await holder.result() == "a"
        assert await code_of(first.result()) == await code_of(second.result()) == "pool_unhealthy"
        assert app.pools() == [PoolStatus("gpu", 2, 2, 0, 0)]


async def test_a_health_check_that_raises_fails_the_attempt_and_keeps_the_member() -> None:
    answers: list[Exception | bool] = [ConnectionError("no answer"), True]

    def ask(member: int) -> bool:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    pool = Pool("gpu", size=1, health=ask)

    @step(pool=pool, retry=Retry(2, 0))
    async def use(number: int) -> int:
        return current().attempt

    async with in_memory() as app:
        assert await app.run(chain(use)(1)) == 2


async def test_a_step_may_take_members_of_other_pools() -> None:
    gpus, disks = Pool("gpu", ["g"]), Pool("disk", ["d"])

    @step(pool=gpus)
    async def use(number: int) -> list[Any]:
        async with disks.take() as disk:
            inside = [gpus.mine(), disks.mine(), disk, current().resource]
        return [*inside, current().resource, len(current().holds)]

    async with in_memory() as app:
        assert await app.run(chain(use)(1)) == ["g", "d", "d", "d", "g", 1]
        assert [status.free for status in app.pools()] == [1, 1]


async def test_branches_that_take_two_pools_in_turn_are_told_of_the_cycle() -> None:
    left, right = Pool("left", size=1), Pool("right", size=1)
    met = asyncio.Barrier(2)

    @step
    async def ab(number: int) -> str:
        async with left.take():
            await met.wait()
            async with right.take():
                return "ab"

    @step
    async def ba(number: int) -> str:
        async with right.take():
            await met.wait()
            async with left.take():
                return "ba"

    async with in_memory() as app:
        with pytest.raises(RunFailed) as caught:
            await app.run(chain(parallel(ab, ba, on_error="fail_slow"))(1), id="r")
        failure = caught.value.failure
        assert failure.code == "workflow_deadlock"
        assert "parallel/ab of run r holds 'left' and waits for 'right'" in failure.message
        assert "parallel/ba of run r holds 'right' and waits for 'left'" in failure.message
        assert [status.free for status in app.pools()] == [1, 1]


async def test_a_cycle_of_three_through_a_pool_of_two_is_found_and_the_others_go_on() -> None:
    a, b = Pool("a", size=2), Pool("b", size=1)
    met = asyncio.Barrier(3)

    @step
    async def from_a(number: int) -> str:
        async with a.take():
            await met.wait()
            async with b.take():
                return "a"

    @step
    async def from_b(number: int) -> str:
        async with b.take():
            await met.wait()
            async with a.take():
                return "b"

    async with in_memory() as app:
        handles = [await app.start(chain(use)(1), id=f"r{n}") for n, use in enumerate((from_a, from_a, from_b))]
        outcomes = [await handle.outcome() for handle in handles]
        assert sorted(outcome.status for outcome in outcomes) == ["completed", "completed", "failed"]
        assert [status.free for status in app.pools()] == [2, 1]


async def test_taking_the_only_member_twice_is_a_cycle_of_one() -> None:
    pool = Pool("one", size=1)

    @step(pool=pool)
    async def greedy(number: int) -> int:
        async with pool.take() as member:
            return member

    async with in_memory() as app:
        assert await code_of(app.run(chain(greedy)(1))) == "workflow_deadlock"


async def test_children_of_a_step_wait_on_its_behalf() -> None:
    pool = Pool("one", size=1)

    @step(pool=pool)
    async def family(number: int) -> int:
        async def child() -> int:
            async with pool.take() as member:
                return member

        return sum(await asyncio.gather(child(), child()))

    async with in_memory() as app:
        assert await code_of(app.run(chain(family)(1))) == "workflow_deadlock"


async def test_waiting_for_somebody_who_is_not_stuck_is_no_deadlock() -> None:
    a, b, tally = Pool("a", size=1), Pool("b", size=1), Tally()

    @step
    async def both(number: int) -> str:
        async with a.take(), b.take():
            return "both"

    async with in_memory() as app:
        other = await app.start(chain(users(b, tally))(1))
        await tally.reach(1)
        waiting = await app.start(chain(both)(1))
        await turns(3)
        tally.open()
        assert await other.result() == "0"
        assert await waiting.result() == "both"


async def test_journaled_calls_of_a_step_share_the_member_that_it_holds() -> None:
    pool, other = Pool("one", size=1), Pool("other", ["o"])

    @step(pool="one")
    async def inner(number: int) -> int:
        return pool.mine()

    @step(pool=other)
    def elsewhere(number: int) -> str:
        return other.mine()

    @step(pool=pool)
    async def outer(number: int) -> list[Any]:
        return [await current().call(inner, number), await current().call(elsewhere, number), current().resource]

    async with in_memory() as app:
        assert await app.run(chain(outer)(1)) == [0, "o", 0]


async def test_durable_functions_draw_from_pools() -> None:
    pool, tally = Pool("one", size=2), Tally(open=True)
    use = users(pool, tally)

    @workflow
    async def many(ctx: Context) -> list[str]:
        return await ctx.map(use, list(range(5)))

    async with in_memory() as app:
        assert len(await app.run(many())) == 5
        assert tally.most == 2


@pytest.mark.parametrize("declared", [True, False])
async def test_steps_that_are_stages_or_the_sink_of_a_stream_draw_from_their_pools(declared: bool) -> None:
    pool, tally = Pool("two", size=2), Tally(open=True)
    seen: list[Any] = []

    @step(pool="two" if declared else pool)
    async def use(number: int) -> int:
        await tally.visit()
        return number

    @step(pool=pool)
    async def store(batch: list[int]) -> None:
        seen.append((batch, pool.mine(), current().holds[-1].pool))

    def numbers(count: int) -> range:
        return range(count)

    pumped = stream(numbers).map(use, concurrency=5).batch(4)
    async with in_memory(pools=[pool] if declared else []) as app:
        assert (await app.run(chain(pumped.into(store))(8))).taken == 8
        assert tally.most == 2
        assert [(batch, name) for batch, _, name in seen] == [([0, 1, 2, 3], "two"), ([4, 5, 6, 7], "two")]
        assert app.pools() == [PoolStatus("two", 2, 2, 0, 0)]
    assert [batch async for batch in pumped.items(4)] == [[0, 1, 2, 3]]  # outside a run there are no pools


async def test_a_pool_that_the_app_does_not_have_is_an_error() -> None:
    async with in_memory(pools=[Pool("gpu", size=1)]) as app:
        assert await code_of(app.run(chain(users("cpu", Tally(open=True)))(1))) == "unknown_pool"
        assert await code_of(app.run(chain(users(Pool("gpu", size=1), Tally(open=True)))(1))) == "duplicate_name"


async def test_outside_a_run_the_first_member_is_there_at_once() -> None:
    pool = Pool("gpu", ["a", "b"])
    async with pool.take() as member, pool.take() as again:
        assert member == again == pool.mine() == "a"
    with pytest.raises(RipresaError, match="no member of pool 'gpu' is held here") as caught:
        pool.mine()
    assert caught.value.code == "usage"
    assert current().resource is None
    assert repr(pool) == "<pool gpu of 2>"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "a/b", "size": 0}, "name is 'a/b'.*size is 0"),
        ({"name": "a"}, "either members or size"),
        ({"name": "a", "members": [], "health": 3}, "members is empty.*health is 3"),
        ({"name": "a", "size": 1, "replace": len}, "replace is asked only where health says no"),
    ],
)
def test_bad_options_are_named_together(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidConfig, match=message):
        Pool(**options)


@pytest.mark.parametrize("pool", [3, ""])
def test_a_step_takes_a_pool_or_a_name(pool: Any) -> None:
    with pytest.raises(InvalidConfig, match=r"pool is .*, must be a Pool or the name of one"):
        step(pool=pool)(len)


def test_an_app_has_one_pool_of_a_name() -> None:
    async def open_it() -> None:
        async with App("memory:", pools=[Pool("a", size=1), Pool("a", size=1)]):
            pass

    with pytest.raises(InvalidConfig, match="two pools named 'a'"):
        asyncio.run(open_it())


@pytest.mark.parametrize("early", [False, True])
async def test_a_member_that_comes_too_late_goes_to_the_next(early: bool) -> None:
    pool = Pool("one", size=1)
    order: list[str] = []

    async def child(name: str) -> None:
        async with pool.take():
            order.append(name)

    @step
    async def use(number: int) -> None:
        async def hold() -> None:
            async with pool.take():
                await turns(3)
                if early:
                    first.cancel()  # which stands in the queue until it runs
            first.cancel()  # which has been given the member, and has not run since

        holder = asyncio.ensure_future(hold())
        await turns(1)
        first, second = asyncio.ensure_future(child("first")), asyncio.ensure_future(child("second"))
        await asyncio.gather(holder, first, second, return_exceptions=True)

    async with in_memory() as app:
        await app.run(chain(use)(1))
        assert order == ["second"]
        assert app.pools() == [PoolStatus("one", 1, 1, 0, 0)]


async def test_a_child_process_is_lent_a_member_that_can_be_written_as_json() -> None:
    fine = step(pool=Pool("gpu", [{"device": 3}]), executor="process")(lent)
    strange = step(pool=Pool("odd", [object()]), executor="process")(lent)
    async with in_memory(processes=1) as app:
        assert await app.run(fine()) == {"device": 3}
        assert await code_of(app.run(strange())) == "not_encodable"
