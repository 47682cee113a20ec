"""Lengths of time: `timedelta`, seconds, or text such as "30s", "5 minutes", "3 days"."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

from ..errors import InvalidConfig

Duration: TypeAlias = timedelta | float | str

MICROSECONDS: Final = 1_000_000

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_NAMES: Final = {
    "millisecond": "ms", "second": "s", "sec": "s", "minute": "m", "min": "m", "hour": "h", "day": "d", "week": "w",
}  # fmt: skip
_PART: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*,?")


def per_second(count: int, microseconds: int) -> float:
    """How many there were a second; 0 where no time has passed."""
    return count * MICROSECONDS / microseconds if microseconds else 0.0


def seconds(value: Duration, name: str = "duration") -> float:
    """The length in seconds. Raises `InvalidConfig` that names the option `name`."""
    if isinstance(value, timedelta):
        length = value.total_seconds()
    elif isinstance(value, str):
        length = _parse(value, name)
    else:
        length = _number(value, name)
    if length < 0 or not math.isfinite(length):
        raise InvalidConfig(f"{name} is {value!r}, must be a finite length of time that is not negative", op=name)
    return length


def microseconds(value: Duration, name: str = "duration") -> int:
    """The length in whole microseconds, rounded up so that something is never cut to nothing."""
    return math.ceil(seconds(value, name) * MICROSECONDS)


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _bad(value, name)
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _parse(text: str, name: str) -> float:
    total, position, lowered = 0.0, 0, text.strip().lower()
    while position < len(lowered):
        part = _PART.match(lowered, position)
        unit = part and (part[2] if part[2] in _UNITS else _NAMES.get(part[2].removesuffix("s")))
        if not part or not unit:
            raise _bad(text, name)
        total += float(part[1]) * _UNITS[unit]
        position = part.end()
    if position == 0:
        raise _bad(text, name)
    return total


def _bad(value: object, name: str) -> InvalidConfig:
    hint = 'write seconds (30), text ("30s", "5 minutes", "1h 30m") or a timedelta'
    return InvalidConfig(f"{name} is {value!r}, which is no length of time", op=name, hint=hint)


def microseconds_of(moment: datetime) -> int:
    """A moment as microseconds since 1970; one without a time zone is local time."""
    return (moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
