"""Tokens for calls of services: asked for by OAuth 2.0 or OpenID Connect, held until they expire, never written down.

Law: what a token is asked for with, and the token, are known to this process alone; the place that gives it out is
called like any other, within what the guard of the call allows.
"""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast, get_args
from urllib.parse import quote_plus, urlsplit
from weakref import WeakKeyDictionary

from pydantic_core import from_json

from ..authoring.options import bad_texts, refuse
from ..errors import StepError
from . import transport
from .guard import Guard, bad_url
from .secret import Secret, hide, is_line, line_of
from .waiting import asked_by

if TYPE_CHECKING:
    import httpx2

Grant: TypeAlias = Literal["client_credentials", "password", "refresh_token"]
ClientAuth: TypeAlias = Literal["client_secret_basic", "client_secret_post", "none"]
Encoding: TypeAlias = Literal["form", "json"]

CONFIGURATION: Final = "/.well-known/openid-configuration"
"""Where an authority of OpenID Connect says what it is, after its own URL."""

_UNSAID: Final = 300.0
"""Seconds that a token is held of which nobody said how long it lasts."""

_LARGEST: Final = 1_048_576
_MARGIN: Final = 30.0
_MOST: Final = 1_000
_TOLD: Final = 200


@dataclass(frozen=True, slots=True)
class OAuth2:
    """The `auth` of a call: a token that the `authority` gives out, asked for with `grant`.

    `token` is where it does so, a path after the URL of the authority or a whole URL. `client` is known by its `secret`
    as `client_auth` says ("none": it has none); `user` and `password` are for the grant "password", `refresh` is the
    token of the grant "refresh_token". `audiences` go as one parameter, `audience`, with spaces between.

    A token is held by the process until shortly before it expires, and got anew, once, when a service answers 401.
    Raises `InvalidConfig`.
    """

    authority: str
    _: KW_ONLY
    client: str = ""
    secret: Secret | None = None
    grant: Grant = "client_credentials"
    scopes: tuple[str, ...] = ()
    audiences: tuple[str, ...] = ()
    user: str = ""
    password: Secret | None = None
    refresh: Secret | None = None
    client_auth: ClientAuth = "client_secret_basic"
    encoding: Encoding = "form"
    token: str = "/oauth2/token"

    def __post_init__(self) -> None:
        refuse(
            type(self).__name__,
            bad_url(self.authority),
            *(_bad_choice(self, name, choices) for name, choices in _CHOICES),
            *(_bad_secret(getattr(self, name), name) for name in ("secret", "password", "refresh")),
            *(bad_texts(getattr(self, name), name) for name in ("scopes", "audiences")),
            *self._lacking(),
            self._bad_token(),
        )
        for name in ("scopes", "audiences"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

    def _lacking(self) -> list[str | None]:
        """What the way that it is asked for needs, and what it has no use for."""
        needed = {"password": ("user", "password"), "refresh_token": ("refresh",)}.get(self.grant, ())
        others = {"user", "password", "refresh"} - set(needed)
        return [
            *(f"the grant {self.grant} needs {name}" for name in needed if not getattr(self, name)),
            *(f"the grant {self.grant} has no use for {name}" for name in sorted(others) if getattr(self, name)),
            None if self.client or self.grant != "client_credentials" else "client is empty",
            None
            if self.secret or self.client_auth == "none"
            else "secret is missing; a client without: client_auth='none'",
            "client_auth is 'none', so secret is for nothing" if self.secret and self.client_auth == "none" else None,
        ]

    def _bad_token(self) -> str | None:
        if not isinstance(cast("object", self.token), str) or not self.token:
            return f"token is {self.token!r}, must be a path after the authority, or a whole URL"
        return bad_url(self.token) if "://" in self.token else None

    async def endpoint(self, client: httpx2.AsyncClient) -> str:
        """Where tokens are given out."""
        return self.token if "://" in self.token else f"{self.authority.rstrip('/')}/{self.token.lstrip('/')}"

    def asked(self, refresh: str) -> tuple[dict[str, str], dict[str, str], list[str]]:
        """The fields and headers of a request for a token, and what of them nobody may read.

        `refresh` is the token that this process was given for the purpose, if it was.
        """
        fields: dict[str, str] = {"grant_type": "refresh_token" if refresh else self.grant}
        secrets: list[str] = []
        if refresh or self.refresh is not None:
            fields["refresh_token"] = refresh or line_of(cast("Secret", self.refresh))
            secrets.append(fields["refresh_token"])
        elif self.password is not None:
            fields |= {"username": self.user, "password": line_of(self.password)}
            secrets.append(fields["password"])
        if self.scopes:
            fields["scope"] = " ".join(self.scopes)
        if self.audiences:
            fields["audience"] = " ".join(self.audiences)
        return fields, self._known(fields, secrets), secrets

    def _known(self, fields: dict[str, str], secrets: list[str]) -> dict[str, str]:
        """The headers by which the client is known; or it is by the fields."""
        if self.secret is None:
            if self.client:
                fields["client_id"] = self.client
            return {}
        secret = line_of(self.secret)
        secrets.append(secret)
        if self.client_auth == "client_secret_post":
            fields |= {"client_id": self.client, "client_secret": secret}
            return {}
        pair = b64encode(f"{quote_plus(self.client)}:{quote_plus(secret)}".encode()).decode()
        secrets.append(pair)
        return {"authorization": f"Basic {pair}"}


@dataclass(frozen=True, slots=True)
class OIDC(OAuth2):
    """The same, where the authority itself says where it gives out tokens, as OpenID Connect Discovery has it.

    What it says of itself is read at `.well-known/openid-configuration`; it must be of this authority, or of one of
    `issuers`, and must not give up encryption.
    """

    _: KW_ONLY
    issuers: tuple[str, ...] = ()
    token: str = field(default="", init=False)

    def __post_init__(self) -> None:
        super(OIDC, self).__post_init__()
        refuse("OIDC", bad_texts(self.issuers, "issuers"))
        object.__setattr__(self, "issuers", tuple(self.issuers))

    def _bad_token(self) -> str | None:
        return None

    async def endpoint(self, client: httpx2.AsyncClient) -> str:
        """Where tokens are given out, as the authority says. Raises `StepError(token_refused)`."""
        place = self.authority.rstrip("/") + CONFIGURATION
        said = await _answered(client, client.build_request("GET", place), ())
        issuer, found = said.get("issuer"), said.get("token_endpoint")
        known = {each.rstrip("/") for each in (self.authority, *self.issuers)}
        if not isinstance(issuer, str) or issuer.rstrip("/") not in known:
            raise _refused(f"{place} is of {issuer!r}, which is none of {', '.join(sorted(known))}")
        if not isinstance(found, str) or bad_url(found) is not None:
            raise _refused(f"{place} does not say where tokens are given out")
        if urlsplit(self.authority).scheme == "https" != urlsplit(found).scheme:
            raise _refused(f"{place} gives up encryption: {found}")
        return found


_CHOICES: Final = (("grant", get_args(Grant)), ("client_auth", get_args(ClientAuth)), ("encoding", get_args(Encoding)))


def _bad_choice(auth: OAuth2, name: str, choices: tuple[str, ...]) -> str | None:
    value = getattr(auth, name)
    return None if value in choices else f"{name} is {value!r}, must be one of {', '.join(choices)}"


def _bad_secret(value: object, name: str) -> str | None:
    return None if value is None or isinstance(value, Secret) else f"{name} must be a Secret"


# --- what is held


@dataclass(slots=True)
class _Held:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    token: str = ""
    until: float = 0.0
    refresh: str = ""


class Tokens:
    """The tokens that this process holds, each got once for all who ask for it at a time. `now` is in seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._held: dict[OAuth2, _Held] = {}

    async def get(self, auth: OAuth2, guard: Guard, patience: float, stale: str = "", ca: str = "") -> str:
        """A token that is good for now, and is not the `stale` one, which a service refused.

        Raises `StepError` (`token_refused`, `http_failed`, `address_refused`, `secret_missing`): whatever it is, the
        call that it is for was not made.
        """
        held = self._held.setdefault(auth, _Held())
        while len(self._held) > _MOST:
            self._held.pop(next(iter(self._held)))
        async with held.lock:
            if not held.token or held.token == stale or self._now() >= held.until:
                held.token = ""
                async with transport.client(guard, patience, ca) as client:
                    await self._got(auth, held, client)
            return held.token

    async def _got(self, auth: OAuth2, held: _Held, client: httpx2.AsyncClient) -> None:
        began = self._now()
        place = await auth.endpoint(client)
        if held.refresh:
            try:
                given = await _asked(auth, client, place, held.refresh)
            except StepError as error:
                held.refresh = ""  # it is given out once, used up by whoever got no answer
                if error.code != "token_refused" or error.retryable:
                    raise
                given = await _asked(auth, client, place, "")
        else:
            given = await _asked(auth, client, place, "")
        held.token, held.refresh = given["access_token"], given.get("refresh_token") or held.refresh
        held.until = began + _lasting(given.get("expires_in"))


def _lasting(said: object) -> float:
    """For how many seconds a token is held that is said to last so long."""
    try:
        seconds = float(cast("Any", said))
    except (TypeError, ValueError):
        return _UNSAID
    return seconds - min(_MARGIN, seconds / 10)


_TOKENS: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, Tokens]] = WeakKeyDictionary()
"""Those of each event loop: locks are of one loop."""


async def token_of(auth: OAuth2, guard: Guard, patience: float, stale: str = "", ca: str = "") -> str:
    """A token, of those that this process holds; see `Tokens.get`."""
    held = _TOKENS.setdefault(asyncio.get_running_loop(), Tokens())
    return await held.get(auth, guard, patience, stale, ca)


async def _asked(auth: OAuth2, client: httpx2.AsyncClient, place: str, refresh: str) -> dict[str, Any]:
    fields, headers, secrets = auth.asked(refresh)
    body: dict[str, Any] = {"json": fields} if auth.encoding == "json" else {"data": fields}
    given = await _answered(client, client.build_request("POST", place, headers=headers, **body), secrets)
    token, kind = given.get("access_token"), given.get("token_type", "Bearer")
    if not isinstance(token, str) or not token or not is_line(token) or " " in token:
        raise _refused(f"{place} gave out no token")
    if str(kind).lower() != "bearer":
        raise _refused(f"{place} gave out a token that is no bearer token")
    if not isinstance(given.get("refresh_token", ""), str):
        given.pop("refresh_token")
    return given


async def _answered(
    client: httpx2.AsyncClient, request: httpx2.Request, secrets: list[str] | tuple[()]
) -> dict[str, Any]:
    """The JSON object that an authority answers. Raises `StepError`."""
    request.headers["accept"] = "application/json"
    request.headers["accept-encoding"] = "identity"
    where = transport.shown(request.url)
    answer, body = await transport.fetched(client, request, _LARGEST)
    try:
        said: object = from_json(body)
    except ValueError:
        said = None
    found = cast("dict[str, Any]", said) if isinstance(said, dict) else None
    if not 200 <= answer.status_code < 300:
        asked = asked_by(answer.headers.get("retry-after", ""))
        again = answer.status_code >= 500 or answer.status_code in (408, 425, 429)
        why = hide(_why(found or {}), secrets)
        raise _refused(f"{where} answered with status {answer.status_code}{why}", again=again, retry_after=asked)
    if found is None:
        raise _refused(f"{where} answered with what is no JSON object")
    return found


def _why(said: Mapping[str, Any]) -> str:
    told = [said[name] for name in ("error", "error_description") if isinstance(said.get(name), str)]
    return f": {': '.join(told)[:_TOLD]}" if told else ""


def _refused(why: str, *, again: bool = False, retry_after: float = 0.0) -> StepError:
    hint = "" if again else "see that client, secret, grant and scopes are known to the authority"
    return StepError(f"no token: {why}", code="token_refused", retryable=again, retry_after=retry_after, hint=hint)
