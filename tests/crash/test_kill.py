"""Processes are killed with SIGKILL at every write, in every transaction and at random moments, and taken up again.

The result is that of the undisturbed run; no step whose completion was durable runs again; only what was under way is
repeated.
"""

import json
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NAMES = [
    "chain",
    "map",
    "parallel",
    "repeat",
    "nested",
    "agent",
    "router",
    "choose",
    "rules",
    "stream",
    "windows",
    "folded",
    "graph",
    "function",
    "hooked",
    "saga",
    "block",
]


class Nursery:
    """The program of `driver.py`."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.driver"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def do(self, job: dict[str, Any]) -> dict[str, Any]:
        """What came of a job."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def close(self) -> None:
        self.process.communicate(timeout=10)


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


@dataclass
class Place:
    """Where the runs of one test are kept."""

    nursery: Nursery
    directory: Path
    names: list[str]
    pause: float = 0
    number: int = 0

    def fresh(self) -> None:
        """Begin with an empty store."""
        self.number += 1

    @property
    def store(self) -> Path:
        return self.directory / f"{self.number}.db"

    @property
    def log(self) -> Path:
        return self.directory / f"{self.number}.log"

    def run(self, *kill: Any) -> dict[str, Any]:
        """Let a child run or take up all runs, and be killed."""
        job = {"store": str(self.store), "log": str(self.log), "names": self.names, "pause": self.pause}
        return self.nursery.do({**job, "kill": kill} if kill else job)

    def lines(self) -> list[str]:
        """What steps noted when they had done their work."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    def check(self, expected: dict[str, Any], undisturbed: list[str], *kill: Any) -> bool:
        """Be killed, look, be taken up; whether the kill came in time."""
        self.fresh()
        if self.run(*kill)["status"] != -signal.SIGKILL:
            return False
        before = self.lines()
        answer = self.run()
        assert answer["status"] == 0, kill
        finished, under_way = set(answer["finished"]), set(answer["under way"])
        assert answer["results"] == expected, kill
        again = self.lines()[len(before) :]
        once = {line for line, count in Counter(undisturbed).items() if count == 1}  # equal calls look the same here
        assert not once.intersection(finished, again), (kill, "finished steps ran again")
        repeated = once.intersection(before, again)
        assert {line.partition("/model")[0] for line in repeated} <= under_way, (kill, "what had ended was repeated")
        assert set(undisturbed) <= set(self.lines()), kill
        return True


@pytest.fixture
def place(nursery: Nursery, tmp_path: Path) -> Place:
    return Place(nursery, tmp_path, NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_process_killed_at_any_write_loses_nothing(place: Place, name: str) -> None:
    place.names = [name]
    answer = place.run()
    expected, undisturbed = answer["results"], place.lines()
    assert answer["writes"] > 2
    number, reached = 0, [True]  # how many writes there are differs: what ends in one turn is written at once
    while any(reached):
        number += 1
        reached = [place.check(expected, undisturbed, where, number) for where in ("before", "after")]
    assert number > 2


@pytest.mark.parametrize(("name", "most"), [("stream", 1), ("windows", 1), ("by time", 1), ("grouped", 4)])
def test_a_killed_stream_repeats_at_most_one_batch_or_group(place: Place, name: str, most: int) -> None:
    place.names = [name]
    whole = place.run()
    batches = [line for line in place.lines() if "/model=" in line]
    for where in ("before", "after"):
        for number in range(2, whole["writes"]):
            place.fresh()
            assert place.run(where, number)["status"] == -signal.SIGKILL
            assert place.run()["results"] == whole["results"]
            again = [line for line in place.lines() if "/model=" in line]
            assert sorted({*again}) == sorted(batches)
            assert len(again) - len(batches) <= most, (where, number)


def test_a_process_killed_in_any_transaction_loses_nothing(place: Place) -> None:
    answer = place.run()
    expected, undisturbed = answer["results"], place.lines()
    number = 1  # how writes fall into transactions differs
    while place.check(expected, undisturbed, "commit", number):
        number += 1
    assert number > 2


def test_a_process_killed_at_random_moments_loses_nothing(place: Place) -> None:
    place.pause = 0.005
    answer = place.run()
    expected, undisturbed = answer["results"], place.lines()
    chance = random.Random(20)
    killed = [place.check(expected, undisturbed, "time", chance.uniform(0.01, 0.15)) for _ in range(12)]
    assert killed.count(True) >= 3


def test_a_process_killed_again_and_again_gets_there(place: Place) -> None:
    answer = place.run()
    place.fresh()
    for _ in range(4):  # an attempt that is lost with its process counts: five are a step's end
        assert place.run("after", len(NAMES) + 2)["status"] == -signal.SIGKILL
    assert place.run()["results"] == answer["results"]


@pytest.mark.parametrize("where", ["after", "commit"])
def test_a_rollback_a_fork_and_a_migration_happen_once_or_not_at_all(place: Place, where: str) -> None:
    place.names = ["travel"]
    expected = place.run()["results"]
    assert expected == [5, 21, 4, 1, 1, 1]
    number, killed = 0, True
    while killed:
        number += 1
        place.fresh()
        killed = place.run(where, number)["status"] == -signal.SIGKILL
        assert place.run()["results"] == expected, (where, number)
    assert number > 8


@pytest.mark.parametrize("where", ["after", "commit"])
def test_a_fork_and_a_migration_with_a_state_happen_once_or_not_at_all(place: Place, where: str) -> None:
    place.names = ["stateful travel"]
    expected = place.run()["results"]
    assert expected == [3, 101, [10, 1, 2], 1, 1]
    number, killed = 0, True
    while killed:
        number += 1
        place.fresh()
        killed = place.run(where, number)["status"] == -signal.SIGKILL
        assert place.run()["results"] == expected, (where, number)
    assert number > 8


@pytest.mark.parametrize("where", ["after", "commit"])
def test_an_undo_takes_back_each_step_once(place: Place, where: str) -> None:
    place.names = ["undone"]
    expected = place.run()["results"]
    assert expected == ["again", "add", 2, 1]
    number, killed = 0, True
    while killed:
        number += 1
        place.fresh()
        killed = place.run(where, number)["status"] == -signal.SIGKILL
        assert place.run()["results"] == expected, (where, number)
    assert number > 5


@pytest.mark.parametrize("where", ["after", "commit"])
def test_a_child_is_started_once_and_its_end_is_heard(place: Place, where: str) -> None:
    place.names = ["family"]
    expected = place.run()["results"]
    assert expected == [12, 3, 3, 12, 102, 3]
    number, killed = 0, True
    while killed:
        number += 1
        place.fresh()
        killed = place.run(where, number)["status"] == -signal.SIGKILL
        assert place.run()["results"] == expected, (where, number)
    assert number > 8
