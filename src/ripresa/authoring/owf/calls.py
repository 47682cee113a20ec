"""Tasks that reach into the world: calls of services and functions, programs, other workflows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ..document.source import Path, is_object
from ..step import Effect
from .catalogs import fetched
from .composites import Function, RunWorkflow
from .durations import Seconds
from .jq import Expression, Names, Object, Plain, Template, Text, shown
from .leaves import Perform
from .proof import authentication, no_digest
from .scope import WORKING
from .tasks import Body
from .uris import uri_of

if TYPE_CHECKING:
    from .reading import Place

UNSUPPORTED: Final = ("asyncapi",)
OUTPUTS: Final = ("content", "raw", "response")
MCP_METHODS: Final = (
    "tools/list", "tools/call", "prompts/list", "prompts/get", "resources/list", "resources/read",
    "resources/templates/list",
)  # fmt: skip
A2A_METHODS: Final = (
    "message/send", "message/stream", "tasks/get", "tasks/list", "tasks/cancel", "tasks/resubscribe",
    "tasks/pushNotificationConfig/set", "tasks/pushNotificationConfig/get", "tasks/pushNotificationConfig/list",
    "tasks/pushNotificationConfig/delete", "agent/getAuthenticatedExtendedCard",
)  # fmt: skip
RETURNS: Final = ("stdout", "stderr", "code", "all", "none")
LANGUAGES: Final = ("js", "javascript", "python")


def call(place: Place) -> Body:
    """A call of a service, or of a function of the document."""
    reader, kind = place.reader, reader_text(place)
    if kind in UNSUPPORTED:
        reader.notes.add(place.at("call"), f"calls of {kind} are not supported", "not_available")
        return Body()
    if kind in SERVICES:
        if "with" not in place.data:
            reader.notes.add(place.path, "lacks with")
        return SERVICES[kind](place, reader.object(place.data.get("with", {}), place.at("with")))
    arguments = place.template(place.data.get("with", {}), "with")
    if "://" in kind or "@" in kind:
        return fetched(place, kind, arguments)
    task = reader.function(kind, place.reference, place.at("call"))
    return Body() if task is None else Function(arguments, task)


def reader_text(place: Place) -> str:
    """What is called."""
    return place.reader.text(place.data["call"], place.at("call"))


def _http(place: Place, data: Mapping[str, Any]) -> Body:
    known = ("method", "endpoint", "headers", "body", "query", "output", "redirect")
    reader, path = place.reader, place.at("with")
    reader.keys(data, path, known, "method", "endpoint")
    method = str(data.get("method", "")).upper()
    parts = {name: place.template(value, "with", name) for name, value in data.items() if name != "endpoint"}
    parts["endpoint"] = endpoint(place, data.get("endpoint", ""), (*path, "endpoint"))
    _options(place, data)
    return _perform(place, "http", Object(parts), _effect(method))


def _effect(method: str) -> Effect:
    if method in ("GET", "HEAD", "OPTIONS"):
        return "read"
    return "idempotent" if method in ("PUT", "DELETE") else "irreversible"


def _options(place: Place, data: Mapping[str, Any]) -> None:
    """Check what calls of HTTP have in common."""
    place.reader.choice(data.get("output", "content"), place.at("with", "output"), OUTPUTS)
    if not isinstance(data.get("redirect", False), bool):
        place.reader.notes.add(place.at("with", "redirect"), f"is {data['redirect']!r}, must be true or false")


def _openapi(place: Place, data: Mapping[str, Any]) -> Body:
    known = ("document", "operationId", "parameters", "authentication", "output", "redirect")
    reader, path = place.reader, place.at("with")
    reader.keys(data, path, known, "document", "operationId")
    own = ("document", "authentication")
    parts = {name: place.template(value, "with", name) for name, value in data.items() if name not in own}
    parts["document"] = resource(place, data.get("document", {}), (*path, "document"))
    if "authentication" in data:
        parts["authentication"] = authentication(
            place.reader, data["authentication"], (*path, "authentication"), place.names
        )
    _options(place, data)
    return _perform(place, "openapi", Object(parts), "irreversible")


def _grpc(place: Place, data: Mapping[str, Any]) -> Body:
    reader, path = place.reader, place.at("with")
    reader.keys(data, path, ("proto", "service", "method", "arguments"), "proto", "service", "method")
    service = reader.object(
        data.get("service", {}), (*path, "service"), ("name", "host", "port", "authentication"), "name", "host"
    )
    parts = {name: place.template(data[name], "with", name) for name in ("method", "arguments") if name in data}
    parts["proto"] = resource(place, data.get("proto", {}), (*path, "proto"))
    inner = {
        name: place.template(value, "with", "service", name)
        for name, value in service.items()
        if name != "authentication"
    }
    if "authentication" in service:
        no_digest(reader, service["authentication"], (*path, "service", "authentication"))
        inner["authentication"] = authentication(
            place.reader, service["authentication"], (*path, "service", "authentication"), place.names
        )
    return _perform(place, "grpc", Object({**parts, "service": Object(inner)}), "irreversible")


def _a2a(place: Place, data: Mapping[str, Any]) -> Body:
    reader, path = place.reader, place.at("with")
    reader.keys(data, path, ("agentCard", "server", "method", "parameters"), "method")
    method = reader.choice(data.get("method"), (*path, "method"), A2A_METHODS) if "method" in data else ""
    parts: dict[str, Template] = {"method": Plain(method)}
    if "agentCard" in data:
        parts["card"] = resource(place, data["agentCard"], (*path, "agentCard"), proves=True)
    elif "server" in data:
        parts["server"] = endpoint(place, data["server"], (*path, "server"))
    else:
        reader.notes.add(path, "lacks agentCard or server")
    if "parameters" in data:
        parts["parameters"] = place.template(data["parameters"], "with", "parameters")
    reads = method.startswith("tasks/") and method.endswith(("/get", "/list", "/resubscribe"))
    effect: Effect = "read" if reads or method.startswith("agent/") else "irreversible"
    return _perform(place, "a2a", Object(parts), effect)


def _mcp(place: Place, data: Mapping[str, Any]) -> Body:
    reader, path = place.reader, place.at("with")
    known = ("protocolVersion", "method", "parameters", "timeout", "transport", "client")
    reader.keys(data, path, known, "method", "transport")
    method = reader.choice(data.get("method"), (*path, "method"), MCP_METHODS) if "method" in data else ""
    parts: dict[str, Template] = {"method": Plain(method)}
    if "protocolVersion" in data:
        parts["version"] = Plain(reader.text(data["protocolVersion"], (*path, "protocolVersion")))
    if "parameters" in data:
        parts["parameters"] = place.template(data["parameters"], "with", "parameters")
    if "timeout" in data:
        parts["timeout"] = Seconds(reader.length(data["timeout"], (*path, "timeout"), WORKING | place.names))
    if "client" in data:
        reader.object(data["client"], (*path, "client"), ("name", "version"), "name", "version")
        parts["client"] = place.template(data["client"], "with", "client")
    kind, transport = _transport(place, reader.object(data.get("transport", {}), (*path, "transport")))
    parts["transport"] = transport
    return _perform(place, kind, Object(parts), "irreversible" if method == "tools/call" else "read")


def _transport(place: Place, data: Mapping[str, Any]) -> tuple[str, Template]:
    """How an MCP server is reached, and what does that."""
    reader, path = place.reader, place.at("with", "transport")
    reader.keys(data, path, ("http", "stdio", "options"))
    if data.get("options"):
        reader.notes.add((*path, "options"), "there are no options of transports", "not_available", key=True)
    if ("http" in data) == ("stdio" in data):
        reader.notes.add(path, "must have one of http, stdio")
        return "mcp", Plain({})
    if "stdio" in data:
        found = reader.object(data["stdio"], (*path, "stdio"), ("command", "arguments", "environment"), "command")
        return "mcp-stdio", Object({"stdio": place.template(found, "with", "transport", "stdio")})
    found = reader.object(data["http"], (*path, "http"), ("endpoint", "headers"), "endpoint")
    at = found.get("endpoint", "-")
    if is_object(at) and "authentication" in at:
        no_digest(reader, at["authentication"], (*path, "http", "endpoint", "authentication"))
    parts = {"endpoint": endpoint(place, at, (*path, "http", "endpoint"))}
    if "headers" in found:
        parts["headers"] = place.template(found["headers"], "with", "transport", "http", "headers")
    return "mcp", Object({"http": Object(parts)})


SERVICES: Final[Mapping[str, Callable[[Place, Mapping[str, Any]], Body]]] = {
    "http": _http,
    "openapi": _openapi,
    "grpc": _grpc,
    "a2a": _a2a,
    "mcp": _mcp,
}


def _perform(place: Place, kind: str, arguments: Template, effect: Effect) -> Body:
    performer = place.reader.world.performers.get(kind)
    if performer is None:
        place.reader.notes.add(place.path, f"{kind} is not available to this document", "not_available")
        return Body()
    return Perform(kind, arguments, performer, effect)


def resource(place: Place, data: Any, path: Path, *, proves: bool = False) -> Template:
    """Where something is kept that a task needs; it is got without saying who asks, unless it `proves` that."""
    found = place.reader.object(data, path, ("name", "endpoint"), "endpoint")
    at = found.get("endpoint")
    if not proves and is_object(at) and "authentication" in at:
        why = "descriptions are fetched without authentication"
        place.reader.notes.add((*path, "endpoint", "authentication"), why, "not_available", key=True)
    return Object({"endpoint": endpoint(place, found.get("endpoint", ""), (*path, "endpoint"))})


def endpoint(place: Place, data: Any, path: Path) -> Template:
    """An address, and how to prove who asks there."""
    known = WORKING | place.names
    found: Mapping[str, Any] = {"uri": data} if isinstance(data, str) else place.reader.object(data, path)
    if not isinstance(data, str):
        place.reader.keys(found, path, ("uri", "authentication"), "uri")
    at = path if isinstance(data, str) else (*path, "uri")
    uri = place.reader.template(place.reader.text(found.get("uri"), at), at, known)
    parts: dict[str, Template] = {"uri": uri_of(uri)}
    if "authentication" in found:
        parts["authentication"] = authentication(
            place.reader, found["authentication"], (*path, "authentication"), place.names
        )
    return Object(parts)


# --- programs and other workflows


def run(place: Place) -> Body:
    """A program, or another workflow."""
    reader, data = place.reader, place.object("run")
    kinds = [each for each in ("container", "script", "shell", "workflow") if each in data]
    if len(kinds) != 1:
        reader.notes.add(place.at("run"), "must have one of script, shell, workflow")
        return Body()
    kind = kinds[0]
    if kind == "container":
        reader.notes.add(place.at("run", "container"), "containers are not supported", "not_available", key=True)
        return Body()
    reader.keys(data, place.at("run"), (kind, "await", "return"))
    reader.choice(data.get("return", "stdout"), place.at("run", "return"), RETURNS)
    waits = data.get("await", True)
    if not isinstance(waits, bool):
        reader.notes.add(place.at("run", "await"), f"is {waits!r}, must be true or false")
    if kind == "workflow":
        if data.get("return", "stdout") not in ("stdout", "none"):
            why = f"{data['return']} is of programs; a workflow has its output (stdout) or none"
            reader.notes.add(place.at("run", "return"), why, "not_available")
        return _workflow(place, data["workflow"], waits is not False, data.get("return") == "none")
    if waits is False:
        why = "a program is ended with its task, so it is waited for: only workflows may go on by themselves"
        reader.notes.add(place.at("run", "await"), why, "not_available")
    path = place.at("run", kind)
    own = ("command",) if kind == "shell" else ("language", "code", "source")
    found = reader.object(data[kind], path, (*own, "stdin", "arguments", "environment"), own[0])
    parts = {
        name: place.template(value, "run", kind, name)
        for name, value in found.items()
        if name in ("stdin", "arguments", "environment")
    }
    parts |= _command(place, found, path) if kind == "shell" else _script(place, found, path)
    parts["return"] = Plain(data.get("return", "stdout"))
    return _perform(place, kind, Object(parts), "idempotent")


def _script(place: Place, data: Mapping[str, Any], path: Path) -> dict[str, Template]:
    language = place.reader.choice(data.get("language"), (*path, "language"), LANGUAGES)
    if "source" in data:
        if "code" in data:
            place.reader.notes.add((*path, "code"), "stands beside source: a script has one of them", key=True)
        source = resource(place, data["source"], (*path, "source"), proves=True)
        return {"language": Plain(language), "source": source}
    if "code" not in data:
        place.reader.notes.add(path, "lacks code")
    code = place.reader.text(data.get("code", "-"), (*path, "code"))
    return {"language": Plain(language), "code": Plain(code)}


def _command(place: Place, data: Mapping[str, Any], path: Path) -> dict[str, Template]:
    command = place.reader.text(data.get("command", "-"), (*path, "command"))
    template = place.template(command, "run", "shell", "command")
    if not isinstance(template, Text):
        return {"command": Object({"text": template, "values": Plain({})})}
    if _is_bare(template):
        why = "an expression stands in single quotes, where the shell reads no variables: use double quotes"
        place.reader.notes.add((*path, "command"), why)
    return {"command": Command(template.parts)}


def _is_bare(text: Text) -> bool:
    """Whether an expression stands between single quotes."""
    quote = ""
    for part in text.parts:
        if not isinstance(part, str):
            if quote == "'":
                return True
            continue
        escaped = False
        for char in part:
            if escaped:
                escaped = False
            elif char == "\\" and quote != "'":
                escaped = True
            elif char == quote:
                quote = ""
            elif not quote and char in "'\"":
                quote = char
    return False


@dataclass(frozen=True, slots=True)
class Command(Template):
    """A command with expressions in it: the shell is given their results as variables, so that they stay data."""

    parts: tuple[str | Expression, ...]

    def value(self, data: Any, names: Names) -> Any:
        """See `Template`."""
        values: dict[str, str] = {}
        text: list[str] = []
        for part in self.parts:
            if isinstance(part, str):
                text.append(part)
                continue
            name = f"OWF_{len(values) + 1}"
            values[name] = shown(part.value(data, names))
            text.append(f"${{{name}}}")
        return {"text": "".join(text), "values": values}

    def expressions(self) -> list[Expression]:
        """See `Template`."""
        return [part for part in self.parts if isinstance(part, Expression)]


def _workflow(place: Place, data: Any, waits: bool, drops: bool) -> Body:
    reader, path = place.reader, place.at("run", "workflow")
    found = reader.object(data, path, ("namespace", "name", "version", "input"), "namespace", "name", "version")
    namespace, name, version = (
        reader.text(found.get(each, "-"), (*path, each)) for each in ("namespace", "name", "version")
    )
    find = reader.world.workflow(namespace, name, version)
    if find is None:
        reader.notes.add(path, f"there is no workflow {namespace}/{name} {version} here", "unknown_workflow")
        return Body()
    return RunWorkflow(find, place.template(found.get("input", {}), "run", "workflow", "input"), waits, drops)
