"""Agents whose tools ask people first."""

import asyncio
from typing import Any

import pytest

from ripresa import (
    Agent,
    App,
    Context,
    Graph,
    InvalidConfig,
    RunFailed,
    chain,
    llm,
    prompt,
    step,
    supervised,
    tool,
    workflow,
)
from ripresa.authoring.single import runnable_of
from ripresa.runtime.targets import target_of
from ripresa.stores.memory import Memory, MemoryStore
from ripresa.testing.answers import Answer, ToolUse, use
from ripresa.testing.fake_model import FakeModel

sent: list[str] = []


@tool(approval="Send this?", effect="irreversible")
async def send(to: str, text: str = "") -> str:
    sent.append(to)
    return "sent"


@tool
async def look(word: str) -> str:
    return word.upper()


writer = Agent("writer", input=str, output=str, model="writes", tools=[send, look])
asking = supervised(writer, assignees=["ann"], timeout="3 days")
plain = Agent("plain", input=str, output=str)
ask = llm("?", output=str)


@prompt(output=str)
def asked(text: str) -> str:
    return text


@pytest.fixture(autouse=True)
def _nothing_sent() -> None:
    sent.clear()


async def opened(app: App, count: int = 1) -> list[Any]:
    for _ in range(500):
        found = await app.approvals()
        if len(found) >= count:
            return found
        await asyncio.sleep(0.01)
    raise AssertionError("nobody asks")


async def test_people_are_asked_before_each_call_of_such_a_tool() -> None:
    both = Answer(uses=(ToolUse("look", {"word": "x"}, "1"), ToolUse("send", {"to": "bob"}, "2")))
    fake = FakeModel(both, use("send", to="eve"), "Done.")
    async with App("memory:", models={"writes": fake}) as app:
        handle = await app.start(asking("go"))
        (question,) = await opened(app)
        assert (question.question, question.name) == ("Send this?", "send")
        assert question.about == {"agent": "writer", "tool": "send", "arguments": {"to": "bob"}}
        assert sent == []
        await handle.approve(by="ann")
        await opened(app)
        await handle.reject(by="ann", comment="not to her")
        assert await handle.result() == "Done."
    assert sent == ["bob"]
    assert fake.requests[1].results == ["X", "sent"]
    assert fake.requests[2].results[2] == "failed (rejected): ann said no: not to her"


async def test_the_run_waits_in_the_store_and_goes_on_elsewhere() -> None:
    memory = Memory()
    async with App(MemoryStore(memory), models={"writes": FakeModel(use("send", to="bob"))}) as app:
        handle = await app.start(asking("go"), id="r")
        await opened(app)
    fake = FakeModel("Done.")
    async with App(MemoryStore(memory), models={"writes": fake}, workflows=[asking]) as app:
        handle = await app.resume("r", asking)
        await handle.approve(by="ann")
        assert await handle.result() == "Done."
    assert sent == ["bob"]
    assert len(fake.requests) == 1


async def test_arguments_that_are_no_json_are_shown_as_they_are() -> None:
    fake = FakeModel(Answer(uses=(ToolUse("send", "{half", "1"),)), "Done.")
    async with App("memory:", models={"writes": fake}) as app:
        handle = await app.start(supervised(writer)("go"))
        (question,) = await opened(app)
        assert question.about["arguments"] == "{half"
        await handle.approve(by="x")
        assert await handle.result() == "Done."
    assert "no JSON" in fake.requests[1].results[0]


@step
async def shout(text: str) -> str:
    return text.upper()


@workflow
async def letters(ctx: Context, topic: str) -> list[str]:
    return [await writer(topic), *await ctx.map(writer, ["again"])]


graph = Graph("report", input=str)
report = graph.returns(graph.add(writer(graph.input)).out)

USED: list[tuple[Any, int, Any]] = [
    (writer("go"), 1, "Done."),
    (chain(writer).then(shout)("go"), 1, "DONE."),
    (report("go"), 1, "Done."),
    (letters("go"), 2, ["Done.", "Done."]),
]


@pytest.mark.parametrize(("call", "times", "result"), USED)
async def test_wherever_an_agent_stands_in_a_run_people_are_asked(call: Any, times: int, result: Any) -> None:
    script = [answer for _ in range(times) for answer in (use("send", to="bob", text="high"), "Done.")]
    async with App("memory:", models={"writes": FakeModel(*script)}) as app:
        handle = await app.start(call)
        for _ in range(times):
            (question,) = await opened(app)
            about = {"agent": "writer", "tool": "send", "arguments": {"to": "bob", "text": "high"}}
            assert (question.question, question.about) == ("Send this?", about)
            await handle.approve(by="ann")
        assert await handle.result() == result
    assert sent == ["bob"] * times


async def test_a_run_of_an_agent_waits_for_people_without_its_process() -> None:
    memory = Memory()
    async with App(MemoryStore(memory), models={"writes": FakeModel(use("send", to="bob"))}) as app:
        await app.start(writer("go"), id="r")
        await opened(app)
    async with App(MemoryStore(memory), models={"writes": FakeModel("Done.")}) as app:
        handle = await app.resume("r")
        assert await handle.approve(by="ann")
        assert await handle.result() == "Done."
    async with App(MemoryStore(memory)) as app:
        assert (await (await app.handle("r")).status()).target == f"{__name__}:writer"
    assert sent == ["bob"]


async def test_inside_another_step_or_agent_such_a_tool_is_never_called() -> None:
    @step
    async def within(topic: str) -> str:
        return await writer(topic)

    lead = Agent("lead", input=str, output=str, model="leads", tools=[writer])
    leads = FakeModel(use("writer", input="x"), "Done.")
    writes = FakeModel(use("send", to="bob"), use("send", to="bob"))
    async with App("memory:", models={"writes": writes, "leads": leads}) as app:
        with pytest.raises(RunFailed, match="people are asked about first"):
            await app.run(within("go"))
        assert await app.run(lead("go")) == "Done."
    assert "people are asked about first" in leads.requests[1].results[0]
    assert sent == []


def test_an_agent_that_asks_nobody_needs_no_supervision() -> None:
    with pytest.raises(InvalidConfig, match="no tool of plain asks"):
        supervised(plain)


async def test_what_is_made_here_is_found_by_the_name_under_which_it_stands() -> None:
    here = __name__
    known: dict[str, Any] = {"writer": writer, "asking": asking, "ask": ask, "asked": asked}
    for name, made in known.items():
        assert target_of(runnable_of(made)) == f"{here}:{name}"
        assert target_of(runnable_of(made)) == f"{here}:{name}"
    assert target_of(runnable_of(llm("?", output=str))) == ""
    assert target_of(runnable_of(step(abs))) == ""
    assert target_of(chain(plain)) == ""


async def test_what_is_granted_is_one_call_and_not_all_of_its_id() -> None:
    both = Answer(uses=(ToolUse("send", {"to": "eve"}, "1"), ToolUse("send", {"to": "bob"}, "1")))
    async with App("memory:", models={"writes": FakeModel(both, "Done.")}) as app:
        handle = await app.start(asking("go"))
        await opened(app)
        await handle.reject(by="ann")
        await opened(app)
        await handle.approve(by="ann")
        assert await handle.result() == "Done."
    assert sent == ["bob"]
