"""A failed run goes on where it failed when its code was mended; one whose structure changed is refused."""

from pathlib import Path
from typing import Any

import pytest

from ripresa import App, Context, Graph, chain, current, fold, map_each, parallel, repeat, step, workflow
from ripresa.core.events import IterationStarted, RunReopened, StepCompleted
from ripresa.errors import (
    DefinitionChanged,
    IllegalTransition,
    Nondeterminism,
    RipresaError,
    RunError,
    RunFailed,
    StoreError,
)
from ripresa.stores.memory import Memory, MemoryStore
from tests.runtime.stage import Failing, Tally, in_memory, journal_of, kinds

log: list[str] = []
mended = False


@step
async def good(value: int) -> int:
    log.append(f"{current().path}")
    return value + 1


@step(name="weak")
async def weak(value: int) -> int:
    log.append(f"{current().path}")
    if value == 3 and not mended:
        raise ValueError("a bug")
    return value + 1


@step
async def numbers(value: int) -> list[int]:
    log.append("numbers")
    return [1, 2, 3, 4]


@step(name="total")
async def total(so_far: int, value: int) -> int:
    log.append(f"{current().path}")
    if value == 3 and not mended:
        raise ValueError("a bug")
    return so_far + value


def a_graph() -> Any:
    graph = Graph("graph", input=int)
    one, two = graph.add(good(graph.input)), graph.add(weak(graph.input))
    return graph.returns(graph.add(total(one.out, two.out)).out)


@workflow(name="function")
async def with_a_weak_step(ctx: Context, value: int) -> int:
    first = await good(value)
    second, third = await ctx.gather(good(first), weak(3))
    return await good(second + third)


@workflow(name="bug")
async def with_a_bug_of_its_own(ctx: Context, value: int) -> int:
    first = await good(value)
    if not mended:
        raise KeyError("a bug in the function itself")
    return await good(first)


@workflow(name="nested")
async def with_a_weak_child(ctx: Context, value: int) -> int:
    return await chain(good).then(with_a_weak_step)(await good(value))


FLOWS: dict[str, tuple[Any, int, Any]] = {
    "chain": (chain(good).then(good).then(weak).then(good), 1, 5),
    "map": (chain(numbers).then(map_each(weak)), 1, [2, 3, 4, 5]),
    "window": (chain(numbers).then(map_each(weak, concurrency=1)), 1, [2, 3, 4, 5]),
    "parallel": (chain(parallel(good, weak, good)), 3, [4, 4, 4]),
    "fold": (chain(numbers).then(fold(total, 0)), 1, 10),
    "repeat": (repeat(weak, until=lambda value: value >= 6, at_most=9), 1, 6),
    "graph": (a_graph(), 3, 8),
    "function": (with_a_weak_step, 1, 8),
    "bug": (with_a_bug_of_its_own, 1, 3),
    "nested": (with_a_weak_child, 1, 10),
}


@pytest.mark.parametrize("elsewhere", [False, True], ids=["same app", "another app"])
@pytest.mark.parametrize("name", FLOWS)
async def test_a_failed_run_is_resumed_when_its_code_is_mended(name: str, elsewhere: bool) -> None:
    global mended
    flow, given, expected = FLOWS[name]
    memory = Memory()
    log.clear()
    mended = False
    async with in_memory(memory) as app:
        handle = await app.start(flow(given), id="run")
        with pytest.raises(RunFailed, match="a bug"):
            await handle.result()
        finished = {event.path for event in await journal_of(handle) if isinstance(event, StepCompleted)}
        mended = True
        log.clear()
        if not elsewhere:
            await handle.resume()
            assert as_json(await handle.result()) == expected
    if elsewhere:
        async with in_memory(memory) as app:
            handle = await app.resume("run", flow)
            assert as_json(await handle.result()) == expected
    async with in_memory(memory) as app:
        events = await journal_of(await app.handle("run"))
        assert (await app.runs()).runs[0].error == ""
    assert not finished.intersection(log), "finished steps ran again"
    assert sum(isinstance(event, RunReopened) for event in events) == 1
    assert kinds(events)[-1] == "RunCompleted"


def as_json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


async def test_a_run_that_fails_again_can_be_resumed_again() -> None:
    global mended
    flow, given, expected = FLOWS["chain"]
    mended = False
    async with in_memory() as app:
        handle = await app.start(flow(given), id="run")
        for attempt in (1, 2, 3):
            with pytest.raises(RunFailed) as caught:
                await handle.result()
            assert caught.value.failure.attempt == attempt
            assert (await app.runs()).runs[0].error == "step_failed"
            mended = attempt == 3
            await handle.resume()
        assert await handle.result() == expected


async def test_a_loop_goes_on_with_the_iteration_that_failed() -> None:
    global mended
    flow, given, expected = FLOWS["repeat"]
    mended = False
    async with in_memory() as app:
        handle = await app.start(flow(given), id="run")
        await handle.outcome()
        mended = True
        await handle.resume()
        assert await handle.result() == expected
        begun = [event.index for event in await journal_of(handle) if isinstance(event, IterationStarted)]
    assert begun == sorted(set(begun))


async def test_a_deadline_begins_anew_when_a_failed_run_is_resumed() -> None:
    from tests.runtime.stage import on_clock

    tally = Tally()

    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    async with on_clock() as (app, clock):
        handle = await app.start(chain(wait)(1), timeout=10)
        await tally.reach(1)
        clock.advance(10)
        assert (await handle.outcome()).error.failure.code == "deadline_exceeded"  # type: ignore[union-attr]
        await handle.resume()
        await tally.reach(2)
        clock.advance(9)
        tally.open()
        assert await handle.result() == 1


def changed() -> list[tuple[Any, str]]:
    """Structures that differ from `chain(good).then(weak)`, and the node that tells."""
    return [
        (chain(good).then(weak).then(good), "good"),
        (chain(good).then(good), "weak"),
        (chain(good).then(weak).named("other"), "name"),
        (chain(good).then(chain(weak)), "weak"),
    ]


@pytest.mark.parametrize("number", range(4))
async def test_a_changed_structure_is_refused_naming_the_nodes(number: int) -> None:
    global mended
    mended = False
    async with in_memory() as app:
        handle = await app.start(chain(good).then(weak)(2), id="run")
        await handle.outcome()
        other, node = changed()[number]
        with pytest.raises(DefinitionChanged) as caught:
            await app.resume("run", other)
        assert any(node in name for name in caught.value.nodes)
        assert node in str(caught.value)
        assert await app.store.owner("run") is None
        mended = True
        assert await (await app.resume("run", chain(good).then(weak))).result() == 4


async def test_retries_and_timeouts_may_change_under_a_run() -> None:
    global mended
    mended = False
    async with in_memory() as app:
        handle = await app.start(chain(good).then(weak)(2), id="run")
        await handle.outcome()
        mended = True
        other = chain(good.with_(timeout=5)).then(weak.with_(retry=7, concurrency=2))
        assert await (await app.resume("run", other)).result() == 4


@pytest.mark.parametrize("early", [False, True])
async def test_a_mended_function_may_change_only_what_it_died_of(early: bool) -> None:
    global mended
    mended = False

    @step
    async def other(value: int) -> int:
        return value

    @workflow
    async def function(ctx: Context, value: int) -> list[int]:
        first = await (other(value) if mended and early else good(value))
        if mended:
            second = await ctx.gather(good(first), other(first))
            return list(second)
        raise KeyError("a bug")

    async with in_memory() as app:
        handle = await app.start(function(1), id="run")
        assert (await handle.outcome()).status == "failed"
        mended = True
        if early:
            with pytest.raises(Nondeterminism, match="had asked for good, now it has asked for other"):
                await handle.resume()
            assert (await app.store.owner("run")) is None
            mended = False
            await handle.resume()
            assert (await handle.outcome()).status == "failed"
        else:
            await handle.resume()
            assert await handle.result() == [3, 2]


async def test_what_is_over_cannot_be_resumed_and_what_is_complete_needs_not() -> None:
    tally = Tally()

    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    flow = chain(wait)
    async with in_memory(workflows=[flow]) as app:
        for how in ("cancel", "terminate"):
            handle = await app.start(flow(1), id=how)
            await tally.reach(1)
            await getattr(handle, how)()
            await handle.outcome()
            with pytest.raises(IllegalTransition):
                await app.resume(how)
            with pytest.raises(IllegalTransition):
                await handle.resume()
        tally.open()
        done = await app.start(flow(1), id="done")
        await done.result()
        assert await (await app.resume("done")).result() == 1
        with pytest.raises(IllegalTransition):
            await done.resume()


async def test_a_running_run_is_resumed_to_itself_and_only_once_at_a_time() -> None:
    import asyncio

    tally, memory = Tally(), Memory()

    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    flow = chain(wait)
    async with in_memory(memory) as app:
        await app.start(flow(1), id="run")
        await tally.reach(1)
        await app.resume("run", flow)
        assert tally.entered == 1
    async with in_memory(memory) as app:
        handles = await asyncio.gather(*(app.resume("run", flow) for _ in range(5)))
        await tally.reach(2)
        tally.open()
        assert [await handle.result() for handle in handles] == [1] * 5
    assert tally.entered == 2


async def test_a_run_that_ends_while_it_is_being_taken_up_is_left_alone() -> None:
    tally, memory = Tally(open=True), Memory()

    @step
    async def visit(value: int) -> int:
        await tally.visit()
        return value

    flow = chain(visit)
    async with in_memory(memory) as app:
        await app.start(flow(1), id="run")
        head = await app.store.find_run("run")
        assert head is not None
    async with in_memory(memory) as app:
        assert await (await app.resume("run", flow)).result() == 1
    async with in_memory(memory) as app:
        with pytest.raises(IllegalTransition):
            await app.engine.take(head, flow)  # with what was known of it before it ended
        assert await app.store.owner("run") is None


async def test_everything_that_nobody_drives_is_taken_up_even_beside_what_cannot_be() -> None:
    tally, memory = Tally(), Memory()

    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    flow = chain(wait)
    lost = chain(wait).named("lost")
    async with in_memory(memory) as app:
        for number in range(3):
            await app.start(flow(number), id=f"r{number}")
        await app.start(lost(9), id="lost")
        await app.start(lost(9), id="lost too")
        await tally.reach(5)
    async with in_memory(memory, workflows=[flow]) as app:
        with pytest.raises(RipresaError) as caught:
            await app.resume_all()
        assert caught.value.code == "unknown_workflow"
        tally.open()
        for number in range(3):
            assert await (await app.handle(f"r{number}")).result() == number
    async with in_memory(memory, workflows=[flow, lost]) as app:
        handles = await app.resume_all()
        assert sorted(handle.id for handle in handles) == ["lost", "lost too"]
        assert [await handle.result() for handle in handles] == [9, 9]
        assert await app.resume_all() == []


async def test_an_abandoned_run_has_no_result_yet() -> None:
    tally, memory = Tally(), Memory()

    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    async with in_memory(memory) as app:
        await app.start(chain(wait)(1), id="run")
        await tally.reach(1)
    async with in_memory(memory) as app:
        handle = await app.handle("run")
        with pytest.raises(RunError) as caught:
            await handle.result()
        assert caught.value.code == "not_available"
        assert (await handle.outcome()).status == "running"
        tally.open()
        assert await app.run(chain(wait)(1), id="run") == 1


async def test_what_keeps_a_run_from_going_on_is_told_also_later() -> None:
    flow = chain(good).then(good)
    async with App(Failing(MemoryStore(), 2)) as app:
        handle = await app.start(flow(1), id="run")
        for _ in range(2):
            with pytest.raises(StoreError):
                await handle.result()
        await app.resume("run", flow)
        assert await handle.result() == 3


async def test_code_is_found_by_its_target_in_a_file(tmp_path: Path) -> None:
    code = tmp_path / "own.py"
    body = """
from ripresa import Context, chain, step, workflow

@step
async def one(value: int) -> int:
    {line}
    return value + 1

flow = chain(one)

@workflow
async def function(ctx: Context, value: int) -> int:
    return await one(value)
"""
    from ripresa.runtime.targets import load_target

    code.write_text(body.format(line='raise ValueError("mend me")'))
    memory = Memory()
    for name in ("flow", "function", "one"):
        runnable = load_target(f"{code}:{name}")
        async with in_memory(memory) as app:
            handle = await app.start(runnable(1), id=name)
            assert (await handle.outcome()).status == "failed"
            assert (await handle.status()).target == f"{code}:{name}"
    forget(code)
    code.write_text(body.format(line=""))
    for name in ("flow", "function", "one"):
        async with in_memory(memory) as app:
            assert await (await app.resume(name)).result() == 2
    forget(code)


def forget(code: Path) -> None:
    """As in a new process."""
    import importlib
    import sys

    for name, module in list(sys.modules.items()):
        if getattr(module, "__file__", None) == str(code):
            del sys.modules[name]
    sys.path.remove(str(code.parent))
    importlib.invalidate_caches()
