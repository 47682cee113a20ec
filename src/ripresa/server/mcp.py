"""Ripresa as an MCP server: over standard input and output, or over HTTP."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager, closing, suppress
from threading import Thread
from typing import TYPE_CHECKING, Any, Final, cast

from ..app import App
from ..authoring.flow import Runnable
from ..authoring.single import runnable_of
from ..core.events import Recorded
from ..errors import InvalidConfig
from ..steps.mcp_line import extra_missing
from ..steps.process import PIECE
from .desk import Desk
from .records import Records, uri_of
from .runs import Runs
from .serving import Address, Door, check_open, listening

if TYPE_CHECKING:
    from mcp.server import Server
    from mcp.server.transport_security import TransportSecuritySettings

    from ..steps.secret import Secret

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


@asynccontextmanager
async def served_over_http(
    desk: Desk, wanted: Address, token: Secret | None = None, **handlers: Any
) -> AsyncGenerator[str, None]:
    """Serve over HTTP while this is open; gives the URL. `handlers` are further ones of the MCP library.

    Whoever gets in may do everything: without a token those are programs of this machine, told by Host and Origin from
    pages that a browser shows. Raises `InvalidConfig` for another address without a token.
    """
    check_open(wanted, token)
    server = _server(desk, **handlers)
    from .running import served

    opened, address = listening(wanted)
    with closing(opened):
        app = server.streamable_http_app(
            streamable_http_path=PATH, host="", transport_security=_security(address) if token is None else None
        )
        async with server.session_manager.run(), served(Door(app, address, token), opened):
            yield f"{address.url}{PATH}"


def _security(address: Address) -> TransportSecuritySettings:
    """Of which hosts and pages the library takes requests: of this machine, by the usual names and by the address."""
    from mcp.server.transport_security import TransportSecuritySettings

    own = f"[{address.host}]" if ":" in address.host else address.host
    hosts = [f"{each}:*" for each in dict.fromkeys(("127.0.0.1", "localhost", "[::1]", own))]
    return TransportSecuritySettings(allowed_hosts=hosts, allowed_origins=[f"http://{each}" for each in hosts])


def _server(desk: Desk, **handlers: Any) -> Server[Any]:
    try:
        return desk.server(**handlers)
    except ImportError as error:
        raise extra_missing() from error
