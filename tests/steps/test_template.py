"""Templates of prompts: what is put in is data."""

from dataclasses import dataclass, field
from typing import Any, TypedDict

import pytest
from pydantic import BaseModel

from ripresa import InvalidConfig, RipresaError
from ripresa.steps.template import Template, fields_of, unknown_places


@dataclass
class Author:
    name: str
    key: str = "sk-secret"


@dataclass
class Page:
    title: str
    author: Author
    tags: list[str] = field(default_factory=list[str])


class Note(BaseModel):
    text: str


class Row(TypedDict):
    number: int


PAGE = Page("Tides", Author("Ann"), ["sea", "moon"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Sum up {title}.", "Sum up Tides."),
        ("{page.author.name}: {page.title}", "Ann: Tides"),
        ("{page.tags.1} {page.tags}", 'moon ["sea", "moon"]'),
        ("{{title}} {count}", "{title} 3"),
        ("{note}", '{"text": "ä"}'),
        ("nothing", "nothing"),
        ("", ""),
    ],
)
def test_places_are_filled_with_data(text: str, expected: str) -> None:
    values = {"title": PAGE.title, "page": PAGE, "count": 3, "note": Note(text="ä")}
    assert Template(text).filled(values) == expected


@pytest.mark.parametrize(
    "attack",
    ["{system}", "{0.__class__}", "{page.author.key}", "}} {{system}} {{", "%(system)s", "${system}", "{% raw %}"],
)
def test_what_is_put_in_is_never_a_template_again(attack: str) -> None:
    template = Template("Sum up {title} by {who}")
    filled = template.filled({"title": attack, "who": attack, "system": "SECRET", "page": PAGE})
    assert filled == f"Sum up {attack} by {attack}"


@pytest.mark.parametrize(
    "text",
    [
        "{page.__class__}",
        "{_private}",
        "{page.author!r}",
        "{count:>10}",
        "{count:{width}}",
        "{page[author]}",
        "{}",
        "{a b}",
        "{f(x)}",
    ],
)
def test_a_place_is_a_name_with_fields_and_nothing_else(text: str) -> None:
    with pytest.raises(InvalidConfig, match="a place is a name"):
        Template(text)


@pytest.mark.parametrize("text", ["{open", "close}"])
def test_a_text_with_single_braces_is_no_template(text: str) -> None:
    with pytest.raises(InvalidConfig, match="system is no template"):
        Template(text, option="system")


@pytest.mark.parametrize(
    "text", ["{page.pages}", "{page.tags.7}", "{page.tags.first}", "{page.title.upper}", "{other}"]
)
def test_only_fields_and_items_of_data_can_be_reached(text: str) -> None:
    with pytest.raises(RipresaError, match="nothing to put in") as caught:
        Template(text).filled({"page": PAGE})
    assert caught.value.code == "invalid_input"


def test_the_fields_of_a_type_are_known() -> None:
    kinds: list[Any] = [Page, Note, Row, str, list[int], dict]
    assert [fields_of(kind) for kind in kinds] == [
        ("title", "author", "tags"),
        ("text",),
        ("number",),
        None,
        None,
        None,
    ]


def test_places_that_nothing_will_be_put_in_for_are_named() -> None:
    assert unknown_places(Template("{a} {b.c}"), ["a", "b"], "prompt") is None
    assert unknown_places(Template("{a} {b.c} {d}"), ["a"], "prompt") == "prompt has {b.c}, {d}, must be of a"
    assert unknown_places(Template("{a}"), [], "prompt") == "prompt has {a}, must be of nothing"
