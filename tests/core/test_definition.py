"""Definitions: what their hash covers, and what differs between two of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, Optional, TypedDict

import pytest
from pydantic import BaseModel

from ripresa.core.definition import Definition, differences, shape_of, type_name
from ripresa.core.nodes.branch import Branch
from ripresa.core.nodes.call import Call
from ripresa.core.nodes.cleanup import Cleanup
from ripresa.core.nodes.delay import Delay
from ripresa.core.nodes.dynamic import Dynamic
from ripresa.core.nodes.fallback import Fallback
from ripresa.core.nodes.graph import Graph, Wire
from ripresa.core.nodes.join import Join
from ripresa.core.nodes.loop import Loop, Over
from ripresa.core.nodes.map import Map
from ripresa.core.nodes.node import Node
from ripresa.core.nodes.parallel import Parallel
from ripresa.core.nodes.sequence import Sequence
from ripresa.core.nodes.subworkflow import Subworkflow

A, B = Call("a"), Call("b")


def defined(*nodes: Node[Any], name: str = "w", version: str = "1") -> Definition:
    return Definition(name, Sequence("s", nodes), version=version)


def changes(old: Node[Any], new: Node[Any]) -> list[str]:
    """What differs, checked against the hash."""
    before, after = defined(old), defined(new)
    found = differences(before.description, after.description)
    assert (before.hash == after.hash) == (not found)
    assert (shape_of(old) == shape_of(new)) == (not found)
    return found


def test_code_is_not_part_of_the_structure() -> None:
    assert changes(Call("a", code=print), Call("a", code=lambda: 1)) == []
    assert changes(
        Branch("b", (A,), condition="c", code=len), Branch("b", (A,), condition="c", code=None)
    ) == []  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        (Call("a"), Call("b"), ["s/a: is gone", "s/b: is new"]),
        (Call("a"), Delay("a", 5), ["s/a: kind was 'call', is 'delay'", "s/a: length was None, is 5"]),
        (Call("a", input_type=int), Call("a", input_type=str), ["s/a: input was 'int', is 'str'"]),
        (Call("a", output_type=int), Call("a"), ["s/a: output was 'int', is 'Any'"]),
        (Delay("a", 5), Delay("a", 6), ["s/a: length was 5, is 6"]),
        (
            Parallel("p", (A,), join=Join(), window=1),
            Parallel("p", (A,), join=Join(), window=2),
            ["s/p: concurrency was 1, is 2"],
        ),
        (
            Parallel("p", (A,), join=Join(need=1)),
            Parallel("p", (A,), join=Join(need=1), single=True),
            ["s/p: single was False, is True"],
        ),
        (
            Map("m", A, join=Join()),
            Map("m", A, join=Join(on_error="fail_slow")),
            [
                "s/m: join was {'any': False, 'need': 0, 'on_error': 'fail_fast'}, "
                "is {'any': False, 'need': 0, 'on_error': 'fail_slow'}"
            ],
        ),
        (
            Branch("b", (A,), condition="x", code=None),
            Branch("b", (A,), condition="y", code=None),
            ["s/b: condition was 'x', is 'y'"],
        ),
        (
            Loop("l", A, over=Over("range", last=3), at_most=1),
            Loop("l", A, over=Over("range", last=4), at_most=2, before=True, after=True),
            [
                "s/l: after was False, is True",
                "s/l: at_most was 1, is 2",
                "s/l: before was False, is True",
                "s/l: over was ['range', 'null', 0, 3, 1, False], is ['range', 'null', 0, 4, 1, False]",
            ],
        ),
        (Fallback("f", (A,)), Fallback("f", (A,), on=("KeyError",)), ["s/f: on was [], is ['KeyError']"]),
        (
            Subworkflow("u", A, workflow="x", timeout=1),
            Subworkflow("u", A, workflow="x", timeout=2),
            ["s/u: timeout was 1, is 2"],
        ),
        (
            Dynamic("d", workflow="x", version="1"),
            Dynamic("d", workflow="x", version="2"),
            ["s/d: version was '1', is '2'"],
        ),
        (Cleanup("c", A, ()), Cleanup("c", A, (B,)), ["s/c/b: is new"]),
        (
            Graph("g", (A,), (Wire(),), output=Wire((0,))),
            Graph("g", (A,), (Wire((-1,)),), output=Wire((0,)), keep_going=True),
            [
                "s/g/a: was given nothing, is given the input",
                "s/g: keep_going was False, is True",
            ],
        ),
        (
            Graph("g", (A, B), (Wire(), Wire((0,), (0,), evaluated=True)), output=Wire((1,))),
            Graph("g", (A, B), (Wire(), Wire((0, -1), tests=(0,), conditional=True)), output=Wire((0, 1), first=True)),
            [
                "s/g/b: was given a after a by an expression, is given a, the input on a condition about a",
                "s/g: its result was given b, is given a, b the first of them",
            ],
        ),
        (
            Graph("g", (A, B), (Wire(), Wire(tests=(0,), conditional=True)), output=Wire((1,))),
            Graph("g", (A, B), (Wire(), Wire(doubts=(0,), conditional=True)), output=Wire((1,))),
            ["s/g/b: was given nothing on a condition about a, is given nothing on a condition about a if it ran"],
        ),
        (
            Graph("g", (A, B), (Wire(), Wire(tests=(-1,), conditional=True)), output=Wire((1,))),
            Graph("g", (A, B), (Wire(), Wire(conditional=True)), output=Wire((1,))),
            ["s/g/b: was given nothing on a condition about the input, is given nothing on a condition"],
        ),
        (
            Graph("g", (A, B), (Wire(), Wire((0,))), output=Wire((1,))),
            Graph("g", (A, B), (Wire(), Wire((0,), doubts=(0,))), output=Wire((1,))),
            ["s/g: its nodes depend on each other in another way"],
        ),
        (
            Graph("g", (A, B), (Wire(), Wire((0,))), output=Wire((1,))),
            Graph("g", (B,), (Wire(),), output=Wire((0,))),
            ["s/g/b: was given a, is given nothing", "s/g/a: is gone"],
        ),
    ],
)
def test_structure_and_policies_are(old: Node[Any], new: Node[Any], found: list[str]) -> None:
    assert changes(old, new) == found


def test_the_name_the_version_and_the_order_are_part_of_it() -> None:
    base = defined(A, B)
    assert differences(base.description, defined(A, B, name="x", version="2").description) == [
        "name: 'w' became 'x'",
        "version: '1' became '2'",
    ]
    assert base.hash != defined(B, A).hash
    assert len(base.hash) == 64
    assert base.hash == defined(A, B).hash


def test_another_order_is_named() -> None:
    assert differences(defined(A, B).description, defined(B, A).description) == ["s: its nodes are in another order"]


def test_the_steps_to_expect_are_counted() -> None:
    assert defined(A, Parallel("p", (A, B), join=Join()), Delay("d", 1), Map("m", A, join=Join())).expected == 3


def test_flows_belong_to_one_run() -> None:
    base = defined(Dynamic("d", workflow="x", version="1"))
    mine = base.for_run()
    shape = mine.add_flow("f/inner", B)
    assert mine.flow("f/inner", shape) is B
    assert base.flows == {}
    assert mine.hash == base.hash


# --- types


@dataclass
class Point:
    x: int
    parent: Point | None


class Model(BaseModel):
    title: str
    tags: list[str]


class Options(TypedDict):
    deep: bool


class Pair(NamedTuple):
    left: int
    right: str


@dataclass
class Lost:
    where: Nowhere  # type: ignore[name-defined]  # noqa: F821


class Plain:
    x: int


class Marker:
    pass


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Any, "Any"),
        (None, "None"),
        (int, "int"),
        ("forward", "forward"),
        (list[int], "list[int]"),
        (dict[str, list[int]], "dict[str,list[int]]"),
        (int | None, "Union[int,NoneType]"),
        (Optional[int], "Union[int,NoneType]"),  # noqa: UP045 - both ways of writing it
        (Literal["a", 1], "Literal[a,1]"),
        (Annotated[int, Marker()], "int"),
        (list[Annotated[str, Marker()]], "list[str]"),
        (Callable[[int], str], "Callable[[<class 'int'>],str]"),
        (Point, "Point(x:int,parent:Union[Point,NoneType])"),
        (list[Model], "list[Model(title:str,tags:list[str])]"),
        (Options, "Options(deep:bool)"),
        (Pair, "Pair(left:int,right:str)"),
        (Lost, "Lost(where:Nowhere)"),
        (Plain, "Plain"),
    ],
)
def test_types_are_named_with_their_fields(kind: Any, name: str) -> None:
    assert type_name(kind) == name
