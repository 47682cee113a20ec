"""`ripresa a2a`: workflows that agents of elsewhere ask, by a process of its own that may be killed."""

import asyncio
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ripresa import App, Retry
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


def test_what_cannot_be_offered_is_told_in_one_line(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "tides.py").write_text(CODE)
    for words, code, told in (
        (["--http", "0.0.0.0:0"], 2, "can be reached from other machines"),
        (["--token", "env:RIPRESA_NO_TOKEN"], 1, "there is no secret at env:RIPRESA_NO_TOKEN"),
    ):
        ended = terminal("a2a", "tides.py:tide", *words)
        assert ended.code == code
        assert told in ended.err
