"""What expressions are worth, and of which type they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, Self, TypeVar

import pytest
from pydantic import BaseModel
from typing_extensions import TypedDict

from ripresa.authoring.expression import Constant, Environment, Expression, Field, Source, Written, lacks
from ripresa.authoring.proxy import Proxy, lift
from ripresa.runtime.values import Values

T = TypeVar("T")


class Section(BaseModel):
    title: str
    words: int = 3

    @property
    def size(self) -> int:
        return self.words * 2

    @cached_property
    def slow(self) -> str:
        return self.title

    @property
    def untold(self):  # type: ignore[no-untyped-def]
        return 3

    @property
    def wrong(self) -> Missing:  # type: ignore[name-defined] # noqa: F821
        return 3


class Extra(TypedDict):
    name: str


@dataclass
class Page(Generic[T]):
    sections: list[Section]
    extra: Extra
    content: T
    notes: dict[str, int] = field(default_factory=dict)
    place: tuple[int, str] = (1, "a")


PAGE = Source(None, 0, "page", Page[int])
VALUE = b'{"sections":[{"title":"Tides"}],"extra":{"name":"n"},"content":1,"notes":{"a":3}}'
page: Any = Proxy(PAGE)


def environment(*values: bytes) -> Environment:
    return Environment.of(tuple(range(len(values))), values, Values(dict[str, bytes]().__getitem__))


def worth(expression: Any) -> Any:
    return lift(expression).value(environment(VALUE))


@pytest.mark.parametrize(
    ("expression", "value", "kind"),
    [
        (page.sections[0].title, "Tides", str),
        (page.sections[0].size, 6, int),
        (page.sections[0].slow, "Tides", str),
        (page.sections[0].untold, 3, Any),
        (page.sections[0].wrong, 3, Any),
        (page.sections[0].model_fields_set, {"title"}, set[str]),
        (page.sections[:1], [Section(title="Tides")], list[Section]),
        (page.extra["name"], "n", str),
        (page.notes["a"], 3, int),
        (page.content, 1, Any),
        (page.place[1], "a", str),
        (page.place[0] == 1, True, bool),
        ((page.notes["a"] > 2) & (page.content == 5), False, bool),
        ((page.notes["a"] > 2) | (page.content == 5), True, bool),
        ([page.content, 2], [1, 2], list[Any]),
        ({"a": page.notes["a"]}, {"a": 3}, dict[Any, int]),
        ((page.content, page.notes["a"]), (1, 3), tuple[Any, int]),
        (Page([], page.extra, page.content), Page([], Extra(name="n"), 1), Page),
    ],
)
def test_an_expression_has_a_value_and_a_type(expression: Any, value: Any, kind: Any) -> None:
    assert worth(expression) == value
    assert lift(expression).kind == kind


def test_items_of_what_is_not_known_are_not_known() -> None:
    for kind in (Any, Mapping, dict, tuple, int, Self):
        assert lift(Proxy(Source(None, 0, "x", kind))[5]).kind is Any
    assert lift(Proxy(Source(None, 0, "x", tuple[int, ...]))[5]).kind is int
    assert lift(Proxy(Source(None, 0, "x", Extra))["other"]).kind is Any
    assert lift(Proxy(Source(None, 0, "x", Any)).field).kind is Any
    assert lift(Proxy(Source(None, 0, "x", Self)).field).kind is Any


def test_a_field_of_a_union_is_a_union() -> None:
    both = Proxy(Source(None, 0, "x", Section | Page[int]))
    assert lift(both.title).kind is Any
    assert lift(Proxy(Source(None, 0, "x", Section | Written)).kind).kind is Any


def test_a_whole_result_is_decoded_by_what_is_asked_for() -> None:
    surroundings = environment(b'{"title":"Tides"}')
    source: Expression = Source(None, 0, "x", dict[str, str])
    assert source.value(surroundings) == {"title": "Tides"}
    assert source.value(surroundings, Section) == Section(title="Tides")
    assert source.value(surroundings, T) == {"title": "Tides"}
    assert source.value(surroundings) is not source.value(surroundings)


def test_constants_are_copied_for_every_consumer() -> None:
    shared = [1]
    constant = Constant(shared)
    assert constant.value(environment()) == shared
    assert constant.value(environment()) is not shared
    assert (constant.kind, list(constant.leaves())) == (list, [])


def test_written_values_are_decoded_anew() -> None:
    written = Written(b'{"title":"a"}', Section)
    assert written.value(environment()) == Section(title="a")
    assert (str(written), list(written.leaves())) == ('{"title":"a"}', [])


@pytest.mark.parametrize(
    ("kind", "name", "missing"),
    [
        (Section, "title", False),
        (Section, "titel", True),
        (Section, "size", False),
        (Page[int], "section", True),
        (Page[int], "sections", False),
        (Extra, "name", True),
        (Extra, "keys", False),
        (int, "real", False),
        (str, "txt", True),
        (Section | None, "title", True),
        (Any, "anything", False),
        (Self, "anything", False),
        (T, "anything", False),
        (Values, "anything", False),
    ],
)
def test_a_field_that_is_certainly_not_there_is_seen(kind: Any, name: str, missing: bool) -> None:
    assert lacks(kind, name) == missing


def test_a_test_shows_its_predicate() -> None:
    assert str(Field(Source(None, 0, "x", Any), "y")) == "x.y"
