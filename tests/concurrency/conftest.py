"""Of tests that are made again with other chances, the first counts which lines it runs."""

from collections.abc import Iterator

import pytest

import ripresa.executors.threads
import ripresa.runtime.streams  # noqa: F401 - what a run imports when it needs it: here its lines are counted
from tests.searching import uncounted


@pytest.fixture(autouse=True)
def _counted_once(request: pytest.FixtureRequest) -> Iterator[None]:
    """What is the same but for the seed, the pace or a size runs the same lines, which takes three times as long."""
    made = getattr(request.node, "callspec", None)
    if made is None or not any(index for name, index in made.indices.items() if name != "name"):
        yield
        return
    with uncounted():
        yield
