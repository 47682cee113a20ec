"""The driver fails a run that nothing can bring on, instead of waiting for ever."""

from typing import Any

import pytest

from ripresa import Flow, RunError, RunFailed, chain, step
from ripresa.core.nodes.cleanup import Cleanup
from ripresa.core.nodes.node import Node
from tests.core.silent import Silent
from tests.runtime.stage import in_memory


@step
def double(number: int) -> int:
    return 2 * number


hole: Flow[Any, Any] = Flow(lambda place: Silent(place.name), name="hole")


class Stubborn(Silent):
    """It cannot even be stopped."""

    def cancel(self, run: Any, frame: Any) -> None:
        """Do nothing."""


async def test_a_run_that_can_never_advance_fails_and_says_where() -> None:
    async with in_memory() as app:
        handle = await app.start(chain(double).then(hole)(1))
        with pytest.raises(RunFailed, match="can never advance") as caught:
            await handle.result()
        assert caught.value.failure.code == "workflow_deadlock"
        assert caught.value.failure.path == "hole"
        with pytest.raises(RunFailed):
            await (await app.resume(handle.id, chain(double).then(hole))).result()


async def test_a_run_that_cannot_even_wind_up_is_left_with_an_error() -> None:
    def build(place: Any) -> Node[Any]:
        return Cleanup(place.name, Stubborn("hole"), ())

    flow: Flow[Any, Any] = Flow(build, name="stubborn")
    async with in_memory() as app:
        handle = await app.start(flow(1))
        with pytest.raises(RunError) as caught:
            await handle.result()
        assert caught.value.code == "workflow_deadlock"
