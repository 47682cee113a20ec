"""What every flow can do: its definition, its input, running in memory, other names, cleanup."""
# mypy: disable-error-code="arg-type,attr-defined,call-arg,call-overload,index,list-item"
# mypy: disable-error-code="misc,return-value,union-attr,var-annotated"
# What type checkers say about mistakes is tested in tests/typing; here they are meant.

from typing import Any

import pytest

from ripresa import Chain, InvalidConfig, InvalidValue, Recorded, chain, delay, map_each, parallel
from ripresa.authoring.flow import Runnable, to_node
from ripresa.authoring.place import Direct, root
from ripresa.authoring.step import Bound, Named
from ripresa.core.events import RunCompleted
from ripresa.core.nodes.cleanup import Cleanup
from ripresa.core.nodes.delay import Delay
from ripresa.core.nodes.sequence import Sequence

from .samples import Item, compare, fail, fetch, greet, length, shout, upper


def test_the_root_of_a_definition_is_a_scope() -> None:
    wait = delay("1 minute")
    assert isinstance(wait.node, Delay)
    assert isinstance(wait.definition.root, Sequence)
    assert wait.definition.root.children == (wait.node,)
    assert chain(fetch).definition.root is not None


def test_equal_flows_have_equal_definitions() -> None:
    assert chain(fetch).then(map_each(upper)).definition.hash == chain(fetch).then(map_each(upper)).definition.hash
    assert chain(fetch).definition.hash != chain(fetch).named("other").definition.hash


def test_a_flow_is_renamed_as_a_copy() -> None:
    first = chain(fetch)
    other = first.named("digest")
    assert (first.name, other.name, other.definition.name) == ("chain", "digest", "digest")
    assert isinstance(other, Chain)
    with pytest.raises(InvalidConfig, match="name is ''"):
        first.named("")


def test_a_flow_shows_what_it_is() -> None:
    assert repr(chain(fetch)) == "<chain chain>"
    assert repr(chain(fetch)("tides")) == "<call chain('tides')>"


def test_an_input_is_validated_by_the_first_link() -> None:
    assert chain(upper).encode_input((Item("a"),), {}) == b'{"text":"a"}'
    with pytest.raises(InvalidValue, match=r"\[invalid_input\] chain: Input should be a valid string"):
        chain(length).encode_input((3,), {})
    with pytest.raises(InvalidValue, match="takes one value, is given 2"):
        chain(length).encode_input(("a",), {"b": 3})


async def test_a_flow_runs_in_memory() -> None:
    assert await chain(length).invoke("abc") == 3


async def test_a_batch_runs_for_each_input_in_order() -> None:
    assert await chain(length).batch(["abc", "", "a"], concurrency=2) == [3, 0, 1]


async def test_a_stream_ends_with_the_result() -> None:
    seen: list[Recorded] = [recorded async for recorded in chain(length).stream("abc")]
    assert isinstance(seen[-1].event, RunCompleted)
    assert seen[-1].event.output == b"3"


async def test_cleanup_handlers_run_last_first_when_the_flow_fails() -> None:
    seen: list[str] = []

    async def close(text: str) -> None:
        seen.append(f"close {text}")

    async def remove(text: str) -> None:
        seen.append(f"remove {text}")

    with pytest.raises(ValueError, match="tide"):
        await chain(fail).cleanup(close, remove)("tide")
    assert seen == ["remove tide", "close tide"]


def test_a_cleanup_has_a_name_for_each_handler() -> None:
    flow = chain(shout).cleanup(length, length)
    node = flow.node
    assert isinstance(node, Cleanup)
    assert [child.name for child in node.children] == ["chain", "length", "length#2"]
    assert (flow.input_type, flow.output_type) == (str, str)
    with pytest.raises(InvalidConfig, match="there is nothing to run"):
        chain(shout).cleanup()


def test_every_link_becomes_a_node_under_the_name_asked_for() -> None:
    assert [(to_node(link).kind, to_node(link, "a").name) for link in (length, chain(length), greet, len)] == [
        ("call", "a"),
        ("sequence", "a"),
        ("subworkflow", "a"),
        ("call", "a"),
    ]


def test_a_step_called_directly_is_given_the_arguments_of_the_call() -> None:
    node = to_node(shout)
    assert isinstance(node.code, Bound)
    assert isinstance(node.code.binding, Named)
    assert to_node(compare).input_type is compare.input_type


def test_all_that_is_no_link_is_named_together() -> None:
    async def plain(text: str) -> str:
        return text

    with pytest.raises(InvalidConfig) as caught:
        parallel(length("a"), plain("a"), 3, Runnable)
    assert caught.value.message == (
        "argument 1 is the call <call length('a')>, not what it calls; "
        "argument 2 is the coroutine of plain, not the function; "
        "argument 3 is 3, which cannot be called; "
        "argument 4 is <class 'ripresa.authoring.flow.Runnable'>, which cannot be called"
    ).replace("plain", plain.__qualname__)


def test_a_place_without_a_word_is_given_something_unknown() -> None:
    assert root("a").given.single(root("a")) is Any
    assert Direct().single(root("a")) is Any
