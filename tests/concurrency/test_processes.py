"""Several processes on one SQLite file start, take over, signal and cancel the same runs, and are killed meanwhile."""

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from ripresa import App, Context, Retry, RipresaError, Signal, chain, map_each, step, workflow
from ripresa.core.events import RunTaken, SignalReceived
from ripresa.stores.sqlite import SQLiteStore
from tests.concurrency.yard import check_journal

ROOT = Path(__file__).parents[2]
RUNS = 16
go_on = Signal("go_on", int)


@step(retry=Retry(9, 0))
async def add(value: int) -> int:
    await asyncio.sleep(0.002)
    return value + 1


@step
async def spread(value: int) -> list[int]:
    return list(range(value))


@workflow
async def asks(ctx: Context, value: int) -> int:
    first = await add(value)
    told = await ctx.wait_for(go_on)
    return await add(first + told + await ctx.wait_for(go_on))


flow = chain(spread, name="fan").then(map_each(chain(add).then(add), concurrency=2))


def work(number: int) -> Any:
    """The run of this number."""
    return asks(number) if number % 2 else flow(number % 5)


def result(number: int) -> Any:
    return number + 2 + 10 + 20 if number % 2 else [value + 2 for value in range(number % 5)]


BUSY = ("owned_elsewhere", "illegal_transition", "interrupted", "fenced", "run_not_found", "closed")
"""What a process is told when another was quicker."""


async def attempt(app: App, number: int, chance: Random) -> None:
    """Do something with one of the runs."""
    id, call = f"r{number}", work(number)
    try:
        match chance.randrange(4):
            case 0 | 1:
                await app.start(call, id=id)
            case 2:
                await app.resume(id, asks if number % 2 else flow)
            case _:
                handle = await app.handle(id)
                for name, value in (("a", 10), ("b", 20)):
                    if number % 2:
                        await handle.send(go_on, value, id=name)
    except RipresaError as error:
        if error.code not in BUSY:
            raise


async def drive(path: str, seed: int, deadly: bool) -> None:
    """What a child does: anything with all runs until they have ended, or until it is killed by its own hand."""
    chance = Random(seed)
    async with App(SQLiteStore(path, "normal"), workflows=[asks, flow], linger=0.05) as app:
        while True:
            await asyncio.gather(*(attempt(app, chance.randrange(RUNS), chance) for _ in range(6)))
            await asyncio.sleep(chance.random() * 0.02)
            if deadly and chance.random() < 0.15:
                os.kill(os.getpid(), signal.SIGKILL)
            page = await app.runs()
            if len(page.runs) == RUNS and all(run.status == "completed" for run in page.runs):
                return


def child(path: Path, seed: int, *, deadly: bool) -> subprocess.Popen[bytes]:
    code = (
        "import asyncio; from tests.concurrency.test_processes import drive; "
        f"asyncio.run(drive({str(path)!r}, {seed}, {deadly}))"
    )
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE)


async def test_processes_that_share_runs_and_are_killed_bring_each_to_its_end_once(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    deadly = [child(path, seed, deadly=True) for seed in range(2)]
    lasting = [child(path, 10 + seed, deadly=False) for seed in range(2)]
    for process in deadly:
        _, told = await asyncio.to_thread(process.communicate, timeout=60)
        assert process.returncode in (0, -signal.SIGKILL), told.decode()
    for process in lasting:
        _, told = await asyncio.to_thread(process.communicate, timeout=60)
        assert process.returncode == 0, told.decode()
    async with App(SQLiteStore(path, "normal")) as app:
        for number in range(RUNS):
            journal = await app.engine.history(f"r{number}")
            check_journal(journal, "completed")
            handle = await app.handle(f"r{number}", asks if number % 2 else flow)
            assert await handle.result() == result(number)
            received = Counter(item.event.id for item in journal if isinstance(item.event, SignalReceived))
            assert received == Counter({"a": 1, "b": 1} if number % 2 else {})
            epochs = [item.event.epoch for item in journal if isinstance(item.event, RunTaken)]
            assert epochs == sorted(set(epochs))
