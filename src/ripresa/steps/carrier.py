"""The transport of the HTTP client: goes to addresses that were checked, and lets logs know no query of a URL.

To be imported when a client is made: it needs the extra `http`.
"""

from __future__ import annotations

import logging
import ssl
from typing import Final

import httpx2

from ..errors import StepError
from .guard import Guard

_LOGGER: Final = "httpx2"

FEW: Final = httpx2.Limits(max_connections=4, max_keepalive_connections=0)
MANY: Final = httpx2.Limits(max_connections=64, max_keepalive_connections=8)
"""How many connections there may be: for the calls of one step, and for all that use one MCP server."""


class CalledURL(httpx2.URL):
    """A URL that was called from here."""


class Guarded(httpx2.AsyncHTTPTransport):
    """Goes to a checked address of the host; the host itself stays in the request and in the certificate."""

    def __init__(self, guard: Guard, context: ssl.SSLContext, limits: httpx2.Limits) -> None:
        super().__init__(verify=context, trust_env=False, limits=limits)
        self._guard = guard
        logging.getLogger(_LOGGER).addFilter(without_query)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """See `httpx2.AsyncBaseTransport`. Raises `StepError(address_refused, http_failed)`."""
        url, there = request.url, self._placed(request.url)
        host, port = there.host, there.port or (443 if there.scheme == "https" else 80)
        problem: httpx2.TransportError | None = None
        for address in await self._guard.addresses(host, port):
            request.url = there.copy_with(host=address)
            request.extensions = {**request.extensions, "sni_hostname": host}
            try:
                response = await super().handle_async_request(request)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                problem = error  # the next address may answer
            else:
                request.url = CalledURL(url)
                return response
        request.url = url
        raise problem or StepError(f"the name {host!r} has no address", code="http_failed")

    def _placed(self, url: httpx2.URL) -> httpx2.URL:
        """Where a URL is called: at what stands in for its origin, if something does."""
        there = self._guard.answering(f"{url.scheme}://{url.netloc.decode()}")
        return httpx2.URL(there + url.raw_path.decode()) if there else url


def without_query(record: logging.LogRecord) -> bool:
    """Leave out of what the client logs of a call from here what may be a secret in its URL; others' calls stay."""
    if isinstance(record.args, tuple):
        record.args = tuple(shown(each) if isinstance(each, CalledURL) else each for each in record.args)
    return True


def shown(url: httpx2.URL) -> str:
    """A URL without what may be a secret in it."""
    return str(url.copy_with(query=None, fragment=None, username=None, password=None))
