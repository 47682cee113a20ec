"""Waits as links: for a signal, in chains and graphs."""

from __future__ import annotations

from functools import partial
from typing import Any

from typing_extensions import TypeVar

from ..core.durations import Duration, microseconds
from ..core.nodes.wait import Wait
from ..messages import Signal
from .call import Call
from .flow import Flow
from .options import check_name, refuse
from .place import Place

R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")


class WaitFor(Flow[object, R_co]):
    """A durable wait for a signal, which is its result; what it is given does not matter."""

    def __call__(self, value: object = None, /) -> Call[R_co]:
        """See `Runnable`."""
        return super().__call__(value)


def wait_for(signal: Signal[T], /, *, timeout: Duration | None = None, name: str = "") -> WaitFor[T]:
    """Wait for the next signal: one that came early, or the first to come.

    When none has come within `timeout` it fails as a step does whose time is up (`timeout`, a `TimeoutError`).
    """
    length = None if timeout is None else microseconds(timeout, "timeout")
    refuse(
        "wait_for",
        _bad_signal(signal),
        check_name(name, "name") if name else None,
        "timeout is 0, must be a length of time above 0" if length == 0 else None,
    )
    return WaitFor(partial(_build_wait, signal, length or 0), name=name or signal.name)


def _bad_signal(signal: object) -> str | None:
    return None if isinstance(signal, Signal) else f"signal is {signal!r}, must be a Signal"


def _build_wait(signal: Signal[Any], timeout: int, place: Place) -> Wait:
    given = place.given.single(place)
    return Wait(place.name, signal.name, timeout=timeout, input_type=given, output_type=signal.type)
