"""Tools: steps that models may call, with what a model is told about them and what guards them.

Law: a model only ever proposes a call. Whether it is made is decided here, by what the author declared, never by what
a text says.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePath
from types import UnionType
from typing import Any, Final, Protocol, TypeAlias, TypeGuard, TypeVar, Union, cast, get_args, get_origin, overload
from urllib.parse import urlsplit

from typing_extensions import ParamSpec, override

from ..authoring.cache import Cache
from ..authoring.call import Call
from ..authoring.encoding import adapter, decode, encode
from ..authoring.fit import hints_of
from ..authoring.options import bad_texts, refuse
from ..authoring.pool import Pool
from ..authoring.step import Effect, Options, Step, step
from ..authoring.undo import Doable, called_undo
from ..context import current, returns
from ..core.calling import told
from ..core.durations import Duration
from ..core.names import check_name
from ..core.retry import Retry
from ..errors import InvalidConfig, InvalidValue, RipresaError, StepError, StepTimeout
from ..steps.conversation import ToolSpec
from ..steps.halts import Halt, Replies, Resumable
from ..steps.places import inside

P = ParamSpec("P")
R = TypeVar("R")

ENDS: Final = (
    "limit_exceeded",
    "outcome_unknown",
    "fenced",
    "cancelled",
    "interrupted",
    "extra_missing",
    "closed",
    "tools_changed",
)
"""Codes of what a model cannot do anything about: they end the agent instead of being told to it."""

LONGEST_NAME: Final = 64


_HOST: Final = re.compile(r"[a-z0-9_.-]+|[0-9a-f:.]+")
_UNCLEAR: Final = re.compile(r"[\x00-\x20\x7f\\]")
"""Where a host ends in an address that has one of these, no two readers agree."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What the arguments of a tool may reach: paths inside one folder, hosts that are named.

    Arguments annotated as `Path`, and those named in `paths`, must be relative and stay inside `root`, symbolic links
    followed; the tool is given the whole path. Arguments named in `urls` must lead to one of `hosts` (`*` is a
    wildcard). Raises `InvalidConfig` for one text in place of several.
    """

    root: str | Path = ""
    paths: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        refuse(
            "Sandbox",
            bad_texts(self.paths, "paths"),
            bad_texts(self.urls, "urls"),
            bad_texts(self.hosts, "hosts"),
        )

    def confined(self, arguments: dict[str, Any], kinds: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments with whole paths. Raises `StepError` for what leads outside."""
        found = dict(arguments)
        for name, given in arguments.items():
            if name in self.paths or _holds_path(kinds.get(name)):
                found[name] = self._placed(given, named=name in self.paths)
            if name in self.urls:
                self._check_host(str(given))
        return found

    def _placed(self, given: Any, *, named: bool) -> Any:
        """What was given with whole paths, also of those that stand in lists, sets and objects."""
        if isinstance(given, Path):
            return inside(Path(self.root), str(given))
        if isinstance(given, str):
            return str(inside(Path(self.root), given)) if named else given
        if isinstance(given, Mapping):
            mapping: Mapping[Any, Any] = given  # pyright: ignore[reportUnknownVariableType]
            return {self._placed(key, named=named): self._placed(each, named=named) for key, each in mapping.items()}
        if isinstance(given, list | tuple | set | frozenset):
            several, kind = cast("Iterable[Any]", given), cast("Any", type(given))  # pyright: ignore[reportUnknownArgumentType]
            return kind(self._placed(each, named=named) for each in several)
        return given

    def _check_host(self, url: str) -> None:
        try:
            parts = urlsplit("" if _UNCLEAR.search(url) else url)
            host = parts.hostname or ""
        except ValueError:
            parts, host = urlsplit(""), ""
        if (
            parts.scheme not in ("http", "https")
            or not _HOST.fullmatch(host)
            or not any(fnmatchcase(host, each) for each in self.hosts)
        ):
            raise StepError(
                f"{url!r} does not lead to {', '.join(self.hosts)}",
                code="tool_forbidden",
                retryable=False,
                hint="name the host in the sandbox of the tool",
            )


@dataclass(frozen=True, slots=True)
class Guard:
    """What is asked before a tool is called: a permission that the agent needs, a sandbox, and people."""

    permission: str = ""
    sandbox: Sandbox | None = None
    approval: str = ""


UNGUARDED: Final = Guard()


class Tool(Step[P, R]):
    """A step that is made for models: `@tool` above a function. Its docstring is what a model is told about it."""

    guard: Guard = UNGUARDED
    description: str = ""
    schema: Mapping[str, Any] | None = None
    told: Callable[[Any], str] | None = None
    """What a model reads of a result, where that is not all of it."""
    resumable: Resumable | None = None
    """The same for a tool that may ask people in the middle of a call; where nobody is asked it is told so."""

    @override
    def __repr__(self) -> str:
        return f"<tool {self.name}>"

    @override
    def _twin(self, options: Options) -> Tool[P, R]:
        twin = Tool[P, R](self.fn, options)
        twin.compensation, twin.reconciler, twin.recipe = self.compensation, self.reconciler, self.recipe
        twin.remark = self.remark
        twin.guard, twin.description, twin.schema, twin.told = self.guard, self.description, self.schema, self.told
        twin.resumable = self.resumable
        return twin


class ToolSource(Protocol):
    """Something that has tools which are known only when it is asked, such as an `McpServer`.

    What it lists is journaled with the step that uses it; the next attempt is given the same, and `check` refuses to go
    on with tools that are others by then.
    """

    name: str
    guard: Guard

    @property
    def asks(self) -> bool:
        """Whether people may be asked before one of its tools is called."""
        ...

    def only(self, *patterns: str) -> ToolSource:
        """The same with fewer tools."""
        ...

    def running(self) -> AbstractAsyncContextManager[Any]:
        """Keep what it needs for as long as this is open."""
        ...

    async def listed(self) -> list[Any]:
        """Its tools as plain data, which are journaled; the annotation says as what they are read."""
        ...

    async def check(self, known: Any, /) -> None:
        """Raise `StepError(tools_changed)` unless it still has exactly the tools that were listed."""
        ...

    def tools_of(self, listed: Any, /) -> Sequence[Step[..., Any]]:
        """What was listed, as tools."""
        ...


def is_source(value: object) -> TypeGuard[ToolSource]:
    """Whether something is a source of tools."""
    return not isinstance(value, Step) and hasattr(value, "tools_of") and hasattr(value, "listed")


def tools_changed(source: str, told: str) -> StepError:
    """That a source does not have the tools any longer that a step was told about."""
    return StepError(
        f"the tools of {source!r} are not those that this step was told about: {told}",
        code="tools_changed",
        retryable=False,
        hint="bring them back, or let the step begin anew: roll the run back to before it",
    )


class ToolDecorator(Protocol):
    """What `tool(...)` with options gives."""

    @overload
    def __call__(self, fn: Callable[P, Call[R]], /) -> Tool[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Tool[P, R]: ...
    def __call__(self, fn: Any, /) -> Any:
        """Make a function a tool."""
        ...


@overload
def tool(fn: Callable[P, Call[R]], /) -> Tool[P, R]: ...
@overload
def tool(fn: Callable[P, R], /) -> Tool[P, R]: ...
@overload
def tool(
    *,
    name: str | None = ...,
    description: str = ...,
    permission: str = ...,
    sandbox: Sandbox | None = ...,
    approval: str = ...,
    effect: Effect = ...,
    retry: Retry | int | None = ...,
    timeout: Duration | None = ...,
    pool: Pool[Any] | str | None = ...,
    cache: Cache | Duration | bool = ...,
) -> ToolDecorator: ...
@told
def tool(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    description: str = "",
    permission: str = "",
    sandbox: Sandbox | None = None,
    approval: str = "",
    **options: Any,
) -> Any:
    """Make a function a tool: a step that models may call. Its parameters are what a model has to give.

    `description` (the docstring, if there is none) is what a model is told. `permission` is a word that an agent must
    have been given (`files.write`); `sandbox` says what paths and addresses among the arguments may reach; `approval`
    is a question that people answer before each call. The other options are those of `step`: with
    `effect="irreversible"` a call that ended without a report is never made again.

    Raises `InvalidConfig` that names every bad option.
    """

    def wrap(function: Callable[..., Any]) -> Tool[..., Any]:
        made: Step[..., Any] = step(**options)(function)
        found = Tool[..., Any](made.fn, made.options)
        found.guard = Guard(permission, sandbox, approval)
        found.description = description or inspect.getdoc(function) or ""
        check_tool(found)
        return found

    return wrap if fn is None else wrap(fn)


def tool_from(
    spec: ToolSpec,
    call: Callable[[dict[str, Any]], Awaitable[Any]],
    *,
    guard: Guard = UNGUARDED,
    effect: Effect = "idempotent",
    retry: Retry | int | None = None,
    timeout: Duration | None = None,
) -> Tool[..., Any]:
    """A tool that is described by a JSON Schema instead of a signature, as those of other servers are."""

    async def perform(**arguments: Any) -> Any:
        return await call(arguments)

    made = step(name=spec.name, effect=effect, retry=retry, timeout=timeout)(perform)
    found = Tool[..., Any](made.fn, made.options)
    found.guard, found.description, found.schema = guard, spec.description, spec.schema
    check_tool(found)
    return found


def check_tool(made: Step[..., Any]) -> None:
    """Raise `InvalidConfig` for what cannot be a tool."""
    kinds = {name: made.parameters.type_of(name) for name in made.parameters.names}
    plain = made.name.replace("-", "").replace("_", "")
    named = len(made.name) <= LONGEST_NAME and plain.isascii() and plain.isalnum()
    here = made.options.executor == "auto"
    refuse(
        "tool",
        check_name(made.name, "name"),
        None if named else f"name is {made.name!r}, must have at most {LONGEST_NAME} letters, digits, - and _",
        None if here else f"executor is {made.options.executor!r}: tools run in the agent's process",
        "cache: the calls of an agent are kept with its step alone; leave it out, or give made.with_(cache=False)"
        if made.options.cache
        else None,
        *sandbox_problems(guard_of(made).sandbox, kinds, is_open=is_open(made)),
        where=made.name,
    )


def sandbox_problems(sandbox: Sandbox | None, kinds: Mapping[str, Any], *, is_open: bool) -> list[str | None]:
    """What is wrong with the sandbox of a tool that takes arguments of these types, or by any name."""
    if sandbox is None:
        return []
    unknown = [each for each in (*sandbox.paths, *sandbox.urls) if each not in kinds]
    has_paths = bool(sandbox.paths) or any(map(_holds_path, kinds.values()))
    blurred = [name for name, kind in kinds.items() if name not in sandbox.paths and _blurs(kind)]
    hidden = [name for name, kind in kinds.items() if _hides_path(kind, frozenset())] if sandbox.root else []
    return [
        f"sandbox names {', '.join(unknown)}, which the tool does not take" if unknown and not is_open else None,
        "sandbox has no root for the paths" if has_paths and not sandbox.root else None,
        "sandbox has no hosts for the urls" if sandbox.urls and not sandbox.hosts else None,
        "sandbox has a root and confines no argument: annotate one as Path, or name it in paths=(...)"
        if sandbox.root and not has_paths
        else None,
        "sandbox has hosts and no urls: name the arguments that hold addresses, urls=(...)"
        if sandbox.hosts and not sandbox.urls
        else None,
        f"sandbox: {', '.join(blurred)} may be a Path or any text: name it in paths=(...)" if blurred else None,
        f"sandbox: {', '.join(hidden)} holds paths that nothing confines: take them as arguments, of the type Path"
        if hidden
        else None,
    ]


def _hides_path(kind: Any, seen: frozenset[Any]) -> bool:
    """Whether values of a type hold paths that are not found in them: fields of classes, other classes of paths."""
    if hasattr(kind, "__supertype__"):
        return _holds_path(kind.__supertype__) or _hides_path(kind.__supertype__, seen)
    parts = get_args(kind)
    if parts:
        return any(_hides_path(each, seen) for each in parts)
    if not isinstance(kind, type) or kind in seen or kind is Path:
        return False
    if issubclass(kind, PurePath):
        return True
    fields = hints_of(kind).values() if kind.__module__ != "builtins" else ()
    return any(_holds_path(each) or _hides_path(each, seen | {kind}) for each in fields)


def _holds_path(kind: Any) -> bool:
    """Whether a path may stand in a value of a type: `Path`, `Path | None`, `list[Path]`."""
    return kind is Path or any(map(_holds_path, get_args(kind)))


def _blurs(kind: Any) -> bool:
    """Whether a type takes a path as a text that is not known for one: `str | Path`."""
    parts = get_args(kind)
    either = get_origin(kind) in (Union, UnionType) and (str in parts or Any in parts)
    return (either and any(map(_holds_path, parts))) or any(map(_blurs, parts))


def is_open(made: Step[..., Any]) -> bool:
    """Whether a tool takes arguments by any name."""
    return any(each.kind is inspect.Parameter.VAR_KEYWORD for each in made.parameters.signature.parameters.values())


def guard_of(made: Step[..., Any]) -> Guard:
    """What guards a tool; a plain step is guarded by nothing but its effect."""
    return made.guard if isinstance(made, Tool) else UNGUARDED


def spec_of(made: Step[..., Any]) -> ToolSpec:
    """A tool as a model is told about it."""
    described = made.description if isinstance(made, Tool) else inspect.getdoc(made.fn)
    schema = made.schema if isinstance(made, Tool) else None
    if schema is None:
        found: dict[str, Any] = adapter(made.parameters.fields).json_schema()
        schema = {name: each for name, each in found.items() if name != "title"}
    return ToolSpec(made.name, described or "", schema)


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a model is told about a call: the result as text, or why there is none."""

    text: str
    failed: bool = False
    halt: Halt | None = None
    """Where it stopped to ask people, who have not answered yet."""


class Guarded(Step[[str], ToolResult]):
    """A tool as an agent calls it: given JSON text, it gives text, and its failures are results too."""

    def __init__(self, agent: str, made: Step[..., Any], replies: Replies | None = None) -> None:
        self.tool = made
        self.agent = agent
        if made.options.effect == "reversible":
            called_undo(made)

        sent, back = _kinds(made)

        async def perform(arguments: str) -> ToolResult:
            context = current()
            context.interaction(agent, made.name, sent, arguments)
            result = await _performed(made, arguments, replies)
            context.interaction(made.name, agent, "question" if result.halt is not None else back, result.text)
            return result

        super().__init__(perform, made.options)

    def wraps(self, arguments: str) -> Doable | None:
        """What is undone of a call; None where the arguments do not fit, for then nothing is done."""
        try:
            given = _given(self.tool, arguments)
        except RipresaError:
            return None
        return Doable(self.tool, self.tool.parameters.encode((), given, where=self.tool.name), wrapped=True)

    def settle(self, error: Exception) -> ToolResult:
        """What a call that failed for good is recorded as: the failure, for the model to read."""
        unknown = self.options.effect == "irreversible" and isinstance(error, StepTimeout)
        if unknown or (isinstance(error, RipresaError) and error.code in ENDS):
            raise error
        kind = error.code if isinstance(error, RipresaError) else type(error).__name__
        text = error.message if isinstance(error, RipresaError) else str(error)
        return ToolResult(f"failed ({kind}): {text}", failed=True)


def _kinds(made: Step[..., Any]) -> tuple[str, str]:
    """What is sent to a tool and what comes back: another agent is given a task."""
    return ("delegate", "reply") if hasattr(made, "talker") else ("call", "result")


def _given(made: Step[..., Any], arguments: str) -> dict[str, Any]:
    """The arguments that a tool is given. Raises `InvalidValue`, and `StepError` for what its sandbox forbids."""
    given = read_arguments(made, arguments)
    sandbox = guard_of(made).sandbox
    if sandbox is None:
        return given
    return sandbox.confined(given, {name: made.parameters.hints.get(name) for name in given})


async def _performed(made: Step[..., Any], arguments: str, replies: Replies | None) -> ToolResult:
    given = _given(made, arguments)
    if isinstance(made, Tool) and made.resumable is not None:
        found = await made.resumable(given, replies)
        if isinstance(found, Halt):
            return ToolResult("; ".join(each.text for each in found.questions.values()), halt=found)
        return _read(made, found)
    parameters = made.parameters.signature.parameters.items()
    first = [given.pop(name) for name, each in parameters if each.kind is each.POSITIONAL_ONLY and name in given]
    result: Any = made.fn(*first, **given) if made.is_async else await asyncio.to_thread(made.fn, *first, **given)
    return _read(made, await result if inspect.isawaitable(result) else result)


def _read(made: Step[..., Any], result: Any) -> ToolResult:
    """What a model reads of what a tool gave."""
    text = encode(result, made.parameters.returns, where=made.name)
    returns(text)
    told = made.told if isinstance(made, Tool) else None
    if told is not None:
        return ToolResult(told(result))
    return ToolResult(result if isinstance(result, str) else text.decode())


def read_arguments(made: Step[..., Any], arguments: str) -> dict[str, Any]:
    """The arguments that a model wrote, checked by the tool's types. Raises `InvalidValue` for a model to read."""
    try:
        plain: Any = json.loads(arguments or "{}")
    except ValueError as error:
        raise InvalidValue(f"the arguments are no JSON: {error}", where=made.name) from None
    if not isinstance(plain, dict):
        raise InvalidValue("the arguments are no object", where=made.name)
    given: dict[str, Any] = {str(name): each for name, each in plain.items()}  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if is_open(made):
        return given
    unknown = [name for name in given if name not in made.parameters.names]
    if unknown:
        raise InvalidValue(f"there is no parameter {', '.join(unknown)}", where=made.name)
    found: dict[str, Any] = decode(json.dumps(given).encode(), made.parameters.fields, where=made.name)
    return found


Given: TypeAlias = Step[..., Any] | ToolSource | str
"""What `tools=` of agents and llm steps holds: tools, steps, sources of tools, and names in a `Tools`."""


class Tools:
    """Tools by name, for agents that name them: `Agent(..., tools=["search"], toolbox=tools)`.

    A source of tools has a name too: `"files"` stands for all of its tools, `"files/read_*"` for some.
    """

    def __init__(self, tools: Iterable[Step[..., Any] | ToolSource | Callable[..., Any]] = ()) -> None:
        self._tools: dict[str, Step[..., Any]] = {}
        self._sources: dict[str, ToolSource] = {}
        for each in tools:
            if is_source(each):
                self.add(each)
            else:
                self.register(cast("Callable[..., Any]", each))

    def register(self, made: Step[..., Any] | Callable[..., Any], /) -> Step[..., Any]:
        """Add a tool, a step or a plain function, which becomes a tool. Gives the tool.

        Raises `InvalidConfig` (`duplicate_name` if the name is taken).
        """
        found = cast("Step[..., Any]", made) if isinstance(made, Step) else cast("Step[..., Any]", tool(made))
        check_tool(found)
        if found.name in self._sources or self._tools.setdefault(found.name, found) is not found:
            raise _taken(found.name)
        return found

    def add(self, source: ToolSource, /) -> None:
        """Add a source of tools under its name. Raises `InvalidConfig(duplicate_name)`."""
        if source.name in self._tools or self._sources.setdefault(source.name, source) is not source:
            raise _taken(source.name)

    def get(self, name: str) -> Step[..., Any]:
        """The tool of a name. Raises `RipresaError(unknown_tool)`."""
        found = self._tools.get(name)
        if found is None:
            raise self._unknown(name)
        return found

    def find(self, name: str) -> Step[..., Any] | ToolSource:
        """The tool of a name, or a source with the tools of it that are meant. Raises `RipresaError(unknown_tool)`."""
        whole, slash, pattern = name.partition("/")
        source = self._sources.get(whole)
        if source is None:
            return self.get(name)
        return source.only(pattern) if slash else source

    def _unknown(self, name: str) -> RipresaError:
        there = ", ".join((*self._tools, *self._sources)) or "nothing"
        return RipresaError(
            f"no tool is registered as {name!r}", code="unknown_tool", op="tools", hint=f"registered: {there}"
        )

    def list(self) -> list[str]:
        """The names, in alphabetical order."""
        return sorted((*self._tools, *self._sources))

    def __contains__(self, name: object) -> bool:
        return name in self._tools or name in self._sources


def _taken(name: str) -> InvalidConfig:
    return InvalidConfig(f"a tool named {name!r} is registered already", code="duplicate_name", op="register")


def given_tools(
    tools: Sequence[Given], toolbox: Tools | None, permissions: Sequence[str], agent: str
) -> tuple[dict[str, Step[..., Any]], tuple[ToolSource, ...]]:
    """The tools of an agent by name, and the sources of those that are known only when it runs.

    Raises `RipresaError(unknown_tool)`, `tool_forbidden`, `InvalidConfig`.
    """
    refuse(
        "Agent",
        None if isinstance(tools, list | tuple) else f"tools is {tools!r}, must be a list of tools",
        bad_texts(permissions, "permissions"),
        where=agent,
    )
    found: dict[str, Step[..., Any]] = {}
    sources: list[ToolSource] = []
    for each in tools:
        made = (toolbox or Tools()).find(each) if isinstance(each, str) else each
        if is_source(made):
            _check_permission(made.guard, f"what {made.name!r} offers", permissions, agent)
            sources.append(made)
            continue
        if not isinstance(made, Step):
            raise _no_tool(made, agent)
        check_tool(made)
        add_tool(found, made, agent)
        _check_permission(guard_of(made), f"tool {made.name!r}", permissions, agent)
    return found, tuple(sources)


def _no_tool(made: object, agent: str) -> InvalidConfig:
    """What is said of something that is no tool, and what to do about it."""
    from ..authoring.flow import Runnable

    if isinstance(made, Runnable):
        message = f"tools has {made!r}, a whole workflow: a tool is one step, whose calls stand in the agent's step"
        hint = "let it stand before or after the agent, or have a team with this agent in it"
    else:
        message, hint = f"tools has {made!r}, which is no step", "put @tool above a function, or name one in toolbox"
    return InvalidConfig(message, op="Agent", where=agent, hint=hint)


def add_tool(found: dict[str, Step[..., Any]], made: Step[..., Any], agent: str) -> None:
    """Add a tool to those of an agent. Raises `InvalidConfig(duplicate_name)`."""
    if found.setdefault(made.name, made) is not made:
        raise InvalidConfig(f"two tools are named {made.name!r}", code="duplicate_name", op="Agent", where=agent)


def _check_permission(guard: Guard, what: str, permissions: Sequence[str], agent: str) -> None:
    needed = guard.permission
    if needed and not any(fnmatchcase(needed, granted) for granted in permissions):
        raise RipresaError(
            f"agent {agent!r} has no permission {needed!r}, which {what} needs",
            code="tool_forbidden",
            op="Agent",
            where=agent,
            hint=f"give it: permissions=[{needed!r}]",
        )
