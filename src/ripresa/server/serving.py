"""Listens for requests: of this machine alone, unless a token keeps others out.

Law: what a browser is made to send by a page of somebody else gets nowhere, also on the loopback interface.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..errors import InvalidConfig, RipresaError
from ..steps.secret import Secret

_LOCAL: Final = ("localhost", "127.0.0.1", "[::1]", "::1")
_TYPES: Final = ("application/json", "application/a2a+json")
"""Types of content that a page of another place cannot send unasked."""

LARGEST: Final = 10_485_760
"""Bytes that a request may have."""

Asgi = Callable[[Any, Any, Any], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen."""

    host: str = "127.0.0.1"
    port: int = 0

    @property
    def is_local(self) -> bool:
        """Whether only this machine gets there."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def url(self) -> str:
        """It as a URL."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def address_of(text: str) -> Address:
    """HOST:PORT, or PORT. Raises `InvalidConfig`."""
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65_535:
        raise InvalidConfig(f"the address is {text!r}, must be HOST:PORT or PORT", op="serve")
    return Address(host.strip("[]") or "127.0.0.1", int(port))


def listening(address: Address) -> tuple[socket.socket, Address]:
    """A socket that listens there, and where that is. Raises `RipresaError(not_available)`."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    opened = socket.socket(family)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((address.host, address.port))
        opened.listen()
    except OSError as error:
        opened.close()
        raise RipresaError(
            f"cannot listen at {address.host}:{address.port}: {error.strerror}", code="not_available", op="serve"
        ) from None
    return opened, Address(address.host, opened.getsockname()[1])


def check_open(address: Address, token: Secret | None) -> None:
    """Raise `InvalidConfig` where others than this machine would get in without a token."""
    if token is None and not address.is_local:
        raise InvalidConfig(
            f"{address.host} can be reached from other machines, and nothing keeps anybody out",
            op="serve",
            hint="say --token env:NAME, or listen on 127.0.0.1",
        )


class Door:
    """Lets requests through: those with the token, or without one those of programs of this machine.

    A name that is resolved to this machine by somebody else, and a form of a web page, do not get in.
    """

    def __init__(self, app: Asgi, address: Address, token: Secret | None) -> None:
        self._app = app
        self._address = address
        self._token = token

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """See ASGI."""
        if scope["type"] == "http":
            refusal = self._refusal(scope["method"], _headers(scope["headers"]))
            if refusal is not None:
                return await _answer(send, *refusal)
            receive = _bounded(receive)
        return await self._app(scope, receive, send)

    def _refusal(self, method: str, headers: dict[str, str]) -> tuple[int, str] | None:
        refusal = self._foreign(method, headers) if self._token is None else _unknown(self._token, headers)
        return refusal or _too_large(headers)

    def _foreign(self, method: str, headers: dict[str, str]) -> tuple[int, str] | None:
        """Why a request does not come from a program of this machine."""
        host = headers.get("host", "")
        if host.removesuffix(f":{self._address.port}") not in (*_LOCAL, self._address.host):
            return 421, "this is not the host that is meant"
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if method == "POST" and kind not in _TYPES:
            return 415, "the content must be JSON"
        return None


def _unknown(token: Secret, headers: dict[str, str]) -> tuple[int, str] | None:
    given, right = headers.get("authorization", ""), f"Bearer {token.read()}"
    return None if hmac.compare_digest(given.encode(), right.encode()) else (401, "a bearer token is needed")


def _too_large(headers: dict[str, str]) -> tuple[int, str] | None:
    length = headers.get("content-length", "0")
    return (413, "the request is too large") if not length.isdecimal() or int(length) > LARGEST else None


def _bounded(receive: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
    """What is received of a request that does not say how long it is, until it is too much."""
    size = 0

    async def received() -> Any:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        return {"type": "http.disconnect"} if size > LARGEST else message

    return received


def _headers(pairs: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in pairs}


async def _answer(send: Any, status: int, words: str) -> None:
    headers = [(b"content-type", b"text/plain"), *([(b"www-authenticate", b"Bearer")] if status == 401 else [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": words.encode()})
