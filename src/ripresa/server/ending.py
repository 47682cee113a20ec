"""Ends the requests that are still waited for when a server is to stop, so that those who wait are told."""

from __future__ import annotations

import asyncio
from typing import Any

from .serving import Asgi


class Ending:
    """An ASGI application whose requests can be ended: with status 503, or at the end of what they have streamed."""

    def __init__(self, app: Asgi) -> None:
        self._app = app
        self._under_way: set[asyncio.Task[None]] = set()
        self._over = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """See ASGI."""
        told = ""

        async def noted(message: Any) -> None:
            nonlocal told
            told = "begun" if message["type"] == "http.response.start" or message.get("more_body") else "all"
            await send(message)

        if not self._over:
            task = asyncio.create_task(self._answer(scope, receive, noted))
            self._under_way.add(task)
            try:
                await asyncio.wait({task})
            finally:
                self._under_way.discard(task)
                task.cancel()
            if not task.cancelled():
                return task.result()
        return await _end(send, told)

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)

    async def end(self) -> None:
        """End the requests that are under way, and those that come from now on."""
        self._over = True
        if self._under_way:
            for task in self._under_way:
                task.cancel()
            await asyncio.wait(self._under_way)


async def _end(send: Any, told: str) -> None:
    if not told:
        headers = [(b"content-type", b"text/plain"), (b"retry-after", b"1")]
        await send({"type": "http.response.start", "status": 503, "headers": headers})
    if told != "all":
        await send({"type": "http.response.body", "body": b"" if told else b"the server stops"})
