"""A link that starts a run of its own and goes on, in chains, graphs and durable functions alike."""

from typing import Any

import pytest

from ripresa import (
    App,
    Context,
    Graph,
    InvalidConfig,
    Signal,
    branch,
    chain,
    detached,
    step,
    workflow,
)
from ripresa.core.events import MessageQueued
from ripresa.stores.memory import Memory
from tests.runtime.stage import in_memory, turns

GO = Signal("go", int)


@step
async def double(number: int) -> int:
    return 2 * number


@step
async def add(a: int, b: int = 1) -> int:
    return a + b


@workflow
async def waits(ctx: Context, number: int, *, more: int = 0) -> int:
    return number + more + await ctx.wait_for(GO)


def graph() -> Any:
    made = Graph("g", input=int)
    return made.returns(made.add(detached(waits)(made.add(double(made.input)).out)).out)


@workflow
async def function(ctx: Context, number: int) -> str:
    return await detached(waits)(await double(number), more=3)


@workflow
async def of_many(ctx: Context, number: int) -> list[str]:
    return [await detached(chain(double).then(double))(number), await detached(double)(number)]


async def started(app: App, run: str) -> Any:
    while await app.store.find_run(run) is None:
        await turns(1)
    return await app.handle(run)


@pytest.mark.parametrize(
    ("flow", "result"),
    [
        (chain(double).then(detached(waits)), 5),
        (chain(double).then(branch(lambda n: n > 0, detached(waits), add)), 5),
        (graph(), 5),
        (function, 8),
    ],
    ids=["chain", "branch", "graph", "function"],
)
async def test_a_run_of_its_own_begins_and_nobody_waits_for_it(flow: Any, result: int) -> None:
    async with in_memory(Memory()) as app:
        handle = await app.start(flow(1))
        child = await started(app, await handle.result())
        assert (await child.status()).parent == handle.id
        await child.send(GO, 3)
        assert await child.result() == result


async def test_chains_and_steps_are_started_too() -> None:
    async with in_memory(Memory()) as app:
        handle = await app.start(of_many(3))
        assert [await (await started(app, run)).result() for run in await handle.result()] == [12, 6]
        assert list((await handle.status()).children.values()) == ["started", "started"]


async def test_it_begins_with_the_completion_of_the_step_and_once() -> None:
    memory = Memory()
    flow = chain(detached(waits, name="begin")).then(fails)
    async with in_memory(memory) as app:
        handle = await app.start(flow(1), id="r")
        with pytest.raises(Exception, match="no"):
            await handle.result()
        MENDED.append(1)
        handle = await app.resume("r", flow)
        child = await started(app, await handle.result())
        sent = [each.event for each in await app.engine.history("r") if isinstance(each.event, MessageQueued)]
        assert [(each.path, each.kind) for each in sent] == [("begin", "start")]
        await child.cancel()


MENDED: list[int] = []


@step
async def fails(run: str) -> str:
    if not MENDED:
        raise ValueError("no")
    return run


def test_it_takes_what_the_flow_takes_and_has_its_name() -> None:
    link = detached(waits)
    assert (link.name, list(link.parameters.signature.parameters)) == ("start_waits", ["number", "more"])
    assert link.parameters.returns is str
    assert detached(chain(double)).parameters.type_of("input") is int
    assert link.__doc__ == "Start a run of waits."
    wrong: Any = "waits"
    with pytest.raises(InvalidConfig, match="cannot be run"):
        detached(wrong)


async def test_outside_a_run_nothing_is_started() -> None:
    assert await detached(waits)(1) == "outside-a-run"
