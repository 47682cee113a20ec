"""Places: where problems are noted."""

from __future__ import annotations

from typing import Any

import pytest

from ripresa import InvalidWorkflow, Problem
from ripresa.authoring.place import One, Several, distinct, root, settle


def test_a_problem_is_noted_once_with_the_path_of_its_place() -> None:
    place = root("a")
    inner = place.inner("b", One(int))
    for _ in range(2):
        inner.mismatch("wrong")
        place.note("other", "cycle")
    assert place.problems == [Problem("a/b", "wrong", "type_mismatch"), Problem("a", "other", "cycle")]
    with pytest.raises(InvalidWorkflow) as caught:
        settle(place, "op")
    assert caught.value.problems == tuple(place.problems)


def test_nothing_wrong_is_nothing_raised() -> None:
    settle(root("a"))


def test_several_values_are_not_one() -> None:
    place = root("a")
    assert Several((int, str)).single(place) is Any
    assert place.problems == [Problem("a", "takes one value, is given 2", "type_mismatch")]


def test_names_are_made_distinct_in_order() -> None:
    assert distinct(["a", "b", "a", "a", "b"]) == ["a", "b", "a#2", "a#3", "b#2"]
