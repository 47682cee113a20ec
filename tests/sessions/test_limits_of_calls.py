"""Limits hold for what an attempt does inside: journaled calls are operations, what is held becomes what is used."""

import asyncio
from typing import Any

import pytest

from ripresa import Agent, App, Limits, RunFailed, chain, current, step, tool
from ripresa.agents.turns import AgentBounds
from ripresa.core import events as e
from ripresa.testing.answers import use
from ripresa.testing.fake_model import FakeModel
from tests.runtime.stage import journal_of

called: list[int] = []


@pytest.fixture(autouse=True)
def nothing_was_called() -> None:
    called.clear()


@step
async def look(n: int) -> int:
    called.append(n)
    return n


@tool(effect="read")
async def search() -> str:
    """Search."""
    called.append(0)
    return "there"


async def run_with(app: App, made: Any, limits: Limits, whose: str) -> Any:
    """A run that is limited, or whose session is."""
    if whose == "run":
        return await app.start(made, limits=limits)
    await app.sessions.create("s", limits=limits)
    return await app.start(made, session="s")


WHOSE = pytest.mark.parametrize("whose", ["run", "session"])


@WHOSE
@pytest.mark.parametrize(
    ("limits", "requests", "calls"),
    [
        (Limits(operations=4), 2, 1),
        (Limits(operations=5), 2, 2),
        (Limits(money=0.02), 2, 2),
        (Limits(money=0.025), 3, 3),
        (Limits(tokens=1), 1, 1),
    ],
)
async def test_an_agent_asks_and_calls_as_often_as_its_limits_allow_and_no_oftener(
    whose: str, limits: Limits, requests: int, calls: int
) -> None:
    fake = FakeModel(*[use("search")] * 9, cost=0.01)
    scout = Agent("scout", input=str, output=str, tools=[search], bounds=AgentBounds(turns=30))
    async with App("memory:", models={"*": fake}) as app:
        handle = await run_with(app, scout("Go."), limits, whose)
        with pytest.raises(RunFailed, match="limit of"):
            await handle.result()
        operations = [each for each in await journal_of(handle) if isinstance(each, e.CallRecorded)]
        if whose == "session":
            assert (await app.sessions.used("s"))["operations"] == len(
                operations
            )  # what was refused inside has not begun
    assert (len(fake.requests), len(called)) == (requests, calls)


@WHOSE
async def test_calls_side_by_side_are_counted_before_they_end(whose: str) -> None:
    @step
    async def fan(count: int) -> list[Any]:
        calls = (current().call(look, n) for n in range(count))
        return [isinstance(each, int) for each in await asyncio.gather(*calls, return_exceptions=True)]

    async with App("memory:") as app:
        handle = await run_with(app, chain(fan)(5), Limits(operations=4), whose)
        assert await handle.result() == [True, True, True, False, False]
    assert called == [0, 1, 2]


@WHOSE
async def test_a_call_that_fails_for_good_is_no_operation_of_the_run(whose: str) -> None:
    @step
    async def broken(n: int) -> int:
        raise ValueError(n)

    @step
    async def tried(n: int) -> int:
        for each in range(2):
            with pytest.raises(ValueError, match=r"^[01]$"):
                await current().call(broken, each)
        return await current().call(look, n)

    async with App("memory:") as app:
        handle = await run_with(app, chain(tried)(5), Limits(operations=4), whose)
        assert await handle.result() == 5
        if whose == "session":
            assert (await app.sessions.used("s"))["operations"] == 4  # with those that failed


async def test_what_cleans_up_calls_whatever_the_limits_say() -> None:
    @step
    async def fail(n: int) -> int:
        raise ValueError(n)

    @step
    async def tidy(n: int) -> None:
        await current().call(look, n)

    async with App("memory:") as app:
        handle = await app.start(chain(fail).cleanup(tidy)(7), limits=Limits(operations=1))
        with pytest.raises(RunFailed, match="7"):
            await handle.result()
    assert called == [7]


async def test_a_run_that_may_do_more_makes_the_calls_that_it_was_refused() -> None:
    @step
    async def three(n: int) -> int:
        return sum([await current().call(look, each) for each in range(n)])

    async with App("memory:") as app:
        await app.sessions.create("s", limits=Limits(operations=3, on_exceeded="pause"))
        handle = await app.start(chain(three)(3), session="s")
        async for recorded in handle.events():
            if isinstance(recorded.event, e.LimitReached):
                break
        assert called == [0, 1]
        assert (await app.sessions.used("s"))["operations"] == 2
        await app.sessions.allow("s", Limits(operations=9))
        await handle.resume()
        assert await handle.result() == 3
        assert (await app.sessions.used("s"))["operations"] == 4
    assert called == [0, 1, 2]


@WHOSE
async def test_what_is_held_becomes_what_is_used(whose: str) -> None:
    @step
    async def spend(tokens: int) -> None:
        await current().ensure(tokens=40)
        current().usage(tokens=tokens)

    @step
    async def spending(tokens: int) -> int:
        await current().ensure(tokens=40)
        for each in range(4):
            current().usage(tokens=tokens)
            called.append(each)
            await current().ensure(tokens=40)
        return 4

    @step
    async def calling(tokens: int) -> int:
        for each in range(5):
            await current().call(spend, tokens)
            called.append(each)
        return 4

    for made in (spending, calling):
        called.clear()
        async with App("memory:") as app:
            handle = await run_with(app, chain(made)(20), Limits(tokens=100), whose)
            with pytest.raises(RunFailed, match="limit of tokens"):
                await handle.result()
            assert (called, (await handle.status()).tokens) == ([0, 1, 2, 3], 80)


async def test_uses_at_an_unknown_price_that_nobody_asked_for_count_once() -> None:
    @step
    async def spend(n: int) -> int:
        for _ in range(n):
            current().usage(tokens=1, cost=None)
        await current().ensure(cost=None)
        return n

    async with App("memory:") as app:
        assert await app.run(chain(spend)(2), limits=Limits(money=5, unpriced=3)) == 2
        with pytest.raises(RunFailed, match="limit of unpriced"):
            await app.run(chain(spend)(3), limits=Limits(money=5, unpriced=3))
