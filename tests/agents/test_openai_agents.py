"""Agents of the OpenAI Agents SDK as steps, against the real SDK and a real HTTP server."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import openai
import pytest
from agents import (
    Agent,
    AgentOutputSchema,
    GuardrailFunctionOutput,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIProvider,
    RunConfig,
    RunContextWrapper,
    Runner,
    ToolOutputText,
    function_tool,
    handoff,
    input_guardrail,
)
from agents.exceptions import ModelTimeoutError
from agents.mcp import MCPServerStdio
from openai import AsyncOpenAI
from pydantic import BaseModel

from ripresa import (
    Agents,
    App,
    Chain,
    InvalidConfig,
    Limits,
    Memory,
    Retry,
    RipresaError,
    RunFailed,
    StepError,
    agent,
    chain,
    current,
    step,
)
from ripresa.agents.openai_agents import InnerRuns, coded_error
from ripresa.core.events import CallFailed, CallRecorded, Interacted
from ripresa.runtime.feed import TextWritten
from ripresa.testing.answers import Answer, Fault, ToolUse
from ripresa.testing.model_server import ModelServer
from tests.runtime.stage import journal_of


class City(BaseModel):
    name: str
    people: int


@dataclass
class Atlas:
    people: dict[str, int] = field(default_factory=lambda: {"Rome": 3})
    asked: list[str] = field(default_factory=list[str])


CLIENTS: list[AsyncOpenAI] = []
ROME = '{"name": "Rome", "people": 3}'


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with ModelServer() as found:
        yield found
        while CLIENTS:
            await CLIENTS.pop().close()


def client_of(server: ModelServer) -> AsyncOpenAI:
    CLIENTS.append(AsyncOpenAI(base_url=server.url, api_key="loopback", max_retries=0))
    return CLIENTS[-1]


def model_at(server: ModelServer, name: str = "gpt-4o") -> OpenAIChatCompletionsModel:
    return OpenAIChatCompletionsModel(name, client_of(server))


def uses(name: str, id: str, /, **arguments: Any) -> Answer:
    return Answer(uses=(ToolUse(name, arguments, id),))


@function_tool
async def people_of(ctx: RunContextWrapper[Atlas], name: str) -> int:
    """How many people live in a city."""
    ctx.context.asked.append(name)
    return ctx.context.people[name]


def geographer(server: ModelServer, **options: Any) -> Agent[Atlas]:
    return Agent(
        "geographer", instructions="Be exact.", model=model_at(server), tools=[people_of], output_type=City, **options
    )


def teller(server: ModelServer, **options: Any) -> Agent[Any]:
    return Agent("teller", model=model_at(server), **options)


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


async def test_each_request_and_each_call_of_a_tool_is_journaled_and_counted(server: ModelServer) -> None:
    server.reply(uses("people_of", "a", name="Rome"), ROME)
    atlas = Atlas()
    async with App("memory:") as app:
        handle = await app.start(failing_after(agent(geographer(server), deps=atlas))("Which one?"))
        assert await handle.result() == City(name="Rome", people=3)
        events = await journal_of(handle)
        assert (await handle.status()).tokens > 0
    keys = [event.key.partition(":")[0] for event in events if isinstance(event, CallRecorded)]
    assert keys == ["model", "people_of", "model"]
    assert [event.kind for event in events if isinstance(event, Interacted)] == [
        "request",
        "answer",
        "call",
        "result",
        "request",
        "answer",
    ]
    assert len(server.requests) == 2
    assert atlas.asked == ["Rome"]
    assert server.requests[1].results == ["3"]


async def test_it_stands_wherever_a_step_stands(server: ModelServer) -> None:
    server.reply(*["told"] * 4)
    told = teller(server)
    async with App("memory:") as app:
        assert await app.run(chain(told).then(agent(told))("a")) == "told"
        assert await app.run(Agents([told]).step("teller")("b")) == "told"
    assert await agent(told, input=City, prompt=lambda city: city.name)(City(name="Rome", people=3)) == "told"
    assert server.requests[3].prompt == "Rome"


@pytest.mark.parametrize("known", [True, False, None])
async def test_a_handoff_is_recorded_and_not_made_again(server: ModelServer, known: bool | None) -> None:
    handed: list[str] = []
    pilot = teller(server).clone(name="pilot")
    made = handoff(pilot, on_handoff=lambda ctx: handed.append("pilot")) if not known else pilot
    if known is None:
        vars(made)["_agent_ref"] = None  # whom it leads to is known when it is used
    chief = teller(server).clone(name="chief", handoffs=[made])
    pilot.handoffs = [chief]
    server.reply(uses("transfer_to_pilot", "a"), "3.5 m")
    async with App("memory:") as app:
        handle = await app.start(failing_after(agent(chief))("How high?"))
        assert await handle.result() == "3.5 m"
        told = [event for event in await journal_of(handle) if isinstance(event, Interacted)]
    assert [(event.sender, event.receiver) for event in told if event.kind == "handoff"] == [("chief", "pilot")]
    assert len(server.requests) == 2
    assert agent(chief).parameters.returns is (str if known else Any)


async def test_models_by_name_come_from_its_provider(server: ModelServer) -> None:
    provider = OpenAIProvider(openai_client=client_of(server), use_responses=False)
    server.reply("one", "two")
    config = RunConfig(model_provider=provider)
    async with App("memory:") as app:
        made = agent(Agent("teller", model="gpt-4o-mini"), run_options={"run_config": config})
        assert await app.run(chain(made)("?")) == "one"
        other = agent(Agent("teller"), run_options={"run_config": RunConfig(model=model_at(server))})
        assert await app.run(chain(other)("?")) == "two"
    assert [request.model for request in server.requests] == ["gpt-4o-mini", "gpt-4o"]


async def test_what_tools_return_reads_back(server: ModelServer) -> None:
    class Strange:
        def __str__(self) -> str:
            return "strange"

    @function_tool
    async def give(kind: str) -> Any:
        """Give something."""
        return {"text": ToolOutputText(text="told"), "plain": {"a": 1}}.get(kind, Strange())

    server.reply(*(uses("give", kind, kind=kind) for kind in ("text", "plain", "strange")), "done")
    async with App("memory:") as app:
        assert await app.run(failing_after(agent(teller(server, tools=[give])))("?")) == "done"
    assert server.requests[-1].results == ["told", "{'a': 1}", "strange"]


async def test_a_tool_has_the_options_that_are_given(server: ModelServer) -> None:
    tries: list[str] = []

    @function_tool(failure_error_function=None)
    async def look(word: str) -> str:
        """Look a word up."""
        tries.append(word)
        if len(tries) == 1:
            raise OSError("gone")
        return word

    server.reply(uses("look", "a", word="tide"), "done")
    made = agent(teller(server, tools=[look]), tools={"look": {"retry": Retry(2, 0)}})
    async with App("memory:") as app:
        assert await app.run(chain(made)("?")) == "done"
    assert tries == ["tide", "tide"]


async def test_what_is_written_is_told_as_it_comes(server: ModelServer) -> None:
    server.reply("high and low", Fault("dropped"))
    settings = ModelSettings(include_usage=True)
    made = agent(teller(server, model_settings=settings), stream=True, model_retry=1)
    async with App("memory:") as app:
        handle = await app.start(chain(made)("?"))
        feed = [each.text async for each in handle.watch() if isinstance(each, TextWritten)]
        assert await handle.result() == "high and low"
        assert (await handle.status()).tokens > 0
        with pytest.raises(RunFailed) as caught:
            await app.run(chain(made)("?"))
    assert "".join(feed) == "high and low"
    assert caught.value.failure.code in ("model_unavailable", "invalid_model_answer")


async def test_it_remembers_its_session(server: ModelServer) -> None:
    server.reply("Ann.", "You are Ann.")
    told = chain(agent(teller(server), memory=Memory()))
    async with App("memory:") as app:
        await app.sessions.create("s", owner="ann")
        await app.run(told("I am Ann"), session="s")
        assert await app.run(told("Who am I?"), session="s") == "You are Ann."
    assert [message["role"] for message in server.requests[1].messages] == ["user", "assistant", "user"]


async def test_a_model_that_is_busy_is_asked_again(server: ModelServer) -> None:
    server.reply(Fault(status=429, retry_after=0), "done")
    async with App("memory:") as app:
        handle = await app.start(chain(agent(teller(server), model_retry=Retry(2, 0)))("?"))
        assert await handle.result() == "done"
        failed = [event.failure.code for event in await journal_of(handle) if isinstance(event, CallFailed)]
    assert failed == ["model_rate_limited"]


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Fault(status=401), "model_unauthorized"),
        (Fault(status=404), "unknown_model"),
        (Fault(status=400), "model_refused"),
        (Fault(status=500), "model_unavailable"),
        (Fault("malformed"), "invalid_model_answer"),
        ("no city", "invalid_model_answer"),
    ],
)
async def test_what_goes_wrong_has_a_code(server: ModelServer, reply: Any, code: str) -> None:
    server.reply(reply)
    with pytest.raises(RipresaError) as caught:
        await agent(teller(server, output_type=City), model_retry=1)("?")
    assert caught.value.code == code


def test_what_else_a_model_raises_has_a_code() -> None:
    assert coded_error(ModelTimeoutError(3.0), "m").code == "model_unavailable"
    assert coded_error(openai.OpenAIError("no key"), "m").code == "model_not_configured"


async def test_limits_and_guardrails_have_codes(server: ModelServer) -> None:
    @input_guardrail
    def never(ctx: Any, found: Any, asked: Any) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(None, tripwire_triggered=True)

    server.reply(uses("people_of", "a", name="Rome"), "x")
    with pytest.raises(RipresaError) as caught:
        await agent(geographer(server), deps=Atlas(), run_options={"max_turns": 1})("?")
    assert caught.value.code == "agent_limit"
    with pytest.raises(RipresaError) as caught:
        await agent(teller(server, input_guardrails=[never]))("?")
    assert caught.value.code == "vetoed"


async def test_what_people_are_asked_first_is_refused(server: ModelServer) -> None:
    @function_tool(needs_approval=True)
    async def pay(amount: int) -> str:
        """Pay."""
        return "paid"

    server.reply(uses("pay", "a", amount=3))
    with pytest.raises(RipresaError, match="people are asked about pay first") as caught:
        await agent(teller(server, tools=[pay]))("?")
    assert caught.value.code == "framework_unsupported"


async def test_bad_options_are_named(server: ModelServer) -> None:
    told = teller(server)
    with pytest.raises(InvalidConfig, match=r"run_options has turns.*, may have run_config"):
        agent(told, run_options={"turns": 3})
    with pytest.raises(InvalidConfig, match="tools is 3"):
        agent(told, tools=3)  # type: ignore[call-overload] # pyright: ignore[reportCallIssue, reportArgumentType]
    typed = agent(Agent("a", output_type=AgentOutputSchema(City)))
    assert typed.parameters.returns is City
    assert json.loads(ROME)["people"] == 3


async def test_what_tools_raise_keeps_its_code(server: ModelServer) -> None:
    @function_tool(failure_error_function=None)
    async def broken() -> str:
        """Break."""
        raise StepError("it broke", code="http_status")

    @function_tool(timeout=0.001, timeout_behavior="raise_exception")
    async def slow() -> str:
        """Take long."""
        await asyncio.Event().wait()
        return ""

    server.reply(uses("broken", "a"), uses("slow", "b"))
    made = agent(teller(server, tools=[broken, slow]))
    for code in ("http_status", "timeout"):
        with pytest.raises(RipresaError) as caught:
            await made("?")
        assert caught.value.code == code


async def test_a_mistake_in_its_use_has_a_code(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(RipresaError) as caught:
        await agent(Agent("teller", model="gpt-4o"))("?")
    assert caught.value.code == "model_not_configured"
    with pytest.raises(InvalidConfig):
        await agent(Agent("teller", model="nobody/knows"))("?")


async def test_a_stream_that_breaks_off_is_no_answer() -> None:
    class Silent(OpenAIChatCompletionsModel):
        async def stream_response(self, *args: Any, **options: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
            for _ in ():
                yield _

    async with AsyncOpenAI(base_url="http://127.0.0.1:9", api_key="x") as client:
        silent = Silent("gpt-4o", client)
        with pytest.raises(RipresaError, match="broke off") as caught:
            await agent(Agent("teller", model=silent), stream=True, model_retry=1)("?")
    assert caught.value.code == "invalid_model_answer"


async def test_names_of_no_tool_are_refused_when_it_is_written(server: ModelServer) -> None:
    helper = geographer(server)
    bad: dict[str, Any] = {"peple_of": {"effect": "irreversible"}}
    right: dict[str, Any] = {"people_of": {"effect": "irreversible"}}
    for first in (helper, teller(server, handoffs=[helper]), teller(server, handoffs=[handoff(helper), helper])):
        with pytest.raises(InvalidConfig, match=r"tools has peple_of \(did you mean people_of\?\), may have people_of"):
            agent(first, tools=bad)
        assert agent(first, tools=right)
    way = handoff(helper)
    vars(way)["_agent_ref"] = None  # whom it leads to is known when it is used
    assert agent(teller(server, handoffs=[way]), tools=bad)
    with pytest.raises(InvalidConfig, match="tools has any, may have none"):
        agent(teller(server), tools={"any": {}})


async def test_a_model_whose_package_is_not_installed_has_a_code() -> None:
    class Lacking(OpenAIProvider):
        def get_model(self, model_name: str | None) -> Any:
            raise ImportError("`litellm` is required")

    config = RunConfig(model_provider=Lacking(api_key="loopback"))
    made = agent(Agent("teller", model="litellm/x"), run_options={"run_config": config})
    with pytest.raises(RipresaError, match=r"`litellm` is required .*pip install 'openai-agents\[litellm\]'") as caught:
        await made("?")
    assert caught.value.code == "extra_missing"


def program() -> MCPServerStdio:
    """A real MCP server, as a program."""
    command = [str(Path(__file__).with_name("mcp_program.py")), "/dev/null"]
    return MCPServerStdio(params={"command": sys.executable, "args": command})


async def test_calls_of_the_tools_of_its_mcp_servers_are_journaled(server: ModelServer) -> None:
    server.reply(uses("read", "a", path="tides"), "told")
    async with program() as files, App("memory:") as app:
        made = agent(teller(server, mcp_servers=[files]), tools={"read": {"effect": "read"}})
        handle = await app.start(failing_after(made)("Read."))
        assert await handle.result() == "told"
        journal = await journal_of(handle)
    told = [(each.sender, each.receiver) for each in journal if isinstance(each, Interacted) and "read" in repr(each)]
    assert told.count(("teller", "read")) == told.count(("read", "teller")) == 1
    calls = [each.key.partition(":")[0] for each in journal if isinstance(each, CallRecorded)]
    assert calls == ["model", "read", "model"]
    assert len(server.requests) == 2
    assert "text of tides" in server.requests[1].results[0]


async def test_options_of_tools_that_no_server_offers_are_refused_before_a_model_is_asked(server: ModelServer) -> None:
    async with program() as files, App("memory:") as app:
        made = agent(teller(server, mcp_servers=[files]), tools={"raed": {"effect": "read"}})
        with pytest.raises(RunFailed, match=r"tools has raed \(did you mean read\?\)") as caught:
            await app.run(made("Read."))
    assert caught.value.failure.code == "invalid_config"
    assert server.requests == []


async def test_options_of_tools_behind_a_handoff_of_ones_own_are_checked_when_it_is_taken(server: ModelServer) -> None:
    helper = geographer(server)
    way = handoff(helper)
    vars(way)["_agent_ref"] = None
    first = teller(server, handoffs=[way])
    server.reply(uses(way.tool_name, "a"), "told")
    async with App("memory:") as app:
        with pytest.raises(RunFailed, match="tools has peple_of"):
            await app.run(agent(first, tools={"peple_of": {"effect": "read"}})("How many?"))
        assert len(server.requests) == 1


# --- agents that tools run


def asking_pilot(server: ModelServer, **options: Any) -> Agent[Any]:
    pilot = Agent[Atlas]("pilot", model=model_at(server), tools=[people_of])
    asks = pilot.as_tool("ask_pilot", "Ask the pilot.", failure_error_function=None, **options)
    return Agent("desk", model=model_at(server), tools=[asks])


@pytest.mark.parametrize("streams", [False, True])
async def test_what_an_agent_does_that_is_a_tool_of_another_is_journaled_and_not_done_again(
    server: ModelServer, streams: bool
) -> None:
    heard: list[Any] = []
    options = {"on_stream": heard.append} if streams else {"run_config": RunConfig()}
    server.reply(uses("ask_pilot", "a", input="Rome?"), uses("people_of", "b", name="Rome"), Fault(status=500))
    server.reply("Three.", "Three live there.")
    atlas = Atlas()
    made = agent(asking_pilot(server, **options), deps=atlas, model_retry=1, retry=Retry(2, 0))
    async with App("memory:") as app:
        handle = await app.start(chain(made)("How many?"))
        assert await handle.result() == "Three live there."
        keys = [event.key for event in await journal_of(handle) if isinstance(event, CallRecorded)]
        status = await handle.status()
    names = [">".join(part.partition(":")[0] for part in key.split(">")) for key in keys]
    assert names == ["model", "ask_pilot>model", "ask_pilot>people_of", "ask_pilot>model", "ask_pilot", "model"]
    assert (len(server.requests), atlas.asked) == (5, ["Rome"])
    assert status.tokens > 4 * 10
    assert bool(heard) == streams


async def test_limits_hold_for_agents_that_are_tools_and_no_model_is_told_of_them(server: ModelServer) -> None:
    @function_tool
    async def wonder(about: str) -> str:
        """Ask somebody else."""
        return str((await Runner.run(Agent("other", model=model_at(server, "nobody-knows-this")), about)).final_output)

    server.reply(uses("wonder", "a", about="Rome"))
    async with App("memory:") as app:
        handle = await app.start(chain(agent(teller(server, tools=[wonder])))("?"), limits=Limits(money=5))
        with pytest.raises(RunFailed, match="nobody knows the price"):
            await handle.result()
    assert [each.model for each in server.requests] == ["gpt-4o"]


async def test_tools_of_agents_that_are_tools_have_options_too(server: ModelServer) -> None:
    desk = asking_pilot(server)
    desk.tools.append(desk.as_tool("ask_desk", "Ask yourself."))
    assert agent(desk, tools={"people_of": {"effect": "read"}, "ask_desk": {"timeout": 9}}).name == "desk"
    with pytest.raises(InvalidConfig, match="tools has nobody"):
        agent(desk, tools={"nobody": {"effect": "read"}})


async def test_agents_that_run_outside_a_step_are_as_before(server: ModelServer) -> None:
    server.reply("told", "said")
    await agent(teller(server))("?")
    config = RunConfig(tracing_disabled=True)
    assert (await Runner.run(teller(server), "?", run_config=config)).final_output == "said"
    ran: list[tuple[Any, ...]] = []

    def run_sync(found: Any, asked: Any, **options: Any) -> None:
        ran.append((found, asked, options))

    InnerRuns(SimpleNamespace(run_sync=run_sync)).run_sync("desk", "?", max_turns=3)
    assert ran == [("desk", "?", {"max_turns": 3})]
