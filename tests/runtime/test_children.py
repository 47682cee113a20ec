"""Runs that durable functions start: once, by the outbox; their ends are waited for; what becomes of them."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ripresa import (
    App,
    Child,
    Context,
    Graph,
    InvalidConfig,
    RunCancelled,
    RunFailed,
    Signal,
    chain,
    current,
    delay,
    step,
    workflow,
)
from ripresa.core.commands import LookUp
from ripresa.core.events import ChildAwaited, ChildEnded, Dispatched
from ripresa.errors import InvalidValue, RipresaError, StoreError
from ripresa.ports import NEVER, Store
from ripresa.runtime import family
from ripresa.runtime.engine import Start
from ripresa.stores.memory import Memory, MemoryStore
from ripresa.stores.sqlite import SQLiteStore
from ripresa.testing.clock import START

from .stage import Tally, in_memory, journal_of, on_clock, turns

GO = Signal("go", int)


@pytest.fixture(params=["memory", "sqlite"])
async def app(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[App]:
    store: Store = MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "runs.db", "normal")
    async with App(store, patience=0.05) as app:
        yield app


@step
async def double(number: int) -> int:
    return 2 * number


@step
async def broken(number: int) -> int:
    raise ValueError(f"no {number}")


@workflow
async def listener(ctx: Context, number: int) -> int:
    return number + await ctx.wait_for(GO)


@workflow
async def both(ctx: Context, number: int) -> list[int]:
    first = await ctx.start(chain(double)(number))
    second = await ctx.start(double(number + 1), id="second")
    return [*(await ctx.gather(first.result(), second.result())), await first.result()]


async def test_children_are_runs_of_their_own_whose_results_are_awaited(app: App) -> None:
    handle = await app.start(both(3), id="p")
    assert await handle.result() == [6, 8, 6]
    view = await handle.status()
    assert set(view.children.values()) == {"completed"}
    assert "second" in view.children
    for child in view.children:
        assert (await (await app.handle(child)).status()).parent == "p"
    page = await app.runs(tag="parent:p")
    assert {head.id for head in page.runs} == set(view.children)
    kinds = [type(event) for event in await journal_of(handle)]
    assert kinds.count(Dispatched) == 2
    assert kinds.count(ChildAwaited) == kinds.count(ChildEnded) == 2


@workflow
async def leaves(ctx: Context, count: int) -> list[str]:
    return [(await ctx.start(double(number))).id for number in range(count)]


async def test_many_instances_without_synchronisation_go_on_after_their_parent(app: App) -> None:
    children = await app.run(leaves(20))
    results = [await (await app.handle(child)).result() for child in await begun(app, children)]
    assert results == [2 * number for number in range(20)]


async def begun(app: App, children: list[str]) -> list[str]:
    for child in children:
        while await app.store.find_run(child) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    return children


@workflow
async def talks(ctx: Context) -> int:
    child = await ctx.start(listener(1), id="child")
    await child.send(GO, 4)
    wrong: Any = "four"
    with pytest.raises(InvalidValue):
        await child.send(GO, wrong)
    return await child.result()


async def test_a_child_is_sent_signals(app: App) -> None:
    assert await app.run(talks()) == 5


@workflow
async def tells(ctx: Context, run: str) -> None:
    await ctx.send(run, GO, 7, id="once")
    await ctx.send(run, GO, 8, id="once")
    with pytest.raises(InvalidValue):
        await ctx.send("", GO, 8)


async def test_a_function_sends_signals_to_any_run(app: App) -> None:
    other = await app.start(listener(1), id="other")
    await app.run(tells("other"))
    assert await other.result() == 8


@workflow
async def stops(ctx: Context, how: str) -> str:
    child = await ctx.start(listener(1), id="child")
    await (child.cancel("enough") if how == "cancelled" else child.terminate("enough"))
    try:
        await child.result()
    except RunCancelled as error:
        return f"{error.code} {error.run}: {error.message}"
    return "it went on"


@pytest.mark.parametrize("how", ["cancelled", "terminated"])
async def test_a_child_is_stopped_and_its_parent_hears_so(app: App, how: str) -> None:
    assert await app.run(stops(how)) == f"{how} child: run 'child' was {how}: enough"
    assert (await (await app.handle("child")).status()).status == how


@workflow
async def survives(ctx: Context, number: int) -> str:
    child = await ctx.start(broken(number), id="child")
    try:
        await child.result()
    except RunFailed as error:
        return f"{error.run} {type(error.__cause__).__name__} {error.__cause__}"
    return "it did not fail"


async def test_a_failed_child_raises_with_the_steps_own_error(app: App) -> None:
    assert await app.run(survives(3)) == "child ValueError no 3"


@workflow
async def relies(ctx: Context, number: int) -> int:
    child = await ctx.start(mendable(number), id="child")
    return await child.result()


MENDED: list[int] = []


@step
async def mendable(number: int) -> int:
    if not MENDED:
        raise ValueError("not yet")
    return number


async def test_a_parent_goes_on_with_a_child_that_was_mended(app: App) -> None:
    MENDED.clear()
    handle = await app.start(relies(3), id="p")
    with pytest.raises(RunFailed, match="run 'child' failed") as caught:
        await handle.result()
    assert isinstance(caught.value.__cause__, RipresaError)
    assert caught.value.hint == "mend the cause, then: ripresa resume child, then: ripresa resume p"
    MENDED.append(1)
    assert await (await app.resume("child", runnable(mendable))).result() == 3
    assert await (await app.resume("p", relies)).result() == 3


def runnable(callee: Any) -> Any:
    from ripresa.authoring.single import runnable_of

    return runnable_of(callee)


@workflow
async def closes(ctx: Context, how: Any) -> str:
    child = await ctx.start(listener(1), id="child", on_close=how)
    await ctx.wait_for(GO)
    return child.id


@pytest.mark.parametrize(("how", "end"), [("abandon", "running"), ("cancel", "cancelled"), ("terminate", "terminated")])
@pytest.mark.parametrize("ends", ["completes", "is cancelled", "is terminated"])
async def test_what_becomes_of_a_child_when_its_parent_ends(app: App, how: str, end: str, ends: str) -> None:
    handle = await app.start(closes(how), id="p")
    await begun(app, ["child"])
    child = await app.handle("child")
    if ends == "completes":
        await handle.send(GO, 1)
        await handle.result()
    else:
        await (handle.cancel() if ends == "is cancelled" else handle.terminate())
        with pytest.raises(RunCancelled):
            await handle.result()
    while any(each.due < NEVER for each in await app.store.outgoing_of("p")):  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    if how == "abandon":
        await child.send(GO, 1)
        assert await child.result() == 2
    else:
        with pytest.raises(RunCancelled, match="which started it"):
            await child.result()
    assert (await child.status()).status == ("completed" if how == "abandon" else end)


@workflow
async def closes_later(ctx: Context) -> str:
    await double(1)
    child = await ctx.start(listener(1), on_close="cancel")
    await ctx.wait_for(GO)
    return child.id


async def listed(app: App, count: int) -> set[str]:
    while len(found := {head.id for head in (await app.runs(tag="parent:p")).runs}) < count:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    return found


async def test_a_rolled_back_run_still_closes_the_children_that_it_began_after_the_place(app: App) -> None:
    handle = await app.start(closes_later(), id="p")
    for count in (1, 2, 3):
        children = await listed(app, count)
        if count < 3:
            await handle.rollback("double")
    assert set((await handle.status()).children) == children
    await handle.cancel()
    for child in children:
        with pytest.raises(RunCancelled, match="which started it"):
            await (await app.handle(child)).result()


@workflow(timeout=60)
async def in_time(ctx: Context, how: Any) -> int:
    child = await ctx.start(listener(1), id="child", on_close=how)
    return await child.result()


@step
async def reads_deadline(number: int) -> int:
    due = current().deadline
    return 0 if due is None else round(due.timestamp() * 1_000_000)


@workflow
async def asks_deadline(ctx: Context) -> int:
    return await (await ctx.start(chain(reads_deadline)(1), on_close="terminate")).result()


@pytest.mark.parametrize("how", ["abandon", "cancel", "terminate"])
@pytest.mark.parametrize("within", ["itself", "a chain", "a function"])
async def test_a_child_that_is_not_to_outlive_its_parent_has_its_deadline(how: Any, within: str) -> None:
    flows: dict[str, Any] = {"itself": in_time, "a chain": chain(in_time), "a function": around}
    async with on_clock() as (app, clock):
        handle = await app.start(flows[within](how), id="p", timeout=90)
        await begun(app, ["child"])
        child = await app.handle("child")
        due = (await child.status()).deadline
        whole = 90 if within == "itself" else 60
        assert due == (0 if how == "abandon" else START + whole * 1_000_000)
        clock.advance(89)
        await turns(20)
        if how == "abandon":
            await child.send(GO, 1)
            assert await child.result() == 2
        clock.advance(2)
        with pytest.raises(RunFailed, match="no time left"):
            await handle.result()
        assert (await child.outcome()).status in (
            ("completed",) if how == "abandon" else ("failed", "cancelled", "terminated")
        )


async def test_a_child_knows_the_deadline_of_who_started_it_and_one_without_has_none() -> None:
    async with on_clock() as (app, _):
        assert await app.run(asks_deadline()) == 0
        assert await app.run(asks_deadline(), timeout=30) == START + 30_000_000
        own = Start(chain(double), b"1", timeout=5, deadline=START + 1)
        assert (own.due(START), own.due(START + 7), Start(chain(double), b"1").due(START)) == (START + 1, START + 8, 0)


@workflow
async def around(ctx: Context, how: Any) -> int:
    return await in_time(how)


async def test_an_unknown_way_to_close_and_a_bad_id_are_refused(app: App) -> None:
    with pytest.raises(RunFailed, match="on_close is 'forget'") as caught:
        await app.run(closes("forget"))
    assert caught.value.failure.code == "invalid_config"


@workflow
async def strange(ctx: Context) -> list[str]:
    errors: list[str] = []

    async def plain() -> int:
        return 1

    wrong: Any = "x"
    for call, id in ((plain(), ""), (double(wrong), ""), (double(1), " ")):
        try:
            await ctx.start(call, id=id)
        except (RipresaError, InvalidConfig) as error:
            errors.append(error.code)
    return errors


async def test_what_cannot_be_started_raises_where_it_is_asked_for(app: App) -> None:
    assert await app.run(strange()) == ["usage", "invalid_input", "invalid_config"]


@workflow
async def takes_an_id(ctx: Context) -> int:
    return await (await ctx.start(double(1), id="taken")).result()


async def test_a_child_that_cannot_be_started_fails_for_its_parent(app: App) -> None:
    await app.run(double(2), id="taken")
    with pytest.raises(RunFailed, match="run 'taken' could not be started: RunExists") as caught:
        await app.run(takes_an_id(), id="p")
    assert caught.value.failure.code == "run_failed"
    [left] = await app.store.outgoing_of("p")
    assert left.due == NEVER


async def test_a_run_of_somebody_else_is_not_taken_for_a_child(app: App) -> None:
    await app.run(double(1), id="taken")
    with pytest.raises(RunFailed, match="was not started by run 'p'"):
        await app.run(takes_an_id(), id="p")


@workflow
async def late(ctx: Context) -> int:
    child = await ctx.start(double(4), id="child")
    await ctx.wait_for(GO)
    return await child.result()


async def test_a_child_that_ended_long_before_is_found_in_the_store(app: App) -> None:
    handle = await app.start(late(), id="p")
    await begun(app, ["child"])
    await (await app.handle("child")).result()
    while await app.store.outgoing_of("child"):  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    await handle.send(GO, 1)
    assert await handle.result() == 8


async def test_a_parent_that_sleeps_is_woken_by_the_end_of_its_child(tmp_path: Path) -> None:
    async with App(SQLiteStore(tmp_path / "runs.db", "normal"), linger=0.0) as app:
        handle = await app.start(waits_for_one(), id="p")
        child = None
        while child is None or child.status != "waiting":
            await asyncio.sleep(0.001)
            child = await app.store.find_run("child")
        while "p" in app.engine.drivers:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        await (await app.handle("child", listener)).send(GO, 1)
        assert await handle.result() == 2


@workflow
async def waits_for_one(ctx: Context) -> int:
    return await (await ctx.start(listener(1), id="child")).result()


async def test_a_parent_that_was_left_hears_of_the_end_of_its_child() -> None:
    memory = Memory()
    async with in_memory(memory) as app:
        await app.start(waits_for_one(), id="p")
        await begun(app, ["child"])
    async with in_memory(memory) as app:
        child = await app.resume("child", listener)
        await child.send(GO, 4)
        await child.result()
        while await app.store.outgoing_of("child"):
            await turns(1)
    async with in_memory(memory) as app:
        assert await (await app.resume("p", waits_for_one)).result() == 5


async def test_a_child_that_was_pruned_is_not_waited_for() -> None:
    memory = Memory()
    async with in_memory(memory) as app:
        handle = await app.start(late(), id="p")
        await begun(app, ["child"])
        await (await app.handle("child")).result()
        while await app.store.outgoing_of("child"):
            await turns(1)
        await app.select(workflow="double").prune(ended_before=None)
        await handle.send(GO, 1)
        with pytest.raises(RunFailed, match="is not there any more"):
            await handle.result()


async def test_a_fork_does_not_end_the_children_of_the_run_it_comes_from(app: App) -> None:
    handle = await app.start(closes("cancel"), id="p")
    await begun(app, ["child"])
    fork = await handle.fork()
    await fork.send(GO, 1)
    await fork.result()
    child = await app.handle("child")
    await child.send(GO, 1)
    assert await child.result() == 2


async def test_without_an_app_children_run_beside_their_parent() -> None:
    assert (await both(1))[0] == 2


@step
async def starts(number: int) -> str:
    return current().start(double(number), id="child")


async def test_what_a_step_starts_names_its_parent_too(app: App) -> None:
    await app.run(starts(1), id="p")
    await begun(app, ["child"])
    assert (await (await app.handle("child")).status()).parent == "p"
    assert (await (await app.handle("p")).status()).children == {"child": "started"}


async def test_a_child_belongs_to_the_session_of_its_parent(app: App) -> None:
    session = await app.sessions.create(owner="eva")
    await app.run(both(1), id="p", session=session.id)
    head = await app.store.find_run("second")
    assert head is not None
    assert head.session == session.id


STARTED: list[int] = []


@step
async def stuck_at_first(number: int) -> int:
    STARTED.append(number)
    if len(STARTED) == 1:
        await asyncio.Event().wait()
    return number


slow = chain(stuck_at_first, name="slow")


@workflow
async def waits_for_a_slow_one(ctx: Context) -> int:
    return await (await ctx.start(slow(5), id="child")).result()


async def test_who_waits_for_a_run_that_its_process_left_takes_it_up() -> None:
    STARTED.clear()
    memory = Memory()
    async with in_memory(memory) as app:
        await app.start(waits_for_a_slow_one(), id="p")
        while not STARTED:
            await turns(1)
    async with App(MemoryStore(memory), workflows=[slow]) as app:
        assert await (await app.resume("p", waits_for_a_slow_one)).result() == 5


async def test_tags_that_say_who_started_a_run_are_ripresas_own(app: App) -> None:
    with pytest.raises(InvalidConfig, match="'parent:'"):
        await app.start(double(1), tags=["parent:p"])


async def test_what_is_told_twice_or_to_nobody_changes_nothing(app: App) -> None:
    handle = await app.start(waits_for_one(), id="p")
    await begun(app, ["child"])
    body = family.encode_end("other", "completed", b"1", None)
    for run in ("p", "p", "nobody"):
        await family.tell_end(app.engine, run, body, "twice")
    await (await app.handle("child")).send(GO, 1)
    assert await handle.result() == 2
    await family.tell_end(app.engine, "p", body, "late")
    assert not await app.store.pending(["p"])


async def test_a_step_that_starts_a_run_is_not_told_that_it_could_not_be(app: App) -> None:
    await app.run(double(7), id="child")
    handle = await app.start(starts(1), id="p")
    await handle.result()
    while any(each.due < NEVER for each in await app.store.outgoing_of("p")):  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    assert not await app.store.pending(["p"])


async def test_a_store_that_does_not_answer_is_asked_again_when_the_run_is_taken_up(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = Memory()
    async with in_memory(memory) as app:
        handle = await app.start(late(), id="p")
        await begun(app, ["child"])
        await (await app.handle("child")).result()
        while await app.store.outgoing_of("child"):
            await turns(1)

        async def fails(engine: Any, parent: str, run: str) -> None:
            raise StoreError("no answer")

        monkeypatch.setattr(family, "_end_of", fails)
        await handle.send(GO, 1)
        while "does not say how a run has ended" not in caplog.text:
            await turns(1)
        monkeypatch.undo()
    async with in_memory(memory) as app:
        assert await (await app.resume("p", late)).result() == 8


async def test_a_store_that_does_not_say_how_a_run_has_ended_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run that has ended does not tell a second time."""
    monkeypatch.setattr(family, "AGAIN", 0.2)
    end_of, asked = family._end_of, 0  # pyright: ignore[reportPrivateUsage]

    async def fails_once(engine: Any, parent: str, run: str) -> Any:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise StoreError("no answer")
        return await end_of(engine, parent, run)

    async with in_memory(linger=0.05) as app:
        handle = await app.start(late(), id="p")
        await begun(app, ["child"])
        await (await app.handle("child")).result()
        while await app.store.outgoing_of("child"):
            await turns(1)
        monkeypatch.setattr(family, "_end_of", fails_once)
        await handle.send(GO, 1)
        assert await asyncio.wait_for(handle.result(), 10) == 8
        assert asked > 1


async def test_a_child_says_who_it_is() -> None:
    assert repr(Child("c", "name", int)) == "<child run c>"


@workflow
async def starts_a_step_in_a_race(ctx: Context) -> str:
    async def at_once() -> str:
        return "at once"

    return str(await ctx.race(at_once(), ctx.start(double(1), id="never")))


async def test_a_start_that_is_given_up_as_it_is_asked_for_starts_nothing(app: App) -> None:
    assert await app.run(starts_a_step_in_a_race(), id="p") == "at once"
    assert await app.store.outgoing_of("p") == []
    assert await app.store.find_run("never") is None


async def test_a_child_that_goes_on_at_this_very_moment_has_not_ended(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    await app.start(waits_for_one(), id="p")
    await begun(app, ["child"])
    head = await app.store.find_run("child")
    assert head is not None

    async def still_ended(run: str) -> Any:
        return dataclasses.replace(head, status="failed")

    monkeypatch.setattr(app.store, "find_run", still_ended)
    assert await family._end_of(app.engine, "p", "child") is None  # pyright: ignore[reportPrivateUsage]
    monkeypatch.undo()


async def test_a_child_that_is_pruned_as_it_is_looked_at_is_not_there_any_more(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    await app.start(waits_for_one(), id="p")
    await begun(app, ["child"])
    head = await app.store.find_run("child")
    assert head is not None

    async def still_listed(run: str) -> Any:
        return dataclasses.replace(head, id=run, status="completed")

    monkeypatch.setattr(app.store, "find_run", still_listed)
    found = await family._end_of(app.engine, "p", "pruned")  # pyright: ignore[reportPrivateUsage]
    monkeypatch.undo()
    assert found is not None
    assert found.failure is not None
    assert (found.status, found.failure.code) == ("failed", "run_failed")


async def test_an_app_that_closes_looks_no_more() -> None:
    async with in_memory(Memory()) as app:
        handle = await app.start(waits_for_one(), id="p")
        await begun(app, ["child"])
        driver = app.engine.drivers[handle.id]
        await app.engine.outbox.close()
        app.engine.outbox.look_up(driver, LookUp("path", "child"))
        assert not any(task.get_name() == "ripresa look" for task in asyncio.all_tasks())


async def test_a_parent_stays_in_memory_while_its_child_is_under_way_here(tmp_path: Path) -> None:
    STARTED.clear()
    async with App(SQLiteStore(tmp_path / "runs.db", "normal"), linger=0.0) as app:
        handle = await app.start(waits_for_a_slow_one(), id="p")
        while not STARTED:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        await turns(20)
        assert "p" in app.engine.drivers
        await (await app.handle("child")).terminate()
        with pytest.raises(RunFailed, match="was terminated"):
            await handle.result()


# --- pauses


async def test_a_paused_run_begins_nothing_not_even_a_delay_or_another_run() -> None:
    tally = Tally()

    @step
    async def held(number: int) -> int:
        await tally.visit()
        return number

    @workflow
    async def sleeps(ctx: Context, number: int) -> int:
        await held(number)
        await ctx.sleep("1s")
        return 5

    @workflow
    async def starts(ctx: Context, number: int) -> int:
        await held(number)
        return await (await ctx.start(double(number), id="kid")).result()

    graph = Graph("g", input=int)
    first = graph.add(held(graph.input))
    flows: list[Any] = [sleeps, starts, chain(held).then(delay("1s"))]
    flows.append(graph.returns(graph.add(delay("1s")(first.out)).out))
    async with on_clock() as (app, clock):
        handles = [await app.start(flow(1), id=f"r{number}") for number, flow in enumerate(flows)]
        await tally.reach(4)
        for handle in handles:
            await handle.pause()
        tally.open()
        await turns(20)
        clock.advance(60)
        await turns(20)
        assert [(await handle.status()).status for handle in handles] == ["paused"] * 4
        assert len((await app.runs()).runs) == 4
        for handle in handles:
            await handle.resume()
        await turns(20)
        clock.advance(1)
        assert [await handle.result() for handle in handles] == [5, 2, 1, 1]


async def test_a_run_that_a_suspended_session_does_not_let_begin_begins_when_it_is_resumed(app: App) -> None:
    outbox, gate = app.engine.outbox, asyncio.Event()
    begin = outbox.begin

    async def slowly(*queued: Any) -> bool:
        await gate.wait()
        return await begin(*queued)

    @workflow
    async def parent(ctx: Context, number: int) -> int:
        return await (await ctx.start(double(number), id=f"kid{number}")).result()

    outbox.begin = slowly
    for number in range(2):
        await app.sessions.create(f"s{number}")
    handles = [await app.start(parent(number), session=f"s{number}") for number in range(2)]
    while len(await app.outbox.list()) < 2:
        await turns(1)
    for number in range(2):
        await app.sessions.suspend(f"s{number}")
    gate.set()
    while outbox.expects("nobody", "nobody"):
        await turns(1)
    assert [(found.tries, found.error) for found in await app.outbox.list()] == [(0, "")] * 2
    await app.sessions.resume("s1")
    assert await handles[1].result() == 2
    assert [found.target for found in await app.outbox.list()] == ["kid0"]
    assert (await handles[0].status()).status == "paused"
