"""`llm` and `prompt`: steps that ask a language model."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, get_type_hints, overload

from ..authoring.encoding import encode
from ..authoring.hooks import Hook
from ..authoring.options import bad_names, refuse
from ..authoring.pool import Pool
from ..authoring.step import Options, Step, StepDecorator, step
from ..context import current
from ..core.calling import told
from ..core.durations import Duration
from ..core.retry import Retry
from ..errors import InvalidValue, ModelError
from .asking import Voice, ask, bad_memory, voice_of
from .conversation import Message, ModelAnswer, ModelRequest
from .forms import Form
from .gateway import DEFAULT, Named
from .saying import asking_config, asking_recipe
from .template import Template, fields_of, unknown_places

if TYPE_CHECKING:
    from ..agents.memory import Memory
    from ..agents.tools import Given, Tools
    from ..agents.turns import Talker

A = TypeVar("A")
M = TypeVar("M")
P = ParamSpec("P")

PATIENT: Final = Retry(attempts=3, wait=1.0, max_wait=60.0)
"""How often a model is asked if nothing else is said: what can be mended by trying again, twice more."""

REPAIRS: Final = 2
"""How often a model is told what is wrong with the form of its answer before the attempt fails."""

OF_STEPS: Final = ("timeout", "effect", "executor", "concurrency", "hooks", "pool", "cache")
"""The options of `step` that `llm` takes beside its own."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a step asks, whoever writes its prompt."""

    voice: Voice
    form: Form | None
    talker: Talker | None = None
    """Who talks with the model where there are tools."""
    memory: Memory | None = None


def question_of(
    name: str,
    voice: Voice,
    output: Any,
    tools: Sequence[Given],
    toolbox: Tools | None = None,
    permissions: Sequence[str] = (),
) -> Question:
    """What a step asks. Raises `InvalidConfig`, and what `given_tools` does."""
    form = None if output is str else Form(output)
    if tools in ((), []):
        return Question(voice, form)
    from ..agents.tools import given_tools
    from ..agents.turns import AgentBounds, Talker

    found, sources = given_tools(tools, toolbox, permissions, name)
    talker = Talker(name, voice, found, form, AgentBounds(), Options("model"), sources)
    asking = ", ".join((*sorted(talker.known.asking), *(source.name for source in sources if source.asks)))
    refuse(
        "llm",
        f"tools has {asking}, which people are asked about: make it an Agent, and supervised" if asking else None,
        where=name,
    )
    return Question(voice, form, talker)


async def answered(question: Question, text: str, system: str) -> Any:
    """The answer to a prompt: text, or a value in the form that is asked for; remembered if there is a memory."""
    memory = question.memory
    if memory is None:
        return await _said(question, [Message("user", text)], system)
    found = await _said(question, [*await memory.recall(), Message("user", text)], system)
    await memory.keep(text, found if isinstance(found, str) else encode(found).decode())
    return found


async def _said(question: Question, messages: list[Message], system: str) -> Any:
    if question.talker is not None:
        from ..agents.turns import Talk

        return await question.talker.go_on(Talk(system, messages))
    form, wrong = question.form, ""
    for _ in range(REPAIRS + 1):
        request = ModelRequest("", tuple(messages), system, output=None if form is None else form.spec)
        answer = await ask(question.voice, request)
        if form is None:
            return answer.text
        try:
            return form.read(answer)
        except InvalidValue as error:
            wrong = error.message
        messages += [answer.message, *corrections(answer, wrong)]
    raise ModelError(f"the answer does not have its form: {wrong}", code="invalid_model_answer")


def corrections(answer: ModelAnswer, wrong: str) -> list[Message]:
    """What a model is told about an answer that does not fit."""
    text = f"That does not fit: {wrong}. Give the whole answer again, in the form that was asked for."
    if not answer.calls:
        return [Message("user", text)]
    return [Message("tool", text, id=call.id, name=call.name) for call in answer.calls]


@overload
def llm(
    prompt: str,
    /,
    *,
    input: type[A],
    output: type[M],
    state: type[Any] | None = ...,
    model: Named = ...,
    fallback: Sequence[Named] = ...,
    patience: Duration | None = ...,
    system: str = ...,
    temperature: float | None = ...,
    max_tokens: int | None = ...,
    stream: bool = ...,
    tools: Sequence[Given] = ...,
    toolbox: Tools | None = ...,
    permissions: Sequence[str] = ...,
    memory: Memory | None = ...,
    name: str = ...,
    retry: Retry | int | None = ...,
    timeout: Duration | None = ...,
    concurrency: int | None = ...,
    hooks: Iterable[Hook] = ...,
    pool: Pool[Any] | str | None = ...,
) -> Step[[A], M]: ...
@overload
def llm(
    prompt: str,
    /,
    *,
    output: type[M],
    state: type[Any] | None = ...,
    model: Named = ...,
    fallback: Sequence[Named] = ...,
    patience: Duration | None = ...,
    system: str = ...,
    temperature: float | None = ...,
    max_tokens: int | None = ...,
    stream: bool = ...,
    tools: Sequence[Given] = ...,
    toolbox: Tools | None = ...,
    permissions: Sequence[str] = ...,
    memory: Memory | None = ...,
    name: str = ...,
    retry: Retry | int | None = ...,
    timeout: Duration | None = ...,
    concurrency: int | None = ...,
    hooks: Iterable[Hook] = ...,
    pool: Pool[Any] | str | None = ...,
) -> Step[..., M]: ...
@told
def llm(  # noqa: PLR0913 - every option of the step, by keyword
    prompt: str,
    /,
    *,
    input: Any = None,
    output: Any,
    state: type[Any] | None = None,
    model: Named = DEFAULT,
    fallback: Sequence[Named] = (),
    patience: Duration | None = None,
    system: str = "",
    temperature: float | None = None,
    max_tokens: int | None = None,
    stream: bool = False,
    tools: Sequence[Given] = (),
    toolbox: Tools | None = None,
    permissions: Sequence[str] = (),
    memory: Memory | None = None,
    name: str = "llm",
    retry: Retry | int | None = PATIENT,
    **options: Any,
) -> Any:
    """A step that asks a language model: `llm("Sum up {text}", input=Page, output=Summary)`.

    `prompt` and `system` are templates: `{text}` is a field of the input (`{input}` the whole of it), `{state.field}`
    one of the typed state `state`; without `input` the step takes what the template names, by keyword. What is put in
    is data: it is never a template again. `output` is `str` for the text, or a type that the answer must fit; a model
    that misses it is told what is wrong. `model` is a name of the app's (`App(models=...)`), `provider:model`, a model
    of the price list, a `ModelEndpoint` or a `Model`; those of `fallback` are asked in order where it is not available
    or slower than `patience` (or its share of `timeout`). `stream` tells watchers the text as it is written. With
    `tools` (steps, or names in `toolbox`), which may need `permissions`, it is a small agent whose calls are journaled.
    `memory` is what it remembers of the session. The rest are options of `step`; `retry` is `Retry(3)`.
    Raises `InvalidConfig` that names every bad option.
    """
    said = dict(locals())
    templates = (Template(prompt), Template(system, option="system"))
    voice = voice_of(model, fallback, temperature, max_tokens, stream, patience)
    refuse(
        "llm",
        *voice.problems(),
        bad_memory(memory),
        bad_names(options, "llm", OF_STEPS),
        *_misplaced(templates, _known(input, state)),
        where=name,
    )
    question = replace(question_of(name, voice, output, tools, toolbox, permissions), memory=memory)

    async def asked(**given: Any) -> Any:
        values = _values(given, input, state)
        return await answered(question, templates[0].filled(values), templates[1].filled(values))

    async def asked_about(input: Any) -> Any:
        return await asked(input=input)

    fn: Callable[..., Any] = asked if input is None else asked_about
    fn.__annotations__ = {"return": output} if input is None else {"input": input, "return": output}
    fn.__name__, fn.__doc__ = name, f"Asks a language model: {prompt}"
    return _sayable(step(name=name, retry=retry, **options)(fn), said)


def _sayable(made: Step[..., Any], said: dict[str, Any]) -> Step[..., Any]:
    """A step that knows how a document says it: as what `llm` was called with."""
    asked = (said[key] for key in ("name", "model", "fallback", "memory"))
    own = ("prompt", "system", "temperature", "max_tokens", "stream", "patience", "permissions")
    config = partial(asking_config, *asked, **{key: said[key] for key in own})
    types = {"input": (said["input"], None), "output": (said["output"], str), "state": (said["state"], None)}
    plain = Step[..., Any](made.fn, Options("prompt", PATIENT))
    made.recipe = asking_recipe("prompt", plain, config, types, said["tools"], said["toolbox"])
    return made


def _misplaced(templates: tuple[Template, Template], names: tuple[str, ...] | None) -> list[str | None]:
    """What is wrong with the names in the templates of prompt and system, where it is known which there are."""
    if names is None:
        return []
    return [unknown_places(each, names, option) for each, option in zip(templates, ("prompt", "system"), strict=True)]


def _known(input: Any, state: Any) -> tuple[str, ...] | None:
    """The names that a template may use; None if whoever calls the step says them."""
    if input is None:
        return None
    return ("input", *(fields_of(input) or ()), *(("state",) if state is not None else ()))


def _values(given: dict[str, Any], input: Any, state: Any) -> dict[str, Any]:
    values = dict(given)
    for name in (fields_of(input) or ()) if input is not None else ():
        whole = given["input"]
        values[name] = whole[name] if isinstance(whole, dict) else getattr(whole, name)
    if state is not None:
        view = current().state(state)
        values["state"] = {name: getattr(view, name) for name in fields_of(state) or ()}
    return values


@told
def prompt(  # noqa: PLR0913 - every option of the step, by keyword
    *,
    output: type[M],
    model: Named = DEFAULT,
    fallback: Sequence[Named] = (),
    patience: Duration | None = None,
    system: str = "",
    temperature: float | None = None,
    max_tokens: int | None = None,
    stream: bool = False,
    tools: Sequence[Given] = (),
    toolbox: Tools | None = None,
    permissions: Sequence[str] = (),
    memory: Memory | None = None,
    name: str | None = None,
    retry: Retry | int | None = PATIENT,
    timeout: Duration | None = None,
    concurrency: int | None = None,
    hooks: Iterable[Hook] = (),
    pool: Pool[Any] | str | None = None,
) -> Callable[[Callable[P, str]], Step[P, M]]:
    """The typed form of `llm`: the function writes the prompt, the step has its parameters and gives an `output`.

    `system` is a text, not a template. The other options are those of `llm`. Raises `InvalidConfig`.
    """
    voice = voice_of(model, fallback, temperature, max_tokens, stream, patience)
    refuse("prompt", *voice.problems(), bad_memory(memory))

    def wrap(write: Callable[P, str]) -> Step[P, M]:
        refuse("prompt", None if inspect.isroutine(write) else f"prompt is above {write!r}, must be above a function")
        asks = question_of(name or write.__name__, voice, output, tools, toolbox, permissions)
        question = replace(asks, memory=memory)

        async def asked(*args: P.args, **kwargs: P.kwargs) -> Any:
            return await answered(question, write(*args, **kwargs), system)

        hints = get_type_hints(write, include_extras=True)
        fn: Any = asked
        fn.__signature__ = inspect.signature(write)
        fn.__annotations__ = {**hints, "return": output}
        fn.__name__, fn.__qualname__, fn.__module__ = write.__name__, write.__qualname__, write.__module__
        fn.__doc__ = write.__doc__
        options = {"timeout": timeout, "concurrency": concurrency, "hooks": hooks, "pool": pool}
        make: StepDecorator = step(name=name or write.__name__, retry=retry, **options)  # type: ignore[call-overload]
        return make(fn)

    return wrap
