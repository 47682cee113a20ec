"""Which types fit where: a table, and the laws behind it."""

from __future__ import annotations

import collections.abc as abc
from collections import deque
from dataclasses import dataclass
from enum import Enum
from inspect import Parameter
from types import NoneType
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    Never,
    NewType,
    NotRequired,
    Optional,
    Protocol,
    Required,
    Self,
    TypedDict,
    TypeVar,
    Union,
)

import pytest
from typing_extensions import TypeAliasType

from ripresa.authoring.fit import (
    fits,
    hints_of,
    is_list,
    item_type,
    known,
    members,
    named,
    narrowest,
    specific,
    union,
)
from ripresa.core.items import Items

T = TypeVar("T")
K = TypeVar("K")
UserId = NewType("UserId", int)
AdminId = NewType("AdminId", UserId)
Alias = TypeAliasType("Alias", list[int])


class Animal: ...


class Dog(Animal): ...


class Pages(list[int]): ...


class Box(Generic[T]): ...


class Labelled(Generic[K, T], list[T]): ...


class Plain(Animal, list[str]): ...


class Bare(list): ...  # type: ignore[type-arg]


class Colour(Enum):
    RED = 1
    BLUE = 2


class Named(Protocol):
    name: str


class Small(TypedDict):
    a: int


class Large(TypedDict):
    a: int
    b: str


class Open(TypedDict, total=False):
    a: Required[int]
    c: NotRequired[str]


class Other(TypedDict):
    a: str


@dataclass
class Recursive:
    next: Optional[Missing]  # type: ignore[name-defined] # noqa: F821, UP045


VARIABLE: list[Any] = [Box.__parameters__[0], list[T], dict[str, list[T]], tuple[Any, ...]]  # type: ignore[attr-defined,valid-type]


def function(x: int) -> str:
    return str(x)


FIT: list[tuple[Any, Any]] = [
    (int, int),
    (int, Any),
    (Any, int),
    (object, int),
    (int, object),
    (int, T),
    (T, int),
    ("Forward", int),
    (Parameter.empty, int),
    (int, float),
    (int, complex),
    (float, complex),
    (bool, int),
    (Dog, Animal),
    (None, NoneType),
    (int, int | str),
    (int, Union[int, str]),  # noqa: UP007
    (int | str, int | str | None),
    (Dog | None, Optional[Animal]),  # noqa: UP045
    (Never, int),
    (Annotated[int, "metadata"], int),
    (int, Annotated[int, "metadata"]),
    (Alias, list[int]),
    (UserId, int),
    (AdminId, UserId),
    (UserId, UserId),
    (Literal["a"], str),
    (Literal["a"], Literal["a", "b"]),
    (bool, Literal[True, False]),
    (Colour, Literal[Colour.RED, Colour.BLUE]),
    (None, Literal[None]),
    (list[int], list[int]),
    (list[int], list),
    (list, list[int]),
    (list[Dog], list[Animal]),
    (list[int], abc.Sequence[int]),
    (list[int], abc.Iterable[float]),
    (list[int], Items[int]),
    (tuple[int, ...], Items[int]),
    (deque[int], Items[int]),
    (range, Items[int]),
    (Pages, abc.Sequence[int]),
    (Labelled[str, int], abc.Sequence[int]),
    (Plain, abc.Sequence[str]),
    (Bare, abc.Sequence[int]),
    (Plain, Items[str]),
    (Self, int),
    (int, Self),
    (list[int], Items),
    (Any, Items[int]),
    (tuple[int, str], abc.Sequence[int | str]),
    (tuple[int, int], tuple[int, ...]),
    (tuple[int, str], tuple[int, str]),
    (tuple, tuple[int, str]),
    (tuple[int, str], tuple),
    (dict[str, int], dict[str, int]),
    (dict[str, int], abc.Mapping[str, float]),
    (dict[str, int], abc.Iterable[str]),
    (dict, dict[str, int]),
    (Large, Small),
    (Open, Small),
    (Large, dict),
    (Large, abc.Mapping[str, object]),
    (dict, Small),
    (Box[int], Box[int]),
    (Dog, Named),
    (abc.Callable[[int], str], abc.Callable[[int], str]),
    (abc.Callable[[float], int], abc.Callable[[int], float]),
    (abc.Callable[..., str], abc.Callable[[int], str]),
    (abc.Callable, abc.Callable[[int], str]),
    (abc.Callable[[int], str], abc.Callable),
    (type(function), abc.Callable[[int], str]),
    (type[int], type[int]),
    (Box[int] | list[int], Box[Any] | list[Any]),
]

MISFIT: list[tuple[Any, Any]] = [
    (int, str),
    (str, int),
    (float, int),
    (int, None),
    (None, int),
    (Animal, Dog),
    (int | str, int),
    (int | None, int),
    (float, int | str),
    (int, UserId),
    (UserId, AdminId),
    (UserId, str),
    (str, Literal["a"]),
    (Literal["a", "c"], Literal["a", "b"]),
    (Literal["a"], int),
    (Literal[1], Literal[True]),
    (bool, Literal[True]),
    (Colour, Literal[Colour.RED]),
    (int, Literal[1]),
    (list[int], list[str]),
    (list[int], int),
    (list[int], Items[str]),
    (str, Items[str]),
    (bytes, Items[int]),
    (set[int], Items[int]),
    (dict[int, int], Items[int]),
    (abc.Iterator[int], Items[int]),
    (int, Items[int]),
    (None, Items[int]),
    (abc.Iterable[int], list[int]),
    (Pages, abc.Sequence[str]),
    (Plain, Items[int]),
    (tuple[int, str], tuple[int, int]),
    (tuple[int, str], tuple[int, ...]),
    (tuple[int, ...], tuple[int, int]),
    (tuple[int], tuple[int, int]),
    (tuple[int, ...], list[int]),
    (dict[str, int], dict[str, str]),
    (dict[str, int], abc.Iterable[int]),
    (Small, Large),
    (Other, Small),
    (Small, list),
    (list, Small),
    (Box[int], Box[str]),
    (abc.Callable[[int], str], abc.Callable[[int], int]),
    (abc.Callable[[int, int], str], abc.Callable[[int], str]),
    (abc.Callable[[int], str], abc.Callable[[str], str]),
    (int, abc.Callable[[int], str]),
]


@pytest.mark.parametrize(("given", "wanted"), FIT, ids=str)
def test_this_fits(given: Any, wanted: Any) -> None:
    assert fits(given, wanted)


@pytest.mark.parametrize(("given", "wanted"), MISFIT, ids=str)
def test_this_does_not_fit(given: Any, wanted: Any) -> None:
    assert not fits(given, wanted)


@pytest.mark.parametrize("kind", [kind for kind, _ in FIT + MISFIT], ids=str)
def test_every_type_fits_itself_and_what_is_not_known(kind: Any) -> None:
    assert fits(kind, kind)
    assert fits(kind, Any)
    assert fits(Any, kind)


def test_what_is_not_known_has_no_type() -> None:
    assert [known(kind) for kind in (Any, object, T, "Text", Parameter.empty, Annotated[Any, 1])] == [False] * 6
    assert [known(kind) for kind in (int, None, list[Any], int | Any)] == [True] * 4


def test_a_type_with_variables_within_does_not_say_all() -> None:
    assert [specific(kind) for kind in (int, list[int], Literal["a"], abc.Callable[[int], str])] == [True] * 4
    assert [specific(kind) for kind in VARIABLE] == [False] * 4
    assert specific(tuple[int, ...])


def test_a_union_is_flat_and_says_nothing_if_a_part_does_not() -> None:
    assert union([int, str | int, None]) == int | str | None
    assert union([int, Any]) is Any
    assert union([]) is Any
    assert members(Annotated[int | Annotated[str | None, 1], 2]) == (int, str, NoneType)


def test_the_narrowest_type_fits_all_others() -> None:
    assert narrowest([Animal, Dog, Any, Animal | None]) is Dog
    assert narrowest([int, str]) is None
    assert narrowest([Any, T]) is Any


def test_the_type_of_items() -> None:
    assert item_type(list[int]) is int
    assert item_type(dict[str, int]) is str
    assert item_type(tuple[int, ...]) is int
    assert item_type(tuple[int, str]) == int | str
    assert item_type(list[int] | tuple[str, ...]) == int | str
    assert item_type(range) is int
    assert item_type(Pages) is int
    assert item_type(Labelled) is Any
    assert [item_type(kind) for kind in (Any, list, tuple, Box, int)] == [Any] * 5


def test_what_can_be_gone_over() -> None:
    assert [is_list(kind) for kind in (list[int], tuple, range, Any, abc.Sequence[int], T, Self)] == [True] * 7
    assert [is_list(kind) for kind in (str, set[int], dict, int, list[int] | None)] == [False] * 5


def test_annotations_that_cannot_be_resolved_are_left_as_they_are() -> None:
    assert hints_of(Recursive) == {"next": "Optional[Missing]"}
    assert hints_of(3) == {}


def test_types_are_named_as_people_write_them() -> None:
    named_as = {
        int: "int",
        None: "None",
        list[Dog]: "list[Dog]",
        int | None: "int | None",
        Dog | None: "Dog | None",
        tuple[int, ...]: "tuple[int, ...]",
        Literal["a", 1]: "Literal['a', 1]",
        abc.Callable[[int], str]: "Callable[[int], str]",
        UserId: "UserId",
        Any: "Any",
        T: "T",
        Annotated[int, 3]: "int",
    }
    assert {kind: named(kind) for kind in named_as} == named_as

    class Local: ...

    assert named(list[Local]) == "list[Local]"
    assert named("Text") == "Text"
