"""How things are measured: several rounds, the median, and a ratio to a floor of the same run."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field


@dataclass
class Table:
    """Rows of what was measured, printed as they come."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)

    def add(self, *cells: object) -> None:
        """One more row."""
        row = tuple(f"{cell:,.2f}" if isinstance(cell, float) else str(cell) for cell in cells)
        self.rows.append(row)
        print(f"  {row[0]:<58}" + "".join(f"{cell:>16}" for cell in row[1:]), flush=True)

    def begin(self) -> None:
        """Print the heading."""
        print(f"\n{self.title}\n  {self.columns[0]:<58}" + "".join(f"{name:>16}" for name in self.columns[1:]))

    def markdown(self) -> str:
        """The table for the documentation."""
        lines = [f"| {' | '.join(self.columns)} |", "|" + " --- |" * len(self.columns)]
        lines += [f"| {' | '.join(cell or '-' for cell in row)} |" for row in self.rows]
        return f"## {self.title}\n\n" + "\n".join(lines) + "\n"


async def seconds(work: Callable[[], Awaitable[object]], rounds: int = 5) -> list[float]:
    """How long each of several rounds took, the first (which warms up) left out."""
    found: list[float] = []
    for number in range(rounds + 1):
        await asyncio.sleep(0)
        begin = time.perf_counter()
        await work()
        if number:
            found.append(time.perf_counter() - begin)
    return found


def median(values: list[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def percentile(values: list[float], share: float) -> float:
    """The value that this share of all is at most."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
