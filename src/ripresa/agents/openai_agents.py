"""Agents of the OpenAI Agents SDK as steps: each request to a model, call of a tool and handoff is journaled.

Law: what an agent has been answered is recorded before it sees it, and its next attempt, in whatever process, is
handed that. The agents themselves stay as they are: each run is of copies whose models, tools and handoffs are wrapped.
Nothing is traced. This module is imported for agents of the SDK alone, which is imported then.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, Final, cast

import openai
from agents import (
    Agent,
    AgentOutputSchemaBase,
    FunctionTool,
    Handoff,
    Model,
    ModelProvider,
    ModelResponse,
    RunConfig,
    Runner,
    Usage,
    handoff,
)
from agents import exceptions as wrong
from agents.run import get_default_agent_runner, set_default_agent_runner
from openai.types.responses import Response, ResponseCompletedEvent, ResponseTextDeltaEvent, ResponseUsage
from openai.types.responses.response_usage import InputTokensDetails, OutputTokensDetails
from pydantic import BaseModel, TypeAdapter
from pydantic_core import from_json, to_json
from typing_extensions import override

from ..authoring.options import bad_names, refuse
from ..authoring.step import Options, Step
from ..context import current, notes, take_notes
from ..errors import InvalidConfig, ModelError, RipresaError, StepTimeout
from ..steps.conversation import Message, ModelAnswer, ToolCall
from ..steps.providers import price_known, timed, without_secrets
from .adapting import Adapting, journaled, named, tool_options, unsupported
from .agent import as_text
from .tools import ENDS

OWN: Final = ("run_config", "context", "hooks", "max_turns", "error_handlers", "session", "conversation_id")
"""What `run_options` may have of the arguments of `Runner.run`."""

_ASKED: Final = ("system_instructions", "input", "model_settings", "tools", "output_schema", "handoffs", "tracing")
"""The first parameters of `Model.get_response`, which may come by position."""

_whole: Final = TypeAdapter(ModelResponse)


def openai_step(found: Any, name: str, adapting: Adapting) -> Step[[Any], Any]:
    """An agent of the SDK as a step that is given its prompt, and gives its final output."""
    called = named(found, name, "agent")
    tools = _tools_of(found)
    refuse(
        "agent",
        bad_names(adapting.run_options, "run_options", OWN),
        None if tools is None else bad_names(adapting.tools, "tools", tools),
        where=called,
    )

    async def perform(input: Any) -> Any:
        prompt = adapting.said(input)
        history = [] if adapting.memory is None else await adapting.memory.recall()
        try:
            output = await _run(found, [*map(_item, history), {"role": "user", "content": prompt}], adapting)
        except wrong.AgentsException as error:
            raise _coded(error, called) from None
        except openai.OpenAIError as error:  # a client that cannot be made
            raise coded_error(error, called) from None
        if adapting.memory is not None:
            await adapting.memory.keep(prompt, as_text(output))
        return output

    return adapting.step(called, perform, str, _gives(found))


async def _run(found: Any, asked: list[Any], adapting: Adapting) -> Any:
    given = dict(adapting.run_options)
    copies = Copies(adapting)
    config = copies.config(given.pop("run_config", None))
    deps = await adapting.dependencies()
    _watch_inner_runs()
    before = notes()
    take_notes(copies)
    try:
        result = await Runner.run(copies.agent(found), asked, run_config=config, **({"context": deps} | given))
    finally:
        take_notes(before)
    copies.raise_end()
    if result.interruptions:
        tools = ", ".join(str(each.name) for each in result.interruptions)
        raise unsupported(
            "openai-agents",
            f"people are asked about {tools} first",
            "make the tool one of an Agent of ours: supervised",
        )
    return result.final_output


def _item(message: Message) -> dict[str, str]:
    """What was remembered, as the SDK says it."""
    return {"role": "assistant" if message.role == "model" else "user", "content": message.text}


@dataclass(slots=True)
class Copies:
    """The copies of the agents of one run, by the identity of what they are copies of, and by name."""

    adapting: Adapting
    made: dict[int, Any] = field(default_factory=dict[int, Any])
    by_name: dict[str, Any] = field(default_factory=dict[str, Any])
    tools: set[str] = field(default_factory=set[str])
    """The names of the tools that are known."""
    hidden: set[str] = field(default_factory=set[str])
    """What may have tools that are not known yet: handoffs that nobody has taken, MCP servers that were not asked."""
    inner: dict[int, Any] = field(default_factory=dict[int, Any])
    """The copies of agents that are run by tools of others, by the identity of what they are copies of."""
    ended: list[RipresaError] = field(default_factory=list[RipresaError])
    """What no model can do anything about, and ends the run, whoever takes it for the failure of a tool."""

    def config(self, given: Any) -> RunConfig:
        """How the agents run: with models that are journaled, and traced by nobody."""
        plain: Any = {} if given is None else given
        config = RunConfig(**cast("dict[str, Any]", plain)) if isinstance(plain, dict) else cast("RunConfig", plain)
        provider, model = config.model_provider, config.model
        if not isinstance(provider, JournaledProvider):
            provider = JournaledProvider(provider, self)
        if isinstance(model, Model) and not isinstance(model, JournaledModel):
            model = self.model(model)
        return replace(config, model_provider=provider, model=model, tracing_disabled=True)

    def within(self, found: Any) -> Any:
        """The copy of an agent that a tool of another runs; its handoffs are those of a run of its own."""
        if id(found) in self.made:
            return self.made[id(found)]
        if id(found) not in self.inner:
            self.inner[id(found)] = found  # it may be among its own tools
            copy = replace(self, made={}, by_name={}).agent(found)
            self.inner[id(found)] = self.inner[id(copy)] = copy
        return self.inner[id(found)]

    async def recorded(self, *args: Any, **options: Any) -> Any:
        """What `journaled` gives; what ends the run is kept, for tools tell models what fails inside them."""
        try:
            return await journaled(*args, **options)
        except RipresaError as error:
            if error.code in ENDS:
                self.ended.append(error)
            raise

    def raise_end(self) -> None:
        """Raise what ends the run, if anything did."""
        if self.ended:
            raise self.ended[0]

    def agent(self, found: Any) -> Any:
        """The copy of an agent, whose tools, model and handoffs are wrapped."""
        if id(found) in self.made:
            return self.made[id(found)]
        tools = [self._tool(each, found.name) if isinstance(each, FunctionTool) else each for each in found.tools]
        self.tools |= {str(each.name) for each in found.tools}
        model = self.model(found.model) if isinstance(found.model, Model) else found.model
        copy = found.clone(tools=tools, model=model, model_settings=found.model_settings, handoffs=[])
        self.made[id(found)] = self.made[id(copy)] = self.by_name[found.name] = copy
        copy.handoffs = [self._handoff(each, found.name) for each in found.handoffs]
        for each in filter(None, map(_agent_of, found.tools)):
            self.within(each)
        if found.mcp_servers:
            self._wrap_servers(copy)
        return copy

    def _wrap_servers(self, copy: Any) -> None:
        """Journal the calls of the tools that MCP servers offer an agent, whenever they are listed."""
        offered, hidden = copy.get_mcp_tools, f"the MCP servers of {copy.name}"
        self.hidden.add(hidden)

        async def listed(context: Any) -> list[Any]:
            found = await offered(context)
            self.tools |= {str(each.name) for each in found}
            self.hidden.discard(hidden)
            return [self._tool(each, copy.name) if isinstance(each, FunctionTool) else each for each in found]

        copy.get_mcp_tools = listed

    def check(self) -> None:
        """Raise `InvalidConfig` for options of tools that nobody has, once all that there are are known."""
        if not self.hidden:
            refuse("agent", bad_names(self.adapting.tools, "tools", sorted(self.tools)))

    def model(self, found: Model, name: str = "") -> JournaledModel:
        """A model whose answers are recorded."""
        return JournaledModel(found, name or str(getattr(found, "model", type(found).__name__)), self)

    def _tool(self, tool: FunctionTool, agent: str) -> FunctionTool:
        async def invoke(context: Any, arguments: str) -> Any:
            async def call(_: Any) -> str:
                current().interaction(agent, tool.name, "call", arguments)
                text = _written(await tool.on_invoke_tool(context, arguments))
                self.raise_end()
                current().interaction(tool.name, agent, "result", text)
                return text

            asked = {"id": context.tool_call_id, "arguments": arguments}
            options = tool_options(tool.name, self.adapting.tools.get(tool.name))
            return from_json(await self.recorded(tool.name, call, options, str, asked, kind=Step))

        return replace(tool, on_invoke_tool=invoke)

    def _handoff(self, found: Any, agent: str) -> Handoff[Any, Any]:
        way: Handoff[Any, Any] = handoff(found) if isinstance(found, Agent) else found  # pyright: ignore[reportUnknownArgumentType]
        known, hidden = _whom(found), f"the handoff {way.tool_name} of {agent}"
        if known is not None:
            self.agent(known)
        else:
            self.hidden.add(hidden)

        async def invoke(context: Any, arguments: str) -> Any:
            there: list[Any] = []

            async def go(_: Any) -> str:
                there.append(self.agent(await way.on_invoke_handoff(context, arguments)))
                current().interaction(agent, there[0].name, "handoff", arguments)
                return str(there[0].name)

            asked = {"from": agent, "by": way.tool_name, "arguments": arguments}
            name = await journaled("handoff", go, Options("handoff"), str, asked)
            if not there and name not in self.by_name:  # an agent that only the handoff knows
                self.agent(await way.on_invoke_handoff(context, arguments))
            self.hidden.discard(hidden)
            return there[0] if there else self.by_name[name]

        return replace(way, on_invoke_handoff=invoke)


class JournaledProvider(ModelProvider):
    """Models by name, whose answers are recorded."""

    def __init__(self, wrapped: ModelProvider, copies: Copies) -> None:
        self.wrapped = wrapped
        self.copies = copies

    @override
    def get_model(self, model_name: str | None) -> Model:
        name = model_name or ""
        try:
            return self.copies.model(self.wrapped.get_model(model_name), name)
        except ImportError as error:
            provider = name.partition("/")[0]
            raise RipresaError(
                f"{name}: {error}",
                code="extra_missing",
                op="agent",
                where=name,
                hint=f"pip install 'openai-agents[{provider}]'",
            ) from None


class JournaledModel(Model):
    """A model whose answers are recorded, and not asked for again."""

    def __init__(self, wrapped: Model, name: str, copies: Copies) -> None:
        self.wrapped = wrapped
        self.name = name
        self.copies = copies
        self.adapting = copies.adapting

    @override
    async def get_response(self, *args: Any, **options: Any) -> ModelResponse:
        self.copies.check()
        asked = _plain(self.name, dict(zip(_ASKED, args, strict=False)) | options)

        async def ask(_: Any) -> ModelAnswer:
            context = current()
            context.interaction("agent", self.name, "request", _newest(asked["input"]))
            await context.ensure(cost=None if self.price(0, 0) is None else 0.0)
            try:
                found = await self._answered(args, options)
            except (openai.OpenAIError, wrong.ModelTimeoutError, wrong.ModelRefusalError, ValueError) as error:
                raise coded_error(error, self.name) from None
            answer = read_response(found, self.name)
            context.usage(tokens=answer.tokens, cost=self.price(answer.input_tokens, answer.output_tokens))
            calls = [{"tool": call.name, "arguments": call.arguments} for call in answer.calls]
            context.interaction(self.name, "agent", "answer", {"text": answer.text, "calls": calls})
            return answer

        answer = await self.copies.recorded("model", ask, self.adapting.asking, ModelAnswer, asked)
        return _whole.validate_json(answer.raw)

    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        """What so many tokens cost, if anybody knows; names without a provider are OpenAI's."""
        return price_known(self.name, input_tokens, output_tokens, "openai")

    async def _answered(self, args: tuple[Any, ...], options: dict[str, Any]) -> ModelResponse:
        if not self.adapting.stream:
            return await self.wrapped.get_response(*args, **options)
        async for event in self.wrapped.stream_response(*args, **options):
            if isinstance(event, ResponseTextDeltaEvent):
                current().write(event.delta)
            elif isinstance(event, ResponseCompletedEvent):
                used = event.response.usage
                usage = Usage() if used is None else Usage(1, used.input_tokens, output_tokens=used.output_tokens)
                usage.total_tokens = usage.input_tokens + usage.output_tokens
                return ModelResponse(event.response.output, usage, event.response.id)
        raise ValueError("the stream broke off")

    @override
    async def stream_response(self, *args: Any, **options: Any) -> AsyncIterator[Any]:
        """The answer as one piece, once it is recorded: for agents inside tools that are run as streams."""
        found = await self.get_response(*args, **options)
        yield ResponseCompletedEvent(response=_response(found, self.name), sequence_number=0, type="response.completed")


def _response(found: ModelResponse, model: str) -> Response:
    """An answer as the end of a stream has it."""
    used = found.usage
    usage = ResponseUsage(
        input_tokens=used.input_tokens,
        input_tokens_details=InputTokensDetails(cached_tokens=0, cache_write_tokens=0),
        output_tokens=used.output_tokens,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=0),
        total_tokens=used.total_tokens,
    )
    return Response(
        id=found.response_id or "",
        created_at=int(time.time()),
        model=model,
        object="response",
        output=found.output,
        parallel_tool_calls=True,
        tool_choice="auto",
        tools=[],
        usage=usage,
    )


# --- agents that tools of others run


class InnerRuns:
    """What runs agents for the SDK: those that a tool of an agent of ours begins to run are journaled too.

    Everything else goes where it went before. It stands in the one place where the SDK lets runs be taken over, since
    what `as_tool` makes runs the agent that it was made of, whatever is put around it.
    """

    def __init__(self, before: Any) -> None:
        self._before = before

    async def run(self, starting_agent: Any, input: Any, **options: Any) -> Any:
        """See `Runner.run`."""
        return await self._before.run(*_copied(starting_agent, input, options), **options)

    def run_streamed(self, starting_agent: Any, input: Any, **options: Any) -> Any:
        """See `Runner.run_streamed`."""
        return self._before.run_streamed(*_copied(starting_agent, input, options), **options)

    def run_sync(self, starting_agent: Any, input: Any, **options: Any) -> Any:
        """See `Runner.run_sync`: what blocks a thread has no event loop that journals."""
        return self._before.run_sync(starting_agent, input, **options)


def _watch_inner_runs() -> None:
    before: Any = get_default_agent_runner()
    if not isinstance(before, InnerRuns):
        set_default_agent_runner(cast("Any", InnerRuns(before)))


def _copied(found: Any, input: Any, options: dict[str, Any]) -> tuple[Any, Any]:
    """An agent that is about to be run, or its copy where a step of ours runs it; the options then say so."""
    copies = notes()
    if not isinstance(copies, Copies):
        return found, input
    options["run_config"] = copies.config(options.get("run_config"))
    return copies.within(found), input


def _plain(model: str, given: dict[str, Any]) -> dict[str, Any]:
    """What is asked as plain data: the same in every attempt that asks the same."""
    asked = given["input"]
    output: AgentOutputSchemaBase | None = given["output_schema"]
    return {
        "model": model,
        "system": given["system_instructions"],
        "input": [{"role": "user", "content": asked}] if isinstance(asked, str) else from_json(to_json(asked)),
        "tools": [each.name for each in given["tools"]],
        "handoffs": [each.tool_name for each in given["handoffs"]],
        "output": "" if output is None else output.name(),
    }


def _newest(items: list[Any]) -> list[Any]:
    """What is told that the model has not said or been told before."""
    found: list[Any] = []
    for item in reversed(items):
        if item.get("role") == "assistant" or item.get("type") in ("function_call", "reasoning"):
            break
        found.append({"role": item.get("role", "tool"), "text": item.get("content") or item.get("output") or ""})
    return found[::-1]


def read_response(response: ModelResponse, model: str) -> ModelAnswer:
    """What a model answered, to be recorded: in words, and whole, as JSON of the SDK's."""
    texts = chain.from_iterable(_texts(each) for each in response.output)
    calls = [each for each in response.output if each.type == "function_call"]
    return ModelAnswer(
        "".join(texts),
        tuple(ToolCall(each.call_id, each.name, each.arguments) for each in calls),
        "tool_call" if calls else "stop",
        model,
        response.usage.input_tokens,
        response.usage.output_tokens,
        None,
        _whole.dump_json(response).decode(),
    )


def _texts(item: Any) -> Iterator[str]:
    if item.type == "message":
        yield from (part.text for part in item.content if part.type == "output_text")


# --- tools


def _written(result: Any) -> str:
    """What a tool returned, as JSON text: as the SDK tells it to a model, where it is no plain data."""
    several: list[Any] = [*result] if type(result) is list else [result]
    plain = all(isinstance(each, str | int | float | bool | dict | BaseModel) for each in several)
    return to_json(result if plain else str(result)).decode()  # pyright: ignore[reportUnknownArgumentType]


# --- what an agent gives, and what goes wrong


def _gives(found: Any) -> Any:
    """The type of the final output, where all agents that may give it agree."""
    seen: dict[int, Any] = {}
    _reached(found, seen)
    kinds = {repr(kind): kind for kind in seen.values()}
    return next(iter(kinds.values())) if len(kinds) == 1 else Any


def _reached(found: Any, seen: dict[int, Any]) -> None:
    if id(found) in seen:
        return
    kind: Any = found.output_type
    if isinstance(kind, AgentOutputSchemaBase):
        kind = getattr(kind, "output_type", Any)
    seen[id(found)] = str if kind is None else kind
    for each in found.handoffs:
        if isinstance(each, Agent):
            _reached(cast("Any", each), seen)
        else:
            seen[id(each)] = Any  # whom it leads to is known when it is used


def _tools_of(found: Any) -> list[str] | None:
    """The names of all function tools of the agents that may have a say; None where that is known in a run only."""
    seen: dict[int, Any] = {}
    reached: list[Any] = [found]
    while reached:
        each = reached.pop()
        each = _whom(each)
        if each is None or each.mcp_servers:
            return None
        if id(each) not in seen:
            seen[id(each)] = each
            reached.extend((*each.handoffs, *filter(None, map(_agent_of, each.tools))))
    return sorted({tool.name for each in seen.values() for tool in each.tools if isinstance(tool, FunctionTool)})


def _whom(found: Any) -> Any:
    """The agent that a handoff leads to; None where it does not tell. An agent is that agent."""
    if isinstance(found, Agent):
        return found  # pyright: ignore[reportUnknownVariableType]
    whom: Any = getattr(found, "_agent_ref", None)
    return None if whom is None else whom()


def _agent_of(tool: Any) -> Any:
    """The agent that a tool runs, where it was made with `as_tool`."""
    return getattr(tool, "_agent_instance", None)


def _coded(error: BaseException, where: str) -> RipresaError:
    """What the SDK raised, as an error with a code; that of ours which is behind it, if one is."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, RipresaError):
            return cause
        cause = cause.__cause__
    text = f"{where}: {without_secrets(str(error))}"
    match error:
        case wrong.MaxTurnsExceeded():
            hint = 'give it more: agent(..., run_options={"max_turns": 20})'
            return RipresaError(text, code="agent_limit", op="agent", where=where, hint=hint)
        case wrong.ToolTimeoutError():
            return StepTimeout(text, op="agent", where=where)
        case wrong.ModelBehaviorError():
            return ModelError(text, code="invalid_model_answer")
        case wrong.UserError():
            return InvalidConfig(text, op="agent", where=where)
        case _:  # a guardrail
            return RipresaError(text, code="vetoed", op="agent", where=where)


def coded_error(error: BaseException, model: str) -> ModelError:
    """What a client raised, as an error with a code; without its cause, which may hold what is secret."""
    text = f"{model}: {without_secrets(str(error))}"
    match error:
        case openai.AuthenticationError() | openai.PermissionDeniedError():
            return ModelError(text, code="model_unauthorized", hint="look at the key of the client")
        case openai.NotFoundError():
            return ModelError(text, code="unknown_model")
        case openai.RateLimitError():
            after = error.response.headers.get("retry-after", "0")
            return timed(ModelError(text, code="model_rate_limited"), float(after) if after.isdecimal() else 0.0)
        case openai.BadRequestError() | wrong.ModelRefusalError():
            return ModelError(text, code="model_refused")
        case ValueError():
            return ModelError(text, code="invalid_model_answer")
        case openai.APIError() | wrong.ModelTimeoutError():
            return ModelError(text, code="model_unavailable")
        case _:
            return ModelError(text, code="model_not_configured")
