"""Choices by predicate and by type."""
# mypy: disable-error-code="arg-type,attr-defined,call-arg,call-overload,index,list-item"
# mypy: disable-error-code="misc,return-value,union-attr,var-annotated"
# What type checkers say about mistakes is tested in tests/typing; here they are meant.

from __future__ import annotations

from typing import Any, Protocol

import pytest
from typing_extensions import TypedDict

from ripresa import InvalidConfig, InvalidWorkflow, RipresaError, RunFailed, branch, case, chain, choose, step
from ripresa.authoring.draw import draw
from ripresa.core.nodes.branch import Branch

from .samples import Ready, Rework, double, fetch, judge, length, ready, rework, shout


def is_long(text: str) -> bool:
    return len(text) > 3


async def test_a_predicate_picks_one_of_two_links() -> None:
    flow = branch(is_long, length, shout)
    assert await flow("abcd") == 4
    assert await flow("abc") == "abc!"


def test_a_branch_is_one_node_named_by_its_question() -> None:
    flow = branch(is_long, length, shout, name="by length")
    assert isinstance(flow.node, Branch)
    assert (flow.node.condition, [arm.name for arm in flow.node.arms]) == ("is_long", ["length", "shout"])
    assert (flow.input_type, flow.output_type) == (str, int | str)


@pytest.mark.parametrize("answer", [False, 0, "", [], None])
async def test_what_is_false_in_python_is_no_match(answer: Any) -> None:
    assert await branch(lambda _: answer, length, shout)("abc") == "abc!"


@pytest.mark.parametrize("answer", [True, 1, "no", [0]])
async def test_what_is_true_in_python_is_a_match(answer: Any) -> None:
    assert await branch(lambda _: answer, length, shout)("abc") == 3


async def test_a_predicate_without_annotations_is_given_what_the_chain_gives() -> None:
    flow = chain(fetch).then(branch(lambda items: items[0].text == "a", len, lambda items: -1))
    assert [await flow("a"), await flow("b")] == [2, -1]


def test_a_predicate_must_fit_the_value() -> None:
    with pytest.raises(InvalidWorkflow, match="branch/is_long: takes str, is given int"):
        branch(is_long, double, double)


async def steps_cannot_ask(text: str) -> bool:
    return True


@pytest.mark.parametrize("when", [length, steps_cannot_ask, chain(length), 3])
def test_a_predicate_is_a_plain_function(when: Any) -> None:
    with pytest.raises(InvalidConfig, match=r"when is .*, must be a plain function"):
        branch(when, length, shout)


@pytest.mark.parametrize("when", [lambda text: length(text), lambda text: steps_cannot_ask(text)])
async def test_a_predicate_that_must_be_awaited_is_an_error_not_a_match(when: Any) -> None:
    with pytest.raises(RipresaError, match="lambda returned something to await"):
        await branch(when, length, shout)("a")


async def test_the_type_of_a_value_picks_a_case() -> None:
    flow = chain(judge).then(case(Ready, ready).case(Rework, rework))
    assert [await flow("tides"), await flow("ab")] == ["ready tides", 2]
    assert flow.output_type == str | int


async def test_cases_by_themselves_take_their_union() -> None:
    flow = case(Ready, ready).case(Rework, rework)
    assert flow.input_type == Ready | Rework
    assert await flow(Rework("abc")) == 3
    assert isinstance(flow.node, Branch)
    assert flow.node.condition == "Ready | Rework"


async def test_a_value_that_no_case_takes_fails_the_run() -> None:
    def unknown(value: str) -> Any:
        return {"neither": value}

    with pytest.raises(RunFailed, match=r"no case of Ready \| Rework takes this value") as caught:
        await chain(unknown).then(case(Ready, ready).case(Rework, rework))("a")
    assert caught.value.failure.code == "no_case"


async def test_a_value_of_no_class_asked_for_is_no_case() -> None:
    @step
    def anything(value: str) -> Any:
        return value

    @step
    def negated(value: int) -> int:
        return -value

    with pytest.raises(RipresaError, match=r"no case of int \| bool"):
        await chain(anything).then(case(int, negated).case(bool, negated))("tides")


def test_a_case_that_is_missing_is_named() -> None:
    with pytest.raises(InvalidWorkflow, match=r"is given Ready \| Rework, but no case takes Rework"):
        chain(judge).then(case(Ready, ready))


def test_a_link_must_take_its_case() -> None:
    with pytest.raises(InvalidWorkflow, match="case/rework: takes Rework, is given Ready"):
        case(Ready, rework)


class Shaped(Protocol):
    text: str


class Dictionary(TypedDict):
    text: str


@pytest.mark.parametrize("kind", [Shaped, Dictionary, list[int], "Ready"])
def test_a_case_is_a_class(kind: Any) -> None:
    with pytest.raises(InvalidConfig, match=r"kind is .*, must be a class that values can be told apart by"):
        case(kind, length)


# --- several at once


def topics(text: str) -> list[str]:
    return [name for name in ("shout", "length") if name in text]


several = choose(topics, length, shout, length.with_(name="never"))


async def test_the_chosen_links_run_and_their_results_come_in_the_order_of_writing() -> None:
    assert await several("shout length") == [12, "shout length!"]
    assert await several("shout") == ["shout!"]
    assert await several("neither") == []
    assert several.output_type == list[int | str]


async def test_a_selector_may_give_one_name() -> None:
    assert await choose(lambda text: "length", length, shout, concurrency=1)("abc") == [3]


async def test_what_follows_a_choice_of_several_runs() -> None:
    assert await chain(choose(topics, length)).then(sum)("length") == 6


async def test_a_name_that_is_not_there_cannot_be_chosen() -> None:
    with pytest.raises(RunFailed, match="there is no 'c', 'd' to choose") as caught:
        await choose(lambda text: ("d", "c", "length"), length)("abc")
    assert caught.value.failure.code == "no_case"


@pytest.mark.parametrize("answer", [None, 3, {"a": 1}])
async def test_a_selector_gives_names(answer: Any) -> None:
    with pytest.raises(RipresaError, match="returned"):
        await choose(lambda text: answer, length)("abc")


def test_bad_options_of_a_choice_are_named_together() -> None:
    with pytest.raises(InvalidConfig, match=r"select is 3.*concurrency is 0.*on_error is 'x'"):
        choose(3, length, concurrency=0, on_error="x")


def test_a_choice_of_several_is_drawn_as_a_fork() -> None:
    assert 'n1{{"topics? all"}}' in draw(several)
