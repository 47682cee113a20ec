"""No run goes on with a result that was taken back, and no fork does again in silence what changed the world."""

import asyncio
from typing import Any, get_args

import pytest

from ripresa import App, Context, Graph, Handle, RipresaError, chain, current, fallback, parallel, saga, step, workflow
from ripresa.client import Effects
from ripresa.errors import Nondeterminism

from .stage import in_memory, turns

DONE: list[str] = []
BROKEN: list[str] = []


@pytest.fixture(autouse=True)
def clean() -> None:
    DONE.clear()
    BROKEN[:] = ["broken"]


@step
async def book(seats: int) -> int:
    DONE.append("book")
    return seats


@book.undo
async def unbook(seats: int) -> None:
    DONE.append("unbook")


@step
async def use(seats: int) -> int:
    if BROKEN:
        raise ConnectionError("nobody answers")
    DONE.append("use")
    return seats


@step(effect="irreversible")
async def mail(seats: int) -> int:
    DONE.append("mail")
    return seats


@step
async def str_of(seats: int) -> str:
    return str(seats)


@step
async def int_of(seats: str) -> int:
    return int(seats)


@workflow
async def trip(ctx: Context, seats: int) -> int:
    return await use(await book(seats))


def graph_of_trip() -> Any:
    graph = Graph("graph", input=int)
    return graph.returns(graph.add(use(graph.add(book(graph.input)).out)).out)


@step
async def first(pair: tuple[int, int]) -> int:
    return pair[0]


TRIPS: dict[str, Any] = {"chain": chain(book, name="trip").then(use), "graph": graph_of_trip(), "function": trip}


async def failed(app: App, flow: Any) -> Handle[Any]:
    handle = await app.start(flow(2), id="r")
    assert (await handle.outcome()).status == "failed"
    BROKEN.clear()
    DONE.clear()
    return handle


def refused(what: str) -> Any:
    return pytest.raises(RipresaError, match=what)


@pytest.mark.parametrize("form", TRIPS)
async def test_a_place_after_a_step_that_was_undone_since_is_refused(form: str) -> None:
    async with in_memory() as app:
        handle = await failed(app, TRIPS[form])
        with refused("has been undone since: book") as caught:
            await handle.rollback("book")
        assert caught.value.code == "effects_undecided"
        with refused("has been undone since: book"):
            await handle.rollback("book", again=True)
        for effects in get_args(Effects):
            with refused("has been undone since: book"):
                await handle.fork("book", effects=effects)
        assert DONE == []
        await handle.rollback(1)
        assert await handle.result() == 2
        assert DONE == ["book", "use"], "what was undone may be done again: it is not there"


@pytest.mark.parametrize("form", TRIPS)
async def test_a_fork_takes_over_nothing_that_was_undone(form: str) -> None:
    async with in_memory() as app:
        handle = await failed(app, TRIPS[form])
        for effects in get_args(Effects)[:2]:
            DONE.clear()
            twin = await handle.fork(1, effects=effects)
            assert await twin.result() == 2
            assert DONE == ["book", "use"]
        twin = await handle.fork()
        assert await twin.result() == 2


async def test_a_run_that_was_undone_is_forked_from_a_place_before_that_only() -> None:
    BROKEN.clear()
    async with in_memory() as app:
        handle = await app.start(TRIPS["chain"](2))
        await handle.result()
        await handle.undo()
        DONE.clear()
        with refused("has been undone since: book"):
            await handle.fork("book", effects="reuse")
        twin = await handle.fork(1, effects="reuse")
        assert await twin.result() == 2
        assert DONE == ["book"], "what used it is given the same, and has not been undone"


async def test_what_was_undone_is_known_in_history_too() -> None:
    async with in_memory() as app:
        handle = await failed(app, TRIPS["chain"])
        places = {place.name: place.seq for place in await handle.checkpoints()}
        await handle.rollback(1)
        await handle.result()
        with refused("has been undone since: book"):
            await handle.rollback(places["book"], again=True)
        with refused("has been undone since: book"):
            await handle.fork(places["book"])
        with refused("would be done again: book"):
            await handle.rollback(1)
        with refused("would again: book"):
            await handle.fork(1, fresh=True)
        await handle.rollback(1, again=True)
        assert await handle.result() == 2


async def test_a_flow_that_is_undone_as_a_whole_takes_its_steps_back() -> None:
    @step
    async def refund(seats: int) -> None:
        DONE.append("refund")

    bought = chain(book, name="buying").then(mail)
    flow = chain(str_of, name="shop").then(int_of).then(bought, undo=refund).then(use)
    async with in_memory() as app:
        handle = await failed(app, flow)
        view = await handle.status()
        assert (view.undone, view.not_undone) == (["buying"], {}), "that is what its undo is for"
        with refused("has been undone since: buying/book"):
            await handle.rollback("buying/book", again=True)
        with refused("has been undone since: buying"):
            await handle.rollback("buying/mail")
        await handle.rollback("int_of")
        assert await handle.result() == 2
        assert DONE == ["book", "mail", "use"]


@pytest.mark.parametrize("form", ["function", "flow"])
async def test_a_place_within_a_saga_that_was_undone_is_refused(form: str) -> None:
    @workflow
    async def careful(ctx: Context, seats: int) -> int:
        try:
            async with ctx.saga():
                return await use(await book(seats))
        except ConnectionError:
            return 0

    @step
    async def nothing(seats: int) -> int:
        return 0

    flow = careful if form == "function" else chain(fallback(saga(chain(book).then(use)), nothing), name="careful")
    async with in_memory() as app:
        handle = await app.start(flow(2))
        assert await handle.result() == 0
        place = next(place for place in await handle.checkpoints() if "book" in place.name)
        with refused("has been undone since"):
            await handle.rollback(place.seq, again=True)


# --- fresh forks


@step
async def calling(seats: int) -> int:
    return await current().call(mail, seats)


@workflow
async def mailing(ctx: Context, seats: int) -> int:
    return await mail(seats)


CHANGING: dict[str, Any] = {
    "irreversible": chain(mail, name="one"),
    "reversible": chain(book, name="two"),
    "call": chain(calling, name="three"),
    "function": mailing,
}


@pytest.mark.parametrize("form", CHANGING)
async def test_a_fresh_fork_refuses_what_would_be_done_again(form: str) -> None:
    async with in_memory() as app:
        handle = await app.start(CHANGING[form](2))
        await handle.result()
        DONE.clear()
        with refused("would again") as caught:
            await handle.fork(1, fresh=True)
        assert (caught.value.code, DONE) == ("effects_undecided", [])
        twin = await handle.fork(1, fresh=True, effects="again")
        assert await twin.result() == 2
        assert len(DONE) == 1


async def test_a_fresh_fork_with_mended_code_knows_what_the_old_one_did() -> None:
    async with in_memory() as app:

        @workflow(name="mended")
        async def before(ctx: Context, seats: int) -> int:
            await str_of(seats)
            await book(seats)
            return await mail(seats)

        @workflow(name="mended")
        async def after(ctx: Context, seats: int) -> int:
            await str_of(seats)
            return await use(seats)

        BROKEN.clear()
        handle = await app.start(before(2), id="r")
        await handle.result()
        mended = await app.handle("r", after)
        with refused("would again: book, mail"):
            await mended.fork("str_of", fresh=True)
        with refused("would be done again: book, mail"):
            await mended.rollback("str_of")
        twin = await mended.fork("str_of", fresh=True, effects="again")
        assert await twin.result() == 2


# --- forks of failed runs, and what was under way


async def test_a_fork_of_a_failed_run_says_what_becomes_of_what_nothing_can_undo() -> None:
    flow = chain(book, name="whole").then(mail).then(use)
    async with in_memory() as app:
        handle = await failed(app, flow)
        with refused("would again: mail"):
            await handle.fork()
        twin = await handle.fork(effects="reuse")
        assert await twin.result() == 2
        assert DONE == ["book", "use"]
        twin = await handle.fork(effects="again")
        assert await twin.result() == 2
        assert DONE == ["book", "use", "book", "mail", "use"]
        with refused("mail"):
            await twin.rollback(1)


async def test_an_irreversible_step_that_was_under_way_at_a_place_is_not_begun_again_in_silence() -> None:
    gate = asyncio.Event()

    @step(effect="irreversible")
    async def pay(seats: int) -> int:
        DONE.append("pay")
        await gate.wait()
        return seats

    @step
    async def beside(seats: int) -> int:
        while not DONE:
            await turns(1)
        return seats

    @step
    async def after(seats: int) -> int:
        gate.set()
        await turns(3)
        return await use(seats)

    flow = chain(parallel(pay, chain(beside, name="side").then(after)), name="both").then(first)
    async with in_memory() as app:
        handle = await failed(app, flow)
        [place] = [place.seq for place in await handle.checkpoints() if place.name.endswith("beside")]
        with refused("would be done again: .*pay"):
            await handle.rollback(place)
        with refused("would again: .*pay"):
            await handle.fork(place)


async def test_two_undone_steps_and_a_function_within_a_chain() -> None:
    @workflow
    async def inner(ctx: Context, seats: int) -> int:
        return await book(await book(seats))

    flow = chain(inner, name="outer").then(use)
    async with in_memory() as app:
        handle = await failed(app, flow)
        with refused("has been undone since: inner/book, inner/book#2"):
            await handle.rollback("inner/book#2")
        BROKEN.append("broken")
        await handle.rollback(1)
        assert (await handle.outcome()).status == "failed"
        BROKEN.clear()
        await handle.rollback(1)
        assert await handle.result() == 2
        with refused("would be done again: inner/book"):
            await handle.rollback(1)


async def test_code_that_was_mended_before_the_place_cannot_be_taken_back() -> None:
    async with in_memory() as app:

        @workflow(name="mended")
        async def before(ctx: Context, seats: int) -> int:
            return await use(await book(seats))

        @workflow(name="mended")
        async def after(ctx: Context, seats: int) -> int:
            return await use(await mail(seats))

        BROKEN.clear()
        handle = await app.start(before(2), id="r")
        await handle.result()
        with pytest.raises(Nondeterminism):
            await (await app.handle("r", after)).rollback("use")
