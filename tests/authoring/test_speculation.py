"""Speculation: a slow link is begun again, the first success wins, and only what changes nothing may run twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ripresa import (
    Context,
    InvalidConfig,
    InvalidWorkflow,
    RunFailed,
    Signal,
    chain,
    speculate,
    step,
    wait_for,
    workflow,
)
from ripresa.authoring.draw import draw
from tests.runtime.stage import journal_of, kinds, on_clock, turns

from .samples import length

SECOND = 1_000_000


class Copies:
    """A step whose copies end when, and as, the test says."""

    def __init__(self) -> None:
        self.gates: list[asyncio.Future[str]] = []
        self.cancelled = 0

    def step(self) -> Any:
        @step(effect="read")
        async def look(text: str) -> str:
            gate: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            self.gates.append(gate)
            try:
                return await gate
            except asyncio.CancelledError:
                self.cancelled += 1
                raise

        return look


async def test_a_copy_begins_when_the_first_is_slow_and_the_first_success_wins() -> None:
    copies = Copies()
    flow = speculate(copies.step(), after="2s", copies=3)
    async with on_clock() as (app, clock):
        handle = await app.start(flow("a"))
        await turns(5)
        assert len(copies.gates) == 1
        clock.advance(2)
        await turns(5)
        assert len(copies.gates) == 2
        copies.gates[1].set_result("second")
        assert await handle.result() == "second"
        assert copies.cancelled == 1
        assert "NodeCancelled" in kinds(await journal_of(handle))  # the third never began


async def test_a_quick_one_is_not_repeated() -> None:
    copies = Copies()
    async with on_clock() as (app, _):
        handle = await app.start(speculate(copies.step(), after=2)("a"))
        await turns(5)
        copies.gates[0].set_result("first")
        assert await handle.result() == "first"
        assert len(copies.gates) == 1


async def test_it_fails_when_all_copies_have_failed() -> None:
    copies = Copies()
    async with on_clock() as (app, clock):
        handle = await app.start(speculate(copies.step(), after=2)("a"))
        await turns(5)
        copies.gates[0].set_exception(ValueError("first"))
        await turns(5)
        clock.advance(2)
        await turns(5)
        copies.gates[1].set_exception(ValueError("second"))
        with pytest.raises(RunFailed) as caught:
            await handle.result()
        assert caught.value.failure.code == "join_impossible"


@step(effect="pure")
def half(text: str) -> str:
    return text[: len(text) // 2]


@workflow
async def unforeseen(ctx: Context, text: str) -> str:
    return text


async def test_flows_of_harmless_steps_may_be_speculated_and_have_their_types() -> None:
    flow = speculate(chain(half).then(half), after=5)
    assert (flow.input_type, flow.output_type) == (str, str)
    assert await flow("abcd") == "a"
    assert 'label="speculate: first 1 to succeed"' in draw(flow, "dot")


@pytest.mark.parametrize(
    ("link", "message"),
    [
        (length, "speculate/length: has the effect 'idempotent'; only pure and read steps"),
        (chain(half).then(length.with_(name="count")), "speculate/count: has the effect"),
        (chain(half).then(unforeseen), "is a subworkflow: what it does cannot be known|is a dynamic"),
        (chain(half).then(wait_for(Signal("edited", str))), "is a wait"),
    ],
)
def test_what_may_run_once_only_is_refused(link: Any, message: str) -> None:
    with pytest.raises(InvalidWorkflow, match=message) as caught:
        speculate(link, after=1)
    assert {problem.code for problem in caught.value.problems} == {"not_speculable"}


def test_bad_options_are_named() -> None:
    with pytest.raises(InvalidConfig, match="copies is 1, must be at least 2"):
        speculate(half, after=1, copies=1)
    with pytest.raises(InvalidConfig, match="after"):
        speculate(half, after="soon")
