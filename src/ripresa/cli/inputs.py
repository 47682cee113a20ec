"""From what stands on the command line to a call: the target is imported, the input read and validated."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

from ..authoring.call import Call
from ..authoring.document.flow import DocumentFlow
from ..authoring.fit import known
from ..authoring.flow import Runnable
from ..authoring.function import Workflow
from ..authoring.parameters import Parameters
from ..authoring.single import Single
from ..config import Config
from ..core.limits import Limits
from ..core.values import Value, text_of
from ..errors import InvalidConfig, InvalidValue, RipresaError
from ..runtime.targets import load_target, load_version, remember_folder
from ..runtime.values import split
from .exits import UserCodeFailed
from .misspelt import decode_strictly

WHERE = "--input"
LIMITS = tuple(each.name for each in fields(Limits) if each.name != "on_exceeded")


def load(target: str, version: str = "") -> Runnable[..., Any]:
    """What a target names; of a version, if one is asked for and stands beside it.

    Raises `RipresaError(unknown_target)`, `InvalidWorkflow`, or `UserCodeFailed` for anything else that importing the
    user's code raises.
    """
    try:
        with Config.load().in_force():
            found = load_version(target, version) if version else load_target(target)
            remember_folder(target)
            return found
    except (RipresaError, KeyboardInterrupt):
        raise
    except SystemExit as error:
        raise RipresaError(
            f"its code ends the program while it is imported (exit status {error.code!r})",
            code="unknown_target",
            op="load",
            where=target,
            hint='what a script does belongs below if __name__ == "__main__":',
        ) from error
    except BaseException as error:  # whatever the user's module raises is shown as theirs
        raise UserCodeFailed from error


def limits_from(given: Sequence[str], policy: str) -> Limits | None:
    """The limits that `--limit NAME=VALUE` and `--on-exceeded` give; None for none. Raises `InvalidConfig`."""
    found: dict[str, Any] = {}
    bad: list[str] = [] if given or not policy else ["--on-exceeded says what happens at a limit: give a --limit"]
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or name not in LIMITS:
            bad.append(f"--limit is {text!r}, must be NAME=VALUE, with a name of {', '.join(LIMITS)}")
        else:
            found[name] = _amount(value.strip())
    try:
        limits = Limits(**found, on_exceeded=cast("Any", policy or "fail"))
    except InvalidConfig as error:
        bad.append(error.message)
    else:
        if not bad:
            return limits or None
    raise InvalidConfig("; ".join(bad), op="run")


def _amount(text: str) -> object:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def read_input(given: str, where: str = WHERE) -> bytes:
    """The JSON text that `--input`, or what else is told, gives: itself, a `@file`, or standard input (`-`)."""
    if given == "-":
        text, found = sys.stdin.read(), "standard input"
    elif given.startswith("@"):
        text, found = _content(given[1:], where), given[1:]
    else:
        text, found = given, where
    _check_json(text, found, f"{where} " if where.startswith("-") else "")
    return text.encode()


def _content(name: str, where: str) -> str:
    try:
        return Path(name).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise RipresaError(
            f"{name} cannot be read: {reason}", code="usage", where=where, hint=f"{where} takes JSON, @file or -"
        ) from error


def _check_json(text: str, where: str, option: str) -> None:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        line = text.splitlines()[error.lineno - 1] if text.strip() else ""
        begin = max(error.colno - 30, 0)
        near = f", near {line[begin : error.colno + 20]!r}" if line else ""
        raise InvalidValue(
            f"this is no JSON: {error.msg} at line {error.lineno}, column {error.colno}{near}",
            where=where,
            hint=f"texts are JSON too, in double quotes: {option}'\"text\"'",
        ) from error


def call_of(runnable: Runnable[..., Any], text: bytes | None) -> Call[Any]:
    """The call that runs this with an input; None is given to what takes nothing.

    The input is the argument of what takes one (a flow always does), else an object of named arguments; for a function
    with one parameter `{"name": value}` will do as well, where it is no argument itself.
    Raises `InvalidValue(invalid_input)`.
    """
    parameters = _parameters(runnable)
    if text is None:
        return _call_without(runnable, parameters)
    if parameters is None:
        return runnable(decode_strictly(text, runnable.input_type, runnable.name))
    if parameters.only is not None:
        return _call_with_one(runnable, parameters, text)
    return _call_with_named(runnable, parameters, text)


def _parameters(runnable: Runnable[..., Any]) -> Parameters | None:
    if isinstance(runnable, Workflow):
        return runnable.parameters
    return runnable.step.parameters if isinstance(runnable, Single) else None


def _call_without(runnable: Runnable[..., Any], parameters: Parameters | None) -> Call[Any]:
    if parameters is not None and not parameters.required:
        return runnable()
    if isinstance(runnable, DocumentFlow) and not known(runnable.input_type):
        return runnable(None)
    wanted = ", ".join(parameters.required) if parameters is not None else _named(runnable.input_type)
    raise InvalidValue(f"needs an input ({wanted})", where=runnable.name, hint="give it: --input JSON, @file or -")


def _named(kind: Any) -> str:
    return str(getattr(kind, "__name__", kind))


def _call_with_one(runnable: Runnable[..., Any], parameters: Parameters, text: bytes) -> Call[Any]:
    try:
        return _called(runnable, parameters, text)
    except InvalidValue:
        given: Any = json.loads(text)
        if not isinstance(given, dict) or list(cast("dict[str, Any]", given)) != [parameters.only]:
            raise
    return _called(runnable, parameters, json.dumps(given[parameters.only]).encode())


def _call_with_named(runnable: Runnable[..., Any], parameters: Parameters, text: bytes) -> Call[Any]:
    given: Any = json.loads(text)
    taken = ", ".join(parameters.names) or "nothing"
    if not isinstance(given, dict):
        shown = text[:60].decode(errors="replace")
        raise InvalidValue(f"takes an object of named arguments ({taken}), is given {shown}", where=runnable.name)
    unknown = [name for name in cast("dict[str, Any]", given) if name not in parameters.names]
    if unknown:
        raise InvalidValue(f"has no parameter {', '.join(map(repr, unknown))}; it takes {taken}", where=runnable.name)
    return _called(runnable, parameters, text)


def _called(runnable: Runnable[..., Any], parameters: Parameters, text: bytes) -> Call[Any]:
    args, kwargs = parameters.decode(text, _Inline(runnable.name))
    return runnable(*args, **kwargs)


@dataclass(frozen=True, slots=True)
class _Inline:
    """Reads an input, which holds no references."""

    where: str

    def read(self, value: Value, kind: Any) -> Any:
        return decode_strictly(text_of(value), kind, self.where)

    def items(self, value: Value) -> list[Value]:  # pragma: no cover - a reader has it; named arguments are no list
        return split(text_of(value))

    def outcome(self, step: str) -> tuple[str, Value] | None:  # pragma: no cover - a reader has it; no step has ended
        return None
