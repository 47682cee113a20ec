"""Processes are killed with SIGKILL at every write, in every transaction and at random moments, and taken up again.

The result is that of the undisturbed run; no step whose completion was durable runs again; only what was under way is
repeated.
"""

import random
import signal
from pathlib import Path

import pytest

from tests.crash.nursery import Nursery, Place

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
    "watched",
    "saga",
    "block",
    "document",
    "open",
]


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


@pytest.mark.parametrize(
    ("name", "most"), [("stream", 1), ("windows", 1), ("by time", 1), ("flows", 1), ("grouped", 4)]
)
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
