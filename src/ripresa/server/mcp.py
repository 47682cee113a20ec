"""Ripresa as an MCP server: over standard input and output, or over HTTP on the loopback interface."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import nullcontext, suppress
from threading import Thread
from typing import TYPE_CHECKING, Any, Final, cast

from ..app import App
from ..authoring.flow import Runnable
from ..authoring.single import runnable_of
from ..core.events import Recorded
from ..errors import InvalidConfig, RipresaError
from ..steps.mcp_line import extra_missing
from ..steps.process import PIECE
from .desk import Desk
from .records import Records, uri_of
from .runs import Runs

if TYPE_CHECKING:
    import uvicorn
    from mcp.server import Server
    from starlette.applications import Starlette

PATH: Final = "/mcp"

INSTRUCTIONS: Final = (
    "Ripresa runs durable workflows. Each workflow is a tool of its own name; calling it starts a run, which goes on "
    "by itself, whatever becomes of the call. Give an id to be able to call again without starting twice. A run that "
    "waits for people is answered by answer_approval, only in the name of a person who has decided; one that waits for "
    "a signal by signal_run."
)


def mcp_desk(app: App, workflows: Iterable[Any]) -> Desk:
    """What an open app offers to clients of an MCP server: these workflows, and all its runs.

    Raises `InvalidConfig(duplicate_name)` for two tools of one name.
    """
    runnables: list[Runnable[..., Any]] = [runnable_of(each) for each in workflows]
    names = Runs(app, runnables)
    if len(names.workflows) < len(runnables):
        raise InvalidConfig("two workflows have one name", code="duplicate_name", op="mcp", hint="rename one of them")
    desk = Desk("ripresa", names.tools(), Records(app), instructions=INSTRUCTIONS)

    def tell(recorded: Recorded) -> None:
        desk.watchers.changed(uri_of(recorded.run))

    app.engine.feed.listen(tell)
    return desk


async def serve_stdio(desk: Desk) -> None:
    """Serve a client that is at the other end of standard input and output, until it goes.

    Meanwhile what else reads standard input finds it empty, and what else is printed goes to standard error.
    """
    server = _server(desk)
    from mcp.server.stdio import stdio_server

    async with stdio_server(stdin=cast("Any", lines_of(os.dup(0)))) as (read, write):
        with open(os.devnull, "rb") as nothing:  # noqa: ASYNC230 - it is no disk
            os.dup2(nothing.fileno(), 0)
        await server.run(read, write, server.create_initialization_options())


async def lines_of(descriptor: int) -> AsyncGenerator[str, None]:
    """The lines that come in, read by a thread that nobody has to wait for: a pipe may be silent for ever."""
    loop = asyncio.get_running_loop()
    pieces: asyncio.Queue[bytes] = asyncio.Queue()

    def read() -> None:
        with suppress(OSError, RuntimeError):  # the loop is closed: nobody listens
            while True:
                piece = os.read(descriptor, PIECE)
                loop.call_soon_threadsafe(pieces.put_nowait, piece)
                if not piece:
                    return

    Thread(target=read, name="ripresa: stdin", daemon=True).start()
    rest = b""
    while piece := await pieces.get():
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", "replace")


def http_app(desk: Desk, **handlers: Any) -> Starlette:
    """The same over HTTP, as an ASGI app: requests whose Host or Origin is not of this machine are refused."""
    return _server(desk, **handlers).streamable_http_app(streamable_http_path=PATH, host="127.0.0.1")


async def serve_http(desk: Desk, place: str, told: Callable[[str], None], **handlers: Any) -> None:
    """Serve over HTTP at HOST:PORT until cancelled; `told` is given the URL when there are answers.

    Raises `InvalidConfig` for a host that is not of this machine: whoever reaches it may do everything.
    """
    host, port = address_of(place)
    app = http_app(desk, **handlers)
    import uvicorn

    listening = _listening(host, port)
    try:
        shown = f"[{host}]" if ":" in host else host
        told(f"http://{shown}:{listening.getsockname()[1]}{PATH}")
        config = uvicorn.Config(app, log_level="warning", ws="none", lifespan="on", timeout_graceful_shutdown=1)
        await _served(uvicorn.Server(config), listening)
    finally:
        listening.close()


async def _served(server: uvicorn.Server, listening: socket.socket) -> None:
    """Serve until cancelled, and then wind up; signals are heard by whoever runs this."""
    server.__dict__["capture_signals"] = nullcontext
    serving = asyncio.ensure_future(server.serve(sockets=[listening]))
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True
        await asyncio.wait((serving,))
        raise


def _server(desk: Desk, **handlers: Any) -> Server[Any]:
    try:
        return desk.server(**handlers)
    except ImportError as error:
        raise extra_missing() from error


def address_of(place: str) -> tuple[str, int]:
    """The host and port of HOST:PORT. Raises `InvalidConfig` for others than those of this machine."""
    host, _, number = place.rpartition(":")
    host = host.strip("[]")
    try:
        near = host == "localhost" or ipaddress.ip_address(host).is_loopback
        port = int(number)
    except ValueError:
        near, port = False, -1
    if not near or not 0 <= port <= 65535:
        raise InvalidConfig(
            f"http is {place!r}, must be 127.0.0.1:PORT, localhost:PORT or [::1]:PORT",
            op="mcp",
            hint="for others, put a proxy before it that knows who they are",
        )
    return "127.0.0.1" if host == "localhost" else host, port


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        found.listen(128)
    except OSError as error:
        found.close()
        message = f"{host}:{port} cannot be listened at: {error.strerror}"
        raise RipresaError(message, code="not_available", op="mcp", hint="name another port, or 0") from error
    return found
