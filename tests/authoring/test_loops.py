"""Loops: with a condition, over a list, over numbers."""
# mypy: disable-error-code="arg-type,attr-defined,call-arg,call-overload,index,list-item"
# mypy: disable-error-code="misc,return-value,union-attr,var-annotated"
# What type checkers say about mistakes is tested in tests/typing; here they are meant.

from __future__ import annotations

from typing import Any

import pytest

from ripresa import InvalidConfig, InvalidWorkflow, chain, fold, for_range, parallel, repeat, step
from ripresa.core.nodes.loop import Loop, Over

from .samples import Item, add, add_at, compare, double, fetch, length, shout


def node_of(flow: Any) -> Loop:
    assert isinstance(flow.node, Loop)
    return flow.node


async def test_a_body_is_repeated_until_its_result_will_do() -> None:
    assert await repeat(double, until=lambda number: number > 10, at_most=10)(1) == 16
    assert await repeat(double, until=lambda number: True, at_most=10)(1) == 2


async def test_a_body_is_repeated_while_its_input_will_not_do() -> None:
    assert await repeat(double, while_=lambda number: number < 10, at_most=10)(1) == 16
    assert await repeat(double, while_=lambda number: False, at_most=10)(1) == 1


async def test_a_loop_ends_at_its_bound() -> None:
    assert await repeat(double, until=lambda number: False, at_most=3)(1) == 8


def test_a_repeated_body_takes_its_own_result() -> None:
    with pytest.raises(InvalidWorkflow, match="repeat: its body returns int, but takes str when it runs again"):
        repeat(length, until=bool, at_most=3)


def test_a_loop_without_annotations_goes_by_what_it_is_given() -> None:
    loop = chain(fetch).then(repeat(lambda items: items, until=lambda items: True, at_most=1))
    assert loop.node.children[1].output_type == list[Item]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"until": bool}, "at_most is None"),
        ({"until": bool, "at_most": 0}, "at_most is 0, must be a whole number from 1"),
        ({"until": bool, "at_most": True}, "at_most is True"),
        ({"at_most": 3}, "either until or while_ must be given"),
        ({"at_most": 3, "until": bool, "while_": bool}, "either until or while_ must be given"),
        ({"at_most": 3, "until": length}, "until is <step length>"),
        ({"at_most": 3, "while_": 5}, "while_ is 5"),
    ],
)
def test_bad_options_of_a_loop_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidConfig, match=message):
        repeat(double, **{"at_most": None, **options})


async def test_a_fold_carries_an_accumulator_over_a_list() -> None:
    assert await fold(add, 0)([1, 2, 3]) == 6
    assert await fold(add, 7)([]) == 7


async def test_a_fold_may_be_given_the_index() -> None:
    assert await fold(add_at, 0, with_index=True)([5, 5, 5]) == 15


async def test_a_fold_may_end_early() -> None:
    assert await fold(add, 0, until=lambda total: total > 2)([1, 2, 3]) == 3


async def test_a_fold_without_annotations_goes_by_what_it_is_given() -> None:
    flow = chain(fetch).then(fold(lambda total, item: total + item.text, ""))
    assert await flow("a") == "aaa"


def test_a_fold_is_one_node() -> None:
    node = node_of(fold(add, 0))
    assert node.over == Over("items", start=b"0")
    assert (node.input_type, node.output_type, node.after, node.at_most) == (list[int], int, False, 0)


def test_a_fold_checks_start_items_and_result() -> None:
    with pytest.raises(InvalidWorkflow, match="fold: start is 'zero', no int"):
        fold(add, "zero")
    with pytest.raises(InvalidWorkflow, match="chain/fold/add: takes int as number, is given Item"):
        chain(fetch).then(fold(add, 0))
    with pytest.raises(InvalidWorkflow, match="chain/fold: takes a list, is given str"):
        chain(shout).then(fold(add, 0))
    with pytest.raises(InvalidWorkflow, match="fold: its body returns str, but takes int"):
        fold(to_text, 0)
    with pytest.raises(InvalidWorkflow, match=r"takes \(number\), is given 2 values"):
        fold(double, 0)


@step
def to_text(total: int, number: int) -> str:
    return str(total + number)


def test_bad_options_of_a_fold_are_named() -> None:
    with pytest.raises(InvalidConfig, match="until is 3, must be a plain function"):
        fold(add, 0, until=3)


async def test_a_range_counts() -> None:
    assert await for_range(add, 1, 4)(0) == 6
    assert await for_range(add, 10, 0, -4)(0) == 18
    assert await for_range(add, 0, 0)(5) == 5
    assert await for_range(add, 0, 100, until=lambda total: total > 5)(0) == 6


def test_a_range_checks_its_body() -> None:
    with pytest.raises(InvalidWorkflow, match="chain/for_range/add: takes int as total, is given str"):
        chain(shout).then(for_range(add, 0, 3))


def test_all_bad_options_of_a_range_are_named_together() -> None:
    with pytest.raises(InvalidConfig) as caught:
        for_range(add, "0", 1.5, 0)
    assert caught.value.message == (
        "start is '0', must be a whole number; end is 1.5, must be a whole number; "
        "step is 0, must lead from start to end"
    )


async def test_a_workflow_may_be_the_body() -> None:
    assert await parallel(shout, length).into(compare)("a") == "a!/1"
    assert await fold(compare, "a")([1, 2]) == "a/1/2"
