"""Streams of migrated runs: those that ended keep result and counts, others go on where they were, or are refused."""

from collections.abc import AsyncIterator, Callable
from copy import deepcopy
from typing import Any, cast

import pytest

from ripresa import (
    App,
    At,
    Context,
    Graph,
    Migration,
    RunForm,
    Step,
    StreamPlace,
    StreamResult,
    chain,
    migration,
    step,
    stream,
    workflow,
)
from ripresa.core.events import StreamAdvanced
from ripresa.core.replay import lineage
from ripresa.core.usage import used_in
from ripresa.errors import RipresaError, RunFailed
from ripresa.stores.memory import Memory
from tests.runtime.stage import Tally, in_memory, turns

UP = Migration("flow", "1", "2")
SEEN: list[Any] = []


@pytest.fixture(autouse=True)
def clean() -> None:
    SEEN.clear()


async def numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


async def placed(count: int, position: int | None) -> AsyncIterator[At[int, int]]:
    for number in range(position or 0, count):
        yield At(number, number + 1)


async def named(count: int, position: str | None) -> AsyncIterator[At[int, str]]:
    for number in range(int(position or 0), count):
        yield At(number, str(number + 1))


def sink(tally: Tally | None, at: int = 3, *, name: str = "keep") -> Any:
    """A sink that notes what it is given, and waits with the batch of this number."""
    calls = [0]

    async def keep(batch: Any) -> None:
        calls[0] += 1
        if tally is not None and calls[0] == at:
            await tally.visit()
        SEEN.append(batch)

    keep.__name__ = name
    return keep


def counted() -> Any:
    """A stream of numbers without positions, which are passed over."""
    return stream(numbers, name="pump", on_restart="skip")


@step
async def tell(found: StreamResult) -> str:
    return f"{found.batches} of {found.taken}"


@step
async def inc(value: int) -> int:
    return value + 1


def held(tally: Tally, name: str = "hold") -> Any:
    @step(name=name)
    async def hold(value: Any) -> Any:
        await tally.visit()
        return value

    return hold


def chained(version: str, pump: Any, last: Any) -> Any:
    links = chain(cast("Step[[int], int]", inc), name="flow", version=version).then(pump).then(last)
    return links if version == "1" else links.then(cast("Step[[Any], Any]", keep_it))


def wired(version: str, pump: Any, last: Any) -> Any:
    graph = Graph("flow", input=int, version=version)
    found = graph.add(pump(graph.add(inc(graph.input)).out))
    end = graph.add(last(found.out))
    return graph.returns(end.out if version == "1" else graph.add(keep_it(end.out)).out)


def dynamic(version: str, pump: Any, last: Any) -> Any:
    @workflow(name="flow", version=version)
    async def flow(ctx: Context, count: int) -> Any:
        found = await last(await pump(await inc(count)))
        return found if version == "1" else await keep_it(found)

    return flow


@step
async def keep_it(value: Any) -> Any:
    return value


FORMS = pytest.mark.parametrize("form", [chained, wired, dynamic], ids=["chain", "graph", "function"])


def killed(memory: Memory) -> Memory:
    """What the store holds after a kill at this very moment."""
    found = deepcopy(memory)
    for run in found.runs.values():
        run.owner = ""
    return found


async def left(flow: Any, tally: Tally, count: int = 9) -> Memory:
    """What a process left that was killed in the middle."""
    memory = Memory()
    async with in_memory(memory) as app:
        await app.start(flow(count), id="r")
        await tally.reach(1)
        await turns(20)  # what a sink acknowledged before is recorded by then
        found = killed(memory)
    SEEN.clear()
    return found


async def line(app: App) -> list[Any]:
    return [item.event for item in lineage(list(await app.engine.history("r")))]


@FORMS
@pytest.mark.parametrize(("source", "restart"), [(numbers, "skip"), (placed, "fail")])
async def test_an_open_stream_goes_on_from_where_it_stood(form: Any, source: Any, restart: Any) -> None:
    tally = Tally()
    memory = await left(
        form("1", stream(source, name="pump", on_restart=restart).batch(2).into(sink(tally)), tell), tally
    )
    new = form("2", stream(source, name="pump", on_restart=restart).batch(2).into(sink(None)), tell)
    async with in_memory(memory, migrations=[UP]) as app:
        dry = await app.migrate("r", new, dry_run=True)
        assert (dry.taken, dry.ahead, dry.unused) == (("inc",), ("pump",), ())
        assert [(run.verdict, run.why) for run in await app.plan(new)] == [("migrate", "by migration")]
        before = used_in(await line(app))[1]
        await app.migrate("r", new)
        assert used_in(await line(app))[1] == {**before, "operations": before["operations"] + 1}  # it is begun again
        handle = await app.resume("r", new)
        assert await handle.result() == "5 of 10"
        assert SEEN == [[4, 5], [6, 7], [8, 9]]
        pumped = (await handle.status()).streams["pump"]
        assert (pumped.batches, pumped.taken, pumped.status) == (5, 10, "exhausted")


@FORMS
async def test_a_stream_that_has_ended_keeps_its_result_and_its_counts(form: Any) -> None:
    tally = Tally()
    last = held(tally)
    memory = await left(form("1", stream(placed, name="pump").batch(4).into(sink(None)), last), tally)
    tally.open()
    new = form("2", stream(placed, name="pump").batch(4).into(sink(None)), last)
    async with in_memory(memory, migrations=[UP]) as app:
        report = await app.migrate("r", new)
        assert (report.taken, report.ahead) == (("inc", "pump"), ("hold",))
        handle = await app.resume("r", new)
        found = await handle.result()
        assert (found["batches"], found["taken"], found["reason"], SEEN) == (3, 10, "exhausted", [])
        pumped = (await handle.status()).streams["pump"]
        assert (pumped.batches, pumped.taken, pumped.status) == (3, 10, "exhausted")


async def test_a_stream_that_the_new_version_comes_to_later_goes_on_then() -> None:
    tally = Tally()
    memory = await left(chained("1", counted().batch(2).into(sink(tally)), tell), tally)
    pump = counted().batch(2).into(sink(None))
    new = chain(inc, name="flow", version="2").then(held(Tally(open=True))).then(pump).then(tell)
    async with in_memory(memory, migrations=[UP]) as app:
        report = await app.migrate("r", new)
        assert (report.ahead, report.unused) == (("hold",), ("pump",))
        assert (await (await app.resume("r", new)).result(), SEEN) == ("5 of 10", [[4, 5], [6, 7], [8, 9]])


async def test_a_migration_may_rename_a_stream_change_its_position_or_forget_it() -> None:
    tally = Tally()
    memory = await left(chained("1", stream(placed, name="pump").batch(2).into(sink(tally)), tell), tally)
    new = chained("2", stream(named, name="pour").batch(2).into(sink(None)), tell)

    @migration("flow", from_="1", to="2")
    def renames(run: RunForm) -> None:
        run.rename("pump", "pour")

    @migration("flow", from_="1", to="2")
    def changes(run: RunForm) -> None:
        run.rename("pump", "pour")
        assert run.streams == {"pour": StreamPlace(2, 4, position=4, stages=("batch batch",))}
        run.streams["pour"].position = "6"

    @migration("flow", from_="1", to="2")
    def forgets(run: RunForm) -> None:
        run.forget("pump")

    @migration("flow", from_="1", to="2")
    def breaks(run: RunForm) -> None:
        run.streams["pump"].position = {1, object()}

    for up, code in ((renames, "migration_failed"), (breaks, "migration_failed")):
        async with in_memory(memory, migrations=[up]) as app:
            before = len(await app.engine.history("r"))
            with pytest.raises(RipresaError) as caught:
                await app.migrate("r", new)
            assert caught.value.code == code
            assert len(await app.engine.history("r")) == before
            [planned] = await app.plan(new)
            assert planned.verdict == "blocked"
    for up, found in ((changes, [[6, 7], [8, 9]]), (forgets, [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]])):
        SEEN.clear()
        async with in_memory(deepcopy(memory), migrations=[up]) as app:
            await app.migrate("r", new)
            await (await app.resume("r", new)).result()
            assert found == SEEN


def total(so_far: int, batch: list[int]) -> int:
    return so_far + sum(batch)


def joined(so_far: str, batch: list[int]) -> str:
    return so_far + str(batch)


def bigger(value: int) -> bool:
    return value >= 0


@FORMS
async def test_what_its_stages_held_open_is_there_still_and_a_fold_goes_on(form: Any) -> None:
    tally = Tally()

    def folds(so_far: int, window: list[int]) -> int:
        return total(so_far, window)

    async def slow(window: list[int]) -> list[int]:
        if window[0] == 4 and not tally.entered:
            await tally.visit()
        return window

    def pump() -> Any:
        return counted().filter(bigger).window(4, every=2).map(slow).fold(folds, 0, every=1)

    memory = await left(form("1", pump(), keep_it.with_(name="last")), tally)
    held_open = [fact for fact in [*await _facts(memory)] if fact.held != b"null"]
    assert held_open
    async with in_memory(memory, migrations=[UP]) as app:
        await app.migrate("r", form("2", pump(), keep_it.with_(name="last")))
        handle = await app.resume("r", form("2", pump(), keep_it.with_(name="last")))
        async with in_memory() as other:
            assert await handle.result() == await other.run(form("2", pump(), keep_it.with_(name="last"))(9))


async def _facts(memory: Memory) -> list[StreamAdvanced]:
    async with in_memory(deepcopy(memory)) as app:
        return [event for event in await line(app) if isinstance(event, StreamAdvanced)]


def windowed(made: Callable[[Any], Any], tally: Tally | None) -> Any:
    """A stream whose windows are held open, made of this."""

    async def slow(window: list[int]) -> list[int]:
        if tally is not None and window[0] == 4:
            await tally.visit()
        return window

    return made(counted()).map(slow).fold(total, 0, every=1)


def in_windows(found: Any) -> Any:
    return found.window(4, every=2)


def in_batches(found: Any) -> Any:
    return found.batch(2)


def filtered(found: Any) -> Any:
    return found.filter(bigger).window(4, every=2)


def nested(version: str, pump: Any, last: Any) -> Any:
    inner = chain(cast("Step[[int], int]", inc), name="inner").then(pump)

    @workflow(name="flow", version=version)
    async def flow(ctx: Context, count: int) -> Any:
        return await last(await inner(count))

    return flow


@pytest.mark.parametrize("made", [in_batches, filtered])
@pytest.mark.parametrize("form", [chained, dynamic, nested])
async def test_where_what_was_held_open_means_nothing_any_more_it_is_said_and_what_to_do(made: Any, form: Any) -> None:
    tally = Tally()
    last = keep_it.with_(name="last")
    memory = await left(form("1", windowed(in_windows, tally), last), tally)
    new = form("2", windowed(made, None), last)
    async with in_memory(memory, migrations=[UP]) as app:
        with pytest.raises(RipresaError, match="its stages have changed") as caught:
            await app.migrate("r", new)
        assert (caught.value.code, caught.value.where) == (
            "migration_failed",
            "inner/pump" if form is nested else "pump",
        )
        assert "run.forget" in str(caught.value)


async def test_a_position_of_another_type_is_refused() -> None:
    tally = Tally()
    memory = await left(chained("1", stream(placed, name="pump").batch(2).into(sink(tally)), tell), tally)
    async with in_memory(memory, migrations=[UP]) as app:
        with pytest.raises(RipresaError, match="cannot go on after 4 items") as caught:
            await app.migrate("r", chained("2", stream(named, name="pump").batch(2).into(sink(None)), tell))
        assert caught.value.where == "pump"


async def test_a_stream_whose_source_or_sink_is_of_another_kind_or_that_is_none_any_more_is_refused() -> None:
    tally, last = Tally(), keep_it.with_(name="last")
    memory = await left(chained("1", stream(named, name="pump").batch(2).into(sink(tally)), last), tally)
    folding, other = Tally(), None

    async def slow(batch: list[int]) -> list[int]:
        if batch[0] == 4 and other is None:
            await folding.visit()
        return batch

    folded = await left(
        chained("1", counted().batch(2).map(slow).fold(total, 0, every=1), last),
        folding,
    )
    cases = (
        (folded, stream(numbers, name="pump").batch(2).fold(total, 0, every=1), "on_restart"),
        (memory, counted().batch(2).into(sink(None)), "no positions"),
        (memory, stream(named, name="pump").batch(2).fold(total, 0, every=1), "int"),
        (memory, held(Tally(open=True), "pump"), "no stream"),
        (folded, counted().batch(2).into(sink(None)), "does not fold"),
        (folded, counted().batch(2).fold(joined, "", every=1), "string"),
    )
    for kept, pump, why in cases:
        async with in_memory(kept, migrations=[UP]) as app:
            with pytest.raises(RipresaError, match=why) as caught:
                await app.migrate("r", chained("2", pump, last))
            assert (caught.value.code, caught.value.where) == ("migration_failed", "pump")


async def test_a_stream_that_ended_may_become_a_step_with_its_result() -> None:
    tally = Tally()
    memory = await left(chained("1", stream(placed, name="pump").batch(4).into(sink(None)), held(tally)), tally)
    new = chained("2", keep_it.with_(name="pump"), held(Tally(open=True)))
    async with in_memory(memory, migrations=[UP]) as app:
        assert (await app.migrate("r", new)).taken == ("inc", "pump")
        found = await (await app.resume("r", new)).result()
        assert (found["taken"], SEEN) == (10, [])


async def test_a_stream_that_does_not_fit_where_the_run_comes_to_it_later_fails_it() -> None:
    tally = Tally()
    memory = await left(chained("1", stream(placed, name="pump").batch(2).into(sink(tally)), tell), tally)
    pump = stream(named, name="pump").batch(2).into(sink(None))
    new = chain(inc, name="flow", version="2").then(held(Tally(open=True))).then(pump).then(tell)
    async with in_memory(memory, migrations=[UP]) as app:
        await app.migrate("r", new)
        handle = await app.resume("r", new)
        with pytest.raises(RunFailed, match="cannot go on after 4 items"):
            await handle.result()
        assert await (await app.resume("r", new)).result() == "5 of 10"  # anew, if somebody wants that


async def test_what_a_stream_of_a_function_held_open_does_not_go_on_in_a_chain() -> None:
    tally, last = Tally(), keep_it.with_(name="last")
    memory = await left(dynamic("1", windowed(in_windows, tally), last), tally)
    async with in_memory(memory, migrations=[UP]) as app:
        with pytest.raises(RipresaError, match="its stages have changed"):
            await app.migrate("r", chained("2", windowed(in_windows, None), last))
