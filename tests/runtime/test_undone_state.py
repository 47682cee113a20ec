"""What a run wrote to its typed state is taken back with what it did, by whoever undoes it."""

from dataclasses import dataclass
from typing import Any

import pytest

from ripresa import Context, Graph, chain, current, parallel, step, workflow
from ripresa.core.events import StateRestored, UndoRequested
from ripresa.core.merge import read
from ripresa.core.values import text_of

from .stage import in_memory, journal_of


@dataclass
class Counts:
    n: int = 0
    told: str = "nothing"


@step
async def one(value: int) -> int:
    current().state(Counts).n += 1
    return value


@step
async def two(value: int) -> int:
    current().state(Counts).n += 10
    current().state(Counts).told = "two"
    return value


@one.undo
async def un_one(value: int) -> None: ...


@two.undo
async def un_two(value: int) -> None:
    if value < 0:
        raise ConnectionError("nobody answers")


@workflow
async def function(ctx: Context[Counts], value: int) -> int:
    found = await two(await one(value))
    ctx.state.n += 100
    return found


def graph() -> Any:
    made = Graph("graph", input=int, state=Counts)
    return made.returns(made.add(two(made.add(one(made.input)).out)).out)


FORMS = {"chain": chain(one, name="flow").then(two).with_state(Counts), "graph": graph(), "function": function}


@pytest.mark.parametrize("form", FORMS)
async def test_the_state_goes_back_with_what_is_undone(form: str) -> None:
    async with in_memory() as app:
        handle = await app.start(FORMS[form](1), state=Counts(n=5))
        await handle.result()
        full = 116 if form == "function" else 16
        assert await handle.state(Counts) == Counts(full, "two")
        await handle.undo(to="one")
        assert await handle.state(Counts) == Counts(6, "nothing")
        await handle.undo()
        assert await handle.state(Counts) == Counts(5, "nothing")
        asked = [event for event in await journal_of(handle) if isinstance(event, UndoRequested)]
        assert [[state.path for state in each.states] for each in asked] == [[""], [""]]


@pytest.mark.parametrize("form", FORMS)
async def test_it_goes_back_though_an_undo_fails(form: str) -> None:
    async with in_memory() as app:
        handle = await app.start(FORMS[form](-1))
        await handle.result()
        report = await handle.undo()
        assert (len(report.undone), len(report.failed)) == (1, 1)
        assert await handle.state(Counts) == Counts()
        journal = await journal_of(handle)
        await handle.undo()
        more = (await journal_of(handle))[len(journal) :]
        assert not [event for event in more if isinstance(event, StateRestored)], "it is there already"


async def test_what_a_branch_had_written_by_then_stays_though_it_was_joined_later() -> None:
    @step
    async def beside(value: int) -> int:
        return value

    branch = chain(one, name="branch").then(two)
    flow = chain(parallel(branch, beside), name="split").with_state(Counts)
    async with in_memory() as app:
        handle = await app.start(flow(1))
        await handle.result()
        await handle.undo(to=next(place.seq for place in await handle.checkpoints() if place.name.endswith("one")))
        assert await handle.state(Counts) == Counts(1, "nothing")


async def test_that_of_a_flow_within_goes_back_to_its_beginning() -> None:
    inner = chain(one, name="inner").then(two).with_state(Counts)
    flow = chain(one, name="outer").then(inner).with_state(Counts)
    async with in_memory() as app:
        handle = await app.start(flow(1))
        await handle.result()
        await handle.undo(to="one")
        view = await handle.status()
        found = {path: read(state.fields["n"], text_of) for path, state in view.states.items()}
        assert found == {"": b"1", "inner": b"0"}


async def test_the_state_of_a_failed_run_that_had_nothing_to_undo_goes_back_when_it_is_undone() -> None:
    @step
    async def breaks(value: int) -> int:
        current().state(Counts).n = 7
        return value

    @step
    async def fails(value: int) -> int:
        raise ConnectionError("nobody answers")

    flow = chain(breaks, name="broken").then(fails).with_state(Counts)
    async with in_memory() as app:
        handle = await app.start(flow(1))
        await handle.outcome()
        assert await handle.state(Counts) == Counts(7)
        await handle.undo()
        assert await handle.state(Counts) == Counts()


async def test_a_run_without_a_state_is_undone_as_before() -> None:
    @step
    async def alone(value: int) -> int:
        return value

    plain = chain(alone, name="plain")
    async with in_memory() as app:
        handle = await app.start(plain(1))
        await handle.result()
        await handle.undo()
        [asked] = [event for event in await journal_of(handle) if isinstance(event, UndoRequested)]
        assert asked.states == ()
