"""Chains: what they are made of, and what is said when neighbours do not fit."""
# mypy: disable-error-code="arg-type,attr-defined,call-arg,call-overload,index,list-item"
# mypy: disable-error-code="misc,return-value,union-attr,var-annotated"
# What type checkers say about mistakes is tested in tests/typing; here they are meant.

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from ripresa import InvalidConfig, InvalidWorkflow, Problem, Registry, Rule, chain, delay, map_each, parallel, step
from ripresa.authoring.flow import to_node

from .samples import Item, double, fetch, length, shout, upper


def test_a_chain_is_a_sequence_of_its_links() -> None:
    digest = chain(fetch, name="digest").then(map_each(upper)).then(len)

    assert [(node.kind, node.name, node.input_type, node.output_type) for node in digest.node.children] == [
        ("call", "fetch", str, list[Item]),
        ("map", "map_each", list[Item], list[Item]),
        ("call", "len", list[Item], Any),
    ]
    assert (digest.name, digest.input_type, digest.output_type) == ("digest", str, Any)


def test_a_link_that_stands_twice_gets_a_name_of_its_own() -> None:
    twice = chain(shout).then(shout).then(length).then(chain(double)).then(double.with_(name="chain"))
    assert [node.name for node in twice.node.children] == ["shout", "shout#2", "length", "chain", "chain#2"]


def test_a_longer_chain_leaves_the_shorter_one_as_it_was() -> None:
    short = chain(fetch)
    long = short.then(map_each(upper))
    assert [len(short.node.children), len(long.node.children)] == [1, 2]
    assert long.node.children[0] is short.node.children[0]


async def test_each_link_is_given_what_the_one_before_returned() -> None:
    assert await chain(fetch).then(map_each(upper))("tide") == [Item("TIDE"), Item("TIDETIDE")]


async def test_what_is_not_annotated_is_decoded_by_what_the_one_before_returns() -> None:
    assert await chain(fetch).then(lambda items: [item.text for item in items])("tide") == ["tide", "tidetide"]


async def test_a_type_passes_through_a_delay() -> None:
    texts = chain(fetch).then(delay(0)).then(lambda items: items[0].text)
    assert await texts("tide") == "tide"


def test_neighbours_that_do_not_fit_are_refused_when_the_chain_is_written() -> None:
    with pytest.raises(InvalidWorkflow) as caught:
        chain(fetch).then(length)
    assert caught.value.problems == (Problem("chain/length", "takes str, is given list[Item]", "type_mismatch"),)
    assert caught.value.code == "type_mismatch"


def problems_of(write: Callable[[], object]) -> list[str]:
    with pytest.raises(InvalidWorkflow) as caught:
        write()
    return [problem.where for problem in caught.value.problems]


def test_all_links_that_do_not_fit_are_named_together() -> None:
    def statement() -> None:
        kept = chain(fetch).then(length).then(shout).then(map_each(shout)).then(parallel(double, upper)).named("whole")
        pytest.fail(f"{kept} was let through")

    assert problems_of(statement) == [
        "whole/length",
        "whole/shout",
        "whole/map_each",
        "whole/parallel/double",
        "whole/parallel/upper",
    ]


def test_what_does_not_fit_is_said_at_the_end_of_the_statement_that_wrote_it() -> None:
    kept: dict[str, object] = {}

    def dropped() -> None:
        chain(fetch).then(length)
        pytest.fail("not refused")

    def entered() -> None:
        kept["flow"] = chain(fetch).then(length)
        pytest.fail("not refused")

    for statement in (dropped, entered, lambda: chain(fetch).then(length)):
        assert problems_of(statement) == ["chain/length"]


async def test_what_is_handed_on_with_its_problems_tells_them_wherever_it_is_used() -> None:
    (flow,) = [chain(fetch).then(length).then(double).then(shout)]
    uses: tuple[Callable[[], object], ...] = (
        lambda: flow.node,
        lambda: flow.named("other"),
        lambda: flow.then(upper),
        lambda: to_node(flow),
        lambda: Registry().register(map_each(flow)),
    )
    for use in uses:
        with pytest.raises(InvalidWorkflow) as caught:
            use()
        assert [problem.where.rpartition("/")[2] for problem in caught.value.problems][:2] == ["length", "shout"]
    with pytest.raises(InvalidWorkflow, match="2 problems"):
        await flow("a")


def test_a_mismatch_deep_inside_is_found_where_the_type_becomes_known() -> None:
    untyped = chain(lambda value: value, name="inner").then(length)
    with pytest.raises(InvalidWorkflow) as caught:
        chain(double).then(chain(delay(1), name="wait").then(length))
    assert [problem.where for problem in caught.value.problems] == ["chain/wait/length"]
    assert chain(double).then(untyped).output_type is int


def test_a_step_that_takes_two_values_is_no_link() -> None:
    @step
    def pair(left: int, right: int) -> int:
        return left + right

    with pytest.raises(InvalidWorkflow, match=r"takes \(left, right\), is given 1 value by position"):
        chain(double).then(pair)


def test_what_is_no_link_is_refused_by_name() -> None:
    with pytest.raises(InvalidConfig, match="argument 1 is 3, which cannot be called"):
        chain(3)
    with pytest.raises(InvalidConfig, match="name is 'a/b'"):
        chain(fetch, name="a/b")


async def test_a_chain_may_begin_with_pauses() -> None:
    flow = chain(delay(0), name="later", version="3").then(delay(0)).then(double)
    assert (flow.name, flow.version) == ("later", "3")
    assert await flow(4) == 8
    assert await chain(delay(0)).then(delay(0))("as it is") == "as it is"


def test_a_chain_with_rules_or_a_state_keeps_its_version() -> None:
    @dataclass
    class State:
        total: int = 0

    ruled = chain(double, version="3").with_rules(Rule.custom("even", lambda value: value % 2 == 0))
    assert [flow.version for flow in (ruled, chain(double, version="3").with_state(State))] == ["3", "3"]
    assert [part.version for part in [ruled, ruled.then(double)]] == ["3", "3"]
