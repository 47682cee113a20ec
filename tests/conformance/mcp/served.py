"""The server that the published MCP conformance suite asks for, by the names that it gives, on the server layer.

What it offers is the suite's; how it speaks is `ripresa.server`: the desk, its lists, calls, results, resources,
subscriptions and completions, and the HTTP of `served_over_http`, with its check of Host and Origin. Prompts, log
messages and questions to the client, which Ripresa's own server does not have, are handed to the library beside it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import warnings
from base64 import b64decode
from collections.abc import Sequence
from typing import Any

from mcp import types
from mcp.types import TextContent

from ripresa import StepError, tool
from ripresa.server.desk import Content, Desk, Request, ServedResource, ServedTool, Shelf, served
from ripresa.server.mcp import served_over_http
from ripresa.server.serving import address_of

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
SOUND = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="
PAUSE = 0.05
NOTHING: dict[str, Any] = {"type": "object", "properties": {}}


def text(said: str) -> TextContent:
    return TextContent(type="text", text=said)


def image() -> types.ImageContent:
    return types.ImageContent(type="image", data=PIXEL, mime_type="image/png")


def embedded(uri: str, said: str, kind: str = "text/plain") -> types.EmbeddedResource:
    held = types.TextResourceContents(uri=uri, mime_type=kind, text=said)
    return types.EmbeddedResource(type="resource", resource=held)


def given(*content: Any) -> types.CallToolResult:
    return types.CallToolResult(content=list(content))


# --- tools


@tool(effect="read")
async def test_simple_text() -> str:
    """Gives a text."""
    return "This is a simple text response for testing."


@tool(effect="read")
async def test_error_handling() -> str:
    """Always fails."""
    raise StepError("This tool intentionally returns an error for testing")


async def shows_image(arguments: dict[str, Any], request: Request) -> Any:
    return given(image())


async def plays_audio(arguments: dict[str, Any], request: Request) -> Any:
    return given(types.AudioContent(type="audio", data=SOUND, mime_type="audio/wav"))


async def embeds(arguments: dict[str, Any], request: Request) -> Any:
    return given(embedded("test://embedded-resource", "This is an embedded resource content."))


async def mixes(arguments: dict[str, Any], request: Request) -> Any:
    plain = json.dumps({"test": "data", "value": 123})
    inner = embedded("test://mixed-content-resource", plain, "application/json")
    return given(text("Multiple content types test:"), image(), inner)


async def logs(arguments: dict[str, Any], request: Request) -> Any:
    context = request.context
    for said in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        with warnings.catch_warnings(action="ignore"):
            await context.session.send_log_message("info", said, related_request_id=context.request_id)  # pyright: ignore[reportDeprecated]
        await asyncio.sleep(PAUSE)
    return given(text("It was logged."))


async def progresses(arguments: dict[str, Any], request: Request) -> Any:
    for done in (0, 50, 100):
        await request.progress(done, 100)
        await asyncio.sleep(PAUSE)
    return given(text("It was told."))


async def samples(arguments: dict[str, Any], request: Request) -> Any:
    message = types.SamplingMessage(role="user", content=text(arguments["prompt"]))
    with warnings.catch_warnings(action="ignore"):
        found = await request.context.session.create_message(  # pyright: ignore[reportDeprecated]
            [message], max_tokens=100, related_request_id=request.context.request_id
        )
    return given(text(f"LLM response: {getattr(found.content, 'text', '')}"))


async def asked(request: Request, message: str, properties: dict[str, Any], required: Sequence[str] = ()) -> Any:
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return await request.context.session.elicit_form(message, schema, request.context.request_id)


async def elicits(arguments: dict[str, Any], request: Request) -> Any:
    fields = {
        "username": {"type": "string", "description": "User's response"},
        "email": {"type": "string", "description": "User's email address"},
    }
    found = await asked(request, arguments["message"], fields, list(fields))
    return given(text(f"User response: action={found.action}, content={json.dumps(found.content)}"))


async def elicits_defaults(arguments: dict[str, Any], request: Request) -> Any:
    fields = {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    }
    found = await asked(request, "Please accept the defaults", fields)
    return given(text(f"Elicitation completed: action={found.action}, content={json.dumps(found.content)}"))


def titled(names: Sequence[str], titles: Sequence[str]) -> list[dict[str, str]]:
    return [{"const": name, "title": title} for name, title in zip(names, titles, strict=True)]


async def elicits_enums(arguments: dict[str, Any], request: Request) -> Any:
    plain, values = ["option1", "option2", "option3"], ["value1", "value2", "value3"]
    options = ["First Option", "Second Option", "Third Option"]
    choices = ["First Choice", "Second Choice", "Third Choice"]
    fields = {
        "untitledSingle": {"type": "string", "enum": plain},
        "titledSingle": {"type": "string", "oneOf": titled(values, options)},
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": plain}},
        "titledMulti": {"type": "array", "items": {"anyOf": titled(values, choices)}},
    }
    found = await asked(request, "Please choose", fields)
    return given(text(f"Elicitation completed: action={found.action}, content={json.dumps(found.content)}"))


async def reconnects(arguments: dict[str, Any], request: Request) -> Any:
    close = request.context.close_sse_stream
    if close is not None:
        await close()
    await asyncio.sleep(2 * PAUSE)
    return given(text("Reconnection test completed successfully"))


async def keeps(arguments: dict[str, Any], request: Request) -> Any:
    return given(text(json.dumps(arguments)))


def taking(*names: str) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {"type": "string"} for name in names}, "required": list(names)}


SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {"address": {"type": "object", "properties": {"street": {"type": "string"}, "city": {"type": "string"}}}},
    "properties": {"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"}},
    "additionalProperties": False,
}

TOOLS = [
    served(test_simple_text),
    served(test_error_handling),
    ServedTool("test_image_content", "Gives an image.", NOTHING, shows_image),
    ServedTool("test_audio_content", "Gives a sound.", NOTHING, plays_audio),
    ServedTool("test_embedded_resource", "Gives a resource.", NOTHING, embeds),
    ServedTool("test_multiple_content_types", "Gives a text, an image and a resource.", NOTHING, mixes),
    ServedTool("test_tool_with_logging", "Logs three times.", NOTHING, logs),
    ServedTool("test_tool_with_progress", "Tells of its progress.", NOTHING, progresses),
    ServedTool("test_sampling", "Asks the client's model.", taking("prompt"), samples),
    ServedTool("test_elicitation", "Asks the client's user.", taking("message"), elicits),
    ServedTool("test_elicitation_sep1034_defaults", "Asks with defaults.", NOTHING, elicits_defaults),
    ServedTool("test_elicitation_sep1330_enums", "Asks with choices.", NOTHING, elicits_enums),
    ServedTool("test_reconnection", "Closes the stream of its request.", NOTHING, reconnects),
    ServedTool("json_schema_2020_12_tool", "Tool with JSON Schema 2020-12 features", SCHEMA, keeps),
]


# --- resources


class Samples(Shelf):
    templates = (ServedResource("test://template/{id}/data", "template", "Data by id"),)

    async def page(self, after: str) -> tuple[Sequence[ServedResource], str]:
        static = ServedResource("test://static-text", "text", "A static text", "text/plain")
        binary = ServedResource("test://static-binary", "binary", "A static image", "image/png")
        watched = ServedResource("test://watched-resource", "watched", "A resource that is watched", "text/plain")
        return (static, binary, watched), ""

    async def read(self, uri: str) -> Content | None:
        match uri.removeprefix("test://").split("/"):
            case ["static-text"]:
                return Content(b"This is the content of the static text resource.", "text/plain")
            case ["static-binary"]:
                return Content(b64decode(PIXEL), "image/png")
            case ["watched-resource"]:
                return Content(b"watched", "text/plain")
            case ["template", id, "data"]:
                found = {"id": id, "templateTest": True, "data": f"Data for ID: {id}"}
                return Content(json.dumps(found).encode())
            case _:
                return None


# --- what Ripresa's own server does not have

PROMPTS = {
    "test_simple_prompt": ("A simple prompt.", ()),
    "test_prompt_with_arguments": ("A prompt with arguments.", ("arg1", "arg2")),
    "test_prompt_with_embedded_resource": ("A prompt with a resource.", ("resourceUri",)),
    "test_prompt_with_image": ("A prompt with an image.", ()),
}


async def list_prompts(context: Any, params: Any) -> types.ListPromptsResult:
    return types.ListPromptsResult(
        prompts=[
            types.Prompt(
                name=name,
                description=about,
                arguments=[types.PromptArgument(name=each, description=each, required=True) for each in arguments],
            )
            for name, (about, arguments) in PROMPTS.items()
        ]
    )


async def get_prompt(context: Any, params: Any) -> types.GetPromptResult:
    said = dict(params.arguments or {})
    found: dict[str, list[Any]] = {
        "test_simple_prompt": [text("This is a simple prompt for testing.")],
        "test_prompt_with_arguments": [
            text(f"Prompt with arguments: arg1='{said.get('arg1')}', arg2='{said.get('arg2')}'")
        ],
        "test_prompt_with_embedded_resource": [
            embedded(said.get("resourceUri", ""), "Embedded resource content for testing."),
            text("Please process the embedded resource above."),
        ],
        "test_prompt_with_image": [image(), text("Please analyze the image above.")],
    }
    messages = [types.PromptMessage(role="user", content=each) for each in found[params.name]]
    return types.GetPromptResult(messages=messages)


async def set_level(context: Any, params: Any) -> types.EmptyResult:
    return types.EmptyResult()


async def main(place: str) -> None:
    warnings.simplefilter("ignore")
    desk = Desk("conformance", TOOLS, Samples())
    handlers: dict[str, Any] = {
        "on_list_prompts": list_prompts,
        "on_get_prompt": get_prompt,
        "on_set_logging_level": set_level,
    }
    async with served_over_http(desk, address_of(place), **handlers) as url:
        print(url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:0"))
