"""What readers see of hooks: what they answered, whom a run waits for, and what only counts as undone."""

import asyncio
from typing import Any

import pytest

from ripresa import (
    App,
    BeforeStep,
    Call,
    Context,
    Graph,
    Hook,
    Replace,
    Skip,
    UndoStarting,
    Veto,
    after,
    before,
    chain,
    intercept,
    step,
    workflow,
)
from ripresa.cli.listing import told_undoing
from ripresa.cli.plain import run_plain
from ripresa.core.codec import decode_events
from ripresa.core.events import HookAwaited
from ripresa.core.seen import HookAnswer, HookWait
from ripresa.core.values import text_of
from ripresa.ports import Batch, Store
from ripresa.runtime.undoing import report_of
from ripresa.stores.memory import Memory, MemoryStore
from tests.runtime.stage import Wrapped, in_memory, journal_of, on_clock, turns


@step
async def double(value: int) -> int:
    return value * 2


def forms(step: Any) -> dict[str, Call[int]]:
    g = Graph("graph", input=int)
    graph = g.returns(g.add(step(g.input)).out)

    @workflow
    async def function(ctx: Context, value: int) -> int:
        found: int = await step(value)
        return found

    return {"chain": chain(step)(3), "graph": graph(3), "function": function(3)}


FORMS = ("chain", "graph", "function")


@pytest.mark.parametrize("form", FORMS)
async def test_what_hooks_answered_is_seen_by_step(form: str) -> None:
    @before("double")
    def given(asked: BeforeStep) -> Replace:
        return Replace(5)

    @after("double")
    def kept(asked: Any) -> None:
        return None

    async with in_memory(hooks=[given, kept]) as app:
        handle = await app.start(forms(double)[form])
        assert await handle.result() == 10
        view = await handle.status()
    assert [(one.path, one.point, one.answer, one.hook) for one in view.answers] == [
        ("double", "before", "replace", "given")
    ]
    shown = run_plain(view, text_of)
    assert [one["hook"] for one in shown["steps"][0]["hooks"]] == [one["hook"] for one in shown["hooks"]] == ["given"]


async def test_why_a_hook_forbids_a_step_is_seen() -> None:
    @before("double")
    def guard(asked: BeforeStep) -> Veto:
        return Veto("not today")

    async with in_memory(hooks=[guard]) as app:
        handle = await app.start(chain(double)(1))
        await handle.outcome()
        (answer,) = (await handle.status()).answers
    assert answer == HookAnswer("double", "before", "veto", "guard", "not today", answer.at)


@pytest.mark.parametrize("form", FORMS)
async def test_a_run_says_which_hook_it_waits_for_and_since_when(form: str) -> None:
    memory, answer = Memory(), asyncio.Event()

    @before("double", timeout="1 hour")
    async def asks_bob(asked: BeforeStep) -> Replace:
        await answer.wait()
        return Replace(4)

    async with on_clock(memory, hooks=[asks_bob]) as (app, clock):
        handle = await app.start(forms(double)[form], id="r")
        await turns(20)
        since = clock.now()
        assert (await handle.status()).asked == {}  # it may answer yet, and then costs nothing
        clock.advance(2)
        while not (view := await handle.status()).asked:
            await turns(1)
        assert view.asked == {"double": HookWait("double", "before", "asks_bob", since)}
        assert [each["hook"] for each in run_plain(view, text_of)["asked"]] == ["asks_bob"]
        async with in_memory(memory) as other:
            assert (await (await other.handle("r")).status()).asked == view.asked
        answer.set()
        assert await handle.result() == 8
        assert (await handle.status()).asked == {}
        noted = [event for event in await journal_of(handle) if isinstance(event, HookAwaited)]
    assert [(event.path, event.since) for event in noted] == [("double", since)]


async def test_a_run_that_is_cancelled_waits_for_its_hook_no_longer() -> None:
    @before("double", timeout="1 hour")
    async def asks_bob(asked: BeforeStep) -> None:
        await asyncio.Event().wait()

    async with on_clock(hooks=[asks_bob]) as (app, clock):
        handle = await app.start(chain(double)(1))
        await turns(20)
        clock.advance(2)
        while not (await handle.status()).asked:
            await turns(1)
        await handle.cancel()
        await handle.outcome()
        assert (await handle.status()).asked == {}


# --- what only counts as undone


@step(effect="reversible")
async def book(value: int) -> int:
    return value


@book.undo
async def unbook(value: int) -> None:
    raise AssertionError("a hook says that it counts as undone")


@step
async def broken(value: int) -> int:
    raise ValueError("no")


@intercept("compensation")
def by_hand(asked: UndoStarting) -> Skip:
    return Skip()


@pytest.mark.parametrize("form", FORMS)
async def test_what_only_counts_as_undone_is_told_apart(form: str) -> None:
    g = Graph("graph", input=int)
    graph = g.returns(g.add(broken(g.add(book(g.input)).out)).out)

    @workflow
    async def function(ctx: Context, value: int) -> int:
        return await broken(await book(value))

    calls: dict[str, Call[int]] = {"chain": chain(book).then(broken)(1), "graph": graph(1), "function": function(1)}
    async with in_memory(hooks=[by_hand]) as app:
        handle = await app.start(calls[form])
        await handle.outcome()
        view = await handle.status()
    assert (view.undone, view.undo_skipped) == (["book"], {"book": "by_hand"})
    assert run_plain(view, text_of)["undo_skipped"] == {"book": "by_hand"}
    assert [*told_undoing(view.undone, view.not_undone, view.undo_skipped)] == [
        "undone: book (skipped: a hook says that it counts as undone)"
    ]


async def test_the_report_of_an_undo_names_what_only_counts_as_undone() -> None:
    async with in_memory(hooks=[by_hand]) as app:
        handle = await app.start(chain(book)(1))
        await handle.result()
        report = await handle.undo()
        assert (report.undone, report.skipped, report.complete) == (("book",), ("book",), True)
        assert report_of(await app.engine.history(handle.id)) == report


async def test_what_was_undone_has_not_been_skipped() -> None:
    @step(effect="reversible")
    async def rent(value: int) -> int:
        return value

    @rent.undo
    async def give_back(value: int) -> None:
        await asyncio.sleep(0)

    @intercept("compensation", "book")
    def leave_book(asked: UndoStarting) -> Skip:
        return Skip()

    async with App("memory:", hooks=[leave_book]) as app:
        handle = await app.start(chain(rent).then(book).then(rent.with_(name="later"))(1))
        await handle.result()
        report = await handle.undo()
    assert (report.undone, report.skipped) == (("later", "book", "rent"), ("book",))


# --- what an answer costs


class Counted(Wrapped):
    """Knows which events became durable together."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.batches: list[list[str]] = []

    async def append(self, batch: Batch) -> None:
        await self.inner.append(batch)
        self.batches.append([type(item.event).__name__ for item in decode_events(batch.row, batch.run)])


async def at_once(asked: object) -> None: ...


def in_a_breath(asked: object) -> None: ...


@pytest.mark.parametrize(
    ("hooks", "more"),
    [
        ([before("double")(in_a_breath), after("double")(in_a_breath)], 0),
        ([before("double")(at_once)], 2),
        ([before("double")(at_once), before("double")(in_a_breath), before("double")(at_once)], 2),
        ([before("double")(at_once), after("double")(at_once)], 4),
    ],
)
async def test_a_point_with_an_async_interceptor_costs_one_commit_and_one_without_costs_none(
    hooks: list[Hook], more: int
) -> None:
    found: list[list[list[str]]] = []
    for standing in ([], hooks):
        store = Counted(MemoryStore())
        async with App(store, hooks=standing) as app:
            assert await app.run(chain(double).then(double)(1)) == 4
        found.append(store.batches)
    assert len(found[1]) == len(found[0]) + more
    answered = [batch for batch in found[1] if "Intercepted" in batch and more]
    assert all(batch[0] == "Intercepted" for batch in answered)  # with what follows from it, not with what led to it
