"""What agents of other frameworks have in common as steps: what they are given, how their calls are journaled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import Any, Final, cast

from ..authoring.options import bad_choice, bad_kind, bad_names, refuse
from ..authoring.step import Options, Share, Step, step
from ..context import current
from ..core.durations import seconds
from ..core.retry import ONCE, Retry
from ..errors import InvalidConfig, RipresaError
from ..steps.asking import bad_memory
from ..steps.llm import PATIENT
from .agent import as_text
from .memory import Memory

OURS: Final = "ripresa"
"""The key under which the metadata of a tool of another framework says how its calls are journaled."""

_EFFECTS: Final = ("pure", "read", "idempotent", "irreversible")
_OF_TOOLS: Final = ("effect", "retry", "timeout")


@dataclass(frozen=True, slots=True)
class Adapting:
    """How an agent of another framework is a step. See `agent` for what the fields mean."""

    input: Any = None
    output: Any = None
    prompt: Callable[[Any], str] | None = None
    deps: Any = None
    make_deps: Callable[[], Any] | None = None
    memory: Memory | None = None
    stream: bool = False
    model_retry: Retry | int = PATIENT
    patience: float | str | None = None
    tools: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    run_options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Those of the step as a whole."""

    def checked(self, where: str) -> Adapting:
        """The same. Raises `InvalidConfig` that names every bad option."""
        both = self.deps is not None and self.make_deps is not None
        refuse(
            "agent",
            _no_function(self.prompt, "prompt"),
            "deps and make_deps are given: one of them says it" if both else None,
            _no_function(self.make_deps, "make_deps"),
            bad_memory(self.memory),
            bad_kind(self.tools, "tools", Mapping, "options by the names of tools"),
            *self._bad_tools(),
            bad_kind(self.run_options, "run_options", Mapping, "arguments by name"),
            bad_kind(self.model_retry, "model_retry", (Retry, int), "a Retry or a number of attempts"),
            where=where,
        )
        _ = self.asking
        return self

    def _bad_tools(self) -> list[str]:
        tools: Any = self.tools
        if not isinstance(tools, Mapping):
            return []
        return [
            each
            for name, given in cast("Mapping[str, Any]", tools).items()
            for each in _bad_tool(given, f"tools[{name!r}]")
        ]

    @property
    def asking(self) -> Options:
        """How a request to a model is journaled."""
        tries = self.model_retry if isinstance(self.model_retry, Retry) else Retry(attempts=self.model_retry)
        return Options("model", tries, None if self.patience is None else seconds(self.patience, "patience"))

    def said(self, value: Any) -> str:
        """What the agent is told of its input."""
        return as_text(value) if self.prompt is None else self.prompt(value)

    async def dependencies(self) -> Any:
        """What the agent is handed beside its prompt, made anew for each attempt if it is made."""
        if self.make_deps is None:
            return self.deps
        made = self.make_deps()
        return await made if isawaitable(made) else made

    def step(self, name: str, perform: Callable[[Any], Awaitable[Any]], kind: Any, output: Any) -> Step[[Any], Any]:
        """What `perform` does, as a step with these types."""

        async def run(input: Any) -> Any:
            return await perform(input)

        run.__annotations__ = {
            "input": kind if self.input is None else self.input,
            "return": output if self.output is None else self.output,
        }
        return step(name=name, **self.options)(run)


def _no_function(value: object, option: str) -> str | None:
    return None if value is None or callable(value) else f"{option} is {value!r}, must be a function"


def tool_options(name: str, given: Any, metadata: Mapping[str, Any] | None = None) -> Options:
    """How calls of a tool are journaled: as is given, or as its metadata says under `ripresa`; else once, idempotent.

    Raises `InvalidConfig` that names every bad option.
    """
    if given is None:
        given = (metadata or {}).get(OURS)
    if given is None:
        return Options(name)
    refuse("agent", *_bad_tool(given, OURS), where=name)
    retry, timeout = given.get("retry"), given.get("timeout")
    tries = ONCE if retry is None else retry if isinstance(retry, Retry) else Retry(attempts=retry)
    limit = None if timeout is None else seconds(timeout, "timeout")
    return Options(name, tries, limit, given.get("effect", "idempotent"))


def _bad_tool(given: object, option: str) -> list[str]:
    """What is wrong with how calls of a tool are to be journaled."""
    if not isinstance(given, Mapping):
        return [f'{option} is {given!r}, must be options by name, such as {{"effect": "irreversible"}}']
    found = cast("Mapping[str, Any]", given)
    effect, retry = found.get("effect", "idempotent"), found.get("retry")
    return [
        each
        for each in (
            bad_names(found, option, _OF_TOOLS),
            bad_choice(effect, f"effect of {option}", _EFFECTS),
            _bad_value(lambda: retry if retry is None or isinstance(retry, Retry) else Retry(attempts=retry), option),
            _bad_value(lambda: seconds(found.get("timeout") or 0, "timeout"), option),
        )
        if each
    ]


def _bad_value(read: Callable[[], object], option: str) -> str | None:
    """What is wrong with an option of a tool that is read so."""
    try:
        read()
    except InvalidConfig as error:
        return f"{error.message} (in {option})"
    return None


def need(framework: str, wanted: str, owner: object, names: Sequence[str]) -> None:
    """Raise `RipresaError(framework_unsupported)` where a framework does not offer what is needed of it."""
    missing = [name for name in names if not hasattr(owner, name)]
    if missing:
        raise unsupported(framework, f"it has no {', '.join(missing)}", f"pip install --upgrade '{wanted}'")


def unsupported(framework: str, why: str, hint: str) -> RipresaError:
    """Something of a framework cannot be run."""
    return RipresaError(f"{framework}: {why}", code="framework_unsupported", op="agent", hint=hint)


def named(found: object, name: str, otherwise: str) -> str:
    """The name of a step: what is given, what the object is called, or another."""
    return name or str(getattr(found, "name", "") or otherwise)


async def journaled(
    name: str,
    call: Callable[[Any], Awaitable[Any]],
    options: Options,
    output: Any,
    asked: Any,
    *,
    kind: type[Step[..., Any]] = Share,
) -> Any:
    """A journaled call: told apart from others by its name and by what is asked, which must be plain data.

    It is a share of the agent's step, or (with `Step` as its kind) has an effect of its own.
    """

    async def perform(asked: Any) -> Any:
        return await call(asked)

    perform.__annotations__ = {"asked": Any, "return": output}
    made = kind(perform, options)
    made.name = name
    return await current().call(made, asked)
