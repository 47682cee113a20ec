"""Conditions are data: what they say, that false and 0 are values, and that they are written and read as they are."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ripresa.core.conditions import MISSING, OPERATORS, Condition, ValueOnly
from ripresa.core.nodes.branch import Branch
from ripresa.core.nodes.dynamic import Dynamic
from ripresa.core.nodes.sequence import Sequence
from ripresa.errors import InvalidConfig

from .play import SECOND, Play, call, calls, define

C = Condition
VALUE = {"kind": "spam", "count": 0, "flag": False, "none": None, "tags": ["a", 1, {"x": 1}], "text": "tides"}


class Facts(ValueOnly):
    """A run with a state, a session, and steps that have ended."""

    def state(self, name: str) -> Any:
        return {"score": 0, "deep": {"flag": False}}.get(name, MISSING)

    def session(self, name: str) -> Any:
        return {"user": "ann"}.get(name, MISSING)

    def step(self, name: str) -> tuple[str, Any]:
        ends: dict[str, tuple[str, Any]] = {"fetch": ("completed", {"pages": [0]}), "send": ("failed", MISSING)}
        return ends.get(name, ("", MISSING))


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (C.always(), True),
        (C.never(), False),
        (C.equals("value.kind", "spam"), True),
        (C.equals("value.kind", "ham"), False),
        (C.equals("value.count", 0), True),
        (C.equals("value.count", False), False),
        (C.equals("value.count", 0.0), False),
        (C.equals("value.flag", False), True),
        (C.equals("value.flag", 0), False),
        (C.equals("value.none", None), True),
        (C.equals("value.nothing", None), False),
        (C.equals("value.tags", ["a", 1, {"x": 1}]), True),
        (C.equals("value.tags", ["a", 1, {"x": True}]), False),
        (C.equals("value.tags.2", {"x": 1}), True),
        (C.equals("value.tags.3", 1), False),
        (C.equals("value.kind.deeper", 1), False),
        (C.exists("value.count"), True),
        (C.exists("value.flag"), True),
        (C.exists("value.none"), True),
        (C.exists("value.nothing"), False),
        (C.exists("value.tags.x"), False),
        (C.contains("value.tags", 1), True),
        (C.contains("value.tags", True), False),
        (C.contains("value.text", "tide"), True),
        (C.contains("value.text", 1), False),
        (C.contains("value", "kind"), True),
        (C.contains("value.count", 0), False),
        (C.contains("value.nothing", None), False),
        (C.label("Spam", "scam", at="value.kind"), True),
        (C.label("ham", at="value.kind"), False),
        (C.label("0", at="value.count"), False),
        (C.equals("state.score", 0), True),
        (C.exists("state.deep.flag"), True),
        (C.equals("session.user", "ann"), True),
        (C.exists("session.nobody"), False),
        (C.succeeded("fetch"), True),
        (C.succeeded("send"), False),
        (C.succeeded("other"), False),
        (C.failed("send"), True),
        (C.failed("fetch"), False),
        (C.equals("output.fetch.pages.0", 0), True),
        (C.contains("output.fetch.pages", 0), True),
        (C.exists("output.send"), False),
        (C.always() & C.never(), False),
        (C.always() | C.never(), True),
        (~C.never(), True),
        (C.custom("big", lambda value: value["count"] > 3), False),
    ],
)
def test_what_a_condition_says_and_that_it_survives_being_written(condition: Condition, expected: bool) -> None:
    assert condition.holds(Facts(VALUE)) is expected
    data = json.loads(json.dumps(condition.plain()))
    again = Condition.parse(data, {"big": lambda value: False})
    assert again == condition
    assert again.plain() == data
    assert str(again) == str(condition)
    assert hash(again) == hash(condition)


def test_where_there_is_no_run_there_is_only_the_value() -> None:
    assert C.equals("value", 3)(3)
    assert not C.exists("state.x")(3)
    assert not C.exists("session.x")(3)
    assert not C.succeeded("fetch")(3)
    assert repr(MISSING) == "missing"


def test_a_condition_reads_like_what_it_says() -> None:
    condition = C.equals("value.kind", "spam") & ~C.failed("fetch") & (C.exists("state.a") | C.label("x", "y"))
    assert str(condition) == (
        "value.kind is 'spam' and (not (fetch failed)) and (state.a is there or value is one of ['x', 'y'])"
    )
    assert condition.__name__ == str(condition)
    assert str(C.always()) == "always"
    assert str(C.contains("value", {"a": [1]})) == "value contains {'a': [1]}"
    assert len((C.always() & C.always() & C.never()).parts) == 3


def test_a_condition_names_the_steps_that_it_looks_at() -> None:
    condition = C.succeeded("a") & (~C.failed("b") | C.equals("output.c.x", 1) | C.exists("output.a"))
    assert condition.steps == ("a", "b", "c")
    assert C.equals("value.a", 1).steps == ()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (3, "3 is no condition"),
        ({}, "op is None, must be one of always, never"),
        ({"op": "eval", "code": "1"}, "op is 'eval'"),
        ({"op": ["equals"]}, "op is"),
        ({"op": "equals", "at": "value"}, "'equals' takes at, to, is given at"),
        ({"op": "always", "x": 1}, "'always' takes nothing, is given x"),
        ({"op": "equals", "at": "__class__", "to": 1}, "at is '__class__', must be value, or begin with"),
        ({"op": "equals", "at": "value..x", "to": 1}, "at is 'value..x'"),
        ({"op": "equals", "at": "output", "to": 1}, "at is 'output'"),
        ({"op": "exists", "at": 3}, "at is 3"),
        ({"op": "exists", "at": "state"}, "at is 'state'"),
        ({"op": "and", "of": []}, "'and' takes a list of conditions"),
        ({"op": "or", "of": {}}, "'or' takes a list of conditions"),
        ({"op": "not", "of": [{"op": "always"}, {"op": "never"}]}, "'not' takes a list of one condition"),
        ({"op": "not", "of": [3]}, "3 is no condition"),
        ({"op": "custom", "name": "big"}, "there is no condition named 'big'; there are small"),
        ({"op": "label", "at": "value", "labels": []}, "labels are"),
        ({"op": "label", "at": "value", "labels": [3]}, "labels are"),
        ({"op": "label", "at": "value", "labels": "spam"}, "labels are 'spam'"),
        ({"op": "succeeded", "step": ""}, "step is ''"),
        ({"op": "failed", "step": 3}, "step is 3"),
    ],
)
def test_data_that_is_no_condition_is_refused(data: Any, message: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        Condition.parse(data, {"small": bool})
    assert caught.value.code == "invalid_condition"
    assert message in caught.value.message


@pytest.mark.parametrize("to", [object(), {1: 2}, [set()]])
def test_only_plain_values_can_be_compared_with(to: Any) -> None:
    with pytest.raises(InvalidConfig, match="is no plain value"):
        C.equals("value", to)


@pytest.mark.parametrize(("name", "fn"), [("", bool), ("x", 3)])
def test_a_custom_condition_has_a_name_and_a_function(name: Any, fn: Any) -> None:
    with pytest.raises(InvalidConfig, match="needs a name and a function"):
        C.custom(name, fn)


def test_every_kind_can_be_made() -> None:
    assert all(hasattr(Condition, op) or op in ("and", "or", "not") for op in OPERATORS)


# --- how steps ended


def watching(*names: str) -> Play:
    branch = Branch("which", calls("yes no"), condition="how it went", code=None)
    branch.watches = names
    return Play(define(Sequence("root", (call("a"), call("b"), branch))), snapshots=True)


def test_the_ends_of_the_steps_that_are_looked_at_are_kept_and_no_others() -> None:
    play = watching("a")
    play.start(b"1")
    play.done("a", b"2")
    play.done("b", b"3")
    assert play.state.outcomes == {"a": ("completed", b"2")}
    play.check_replay()


def test_a_step_failed_when_there_is_no_other_attempt_and_not_when_it_was_stopped() -> None:
    play = watching("a", "b")
    play.start(b"1")
    play.fail("a", retry_in=SECOND)
    assert play.state.outcomes == {}
    play.fire("a")
    play.fail("a")
    assert play.state.outcomes == {"a": ("failed", b"null")}
    play.reopen()
    play.done("a", b"2")
    assert play.state.outcomes == {"a": ("completed", b"2")}
    play.cancel()
    play.lose("b", "cancelled")
    assert play.state.outcomes["b"] == ("cancelled", b"null")
    play.check_replay()


def test_a_step_may_be_looked_at_by_its_path() -> None:
    branch = Branch("which", calls("yes no"), condition="how it went", code=None)
    branch.watches = ("in/a",)
    play = Play(define(Sequence("root", (Sequence("in", calls("a")), branch))))
    play.start(b"1")
    play.done("in/a", b"2")
    assert play.state.outcomes == {"in/a": ("completed", b"2")}


def test_conditions_of_the_flows_of_durable_functions_are_looked_at_too() -> None:
    looking = Branch("which", calls("yes no"), condition="x", code=None)
    looking.watches = ("a",)
    definition = define(Sequence("root", (looking, Dynamic("d", workflow="d", version="1"))))
    flow = Branch("which", calls("yes no"), condition="x", code=None)
    flow.watches = ("z",)
    twin = definition.for_run()
    twin.add_flow("f", flow)
    assert (set(twin.watched), set(definition.watched)) == ({"a", "z"}, {"a"})
