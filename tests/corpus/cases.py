"""What a case of the corpus is, and the steps that its workflows share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from ripresa import Handle, RipresaError, Runnable, Signal, Update, step

Act = Callable[[Handle[Any]], Awaitable[None]]


@dataclass(frozen=True)
class Case:
    """A small workflow, what it is given, how it ends, and what people do meanwhile (again after every restart)."""

    name: str
    flow: Runnable[..., Any]
    input: tuple[Any, ...]
    output: Any = None
    status: str = "completed"
    act: Act | None = None
    options: dict[str, Any] = field(default_factory=dict[str, Any])


def sends(*signals: tuple[Signal[Any], Any]) -> Act:
    """Send these signals, each once."""

    async def act(handle: Handle[Any]) -> None:
        for number, (signal, value) in enumerate(signals):
            await handle.send(signal, value, id=f"signal-{number}")

    return act


def asks(*updates: tuple[Update[Any, Any], Any]) -> Act:
    """Send these updates, each once, one after the other is answered; one that is left unanswered ends it."""

    async def act(handle: Handle[Any]) -> None:
        for number, (update, value) in enumerate(updates):
            try:
                await handle.update(update, value, id=f"update-{number}")
            except RipresaError as error:
                if error.code != "update_refused":
                    raise

    return act


@step
async def add_one(value: int) -> int:
    return value + 1


@step
async def double(value: int) -> int:
    return value * 2


@step
def square(value: int) -> int:
    return value * value


@step
async def add(a: int, b: int) -> int:
    return a + b


@step
async def total(values: list[int]) -> int:
    return sum(values)


@step
async def numbers(count: int) -> list[int]:
    return list(range(count))


@step
async def broken(value: int) -> int:
    raise ValueError(f"no {value}")


@step
async def never(value: int) -> int:
    await asyncio.Event().wait()
    return value


def is_even(value: int) -> bool:
    return value % 2 == 0
