"""Runnables of LangChain as steps, and one of our flows as a runnable of LangChain.

This module is imported for runnables of LangChain alone, or where one is asked for; langchain_core is imported then.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Sequence
from typing import Any, Final, TypeVar, cast

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage
from langchain_core.outputs import LLMResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.graph import Graph as Drawing
from typing_extensions import override

from ..authoring.encoding import adapter
from ..authoring.flow import Runnable as Flow
from ..authoring.options import refuse
from ..authoring.single import runnable_of
from ..authoring.step import Step
from ..context import current
from ..errors import InvalidConfig, InvalidValue, RipresaError
from ..steps.providers import price_known
from .adapting import Adapting, named
from .agent import as_text

A = TypeVar("A")
R = TypeVar("R")

RUN_ID: Final = "ripresa_run"
"""The key under `configurable` that says the id of the run that a flow becomes."""

_NAMES: Final = ("ls_model_name", "model_name", "model")
"""Under which of these LangChain tells the name of a model differs from package to package."""

_BYTES_PER_TOKEN: Final = 4


def runnable_step(found: Any, name: str, adapting: Adapting) -> Step[[Any], Any]:
    """A runnable of LangChain as one step; a compiled graph of LangGraph goes on from its last step."""
    given = {"memory": adapting.memory is not None, "tools": adapting.tools, "run_options": adapting.run_options}
    refuse("agent", *(f"{option} means nothing here" if each else None for option, each in given.items()), where=name)
    if hasattr(found, "checkpointer"):
        from .langgraph_graphs import graph_step

        return graph_step(found, name, adapting)
    called = named(found, name, type(found).__name__)

    async def perform(input: Any) -> Any:
        given = input if adapting.prompt is None else adapting.prompt(input)
        meter = Meter()
        config: RunnableConfig = {"callbacks": [meter]}
        try:
            return await (_streamed(found, given, config) if adapting.stream else found.ainvoke(given, config))
        finally:
            meter.count()

    return adapting.step(called, perform, Any, _gives(found))


async def _streamed(found: Any, given: Any, config: RunnableConfig) -> Any:
    """What the pieces of an answer add up to, each told as it comes."""
    whole: Any = None
    async for piece in found.astream(given, config):
        current().write(text_in(piece))
        whole = piece if whole is None else whole + piece
    return whole


def text_in(piece: Any) -> str:
    """The text of a piece of an answer: a text, a message, or anything else as JSON."""
    return str(piece.text) if isinstance(piece, BaseMessage) else as_text(piece)


class Meter(BaseCallbackHandler):
    """Asks before each use of a model whether the limits allow it, and counts what models say they used.

    LangChain calls it in its own threads, or in the event loop where a model is called without being awaited.
    """

    raise_error = True
    """For LangChain: what it raises ends the call of the model."""

    def __init__(self) -> None:
        self._context, self._loop = current(), asyncio.get_running_loop()
        self._used: deque[tuple[int, float | None]] = deque()

    @override
    def on_llm_start(self, serialized: dict[str, Any], prompts: list[str], **kwargs: Any) -> None:
        self._ask(prompts, kwargs)

    @override
    def on_chat_model_start(self, serialized: dict[str, Any], messages: list[list[BaseMessage]], **kwargs: Any) -> None:
        self._ask([text_in(each) for several in messages for each in several], kwargs)

    def _ask(self, texts: Sequence[str], told: dict[str, Any]) -> None:
        said: dict[str, Any] = {**(told.get("metadata") or {}), **(told.get("invocation_params") or {})}
        model = next(filter(None, (said.get(key) for key in _NAMES)), "")
        most: Any = said.get("max_tokens") or said.get("ls_max_tokens")
        expected = sum(len(each.encode()) for each in texts) // _BYTES_PER_TOKEN + 1
        cost = _price(str(model), expected, most or 0, str(said.get("ls_provider") or ""))
        if most is None:
            self._wait(self._context.ensure(cost=None if cost is None else 0.0))
        else:
            self._wait(self._context.ensure(tokens=expected + most, cost=cost))

    def _wait(self, asking: Coroutine[Any, Any, None]) -> None:
        """Wait for the limits. Raises what they say."""
        if not self._is_here():
            asyncio.run_coroutine_threadsafe(asking, self._loop).result()
            return
        try:
            asking.send(None)  # nothing has to be waited for but the limits of a session
        except StopIteration:
            return
        asking.close()
        raise RipresaError(
            "a model is called without being awaited, and the session limits what it may use",
            code="usage",
            op="agent",
            hint="await its ainvoke",
        )

    def _is_here(self) -> bool:
        """Whether this is the event loop of the step itself."""
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    @override
    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        for several in response.generations:
            message: Any = getattr(several[0], "message", None) if several else None
            used: Any = getattr(message, "usage_metadata", None)
            model = str(getattr(message, "response_metadata", {}).get("model_name") or "")
            cost = None if used is None else price_known(model, used["input_tokens"], used["output_tokens"])
            self._used.append((0 if used is None else used["total_tokens"], cost))
        if self._is_here():
            self.count()
        else:
            self._loop.call_soon_threadsafe(self.count)

    def count(self) -> None:
        """Count what models have said they used since, at the price that the list has for it."""
        while self._used:
            tokens, cost = self._used.popleft()
            self._context.usage(tokens=tokens, cost=cost)


def _price(model: str, input_tokens: int, output_tokens: int, provider: str) -> float | None:
    """What a request costs; LangChain calls some providers by other names than the price list."""
    cost = price_known(model, input_tokens, output_tokens, provider)
    return price_known(model, input_tokens, output_tokens) if cost is None else cost


def _gives(found: Any) -> Any:
    """The type that a runnable says it gives, where values of it can be written as JSON."""
    try:
        kind = found.OutputType
        if isinstance(kind, TypeVar):
            return Any
        adapter(kind)
    except (TypeError, InvalidValue):  # it does not know it
        return Any
    return kind


# --- one of ours


class FlowRunnable(Runnable[A, R]):
    """A flow, workflow or step as a runnable of LangChain, such as a node of a LangGraph graph takes.

    With an app each call is a run of it, of the id that `config["configurable"]["ripresa_run"]` says, if it does;
    without one it runs in memory. `stream` and `astream` give the result as one piece.
    """

    def __init__(self, flow: Flow[..., Any], app: Any = None) -> None:
        self.flow = flow
        self.app = app
        self.name = flow.name

    @override
    def invoke(self, input: A, config: RunnableConfig | None = None, **kwargs: Any) -> R:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            raise _in_a_loop(self.flow.name, "await its ainvoke")
        if self.app is not None:
            raise _in_a_loop(self.flow.name, "an app belongs to one event loop: await its ainvoke there")
        return asyncio.run(self.ainvoke(input, config))

    @override
    async def ainvoke(self, input: A, config: RunnableConfig | None = None, **kwargs: Any) -> R:
        async def run(value: A, run_manager: Any, config: RunnableConfig) -> R:
            if self.app is None:
                return cast("R", await self.flow.invoke(value))
            id = (config.get("configurable") or {}).get(RUN_ID)
            return cast("R", await self.app.run(self.flow(value), id=id))

        return await self._acall_with_config(run, input, config)

    @override
    def get_graph(self, config: RunnableConfig | None = None) -> Drawing:
        """Its nodes in order, for LangChain to draw; `draw(flow)` knows more of them."""
        drawing = Drawing()
        last = drawing.add_node(self.get_input_schema(config), id="__start__")
        for child in self.flow.definition.root.children:
            node = drawing.add_node(self, id=child.name)
            drawing.add_edge(last, node)
            last = node
        end = drawing.add_node(self.get_output_schema(config), id="__end__")
        drawing.add_edge(last, end)
        return drawing

    @property
    @override
    def InputType(self) -> Any:
        return self.flow.input_type

    @property
    @override
    def OutputType(self) -> Any:
        return self.flow.output_type


def _in_a_loop(name: str, hint: str) -> RipresaError:
    return RipresaError(f"{name} cannot be waited for here", code="usage", op="as_runnable", where=name, hint=hint)


def shown(thing: Any, app: Any) -> FlowRunnable[Any, Any]:
    """One of our flows, workflows or steps as a runnable. Raises `InvalidConfig` for anything else."""
    if not isinstance(thing, Flow | Step):
        raise InvalidConfig(f"{thing!r} is no step, flow or workflow", op="as_runnable")
    return FlowRunnable(runnable_of(cast("Flow[..., Any]", thing)), app)
