"""Structured answers: what a model gave is read by its form, or it is said what is wrong with it."""

from dataclasses import dataclass
from typing import Any

import pytest

from ripresa import InvalidValue
from ripresa.steps.conversation import ModelAnswer, ToolCall
from ripresa.steps.forms import OUTPUT, Form


@dataclass
class Page:
    title: str
    number: int = 1


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Page, '{"title": "a"}', Page("a")),
        (int, '{"value": 7}', 7),
        (list[Page], '{"value": [{"title": "a", "number": 2}]}', [Page("a", 2)]),
    ],
)
def test_an_answer_is_read_from_its_text_or_from_the_call_that_gives_it(kind: Any, text: str, value: Any) -> None:
    form = Form(kind)
    assert form.read(ModelAnswer(text)) == value
    assert form.read(ModelAnswer("so:", (ToolCall("1", "look", "{}"), ToolCall("2", OUTPUT, text)))) == value


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        (Page, " \n", "there is no answer"),
        (Page, "no", "Invalid JSON"),
        (Page, '{"title": 3}', "title"),
        (int, '{"value": "x"}', "valid integer"),
        (int, "[7]", "should be an object"),
        (Page, '{"title": "\ud800"}', "it is no JSON"),
        (int, "\ud800", "it is no JSON"),
    ],
)
def test_what_does_not_fit_is_said(kind: Any, text: str, said: str) -> None:
    with pytest.raises(InvalidValue, match=said) as caught:
        Form(kind).read(ModelAnswer(text))
    assert caught.value.code == "invalid_model_answer"
