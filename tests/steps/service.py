"""An HTTP service on the loopback interface that answers what a test says, and remembers what it was asked."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit


@dataclass
class Asked:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query)


@dataclass
class Answer:
    status: int = 200
    body: bytes | str = b""
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    """What is written instead of an answer, before the connection is closed."""
    silent: bool = False
    """Nothing is answered at all."""


class Service:
    def __init__(self, answer: Callable[[Asked], Answer]) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self.port = 0
        self.tls = False

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            first = (await reader.readline()).decode()
            if not first:
                return
            method, target, _ = first.split(" ", 2)
            headers: dict[str, str] = {}
            while (line := (await reader.readline()).decode().strip()) != "":
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            asked = Asked(method, target, headers, body)
            self.asked.append(asked)
            answer = self.answer(asked)
            if answer.silent:
                await reader.read()
            elif answer.raw is not None:
                writer.write(answer.raw)
            else:
                text = answer.body.encode() if isinstance(answer.body, str) else answer.body
                given = {"content-length": str(len(text)), "connection": "close", **answer.headers}
                head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
                writer.write(f"HTTP/1.1 {answer.status} Said\r\n{head}\r\n".encode() + text)
            await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def service(answer: Callable[[Asked], Answer], tls: ssl.SSLContext | None = None) -> AsyncIterator[Service]:
    found = Service(answer)
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0, ssl=tls)
    found.tls = tls is not None
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
