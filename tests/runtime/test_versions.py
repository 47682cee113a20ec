"""Several versions of a workflow stand side by side; a function's code changes under its runs; long ones begin anew."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ripresa import App, Context, Graph, Step, chain, current, step, workflow
from ripresa.authoring.registry import Registry
from ripresa.core.events import Asked, Restarted
from ripresa.errors import DefinitionChanged, InvalidConfig, RunFailed
from ripresa.runtime import interpreter
from ripresa.runtime.targets import load_version, migrations_beside, versions_beside
from ripresa.stores.memory import Memory
from tests.runtime.stage import Tally, all_of, in_memory, journal_of


@step
async def inc(value: int) -> int:
    return value + 1


@step
async def double(value: int) -> int:
    return value * 2


def waiting(tally: Tally) -> Step[[int], int]:
    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    return wait


# --- versions


def test_one_name_may_stand_for_several_versions() -> None:
    one, two = chain(inc, name="report"), chain(inc, name="report", version="2").then(double)
    assert (two.version, two.definition.version, two.cleanup(inc).version) == ("2", "2", "2")
    registry = Registry()
    assert (registry.register(one), registry.register(two), registry.register(one)) == (one, two, one)
    assert registry.versions("report") == {"1": one, "2": two}
    assert registry.find("report", version="2") is two
    assert registry.find("report", version="3") is None
    assert registry.find("report", "graph", version="2") is None
    assert registry.versions("other") == {}
    assert (len(registry), registry.list()) == (1, ["report"])
    with pytest.raises(InvalidConfig, match="another name or version"):
        registry.register(chain(double, name="report", version="2"))
    with pytest.raises(InvalidConfig, match="registered already"):
        registry.register(inc, name="report")
    registry.register(inc)
    with pytest.raises(InvalidConfig, match="registered already"):
        registry.register(chain(inc, name="inc", version="7"))
    assert registry.find("report") is one, "the one that was registered last"


def test_graphs_have_versions_and_none_is_empty() -> None:
    graph = Graph("g", input=int, version="3")
    assert graph.returns(graph.add(inc(graph.input)).out).definition.version == "3"
    for make in (lambda: Graph("g", input=int, version=""), lambda: chain(inc, version="")):
        with pytest.raises(InvalidConfig, match="version"):
            make()


async def test_unfinished_runs_keep_their_version_and_new_ones_have_the_new_one() -> None:
    tally, memory = Tally(), Memory()
    wait = waiting(tally)
    one = chain(inc, name="report").then(wait)
    two = chain(inc, name="report", version="2").then(wait).then(double)
    async with in_memory(memory, workflows=[one]) as app:
        await app.start(one(1), id="a")
        await tally.reach(1)
    async with in_memory(memory, workflows=[one, two]) as app:
        await app.start(two(1), id="b")
        await tally.reach(2)
    tally.open()
    async with in_memory(memory, workflows=[two, one]) as app:
        handles = await app.resume_all()
        assert {handle.id: await handle.result() for handle in handles} == {"a": 2, "b": 4}
        assert {run.id: run.version for run in (await app.runs()).runs} == {"a": "1", "b": "2"}


async def test_a_worker_without_the_version_of_a_run_declines_it() -> None:
    tally, memory = Tally(), Memory()
    one = chain(inc, name="report").then(waiting(tally))
    two = chain(inc, name="report", version="2").then(double)
    three = chain(inc, name="report", version="3")
    async with in_memory(memory) as app:
        await app.start(one(1), id="a")
        await tally.reach(1)
    for registered in ([two], [two, three]):
        async with in_memory(memory, workflows=registered) as app:
            with pytest.raises(DefinitionChanged, match="version"):
                await app.resume("a")
            assert (await app.store.owner("a")) is None


VERSIONED = """
from ripresa import chain, step

@step
async def inc(value: int) -> int:
    return value + 1

before = chain(inc, name="flow")
flow = chain(inc, name="flow", version="2").then(inc)
other = chain(inc, name="other")
"""


def test_a_version_is_found_beside_what_a_target_names(tmp_path: Path) -> None:
    file = tmp_path / "versioned.py"
    file.write_text(VERSIONED)
    target = f"{file}:flow"
    assert load_version(target, "2").version == "2"
    assert load_version(target, "1").version == "1"
    assert load_version(target, "9").version == "2"
    assert migrations_beside(target) == []
    assert [each.version for each in versions_beside(target)] == ["1", "2"]
    assert [each.version for each in versions_beside(f"{file}:inc")] == ["1"]


# --- changes of a function's code


async def test_a_change_is_gone_by_in_new_runs_and_not_in_those_that_had_passed() -> None:
    tally, memory, changed = Tally(), Memory(), False
    wait = waiting(tally)

    @workflow(name="flow")
    async def flow(ctx: Context, value: int) -> list[bool]:
        seen = []
        if changed:
            seen.append(ctx.patched("early"))
            if seen[-1]:
                value = await inc(value)
        await wait(value)
        if changed:
            seen.extend([ctx.patched("early"), ctx.patched("late")])
            if seen[-1]:
                await double(value)
        await wait(value)
        return seen

    async with in_memory(memory, workflows=[flow]) as app:
        await app.start(flow(1), id="old")
        await tally.reach(1)
    changed = True
    async with in_memory(memory, workflows=[flow]) as app:
        await app.start(flow(1), id="new")
        await app.resume("old")
        await tally.reach(3)
    tally.open()
    async with in_memory(memory, workflows=[flow]) as app:
        assert await (await app.resume("new")).result() == [True, True, True]
        assert await (await app.resume("old")).result() == [False, False, True]
        changed = False
        asked = [event for event in await journal_of(await app.handle("new")) if isinstance(event, Asked)]
        assert [call.segment for call in asked[0].calls if call.kind == "patch"] == ["early"]


async def test_a_change_that_a_function_ends_with_survives_too_and_its_question_may_be_removed() -> None:
    tally, memory, asked = Tally(), Memory(), True
    wait = waiting(tally)

    @workflow(name="short")
    async def short(ctx: Context, value: int) -> int:
        if asked and not ctx.patched("p"):
            return await double(value)
        return value

    @workflow(name="long")
    async def long(ctx: Context, value: int) -> int:
        first = await short(value)
        if asked and ctx.patched("q"):
            first += 1
        return await wait(first)

    async with in_memory(memory, workflows=[long]) as app:
        await app.start(long(1), id="a")
        await tally.reach(1)
        await app.start(long(2), id="b")
        await tally.reach(2)
    async with in_memory(memory, workflows=[long]) as app:
        await app.resume("a")
        await tally.reach(3)
    asked = False
    tally.open()
    async with in_memory(memory, workflows=[long]) as app:
        assert await (await app.resume("a")).result() == 2
        assert await (await app.resume("b")).result() == 3


async def test_a_change_is_rolled_back_with_what_asked_for_it() -> None:
    @workflow
    async def flow(ctx: Context, value: int) -> bool:
        value = await inc(value)
        found = ctx.patched("p")
        await double(value)
        return found

    async with in_memory() as app:
        handle = await app.start(flow(1))
        assert await handle.result() is True
        await handle.rollback("inc")
        assert await handle.result() is True
        await handle.rollback("double")
        assert await handle.result() is True


# --- beginning anew


async def test_a_function_that_goes_on_for_ever_begins_anew_now_and_then() -> None:
    keys: list[str] = []

    @step
    async def work(value: int) -> int:
        keys.append(current().idempotency_key)
        return value + 1

    cleaned: list[int] = []

    @workflow
    async def forever(ctx: Context, value: int, left: int = 2) -> int:
        try:
            value = await work(value)
        finally:
            cleaned.append(left)
        if left:
            ctx.restart(value, left=left - 1)
        return value

    async with in_memory() as app:
        handle = await app.start(forever(10))
        assert await handle.result() == 13
        assert len(set(keys)) == 3
        assert cleaned == [2, 1, 0]
        restarted = [event for event in await journal_of(handle) if isinstance(event, Restarted)]
        assert [event.input for event in restarted] == [b'{"value":11,"left":1}', b'{"value":12,"left":0}']
        view = await handle.status()
        assert (view.status, list(view.steps), view.completed) == ("completed", ["work"], 1)
        outer = chain(inc, name="outer").then(forever).then(double)
        assert await (await app.start(outer(1))).result() == 10


async def test_a_function_begins_anew_across_processes_and_out_of_a_gather() -> None:
    tally, memory = Tally(), Memory()
    wait = waiting(tally)

    @workflow
    async def rounds(ctx: Context, left: int) -> int:
        async def again() -> int:
            await inc(left)
            if left:
                ctx.restart(left - 1)
            return 0

        if not left:
            return await wait(left)
        await ctx.gather(again(), ctx.sleep(3600))
        return -1

    async with in_memory(memory, workflows=[rounds]) as app:
        await app.start(rounds(2), id="a")
        await tally.reach(1)
    tally.open()
    async with in_memory(memory, workflows=[rounds]) as app:
        handle = await app.resume("a")
        assert await handle.result() == 0
        assert len([item for item in await all_of(handle) if isinstance(item.event, Restarted)]) == 2


@pytest.mark.parametrize(("give", "code"), [((), "usage"), (("a lot",), "invalid_input"), ((1, 2, 3), "invalid_input")])
async def test_it_begins_anew_only_with_arguments_that_fit_and_after_having_done_something(
    give: tuple[Any, ...], code: str
) -> None:
    @workflow
    async def flow(ctx: Context, value: int = 0) -> int:
        if give:
            await inc(value)
        ctx.restart(*give)

    async with in_memory() as app:
        handle = await app.start(flow(1))
        with pytest.raises(RunFailed) as caught:
            await handle.result()
        assert caught.value.failure.code == code


async def test_a_function_that_is_cancelled_does_not_begin_anew() -> None:
    tally = Tally()
    wait = waiting(tally)

    @workflow
    async def flow(ctx: Context, value: int) -> int:
        try:
            return await wait(value)
        except asyncio.CancelledError:
            ctx.restart(value)

    async with in_memory() as app:
        handle = await app.start(flow(1))
        await tally.reach(1)
        await handle.cancel()
        assert (await handle.outcome()).status == "cancelled"


async def test_a_function_has_a_limit_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "MOST_CALLS", 3)

    @workflow
    async def long(ctx: Context, count: int) -> int:
        done = 0
        for number in range(count):
            done = await inc(number)
        return done

    async with in_memory() as app:
        assert await (await app.start(long(3))).result() == 3
        with pytest.raises(RunFailed, match=r"3 calls") as caught:
            await (await app.start(long(4))).result()
        assert caught.value.failure.code == "function_too_long"


async def test_an_app_refuses_two_of_one_version() -> None:
    with pytest.raises(InvalidConfig):
        App(workflows=[chain(inc, name="a"), chain(double, name="a")])
