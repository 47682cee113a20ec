"""What every test shares: the event loop, and how hypothesis searches."""

import gc
import os

import pytest
from hypothesis import settings

# A deadline measures the machine, not the code. The gate tries the same examples each time, so that it judges what was
# changed; `make explore` looks for others, and print_blob makes what it finds repeatable.
settings.register_profile("house", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "house"))


def pytest_collection_finish() -> None:
    """What was imported and collected stays until the end: the garbage collector need not look at it each time."""
    gc.freeze()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio, the loop that the runtime is written for."""
    return "asyncio"
