"""Values cross the border: written once, read anew by their type."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import Base64Bytes, BaseModel, PlainSerializer, computed_field
from typing_extensions import TypedDict

from ripresa import InvalidValue
from ripresa.authoring.encoding import adapter, decode, encode

from .samples import Ready, Rework


class Colour(Enum):
    RED = "red"


class Model(BaseModel):
    text: str
    many: list[int] = []

    @computed_field  # type: ignore[prop-decorator]
    @property
    def twice(self) -> str:
        return self.text * 2


class Plain(TypedDict):
    text: str


@dataclass
class Cat:
    name: str
    kind: Literal["cat"] = "cat"


@dataclass
class Dog:
    name: str
    kind: Literal["dog"] = "dog"


@dataclass
class Tree:
    leaves: list[Tree] = field(default_factory=list)


class Opaque:
    """A class that pydantic knows nothing of."""


UNHASHABLE = Annotated[int, ["metadata"]]
UNHASHABLE_CHOICE = Annotated[int | str, ["metadata"]]
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (3, int),
        (None, type(None)),
        ("tide\n\u2028", str),
        (float("inf"), float),
        (Model(text="a", many=[1]), Model),
        (Ready("a"), Ready),
        ({"text": "a"}, Plain),
        ([Ready("a")], list[Ready]),
        ((1, "a"), tuple[int, str]),
        ({1, 2}, set[int]),
        ({"a": [1]}, dict[str, list[int]]),
        (NOON, datetime),
        (date(2026, 11, 21), date),
        (timedelta(seconds=1.5), timedelta),
        (Decimal("1.20"), Decimal),
        (UUID(int=3), UUID),
        (PurePosixPath("/a"), PurePosixPath),
        (Colour.RED, Colour),
        (b"text", bytes),
        (Tree([Tree()]), Tree),
        (Dog("a"), Cat | Dog),
        (Rework("a"), Ready | Rework),
        (None, Ready | None),
        ("a", int | str),
        (3, UNHASHABLE),
        (3, UNHASHABLE_CHOICE),
        ([{"a": None}], Any),
    ],
    ids=repr,
)
def test_a_value_is_read_back_as_it_was(value: object, kind: Any) -> None:
    text = encode(value, kind)
    assert b"\n" not in text
    json.loads(text)
    assert decode(text, kind) == value
    assert type(decode(text, kind)) is type(value)


def test_every_reader_gets_a_value_of_its_own() -> None:
    text = encode([1])
    assert decode(text) is not decode(text)
    assert adapter(list[int]) is adapter(list[int])


@pytest.mark.parametrize(("value", "kind", "message"), [
    ("a", int, "Input should be a valid integer"),
    ({"text": 3}, Model, "text: Input should be a valid string (given: 3)"),
    ("x" * 100, int, "(given: 'xxxxx"),
])  # fmt: skip
def test_a_value_of_another_type_is_refused(value: object, kind: Any, message: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        encode(value, kind, where="fetch")
    assert message in caught.value.message
    assert (caught.value.code, caught.value.where) == ("invalid_output", "fetch")


def test_text_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InvalidValue) as caught:
        decode(b'{"text":3}', Model, where="input")
    assert (caught.value.code, caught.value.where) == ("invalid_input", "input")
    assert caught.value.message == "text: Input should be a valid string (given: 3)"


def test_a_value_that_reads_back_as_another_type_is_refused() -> None:
    @dataclass
    class Twin:
        text: str

    with pytest.raises(InvalidValue, match="a Twin reads back as another type") as caught:
        encode(Twin("a"), Ready | Twin)
    assert caught.value.code == "not_encodable"


def test_what_cannot_be_written_is_refused() -> None:
    with pytest.raises(InvalidValue, match="a object cannot be written as JSON") as caught:
        encode(object(), where="fetch")
    assert (caught.value.code, caught.value.where) == ("not_encodable", "fetch")
    with pytest.raises(InvalidValue, match="a bytes cannot be written as JSON"):
        encode(b"\xff", bytes)
    with pytest.raises(InvalidValue, match=r"values of type .*Opaque.* cannot be written as JSON"):
        encode(3, Opaque)


def test_a_type_may_say_itself_how_it_is_written() -> None:
    known: Any = Annotated[Callable[[], int], PlainSerializer(lambda fn: fn(), return_type=int)]
    assert encode(lambda: 3, known) == b"3"
    assert decode(encode(b"aGVsbG8=", Base64Bytes), bytes) is not None
