"""Limits as values."""

from typing import Any

import pytest

from ripresa import InvalidConfig, Limits
from ripresa.core.limits import NONE, decode_limits


def test_limits_survive_being_written() -> None:
    limits = Limits(steps=3, money=0.5, wall_time="2 minutes", concurrency=1, on_exceeded="pause")
    assert decode_limits(limits.encode()) == limits
    assert limits.wall_time == 120.0


def test_no_limits_are_nothing() -> None:
    assert not NONE
    assert not Limits(on_exceeded="ask")
    assert Limits(tokens=0)
    assert NONE.encode() == ""
    assert decode_limits("") is NONE


def test_every_bad_limit_is_named_at_once() -> None:
    bad: dict[str, Any] = {
        "steps": -1,
        "operations": 1.5,
        "iterations": True,
        "tokens": "many",
        "storage": -2,
        "state_size": "x",
        "money": -0.1,
        "wall_time": "soon",
        "concurrency": 0,
        "on_exceeded": "explode",
    }
    with pytest.raises(InvalidConfig) as caught:
        Limits(**bad)
    for name in bad:
        assert f"{name} is " in caught.value.message
    with pytest.raises(InvalidConfig, match="money is nan"):
        Limits(money=float("nan"))
    with pytest.raises(InvalidConfig, match="money is True"):
        Limits(money=True)
