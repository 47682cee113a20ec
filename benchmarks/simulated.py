"""How many schedules the simulator plays in a second: of a chain of ten steps, of a fan-out, of a durable function."""

from __future__ import annotations

import time
from typing import Any

from ripresa import Context, chain, map_each, step, workflow
from ripresa.core.retry import Retry
from ripresa.testing.simulator import STORM, Attempt, Faults, Simulation

CALM = Faults()
LENGTH = 10


@step
async def add(value: int) -> int:
    raise NotImplementedError


@workflow
async def ten(ctx: Context, value: int) -> int:
    for _ in range(LENGTH):
        value = await add(value)
    return value


def added(attempt: Attempt) -> Any:
    given = attempt.input
    return (given if isinstance(given, int) else next(iter(given))) + 1


def simulations() -> dict[str, Simulation]:
    """Workflows of ten steps."""
    flow = chain(add)
    for _ in range(LENGTH - 1):
        flow = flow.then(add)
    options: dict[str, Any] = {"retry": Retry(40, 0.1)}
    return {
        "chain of 10": Simulation.of(flow, {"add": added}, input=1, **options),
        "map of 10": Simulation.of(chain(map_each(add)), {"add": added}, input=list(range(LENGTH)), **options),
        "function of 10": Simulation.of(ten, {"add": added}, input=1, **options),
    }


def measure(count: int = 200) -> list[tuple[str, float, float]]:
    """Schedules per second, undisturbed and with all faults."""
    found: list[tuple[str, float, float]] = []
    for name, simulation in simulations().items():
        rates: list[float] = []
        for faults in (CALM, STORM):
            begin = time.perf_counter()
            for seed in range(count):
                simulation.run(seed, faults)
            rates.append(count / (time.perf_counter() - begin))
        found.append((name, rates[0], rates[1]))
    return found
