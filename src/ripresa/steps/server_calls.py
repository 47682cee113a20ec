"""Calls of MCP servers and A2A agents by the methods of their protocols, as Open Workflow documents write them."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin, urlsplit
from uuid import NAMESPACE_URL, uuid4, uuid5

from pydantic_core import from_json

from ..authoring.document.source import is_list, is_object
from ..authoring.owf.problems import Bad
from ..context import current
from ..errors import InvalidValue
from .mcp_line import Address, Lines
from .mcp_results import failure_of, refusal_of
from .secret import KnownSecret, Secret, without

if TYPE_CHECKING:
    from mcp import Client

_NAMES: Final = re.compile(r"key|token|secret|password|authorization|cookie", re.IGNORECASE)

_Asking = Callable[["Client", Mapping[str, Any]], Awaitable[Any]]
_PAGED: Final = ("cursor",)

_METHODS: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...], _Asking]]] = {
    "tools/list": (_PAGED, (), lambda client, given: client.list_tools(**given)),
    "tools/call": (("name", "arguments"), ("name",), lambda client, given: client.call_tool(**given)),
    "prompts/list": (_PAGED, (), lambda client, given: client.list_prompts(**given)),
    "prompts/get": (("name", "arguments"), ("name",), lambda client, given: client.get_prompt(**given)),
    "resources/list": (_PAGED, (), lambda client, given: client.list_resources(**given)),
    "resources/read": (("uri",), ("uri",), lambda client, given: client.read_resource(**given)),
    "resources/templates/list": (_PAGED, (), lambda client, given: client.list_resource_templates(**given)),
}
"""The methods of MCP: the parameters that each takes, those that it needs, and how the client asks."""


async def mcp_called(method: str, parameters: Any, address: Address) -> Any:
    """The result of a method of an MCP server, as JSON-RPC has it.

    Raises `Bad(validation)` for parameters that it does not take, `ToolFailed`, and `StepError(tool_unavailable)`.
    """
    taken, needed, asking = _METHODS[method]
    given = _parameters(method, parameters, taken, needed)
    lines = Lines("mcp", address)
    async with lines.here.held():
        line = await lines.here.line()
        from mcp import MCPError
        from mcp.types import CallToolResult

        try:
            result = await line.use(lambda client: asking(client, given))
        except MCPError as error:
            refused = refusal_of(error, "the MCP server", method)
            refused.message = line.hidden(refused.message)
            refused.args = (refused.message,)
            raise refused from None
        except (RuntimeError, ValueError) as error:  # what the client says of results that do not fit
            message = line.hidden(f"what {method} of the MCP server gave does not fit: {error}")
            raise InvalidValue(message, code="invalid_output", op="mcp") from None
        plain = without(result.model_dump(mode="json", by_alias=True, exclude_none=True), line.hidden)
    if plain.get("isError"):
        raise failure_of(CallToolResult.model_validate(plain), "the MCP server", str(given["name"]))
    return plain


def mcp_mode(version: Any) -> str:
    """How the version of the protocol is found that a document names. Raises `Bad(configuration)`."""
    if version is None:
        return "auto"
    from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS

    if version in MODERN_PROTOCOL_VERSIONS:
        return str(version)
    if version not in HANDSHAKE_PROTOCOL_VERSIONS:
        known = ", ".join((*HANDSHAKE_PROTOCOL_VERSIONS, *MODERN_PROTOCOL_VERSIONS))
        raise Bad("configuration", f"protocolVersion is {version!r}, must be one of {known}")
    return "legacy"


def private(values: Mapping[str, str]) -> dict[str, str | Secret]:
    """Headers or variables for a server; those whose names say that they are secret are hidden in what it answers."""
    return {name: KnownSecret(text) if text and _NAMES.search(name) else text for name, text in values.items()}


def _parameters(method: str, given: Any, taken: tuple[str, ...], needed: tuple[str, ...]) -> dict[str, Any]:
    found: Any = {} if given is None else given
    if not is_object(found):
        raise Bad("validation", f"the parameters of {method} are {found!r}, must be an object")
    unknown, missing = sorted(set(found) - set(taken)), [name for name in needed if name not in found]
    if unknown or missing:
        told = f"has no parameter {', '.join(unknown)}" if unknown else f"lacks {', '.join(missing)}"
        raise Bad("validation", f"{method} {told}; there are {', '.join(taken)}")
    return dict(found)


# --- A2A

STREAMED: Final = ("message/stream", "tasks/resubscribe")
_SENT: Final = ("message/send", "message/stream")


def a2a_request(method: str, parameters: Any) -> dict[str, Any]:
    """The request of JSON-RPC for a method of A2A; a message has an id, the same at each try, and the role "user"."""
    params: Any = {} if parameters is None else parameters
    if not is_object(params):
        raise Bad("validation", f"the parameters of {method} are {params!r}, must be an object")
    message = params.get("message")
    if method in _SENT and is_object(message):
        key = current().idempotency_key
        made = str(uuid5(NAMESPACE_URL, key) if key else uuid4())
        params = {**params, "message": {"messageId": made, "role": "user", **message}}
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


def a2a_result(answer: object, method: str) -> Any:
    """The result in an answer of JSON-RPC. Raises `Bad(runtime)` for an error, and for what is no answer."""
    if not is_object(answer) or not ("result" in answer or "error" in answer):
        raise Bad("runtime", f"what {method} was answered is no answer of JSON-RPC")
    error = answer.get("error")
    if error is not None:
        told = error if is_object(error) else {"message": error}
        raise Bad("runtime", f"{method} failed: {told.get('message')} ({told.get('code')})")
    return answer["result"]


def a2a_streamed(text: str, method: str) -> Any:
    """The result in a piece of a stream. Raises the same."""
    try:
        return a2a_result(from_json(text), method)
    except ValueError as error:
        raise Bad("runtime", f"what {method} was answered is no JSON: {error}") from error


def a2a_place(card: object, where: str) -> str:
    """Where the agent of a card, found at `where`, takes requests of JSON-RPC. Raises `Bad(configuration)`."""
    found: Mapping[str, Any] = card if is_object(card) else {}
    more: Any = found.get("additionalInterfaces")
    listed: list[Any] = [
        {"transport": found.get("preferredTransport", "JSONRPC"), "url": found.get("url")},
        *(more if is_list(more) else []),
    ]
    spoken = [each for each in listed if is_object(each) and each.get("transport") == "JSONRPC"]
    urls = [each["url"] for each in spoken if isinstance(each.get("url"), str)]
    if not urls:
        raise Bad("configuration", f"the card at {where} names no place for JSON-RPC of A2A 0.3")
    return urljoin(where, str(urls[0]))


def same_place(one: str, other: str) -> bool:
    """Whether secrets for one URL may go to the other."""
    first, second = urlsplit(one), urlsplit(other)
    return (first.scheme, first.netloc) == (second.scheme, second.netloc)


def as_json(text: str, what: str) -> Any:
    """What a text is as JSON. Raises `Bad(communication)`."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise Bad("communication", f"{what} is no JSON: {error}") from error
