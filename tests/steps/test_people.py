"""A step that a person takes."""

# ruff: noqa: ASYNC110

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel

from ripresa import App, Context, Handle, InvalidConfig, RunFailed, chain, step, workflow
from ripresa.steps import human
from ripresa.testing.clock import ManualClock
from tests.runtime.stage import turns


class Price(BaseModel):
    amount: int
    note: str = ""


@step
async def draft(topic: str) -> str:
    return f"all about {topic}"


@step
async def sell(price: Price) -> str:
    return f"sold for {price.amount}"


async def asked(handle: Handle[Any]) -> None:
    async with asyncio.timeout(10):
        while not await handle.approvals():
            await asyncio.sleep(0.005)


async def test_what_a_person_fills_in_is_the_result() -> None:
    flow = chain(draft).then(human("For how much?", form=Price, assignees=["ann"], name="price")).then(sell)
    async with App("memory:") as app:
        handle = await app.start(flow("tides"))
        await asked(handle)
        [opened] = await handle.approvals()
        assert (opened.question, opened.about, opened.name) == ("For how much?", "all about tides", "price")
        assert await handle.approve(by="ann", form=Price(amount=7))
        assert await handle.result() == "sold for 7"


async def test_a_no_fails_it_and_is_not_tried_again() -> None:
    async with App("memory:") as app:
        handle = await app.start(chain(human("Shall I?"))("x"))
        await asked(handle)
        await handle.reject(by="bob", comment="too early")
        with pytest.raises(RunFailed) as caught:
            await handle.result()
    failure = caught.value.failure
    assert (failure.code, failure.retryable) == ("rejected", False)
    assert failure.message == "'Shall I?' was answered with no by bob: too early"


async def test_a_yes_without_a_form_is_nothing_more() -> None:
    async with App("memory:") as app:
        handle = await app.start(chain(human("Shall I?"))("x"))
        await asked(handle)
        await handle.approve(by="bob")
        assert (await handle.outcome()).status == "completed"


async def test_nobody_in_time_is_a_no() -> None:
    clock = ManualClock()
    async with App("memory:", clock=clock, linger=None) as app:
        handle = await app.start(chain(human("Shall I?", timeout="1 day", expiry="reject"))("x"))
        while not await handle.approvals():
            await turns(3)
        clock.advance(86_401)
        with pytest.raises(RunFailed, match="nobody in time"):
            await handle.result()


async def test_a_durable_function_asks_too() -> None:
    ask = human("For how much?", form=Price)

    @workflow
    async def shop(ctx: Context, topic: str) -> int:
        return (await ask(topic)).amount

    async with App("memory:") as app:
        handle = await app.start(shop("tides"))
        await asked(handle)
        await handle.approve(by="ann", form=Price(amount=3))
        assert await handle.result() == 3


def test_bad_options_are_refused() -> None:
    with pytest.raises(InvalidConfig):
        human("")
    with pytest.raises(InvalidConfig):
        human("Shall I?", quorum=0)


@pytest.mark.parametrize("given", [3, "Price", Price(amount=3)])
def test_a_form_is_a_type(given: Any) -> None:
    with pytest.raises(InvalidConfig, match=r"form is .*, must be a type"):
        human("How much?", form=given)
    human("How much?", form=list[Price])
