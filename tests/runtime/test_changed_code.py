"""A function whose code changed before the place it goes on from is refused before anything is written or done."""

from contextlib import suppress
from typing import Any

import pytest

from ripresa import App, Context, Graph, best_effort, chain, current, fallback, map_each, parallel, step, workflow
from ripresa.core.events import Event, RunReopened, StepScheduled
from ripresa.errors import Nondeterminism, RunFailed
from ripresa.stores.memory import Memory
from tests.runtime.stage import Tally, in_memory, journal_of, kinds, turns


class Stage:
    """What the steps of a test do: `changed` is the code of its functions, `broken` what fails; `done` what ran."""

    def __init__(self) -> None:
        self.changed = False
        self.broken = True
        self.done: list[str] = []
        self.tally = Tally(open=True)


stage = Stage()


@pytest.fixture(autouse=True)
def _anew() -> None:
    global stage
    stage = Stage()


@step
async def a(value: int) -> int:
    stage.done.append(f"a {value}")
    return value


@step
async def b(value: int) -> int:
    stage.done.append(f"b {value}")
    return value


@step
async def pay(value: int) -> int:
    stage.done.append(f"pay {value} {current().attempt}")
    await stage.tally.visit()
    if stage.broken:
        raise ValueError("boom")
    return value


@step
async def after(value: int) -> int:
    return value + 1


@workflow
async def function(ctx: Context, value: int) -> int:
    first = await (b(value) if stage.changed else a(value))
    return await pay(first)


@workflow
async def inserted(ctx: Context, value: int) -> int:
    if stage.changed:
        await b(value)
    return await pay(await a(value))


@workflow
async def given_up(ctx: Context, value: int) -> int:
    if not stage.changed:
        await ctx.race(a(value), ctx.sleep(60))
    return await pay(value)


@workflow
async def second_only(ctx: Context, value: int) -> int:
    """The code of the last item of a map changes, not that of the first."""
    first = await (b(value) if stage.changed and value == 3 else a(value))
    return await pay(first)


@workflow
async def caller(ctx: Context, value: int) -> int:
    return await function(await after(value))


@workflow
async def side_by_side(ctx: Context, value: int) -> list[int]:
    return list(await ctx.gather(function(value), function(value + 1)))


@workflow
async def mapping(ctx: Context, value: int) -> list[int]:
    return await ctx.map(function, [value, value + 1], concurrency=1)


@workflow
async def mapping_calls(ctx: Context, value: int) -> list[int]:
    async def one(item: int) -> int:
        return await pay(await (b(item) if stage.changed else a(item)))

    return await ctx.map(one, [value, value + 1])


def a_graph() -> Any:
    graph = Graph("graph", input=int)
    one = graph.add(after(graph.input))
    two = graph.add(function(one.out))
    return graph.returns(graph.add(after(two.out)).out)


FORMS: dict[str, tuple[Any, Any]] = {
    "function": (function, 1),
    "inserted": (inserted, 1),
    "given up": (given_up, 1),
    "chain": (chain(after).then(function).then(after), 3),
    "graph": (a_graph(), 3),
    "parallel": (chain(parallel(after, function)), [2, 1]),
    "caller": (caller, 2),
    "gather": (side_by_side, [1, 2]),
    "map": (mapping, [1, 2]),
    "map of calls": (mapping_calls, [1, 2]),
    "chain in a chain": (chain(after).then(chain(caller)), 3),
}


async def refused(app: App, run: str, flow: Any) -> None:
    """Resuming the run is refused, and nothing but that has happened."""
    handle = await app.handle(run, flow)
    before, done, status = await journal_of(handle), list(stage.done), (await handle.status()).status
    for _ in range(3):
        with pytest.raises(Nondeterminism) as caught:
            await app.resume(run, flow)
        assert caught.value.where
        await turns(2)
        assert await journal_of(handle) == before
        assert stage.done == done
        assert (await handle.status()).status == status
        assert await app.store.owner(run) is None


def as_json(value: Any) -> Any:
    return [*value] if type(value) is tuple else value  # pyright: ignore[reportUnknownVariableType]


def attempts(events: list[Event]) -> int:
    return max(event.attempt for event in events if isinstance(event, StepScheduled))


@pytest.mark.parametrize("name", FORMS)
async def test_a_failed_run_whose_function_changed_is_refused_untouched(name: str) -> None:
    flow, expected = FORMS[name]
    memory = Memory()
    async with in_memory(memory) as app:
        with pytest.raises(RunFailed, match="boom"):
            await app.run(flow(1), id="r")
    stage.changed, stage.broken = True, False
    async with in_memory(memory) as app:
        await refused(app, "r", flow)
        assert (await app.runs()).runs[0].status == "failed"
        stage.changed = False
        handle = await app.resume("r", flow)
        result = await handle.result()
        assert as_json(result) == expected
        events = await journal_of(handle)
    assert sum(isinstance(event, RunReopened) for event in events) == 1
    assert "AttemptLost" not in kinds(events)
    assert attempts(events) == 2


@pytest.mark.parametrize("name", FORMS)
async def test_a_killed_run_whose_function_changed_is_refused_untouched(name: str) -> None:
    flow, expected = FORMS[name]
    stage.broken, stage.tally = False, Tally()
    memory = Memory()
    async with in_memory(memory) as app:
        await app.start(flow(1), id="r")
        await stage.tally.reach(1)
    stage.changed, stage.tally = True, Tally(open=True)
    async with in_memory(memory) as app:
        await refused(app, "r", flow)
        stage.changed = False
        result = await (await app.resume("r", flow)).result()
        assert as_json(result) == expected


@pytest.mark.parametrize("name", FORMS)
async def test_so_is_a_run_that_was_reopened_and_killed_then(name: str) -> None:
    flow, expected = FORMS[name]
    memory = Memory()
    async with in_memory(memory) as app:
        with pytest.raises(RunFailed, match="boom"):
            await app.run(flow(1), id="r")
        stage.broken, stage.tally = False, Tally()
        await app.resume("r", flow)
        await stage.tally.reach(1)
    stage.changed, stage.tally = True, Tally(open=True)
    async with in_memory(memory) as app:
        await refused(app, "r", flow)
        stage.changed = False
        result = await (await app.resume("r", flow)).result()
        assert as_json(result) == expected


async def test_an_irreversible_step_is_not_done_for_a_function_that_cannot_take_its_result() -> None:
    charge = pay.with_(effect="irreversible", name="charge")

    @workflow
    async def buys(ctx: Context, value: int) -> int:
        return await charge(await (b(value) if stage.changed else a(value)))

    async with in_memory() as app:
        handle = await app.start(buys(1), id="r")
        await handle.outcome()
        stage.changed, stage.broken = True, False
        await refused(app, "r", buys)
        stage.changed = False
        await handle.resume()
        assert await handle.result() == 1
    assert stage.done == ["a 1", "pay 1 1", "pay 1 2"]


@pytest.mark.parametrize("form", ["map", "function", "graph", "nested"])
async def test_so_is_one_whose_turn_to_go_on_comes_later(form: str) -> None:
    @workflow
    async def within(ctx: Context, value: int) -> int:
        with suppress(ValueError):
            await pay(-value)
        return await chain(second_only)(value)

    slow = map_each(within if form == "nested" else second_only, concurrency=1, on_error="fail_slow")

    @workflow
    async def maps(ctx: Context, values: list[int]) -> list[int]:
        return list(await slow(values))

    graph = Graph("slowly", input=list[int], concurrency=1, keep_going=True)
    nodes = [graph.add(second_only(graph.input[index])) for index in range(3)]
    last = graph.returns(graph.add(together(nodes[0].out, nodes[1].out, nodes[2].out)).out)
    flow: Any = {"map": slow, "function": maps, "graph": last, "nested": slow}[form]
    async with in_memory() as app:
        handle = await app.start(flow([1, 2, 3]), id="r")
        with pytest.raises(RunFailed):
            await handle.result()
        stage.changed, stage.broken = True, False
        await refused(app, "r", flow)
        stage.changed = False
        await handle.resume()
        assert list(await handle.result()) == [1, 2, 3]


@step
async def together(one: int, two: int, three: int) -> list[int]:
    return [one, two, three]


@pytest.mark.parametrize("form", ["called", "chain", "tolerated", "fallen back"])
async def test_a_function_that_the_run_does_not_come_back_to_may_have_changed(form: str) -> None:
    @workflow
    async def failing(ctx: Context, value: int) -> int:
        await (b(value) if stage.changed else a(value))
        raise ValueError("its own")

    @workflow
    async def calls(ctx: Context, value: int) -> int:
        with suppress(Exception):
            await failing(value)
        return await pay(value)

    @workflow
    async def done(ctx: Context, value: int) -> int:
        return await (b(value) if stage.changed else a(value))

    flow: Any = {
        "called": calls,
        "chain": chain(done).then(pay),
        "tolerated": chain(best_effort(failing, after)).then(first_of).then(pay),
        "fallen back": chain(fallback(failing, after)).then(pay),
    }[form]
    async with in_memory() as app:
        handle = await app.start(flow(1), id="r")
        with pytest.raises(RunFailed, match="boom"):
            await handle.result()
        stage.changed, stage.broken = True, False
        await handle.resume()
        assert await handle.result() == (2 if form == "fallen back" else 1)


@step
async def first_of(values: tuple[int | None, int | None]) -> int:
    return values[0] or 1


@pytest.mark.parametrize("form", ["after", "around", "caught", "beside"])
async def test_what_comes_after_the_failure_may_have_changed(form: str) -> None:
    @workflow
    async def mends(ctx: Context, value: int) -> int:
        first = await a(value)
        if form == "beside":
            found = await ctx.gather(pay(first), a(first + 1))
            return found[0] if not stage.changed else await b(found[0])
        if stage.changed and form in ("around", "caught"):
            try:
                return await pay(first)
            except ValueError:
                return await b(first)
        try:
            return await pay(first)
        except ValueError:
            if not stage.changed:
                await after(first)
            raise

    @workflow
    async def outer(ctx: Context, value: int) -> int:
        return await chain(after).then(mends)(value)

    for flow, expected in ((mends, 1), (outer, 2)):
        stage.changed, stage.broken = False, True
        async with in_memory() as app:
            handle = await app.start(flow(1), id="r")
            with pytest.raises(RunFailed, match="boom"):
                await handle.result()
            stage.changed, stage.broken = True, form == "caught"
            await handle.resume()
            assert await handle.result() == expected


async def test_a_child_run_whose_function_changed_is_refused_untouched() -> None:
    @workflow
    async def parent(ctx: Context, value: int) -> int:
        child = await ctx.start(function(value), id="kid")
        return await child.result()

    async with in_memory(workflows=[function, parent]) as app:
        with pytest.raises(RunFailed):
            await app.run(parent(1), id="r")
        stage.changed, stage.broken = True, False
        await refused(app, "kid", function)
        stage.changed = False
        assert await (await app.resume("kid", function)).result() == 1
        assert await (await app.resume("r", parent)).result() == 1


@pytest.mark.parametrize("form", ["function", "chain"])
async def test_a_run_whose_function_changed_can_be_undone(form: str) -> None:
    flow: Any = function if form == "function" else chain(function)
    async with in_memory() as app:
        handle = await app.start(flow(1), id="r")
        await handle.outcome()
        stage.changed = True
        assert (await handle.undo()).undone == ()
        assert (await handle.status()).status == "undone"


async def test_a_run_does_not_go_back_to_after_a_place_where_its_code_differs() -> None:
    async with in_memory() as app:
        handle = await app.start(function(1), id="r")
        await handle.outcome()
        stage.broken = False
        await handle.resume()
        assert await handle.result() == 1
        before = await journal_of(handle)
        place = kinds(before).index("RunReopened") + 2
        stage.changed = True
        with pytest.raises(Nondeterminism):
            await handle.rollback(place)
        with pytest.raises(Nondeterminism):
            await handle.fork(place, id="twin")
        assert await journal_of(handle) == before
        assert stage.done == ["a 1", "pay 1 1", "pay 1 2"]
        assert [head.id for head in (await app.runs()).runs] == ["r"]
        stage.changed = False
        assert await (await handle.fork(place, id="twin")).result() == 1
        await handle.rollback(place)
        assert await handle.result() == 1


async def test_a_failed_run_is_not_forked_with_code_that_differs() -> None:
    async with in_memory() as app:
        handle = await app.start(function(1), id="r")
        await handle.outcome()
        stage.changed, stage.broken = True, False
        with pytest.raises(Nondeterminism):
            await handle.fork(id="twin")
        assert stage.done == ["a 1", "pay 1 1"]
        stage.changed = False
        assert await (await handle.fork(id="twin")).result() == 1
