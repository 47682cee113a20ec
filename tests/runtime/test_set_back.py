"""Runs that are taken back and given something else: results of steps, values in their state."""

from typing import Any

import pytest

from ripresa import chain, step
from ripresa.core.events import RolledBack, StepReused
from ripresa.errors import InvalidValue, RipresaError
from ripresa.stores.memory import Memory
from tests.runtime.stage import Tally, in_memory, journal_of
from tests.runtime.test_travelled_state import Report, count, done, ended, fields_of, name, plain, report, tell

inner = chain(plain).then(chain(count, name="inner").then(tell).with_state(Report))


@step(effect="irreversible")
async def pay(text: str) -> str:
    return f"paid {text}"


async def test_a_run_goes_on_from_a_place_with_other_values_in_its_state() -> None:
    async with in_memory() as app:
        handle = await ended(app, report("a b"), id="r")
        await handle.rollback("plain", set={"state.title": "given", "state.pages": ["x"]})
        assert await handle.result() == "given: a b"
        assert done() == ["tell"]
        assert await fields_of(handle) == {"title": "given", "words": 2, "pages": ["x"], "best": ""}


async def test_a_step_returns_what_it_is_given_and_what_had_returned_by_then_is_taken_back_too() -> None:
    async with in_memory() as app:
        handle = await ended(app, report("a b"), id="r")
        await handle.rollback("plain", set={"plain": "c", "tell": "d"})
        assert (await handle.result(), done()) == ("d", [])
        await handle.rollback("count", set={"plain": "e"})
        assert await handle.result() == "2 words: e"
        assert done() == ["name", "tell"]
        given = [event.path for event in await journal_of(handle) if isinstance(event, StepReused) and event.given]
        assert given == ["plain", "tell", "plain"]
        await handle.rollback("plain")
        assert (await handle.result(), done()) == ("2 words: e", ["tell"])


async def test_the_state_of_a_flow_within_is_set_by_its_place() -> None:
    async with in_memory() as app:
        handle = await ended(app, inner("a b"), id="r")
        await handle.rollback("inner/count", set={"inner: state.title": "given"})
        assert await handle.result() == "given: a b"
        with pytest.raises(RipresaError, match="has no flow 'outer' with a state under way") as raised:
            await handle.rollback("inner/count", set={"outer: state.title": "x"})
        assert (raised.value.code, raised.value.op) == ("no_state", "rollback")
        assert await handle.result() == "given: a b"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"input": "x"}, "usage"),
        ({"state.colour": "red"}, "invalid_input"),
        ({"plain": 3}, "invalid_input"),
        ({"nowhere": 1}, "no_such_place"),
    ],
)
async def test_what_cannot_be_set_leaves_the_run_as_it_was(given: dict[str, Any], code: str) -> None:
    async with in_memory() as app:
        handle = await ended(app, report("a b"))
        with pytest.raises((RipresaError, InvalidValue)) as raised:
            await handle.rollback("count", set=given)
        assert raised.value.code == code
        assert not any(isinstance(event, RolledBack) for event in await journal_of(handle))
        assert await handle.result() == "2 words: a b"


async def test_what_changed_the_world_counts_also_if_its_result_is_set() -> None:
    async with in_memory() as app:
        handle = await ended(app, chain(plain).then(pay)("a"))
        with pytest.raises(RipresaError) as raised:
            await handle.rollback("plain", set={"pay": "owed"})
        assert raised.value.code == "effects_undecided"
        await handle.rollback("plain", set={"pay": "owed"}, again=True)
        assert await handle.result() == "owed"


async def test_what_a_run_was_given_outlasts_its_process() -> None:
    memory, tally = Memory(), Tally(open=True)

    @step
    async def wait(text: str) -> str:
        await tally.visit()
        return text

    flow = chain(count, name="flow").then(wait).then(name).then(tell).with_state(Report)
    async with in_memory(memory) as app:
        handle = await ended(app, flow("a b"), id="r")
        tally = Tally()
        await handle.rollback("count", set={"tell": "done", "state.words": 7})
        await tally.reach(1)
    tally.open()
    async with in_memory(memory) as app:
        handle = await app.resume("r", flow)
        assert await handle.result() == "done"
        assert await fields_of(handle) == {"title": "7 words", "words": 7, "pages": ["a b"], "best": ""}


async def test_the_process_that_drives_a_run_gives_it_what_another_asks_for() -> None:
    memory, tally = Memory(), Tally()

    @step
    async def wait(text: str) -> str:
        await tally.visit()
        return text

    flow = chain(count, name="flow").then(name).then(wait).with_state(Report)
    async with in_memory(memory) as app, in_memory(memory, workflows=[flow]) as other:
        handle = await app.start(flow("a b"), id="r")
        await tally.reach(1)
        await (await other.handle("r")).rollback("name", set={"count": "c", "state.words": 7})
        await tally.reach(2)
        assert "r" in app.engine.drivers
        tally.open()
        assert await handle.result() == "c"
        assert (await fields_of(handle))["title"] == "7 words"


async def test_a_fork_that_is_taken_back_forgets_what_it_took_over() -> None:
    async with in_memory() as app:
        handle = await ended(app, report("a b"), id="r")
        twin = await handle.fork(set={"state.words": 10})
        await twin.outcome()
        done()
        await twin.rollback("count", set={"name": "c"})
        assert await twin.result() == "untitled: c"
        assert done() == ["plain", "tell"]
