"""The session of a run is reached from durable functions, what they call, streams, child processes, rehearsals."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ripresa import (
    App,
    Context,
    Limits,
    RunFailed,
    Signal,
    branch,
    chain,
    current,
    repeat,
    step,
    stream,
    workflow,
)
from ripresa.errors import RipresaError, SessionError
from ripresa.stores.memory import Memory
from tests.runtime.stage import in_memory, turns

GO = Signal("go", int)


@dataclass
class Visit:
    where: str


@workflow
async def visits(ctx: Context, name: str) -> list[Any]:
    count = await ctx.session.get("visits", int, 0)
    await ctx.session.add("visits", 1)
    await ctx.session.append("names", name)
    await ctx.session.merge("last", name=name)
    await ctx.session.set("place", Visit("sea"))
    await ctx.session.set("gone", 1)
    await ctx.session.delete("gone")
    await ctx.session.set("nothing", None)
    assert await ctx.session.get("nothing", object, "default") is None
    await ctx.session.delete("nothing")
    place = await ctx.session.get("place", Visit)
    assert place == Visit("sea")
    return [count, await ctx.session.id(), await ctx.session.names(), await ctx.session.get("gone")]


async def test_a_durable_function_reads_and_changes_its_session() -> None:
    async with in_memory() as app:
        await app.sessions.create("s")
        names = ["last", "names", "place", "visits"]
        assert await app.run(visits("Ann"), session="s") == [0, "s", names, None]
        assert await app.run(visits("Bob"), session="s") == [1, "s", names, None]
        values = {"visits": 2, "names": ["Ann", "Bob"], "last": {"name": "Bob"}, "place": {"where": "sea"}}
        assert await app.sessions.values("s") == values


@workflow
async def patient(ctx: Context, number: int) -> list[int]:
    before = await ctx.session.get("level", int, 0)
    await ctx.wait_for(GO)
    return [before, await ctx.session.get("level", int, 0)]


async def test_replay_sees_what_the_function_saw() -> None:
    memory = Memory()
    async with in_memory(memory) as app:
        await app.sessions.create("s")
        await app.sessions.set("s", "level", 1)
        await app.start(patient(1), session="s", id="r")
        await turns(20)
    async with in_memory(memory, workflows=[patient]) as app:
        await app.sessions.set("s", "level", 2)
        handle = await app.resume("r")
        await handle.send(GO, 1)
        assert await handle.result() == [1, 2]


async def test_a_function_without_a_session_is_told_so() -> None:
    async with in_memory() as app:
        with pytest.raises(RunFailed) as raised:
            await app.run(visits("Ann"))
        assert raised.value.failure.code == "not_available"


@step
async def up(number: int) -> int:
    current().session.add("level", 1)
    return number + 1


@step
async def same(number: int) -> int:
    return number


def is_low(number: int) -> bool:
    return current().session.get("level", int, 0) < 3


deep = chain(repeat(up, while_=is_low, at_most=9)).then(branch(is_low, up, same))


@workflow
async def calls(ctx: Context, number: int) -> int:
    return await deep(number)


async def test_conditions_of_what_a_durable_function_calls_look_at_the_session() -> None:
    async with in_memory() as app:
        await app.sessions.create("s")
        assert await app.run(calls(0), session="s") == 3


async def test_the_stages_of_a_stream_look_at_the_session() -> None:
    taken: list[int] = []

    async def numbers(count: int) -> AsyncIterator[int]:
        for number in range(1, count + 1):
            yield number

    async def sink(number: int) -> None:
        taken.append(number)
        current().session.add("taken", 1)

    def times(number: int) -> int:
        return number * current().session.get("factor", int, 1)

    async with in_memory() as app:
        await app.sessions.create("s")
        await app.sessions.set("s", "factor", 3)
        flow = stream(numbers).map(times).into(sink)
        await app.run(chain(flow)(2), session="s")
        assert taken == [3, 6]
        assert await app.sessions.value("s", "taken", int) == 2


@step(executor="process")
def far(how: str) -> list[Any]:
    session = current().session
    match how:
        case "read":
            return [session.id, session.names(), session.get("level", int), session.get("none", int, 7)]
        case "write" | "fail":
            session.add("level", 2)
            current().usage(tokens=3, cost=0.5)
            current().touched("chart")
            if how == "fail":
                raise ValueError("low")
        case "use":
            current().usage(tokens=-1)
        case "grow":
            session.set("level", "x" * 20)
        case _:
            current().save_artifact("chart", b"")
    return []


async def test_what_a_child_process_reports_is_recorded_with_its_step(tmp_path: Path) -> None:
    async with App(f"sqlite:{tmp_path}/r.db") as app:
        await app.sessions.create("s", limits=Limits(state_size=9))
        await app.sessions.set("s", "level", 4)
        assert await app.run(chain(far)("read"), session="s") == ["s", ["level"], 4, 7]
        for how, level in (("write", 6), ("fail", 6)):  # what was used and touched has happened, all else has not
            handle = await app.start(chain(far)(how), session="s")
            assert (await handle.outcome()).status == ("completed" if how == "write" else "failed")
            view = await handle.status()
            assert (view.tokens, view.cost, view.files) == (3, 0.5, {"chart": "far"})
            assert await app.sessions.value("s", "level", int) == level
        refused = {"save": "not_available", "use": "invalid_input", "grow": "limit_exceeded"}
        for how, code in refused.items():
            with pytest.raises(RunFailed) as raised:
                await app.run(chain(far)(how), session="s")
            assert raised.value.failure.code == code
        with pytest.raises(RunFailed, match="belongs to no session") as raised:
            await app.run(chain(far)("read"))
        assert raised.value.failure.code == "not_available"


@workflow
async def raises(ctx: Context, number: int) -> list[int]:
    before = await ctx.session.get("level", int, 0)
    await ctx.session.add("level", number)
    return [before, await ctx.session.get("level", int, 0)]


@step(effect="read")
async def look(number: int) -> int:
    return current().session.get("level", int, 0)


@dataclass
class Notes:
    level: int = 0


@step(effect="read")
async def note(number: int) -> int:
    return current().state(Notes).level + number


async def test_a_rehearsal_looks_at_the_session_and_leaves_it_as_it_is() -> None:
    async with in_memory() as app:
        await app.sessions.create("s")
        await app.sessions.set("s", "level", 2)
        flow = chain(look).then(note).with_state(Notes)
        found = await app.rehearse(flow(1), session="s", state={"level": 5})
        assert (found.status, [each.arguments["number"] for each in found.steps]) == ("completed", [1, 2])
        found = await app.rehearse(raises(1), session="s")
        assert (found.status, [(each.path, each.ran) for each in found.steps]) == (
            "completed", [("session_get", True), ("session_add", False), ("session_get#2", True)],
        )  # fmt: skip
        assert await app.sessions.values("s") == {"level": 2}
        found = await app.rehearse(flow(1), session="s", limits=Limits(steps=1))
        assert found.status == "failed"
        assert "limit" in found.error
        with pytest.raises(SessionError) as raised:
            await app.rehearse(flow(1), session="nowhere")
        assert isinstance(raised.value, RipresaError)
        assert raised.value.code == "session_not_found"
        assert (await app.rehearse(flow(1))).status == "failed"
