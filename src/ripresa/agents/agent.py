"""`Agent`: a model with a role, instructions and tools, as a step; and whatever has `async run(input, ctx)` as one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from copy import copy
from functools import partial
from inspect import isawaitable
from typing import Any, Final, Protocol, TypedDict, TypeVar, Unpack, cast, overload

from typing_extensions import override

from ..authoring.call import Call, Pending, shortened
from ..authoring.document.recipe import Recipe
from ..authoring.document.write import retry_data
from ..authoring.encoding import encode
from ..authoring.function import Workflow
from ..authoring.hooks import Hook
from ..authoring.options import bad_kind, bad_names, refuse
from ..authoring.parameters import Parameters
from ..authoring.pool import Pool
from ..authoring.protocols import Invocable, OpenAIAgent, PydanticAgent
from ..authoring.step import Effect, Options, Step, step
from ..context import StepContext, current
from ..core.calling import told
from ..core.durations import Duration
from ..core.retry import Retry
from ..errors import InvalidConfig
from ..foreign import family_of, no_object
from ..steps.asking import bad_memory, voice_of
from ..steps.conversation import Message
from ..steps.forms import Form
from ..steps.gateway import DEFAULT, Named
from ..steps.llm import PATIENT
from ..steps.recipes import changed
from ..steps.saying import asking_config, asking_recipe
from .memory import Memory
from .tools import Given, Tools, given_tools
from .turns import AgentBounds, Talk, Talker

A = TypeVar("A")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
A_contra = TypeVar("A_contra", contravariant=True)

NO_BOUNDS: Final = AgentBounds()


class Agent(Step[[A], R]):
    """A model with tools, as a step: it takes an input, calls tools, and gives an `output`.

    `role` and `instructions` are the system prompt. `tools` are tools, steps, other agents, sources of tools such as an
    `McpServer`, or names in `toolbox`; `permissions` are what the agent may use of those that need one (`*` is a
    wildcard). Every model call and every tool call is journaled: after a crash none that has ended is made again.
    `bounds` are the turns and calls it may take; `memory` is what it remembers of the session; `retry` and `patience`
    (how long it may take) are about one model call, tools have options of their own; the remaining options are those of
    `step`, about the agent as a whole. Where a tool asks people before it is called, the agent stands in chains, graphs
    and durable functions as `supervised(agent)`, which waits for them.

    Raises `InvalidConfig` that names every bad option, `RipresaError(unknown_tool)` and `tool_forbidden`.
    """

    def __init__(  # noqa: PLR0913 - every option of the agent, by keyword
        self,
        name: str,
        *,
        input: type[A],
        output: type[R],
        model: Named = DEFAULT,
        fallback: Sequence[Named] = (),
        role: str = "",
        instructions: str = "",
        tools: Sequence[Given] = (),
        toolbox: Tools | None = None,
        permissions: Sequence[str] = (),
        bounds: AgentBounds = NO_BOUNDS,
        memory: Memory | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        stream: bool = False,
        retry: Retry | int = PATIENT,
        patience: Duration | None = None,
        timeout: Duration | None = None,
        concurrency: int | None = None,
        hooks: Iterable[Hook] = (),
        pool: Pool[Any] | str | None = None,
    ) -> None:
        voice = voice_of(model, fallback, temperature, max_tokens, stream, patience)
        unbounded = bad_kind(bounds, "bounds", AgentBounds, "AgentBounds(...)")
        bounded = [unbounded] if unbounded else bounds.problems()
        refuse("Agent", *voice.problems(), *bounded, bad_memory(memory), where=str(name))
        found, sources = given_tools(tools, toolbox, permissions, name)
        form = None if output is str else Form(output)
        tries = retry if isinstance(retry, Retry) else Retry(attempts=retry)
        asking = Options("model", tries)
        self.talker = Talker(name, voice, found, form, bounds, asking, sources)
        self.input, self.output = input, output
        self._waiting: Workflow[[A], R] | None = None
        self.memory = memory
        self.role = role
        self.instructions = instructions
        self.system = "\n\n".join(filter(None, (f"You are {role}." if role else "", instructions)))

        async def run(input: Any) -> Any:
            return await self._run(input)

        run.__annotations__ = {"input": input, "return": output}
        run.__doc__ = instructions or role
        made = step(name=name, timeout=timeout, concurrency=concurrency, hooks=hooks, pool=pool)(run)
        super().__init__(made.fn, made.options)
        asked = {
            **changed(bounds),
            "role": role,
            "temperature": temperature,
            "max_tokens": max_tokens,
            "stream": stream,
        }
        more = {"patience": asking.timeout, "permissions": permissions}
        config = partial(_config, instructions, asking.retry, (name, model, fallback, memory), {**asked, **more})
        types = {"input": (input, Any), "output": (output, str)}
        plain = Step[..., Any](made.fn, Options("agent"))
        self.recipe = asking_recipe("agent", plain, config, types, tools, toolbox or Tools())

    @override
    def _twin(self, options: Options) -> Agent[A, R]:
        twin = copy(self)
        twin.options, twin.name, twin._waiting = options, options.name, None
        twin.talker = self.talker.named(options.name)
        twin.__dict__.pop("in_loop", None)
        return twin

    @override
    def __repr__(self) -> str:
        return f"<agent {self.name}>"

    @property
    @override
    def stand_in(self) -> Workflow[[A], R] | None:
        """`supervised(self)` where people may have to be asked about its tools: a step could not wait for them."""
        if self._waiting is None and self.talker.asks:
            from .supervised import supervised

            self._waiting = supervised(self)
            self._waiting.stands_for = self
        return self._waiting

    @override
    def __call__(self, input: A, /) -> Call[R]:
        """See `Step`. Run by hand, outside a run, it asks nobody and refuses to use such a tool."""
        made = super().__call__(input)
        if self.stand_in is None:
            return made
        return cast("Call[R]", Pending(self.stand_in, (input,), {}, cast("Pending", made).perform))

    def begin(self, input: A) -> Talk:
        """The conversation about an input, of which nothing has been said yet."""
        return Talk(self.system, [Message("user", as_text(input))])

    async def go_on(self, talk: Talk) -> Any:
        """Go on with a conversation, with what is remembered before it; see `Talker.go_on`."""
        if self.memory is None:
            return await self.talker.go_on(talk)
        asked = talk.messages[0].text if not talk.turns else ""
        if asked:
            talk.messages[:0] = await self.memory.recall()
            talk.asked = asked
        found = await self.talker.go_on(talk)
        if not talk.asks:
            await self.memory.keep(talk.asked, as_text(found))
        return found

    async def _run(self, input: A) -> R:
        talk = self.begin(input)
        found: R = await self.go_on(talk)
        self.refuse_asking(talk)
        return found

    def refuse_asking(self, talk: Talk) -> None:
        """Raise `InvalidConfig` where people are to be asked about a tool: a step cannot wait for them."""
        if talk.asks:
            names = ", ".join(sorted(talk.questions))
            raise InvalidConfig(
                f"{self.name} wants to use {names}, which people are asked about first",
                op="Agent",
                where=self.name,
                hint="let it stand in a flow or a durable function, not inside another step or agent: there it waits",
            )


def _config(instructions: str, retry: Retry, asked: tuple[Any, ...], own: dict[str, Any]) -> dict[str, Any]:
    """What a document says of an agent, beside its types and tools."""
    tries = {} if retry == PATIENT else {"model_retry": retry_data(retry)}
    return {"instructions": instructions, **asking_config(*asked, **own), **tries}


def as_text(value: object) -> str:
    """A value as it is said to a model: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else encode(value).decode()


class AgentLike(Protocol[A_contra, R_co]):
    """Whatever runs like an agent: given an input and the context of the step that it runs in."""

    async def run(self, input: A_contra, ctx: StepContext, /) -> R_co:
        """Do the work; `ctx.call` journals calls of its own."""
        ...


class AdaptedOptions(TypedDict, total=False):
    """How an agent of another framework is a step; see `agent`, and `step` for those from `retry` on."""

    deps: Any
    make_deps: Callable[[], Any] | None
    memory: Memory | None
    stream: bool
    model_retry: Retry | int
    patience: Duration | None
    tools: Mapping[str, Mapping[str, Any]]
    run_options: Mapping[str, Any]
    retry: Retry | int | None
    timeout: Duration | None
    effect: Effect
    concurrency: int | None
    hooks: Iterable[Hook]
    pool: Pool[Any] | str | None


@overload
def agent(
    found: PydanticAgent[str, R],
    /,
    *,
    input: type[A],
    prompt: Callable[[A], str] | None = ...,
    name: str = ...,
    **options: Unpack[AdaptedOptions],
) -> Step[[A], R]: ...
@overload
def agent(
    found: PydanticAgent[str, R],
    /,
    *,
    name: str = ...,
    **options: Unpack[AdaptedOptions],
) -> Step[[str], R]: ...
@overload
def agent(
    found: OpenAIAgent,
    /,
    *,
    input: type[A],
    prompt: Callable[[A], str] | None = ...,
    name: str = ...,
    **options: Unpack[AdaptedOptions],
) -> Step[[A], Any]: ...
@overload
def agent(found: OpenAIAgent, /, *, name: str = ..., **options: Unpack[AdaptedOptions]) -> Step[[str], Any]: ...
@overload
def agent(
    found: Invocable[Any, Any],
    /,
    *,
    input: type[A],
    output: type[R],
    prompt: Callable[[A], Any] | None = ...,
    name: str = ...,
    **options: Unpack[AdaptedOptions],
) -> Step[[A], R]: ...
@overload
def agent(found: Invocable[A, R], /, *, name: str = ..., **options: Unpack[AdaptedOptions]) -> Step[[A], R]: ...
@overload
def agent(found: AgentLike[A, R], /, *, name: str = ..., **options: Any) -> Step[[A], R]: ...
@told
def agent(found: Any, /, *, name: str = "", **options: Any) -> Any:
    """An agent of another making as a step: any object with `async run(input, ctx)`, or one of another framework.

    Its name is its own `name`, or that of its class; the options are those of `step`. Raises `InvalidConfig` for
    anything else, `RipresaError(framework_unsupported)` for a version of a framework that lacks what is needed.

    An agent of pydantic-ai takes a text, or an `input` of another type: as JSON, or as the text that `prompt` makes of
    it. `deps` are its dependencies, `make_deps` makes them for each attempt. Each request to its model and each call
    of its tools is journaled; `model_retry` and `patience` are about one request. `stream` tells watchers the text as
    it is written, `memory` is what is remembered of the session. `tools` says `effect`, `retry` and `timeout` of the
    calls of its tools: `{"pay": {"effect": "irreversible"}}`; so may the metadata of a tool, under `ripresa`.
    `run_options` are further arguments of its own `run`. The same holds for agents of the OpenAI Agents SDK.

    A runnable of LangChain is one step, a compiled graph of LangGraph one whose supersteps are journaled; `input` and
    `output` are their types, `deps` the context of a graph.
    """
    if family_of(found) is not None:
        from .adapters import adapt

        made = adapt(found, name, options)
    else:
        made = _own(found, name, options)
    if not name and not options:  # a document that names the object itself gives the same
        made.recipe = Recipe("", lambda: made, maker=found)
    return made


OF_STEPS: Final = ("retry", "timeout", "effect", "executor", "concurrency", "hooks", "pool", "cache")
"""The options of `step` that `agent` takes."""


def _run_of(found: object) -> Callable[..., Awaitable[Any]]:
    if isinstance(found, type):
        raise no_object(found, "agent")
    run: Any = getattr(found, "run", None)
    if callable(run):
        return cast("Callable[..., Awaitable[Any]]", run)
    raise InvalidConfig(
        f"{shortened(found)} has no async run(input, ctx)",
        op="agent",
        hint="give an object that has, or an agent of a framework that is known",
    )


def _own(found: Any, name: str, options: dict[str, Any]) -> Step[[Any], Any]:
    run = _run_of(found)
    refuse("agent", bad_names(options, "agent", ("name", *OF_STEPS)), where=name)

    async def perform(input: Any) -> Any:
        result: Any = run(input, current())
        if isawaitable(result):
            return await result
        raise InvalidConfig(
            f"run of {type(found).__name__} is not async",
            op="agent",
            where=called,
            hint="write async def run(self, input, ctx); what is not async is a @step, which runs in a thread",
        )

    known = Parameters(run)
    wrong = known.refuses(2)
    refuse("agent", f"run of {type(found).__name__} {wrong}" if wrong else None, hint="it is given input and context")
    first = known.names[0] if known.names else ""
    perform.__annotations__ = {"input": known.hints.get(first, Any), "return": known.hints.get("return", Any)}
    called = name or str(getattr(found, "name", "") or type(found).__name__)
    return step(name=called, **options)(perform)
