"""What functions take, and how arguments become one value and back."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, get_type_hints

import pytest

from ripresa import InvalidValue
from ripresa.authoring.parameters import Parameters, decodable
from ripresa.core.items import Items
from ripresa.runtime.values import Values

from .samples import Item


def nothing() -> None: ...
def one(text: str) -> int: ...  # type: ignore[empty-body]
def optional(text: str, mark: str = "!", *, loud: bool = False) -> str: ...  # type: ignore[empty-body]
def keyword(*, text: str) -> str: ...  # type: ignore[empty-body]
def rest(first: int, *others: int, **more: Item) -> None: ...
def positional(first: int, /, second: int) -> None: ...
def unannotated(first, second=3): ...  # type: ignore[no-untyped-def]
def listed(items: Items[int], texts: Iterable[str], rest: Sequence[int]) -> Iterable[Item]: ...  # type: ignore[empty-body]
def partly(first: int, second: Missing) -> str: ...  # type: ignore[name-defined,empty-body] # noqa: F821
def later(first: int) -> Coroutine[Any, Any, int]: ...  # type: ignore[empty-body]
def soon(first: int) -> Awaitable[Awaitable[str]]: ...  # type: ignore[empty-body]


class Callable_:
    def __call__(self, text: str) -> int:
        return len(text)


READER = Values(dict[str, bytes]().__getitem__)


@pytest.mark.parametrize(
    ("fn", "args", "kwargs", "text"),
    [
        (nothing, (), {}, b"{}"),
        (one, ("a",), {}, b'"a"'),
        (one, (), {"text": "a"}, b'"a"'),
        (keyword, (), {"text": "a"}, b'"a"'),
        (optional, ("a",), {}, b'{"text":"a"}'),
        (optional, ("a", "?"), {"loud": True}, b'{"text":"a","mark":"?","loud":true}'),
        (rest, (1, 2, 3), {"x": Item("a")}, b'{"first":1,"others":[2,3],"more":{"x":{"text":"a"}}}'),
        (positional, (1,), {"second": 2}, b'{"first":1,"second":2}'),
        (unannotated, ([1], {"a": 2}), {}, b'{"first":[1],"second":{"a":2}}'),
        (listed, ([1], ("a",), [2]), {}, b'{"items":[1],"texts":["a"],"rest":[2]}'),
        (len, ("abc",), {}, b'"abc"'),
        (int, ("3",), {}, b'"3"'),
        (Item, ("abc",), {}, b'"abc"'),
        (partial(optional, "a"), (), {"mark": "?"}, b'{"mark":"?"}'),
        (Callable_(), ("abc",), {}, b'"abc"'),
    ],
)
def test_arguments_become_one_value_and_back(fn: Any, args: Any, kwargs: Any, text: bytes) -> None:
    parameters = Parameters(fn)
    assert parameters.encode(args, kwargs) == text
    given, named = parameters.decode(text, READER)
    bound = parameters.signature.bind(*given, **named).arguments
    assert parameters.encode((), {}) == b"{}" if fn is nothing else bound
    assert parameters.encode(given, named) == text


def test_arguments_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InvalidValue, match="place: missing a required argument: 'text'"):
        Parameters(one).encode((), {}, where="place")
    with pytest.raises(InvalidValue, match="mark: Input should be a valid string"):
        Parameters(optional).encode(("a", 3), {})


def test_annotations_are_resolved_as_far_as_they_can_be() -> None:
    assert Parameters(partly).hints == {"first": int, "return": str}
    assert Parameters(partly).type_of("second") is Any
    assert Parameters(Item).returns is Item
    assert Parameters(Item).type_of("text") is str
    assert Parameters(partial(optional, mark="?")).returns is str
    assert Parameters(Callable_()).returns is int
    assert Parameters(len).returns is Any
    assert Parameters(int).returns is int


def test_what_a_function_returns_is_what_awaiting_it_gives() -> None:
    assert [Parameters(fn).returns for fn in (later, soon, nothing)] == [int, str, type(None)]
    assert Parameters(listed).returns == list[Item]


def test_where_an_interface_is_asked_for_a_list_is_given() -> None:
    assert [decodable(kind) for kind in (Items[int], Iterable[str], Sequence[int], list[int], int)] == [
        list[int],
        list[str],
        Sequence[int],
        list[int],
        int,
    ]
    assert decodable(Items) is Items
    assert Parameters(listed).kind_at(0) == Items[int]


@pytest.mark.parametrize(
    ("fn", "counts"),
    [
        (nothing, [0]),
        (one, [1]),
        (optional, [1, 2]),
        (keyword, []),
        (rest, [1, 2, 3]),
        (positional, [2]),
        (unannotated, [1, 2]),
    ],
)
def test_how_many_values_a_function_takes_by_position(fn: Any, counts: list[int]) -> None:
    assert [count for count in range(4) if Parameters(fn).refuses(count) is None] == counts


def test_a_refusal_says_what_is_taken() -> None:
    assert Parameters(optional).refuses(3) == "takes (text, mark, loud), is given 3 values by position"
    assert Parameters(positional).refuses(1) == "takes (first, second), is given 1 value by position"


def test_arguments_beyond_the_named_have_the_type_of_the_rest() -> None:
    parameters = Parameters(rest)
    assert [parameters.kind_at(index) for index in range(3)] == [int, int, int]
    assert [parameters.name_at(index) for index in range(3)] == ["first", "argument 2", "argument 3"]
    assert (parameters.kind_of("first"), parameters.kind_of("other")) == (int, Item)


def test_the_first_parameters_may_be_left_out() -> None:
    assert Parameters(optional, skip=1).names == ["mark", "loud"]


@dataclass
class Outer:
    inner: Item


def test_the_type_of_several_arguments_names_them() -> None:
    assert get_type_hints(Parameters(optional).input_type) == {"text": str, "mark": str, "loud": bool}
    assert Parameters(optional).input_type.__required_keys__ == {"text"}
    assert Parameters(one).input_type is str
