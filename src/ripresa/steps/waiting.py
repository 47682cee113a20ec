"""How long a service asks to be left alone, as HTTP says it."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

LONGEST: Final = 86_400.0
"""No service is waited for longer than this many seconds, whatever it asks."""


def asked_by(retry_after: str) -> float:
    """Seconds that a `Retry-After` header asks for, a number or a date; 0 where it says nothing that can be read."""
    text = retry_after.strip()
    if text.isdecimal():
        return min(float(text[:9]), LONGEST)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max((moment - datetime.now(UTC)).total_seconds(), 0.0), LONGEST)
