"""Decides which addresses may be called: those of the public internet, and those that are allowed by name.

Law: what is checked is what a name was resolved to, and the connection goes to exactly that address, so that a name
that is resolved anew, a redirect or an address in disguise gets nobody any further.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, cast
from urllib.parse import urlsplit

from ..errors import StepError

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve: TypeAlias = Callable[[str, int], Awaitable[list[str]]]

_CLOSED: Final = tuple(
    map(
        ipaddress.ip_network,
        (
            "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
            "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
            "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32",
            "::/128", "::1/128", "64:ff9b:1::/48", "100::/64", "2001:db8::/32", "3fff::/20", "5f00::/16", "fc00::/7",
            "fe80::/10", "fec0::/10", "ff00::/8",
        ),
    )
)  # fmt: skip
"""Private, loopback, link-local (where metadata services are), shared, documentation, multicast, reserved; Azure's."""

_UNICAST: Final = tuple(map(ipaddress.ip_network, ("2000::/3", "64:ff9b::/96", "::ffff:0:0/96")))
"""All of IPv6 that is given out, and the ways of writing an address of IPv4; the rest leads wherever a network says."""

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_COMPATIBLE: Final = ipaddress.ip_network("::/96")


def is_public(address: Address) -> bool:
    """Whether an address, and every other that is wrapped in it, is one of the public internet."""
    if isinstance(address, ipaddress.IPv6Address) and not any(address in each for each in _UNICAST):
        return False
    return all(each.is_global and not any(each in net for net in _CLOSED) for each in (address, *_wrapped(address)))


def _wrapped(address: Address) -> list[Address]:
    if isinstance(address, ipaddress.IPv4Address):
        return []
    found: list[Address | None] = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64 or address in _COMPATIBLE:
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [each for each in found if each is not None]


@dataclass(frozen=True, slots=True)
class Rule:
    """What is allowed though it is not public: a host by name, or a network; at one port if it says one."""

    host: str
    network: Network | None
    port: int | None

    def allows(self, host: str, port: int, address: Address | None) -> bool:
        """Whether this is what it allows."""
        if self.port not in (None, port):
            return False
        if self.network is None:
            return self.host == host
        return address is not None and address.version == self.network.version and address in self.network


def rule_of(text: str) -> Rule:
    """A rule from text: "10.0.0.0/8", "127.0.0.1:8080", "[::1]:80", "db.internal". Raises ValueError."""
    host, port = text, ""
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if not host or any(char in host for char in "@?# *") or host.startswith("/"):
        raise ValueError(text)
    number = int(port) if port else None
    try:
        return Rule("", ipaddress.ip_network(host), number)
    except ValueError:
        if "/" in host or ":" in host:
            raise
        return Rule(host.lower().rstrip("."), None, number)


async def ask_system(host: str, port: int) -> list[str]:
    """The addresses of a name, as the system resolves it; also of numbers in all the ways in which it reads them."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        message = f"the name {host!r} cannot be resolved: {error}"
        raise StepError(message, code="http_failed") from error
    return [str(each[4][0]) for each in found]


@dataclass(frozen=True, slots=True)
class Guard:
    """Which addresses may be called, how names are resolved, and which origins are answered by others."""

    allowed: tuple[Rule, ...] = ()
    resolve: Resolve = field(default=ask_system, repr=False)
    stand_ins: tuple[tuple[str, str], ...] = ()

    def answering(self, origin: str) -> str:
        """Where calls of an origin go instead; empty if they go there."""
        return next((there for each, there in self.stand_ins if each == origin), "")

    async def addresses(self, host: str, port: int) -> list[str]:
        """The addresses of a host that may be called, in order.

        Raises `StepError(address_refused)` if one of them may not: a name with one foot in a private network is not to
        be trusted with the other.
        """
        name = host.lower().rstrip(".")
        found = [ipaddress.ip_address(text.partition("%")[0]) for text in await self.resolve(host, port)]
        for address in found:
            if not is_public(address) and not any(rule.allows(name, port, address) for rule in self.allowed):
                raise StepError(
                    f"{host!r} is at {address}, which is not in the public internet",
                    code="address_refused",
                    retryable=False,
                    hint=f'if it is to be called: allow=["{host}:{port}"]',
                )
        return list(dict.fromkeys(map(str, found)))


def guard_of(allow: Iterable[str], stand_ins: Mapping[str, str] | None = None) -> Guard:
    """A guard that allows these, and what stands in for others, besides the public internet. Raises ValueError."""
    others = {origin.lower().rstrip("/"): there.rstrip("/") for origin, there in (stand_ins or {}).items()}
    places = [rule_of(urlsplit(there).netloc) for there in others.values()]
    return Guard((*map(rule_of, allow), *places), stand_ins=tuple(others.items()))


def bad_stand_ins(given: Any) -> str | None:
    """What is wrong with what says which origins are answered by others."""
    if not isinstance(given, Mapping):
        return f"stand_ins is {given!r}, must be a mapping of origins to URLs"
    for origin, there in cast("Mapping[object, object]", given).items():
        wrong = bad_url(origin) or bad_url(there)
        if wrong or urlsplit(str(origin)).path not in ("", "/") or urlsplit(str(there)).query:
            return f"stand_ins: {wrong or f'{origin!r} is no origin, or {there!r} has a query'}"
    return None


def bad_allow(allow: Any) -> str | None:
    """What is wrong with a list of addresses that are allowed."""
    try:
        guard_of([] if isinstance(allow, str) else allow)
    except (ValueError, TypeError, AttributeError) as error:
        return f"allow has {error!s}, which is no host, host:port or network"
    return f"allow is {allow!r}, must be a list" if isinstance(allow, str) else None


def bad_url(url: Any) -> str | None:
    """What is wrong with a URL that is to be called."""
    if not isinstance(url, str):
        return f"the url {url!r} must be a text"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return f"the url {url!r} cannot be read: {error}"
    if parts.scheme not in ("http", "https") or not host:
        return f"the url {url!r} must begin with http:// or https:// and a host"
    if "@" in parts.netloc:
        return "the url has a user or password in it: use auth"
    if "{" in parts.netloc:
        return f"the url {url!r} has a hole in its host"
    return None
