"""MCP servers as sources of tools: for agents and llm steps, and for plain steps that call one tool.

Law: what a server says about its tools is a claim. Its hints decide nothing unless the author trusts it, and a tool
whose definition is not the one that a step was told about is not called.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache, partial
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast, get_args, overload
from urllib.parse import urlsplit

from typing_extensions import Unpack

from ..authoring.call import shortened
from ..authoring.document.recipe import Recipe
from ..authoring.encoding import decode, encode
from ..authoring.options import bad_kind, bad_texts, check_name, refuse
from ..authoring.step import Effect, Step
from ..context import current, take_notes
from ..core.durations import Duration, seconds
from ..core.retry import Retry
from ..errors import InvalidValue, StepError
from ..steps.asking import Voice, is_model
from ..steps.calls import bad_header
from ..steps.conversation import ToolSpec
from ..steps.gateway import Named
from ..steps.guard import Guard as AddressGuard
from ..steps.guard import Rule, bad_allow, bad_url, rule_of
from ..steps.halts import Halt, Replies
from ..steps.making import StepOptions, made, own_name, within
from ..steps.mcp_asked import Asked, in_rounds
from ..steps.mcp_line import Address, Heard, Line, Lines
from ..steps.mcp_results import as_told, cleaned, failure_of, is_closed, refusal_of, value_of
from ..steps.oauth import OAuth2
from ..steps.programs import bad_argv, bad_variables
from ..steps.recipes import plain_config
from ..steps.saying import server_said
from ..steps.secret import Secret, without
from .mcp_sampling import Sampler
from .replying import AskingStep, Outcome, outcome_of
from .tools import LONGEST_NAME, Guard, Sandbox, Tool, sandbox_problems, tool_from, tools_changed

if TYPE_CHECKING:
    from mcp import Client, MCPError

A = TypeVar("A")
R = TypeVar("R")

KEY: Final = "ripresa/idempotency-key"
"""Under which name a server is told, in `_meta`, the text that is the same for all attempts of a call."""

PAGES: Final = 100
"""No server is asked for more pages of its list of tools."""

EFFECTS: Final = tuple(each for each in get_args(Effect) if each != "reversible")


@dataclass(frozen=True, slots=True)
class ListedTool:
    """A tool as a server lists it. The last four are its hints; None where it gives none."""

    name: str
    description: str = ""
    schema: dict[str, Any] = field(default_factory=dict[str, Any])
    output: dict[str, Any] | None = None
    read_only: bool | None = None
    destructive: bool | None = None
    idempotent: bool | None = None
    open_world: bool | None = None


def hinted(listed: ListedTool) -> Effect:
    """The effect that the hints of a tool come to, if they are believed.

    Whether it destroys or only adds, and whether it reaches beyond its server, makes no difference: what is done twice
    is wrong in any case.
    """
    if listed.read_only:
        return "read"
    return "idempotent" if listed.idempotent else "irreversible"


class McpServer:
    """A server that speaks the Model Context Protocol, as a source of tools: `Agent(..., tools=[search, files])`.

    It is a program (`command`, which is given the usual variables of the environment alone, those named in `pass_env`,
    and `env`), or a `url` (streamable HTTP) with `headers`, or a `server` object of the MCP library in this process.
    A URL may lead to the public internet, to a number or `localhost` that it names itself, and to what `allow_hosts`
    names. Values of `env` and `headers` may be a `Secret`; `auth` is a bearer token, or says by `OAuth2` how it is got.

    `allow` and `deny` are patterns for the names of its tools; a name in `allow` that it does not offer is an error.
    Models see each under its name with `prefix` before it (the name of the server and `_`, if nothing is said).

    Without `trust` each tool is taken to be `irreversible`, whatever the server says of it; with it, its hints decide.
    `effects` goes before both: `{"read_*": "read"}`. `permission` and `sandbox` are as for `ripresa.tool`; `approval`
    is a question that people answer before each call of a tool that does more than read. `timeout` bounds each call,
    `retry` repeats those that may be repeated, `patience` bounds the making of a connection.

    With `questions` people answer what the server asks in the middle of a call, by its form; the run waits for them.
    `sampling` is the model that it may ask, `roots` are the folders that it is told to work in.

    A connection is made when it is needed, and again where it broke; it is closed with the last step that uses it, or
    with `async with server.running():`. Raises `InvalidConfig` that names every bad option.
    """

    def __init__(  # noqa: PLR0913 - every option of the server, by keyword
        self,
        name: str,
        /,
        *,
        command: list[str] | tuple[str, ...] = (),
        cwd: str | Path = "",
        env: Mapping[str, str | Secret] | None = None,
        pass_env: Sequence[str] = (),
        grace: Duration = 2.0,
        url: str = "",
        headers: Mapping[str, str | Secret] | None = None,
        auth: Secret | OAuth2 | None = None,
        allow_hosts: Sequence[str] = (),
        server: Any = None,
        allow: Sequence[str] = ("*",),
        deny: Sequence[str] = (),
        prefix: str | None = None,
        trust: bool = False,
        effects: Mapping[str, Effect] | None = None,
        permission: str = "",
        sandbox: Sandbox | None = None,
        approval: str = "",
        timeout: Duration | None = 60.0,
        retry: Retry | int | None = None,
        patience: Duration = 30.0,
        questions: bool = False,
        sampling: Named | None = None,
        roots: Sequence[str | Path] = (),
    ) -> None:
        refuse(
            "McpServer",
            check_name(name, "name"),
            _one_place(command, url, server),
            *(bad_argv(tuple(command)) if command else ()),
            *bad_variables(env or {}, pass_env),
            *_bad_address(url, headers or {}, auth, allow_hosts),
            *(bad_texts(patterns, option) for option, patterns in (("allow", allow), ("deny", deny))),
            *_bad_effects(effects or {}),
            *sandbox_problems(sandbox, {}, is_open=True),
            *_bad_asked(questions, sampling, roots),
            where=str(name),
        )
        self.name = name
        given = {key: value for key, value in locals().items() if key not in ("self", "name")}
        self.said = {key: value for key, value in given.items() if value != _usual()[key]}
        """The options that are not as usual."""
        self._allow: tuple[tuple[str, ...], ...] = (tuple(allow),)
        self._deny, self.trust = tuple(deny), trust
        self.prefix = f"{name}_" if prefix is None else prefix
        self.effects: dict[str, Effect] = dict(effects or {})
        self.guard = Guard(permission, sandbox, approval)
        self.timeout = None if timeout is None else seconds(timeout, "timeout")
        self.retry = retry
        guard, wait = AddressGuard(tuple(_rules(url, allow_hosts))), seconds(patience, "patience")
        program = tuple(command), Path(cwd), dict(env or {}), tuple(pass_env), seconds(grace, "grace")
        sampler = None if sampling is None else Sampler(name, Voice((sampling,)))
        self._may = Asked(questions, sampler, tuple(map(str, roots)))
        place = *program, url, dict(headers or {}), guard, server, wait, auth
        self._lines = Lines(name, Address(*place, asked=self._may))

    def __repr__(self) -> str:
        return f"<MCP server {self.name}>"

    @property
    def asks(self) -> bool:
        """Whether people may be asked before a tool of it is called, or in the middle of a call."""
        return bool(self.guard.approval) or self._may.questions

    @property
    def bounded_to(self) -> tuple[tuple[str, ...], ...]:
        """The patterns of its tools: those of the server, and each of those that it was bounded to since."""
        return self._allow

    def only(self, *patterns: str) -> McpServer:
        """The same server, over the same connection, with fewer of its tools."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin._allow = (*self._allow, patterns)
        return twin

    def running(self) -> AbstractAsyncContextManager[None]:
        """Keep the connection, once it is made, for as long as this is open: `async with server.running():`."""
        return self._lines.here.held()

    # --- what it offers

    async def listed(self) -> list[ListedTool]:
        """The tools that it offers now, of those that are allowed, in alphabetical order.

        Raises `StepError(tool_unavailable)`, `unknown_tool`.
        """
        async with self.running():
            return self._allowed(await _offered(await self._lines.here.line()))

    def _allowed(self, offered: Mapping[str, ListedTool]) -> list[ListedTool]:
        named = [each for patterns in self._allow for each in patterns if not any(char in each for char in "*?[")]
        missing = [each for each in named if each not in offered]
        if missing:
            raise self._unknown(missing, offered)
        return [offered[name] for name in sorted(offered) if self.allows(name)]

    def _unknown(self, names: Iterable[str], offered: Iterable[str]) -> StepError:
        message = f"the MCP server {self.name!r} has no tool {', '.join(names)}"
        hint = f"it has {', '.join(sorted(offered)) or 'none'}"
        return StepError(message, code="unknown_tool", retryable=False, hint=hint)

    def allows(self, name: str) -> bool:
        """Whether a tool of this name may be used."""
        return all(_fits(name, patterns) for patterns in self._allow) and not _fits(name, self._deny)

    async def check(self, known: Sequence[ListedTool]) -> None:
        """Raise `StepError(tools_changed)` unless it offers exactly these."""
        now, before = ({each.name: each for each in tools} for tools in (await self.listed(), known))
        if now == before:
            return
        what = {
            "there are new ones": now.keys() - before.keys(),
            "gone are": before.keys() - now.keys(),
            "changed are": {name for name in now.keys() & before.keys() if now[name] != before[name]},
        }
        told = "; ".join(f"{how} {', '.join(sorted(names))}" for how, names in what.items() if names)
        raise tools_changed(self.name, told)

    async def tools(self) -> list[Tool[..., Any]]:
        """What it offers now, as tools: `Tools(await server.tools())`."""
        return self.tools_of(await self.listed())

    def tools_of(self, listed: Iterable[ListedTool]) -> list[Tool[..., Any]]:
        """Tools that were listed, as tools. Each is called only as long as it is what was listed."""
        return [self._tool(each) for each in listed]

    def effect_of(self, listed: ListedTool) -> Effect:
        """The effect of a tool: what the author says of it, else what the server does if it is trusted."""
        for pattern, effect in self.effects.items():
            if fnmatchcase(listed.name, pattern):
                return effect
        return hinted(listed) if self.trust else "irreversible"

    def _tool(self, listed: ListedTool) -> Tool[..., Any]:
        effect = self.effect_of(listed)
        guard = self.guard if effect != "read" else Guard(self.guard.permission, self.guard.sandbox)
        spec = ToolSpec(_named(self.prefix + listed.name), listed.description, listed.schema)
        call = partial(self._call, listed)
        retry = None if effect == "irreversible" else self.retry
        found = tool_from(spec, call, guard=guard, effect=effect, retry=retry, timeout=self.timeout)
        found.told = as_told
        if self._may.questions:
            found.resumable = partial(self._resumed, listed)
        return found

    # --- calls

    async def call(self, tool: str, arguments: Mapping[str, Any] | None = None, /) -> Any:
        """What a tool gives, as a JSON value.

        Raises `ToolFailed`, and `StepError` with the codes `tool_unavailable`, `unknown_tool` and `tool_forbidden`.
        """
        return value_of(await self._asked(tool, dict(arguments or {}), None))

    async def _call(self, listed: ListedTool, arguments: dict[str, Any]) -> Any:
        return value_of(await self._asked(listed.name, arguments, listed))

    async def _resumed(self, listed: ListedTool, arguments: dict[str, Any], replies: Replies | None) -> Any:
        found = await self._asked(listed.name, arguments, listed, replies, halts=True)
        return found if isinstance(found, Halt) else value_of(found)

    async def _asked(
        self,
        tool: str,
        arguments: dict[str, Any],
        listed: ListedTool | None,
        replies: Replies | None = None,
        *,
        halts: bool = False,
    ) -> Any:
        if not self.allows(tool):
            message = f"the tool {tool!r} of the MCP server {self.name!r} is not allowed"
            raise StepError(message, code="tool_forbidden", retryable=False)
        async with self.running():
            try:
                return await self._sent(tool, arguments, listed, replies, halts=halts)
            except _SessionGone:  # nobody has looked at the request: it is made again in a new session
                pass
            try:
                return await self._sent(tool, arguments, listed, replies, halts=halts)
            except _SessionGone as error:  # of what forgets each session that it has just begun nothing is known
                raise StepError(error.message, code="tool_unavailable", unknown=True) from None

    async def _sent(
        self,
        tool: str,
        arguments: dict[str, Any],
        listed: ListedTool | None,
        replies: Replies | None,
        *,
        halts: bool,
    ) -> Any:
        from mcp import MCPError

        line = await self._lines.here.line()
        offered = await _offered(line)
        if listed is not None and offered.get(tool) != listed:
            raise tools_changed(self.name, f"it is about {tool}")
        if tool not in offered:
            raise self._unknown([tool], offered)
        context = current()
        meta = cast("Any", {KEY: context.idempotency_key} if context.run else None)

        async def tell(progress: float, total: float | None, message: str | None) -> None:
            context.progress(progress, total, line.hidden(message or ""))

        heard = Heard()

        async def ask(client: Client) -> Any:
            take_notes(heard)
            if not self._may:
                return await client.call_tool(tool, arguments, progress_callback=tell, meta=meta)
            call = {"name": tool, "arguments": arguments, "progress_callback": tell, "meta": meta}
            return await in_rounds(client, call, replies, halts=halts, where=f"{tool} of {self.name}")

        try:
            result = await line.use(ask)
        except MCPError as error:
            raise await self._refusal(line, heard, tool, error) from None
        except (RuntimeError, ValueError) as error:  # what the client says of results that do not fit the schema
            message = line.hidden(f"what {tool} of {self.name} gave does not fit: {error}")
            raise InvalidValue(message, code="invalid_output", where=tool) from None
        if isinstance(result, Halt):
            return result
        if line.has_secrets:
            result = cleaned(result, line.hidden)
        if result.is_error:
            raise failure_of(result, self.name, tool)
        return result

    async def _refusal(self, line: Line, heard: Heard, tool: str, error: MCPError) -> StepError:
        if heard.gone:
            line.leave()
            return _SessionGone(f"{self.name} has forgotten the session", code="tool_unavailable")
        if is_closed(error):
            await line.close()
            return line.broken(None)
        return self._hidden(line, refusal_of(error, self.name, tool, unread=heard.unread))

    def _hidden(self, line: Line, error: StepError) -> StepError:
        error.message = line.hidden(error.message)
        error.args = (error.message,)
        return error

    # --- steps

    @overload
    def step(
        self, tool: str, /, *, input: type[A], output: type[R], **options: Unpack[McpStepOptions]
    ) -> Step[[A], R]: ...
    @overload
    def step(self, tool: str, /, *, input: type[A], **options: Unpack[McpStepOptions]) -> Step[[A], Any]: ...
    @overload
    def step(
        self, tool: str, /, *, output: type[R], **options: Unpack[McpStepOptions]
    ) -> Step[[dict[str, Any]], R]: ...
    @overload
    def step(self, tool: str, /, **options: Unpack[McpStepOptions]) -> Step[[dict[str, Any]], Any]: ...
    def step(self, tool: str, /, *, input: Any = dict[str, Any], output: Any = Any, **options: Any) -> Any:
        """A step that calls one tool: its input, an object, is the arguments, over those in `arguments`.

        With `output` the result is read as that type; `str` is its text. The other options are those of `ripresa.step`;
        unless `effect` or `effects` says something else it is `irreversible`. Raises `InvalidConfig`.
        """
        given = dict(options)
        fixed: Mapping[str, Any] = given.pop("arguments", {})
        refuse(
            "mcp",
            None if tool and self.allows(tool) else f"tool is {tool!r}, which is not allowed",
            bad_kind(fixed, "arguments", Mapping, "an object"),
            "approval is for agents: put an approval before the step" if self.guard.approval else None,
            where=self.name,
        )
        given.setdefault("effect", self.effect_of(ListedTool(tool)))
        given.setdefault("timeout", self.timeout)
        given.setdefault("name", own_name("mcp", f"{self.name}-{tool}"))
        limit = None if given["timeout"] is None else seconds(given["timeout"], "timeout")

        async def asked(value: Any, replies: Replies | None, *, halts: bool) -> Any:
            arguments = {**fixed, **_object(value, self.name)}
            if self.guard.sandbox is not None:
                arguments = self.guard.sandbox.confined(arguments, {})
            async with self.running():  # closing it takes nothing from the time of the call
                asking = self._asked(tool, arguments, None, replies, halts=halts)
                result = await within(limit, f"{tool} of {self.name}", asking)
            return result if isinstance(result, Halt) else _read(result, output, given["name"])

        async def call(value: Any) -> Any:
            return await asked(value, None, halts=False)

        async def turn(value: Any, replies: Replies | None) -> Outcome:
            return outcome_of(await asked(value, replies, halts=True), output)

        call.__annotations__ = {"value": input}
        kind: type[Step[[Any], Any]] = AskingStep[Any, Any] if self._may.questions else Step[[Any], Any]
        found = made(kind, call, (self.name, tool, dict(fixed)), output, given)
        if self._may.questions:
            cast("AskingStep[Any, Any]", found).ask_by(turn, (input, output))
        more = {"arguments": plain_config(given["name"], dict(fixed))} if fixed else {}
        types = {key: kind for key, kind in (("input", input), ("output", output)) if kind is not Any}
        found.recipe = Recipe(
            "mcp",
            lambda: self.step(tool, arguments=fixed, input=input, output=output),
            lambda: {"server": server_said(self)[0], "tool": tool, **more},
            types,
            servers={self.name: lambda: plain_config(self.name, server_said(self)[1])},
        )
        return found


class McpStepOptions(StepOptions, total=False):
    """The options of `McpServer.step`."""

    arguments: Mapping[str, Any]


class _SessionGone(StepError):
    """A server has forgotten the session."""


async def _offered(line: Line) -> dict[str, ListedTool]:
    """What the server at the end of a line offers; asked once, and again when it says that this has changed."""
    from mcp import MCPError

    async def ask(client: Client) -> dict[str, ListedTool]:
        found: dict[str, ListedTool] = {}
        cursor: str | None = None
        for _ in range(PAGES):
            page = await client.list_tools(cursor=cursor)
            found |= {each.name: _listed(each, line.hidden) for each in page.tools}
            cursor = page.next_cursor
            if cursor is None:
                return found
        raise StepError(f"it lists its tools on more than {PAGES} pages", code="too_large", retryable=False)

    known: dict[str, ListedTool] | None = line.listed
    if known is None:
        try:
            async with asyncio.timeout(line.patience):
                line.listed = known = await line.use(ask)
        except TimeoutError:
            line.leave()
            message = f"it did not list its tools within {line.patience:g} s"
            raise StepError(message, code="tool_unavailable") from None
        except MCPError as error:
            line.leave()
            raise StepError(line.hidden(f"it does not list its tools: {error}"), code="tool_unavailable") from None
    return known


def _listed(tool: Any, hidden: Callable[[str], str]) -> ListedTool:
    hints = tool.annotations
    said = () if hints is None else (
        hints.read_only_hint, hints.destructive_hint, hints.idempotent_hint, hints.open_world_hint,
    )  # fmt: skip
    texts = (tool.name, tool.description or "", tool.input_schema, tool.output_schema)
    return ListedTool(*(without(each, hidden) for each in texts), *said)


def _named(name: str) -> str:
    """A name that models take: of letters, digits, - and _, and not too long."""
    plain = "".join(char if char.isascii() and (char.isalnum() or char in "-_") else "_" for char in name)
    if len(plain) <= LONGEST_NAME:
        return plain
    return f"{plain[: LONGEST_NAME - 9]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _object(value: Any, where: str) -> dict[str, Any]:
    found: Any = json.loads(encode(value)) if value is not None else {}
    if not isinstance(found, dict):
        raise InvalidValue(f"the arguments of a tool are an object, not {type(found).__name__}", where=where)
    return cast("dict[str, Any]", found)


def _read(result: Any, output: Any, where: str) -> Any:
    if output is str:
        texts = [each.text for each in result.content if each.type == "text"]
        return "\n".join(texts) if texts or result.structured_content is None else as_told(result.structured_content)
    value = value_of(result)
    return value if output is Any else decode(encode(value), output, where=where, code="invalid_output")


@cache
def _usual() -> dict[str, Any]:
    """The options of a server of which nothing is said."""
    return {name: each.default for name, each in signature(McpServer).parameters.items()}


def _fits(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, each) for each in patterns)


def _bad_address(url: str, headers: Mapping[str, Any], auth: object, allow: Sequence[str]) -> list[str | None]:
    return [
        bad_url(url) if url else None,
        *(bad_header(each, value) for each, value in headers.items()),
        _bad_auth(auth, url, headers),
        bad_allow(allow),
    ]


def _bad_asked(questions: object, sampling: object, roots: Any) -> list[str | None]:
    return [
        bad_kind(questions, "questions", bool, "True or False"),
        None if sampling is None or is_model(sampling) else f"sampling is {sampling!r}, must name a model",
        bad_texts(roots if isinstance(roots, str) else list(map(str, roots)), "roots"),
    ]


def _bad_auth(auth: object, url: str, headers: Mapping[str, Any]) -> str | None:
    if auth is None:
        return None
    if not isinstance(auth, Secret | OAuth2):
        return f"auth is {shortened(auth)}, must be a Secret or OAuth2"
    if not url:
        return "auth is for servers at a url"
    return "auth and the header authorization are given: one of them says it" if _has_auth(headers) else None


def _has_auth(headers: Mapping[str, Any]) -> bool:
    return any(name.lower() == "authorization" for name in headers)


def _one_place(command: object, url: str, server: Any) -> str | None:
    if isinstance(command, str):
        return f"command is {command!r}, must be a list: the program and its arguments"
    given = [name for name, value in (("command", command), ("url", url), ("server", server)) if value]
    return None if len(given) == 1 else f"give one of command, url and server, not {' and '.join(given) or 'none'}"


def _bad_effects(effects: Mapping[str, Any]) -> list[str]:
    allowed = ", ".join(EFFECTS)
    return [
        f"effects has {effect!r} for {name!r}, must be one of {allowed}"
        for name, effect in effects.items()
        if effect not in EFFECTS
    ]


def _rules(url: str, allow: Iterable[str]) -> Iterable[Rule]:
    """What may be reached beside the public internet: what is named, and a number or `localhost` in the URL itself."""
    yield from map(rule_of, allow)
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if ":" in host or host.replace(".", "").isdecimal() or host == "localhost":
        yield rule_of(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
