"""What runs share survives SIGKILL and a second process: nothing is counted, written or saved twice."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ripresa import App, Limits, chain, current, map_each, step
from ripresa.stores.sqlite import SQLiteStore

ROOT = Path(__file__).parents[2]


@step
async def write(n: int) -> int:
    session = current().session
    session.add("count", 1)
    session.append("items", n)
    current().usage(tokens=10)
    current().save_artifact("last", str(n))
    kill = os.environ.get("KILL_AT", "")
    if kill == f"{n} in":
        os.kill(os.getpid(), signal.SIGKILL)
    return n


flow = chain(map_each(write, concurrency=1))


class Deadly(SQLiteStore):
    """A store whose process dies before or after the append of this number."""

    number = 0

    async def append(self, batch: Any) -> None:
        self.number += 1
        when, _, number = os.environ.get("KILL_AT", "").partition(" ")
        if when == "before" and self.number == int(number):
            os.kill(os.getpid(), signal.SIGKILL)
        await super().append(batch)
        if when == "after" and self.number == int(number):
            os.kill(os.getpid(), signal.SIGKILL)


async def drive(path: str, run: str, count: int) -> None:
    """What the child process does."""
    async with App(Deadly(path, "normal")) as app:
        handle = await app.start(flow(list(range(count))), id=run, session="s")
        outcome = await handle.outcome()
        print(json.dumps({"status": outcome.status}))


def child(path: Path, run: str, count: int, **environment: str) -> subprocess.Popen[str]:
    call = f"drive({str(path)!r}, {run!r}, {count})"
    code = f"import asyncio; from tests.crash.test_shared import drive; asyncio.run({call})"
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )


@pytest.mark.parametrize("kill", ["1 in", "before 2", "after 2", "after 3"])
async def test_a_killed_process_leaves_nothing_counted_twice(kill: str, tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    async with App(SQLiteStore(path, "normal")) as app:
        await app.sessions.create("s", limits=Limits(steps=100, tokens=1000))
    killed = child(path, "r", 4, KILL_AT=kill)
    killed.communicate(timeout=30)
    assert killed.returncode == -signal.SIGKILL
    async with App(SQLiteStore(path, "normal")) as app:
        handle = await app.resume("r", flow)
        assert await handle.result() == [0, 1, 2, 3]
        values = await app.sessions.values("s")
        assert (values["count"], values["items"]) == (4, [0, 1, 2, 3])
        used = await app.sessions.used("s")
        assert (used["steps"], used["tokens"]) == (4, 40)
        assert used["operations"] in (4, 5)
        assert [each.version for each in await app.artifacts.versions("last", session="s")] == [1, 2, 3, 4]


async def test_two_processes_share_one_limit(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    async with App(SQLiteStore(path, "normal")) as app:
        await app.sessions.create("s", limits=Limits(steps=15))
    children = [child(path, f"r{number}", 10) for number in range(2)]
    told = [json.loads(each.communicate(timeout=60)[0])["status"] for each in children]
    assert "failed" in told
    async with App(SQLiteStore(path, "normal")) as app:
        used = await app.sessions.used("s")
        values = await app.sessions.values("s")
        assert used["steps"] == 15
        assert values["count"] == 15
