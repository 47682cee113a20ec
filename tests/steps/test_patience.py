"""Each model that may be asked has a time of its own: a slow one is followed by the next."""

import asyncio
from typing import Any

import pytest

from ripresa import Agent, App, InvalidConfig, Retry, RunFailed, chain, llm, prompt
from ripresa.steps.conversation import ModelAnswer, ModelRequest, Write
from ripresa.testing.fake_model import FakeModel


class Mute:
    """A model that never answers."""

    def __init__(self) -> None:
        self.asked = 0

    async def answer(self, request: ModelRequest, write: Write) -> ModelAnswer:
        self.asked += 1
        await asyncio.Event().wait()
        raise AssertionError

    def price(self, request: ModelRequest, input_tokens: int, output_tokens: int) -> float | None:
        return 0.0


def models() -> tuple[Mute, dict[str, Any]]:
    mute = Mute()
    return mute, {"mute": mute, "quick": FakeModel("Here.", "Again.")}


async def test_a_model_that_is_slower_than_its_patience_is_followed_by_the_next() -> None:
    mute, known = models()
    asked = llm("{input}", input=str, output=str, model="mute", fallback=["mute", "quick"], patience=0.02)
    async with App("memory:", models=known) as app:
        assert await app.run(chain(asked)("x")) == "Here."
    assert mute.asked == 2


async def test_without_a_patience_each_model_has_its_share_of_what_the_timeout_leaves() -> None:
    mute, known = models()
    asked = llm("{input}", input=str, output=str, model="mute", fallback=["quick"], timeout=0.2, retry=None)
    async with App("memory:", models=known) as app:
        assert await app.run(chain(asked)("x")) == "Here."
    assert mute.asked == 1


@pytest.mark.parametrize("given", [{"patience": 0.02}, {"timeout": 0.4}])
async def test_the_same_holds_for_agents_and_prompts(given: dict[str, Any]) -> None:
    mute, known = models()
    scout = Agent("scout", input=str, output=str, model="mute", fallback=["quick"], **given)

    @prompt(output=str, model="mute", fallback=["quick"], **given)
    def say(text: str) -> str:
        return text

    async with App("memory:", models=known) as app:
        assert await app.run(chain(scout).then(say)("x")) == "Again."
    assert mute.asked == 2


async def test_the_last_model_that_is_too_slow_is_a_timeout_and_may_be_tried_again() -> None:
    mute, known = models()
    asked = llm("{input}", input=str, output=str, model="mute", patience="0.01 s", retry=Retry(2, 0))
    async with App("memory:", models=known) as app:
        with pytest.raises(RunFailed, match=r"mute did not answer within 0\.01 s") as caught:
            await app.run(asked("x"))
    assert (caught.value.failure.code, mute.asked) == ("timeout", 2)


async def test_a_timeout_that_a_model_raises_itself_is_its_own() -> None:
    class Late(Mute):
        async def answer(self, request: ModelRequest, write: Write) -> ModelAnswer:
            raise TimeoutError("the socket")

    asked = llm("{input}", input=str, output=str, model="late", patience=60, retry=None)
    async with App("memory:", models={"late": Late()}) as app:
        with pytest.raises(RunFailed, match="the socket"):
            await app.run(asked("x"))


def test_a_patience_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="patience is 0"):
        llm("x", output=str, patience=0)
    with pytest.raises(InvalidConfig, match="patience"):
        llm("x", output=str, patience="soon")
