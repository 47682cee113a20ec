"""A step may say of its own failure that nobody knows what it did."""

import asyncio

import pytest

from ripresa import App, Context, Retry, RunFailed, StepError, current, step, workflow
from ripresa.errors import is_retryable
from tests.runtime.stage import turns


def broken_off() -> StepError:
    return StepError("the line broke off", unknown=True)


async def test_an_irreversible_step_that_does_not_know_waits_for_who_does() -> None:
    @step(effect="irreversible", retry=3)
    async def pay() -> int:
        raise broken_off()

    async with App("memory:") as app:
        handle = await app.start(pay())
        async with asyncio.timeout(10):
            while not (await handle.status()).parked:
                await turns(3)
        await handle.reconcile("pay", completed=3, by="ann")
        assert await handle.result() == 3


async def test_any_other_step_that_does_not_know_fails_like_any_other() -> None:
    tries = list[int]()

    @step(retry=Retry(2, wait=0))
    async def look() -> int:
        tries.append(1)
        raise broken_off()

    async with App("memory:") as app:
        with pytest.raises(RunFailed):
            await app.run(look())
    assert len(tries) == 2


async def test_an_irreversible_call_that_does_not_know_waits_too_and_is_not_made_again() -> None:
    tries = list[int]()

    @step(effect="irreversible", retry=3)
    async def pay() -> int:
        tries.append(1)
        raise broken_off()

    @step(retry=Retry(2, wait=0))
    async def outer() -> int:
        return await current().call(pay)

    async with App("memory:") as app:
        handle = await app.start(outer())
        async with asyncio.timeout(10):
            while not (await handle.status()).parked:
                await turns(3)
        await handle.reconcile("outer", completed=3, by="ann")
        assert await handle.result() == 3
    assert len(tries) == 1


async def test_a_step_that_fails_with_a_code_of_its_own_is_not_tried_again() -> None:
    tries = list[int]()

    @step(retry=Retry(3, wait=0))
    async def pay() -> int:
        tries.append(1)
        raise StepError("no money", code="poor", retryable=False)

    @workflow
    async def buy(ctx: Context) -> int:
        return await pay()

    for call in (pay(), buy()):
        async with App("memory:") as app:
            with pytest.raises(RunFailed) as caught:
                await app.run(call)
        assert caught.value.failure.code == "invalid_config"
        assert caught.value.failure.message.startswith("no money (it was raised with 'poor', which is not in the table")
    assert len(tries) == 2


async def test_an_irreversible_step_that_does_not_know_is_in_doubt_whatever_code_it_gives() -> None:
    @step(effect="irreversible", retry=3)
    async def pay() -> int:
        raise StepError("the line broke off", code="broken", unknown=True)

    async with App("memory:") as app:
        handle = await app.start(pay())
        async with asyncio.timeout(10):
            while not (await handle.status()).parked:
                await turns(3)


def test_a_failure_says_whether_to_try_again() -> None:
    assert is_retryable(broken_off())
    assert not is_retryable(StepError("no", retryable=False))
