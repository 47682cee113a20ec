"""Steps that call an HTTP service: guarded against addresses that are none of its business, bounded, coded."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Iterable, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeAlias, TypedDict, cast, overload
from urllib.parse import quote, urlsplit

from typing_extensions import TypeVar, Unpack

from ..authoring.call import Call
from ..authoring.encoding import decode
from ..authoring.options import bad_choice, bad_count, bad_kind, refuse
from ..authoring.step import Effect, Step
from ..context import current
from ..core.definition import LATER
from ..core.durations import Duration, seconds
from ..errors import InvalidValue, StepError
from . import transport
from .digest import Answering, Digest
from .guard import Guard, bad_allow, bad_stand_ins, bad_url, guard_of
from .making import StepOptions, divided, made, own_name, within
from .oauth import OAuth2, token_of
from .recipes import changed, kept
from .secret import Secret, hide, is_line, line_of
from .transport import shown
from .uploads import Upload, opened
from .waiting import asked_by

if TYPE_CHECKING:
    import httpx2

    from .listening import ServerEvent

Auth: TypeAlias = Secret | tuple[str, Secret] | OAuth2 | Digest
"""Who calls: a bearer token, a user and a password, how a token is got, or what a hash is made of."""

R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")

AGAIN: Final = (408, 425, 429, 500, 502, 503, 504)
"""Statuses after which another attempt may help."""

_NOT_KNOWN: Final = (500, 502, 504)
"""Statuses that do not say whether a request took effect."""

READS: Final = ("GET", "HEAD", "OPTIONS")
_METHODS: Final = (*READS, "PUT", "DELETE", "POST", "PATCH")
OWN_HEADERS: Final = frozenset(("authorization", "connection", "content-length", "cookie", "host", "transfer-encoding"))
"""Headers that data cannot set."""

_PRIVATE: Final = frozenset(("set-cookie", "set-cookie2", "authorization", "proxy-authenticate", "www-authenticate"))
"""Headers of an answer that are not recorded."""

_LATER: Final = {LATER: True}
_HOLE: Final = re.compile(r"\{(\w+)\}")
_TOLD: Final = 500
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def _empty() -> dict[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class Request:
    """What one call adds: values for the holes of the URL, query, headers, and a body (JSON, text, or a form).

    `url` is for steps that have none of their own. A `form` with `files` is sent as multipart/form-data.
    """

    path: dict[str, str] = field(default_factory=_empty)
    query: dict[str, str] = field(default_factory=_empty)
    headers: dict[str, str] = field(default_factory=_empty)
    json: Any = None
    body: str = ""
    url: str = ""
    form: dict[str, str] = field(default_factory=_empty, metadata=_LATER)
    files: tuple[Upload, ...] = field(default=(), metadata=_LATER)


@dataclass(frozen=True, slots=True)
class Response:
    """What a service answered. Names of headers are in small letters; cookies are left out.

    `body` is text, or base64 of what is none.
    """

    status: int
    url: str
    headers: dict[str, str]
    body: str
    is_base64: bool = False
    method: str = field(default="", metadata=_LATER)

    @property
    def content(self) -> bytes:
        """The body as bytes."""
        return base64.b64decode(self.body) if self.is_base64 else self.body.encode()

    def json(self) -> Any:
        """The body read as JSON. Raises `InvalidValue(invalid_output)`."""
        return _decoded(self, Any)


@dataclass(frozen=True, slots=True)
class Pages:
    """How the next page is found: by the header `Link`, or at `cursor`, a path in the JSON answer ("meta.next").

    What stands there is the URL of the next page, or, with `parameter`, the value of that parameter of the query. More
    than `most` pages are an error.
    """

    cursor: str = ""
    parameter: str = ""
    most: int = 100


class CallOptions(TypedDict, total=False):
    """What can be said of a call of an HTTP service; see `http`."""

    headers: Mapping[str, str | Secret]
    auth: Auth | None
    query: Mapping[str, str]
    idempotency: str
    ok: Collection[int]
    again: Collection[int]
    allow: Iterable[str]
    stand_ins: Mapping[str, str]
    ca: str
    folder: str | os.PathLike[str]
    redirects: int
    max_size: int
    patience: Duration


class HttpOptions(StepOptions, CallOptions, total=False):
    """The options of `http`."""


class HttpStep(Step[..., R_co], Generic[R_co]):
    """A step that calls an HTTP service."""

    def __call__(self, request: Request = Request(), /) -> Call[R_co]:
        """See `Step`."""
        return super().__call__(request)


@overload
def http(method: str, url: str = "", **options: Unpack[HttpOptions]) -> HttpStep[Response]: ...
@overload
def http(method: str, url: str = "", *, returns: type[T], **options: Unpack[HttpOptions]) -> HttpStep[T]: ...
@overload
def http(method: str, url: str = "", *, pages: Pages, **options: Unpack[HttpOptions]) -> HttpStep[list[Response]]: ...
@overload
def http(
    method: str, url: str = "", *, pages: Pages, returns: type[T], **options: Unpack[HttpOptions]
) -> HttpStep[list[T]]: ...
@overload
def http(
    method: str, url: str = "", *, stream: Literal["lines"], most: int = ..., **options: Unpack[HttpOptions]
) -> HttpStep[list[str]]: ...
@overload
def http(
    method: str, url: str = "", *, stream: Literal["events"], most: int = ..., **options: Unpack[HttpOptions]
) -> HttpStep[list[ServerEvent]]: ...
@overload
def http(
    method: str,
    url: str = "",
    *,
    stream: Literal["lines", "events"],
    most: int = ...,
    returns: type[T],
    **options: Unpack[HttpOptions],
) -> HttpStep[list[T]]: ...
def http(
    method: str,
    url: str = "",
    *,
    returns: Any = Response,
    pages: Pages | None = None,
    stream: Literal["", "lines", "events"] = "",
    most: int = 1_000,
    **options: Any,
) -> Any:
    """A step that calls an HTTP service: `http("GET", "https://api.example.com/tides/{port}", returns=Tides)`.

    A `Request` fills the holes of the URL (never its host), and adds query, headers and a body; for a step without a
    URL it has the whole. With `returns` the answer is read as JSON of that type, else it is a `Response`; with `pages`
    it is the list of all pages. `headers` may be a `Secret`, `auth` is a bearer token, (user, password), `OAuth2`,
    `OIDC` or `Digest`. A status in `ok` (200 to 299) is a success, one in `again` is worth another attempt, not before
    what `Retry-After` says.

    With `stream` an answer is taken piece by piece, lines or server-sent events, of which watchers are told as they
    come; the result is the list of all, at most `most`, with `returns` each read as JSON. See `server_events` for
    those that do not end.

    Only the public internet is called, and what `allow` names: hosts, "host:port", networks. `stand_ins` are URLs that
    answer for other origins, as in tests: `{"https://example.com": "http://127.0.0.1:80"}`. `ca` is a PEM file of the
    authorities whose certificates are trusted instead of the usual ones. `redirects` are followed for GET and HEAD,
    each checked, without the secrets where they lead elsewhere. `max_size` bounds an answer in bytes, `patience` the
    waiting for a connection and for each piece. Files that a `Request` names are those in `folder`.

    Unless `effect` says something else, GET, HEAD and OPTIONS `read`, PUT and DELETE are `idempotent`, POST and PATCH
    `irreversible`, or `idempotent` where `idempotency` names the header that takes the step's key. Raises
    `InvalidConfig`.
    """
    every, own = divided(options)
    refuse("http", *bad_options(method, url, pages, own), *_bad_stream(stream, most, pages))
    spec = spec_of(method, url, pages, own)
    if method in READS:
        effect: Effect = "read"
    else:
        effect = "idempotent" if spec.idempotency or method in ("PUT", "DELETE") else "irreversible"
    every.setdefault("effect", effect)
    every.setdefault("name", own_name("http", f"{method.lower()} {urlsplit(url).hostname or ''}".strip()))
    limit = None if every.get("timeout") is None else seconds(every["timeout"], "timeout")
    run, kind = _performed(spec, returns, stream, most)

    async def call(request: Request | None = None, /) -> Any:
        return await within(limit, f"{method} {url}", run(request or Request()))

    more: dict[str, Any] = {"pages": pages} if pages is not None else {}
    if stream:
        more = {"stream": stream, "most": most}
    given = {"method": method, **({"url": url} if url else {}), **own, **more}
    if pages is not None:
        given["pages"] = changed(pages)
    again = partial(_again, method, url, returns, {**own, **more})
    step = made(HttpStep[Any], call, (spec, returns, *more.values()) if stream else (spec, returns), kind, every)
    return kept(step, "http", again, given, returns=None if returns is Response else returns)


def _performed(
    spec: Spec, returns: Any, stream: str, most: int
) -> tuple[Callable[[Request], Coroutine[Any, Any, Any]], Any]:
    """What performs a call, and the type of what it gives."""
    if not stream:
        return partial(called, spec, returns), returns if spec.pages is None else list[returns]
    from .listening import ServerEvent, collected

    usual: Any = str if stream == "lines" else ServerEvent
    own = None if returns is Response else returns
    kind: Any = own or usual
    return partial(collected, spec, cast("Any", stream), own, most), list[kind]


def _bad_stream(stream: object, most: object, pages: object) -> list[str | None]:
    return [
        bad_choice(stream, "stream", ("lines", "events")) if stream != "" else None,
        bad_count(most, "most"),
        "pages are not for what streams" if stream and pages is not None else None,
    ]


def _again(method: str, url: str, returns: Any, own: dict[str, Any]) -> Any:
    return cast("Any", http)(method, url, returns=returns, **own)


@dataclass(frozen=True, slots=True)
class Spec:
    """A call as it was declared, checked."""

    method: str
    url: str
    pages: Pages | None
    guard: Guard
    headers: Mapping[str, str | Secret]
    auth: Auth | None
    query: Mapping[str, str]
    idempotency: str
    ok: Collection[int]
    again: Collection[int]
    ca: str
    redirects: int
    max_size: int
    patience: float
    folder: str


def spec_of(method: str, url: str, pages: Pages | None, own: dict[str, Any]) -> Spec:
    """A call of these options, which are good."""
    return Spec(
        method,
        url,
        pages,
        guard_of(own.get("allow", ()), own.get("stand_ins")),
        dict(own.get("headers", {})),
        own.get("auth"),
        dict(own.get("query", {})),
        own.get("idempotency", ""),
        own.get("ok", range(200, 300)),
        own.get("again", AGAIN),
        str(own.get("ca", "")),
        own.get("redirects", 5),
        own.get("max_size", 10_485_760),
        seconds(own.get("patience", 30.0), "patience"),
        str(own.get("folder", "")),
    )


def bad_options(method: object, url: str, pages: object, own: dict[str, Any]) -> list[str | None]:
    """What is wrong with the options of a call."""
    unknown = sorted(set(own) - set(CallOptions.__annotations__))
    return [
        f"there is no option {', '.join(unknown)}" if unknown else None,
        None if method in _METHODS else f"method is {method!r}, must be one of {', '.join(_METHODS)}",
        bad_url(url) if url else None,
        None if pages is None or isinstance(pages, Pages) else f"pages is {pages!r}, must be Pages(...)",
        bad_auth(own.get("auth"), digest=True),
        None if _is_whole(own.get("redirects", 0)) else "redirects must be a whole number from 0",
        *(_bad_statuses(own.get(name, ()), name) for name in ("ok", "again")),
        bad_count(own.get("max_size", 1), "max_size"),
        bad_count(pages.most, "pages.most") if isinstance(pages, Pages) else None,
        *(bad_header(name, value) for name, value in own.get("headers", {}).items()),
        bad_header(own["idempotency"], "") if own.get("idempotency") else None,
        bad_allow(own.get("allow", ())),
        bad_stand_ins(own.get("stand_ins", {})),
        transport.bad_ca(own.get("ca", "")),
        bad_kind(own.get("folder", ""), "folder", (str, os.PathLike), "the path of a folder"),
    ]


def bad_auth(auth: object, *, digest: bool = False) -> str | None:
    """What is wrong with what says who calls; a `digest` is for plain HTTP alone."""
    if isinstance(auth, Digest):
        return None if digest else "auth is a Digest, which is for calls of http and openapi"
    pair = cast("tuple[object, ...]", auth) if isinstance(auth, tuple) else ()
    good = len(pair) == 2 and isinstance(pair[0], str) and isinstance(pair[1], Secret)
    known = good or auth is None or isinstance(auth, Secret | OAuth2)
    return None if known else "auth must be a Secret, a user and a Secret, OAuth2, OIDC or Digest"


def _bad_statuses(value: Any, name: str) -> str | None:
    good = isinstance(value, Collection) and all(type(each) is int for each in cast("Collection[object]", value))
    return None if good else f"{name} is {value!r}, must be a list of statuses"


def _is_whole(value: object) -> bool:
    return type(value) is int and value >= 0


def bad_header(name: Any, value: Any) -> str | None:
    """What is wrong with a header that is to be sent."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return f"{name!r} is no name of a header"
    if not isinstance(value, Secret) and not is_line(value):
        return f"the header {name} is no line of plain ASCII"
    return None


# --- one call


async def called(spec: Spec, returns: Any, request: Request) -> Any:
    """What a service answers to a call, as it is wanted."""
    secrets: list[str] = []
    async with _sending(spec, request, secrets, {}) as (client, sent):
        found = await _pages(spec, client, sent, secrets)
    results = found if returns is Response else [_decoded(each, returns) for each in found]
    return results if spec.pages is not None else results[0]


@asynccontextmanager
async def opened_answer(
    spec: Spec, request: Request, secrets: list[str], more: Mapping[str, str]
) -> AsyncGenerator[httpx2.Response, None]:
    """What a service answers to a call, while it is read; `more` are headers where the call has none of these names."""
    async with (
        _sending(spec, request, secrets, more) as (client, sent),
        _answered(spec, client, sent, secrets, _proof(spec, secrets)) as answer,
    ):
        yield answer


@asynccontextmanager
async def _sending(
    spec: Spec, request: Request, secrets: list[str], more: Mapping[str, str]
) -> AsyncGenerator[tuple[httpx2.AsyncClient, httpx2.Request], None]:
    """A client, and the request that is to be sent; what it sends is open as long."""
    headers = {**more, **_headers(spec, request, secrets)}
    url = _url(spec, request)
    with ExitStack() as files:
        async with transport.client(spec.guard, spec.patience, spec.ca) as client:
            address = _with_query(url, {**spec.query, **request.query})
            yield client, _built(spec, client, address, headers, request, files)


def _built(
    spec: Spec, client: httpx2.AsyncClient, url: httpx2.URL, headers: dict[str, str], request: Request, files: ExitStack
) -> httpx2.Request:
    bodies = [request.json is not None, bool(request.body), bool(request.form or request.files)]
    if sum(bodies) > 1:
        raise InvalidValue("a request has one body: json, body, or form and files", op="http")
    return client.build_request(
        spec.method,
        url,
        headers={"accept-encoding": "identity", **headers},
        json=request.json,
        content=request.body or None,
        data=request.form or None,
        files=opened(request.files, spec.folder, files) or None,
    )


async def _pages(spec: Spec, client: httpx2.AsyncClient, sent: httpx2.Request, secrets: list[str]) -> list[Response]:
    """The answer, or those of all pages."""
    proof = _proof(spec, secrets)
    found: list[Response] = []
    while True:
        answer = await _sent(spec, client, sent, secrets, proof)
        found.append(answer)
        following = _next(spec, sent, answer) if spec.pages is not None else None
        if following is None:
            return found
        if spec.pages is not None and len(found) >= spec.pages.most:
            raise StepError(f"there are more than {spec.pages.most} pages", code="too_large", retryable=False)
        sent = client.build_request(spec.method, following, headers=sent.headers)


def credentials(headers: Mapping[str, str | Secret], auth: Auth | None, secrets: list[str]) -> dict[str, str]:
    """The headers that a caller fixes and that say who it is, in small letters; what is secret of them is added."""
    fixed: dict[str, str] = {}
    for name, value in headers.items():
        fixed[name.lower()] = _read(value, secrets) if isinstance(value, Secret) else value
    if isinstance(auth, Secret):
        fixed["authorization"] = f"Bearer {_read(auth, secrets)}"
    elif isinstance(auth, tuple):
        user, secret = auth
        token = transport.basic(user, _read(secret, secrets))
        secrets.append(token)
        fixed["authorization"] = f"Basic {token}"
    return fixed


def _headers(spec: Spec, request: Request, secrets: list[str]) -> dict[str, str]:
    fixed = credentials(spec.headers, spec.auth, secrets)
    if spec.idempotency:
        fixed[spec.idempotency.lower()] = current().idempotency_key
    for name, value in request.headers.items():
        lowered = name.lower()
        wrong = bad_header(name, value)
        if wrong or lowered in OWN_HEADERS or lowered in fixed or lowered.startswith("proxy-"):
            raise InvalidValue(wrong or f"the header {name} cannot come from a request", op="http")
        fixed[lowered] = value
    return fixed


def _read(secret: Secret, secrets: list[str]) -> str:
    secrets.append(line_of(secret))
    return secrets[-1]


class Bearer:
    """The token that a call is made with; each that was one is among the secrets of the call."""

    def __init__(self, spec: Spec, secrets: list[str]) -> None:
        self.spec_of = spec
        self._secrets = secrets
        self._token = ""

    async def put(self, request: httpx2.Request) -> None:
        """Give a request its token."""
        await self._give(request, "")

    def is_refused(self, request: httpx2.Request, answer: httpx2.Response) -> bool:
        """Whether a service did not take the token that it was shown."""
        return answer.status_code == 401 and 401 not in self.spec_of.ok and "authorization" in request.headers

    async def again(self, request: httpx2.Request, answer: httpx2.Response) -> None:
        """Give a request another token than it had, which the service refused."""
        await self._give(request, self._token)

    async def _give(self, request: httpx2.Request, stale: str) -> None:
        spec = self.spec_of
        assert isinstance(spec.auth, OAuth2)
        self._token = await token_of(spec.auth, spec.guard, spec.patience, stale, spec.ca)
        self._secrets.append(self._token)
        request.headers["authorization"] = f"Bearer {self._token}"


Proof: TypeAlias = Bearer | Answering
"""What puts to requests who calls, and does it once more where that is refused."""


def _proof(spec: Spec, secrets: list[str]) -> Proof | None:
    if isinstance(spec.auth, Digest):
        return Answering(spec.auth, secrets)
    return Bearer(spec, secrets) if isinstance(spec.auth, OAuth2) else None


def _url(spec: Spec, request: Request) -> str:
    if bool(spec.url) == bool(request.url):
        raise InvalidValue("either the step has a url or the request", op="http")
    if request.url:
        wrong = bad_url(request.url)
        if wrong or _HOLE.search(request.url):
            raise InvalidValue(wrong or "the url of a request has no holes", op="http")
        return request.url
    needed = set(_HOLE.findall(spec.url))
    if needed != set(request.path):
        raise InvalidValue(f"path must have {sorted(needed)}, has {sorted(request.path)}", op="http")
    for name, value in request.path.items():
        if value in ("", ".", ".."):
            raise InvalidValue(f"path has {value!r} for {name}, which is no part of a path", op="http")
    return _HOLE.sub(lambda hole: quote(request.path[hole[1]], safe=""), spec.url)


def _with_query(url: str, query: Mapping[str, str]) -> httpx2.URL:
    import httpx2

    try:
        return httpx2.URL(url).copy_merge_params(query) if query else httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise InvalidValue(f"the url cannot be read: {error}", op="http") from error


async def _sent(
    spec: Spec, client: httpx2.AsyncClient, request: httpx2.Request, secrets: list[str], proof: Proof | None
) -> Response:
    async with _answered(spec, client, request, secrets, proof) as answer:
        return _response(answer, await transport.body_of(answer, spec.max_size), secrets)


@asynccontextmanager
async def _answered(
    spec: Spec, client: httpx2.AsyncClient, request: httpx2.Request, secrets: list[str], proof: Proof | None
) -> AsyncGenerator[httpx2.Response, None]:
    """The answer that counts, while it is read: after redirects, and with another proof where one was refused."""
    if proof is not None:
        await proof.put(request)
    left = spec.redirects
    while True:
        async with transport.sent(client, request) as answer:
            following = answer.next_request if spec.redirects and request.method in ("GET", "HEAD") else None
            refused = following is None and proof is not None and proof.is_refused(request, answer)
            if following is None and not refused:
                if answer.status_code not in spec.ok:
                    raise _failure(spec, _response(answer, await transport.body_of(answer, spec.max_size), secrets))
                yield answer
                return
        if following is None and proof is not None:
            await proof.again(request, answer)
            proof = None if isinstance(proof, Bearer) else proof
        elif following is None or left == 0:
            raise StepError(f"more than {spec.redirects} redirects", code="http_status", retryable=False)
        else:
            left -= 1
            request = await _led(spec, request, following, secrets, proof)


async def _led(
    spec: Spec, before: httpx2.Request, then: httpx2.Request, secrets: list[str], proof: Proof | None
) -> httpx2.Request:
    """The request that a redirect asks for; a digest is of one URL, and for nobody elsewhere."""
    elsewhere = _origin(before) != _origin(then)
    request = _redirected(spec, before, then, secrets)
    if isinstance(proof, Answering):
        if elsewhere:
            proof.leave()
        else:
            await proof.put(request)
    return request


def _response(answer: httpx2.Response, body: bytes, secrets: list[str]) -> Response:
    found = {name.lower(): value for name, value in answer.headers.items()}
    headers = {name: hide(value, secrets) for name, value in found.items() if name not in _PRIVATE}
    try:
        text, is_base64 = hide(body.decode(answer.charset_encoding or "utf-8"), secrets), False
    except (UnicodeDecodeError, LookupError):
        text, is_base64 = base64.b64encode(body).decode(), True
    return Response(answer.status_code, shown(answer.url), headers, text, is_base64, answer.request.method)


def _redirected(spec: Spec, before: httpx2.Request, then: httpx2.Request, secrets: list[str]) -> httpx2.Request:
    """The request that a redirect asks for, without secrets where it leads to another origin."""
    if then.url.scheme not in (("https",) if before.url.scheme == "https" else ("http", "https")):
        message = f"{shown(before.url)} leads to {shown(then.url)}, which is not encrypted, or not HTTP"
        raise StepError(message, code="address_refused", retryable=False)
    if _origin(before) != _origin(then):
        for name in [name for name, value in then.headers.items() if any(each in value for each in secrets)]:
            del then.headers[name]
        for name in (*(name for name, value in spec.headers.items() if isinstance(value, Secret)), "authorization"):
            then.headers.pop(name, None)
    return then


def _origin(request: httpx2.Request) -> tuple[str, str, int | None]:
    return request.url.scheme, request.url.host, request.url.port


def _failure(spec: Spec, answer: Response) -> StepError:
    told = "" if answer.is_base64 else answer.body.strip()[:_TOLD]
    return StepError(
        f"{spec.method} {answer.url} was answered with status {answer.status}{': ' if told else ''}{told}",
        code="http_status",
        retryable=answer.status in spec.again,
        retry_after=asked_by(answer.headers.get("retry-after", "")),
        unknown=answer.status in _NOT_KNOWN,
    )


# --- pages


def _next(spec: Spec, request: httpx2.Request, answer: Response) -> httpx2.URL | None:
    """The URL of the next page, which must be at the same place: the secrets go there too."""
    import httpx2

    assert spec.pages is not None
    if spec.pages.cursor:
        found = _at(_decoded(answer, Any), spec.pages.cursor)
        if found in (None, "", False):
            return None
        if spec.pages.parameter:
            return request.url.copy_set_param(spec.pages.parameter, str(found))
        target = str(found)
    else:
        links = httpx2.Response(200, headers={"link": answer.headers.get("link", "")}).links
        target = links.get("next", {}).get("url", "")
        if not target:
            return None
    following = request.url.join(target)
    if _origin(request) != (following.scheme, following.host, following.port):
        message = f"the next page is said to be at {shown(following)}, which is elsewhere"
        raise StepError(message, code="address_refused", retryable=False)
    return following


def _at(value: Any, path: str) -> Any:
    for name in path.split("."):
        value = cast("dict[str, Any]", value).get(name) if isinstance(value, dict) else None
    return value


def _decoded(answer: Response, kind: Any) -> Any:
    try:
        return decode(answer.content, kind, where=answer.url, code="invalid_output")
    except ValueError as error:
        message = f"the answer is no JSON: {error}"
        raise InvalidValue(message, code="invalid_output", where=answer.url) from error
