"""Lets libraries that bring an HTTP client of their own (httpx) call through ours, which is guarded and bounded.

Law: secrets are added here, and only for the places that they are for; the library never holds them. What goes wrong on
the way is raised with our codes, past the library.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..errors import StepError
from . import transport
from .guard import Guard
from .oauth import OAuth2, token_of

if TYPE_CHECKING:
    import httpx
    import httpx2

_PORTS: Final = {"http": 80, "https": 443}
_HOP: Final = frozenset(("host", "content-length", "transfer-encoding", "accept-encoding", "connection"))
"""Headers that belong to one connection, and are made anew."""

_PACKED: Final = frozenset(("content-length", "content-encoding", "transfer-encoding"))
"""Headers of an answer that are no longer true of what is read of it."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How a library may call: `secrets` are headers that go to `homes` alone, which are (scheme, host, port).

    A token of `oauth` is one of them, and among what is to be `hidden` as soon as it is known.
    """

    guard: Guard
    patience: float
    max_size: int
    secrets: Mapping[str, str]
    homes: frozenset[tuple[str, str, int]]
    oauth: OAuth2 | None
    hidden: list[str]
    ca: str

    async def headers_for(self, url: httpx.URL, stale: str = "") -> Mapping[str, str]:
        """The secret headers of a request; `stale` is a token that was refused there.

        Raises `StepError(address_refused)` where there are some and none may go.
        """
        if not self.secrets and self.oauth is None:
            return {}
        if home_of(url.scheme, url.host, url.port) not in self.homes:
            place = f"{url.scheme}://{url.host}{f':{url.port}' if url.port else ''}"
            raise StepError(
                f"the agent is said to be at {place}, and the secrets are not for there",
                code="address_refused",
                retryable=False,
                hint=f'if it is to be trusted: trusted=["{place}"]',
            )
        if self.oauth is None:
            return self.secrets
        token = await token_of(self.oauth, self.guard, self.patience, stale, self.ca)
        if token not in self.hidden:
            self.hidden.append(token)
        return {**self.secrets, "authorization": f"Bearer {token}"}


def home_of(scheme: str, host: str, port: int | None) -> tuple[str, str, int]:
    """A place that requests go to, in one way of writing it."""
    return scheme, host.lower().rstrip("."), port or _PORTS.get(scheme, 0)


@asynccontextmanager
async def bridged(terms: Terms) -> AsyncGenerator[httpx.AsyncClient, None]:
    """A client of httpx whose requests are guarded; it follows no redirect and takes nothing of the environment."""
    import httpx

    async with transport.client(terms.guard, terms.patience, terms.ca) as carrier:

        class Bridge(httpx.AsyncBaseTransport):
            """Carries a request over; again with another token where the one that there was is refused."""

            async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                own = await terms.headers_for(request.url)
                answer = await self._carried(request, own)
                if answer.status_code == 401 and terms.oauth is not None:
                    await answer.aclose()
                    own = await terms.headers_for(request.url, own["authorization"].removeprefix("Bearer "))
                    answer = await self._carried(request, own)
                headers = [pair for pair in answer.headers.multi_items() if pair[0].lower() not in _PACKED]
                return httpx.Response(answer.status_code, headers=headers, stream=Body(answer))

            async def _carried(self, request: httpx.Request, own: Mapping[str, str]) -> httpx2.Response:
                kept = [pair for pair in request.headers.multi_items() if pair[0].lower() not in _HOP]
                sent = carrier.build_request(
                    request.method,
                    str(request.url),
                    headers=[*kept, ("accept-encoding", "identity"), *own.items()],
                    content=await request.aread(),
                    extensions={"timeout": request.extensions["timeout"]},
                )
                return await _answered(carrier, sent)

        class Body(httpx.AsyncByteStream):
            """What is read of an answer, up to its limit."""

            def __init__(self, answer: httpx2.Response) -> None:
                self._answer = answer

            async def __aiter__(self) -> AsyncIterator[bytes]:
                size = 0
                async for piece in _pieces(self._answer):
                    size += len(piece)
                    if size > terms.max_size:
                        message = f"the answer is larger than {terms.max_size:,} bytes"
                        raise StepError(message, code="too_large", retryable=False, hint="raise max_size")
                    yield piece

            async def aclose(self) -> None:
                await self._answer.aclose()

        async with httpx.AsyncClient(transport=Bridge(), timeout=terms.patience, trust_env=False) as opened:
            yield opened


async def _answered(carrier: httpx2.AsyncClient, request: httpx2.Request) -> httpx2.Response:
    import httpx2

    try:
        return await carrier.send(request, stream=True)
    except httpx2.HTTPError as error:
        raise transport.broken(request, error) from error


async def _pieces(answer: httpx2.Response) -> AsyncIterator[bytes]:
    import httpx2

    try:
        async for piece in answer.aiter_bytes():
            yield piece
    except httpx2.HTTPError as error:
        raise transport.broken(answer.request, error) from error
