"""A run whose process has gone is told so wherever one looks at it: in Python, by `runs` and `show`, and to agents."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from ripresa import App, chain, step
from ripresa.cli.program import run
from ripresa.server.runs import Runs


@step
async def stuck(x: int) -> int:
    await asyncio.Event().wait()
    return x


@step
async def quick(x: int) -> int:
    return x


async def leave(store: Path) -> None:
    async with App(store, linger=None) as app:
        handle = await app.start(chain(stuck)(1), id="r")
        assert not (await handle.status()).left  # it is driven here
        await app.run(chain(quick)(1), id="done")
        await app.start(chain(stuck, name="held")(1), id="p")
        await (await app.handle("p")).pause()


async def looked(store: Path) -> dict[str, tuple[str, bool]]:
    async with App(store) as app:
        views = [await (await app.handle(id)).status() for id in ("r", "p", "done")]
        assert (await Runs(app, ()).state(await app.handle("r"))).left
        return {view.id: (view.status, view.left) for view in views}


def test_a_run_that_was_left_is_told_so_everywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "a.db"
    asyncio.run(leave(store))
    assert asyncio.run(looked(store)) == {"r": ("running", True), "p": ("paused", False), "done": ("completed", False)}

    def told(*args: str) -> str:
        assert run([*args, "--store", str(store)]) == 0
        return capsys.readouterr().out

    shown: dict[str, Any] = json.loads(told("show", "r", "--json"))
    assert (shown["status"], shown["left"], shown["owner"]) == ("running", True, None)
    listed = {each["id"]: each["left"] for each in json.loads(told("runs", "--json"))}
    assert listed == {"r": True, "p": False, "done": False}
    text = told("show", "r")
    assert "status:    running (left)\n" in text
    assert "its process has gone; take it up again with: " in text
    assert "resume r --store" in text
    assert "running (left)" in told("runs")
    assert "(left)" not in told("show", "p")
