"""A finished run is taken back by its recorded compensations: what was done is undone once, whoever does it."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from ripresa import (
    App,
    Cancel,
    Context,
    Handle,
    IllegalTransition,
    RunCancelled,
    RunError,
    RunNotFound,
    StepError,
    UndoReport,
    before,
    chain,
    current,
    step,
    workflow,
)
from ripresa.core.events import StepParked
from ripresa.errors import RipresaError, StoreError
from ripresa.stores.memory import Memory, MemoryStore

from .stage import Failing, in_memory, journal_of, kinds, turns

LOG: list[str] = []
BROKEN: list[str] = []


@pytest.fixture(autouse=True)
def clean() -> None:
    LOG.clear()
    BROKEN.clear()


@step
async def book(what: str) -> str:
    return f"{what}!"


@book.undo
async def unbook(booked: str) -> None:
    if booked in BROKEN:
        raise RuntimeError("fully booked")
    LOG.append(f"unbook {booked}")


@step(effect="irreversible")
async def pay(what: str) -> str:
    return what


@step(effect="irreversible")
async def refuse(what: str) -> str:
    raise ValueError(what)


trip = chain(book).then(pay).then(book.with_(name="again"))


@workflow
async def journey(ctx: Context, what: str) -> str:
    return await book(await book(what))


async def finished(app: App, call: Any, id: str = "r") -> Any:
    handle = await app.start(call, id=id)
    await handle.result()
    return handle


@pytest.mark.parametrize("flow", [trip, journey], ids=["chain", "durable function"])
async def test_a_finished_run_is_undone_last_first(flow: Any) -> None:
    async with in_memory() as app:
        handle = await finished(app, flow("a"))
        report = await handle.undo(reason="rained", by="eva")
        view = await handle.status()
        with pytest.raises(RunCancelled, match="undone: rained") as caught:
            await handle.result()
    assert LOG == ["unbook a!!", "unbook a!"]
    assert (view.status, view.reason, report.complete, caught.value.code) == ("undone", "rained", True, "undone")
    assert report == UndoReport(tuple(view.undone), {}, ("pay",) if flow is trip else ())


@step
async def paying(what: str) -> str:
    paid = await current().call(pay, what)
    with suppress(ValueError):
        await current().call(refuse, what)
    return paid


@workflow
async def paid(ctx: Context, what: str) -> str:
    return await paying(what)


@pytest.mark.parametrize("flow", [chain(paying), paid], ids=["chain", "durable function"])
async def test_an_irreversible_call_inside_a_step_is_named(flow: Any) -> None:
    async with in_memory() as app:
        handle = await finished(app, flow("a"))
        report = await handle.undo()
    assert report.irreversible == ("paying",)


@pytest.mark.parametrize(
    ("said", "named"), [({"completed": "sent"}, True), ({"failed": "no"}, False), ({"retry": True}, False)]
)
async def test_an_irreversible_call_of_which_nobody_knew_is_named_unless_somebody_says_it_did_not_happen(
    said: dict[str, Any], named: bool
) -> None:
    left = True

    @step(effect="irreversible", timeout=1)
    async def send(what: str) -> str:
        if left:
            raise StepError("no answer", unknown=True)
        raise ValueError("refused")

    @step
    async def sending(what: str) -> str:
        try:
            return await current().call(send, what)
        except ValueError:
            return "not sent"

    async with in_memory() as app:
        handle = await app.start(chain(sending)("a"), id="r")
        async for recorded in handle.watch():
            if isinstance(getattr(recorded, "event", None), StepParked):
                break
        left = False
        await handle.reconcile("sending", by="eva", **said)
        await handle.outcome()
        report = await handle.undo()
    assert bool(report.irreversible) is named


async def test_what_happened_up_to_a_place_stays() -> None:
    async with in_memory() as app:
        handle = await finished(app, trip("a"))
        assert (await handle.undo("pay")).undone == ("again",)
        assert LOG == ["unbook a!!"]
        assert (await handle.undo()).undone == ("again", "book")
        with pytest.raises(RipresaError) as caught:
            await handle.undo("nowhere")
    assert caught.value.code == "no_such_place"
    assert LOG == ["unbook a!!", "unbook a!"]


async def test_a_second_undo_repeats_only_what_failed() -> None:
    async with in_memory() as app:
        BROKEN.append("a!")
        handle = await finished(app, trip("a"))
        report = await handle.undo()
        assert (report.undone, report.complete) == (("again",), False)
        assert report.failed["book"].message == "fully booked"
        BROKEN.clear()
        assert (await handle.undo()).complete
        seq = (await handle.status()).seq
        assert (await handle.undo()).undone == ("again", "book")
        assert (await handle.status()).seq == seq
    assert LOG == ["unbook a!!", "unbook a!"]


async def test_a_run_is_undone_in_another_process_and_by_two_at_once() -> None:
    memory = Memory()
    async with in_memory(memory) as app:
        await finished(app, trip("a"))
    async with in_memory(memory) as app:
        handle = await app.handle("r", trip)
        one, two = await asyncio.gather(handle.undo(), handle.undo())
    assert one == two
    assert LOG == ["unbook a!!", "unbook a!"]


async def test_an_undo_that_was_left_in_the_middle_goes_on() -> None:
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

    flow = chain(book).then(reserve).then(book.with_(name="again"))
    async with in_memory(memory) as app:
        handle = await finished(app, flow("a"))
        undoing = asyncio.create_task(handle.undo())
        await entered.wait()
        await app.close()
        with pytest.raises(RunError) as caught:
            await undoing
        assert caught.value.code == "interrupted"
    assert LOG == ["unbook a!!"]
    async with in_memory(memory) as app:
        handle = await app.handle("r", flow)
        assert (await handle.undo()).undone == ("again", "reserve", "book")
    assert LOG == ["unbook a!!", "free", "unbook a!"]


async def test_another_process_that_undoes_it_is_watched() -> None:
    memory, entered, go = Memory(), asyncio.Event(), asyncio.Event()

    @step
    async def reserve(text: str) -> str:
        return text

    @reserve.undo
    async def free(text: str) -> None:
        entered.set()
        await go.wait()

    flow = chain(reserve)
    async with in_memory(memory) as app, in_memory(memory) as other:
        undoing = asyncio.create_task((await finished(app, flow("a"))).undo())
        await entered.wait()
        watching = asyncio.create_task((await other.handle("r", flow)).undo())
        await asyncio.sleep(0)
        go.set()
        assert await undoing == await watching


@pytest.mark.parametrize("after", [False, True], ids=["before it is durable", "after that"])
@pytest.mark.parametrize("number", range(1, 6))
async def test_no_write_that_fails_makes_an_undo_happen_twice(number: int, after: bool) -> None:
    memory = Memory()
    async with in_memory(memory) as app:
        await finished(app, trip("a"))
    store: Any = Failing(MemoryStore(memory), number, after=after)
    async with App(store, patience=0.05) as app:
        handle = await app.handle("r", trip)
        with suppress(StoreError):
            await handle.undo()
    async with in_memory(memory) as app:
        handle = await app.handle("r", trip)
        assert (await handle.undo()).undone == ("again", "book")
        ended = [name for name in kinds(await journal_of(handle)) if name in ("StepUndone", "RunUndone")]
    assert ended.count("StepUndone") == 2
    assert sorted(set(LOG)) == ["unbook a!", "unbook a!!"]


async def test_a_run_that_failed_says_what_it_did_not_do() -> None:
    async with in_memory() as app:
        handle = await app.start(chain(pay).then(refuse)("a"))
        await handle.outcome()
        report = await handle.undo()
    assert (report.undone, report.irreversible) == ((), ("pay",))


async def test_only_a_run_that_has_ended_can_be_undone() -> None:
    entered = asyncio.Event()

    @step
    async def endless(text: str) -> str:
        entered.set()
        await asyncio.Event().wait()
        return text

    async with in_memory() as app:
        handle = await app.start(chain(endless)("a"))
        await entered.wait()
        with pytest.raises(IllegalTransition, match="ripresa cancel"):
            await handle.undo()
        await handle.terminate()
        assert (await handle.undo()).undone == ()
        with pytest.raises(IllegalTransition):
            await app.resume(handle.id)


async def test_a_run_that_somebody_else_has_or_nobody_knows_is_not_undone() -> None:
    memory = Memory()
    async with in_memory(memory) as app, in_memory(memory) as other:
        handle = await finished(app, trip("a"))
        await other.store.claim("r")
        with pytest.raises(RunError) as caught:
            await handle.undo()
        assert caught.value.code == "owned_elsewhere"
        await other.store.release("r")
        with pytest.raises(RunNotFound):
            await Handle(app.engine, "nobody", str, handle._links).undo()


async def test_who_comes_when_another_process_is_about_to_undo_a_run_sees_that_to_its_end() -> None:
    memory = Memory()
    async with in_memory(memory) as app, in_memory(memory) as other:
        handle, there = await finished(app, trip("a")), await other.handle("r", trip)
        await other.store.claim("r")  # it has the run, and has recorded nothing yet
        waiting = asyncio.create_task(handle.undo())
        await turns(5)
        await other.store.release("r")
        assert (await waiting).undone == (await there.undo()).undone == ("again", "book")
        memory.runs["r"].head = replace(memory.runs["r"].head, status="completed")
        await other.store.claim("r")
        waiting = asyncio.create_task(handle.undo())
        await turns(5)
        memory.runs["r"].head = replace(memory.runs["r"].head, status="undoing")
        await asyncio.sleep(0.02)
        memory.runs["r"].head = replace(memory.runs["r"].head, status="undone")
        assert (await waiting).complete
    assert LOG == ["unbook a!!", "unbook a!"]


async def test_a_hook_that_cancels_what_is_undone_stops_no_more_than_that() -> None:
    @before("unbook")
    def stop(asked: Any) -> Cancel | None:
        return Cancel("not now") if asked.path.startswith("book") else None

    async with in_memory(hooks=[stop]) as app:
        handle = await finished(app, trip("a"))
        report = await handle.undo()
    assert (report.undone, report.failed["book"].code) == (("again",), "cancelled")
