"""The workflows that are measured: as little work as possible, so that the engine is what is left."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from ripresa import Chain, Context, Flow, chain, current, for_range, map_each, parallel, step, stream, workflow


@step
async def increment(value: int) -> int:
    """The cheapest step that still has a result."""
    return value + 1


@step
async def count(total: int, number: int) -> int:
    """One iteration of a loop."""
    return total + number


@step
async def millisecond(value: int) -> int:
    """A realistic step: it waits for something for 1 ms."""
    await asyncio.sleep(0.001)
    return value + 1


@step
async def tenth(value: int) -> int:
    """An I/O-bound branch: it waits for 100 ms."""
    await asyncio.sleep(0.1)
    return value


@step(executor="process")
def burn(value: int) -> int:
    """A CPU-bound branch: 200 ms of arithmetic in a process of its own."""
    end = time.process_time() + 0.2
    while time.process_time() < end:
        value = (value * 1_103_515_245 + 12_345) % 2_147_483_648
    return value


@step
async def attempt_number(value: int) -> int:
    """A step that looks at its context."""
    return value + current().attempt


def chain_of(steps: int, link: Any = increment) -> Chain[int, int]:
    """The same step again and again."""
    made: Chain[int, int] = chain(link)
    for _ in range(steps - 1):
        made = made.then(link)
    return made


def loop_of(steps: int) -> Flow[int, int]:
    """The same as a loop, for numbers of steps that nobody writes down."""
    return for_range(count, 0, steps)


def branches(width: int, link: Any) -> Flow[int, Any]:
    """The same step side by side."""
    return parallel(*(link for _ in range(width)))


mapped = map_each(increment)


@workflow
async def holding(ctx: Context, data: str, steps: int) -> int:
    """Holds its input unchanged while small steps run."""
    value = 0
    for _ in range(steps):
        value = await increment(value)
    return value + len(data)


@step
async def make(size: int) -> str:
    """A value of this many bytes."""
    return "x" * size


checkpoint = chain(make)


def numbers(count: int) -> Iterator[int]:
    """A source that gives numbers at once."""
    return iter(range(count))


async def async_numbers(count: int) -> AsyncIterator[int]:
    """The same, asynchronously."""
    for number in range(count):
        yield number


def texts(count: int) -> Iterator[str]:
    """A source that gives texts of 1 kB, each one anew."""
    return (f"{number:01000}" for number in range(count))


def three_stages(source: Any) -> Any:
    """Three stages that do next to nothing."""
    return stream(source).map(lambda value: value + 1).filter(lambda value: value % 2).map(lambda value: value * 2)


async def accept(batch: object) -> None:
    """A sink that is done at once."""


class SlowSink:
    """A sink that is slower than everything before it, and looks how much memory the process has."""

    def __init__(self) -> None:
        self.begin = resident()
        self.more = 0

    async def __call__(self, batch: list[str]) -> None:
        await asyncio.sleep(0.0002)
        self.more = max(self.more, resident() - self.begin)


def resident() -> int:
    """Bytes of memory that the process has (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
