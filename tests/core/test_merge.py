"""Reducers on encoded values, and what it costs to write."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripresa.core.merge import CUSTOM, LONGEST, REDUCERS, SET, Held, held_of, put, read, unwound, writes_of
from ripresa.core.values import Value, reference, text_of

LARGE = {reference("a"): b"[1,2,3]", reference("b"): b'{"x":1}'}


def load(value: Value) -> bytes:
    return LARGE[value] if isinstance(value, bytes) and value in LARGE else text_of(value)


def held(*writes: tuple[str, Value]) -> Held:
    found: Held | None = None
    for op, value in writes:
        found = put(found, op, value)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("op", "start", "operands", "result"),
    [
        ("append", b"null", [b"1", b"[2]"], b"[1,[2]]"),
        ("append", b"[]", [b'"a"'], b'["a"]'),
        ("append", b"[0]", [b"1"], b"[0,1]"),
        ("extend", b"[0]", [b"[]", b"[1,2]", b"[3]"], b"[0,1,2,3]"),
        ("extend", b"[]", [b"[]"], b"[]"),
        ("add", b"1", [b"2", b"-5"], b"-2"),
        ("add", b"null", [b"0.5"], b"0.5"),
        ("union", b'["a"]', [b'["b","a"]', b'["c"]'], b'["a","b","c"]'),
        ("union", b"null", [b"[1,1]"], b"[1]"),
        ("merge", b'{"a":1}', [b'{"b":2}', b'{"a":3}'], b'{"a":3,"b":2}'),
        ("merge", b"null", [b"{}"], b"{}"),
        ("min", b"null", [b"3", b"2", b"4"], b"2"),
        ("max", b'"b"', [b'"a"', b'"c"'], b'"c"'),
        ("max", b"null", [b"null"], b"null"),
    ],
)
def test_a_reducer_puts_its_operands_to_what_is_there(
    op: str, start: bytes, operands: list[bytes], result: bytes
) -> None:
    assert read(held((SET, start), *((op, operand) for operand in operands)), text_of) == result


@pytest.mark.parametrize("op", REDUCERS)
def test_a_field_that_was_never_set_begins_with_the_first_operand(op: str) -> None:
    operand, result = {"append": (b"1", b"[1]"), "merge": (b'{"a":1}', b'{"a":1}')}.get(op, (b"1", b"1"))
    if op in ("extend", "union"):
        operand, result = b"[1]", b"[1]"
    assert read(held((op, operand)), text_of) == result
    twice = read(held((op, operand), (op, operand)), text_of)
    assert twice == {"append": b"[1,1]", "extend": b"[1,1]", "add": b"2"}.get(op, result)


def test_a_replaced_field_forgets_what_was_before() -> None:
    assert writes_of(held((SET, b"[]"), ("append", b"1"), (SET, b"[9]"))) == [(SET, b"[9]")]
    assert writes_of(held((SET, b"1"), (CUSTOM, b"5"))) == [(SET, b"5")]


def test_a_large_value_is_looked_up_only_when_it_is_read() -> None:
    long = held((SET, b"[0]"), ("extend", reference("a")))
    assert writes_of(long) == [(SET, b"[0]"), ("extend", reference("a"))]
    assert read(long, load) == b"[0,1,2,3]"
    assert read(held(("merge", reference("b")), ("merge", b'{"y":2}')), load) == b'{"x":1,"y":2}'


def test_numbers_are_put_together_at_once_and_entries_after_a_while() -> None:
    assert len(list(unwound(held(*([("add", b"1")] * 1000))))) == 1
    entries = [("merge", b'{"k":%d}' % n) for n in range(10 * LONGEST)]
    assert len(list(unwound(held(*entries)))) <= LONGEST
    assert read(held(*entries), text_of) == b'{"k":%d}' % (10 * LONGEST - 1)


def test_items_are_held_one_behind_the_other_and_a_branch_shares_them() -> None:
    start = held(*([("append", b"1")] * 5000))
    one, other = put(start, "append", b"2"), put(start, "append", b"3")
    assert one.before is start is other.before
    assert read(one, text_of) == b"[" + b"1," * 5000 + b"2]"


numbers = st.integers(-1000, 1000)


@given(st.lists(numbers, min_size=1), st.lists(numbers))
def test_reducers_do_what_python_does(first: list[int], second: list[int]) -> None:
    def text(value: Any) -> bytes:
        return json.dumps(value, separators=(",", ":")).encode()

    def result(op: str, operands: list[Any]) -> Any:
        return json.loads(read(held(*((op, text(operand)) for operand in operands)), text_of))

    both = [*first, *second]
    assert result("append", both) == both
    assert result("extend", [first, second]) == both
    assert result("union", [first, second]) == list(dict.fromkeys(both)) or not second
    assert result("add", both) == sum(both)
    assert result("min", both) == min(both)
    assert result("max", both) == max(both)
    assert result("merge", [{str(n): n} for n in both]) == {str(n): n for n in both}


@given(st.lists(st.tuples(st.sampled_from(REDUCERS), st.just(b"[1]")), min_size=1))
def test_what_is_held_can_be_built_again(writes: list[tuple[str, bytes]]) -> None:
    again = held_of(list(writes))
    assert again is not None
    assert writes_of(again) == writes
    assert again.length == len(writes)
    assert held_of([]) is None
