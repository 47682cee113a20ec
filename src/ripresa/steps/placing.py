"""Puts the parameters of an operation where its description says: path, query, headers, cookies, body."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final, NoReturn
from urllib.parse import quote, urlencode, urlsplit

from ..authoring.document.source import is_list, is_object
from ..errors import InvalidValue, StepError
from .calls import OWN_HEADERS, bad_header
from .descriptions import Description, Operation, Parameter, is_json

_BETWEEN: Final = {"form": ",", "spaceDelimited": "%20", "pipeDelimited": "%7C", "tabDelimited": "%09"}


@dataclass(slots=True)
class Placed:
    """A request as it is put together: pieces of the path by name, of the query, headers, cookies, fields, a body."""

    path: dict[str, str] = field(default_factory=dict[str, str])
    query: list[str] = field(default_factory=list[str])
    headers: dict[str, str] = field(default_factory=dict[str, str])
    cookies: list[str] = field(default_factory=list[str])
    form: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    body: str = ""

    def url(self, server: str, path: str) -> str:
        """The whole URL. Raises `StepError(address_refused)` for one of another server."""
        for name, value in self.path.items():
            path = path.replace(f"{{{name}}}", value)
        url = f"{server}{path}{'?' if self.query else ''}{'&'.join(self.query)}"
        if _origin(url) != _origin(server):
            message = f"the path {path!r} would have another server called than {server}"
            raise StepError(message, code="address_refused", retryable=False)
        return url


def placed(description: Description, operation: Operation, given: Mapping[str, Any]) -> Placed:
    """A request of these parameters. Raises `InvalidValue(invalid_input)`, `StepError(not_available)`."""
    for name in given:
        if name not in operation.parameters:
            near = get_close_matches(name, operation.parameters, 1)
            known = ", ".join(operation.parameters) or "none"
            _wrong(operation, name, f"is no parameter; {f'did you mean {near[0]}?' if near else f'there are {known}'}")
    found = Placed()
    for name, parameter in operation.parameters.items():
        if name in given:
            value = _as_list(parameter, given[name])
            wrong = description.wrong(parameter.schema, value)
            if wrong:
                _wrong(operation, name, wrong)
            _put(found, operation, parameter, value)
        elif parameter.required:
            _wrong(operation, name, f"is missing; it goes to the {parameter.place}")
    if found.form:
        found.body = urlencode(found.form)
        found.headers["content-type"] = "application/x-www-form-urlencoded"
    return found


def _as_list(parameter: Parameter, value: Any) -> Any:
    """One value where several may stand, outside of a body, is a list of it: they are written alike."""
    is_one = parameter.place != "body" and parameter.schema.get("type") == "array" and not is_list(value)
    return [value] if is_one else value


def _put(found: Placed, operation: Operation, parameter: Parameter, value: Any) -> None:
    match parameter.place:
        case "path":
            text = _simple(operation, parameter, value, quoted=True)
            if text in ("", ".", ".."):
                _wrong(operation, parameter.name, f"{value!r} is no part of a path")
            found.path[parameter.name] = text
        case "query":
            found.query.extend(_query(operation, parameter, value))
        case "cookie":
            found.cookies.extend(_query(operation, parameter, value))
        case "header":
            _put_header(found, operation, parameter, value)
        case "form":
            each = value if is_list(value) and parameter.explode else [value]
            found.form.extend((parameter.name, text_of(part)) for part in each)
        case _:
            _put_body(found, operation, value)


def _put_header(found: Placed, operation: Operation, parameter: Parameter, value: Any) -> None:
    text = _simple(operation, parameter, value, quoted=False)
    wrong = bad_header(parameter.name, text)
    if wrong or parameter.name.lower() in OWN_HEADERS:
        _wrong(operation, parameter.name, wrong or "is a header that data cannot set")
    found.headers[parameter.name.lower()] = text


def _put_body(found: Placed, operation: Operation, value: Any) -> None:
    media = operation.media.partition(";")[0].strip().lower()
    if is_json(media):
        found.body = json.dumps(value, ensure_ascii=False, allow_nan=False)
    elif media == "application/x-www-form-urlencoded" and is_object(value):
        found.body = urlencode([(name, text_of(each)) for name, each in value.items()])
    elif media.startswith("text/") and isinstance(value, str):
        found.body = value
    else:
        raise StepError(
            f"{operation.name}: a body of the type {operation.media} cannot be made of a {type(value).__name__}",
            code="not_available",
            retryable=False,
        )
    found.headers["content-type"] = operation.media


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


# --- values as texts


def text_of(value: Any) -> str:
    """A value as a text: as it is, or as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, allow_nan=False)


def _simple(operation: Operation, parameter: Parameter, value: Any, *, quoted: bool) -> str:
    if parameter.style != "simple" and not parameter.is_json:
        _unknown(operation, parameter)
    parts = _parts(parameter, value)
    if is_object(value) and not parameter.is_json and not parameter.explode:
        parts = [part for name, each in value.items() for part in (name, text_of(each))]
    elif is_object(value) and not parameter.is_json:
        pairs = [(name, text_of(each)) for name, each in value.items()]
        return ",".join(f"{_quoted(name)}={_quoted(each)}" if quoted else f"{name}={each}" for name, each in pairs)
    return ",".join(_quoted(part) if quoted else part for part in parts)


def _query(operation: Operation, parameter: Parameter, value: Any) -> list[str]:
    name = _quoted(parameter.name)
    if is_object(value) and not parameter.is_json:
        pairs = [(str(key), text_of(each)) for key, each in value.items()]
        if parameter.style == "deepObject":
            return [f"{name}%5B{_quoted(key)}%5D={_quoted(each)}" for key, each in pairs]
        if parameter.style == "form" and parameter.explode:
            return [f"{_quoted(key)}={_quoted(each)}" for key, each in pairs]
        parts = [part for pair in pairs for part in pair]
    else:
        parts = _parts(parameter, value)
    if parameter.style not in _BETWEEN:
        _unknown(operation, parameter)
    if parameter.explode:
        return [f"{name}={_quoted(part)}" for part in parts]
    return [f"{name}={_BETWEEN[parameter.style].join(map(_quoted, parts))}"]


def _parts(parameter: Parameter, value: Any) -> list[str]:
    whole = parameter.is_json or not is_list(value)
    return [json.dumps(value) if parameter.is_json else text_of(value)] if whole else list(map(text_of, value))


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _unknown(operation: Operation, parameter: Parameter) -> NoReturn:
    message = f"{operation.name}: {parameter.name} is written in the style {parameter.style!r}, which is not known here"
    raise StepError(message, code="not_available", retryable=False)


def _wrong(operation: Operation, name: str, why: str) -> NoReturn:
    raise InvalidValue(f"{name}: {why}", op="openapi", where=operation.name)
