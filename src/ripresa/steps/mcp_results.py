"""What tools of MCP servers answer, as JSON values and as errors; and as text, for models."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from ..errors import StepError, ToolFailed
from .secret import without

if TYPE_CHECKING:
    from mcp import MCPError
    from mcp.types import CallToolResult

_CLOSED: Final = -32000
_LOST: Final = (-32001, -32603, -32700)
"""Codes of JSON-RPC that say: nobody answered in time, the server broke, what was answered cannot be read."""


def value_of(result: CallToolResult) -> Any:
    """The value of a result: what is structured as it is; texts as a text; else a list of all its parts.

    A part is `{"type": "text", "text": ...}`, `{"type": "image" | "audio", "media_type": ..., "data": base64}`,
    `{"type": "link", "uri": ...}` or `{"type": "resource", "uri": ..., "text" | "data": ...}`.
    """
    if result.structured_content is not None:
        return result.structured_content
    parts = [_part(each) for each in result.content]
    if all(part["type"] == "text" for part in parts):
        return "\n".join(part["text"] for part in parts)
    return parts


def cleaned(result: CallToolResult, hidden: Callable[[str], str]) -> CallToolResult:
    """The same result, with texts as `hidden` tells them."""
    plain = result.model_dump(mode="json", by_alias=True, exclude_none=True)
    return type(result).model_validate(without(plain, hidden))


def _part(block: Any) -> dict[str, Any]:
    if block.type == "text":
        return {"type": "text", "text": block.text}
    if block.type == "resource_link":
        known = {"name": block.name, "description": block.description, "media_type": block.mime_type}
        return {"type": "link", "uri": str(block.uri)} | {name: value for name, value in known.items() if value}
    if block.type == "resource":
        inner = block.resource
        content = {"text": inner.text} if hasattr(inner, "text") else {"data": inner.blob}
        kind = {"media_type": inner.mime_type} if inner.mime_type else {}
        return {"type": "resource", "uri": str(inner.uri)} | kind | content
    return {"type": block.type, "media_type": block.mime_type, "data": block.data}


def as_told(value: Any) -> str:
    """A value as a model reads it: of what is no text it is told that it is there, and how large."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        parts: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
        if parts and all(isinstance(part, dict) and "type" in part for part in parts):
            return "\n".join(map(_told, parts))
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _told(part: dict[str, Any]) -> str:
    if part["type"] == "text":
        return str(part["text"])
    shown = {name: value for name, value in part.items() if name != "data"}
    if "data" in part:
        shown["not_shown"] = f"{len(part['data']) * 3 // 4} bytes"
    return json.dumps(shown, ensure_ascii=False, separators=(",", ":"))


def failure_of(result: CallToolResult, server: str, tool: str) -> ToolFailed:
    """A result that says that the tool failed, as an error."""
    value = value_of(result)
    told = as_told(value).strip() or "it did not say why"
    error = ToolFailed(f"{tool} of {server} failed: {told}", code="tool_failed")
    error.server, error.tool, error.content = server, tool, value
    return error


def is_closed(error: MCPError) -> bool:
    """Whether the connection ended before there was an answer."""
    return error.code == _CLOSED


def refusal_of(error: MCPError, server: str, tool: str, *, unread: bool = False) -> StepError:
    """What a server answered instead of a result, as an error; of what is `unread` nobody knows what it says."""
    if unread or error.code in _LOST:
        message = f"{tool} of {server} did not answer: {error.message} ({error.code})"
        return StepError(message, code="tool_unavailable", unknown=True)
    message = f"{server} refused to call {tool}: {error.message} ({error.code})"
    refused = ToolFailed(message, code="tool_failed", retryable=False)
    refused.server, refused.tool = server, tool
    return refused
