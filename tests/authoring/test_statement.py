"""Statements: where what is wrong with a flow is said, and where more of it is still to come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ripresa.authoring import statement

asked: list[bool] = []


class Ours:
    """Asks as a module of ours would, each time it is used."""

    then: Any
    flow: Any


def ours() -> Callable[..., Any]:
    """A function that stands in a module of ours."""
    code = "def asks(*args, **options):\n    asked.append(goes_on())\n    return made"
    made = Ours()
    names = {"__name__": "ripresa.made_up", "goes_on": statement.goes_on, "asked": asked, "made": made}
    exec(code, names)
    made.then = names["asks"]
    return names["asks"]  # type: ignore[return-value]


do = ours()


def keeps() -> None:
    kept = do(1)
    assert kept


def drops() -> None:
    do(1)


def gives_back() -> Any:
    return do(1)


def goes_on_in_a_chain() -> None:
    whole = do(1).then(2).then(last=3)
    assert whole


def goes_on_as_an_argument() -> None:
    whole = do(do(1), do(2), last=do(3))
    assert whole


def goes_on_in_a_list() -> None:
    whole = [do(1), do(2)]
    assert whole


def is_kept_as_an_attribute() -> None:
    owner = Ours()
    owner.flow = do(1).then(2)


def is_kept_as_an_item() -> None:
    owner: dict[str, Any] = {}
    owner["flow"] = do(1)


def is_kept_twice() -> None:
    first = second = do(1)
    assert first is second


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (keeps, [False]),
        (drops, [False]),
        (gives_back, [False]),
        (goes_on_in_a_chain, [True, True, False]),
        (goes_on_as_an_argument, [True, True, True, False]),
        (goes_on_in_a_list, [True, True]),
        (is_kept_as_an_attribute, [True, False]),
        (is_kept_as_an_item, [False]),
        (is_kept_twice, [False]),
    ],
)
def test_a_statement_goes_on_until_it_keeps_drops_or_gives_back(body: Callable[[], Any], found: list[bool]) -> None:
    asked.clear()
    body()
    assert asked == found


def test_what_is_typed_at_a_prompt_is_a_statement() -> None:
    asked.clear()
    exec(compile("do(1).then(2)", "prompt", "single"), {"do": do})
    assert asked == [True, False]


def test_without_a_users_frame_nothing_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statement, "users_frame", lambda: None)
    assert statement.goes_on() is False
