"""What a migrated run did is undone with the rest, what was undone is not taken for done, what began anew is new."""

from dataclasses import dataclass
from typing import Any

import pytest

from ripresa import (
    Context,
    Graph,
    Migration,
    RunFailed,
    RunForm,
    Signal,
    chain,
    current,
    fallback,
    migration,
    saga,
    step,
    wait_for,
    workflow,
)
from ripresa.core.events import RunStarted, StepReused
from ripresa.errors import RipresaError
from ripresa.runtime import migrating
from ripresa.stores.memory import Memory
from tests.runtime.stage import Tally, in_memory, journal_of, turns

GO = Signal("go", int)
UP = Migration("flow", "1", "2")
LOG: list[str] = []
BROKEN: list[str] = []


@pytest.fixture(autouse=True)
def clean() -> None:
    LOG.clear()
    BROKEN.clear()


@step
async def book(value: int) -> int:
    LOG.append(f"book {current().idempotency_key.partition('/')[0]}")
    return value + 1


@book.undo
async def unbook(booked: int) -> None:
    LOG.append(f"unbook {booked}")


@step(effect="irreversible")
async def pay(value: int) -> int:
    LOG.append("pay")
    return value


@step
async def fails(value: int) -> int:
    if "fails" in BROKEN:
        raise ValueError("no")
    return value


def held(tally: Tally) -> Any:
    @step(name="hold")
    async def hold(value: int) -> int:
        await tally.visit()
        return value

    return hold


def chained(version: str, hold: Any) -> Any:
    made = chain(book, name="flow", version=version).then(hold)
    return made if version == "1" else made.then(fails)


def wired(version: str, hold: Any) -> Any:
    graph = Graph("flow", input=int, version=version)
    found = graph.add(hold(graph.add(book(graph.input)).out))
    return graph.returns(found.out if version == "1" else graph.add(fails(found.out)).out)


def dynamic(version: str, hold: Any) -> Any:
    @workflow(name="flow", version=version)
    async def flow(ctx: Context, value: int) -> int:
        found: int = await hold(await book(value))
        return found if version == "1" else await fails(found)

    return flow


@pytest.mark.parametrize("form", [chained, wired, dynamic], ids=["chain", "graph", "function"])
@pytest.mark.parametrize("renamed", [False, True])
async def test_what_was_done_before_a_migration_is_undone_with_the_rest(form: Any, renamed: bool) -> None:
    memory, tally = Memory(), Tally()
    hold = held(tally)
    async with in_memory(memory) as app:
        await app.start(form("1", hold)(1), id="r")
        await tally.reach(1)
    BROKEN.append("fails")
    tally.open()

    @migration("flow", from_="1", to="2")
    def up(run: RunForm) -> None:
        if renamed:
            run.rename("book", "book")
        run.results["book"] = 7

    async with in_memory(memory, migrations=[up]) as app:
        new = form("2", hold)
        await app.migrate("r", new)
        handle = await app.resume("r", new)
        with pytest.raises(RunFailed):
            await handle.result()
        assert (LOG, (await handle.status()).undone) == (["book r", "unbook 7"], ["book"])
    async with in_memory(memory) as app:  # and what of it is in the journal is read again
        assert (await (await app.handle("r")).status()).undone == ["book"]


async def test_a_finished_run_is_taken_back_to_before_its_migration_and_through_two() -> None:
    memory, tally = Memory(), Tally()
    hold = held(tally)
    async with in_memory(memory) as app:
        await app.start(chained("1", hold)(1), id="r")
        await tally.reach(1)
    tally.open()
    async with in_memory(memory, migrations=[UP, Migration("flow", "2", "3")]) as app:
        await app.migrate("r", chained("2", hold))
        await app.migrate("r", chained("3", hold))
        handle = await app.resume("r", chained("3", hold))
        assert await handle.result() == 2
        assert (await handle.undo()).undone == ("book",)
        assert LOG == ["book r", "unbook 2"]


async def test_what_a_fork_took_over_is_not_its_own_after_a_migration_either() -> None:
    memory, tally = Memory(), Tally()
    hold = held(tally)
    async with in_memory(memory) as app:
        handle = await app.start(chained("1", hold)(1), id="r")
        await tally.reach(1)
        await handle.fork(at=1, id="f", effects="reuse")
        await tally.reach(2)
    tally.open()
    async with in_memory(memory, migrations=[UP]) as app:
        await app.migrate("f", chained("2", hold))
        handle = await app.resume("f", chained("2", hold))
        assert await handle.result() == 2
        assert [event.own for event in await journal_of(handle) if isinstance(event, StepReused)] == [False, False]
        assert ((await handle.undo()).undone, LOG) == ((), ["book r"])


async def test_a_failed_run_that_undid_what_it_did_does_it_anew_but_what_cannot_be_undone() -> None:
    memory = Memory()
    BROKEN.append("fails")
    old = chain(book, name="flow").then(pay).then(wait_for(GO)).then(fails)
    new = chain(book, name="flow", version="2").then(pay).then(wait_for(GO))
    async with in_memory(memory) as app:
        handle = await app.start(old(1), id="r")
        await handle.send(GO, 1)
        with pytest.raises(RunFailed):
            await handle.result()
        assert LOG == ["book r", "pay", "unbook 2"]
    async with in_memory(memory, migrations=[UP]) as app:
        report = await app.migrate("r", new)
        assert (report.taken, report.ahead, report.unused) == ((), ("book",), ("pay",))
        handle = await app.resume("r", new)
        await handle.send(GO, 5)
        assert await handle.result() == 5
        assert LOG == ["book r", "pay", "unbook 2", "book r~1"]


async def test_what_was_undone_within_a_run_that_goes_on_is_to_be_forgotten_by_name() -> None:
    memory, tally = Memory(), Tally()
    hold = held(tally)
    BROKEN.append("fails")

    async def other(value: int) -> int:
        return value

    def whole(version: str) -> Any:
        tried = saga(chain(book).then(fails), name="tried")
        made = chain(fallback(tried, step(other)), name="flow", version=version).then(hold)
        return made if version == "1" else made.then(pay)

    async with in_memory(memory) as app:
        await app.start(whole("1")(1), id="r")
        await tally.reach(1)
    tally.open()
    undone = next(iter((await _status(memory)).undone))

    @migration("flow", from_="1", to="2")
    def forgets(run: RunForm) -> None:
        run.forget(undone)

    async with in_memory(memory, migrations=[UP]) as app:
        with pytest.raises(RipresaError) as caught:
            await app.migrate("r", whole("2"))
        assert (caught.value.code, caught.value.where) == ("effects_undecided", undone)
    async with in_memory(memory, migrations=[forgets]) as app:
        await app.migrate("r", whole("2"))
        assert await (await app.resume("r", whole("2"))).result() == 1
        assert LOG == ["book r", "unbook 2", "book r", "unbook 2", "pay"]


async def _status(memory: Memory) -> Any:
    async with in_memory(memory) as app:
        return await (await app.handle("r")).status()


@dataclass
class Sum:
    total: int = 0


@pytest.mark.parametrize("where", ["root", "within", "with a state"])
async def test_a_function_that_began_anew_is_taken_over_from_there(where: str) -> None:
    memory, tally = Memory(), Tally()
    hold = held(tally)

    def flow(version: str) -> object:
        async def rounds(ctx: Any, number: int) -> int:
            found = await book(number) + await ctx.wait_for(GO)
            if number < 5:
                ctx.restart(found)
            return await fails(await hold(found)) if version == "2" else await hold(found)

        kind: Any = Context[Sum] if where == "with a state" else Context
        rounds.__annotations__ = {"ctx": kind, "number": int, "return": int}
        made = workflow(name="inner" if where == "within" else "flow", version=version)(rounds)
        return chain(made, name="flow", version=version) if where == "within" else made

    async with in_memory(memory) as app:
        begun: Any = flow("1")
        handle = await app.start(begun(1), id="r")
        for number in (10, 20):
            await handle.send(GO, number)
        await tally.reach(1)
    tally.open()
    new: Any = flow("2")
    async with in_memory(memory, migrations=[UP]) as app:
        if where != "root":
            with pytest.raises(RipresaError, match="began anew") as caught:
                await app.migrate("r", new)
            assert caught.value.code == "not_available"
            return
        report = await app.migrate("r", new)
        assert report.ahead == ("hold",)
        assert await (await app.resume("r", new)).result() == 33
    assert LOG == ["book r", "book r~1"]


async def test_a_result_whose_step_is_renamed_to_what_is_not_there_is_not_lost_if_it_cannot_be_taken_back() -> None:
    memory, tally = Memory(), Tally()
    hold = held(tally)
    async with in_memory(memory) as app:
        await app.start(chain(pay, name="flow").then(hold)(1), id="r")
        await tally.reach(1)
        await turns(2)
    wrong = Migration("flow", "1", "2", renamed={"pay": "nowhere"})
    async with in_memory(memory, migrations=[wrong]) as app:
        with pytest.raises(RipresaError) as caught:
            await app.migrate("r", chain(pay, name="flow", version="2").then(hold).then(fails))
        assert (caught.value.code, caught.value.where) == ("effects_undecided", "pay")


async def test_what_a_run_did_since_it_began_anew_is_taken_over() -> None:
    memory, tally = Memory(), Tally()
    hold = held(tally)
    old = chain(book, name="flow").then(fails).then(hold).with_state(Sum)
    new = chain(book, name="flow", version="2").then(fails).then(hold).then(pay).with_state(Sum)
    BROKEN.append("fails")
    async with in_memory(memory) as app:
        await (await app.start(old(1), id="r")).outcome()
        BROKEN.clear()
        await app.resume("r", old)
        await tally.reach(1)
    tally.open()
    async with in_memory(memory, migrations=[UP]) as app:
        assert (await app.migrate("r", new)).taken == ("book", "fails")
        handle = await app.resume("r", new)
        assert await handle.result() == 2
        assert (await handle.undo()).undone == ("book",)
        assert LOG == ["book r", "unbook 2", "book r~1", "pay", "unbook 2"]


async def test_what_is_not_understood_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    memory, tally = Memory(), Tally()
    hold = held(tally)
    async with in_memory(memory) as app:
        await app.start(chained("1", hold)(1), id="r")
        await tally.reach(1)
    monkeypatch.setattr(migrating, "_UNDERSTOOD", (RunStarted,))
    async with in_memory(memory, migrations=[UP]) as app:
        with pytest.raises(RipresaError, match="StepCompleted") as caught:
            await app.migrate("r", chained("2", hold))
        assert caught.value.code == "not_available"


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("inside", [False, True], ids=["a step", "a call of a step"])
async def test_what_cannot_be_undone_is_known_after_any_number_of_migrations(times: int, inside: bool) -> None:
    memory, tally = Memory(), Tally()
    hold = held(tally)

    @step(name="agent")
    async def agent(value: int) -> int:
        paid = await current().call(pay, value)
        if not inside:
            return paid
        await tally.visit()
        return paid

    def flow(version: str) -> Any:
        made = chain(book, name="flow", version=version).then(agent if inside else pay).then(hold)
        return made if version == "1" else made.then(fails.with_(name=f"fails{version}"))

    async with in_memory(memory) as app:
        await app.start(flow("1")(1), id="r")
        await tally.reach(1)
    BROKEN.append("fails")
    tally.open()
    steps = [Migration("flow", "1", "2"), Migration("flow", "2", "3")]
    last = str(times + 1)
    async with in_memory(memory, migrations=steps) as app:
        for version in range(2, times + 2):
            await app.migrate("r", flow(str(version)))
        with pytest.raises(RipresaError) as caught:
            await app.migrate("r", chain(book, name="flow", version="9").then(hold))
        assert caught.value.code == "migration_missing"
        handle = await app.resume("r", flow(last))
        await handle.outcome()
        assert LOG == ["book r", "pay", "unbook 2"]
        with pytest.raises(RipresaError) as caught:
            await app.resume("r", flow(last))
        assert caught.value.code == "effects_undecided"
