"""Carries HTTP requests to addresses that a guard has checked."""

from __future__ import annotations

import ssl
from base64 import b64encode
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import RipresaError, StepError
from .guard import Guard

if TYPE_CHECKING:
    import httpx2


@lru_cache(maxsize=16)
def _context(ca: str, changed: int) -> ssl.SSLContext:
    """Whose certificates are trusted: those that the system does, or those in a file as it was when it was changed."""
    import httpx2

    return ssl.create_default_context(cafile=ca) if ca else httpx2.create_ssl_context()


def context_of(ca: str) -> ssl.SSLContext:
    """Whose certificates are trusted. Raises `StepError(certificate_refused)` for a file that holds none."""
    try:
        return _context(ca, Path(ca).stat().st_mtime_ns if ca else 0)
    except (OSError, ssl.SSLError) as error:
        why = error.strerror or type(error).__name__
        raise StepError(
            f"there are no certificates in {ca}: {why}",
            code="certificate_refused",
            retryable=False,
            hint="ca names a PEM file of authorities",
        ) from error


def bad_ca(ca: Any) -> str | None:
    """What is wrong with what names the authorities that are trusted."""
    return None if isinstance(ca, str) else f"ca is {ca!r}, must be the path of a PEM file"


@asynccontextmanager
async def client(
    guard: Guard, patience: float, ca: str = "", *, streams: bool = False
) -> AsyncGenerator[httpx2.AsyncClient, None]:
    """A client that calls nothing that the guard refuses, follows no redirect, and takes no proxy of the environment.

    `patience` is how many seconds it waits for a connection, and for each piece of an answer; `ca` is a file of the
    authorities whose certificates are trusted instead of the usual ones. Where it `streams` a service may say nothing
    for as long as it likes, and connections are kept for the next request.
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

    from .carrier import FEW, MANY, Guarded

    timeout = httpx2.Timeout(patience, read=None) if streams else httpx2.Timeout(patience)
    carrier = Guarded(guard, context_of(ca), MANY if streams else FEW)
    async with httpx2.AsyncClient(
        transport=carrier, timeout=timeout, follow_redirects=False, trust_env=False
    ) as opened:
        yield opened


@asynccontextmanager
async def sent(client: httpx2.AsyncClient, request: httpx2.Request) -> AsyncGenerator[httpx2.Response, None]:
    """What is answered, while it is read. Raises `StepError(http_failed, certificate_refused)`."""
    import httpx2

    try:
        answer = await client.send(request, stream=True)
        try:
            yield answer
        finally:
            await answer.aclose()
    except httpx2.HTTPError as error:
        raise broken(request, error) from error


async def body_of(answer: httpx2.Response, most: int) -> bytes:
    """A body of at most so many bytes. Raises `StepError(too_large)`."""
    body = bytearray()
    async for piece in answer.aiter_bytes():
        body += piece
        if len(body) > most:
            message = f"the answer is larger than {most:,} bytes"
            raise StepError(message, code="too_large", retryable=False, hint="raise max_size")
    return bytes(body)


async def fetched(client: httpx2.AsyncClient, request: httpx2.Request, most: int) -> tuple[httpx2.Response, bytes]:
    """What is answered to a request that is made for another, which was not made if this one fails."""
    try:
        async with sent(client, request) as answer:
            return answer, await body_of(answer, most)
    except StepError as error:
        error.unknown = False
        raise


def basic(user: str, password: str) -> str:
    """The credentials of a user, as a header has them."""
    return b64encode(f"{user}:{password}".encode()).decode()


def shown(url: httpx2.URL) -> str:
    """A URL without what may be a secret in it."""
    from .carrier import shown as without_secrets

    return without_secrets(url)


def broken(request: httpx2.Request, error: httpx2.HTTPError) -> StepError:
    """What a request came to that was not answered, or not to the end."""
    import httpx2

    unknown = not isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout)
    what = f"{request.method} {shown(request.url)}: {type(error).__name__}{f': {error}' if str(error) else ''}"
    refused = _certificate_error(error)
    if refused is None:
        return StepError(what, code="http_failed", unknown=unknown)
    hint = "ca names a PEM file of the authorities that are trusted instead of the usual ones"
    return StepError(what, code="certificate_refused", retryable=False, hint=hint)


def _certificate_error(error: BaseException | None) -> ssl.SSLCertVerificationError | None:
    """The error about a certificate that another came from."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error
