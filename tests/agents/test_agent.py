"""Agents: turns, tools, bounds, and what is journaled of them."""

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel

from ripresa import (
    Agent,
    AgentBounds,
    AgentLike,
    App,
    Context,
    Graph,
    InvalidConfig,
    Limits,
    Retry,
    RipresaError,
    RunCancelled,
    RunFailed,
    StepContext,
    StepError,
    Tools,
    agent,
    chain,
    current,
    llm,
    map_each,
    prompt,
    step,
    tool,
    workflow,
)
from ripresa.core.events import AttemptLost, CallFailed, CallRecorded, Interacted
from ripresa.testing.answers import Answer, Fault, Slow, ToolUse, use, value
from ripresa.testing.fake_model import FakeModel
from ripresa.testing.model_server import ModelServer
from tests.runtime.stage import journal_of


class Report(BaseModel):
    text: str


@dataclass
class Topic:
    name: str


@tool
async def search(query: str, limit: int = 3) -> list[str]:
    """Search the library."""
    return [f"{query} {number}" for number in range(limit)]


@step
def count(text: str) -> int:
    return len(text)


def app_with(*replies: Any) -> tuple[App, FakeModel]:
    fake = FakeModel(*replies)
    return App("memory:", models={"default": fake}, patience=0.05), fake


# --- turns


async def test_an_agent_calls_tools_until_it_answers() -> None:
    writer = Agent(
        "writer", input=Topic, output=Report, role="a librarian", instructions="Cite.", tools=[search, count]
    )
    app, fake = app_with(
        use("search", query="tides", limit=1),
        Answer(uses=(ToolUse("count", {"text": "abc"}, "a"), ToolUse("search", {"query": "moon", "limit": 1}, "b"))),
        value({"text": "Done."}),
    )
    async with app:
        assert await app.run(writer(Topic("tides"))) == Report(text="Done.")
    first, second, third = fake.requests
    assert first.system == "You are a librarian.\n\nCite."
    assert first.prompt == '{"name":"tides"}'
    assert first.tools == ["search", "count", "final_result"]
    schema = first.body["tools"][0]["function"]
    assert schema["description"] == "Search the library."
    assert schema["parameters"]["required"] == ["query"]
    assert second.results == ['["tides 0"]']
    assert third.results == ['["tides 0"]', "3", '["moon 0"]']


async def test_an_agent_is_a_step_like_any_other() -> None:
    writer = Agent("writer", input=str, output=str)

    @workflow
    async def both(ctx: Context, topic: str) -> tuple[str, str]:
        return await ctx.gather(writer(topic), writer(topic))

    graph = Graph("g", input=str)
    flow = graph.returns(graph.add(writer(graph.input)).out)
    app, _ = app_with(*["text"] * 7)
    async with app:
        assert await app.run(writer("a")) == "text"
        assert await app.run(chain(writer).then(count)("a")) == 4
        assert await app.run(map_each(writer)(["a", "b"])) == ["text", "text"]
        assert await app.run(both("a")) == ("text", "text")
        assert await app.run(flow("a")) == "text"


async def test_over_http_it_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    replies = use("search", query="tides"), Answer(uses=(ToolUse("search", "{half"),)), value({"text": "ok"})
    async with ModelServer(*replies) as server:
        for name, text in server.env.items():
            monkeypatch.setenv(name, text)
        async with App("memory:", models={"default": "gpt-4o"}) as app:
            writer = Agent("writer", input=str, output=Report, tools=[search])
            handle = await app.start(writer("tides"))
            assert await handle.result() == Report(text="ok")
            assert (await handle.status()).tokens > 0
    assert "no JSON" in server.requests[2].results[1]


async def test_an_agent_may_use_another_one() -> None:
    helper = Agent("helper", input=str, output=str, instructions="You help.")
    boss = Agent("boss", input=str, output=str, tools=[helper])
    app, fake = app_with(use("helper", input="find it"), "Found it.", "All done.")
    async with app:
        assert await app.run(boss("go")) == "All done."
    assert [each.system for each in fake.requests] == ["", "You help.", ""]
    assert fake.requests[2].results == ["Found it."]


async def test_a_final_answer_ends_it_whatever_else_is_asked_for() -> None:
    called: list[str] = []

    @tool
    def note(text: str) -> None:
        called.append(text)

    writer = Agent("writer", input=str, output=Report, tools=[note])
    app, _ = app_with(Answer(uses=(ToolUse("note", {"text": "a"}),), value={"text": "ok"}))
    async with app:
        assert await app.run(writer("x")) == Report(text="ok")
    assert called == []


# --- what goes wrong


async def test_a_model_is_told_what_went_wrong_with_a_call() -> None:
    tries: list[int] = []

    @tool(retry=Retry(2, 0))
    def flaky(number: int) -> int:
        tries.append(number)
        raise ValueError("no luck")

    writer = Agent("writer", input=str, output=str, tools=[flaky, search])
    app, fake = app_with(
        use("flaky", number=1),
        use("nothing"),
        use("search", query="a", colour="red"),
        use("search", query=["a"]),
        Answer(uses=(ToolUse("search", "[1]"),)),
        "Sorry.",
    )
    async with app:
        handle = await app.start(writer("x"))
        assert await handle.result() == "Sorry."
        failed = [event for event in await journal_of(handle) if isinstance(event, CallFailed)]
    assert tries == [1, 1]
    assert len(failed) == 5
    told = fake.requests[-1].results
    assert told[0] == "failed (ValueError): no luck"
    assert told[1] == "failed (unknown_tool): there is no tool 'nothing', there are: flaky, search"
    assert told[2].startswith("failed (invalid_input): there is no parameter colour")
    assert told[3].startswith("failed (invalid_input): query")
    assert told[4] == "failed (invalid_input): the arguments are no object"


async def test_what_a_model_cannot_mend_ends_the_agent() -> None:
    @tool
    def spend() -> None:
        raise StepError("spent", code="limit_exceeded", retryable=False)

    app, _ = app_with(use("spend"))
    async with app:
        with pytest.raises(RunFailed) as caught:
            await app.run(Agent("writer", input=str, output=str, tools=[spend])("x"))
    assert caught.value.failure.code == "limit_exceeded"


async def test_a_call_that_ends_the_agent_lets_those_beside_it_be_recorded() -> None:
    ended = asyncio.Event()

    @tool
    async def spend() -> None:
        raise StepError("spent", code="limit_exceeded", retryable=False)

    @tool
    async def read(name: str) -> str:
        await ended.wait()
        return name.upper()

    both = Answer(uses=(ToolUse("spend", {}, "1"), ToolUse("read", {"name": "a"}, "2")))
    app, _ = app_with(both)
    async with app:
        handle = await app.start(Agent("writer", input=str, output=str, tools=[spend, read])("x"))
        async for each in handle.events():
            if isinstance(each.event, CallFailed):
                break
        for _ in range(50):
            await asyncio.sleep(0)
        ended.set()
        with pytest.raises(RunFailed) as caught:
            await handle.result()
        kept = [each.key for each in await journal_of(handle) if isinstance(each, CallRecorded)]
    assert caught.value.failure.code == "limit_exceeded"
    assert [key.partition(":")[0] for key in kept] == ["model", "read"]


def test_a_tool_whose_results_are_to_be_kept_for_others_is_refused() -> None:
    @step(effect="read", cache="1 day")
    async def tide(port: str) -> str:
        return port

    with pytest.raises(InvalidConfig, match="cache"):
        tool(effect="read", cache="1 day")(tide.fn)
    with pytest.raises(InvalidConfig, match="cache"):
        Agent("writer", input=str, output=str, tools=[tide])
    Agent("writer", input=str, output=str, tools=[tide.with_(cache=False)])


async def test_an_irreversible_call_that_ran_out_of_time_is_not_told_as_a_failure() -> None:
    @tool(effect="irreversible", timeout=0.01)
    async def pay(amount: int) -> None:
        await asyncio.Event().wait()

    app, fake = app_with(use("pay", amount=1), use("pay", amount=1))
    async with app:
        handle = await app.start(Agent("payer", input=str, output=str, tools=[pay])("x"))
        async for recorded in handle.events():
            if isinstance(recorded.event, AttemptLost):
                assert recorded.event.reason == "parked"  # until somebody says what it did
                break
        await handle.terminate("it is known")
    assert len(fake.requests) == 1


async def test_an_answer_without_its_form_is_asked_for_again_and_then_it_fails() -> None:
    writer = Agent("writer", input=str, output=Report, bounds=AgentBounds(repairs=1))
    app, fake = app_with("no", value({"text": "ok"}), "no", "no")
    async with app:
        assert await app.run(writer("x")) == Report(text="ok")
        with pytest.raises(RunFailed) as caught:
            await app.run(writer("y"))
    assert caught.value.failure.code == "invalid_model_answer"
    assert "That does not fit" in fake.requests[1].prompt


@pytest.mark.parametrize(
    ("bounds", "words"), [(AgentBounds(turns=2), "after 2 turns"), (AgentBounds(calls=1), "2 calls")]
)
async def test_an_agent_comes_to_an_end(bounds: AgentBounds, words: str) -> None:
    app, _ = app_with(*[use("search", query="x")] * 3)
    async with app:
        with pytest.raises(RunFailed, match=words) as caught:
            await app.run(Agent("writer", input=str, output=str, tools=[search], bounds=bounds)("x"))
    assert caught.value.failure.code == "agent_limit"


async def test_a_model_call_has_a_retry_and_a_timeout_of_its_own() -> None:
    app, fake = app_with(Fault(status=503), "ok")
    async with app:
        handle = await app.start(Agent("writer", input=str, output=str, retry=Retry(2, 0), patience=5)("x"))
        assert await handle.result() == "ok"
        (failed,) = [event for event in await journal_of(handle) if isinstance(event, CallFailed)]
    assert (failed.failure.code, failed.attempt, len(fake.requests)) == ("model_unavailable", 1, 2)


# --- what is journaled


async def test_the_next_attempt_repeats_no_call_that_has_ended() -> None:
    called: list[str] = []

    @tool(effect="irreversible")
    async def send(text: str) -> str:
        called.append(text)
        return "sent"

    writer = Agent("writer", input=str, output=str, tools=[send])

    @step(retry=Retry(2, 0))
    async def around(text: str) -> str:
        result = await current().call(writer, text)
        if current().attempt == 1:
            raise ValueError("after everything")
        return result

    app, fake = app_with(use("send", text="hi"), use("send", text="hi"), "Done.")
    async with app:
        handle = await app.start(around("x"))
        assert await handle.result() == "Done."
        keys = [event.key for event in await journal_of(handle) if isinstance(event, CallRecorded)]
    assert called == ["hi", "hi"]
    assert len(fake.requests) == 3
    assert len(set(keys)) == len(keys) == 6


async def test_a_run_that_failed_is_taken_up_without_repeating_what_had_ended() -> None:
    looked: list[str] = []

    @tool
    async def look(word: str) -> str:
        looked.append(word)
        return word.upper()

    writer = Agent("writer", input=str, output=str, tools=[look])
    app, fake = app_with(use("look", word="tide"), Fault(status=400), "Done.")
    async with app:
        handle = await app.start(writer("x"), id="r")
        with pytest.raises(RunFailed, match="scripted"):
            await handle.result()
        await handle.resume()
        assert await handle.result() == "Done."
    assert (looked, len(fake.requests)) == (["tide"], 3)


async def test_a_run_is_cancelled_in_the_middle_of_a_model_call() -> None:
    app, _ = app_with(Slow(30))
    async with app:
        handle = await app.start(Agent("writer", input=str, output=str)("x"))
        await asyncio.sleep(0)
        await handle.cancel("enough")
        with pytest.raises(RunCancelled):
            await handle.result()


async def test_one_call_is_held_of_the_limits_however_many_there_are() -> None:
    calls = [Answer(uses=(ToolUse("search", {"query": "x"}),), tokens=(10, 0))] * 5
    greedy = Agent("writer", input=str, output=str, tools=[search], max_tokens=50)
    app, fake = app_with(*calls, "Done.", *calls)
    async with app:
        assert await app.run(greedy("x"), limits=Limits(tokens=200)) == "Done."  # five times 50 would be too much
        with pytest.raises(RunFailed) as caught:
            await app.run(greedy("x"), limits=Limits(tokens=90))
    assert caught.value.failure.code == "limit_exceeded"
    assert len(fake.requests) < 11


async def test_who_sent_what_to_whom_is_recorded_once() -> None:
    app, _ = app_with(use("search", query="a", limit=1), "Done.")
    async with app:
        handle = await app.start(Agent("writer", input=str, output=str, tools=[search])("tides"))
        await handle.result()
        told = [event for event in await journal_of(handle) if isinstance(event, Interacted)]
    assert [(each.sender, each.receiver, each.kind) for each in told] == [
        ("writer", "default", "request"),
        ("fake:default", "writer", "answer"),
        ("writer", "search", "call"),
        ("search", "writer", "result"),
        ("writer", "default", "request"),
        ("fake:default", "writer", "answer"),
    ]
    assert told[0].content == b'[{"role":"user","text":"tides"}]'
    assert told[4].content == b'[{"role":"tool","text":"[\\"a 0\\"]"}]'


# --- options


def test_every_bad_option_is_named() -> None:
    with pytest.raises(InvalidConfig) as caught:
        Agent("a", input=str, output=str, model="", temperature=9, bounds=AgentBounds(turns=0, calls=0, repairs=-1))
    for word in ("model is", "temperature is 9", "turns is 0", "calls is 0", "repairs is -1"):
        assert word in caught.value.message
    with pytest.raises(InvalidConfig, match=r"no step \(put @tool"):
        Agent("a", input=str, output=str, tools=[len])  # type: ignore[list-item]
    with pytest.raises(InvalidConfig, match="two tools are named 'search'"):
        Agent("a", input=str, output=str, tools=[search, tool(name="search")(len)])
    with pytest.raises(RipresaError, match="no tool is registered as 'seek'"):
        Agent("a", input=str, output=str, tools=["seek"], toolbox=Tools([search]))
    assert repr(Agent("a", input=str, output=str)) == "<agent a>"


# --- any object that runs


class Echo:
    name = "echo"

    async def run(self, input: str, ctx: StepContext) -> str:
        return f"{input} in {ctx.path}"


class Loose:
    async def run(self, *given: Any) -> Any:
        return len(given)


async def relayed(like: AgentLike[str, str], words: list[str]) -> list[str]:
    """What an agent answers, whoever's it is: its step has its types."""
    app, _ = app_with()
    async with app:
        return await app.run(map_each(agent(like))(words))


async def test_what_runs_like_an_agent_is_a_step_of_its_types() -> None:
    assert await relayed(Echo(), ["a", "b"]) == ["a in echo[0]", "b in echo[1]"]


async def test_any_object_with_run_is_an_agent() -> None:
    echo = agent(Echo())
    app, _ = app_with(use("echo", input="hi"), "Done.")
    async with app:
        assert await app.run(echo("hi")) == "hi in echo"
        assert await app.run(agent(Loose(), name="loose")("x")) == 2
        assert await app.run(Agent("boss", input=str, output=str, tools=[echo])("x")) == "Done."
    with pytest.raises(InvalidConfig, match="has no async run"):
        agent("no agent")  # type: ignore[call-overload]
    with pytest.raises(InvalidConfig, match=r"agent has naem \(did you mean name\?\), may have name, retry"):
        agent(Echo(), naem="loose")
    with pytest.raises(InvalidConfig, match=r"Echo is a class, not an agent \(make one of it: Echo"):
        agent(Echo)  # type: ignore[call-overload]


@pytest.mark.parametrize("given", [3, {"turns": 3}, None])
def test_bounds_that_are_none_are_refused(given: Any) -> None:
    with pytest.raises(InvalidConfig, match=r"bounds is .*, must be AgentBounds"):
        Agent("a", input=str, output=str, bounds=given)


def test_a_memory_that_is_none_is_refused() -> None:
    given: Any = "chat"
    for make in (
        lambda: Agent("a", input=str, output=str, memory=given),
        lambda: llm("Hi", output=str, memory=given),
        lambda: prompt(output=str, memory=given),
    ):
        with pytest.raises(InvalidConfig, match="memory is 'chat', must be a Memory"):
            make()


async def test_what_runs_otherwise_than_an_agent_is_refused() -> None:
    class Sync:
        def run(self, input: str, ctx: StepContext) -> str:
            return input

    class Alone:
        async def run(self) -> None: ...

    with pytest.raises(InvalidConfig, match="run of Sync is not async"):
        await agent(Sync())("a")  # type: ignore[call-overload] # pyright: ignore[reportArgumentType, reportCallIssue]
    with pytest.raises(InvalidConfig, match=r"run of Alone takes \(\), is given 2 values"):
        chain(Alone())  # type: ignore[call-overload] # pyright: ignore[reportArgumentType, reportCallIssue]


def test_an_agent_is_shown_by_its_name() -> None:
    assert repr(Agent("scribe", instructions="Write.", input=str, output=str)) == "<agent scribe>"
