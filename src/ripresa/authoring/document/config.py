"""The config of a step that is made by a function, held against what the function takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from ..parameters import Parameters
from .near import meant
from .source import is_list


def wrong_keys(make: Callable[..., Any], given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The keys that the function does not take, and why; an empty one for what it lacks."""
    parameters = Parameters(make)
    yield from unknown_keys(parameters, given)
    for name in parameters.required:
        if name not in given:
            yield "", f"lacks {name}"


def unknown_keys(
    parameters: Parameters, given: Mapping[str, Any], more: Sequence[str] = ()
) -> Iterator[tuple[str, str]]:
    """The keys that a function with these parameters does not take, and what may have been meant; `more` stand too."""
    known = _known(parameters)
    known = None if known is None else [*known, *more]
    for name in given:
        if known is not None and name not in known:
            yield name, f"is no key here; {meant(name, known)}"


def wrong_values(make: Callable[..., Any], given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The keys whose values are not of the plain types that the function takes there, if it takes such; and why."""
    for name, kind in _kinds(Parameters(make)).items():
        value = given.get(name)
        wrong = None if value is None else _complaint(kind, value)
        if wrong:
            yield name, f"is {value!r}, must be {wrong}"


def _complaint(kind: Any, value: Any) -> str | None:
    """What a value must be that is not of a type; None if it is, or the type is none of plain values."""
    members = [each for each in (get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,))
               if each is not NoneType]  # fmt: skip
    if not members or not all(each in _PLAIN or get_origin(each) is Literal for each in members):
        return None
    if any(value in get_args(each) if get_origin(each) is Literal else _PLAIN[each][1](value) for each in members):
        return None
    words = " or ".join(
        f"one of {', '.join(get_args(each))}" if get_origin(each) is Literal else _PLAIN[each][0] for each in members
    )
    return f"{words}: [{', '.join(value.split())}]" if members == [list[str]] and isinstance(value, str) else words


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_texts(value: object) -> bool:
    return is_list(value) and all(isinstance(part, str) for part in value)


_PLAIN: Final[Mapping[Any, tuple[str, Callable[[Any], bool]]]] = {
    str: ("a text", lambda value: isinstance(value, str)),
    bool: ("true or false", lambda value: isinstance(value, bool)),
    int: ("a whole number", lambda value: type(value) is int),
    float: ("a number", _is_number),
    list[str]: ("a list of texts", _is_texts),
}
"""The types of plain values, with what values of them are called."""


def _kinds(parameters: Parameters) -> dict[str, Any]:
    """The types of all keys that the function takes, as far as they are told."""
    found: dict[str, Any] = {}
    for name, parameter in parameters.signature.parameters.items():
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
            found[name] = parameters.hints.get(name, Any)
            continue
        for options in get_args(parameters.hints.get(name, Any)):
            found |= {key: _hint(options, key) for key in options.__annotations__}
    return found


def _hint(options: Any, key: str) -> Any:
    """The type of one of several options; `Any` where it is named for type checkers alone."""
    holder = type("Holder", (), {"__annotations__": {key: options.__annotations__[key]}})
    try:
        return get_type_hints(holder)[key]
    except NameError:
        return Any


def _known(parameters: Parameters) -> list[str] | None:
    """Every key that the function takes; None if it takes any."""
    known: list[str] = []
    for name, parameter in parameters.signature.parameters.items():
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
            known.append(name)
            continue
        options = get_args(parameters.hints.get(name, Any))
        if not options:
            return None
        known.extend(options[0].__annotations__)
    return known
