"""A stream: readings of many sensors, hour by hour, cleaned, averaged over sliding windows and stored in batches.

python examples/stream.py
ripresa run examples/stream.py:averages --input 240
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from statistics import mean

from ripresa import App, At, DeadLetter, Retry, current, step, stream


@dataclass
class Reading:
    hour: int
    sensor: str
    value: str


@dataclass
class Measured:
    hour: int
    value: float


async def hours(count: int, position: int | None) -> AsyncIterator[At[int, int]]:
    """One hour after the other, each with the position from which to go on after it."""
    for hour in range(position or 0, count):
        await asyncio.sleep(0)  # here one would wait for a broker, a cursor, a socket
        yield At(hour, hour + 1)


def readings(hour: int) -> Iterator[Reading]:
    for sensor in "abc":
        broken = sensor == "c" and hour % 50 == 7
        yield Reading(hour, sensor, "?" if broken else str(hour % 24))


@step(retry=Retry(3, 0.1))
async def measured(reading: Reading) -> Measured:
    return Measured(reading.hour, float(reading.value))


def average(window: list[Measured]) -> Measured:
    return Measured(window[-1].hour, round(mean(each.value for each in window), 2))


@step
async def store(batch: list[Measured]) -> None:
    """Called again with the same key if the process dies before the batch is recorded."""
    current().progress(batch[-1].hour, None, "hours stored")


async def report(letter: DeadLetter) -> None:
    print(f"left out hour {letter.item.hour}: {letter.failure.message}")


averages = (
    stream(hours, name="averages", buffer=200)
    .flat_map(readings)
    .map(measured, concurrency=4, on_error="skip")
    .window(72, every=36)  # a day of three sensors, every half day
    .map(average)
    .batch(4)
    .into(store, dead_letters=report)
)


async def main() -> None:
    async with App() as app:
        result = await app.run(averages(240))
        print(f"{result.taken} hours in {result.batches} batches, {result.dead} readings left out")
    async for window in stream(hours).window(3).items(9):
        print(window)
    async for day in stream(hours).time_window("1 day", at=lambda hour: 3600 * hour).items(60):
        print(f"{day.start:%d %B}: {len(day.items)} hours")


if __name__ == "__main__":
    asyncio.run(main())
