"""Agents of pydantic-ai as steps, against the real framework and a real HTTP server."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, ModelRetry, NativeOutput, PromptedOutput, RunContext, TextOutput, ToolOutput, UsageLimits
from pydantic_ai.capabilities import ModelFallback, ProcessEventStream
from pydantic_ai.exceptions import (
    ApprovalRequired,
    CallDeferred,
    ConcurrencyLimitExceeded,
    ContentFilterError,
    FallbackExceptionGroup,
    RunCancelled,
    RunTimedOut,
    ToolFailed,
    UserError,
)
from pydantic_ai.messages import ToolReturn
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.tools import DeferredToolRequests
from pydantic_ai.toolsets import FunctionToolset

from ripresa import (
    Agents,
    App,
    Chain,
    Context,
    Graph,
    InvalidConfig,
    Limits,
    Memory,
    Retry,
    RipresaError,
    RunFailed,
    agent,
    chain,
    current,
    detached,
    load_document,
    map_each,
    step,
    workflow,
)
from ripresa.agents.pydantic_agents import output_of
from ripresa.core.events import CallFailed, CallRecorded, Interacted
from ripresa.foreign import adopted
from ripresa.runtime.feed import TextWritten
from ripresa.runtime.targets import load_target
from ripresa.testing.answers import Answer, Fault, Received, ToolUse, use, value
from ripresa.testing.model_server import ModelServer
from tests.runtime.stage import journal_of


class City(BaseModel):
    name: str
    people: int


@dataclass
class Atlas:
    people: dict[str, int] = field(default_factory=lambda: {"Rome": 3})
    asked: list[str] = field(default_factory=list[str])


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with ModelServer() as found:
        yield found
        while CLIENTS:
            await CLIENTS.pop().close()


def model_at(server: ModelServer, name: str = "gpt-4o") -> OpenAIChatModel:
    client = AsyncOpenAI(base_url=server.url, api_key="loopback", max_retries=0)
    CLIENTS.append(client)
    return OpenAIChatModel(name, provider=OpenAIProvider(openai_client=client))


def geographer(server: ModelServer) -> Agent[Atlas, City]:
    made = Agent(model_at(server), name="geographer", deps_type=Atlas, output_type=City, instructions="Be exact.")

    @made.tool
    async def people_of(ctx: RunContext[Atlas], name: str) -> int:
        """How many people live in a city."""
        ctx.deps.asked.append(name)
        return ctx.deps.people[name]

    return made


def teller(server: ModelServer, **options: Any) -> Agent[None, str]:
    return Agent(model_at(server), name="teller", **options)


@step
async def shout(city: City) -> str:
    return f"{city.name}: {city.people}"


CLIENTS: list[AsyncOpenAI] = []
ROME: dict[str, Any] = {"name": "Rome", "people": 3}


# --- a step like any other


async def test_each_request_and_each_call_of_a_tool_is_journaled_and_counted(server: ModelServer) -> None:
    server.reply(use("people_of", name="Rome"), value(ROME))
    atlas = Atlas()
    flow = chain(agent(geographer(server), deps=atlas)).then(shout)
    async with App("memory:") as app:
        handle = await app.start(flow("Which one?"))
        assert await handle.result() == "Rome: 3"
        events = await journal_of(handle)
        status = await handle.status()
    keys = [event.key.partition(":")[0] for event in events if isinstance(event, CallRecorded)]
    assert keys == ["model", "people_of", "model"]
    said = [(event.sender, event.receiver, event.kind) for event in events if isinstance(event, Interacted)]
    assert said == [
        ("geographer", "openai:gpt-4o", "request"),
        ("openai:gpt-4o", "geographer", "answer"),
        ("geographer", "people_of", "call"),
        ("people_of", "geographer", "result"),
        ("geographer", "openai:gpt-4o", "request"),
        ("openai:gpt-4o", "geographer", "answer"),
    ]
    assert status.tokens > 0
    assert status.cost > 0
    assert atlas.asked == ["Rome"]
    assert server.requests[1].results == ["3"]


def _quoted(request: Received) -> str:
    return f"<{request.prompt}>"


async def test_it_stands_wherever_a_step_stands(server: ModelServer) -> None:
    told = teller(server)

    @workflow
    async def both(ctx: Context, word: str) -> list[str]:
        return [await agent(told)(word), *await ctx.map(told, ["x", "y"])]

    @step
    async def inside(word: str) -> str:
        return await current().call(told, word)

    graph = Graph("g", input=str)
    flow = graph.returns(graph.add(agent(told)(graph.input)).out)
    server.reply(*[_quoted] * 8)
    async with App("memory:") as app:
        assert await app.run(chain(told).then(told)("a")) == "<<a>>"
        assert await app.run(both("b")) == ["<b>", "<x>", "<y>"]
        assert await app.run(chain(inside)("c")) == "<c>"
        assert await app.run(map_each(agent(told))(["d"])) == ["<d>"]
        assert await app.run(flow("e")) == "<e>"
    assert len(server.requests) == 8


async def test_outside_a_run_it_just_runs(server: ModelServer) -> None:
    server.reply("one", "two")
    told = teller(server)
    assert await agent(told)("a") == "one"
    assert await current().call(told, "b") == "two"


async def test_the_registry_and_pools_hold_it(server: ModelServer) -> None:
    server.reply("one", "two")
    agents = Agents([teller(server)])
    agents.provide("made", lambda: teller(server))
    async with App("memory:") as app:
        assert await app.run(agents.step("teller")("a")) == "one"
        assert await app.run(agents.pooled(agents.pool("made", 1))("b")) == "two"


async def test_a_document_names_it(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.reply("told")
    monkeypatch.setattr("tests.agents.test_pydantic_agents.told", teller(server), raising=False)
    flow = load_document({"id": "d", "steps": ["tests.agents.test_pydantic_agents:told"]}, modules=["tests.*"])
    async with App("memory:") as app:
        assert await app.run(flow("a")) == "told"


@pytest.mark.parametrize("make", [agent, chain, adopted])
def test_its_class_is_no_agent(make: Any) -> None:
    with pytest.raises(InvalidConfig, match=r"Agent is a class, not an agent \(make one of it: Agent\(\.\.\.\)\)"):
        make(Agent)


async def test_its_input_may_be_more_than_text(server: ModelServer) -> None:
    server.reply("one", "two")
    told = teller(server)
    async with App("memory:") as app:
        assert await app.run(agent(told, input=City)(City(**ROME))) == "one"
        assert await app.run(agent(told, input=City, prompt=lambda city: city.name)(City(**ROME))) == "two"
    assert [request.prompt for request in server.requests] == [json.dumps(ROME, separators=(",", ":")), "Rome"]


# --- what is not done again


def failing_after(made: Any) -> Chain[str, Any]:
    """A step whose first attempt fails when its agent has come to the end."""
    output: Any = made.parameters.returns

    @step(retry=Retry(2, 0))
    async def tried(question: str) -> Any:
        found = await made.fn(question)
        if current().attempt == 1:
            raise RuntimeError("again")
        return found

    tried.fn.__annotations__["return"] = output
    return chain(tried)


async def test_the_next_attempt_repeats_nothing(server: ModelServer) -> None:
    two = Answer(uses=(ToolUse("people_of", {"name": "Rome"}, "a"), ToolUse("people_of", {"name": "Bern"}, "b")))
    server.reply(two, value({"name": "Rome", "people": "many"}), value(ROME))
    atlas = Atlas({"Rome": 3, "Bern": 1})
    async with App("memory:") as app:
        assert await app.run(failing_after(agent(geographer(server), deps=atlas))("?")) == City(**ROME)
    assert len(server.requests) == 3
    assert sorted(atlas.asked) == ["Bern", "Rome"]


async def test_two_turns_with_the_same_call_are_two_calls(server: ModelServer) -> None:
    again = use("people_of", name="Rome")
    server.reply(again, again, value(ROME))
    atlas = Atlas()
    async with App("memory:") as app:
        assert await app.run(failing_after(agent(geographer(server), deps=atlas))("?")) == City(**ROME)
    assert atlas.asked == ["Rome", "Rome"]


async def test_what_its_tools_say_to_it_is_recorded_too(server: ModelServer) -> None:
    asked: list[str] = []
    told = teller(server, retries=2)

    @told.tool_plain
    async def answer_as(kind: str) -> Any:
        """Answer in some way."""
        asked.append(kind)
        if kind == "retry":
            raise ModelRetry("say it otherwise")
        if kind == "failed":
            raise ToolFailed("there is nothing")
        if kind == "invalid":
            return City.model_validate({})
        return ToolReturn("short", content="long") if kind == "return" else {"city": City(**ROME)}

    words = ("retry", "invalid", "failed", "return", "value")
    server.reply(*(use("answer_as", kind=word) for word in words), "done")
    async with App("memory:") as app:
        assert await app.run(failing_after(agent(told))("?")) == "done"
    assert asked == list(words)
    assert len(server.requests) == 6
    results = server.requests[-1].results
    assert "say it otherwise" in results[0]
    assert "missing" in results[1]
    assert results[2:] == ['{"error":"there is nothing"}', "short", '{"city":{"name":"Rome","people":3}}']
    assert server.requests[4].prompt == "long"


async def test_what_is_deferred_is_what_it_gives(server: ModelServer) -> None:
    asked: list[str] = []
    told: Agent[None, str | DeferredToolRequests] = Agent(model_at(server), output_type=[str, DeferredToolRequests])

    @told.tool_plain
    async def later(kind: str) -> str:
        """Do it later."""
        asked.append(kind)
        raise ApprovalRequired(metadata={"why": "it costs"}) if kind == "ask" else CallDeferred(metadata={"job": 7})

    two = Answer(uses=(ToolUse("later", {"kind": "ask"}, "a"), ToolUse("later", {"kind": "job"}, "b")))
    server.reply(two)
    async with App("memory:") as app:
        found = await app.run(failing_after(agent(told))("?"))
    assert sorted(asked) == ["ask", "job"]
    assert isinstance(found, DeferredToolRequests)
    assert found.metadata == {"a": {"why": "it costs"}, "b": {"job": 7}}


async def test_a_tool_that_broke_is_called_again(server: ModelServer) -> None:
    tries: list[str] = []
    told = teller(server)

    @told.tool_plain(metadata={"ripresa": {"retry": Retry(2, 0), "timeout": "1 minute", "effect": "read"}})
    async def look(word: str) -> str:
        """Look a word up."""
        tries.append(word)
        if len(tries) == 1:
            raise OSError("gone")
        return word

    server.reply(use("look", word="tide"), "done")
    async with App("memory:") as app:
        handle = await app.start(chain(told)("?"))
        assert await handle.result() == "done"
        failed = [event.failure.message for event in await journal_of(handle) if isinstance(event, CallFailed)]
    assert failed == ["gone"]
    assert tries == ["tide", "tide"]


async def test_bad_metadata_of_a_tool_is_refused(server: ModelServer) -> None:
    told = teller(server)

    @told.tool_plain(metadata={"ripresa": {"retries": 2, "effect": "reversible"}})
    async def look(word: str) -> str:
        """Look a word up."""
        return word

    server.reply(use("look", word="tide"))
    with pytest.raises(
        InvalidConfig, match=r"has retries .did you mean retry.., may have .*; effect of ripresa is 'reversible'"
    ):
        await agent(told)("?")


# --- models


async def test_what_is_written_is_told_as_it_comes(server: ModelServer) -> None:
    server.reply("high and low")
    async with App("memory:") as app:
        handle = await app.start(chain(agent(teller(server), stream=True))("?"))
        feed = [each.text async for each in handle.watch() if isinstance(each, TextWritten)]
        assert await handle.result() == "high and low"
    assert "".join(feed) == "high and low"


async def test_its_own_listener_hears_what_was_recorded(server: ModelServer) -> None:
    heard: list[str] = []

    async def listen(ctx: RunContext[None], events: Any) -> None:
        async for event in events:
            heard.append(event.event_kind)

    server.reply("high and low")
    told = teller(server, capabilities=[ProcessEventStream(listen)])
    async with App("memory:") as app:
        assert await app.run(failing_after(agent(told))("?")) == "high and low"
    assert len(server.requests) == 1
    assert heard.count("part_start") == 2


async def test_a_model_that_is_busy_is_asked_again(server: ModelServer) -> None:
    server.reply(Fault(status=429, retry_after=0), "done")
    async with App("memory:") as app:
        handle = await app.start(chain(agent(teller(server), model_retry=Retry(2, 0)))("?"))
        assert await handle.result() == "done"
        failed = [event.failure.code for event in await journal_of(handle) if isinstance(event, CallFailed)]
    assert failed == ["model_rate_limited"]


async def test_a_model_of_which_nobody_knows_the_price_costs_nothing(server: ModelServer) -> None:
    server.reply("done")
    async with App("memory:") as app:
        handle = await app.start(chain(agent(Agent(model_at(server, "nobody"))))("?"))
        assert await handle.result() == "done"
        assert (await handle.status()).cost == 0


@pytest.mark.parametrize(
    ("names", "limits", "asked"),
    [
        (["nobody-knows-this"], Limits(money=5), 0),
        (["nobody-knows-this"], Limits(money=5, unpriced=1), 1),
        (["gpt-4o", "nobody-knows-this"], Limits(money=5), 0),
        (["gpt-4o", "gpt-4o-mini"], Limits(money=5), 1),
        (["gpt-4o", "gpt-4o-mini"], Limits(money=0.000001), 1),
    ],
)
async def test_a_model_whose_price_nobody_knows_is_not_asked_where_money_is_limited(
    server: ModelServer, names: list[str], limits: Limits, asked: int
) -> None:
    server.reply("done")
    first, *others = (model_at(server, name) for name in names)
    made = agent(Agent(FallbackModel(first, *others) if others else WrapperModel(first)), model_retry=1)
    async with App("memory:") as app:
        handle = await app.start(chain(made)("?"), limits=limits)
        if asked:
            assert await handle.result() == "done"
        else:
            with pytest.raises(RunFailed, match="nobody knows the price"):
                await handle.result()
    assert len(server.requests) == asked


async def test_a_request_holds_what_it_may_cost(server: ModelServer) -> None:
    made = agent(Agent(model_at(server), model_settings={"max_tokens": 1_000_000}))
    async with App("memory:") as app:
        with pytest.raises(RunFailed, match="limit of money"):
            await app.run(chain(made)("?"), limits=Limits(money=5))
    assert server.requests == []


async def test_its_run_is_given_more(server: ModelServer) -> None:
    server.reply(use("people_of", name="Rome"))
    limits = UsageLimits(request_limit=1)
    with pytest.raises(RipresaError) as caught:
        await agent(geographer(server), deps=Atlas(), run_options={"usage_limits": limits})("?")
    assert caught.value.code == "agent_limit"
    with pytest.raises(InvalidConfig, match=r"run_options has usage_limit \(did you mean usage_limits\?\), may have "):
        agent(geographer(server), run_options={"usage_limit": limits})
    with pytest.raises(InvalidConfig, match="run_options has deps, which are given already"):
        agent(geographer(server), run_options={"deps": 3})


async def test_its_own_fallback_still_has_its_say(server: ModelServer) -> None:
    server.reply(Fault(status=503), lambda request: request.model)
    told = teller(server, capabilities=[ModelFallback(model_at(server, "gpt-4o-mini"))])
    async with App("memory:") as app:
        assert await app.run(failing_after(agent(told, model_retry=1))("?")) == "gpt-4o-mini"


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Fault(status=401), "model_unauthorized"),
        (Fault(status=500), "model_unavailable"),
        (Fault("dropped"), "model_unavailable"),
        (Fault("malformed"), "model_unavailable"),
        (value({"name": 1}), "invalid_model_answer"),
    ],
)
async def test_what_goes_wrong_has_a_code(server: ModelServer, reply: Any, code: str) -> None:
    server.reply(*[reply] * 2)
    made = agent(Agent(model_at(server), output_type=City), model_retry=1)
    async with App("memory:") as app:
        with pytest.raises(RunFailed) as caught:
            await app.run(chain(made)("?"))
    assert caught.value.failure.code == code


async def test_limits_of_the_run_hold(server: ModelServer) -> None:
    greedy = chain(agent(Agent(model_at(server), model_settings={"max_tokens": 500})))
    server.reply("done")
    async with App("memory:") as app:
        assert await app.run(greedy("?"), limits=Limits(tokens=600)) == "done"
        with pytest.raises(RunFailed) as caught:
            await app.run(greedy("?"), limits=Limits(tokens=500))
    assert caught.value.failure.code == "limit_exceeded"
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RunTimedOut("late"), "timeout"),
        (RunCancelled("enough"), "cancelled"),
        (ConcurrencyLimitExceeded("busy"), "model_rate_limited"),
        (FallbackExceptionGroup("all", [UserError("one"), ContentFilterError("two")]), "answer_filtered"),
    ],
)
async def test_how_it_ends_otherwise_has_a_code(server: ModelServer, error: Exception, code: str) -> None:
    told = teller(server)

    @told.instructions
    def told_nothing() -> str:
        raise error

    with pytest.raises(RipresaError) as caught:
        await agent(told)("?")
    assert caught.value.code == code


async def test_a_mistake_in_its_use_has_a_code(server: ModelServer) -> None:
    with pytest.raises(InvalidConfig, match="model"):
        await agent(Agent(name="mute"))("?")


# --- what it is given


async def test_dependencies_may_be_made_for_each_attempt(server: ModelServer) -> None:
    made: list[Atlas] = []

    async def open_atlas() -> Atlas:
        made.append(Atlas())
        return made[-1]

    server.reply(use("people_of", name="Rome"), value(ROME))
    async with App("memory:") as app:
        await app.run(failing_after(agent(geographer(server), make_deps=open_atlas))("?"))
    assert [atlas.asked for atlas in made] == [["Rome"], []]


async def test_it_remembers_its_session(server: ModelServer) -> None:
    server.reply("Ann.", "You are Ann.")
    told = chain(agent(teller(server), memory=Memory()))
    async with App("memory:") as app:
        await app.sessions.create("s", owner="ann")
        await app.run(told("I am Ann"), session="s")
        assert await app.run(told("Who am I?"), session="s") == "You are Ann."
    said = [message["content"] for message in server.requests[1].messages]
    assert said == ["I am Ann", "Ann.", "Who am I?"]


async def test_bad_options_are_named_together(server: ModelServer) -> None:
    bad: dict[str, Any] = {"prompt": 3, "deps": 1, "make_deps": 2, "memory": 4, "model_retry": "x"}
    with pytest.raises(InvalidConfig) as caught:
        agent(teller(server), **bad)
    text = str(caught.value)
    assert all(name in text for name in bad)
    with pytest.raises(InvalidConfig, match="patience"):
        agent(teller(server), patience="soon")
    with pytest.raises(InvalidConfig, match=r"agent has naem \(did you mean name\?\), may have name, "):
        agent(teller(server), naem="x")  # type: ignore[call-overload] # pyright: ignore[reportCallIssue, reportArgumentType]


async def test_names_and_values_of_tools_that_are_wrong_are_refused_when_it_is_written(server: ModelServer) -> None:
    told = geographer(server)
    with pytest.raises(InvalidConfig, match=r"tools has peple_of \(did you mean people_of\?\), may have people_of"):
        agent(told, tools={"peple_of": {"effect": "irreversible"}})
    bad: dict[str, Any] = {"a": {"effect": "reed"}, "b": {"efect": "read"}, "c": "irreversible", "d": {"timeout": "x"}}
    with pytest.raises(InvalidConfig) as caught:
        agent(told, tools=bad | {"e": {"retry": 0}})
    assert "effect of tools['a'] is 'reed', must be one of" in str(caught.value)
    assert "tools['b'] has efect (did you mean effect?)" in str(caught.value)
    assert "tools['c'] is 'irreversible', must be options by name" in str(caught.value)
    assert "timeout is 'x', which is no length of time (in tools['d'])" in str(caught.value)
    assert "(in tools['e'])" in str(caught.value)
    assert agent(told, tools={"people_of": {"effect": "irreversible", "retry": Retry(2), "timeout": "3s"}})


def _never(*_: object) -> bool:
    return False


async def test_names_of_no_tool_are_refused_before_a_model_is_asked(server: ModelServer) -> None:
    async def look(word: str) -> str:
        """Look a word up."""
        return word

    tools = FunctionToolset[None]([look])
    wrapped = teller(server, toolsets=[tools.prefixed("book").filtered(_never)])
    assert agent(wrapped, tools={"book_look": {"effect": "read"}})
    with pytest.raises(InvalidConfig, match=r"tools has look \(did you mean book_look\?\)"):
        agent(wrapped, tools={"look": {"effect": "read"}})
    later = teller(server, toolsets=[tools.renamed({"find": "look"})])
    with pytest.raises(InvalidConfig, match=r"tools has fnd \(did you mean find\?\)"):
        await agent(later, tools={"fnd": {"effect": "read"}})("?")
    with pytest.raises(InvalidConfig, match=r"tools has loook \(did you mean look\?\)"):
        await agent(teller(server), tools={"loook": {}}, run_options={"toolsets": [tools]})("?")

    def given(ctx: RunContext[None]) -> FunctionToolset[None]:
        return tools

    made = agent(teller(server, toolsets=[given]), tools={"look": {"effect": "read"}})
    assert server.requests == []
    server.reply("fine")
    assert await made("?") == "fine"


def _count(text: str) -> int:
    return len(text)


def _echo(text: Any):  # type: ignore[no-untyped-def]  # nobody says what it returns
    return text


SPECS: list[tuple[Any, Any]] = [
    (str, str),
    (City | None, City | None),
    ([str, City], str | City),
    (ToolOutput(City), City),
    (NativeOutput([City, str]), City | str),
    (PromptedOutput(list[City]), list[City]),
    (TextOutput(_count), int),
    (_count, int),
    (_echo, Any),
    ([str, _echo], Any),
]


@pytest.mark.parametrize(("spec", "kind"), SPECS)
def test_the_type_of_what_it_gives_is_known(spec: Any, kind: Any) -> None:
    assert output_of(spec) == kind
    assert agent(Agent(output_type=spec)).parameters.returns == kind


async def test_neighbours_that_do_not_fit_are_refused(server: ModelServer) -> None:
    @step
    async def double(number: int) -> int:
        return 2 * number

    with pytest.raises(RipresaError, match="takes int, is given"):
        chain(agent(geographer(server))).then(double)  # type: ignore[arg-type]


async def test_a_release_that_lacks_what_is_needed_is_refused(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("pydantic_ai.capabilities.AbstractCapability.get_wrapper_model")
    with pytest.raises(RipresaError, match="get_wrapper_model") as caught:
        chain(teller(server))
    assert caught.value.code == "framework_unsupported"


async def test_an_agent_may_be_detached_and_is_no_call(server: ModelServer) -> None:
    told = teller(server)
    start: Any = detached
    assert start(told).name == "start_teller"
    async with App("memory:") as app:
        untyped: Any = app
        with pytest.raises(
            RipresaError, match=r"… is no call \(make a flow of it, and call that: chain\(agent\)"
        ) as caught:
            await untyped.run(told)
    assert len(caught.value.message) < 200


def test_a_target_that_is_an_agent_says_what_to_write(tmp_path: Path) -> None:
    (tmp_path / "bare_agent.py").write_text("import pydantic_ai\n\ndesk = pydantic_ai.Agent()\n")
    with pytest.raises(RipresaError, match=r"make a flow of it, as in flow = chain\(desk\), and name that"):
        load_target(f"{tmp_path}/bare_agent.py:desk")
