"""Steps and their options."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from ripresa import InvalidConfig, Retry, step
from ripresa.authoring.parameters import Parameters
from ripresa.authoring.step import Named, Options, Spread, Step, Whole, step_name
from ripresa.runtime.values import Values

from .samples import fetch, length, shout

READER = Values(dict[str, bytes]().__getitem__)


def test_a_step_keeps_its_function_and_options() -> None:
    @step(name="load", retry=3, timeout="30s", effect="pure", executor="process", concurrency=4)
    def load(text: str) -> str:
        """Loads."""
        return text

    assert load.options == Options("load", Retry(attempts=3), 30.0, "pure", "process", 4)
    assert (load.name, load.fn("a"), load.__doc__, repr(load)) == ("load", "a", "Loads.", "<step load>")
    assert load.__wrapped__ is load.fn


def test_options_can_be_changed_for_one_place() -> None:
    other = shout.with_(name="other", retry=Retry(attempts=5), timeout=timedelta(seconds=2), concurrency=1)
    assert other.options == Options("other", Retry(attempts=5), 2.0, concurrency=1)
    assert shout.with_().options == shout.options
    assert isinstance(other, Step)


def test_a_step_knows_whether_it_is_async() -> None:
    class Asked:
        async def __call__(self, text: str) -> str:
            return text

    assert [fetch.is_async, length.is_async, step(Asked()).is_async] == [True, False, True]


async def test_the_function_may_give_something_to_await() -> None:
    async def inner(text: str) -> str:
        return text + "!"

    assert await step(lambda text: inner(text))("a") == "a!"


def test_names_come_from_functions() -> None:
    class Loader:
        def __call__(self) -> None: ...

    assert [step_name(fn) for fn in (len, partial(len), lambda: 3, Loader())] == ["len", "len", "lambda", "Loader"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "a/b"}, "name is 'a/b', must not contain '/'"),
        ({"name": " "}, "name is ' ', must be a text that is not empty"),
        ({"name": "a\n[0]"}, "must not contain '\\\\n' '\\[' '\\]'"),
        (
            {"effect": "harmless"},
            "effect is 'harmless', must be one of pure, read, idempotent, reversible, irreversible",
        ),
        ({"executor": "a/b"}, "executor is 'a/b', must not contain '/'"),
        ({"timeout": 0}, "timeout is 0, must be a length of time above 0"),
        ({"timeout": "soon"}, "timeout is 'soon'"),
        ({"concurrency": 0}, "concurrency is 0, must be a whole number from 1"),
        ({"concurrency": True}, "concurrency is True"),
        ({"retry": 0}, "retry is 0, must be a Retry or a number of attempts from 1"),
        (
            {"timeout": -1, "retry": "x", "effect": "x", "pool": 3, "cache": -1},
            "retry is 'x'.*; timeout is -1.*; ttl is -1.*; effect is 'x'.*; pool is 3",
        ),
        ({"effect": "x", "concurrency": -1}, "effect is 'x'.*; concurrency is -1"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidConfig, match=message):
        step(**options)(len)


def test_bad_options_of_a_step_that_there_is_are_named_together_with_the_step() -> None:
    with pytest.raises(InvalidConfig, match=r"retry is 0.*; timeout is 'soon'.*; concurrency is 0") as caught:
        step(len).with_(timeout="soon", retry=0, concurrency=0)
    assert caught.value.where == "len"
    assert "write seconds" in caught.value.hint


def test_a_step_is_a_function() -> None:
    with pytest.raises(InvalidConfig, match="3 is no function"):
        step(3)  # type: ignore[call-overload]


def test_bindings_make_arguments_of_an_input() -> None:
    assert Whole(int).arguments(b"3", READER) == ((3,), {})
    assert Spread((int, str)).arguments(b'[3,"a"]', READER) == ((3, "a"), {})
    assert Named(Parameters(shout.fn)).arguments(b'{"text":"a"}', READER) == (("a",), {})
