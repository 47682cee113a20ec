"""`mcp`: workflows and runs for clients of an MCP server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import redirect_stdout
from sys import stderr
from typing import Any

from ..app import App
from ..authoring.flow import Runnable
from ..server.mcp import address_of, mcp_desk, serve_http, serve_stdio
from .driving import Interrupt
from .exits import COMPLETED, INTERRUPTED
from .inputs import load
from .places import Place
from .telling import warn


def serve(place: Place, targets: Sequence[str], http: str) -> int:
    """Serve until the client goes, or Ctrl-C. Raises `InvalidConfig`, and what loading the targets raises."""
    if http:
        address_of(http)
    with redirect_stdout(stderr):
        workflows = [load(target) for target in targets]
    return asyncio.run(_serve(place, workflows, http))


async def _serve(place: Place, workflows: Sequence[Runnable[..., Any]], http: str) -> int:
    interrupt = Interrupt()
    with interrupt.heard():
        async with App(place.store(), durability=place.durability, workflows=workflows) as app:
            desk = mcp_desk(app, workflows)
            serving = asyncio.create_task(serve_http(desk, http, _told) if http else serve_stdio(desk))
            asked = asyncio.create_task(interrupt.asked.wait())
            await asyncio.wait({serving, asked}, return_when=asyncio.FIRST_COMPLETED)
            ended = serving.done()
            for task in (serving, asked):
                task.cancel()
            await asyncio.wait({serving, asked})
            if not serving.cancelled():
                serving.result()
    return COMPLETED if ended else INTERRUPTED


def _told(url: str) -> None:
    warn(f"serving at {url}; Ctrl-C ends it")
