"""Interceptors of simulated runs: plain functions from the gate at which a run waits to the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from ..core.commands import Intercept
from ..core.events import Intercepted
from ..core.gates import Gate

Interceptor: TypeAlias = Callable[[Intercept, Gate], Intercepted]
"""Given what is asked of interceptors and the gate that waits for it; the time of the answer does not matter."""


def nobody_minds(command: Intercept, gate: Gate) -> Intercepted:
    """Go on everywhere as if nobody had been asked."""
    return Intercepted(0, command.path, command.point, "continue")
