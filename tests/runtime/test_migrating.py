"""Unfinished runs are taken over to another version, all or nothing, and it is said beforehand which can be."""

from typing import Any

import pytest

from ripresa import (
    App,
    Context,
    Migration,
    RunForm,
    Signal,
    approval,
    chain,
    current,
    delay,
    map_each,
    migration,
    step,
    wait_for,
    workflow,
)
from ripresa.authoring.migration import path_between
from ripresa.core.events import Migrated, RunStarted, StepReused
from ripresa.errors import IllegalTransition, InvalidConfig, RipresaError
from ripresa.stores.memory import Memory, MemoryStore
from tests.runtime.stage import Failing, Tally, all_of, in_memory, journal_of, on_clock, turns

DONE: list[tuple[str, Any, str]] = []


def done() -> list[tuple[str, Any]]:
    """What was done since the last time."""
    found = [(name, value) for name, value, _ in DONE]
    DONE.clear()
    return found


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    DONE.clear()


def note(name: str, value: Any) -> None:
    DONE.append((name, value, current().idempotency_key))


@step
async def inc(value: int) -> int:
    note("inc", value)
    return value + 1


@step
async def double(value: int) -> int:
    note("double", value)
    return value * 2


@step
async def square(value: int) -> int:
    note("square", value)
    return value * value


@step(effect="irreversible")
async def book(value: int) -> int:
    note("book", value)
    return value


@step
async def told(value: dict[str, int]) -> int:
    note("told", value)
    return value["n"]


@step
async def twice(value: int) -> dict[str, int]:
    note("twice", value)
    return {"n": value}


@step(effect="irreversible")
async def other(value: int) -> int:
    note("other", value)
    return value


def stuck(*links: Any, name: str = "flow", version: str = "1") -> tuple[Any, Tally]:
    """A chain that comes to its last link and waits there."""
    tally = Tally()

    @step(name="wait")
    async def wait(value: int) -> int:
        note("wait", value)
        await tally.visit()
        return value

    first, *rest = (*links, wait)
    flow = chain(first, name=name, version=version)
    for link in rest:
        flow = flow.then(link)
    return flow, tally


async def left(memory: Memory, flow: Any, tally: Tally, input: Any = 1, id: str = "r") -> None:
    """A run of it that its process left."""
    entered = tally.entered
    async with in_memory(memory, workflows=[flow]) as app:
        await app.start(flow(input), id=id)
        await tally.reach(entered + 1)
    done()


async def test_a_run_is_taken_over_by_migrations_in_a_row() -> None:
    memory = Memory()
    old, tally = stuck(inc, double)
    await left(memory, old, tally)
    seen: list[RunForm] = []

    @migration("flow", from_="2", to="3")
    def to_three(run: RunForm) -> RunForm:
        seen.append(run)
        return RunForm(run.workflow, "?", run.input, {**run.results, "twice": {"n": run.results["twice"]}})

    middle = Migration("flow", "1", "2", renamed={"double": "twice"})
    new = chain(inc, name="flow", version="3").then(twice).then(told)
    async with in_memory(memory, workflows=[new], migrations=[middle, to_three]) as app:
        before = await all_of(await app.handle("r"))
        dry = await app.migrate("r", dry_run=True)
        assert (dry.done, dry.start, dry.end, dry.taken, dry.ahead, dry.unused) == (
            False,
            "1",
            "3",
            ("inc", "twice"),
            ("told",),
            (),
        )
        assert await all_of(await app.handle("r")) == before
        assert seen[0].results == {"inc": 2, "twice": 4}
        report = await app.migrate("r", by="me")
        assert (report.done, report.status, report.taken) == (True, "running", ("inc", "twice"))
        handle = await app.resume("r")
        assert (await handle.result(), done()) == (4, [("told", {"n": 4})])
        events = await journal_of(handle)
        migrated = next(event for event in events if isinstance(event, Migrated))
        assert (migrated.origin, migrated.by) == ("1", "me")
        assert [event.version for event in events if isinstance(event, RunStarted)] == ["1", "3"]
        view, (head,) = await handle.status(), (await app.runs()).runs
        assert (view.version, head.version, view.definition) == ("3", "3", new.definition.hash)
        assert view.created_at == before[0].at
        assert list(view.steps) == ["inc", "twice", "told"]


async def test_steps_that_were_in_flight_keep_their_keys_and_what_they_had_recorded() -> None:
    memory, tally = Memory(), Tally()

    @step(name="agent")
    async def agent(value: int) -> int:
        DONE.append(("agent", value, current().idempotency_key))
        found: int = await current().call(inc.fn, value)
        await tally.visit()
        return found

    old = chain(double, name="flow").then(agent)
    new = chain(double, name="flow", version="2").then(agent).then(square)
    async with in_memory(memory, workflows=[old]) as app:
        await app.start(old(1), id="r")
        await tally.reach(1)
    first = [key for name, _, key in DONE if name == "agent"]
    done()
    tally.open()
    async with in_memory(memory, workflows=[new], migrations=[Migration("flow", "1", "2")]) as app:
        await app.migrate("r")
        assert await (await app.resume("r")).result() == 9
        assert [key for name, _, key in DONE if name == "agent"] == first
        assert done() == [("agent", 2), ("square", 3)]


async def test_durable_functions_loops_and_items_are_taken_over() -> None:
    memory, tally = Memory(), Tally()

    @step(name="wait")
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    @workflow(name="fn")
    async def one(ctx: Context, count: int) -> int:
        found = await map_each(inc)(list(range(count)))
        return await wait(sum(found))

    @workflow(name="fn", version="2")
    async def two(ctx: Context, count: int) -> int:
        first = await double(count)
        found = await map_each(inc)(list(range(count)))
        return await wait(sum(found) + first)

    async with in_memory(memory, workflows=[one]) as app:
        await app.start(one(3), id="r")
        await tally.reach(1)
    done()
    tally.open()
    async with in_memory(memory, workflows=[two], migrations=[Migration("fn", "1", "2")]) as app:
        report = await app.migrate("r")
        assert (report.taken, report.ahead) == ((), ("double",))
        assert len(report.unused) == 3
        assert (await (await app.resume("r")).result(), done()) == (12, [("double", 3)])
        assert len([e for e in await journal_of(await app.handle("r")) if isinstance(e, StepReused)]) == 3


async def test_waits_keep_their_moment_signals_are_not_lost_and_a_paused_run_stays_so() -> None:
    memory = Memory()
    edited = Signal("edited", int)
    old = chain(inc, name="flow").then(wait_for(edited)).then(delay(100, name="pause")).then(double)
    new = chain(inc, name="flow", version="2").then(wait_for(edited)).then(square).then(delay(900, name="pause"))
    async with on_clock(memory) as (app, clock):
        handle = await app.start(old(1), id="r")
        await handle.send(edited, 5)
        await handle.pause()
        due = (await handle.status()).timers["pause"]
        clock.advance(1)
    async with on_clock(memory, at=clock.now()) as (app, clock):
        app.migrations = (Migration("flow", "1", "2"),)
        report = await app.migrate("r", new)
        assert (report.status, report.taken, report.ahead) == ("paused", ("inc",), ("square",))
        handle = await app.resume("r", new)
        await handle.resume()
        await until(handle, "square")
        assert (await handle.status()).timers == {"pause": due}
        clock.advance(100)
        assert (await handle.result(), done()) == (25, [("inc", 1), ("square", 5)])


async def until(handle: Any, path: str) -> None:
    async for item in handle.events():
        if getattr(item.event, "path", "") == path and hasattr(item.event, "output"):
            return


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda run: run.results.clear(), ""),
        (lambda run: 1 / 0, "migration_failed"),
        (lambda run: run.results.update(inc={1, 2}), ""),
        (lambda run: run.results.update(inc=object()), "migration_failed"),
        (lambda run: setattr(run, "input", "many"), "migration_failed"),
    ],
)
async def test_a_migration_that_fails_leaves_the_run_as_it_was(change: Any, code: str) -> None:
    memory = Memory()
    old, tally = stuck(inc)
    new = chain(inc, name="flow", version="2").then(double)
    await left(memory, old, tally)

    @migration(old, from_="1", to="2")
    def up(run: RunForm) -> None:
        change(run)

    async with in_memory(memory, workflows=[new], migrations=[up]) as app:
        before = await all_of(await app.handle("r"))
        if not code:
            await app.migrate("r")
            return
        with pytest.raises(RipresaError) as caught:
            await app.migrate("r")
        assert caught.value.code == code
        assert await all_of(await app.handle("r")) == before
        assert await app.store.owner("r") is None
    tally.open()
    async with in_memory(memory, workflows=[old]) as app:
        assert await (await app.resume("r")).result() == 2


@pytest.mark.parametrize("after", [False, True])
async def test_a_migration_that_could_not_be_kept_has_not_happened_or_has(after: bool) -> None:
    memory = Memory()
    old, tally = stuck(inc)
    new = chain(inc, name="flow", version="2").then(double)
    await left(memory, old, tally)
    store = Failing(MemoryStore(memory), 1, after=after)
    async with App(store, workflows=[new], migrations=[Migration("flow", "1", "2")], patience=0.05) as app:
        with pytest.raises(RipresaError):
            await app.migrate("r")
    tally.open()
    async with in_memory(memory, workflows=[old, new]) as app:
        assert await (await app.resume("r")).result() == (4 if after else 2)


async def test_a_run_whose_journal_fits_as_it_is_needs_no_migration_and_others_do() -> None:
    memory = Memory()
    old, tally = stuck(inc)
    longer = chain(inc, name="flow", version="2")
    other = chain(square, name="flow", version="3")
    await left(memory, old, tally)

    @step(name="wait")
    async def wait(value: int) -> int:
        return value

    longer = longer.then(wait).then(double)
    async with in_memory(memory) as app:
        with pytest.raises(RipresaError, match="no migration leads from version '1'") as caught:
            await app.migrate("r", other)
        assert caught.value.code == "migration_missing"
        assert (await app.migrate("r", longer)).ahead == ("wait",)
        again = await app.migrate("r", longer)
        assert (again.taken, again.status) == ((), "running")
        assert await (await app.resume("r", longer)).result() == 4
        with pytest.raises(IllegalTransition, match="is completed"):
            await app.migrate("r", other)


async def test_what_cannot_be_taken_back_is_not_done_again_by_a_migration() -> None:
    memory = Memory()
    old, tally = stuck(book)
    new = chain(square, name="flow", version="2").then(other)
    await left(memory, old, tally)
    plain = Migration("flow", "1", "2")
    async with in_memory(memory, workflows=[new], migrations=[plain]) as app:
        with pytest.raises(RipresaError) as caught:
            await app.migrate("r")
        assert (caught.value.code, caught.value.where) == ("effects_undecided", "book")

    @migration("flow", from_="1", to="2")
    def drop(run: RunForm) -> None:
        run.forget("book")

    async with in_memory(memory, workflows=[new], migrations=[drop]) as app:
        assert (await app.migrate("r")).ahead == ("square",)


async def test_a_run_that_is_driven_is_not_migrated() -> None:
    memory = Memory()
    old, tally = stuck(inc)
    new = chain(inc, name="flow", version="2")
    async with in_memory(memory, workflows=[new], migrations=[Migration("flow", "1", "2")]) as app:
        await app.start(old(1), id="r")
        await tally.reach(1)
        with pytest.raises(RipresaError) as caught:
            await app.migrate("r")
        assert caught.value.code == "owned_elsewhere"
        async with in_memory(memory, migrations=app.migrations) as other:
            with pytest.raises(RipresaError) as caught:
                await other.migrate("r", new)
            assert caught.value.code == "owned_elsewhere"
        tally.open()
        assert await (await app.handle("r")).result() == 2


async def test_a_migrated_run_can_be_rolled_back_and_forked_within_its_new_version() -> None:
    memory = Memory()
    old, tally = stuck(inc)
    new = chain(inc, name="flow", version="2").then(double).then(square)
    await left(memory, old, tally)
    async with in_memory(memory, workflows=[new], migrations=[Migration("flow", "1", "2")]) as app:
        await app.migrate("r")
        handle = await app.resume("r")
        assert await handle.result() == 16
        done()
        await handle.rollback("double")
        assert (await handle.result(), done()) == (16, [("square", 4)])
        assert await (await handle.fork(set={"double": 5})).result() == 25
        with pytest.raises(RipresaError) as caught:
            await handle.rollback(1)
        assert caught.value.code == "definition_changed"
        assert await handle.result() == 16


async def test_the_plan_says_what_becomes_of_every_unfinished_run() -> None:
    memory = Memory()
    one, tally = stuck(inc)
    two, tally_two = stuck(double, version="2")
    three, tally_three = stuck(square, version="3")
    four, tally_four = stuck(inc, square, version="4")
    for flow, gate, id in ((one, tally, "one"), (two, tally_two, "two"), (three, tally_three, "three")):
        await left(memory, flow, gate, id=id)
    await left(memory, four, tally_four, id="four")
    async with in_memory(memory, workflows=[three, four], migrations=[Migration("flow", "1", "4")]) as app:
        planned = {run.run: (run.verdict, run.version) for run in await app.plan(four)}
        assert planned == {
            "one": ("migrate", "1"),
            "two": ("blocked", "2"),
            "three": ("pinned", "3"),
            "four": ("safe", "4"),
        }
        why = {run.run: run.why for run in await app.plan(four)}
        assert "no migration leads from version '2'" in why["two"]


async def test_the_plan_replays_functions_whose_structure_did_not_change() -> None:
    memory, tally, changed = Memory(), Tally(), False

    @step(name="wait")
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    @workflow(name="fn")
    async def fn(ctx: Context, value: int) -> int:
        value = await (double(value) if changed else inc(value))
        return await wait(value)

    async with in_memory(memory) as app:
        await app.start(fn(1), id="r")
        await tally.reach(1)
    async with in_memory(memory) as app:
        assert [run.verdict for run in await app.plan(fn)] == ["safe"]
        changed = True
        (blocked,) = await app.plan(fn)
        assert (blocked.verdict, "nondeterminism" in blocked.why) == ("blocked", True)
        assert await app.plan(chain(inc, name="nobody")) == []


def test_forms_are_renamed_and_forgotten_by_path() -> None:
    form = RunForm("w", "1", None, {"a": 1, "a/b": 2, "a[0]/c": 3, "ab": 4, "a#2": 5}, {"a": 7, "x": 8})
    form.rename("a", "z")
    assert form.results == {"z": 1, "z/b": 2, "z[0]/c": 3, "ab": 4, "z#2": 5}
    assert form.waits == {"z": 7, "x": 8}
    form.forget("z")
    assert (form.results, form.waits) == ({"ab": 4}, {"x": 8})


def test_the_shortest_way_between_versions_is_found_and_bad_migrations_are_refused() -> None:
    one, two, far, other = (Migration("w", *ends) for ends in (("1", "2"), ("2", "3"), ("1", "3"), ("3", "1")))
    stranger = Migration("x", "1", "9")
    every = [one, two, far, other, stranger]
    assert path_between(every, "w", "1", "3") == [far]
    assert path_between([one, two, other], "w", "1", "3") == [one, two]
    assert path_between(every, "w", "1", "9") is None
    assert path_between(every, "w", "1", "1") == []
    for bad in (("", "1", "2"), ("w", "1", "1"), ("w", "", "2")):
        with pytest.raises(InvalidConfig):
            Migration(*bad)
    with pytest.raises(InvalidConfig):
        migration("w", from_="1", to="1")


def flow_of(version: str, *, name: str = "sign", tail: Any = None, form: Any = None) -> Any:
    asked: Any = approval(
        "Sign it?", name=name, form=form, assignees=["ann", "bob", "cid"], quorum=2, timeout=100, remind=30
    )

    @step
    async def tell(decision: Any) -> str:
        return f"{decision.granted} by {' '.join(decision.by)}"

    made = chain(inc, name="flow", version=version).then(asked).then(tell)
    return made if tail is None else made.then(tail)


@pytest.mark.parametrize("renamed", [False, True])
async def test_an_open_approval_keeps_its_answers_and_its_moments(renamed: bool) -> None:
    memory = Memory()
    async with on_clock(memory) as (app, clock):
        handle = await app.start(flow_of("1")(1), id="r")
        await opened(handle)
        assert await handle.approve(by="ann")
        assert await handle.delegate(by="bob", to="dan")
        clock.advance(20)
        expires = (await handle.approvals())[0].expires
    new = flow_of("2", name="seal" if renamed else "sign", tail=shout)
    async with on_clock(memory, at=clock.now()) as (app, clock):

        @migration("flow", from_="1", to="2")
        def up(run: RunForm) -> None:
            if renamed:
                run.rename("sign", "seal")

        app.migrations = (up,)
        report = await app.migrate("r", new)
        assert report.taken == ("inc",)
        handle = await app.resume("r", new)
        [asked] = await handle.approvals()
        assert (asked.path, asked.expires) == ("seal" if renamed else "sign", expires)
        assert [name for name, _ in asked.votes] == ["ann"]
        with pytest.raises(RipresaError, match="not among those"):
            await handle.approve(by="bob")
        await handle.approve(by="dan")
        assert await handle.result() == "TRUE BY ANN DAN"


async def test_an_approval_that_was_given_is_not_asked_again_by_a_migration() -> None:
    memory, tally = Memory(), Tally()

    @step
    async def slow(text: str) -> str:
        await tally.visit()
        return text

    async with in_memory(memory) as app:
        handle = await app.start(flow_of("1", tail=slow)(1), id="r")
        await opened(handle)
        await handle.approve(by="ann")
        await handle.approve(by="bob")
        await tally.reach(1)
    async with in_memory(memory, migrations=[Migration("flow", "1", "2")]) as app:
        new = flow_of("2", tail=shout)
        assert (await app.migrate("r", new)).taken == ("inc", "tell")
        assert await (await app.resume("r", new)).result() == "TRUE BY ANN BOB"


async def test_an_approval_that_a_durable_function_waits_for_keeps_its_answers() -> None:
    memory = Memory()

    def versions(number: str) -> Any:
        @workflow(name="asks", version=number)
        async def asks(ctx: Context, value: int) -> str:
            decision: Any = await ctx.approval("Sign it?", value, quorum=2)
            if number == "2":
                await inc(value)
            return " ".join(decision.by)

        return asks

    async with in_memory(memory) as app:
        handle = await app.start(versions("1")(1), id="r")
        await opened(handle)
        await handle.approve(by="ann")
    async with in_memory(memory, migrations=[Migration("asks", "1", "2")]) as app:
        await app.migrate("r", versions("2"))
        handle = await app.resume("r", versions("2"))
        await handle.approve(by="bob")
        assert await handle.result() == "ann bob"
        assert done() == [("inc", 1)]


async def test_an_answer_that_does_not_fit_the_new_form_or_has_no_place_does_not_count() -> None:
    memory = Memory()
    async with in_memory(memory) as app:
        handle = await app.start(flow_of("1", form=int)(1), id="r")
        await opened(handle)
        await handle.approve(by="ann", form=3)
    async with in_memory(memory) as app:

        @migration("flow", from_="1", to="2")
        def same(run: RunForm) -> None:
            pass

        @migration("flow", from_="2", to="3")
        def forgets(run: RunForm) -> None:
            run.forget("sign")

        app.migrations = (same, forgets)
        await app.migrate("r", flow_of("2", form=list[str]))
        handle = await app.resume("r", flow_of("2", form=list[str]))
        assert [each.votes for each in await handle.approvals()] == [()]
        await app.engine.drivers["r"].stop()
        await app.migrate("r", flow_of("3", form=int))
        handle = await app.resume("r", flow_of("3", form=int))
        assert [each.votes for each in await handle.approvals()] == [()]
        await handle.cancel()


async def opened(handle: Any) -> None:
    while not await handle.approvals():
        await turns(1)


@step
async def shout(text: str) -> str:
    return text.upper()


async def test_a_step_whose_irreversible_call_is_unknown_is_migrated_only_if_it_is_there_still() -> None:
    memory, tally = Memory(), Tally()

    @step(effect="irreversible")
    async def pay(value: int) -> int:
        await tally.visit()
        return value

    @step(name="agent")
    async def agent(value: int) -> int:
        return await current().call(pay, value)

    old = chain(agent, name="flow")
    async with in_memory(memory, workflows=[old]) as app:
        await app.start(old(1), id="r")
        await tally.reach(1)
    async with in_memory(memory, migrations=[Migration("flow", "1", "2")]) as app:
        with pytest.raises(RipresaError) as caught:
            await app.migrate("r", chain(inc, name="flow", version="2"))
        assert (caught.value.code, caught.value.where) == ("effects_undecided", "agent")
        new = chain(agent, name="flow", version="2").then(inc)
        await app.migrate("r", new)
        handle = await app.resume("r", new)
        assert (await handle.status()).parked == ["agent"]
        await handle.reconcile("agent", completed=5, by="eva")
        assert (await handle.result(), tally.entered) == (6, 1)
