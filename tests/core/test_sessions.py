"""The life of sessions as a table, and the operations on what they hold."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripresa.core.sessions import LARGEST, OPERATIONS, TRANSITIONS, apply, check_fit, check_session
from ripresa.errors import InvalidValue, SessionError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


def text(value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize("status", TRANSITIONS)
@pytest.mark.parametrize("to", TRANSITIONS)
def test_only_what_the_table_says_is_legal(status: str, to: str) -> None:
    if to in TRANSITIONS[status]:
        check_session("s", status, to, "move")
        return
    with pytest.raises(SessionError, match=f"is {status} and cannot become {to}") as caught:
        check_session("s", status, to, "move")
    assert (caught.value.code, caught.value.session) == ("illegal_transition", "s")


@pytest.mark.parametrize(
    ("op", "value", "operand", "after"),
    [
        ("set", None, {"a": 1}, {"a": 1}),
        ("set", 1, 2, 2),
        ("add", None, 2, 2),
        ("add", 1.5, 2, 3.5),
        ("append", None, 1, [1]),
        ("append", [1], [2], [1, [2]]),
        ("merge", None, {"a": 1}, {"a": 1}),
        ("merge", {"a": 1, "b": 1}, {"a": 2}, {"a": 2, "b": 1}),
        # What does not fit counts as not there: a store cannot refuse what a run has recorded.
        ("add", "text", 2, 2),
        ("add", True, 2, 2),
        ("append", {"a": 1}, 2, [2]),
        ("merge", [1], {"a": 1}, {"a": 1}),
    ],
)
def test_an_operation_changes_what_is_there(op: str, value: Any, operand: Any, after: Any) -> None:
    found = apply(op, None if value is None else text(value), text(operand))
    assert found is not None
    assert json.loads(found) == after


def test_deleting_leaves_nothing() -> None:
    assert apply("delete", b"1", b"null") is None


@given(op=st.sampled_from(OPERATIONS), value=st.none() | JSON.map(text), operand=st.integers(-100, 100))
def test_a_store_can_apply_every_operation(op: str, value: bytes | None, operand: int) -> None:
    given = {"merge": {"a": operand}}.get(op, operand)
    found = apply(op, value, text(given))
    assert found is None or json.loads(found) is not None


@pytest.mark.parametrize(("op", "value"), [("add", b'"x"'), ("add", b"true"), ("append", b"1"), ("merge", b"[]")])
def test_what_does_not_fit_is_refused_before_it_is_recorded(op: str, value: bytes) -> None:
    with pytest.raises(InvalidValue, match=f"{op} does not fit the value 'n'"):
        check_fit("n", op, value, b"{}" if op == "merge" else b"1")
    check_fit("n", op, None, b"{}" if op == "merge" else b"1")


def test_a_session_holds_no_large_values() -> None:
    check_fit("n", "set", None, b'"' + b"x" * (LARGEST - 2) + b'"')
    with pytest.raises(InvalidValue, match=f"{LARGEST + 1} bytes") as caught:
        check_fit("n", "append", text(["x" * (LARGEST - 6)]), b"12")
    assert caught.value.hint == "save it as an artifact"
