"""Steps that call an operation of an API by its name, as the description of the API says how."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Generic, cast, overload
from urllib.parse import urlsplit

from pydantic_core import from_json, to_json
from typing_extensions import TypeVar, Unpack

from ..authoring.call import Call
from ..authoring.document.source import is_object
from ..authoring.document.text import document_of
from ..authoring.options import refuse
from ..authoring.step import Effect, Step
from ..core.durations import seconds
from ..errors import InvalidConfig, InvalidWorkflow, StepError
from .calls import READS, HttpOptions, Request, Response, Spec, bad_options, called, spec_of
from .descriptions import Description, Operation, invalid
from .fetching import Source, fetched, held
from .guard import bad_url
from .making import divided, made, own_name, within
from .placing import placed
from .recipes import kept
from .secret import Secret

R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")


class OpenAPIOptions(HttpOptions, total=False):
    """The options of `openapi`."""

    server: str


class OpenAPIStep(Step[..., R_co], Generic[R_co]):
    """A step that calls an operation of an API; it is given the parameters by name."""

    def __call__(self, parameters: Mapping[str, Any] | None = None, /) -> Call[R_co]:
        """See `Step`."""
        return super().__call__(dict(parameters or {}))


@dataclass(frozen=True, slots=True)
class _Asked:
    """Where an API is described (a path or URL, or the description itself), which operation is called, and how."""

    document: str
    data: Mapping[str, Any] | None
    operation: str
    server: str
    spec: Spec
    known: Description | None = None
    """What the data says, read when the step was made."""

    @property
    def is_remote(self) -> bool:
        return "://" in self.document

    @property
    def told(self) -> tuple[object, ...]:
        """What tells it from others."""
        data = "" if self.data is None else sha256(to_json(self.data, fallback=str)).hexdigest()
        return self.document, data, self.operation, self.server, self.spec


@overload
def openapi(
    document: str | Path | Mapping[str, Any], operation: str, **options: Unpack[OpenAPIOptions]
) -> OpenAPIStep[Response]: ...
@overload
def openapi(
    document: str | Path | Mapping[str, Any], operation: str, *, returns: type[T], **options: Unpack[OpenAPIOptions]
) -> OpenAPIStep[T]: ...
def openapi(
    document: str | Path | Mapping[str, Any], operation: str, *, returns: Any = Response, **options: Any
) -> Any:
    """A step that calls an operation of an API: `openapi("petstore.yaml", "findPets")({"status": "sold"})`.

    `document` is the description, in OpenAPI 3 or Swagger 2: the path of a file, a URL, or the data itself;
    `operation` its id, or "METHOD /path". The step is given the parameters by name, the body of a request as `body`;
    they are held against their schemas and put where they belong. `server` is called instead of the one described.

    The rest is as for `http`; the URL of a description is called like any other, without `auth` and `headers`, and
    what it says is believed for five minutes. Secrets go to no other host than the one that it came from, unless
    `server` names it.

    A file is read when the step is made, and its operation is looked for; the effect is then that of the method, as
    for `http`. Otherwise it is `irreversible` unless `effect` says something else. Raises `InvalidConfig`.
    """
    every, own = divided(options)
    server = own.pop("server", "")
    refuse(
        "openapi",
        _bad_document(document),
        None if isinstance(cast("object", operation), str) and operation else "operation must be the id of one",
        bad_url(server) if server != "" else None,
        *bad_options("GET", "", None, own),
    )
    spec = spec_of("GET", "", None, own)
    data = None if isinstance(document, str | Path) else document
    asked = _Asked("" if data is not None else str(document), data, operation, server, spec)
    description = None if asked.is_remote else _at_hand(asked)
    every.setdefault("effect", "irreversible" if description is None else _effect(asked, description))
    every.setdefault("name", own_name("openapi", operation))
    limit = None if every.get("timeout") is None else seconds(every["timeout"], "timeout")
    run = partial(_called, asked if data is None else replace(asked, known=description), returns)

    async def call(parameters: dict[str, Any] | None = None, /) -> Any:
        return await within(limit, operation, run(parameters or {}))

    step = made(OpenAPIStep[Any], call, (asked.told, returns), returns, every)
    given = {**own, **({"server": server} if server else {})}
    again = partial(cast("Any", openapi), document, operation, returns=returns, **given)
    what = {"document": document, "operation": operation, **given}
    return kept(step, "openapi", again, what, returns=None if returns is Response else returns)


def _bad_document(document: object) -> str | None:
    if is_object(document) or isinstance(document, Path):
        return None
    if not isinstance(document, str) or not document:
        return f"document is {document!r}, must be the path or URL of a description, or the description"
    return bad_url(document) if "://" in document else None


def _at_hand(asked: _Asked) -> Description:
    """The description that is data or a file, which has the operation. Raises `InvalidConfig`."""
    try:
        found = _of_file(asked.document) if asked.data is None else Description(asked.data)
        found.operation(asked.operation)
    except StepError as error:
        raise InvalidConfig(error.message, code=error.code, op="openapi", hint=error.said) from error
    return found


def _effect(asked: _Asked, description: Description) -> Effect:
    method = description.operation(asked.operation).method
    if method in READS:
        return "read"
    return "idempotent" if asked.spec.idempotency or method in ("PUT", "DELETE") else "irreversible"


# --- one call


async def _called(asked: _Asked, returns: Any, parameters: Mapping[str, Any]) -> Any:
    description = await _described(asked)
    operation = description.operation(asked.operation)
    server = (asked.server or _server(asked, operation)).rstrip("/")
    found = placed(description, operation, parameters)
    cookies = {"cookie": "; ".join(found.cookies)} if found.cookies else {}
    spec = replace(asked.spec, method=operation.method, headers={**found.headers, **cookies, **asked.spec.headers})
    try:
        return await called(spec, returns, Request(url=found.url(server, operation.path), body=found.body))
    except StepError as error:
        if operation.method in READS:
            error.unknown = False
        raise


def _server(asked: _Asked, operation: Operation) -> str:
    """The server that the description says, if it may be given what the step has to give."""
    if not operation.server or bad_url(operation.server) is not None:
        raise invalid(f"it says no server that can be called: {operation.server!r}", hint='server="https://..."')
    spec = asked.spec
    if not asked.is_remote or (
        spec.auth is None and not any(isinstance(each, Secret) for each in spec.headers.values())
    ):
        return operation.server
    from_, to = urlsplit(asked.document), urlsplit(operation.server)
    if from_.hostname != to.hostname or (from_.scheme, to.scheme) == ("https", "http"):
        raise StepError(
            f"the description at {asked.document} would have secrets sent to {operation.server}",
            code="address_refused",
            retryable=False,
            hint=f'if that is right: server="{operation.server}"',
        )
    return operation.server


# --- descriptions


async def _described(asked: _Asked) -> Description:
    if asked.known is not None:
        return asked.known
    if not asked.is_remote:
        return await asyncio.to_thread(_of_file, asked.document)
    spec = asked.spec
    source = Source(asked.document, spec.guard, spec.ca, spec.patience, spec.max_size, spec.redirects)
    return await held().get(("openapi", source), partial(_fetched, source))


def _of_file(document: str) -> Description:
    """What a file says, read once until it changes. Raises `StepError(invalid_description)`."""
    path = Path(document).expanduser()
    try:
        now = path.stat()
        return _of_file_as(str(path.resolve()), document, now.st_mtime_ns, now.st_size)
    except OSError as error:
        raise invalid(f"{document!r} cannot be read: {error.strerror}") from error


@lru_cache(maxsize=64)
def _of_file_as(path: str, document: str, changed: int, size: int) -> Description:
    """What a file says, as it was when it was changed and so large."""
    return Description(_parsed(Path(path).read_bytes(), document))


async def _fetched(source: Source) -> Description:
    text, url = await fetched(source)
    return await asyncio.to_thread(_of_text, text, url)


def _of_text(text: bytes, url: str) -> Description:
    return Description(_parsed(text, url), url)


def _parsed(text: bytes, where: str) -> object:
    try:
        return from_json(text)
    except ValueError:
        pass
    try:
        return document_of(text.decode(), "").data
    except (UnicodeDecodeError, InvalidWorkflow) as error:
        raise invalid(f"{where} is neither JSON nor YAML") from error
