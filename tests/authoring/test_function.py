"""Durable functions as values: what they are made of, and what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from ripresa import Context, InvalidConfig, InvalidValue, InvalidWorkflow, chain, workflow
from ripresa.authoring.flow import to_node
from ripresa.core.nodes.dynamic import Dynamic
from ripresa.core.nodes.subworkflow import Subworkflow

from .samples import compare, double, greet


def test_a_workflow_is_a_durable_function_with_name_and_version() -> None:
    node = greet.node
    assert isinstance(node, Dynamic)
    assert (node.name, node.workflow, node.version, node.code) == ("greet", "greet", "1", greet)
    assert (greet.input_type, greet.output_type, greet.timeout) == (str, str, None)
    assert greet.definition.root is node


def test_a_workflow_keeps_its_options() -> None:
    assert (compare.version, compare.timeout, compare.definition.version) == ("2", 60.0, "2")
    assert compare.encode_input(("a",), {"right": 3}) == b'{"left":"a","right":3}'
    with pytest.raises(InvalidValue, match="compare: missing a required argument: 'left'"):
        compare.encode_input((), {})


def test_a_workflow_inside_another_is_a_scope_with_its_time_limit() -> None:
    node = to_node(compare, "compare#2")
    assert isinstance(node, Subworkflow)
    assert (node.name, node.workflow, node.timeout) == ("compare#2", "compare", 60_000_000)
    assert isinstance(node.body, Dynamic)
    assert (node.body.name, node.body.code.fn) == ("compare", compare.fn)


async def test_a_workflow_is_a_link() -> None:
    assert await chain(greet).then(compare)("a") == "hello a!/0"
    with pytest.raises(InvalidWorkflow, match="chain/greet: takes str, is given int"):
        chain(double).then(greet)  # type: ignore[arg-type]


async def test_a_workflow_runs_in_memory() -> None:
    assert await greet("you") == "hello you!"
    assert await greet.invoke(name="you") == "hello you!"
    assert await greet.batch(["a", "b"]) == ["hello a!", "hello b!"]


def test_a_workflow_shows_what_it_is() -> None:
    assert repr(greet) == "<workflow greet>"
    assert greet.named("other").definition.name == "other"


async def plain_first(topic: str) -> str:
    return topic


async def nothing_first() -> str:
    return ""


async def unannotated(ctx, topic):  # type: ignore[no-untyped-def]
    return topic


async def items(ctx: Context) -> AsyncIterator[int]:
    yield 3


def generator(ctx: Context) -> Any:
    yield 3


def sync(ctx: Context) -> int:
    return 3


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (plain_first, "plain_first takes topic first, which is not annotated as Context"),
        (nothing_first, "nothing_first takes no context"),
        (items, "items is a generator"),
        (generator, "generator is a generator"),
        (sync, "sync is no async function"),
        (3, "3 is no async function"),
    ],
)
def test_what_is_no_durable_function_is_refused(fn: Any, message: str) -> None:
    with pytest.raises(InvalidConfig, match=message):
        workflow(fn)


def test_a_context_need_not_be_annotated() -> None:
    assert workflow(unannotated).name == "unannotated"


def test_all_bad_options_of_a_workflow_are_named_together() -> None:
    with pytest.raises(InvalidConfig) as caught:
        workflow(name="a/b", version="", timeout=0)(greet.fn)
    assert caught.value.message == (
        "name is 'a/b', must not contain '/'; version is '', must be a text that is not empty; "
        "timeout is 0, must be a length of time above 0"
    )
