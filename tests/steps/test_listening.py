"""Answers that come piece by piece, from a service on the loopback interface that writes as the test says."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from ripresa import (
    App,
    InvalidConfig,
    InvalidValue,
    Retry,
    RunFailed,
    StepError,
    load_document,
    step,
    stream,
)
from ripresa.runtime.feed import StepProgressed
from ripresa.steps import Request, Secret, ServerEvent, http, server_events, server_lines
from tests.steps.service import Answer, Asked, service

ran = pytest.mark.parametrize
SSE = {"content-type": "text/event-stream; charset=utf-8"}


def events(text: str | bytes) -> Callable[[Asked], Answer]:
    return lambda asked: Answer(200, text, SSE)


async def test_lines_are_kept_as_a_list_however_they_end() -> None:
    async with service(lambda asked: Answer(200, "\ufeffhigh\r\nlow\rslack\n\nebb")) as found, App("memory:") as app:
        read = http("GET", found.url, stream="lines", allow=[found.place])
        assert await app.run(read()) == ["high", "low", "slack", "", "ebb"]
    async with service(lambda asked: Answer(200, "a\r\n")) as found:
        assert await http("GET", found.url, stream="lines", allow=[found.place])() == ["a"]


@ran(
    ("text", "expected"),
    [
        ("data: a\n\n", [ServerEvent("a")]),
        (": nothing\n\ndata:a\ndata:  b\nevent: tide\nid: 7\n\n", [ServerEvent("a\n b", "tide", "7")]),
        (
            "id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n",
            [ServerEvent("a", id="1"), ServerEvent("b", id="1"), ServerEvent("c")],
        ),
        ("event: x\n\ndata: a\n\n", [ServerEvent("a")]),
        ("data\n\ndata: lost", [ServerEvent("")]),
        ("id: a\0b\ndata: a\r\rretry: 10\ncolour: red\n\n", [ServerEvent("a")]),
        ("", []),
    ],
)
async def test_events_are_read_as_the_standard_says(text: str, expected: list[ServerEvent]) -> None:
    async with service(events(text)) as found:
        assert await http("GET", found.url, stream="events", allow=[found.place])() == expected
        assert found.asked[0].headers["accept"] == "text/event-stream"


async def test_pieces_are_read_by_a_type() -> None:
    async with service(lambda asked: Answer(200, '{"a": 1}\n{"a": 2}\n')) as found:
        lines = http("GET", found.url, stream="lines", returns=dict[str, int], allow=[found.place])
        assert await lines() == [{"a": 1}, {"a": 2}]
        with pytest.raises(InvalidValue) as caught:
            await http("GET", found.url, stream="lines", returns=list[int], allow=[found.place])()
        assert caught.value.code == "invalid_output"
    async with service(events("data: {\n\n")) as found:
        with pytest.raises(InvalidValue, match="no JSON"):
            await http("GET", found.url, stream="events", returns=Any, allow=[found.place])()  # pyright: ignore


async def test_secrets_are_kept_out_of_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "swordfish")

    def echo(asked: Asked) -> Answer:
        return Answer(200, f"data: {asked.headers['authorization']}\n\n", SSE)

    async with service(echo) as found:
        options: dict[str, Any] = {"auth": Secret("env:TOKEN"), "allow": [found.place]}
        assert await http("GET", found.url, stream="events", **options)() == [ServerEvent("Bearer ***")]
        assert await http("GET", found.url, stream="lines", **options)() == ["data: Bearer ***", ""]
        assert [each.item.data async for each in server_events("GET", found.url, **options)(None, None)] == [
            "Bearer ***"
        ]
        assert [each async for each in server_lines("GET", found.url, **options)(None)] == ["data: Bearer ***", ""]


@ran(
    ("text", "options"),
    [
        ("data: a\n\n" * 3, {"stream": "events", "most": 2}),
        ("a\n" * 3, {"stream": "lines", "most": 2}),
        ("abcd\n" * 30, {"stream": "lines", "max_size": 100}),
        ("x" * 200, {"stream": "lines", "max_size": 100}),
        ("data: xxxxxxx\n" * 20, {"stream": "events", "max_size": 100}),
        ("data\n" * 200, {"stream": "events", "max_size": 100}),
    ],
)
async def test_what_is_kept_is_bounded(text: str, options: Any) -> None:
    async with service(events(text)) as found:
        with pytest.raises(StepError) as caught:
            await http("GET", found.url, allow=[found.place], **options)()
    assert (caught.value.code, caught.value.retryable) == ("too_large", False)


async def test_a_status_and_what_is_no_stream_are_errors() -> None:
    async with service(lambda asked: Answer(503, "no tide", {"retry-after": "3"})) as found:
        with pytest.raises(StepError, match="status 503: no tide") as caught:
            await http("GET", found.url, stream="events", allow=[found.place])()
        assert (caught.value.code, caught.value.retry_after) == ("http_status", 3)
    async with service(lambda asked: Answer(200, "{}", {"content-type": "application/json"})) as found:
        with pytest.raises(InvalidValue, match="the answer is 'application/json', no text/event-stream"):
            await http("GET", found.url, stream="events", allow=[found.place])()
    async with service(lambda asked: Answer(204)) as found:
        assert await http("GET", found.url, stream="events", allow=[found.place])() == []
        with pytest.raises(InvalidValue, match="no line of plain ASCII"):
            [each async for each in server_events("GET", found.url, allow=[found.place])(None, "é")]


async def test_what_breaks_off_is_not_known_to_have_done_nothing() -> None:
    raw = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 99\r\n\r\ndata: a\n\n"
    async with service(lambda asked: Answer(raw=raw)) as found:
        with pytest.raises(StepError) as caught:
            await http("POST", found.url, stream="events", allow=[found.place])()
    assert (caught.value.code, caught.value.unknown) == ("http_failed", True)


def test_bad_options_are_refused() -> None:
    with pytest.raises(InvalidConfig, match=r"stream is 'words'.*most is 0"):
        http("GET", stream="words", most=0)  # type: ignore[call-overload] # pyright: ignore
    from ripresa.steps import Pages

    with pytest.raises(InvalidConfig, match="pages are not for what streams"):
        http("GET", stream="lines", pages=Pages())  # type: ignore[call-overload] # pyright: ignore
    with pytest.raises(InvalidConfig, match="redirects must be a whole number"):
        server_events("GET", redirects=-1)
    with pytest.raises(InvalidConfig, match="there is no option retry"):
        server_lines("GET", retry=3)  # type: ignore[call-arg] # pyright: ignore


# --- as a source


@dataclass
class Feed:
    """Sends the events after the one that it is told of, and breaks off after `at_a_time` of them."""

    count: int
    at_a_time: int
    port: int = 0
    lasts: list[str] = field(default_factory=list[str])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        last = next((line.split(": ")[1] for line in head.split("\r\n") if line.startswith("last-event-id")), "")
        self.lasts.append(last)
        begin = int(last or 0)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for number in range(begin + 1, min(begin + self.at_a_time, self.count) + 1):
            text = f"id: {number}\ndata: {number}\n\n".encode()
            writer.write(b"%x\r\n%s\r\n" % (len(text), text))
        if begin + self.at_a_time >= self.count:
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        writer.close()

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"


@asynccontextmanager
async def feed(count: int, at_a_time: int) -> AsyncIterator[Feed]:
    found = Feed(count, at_a_time)
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    yield found
    server.close()


async def test_a_source_goes_on_after_the_last_event_that_was_acknowledged() -> None:
    taken: list[str] = []

    @step
    async def keep(batch: list[ServerEvent]) -> None:
        taken.extend(each.data for each in batch)

    async with feed(6, 4) as found, App("memory:") as app:
        source = server_events("GET", f"http://{found.place}/feed", allow=[found.place])
        flow = stream(source, name="feed").batch(2).into(keep, retry=Retry(3, wait=0))
        result = await app.run(flow(Request()))
    assert taken == ["1", "2", "3", "4", "5", "6"]
    assert found.lasts == ["", "4"]
    assert (result.batches, result.position) == (3, "6")


async def test_a_source_that_is_refused_fails_its_run() -> None:
    @step
    async def keep(batch: list[str]) -> None:
        raise AssertionError

    async with service(lambda asked: Answer(404)) as found, App("memory:") as app:
        source = server_lines("GET", found.url, allow=[found.place])
        with pytest.raises(RunFailed) as caught:
            await app.run(stream(source, name="lines").batch(2).into(keep)(None))
        assert caught.value.failure.code == "http_status"


async def test_watchers_are_told_of_pieces_as_they_come() -> None:
    heard = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await heard.wait()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\nconnection: close\r\n\r\nhigh\nlow\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with App("memory:") as app:
        handle = await app.start(http("GET", f"http://{place}/", stream="lines", allow=[place], name="listen")())
        told: list[StepProgressed] = []
        async for each in handle.watch():
            heard.set()
            if isinstance(each, StepProgressed):
                told.append(each)
        assert [(each.completed, each.message) for each in told] == [(1, "high"), (2, "low")]
    server.close()


async def test_a_document_takes_an_answer_piece_by_piece() -> None:
    async with service(lambda asked: Answer(200, json.dumps([1]) + "\n")) as found, App("memory:") as app:
        config: dict[str, Any] = {
            "method": "GET",
            "url": found.url,
            "allow": [found.place],
            "stream": "lines",
            "most": 3,
        }
        flow = load_document({"id": "x", "steps": [{"type": "http", "config": config}]})
        assert await app.run(flow(None)) == ["[1]"]
        typed = load_document(
            {"id": "x", "steps": [{"type": "http", "config": {**config, "returns": "list[integer]"}}]}
        )
        assert await app.run(typed(None)) == [[1]]
