"""Processes are killed while their runs sleep, and between a signal and its delivery: nothing is lost or doubled."""

import asyncio
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ripresa import App, Context, Signal, step, workflow
from ripresa.core.events import RunTaken, SignalReceived
from ripresa.stores.sqlite import SQLiteStore
from tests.crash.nursery import uncounted

number = Signal("number", int)


@step
async def double(value: int) -> int:
    return 2 * value


@workflow
async def add_up(ctx: Context, count: int) -> list[int]:
    return [await double(await ctx.wait_for(number)) for _ in range(count)]


async def sleeps(path: str) -> None:
    """Start a run, let it fall asleep, die."""
    async with App(SQLiteStore(path), linger=0) as app:
        handle = await app.start(add_up(2), id="r")
        while handle.id in app.engine.drivers:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)
        die()


async def sends(path: str) -> None:
    """Send a run of another process a signal, die before anybody took it up."""
    async with App(SQLiteStore(path), linger=0) as app:
        handle = await app.handle("r")
        await app.store.put("r", "signal", body(3), "signal/first")
        assert handle.id not in app.engine.drivers
        die()


async def wakes(path: str) -> None:
    """Take a run up that was sent a signal, and die when it has been recorded."""
    async with App(SQLiteStore(path), linger=0, workflows=[add_up], listeners=[die_at_signal]) as app:
        await (await app.handle("r")).result()


def die_at_signal(recorded: Any) -> None:
    if isinstance(recorded.event, SignalReceived):
        die()


def body(value: int) -> bytes:
    return json.dumps({"name": "number", "value": str(value), "id": "first", "by": ""}).encode()


def die() -> None:
    import os

    os.kill(os.getpid(), signal.SIGKILL)


def killed(name: str, path: Path) -> None:
    """Run one of the functions above in a process of its own, which does not survive it."""
    code = f"import asyncio; from tests.crash import test_asleep as t; asyncio.run(t.{name}({str(path)!r}))"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, env=uncounted(), check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """What was left in the folder of the store when each process was killed, one after the other."""
    here, found = tmp_path_factory.mktemp("runs"), list[Path]()
    for number, name in enumerate(("sleeps", "sends", "wakes", "sends")):
        killed(name, here / "runs.db")
        found.append(tmp_path_factory.getbasetemp() / f"left after {number}")
        shutil.copytree(here, found[-1])
    return found


@pytest.mark.xdist_group("asleep")
@pytest.mark.parametrize("killings", [1, 2, 3, 4])
async def test_a_run_outlives_every_process_that_had_to_do_with_it(left: list[Path], killings: int) -> None:
    async with App(SQLiteStore(left[killings - 1] / "runs.db"), linger=0, workflows=[add_up]) as app:
        handle = await app.handle("r", add_up)
        await app.store.put("r", "signal", body(3), "signal/first")
        if not await app.engine.is_driven("r"):
            await app.resume("r", add_up)
        await handle.send(number, 4)
        assert await handle.result() == [6, 8]
        journal = [recorded.event async for recorded in handle.events()]
        assert len([event for event in journal if isinstance(event, SignalReceived)]) == 2
        assert next(event.epoch for event in journal if isinstance(event, RunTaken)) == 2
