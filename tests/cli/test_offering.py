"""`ripresa a2a`: workflows that agents of elsewhere ask, by a process of its own that may be killed."""

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from ripresa import App, Retry, RipresaError, step
from ripresa.authoring.single import runnable_of
from ripresa.cli.offering import _offer
from ripresa.cli.places import Place
from ripresa.server.ending import Ending
from ripresa.steps import a2a_agent
from tests.cli.program import COMMAND, Terminal, environment

CODE = """
import asyncio
from pathlib import Path
from ripresa import step

@step
async def tide(port: str) -> str:
    with open("begun", "a") as file:
        file.write(port)
    while not Path("released").exists():
        await asyncio.sleep(0.01)
    return f"high in {port}"
"""


@contextmanager
def offering(folder: Path, port: int) -> Iterator["subprocess.Popen[str]"]:
    command = [*COMMAND, "a2a", "tides.py:tide", "--http", f"127.0.0.1:{port}"]
    with subprocess.Popen(
        command, cwd=folder, env=environment(), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            assert line == f"tide: http://127.0.0.1:{port}/tide/.well-known/agent-card.json\n", process.stderr.read()
            yield process
        finally:
            process.kill()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


async def test_what_was_asked_of_a_process_that_was_killed_is_done_once_by_the_next(tmp_path: Path) -> None:
    (tmp_path / "tides.py").write_text(CODE)
    port = free_port()
    remote = a2a_agent(
        f"http://127.0.0.1:{port}", allow=[f"127.0.0.1:{port}"], poll=0.05, retry=Retry(attempts=100, wait=0.1)
    )
    async with App("memory:") as app:
        with offering(tmp_path, port) as first:
            handle = await app.start(remote("Oban"))
            while not (tmp_path / "begun").exists():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            first.kill()
        (tmp_path / "released").touch()
        with offering(tmp_path, port) as second:
            assert (await handle.result()).text == "high in Oban"
            second.terminate()
            assert second.wait(10) == 130
    assert (tmp_path / "begun").read_text() == "ObanOban"  # one run, whose step was begun a second time
    async with App(f"sqlite:{tmp_path / '.ripresa' / 'ripresa.db'}") as app:
        assert len((await app.runs()).runs) == 1


@pytest.mark.parametrize(("method", "status"), [("SendMessage", 503), ("SendStreamingMessage", 200)])
async def test_who_waits_is_told_when_it_stops(
    method: str, status: int, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    begun, heard = asyncio.Event(), asyncio.Event()

    @step
    async def hang(text: str) -> str:
        begun.set()
        await asyncio.Event().wait()
        return text

    message = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "x"}]}
    asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"message": message}}
    offering = asyncio.create_task(_offer(Place("memory:"), [runnable_of(hang)], "127.0.0.1:0", "", ""))
    while not (line := capsys.readouterr().err):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    place = line.split()[1].removesuffix("/.well-known/agent-card.json")
    async with httpx.AsyncClient() as http:
        headers = {"A2A-Version": "1.0"}

        async def ask() -> int:
            async with http.stream("POST", f"{place}/rpc", json=asked, headers=headers) as answer:
                heard.set()
                await answer.aread()
            return answer.status_code

        waiting = asyncio.create_task(ask())
        await (begun if status == 503 else heard).wait()
        os.kill(os.getpid(), signal.SIGINT)
        assert await waiting == status
    assert await offering == 130
    assert not caplog.records


async def test_what_keeps_it_from_driving_is_raised_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    async def dies(self: App) -> None:
        raise RipresaError("the disk is gone", code="not_available", op="work")

    @step
    async def quick(text: str) -> str:
        return text

    monkeypatch.setattr(App, "work", dies)
    with pytest.raises(RipresaError, match="the disk is gone"):
        await _offer(Place("memory:"), [runnable_of(quick)], "127.0.0.1:0", "", "")


async def test_what_is_asked_after_the_end_is_refused_and_what_was_answered_is_left() -> None:
    sent: list[dict[str, Any]] = []

    async def note(message: dict[str, Any]) -> None:
        sent.append(message)

    async def answers(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"all"})
        await receive()

    ending = Ending(answers)
    await ending.end()
    await ending({}, None, note)
    assert [sent[0]["status"], sent[1]["body"]] == [503, b"the server stops"]
    sent.clear()
    ending, heard = Ending(answers), asyncio.Event()
    asking = asyncio.create_task(ending({}, heard.wait, note))
    while len(sent) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0)
    await ending.end()
    await asking
    assert [each.get("body") for each in sent] == [None, b"all"]
    heard.set()
    await Ending(answers)({}, heard.wait, note)
    assert [each.get("body") for each in sent] == [None, b"all"] * 2


def test_what_cannot_be_offered_is_told_in_one_line(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "tides.py").write_text(CODE)
    for words, code, told in (
        (["--http", "0.0.0.0:0"], 2, "can be reached from other machines"),
        (["--token", "env:RIPRESA_NO_TOKEN"], 1, "there is no secret at env:RIPRESA_NO_TOKEN"),
    ):
        ended = terminal("a2a", "tides.py:tide", *words)
        assert ended.code == code
        assert told in ended.err
