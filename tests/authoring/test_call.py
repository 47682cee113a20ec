"""Calls: nothing has happened yet."""

from __future__ import annotations

from contextvars import copy_context
from typing import Any

import pytest

from ripresa import RipresaError, chain
from ripresa.authoring.call import Pending, pending
from ripresa.context import enter_function

from .samples import greet, length, shout


async def test_a_call_of_a_sync_step_is_awaited_too() -> None:
    call = length("abc")
    assert repr(call) == "<call length('abc')>"
    assert await call == 3


def test_a_call_shows_its_arguments() -> None:
    assert repr(shout("a", mark="?")) == "<call shout('a', mark='?')>"
    assert repr(greet("you")) == "<call greet('you')>"


def test_inside_a_durable_function_a_call_asks_whoever_steps_it() -> None:
    async def function() -> Any:
        return await length("abc")

    variables = copy_context()
    enter_function(variables)
    coroutine = function()
    asked = variables.run(coroutine.send, None)
    assert isinstance(asked, Pending)
    assert (asked.callee, asked.args) == (length, ("abc",))
    with pytest.raises(StopIteration) as answer:
        variables.run(coroutine.send, 7)
    assert answer.value.value == 7


def test_a_call_that_is_not_awaited_needs_no_closing() -> None:
    call = chain(length)("a")
    call.close()
    assert id(pending(call, "test")) == id(call)


async def plain() -> None: ...


class Odd:
    """A coroutine without a name."""

    def send(self, value: Any) -> Any:
        return value

    def throw(self, *error: Any) -> Any:
        return error

    def close(self) -> None: ...

    def __await__(self) -> Any:
        yield

    def __repr__(self) -> str:
        return "<odd>"


def test_only_calls_are_calls() -> None:
    with pytest.raises(RipresaError, match="plain is a plain coroutine"):
        _ = pending(plain(), "test")
    with pytest.raises(RipresaError, match="<odd> is a plain coroutine"):
        _ = pending(Odd(), "test")
    with pytest.raises(RipresaError, match="3 is no call"):
        _ = pending(3, "test")
