"""The clock that a test owns."""

import asyncio
from typing import Any

from ripresa import App, chain, delay
from ripresa.ports import Clock
from ripresa.testing.clock import START, ManualClock


async def test_time_stands_still_until_it_is_moved() -> None:
    clock = ManualClock()
    assert isinstance(clock, Clock)
    await asyncio.sleep(0.001)
    assert clock.now() == START
    clock.advance("1 m")
    clock.advance(0.5)
    assert clock.now() == START + 60_500_000


async def test_what_is_due_on_the_way_happens_in_order_at_its_moment() -> None:
    clock, seen = ManualClock(0), list[tuple[str, int]]()
    for name, due in (("late", 3), ("early", 1), ("second", 1), ("never", 2), ("after", 9)):
        alarm = clock.call_at(due * 1_000_000, lambda name=name: seen.append((name, clock.now())))  # type: ignore[misc]
        if name == "never":
            alarm.cancel()
    assert clock.waiting() == [1_000_000, 1_000_000, 3_000_000, 9_000_000]
    clock.advance(5)
    assert seen == [("early", 1_000_000), ("second", 1_000_000), ("late", 3_000_000)]
    assert clock.now() == 5_000_000


async def test_what_is_due_already_happens_on_the_next_turn() -> None:
    clock, seen = ManualClock(5), list[int]()
    clock.call_at(5, lambda: seen.append(1))
    clock.call_at(1, lambda: seen.append(2)).cancel()
    assert seen == []
    await asyncio.sleep(0)
    assert seen == [1]


async def test_a_jump_waits_for_something_to_wait_for() -> None:
    clock = ManualClock()
    async with App("memory:", clock=clock) as app:
        flow: Any = chain(delay("3 days")).then(delay(1))
        handle = await app.start(flow(7))
        assert await clock.jump() == 3 * 24 * 3600 * 1_000_000
        assert await clock.jump() == 1_000_000
        assert await handle.result() == 7
