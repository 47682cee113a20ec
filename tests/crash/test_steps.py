"""Ready-made steps survive SIGKILL: nothing is told that is not recorded, and agents are taken up where they were."""

# ruff: noqa: ASYNC110

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ripresa import App, Chain, chain, step
from ripresa.runtime import leases
from ripresa.steps import AgentWork, Endpoint, Secret, cli_agent, send_webhook
from ripresa.stores.sqlite import SQLiteStore
from tests.crash.test_shared import Deadly
from tests.steps.service import Answer, service
from tests.steps.test_cli_agent import repository as repository
from tests.steps.test_process import alive, gone

ROOT = Path(__file__).parents[2]
FAKE = ROOT / "tests" / "steps" / "fake_agent.py"
KEY = Secret("env:HOOK_KEY")


@step
async def sell(count: int) -> int:
    send_webhook("books", "book.sold", {"count": count})
    return count


flow = chain(sell, name="sale")


def places() -> list[Endpoint]:
    port = os.environ["HOOK_PORT"]
    events = ("run.started", "run.completed")
    return [Endpoint("books", f"http://127.0.0.1:{port}/", KEY, events=events, allow=("127.0.0.1",))]


async def drive(path: str) -> None:
    """What the child process does. What it delivers when it dies is left alone for a tenth of a second only."""
    vars(leases)["LEASE"] = 100_000
    async with App(Deadly(path, "normal"), webhooks=places()) as app:
        await app.run(flow(3), id="r")
        while await app.store.outgoing_of("r"):
            await asyncio.sleep(0.005)


async def code(path: str, workspace: str, trees: str) -> None:
    """The same with an agent."""
    async with App(SQLiteStore(path, "normal")) as app:
        await app.run(coding(workspace, trees)("hang_once"), id="r")


def coding(workspace: str, trees: str) -> Chain[str, AgentWork]:
    program = [sys.executable, str(FAKE)]
    env = {"FAKE_LOG": os.environ["FAKE_LOG"]}
    return chain(
        cli_agent("kilo", workspace=workspace, worktrees=trees, program=program, env=env, acp=False), name="coding"
    )


def child(call: str) -> subprocess.Popen[str]:
    script = f"import asyncio; from tests.crash.test_steps import code, drive; asyncio.run({call})"
    return subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, text=True)


@pytest.mark.parametrize("when", ["before 1", "after 1"])
async def test_each_webhook_is_told_for_what_is_recorded_and_only_that(
    when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with service(lambda asked: Answer(204)) as taker:
        monkeypatch.setenv("HOOK_KEY", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        monkeypatch.setenv("HOOK_PORT", str(taker.port))
        monkeypatch.setenv("KILL_AT", when)
        first = child(f"drive({str(tmp_path / 'runs.db')!r})")
        status = await asyncio.to_thread(first.wait)
        assert status == -signal.SIGKILL
        monkeypatch.delenv("KILL_AT")
        async with App(f"sqlite:{tmp_path / 'runs.db'}", webhooks=places(), workflows=[flow]) as app:
            head = await app.store.find_run("r")
            assert head is not None
            await (await app.resume("r", flow)).result()
            async with asyncio.timeout(30):
                while await app.store.outgoing_of("r"):
                    await asyncio.sleep(0.01)
        messages = {each.headers["webhook-id"]: json.loads(each.body) for each in taker.asked}
    assert sorted(each["type"] for each in messages.values()) == ["book.sold", "run.completed", "run.started"]


async def test_an_agent_ends_with_its_process_and_is_taken_up_by_the_next(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    paths = str(tmp_path / "runs.db"), str(repository), str(tmp_path / "trees")
    first = child(f"code(*{paths!r})")
    async with asyncio.timeout(60):
        while not (tmp_path / "log.pid").exists():
            await asyncio.sleep(0.01)
    pid = int((tmp_path / "log.pid").read_text())
    assert alive(pid)
    first.kill()
    first.wait()
    assert await gone([pid])
    async with App(SQLiteStore(paths[0], "normal")) as app:
        work = await (await app.resume("r", coding(*paths[1:]))).result()
    assert work.text == "It is done."
    assert work.files[0] == "half.txt"
    calls = [json.loads(line)[0] for line in (tmp_path / "log").read_text().splitlines()]
    assert ["--session" in each for each in calls] == [False, True]
