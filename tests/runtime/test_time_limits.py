"""The time that a run may take: who watches it, and that nobody does in the place of a run that is only looked at."""

from ripresa import Context, Limits, Query, Signal, chain, workflow
from ripresa.core.events import RunStuck
from ripresa.runtime.alarms import Alarms
from ripresa.testing.clock import START, ManualClock

from .stage import on_clock, turns

GO = Signal("go", int)
STAGE = Query("stage", str)


@workflow
async def waits(ctx: Context, number: int) -> int:
    ctx.expose(STAGE, lambda: "waiting")
    return number + await ctx.wait_for(GO)


async def test_a_run_that_is_only_looked_at_has_no_alarm() -> None:
    async with on_clock() as (app, clock):
        handle = await app.start(waits(1), id="r", limits=Limits(wall_time=50))
        await turns(3)
        await handle.allow(Limits(wall_time=90))
        before = clock.waiting()
        assert await handle.query(STAGE) == "waiting"
        assert clock.waiting() == before
        assert START + 90_000_000 in before
        assert START + 50_000_000 not in before
        fork = await handle.fork()
        assert clock.waiting().count(START + 90_000_000) == 2
        await fork.cancel()
        await handle.cancel()


async def test_a_run_that_is_given_a_limit_of_time_late_is_watched_and_stops_being_when_it_is_taken_away() -> None:
    async with on_clock() as (app, clock):
        handle = await app.start(chain(waits)(1), id="r")
        await turns(3)
        await handle.allow(Limits(wall_time=50))
        assert START + 50_000_000 in clock.waiting()
        await handle.allow(Limits(steps=50))
        assert START + 50_000_000 not in clock.waiting()
        await handle.cancel()


async def test_an_alarm_that_has_gone_off_is_not_set_any_more() -> None:
    clock = ManualClock()
    told: list[object] = []
    alarms = Alarms(clock, told.append)
    alarms.wake_at("time", START + 1, RunStuck(START, ""))
    assert alarms
    clock.advance(1)
    assert told
    assert not alarms
