"""Streams as they are written: options, what fits, and what is refused when it is written."""
# mypy: disable-error-code="arg-type,attr-defined,call-arg,call-overload,index,list-item"
# mypy: disable-error-code="misc,return-value,union-attr,var-annotated"
# What type checkers say about mistakes is tested in tests/typing; here they are meant.

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import pytest

from ripresa import At, InvalidConfig, InvalidWorkflow, Signal, StreamResult, chain, step, stream, wait_for
from ripresa.core.nodes.stream import Stream as StreamNode

from .samples import add, double, length, shout


def numbers(count: int) -> Iterator[int]:
    return iter(range(count))


async def lines(path: str, position: int | None) -> AsyncIterator[At[str, int]]:
    yield At(path, 1)


def bare(count, position):  # type: ignore[no-untyped-def]
    return []


def nothing() -> list[int]:
    return []


async def anything(item: Any) -> None: ...


async def store(batch: list[int]) -> None: ...


async def keep(item: int) -> None: ...


def total(so_far: int, item: int) -> int:
    return so_far + item


def node_of(flow: Any) -> StreamNode:
    assert isinstance(flow.node, StreamNode)
    return flow.node


def test_a_stream_takes_what_its_source_takes_and_returns_its_counts_or_its_fold() -> None:
    into = node_of(stream(numbers, name="load").map(double).batch(3).into(store))
    assert (into.name, into.input_type, into.output_type) == ("load", int, StreamResult)
    assert node_of(stream(numbers).fold(total, 0)).output_type is int
    assert node_of(stream(lines).into(shout)).input_type is str


def test_the_hash_of_a_stream_covers_kinds_and_names_of_its_stages() -> None:
    flow = stream(numbers).map(double).map(double).filter(bool).batch(3).window(2).into(anything)
    assert node_of(flow).policy() == {
        "stages": ["map double", "map double#2", "filter bool", "batch batch", "window window"]
    }
    assert "stream" in repr(stream(numbers))


def test_the_types_of_items_are_followed_from_stage_to_stage() -> None:
    plan = node_of(stream(lines).map(length).batch(2).flat_map(iter).window(3).into(anything)).code.step.plan
    assert plan.kinds == (str, int, list[int], Any, list[Any])
    assert plan.position_type is int
    assert node_of(stream(bare).into(keep)).code.step.plan.kinds == (Any,)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: stream(numbers).map(shout).into(keep), "stream/shout: takes str, is given int"),
        (lambda: stream(numbers).into(store), "stream/store: takes list[int], is given int"),
        (lambda: stream(numbers).batch(2).into(keep), "stream/keep: takes int, is given list[int]"),
        (lambda: stream(numbers).fold(lambda a: a, 0), "is given 2 values"),
        (lambda: stream(numbers).fold(total, "x"), "start is 'x'"),
        (lambda: chain(length).then(stream(lines).into(shout)), "takes str, is given int"),
    ],
)
def test_what_does_not_fit_is_refused_when_it_is_written(make: Any, message: str) -> None:
    with pytest.raises(InvalidWorkflow) as caught:
        make()
    assert message in str(caught.value)
    assert caught.value.problems[0].code == "type_mismatch"


async def coroutine(count: int) -> Iterable[int]:
    return []


@step(effect="irreversible")
async def charge(item: int) -> None: ...


@step
def booked(item: int) -> int:
    return item


@booked.undo
def unbook(item: int) -> None: ...


@step(executor="process")
def crunch(item: int) -> int:
    return item


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: stream(add), "source is <step add>, must be a plain function"),
        (lambda: stream(7), "source is 7"),
        (lambda: stream(coroutine), "a coroutine; write yield in it"),
        (lambda: stream(nothing), "source takes 0 values"),
        (lambda: stream(lambda a, b, c: []), "source takes 3 values"),
        (lambda: stream(numbers, name="a/b"), "name is 'a/b'"),
        (lambda: stream(numbers, buffer=0), "buffer is 0"),
        (lambda: stream(numbers, overflow="lose"), "overflow is 'lose'"),
        (lambda: stream(numbers, on_restart="maybe", at_most=0), "on_restart is 'maybe'"),
        (lambda: stream(numbers, on_restart="maybe", at_most=0), "at_most is 0"),
        (lambda: stream(numbers, within=0), "within is 0"),
        (lambda: stream(numbers).map(7), "fn is 7, must be a step, a flow or a function"),
        (lambda: stream(numbers).map(stream(numbers).into(keep)), "whose 'stream' waits for what does not come there"),
        (lambda: stream(numbers).map(chain(wait_for(Signal("go", int)))), "whose 'go' waits for what does not come"),
        (lambda: stream(numbers).map(chain(double).then(charge)), "whose 'charge' is irreversible"),
        (lambda: stream(numbers).fold(chain(double), 0), "must be a plain function"),
        (lambda: stream(numbers).map(charge), "fn is <step charge>, which is irreversible"),
        (lambda: stream(numbers).map(chain(double).then(booked)), "whose 'booked' is reversible"),
        (
            lambda: stream(numbers).map(chain(double).then(chain(double, name="inner"), undo=keep)),
            "is reversible: what",
        ),
        (lambda: stream(numbers).map(booked), "fn is <step booked>, which is reversible"),
        (lambda: stream(numbers).into(booked), "sink is <step booked>, which is reversible: what is done for items"),
        (lambda: stream(numbers).map(crunch), "runs in a process of its own"),
        (lambda: stream(numbers).map(add, concurrency=0), "concurrency is 0"),
        (lambda: stream(numbers).filter(bool, on_error="stop", buffer=-1), "on_error is 'stop'"),
        (lambda: stream(numbers).filter(bool, on_error="stop", buffer=-1), "buffer is -1"),
        (lambda: stream(numbers).flat_map(iter, overflow="x"), "overflow is 'x'"),
        (lambda: stream(numbers).batch(0, within=0), "count is 0"),
        (lambda: stream(numbers).batch(0, within=0), "within is 0"),
        (lambda: stream(numbers).window(2, every=0), "every is 0"),
        (lambda: stream(numbers).into(charge), "sink is <step charge>, which is irreversible"),
        (lambda: stream(numbers).into(keep, on_error="x", dead_letters=3), "dead_letters is 3"),
        (lambda: stream(numbers).into(keep, on_error="x", dead_letters=3), "on_error is 'x'"),
        (lambda: stream(numbers).fold(add, 0), "fn is <step add>, must be a plain function"),
        (lambda: stream(numbers).fold(keep, 0, every=0), "must be a plain function"),
        (lambda: stream(numbers).fold(keep, 0, every=0), "every is 0"),
    ],
)
def test_options_with_values_that_they_cannot_have_are_refused(make: Any, message: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        make()
    assert message in str(caught.value)


async def several(item: int) -> list[int]:
    return [item]


def test_a_flow_that_does_not_take_the_items_does_not_fit() -> None:
    with pytest.raises(InvalidWorkflow, match="takes str, is given int"):
        _ = stream(numbers).map(chain(shout)).into(keep).node
    with pytest.raises(InvalidWorkflow, match="takes str, is given int"):
        _ = stream(numbers).into(chain(shout)).node


def test_what_a_flow_gives_is_what_the_next_stage_takes() -> None:
    node = stream(numbers).map(chain(double, name="more")).flat_map(chain(several)).into(keep).node
    assert isinstance(node, StreamNode)
    assert node.shape == ("map more", "flat_map chain")
