"""What runs cost that are asleep: memory of a process for 100,000 of them, and how late 1,000 wake together.

The rows are written as the engine writes them, without starting each run; a child process opens the file as any app
does. `python -m benchmarks.asleep FILE` is that child.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ripresa import App, Chain, Recorded, Signal, chain, delay, step, wait_for
from ripresa.core.codec import decode_events, encode_events
from ripresa.core.durations import MICROSECONDS
from ripresa.core.events import RunCompleted, RunStarted, TimerSet, WaitStarted
from ripresa.ports import NEVER
from ripresa.stores.sqlite import SQLiteStore

from .measure import percentile

DAY = 24 * 3600 * MICROSECONDS
AHEAD = 4 * MICROSECONDS
"""How long before they are due the runs are written that wake together."""

number = Signal("number", int)


@step
async def same(value: Any) -> Any:
    return value


later: Chain[Any, Any] = chain(delay("1 day", name="pause"), name="later").then(same)
listen = chain(wait_for(number, name="heard"), name="listen").then(same)


async def build(path: Path, sleepers: int) -> None:
    """A file in which so many runs are asleep, half of them on timers, half on signals."""
    async with App(SQLiteStore(path, "normal"), linger=0) as app:
        for flow in (later, listen):
            handle = await app.start(flow(1), id=f"first-{flow.name}")
            while handle.id in app.engine.drivers:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
    tomorrow = time.time_ns() // 1000 + DAY
    add(path, "later", ((f"t{index}", tomorrow + index) for index in range(sleepers // 2)))
    add(path, "listen", ((f"s{index}", NEVER) for index in range(sleepers // 2)))


def add(path: Path, workflow: str, runs: Iterable[tuple[str, int]]) -> None:
    """Write runs that are asleep until a moment, by the example of the first of their workflow."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    key, row = connection.execute(
        "SELECT run, data FROM events WHERE run = (SELECT key FROM runs WHERE id = ?) AND seq = 1",
        (f"first-{workflow}",),
    ).fetchone()

    first, *_ = [recorded.event for recorded in decode_events(row)]
    assert isinstance(first, RunStarted)
    columns = "workflow, version, status, target, updated_at, error, tags, epoch"
    for id, due in runs:
        at = due - DAY if due < NEVER else first.at
        waits = TimerSet("pause", due) if due < NEVER else WaitStarted("heard", "number")
        data = encode_events([replace(first, at=at, run=id), waits])
        made = connection.execute(
            f"INSERT INTO runs (id, created_at, wake_at, {columns}) SELECT ?, ?, ?, {columns} FROM runs WHERE key = ?",
            (id, at, due, key),
        ).lastrowid
        connection.execute("INSERT INTO events (run, seq, count, data) VALUES (?, 1, 2, ?)", (made, data))
    connection.execute("COMMIT")
    connection.close()


def resident() -> float:
    """MB of memory that this process holds."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


async def open_file(path: str) -> None:
    """The child: print the memory it holds, then, when `go` is read, how late the runs are that are due together."""
    woken: list[float] = []
    due: dict[str, int] = {}

    def hear(recorded: Recorded) -> None:
        if isinstance(recorded.event, RunCompleted) and recorded.run in due:
            woken.append(time.time_ns() / 1000 - due[recorded.run])

    async with App(path, durability="normal", workflows=[later, listen], listeners=[hear]) as app:
        await app.run(same(1))
        await asyncio.sleep(1)
        print(json.dumps({"resident": resident()}), flush=True)
        line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        due.update(json.loads(line))
        end = time.monotonic() + 30
        while len(woken) < len(due) and time.monotonic() < end:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)
        print(json.dumps({"woken": woken, "resident": resident()}), flush=True)


async def child(path: Path, together: int) -> tuple[float, list[float]]:
    """The memory of a process over this file, and by how many seconds each of the runs was late."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.asleep",
        str(path),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**24,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    before = json.loads(await process.stdout.readline())["resident"]
    moment = time.time_ns() // 1000 + AHEAD
    due = {f"now{index}": moment for index in range(together)}
    process.stdin.write(json.dumps(due).encode() + b"\n")
    await process.stdin.drain()
    if due:
        add(path, "later", due.items())
    told = json.loads(await process.stdout.readline())
    await process.wait()
    if len(told["woken"]) < together:
        raise RuntimeError(f"only {len(told['woken'])} of {together} runs woke")
    return before, [late / MICROSECONDS for late in told["woken"]]


async def measure(folder: Path, sleepers: int = 100_000, together: int = 1_000) -> dict[str, float]:
    """MB that the sleepers add to an empty process, and seconds from due to done: median, p99 and most."""
    empty, full = folder / "empty.db", folder / "asleep.db"
    await build(empty, 0)
    await build(full, sleepers)
    nothing, _ = await child(empty, 0)
    held, late = await child(full, together)
    return {
        "MB added": held - nothing,
        "median": percentile(late, 0.5),
        "p99": percentile(late, 0.99),
        "most": max(late),
    }


if __name__ == "__main__":
    asyncio.run(open_file(sys.argv[1]))
