"""What to do about a definition that is wrong: said where the code alone would say the wrong thing."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from ripresa import Graph, InvalidConfig, InvalidWorkflow, chain, step
from ripresa.advice import ADVICE
from ripresa.authoring.place import COUNT


@step
def one(x: int) -> int:
    return x


@step
def text(x: str) -> str:
    return x


@step
def both(x: int, y: str) -> int:
    return x + len(y)


two: Any = both


def refused(*calls: Any) -> InvalidWorkflow:
    graph = Graph("g", input=int)
    first = graph.add(one(graph.input), name="first")
    for call in calls:
        graph.add(call(graph, first))
    with pytest.raises(InvalidWorkflow) as caught:
        graph.returns(first.out)
    return caught.value


def test_arguments_that_are_missing_are_to_be_given() -> None:
    error = refused(lambda graph, _: two(graph.input))
    assert (error.code, error.where, error.hint) == ("type_mismatch", "g/both", COUNT)
    assert [problem.hint for problem in error.problems] == [COUNT]


def test_a_node_in_the_place_of_its_value_gets_advice_of_its_own() -> None:
    error = refused(lambda _, first: one(first))
    assert (error.message, error.hint) == ("is given the node first, not its value", "write .out")
    assert "or put a step between" not in str(error)


def test_advice_about_several_problems_is_given_once_for_each() -> None:
    calls: list[Any] = [lambda graph, _: two(graph.input), lambda graph, _: text(graph.input)]
    assert refused(*calls, lambda _, first: one(first)).hint == f"{COUNT}; {ADVICE['type_mismatch']}; write .out"


def test_what_a_chain_is_given_too_much_of_is_a_matter_of_arguments_too() -> None:
    first: Any = chain(one)
    with pytest.raises(InvalidWorkflow) as caught:
        first.then(two)
    assert caught.value.hint == COUNT


def test_an_async_generator_is_no_step() -> None:
    async def numbers(x: int) -> AsyncIterator[int]:
        yield x

    with pytest.raises(InvalidConfig, match="numbers is an async generator: a step returns one value") as caught:
        step(numbers)
    assert "return a list of what it yields" in caught.value.hint
    assert caught.value.where.endswith("numbers")
