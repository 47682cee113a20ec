"""A pipeline that shares a typed state: files are read side by side, and one summary grows.

python examples/state.py
ripresa run examples/state.py:survey --input '["3 4", "x", "5"]'
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Annotated

from ripresa import App, branch, chain, current, map_each, step
from ripresa.reducers import add, append, max, min


@dataclass
class Survey:
    """What is known so far."""

    title: str = "no readings"
    readings: Annotated[int, add] = 0
    sum: Annotated[float, add] = 0.0
    lowest: Annotated[float | None, min] = None
    highest: Annotated[float | None, max] = None
    rejected: Annotated[list[str], append] = field(default_factory=list[str])


@step
async def read(line: str) -> int:
    """Take the readings of one line in."""
    to = current().to(Survey)
    try:
        values = [float(word) for word in line.split()]
    except ValueError:
        append(to.rejected, line)
        return 0
    for value in values:
        add(to.sum, value)
        min(to.lowest, value)
        max(to.highest, value)
    add(to.readings, len(values))
    return len(values)


@step
def summarise(counts: list[int]) -> str:
    """Write the title."""
    survey = current().state(Survey)
    survey.title = f"{survey.readings} readings between {survey.lowest} and {survey.highest}"
    return survey.title


@step
def complain(counts: list[int]) -> str:
    """Say what was wrong."""
    rejected = current().state(Survey).rejected
    return f"too much is wrong: {', '.join(rejected)}"


def is_usable(counts: list[int]) -> bool:
    """Whether less than half of the lines were rejected."""
    return 2 * len(current().state(Survey).rejected) < len(counts)


survey = chain(map_each(read, concurrency=4)).then(branch(is_usable, summarise, complain)).with_state(Survey)


async def main() -> None:
    async with App("memory:") as app:
        handle = await app.start(survey(["20.5 21", "19 23.5", "broken", "22"]))
        print(await handle.result())
        found = await handle.state(Survey)
        print(f"mean {found.sum / found.readings:.1f}, left out: {', '.join(found.rejected)}")
        print(await app.run(survey(["?", "!"])))


if __name__ == "__main__":
    asyncio.run(main())
