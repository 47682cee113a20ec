"""Descriptions of APIs, read: OpenAPI 3 and Swagger 2 become operations with parameters, of either alike.

Pure: data in, values out. References stay within the description; no other is followed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from typing import Any, Final, TypeAlias
from urllib.parse import urljoin, urlsplit

from pydantic_core import to_json

from ..authoring.document.source import is_list, is_object
from ..errors import RipresaError, StepError

Object: TypeAlias = Mapping[str, Any]

METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch")
_PLACES: Final = ("path", "query", "header", "cookie", "form", "body")
_DEEPEST: Final = 50
_HOLE: Final = re.compile(r"\{([^{}]*)\}")
_PATH: Final = re.compile(r"/(?!/)[^\\\x00-\x1f\x7f]*")
"""How a path is written that stays with its server, whatever stands before it."""

_IGNORED: Final = ("accept", "content-type", "authorization")
"""Headers that are no parameters, as OpenAPI says."""

_COLLECTIONS: Final = {"csv": ("form", False), "multi": ("form", True), "ssv": ("spaceDelimited", False)} | {
    "pipes": ("pipeDelimited", False),
    "tsv": ("tabDelimited", False),
}
_OF_SWAGGER: Final = frozenset(
    (
        *("type", "format", "items", "enum", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
        *("minLength", "maxLength", "pattern", "minItems", "maxItems", "uniqueItems", "multipleOf"),
    )
)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of an operation: where it goes ("path", "query", "header", "cookie", "form", "body"), and how."""

    name: str
    place: str
    required: bool
    schema: Object = field(repr=False)
    style: str = "form"
    explode: bool = True
    is_json: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """What can be called: its method, the URL of its server and its path with holes; `media` is the type of its body.

    `server` is empty where the description says none. `parameters` are by the names under which they are given.
    """

    name: str
    method: str
    server: str
    path: str
    parameters: Mapping[str, Parameter]
    media: str = ""


class Description:
    """The description of an API. `url` is where it was found, if at a URL. Raises `StepError(invalid_description)`."""

    def __init__(self, data: object, url: str = "") -> None:
        if not is_object(data):
            raise invalid("it is no object")
        self._data: Object = data
        self._url = url
        version = str(self._data.get("openapi") or self._data.get("swagger") or "")
        self._is_old = version == "2.0"
        if not self._is_old and not re.fullmatch(r"3\.[012](\.\d+.*)?", version):
            raise invalid(
                f"it is of {'version ' + repr(version) if version else 'no version'}; OpenAPI 3 or Swagger 2.0"
            )
        self._is_plain_schema = not self._is_old and not version.startswith("3.0")
        known = {name: value for name, value in self._data.items() if name in ("components", "definitions")}
        self._known: Object = known if self._is_plain_schema else with_null(known)

    def operation(self, name: str) -> Operation:
        """The operation of this id, or "METHOD /path". Raises `StepError(unknown_operation, invalid_description)`."""
        found = [each for each in self._operations() if name in (each[0].get("operationId"), f"{each[1]} {each[2]}")]
        if not found:
            names = [str(each[0].get("operationId") or f"{each[1]} {each[2]}") for each in self._operations()]
            near = get_close_matches(name, names, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names[:20])}"
            raise StepError(f"there is no operation {name!r}", code="unknown_operation", retryable=False, hint=hint)
        if len(found) > 1:
            raise invalid(f"several operations are named {name!r}")
        said, method, path, around = found[0]
        if not _PATH.fullmatch(path):
            raise invalid(f"the path {path!r} must begin with one /, without backslashes")
        given = [*self._parameters(around, said), *self._body(said)]
        media = self._media(said)
        operation = Operation(name, method, self._server(said, around), path, _by_name(given), media)
        lacking = set(_HOLE.findall(path)) ^ {each.name for each in given if each.place == "path"}
        if lacking:
            raise invalid(f"{name} has no place, or no parameter, for {', '.join(sorted(lacking))} of its path {path}")
        return operation

    def _operations(self) -> Iterator[tuple[Object, str, str, Object]]:
        for path, item in _object(self._data.get("paths", {}), "paths").items():
            around = self._resolved(item)
            for method in METHODS:
                if method in around:
                    yield _object(around[method], f"{path}.{method}"), method.upper(), path, around

    # --- parameters

    def _parameters(self, around: Object, said: Object) -> list[Parameter]:
        """Those of the operation, and of its path where it has not the same."""
        found: dict[tuple[str, str], Parameter] = {}
        for each in (*_list(around.get("parameters", [])), *_list(said.get("parameters", []))):
            given = self._resolved(each)
            name, place = str(given.get("name", "")), str(given.get("in", ""))
            if place == "header" and name.lower() in _IGNORED:
                continue
            place = "form" if place == "formData" and self._is_old else place
            if place not in _PLACES or not name:
                raise invalid(f"a parameter {name!r} is in {place!r}, which is no place")
            found[name, place] = self._parameter(given, name, place)
        return list(found.values())

    def _parameter(self, given: Object, name: str, place: str) -> Parameter:
        required = given.get("required") is True or place == "path"
        by_place = "simple" if place in ("path", "header") else "form"
        if self._is_old:
            schema = given.get("schema") or {key: value for key, value in given.items() if key in _OF_SWAGGER}
            style, explode = _COLLECTIONS.get(str(given.get("collectionFormat", "csv")), ("form", False))
            if place in ("path", "header"):
                style = by_place
            return Parameter(name, place, required, _object(schema, name), style, explode)
        content = _object(given.get("content", {}), name)
        holder = _object(next(iter(content.values())), name) if content else given
        style = str(given.get("style", by_place))
        explode = given.get("explode", style in ("form", "deepObject")) is True
        return Parameter(name, place, required, _object(holder.get("schema", {}), name), style, explode, bool(content))

    def _body(self, said: Object) -> list[Parameter]:
        """The body of a request as parameters: as one, `body`, also where it is a form."""
        if self._is_old or "requestBody" not in said:
            return []
        body = self._resolved(said["requestBody"])
        media = self._media(said)
        content = _object(_object(body.get("content", {}), "requestBody").get(media, {}), media)
        schema = _object(content.get("schema", {}), "requestBody")
        return [Parameter("body", "body", body.get("required") is True, schema)]

    def _media(self, said: Object) -> str:
        if self._is_old:
            known = _list(said.get("consumes") or self._data.get("consumes") or [])
        elif "requestBody" in said:
            known = list(_object(self._resolved(said["requestBody"]).get("content", {}), "requestBody"))
        else:
            return ""
        return preferred([str(each) for each in known])

    def _resolved(self, value: object) -> Object:
        for _ in range(_DEEPEST):
            found = _object(value, "what is described")
            if "$ref" not in found:
                return found
            value = self._at(str(found["$ref"]))
        raise invalid("a reference leads to itself")

    def _at(self, reference: str) -> object:
        if not reference.startswith("#/"):
            raise invalid(f"{reference!r} leads out of it", hint="only references within a description are followed")
        value: object = self._data
        for part in reference[2:].split("/"):
            name = part.replace("~1", "/").replace("~0", "~")
            if not is_object(value) or name not in value:
                raise invalid(f"{reference!r} leads nowhere")
            value = value[name]
        return value

    # --- where

    def _server(self, said: Object, around: Object) -> str:
        """The URL of the server, without a slash at its end; empty if nobody knows."""
        if self._is_old:
            return self._old_server().rstrip("/")
        servers = said.get("servers") or around.get("servers") or self._data.get("servers") or [{"url": "/"}]
        first = _object(_list(servers)[0], "servers")
        variables = _object(first.get("variables", {}), "variables")
        url = _HOLE.sub(partial(_default, variables), str(first.get("url", "/")))
        return self._whole(url).rstrip("/")

    def _old_server(self) -> str:
        parts = urlsplit(self._url)
        host = str(self._data.get("host") or parts.netloc)
        schemes = [str(each) for each in _list(self._data.get("schemes", []))]
        scheme = parts.scheme or "https"
        if schemes and scheme not in schemes:
            scheme = "https" if "https" in schemes else schemes[0]
        base = str(self._data.get("basePath") or "").lstrip("/")
        return f"{scheme}://{host}/{base}" if host else ""

    def _whole(self, url: str) -> str:
        whole = urljoin(self._url, url) if self._url else url
        return whole if "://" in whole else ""

    # --- values

    def wrong(self, schema: Object, value: object) -> str:
        """What is wrong with a value, by its schema; empty if nothing. Raises `RipresaError(extra_missing)`."""
        if not schema:
            return ""
        library = _library()
        kind = library.Draft202012Validator if self._is_plain_schema else library.Draft4Validator
        own = schema if self._is_plain_schema else with_null(schema)
        try:
            validator = kind({**(self._known if _refers(own) else {}), "allOf": [own]}, offline=True)
        except ValueError as error:
            raise invalid(f"a schema is none: {str(error).splitlines()[0]}") from error
        found = next(iter(validator.iter_errors(value)), None)
        if found is None:
            return ""
        place = ".".join(str(part) for part in found.instance_path)
        return f"{place}: {found.message}" if place else str(found.message)


def preferred(media: list[str]) -> str:
    """The type of body that is made, of those that an API takes: JSON before forms before texts."""
    for fits in (is_json, "application/x-www-form-urlencoded".__eq__, "multipart/form-data".__eq__):
        for each in media:
            if fits(each.partition(";")[0].strip().lower()):
                return each
    return "application/json" if not media or "*/*" in media else media[0]


def is_json(media: str) -> bool:
    """Whether a type of body is JSON."""
    return media == "application/json" or media.endswith("+json")


def with_null(schema: Any) -> Any:
    """A schema of OpenAPI 3.0 as JSON Schema has it: what is nullable may be null."""
    if is_list(schema):
        return [with_null(each) for each in schema]
    if not is_object(schema):
        return schema
    found = {name: with_null(value) for name, value in schema.items()}
    return {"anyOf": [found, {"enum": [None]}]} if schema.get("nullable") is True else found


def invalid(why: str, hint: str = "") -> StepError:
    """The error about a description that cannot be used."""
    return StepError(f"the description of an API: {why}", code="invalid_description", retryable=False, hint=hint)


def _refers(schema: Object) -> bool:
    """Whether a schema may name others: only then it is worth to hand over all of them."""
    return b'ref"' in to_json(schema, fallback=str).lower()


def _by_name(given: list[Parameter]) -> dict[str, Parameter]:
    """Parameters by the names under which they are given: "place.name" for those of one name in several places."""
    names = [each.name for each in given]
    return {each.name if names.count(each.name) == 1 else f"{each.place}.{each.name}": each for each in given}


def _default(variables: Object, hole: re.Match[str]) -> str:
    return str(_object(variables.get(hole[1], {}), hole[1]).get("default", ""))


def _object(value: object, where: str) -> Object:
    if not is_object(value):
        raise invalid(f"{where} is no object")
    return value


def _list(value: object) -> list[Any]:
    if not is_list(value):
        raise invalid("parameters, servers, schemes and consumes must be lists")
    return value


def _library() -> Any:
    try:
        return import_module("jsonschema_rs")
    except ImportError:
        raise RipresaError(
            "descriptions of APIs need an optional dependency",
            code="extra_missing",
            op="openapi",
            hint="pip install 'ripresa[http,documents]'",
        ) from None
