"""The driver fails a run that nothing can bring on, instead of waiting for ever."""

from typing import Any

import pytest

from ripresa import Context, Flow, RunError, RunFailed, chain, step, workflow
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


@workflow
async def twins(ctx: Context, number: int) -> int:
    async def left() -> int:
        return await second

    async def right() -> int:
        return await first

    first, second = left(), right()
    return sum(await ctx.gather(first, second))


@workflow
async def selfish(ctx: Context, number: int) -> int:
    async def alone() -> int:
        return await itself

    itself = alone()
    return await itself


@pytest.mark.filterwarnings("ignore:coroutine")
@pytest.mark.parametrize(("call", "cycle"), [(twins(1), "left -> right"), (selfish(1), "selfish -> alone")])
async def test_coroutines_that_await_each_other_are_a_deadlock_that_names_them(call: Any, cycle: str) -> None:
    async with in_memory() as app:
        with pytest.raises(RunFailed) as caught:
            await app.run(call)
    assert caught.value.failure.code == "workflow_deadlock"
    assert cycle in caught.value.failure.message


async def test_a_value_error_of_the_function_s_own_is_left_as_it_is() -> None:
    @workflow
    async def wrong(ctx: Context, number: int) -> int:
        raise ValueError("no number")

    async with in_memory() as app:
        with pytest.raises(RunFailed, match="ValueError: no number"):
            await app.run(wrong(1))


async def test_what_runs_side_by_side_must_not_be_awaited_elsewhere_too() -> None:
    @workflow
    async def greedy(ctx: Context, number: int) -> int:
        async def takes() -> int:
            return await inner

        async def gives() -> int:
            return await double(number)

        inner = gives()
        return sum(await ctx.gather(takes(), inner))

    async with in_memory() as app:
        with pytest.raises(RunFailed, match="'gives' runs side by side") as caught:
            await app.run(greedy(1))
    assert caught.value.failure.code == "usage"
