"""Runs a server until it is asked to stop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any


@asynccontextmanager
async def served(application: Any, listening: socket.socket) -> AsyncGenerator[None, None]:
    """Answer requests that come to a socket, with an ASGI application, while this lasts; then close it.

    The server leaves signals of the system to whoever runs it.
    """
    import uvicorn

    class Quiet(uvicorn.Server):
        """A server that hears no signals."""

        @contextmanager
        def capture_signals(self) -> Generator[None, None, None]:
            """None."""
            yield

    config = uvicorn.Config(
        application,
        log_level="error",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
        server_header=False,
    )
    server = Quiet(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        while not server.started and not serving.done():  # noqa: ASYNC110 - it has no event for that
            await asyncio.sleep(0.01)
        if serving.done():
            serving.result()
        yield
    finally:
        server.should_exit = True
        try:
            await serving
        finally:
            listening.close()
