"""Waits for what other threads and processes do: they set no event of ours."""

import asyncio
from collections.abc import Callable
from pathlib import Path


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - nobody there could set an event
            await asyncio.sleep(0.001)


async def said(file: Path) -> list[int]:
    """The numbers that a job writes into a file when it has begun."""
    await until(file.exists)
    return numbers(file)


def numbers(file: Path) -> list[int]:
    return [int(word) for word in file.read_text(encoding="utf-8").split()]


def is_known(pid: int) -> bool:
    """Whether the system knows such a process: it runs, or nobody has waited for it yet."""
    return Path(f"/proc/{pid}").exists()


def is_alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


async def gone(*pids: int) -> None:
    await until(lambda: not any(map(is_alive, pids)))
