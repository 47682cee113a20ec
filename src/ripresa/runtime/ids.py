"""The ids of runs: those that somebody chose, and new ones."""

from __future__ import annotations

import os
from base64 import b32encode
from functools import lru_cache
from typing import Final

from ..errors import InvalidConfig


def checked_id(id: str | None, op: str) -> str:
    """An id that somebody chose; empty for None. Raises `InvalidConfig`."""
    if id is None:
        return ""
    if not id.strip() or not id.isprintable() or len(id) > 200:
        raise InvalidConfig(f"id is {id!r}, must be a printable text of 1 to 200 characters", op=op)
    return id


def new_id(now: int) -> str:
    """An id that sorts by time: milliseconds since 1970 and 40 random bits, in base 32."""
    return _moment_digits(now // 1000) + b32encode(os.urandom(5)).translate(_READABLE).decode()


_DIGITS: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_READABLE: Final = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", _DIGITS.encode())
"""From the alphabet of `base64` to Crockford's, whose order is that of the numbers."""


@lru_cache(maxsize=1)
def _moment_digits(milliseconds: int) -> str:
    return "".join(_DIGITS[milliseconds >> shift & 31] for shift in range(40, -1, -5))
