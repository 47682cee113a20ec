"""What steps do by journaled calls is undone like what steps do: last first, once, whoever takes the run up."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from ripresa import (
    App,
    Context,
    Graph,
    InvalidConfig,
    Retry,
    RipresaError,
    StepError,
    chain,
    current,
    fallback,
    first_success,
    observe,
    saga,
    step,
    workflow,
)
from ripresa.authoring.undoable import declared_at, home_of
from ripresa.core.ledger import Entry
from ripresa.runtime.callees import MOST, Callees
from ripresa.stores.memory import Memory

from .stage import in_memory

LOG: list[str] = []
KEYS: list[str] = []
BROKEN: list[str] = []


@pytest.fixture(autouse=True)
def clean() -> None:
    for kept in (LOG, KEYS, BROKEN):
        kept.clear()


@step
async def book(what: str, seats: int = 1) -> str:
    LOG.append(f"book {what}")
    KEYS.append(current().idempotency_key)
    if what in BROKEN:
        raise ConnectionError(what)
    return f"{what}!"


@book.undo
async def unbook(booked: str, what: str, seats: int = 1) -> None:
    KEYS.append(current().idempotency_key)
    if "unbook" in BROKEN:
        raise RuntimeError("fully booked")
    LOG.append(f"unbook {booked} of {what} for {seats}")


@step
async def hold(what: str) -> str:
    LOG.append(f"hold {what}")
    return f"{what}?"


@hold.undo
async def free(held: str) -> None:
    LOG.append(f"free {held}")


@step
async def trip(what: str) -> str:
    booked = await current().call(book, what, seats=2)
    return await current().call(hold, booked)


@step
async def boom(text: str) -> str:
    if "boom" in BROKEN:
        raise ValueError(text)
    return text


@step
async def tripping(what: str) -> str:
    booked = await current().call(book, what)
    await boom.fn(booked)
    return booked


@workflow
async def function(ctx: Context, what: str) -> str:
    return await boom(await trip(what))


def graph() -> Any:
    g = Graph("g", input=str)
    made = g.add(trip(g.input))
    return g.returns(g.add(boom(made.out)).out)


UNDONE = ["free a!?", "unbook a! of a for 2"]
FLOWS = [chain(trip).then(boom), graph(), function]


async def undone(app: App, call: Any, status: str = "failed") -> Any:
    handle = await app.start(call, id="r")
    assert (await handle.outcome()).status == status
    return await handle.status()


@pytest.mark.parametrize("flow", FLOWS, ids=["chain", "graph", "durable function"])
async def test_a_run_that_fails_undoes_the_calls_of_its_steps_last_first(flow: Any) -> None:
    BROKEN.append("boom")
    async with in_memory() as app:
        view = await undone(app, flow("a"))
    assert ["book a", "hold a!", *UNDONE] == LOG
    assert [path.rpartition("/")[2].partition(":")[0] for path in view.undone] == ["trip>hold", "trip>book"]
    assert view.not_undone == {}
    assert KEYS[-1] == f"{KEYS[0]}/undo:unbook"


@pytest.mark.parametrize("flow", FLOWS, ids=["chain", "graph", "durable function"])
async def test_a_finished_run_is_undone_elsewhere_too(flow: Any) -> None:
    memory = Memory()
    async with in_memory(memory) as app:
        await app.run(flow("a"), id="r")
    async with in_memory(memory) as app:
        handle = await app.handle("r", flow)
        report = await handle.undo()
        assert (await handle.undo()) == report
    assert ["book a", "hold a!", *UNDONE] == LOG
    assert (len(report.undone), report.irreversible, report.complete) == (2, (), True)


async def test_what_a_step_did_that_then_fails_itself_is_undone() -> None:
    BROKEN.append("boom")
    async with in_memory() as app:
        await undone(app, chain(tripping)("a"))
    assert LOG == ["book a", "unbook a! of a for 1"]


async def test_a_call_that_is_handed_its_result_is_undone_once() -> None:
    tries: list[int] = []

    @step(retry=3)
    async def again(what: str) -> str:
        booked = await current().call(book, what)
        tries.append(1)
        raise ConnectionError(booked)

    async with in_memory() as app:
        await undone(app, chain(again)("a"))
    assert (len(tries), LOG) == (3, ["book a", "unbook a! of a for 1"])


async def test_a_call_that_raised_did_nothing() -> None:
    BROKEN.append("a")
    async with in_memory() as app:
        view = await undone(app, chain(trip)("a"))
    assert (LOG, view.undone, view.not_undone) == (["book a"], [], {})


async def test_a_run_that_is_cancelled_undoes_the_calls_of_the_step_under_way() -> None:
    entered = asyncio.Event()

    @step
    async def slow(what: str) -> str:
        booked = await current().call(book, what)
        entered.set()
        await asyncio.Event().wait()
        return booked

    async with in_memory() as app:
        handle = await app.start(chain(slow)("a"))
        await entered.wait()
        await handle.cancel()
        assert (await handle.outcome()).status == "cancelled"
    assert LOG == ["book a", "unbook a! of a for 1"]


@workflow
async def block(ctx: Context, what: str) -> str:
    try:
        async with ctx.saga():
            return await tripping(what)
    except ValueError:
        LOG.append("home")
        return "home"


@workflow
async def race(ctx: Context, what: str) -> str:
    return await ctx.race(waiting(what), quick(what))


@step
async def waiting(what: str) -> str:
    booked = await current().call(book, what)
    BOOKED[0].set()
    await asyncio.Event().wait()
    return booked


@step
async def quick(what: str) -> str:
    await BOOKED[0].wait()
    return "home"


BOOKED: list[asyncio.Event] = []


@step
async def home(what: str) -> str:
    LOG.append("home")
    return "home"


@pytest.mark.parametrize(
    "flow",
    [block, race, chain(fallback(saga(chain(tripping)), home)), chain(first_success(waiting, quick))],
    ids=["ctx.saga", "ctx.race", "saga", "first_success"],
)
async def test_a_scope_that_fails_and_a_branch_that_loses_is_undone(flow: Any) -> None:
    memory = Memory()
    BOOKED[:] = [asyncio.Event()]
    BROKEN.append("boom")
    async with in_memory(memory) as app:
        assert await app.run(flow("a"), id="r") == "home"
    assert [each for each in LOG if each != "home"] == ["book a", "unbook a! of a for 1"]
    assert LOG[-1] in ("home", "unbook a! of a for 1")
    async with in_memory(memory) as app:  # its replay decides the same
        assert len((await (await app.handle("r", flow)).undo()).undone) == 1


async def test_an_undo_of_the_step_takes_the_place_of_those_of_its_calls() -> None:
    @step
    async def whole(what: str) -> str:
        return await current().call(inner, what)

    @whole.undo
    async def unwhole(made: str) -> None:
        LOG.append(f"unwhole {made}")

    @step
    async def inner(what: str) -> str:
        return await current().call(book, what)

    @inner.undo
    async def uninner(made: str) -> None:
        LOG.append(f"uninner {made}")

    @step
    async def calling(what: str) -> str:
        return await current().call(inner, what)

    BROKEN.append("boom")
    async with in_memory() as app:
        await undone(app, chain(whole).then(calling).then(boom)("a"))
    assert LOG == ["book a", "book a!", "uninner a!!", "unwhole a!"]


async def test_an_undo_that_fails_is_named_and_tried_again() -> None:
    BROKEN.extend(["boom", "unbook"])
    async with in_memory() as app:
        view = await undone(app, chain(trip).then(boom)("a"))
        (path,) = view.not_undone
        assert view.not_undone[path].message == "fully booked"
        assert path.startswith("trip>book:")
        BROKEN.clear()
        handle = await app.handle("r", chain(trip).then(boom))
        assert (await handle.undo()).complete
    assert LOG[-1] == "unbook a! of a for 2"


async def test_a_call_of_which_nobody_knows_is_undone_by_what_takes_that_and_named_otherwise() -> None:
    @step(timeout=0.01)
    async def lost(what: str) -> str:
        raise StepError("no answer", unknown=True)

    @lost.undo
    async def find(made: str | None, what: str) -> None:
        LOG.append(f"find {made} of {what}")

    @step
    async def gone(what: str) -> str:
        raise StepError("no answer", unknown=True)

    @gone.undo
    async def never(made: str) -> None:
        LOG.append("never")

    @step
    async def both(what: str) -> str:
        for called in (lost, gone):
            with pytest.raises(StepError):
                await current().call(called, what)
        return what

    BROKEN.append("boom")
    async with in_memory() as app:
        view = await undone(app, chain(both).then(boom)("a"))
    assert LOG == ["find None of a"]
    assert [failure.code for failure in view.not_undone.values()] == ["outcome_unknown"]


async def test_a_call_that_a_process_left_is_begun_again_with_its_key_and_stays_in_doubt_if_it_raises_then() -> None:
    memory, entered, left = Memory(), asyncio.Event(), [True]
    keys: list[str] = []

    @step
    async def reserve(what: str) -> str:
        keys.append(current().idempotency_key)
        entered.set()
        if left:
            await asyncio.Event().wait()
        raise ConnectionError(what)

    @reserve.undo
    async def find(made: str | None, what: str) -> None:
        LOG.append(f"find {made} of {what}")

    @step(retry=2)
    async def reserving(what: str) -> str:
        return await current().call(reserve, what)

    flow = chain(reserving)
    async with in_memory(memory) as app:
        await app.start(flow("a"), id="r")
        await entered.wait()
    left.clear()
    async with in_memory(memory) as app:
        assert (await (await app.resume("r", flow)).outcome()).status == "failed"
    assert len(set(keys)) == 1
    assert LOG == ["find None of a"]


async def test_what_undoes_a_call_may_be_a_function_of_nothing_but_its_output_and_may_be_hooked() -> None:
    told: list[Any] = []

    @observe("compensation")
    def seen(observed: Any) -> None:
        told.append(observed.event)

    BROKEN.append("boom")
    async with in_memory(hooks=[seen]) as app:
        await undone(app, chain(trip).then(boom)("a"))
    assert LOG[-2:] == UNDONE
    assert told


async def test_a_flow_cannot_undo_a_call_and_what_declares_no_undo_is_refused() -> None:
    @step
    async def made(what: str) -> str:
        return what

    made.undo(chain(forget))

    @step(effect="reversible")
    async def bare(what: str) -> str:
        return what

    @step
    async def calling(what: str) -> str:
        with pytest.raises(InvalidConfig, match="is a flow"):
            await current().call(made, what)
        with pytest.raises(RipresaError, match="nothing says what undoes it"):
            await current().call(bare, what)
        return what

    async with in_memory() as app:
        assert await app.run(chain(calling)("a")) == "a"


async def test_rollback_and_fork_ask_about_calls_that_can_be_undone() -> None:
    async with in_memory() as app:
        handle = await app.start(chain(trip)("a"))
        await handle.result()
        for again in (handle.rollback(1), handle.fork(set={"input": "b"})):
            with pytest.raises(RipresaError) as caught:
                await again
            assert caught.value.code == "effects_undecided"


@step
async def forget(what: str) -> None: ...


def two(name: str) -> Any:
    @step(name="ticket")
    async def ticket(what: str) -> str:
        return what

    @ticket.undo
    async def back(what: str) -> None:
        LOG.append(f"{name} took {what} back")

    @step
    async def buy(what: str) -> str:
        return await current().call(ticket, what)

    return ticket, chain(buy).then(boom)


async def test_who_was_called_is_never_guessed() -> None:
    memory = Memory()
    rome, flow = two("rome")
    paris, _ = two("paris")
    assert declared_at(home_of(rome)) == [rome, paris]
    async with in_memory(memory) as app:
        handle = await app.start(flow("a"), id="r")
        await handle.result()
        assert (await handle.undo()).complete
        await app.run(flow("b"), id="s")
    assert LOG == ["rome took a back"]
    async with in_memory(memory) as app:
        report = await (await app.handle("s", flow)).undo()
    ((_, failure),) = report.failed.items()
    assert failure.code == "no_undo"
    assert "2 steps with an undo are called ticket" in failure.message
    assert LOG == ["rome took a back"]


def test_of_the_oldest_calls_it_is_forgotten_who_was_called() -> None:
    callees = Callees()
    for number in range(MOST + 1):
        callees.note("r", str(number), book)
    entry = Entry(1, 1, "0", 1, 0, "s", "", home_of(hold), b"null", undo="free")
    assert callees.find("r", entry) is hold
    assert callees.find("r", replace(entry, path="1")) is book


@step
async def ship(what: str) -> str:
    return what


@step
async def call_back(what: str) -> None:
    LOG.append(f"call back {what}")


@step
async def refund(what: str) -> None:
    LOG.append(f"refund {what}")
    if LOG.count(f"refund {what}") == 1:
        raise ConnectionError(what)


@ship.undo
@step(retry=Retry(3))
async def take_back(shipped: str) -> None:
    await current().call(call_back, shipped)
    await current().call(refund, shipped)


@step
async def send_off(what: str) -> str:
    return await current().call(ship, what)


async def test_what_undoes_a_call_may_journal_steps_each_of_which_is_done_once() -> None:
    BROKEN.append("boom")
    async with in_memory() as app:
        handle = await app.start(chain(send_off).then(boom)("tea"))
        assert (await handle.outcome()).status == "failed"
        assert len((await handle.status()).undone) == 1
    assert LOG == ["call back tea", "refund tea", "refund tea"]
