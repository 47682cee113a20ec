"""Compensation as it is lived: with real steps, across restarts, with keys that stay the same."""

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from ripresa import (
    App,
    Context,
    Flow,
    Observed,
    RipresaError,
    RunCancelled,
    RunFailed,
    chain,
    current,
    fallback,
    first_success,
    map_each,
    observe,
    saga,
    step,
    workflow,
)
from ripresa.core.events import CompensationEnded
from ripresa.stores.memory import Memory

from .stage import in_memory, journal_of

LOG: list[str] = []
KEYS: list[str] = []
BROKEN: list[str] = []


@pytest.fixture(autouse=True)
def clean() -> None:
    for kept in (LOG, KEYS, BROKEN):
        kept.clear()


@step
async def book(what: str) -> str:
    LOG.append(f"book {what}")
    KEYS.append(current().idempotency_key)
    return f"{what}!"


@book.undo
async def unbook(booked: str | None, what: str) -> None:
    KEYS.append(current().idempotency_key)
    if what in BROKEN:
        raise RuntimeError(what)
    LOG.append(f"unbook {booked} of {what}")


@step
def last(text: str) -> str:
    if "last" in BROKEN:
        raise ValueError("it did not work out")
    return text


trip: Flow[str, str] = chain(book).then(book.with_(name="again")).then(last)


@workflow
async def journey(ctx: Context, what: str) -> str:
    first = await book(what)
    await saga(chain(book).then(book))(first)
    results = await ctx.map(book, ["x", "y"], concurrency=1)
    return await last(results[0])


async def failed_run(app: App, call: Any, id: str = "r") -> Any:
    BROKEN.append("last")
    handle = await app.start(call, id=id)
    with pytest.raises(RunFailed):
        await handle.result()
    return handle


async def test_a_failed_chain_is_undone_last_first() -> None:
    async with in_memory() as app:
        await failed_run(app, trip("a"))
    assert LOG == ["book a", "book a!", "unbook a!! of a!", "unbook a! of a"]


async def test_a_failed_durable_function_is_undone_last_first() -> None:
    async with in_memory() as app:
        await failed_run(app, journey("a"))
    assert [line for line in LOG if line.startswith("unbook")] == [
        "unbook y! of y", "unbook x! of x", "unbook a!!! of a!!", "unbook a!! of a!", "unbook a! of a",
    ]  # fmt: skip


async def test_an_undo_has_a_key_of_its_own_that_stays_the_same_when_it_is_repeated() -> None:
    memory = Memory()
    async with in_memory(memory) as app:
        await failed_run(app, trip("a"))
    assert KEYS == ["r/book", "r/again", "r/again/undo:unbook", "r/book/undo:unbook"]


async def test_a_process_that_ends_in_the_middle_of_a_compensation_leaves_it_to_the_next() -> None:
    memory, entered = Memory(), asyncio.Event()

    @step
    async def reserve(text: str) -> str:
        LOG.append("reserve")
        return text

    @reserve.undo
    async def free(text: str) -> None:
        KEYS.append(current().idempotency_key)
        entered.set()
        if len(KEYS) == 2:
            await asyncio.Event().wait()
        LOG.append("free")

    flow = chain(book).then(reserve).then(last)
    BROKEN.append("last")
    async with in_memory(memory) as app:
        await app.start(flow("a"), id="r")
        await entered.wait()
    assert LOG == ["book a", "reserve"]
    async with in_memory(memory) as app:
        handle = await app.resume("r", flow)
        with pytest.raises(RunFailed):
            await handle.result()
    assert LOG == ["book a", "reserve", "free", "unbook a! of a"]
    assert KEYS[1:3] == ["r/reserve/undo:free", "r/reserve/undo:free"]


async def test_what_a_durable_function_did_is_undone_also_in_another_process() -> None:
    memory, entered = Memory(), asyncio.Event()

    @step
    async def reserve(text: str) -> str:
        return text

    @reserve.undo
    async def free(text: str) -> None:
        if not entered.is_set():
            entered.set()
            await asyncio.Event().wait()
        LOG.append("free")

    @workflow
    async def both(ctx: Context, text: str) -> str:
        await saga(chain(book))(text)
        await reserve(text)
        return await last(text)

    BROKEN.append("last")
    async with in_memory(memory) as app:
        await app.start(both("a"), id="r")
        await entered.wait()
    async with in_memory(memory) as app:
        with pytest.raises(RunFailed):
            await (await app.resume("r", both)).result()
    assert LOG == ["book a", "free", "unbook a! of a"]


async def test_a_run_that_was_undone_begins_anew_with_new_keys() -> None:
    memory = Memory()
    async with in_memory(memory) as app:
        await failed_run(app, trip("a"))
    BROKEN.clear()
    KEYS.clear()
    async with in_memory(memory) as app:
        assert await (await app.resume("r", trip)).result() == "a!!"
    assert KEYS == ["r~1/book", "r~1/again"]


async def test_an_undo_that_fails_stops_no_other_and_is_reported() -> None:
    async with in_memory() as app:
        BROKEN.append("a!")
        handle = await failed_run(app, trip("a"))
        assert LOG[2:] == ["unbook a! of a"]
        reports = [event for event in await journal_of(handle) if isinstance(event, CompensationEnded)]
        assert [(report.report, report.undone) for report in reports] == [("partial", 1)]
        view = await handle.status()
        assert (view.undone, list(view.not_undone)) == (["book"], ["again"])


async def test_a_cancelled_run_is_undone() -> None:
    entered = asyncio.Event()

    @step
    async def endless(text: str) -> str:
        entered.set()
        await asyncio.Event().wait()
        return text

    async with in_memory() as app:
        handle = await app.start(chain(book).then(endless)("a"))
        await entered.wait()
        await handle.cancel("no")
        assert (await handle.outcome()).status == "cancelled"
    assert LOG == ["book a", "unbook a! of a"]


async def test_an_attempt_that_timed_out_is_undone_as_unknown() -> None:
    @step(timeout=0.01)
    async def slow(what: str) -> str:
        await asyncio.Event().wait()
        return what

    @slow.undo
    async def unslow(done: str | None, what: str) -> None:
        LOG.append(f"{done} {what}")

    async with in_memory() as app:
        with pytest.raises(RunFailed):
            await app.run(chain(slow)("a"))
        with pytest.raises(RunFailed):
            await app.run(slow("b"))
    assert LOG == ["None a", "None b"]


async def test_the_losers_of_a_race_are_undone_before_it_ends() -> None:
    @step
    async def quick(text: str) -> str:
        return text

    @step
    async def slow(text: str) -> str:
        await asyncio.Event().wait()
        return text

    race = first_success(chain(book).then(slow), chain(book).then(quick))
    async with in_memory() as app:
        assert await app.run(chain(race).then(last)("a")) == "a!"
    assert sorted(LOG[:2]) == ["book a", "book a"]
    assert LOG[2:] == ["unbook a! of a"]


async def test_each_item_of_a_map_can_be_a_saga() -> None:
    @step
    async def odd(text: str) -> str:
        if "1" in text:
            raise ValueError(text)
        return text

    flow = map_each(saga(chain(book).then(odd)), on_error="best_effort")
    async with in_memory() as app:
        assert await app.run(flow(["a0", "a1"])) == ["a0!", None]
    assert [line for line in LOG if line.startswith("unbook")] == ["unbook a1! of a1"]


async def test_in_memory_runs_are_undone_too() -> None:
    BROKEN.append("last")
    with pytest.raises(ValueError, match="work out"):
        await trip.invoke("a")
    assert LOG[2:] == ["unbook a!! of a!", "unbook a! of a"]


async def test_a_reversible_step_without_undo_fails_where_a_durable_function_calls_it() -> None:
    @step(effect="reversible")
    async def forgotten(text: str) -> str:
        return text

    @workflow
    async def careless(ctx: Context, text: str) -> str:
        return await forgotten(text)

    async with in_memory() as app:
        outcome = await (await app.start(careless("a"))).outcome()
    assert outcome.error is not None
    assert "no_undo" in str(outcome.error.__cause__)


# --- scopes in durable functions


async def test_a_block_that_raises_is_undone_before_the_exception_goes_on() -> None:
    @workflow
    async def careful(ctx: Context, what: str) -> str:
        await book(what)
        try:
            async with ctx.saga():
                await saga(chain(book))("x")
                await ctx.gather(book("y"), last("y"))
        except ValueError:
            LOG.append("caught")
        return await book("after")

    BROKEN.append("last")
    memory = Memory()
    async with in_memory(memory) as app:
        handle = await app.start(careful("a"), id="r")
        assert await handle.result() == "after!"
        view = await handle.status()
        await app.replay("r", careful) if hasattr(app, "replay") else None
    assert LOG[0] == "book a"
    assert LOG[-2:] == ["caught", "book after"]
    assert [line for line in LOG if "unbook" in line][-1] == "unbook x! of x"
    assert "book" not in view.undone
    assert "saga.saga/book" in view.undone


async def test_a_durable_function_that_was_undone_begins_anew() -> None:
    memory = Memory()
    async with in_memory(memory) as app:
        await failed_run(app, journey("a"))
    BROKEN.clear()
    LOG.clear()
    async with in_memory(memory) as app:
        await (await app.resume("r", journey)).result()
    assert LOG[0] == "book a"
    assert KEYS[-1].startswith("r~1/")


async def test_a_cancelled_block_is_undone_and_the_run_ends_as_cancelled() -> None:
    entered = asyncio.Event()

    @step
    async def endless(text: str) -> str:
        entered.set()
        await asyncio.Event().wait()
        return text

    @workflow
    async def stopped(ctx: Context, what: str) -> str:
        async with ctx.saga():
            return await endless(await book(what))

    async with in_memory() as app:
        handle = await app.start(stopped("a"), id="r")
        await entered.wait()
        await handle.cancel("no")
        assert (await handle.outcome()).status == "cancelled"
        reports = [event for event in await journal_of(handle) if isinstance(event, CompensationEnded)]
    assert LOG == ["book a", "unbook a! of a"]
    assert [report.path for report in reports] == ["saga"]


async def test_a_block_that_was_undone_begins_anew_when_the_run_is_reopened() -> None:
    @workflow
    async def half(ctx: Context, what: str) -> str:
        first = await last_once(what)
        async with ctx.saga():
            return await last(await book(first))

    @step
    async def last_once(text: str) -> str:
        LOG.append("once")
        return text

    memory = Memory()
    async with in_memory(memory) as app:
        await failed_run(app, half("a"))
    assert LOG == ["once", "book a", "unbook a! of a"]
    BROKEN.clear()
    async with in_memory(memory) as app:
        assert await (await app.resume("r", half)).result() == "a!"
    assert LOG[3:] == ["book a"]
    assert KEYS == ["r/saga.book", "r/saga.book/undo:unbook", "r~1/saga.book"]


async def test_what_the_losers_of_a_race_in_a_durable_function_did_is_undone_before_it_ends() -> None:
    gate = asyncio.Event()

    @step
    async def endless(text: str) -> str:
        gate.set()
        await asyncio.Event().wait()
        return text

    @step
    async def quick(text: str) -> str:
        await gate.wait()
        return text

    @workflow
    async def racing(ctx: Context, what: str) -> str:
        async def fiber(of: str) -> str:
            return await endless(await book(of))

        async def winner() -> str:
            return await quick(await book("w"))

        won = await ctx.race(fiber("f"), chain(book).then(endless)("c"), winner())
        return await book(won)

    async with in_memory() as app:
        handle = await app.start(racing("a"), id="r")
        assert await handle.result() == "w!!"
    assert sorted(LOG[:3]) == ["book c", "book f", "book w"]
    assert sorted(LOG[3:5]) == ["unbook c! of c", "unbook f! of f"]
    assert LOG[5:] == ["book w!"]


async def test_a_block_waits_for_what_its_own_fibers_still_do_before_it_is_undone() -> None:
    @step
    async def tidy(text: str) -> str:
        LOG.append("tidy")
        return text

    @workflow
    async def tidying(ctx: Context, what: str) -> str:
        async def fiber() -> str:
            try:
                return await book(await book(what))
            finally:
                await tidy(what)

        try:
            async with ctx.saga():
                await book("first")
                await ctx.gather(fiber(), last(what))
        except ValueError:
            return await tidy("caught")
        return what

    BROKEN.append("last")
    async with in_memory() as app:
        assert await app.run(tidying("a")) == "caught"
    assert LOG[-2:] == ["unbook first! of first", "tidy"]
    assert LOG.count("tidy") == 2
    assert len([line for line in LOG if line.startswith("book")]) == len([x for x in LOG if x.startswith("unbook")])


async def test_a_fiber_that_is_given_up_in_the_middle_of_its_undo_finishes_it_first() -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    @step
    async def rent(text: str) -> str:
        return text

    @rent.undo
    async def give_back(text: str) -> None:
        entered.set()
        await go_on.wait()
        LOG.append("given back")

    @step
    async def fail_then(text: str) -> str:
        await entered.wait()
        go_on.set()
        raise ValueError(text)

    @workflow
    async def nested(ctx: Context, what: str) -> str:
        async def fiber() -> str:
            try:
                async with ctx.saga():
                    return await last(await rent(what))
            finally:
                await book("in the end")

        try:
            await ctx.gather(fiber(), fail_then(what))
        except ValueError:
            return "caught"
        return what

    BROKEN.append("last")
    async with in_memory() as app:
        assert await app.run(nested("a")) == "caught"
    assert LOG == ["given back", "book in the end"]


async def test_blocks_in_which_nothing_happened_or_that_end_well_ask_for_nothing() -> None:
    @workflow
    async def quiet(ctx: Context, what: str) -> str:
        async with ctx.saga():
            await book(what)
            async with ctx.saga():
                await book("inner")
        try:
            async with ctx.saga():
                await last(what)
        except ValueError:
            return "caught"
        return what

    BROKEN.append("last")
    async with in_memory() as app:
        handle = await app.start(quiet("a"), id="r")
        assert await handle.result() == "caught"
        assert not [event for event in await journal_of(handle) if isinstance(event, CompensationEnded)]
    assert LOG == ["book a", "book inner"]


async def test_a_scope_is_only_there_in_a_durable_function() -> None:
    kept: list[Context] = []

    @workflow
    async def giving(ctx: Context, what: str) -> str:
        kept.append(ctx)
        return what

    async with in_memory() as app:
        await app.run(giving("a"))
        with pytest.raises(RipresaError, match="saga works only inside"):
            async with kept[0].saga():
                pass


# --- what is told, and what is never undone


async def test_hooks_observe_a_compensation_also_of_a_cancelled_run() -> None:
    entered = asyncio.Event()
    seen: list[str] = []

    @step
    async def endless(text: str) -> str:
        entered.set()
        await asyncio.Event().wait()
        return text

    @observe("compensation")
    def watch(told: Observed) -> None:
        seen.append(f"{type(told.event).__name__} {told.path}")

    BROKEN.append("a")
    async with in_memory(hooks=[watch]) as app:
        handle = await app.start(chain(book).then(book.with_(name="again")).then(endless)("a"), id="r")
        await entered.wait()
        await handle.cancel("no")
        with pytest.raises(RunCancelled) as error:
            await handle.result()
    assert seen == [
        "CompensationStarted ", "StepUndone again", "UndoFailed book", "CompensationEnded ",
    ]  # fmt: skip
    assert (error.value.reason, error.value.undone, list(error.value.not_undone)) == ("no", ("again",), ["book"])
    assert error.value.at is not None
    assert error.value.failures == ()


async def test_a_failed_run_leaves_an_earlier_successful_one_alone() -> None:
    async with in_memory() as app:
        assert await app.run(trip("good")) == "good!!"
        LOG.clear()
        await failed_run(app, trip("bad"), "second")
    assert [line for line in LOG if line.startswith("unbook")] == ["unbook bad!! of bad!", "unbook bad! of bad"]


@dataclass
class Notes:
    text: str = ""


@step
async def write(what: str) -> str:
    current().state(Notes).text = f"written by {what}"
    return what


async def test_the_typed_state_goes_back_with_a_scope_that_was_undone() -> None:
    async with in_memory() as app:
        scope = saga(chain(book).then(write).then(last))
        flow = chain(fallback(scope, book.with_(name="other")), name="kept").with_state(Notes)
        BROKEN.append("last")
        handle = await app.start(flow("a"), id="r")
        assert await handle.result() == "a!"
        assert (await handle.state(Notes)).text == ""


async def test_the_typed_state_of_a_run_that_was_undone_begins_anew() -> None:
    flow = chain(book).then(write).then(last).with_state(Notes)
    memory = Memory()
    async with in_memory(memory) as app:
        handle = await failed_run(app, flow("a"))
        assert (await handle.state(Notes)).text == ""
    BROKEN.clear()
    async with in_memory(memory) as app:
        handle = await app.resume("r", flow)
        await handle.result()
        assert (await handle.state(Notes)).text == "written by a!"


async def test_a_secret_that_a_step_asks_for_itself_is_in_no_journal_and_its_undo_can_ask_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    vault = {"payments": "hunter2"}
    signed: list[tuple[str, str]] = []

    @step
    async def pay(order: str) -> str:
        signed.append((order, vault["payments"]))
        return f"receipt of {order}"

    @pay.undo
    async def pay_back(receipt: str) -> None:
        signed.append((receipt, vault["payments"]))

    BROKEN.append("last")
    memory = Memory()
    with caplog.at_level("DEBUG"):
        async with in_memory(memory) as app:
            handle = await failed_run(app, chain(pay).then(last)("7"))
            assert signed == [("7", "hunter2"), ("receipt of 7", "hunter2")]
            assert "hunter2" not in repr(await journal_of(handle))
            assert not any(b"hunter2" in row.data for row in await app.store.read(handle.id))
    assert "hunter2" not in caplog.text


async def test_an_undo_that_raises_anything_leaves_the_others_to_be_undone() -> None:
    memory = Memory()

    @step(name="reserve")
    async def reserve(text: str) -> str:
        return text

    @reserve.undo
    async def free(text: str) -> None:
        raise AssertionError("poisoned")

    flow = chain(book).then(reserve).then(last)
    BROKEN.append("last")
    async with in_memory(memory) as app:
        handle = await failed_run(app, flow("a"))
        view = await handle.status()
    assert (view.undone, list(view.not_undone)) == (["book"], ["reserve"])
