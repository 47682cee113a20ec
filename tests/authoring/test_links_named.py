"""What is no link is named in a few words, however much of itself it would say."""

import pytest

from ripresa import InvalidConfig, chain, step


class Wordy:
    """An object of somebody else's that shows all that it holds."""

    def __repr__(self) -> str:
        return "secret " * 1000


@step
async def echo(text: str) -> str:
    return text


def test_something_that_cannot_be_called_is_shortened() -> None:
    with pytest.raises(InvalidConfig, match="which cannot be called") as caught:
        chain(Wordy())  # type: ignore[call-overload]
    assert len(caught.value.message) < 200


def test_a_call_where_its_function_is_wanted_is_shortened() -> None:
    with pytest.raises(InvalidConfig, match="not what it calls") as caught:
        chain(echo("x" * 1000))  # type: ignore[call-overload]
    assert len(caught.value.message) < 200
