"""How long property tests search: in the gate as long as it can wait, in `make explore` ten times that."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from itertools import count
from typing import Any, TypeVar

from hypothesis import settings

from ripresa.testing.simulator import STORM, Faults, Result, Simulation

COUNTED = 100
"""How many examples of a property test count which lines they run: it takes three times as long as the example."""

COUNTED_SEEDS = 20
"""How many schedules of a simulation do."""

F = TypeVar("F", bound=Callable[..., Any])


def searched(examples: int) -> Callable[[F], F]:
    """Let a property test try so many examples in the gate."""
    exploring = settings.get_current_profile_name() == "explore"
    limited = settings(max_examples=10 * examples if exploring else examples)

    def decide(test: F) -> F:
        handle: Any = test.hypothesis  # type: ignore[attr-defined]
        handle.inner_test = _counted_at_first(handle.inner_test)
        return limited(test)

    return decide


def _counted_at_first(example: Callable[..., None]) -> Callable[..., None]:
    numbers = count(1)

    @wraps(example)
    def performed(*args: Any, **kwargs: Any) -> None:
        if next(numbers) <= COUNTED:
            example(*args, **kwargs)
            return
        with uncounted():
            example(*args, **kwargs)

    return performed


def checked(simulation: Simulation, seeds: Sequence[int], faults: Faults = STORM) -> list[Result]:
    """A run for each seed; see `Simulation.check`."""
    found = simulation.check(seeds[:COUNTED_SEEDS], faults)
    with uncounted():
        return [*found, *simulation.check(seeds[COUNTED_SEEDS:], faults)]


@contextmanager
def uncounted() -> Iterator[None]:
    """Do something without counting which of our lines it runs."""
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(tracer)
