"""Processes are killed while people and other runs do something to runs: it happens once, or not at all.

Rollback, fork, migration, undo, updates, the outbox, reconciliation, merges at joins, suspended sessions, retention,
rows of one's own, hooks that are being asked, approvals, races and copies, limits that wait, undone calls.
"""

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.crash.nursery import Nursery, Place

EXPECTED: dict[str, list[Any]] = {
    "travel": [5, 21, 4, 1, 1, 1],
    "stateful travel": [3, 101, [10, 1, 2], 1, 1],
    "family": [12, 3, 3, 12, 102, 3],
    "carried": [3, 5, 7, 1, 1, 1],
    "undone": ["again", "add", 2, 1],
    "updated": [16, "update_refused", 19, 38, 3, 3],
    "served": [5, "update_refused", 8, 8, 5, 3, 3],
    "sent": [7, 8, ["delivered letter-7"], 1, 3],
    "reconciled": [6, ["paid"], 0],
    "merged": [[1, 2, 3], 6, "xxx", 1, 2, 5, "xx", 1],
    "suspended": [3, 3],
    "entered": [[3, 4, 5], 6, 6, 15],
    "asked": [8, 1, 1, 1, 1, 1, 1],
    "decided": [4, 1, 40, 2, 2],
    "raced": [462, 6],
    "limited": [10, 1, 10, 1],
    "forked": [[3, 8, 8, 12, 6, 8], 5, 10],
    "called": [
        3,
        [f"unbook {what} {n}! {what} {n}" for n in (1, 2) for what in ("hotel", "flight")],
        ["book flight 1", "book flight 2", "book hotel 1", "book hotel 2"],
        4,
        4,
    ],
    "guided": [5, 1, 1],
    "pruned": [[10000, 10000], ["old", "older"], 2],
}


@pytest.mark.parametrize("where", ["before", "after", "commit"])
@pytest.mark.parametrize("name", EXPECTED)
def test_what_is_done_to_a_run_happens_once_whatever_is_killed(
    nursery: Nursery, tmp_path: Path, name: str, where: str
) -> None:
    place = Place(nursery, tmp_path, [name])
    assert place.run()["results"] == EXPECTED[name]
    number, killed = 0, True
    while killed:
        number += 1
        place.fresh()
        killed = place.run(where, number)["status"] == -signal.SIGKILL
        assert place.run()["results"] == EXPECTED[name], (where, number)
    assert number > 3


def test_a_payment_in_whose_middle_the_process_dies_is_not_made_again(nursery: Nursery, tmp_path: Path) -> None:
    place = Place(nursery, tmp_path, ["reconciled"])
    assert place.run(dies_in_the_step=True)["status"] == -signal.SIGKILL
    assert place.run()["results"] == EXPECTED["reconciled"]
