"""Agents of pydantic-ai as steps: each request to a model and each call of a tool is journaled.

Law: what an agent has been answered is recorded before it sees it, and its next attempt, in whatever process, is
handed that. The agent itself stays as it is: for each run it is given a capability, by which pydantic-ai lets models
and tools be wrapped. This module is imported for agents of pydantic-ai alone, which is imported then.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from inspect import signature
from typing import Any, Final, Literal, Union

from pydantic import TypeAdapter, ValidationError
from pydantic_ai import exceptions as wrong
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelResponse,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ToolCallPart,
    ToolReturn,
    ToolReturnContent,
)
from pydantic_ai.models import CompletedStreamedResponse, Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.output import NativeOutput, PromptedOutput, TextOutput, ToolOutput
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import RunContext
from pydantic_ai.toolsets import (
    AbstractToolset,
    ApprovalRequiredToolset,
    CombinedToolset,
    FilteredToolset,
    FunctionToolset,
    PrefixedToolset,
    PreparedToolset,
    ToolsetTool,
    WrapperToolset,
)
from pydantic_ai.usage import RequestUsage
from typing_extensions import override

from ..authoring.options import bad_names, refuse
from ..authoring.parameters import Parameters
from ..authoring.step import Step
from ..context import current
from ..errors import InvalidConfig, ModelError, RipresaError, StepTimeout
from ..steps.conversation import ModelAnswer, ModelRequest, ToolCall
from ..steps.providers import coded, said_to, without_secrets
from .adapting import Adapting, journaled, named, need, tool_options
from .agent import as_text

VOLATILE: Final = ("timestamp", "run_id", "conversation_id")
"""Fields of messages that differ from attempt to attempt."""

GIVEN: Final = ("deps", "message_history", "capabilities", "infer_name")
"""Arguments of the agent's own `run` that are given already."""

MORE: Final = frozenset({"toolsets", "spec"})
"""Those that may bring further tools."""

SAME_NAMES: Final = (ApprovalRequiredToolset, FilteredToolset, PreparedToolset)
"""Toolsets whose tools are called what those within are called."""

_BYTES_PER_TOKEN: Final = 4

_result: Final = TypeAdapter[Any](ToolReturnContent)
_return: Final = TypeAdapter[Any](ToolReturn)


def pydantic_step(found: Any, name: str, adapting: Adapting) -> Step[[Any], Any]:
    """An agent of pydantic-ai as a step that is given its prompt, and gives what the agent gives."""
    need("pydantic-ai", "pydantic-ai-slim>=2.60", AbstractCapability, ("get_wrapper_model", "get_wrapper_toolset"))
    called = named(found, name, "agent")
    tools, whole = _names_in(CombinedToolset(list(found.toolsets)))
    whole = whole and not MORE & set(adapting.run_options)
    refuse(
        "agent",
        *_bad_run_options(found, adapting.run_options),
        bad_names(adapting.tools, "tools", sorted(tools)) if whole else None,
        where=called,
    )

    async def perform(input: Any) -> Any:
        history = None
        if adapting.memory is not None:
            history = said_to(ModelRequest("", tuple(await adapting.memory.recall()))) or None
        prompt = adapting.said(input)
        try:
            result = await found.run(
                prompt,
                deps=await adapting.dependencies(),
                message_history=history,
                capabilities=[Journaling(called, adapting)],
                infer_name=False,
                **adapting.run_options,
            )
        except (wrong.AgentRunError, wrong.UserError, wrong.FallbackExceptionGroup) as error:
            raise _coded(error, called) from None
        if adapting.memory is not None:
            await adapting.memory.keep(prompt, as_text(result.output))
        return result.output

    return adapting.step(called, perform, str, output_of(found.output_type))


def _bad_run_options(found: Any, given: Mapping[str, Any]) -> list[str | None]:
    """What is wrong with further arguments of the agent's own `run`."""
    taken = sorted(set(given) & set(GIVEN))
    takes = signature(found.run).parameters.values()
    known = [each.name for each in takes if each.name not in ("user_prompt", *GIVEN)]
    free = any(each.kind is each.VAR_KEYWORD for each in takes)
    return [
        f"run_options has {', '.join(taken)}, which are given already" if taken else None,
        None if free else bad_names(set(given) - set(taken), "run_options", known),
    ]


def _names_in(tools: AbstractToolset[Any]) -> tuple[set[str], bool]:
    """The names of tools, as far as they are known before a run, and whether these are all."""
    match tools:
        case FunctionToolset():
            return set(tools.tools), type(tools).__module__.startswith("pydantic_ai.")
        case CombinedToolset():
            found = [_names_in(each) for each in tools.toolsets]
            return {name for names, _ in found for name in names}, all(whole for _, whole in found)
        case PrefixedToolset():
            names, whole = _names_in(tools.wrapped)
            return {f"{tools.prefix}_{name}" for name in names}, whole
        case WrapperToolset():
            names, whole = _names_in(tools.wrapped)
            return names, whole and isinstance(tools, SAME_NAMES)
        case _:
            return set(), False


class Journaling(AbstractCapability[Any]):
    """Wraps the models and tools of one run of an agent."""

    def __init__(self, agent: str, adapting: Adapting) -> None:
        self.agent = agent
        self.adapting = adapting

    @override
    def get_wrapper_model(self, model: Model) -> Model:
        return JournaledModel(model, self.agent, self.adapting)

    @override
    def get_wrapper_toolset(self, toolset: AbstractToolset[Any]) -> AbstractToolset[Any]:
        return JournaledTools(toolset, self.agent, self.adapting.tools)


class JournaledModel(WrapperModel):
    """A model whose answers are recorded, and not asked for again."""

    def __init__(self, wrapped: Model, agent: str, adapting: Adapting) -> None:
        super().__init__(wrapped)
        self.agent = agent
        self.adapting = adapting

    @override
    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        asking = _Asking(messages, model_settings, model_request_parameters, streams=self.adapting.stream)
        return await self._recorded(asking)

    @asynccontextmanager
    @override
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        asking = _Asking(messages, model_settings, model_request_parameters, run_context, streams=True)
        response = await self._recorded(asking)
        yield CompletedStreamedResponse(
            response, model_request_parameters=model_request_parameters, replay_events=asking.events or True
        )

    async def _recorded(self, asking: _Asking) -> ModelResponse:
        failed: list[Exception] = []

        async def ask(_: Any) -> ModelAnswer:
            failed.clear()
            try:
                return await self._answered(asking)
            except (wrong.AgentRunError, wrong.UserError, wrong.FallbackExceptionGroup) as error:
                failed.append(error)
                raise _coded(error, self.model_id) from None

        try:
            asked = asking.plain(self.model_id)
            answer = await journaled("model", ask, self.adapting.asking, ModelAnswer, asked)
        except RipresaError:
            if not failed:
                raise
            raise failed[-1] from None  # pydantic-ai may have another model for it
        found = ModelMessagesTypeAdapter.validate_json(answer.raw)[0]
        assert isinstance(found, ModelResponse)
        return found

    async def _answered(self, asking: _Asking) -> ModelAnswer:
        context = current()
        context.interaction(self.agent, self.model_id, "request", asking.newest)
        most = (asking.settings or {}).get("max_tokens")
        price = price_before(self.wrapped, asking.expected, most or 0)
        if most is None:
            await context.ensure(cost=None if price is None else 0.0)
        else:
            await context.ensure(tokens=most + asking.expected, cost=price)
        asking.events.clear()
        if asking.streams:
            response = await asking.streamed(self.wrapped, context.write)
        else:
            response = await self.wrapped.request(asking.messages, asking.settings, asking.parameters)
        answer = read_response(response, self.model_id)
        context.usage(tokens=answer.tokens, cost=answer.cost)
        calls = [{"tool": call.name, "arguments": call.arguments} for call in answer.calls]
        context.interaction(self.model_id, self.agent, "answer", {"text": answer.text, "calls": calls})
        return answer


@dataclass(slots=True)
class _Asking:
    """One request to a model."""

    messages: list[ModelMessage]
    settings: ModelSettings | None
    parameters: ModelRequestParameters
    run_context: RunContext[Any] | None = None
    streams: bool = False
    events: list[Any] = field(default_factory=list[Any])

    def plain(self, model: str) -> dict[str, Any]:
        """What is asked as plain data: the same in every attempt that asks the same."""
        tools = [tool.name for tool in (*self.parameters.function_tools, *self.parameters.output_tools)]
        return {"model": model, "tools": tools, "messages": [_steady(each) for each in _plain(self.messages)]}

    @property
    def expected(self) -> int:
        """About how many tokens are asked."""
        return len(ModelMessagesTypeAdapter.dump_json(self.messages)) // _BYTES_PER_TOKEN + 1

    @property
    def newest(self) -> list[dict[str, Any]]:
        """What is told that the model has not said or been told before."""
        last = _plain(self.messages[-1:])
        parts = last[0].get("parts", ()) if last else ()
        return [{"role": part.get("part_kind", ""), "text": part.get("content", "")} for part in parts]

    async def streamed(self, model: Model, write: Callable[[str], None]) -> ModelResponse:
        """The answer of a model whose words are told as they come."""
        opening = model.request_stream(self.messages, self.settings, self.parameters, self.run_context)
        async with opening as stream:
            async for event in stream:
                self.events.append(event)
                if isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
                    write(event.part.content)
                elif isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
                    write(event.delta.content_delta)
            return stream.get()


def _plain(messages: Sequence[ModelMessage]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ModelMessagesTypeAdapter.dump_python(list(messages), mode="json")
    return found


def _steady(message: dict[str, Any]) -> dict[str, Any]:
    """A message without what differs from attempt to attempt."""
    parts = [{key: value for key, value in part.items() if _stays(key, part)} for part in message.get("parts", ())]
    return {key: value for key, value in message.items() if key not in VOLATILE} | {"parts": parts}


def _stays(key: str, part: dict[str, Any]) -> bool:
    made_up = key == "tool_call_id" and "tool_name" in part and part["tool_name"] is None
    return key not in VOLATILE and not made_up


def read_response(response: ModelResponse, model: str) -> ModelAnswer:
    """What a model answered, to be recorded: in words, and whole, as JSON of pydantic-ai's."""
    calls = [part for part in response.parts if isinstance(part, ToolCallPart)]
    texts = [part.content for part in response.parts if isinstance(part, TextPart)]
    return ModelAnswer(
        "".join(texts),
        tuple(ToolCall(part.tool_call_id, part.tool_name, part.args_as_json_str()) for part in calls),
        response.finish_reason or "stop",
        model,
        response.usage.input_tokens,
        response.usage.output_tokens,
        _price(response),
        ModelMessagesTypeAdapter.dump_json([response]).decode(),
    )


def price_before(model: Model, input_tokens: int, output_tokens: int) -> float | None:
    """What a request would cost; that of the dearest model where others follow, None where one has no known price."""
    while isinstance(model, WrapperModel):
        model = model.wrapped
    if isinstance(model, FallbackModel):
        found = [price_before(each, input_tokens, output_tokens) for each in model.models]
        known = [each for each in found if each is not None]
        return max(known) if len(known) == len(found) else None
    usage = RequestUsage(input_tokens=input_tokens, output_tokens=output_tokens)
    name, provider = model.model_name, model.system
    return _price(ModelResponse([], usage=usage, model_name=name, provider_name=provider, provider_url=model.base_url))


def _price(response: ModelResponse) -> float | None:
    with suppress(LookupError, ValueError, AssertionError):  # a model of which nobody knows the name or the price
        return float(response.cost().total_price)
    return None


# --- tools


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """How a call of a tool ended, as far as that is for the agent to know; `text` is JSON."""

    kind: Literal["result", "return", "retry", "failed", "deferred", "approval"]
    text: str


@dataclass
class JournaledTools(WrapperToolset[Any]):
    """Tools whose results are recorded, and which are not called again for them."""

    agent: str = ""
    known: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @override
    async def get_tools(self, ctx: RunContext[Any]) -> dict[str, ToolsetTool[Any]]:
        """See pydantic-ai. Before a model is asked, names that are those of no tool are refused."""
        found = await super().get_tools(ctx)
        if self.known and ctx.run_step <= 1:
            names = {*found, *_names_in(self.wrapped)[0]}
            refuse("agent", bad_names(self.known, "tools", sorted(names)), where=self.agent)
        return found

    @override
    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: ToolsetTool[Any]
    ) -> Any:
        arguments = _arguments(ctx)

        async def call(_: Any) -> ToolOutcome:
            context = current()
            context.interaction(self.agent, name, "call", arguments)
            outcome = await _outcome(self.wrapped, name, tool_args, ctx, tool)
            context.interaction(name, self.agent, "result", outcome.text)
            return outcome

        asked = {"turn": ctx.run_step, "id": ctx.tool_call_id, "arguments": arguments}
        options = tool_options(name, self.known.get(name), tool.tool_def.metadata)
        return _given(await journaled(name, call, options, ToolOutcome, asked, kind=Step))


def _arguments(ctx: RunContext[Any]) -> str:
    """The arguments as the model wrote them: those that are checked need not be plain data."""
    parts = (part for message in reversed(ctx.messages) for part in message.parts)
    calls = (part for part in parts if isinstance(part, ToolCallPart) and part.tool_call_id == ctx.tool_call_id)
    call = next(calls, None)
    return "" if call is None else call.args_as_json_str()


async def _outcome(tools: AbstractToolset[Any], name: str, args: Any, ctx: RunContext[Any], tool: Any) -> ToolOutcome:
    try:
        result = await tools.call_tool(name, args, ctx, tool)
    except wrong.ModelRetry as error:
        return ToolOutcome("retry", error.message)
    except ValidationError as error:
        return ToolOutcome("retry", error.json(include_url=False, include_context=False))
    except wrong.ToolFailed as error:
        return ToolOutcome("failed", error.message)
    except wrong.CallDeferred as error:
        return ToolOutcome("deferred", as_text(error.metadata or {}))
    except wrong.ApprovalRequired as error:
        return ToolOutcome("approval", as_text(error.metadata or {}))
    if isinstance(result, ToolReturn):
        return ToolOutcome("return", _return.dump_json(result).decode())
    return ToolOutcome("result", _result.dump_json(result).decode())


def _given(outcome: ToolOutcome) -> Any:
    """What an outcome is to the agent: a value, or what it raises."""
    match outcome.kind:
        case "result":
            return _result.validate_json(outcome.text)
        case "return":
            return _return.validate_json(outcome.text)
        case "retry":
            raise wrong.ModelRetry(outcome.text)
        case "failed":
            raise wrong.ToolFailed(outcome.text)
        case "deferred":
            raise wrong.CallDeferred(metadata=_plain_json(outcome.text))
        case _:
            raise wrong.ApprovalRequired(metadata=_plain_json(outcome.text))


def _plain_json(text: str) -> dict[str, Any]:
    found: dict[str, Any] = _result.validate_json(text)
    return found


# --- what an agent gives, and what goes wrong


def output_of(spec: Any) -> Any:
    """The type of what an agent gives, of what pydantic-ai calls its output type; `Any` where nobody knows."""
    kind: Any = type(spec)  # pyright: ignore[reportUnknownVariableType]
    if kind is ToolOutput:
        return output_of(spec.output)
    if kind in (NativeOutput, PromptedOutput):
        return output_of(spec.outputs)
    if kind is TextOutput:
        return _returned(spec.output_function)
    if kind in (list, tuple):
        kinds = tuple(map(output_of, spec))
        return Any if Any in kinds else Union[kinds]  # noqa: UP007 - made of values
    made = callable(spec) and not isinstance(spec, type) and not hasattr(spec, "__origin__")
    return _returned(spec) if made else spec  # pyright: ignore[reportUnknownVariableType]


def _returned(function: Any) -> Any:
    return Parameters(function).returns


def _coded(error: Any, where: str) -> RipresaError:
    """What pydantic-ai raised, as an error with a code; without its cause, which may hold what is secret."""
    if isinstance(error, wrong.FallbackExceptionGroup):
        return _coded(error.exceptions[-1], where)
    text = f"{where}: {without_secrets(str(error))}"
    match error:
        case wrong.RunTimedOut():
            return StepTimeout(text, op="agent", where=where)
        case wrong.RunCancelled():
            return RipresaError(text, code="cancelled", op="agent", where=where)
        case wrong.UsageLimitExceeded():
            return RipresaError(text, code="agent_limit", op="agent", where=where, hint="raise its usage_limits")
        case wrong.ConcurrencyLimitExceeded():
            return ModelError(text, code="model_rate_limited")
        case wrong.UserError():
            return InvalidConfig(text, op="agent", where=where)
        case _:
            return coded(error, where)
