"""The order of graphs given by names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripresa import InvalidWorkflow, Problem
from ripresa.authoring.order import check_graph


def test_each_name_stands_after_those_it_depends_on() -> None:
    assert check_graph({"report": ["fetch", "plan"], "fetch": ["plan"], "plan": []}) == ["plan", "fetch", "report"]


def test_among_equals_the_first_written_is_first() -> None:
    assert check_graph({"c": [], "a": [], "b": ["c"], "d": ["a"]}) == ["c", "a", "b", "d"]


def test_a_cycle_is_named_by_its_path() -> None:
    with pytest.raises(InvalidWorkflow) as caught:
        check_graph({"a": ["c"], "b": ["a"], "c": ["b"], "d": []}, name="g")
    (problem,) = caught.value.problems
    assert (problem.code, caught.value.code) == ("cycle", "cycle")
    around = problem.message.removeprefix("depends on itself: ").split(" -> ")
    assert around[0] == around[-1]
    assert sorted(around[1:]) == ["a", "b", "c"]
    assert all((after, before) in {("a", "c"), ("b", "a"), ("c", "b")} for after, before in zip(around, around[1:]))  # noqa: B905, RUF007


def test_a_node_that_depends_on_itself_is_a_cycle() -> None:
    with pytest.raises(InvalidWorkflow, match="depends on itself: a -> a"):
        check_graph({"a": ["a"]})


def test_all_problems_are_reported_together() -> None:
    with pytest.raises(InvalidWorkflow) as caught:
        check_graph({"a": ["x"], "b": ["b", "y"]}, name="g")
    assert caught.value.problems == (
        Problem("g/a", "depends on 'x', which is not in the graph", "unknown_dependency"),
        Problem("g/b", "depends on 'y', which is not in the graph", "unknown_dependency"),
        Problem("g/b", "depends on itself: b -> b", "cycle"),
    )


@given(st.lists(st.lists(st.integers(min_value=0, max_value=30), max_size=5), max_size=30), st.randoms())
def test_any_graph_without_cycles_is_ordered_and_the_order_is_stable(needs: list[list[int]], random: object) -> None:
    nodes = {f"n{i}": [f"n{need % i}" for need in wanted] if i else [] for i, wanted in enumerate(needs)}
    order = check_graph(nodes)
    assert order == check_graph(nodes)
    assert sorted(order) == sorted(nodes)
    assert all(order.index(need) < order.index(name) for name, wanted in nodes.items() for need in wanted)
