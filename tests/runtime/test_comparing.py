"""Two runs are compared: structure, input, what steps were given and returned, how they ended."""

import asyncio

import pytest

from ripresa import App, chain, step
from ripresa.core.changes import Change
from ripresa.errors import RunNotFound
from ripresa.stores.memory import Memory
from tests.runtime.stage import in_memory


@step
async def inc(value: int) -> int:
    return value + 1


@step
async def double(value: int) -> int:
    return value * 2


line = chain(inc, name="line").then(double)


async def ended(app: App, call: object, id: str) -> None:
    await (await app.start(call, id=id)).outcome()  # type: ignore[arg-type]


async def test_runs_of_one_workflow_differ_in_what_they_were_given_and_made_of_it() -> None:
    async with in_memory(workflows=[line]) as app:
        await ended(app, line(1), "a")
        await ended(app, line(2), "b")
        await ended(app, line(1), "c")
        found = await app.diff("a", "b")
        assert found.structure == ()
        assert found.changes == (
            Change("input", b"1", b"2"),
            Change("output", b"4", b"6"),
            Change("inc", ("completed", 1, b"2"), ("completed", 1, b"3")),
            Change("double", ("completed", 1, b"4"), ("completed", 1, b"6")),
        )
        assert found.inputs == (Change("inc", b"1", b"2"), Change("double", b"2", b"3"))
        same = await app.diff("a", "c")
        assert (same.structure, same.changes, same.inputs) == ((), (), ())
        with pytest.raises(RunNotFound):
            await app.diff("a", "nobody")


async def test_a_fork_differs_from_its_origin_where_it_was_changed_and_behind() -> None:
    async with in_memory(workflows=[line]) as app:
        await ended(app, line(1), "a")
        twin = await (await app.handle("a")).fork(set={"inc": 7}, id="b")
        await twin.result()
        found = await app.diff("a", "b")
        assert [change.what for change in found.changes] == ["output", "inc", "double"]
        assert found.inputs == (Change("double", b"2", b"7"),)


async def test_runs_of_other_structure_are_compared_and_those_without_code_too() -> None:
    memory = Memory()
    other = chain(inc, name="line", version="2")
    async with in_memory(memory, workflows=[line, other]) as app:
        await ended(app, line(1), "a")
        await ended(app, other(1), "b")
        found = await app.diff("a", "b")
        assert any("is gone" in text for text in found.structure)
        assert found.inputs == (Change("double", b"2", None),)
    async with in_memory(memory) as app:
        app.workflows.register(chain(double, name="line", version="9"))
        assert (await app.diff("a", "b")).inputs is None


async def test_what_a_step_was_given_that_is_under_way_is_compared_too() -> None:
    began = asyncio.Event()

    @step
    async def stays(value: int) -> int:
        began.set()
        await asyncio.Event().wait()
        return value

    slow = chain(inc, name="slow").then(stays)
    async with in_memory(workflows=[slow]) as app:
        for number in (1, 2):
            began.clear()
            await app.start(slow(number), id=f"r{number}")
            await began.wait()
        assert (await app.diff("r1", "r2")).inputs == (Change("inc", b"1", b"2"), Change("stays", b"2", b"3"))
