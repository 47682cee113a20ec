"""Options are looked at together: one error names every one that has a value it cannot have."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any, cast

from ..core.limits import Limits
from ..core.names import check_name
from ..errors import InvalidConfig
from .call import Pending, closed, shortened

__all__ = [
    "bad_choice",
    "bad_count",
    "bad_int",
    "bad_kind",
    "bad_link",
    "bad_names",
    "bad_predicate",
    "bad_texts",
    "check_name",
    "refuse",
]


def refuse(op: str, *complaints: str | None, where: str = "", hint: str = "") -> None:
    """Raise `InvalidConfig` with all complaints, if there is one."""
    found = [complaint for complaint in complaints if complaint]
    if found:
        error = InvalidConfig("; ".join(found), op=op, where=where, hint=hint)
        error.complaints = tuple(found)
        raise error


def bad_int(value: object, option: str) -> str | None:
    """What is wrong with a whole number."""
    return None if type(value) is int else f"{option} is {value!r}, must be a whole number"


def bad_count(value: object, option: str, *, optional: bool = False, most: int | None = None) -> str | None:
    """What is wrong with a number of things, from 1 to `most`."""
    if optional and value is None:
        return None
    if type(value) is int and value >= 1 and (most is None or value <= most):
        return None
    return f"{option} is {value!r}, must be a whole number from 1{'' if most is None else f' to {most}'}"


def bad_choice(value: object, option: str, allowed: Sequence[str]) -> str | None:
    """What is wrong with one of several words."""
    return None if value in allowed else f"{option} is {value!r}, must be one of {', '.join(map(repr, allowed))}"


def bad_kind(value: object, option: str, kind: type | tuple[type, ...], what: str) -> str | None:
    """What is wrong with a value that must be of a class, which the complaint calls `what`."""
    return None if isinstance(value, kind) else f"{option} is {value!r}, must be {what}"


def bad_names(given: Iterable[object], option: str, known: Iterable[str]) -> str | None:
    """What is wrong with names of which some are not known, and what may have been meant by them."""
    names = list(known)
    wrong: list[str] = []
    for each in sorted({str(each) for each in given} - set(names)):
        near = get_close_matches(each, names, 1)
        wrong.append(f"{each} (did you mean {near[0]}?)" if near else each)
    return f"{option} has {', '.join(wrong)}, may have {', '.join(names) or 'none'}" if wrong else None


def bad_texts(value: Any, option: str) -> str | None:
    """What is wrong with several texts. One text is no list of them: its letters would be taken for them."""
    fine = isinstance(value, list | tuple | set | frozenset)
    if fine and all(isinstance(each, str) for each in cast("Iterable[object]", value)):
        return None
    return f"{option} is {value!r}, must be a list of texts"


def bad_predicate(predicate: Any, option: str) -> str | None:
    """What is wrong with a predicate; it must answer at once, so it cannot be a step or an async function."""
    from .flow import Runnable
    from .step import Step

    later = inspect.iscoroutinefunction(predicate)
    if callable(predicate) and not later and not isinstance(predicate, Step | Runnable):
        return None
    return f"{option} is {predicate!r}, must be a plain function that says yes or no"


def bad_link(link: Any, index: int) -> str | None:
    """What is wrong with a link, argument number `index` from 0."""
    from .flow import Runnable

    if isinstance(link, Pending):
        return f"argument {index + 1} is the call {shortened(link)}, not what it calls"
    if inspect.iscoroutine(link):
        name = closed(cast("object", link))
        return f"argument {index + 1} is the coroutine of {name}, not the function"
    if not callable(link) or (inspect.isclass(link) and issubclass(link, Runnable)):
        return f"argument {index + 1} is {shortened(cast('object', link))}, which cannot be called"
    return None


def bad_limits(value: object, option: str) -> str | None:
    """What is wrong with what should be limits, or nothing."""
    return None if value is None or isinstance(value, Limits) else f"{option} is {value!r}, must be Limits"
