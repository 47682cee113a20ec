"""Fetches what describes services, and believes it for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from weakref import WeakKeyDictionary

from ..errors import StepError
from . import transport
from .descriptions import invalid
from .guard import Guard
from .waiting import asked_by

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")

_HELD: Final = 300.0
"""Seconds for which what was fetched is believed."""

_MOST: Final = 100


@dataclass(frozen=True, slots=True)
class Source:
    """A URL at which something is described, and how it is called. It is told from others by its value."""

    url: str
    guard: Guard
    ca: str
    patience: float
    max_size: int
    redirects: int = 5


async def fetched(source: Source) -> tuple[bytes, str]:
    """What stands there, and where it was found. Raises `StepError`: the call that it is for was not made."""
    async with transport.client(source.guard, source.patience, source.ca) as client:
        url = source.url
        for _ in range(source.redirects + 1):
            request = client.build_request("GET", url, headers={"accept-encoding": "identity"})
            answer, body = await transport.fetched(client, request, source.max_size)
            following = answer.next_request
            if following is None:
                return _good(answer, body, url), url
            if following.url.scheme not in (("https",) if request.url.scheme == "https" else ("http", "https")):
                raise invalid(f"{url} gives up encryption")
            url = str(following.url)
    raise invalid(f"{source.url}: more than {source.redirects} redirects")


def _good(answer: httpx2.Response, body: bytes, url: str) -> bytes:
    if answer.status_code != 200:
        raise StepError(
            f"GET {transport.shown(answer.url)} was answered with status {answer.status_code}",
            code="http_status",
            retryable=answer.status_code >= 500 or answer.status_code in (408, 425, 429),
            retry_after=asked_by(answer.headers.get("retry-after", "")),
        )
    return body


class Held:
    """What was made of things that were fetched, by what they were made of, for a while."""

    def __init__(self) -> None:
        self._held: dict[Hashable, tuple[float, Any]] = {}

    async def get(self, key: Hashable, make: Callable[[], Awaitable[T]]) -> T:
        """What is held under a key, or what is made now."""
        until, found = self._held.get(key, (0.0, None))
        if time.monotonic() < until:
            return cast("T", found)
        made = await make()
        self._held.pop(key, None)
        self._held[key] = (time.monotonic() + _HELD, made)
        while len(self._held) > _MOST:
            self._held.pop(next(iter(self._held)))
        return made


_ALL: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, Held]] = WeakKeyDictionary()


def held() -> Held:
    """What this process holds, of the running event loop."""
    return _ALL.setdefault(asyncio.get_running_loop(), Held())
