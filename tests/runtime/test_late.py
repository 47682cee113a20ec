"""An attempt that was given up and returns after all changes no result, but what it did is known and can be undone."""

import asyncio
from threading import Event
from typing import Any

import pytest

from ripresa import App, Handle, Recorded, Retry, RunCancelled, RunFailed, chain, current, first_success, step
from ripresa.core.events import AttemptLost, LateOutcome, Reconciled

from .stage import in_memory, journal_of, on_clock, turns

UNDONE: list[str | None] = []


@pytest.fixture(autouse=True)
def clean() -> None:
    UNDONE.clear()


def seen(app: App, kind: type) -> asyncio.Event:
    """Set as soon as a run has an event of this kind."""
    found = asyncio.Event()

    def look(recorded: Recorded) -> None:
        if isinstance(recorded.event, kind):
            found.set()

    app.engine.feed.listen(look)
    return found


async def parked(handle: Handle[Any]) -> None:
    while not (await handle.status()).parked:
        await turns(1)


async def test_what_a_thread_did_that_was_left_to_itself_is_undone() -> None:
    gate, recorded = Event(), Event()

    @step(timeout=1, retry=Retry(2, 0))
    def book(what: str) -> str:
        if current().attempt == 1:
            gate.wait(10)
            return "first"
        gate.set()
        recorded.wait(10)
        raise ValueError("the second did not work")

    @book.undo
    async def unbook(booked: str) -> None:
        UNDONE.append(booked)

    async with on_clock() as (app, clock):
        late = seen(app, LateOutcome)
        handle = await app.start(chain(book)("a"))
        await clock.jump()
        await late.wait()
        recorded.set()
        with pytest.raises(RunFailed):
            await handle.result()
    assert UNDONE == ["first"]


async def test_a_parked_step_that_returns_late_needs_nobody() -> None:
    gate = Event()

    @step(timeout=1, effect="irreversible")
    def pay(what: str) -> str:
        gate.wait(10)
        return f"{what}!"

    async with on_clock() as (app, clock):
        handle = await app.start(chain(pay)("a"))
        await clock.jump()
        await parked(handle)
        gate.set()
        assert await handle.result() == "a!"
        said = [event.by for event in await journal_of(handle) if isinstance(event, Reconciled)]
    assert said == ["late report"]


@pytest.mark.parametrize("raises", [False, True], ids=["what it cannot return", "an error"])
async def test_what_a_thread_gives_late_that_is_no_result_says_nothing(raises: bool) -> None:
    gate, done = Event(), Event()

    @step(timeout=1, effect="irreversible")
    def pay(what: str) -> str:
        gate.wait(10)
        done.set()
        if raises:
            raise ValueError(what)
        return 5  # type: ignore[return-value] # pyright: ignore[reportReturnType]

    async with on_clock() as (app, clock):
        handle = await app.start(chain(pay)("a"))
        await clock.jump()
        await parked(handle)
        gate.set()
        await asyncio.to_thread(done.wait)
        await asyncio.sleep(0.01)
        assert (await handle.status()).parked == ["pay"]


async def test_what_a_loser_did_that_did_not_stop_can_be_undone_later() -> None:
    entered, release = asyncio.Event(), asyncio.Event()

    @step
    async def book(what: str) -> str:
        entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await release.wait()
        return "late"

    @book.undo
    async def unbook(booked: str) -> None:
        UNDONE.append(booked)

    @step
    async def quick(what: str) -> str:
        await entered.wait()
        return "quick"

    @step
    async def hold(what: str) -> str:
        release.set()
        await late.wait()
        return what

    async with in_memory() as app:
        late = seen(app, LateOutcome)
        handle = await app.start(chain(first_success(book, quick)).then(hold)("a"))
        assert await handle.result() == "quick"
        assert list((await handle.status()).not_undone) == ["first_success/book"]
        assert (await handle.undo()).complete
    assert UNDONE == ["late"]


async def test_an_attempt_that_held_the_runs_own_task_may_return_late_too() -> None:
    entered, release = asyncio.Event(), asyncio.Event()

    @step
    async def book(what: str) -> str:
        entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await release.wait()
        return "late"

    @book.undo
    async def unbook(booked: str | None, what: str) -> None:
        release.set()
        await late.wait()
        UNDONE.append(booked)

    async with in_memory() as app:
        lost, late = seen(app, AttemptLost), seen(app, LateOutcome)
        handle = await app.start(chain(book)("a"))
        await entered.wait()
        await handle.cancel()
        await lost.wait()
        with pytest.raises(RunCancelled):
            await handle.result()
    assert UNDONE == [None]


@pytest.mark.parametrize("resumed", [False, True])
async def test_what_a_thread_did_after_its_undo_and_the_end_of_the_run_is_known_and_undone(resumed: bool) -> None:
    gate, keys, fixed = Event(), list[str](), list[str]()

    @step(timeout=1)
    def book(what: str) -> str:
        if not fixed:
            gate.wait(10)
        return what * 5000

    @book.undo
    async def unbook(booked: str | None, what: str) -> None:
        UNDONE.append(None if booked is None else booked[:3])
        keys.append(current().idempotency_key)

    @step
    async def use(text: str) -> str:
        return text[:1]

    flow = chain(book, name="late").then(use)
    async with on_clock() as (app, clock):
        handle = await app.start(flow("a"), id="r")
        await clock.jump()
        assert (await handle.outcome()).status == "failed"
        assert UNDONE == [None]
        if resumed:
            fixed.append("now")
            assert await (await app.resume("r", flow)).result() == "a"
        late = seen(app, LateOutcome)
        gate.set()
        await late.wait()
        while app.engine.late._tasks:  # pyright: ignore[reportPrivateUsage]
            await turns(1)
        view = await handle.status()
        assert view.status == ("completed" if resumed else "failed")
        assert view.not_undone["book"].code == "late_outcome"
        report = await handle.undo()
        assert (dict(report.failed), UNDONE) == ({}, [None, *(["aaa"] if resumed else []), "aaa"])
        assert (keys[0], "r/book/undo:unbook#2" in keys) == ("r/book/undo:unbook", True)
        assert (await handle.status()).not_undone == {}
