"""Calls that do not fit a signature are coded errors; all others are as they were."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import ripresa
from ripresa import App, Graph, Limits, Retry, RipresaError, chain, step
from ripresa.core.calling import told
from ripresa.errors import BadCall

#: Functions that are public and are called with what they make of it.
TOLD = [name for name in ripresa.__all__ if inspect.isfunction(getattr(ripresa, name))]

#: Those that take a function, an error or nothing, each with the reason why a wrong call of them is Python's own.
NOT_TOLD = {
    "as_runnable": "a leaf for one framework",
    "current": "called in every step: nothing is put around it",
    "is_retryable": "it takes any exception and nothing else",
    "sequence_diagram": "it takes the interactions and nothing else",
}


async def anything(x: int) -> int:
    return x


@pytest.mark.parametrize("name", [name for name in TOLD if name not in NOT_TOLD])
def test_a_public_function_says_what_it_takes(name: str) -> None:
    for given in ({"no_such_option": 1}, {}):
        args = () if given else (1,) * 20
        with pytest.raises(RipresaError) as caught:
            getattr(ripresa, name)(*args, **given)(anything)  # what decorates looks at its options when it does
        assert caught.value.code in ("usage", "invalid_config", "invalid_workflow")
        assert caught.value.op
        if isinstance(caught.value, BadCall):
            assert f"it takes {caught.value.op}(" in caught.value.hint


def test_the_message_names_what_is_wrong_and_the_hint_what_there_is() -> None:
    make: Any = chain
    with pytest.raises(TypeError) as caught:
        make()
    assert isinstance(caught.value, BadCall)
    assert (caught.value.code, caught.value.op) == ("usage", "chain")
    assert caught.value.message == "chain() missing 1 required positional argument: 'first'"
    assert caught.value.hint == "it takes chain(first, /, *, name='chain', version='1')"
    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.parametrize("kind", [App, Graph, Limits, Retry])
def test_a_class_says_what_it_takes(kind: Any) -> None:
    with pytest.raises(BadCall, match=rf"{kind.__name__}\(\) got an unexpected .*it takes {kind.__name__}\("):
        kind(**{"name": "g", "input": int} if kind is Graph else {}, no_such_option=1)


def test_a_type_error_from_inside_stays_what_it_is() -> None:
    @told
    def broken(x: int) -> str:
        return str("a" + x)  # type: ignore[operator]

    with pytest.raises(TypeError) as caught:
        broken(1)
    assert type(caught.value) is TypeError


def test_nothing_else_is_seen_of_it() -> None:
    assert str(inspect.signature(step)).startswith("(fn")
    assert step.__doc__
    assert Retry(attempts=2) == Retry(2)
