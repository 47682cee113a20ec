"""A durable function: control flow is Python, and every call that it awaits is journaled.

python examples/function.py
ripresa run examples/function.py:watch --input '{"places": ["Rome", "Oslo"], "rounds": 2}'
"""

from __future__ import annotations

import asyncio
from datetime import datetime

from ripresa import App, Context, current, step, workflow


@step(effect="read", timeout=10)
async def measure(place: str) -> float:
    await asyncio.sleep(0.01)
    return 12.0 + len(place)


@step(effect="read", timeout=10)
async def near_station(place: str) -> str:
    await asyncio.sleep(0.01)
    return f"the station in {place}"


@step(effect="read", timeout=10)
async def far_station(place: str) -> str:
    await asyncio.sleep(0.2)
    return f"the satellite over {place}"


@step
async def publish(text: str) -> str:
    # The same for every attempt of this step: a service that knows it does the work once.
    return f"{text} [{current().idempotency_key}]"


@workflow
async def watch(ctx: Context, places: list[str], rounds: int = 1, pause: float = 0.05) -> list[str]:
    """Measure in rounds; between them it sleeps, for seconds or for months: the process need not live that long."""
    told: list[str] = []
    for number in range(rounds):
        temperatures = await ctx.map(measure, places, concurrency=4)
        warmest = places[temperatures.index(max(temperatures))]
        # Side by side: all of them, or the first of them.
        source, rumour = await ctx.gather(
            ctx.race(near_station(warmest), far_station(warmest)),
            near_station(places[0]),
        )
        told.append(await publish(f"{warmest} is warmest, says {source}; {rumour} agrees"))
        if number + 1 < rounds:
            await ctx.sleep(pause)
    # The run's own clock: the same answer when the run is taken up again.
    assert isinstance(ctx.now(), datetime)
    return told


async def main() -> None:
    async with App() as app:
        for line in await app.run(watch(["Rome", "Oslo"], rounds=2)):
            print(line)


if __name__ == "__main__":
    asyncio.run(main())
