"""A team is killed with SIGKILL in the middle and taken up again: no recorded model call is made again.

They are counted where they arrive; and what its members told each other is recorded once.
"""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ripresa.testing.answers import Received, Reply, use, value
from ripresa.testing.model_server import ModelServer
from tests.crash.nursery import uncounted
from tests.crash.test_agents import ROOT, Place

ASKED = 6
"""How often the models are asked: the lead three times, the researcher twice, the writer once."""

SAID = [
    "It is about TIDES.",
    "lead -> researcher  delegate  Look tides up.",
    "researcher -> lead  reply  TIDES",
    "lead -> writer  delegate  Write about TIDES.",
    "writer -> lead  reply  It is about TIDES.",
    "lead -> desk  reply  It is about TIDES.",
]


@pytest.fixture(scope="module")
def program() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.crash.team_driver"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True, env=uncounted())
    yield process
    assert process.stdin is not None
    process.stdin.close()
    process.wait(10)
    assert process.stdout is not None
    process.stdout.close()


def answer(request: Received) -> Reply:
    """What a model says depends on who is asked, and on what that one was told, alone."""
    if request.system == "You are a writer.":
        return "It is about TIDES."
    if request.system == "You are a researcher.":
        return request.results[0] if request.results else use("look", word="tides")
    tasks = (("researcher", "Look tides up."), ("writer", "Write about TIDES."))
    turn = sum(message["role"] == "assistant" for message in request.messages)
    if turn == len(tasks):
        return value({"value": "It is about TIDES."})
    to, task = tasks[turn]
    return value({"value": {"to": to, "task": task}})


async def test_no_turn_that_was_recorded_is_taken_again(program: subprocess.Popen[str], tmp_path: Path) -> None:
    number, killed = -4, True
    while killed:
        number += 8
        folder = tmp_path / str(number)
        folder.mkdir()
        async with ModelServer(*[answer] * 3 * ASKED) as server:
            place = Place(program, folder, server)
            killed = (await place.run("after", number))["status"] == -signal.SIGKILL
            said = (await place.run())["results"]
            assert [line.replace(" (attempt 2)", "") for line in said] == SAID
        assert len(server.requests) <= ASKED + (1 if killed else 0)  # the one that was under way
        assert place.calls().total() <= 1 + (1 if killed else 0)
    assert number > 12, number
