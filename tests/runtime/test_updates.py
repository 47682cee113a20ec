"""Updates: answered, refused, early, doubled, of the wrong type, too late; to runs here, elsewhere, asleep, nowhere."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from ripresa import (
    Context,
    IllegalTransition,
    InvalidConfig,
    InvalidValue,
    Recorded,
    RipresaError,
    RunNotFound,
    Update,
    UpdateRequest,
    chain,
    delay,
    exchange,
    step,
    workflow,
)
from ripresa.core.events import SignalRefused, UpdateAnswered
from ripresa.core.nodes.answer import UPDATES
from ripresa.exchange import Asking
from ripresa.runtime.bodies import encode_signal
from ripresa.runtime.restoring import replayed
from ripresa.stores.memory import Memory

from .stage import all_of, in_memory, on_clock, turns


@dataclass
class Quote:
    price: int
    by: str


raise_price = Update("raise_price", int, Quote)


@step
async def publish(price: int) -> int:
    return price


@workflow
async def selling(ctx: Context, price: int) -> int:
    """Raise the price until somebody gives nothing."""
    while True:
        request = await ctx.next_update(raise_price)
        if request.value < 0:
            await request.refuse("prices only rise")
        elif request.value == 0:
            await request.answer(Quote(price, request.by))
            return await publish(price)
        else:
            price += request.value
            await request.answer(Quote(price, request.by))


@workflow
async def patient(ctx: Context, price: int) -> str:
    try:
        return str((await ctx.next_update(raise_price, timeout="1 hour")).value)
    except TimeoutError as error:
        return type(error).__name__


async def agree(request: UpdateRequest[int, Quote]) -> int:
    """Answer what came, once."""
    assert (type(request), request.id, request.by) == (UpdateRequest, "one", "ann")
    await request.answer(Quote(request.value, request.by))
    for again in (request.answer(Quote(0, "")), request.refuse("no")):
        with pytest.raises(RipresaError, match="has been answered"):
            await again
    return request.value


@workflow
async def agreeing(ctx: Context, price: int) -> int:
    return price + await agree(await ctx.next_update(raise_price))


async def test_a_request_says_who_sent_what_and_is_answered_once() -> None:
    async with in_memory() as app:
        handle = await app.start(agreeing(1))
        assert await handle.update(raise_price, 5, id="one", by="ann") == Quote(5, "ann")
        assert await handle.result() == 6


async def test_an_update_is_answered_with_its_type() -> None:
    async with in_memory() as app:
        handle = await app.start(selling(10))
        assert await handle.update(raise_price, 5, by="ann") == Quote(15, "ann")
        assert await handle.update(raise_price, 1) == Quote(16, "")
        assert await handle.update(raise_price, 0, timeout=30) == Quote(16, "")
        assert await handle.result() == 16
        answers = [item.event for item in await all_of(handle) if isinstance(item.event, UpdateAnswered)]
        assert [answer.path for answer in answers] == [
            "answer_raise_price",
            "answer_raise_price#2",
            "answer_raise_price#3",
        ]


async def test_a_refused_update_says_why() -> None:
    async with in_memory() as app:
        handle = await app.start(selling(10))
        with pytest.raises(RipresaError, match="prices only rise") as caught:
            await handle.update(raise_price, -5)
        assert caught.value.code == "update_refused"
        assert await handle.update(raise_price, 0) == Quote(10, "")


async def test_with_an_id_an_update_counts_once_and_is_answered_again_even_after_the_end() -> None:
    async with in_memory() as app:
        handle = await app.start(selling(10))
        both = await asyncio.gather(*(handle.update(raise_price, 5, id="one") for _ in range(2)))
        assert both == [Quote(15, ""), Quote(15, "")]
        await handle.update(raise_price, 0, id="two")
        assert await handle.result() == 15
        assert await handle.update(raise_price, 5, id="one") == Quote(15, "")
        with pytest.raises(IllegalTransition):
            await handle.update(raise_price, 5, id="three")


async def test_a_value_of_another_type_never_reaches_the_run() -> None:
    async with in_memory() as app:
        handle = await app.start(selling(10))
        await turns(50)
        wrong: Any = "much"
        with pytest.raises(InvalidValue):
            await handle.update(raise_price, wrong)
        loose: Any = Update("raise_price", str, Quote)
        with pytest.raises(InvalidValue) as caught:  # as one sends who does not know the type
            await handle.update(loose, "much")
        assert caught.value.where == "raise_price"
        assert await handle.update(raise_price, 0) == Quote(10, "")


@workflow
async def slow(ctx: Context, price: int) -> int:
    await ctx.sleep("1 hour")
    request = await ctx.next_update(raise_price, timeout="1 hour")
    await request.answer(Quote(request.value, request.by))
    return request.value


async def test_early_ones_are_kept_in_order_and_one_that_does_not_fit_is_refused_when_it_is_taken() -> None:
    async with on_clock() as (app, clock):
        handle = await app.start(slow(1))
        await turns(50)
        loose: Any = Update("raise_price", str, Quote)
        wrong = asyncio.create_task(handle.update(loose, "much"))
        await turns(50)
        right = asyncio.create_task(handle.update(raise_price, 7))
        await turns(50)
        clock.advance("1 hour")
        assert await right == Quote(7, "")
        with pytest.raises(RipresaError) as caught:
            await wrong
        assert caught.value.code == "update_refused"
        assert await handle.result() == 7


async def test_a_wait_that_refused_what_does_not_fit_has_what_is_left_of_its_time() -> None:
    async with on_clock() as (app, clock):
        handle = await app.start(slow(1))
        await turns(50)
        loose: Any = Update("raise_price", str, Quote)
        wrong = asyncio.create_task(handle.update(loose, "much"))
        await turns(50)
        clock.advance("1 hour")
        with pytest.raises(RipresaError):
            await wrong
        clock.advance("1 hour")
        outcome = await handle.outcome()
        assert outcome.status == "failed"


async def test_nobody_sends_one_in_time() -> None:
    async with on_clock() as (app, clock):
        handle = await app.start(patient(1))
        await turns(50)
        clock.advance("1 hour")
        assert await handle.result() == "StepTimeout"


async def test_a_run_that_ends_without_an_answer_says_so() -> None:
    async with in_memory() as app:
        handle = await app.start(patient(1))
        with pytest.raises(RipresaError, match="completed") as caught:
            await handle.update(raise_price, 3)
        assert caught.value.code == "update_unanswered"
        assert await handle.result() == "3"
        with pytest.raises(IllegalTransition):
            await handle.update(raise_price, 3)


async def test_an_update_to_a_run_that_ends_without_an_answer_and_is_removed_finds_none() -> None:
    async with in_memory() as app:
        handle = await app.start(patient(1))

        async def followed(after: int) -> AsyncGenerator[Recorded]:
            async for recorded in handle.events(after=after):
                yield recorded
            await app.select().prune()

        with pytest.raises(RunNotFound):
            await exchange.update(app.engine, Asking(handle.id, raise_price.name, b"3"), followed, None, None)


async def test_an_update_that_nobody_answers_in_time_stays_with_the_run() -> None:
    async with in_memory() as app:
        handle = await app.start(chain(publish).then(delay("1 day"))(3))
        with pytest.raises(RipresaError) as caught:
            await handle.update(raise_price, 3, timeout=0.01)
        assert caught.value.code == "update_timeout"
        await handle.cancel()


async def test_a_timeout_of_the_store_is_not_taken_for_one_of_the_update(monkeypatch: pytest.MonkeyPatch) -> None:
    async with in_memory() as app:
        handle = await app.start(selling(1))

        async def slow_store(*_: object) -> None:
            raise TimeoutError

        monkeypatch.setattr(app.engine, "history", slow_store)
        with pytest.raises(TimeoutError):
            await handle.update(raise_price, 3, id="a")
        monkeypatch.undo()
        await handle.cancel()


async def test_there_is_no_such_run() -> None:
    async with in_memory() as app:
        with pytest.raises(RunNotFound):
            await app.engine.history("nobody")
        with pytest.raises(InvalidConfig):
            Update("a/b", int, int)


@workflow
async def careless(ctx: Context, price: int) -> list[str]:
    codes: list[str] = []
    request = await ctx.next_update(raise_price)
    wrong: Any = "none"
    for answer in (
        request.answer(wrong),
        request.answer(Quote(1, "")),
        request.answer(Quote(2, "")),
        request.refuse(""),
    ):
        try:
            await answer
        except RipresaError as error:
            codes.append(error.code)
    return codes


async def test_an_answer_is_checked_and_given_once() -> None:
    async with in_memory() as app:
        handle = await app.start(careless(1))
        assert await handle.update(raise_price, 3) == Quote(1, "")
        assert await handle.result() == ["invalid_output", "invalid_state", "invalid_state"]


@workflow
async def beside(ctx: Context, price: int) -> int:
    request = await ctx.next_update(raise_price)
    _, published, doubled = await ctx.gather(request.answer(Quote(1, "")), publish(price), publish(price * 2))
    return published + doubled


async def test_an_answer_stands_beside_other_calls_and_is_replayed() -> None:
    store = Memory()
    async with in_memory(store) as app:
        handle = await app.start(beside(3), id="a")
        assert await handle.update(raise_price, 3) == Quote(1, "")
        assert await handle.result() == 9
        head = await app.store.find_run("a")
        assert head is not None
        driver = replayed(app.engine, head, beside, await app.engine.history("a"))
        assert driver.state.status == "completed"


async def test_a_run_of_another_process_answers_through_the_inbox() -> None:
    store = Memory()
    async with in_memory(store) as one, in_memory(store) as other:
        handle = await one.start(selling(10), id="a")
        await turns(50)
        elsewhere = await other.handle("a", selling)
        assert await elsewhere.update(raise_price, 5) == Quote(15, "")
        loose: Any = Update("raise_price", str, Quote)
        with pytest.raises(InvalidValue):
            await elsewhere.update(loose, "much")
        assert any(isinstance(item.event, SignalRefused) for item in await one.engine.history("a"))
        assert await elsewhere.update(raise_price, 0) == Quote(15, "")
        assert await handle.result() == 15


async def test_a_run_that_is_asleep_is_woken() -> None:
    async with in_memory(linger=0) as app:
        handle = await app.start(selling(10), id="a")
        while "a" in app.engine.drivers:
            await turns(50)
        assert await handle.update(raise_price, 5, timeout=30) == Quote(15, "")
        while "a" in app.engine.drivers:
            await turns(50)
        assert await handle.update(raise_price, 0) == Quote(15, "")


async def test_a_run_that_nobody_drives_does_not_answer() -> None:
    store = Memory()
    async with in_memory(store, linger=None) as app:
        await app.start(selling(10), id="a")
        await turns(50)
    async with in_memory(store) as app:
        handle = await app.handle("a", selling)
        app.engine.drivers.clear()

        async def nobody() -> None:
            return None

        alone: Any = handle
        alone._links = SimpleNamespace(take=nobody, code=alone._links.code, other=alone._links.other)
        with pytest.raises(RipresaError, match="nobody") as caught:
            await handle.update(raise_price, 5, id="five")
        assert caught.value.code == "update_unanswered"
        await app.resume("a", selling)
        assert await handle.update(raise_price, 5, id="five") == Quote(15, "")
        await handle.cancel()


@pytest.mark.parametrize("sent", [b"5", b'"text"', b'{"id":"x"}', b"[]"])
async def test_a_plain_signal_in_the_place_of_an_update_is_refused_and_changes_nothing(sent: bytes) -> None:
    async with in_memory() as app:
        handle = await app.start(selling(1))
        await turns(5)
        with pytest.raises(InvalidValue) as raised:
            await app.engine.inbox.signal(handle.id, encode_signal(UPDATES + "raise_price", sent))
        assert "is an update: send it as one (ripresa update)" in str(raised.value)
        assert await handle.update(raise_price, 0) == Quote(1, "")
