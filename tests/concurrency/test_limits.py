"""What a session allows is never exceeded, however its runs fan out, fail, are cancelled or retried."""

import asyncio
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from ripresa import App, Handle, Limits, Retry, chain, current, map_each, parallel, step
from ripresa.errors import IllegalTransition
from ripresa.stores.memory import MemoryStore
from ripresa.stores.sqlite import SQLiteStore
from tests.concurrency.yard import check_nothing_left, driver_of
from tests.runtime.stage import turns

EACH = 30
"""The tokens that a step reserves; it uses up to as many."""


class Meter:
    """Counts what steps really do."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.inside = self.most = self.began = 0
        self.used = self.reserved = self.most_reserved = 0

    def step(self) -> Any:
        @step(retry=Retry(2, 0))
        async def careful(value: int) -> int:
            await current().reserve(tokens=EACH)
            self.began += 1
            self.inside += 1
            self.reserved += EACH
            self.most = max(self.most, self.inside)
            self.most_reserved = max(self.most_reserved, self.reserved + self.used)
            tokens = 0
            try:
                await turns(self.chance.randrange(6))
                tokens = self.chance.randrange(1, EACH + 1)
                current().usage(tokens=tokens)
                if self.chance.random() < 0.2:
                    raise ConnectionError("not this time")
                return value
            finally:
                self.inside -= 1
                self.reserved -= EACH
                self.used += tokens

        return careful


@pytest.mark.parametrize("where", ["memory", "sqlite"])
@pytest.mark.parametrize("seed", range(5))
async def test_the_limits_of_a_session_hold_under_fan_out_and_cancellation(
    seed: int, where: str, tmp_path: Path
) -> None:
    meter, chance = Meter(seed), Random(seed)
    careful = meter.step()
    spread: Any = chain(map_each(careful))
    flow = chain(parallel(spread, chain(map_each(chain(careful).then(careful)))))
    limits = Limits(tokens=1500, operations=90, concurrency=5)
    store: Any = MemoryStore() if where == "memory" else SQLiteStore(tmp_path / "runs.db", "normal")
    async with App(store, patience=5, linger=None) as app:
        tasks = asyncio.all_tasks()
        await app.sessions.create("s", limits=limits)
        handles = [await app.start(flow([1, 2, 3, 4]), session="s") for _ in range(12)]
        for handle in chance.sample(handles, 4):
            await turns(chance.randrange(40))
            with suppress(IllegalTransition):
                await handle.cancel()
        statuses = [(await handle.outcome()).status for handle in handles]
        used = await app.sessions.used("s")
        assert not await held(app)
        await check_nothing_left(app, tasks)
    assert "failed" in statuses
    assert meter.inside == 0
    assert meter.most <= 5
    assert meter.began <= used["operations"] <= 90
    assert meter.most_reserved <= 1500
    assert used["tokens"] == meter.used <= 1500


async def held(app: App) -> dict[str, float]:
    """What is reserved in the session and not settled: what one more step may not have."""
    used = await app.sessions.used("s")
    return {name: amount for name, amount in used.items() if name.startswith("reserved") and amount}


@pytest.mark.parametrize("seed", range(4))
async def test_a_run_that_pauses_at_its_limit_uses_exactly_what_it_is_allowed(seed: int) -> None:
    began = 0
    chance = Random(seed)

    @step
    async def work(value: int) -> int:
        nonlocal began
        began += 1
        await turns(chance.randrange(4))
        return value

    async with App("memory:", linger=None) as app:
        handle: Handle[Any] = await app.start(
            chain(map_each(work))(list(range(30))), limits=Limits(steps=7, on_exceeded="pause")
        )
        driver = driver_of(app, handle)
        for allowed in (7, 12, 29, 30):
            if allowed > 7:
                await handle.allow(Limits(steps=allowed, on_exceeded="pause"))
            while driver.state.status == "running" or driver.flight.under_way:
                await turns(1)
            assert began == allowed
        assert await handle.result() == list(range(30))
