"""Windows of the time that items carry: which are open, which are to be given, which items come too late.

Law: what is given depends on the items and their order alone, not on when they come; usable without a loop or a clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from ..authoring.stream import TimeWindow
from ..core.durations import MICROSECONDS
from ..errors import InvalidValue

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class TimeWindows:
    """Windows `length` long, one beginning `every` so often, counted from 1970; all in microseconds.

    A window is due once an item came that is `lateness` later than its end. What is open is kept with its times.
    """

    def __init__(self, length: int, every: int, lateness: int) -> None:
        self._length = length
        self._every = every
        self._lateness = lateness
        self._open: list[tuple[int, Any]] = []
        self._latest: int | None = None
        self._first: int | None = None
        self.closed: int | None = None
        """The end of the last window that was given."""

    @property
    def content(self) -> list[Any]:
        """The items of open windows, in the order in which they came."""
        return [item for _, item in self._open]

    def go_on(self, items: Iterable[tuple[int, Any]], closed: int) -> None:
        """Begin with what was open when the window that ended then had been given."""
        self.closed = closed
        self._open = list(items)
        self._latest = max((at for at, _ in self._open), default=None)
        self._look()

    def add(self, at: int, item: Any) -> bool:
        """Put an item where it belongs; False if all windows that it belongs to are over."""
        over = self._over()
        end = self._first_end(at if over is None else max(at, over))
        if end - self._length > at:
            return False
        self._open.append((at, item))
        self._latest = at if self._latest is None else max(at, self._latest)
        self._first = end if self._first is None else min(end, self._first)
        return True

    def due(self, *, all: bool = False) -> Iterator[TimeWindow[Any]]:
        """Give the windows that are over, or all, the earliest first; after each, what is open is without it."""
        while (end := self._first) is not None and (all or end <= (self._watermark() or 0)):
            begin = end - self._length
            inside = [(at, item) for at, item in self._open if begin <= at < end]
            inside.sort(key=lambda each: each[0])
            self.closed = end
            self._open = [(at, item) for at, item in self._open if self._last_end(at) > end]
            self._look()
            yield TimeWindow(moment(begin), moment(end), [item for _, item in inside])

    def _watermark(self) -> int | None:
        """Nothing earlier is waited for."""
        return None if self._latest is None else self._latest - self._lateness

    def _over(self) -> int | None:
        """Windows that end here or before are over."""
        watermark, closed = self._watermark(), self.closed
        return closed if watermark is None else watermark if closed is None else max(watermark, closed)

    def _first_end(self, after: int) -> int:
        return ((after - self._length) // self._every + 1) * self._every + self._length

    def _last_end(self, at: int) -> int:
        return at // self._every * self._every + self._length

    def _look(self) -> None:
        """Find the window that ends first of those that are open."""
        closed = self.closed
        ends = [self._first_end(at if closed is None else max(at, closed)) for at, _ in self._open]
        self._first = min(ends, default=None)


def microseconds_of(found: object) -> int:
    """The time that an item carries, in microseconds since 1970. Raises `InvalidValue` for what is none."""
    if isinstance(found, datetime):
        if found.tzinfo is None:
            raise InvalidValue(f"the time {found} of an item has no time zone", op="time_window")
        return (found - _BEGINNING) // _MICROSECOND
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise InvalidValue(
            f"the time of an item is {found!r}, must be a datetime or seconds since 1970", op="time_window"
        )
    try:
        return round(found * MICROSECONDS)
    except (ValueError, OverflowError):
        raise InvalidValue(f"the time of an item is {found!r}, which is no moment", op="time_window") from None


def moment(at: int) -> datetime:
    """Microseconds since 1970 as a time."""
    return _BEGINNING + at * _MICROSECOND
