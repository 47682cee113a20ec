"""Answers that come piece by piece: lines, and server-sent events; kept as a list, or a source for streams."""

from __future__ import annotations

import codecs
import io
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from typing_extensions import Unpack

from ..authoring.encoding import decode
from ..authoring.options import refuse
from ..authoring.stream import At
from ..context import current
from ..errors import InvalidValue, StepError
from .calls import CallOptions, Request, Spec, bad_options, opened_answer, spec_of
from .making import own_name
from .secret import hide, is_line

if TYPE_CHECKING:
    import httpx2

Pieces: TypeAlias = Literal["lines", "events"]

_EVENTS: Final = "text/event-stream"
_TOLD: Final = 80


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """An event that a service sent: its text, its kind, and the id after which one would go on."""

    data: str
    event: str = "message"
    id: str = ""


def server_events(
    method: str, url: str = "", **options: Unpack[CallOptions]
) -> Callable[[Request | None, str | None], AsyncIterator[At[ServerEvent, str]]]:
    """A source for `ripresa.stream`: the server-sent events of a service, as they come.

    It is given a `Request`. What goes on in the middle asks for what came after the id of the last event that was
    acknowledged (`Last-Event-ID`); where a service gives no ids, it begins anew. The source ends when the service ends
    its answer; a connection that breaks is an error, after which `into(sink, retry=...)` goes on. Options are those of
    `http`; `max_size` bounds one event, `patience` the waiting for the next piece. Raises `InvalidConfig`.
    """
    spec = _checked("server_events", method, url, dict(options))

    async def source(request: Request | None, position: str | None) -> AsyncIterator[At[ServerEvent, str]]:
        secrets: list[str] = []
        async with _events(spec, request or Request(), secrets, position or "") as found:
            async for each in found:
                yield At(_hidden(each, secrets), each.id)

    source.__qualname__ = source.__name__ = _named("server_events", spec)
    return source


def server_lines(
    method: str, url: str = "", **options: Unpack[CallOptions]
) -> Callable[[Request | None], AsyncIterator[str]]:
    """A source for `ripresa.stream`: the lines that a service answers, as they come. It knows no positions."""
    spec = _checked("server_lines", method, url, dict(options))

    async def source(request: Request | None) -> AsyncIterator[str]:
        secrets: list[str] = []
        async with _lines(spec, request or Request(), secrets) as found:
            async for each in found:
                yield hide(each, secrets)

    source.__qualname__ = source.__name__ = _named("server_lines", spec)
    return source


def _checked(op: str, method: str, url: str, own: dict[str, Any]) -> Spec:
    refuse(op, *bad_options(method, url, None, own))
    return spec_of(method, url, None, own)


def _named(kind: str, spec: Spec) -> str:
    """A name that is the same in every process, and another for what calls otherwise."""
    return own_name(kind, f"{kind}-{sha256(repr(spec).encode()).hexdigest()[:16]}")


async def collected(spec: Spec, pieces: Pieces, returns: Any, most: int, request: Request) -> list[Any]:
    """All pieces of an answer that ends, of which watchers are told as they come.

    Raises `StepError(too_large)` for more than `most`, or more than the step's `max_size` in all.
    """
    secrets: list[str] = []
    found: list[Any] = []
    size = 0
    reading = _events(spec, request, secrets, "") if pieces == "events" else _lines(spec, request, secrets)
    async with reading as answer:
        async for each in answer:
            piece: Any = _hidden(each, secrets) if isinstance(each, ServerEvent) else hide(each, secrets)
            text: str = piece.data if isinstance(piece, ServerEvent) else piece
            size += len(text)
            if size > spec.max_size or len(found) == most:
                raise _too_large(f"more than {most:,} {pieces}, or {spec.max_size:,} bytes", "raise most, or max_size")
            found.append(piece if returns is None else _read(text, returns, spec))
            current().progress(len(found), None, text[:_TOLD])
    return found


def _read(text: str, returns: Any, spec: Spec) -> Any:
    try:
        return decode(text.encode(), returns, where=spec.url, code="invalid_output")
    except ValueError as error:
        message = f"a piece of the answer is no JSON: {error}"
        raise InvalidValue(message, code="invalid_output", where=spec.url) from error


def _hidden(event: ServerEvent, secrets: list[str]) -> ServerEvent:
    return ServerEvent(hide(event.data, secrets), event.event, event.id)


def _too_large(what: str, hint: str) -> StepError:
    return StepError(f"the answer has {what}", code="too_large", retryable=False, hint=hint)


# --- reading


@asynccontextmanager
async def _lines(spec: Spec, request: Request, secrets: list[str]) -> AsyncGenerator[AsyncIterator[str], None]:
    async with opened_answer(spec, request, secrets, {}) as answer, aclosing(_split(answer, spec.max_size)) as lines:
        yield lines


@asynccontextmanager
async def _events(
    spec: Spec, request: Request, secrets: list[str], last: str
) -> AsyncGenerator[AsyncIterator[ServerEvent], None]:
    more = {"accept": _EVENTS, "cache-control": "no-store"}
    if last:
        if not is_line(last):
            raise InvalidValue(f"the id {last!r} of an event is no line of plain ASCII", op="http", where=spec.url)
        more["last-event-id"] = last
    async with opened_answer(spec, request, secrets, more) as answer:
        kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != _EVENTS and answer.status_code != 204:
            raise InvalidValue(f"the answer is {kind!r}, no {_EVENTS}", code="invalid_output", where=spec.url)
        async with aclosing(_parsed(answer, spec.max_size, last)) as events:
            yield events


async def _split(answer: httpx2.Response, most: int) -> AsyncGenerator[str, None]:
    """The lines of an answer, however they end."""
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8-sig")("replace"), translate=True)
    rest = ""
    async for piece in answer.aiter_bytes():
        *whole, rest = (rest + decoder.decode(piece)).split("\n")
        for line in whole:
            yield line
        if len(rest) > most:
            raise _too_large(f"a line of more than {most:,} bytes", "raise max_size")
    rest += decoder.decode(b"", final=True)
    if rest:
        yield rest.removesuffix("\n")


async def _parsed(answer: httpx2.Response, most: int, last: str) -> AsyncGenerator[ServerEvent, None]:
    """The events of an answer, as https://html.spec.whatwg.org/multipage/server-sent-events.html has them.

    One that is not complete when the answer ends is none.
    """
    data: list[str] = []
    kind, size = "", 0
    async with aclosing(_split(answer, most)) as lines:
        async for line in lines:
            if not line:
                if data:
                    yield ServerEvent("\n".join(data), kind or "message", last)
                data, kind, size = [], "", 0
                continue
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "data":
                data.append(value)
                size += len(value) + 1
                if size > most:
                    raise _too_large(f"an event of more than {most:,} bytes", "raise max_size")
            elif name == "event":
                kind = value
            elif name == "id" and "\0" not in value:
                last = value
