"""Agents by name, their lives, and pools of them."""

import asyncio
from typing import Any

import pytest

from ripresa import Agent, Agents, AgentStatus, App, InvalidConfig, RipresaError, RunFailed, StepContext, map_each
from ripresa.testing.fake_model import FakeModel
from tests.runtime.stage import Tally


class Worker:
    """An agent with a life: it counts what happens to it."""

    name = "worker"

    def __init__(self, log: list[str], *, broken: bool = False, tally: Tally | None = None) -> None:
        self.log, self.broken, self.tally = log, broken, tally
        self.well = True

    async def setup(self) -> None:
        self.log.append("setup")
        if self.broken:
            raise ValueError("no key")

    async def run(self, input: str, ctx: StepContext) -> str:
        if self.tally is not None:
            await self.tally.visit()
        if input == "fail":
            raise ValueError("no")
        return input.upper()

    def healthy(self) -> bool:
        return self.well

    def close(self) -> None:
        self.log.append("close")


async def test_an_agent_that_is_cancelled_is_no_worse_for_it() -> None:
    begun = asyncio.Event()

    class Slow:
        name = "slow"

        async def run(self, input: str, ctx: StepContext) -> str:
            begun.set()
            await asyncio.Event().wait()
            return input

    agents = Agents([Slow()])
    async with App("memory:") as app:
        handle = await app.start(agents.step("slow")("x"))
        await begun.wait()
        await handle.cancel()
        with pytest.raises(RipresaError):
            await handle.result()
    (found,) = agents.status()
    assert (found.status, found.working, found.done, found.failed) == ("ready", 0, 0, 0)


async def test_an_agent_is_found_by_its_name_when_the_step_runs() -> None:
    log: list[str] = []
    agents = Agents([Agent("writer", input=str, output=str)])
    shout = agents.step("worker")
    async with App("memory:", models={"*": FakeModel("text")}) as app, agents.running():
        assert await app.run(agents.step("writer")("x")) == "text"
        with pytest.raises(RunFailed) as caught:
            await app.run(shout("a"))
        assert caught.value.failure.code == "unknown_agent"
        worker = agents.register(Worker(log))
        assert isinstance(worker, Worker)
        assert await app.run(shout("a")) == "A"
        with pytest.raises(RunFailed):
            await app.run(shout("fail"))
        assert [(each.name, each.status, each.done, each.failed) for each in agents.status()] == [
            ("worker", "ready", 1, 1),
            ("writer", "ready", 1, 0),
        ]
        assert "worker" in agents
        worked, wrote = agents.status()
        assert worked == AgentStatus("worker", "ready", working=0, done=1, failed=1, error="")
        assert wrote.name == "writer"
    assert log == ["setup", "close"]
    assert {each.status for each in agents.status()} == {"stopped"}


async def test_an_agent_lives_from_init_to_stop() -> None:
    log: list[str] = []
    agents = Agents()
    agents.provide("worker", lambda: Worker(log))
    member = agents.get("worker")
    assert (member.status, await member.healthy(), repr(member)) == ("init", True, "<agent worker, init>")
    assert await member.work("a") == "A"
    member.pause()
    assert (member.status, await member.healthy()) == ("paused", False)
    with pytest.raises(RipresaError, match="is paused") as caught:
        await member.work("a")
    assert caught.value.code == "agent_unavailable"
    member.resume()
    assert await member.work("b") == "B"
    await member.stop()
    with pytest.raises(RipresaError, match="is stopped"):
        await member.work("a")
    with pytest.raises(RipresaError, match="cannot become paused") as illegal:
        member.pause()
    assert illegal.value.code == "illegal_transition"
    await member.restart()
    assert await member.work("c") == "C"
    assert log == ["setup", "close", "setup"]


async def test_an_agent_that_cannot_be_begun_is_broken_until_it_is_restarted() -> None:
    log: list[str] = []
    broken = Worker(log, broken=True)
    agents = Agents([broken])
    member = agents.get("worker")
    with pytest.raises(ValueError, match="no key"):
        await member.work("a")
    assert (member.state.status, member.state.error) == ("error", "ValueError: no key")
    assert not await member.healthy()
    with pytest.raises(RipresaError, match="is error: ValueError: no key"):
        await member.work("a")
    broken.broken = False
    await member.restart()
    assert await member.work("a") == "A"
    assert member.state.error == ""


async def test_an_agent_is_running_while_it_works_and_what_is_under_way_goes_on() -> None:
    tally = Tally()
    member = Agents([Worker([], tally=tally)]).get("worker")
    works = [asyncio.create_task(member.work(text)) for text in "ab"]
    await tally.reach(2)
    assert (member.state.status, member.state.working) == ("running", 2)
    member.pause()
    tally.open()
    assert await asyncio.gather(*works) == ["A", "B"]
    assert (member.status, member.state.done) == ("paused", 2)


async def test_branches_draw_agents_from_a_pool() -> None:
    tally, made = Tally(), list[Worker]()

    def make() -> Worker:
        made.append(Worker([], tally=tally))
        return made[-1]

    agents = Agents()
    agents.provide("worker", make)
    pool = agents.pool("worker", 2)
    async with App("memory:", pools=[pool]) as app:
        handle = await app.start(map_each(agents.pooled(pool))(["a", "b", "c", "d"]))
        await tally.reach(2)
        (status,) = app.pools()
        assert (status.size, status.held, status.waiting) == (2, 2, 2)
        tally.open()
        assert await handle.result() == ["A", "B", "C", "D"]
        assert tally.most == 2
        made[0].well = False
        assert await app.run(agents.pooled(pool, name="again")("x")) == "X"
        assert await app.run(agents.pooled(pool, name="again")("y")) == "Y"
        with pytest.raises(RunFailed):
            await app.run(agents.pooled(pool, name="again")("fail"))
        (status,) = app.pools()
        assert (status.free, status.held) == (2, 0)
    assert len(made) == 3
    assert made[0].log == ["setup", "close"]


def test_bad_registrations_are_refused() -> None:
    agents = Agents([Worker([])])
    for register, words in (
        (lambda: agents.register(Worker([])), "registered already"),
        (lambda: agents.register("nobody"), "has no async run"),
        (lambda: agents.provide("x", "y"), "must be a function"),  # type: ignore[arg-type]
        (lambda: agents.provide("", dict), "name"),
    ):
        call: Any = register
        with pytest.raises(InvalidConfig, match=words):
            call()
