"""Lengths of time as documents write them: ISO 8601, their parts by name, or an expression; in microseconds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

from ...core.durations import MICROSECONDS
from .jq import Expression, Names, Template
from .problems import Bad

Length: TypeAlias = int | Template
"""So many microseconds, or what gives them in a run."""

PARTS: Final[Mapping[str, int]] = {
    "days": 86_400_000_000,
    "hours": 3_600_000_000,
    "minutes": 60_000_000,
    "seconds": 1_000_000,
    "milliseconds": 1000,
}

_ISO: Final = re.compile(
    r"P(?!$)(?:(?P<weeks>\d+(?:\.\d+)?)W)?(?:(?P<days>\d+(?:\.\d+)?)D)?"
    r"(?:T(?!$)(?:(?P<hours>\d+(?:\.\d+)?)H)?(?:(?P<minutes>\d+(?:\.\d+)?)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?"
)


def length_of(data: object) -> int:
    """How long it is. Raises ValueError that says what is wrong."""
    if isinstance(data, str):
        return _from_iso(data)
    if not isinstance(data, Mapping) or not data:
        raise ValueError(f"is {data!r}, must be an ISO 8601 duration such as PT15M, or one such as {{minutes: 15}}")
    total = 0
    for name, value in cast("Mapping[str, Any]", data).items():
        if name not in PARTS:
            raise ValueError(f"{name!r} is no part of a duration; there are {', '.join(PARTS)}")
        if type(value) is not int or value < 0:
            raise ValueError(f"{name} is {value!r}, must be a whole number from 0")
        total += PARTS[name] * value
    return total


def _from_iso(text: str) -> int:
    found = _ISO.fullmatch(text.strip())
    if found is None:
        known = "days, hours, minutes, seconds, such as P1DT12H"
        raise ValueError(f"is {text!r}, must be an ISO 8601 duration of {known}; years and months have no fixed length")
    parts = {name: float(value) for name, value in found.groupdict().items() if value is not None}
    weeks = parts.pop("weeks", 0.0)
    return round(sum(PARTS[name] * value for name, value in parts.items()) + weeks * 7 * PARTS["days"])


def evaluated(length: Length, data: Any, names: Names) -> int:
    """How long it is in a run. Raises `Bad(expression)`."""
    if isinstance(length, int):
        return length
    try:
        return length_of(length.value(data, names))
    except ValueError as error:
        raise Bad("expression", f"the duration {error}") from error


def bound(length: Length, data: Any, names: Names) -> int:
    """The same of a timeout, which is longer than nothing where it is one. Raises `Bad(expression)`."""
    found = evaluated(length, data, names)
    if not found and not isinstance(length, int):
        raise Bad("expression", "a timeout must be longer than nothing")
    return found


@dataclass(frozen=True, slots=True)
class Seconds(Template):
    """A length of time, in seconds, of the arguments of a call."""

    length: Length

    def value(self, data: Any, names: Names) -> Any:
        """See `Template`."""
        return in_seconds(bound(self.length, data, names))

    def expressions(self) -> list[Expression]:
        """See `Template`."""
        return [] if isinstance(self.length, int) else self.length.expressions()


def templates(*lengths: Length) -> list[Template]:
    """Those of lengths that are evaluated."""
    return [each for each in lengths if not isinstance(each, int)]


def in_seconds(length: int) -> float:
    """The same in seconds."""
    return length / MICROSECONDS
