"""Steps that call a method of a gRPC service, as its .proto file says how: guarded, with a deadline, coded."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, cast, overload
from urllib.parse import urlsplit

from pydantic_core import to_json
from typing_extensions import TypeVar, Unpack

from ..authoring.call import Call
from ..authoring.document.source import is_list, is_object
from ..authoring.encoding import decode
from ..authoring.options import bad_count, bad_texts, refuse
from ..authoring.step import Effect, Step
from ..context import current
from ..core.durations import Duration, seconds
from ..errors import InvalidValue, RipresaError, StepError
from . import transport
from .calls import Auth, bad_auth
from .fetching import Source, fetched, held
from .guard import Guard, bad_allow, bad_url, guard_of
from .making import StepOptions, divided, made, own_name, within
from .oauth import OAuth2, token_of
from .recipes import kept
from .secret import Secret, hide, is_line, line_of

if TYPE_CHECKING:
    from .protos import Method, Services

R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")

AGAIN: Final = ("UNAVAILABLE", "RESOURCE_EXHAUSTED", "ABORTED", "DEADLINE_EXCEEDED")
"""Status codes after which another attempt may help."""

_NOT_KNOWN: Final = ("CANCELLED", "UNKNOWN", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS")
"""Status codes that do not say whether a call took effect."""

_CODES: Final = frozenset(
    (
        *AGAIN,
        *_NOT_KNOWN,
        *("INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "FAILED_PRECONDITION"),
        *("OUT_OF_RANGE", "UNIMPLEMENTED", "UNAUTHENTICATED"),
    )
)
_NAME: Final = re.compile(r"[a-z0-9_.-]+")
_METHOD: Final = re.compile(r"[\w.]+/\w+", re.ASCII)
_ROOM: Final = 8
"""How many times `max_size` is received before the connection refuses: what is between is known to be an answer."""
_TOLD: Final = 500
_LARGER: Final = "received message larger than max"
"""What a connection says that refused a message because of its size; a service that refused one says SERVER: first."""


class GrpcOptions(StepOptions, total=False):
    """The options of `grpc`."""

    proto_path: Iterable[str]
    metadata: Mapping[str, str | Secret]
    auth: Auth | None
    idempotency: str
    again: Collection[str]
    allow: Iterable[str]
    tls: bool
    ca: str
    deadline: Duration
    patience: Duration
    most: int
    max_size: int


class GrpcStep(Step[..., R_co], Generic[R_co]):
    """A step that calls a method of a gRPC service; it is given the message, or the messages of a stream."""

    def __call__(self, message: Mapping[str, Any] | list[Any] | None = None, /) -> Call[R_co]:
        """See `Step`."""
        return super().__call__(message if isinstance(message, list) else dict(message or {}))


@dataclass(frozen=True, slots=True)
class _Asked:
    """A call as it was declared, checked."""

    host: str
    port: int
    method: str
    proto: str
    proto_path: tuple[str, ...]
    guard: Guard
    metadata: Mapping[str, str | Secret]
    auth: Auth | None
    idempotency: str
    again: Collection[str]
    tls: bool
    ca: str
    deadline: float
    patience: float
    most: int
    max_size: int

    @property
    def target(self) -> str:
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


@overload
def grpc(target: str, method: str, *, proto: str | Path, **options: Unpack[GrpcOptions]) -> GrpcStep[Any]: ...
@overload
def grpc(
    target: str, method: str, *, proto: str | Path, returns: type[T], **options: Unpack[GrpcOptions]
) -> GrpcStep[T]: ...
def grpc(target: str, method: str, *, proto: str | Path, returns: Any = Any, **options: Any) -> Any:
    """A step that calls a gRPC service: `grpc("tides.example.com:443", "tides.Tides/Find", proto="tides.proto")`.

    `proto` is the .proto file, or the URL of one, compiled when it is first used; it may import others of its folder
    and of `proto_path`. The step is given the message as an object, with the names of the file, or a list of them for
    a stream; what it returns is an object, or a list of at most `most` of them, read as `returns` if that is said.

    `metadata` may be a `Secret`; `auth` is as for `http`. Without `tls=False` the connection is encrypted; `ca` and
    `allow` are as for `http`, too. `deadline` (the step's timeout, or a minute) is told to the service; `patience` is
    for the connection; `max_size` bounds a message in bytes. A status in `again` is worth another attempt.

    Unless `effect` says something else the step is `irreversible`, or `idempotent` where `idempotency` names the
    metadata that takes the step's key. Raises `InvalidConfig`.
    """
    every, own = divided(options)
    refuse("grpc", *_bad(target, method, proto, own))
    limit = None if every.get("timeout") is None else seconds(every["timeout"], "timeout")
    asked = _asked(target, method, proto, own, limit)
    effect: Effect = "idempotent" if asked.idempotency else "irreversible"
    every.setdefault("effect", effect)
    every.setdefault("name", own_name("grpc", method.rpartition("/")[2]))
    run = partial(_called, asked, returns)

    async def call(message: Any = None, /) -> Any:
        return await within(limit, method, run(message))

    step = made(GrpcStep[Any], call, (asked, returns), returns, every)
    again = partial(cast("Any", grpc), target, method, proto=proto, returns=returns, **own)
    given = {"target": target, "method": method, "proto": proto, **own}
    return kept(step, "grpc", again, given, returns=None if returns is Any else returns)


def _asked(target: str, method: str, proto: str | Path, own: dict[str, Any], limit: float | None) -> _Asked:
    parts, tls = urlsplit(f"//{target}"), own.get("tls", True)
    return _Asked(
        str(parts.hostname),
        parts.port or (443 if tls else 80),
        method,
        str(proto),
        tuple(own.get("proto_path", ())),
        guard_of(own.get("allow", ())),
        dict(own.get("metadata", {})),
        own.get("auth"),
        own.get("idempotency", ""),
        tuple(own.get("again", AGAIN)),
        tls,
        own.get("ca", ""),
        seconds(own.get("deadline", limit or 60.0), "deadline"),
        seconds(own.get("patience", 30.0), "patience"),
        own.get("most", 1_000),
        own.get("max_size", 10_485_760),
    )


def _bad(target: object, method: object, proto: object, own: dict[str, Any]) -> list[str | None]:
    unknown = sorted(set(own) - set(GrpcOptions.__annotations__))
    again = own.get("again", ())
    metadata = own.get("metadata", {})
    return [
        f"there is no option {', '.join(unknown)}" if unknown else None,
        _bad_target(target),
        None
        if isinstance(method, str) and _METHOD.fullmatch(method)
        else f"method is {method!r}, must be one such as 'package.Service/Method'",
        None if isinstance(proto, str | Path) and str(proto) else f"proto is {proto!r}, must be a path or URL",
        bad_url(proto) if isinstance(proto, str) and "://" in proto else None,
        bad_texts(again, "again"),
        *(f"again has {each!r}, which is no status code" for each in again if each not in _CODES),
        bad_texts(own.get("proto_path", ()), "proto_path"),
        *(_bad_metadata(name, value) for name, value in metadata.items()),
        _bad_metadata(own["idempotency"], "") if own.get("idempotency") else None,
        bad_auth(own.get("auth")),
        bad_allow(own.get("allow", ())),
        transport.bad_ca(own.get("ca", "")),
        None if isinstance(own.get("tls", True), bool) else "tls must be True or False",
        bad_count(own.get("most", 1), "most"),
        bad_count(own.get("max_size", 1), "max_size"),
    ]


def _bad_target(target: object) -> str | None:
    wrong = f"target is {target!r}, must be a host, or host:port"
    if not isinstance(target, str):
        return wrong
    try:
        parts = urlsplit(f"//{target}")
        host, _ = parts.hostname, parts.port
    except ValueError:
        return wrong
    good = host and target.isprintable() and not any(each in target for each in "/@?# ")
    return None if good else wrong


def _bad_metadata(name: Any, value: Any) -> str | None:
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name.startswith("grpc-") or name.endswith("-bin"):
        return f"{name!r} is no name of metadata: small letters, neither grpc-... nor ...-bin"
    if not isinstance(value, Secret) and not is_line(value):
        return f"the metadata {name} is no line of plain ASCII"
    return None


# --- one call


async def _called(asked: _Asked, returns: Any, given: object) -> Any:
    method = (await _services(asked)).method(asked.method)
    messages = _messages(method, given)
    secrets: list[str] = []
    token = await _token(asked, secrets, "")
    async with _channel(asked) as channel:
        try:
            found = await _answer(asked, channel, method, messages, _metadata(asked, token, secrets))
        except _Refused as error:
            if error.status != "UNAUTHENTICATED" or not isinstance(asked.auth, OAuth2):
                raise _failure(asked, error, secrets) from error
            token = await _token(asked, secrets, token)
            try:
                found = await _answer(asked, channel, method, messages, _metadata(asked, token, secrets))
            except _Refused as again:
                raise _failure(asked, again, secrets) from again
    told = _hidden(found if method.gives_many else found[0], secrets)
    return told if returns is Any else decode(to_json(told), returns, where=asked.method, code="invalid_output")


async def _services(asked: _Asked) -> Services:
    try:
        from .protos import services_in, services_of
    except ImportError:
        raise RipresaError(
            "gRPC calls need an optional dependency",
            code="extra_missing",
            op="grpc",
            hint="pip install 'ripresa[grpc]'",
        ) from None
    if "://" not in asked.proto:
        return await asyncio.to_thread(services_in, asked.proto, asked.proto_path)
    source = Source(asked.proto, asked.guard, asked.ca, asked.patience, asked.max_size)
    text, _ = await held().get(("proto", source), partial(fetched, source))
    return await asyncio.to_thread(services_of, text)


def _messages(method: Method, given: object) -> list[Any]:
    if not method.takes_many:
        return [method.message({} if given is None else given)]
    if not is_list(given):
        raise InvalidValue(f"{method.name} takes a stream: a list of objects", op="grpc", where=method.name)
    return [method.message(each) for each in given]


async def _token(asked: _Asked, secrets: list[str], stale: str) -> str:
    """The token that the call is made with, as it stands in its metadata; empty if there is none."""
    match asked.auth:
        case OAuth2() as auth:
            token = await token_of(auth, asked.guard, asked.patience, stale, asked.ca)
        case Secret() as secret:
            token = line_of(secret)
        case _:
            return ""
    secrets.append(token)
    return token


def _metadata(asked: _Asked, token: str, secrets: list[str]) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for name, value in asked.metadata.items():
        found[name] = line_of(value) if isinstance(value, Secret) else value
        if isinstance(value, Secret):
            secrets.append(found[name])
    if isinstance(asked.auth, tuple):
        user, secret = asked.auth
        pair = transport.basic(user, line_of(secret))
        secrets += [line_of(secret), pair]
        found["authorization"] = f"Basic {pair}"
    elif token:
        found["authorization"] = f"Bearer {token}"
    if asked.idempotency:
        found[asked.idempotency] = current().idempotency_key
    return tuple(found.items())


# --- the connection


@asynccontextmanager
async def _channel(asked: _Asked) -> AsyncGenerator[Any, None]:
    """A connection to an address that was checked. Raises `StepError(grpc_failed)`: nothing was called."""
    from .protos import grpc as library

    ready, failing = library.ChannelConnectivity.READY, library.ChannelConnectivity.TRANSIENT_FAILURE
    for address in await asked.guard.addresses(asked.host, asked.port):
        async with _opened(asked, address, library) as channel:
            state = channel.get_state(try_to_connect=True)
            try:
                async with asyncio.timeout(asked.patience):
                    while state not in (ready, failing):
                        await channel.wait_for_state_change(state)
                        state = channel.get_state(try_to_connect=True)
            except TimeoutError:
                continue
            if state is ready:
                yield channel
                return
    why = "nobody is there, or its certificate is not to be trusted" if asked.tls else "nobody is there"
    raise StepError(f"no connection to {asked.target}: {why}", code="grpc_failed")


def _opened(asked: _Asked, address: str, library: Any) -> Any:
    """A connection to one address; the host itself stays in the call and in the certificate."""
    version6 = isinstance(ip_address(address), IPv6Address)
    place = f"ipv6:[{address}]:{asked.port}" if version6 else f"ipv4:{address}:{asked.port}"
    options = (
        ("grpc.default_authority", asked.target),
        ("grpc.enable_http_proxy", 0),
        ("grpc.enable_retries", 0),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.max_receive_message_length", asked.max_size * _ROOM),
    )
    if not asked.tls:
        return library.aio.insecure_channel(place, options=options)
    transport.context_of(asked.ca)  # a file that holds none is an error by name
    roots = Path(asked.ca).read_bytes() if asked.ca else None
    return library.aio.secure_channel(place, library.ssl_channel_credentials(roots), options=options)


class _Refused(Exception):
    """A status that means failure."""

    def __init__(self, status: str, details: str) -> None:
        super().__init__(status)
        self.status = status
        self.details = details


async def _answer(
    asked: _Asked, channel: Any, method: Method, messages: list[Any], metadata: tuple[tuple[str, str], ...]
) -> list[dict[str, Any]]:
    from .protos import grpc as library

    kinds = (
        (channel.stream_unary, channel.stream_stream)
        if method.takes_many
        else (channel.unary_unary, channel.unary_stream)
    )
    make = kinds[1] if method.gives_many else kinds[0]
    call = make(method.path, request_serializer=method.takes.SerializeToString, response_deserializer=bytes)
    options = {"timeout": asked.deadline, "metadata": metadata}
    going = call(iter(messages), **options) if method.takes_many else call(messages[0], **options)
    found: list[dict[str, Any]] = []
    try:
        async with aclosing(_each(going, method)) as answers:
            async for each in answers:
                if len(each) > asked.max_size or len(found) == asked.most:
                    raise _too_large(asked, len(each))
                found.append(method.data(each))
    except library.aio.AioRpcError as error:
        raise _ended(asked, error.code().name, error.details() or "") from error
    finally:
        going.cancel()
    return found


async def _each(going: Any, method: Method) -> AsyncGenerator[bytes, None]:
    if not method.gives_many:
        yield await going
        return
    async for each in going:
        yield each


def _ended(asked: _Asked, status: str, details: str) -> Exception:
    """What a status means that is none of success: one that the connection itself gave is no answer of the service."""
    said = details.lower()
    if status == "RESOURCE_EXHAUSTED" and _LARGER in said and not said.startswith("server:"):
        return _too_large(asked, asked.max_size + 1)
    return _Refused(status, details)


def _too_large(asked: _Asked, size: int) -> StepError:
    if size > asked.max_size:
        message, hint = f"a message is larger than {asked.max_size:,} bytes", "raise max_size"
    else:
        message, hint = f"there are more than {asked.most:,} messages", "raise most"
    return StepError(f"{asked.method}: {message}", code="too_large", retryable=False, hint=hint, unknown=True)


def _failure(asked: _Asked, refused: _Refused, secrets: list[str]) -> StepError:
    told = hide(refused.details.strip(), secrets)[:_TOLD]
    return StepError(
        f"{asked.method} at {asked.target} was answered with {refused.status}{': ' if told else ''}{told}",
        code="grpc_status",
        retryable=refused.status in asked.again,
        unknown=refused.status in _NOT_KNOWN,
    )


def _hidden(value: Any, secrets: list[str]) -> Any:
    """What a service said without the secrets that it was told."""
    if isinstance(value, str):
        return hide(value, secrets)
    if is_list(value):
        return [_hidden(each, secrets) for each in value]
    if is_object(value):
        return {hide(name, secrets): _hidden(each, secrets) for name, each in value.items()}
    return value
