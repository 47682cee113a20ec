"""What every test shares: the event loop, and how hypothesis searches."""

import pytest
from hypothesis import settings

# A deadline measures the machine, not the code; print_blob makes a failure on the build server repeatable here.
settings.register_profile("house", deadline=None, print_blob=True)
settings.load_profile("house")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio, the loop that the runtime is written for."""
    return "asyncio"
