"""The ids of runs: those that somebody chose, and new ones."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Final

from ..errors import InvalidConfig


def checked_id(id: object, op: str) -> str:
    """An id that somebody chose; empty for None. Raises `InvalidConfig`."""
    if id is None:
        return ""
    if not isinstance(id, str) or not id.strip() or not id.isprintable() or len(id) > 200:
        raise InvalidConfig(f"id is {id!r}, must be a printable text of 1 to 200 characters", op=op)
    return id


def new_id(now: int) -> str:
    """An id that sorts by time: milliseconds since 1970 and 40 random bits, in base 32."""
    number = int.from_bytes(os.urandom(5))
    first, second = _PAIRS[number >> 30], _PAIRS[number >> 20 & 1023]
    return _moment_digits(now // 1000) + first + second + _PAIRS[number >> 10 & 1023] + _PAIRS[number & 1023]


_DIGITS: Final = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's alphabet, whose order is that of the numbers."""
_PAIRS: Final = tuple(first + second for first in _DIGITS for second in _DIGITS)


@lru_cache(maxsize=1)
def _moment_digits(milliseconds: int) -> str:
    """The last nine digits of a number in base 32."""
    return "".join(_PAIRS[milliseconds >> shift & 1023] for shift in range(40, -1, -10))[1:]
