"""Patterns: the nodes that they are, what they give, and options that they refuse."""
# mypy: disable-error-code="arg-type,attr-defined,call-arg,call-overload,index,list-item"
# mypy: disable-error-code="misc,return-value,union-attr,var-annotated"
# What type checkers say about mistakes is tested in tests/typing; here they are meant.

from typing import Any

import pytest

from ripresa import (
    InvalidConfig,
    InvalidWorkflow,
    RipresaError,
    best_effort,
    chain,
    delay,
    fallback,
    first_of,
    first_success,
    map_each,
    n_of,
    parallel,
    step,
)
from ripresa.core.nodes.delay import Delay
from ripresa.core.nodes.fallback import Fallback
from ripresa.core.nodes.join import WINDOW, Join
from ripresa.core.nodes.map import Map
from ripresa.core.nodes.parallel import Parallel

from .samples import Item, add, compare, double, fail, fetch, length, shout, upper


@step
def fail_number(number: int) -> int:
    raise LookupError(number)


def node_of(flow: Any, kind: type[Any]) -> Any:
    assert isinstance(flow.node, kind)
    return flow.node


# --- map_each


async def test_a_map_gives_the_results_in_the_order_of_the_items() -> None:
    assert await map_each(length)(["abc", "", "ab"]) == [3, 0, 2]


def test_a_map_is_one_node_with_a_window() -> None:
    node = node_of(map_each(upper, concurrency=3, on_error="fail_slow", name="uppers"), Map)
    assert (node.name, node.window, node.join) == ("uppers", 3, Join(on_error="fail_slow"))
    assert (node.input_type, node.output_type) == (list[Item], list[Item])
    assert node_of(map_each(upper), Map).window == WINDOW


async def test_a_map_with_best_effort_puts_none_in_the_place_of_what_failed() -> None:
    flow = map_each(fail_number, on_error="best_effort")
    assert await flow([1, 2]) == [None, None]
    assert flow.output_type == list[int | None]


def test_a_map_takes_a_list() -> None:
    with pytest.raises(InvalidWorkflow, match="chain/map_each: takes a list, is given str"):
        chain(shout).then(map_each(length))


def test_a_map_checks_the_items() -> None:
    with pytest.raises(InvalidWorkflow, match="chain/map_each/length: takes str, is given Item"):
        chain(fetch).then(map_each(length))


def test_all_bad_options_of_a_map_are_named_together() -> None:
    with pytest.raises(InvalidConfig) as caught:
        map_each(length, concurrency=-1, on_error="later", name="a?")
    assert caught.value.message == (
        "concurrency is -1, must be a whole number from 1; "
        "on_error is 'later', must be one of 'fail_fast', 'fail_slow', 'best_effort'; "
        "name is 'a?', must not contain '?'"
    )


# --- parallel


async def test_parallel_gives_a_tuple_in_the_order_of_writing() -> None:
    assert await parallel(length, shout, fetch)("a") == (1, "a!", [Item("a"), Item("aa")])


async def test_parallel_spreads_its_results_over_the_next_step() -> None:
    assert await parallel(length, length).into(add)("abc") == 6
    assert await parallel(shout, length).into(compare)("abc") == "abc!/3"


async def test_results_are_spread_by_the_types_that_are_known() -> None:
    async def first(items: Any, *rest: Any) -> str:
        return str(items[0].text + rest[0].text)

    def item(text: str) -> Item:
        return Item(text)

    assert await parallel(fetch, item).into(first)("a") == "aa"


def test_what_does_not_fit_the_parameters_is_named_by_them() -> None:
    with pytest.raises(InvalidWorkflow, match="chain/add: takes int as total, is given str"):
        parallel(shout, length).into(add)
    with pytest.raises(InvalidWorkflow, match=r"takes \(total, number\), is given 3 values by position"):
        parallel(length, length, length).into(add)


def test_a_flow_cannot_be_given_several_values() -> None:
    with pytest.raises(InvalidWorkflow, match="chain/chain: takes one value, is given 2"):
        parallel(length, length).into(chain(double))


def test_branches_with_nothing_in_common_are_refused() -> None:
    with pytest.raises(InvalidWorkflow, match="parallel: all are given the same value, but take str, int"):
        parallel(length, double)


def test_branches_that_are_known_say_themselves_what_does_not_fit() -> None:
    with pytest.raises(InvalidWorkflow) as caught:
        chain(length).then(parallel(shout, lambda value: value))
    assert [str(problem) for problem in caught.value.problems] == [
        "chain/parallel/shout: takes str, is given int [type_mismatch]"
    ]


def test_parallel_is_one_node_with_its_policy() -> None:
    node = node_of(parallel(length, length, concurrency=1, on_error="fail_slow"), Parallel)
    assert ([child.name for child in node.children], node.window) == (["length", "length#2"], 1)
    assert (node.join, node.single) == (Join(on_error="fail_slow"), False)
    assert (node.input_type, node.output_type) == (str, tuple[int, int])
    assert node_of(parallel(length, length), Parallel).window == 2


@pytest.mark.parametrize("pattern", [parallel, best_effort, first_of, first_success, fallback])
def test_nothing_to_run_is_refused(pattern: Any) -> None:
    with pytest.raises(InvalidConfig, match="there is nothing to run"):
        pattern()


@pytest.mark.parametrize("bad", [0, -1, True, "2", 1.5])
def test_a_concurrency_that_is_no_count_is_refused(bad: Any) -> None:
    for pattern in (parallel, best_effort):
        with pytest.raises(InvalidConfig, match="concurrency is"):
            pattern(length, length, concurrency=bad)


def test_parallel_has_no_best_effort_option() -> None:
    with pytest.raises(InvalidConfig, match="on_error is 'best_effort', must be one of 'fail_fast', 'fail_slow'"):
        parallel(length, length, on_error="best_effort")


async def test_best_effort_puts_none_in_the_place_of_what_failed() -> None:
    flow = best_effort(length, fail)
    assert await flow("abc") == (3, None)
    assert flow.output_type == tuple[int | None, str | None]


async def test_first_success_passes_over_failures() -> None:
    flow = first_success(fail, shout, length)
    assert await flow("a") in ("a!", 1)
    assert flow.output_type == str | int
    assert node_of(flow, Parallel).single


async def test_first_of_takes_the_first_to_end() -> None:
    flow = first_of(length, chain(delay(60)).then(shout))
    assert await flow("abc") == 3
    assert node_of(flow, Parallel).join == Join(any=True)


async def test_n_of_gives_a_list_of_as_many() -> None:
    flow = n_of(2, fail, length, shout)
    assert await flow("abc") == [3, "abc!"]
    assert flow.output_type == list[str | int]


@pytest.mark.parametrize("k", [0, 3, None])
def test_n_of_needs_a_number_of_links(k: Any) -> None:
    with pytest.raises(InvalidConfig, match=f"k is {k}, must be a whole number from 1 to 2"):
        n_of(k, length, shout)


# --- fallback


async def test_a_fallback_tries_the_next_after_a_failure_that_counts() -> None:
    assert await fallback(fail, shout)("a") == "a!"
    assert await fallback(fail, shout, on=ValueError)("a") == "a!"
    with pytest.raises(ValueError, match="a"):
        await fallback(fail, shout, on=(KeyError, OSError))("a")


def test_a_fallback_knows_failures_by_name() -> None:
    assert node_of(fallback(fail, shout, on=(RipresaError, KeyError)), Fallback).on == (
        "ripresa.errors.RipresaError",
        "KeyError",
    )
    node = node_of(fallback(fail, length), Fallback)
    assert (node.on, node.input_type, node.output_type) == ((), str, str | int)


@pytest.mark.parametrize("on", ["ValueError", (), (ValueError, 3), BaseException])
def test_a_fallback_counts_exception_types_only(on: Any) -> None:
    with pytest.raises(InvalidConfig, match=r"on is .*, must be exception types"):
        fallback(fail, shout, on=on)


# --- delay


async def test_a_delay_passes_on_what_it_was_given() -> None:
    assert await delay(0)("tides") == "tides"


def test_a_delay_is_a_length_of_time() -> None:
    assert node_of(delay("3 days"), Delay).length == 3 * 86_400_000_000
    with pytest.raises(InvalidConfig, match="length is 'soon'"):
        delay("soon")
