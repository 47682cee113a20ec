"""The MCP protocol over tools and resources that are plain functions: lists, calls, results with schema, subscriptions.

Law: what a request asks for wrongly, and what Ripresa refuses, is a result that says so with its code; the rest of a
server does not fall with one request.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast
from weakref import WeakKeyDictionary

from ..agents.tools import Tool, read_arguments, spec_of
from ..authoring.encoding import adapter, encode
from ..authoring.step import Effect, Step
from ..errors import InvalidConfig, RipresaError

if TYPE_CHECKING:
    from mcp import types
    from mcp.server import Server, ServerRequestContext

KEY: Final = "ripresa/idempotency-key"
"""Under which name a client may say, in `_meta`, what is the same for all tries of a call."""

LONGEST: Final = 200
"""Characters of a key that are taken as they are; of a longer one it is the digest."""

MOST_WATCHED: Final = 1_000
"""Resources that one session may watch."""

NO_SUCH_RESOURCE: Final = -32002
INVALID_PARAMS: Final = -32602


class Request:
    """One request: how far it is can be told to whoever asks."""

    def __init__(self, context: ServerRequestContext[Any]) -> None:
        self.context = context

    @property
    def key(self) -> str:
        """What the client says is the same for all tries of the call; empty if it says nothing."""
        said = (self.context.meta or {}).get(KEY)
        if not isinstance(said, str):
            return ""
        return said if len(said) <= LONGEST and said.isprintable() else sha256(said.encode()).hexdigest()

    async def progress(self, completed: float, total: float | None = None, message: str = "") -> None:
        """Tell the client how far it is, if it wants to know."""
        await self.context.session.report_progress(completed, total, message or None)


Call: TypeAlias = Callable[[dict[str, Any], Request], Awaitable[Any]]
"""What a tool does with its arguments and the request; a `CallToolResult` of the MCP library is passed on as it is."""


@dataclass(frozen=True, slots=True)
class ServedTool:
    """A tool as clients see it; `effect` is told to them as hints. `output` is the schema of what it gives."""

    name: str
    description: str
    schema: Mapping[str, Any]
    call: Call
    output: Mapping[str, Any] | None = None
    effect: Effect = "irreversible"


def served(made: Step[..., Any], *, with_request: bool = False) -> ServedTool:
    """A step as a tool of a server: its parameters are the arguments, its annotations the schemas."""

    async def call(arguments: dict[str, Any], request: Request) -> Any:
        given = read_arguments(made, json.dumps(arguments))
        return await (made.fn(request, **given) if with_request else made.fn(**given))

    spec = spec_of(made)
    output = _schema_of(made.parameters.returns)
    return ServedTool(spec.name, spec.description, spec.schema, call, output, made.options.effect)


def _schema_of(kind: Any) -> dict[str, Any] | None:
    """The JSON Schema of a result; None for what is no object, which clients before 2026 do not take."""
    found: dict[str, Any] = adapter(kind).json_schema(mode="serialization")
    return found if found.get("type") == "object" else None


@dataclass(frozen=True, slots=True)
class Content:
    """What a resource holds."""

    body: bytes
    media_type: str = "application/json"

    @property
    def is_text(self) -> bool:
        """Whether it is sent as text."""
        kind = self.media_type.partition(";")[0].strip()
        return kind.startswith("text/") or kind.endswith(("json", "xml", "yaml"))


@dataclass(frozen=True, slots=True)
class ServedResource:
    """A resource as clients see it; with holes in its URI (`{run}`) it is a template of resources."""

    uri: str
    name: str
    description: str
    media_type: str = "application/json"


class Shelf:
    """The resources of a desk: none, unless a class says otherwise."""

    templates: Sequence[ServedResource] = ()

    async def page(self, after: str) -> tuple[Sequence[ServedResource], str]:
        """Some resources, and after which the next page begins; empty at the end."""
        return (), ""

    async def read(self, uri: str) -> Content | None:
        """The content of a resource; None if there is none."""
        return None

    async def complete(self, hole: str, begun: str, others: Mapping[str, str]) -> Sequence[str]:
        """What a hole of a template may be filled with."""
        return ()


@dataclass(eq=False)
class Watchers:
    """Who is told when a resource has changed; a session that has gone is forgotten with all that it watched."""

    clients: WeakKeyDictionary[Any, set[str]] = field(default_factory=WeakKeyDictionary[Any, set[str]])
    _under_way: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    _waiting: set[str] = field(default_factory=set[str])
    bus: Any = None

    def changed(self, uri: str) -> None:
        """A resource has changed; told once for all changes until then."""
        if uri not in self._waiting and (self.bus is not None or self._watching(uri)):
            self._waiting.add(uri)
            task = asyncio.get_running_loop().create_task(self._tell(uri))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    def _watching(self, uri: str) -> list[Any]:
        return [client for client, watched in list(self.clients.items()) if uri in watched]

    async def _tell(self, uri: str) -> None:
        from mcp.server.subscriptions import ResourceUpdated

        self._waiting.discard(uri)
        if self.bus is not None:
            await self.bus.publish(ResourceUpdated(uri=uri))
        told = (client.send_resource_updated(uri) for client in self._watching(uri))
        await asyncio.gather(*told, return_exceptions=True)  # one who cannot be told keeps it from nobody else


class Desk:
    """Tools and resources that are served. `server` makes a server of the MCP library that speaks for them."""

    def __init__(
        self, name: str, tools: Iterable[ServedTool], shelf: Shelf | None = None, *, instructions: str = ""
    ) -> None:
        self.name = name
        self.instructions = instructions
        self.shelf = shelf or Shelf()
        self.watchers = Watchers()
        self.tools: dict[str, ServedTool] = {}
        for tool in tools:
            if self.tools.setdefault(tool.name, tool) is not tool:
                message = f"two tools are named {tool.name!r}"
                raise InvalidConfig(message, code="duplicate_name", op="mcp", hint="give a workflow another name")

    def server(self, **handlers: Any) -> Server[Any]:
        """A server of the MCP library, with these handlers beside those of the desk."""
        from mcp.server import Server
        from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler

        from .. import __version__

        self.watchers.bus = self.watchers.bus or InMemorySubscriptionBus()
        mine: dict[str, Any] = {
            "on_list_tools": self._list_tools,
            "on_call_tool": self._call_tool,
            "on_list_resources": self._list_resources,
            "on_list_resource_templates": self._list_templates,
            "on_read_resource": self._read_resource,
            "on_subscribe_resource": self._subscribe,
            "on_unsubscribe_resource": self._unsubscribe,
            "on_subscriptions_listen": ListenHandler(self.watchers.bus),
            "on_completion": self._complete,
        }
        told = self.instructions or None
        return Server(self.name, version=__version__, instructions=told, **{**mine, **handlers})

    # --- tools

    async def _list_tools(self, context: Any, params: Any) -> types.ListToolsResult:
        from mcp import types

        return types.ListToolsResult(tools=[self._told(each) for each in self.tools.values()])

    def _told(self, tool: ServedTool) -> types.Tool:
        from mcp import types

        hints = types.ToolAnnotations(
            read_only_hint=tool.effect in ("pure", "read"),
            destructive_hint=tool.effect == "irreversible",
            idempotent_hint=tool.effect in ("pure", "read", "idempotent"),
            open_world_hint=False,
        )
        return types.Tool(
            name=tool.name,
            description=tool.description,
            input_schema=dict(tool.schema),
            output_schema=None if tool.output is None else dict(tool.output),
            annotations=hints,
        )

    async def _call_tool(self, context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        from mcp import MCPError, types

        tool = self.tools.get(params.name)
        if tool is None:
            raise MCPError(INVALID_PARAMS, f"there is no tool {params.name!r}, there are: {', '.join(self.tools)}")
        try:
            found = await tool.call(params.arguments or {}, Request(context))
        except RipresaError as error:
            return types.CallToolResult(content=[_text(str(error))], structured_content=_plain(error), is_error=True)
        if isinstance(found, types.CallToolResult):
            return found
        text = encode(found, where=tool.name)
        value: Any = json.loads(text)
        structured: Any = cast("Any", value) if isinstance(value, dict) else None
        told = found if isinstance(found, str) else text.decode()
        return types.CallToolResult(content=[_text(told)], structured_content=structured)

    # --- resources

    async def _list_resources(self, context: Any, params: Any) -> types.ListResourcesResult:
        from mcp import MCPError, types

        try:
            found, after = await self.shelf.page(_cursor(params))
        except RipresaError as error:
            raise MCPError(INVALID_PARAMS, f"there is no such page: {error}", _plain(error)) from None
        resources = [
            types.Resource(uri=each.uri, name=each.name, description=each.description, mime_type=each.media_type)
            for each in found
        ]
        return types.ListResourcesResult(resources=resources, next_cursor=after or None)

    async def _list_templates(self, context: Any, params: Any) -> types.ListResourceTemplatesResult:
        from mcp import types

        found = [
            types.ResourceTemplate(
                uri_template=each.uri, name=each.name, description=each.description, mime_type=each.media_type
            )
            for each in self.shelf.templates
        ]
        return types.ListResourceTemplatesResult(resource_templates=found)

    async def _read_resource(self, context: Any, params: Any) -> types.ReadResourceResult:
        from mcp import MCPError, types

        uri = str(params.uri)
        try:
            content = await self.shelf.read(uri)
        except RipresaError as error:
            raise MCPError(NO_SUCH_RESOURCE, str(error), _plain(error)) from None
        if content is None:
            raise MCPError(NO_SUCH_RESOURCE, f"there is no resource {uri}", {"uri": uri})
        held: types.TextResourceContents | types.BlobResourceContents
        if content.is_text:
            text = content.body.decode("utf-8", "replace")
            held = types.TextResourceContents(uri=uri, mime_type=content.media_type, text=text)
        else:
            blob = base64.b64encode(content.body).decode()
            held = types.BlobResourceContents(uri=uri, mime_type=content.media_type, blob=blob)
        return types.ReadResourceResult(contents=[held])

    async def _subscribe(self, context: Any, params: Any) -> types.EmptyResult:
        from mcp import MCPError, types

        watched = self.watchers.clients.setdefault(_client(context), set())
        if len(watched) >= MOST_WATCHED:
            raise MCPError(INVALID_PARAMS, f"a session watches at most {MOST_WATCHED:,} resources")
        watched.add(str(params.uri))
        return types.EmptyResult()

    async def _unsubscribe(self, context: Any, params: Any) -> types.EmptyResult:
        from mcp import types

        client = _client(context)
        watched = self.watchers.clients.get(client, set())
        watched.discard(str(params.uri))
        if not watched:
            self.watchers.clients.pop(client, None)
        return types.EmptyResult()

    async def _complete(self, context: Any, params: Any) -> types.CompleteResult:
        from mcp import types

        known = {} if params.context is None else dict(params.context.arguments or {})
        found = await self.shelf.complete(params.argument.name, params.argument.value, known)
        most = list(found[:100])
        return types.CompleteResult(
            completion=types.Completion(values=most, total=len(found), has_more=len(found) > len(most))
        )


def _client(context: Any) -> Any:
    """The connection of a request: what it is about outlives the request."""
    return context.session._connection


def _cursor(params: Any) -> str:
    return (params.cursor or "") if params is not None else ""


def _text(text: str) -> types.TextContent:
    from mcp import types

    return types.TextContent(type="text", text=text)


def _plain(error: RipresaError) -> dict[str, Any]:
    return {"error": {"code": error.code, "message": error.message, "where": error.where, "hint": error.hint}}


__all__ = ["Call", "Content", "Desk", "Request", "ServedResource", "ServedTool", "Shelf", "Tool", "Watchers", "served"]
