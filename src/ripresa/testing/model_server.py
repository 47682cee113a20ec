"""A model server on the loopback interface for tests: OpenAI's chat completions over real HTTP, with scripted answers.

It speaks as much HTTP/1.1 as clients of such servers need, and keeps every request for the test to look at.
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import suppress
from struct import pack
from types import TracebackType
from typing import Any, Final

from .answers import Answer, Fault, Received, Reply, Script, Slow, ToolUse, next_reply, vector_of

_REASONS: Final = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}
_MOST: Final = 64 * 1024 * 1024
_CREATED: Final = 1_700_000_000


class ModelServer:
    """An OpenAI-compatible server: `async with ModelServer("Hello") as server:`.

    Each request takes the next of the scripted replies; `reply` adds some. A request for which there is none is
    refused with status 400. `requests` are all that were made, `url` is the base URL for clients, `env` the settings
    that make programs use it. Requests for vectors need no script: they are given by the words of each text
    (`vector_of`), after the `faults`; `embedded` are those that were made.
    """

    def __init__(self, *replies: Script, faults: Iterable[Fault] = ()) -> None:
        self.script: list[Script] = list(replies)
        self.requests: list[Received] = []
        self.faults = list(faults)
        self.embedded: list[Received] = []
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._count = 0

    async def __aenter__(self) -> ModelServer:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    @property
    def url(self) -> str:
        """The base URL for clients, with the port that the system chose."""
        assert self._server is not None, "the server runs inside `async with` only"
        port = self._server.sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}/v1"

    @property
    def env(self) -> dict[str, str]:
        """The environment variables with which programs use this server."""
        return {"OPENAI_BASE_URL": self.url, "OPENAI_API_KEY": "loopback"}

    def reply(self, *replies: Script) -> None:
        """Script more replies."""
        self.script.extend(replies)

    # --- HTTP

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        except asyncio.CancelledError:
            writer.transport.abort()
            raise
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection stays open."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return False
        line, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = line.split(" ", 2)
        headers = {name.strip().lower(): text.strip() for name, _, text in (each.partition(":") for each in lines)}
        size = int(headers.get("content-length", "0"))
        if size > _MOST or "transfer-encoding" in headers:
            _send(writer, 400, _problem("a body needs a content-length"))
            return False
        body = await reader.readexactly(size)
        return await self._answered(method, path, headers, body, writer)

    async def _answered(
        self, method: str, path: str, headers: dict[str, str], body: bytes, writer: asyncio.StreamWriter
    ) -> bool:
        if method == "GET" and path.endswith("/models"):
            _send(writer, 200, {"object": "list", "data": [{"id": "loopback", "object": "model"}]})
            return True
        if method == "POST" and path.endswith("/embeddings"):
            return self._embedded(Received(path, headers, json.loads(body)), writer)
        if method != "POST" or not path.endswith("/chat/completions"):
            _send(writer, 404, _problem(f"there is no {method} {path}"))
            return True
        received = Received(path, headers, json.loads(body))
        self.requests.append(received)
        return await self._reply(next_reply(self.script, received), received, writer)

    def _embedded(self, received: Received, writer: asyncio.StreamWriter) -> bool:
        self.embedded.append(received)
        if self.faults:
            return _fail(self.faults.pop(0), writer, streams=False)
        _send(writer, 200, embeddings(received))
        return True

    async def _reply(self, reply: Reply, received: Received, writer: asyncio.StreamWriter) -> bool:
        if isinstance(reply, Slow):
            await asyncio.sleep(reply.seconds)
            reply = reply.answer
        if isinstance(reply, str):
            reply = Answer(reply)
        streams = bool(received.body.get("stream"))
        if isinstance(reply, Fault):
            return _fail(reply, writer, streams=streams)
        self._count += 1
        number = f"chatcmpl-{self._count}"
        if not streams:
            _send(writer, 200, completion(number, received, reply))
            return True
        _begin_stream(writer)
        async for chunk in _paced(chunks(number, received, reply)):
            _write_chunk(writer, f"data: {json.dumps(chunk)}\n\n".encode())
        _write_chunk(writer, b"data: [DONE]\n\n")
        _write_chunk(writer, b"")
        return True


async def _paced(parts: Iterable[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    """The parts one by one, with a turn of the loop between them, as a network would have it."""
    for part in parts:
        yield part
        await asyncio.sleep(0)


def _send(writer: asyncio.StreamWriter, status: int, body: Any, extra: str = "") -> None:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    reason = _REASONS.get(status, "Error")
    head = f"HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\ncontent-length: {len(text)}\r\n{extra}\r\n"
    writer.write(head.encode() + text)


def _begin_stream(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")


def _write_chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


def _fail(fault: Fault, writer: asyncio.StreamWriter, *, streams: bool) -> bool:
    if fault.kind == "malformed":
        _send(writer, 200, b'{"choices": [{"message": {"content": "half')
        return True
    if fault.kind == "dropped":
        if streams:
            _begin_stream(writer)
            _write_chunk(writer, b'data: {"id": "half", "object": "chat.completion.chunk", "choices": []}\n\n')
        with suppress(ConnectionError):
            writer.transport.close()
        return False
    extra = "" if fault.retry_after is None else f"retry-after: {fault.retry_after:g}\r\n"
    _send(writer, fault.status, _problem(fault.message), extra)
    return True


def _problem(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "scripted", "code": None}}


# --- OpenAI's form of an answer


def completion(number: str, received: Received, answer: Answer) -> dict[str, Any]:
    """An answer as the body of a chat completion."""
    text, uses = _shaped(received, answer)
    message: dict[str, Any] = {"role": "assistant", "content": text or None}
    if uses:
        message["tool_calls"] = [_tool_call(use, index) for index, use in enumerate(uses)]
    choice = {"index": 0, "message": message, "finish_reason": _finish(answer, uses)}
    whole = _whole(number, received, "chat.completion")
    return {**whole, "choices": [choice], "usage": _usage(received, answer, text, uses)}


def embeddings(received: Received) -> dict[str, Any]:
    """The vectors of the texts that are asked for, as OpenAI gives them: numbers, or packed where that is asked for."""
    given = received.body.get("input", [])
    texts: list[str] = [given] if isinstance(given, str) else list(given)
    packed = received.body.get("encoding_format") == "base64"
    size = int(received.body.get("dimensions") or 64)
    data = [
        {"object": "embedding", "index": index, "embedding": _packed(found) if packed else found}
        for index, found in enumerate(vector_of(text, size) for text in texts)
    ]
    words = sum(len(text.split()) for text in texts)
    usage = {"prompt_tokens": words, "total_tokens": words}
    return {"object": "list", "data": data, "model": received.model, "usage": usage}


def _packed(numbers: list[float]) -> str:
    return b64encode(pack(f"<{len(numbers)}f", *numbers)).decode()


def chunks(number: str, received: Received, answer: Answer) -> Iterator[dict[str, Any]]:
    """The same as the events of a stream: word by word."""
    text, uses = _shaped(received, answer)
    whole = _whole(number, received, "chat.completion.chunk")

    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {**whole, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    yield chunk({"role": "assistant", "content": ""})
    for piece in _pieces(text):
        yield chunk({"content": piece})
    for index, use in enumerate(uses):
        call = _tool_call(use, index)
        arguments = call["function"].pop("arguments")
        yield chunk({"tool_calls": [{"index": index, **call}]})
        for piece in _pieces(arguments):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield chunk({}, _finish(answer, uses))
    if received.option("stream_options").get("include_usage"):
        yield {**whole, "choices": [], "usage": _usage(received, answer, text, uses)}


def _whole(number: str, received: Received, kind: str) -> dict[str, Any]:
    return {"id": number, "object": kind, "created": _CREATED, "model": received.model}


def _shaped(received: Received, answer: Answer) -> tuple[str, tuple[ToolUse, ...]]:
    """The text and the uses of tools of an answer; a value goes where the request wants structured output."""
    if answer.value is None:
        return answer.text, answer.uses
    form = received.option("response_format").get("type")
    output = next((name for name in received.tools if name.startswith("final_result")), None)
    if form in ("json_schema", "json_object") or output is None:
        return json.dumps(answer.value), answer.uses
    return answer.text, (*answer.uses, ToolUse(output, answer.value))


def _tool_call(use: ToolUse, index: int) -> dict[str, Any]:
    arguments = use.arguments if isinstance(use.arguments, str) else json.dumps(dict(use.arguments))
    function = {"name": use.name, "arguments": arguments}
    return {"id": use.id or f"call_{index}_{use.name}", "type": "function", "function": function}


def _finish(answer: Answer, uses: tuple[ToolUse, ...]) -> str:
    return answer.finish or ("tool_calls" if uses else "stop")


def _usage(received: Received, answer: Answer, text: str, uses: tuple[ToolUse, ...]) -> dict[str, Any]:
    asked, said = answer.tokens or (
        len(json.dumps(received.messages).split()),
        len(text.split()) + sum(len(str(use.arguments).split()) for use in uses),
    )
    return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}


def _pieces(text: str) -> Iterator[str]:
    """Words with the space before them."""
    words = text.split(" ")
    yield from (word if index == 0 else f" {word}" for index, word in enumerate(words) if text)
