"""The config of a step that is made by a function, held against what the function takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from ..parameters import Parameters
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
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known) or 'none'}"
            yield name, f"is no key here; {hint}"


def wrong_values(make: Callable[..., Any], given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The keys whose values are no texts, or lists of them, where the function takes these; and why."""
    parameters = Parameters(make)
    for name in parameters.positional:
        kind, value = parameters.type_of(name), given.get(name)
        if name in given and kind is str and not isinstance(value, str):
            yield name, f"is {value!r}, must be a text"
        if name in given and kind == list[str] and not _is_texts(value):
            meant = f": [{', '.join(value.split())}]" if isinstance(value, str) else ""
            yield name, f"is {value!r}, must be a list of texts{meant}"


def _is_texts(value: object) -> bool:
    return is_list(value) and all(isinstance(part, str) for part in value)


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
