"""What Open Workflow documents reach of the world: HTTP services, programs, secrets, other documents, events."""

from __future__ import annotations

import base64
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlencode, urlsplit

from .. import __version__
from ..authoring.owf.problems import Bad
from ..authoring.owf.world import World
from ..errors import RipresaError
from .calls import Request, Response, http
from .process import Bounds, Program, run_program, usual_environment

Find = Callable[[str, str, str], Callable[[], Any] | None]

SECRET: Final = "RIPRESA_SECRET_"
"""How the variables of the environment begin that hold the secrets of documents."""

ALLOW: Final = "RIPRESA_ALLOW"
"""The variable of the environment that lists the private addresses that documents may call."""

_MODULE: Final = re.compile(r"^\s*(?:import|export)\b", re.MULTILINE)
_LARGEST: Final = 10_485_760


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
    folder of the document.
    """

    allow: Iterable[str] | None = None
    stand_ins: Mapping[str, str] = field(default_factory=dict[str, str])
    secret: Callable[[str], Any] = secret_of_environment
    workflows: Iterable[Mapping[str, Any]] = ()

    def allowed(self) -> list[str]:
        """The private addresses that may be called."""
        if self.allow is not None:
            return list(self.allow)
        return [each.strip() for each in os.environ.get(ALLOW, "").split(",") if each.strip()]


def world_of(surroundings: Surroundings, find: Find) -> World:
    """What documents are given in these surroundings; `find` finds other workflows."""
    web = Web(surroundings.allowed(), dict(surroundings.stand_ins), surroundings.secret)
    performers = {"http": web.call, "shell": shell, "script": web.script, "event": publish}
    runtime: dict[str, Any] = {"name": "ripresa", "version": __version__, "metadata": {}}
    return World(performers, surroundings.secret, find, runtime)


# --- HTTP


@dataclass(frozen=True, slots=True)
class Web:
    """How documents call services."""

    allow: list[str]
    stand_ins: Mapping[str, str]
    secret: Callable[[str], Any]

    async def call(self, arguments: Mapping[str, Any], data: Any) -> Any:
        """`call: http`. Raises `Bad(communication)` for a status that means failure."""
        endpoint: Mapping[str, Any] = arguments["endpoint"]
        uri = _with_query(str(endpoint["uri"]), arguments.get("query") or {})
        headers = _texts(arguments.get("headers"))
        asked = Asked(str(arguments["method"]).upper(), uri, headers, arguments.get("body"))
        answer = await self.exchange(asked, endpoint.get("authentication"), bool(arguments.get("redirect")))
        return shaped(arguments.get("output") or "content", asked, answer)

    async def exchange(self, asked: Asked, authentication: Mapping[str, Any] | None, redirect: bool) -> Response:
        """What a service answers; with `redirect` also by leading elsewhere. Raises `Bad(communication)`."""
        url, allowed = self.placed(asked.uri)
        proof = self._authorization(authentication or {})
        step = http(
            asked.method,
            url,
            headers={**asked.headers, **({"authorization": proof} if proof else {})},
            ok=range(100, 600),
            allow=[*self.allow, *allowed],
            redirects=5 if redirect else 0,
            name="http",
        )
        body = asked.body
        request = Request(body=body) if isinstance(body, str) else Request(json=body)
        answer: Response = await step.fn(request)
        if not 200 <= answer.status < (400 if redirect else 300):
            told = "" if answer.is_base64 else answer.body.strip()[:500]
            what = f"{asked.method} {asked.shown} was answered with status {answer.status}{': ' if told else ''}{told}"
            raise Bad("communication", what, answer.status, _phrase(answer.status))
        return answer

    def placed(self, uri: str) -> tuple[str, list[str]]:
        """Where a service is called, and what has to be allowed for that: its stand-in, if it has one."""
        parts = urlsplit(uri)
        origin = f"{parts.scheme}://{parts.netloc}"
        found = self.stand_ins.get(origin)
        if found is None:
            return uri, []
        return found + uri[len(origin) :], [urlsplit(found).netloc]

    def _authorization(self, policy: Mapping[str, Any]) -> str:
        for kind, given in policy.items():
            terms = self._resolved(given)
            if kind == "basic":
                pair = f"{terms.get('username', '')}:{terms.get('password', '')}"
                return f"Basic {base64.b64encode(pair.encode()).decode()}"
            if kind == "bearer":
                return f"Bearer {terms.get('token', '')}"
            raise Bad("configuration", f"authentication by {kind} is not available here")
        return ""

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

    async def script(self, arguments: Mapping[str, Any], data: Any) -> Any:
        """`run: script`."""
        code = arguments.get("code")
        if code is None:
            place: Mapping[str, Any] = arguments["source"]["endpoint"]
            answer = await self.exchange(Asked("GET", place["uri"], {}, None), place.get("authentication"), True)
            code = answer.content.decode()
        return await script(arguments, code)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as the document has it."""

    method: str
    uri: str
    headers: Mapping[str, str]
    body: Any

    @property
    def shown(self) -> str:
        """The address without what may be private in it."""
        return self.uri.partition("?")[0]


def shaped(output: str, asked: Asked, answer: Response) -> Any:
    """The output of a call in the form that is asked for."""
    if output == "raw":
        return base64.b64encode(answer.content).decode()
    content = content_of(answer)
    if output == "content":
        return content
    request = {"method": asked.method.lower(), "uri": asked.uri, "headers": dict(asked.headers)}
    return {"request": request, "statusCode": answer.status, "headers": answer.headers, "content": content}


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
        return await _ran(("node", _written(code, folder)), arguments, {})


def _written(code: str, folder: str) -> str:
    """The file of a script of JavaScript: a module if it imports or exports."""
    file = Path(folder, "script.mjs" if _MODULE.search(code) else "script.cjs")
    file.write_text(code, encoding="utf-8")
    return str(file)


async def _ran(argv: tuple[str, ...], arguments: Mapping[str, Any], values: Mapping[str, str]) -> Any:
    given: Any = arguments.get("arguments") or []
    if not isinstance(given, list):
        raise Bad("expression", "arguments must be a list")
    texts = [_header(each) for each in given]  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    environment = _texts(arguments.get("environment"))
    program = Program((*argv, *texts), Path.cwd(), {**usual_environment(), **environment, **values})
    ended = await run_program(program, _header(arguments.get("stdin")).encode(), Bounds(_LARGEST))
    out, errors = (each.decode("utf-8", "replace") for each in (ended.output, ended.errors))
    wanted = arguments["return"]
    if ended.status != 0 and wanted not in ("code", "all"):
        raise Bad("runtime", f"the program ended with status {ended.status}: {(errors.strip() or out.strip())[-500:]}")
    every = {"code": ended.status, "stdout": out, "stderr": errors}
    return every if wanted == "all" else every.get(wanted)


# --- events


async def publish(event: Mapping[str, Any], data: Any) -> None:
    """`emit`: the event is the output of its task; it is told to nobody else here."""


def key_of(document: Mapping[str, Any]) -> tuple[str, str, str]:
    """By what a document is found: namespace, name, version."""
    head: Mapping[str, Any] = document["document"]
    return str(head.get("namespace")), str(head.get("name")), str(head.get("version"))
