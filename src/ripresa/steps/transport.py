"""Carries HTTP requests to addresses that a guard has checked; the only module that imports the HTTP client."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

from ..errors import RipresaError, StepError
from .guard import Guard

if TYPE_CHECKING:
    import httpx2


@lru_cache(maxsize=1)
def _context() -> ssl.SSLContext:
    import httpx2

    return httpx2.create_ssl_context()


@asynccontextmanager
async def client(guard: Guard, patience: float) -> AsyncGenerator[httpx2.AsyncClient, None]:
    """A client that calls nothing that the guard refuses, follows no redirect, and takes no proxy of the environment.

    `patience` is how many seconds it waits for a connection, and for each piece of an answer.
    """
    try:
        import httpx2
    except ImportError:
        raise RipresaError(
            "HTTP calls need an optional dependency",
            code="extra_missing",
            op="http",
            hint="pip install 'ripresa[http]'",
        ) from None

    class Guarded(httpx2.AsyncHTTPTransport):
        """Goes to a checked address of the host; the host itself stays in the request and in the certificate."""

        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            host, url = request.url.host, request.url
            port = url.port or (443 if url.scheme == "https" else 80)
            problem: httpx2.TransportError | None = None
            for address in await guard.addresses(host, port):
                request.url = url.copy_with(host=address)
                request.extensions = {**request.extensions, "sni_hostname": host}
                try:
                    response = await super().handle_async_request(request)
                except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                    problem = error  # the next address may answer
                else:
                    request.url = url
                    return response
            request.url = url
            raise problem or StepError(f"the name {host!r} has no address", code="http_failed")

    transport = Guarded(
        verify=_context(), trust_env=False, limits=httpx2.Limits(max_connections=4, max_keepalive_connections=0)
    )
    async with httpx2.AsyncClient(
        transport=transport, timeout=patience, follow_redirects=False, trust_env=False
    ) as opened:
        yield opened
