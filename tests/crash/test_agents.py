"""An agent is killed with SIGKILL at every write and taken up again.

No model call and no tool call that was recorded is made again. They are counted where they arrive.
"""

import asyncio
import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ripresa.testing.answers import Answer, Received, Reply, ToolUse
from ripresa.testing.model_server import ModelServer
from tests.crash.nursery import uncounted

ROOT = Path(__file__).parents[2]
CALLS = ["look tide", "look moon", "count TIDE"]
"""What the model has called, in the order of its turns; the first two side by side."""


@pytest.fixture(scope="module")
def program() -> Iterator[subprocess.Popen[str]]:
    yield from serving("agent_driver")


@pytest.fixture(scope="module")
def framework_program() -> Iterator[subprocess.Popen[str]]:
    yield from serving("framework_driver")


@pytest.fixture
def pydantic_program() -> Iterator[subprocess.Popen[str]]:
    yield from serving("pydantic_driver")


def serving(name: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", f"tests.crash.{name}"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=uncounted(),
    )
    yield process
    assert process.stdin is not None
    process.stdin.close()
    process.wait(10)
    assert process.stdout is not None
    process.stdout.close()


def answer(request: Received) -> Reply:
    """What the model says depends on what it has been told alone, so that it may be asked again."""
    match len(request.results):
        case 0:
            return Answer(uses=(ToolUse("look", {"word": "tide"}, "a"), ToolUse("look", {"word": "moon"}, "b")))
        case 2:
            return Answer(uses=(ToolUse("count", {"text": request.results[0]}, "c"),))
        case _:
            return f"{request.results[0]} has {request.results[2]} letters."


class Place:
    def __init__(self, program: subprocess.Popen[str], folder: Path, server: ModelServer, kind: str = "") -> None:
        self.program, self.folder, self.server, self.kind = program, folder, server, kind

    async def run(self, *kill: Any) -> dict[str, Any]:
        job = {
            "store": str(self.folder / "runs.db"),
            "log": str(self.folder / "log"),
            "env": self.server.env,
            "pause": 0,
            "kind": self.kind,
        }
        return await asyncio.to_thread(self._do, job | ({"kill": kill} if kill else {}))

    def _do(self, job: dict[str, Any]) -> dict[str, Any]:
        assert self.program.stdin is not None
        assert self.program.stdout is not None
        self.program.stdin.write(json.dumps(job) + "\n")
        self.program.stdin.flush()
        found: dict[str, Any] = json.loads(self.program.stdout.readline())
        return found

    def calls(self) -> Counter[str]:
        return Counter((self.folder / "log").read_text().splitlines())


@pytest.mark.parametrize("where", ["before", "after"])
async def test_no_recorded_call_is_made_again(where: str, program: subprocess.Popen[str], tmp_path: Path) -> None:
    number, killed = 0, True
    while killed:
        number += 1
        folder = tmp_path / str(number)
        folder.mkdir()
        async with ModelServer(*[answer] * 9) as server:
            place = Place(program, folder, server)
            killed = (await place.run(where, number))["status"] == -signal.SIGKILL
            assert (await place.run())["results"] == ["TIDE has 4 letters."]
        repeated = len(server.requests) - 3 + place.calls().total() - len(CALLS)
        assert set(place.calls()) == set(CALLS)
        assert repeated <= (2 if where == "before" else 1)  # those that were under way; tools run two at a time
        assert len(server.requests) <= (4 if where == "before" else 3)
    assert number > 5


async def test_nor_of_an_agent_of_pydantic_ai(pydantic_program: subprocess.Popen[str], tmp_path: Path) -> None:
    number, killed = 0, True
    while killed:
        number += 1
        folder = tmp_path / str(number)
        folder.mkdir()
        async with ModelServer(*[answer] * 9) as server:
            place = Place(pydantic_program, folder, server)
            killed = (await place.run("after", number))["status"] == -signal.SIGKILL
            assert (await place.run())["results"] == ["TIDE has 4 letters."]
        assert len(server.requests) == 3
        assert set(place.calls()) == set(CALLS)
        assert place.calls().total() <= len(CALLS) + 1  # two tools run at a time
    assert number > 5


@pytest.mark.parametrize("kind", ["openai", "langgraph", "document"])
async def test_nor_of_agents_of_the_openai_sdk_of_langgraph_and_of_documents(
    kind: str, framework_program: subprocess.Popen[str], tmp_path: Path
) -> None:
    number, killed = 0, True
    while killed:
        number += 2
        folder = tmp_path / str(number)
        folder.mkdir()
        async with ModelServer(*[answer] * 9) as server:
            place = Place(framework_program, folder, server, kind)
            killed = (await place.run("after", number))["status"] == -signal.SIGKILL
            assert (await place.run())["results"] == ["TIDE has 4 letters."]
        assert len(server.requests) == 3
        assert set(place.calls()) == set(CALLS)
        assert place.calls().total() <= len(CALLS) + (kind != "langgraph")  # where two tools run at a time
    assert number > 4
