"""What the tests of the command line share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.program import Terminal, server

WORKFLOWS = '''
"""Workflows for the tests of the command line."""

import asyncio
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from ripresa import Context, Replace, Retry, after, branch, chain, current, delay, fold, map_each, step, workflow


@dataclass
class Topic:
    name: str
    size: int = 1


@step
def numbers(n: int) -> list[int]:
    return list(range(n))


@step
async def double(n: int) -> int:
    return 2 * n


@step
def total(values: list[int]) -> int:
    print("printed by a step")
    return sum(values)


sums = chain(numbers, name="sums").then(map_each(double, concurrency=4)).then(total)


@step
def describe(topic: Topic) -> str:
    return f"{topic.name} x {topic.size}"


topic = chain(describe, name="topic")


@workflow
async def greet(ctx: Context, name: str, times: int = 1) -> list[str]:
    return [name] * times


@workflow
async def one(ctx: Context, name: str) -> str:
    return name


@workflow
async def nothing(ctx: Context) -> None:
    await ctx.sleep(0.01)


class Odd(Exception):
    pass


@step(retry=Retry(attempts=2, wait=0.01))
def fails(n: int) -> int:
    if Path("mended").exists():
        return n
    try:
        return n // 0
    except ZeroDivisionError as error:
        raise Odd("no such number") from error


failing = chain(fails, name="failing")


@step
async def flaky(n: int) -> int:
    if n % 3 == 0 and current().attempt == 1:
        raise ValueError(f"not yet {n}")
    current().progress(1, 2, "halfway")
    return n


retried = chain(numbers, name="retried").then(map_each(flaky.with_(retry=Retry(attempts=3, wait=0.01)), name="tried"))


@step
async def large(n: int) -> str:
    return "x" * n


big = chain(large, name="big")


@step
async def slow(n: int) -> int:
    """Ends when there is a file `go`, which a test makes when it has seen enough."""
    Path(f"began-{n}").touch()
    while not Path("go").exists():
        await asyncio.sleep(0.01)
    return n


@step
def tidy(values: list[int]) -> None:
    Path("tidied").touch()


patient = chain(map_each(slow, concurrency=2), name="patient").cleanup(tidy)


@step
async def stubborn(n: int) -> int:
    """Takes no notice of being cancelled."""
    Path("began").touch()
    while True:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            Path("asked").touch()


deaf = chain(stubborn, name="deaf")


@step
def add(so_far: int, n: int) -> int:
    return so_far + n


def is_large(n: int) -> bool:
    return n > 2


@after("size_of")
def guard(asked):
    return Replace(3)


@after("size_of")
def broken(asked):
    raise ValueError("no such guard")


@step
def size_of(text: str) -> int:
    return len(text)


hooked = chain(size_of, name="hooked").with_hooks(guard, broken)
looped = chain(numbers, name="looped").then(fold(add, 0)).then(branch(is_large, double, flaky)).then(delay(0.01))
'''


@pytest.fixture(scope="session", autouse=True)
def commands() -> Iterator[None]:
    """Let the process that commands are forked from end with the tests."""
    yield
    if server.cache_info().currsize:
        server().communicate()


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    found = Terminal(tmp_path)
    found.write("flows.py", WORKFLOWS)
    return found
