"""What nothing can undo is never done again in silence: not by a resumed run, and not after what was undone with it."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from ripresa import (
    App,
    Context,
    Graph,
    Handle,
    RipresaError,
    chain,
    current,
    parallel,
    saga,
    step,
    workflow,
)
from ripresa.core.events import CompensationEnded, StepParked

from .stage import in_memory, turns

DONE: list[str] = []
BROKEN: list[str] = []


@pytest.fixture(autouse=True)
def clean() -> None:
    DONE.clear()
    BROKEN[:] = ["broken"]


def note(what: str) -> None:
    DONE.append(f"{what} {current().idempotency_key}")


@step
async def book(seats: int) -> int:
    note("book")
    return seats


@book.undo
async def unbook(seats: int) -> None:
    note("unbook")


@step(effect="irreversible")
async def mail(seats: int) -> int:
    note("mail")
    return seats


@step(effect="irreversible")
async def pay(seats: int) -> int:
    note("pay")
    if BROKEN:
        await asyncio.Event().wait()
    return seats


@step
async def confirm(seats: int) -> int:
    if BROKEN:
        raise ConnectionError("nobody answers")
    return seats


@step
async def beside(seats: int) -> int:
    """Fails as soon as `pay` has begun."""
    while not any(done.startswith("pay") for done in DONE):
        await turns(1)
    return await confirm(seats)


def of_graph(*steps: Any) -> Any:
    graph = Graph("graph", input=int)
    out = graph.input
    for each in steps:
        out = graph.add(each(out)).out
    return graph.returns(out)


@workflow
async def trip(ctx: Context, seats: int) -> int:
    return await confirm(await mail(await book(seats)))


@workflow
async def trip_in_a_block(ctx: Context, seats: int) -> int:
    async with ctx.saga():
        return await confirm(await mail(await book(seats)))


@step
async def agent(seats: int) -> int:
    return await current().call(mail, seats)


TRIPS: dict[str, Any] = {
    "chain": chain(book, name="trip").then(mail).then(confirm),
    "graph": of_graph(book, mail, confirm),
    "function": trip,
    "block": trip_in_a_block,
    "saga": chain(saga(chain(book, name="body").then(mail).then(confirm)), name="in_a_saga"),
    "call": chain(book, name="calling").then(agent).then(confirm),
}


async def failed(app: App, flow: Any) -> Handle[Any]:
    handle = await app.start(flow(2), id="r")
    assert (await handle.outcome()).status == "failed"
    BROKEN.clear()
    return handle


@pytest.mark.parametrize("form", TRIPS)
async def test_a_run_that_begins_anew_does_not_repeat_what_nothing_can_undo_unless_that_is_said(form: str) -> None:
    flow = TRIPS[form]
    async with in_memory() as app:
        handle = await failed(app, flow)
        mails = [done for done in DONE if done.startswith("mail")]
        with pytest.raises(RipresaError, match="would do again what cannot be") as caught:
            await app.resume("r", flow)
        assert caught.value.code == "effects_undecided"
        with pytest.raises(RipresaError, match="would do again what cannot be"):
            await handle.resume()
        assert (await handle.status()).status == "failed"
        assert [done for done in DONE if done.startswith("mail")] == mails
        assert await (await app.resume("r", flow, again=True)).result() == 2
        assert len([done for done in DONE if done.startswith("mail")]) == 2


@pytest.mark.parametrize("form", TRIPS)
async def test_what_nothing_can_undo_is_named_as_not_undone(form: str) -> None:
    async with in_memory() as app:
        handle = await failed(app, TRIPS[form])
        view = await handle.status()
        [(path, failure)] = view.not_undone.items()
        assert path.rpartition("/")[2].removeprefix("saga.") in ("mail", "agent")
        assert (failure.code, failure.message) == ("irreversible", "nothing can undo it")
        [ended] = [it.event async for it in handle.events() if isinstance(it.event, CompensationEnded)]
        assert (ended.report, ended.irreversible) == ("partial", (path,))
        report = await handle.undo()
        assert (dict(report.failed), report.irreversible) == ({}, (path,))


async def test_what_stands_outside_of_what_was_undone_is_not_asked_about() -> None:
    flow = chain(mail, name="apart").then(saga(chain(book).then(confirm)))
    async with in_memory() as app:
        await failed(app, flow)
        assert await (await app.resume("r", flow)).result() == 2
    assert [done.split()[0] for done in DONE] == ["mail", "book", "unbook", "book"]


async def test_what_was_sent_before_a_block_of_a_function_is_not_asked_about() -> None:
    @workflow
    async def told_first(ctx: Context, seats: int) -> int:
        await mail(seats)
        async with ctx.saga():
            return await confirm(await book(seats))

    async with in_memory() as app:
        await failed(app, told_first)
        assert await (await app.resume("r", told_first)).result() == 2
    assert [done.split()[0] for done in DONE] == ["mail", "book", "unbook", "book"]


async def test_a_run_in_which_nothing_was_undone_goes_on_where_it_failed() -> None:
    flow = chain(mail, name="plain").then(confirm)
    async with in_memory() as app:
        await failed(app, flow)
        assert await (await app.resume("r", flow)).result() == 2
    assert DONE == ["mail r/mail"]


# --- of which nobody knows what they did


@workflow
async def both(ctx: Context, seats: int) -> int:
    found, _ = await ctx.gather(pay(seats), beside(seats))
    return found


def graph_of_both() -> Any:
    graph = Graph("both", input=int)
    paid, other = graph.add(pay(graph.input)), graph.add(beside(graph.input))
    return graph.returns((paid.out, other.out))


@step
async def first(pair: tuple[int, int]) -> int:
    return pair[0]


BOTH: dict[str, Any] = {
    "chain": chain(parallel(pay, beside), name="both").then(first),
    "graph": graph_of_both(),
    "function": both,
}


@pytest.mark.parametrize("form", BOTH)
async def test_a_step_that_was_stopped_in_doubt_is_parked_by_a_resume_and_never_repeated(form: str) -> None:
    flow = BOTH[form]
    async with in_memory() as app:
        handle = await failed(app, flow)
        view = await handle.status()
        [path] = [path for path in view.steps if path.endswith("pay")]
        assert view.steps[path].status == "unknown"
        assert view.not_undone[path].code == "outcome_unknown"
        handle = await app.resume("r", flow)
        while not any(isinstance(it.event, StepParked) for it in await app.engine.history("r")):
            await turns(1)
        while path not in (await handle.status()).parked or not (await handle.status()).waiting:
            await turns(1)
        assert (await handle.status()).not_undone == {}
        await handle.reconcile(path, completed=2, by="eva")
        assert await handle.result() in (2, [2, 2], (2, 2))
    assert len([done for done in DONE if done.startswith("pay")]) == 1


async def test_it_is_tried_again_only_if_somebody_says_that_it_did_nothing() -> None:
    flow = BOTH["chain"]
    async with in_memory() as app:
        await failed(app, flow)
        handle = await app.resume("r", flow)
        [path] = [path for path in (await handle.status()).steps if path.endswith("pay")]
        await handle.reconcile(path, retry=True, by="eva")
        assert await handle.result() == 2
    assert len([done for done in DONE if done.startswith("pay")]) == 2


async def test_a_step_in_doubt_in_what_begins_anew_is_asked_about() -> None:
    flow = chain(book, name="doubt").then(parallel(pay, beside)).then(first)
    async with in_memory() as app:
        handle = await failed(app, flow)
        assert (await handle.status()).undone == ["book"]
        with pytest.raises(RipresaError, match="would do again what cannot be"):
            await handle.resume()
        assert len([done for done in DONE if done.startswith("pay")]) == 1


@pytest.mark.parametrize("how", ["step", "call"])
async def test_a_function_does_not_ask_again_for_what_is_in_doubt_in_its_handler(how: str) -> None:
    @step
    async def paying(seats: int) -> int:
        return await current().call(pay, seats)

    @workflow
    async def handled(ctx: Context, seats: int) -> int:
        try:
            return await confirm(seats)
        except ConnectionError as error:
            with suppress(ConnectionError):
                await ctx.gather(pay(seats) if how == "step" else paying(seats), beside(seats))
            raise error

    async with in_memory() as app:
        await failed(app, handled)
        with pytest.raises(RipresaError, match="would do again what cannot be"):
            await app.resume("r", handled)
        assert await (await app.resume("r", handled, again=True)).result() == 2


async def test_a_step_that_failed_did_nothing_and_is_tried_again_by_a_resume() -> None:
    @step(effect="irreversible")
    async def refused(seats: int) -> int:
        note("refused")
        return await confirm(seats)

    flow = chain(book, name="refusing").then(refused)
    async with in_memory() as app:
        handle = await failed(app, flow)
        assert (await handle.status()).not_undone == {}
        assert await (await app.resume("r", flow)).result() == 2


async def test_an_irreversible_undo_is_not_counted() -> None:
    @step
    async def rent(seats: int) -> int:
        return seats

    @step(effect="irreversible")
    async def refund(seats: int) -> None:
        note("refund")

    rent.undo(refund)
    flow = chain(rent, name="renting").then(confirm)
    async with in_memory() as app:
        handle = await failed(app, flow)
        assert (await handle.status()).not_undone == {}
        assert await (await app.resume("r", flow)).result() == 2


async def test_what_the_handler_of_a_failure_did_is_not_asked_about() -> None:
    @workflow
    async def told(ctx: Context, seats: int) -> int:
        try:
            return await confirm(seats)
        except ConnectionError:
            await mail(seats)
            raise

    async with in_memory() as app:
        await failed(app, told)
        assert await (await app.resume("r", told)).result() == 2
    assert DONE == ["mail r/mail"], "it told of that failure, and did"
