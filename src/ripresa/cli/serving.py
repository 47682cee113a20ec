"""`mcp`: workflows and runs for clients of an MCP server."""

from __future__ import annotations

from contextlib import redirect_stdout
from sys import stderr
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .exits import COMPLETED, INTERRUPTED
from .offering import Store, Targets, Token

if TYPE_CHECKING:
    from ..authoring.flow import Runnable
    from ..server.desk import Desk
    from ..steps.secret import Secret
    from .places import Place

Http = Annotated[
    str,
    typer.Option("--http", help="listen there instead: HOST:PORT, or PORT", metavar="HOST:PORT", show_default=False),
]


def mcp(targets: Targets, http: Http = "", token: Token = "", store: Store = "") -> int:
    """Serve workflows and runs to clients of the Model Context Protocol: over standard input and output, or HTTP."""
    import asyncio

    from ..server.serving import address_of, check_open
    from ..steps.secret import Secret
    from .inputs import load
    from .places import Place

    secret = Secret(token) if token else None
    if secret is not None:
        secret.read()  # one that is missing is told now, not to who asks
    if http:
        check_open(address_of(http), secret)
    with redirect_stdout(stderr):
        workflows = [load(target) for target in targets]
    return asyncio.run(_serve(Place(store), workflows, http, secret))


async def _serve(place: Place, workflows: list[Runnable[..., Any]], http: str, token: Secret | None) -> int:
    import asyncio

    from ..app import App
    from ..authoring.single import Single
    from ..server.mcp import mcp_desk
    from .driving import Interrupt

    interrupt = Interrupt()
    with interrupt.heard():
        known: list[Any] = [each.step if isinstance(each, Single) else each for each in workflows]
        async with App(place.store(), workflows=known) as app:
            talking = asyncio.create_task(_talk(mcp_desk(app, workflows), http, token))
            working = asyncio.create_task(app.work())
            tasks = (talking, working, asyncio.create_task(interrupt.asked.wait()))
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            for task in (working, talking):
                if not task.cancelled():
                    task.result()
    return INTERRUPTED if talking.cancelled() else COMPLETED


async def _talk(desk: Desk, http: str, token: Secret | None) -> None:
    """Serve until the client goes; over HTTP until cancelled."""
    import asyncio

    from ..server.mcp import serve_stdio, served_over_http
    from ..server.serving import address_of
    from .telling import warn

    if not http:
        await serve_stdio(desk)
        return
    async with served_over_http(desk, address_of(http), token) as url:
        warn(f"serving at {url}; Ctrl-C ends it")
        await asyncio.Event().wait()
