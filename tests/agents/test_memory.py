"""What agents and llm steps of a session remember of what was said before."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ripresa import Agent, App, InvalidConfig, Memory, Retry, RunFailed, current, llm, step, supervised, tool
from ripresa.agents import memory as memory_module
from ripresa.core.events import CallRecorded
from ripresa.stores.sqlite import SQLiteStore
from ripresa.testing.answers import Answer, Fault, Received, use, value
from ripresa.testing.fake_model import FakeModel
from tests.runtime.stage import journal_of


@pytest.fixture
async def fake() -> FakeModel:
    return FakeModel(*[lambda request: f"re: {request.prompt[:200]}"] * 50)


@pytest.fixture
async def app(fake: FakeModel, tmp_path: Path) -> AsyncIterator[App]:
    store = SQLiteStore(tmp_path / "runs.db", "normal")
    async with App(store, models={"*": fake}, patience=0.05) as app:
        await app.sessions.create("s")
        yield app


def said(request: Received) -> list[str]:
    return [str(each["content"]) for each in request.messages]


async def test_an_agent_remembers_what_was_said_in_its_session(app: App, fake: FakeModel) -> None:
    chat = Agent("chat", input=str, output=str, memory=Memory())
    await app.sessions.create("other")
    for session, text in (("s", "one"), ("s", "two"), ("other", "three")):
        await app.run(chat(text), session=session)
    assert [said(each) for each in fake.requests] == [["one"], ["one", "re: one", "two"], ["three"]]


async def test_llm_steps_and_agents_may_share_a_memory(app: App, fake: FakeModel) -> None:
    memory = Memory("talk")
    fake.script[:0] = [value({"value": [1]})]
    await app.run(llm("{input}", input=str, output=list[int], memory=memory)("one"), session="s")
    await app.run(Agent("chat", input=str, output=str, memory=memory)("two"), session="s")
    assert said(fake.requests[1]) == ["one", "[1]", "two"]


async def test_only_the_last_messages_are_remembered(app: App, fake: FakeModel) -> None:
    ask = llm("{input}", input=str, output=str, memory=Memory(last=3))
    for text in ("one", "two", "three"):
        await app.run(ask(text), session="s")
    assert said(fake.requests[2]) == ["two", "re: two", "three"]  # an answer without its question makes no sense
    brief = llm("{input}", input=str, output=str, memory=Memory(tokens=6))
    await app.run(brief("four"), session="s")
    assert said(fake.requests[3]) == ["three", "re: three", "four"]


async def test_what_is_long_ago_is_summed_up(app: App, fake: FakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_module, "CHUNK", 60)
    ask = llm("{input}", input=str, output=str, memory=Memory("m", last=2, summary=50))
    for number in range(4):
        await app.run(ask(f"message {number}"), session="s")
    notes = [each for each in fake.requests if "keep the notes" in each.system]
    assert notes
    assert "user: message 0" in notes[0].prompt
    assert "50 words" in notes[0].system
    others = [each for each in fake.requests if not each.system]
    assert "Notes of what was said before" in said(others[-1])[0]
    names = await app.sessions.values("s")
    assert "m.000001" not in names
    assert "m.notes" in names


async def test_without_a_summary_what_is_long_ago_is_forgotten(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_module, "CHUNK", 60)
    ask = llm("{input}", input=str, output=str, memory=Memory("m", last=2))
    for number in range(6):
        await app.run(ask(f"message {number}"), session="s")
        assert len(await app.sessions.values("s")) <= 3
    assert "m.000001" not in await app.sessions.values("s")


async def test_a_very_long_message_is_cut(app: App, fake: FakeModel) -> None:
    ask = llm("{input}", input=str, output=str, memory=Memory())
    for text in ("x" * 20_000, "ä" * 20_000, "\0" * 20_000):
        await app.run(ask(text), session="s")
    await app.run(ask("and?"), session="s")
    kept = said(fake.requests[-1])[0:-1:2]
    assert [each.endswith(" [cut]") for each in kept] == [True, True, True]
    assert [len(each) // 1000 for each in kept] == [16, 8, 2]


async def test_the_next_attempt_remembers_the_same_and_nothing_is_kept_twice(app: App, fake: FakeModel) -> None:
    memory = Memory()
    fake.script[:0] = [use("look"), Fault(status=400)]

    @tool
    async def look() -> str:
        return "seen"

    chat = Agent("chat", input=str, output=str, memory=memory, tools=[look], retry=1)

    @step(retry=Retry(2, 0))
    async def twice(text: str) -> str:
        result: str = await chat.fn(text)
        return result

    with pytest.raises(RunFailed):
        await app.run(chat("lost"), session="s")
    fake.script[:0] = [use("look"), Fault(status=503)]
    handle = await app.start(twice("kept"), session="s")
    await handle.result()
    keys = [each.key.partition(":")[0] for each in await journal_of(handle) if isinstance(each, CallRecorded)]
    assert keys == ["recall", "model", "look", "model"]
    await app.run(chat("next"), session="s")
    assert said(fake.requests[-1]) == ["kept", "re: kept", "next"]


async def test_runs_that_talk_at_once_lose_nothing(app: App, fake: FakeModel) -> None:
    ask = llm("{input}", input=str, output=str, memory=Memory())
    await asyncio.gather(*(app.run(ask(f"m{number}"), session="s") for number in range(5)))
    await app.run(ask("last"), session="s")
    assert sorted(each for each in said(fake.requests[-1]) if each.startswith("m")) == ["m0", "m1", "m2", "m3", "m4"]


async def test_a_supervised_agent_remembers_too(app: App, fake: FakeModel) -> None:
    @tool(approval="Sure?")
    async def act() -> str:
        return "acted"

    chat = supervised(
        Agent("chat", input=str, output=str, memory=Memory(), tools=[act]), expiry="approve", timeout=0.01
    )
    fake.script[:0] = [use("act"), Answer("Done.")]
    assert await app.run(chat("act"), session="s") == "Done."
    await app.run(chat("and?"), session="s")
    assert said(fake.requests[-1]) == ["act", "Done.", "and?"]


async def test_a_memory_needs_a_session(app: App) -> None:
    with pytest.raises(RunFailed) as caught:
        await app.run(llm("?", output=str, memory=Memory())())
    assert caught.value.failure.code == "not_available"
    assert current().run == ""


def test_every_bad_option_is_named() -> None:
    wrong: dict[str, Any] = {"name": "", "last": 0, "tokens": 0, "summary": -1, "model": ""}
    with pytest.raises(InvalidConfig) as caught:
        Memory(**wrong)
    for name in wrong:
        assert name in caught.value.message
