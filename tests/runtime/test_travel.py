"""A run is taken back to an earlier place, and forked: what was done is done again only if it must be."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from ripresa import (
    App,
    Context,
    Graph,
    Handle,
    Redirect,
    Veto,
    chain,
    current,
    delay,
    intercept,
    map_each,
    parallel,
    repeat,
    step,
    stream,
    workflow,
)
from ripresa.core.events import AttemptLost, RolledBack, RunForked, RunTaken, StepReused, StepScheduled
from ripresa.errors import IllegalTransition, InvalidConfig, InvalidValue, RipresaError, RunExists
from ripresa.ports import Store
from ripresa.runtime.travel import Back, roll_back
from ripresa.stores.memory import Memory, MemoryStore
from tests.runtime.stage import Failing, Tally, Wrapped, all_of, in_memory, journal_of, turns

DONE: list[tuple[str, Any, str]] = []


def note(name: str, value: Any) -> None:
    DONE.append((name, value, current().idempotency_key))


def done() -> list[tuple[str, Any]]:
    """What was done since the last time."""
    found = [(name, value) for name, value, _ in DONE]
    DONE.clear()
    return found


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    DONE.clear()


@step
async def inc(value: int) -> int:
    note("inc", value)
    return value + 1


@step
async def double(value: int) -> int:
    note("double", value)
    return value * 2


@step(effect="pure")
async def square(value: int) -> int:
    note("square", value)
    return value * value


@step
async def total(values: list[int]) -> int:
    note("total", values)
    return sum(values)


@step(effect="irreversible")
async def book(value: int) -> int:
    note("book", value)
    return value


@step
async def numbers(count: int) -> list[int]:
    note("numbers", count)
    return list(range(count))


line = chain(inc, name="line").then(double).then(square)
squares = chain(numbers, name="squares").then(map_each(square)).then(total)
booking = chain(inc, name="booking").then(book).then(double)


@workflow
async def function(ctx: Context, value: int) -> int:
    first = await inc(value)
    left, right = await ctx.gather(double(first), square(first))
    return left + await line(right)


@step
async def add(left: int, right: int) -> int:
    note("add", (left, right))
    return left + right


def diamond() -> Any:
    graph = Graph("diamond", input=int)
    top = graph.add(inc(graph.input))
    left = graph.add(double(top.out))
    right = graph.add(square(graph.input))
    return graph.returns(graph.add(add(left.out, right.out)).out)


FORMS: list[Any] = [line, function, diamond()]


async def ended(app: App, call: Any, **options: Any) -> Handle[Any]:
    handle = await app.start(call, **options)
    await handle.outcome()
    return handle


# --- back


@pytest.mark.parametrize("form", FORMS)
async def test_a_completed_run_goes_on_from_an_earlier_place_with_new_keys(form: Any) -> None:
    async with in_memory() as app:
        handle = await ended(app, form(2))
        result, keys = await handle.result(), {key for _, _, key in DONE}
        whole = done()
        await handle.rollback("inc", by="me", reason="again")
        assert await handle.result() == result
        assert {key for _, _, key in DONE}.isdisjoint(keys)
        again = done()
        assert again == [item for item in whole if item in again]
        assert ("inc", 2) not in again
        view = await handle.status()
        assert (view.status, view.completed) == ("completed", len(whole))
        back = next(event for event in await journal_of(handle) if isinstance(event, RolledBack))
        assert (back.by, back.reason, back.generation) == ("me", "again", 1)
        assert (await app.runs()).runs[0].status == "completed"


async def test_a_run_goes_on_from_everywhere_in_its_journal() -> None:
    async with in_memory() as app:
        for form in (function, squares):
            result = await (await ended(app, form(3))).result()
            length = len(await all_of(await ended(app, form(3))))
            for place in range(1, length):
                handle = await ended(app, form(3))
                try:
                    await handle.rollback(place)
                except IllegalTransition:
                    assert place >= length - 2
                    continue
                assert await handle.result() == result
                reread = await handle.status()
                assert reread.status == "completed"


async def test_a_failed_run_goes_on_from_before_what_it_failed_of() -> None:
    broken = True

    @step
    async def fragile(value: int) -> int:
        if broken:
            raise ValueError("broken")
        return value

    flow = chain(inc, name="flow").then(double).then(fragile)
    async with in_memory() as app:
        handle = await ended(app, flow(1))
        assert (await handle.status()).status == "failed"
        broken = False
        done()
        await handle.rollback("inc")
        assert await handle.result() == 4
        assert done() == [("double", 2)]
        assert (await app.runs()).runs[0].error == ""


async def test_a_running_run_is_stopped_first_and_what_it_had_in_flight_is_not_heard_of() -> None:
    tally = Tally()

    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    flow = chain(inc, name="flow").then(double).then(wait)
    async with in_memory() as app:
        handle = await app.start(flow(1))
        waiting = asyncio.create_task(handle.result())
        await tally.reach(1)
        done()
        await handle.rollback("inc")
        await tally.reach(2)
        tally.open()
        assert await waiting == 4
        assert done() == [("double", 2)]
        assert [event.reason for event in await journal_of(handle) if isinstance(event, AttemptLost)] == ["interrupted"]
        scheduled = [event for event in await journal_of(handle) if isinstance(event, StepScheduled)]
        assert [event.path for event in scheduled] == ["inc", "double", "wait", "double", "wait"]


async def test_a_paused_and_a_cancelled_run_go_on_when_they_are_taken_back() -> None:
    tally = Tally()

    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    flow = chain(inc, name="flow").then(wait)
    async with in_memory() as app:
        paused, cancelled = await app.start(flow(1)), await app.start(flow(2))
        await tally.reach(2)
        await paused.pause()
        await cancelled.cancel("enough")
        await cancelled.outcome()
        await paused.rollback("inc")
        await cancelled.rollback("inc")
        tally.open()
        assert (await paused.result(), await cancelled.result()) == (2, 3)
        with pytest.raises(IllegalTransition, match="completed"):
            await paused.pause()


async def test_a_terminated_run_stays_so_and_a_place_that_is_not_there_disturbs_nothing() -> None:
    tally = Tally()

    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    async with in_memory() as app:
        handle = await app.start(chain(inc, name="flow").then(wait)(1))
        await tally.reach(1)
        with pytest.raises(RipresaError, match="nowhere"):
            await handle.rollback("nowhere")
        assert tally.now == 1
        await handle.terminate()
        await handle.outcome()
        with pytest.raises(IllegalTransition, match="is terminated"):
            await handle.rollback(1)


async def test_a_running_run_goes_on_if_it_cannot_be_taken_back() -> None:
    tally = Tally()

    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    async with in_memory() as app:
        handle = await app.start(chain(book, name="flow").then(wait)(1))
        await tally.reach(1)
        with pytest.raises(RipresaError) as caught:
            await handle.rollback(1)
        assert (caught.value.code, caught.value.where) == ("effects_undecided", "book")
        await tally.reach(2)
        tally.open()
        assert await handle.result() == 1


async def test_what_changed_the_world_is_done_again_only_if_somebody_says_so() -> None:
    async with in_memory() as app:
        handle = await ended(app, booking(1))
        await handle.rollback("book")
        assert await handle.result() == 4
        done()
        with pytest.raises(RipresaError, match="what would be done again: book"):
            await handle.rollback("inc")
        await handle.rollback("inc", again=True)
        assert await handle.result() == 4
        assert done() == [("book", 2), ("double", 2)]


async def test_one_may_return_to_what_was_rolled_back() -> None:
    async with in_memory() as app:
        handle = await ended(app, line(1))
        await handle.rollback("inc")
        await handle.result()
        places = await handle.checkpoints()
        assert [(place.name, place.undone) for place in places] == [
            ("inc", False),
            ("double", True),
            ("square", True),
            ("double", False),
            ("square", False),
        ]
        done()
        await handle.rollback(places[1].seq)
        assert await handle.result() == 16
        assert done() == [("square", 4)]


async def test_a_rolled_back_run_survives_its_process(tmp_path: Path) -> None:
    tally = Tally()

    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    flow = chain(inc, name="flow").then(wait).then(double)
    memory = Memory()
    async with in_memory(memory, workflows=[flow]) as app:
        handle = await app.start(flow(1), id="r")
        await tally.reach(1)
        await handle.rollback("inc")
        await tally.reach(2)
    tally.open()
    async with in_memory(memory, workflows=[flow]) as app:
        assert await (await app.resume("r")).result() == 4
        events = [type(event) for event in await journal_of(await app.handle("r"))]
        assert events.count(RolledBack) == 1
        assert events.count(RunTaken) == 2


@pytest.mark.parametrize("after", [False, True])
async def test_a_rollback_that_could_not_be_kept_has_not_happened_or_has(after: bool) -> None:
    memory = Memory()
    async with in_memory(memory, workflows=[line]) as app:
        await ended(app, line(1), id="r")
    from ripresa.stores.memory import MemoryStore

    async with App(Failing(MemoryStore(memory), 1, after=after), workflows=[line], patience=0.05) as app:
        handle = await app.handle("r")
        with pytest.raises(RipresaError):
            await handle.rollback("inc")
    async with in_memory(memory, workflows=[line]) as app:
        handle = await app.resume("r")
        assert await handle.result() == 16
        assert (RolledBack in [type(event) for event in await journal_of(handle)]) == after


async def test_a_run_that_another_process_drives_is_taken_back_by_that() -> None:
    tally = Tally()

    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    flow = chain(inc, name="flow").then(wait)
    memory = Memory()
    async with in_memory(memory) as app, in_memory(memory, workflows=[flow]) as other:
        handle = await app.start(flow(1), id="r")
        await tally.reach(1)
        there = await other.handle("r")
        for place, code in (("nowhere", "no_such_place"), (99, "no_such_place")):
            with pytest.raises(RipresaError) as caught:
                await there.rollback(place)
            assert caught.value.code == code
        await there.rollback("inc", reason="again", by="me")
        await tally.reach(2)
        assert "r" in app.engine.drivers
        assert "r" not in other.engine.drivers
        tally.open()
        assert await handle.result() == await there.result() == 2
        (back,) = [event for event in await journal_of(handle) if isinstance(event, RolledBack)]
        assert (back.reason, back.by) == ("again", "me")
        assert await other.store.pending(["r"]) == []


async def test_what_would_be_repeated_there_is_refused_before_the_owner_is_asked() -> None:
    tally = Tally()

    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    flow = chain(inc, name="flow").then(book).then(wait)
    memory = Memory()
    async with in_memory(memory) as app, in_memory(memory, workflows=[flow]) as other:
        handle = await app.start(flow(1), id="r")
        await tally.reach(1)
        with pytest.raises(RipresaError) as caught:
            await (await other.handle("r")).rollback("inc")
        assert caught.value.code == "effects_undecided"
        assert await other.store.pending(["r"]) == []
        await (await other.handle("r")).rollback("inc", again=True)
        await tally.reach(2)
        tally.open()
        assert await handle.result() == 2


async def test_an_owner_that_goes_leaves_it_to_who_asked() -> None:
    tally = Tally()

    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    flow = chain(inc, name="flow").then(wait)
    memory = Memory()
    async with in_memory(memory, workflows=[flow]) as other:
        async with in_memory(memory) as app:
            await app.start(flow(1), id="r")
            await tally.reach(1)
            app.engine.inbox.collect = turns_away  # type: ignore[method-assign]
            there = await other.handle("r")
            asking = asyncio.create_task(there.rollback("inc"))
            await turns(20)
            assert len(await other.store.pending(["r"])) == 1
        await asking
        tally.open()
        assert await there.result() == 2
        assert await other.store.pending(["r"]) == []


async def turns_away() -> None:
    """Hears nothing."""


async def test_an_owner_that_does_not_hear_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    from ripresa.runtime import turning

    monkeypatch.setattr(turning, "PATIENCE", 0.15)
    tally = Tally()

    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    flow = chain(inc, name="flow").then(wait)
    memory = Memory()
    async with in_memory(memory) as app, in_memory(memory, workflows=[flow]) as other:
        handle = await app.start(flow(1), id="r")
        await tally.reach(1)
        app.engine.inbox.collect = turns_away  # type: ignore[method-assign]
        with pytest.raises(RipresaError) as caught:
            await (await other.handle("r")).rollback("inc")
        assert caught.value.code == "owned_elsewhere"
        tally.open()
        assert await handle.result() == 2


async def test_who_asks_an_owner_hears_of_it_when_a_hook_sends_the_run_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ripresa.runtime import turning

    monkeypatch.setattr(turning, "PATIENCE", 2)
    tally = Tally()

    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    @intercept("rollback")
    def elsewhere(event: Any) -> Any:
        return Redirect("inc")

    flow = chain(inc, name="flow").then(wait)
    memory = Memory()
    async with in_memory(memory, hooks=[elsewhere]) as app, in_memory(memory, workflows=[flow]) as other:
        handle = await app.start(flow(1), id="r")
        await tally.reach(1)
        await (await other.handle("r")).rollback(1)
        await tally.reach(2)
        tally.open()
        assert await handle.result() == 2
        assert [each.to > 1 for each in await journal_of(handle) if isinstance(each, RolledBack)] == [True]


async def test_an_owner_that_is_not_let_says_so(caplog: pytest.LogCaptureFixture) -> None:
    tally = Tally()

    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    @intercept("rollback")
    def never(event: Any) -> Any:
        return Veto("not now")

    flow = chain(inc, name="flow").then(wait)
    memory = Memory()
    async with in_memory(memory, hooks=[never]) as app, in_memory(memory, workflows=[flow]) as other:
        handle = await app.start(flow(1), id="r")
        await tally.reach(1)
        with pytest.raises(RipresaError, match="not now"):
            await (await other.handle("r")).rollback("inc")
        tally.open()
        assert await handle.result() == 2
    assert "a run was not taken back" in caplog.text


# --- elsewhere


@pytest.mark.parametrize("form", FORMS)
async def test_a_fork_with_another_output_runs_what_depends_on_it_again_and_nothing_else(form: Any) -> None:
    async with in_memory() as app:
        handle = await ended(app, form(2))
        before = await all_of(handle)
        DONE.clear()
        twin = await handle.fork(set={"double": 50})
        ran = {"line": [("square", 50)], "function": [], "diamond": [("add", (50, 4))]}[form.name]
        result = {"line": 2500, "function": 450, "diamond": 54}[form.name]
        assert (await twin.result(), done()) == (result, ran)
        assert await all_of(handle) == before
        view = await twin.status()
        assert (view.origin, view.id) == (handle.id, twin.id)
        assert view.forked_at < len(before)
        assert view.steps["double"].output == b"50"


async def test_a_fork_with_another_input_runs_only_what_gets_another_one() -> None:
    async with in_memory() as app:
        handle = await ended(app, squares(3))
        done()
        twin = await handle.fork(set={"input": 4})
        assert await twin.result() == 14
        assert done() == [("numbers", 4), ("square", 3), ("total", [0, 1, 4, 9])]
        same = await handle.fork(set={"input": 3}, id="same")
        assert (await same.result(), done(), same.id) == (5, [], "same")


async def test_a_pure_step_takes_over_what_it_returned_elsewhere_and_others_do_not() -> None:
    flow = chain(numbers, name="flow").then(map_each(parallel(square, double)))
    async with in_memory() as app:
        handle = await ended(app, flow(3))
        done()
        twin = await handle.fork(set={"numbers": [2, 1, 0]})
        assert await twin.result() == [(4, 4), (1, 2), (0, 0)]
        assert done() == [("double", 2), ("double", 0)]


async def test_a_fork_goes_on_from_its_place_and_takes_later_results_over_unless_it_is_fresh() -> None:
    async with in_memory() as app:
        handle = await ended(app, line(1))
        done()
        assert await (await handle.fork("inc")).result() == 16
        assert done() == []
        twin = await handle.fork("inc", fresh=True)
        assert await twin.result() == 16
        keys = {key for _, _, key in DONE}
        assert done() == [("double", 2), ("square", 4)]
        assert all(key.startswith(twin.id) for key in keys)


async def test_a_fork_of_a_failed_run_goes_on_where_it_failed() -> None:
    broken = True

    @step
    async def fragile(value: int) -> int:
        note("fragile", value)
        if broken:
            raise ValueError("broken")
        return value

    flow = chain(inc, name="flow").then(fragile).then(double)
    async with in_memory() as app:
        handle = await ended(app, flow(1))
        done()
        given = await handle.fork(set={"fragile": 30})
        assert (await given.result(), done()) == (60, [("double", 30)])
        broken = False
        twin = await handle.fork()
        assert (await twin.result(), done()) == (4, [("fragile", 2), ("double", 2)])
        assert (await handle.status()).status == "failed"
        assert (await app.runs(status="failed")).runs[0].id == handle.id


async def test_there_must_be_something_to_go_on_with() -> None:
    async with in_memory() as app:
        handle = await ended(app, line(1))
        with pytest.raises(IllegalTransition, match="nothing to go on with"):
            await handle.fork()
        assert len((await app.runs()).runs) == 1


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"at": "nowhere"}, "no_such_place"),
        ({"set": {"nowhere": 1}}, "no_such_place"),
        ({"set": {"double": "many"}}, "invalid_input"),
        ({"set": {"input": "many"}}, "invalid_input"),
        ({"at": "inc", "id": ""}, "invalid_config"),
        ({"at": "inc", "effects": "maybe"}, "invalid_config"),
        ({"at": "inc", "id": "taken"}, "run_exists"),
    ],
)
async def test_a_fork_that_cannot_be_is_refused_before_anything_happens(options: Any, code: str) -> None:
    async with in_memory() as app:
        handle = await ended(app, line(1), id="taken")
        with pytest.raises(RipresaError) as caught:
            await handle.fork(**options)
        assert caught.value.code == code
        assert len((await app.runs()).runs) == 1


async def test_what_changed_the_world_after_the_place_is_neither_repeated_nor_taken_over_in_silence() -> None:
    async with in_memory() as app:
        handle = await ended(app, booking(1))
        done()
        with pytest.raises(RipresaError) as caught:
            await handle.fork("inc")
        assert (caught.value.code, caught.value.where) == ("effects_undecided", "book")
        assert await (await handle.fork("book")).result() == 4
        assert done() == []
        assert await (await handle.fork("inc", effects="reuse")).result() == 4
        assert done() == []
        assert await (await handle.fork("inc", effects="again")).result() == 4
        assert done() == [("book", 2)]
        assert await (await handle.fork(set={"book": 8})).result() == 16
        assert done() == [("double", 8)]


async def test_values_have_the_types_of_steps_in_a_fork_too() -> None:
    @dataclass
    class Page:
        title: str
        size: int = 1

    @step
    async def read(name: str) -> Page:
        return Page(name)

    @step
    async def measure(page: Page) -> int:
        return page.size + len(page.title)

    async with in_memory() as app:
        handle = await ended(app, chain(read, name="pages").then(measure)("abc"))
        twin = await handle.fork(set={"read": Page("long", 7)})
        assert await twin.result() == 11
        twin = await handle.fork(set={"read": {"title": "x" * 5000}})
        assert await twin.result() == 5001
        with pytest.raises(InvalidValue):
            await handle.fork(set={"read": {"size": 3}})


async def test_a_fork_goes_on_taking_over_after_its_process_ended() -> None:
    tally = Tally()

    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    flow = chain(inc, name="flow").then(parallel(wait, double)).then(total_of).then(square)
    memory = Memory()
    tally.open()
    async with in_memory(memory, workflows=[flow]) as app:
        handle = await ended(app, flow(1), id="origin")
        assert await handle.result() == 36
    tally = Tally()
    done()
    async with in_memory(memory, workflows=[flow]) as app:
        await (await app.handle("origin")).fork(set={"inc": 3, "parallel/double": 3}, id="twin")
        await tally.reach(1)
    assert done() == []
    tally.open()
    async with in_memory(memory, workflows=[flow]) as app:
        twin = await app.resume("twin")
        assert await twin.result() == 36
        assert done() == [("total_of", [3, 3])]
        events = await journal_of(twin)
        assert [event.path for event in events if isinstance(event, StepReused)] == ["inc", "parallel/double", "square"]


@step
async def total_of(values: tuple[int, int]) -> int:
    note("total_of", list(values))
    return sum(values)


async def test_what_is_done_again_in_a_fork_is_not_taken_over_a_second_time() -> None:
    async with in_memory() as app:
        handle = await ended(app, line(1))
        twin = await handle.fork("inc")
        assert await twin.result() == 16
        done()
        await twin.rollback("inc")
        assert await twin.result() == 16
        assert done() == [("double", 2), ("square", 4)]


async def test_a_fork_of_a_fork_and_of_a_run_that_was_rolled_back() -> None:
    async with in_memory() as app:
        handle = await ended(app, function(2))
        await handle.rollback("inc")
        await handle.result()
        done()
        twin = await handle.fork("double")
        assert (await twin.result(), done()) == (406, [])
        third = await twin.fork(set={"square": 1})
        assert await third.result() == 6 + 16
        assert [event.origin for event in await journal_of(third) if isinstance(event, RunForked)] == [
            handle.id,
            twin.id,
        ]
        assert (await third.status()).origin == twin.id
        undone = [place.seq for place in await handle.checkpoints() if place.undone]
        assert await (await handle.fork(undone[0])).result() == 406


async def test_a_mended_function_may_be_forked_from_before_what_was_mended() -> None:
    mended = False

    @workflow(name="mending")
    async def mending(ctx: Context, value: int) -> int:
        first = await inc(value)
        return await (square(first) if mended else double(first))

    async with in_memory() as app:
        handle = await ended(app, mending(2))
        mended = True
        twin = await handle.fork("inc")
        assert await twin.result() == 9
        with pytest.raises(RipresaError) as caught:
            await handle.fork("double")
        assert caught.value.code == "nondeterminism"


async def test_a_run_that_was_taken_up_is_forked_without_its_owners() -> None:
    tally = Tally()

    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    flow = chain(inc, name="flow").then(wait).then(double)
    memory = Memory()
    async with in_memory(memory, workflows=[flow]) as app:
        await app.start(flow(1), id="a")
        await tally.reach(1)
    async with in_memory(memory, workflows=[flow]) as app:
        handle = await app.resume("a")
        await tally.reach(2)
        twin = await handle.fork(id="b")
        await tally.reach(3)
    tally.open()
    async with in_memory(memory, workflows=[flow]) as app:
        assert await (await app.resume("b")).result() == 4
        assert await (await app.resume("a")).result() == 4
        events = [type(event) for event in await journal_of(await app.handle(twin.id))]
        assert events.count(RunTaken) == 1, "when it was resumed"


def small(value: int) -> bool:
    return value < 1000


async def test_loops_and_waits_are_forked_within(tmp_path: Path) -> None:
    flow = chain(inc, name="flow").then(repeat(double, while_=small, at_most=3)).then(delay(0.001)).then(inc)
    async with in_memory() as app:
        handle = await ended(app, flow(0))
        assert await handle.result() == 9
        done()
        path = next(place.name for place in await handle.checkpoints() if "[1]" in place.name)
        twin = await handle.fork(set={path: 100})
        assert await twin.result() == 201
        assert done() == [("double", 100), ("inc", 200)]
        await twin.rollback(path)
        assert await twin.result() == 201


async def test_an_id_that_is_taken_leaves_the_run_of_that_id_alone() -> None:
    async with in_memory() as app:
        handle = await ended(app, line(1), id="a")
        before = await all_of(handle)
        with pytest.raises(RunExists):
            await handle.fork("inc", id="a")
        with pytest.raises(InvalidConfig):
            await handle.fork("inc", id=" ")
        assert await all_of(handle) == before


async def up_to(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


@step
async def keep(items: list[int]) -> None:
    note("keep", items)


@step
async def nothing(found: Any) -> int:
    return 7


async def test_a_stream_is_pumped_again_and_what_came_before_it_is_not() -> None:
    flow = chain(inc, name="flow").then(stream(up_to).batch(2).into(keep)).then(nothing)
    async with in_memory() as app:
        handle = await ended(app, flow(2))
        assert done() == [("inc", 2), ("keep", [0, 1]), ("keep", [2])]
        twin = await handle.fork("inc")
        assert (await twin.result(), done()) == (7, [("keep", [0, 1]), ("keep", [2])])
        await handle.rollback("inc")
        assert (await handle.result(), done()) == (7, [("keep", [0, 1]), ("keep", [2])])


async def test_an_irreversible_call_inside_a_step_counts_like_an_irreversible_step() -> None:
    @step
    async def agent(value: int) -> int:
        return await current().call(book, value)

    async with in_memory() as app:
        handle = await ended(app, chain(inc, name="flow").then(agent)(1))
        for ask in (handle.rollback("inc"), handle.fork("inc")):
            with pytest.raises(RipresaError) as caught:
                await ask
            assert (caught.value.code, caught.value.where) == ("effects_undecided", "agent")


class Kept(Wrapped):
    """A store that counts how often a run is given up."""

    released = 0

    async def release(self, run: str) -> None:
        self.released += 1
        await self.inner.release(run)


@pytest.mark.parametrize("place", ["inc", 99])
async def test_a_run_that_is_taken_back_is_never_without_an_owner_meanwhile(place: int | str) -> None:
    tally = Tally()

    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    store = Kept(MemoryStore())
    async with App(cast("Store", store)) as app:
        handle = await app.start(chain(inc).then(wait)(1), id="r")
        await tally.reach(1)
        turned = asyncio.gather(roll_back(app.engine, "r", chain(inc).then(wait), Back(place)), return_exceptions=True)
        (outcome,) = await turned
        assert isinstance(outcome, RipresaError) == (place == 99)
        await tally.reach(1 if place == 99 else 2)
        tally.open()
        assert (await handle.result(), store.released) == (2, 0)


async def test_a_run_whose_hook_forbids_to_take_it_back_is_never_without_an_owner_meanwhile() -> None:
    tally = Tally()

    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    @intercept("rollback")
    def never(event: Any) -> Any:
        return Veto("not now")

    store, flow = Kept(MemoryStore()), chain(inc, name="flow").then(wait)
    async with App(cast("Store", store), hooks=[never]) as app:
        handle = await app.start(flow(1), id="r")
        await tally.reach(1)
        with pytest.raises(RipresaError, match="not now"):
            await handle.rollback("inc")
        await tally.reach(2)
        tally.open()
        assert (await handle.result(), store.released) == (2, 0)


async def test_a_run_that_ends_as_it_is_stopped_and_cannot_be_taken_back_stays_ended() -> None:
    tally = Tally()

    @step(effect="irreversible")
    async def pay(value: int) -> int:
        with suppress(asyncio.CancelledError):
            await tally.visit()
        return value

    async with in_memory() as app:
        handle = await app.start(chain(inc).then(pay)(1), id="r")
        await tally.reach(1)
        with pytest.raises(RipresaError) as caught:
            await handle.rollback("inc")
        assert caught.value.code == "effects_undecided"
        assert (await handle.result(), (await handle.status()).status) == (2, "completed")
