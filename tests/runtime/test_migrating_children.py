"""Runs that a migrated run had started keep their ids, their parent and their ends, and nothing is sent twice."""

from collections.abc import Callable
from typing import Any

import pytest

from ripresa import (
    App,
    Context,
    Handle,
    Migration,
    RunFailed,
    RunForm,
    Signal,
    chain,
    migration,
    step,
    workflow,
)
from ripresa.core.events import AnswerFailed, ChildEnded, Dispatched, StepReused
from ripresa.core.replay import lineage
from ripresa.errors import RipresaError
from ripresa.stores.memory import Memory
from tests.runtime.stage import Tally, in_memory, turns

GO = Signal("go", int)
UP = Migration("parent", "1", "2")
DONE: list[str] = []


@pytest.fixture(autouse=True)
def clean() -> None:
    DONE.clear()


@step
async def inc(value: int) -> int:
    DONE.append("inc")
    return value + 1


@workflow(name="child")
async def child(ctx: Context, value: int) -> int:
    return await inc(value) + await ctx.wait_for(GO)


@workflow(name="quick")
async def quick(ctx: Context, value: int) -> int:
    return await inc(value)


def version(number: str, body: Callable[[Context, int, str], Any]) -> Any:
    """A version of the parent; what it does differently is in the body."""

    @workflow(name="parent", version=number)
    async def parent(ctx: Context, value: int) -> Any:
        return await body(ctx, value, number)

    return parent


async def waits(ctx: Context, value: int, number: str) -> int:
    begun = await ctx.start(child(value), on_close="cancel")
    found = await begun.result()
    return found if number == "1" else await inc(found)


async def until(condition: Callable[[], Any]) -> None:
    while not await condition():
        await turns(1)


async def events(app: App, run: str = "p") -> list[Any]:
    return [item.event for item in lineage(list(await app.engine.history(run)))]


async def children(app: App) -> list[str]:
    return sorted(head.id for head in (await app.runs(tag="parent:p")).runs)


async def waiting(app: App, handle: Handle[Any]) -> None:
    """Until the run waits for one that it started, which waits for its signal."""
    while not [run for run in await children(app) if (await (await app.handle(run)).status()).waits]:
        await turns(1)
    assert (await handle.status()).awaited


async def test_a_child_that_is_waited_for_is_not_started_again_and_its_end_is_heard() -> None:
    memory, both = Memory(), {number: version(number, waits) for number in "12"}
    async with in_memory(memory, workflows=[child]) as app:
        handle = await app.start(both["1"](1), id="p")
        await waiting(app, handle)
        before = await children(app)
        view = await handle.status()
    async with in_memory(memory, workflows=[child], migrations=[UP]) as app:
        dry = await app.migrate("p", both["2"], dry_run=True)
        assert dry.taken == ("child",)
        assert [run.verdict for run in await app.plan(both["2"])] == ["migrate"]
        assert (await app.migrate("p", both["2"])).taken == dry.taken
        handle = await app.resume("p", both["2"])
        assert {**(await handle.status()).children} == view.children
        assert ((await handle.status()).sent, (await handle.status()).awaited) == (1, view.awaited)
        assert (await (await app.handle(before[0])).status()).parent == "p"
        await (await app.resume(before[0], child)).send(GO, 5)
        assert (await handle.result(), DONE) == (8, ["inc", "inc"])
        assert await children(app) == before
        assert not await app.store.outgoing_of("p")


async def test_a_child_that_has_ended_is_not_asked_again_even_if_nobody_knows_it_any_more() -> None:
    memory, tally = Memory(), Tally()

    @step(name="hold")
    async def hold(value: int) -> int:
        await tally.visit()
        return value

    async def body(ctx: Context, value: int, number: str) -> list[int]:
        first, second = await ctx.start(quick(value), id="a"), await ctx.start(quick(value + 10), id="b")
        if number == "1":
            return [await first.result(), await second.result(), await hold(0)]
        return [await second.result(), await first.result(), await hold(0)]

    both = {number: version(number, body) for number in "12"}
    async with in_memory(memory, workflows=[quick]) as app:
        await app.start(both["1"](1), id="p")
        await tally.reach(1)
    for run in ("a", "b"):
        del memory.runs[run]
    tally.open()
    async with in_memory(memory, migrations=[UP]) as app:
        report = await app.migrate("p", both["2"])
        assert report.ahead == ("hold",)
        assert [event.run for event in await events(app) if isinstance(event, ChildEnded)] == ["b", "a"]
        handle = await app.resume("p", both["2"])
        assert await handle.result() == [12, 2, 0]
        assert (await handle.status()).children == {"a": "completed", "b": "completed"}


async def test_an_end_that_the_new_version_comes_to_later_is_known_still() -> None:
    memory, tally = Memory(), Tally()

    @step(name="hold")
    async def hold(value: int) -> int:
        await tally.visit()
        return value

    async def body(ctx: Context, value: int, number: str) -> list[int]:
        if number == "2":
            await inc(value)
        begun = await ctx.start(quick(value), on_close="terminate")
        return [await begun.result(), await hold(0)]

    both = {number: version(number, body) for number in "12"}
    async with in_memory(memory, workflows=[quick]) as app:
        await app.start(both["1"](1), id="p")
        await tally.reach(1)
        [run] = await children(app)
    del memory.runs[run]
    tally.open()
    async with in_memory(memory, migrations=[UP]) as app:
        report = await app.migrate("p", both["2"])
        assert (report.taken, report.ahead) == ((), ("inc",))
        assert report.unused == ("quick",)
        assert await (await app.resume("p", both["2"])).result() == [2, 0]
        assert not [event for event in await events(app) if isinstance(event, Dispatched) and not event.again]


async def test_a_child_whose_place_is_gone_is_still_closed_with_its_parent() -> None:
    memory = Memory()

    async def body(ctx: Context, value: int, number: str) -> int:
        return await waits(ctx, value, number) if number == "1" else await inc(value)

    both = {number: version(number, body) for number in "12"}
    async with in_memory(memory, workflows=[child]) as app:
        await waiting(app, await app.start(both["1"](1), id="p"))
        [run] = await children(app)
    async with in_memory(memory, workflows=[child], migrations=[UP]) as app:
        await app.migrate("p", both["2"])
        started = await app.resume(run, child)
        handle = await app.resume("p", both["2"])
        assert await handle.result() == 2
        assert (await started.outcome()).status == "cancelled"
        assert (await handle.status()).children == {run: "started"}


async def test_a_signal_to_somebody_else_at_the_place_of_one_is_refused_until_a_migration_forgets_it() -> None:
    memory = Memory()

    async def body(ctx: Context, value: int, number: str) -> int:
        await ctx.send("a" if number == "1" else "b", GO, value)
        return await ctx.wait_for(GO)

    @migration("parent", from_="1", to="2")
    def forgets(form: RunForm) -> None:
        assert form.sent == {"send_go": "send_go"}
        form.forget("send_go")

    both = {number: version(number, body) for number in "12"}
    async with in_memory(memory) as app:
        for run in "ab":
            await app.start(child(1), id=run)
        handle = await app.start(both["1"](7), id="p")
        while not (await handle.status()).waits:
            await turns(1)
    async with in_memory(memory, migrations=[UP]) as app:
        with pytest.raises(RipresaError, match=r"did signal 'a', .* wants to signal 'b'") as caught:
            await app.migrate("p", both["2"])
        assert (caught.value.code, caught.value.where) == ("migration_failed", "send_go")
        assert "forget" in str(caught.value)
        [planned] = await app.plan(both["2"])
        assert (planned.verdict, "send_go" in planned.why) == ("blocked", True)
    async with in_memory(memory, workflows=[child], migrations=[forgets]) as app:
        await app.migrate("p", both["2"])
        handle = await app.resume("p", both["2"])
        await handle.send(GO, 1)
        assert await handle.result() == 1
        assert await (await app.resume("b", child)).result() == 9
        assert await (await app.resume("a", child)).result() == 9


async def test_a_child_that_a_migration_forgets_is_left_to_itself_and_another_is_started() -> None:
    memory, both = Memory(), {number: version(number, waits) for number in "12"}
    async with in_memory(memory, workflows=[child]) as app:
        await waiting(app, await app.start(both["1"](1), id="p"))
        [run] = await children(app)

    @migration("parent", from_="1", to="2")
    def forgets(form: RunForm) -> None:
        form.forget("child")

    async with in_memory(memory, workflows=[child], migrations=[forgets]) as app:
        assert (await app.migrate("p", both["2"])).taken == ()
        handle = await app.resume("p", both["2"])
        while len(await children(app)) < 2:
            await turns(1)
        [other] = {*await children(app)} - {run}
        await (await app.resume(other, child)).send(GO, 5)
        assert await handle.result() == 8
        assert (await (await app.resume(run, child)).outcome()).status == "cancelled"


async def test_a_child_follows_its_renamed_place_and_signals_are_sent_once() -> None:
    memory = Memory()

    async def body(ctx: Context, value: int, number: str) -> int:
        first = [await ctx.start(child(value), id="new")] if number == "2" else []
        begun = await ctx.start(child(value), id="c")
        await begun.send(GO, 4)
        for each in first:
            await each.send(GO, 5)
        return await ctx.wait_for(GO) + await begun.result()

    @migration("parent", from_="1", to="2")
    def up(form: RunForm) -> None:
        form.rename("child", "child#2")

    both = {number: version(number, body) for number in "12"}
    async with in_memory(memory, workflows=[child]) as app:
        handle = await app.start(both["1"](1), id="p")
        while not (await handle.status()).waits:
            await turns(1)
    async with in_memory(memory, workflows=[child], migrations=[up]) as app:
        report = await app.migrate("p", both["2"])
        assert report.taken == ("child#2", "send_go")
        handle = await app.resume("p", both["2"])
        await handle.send(GO, 10)
        assert await handle.result() == 16
        sent = [event.target for event in await events(app) if isinstance(event, Dispatched) and not event.again]
        assert sent == ["new", "new"]


async def test_a_failure_of_a_child_stands_if_it_was_dealt_with_and_is_looked_at_anew_if_not() -> None:
    memory, tally = Memory(), Tally()
    fails = [True]

    @step(name="may")
    async def may(value: int) -> int:
        if fails:
            raise ValueError("no")
        return value

    @step(name="hold")
    async def hold(value: int) -> int:
        await tally.visit()
        return value

    flow = chain(may, name="may")

    async def caught(ctx: Context, value: int, number: str) -> int:
        try:
            return await (await ctx.start(flow(value), id="c")).result()
        except RunFailed:
            return await hold(-1)

    async def plain(ctx: Context, value: int, number: str) -> int:
        return await (await ctx.start(flow(value), id="d")).result()

    async with in_memory(memory, workflows=[flow]) as app:
        await app.start(version("1", caught)(1), id="p")
        await tally.reach(1)
        await (await app.start(version("1", plain)(1), id="q")).outcome()
    fails.clear()
    tally.open()
    async with in_memory(memory, workflows=[flow], migrations=[UP]) as app:
        for run in "cd":
            await (await app.resume(run, flow)).result()
        assert (await app.migrate("p", version("2", caught))).ahead == ("hold",)
        assert await (await app.resume("p", version("2", caught))).result() == -1
        await app.migrate("q", version("2", plain))
        assert await (await app.resume("q", version("2", plain))).result() == 1


async def test_a_child_that_is_migrated_itself_tells_its_parent_how_it_ends() -> None:
    memory = Memory()

    @workflow(name="child", version="2")
    async def longer(ctx: Context, value: int) -> int:
        return await inc(await inc(value) + await ctx.wait_for(GO))

    async with in_memory(memory, workflows=[child]) as app:
        await waiting(app, await app.start(version("1", waits)(1), id="p"))
        [run] = await children(app)
    async with in_memory(memory, workflows=[longer], migrations=[Migration("child", "1", "2")]) as app:
        await app.migrate(run, longer)
        assert (await (await app.handle(run)).status()).parent == "p"
        handle = await app.resume("p", version("1", waits))
        await (await app.resume(run, longer)).send(GO, 5)
        assert await handle.result() == 8


async def test_a_run_that_was_rolled_back_after_its_migration_starts_another_child() -> None:
    memory, both = Memory(), {number: version(number, waits) for number in "12"}
    async with in_memory(memory, workflows=[child]) as app:
        await waiting(app, await app.start(both["1"](1), id="p"))
        [run] = await children(app)
    async with in_memory(memory, workflows=[child], migrations=[UP]) as app:
        await app.migrate("p", both["2"])
        handle = await app.resume("p", both["2"])
        place = 1 + next(item.seq for item in await app.engine.history("p") if type(item.event).__name__ == "Migrated")
        await handle.rollback(place)
        while len(await children(app)) < 2:
            await turns(1)
        assert run in await children(app)
        assert not [event for event in await events(app) if isinstance(event, AnswerFailed | StepReused)]
        await handle.cancel()
