"""What a step and a durable function hold, looked at from outside a run."""

import asyncio
from typing import Any

import pytest

from ripresa import chain, current, step, workflow
from ripresa.context import in_function
from ripresa.core.items import Items
from ripresa.errors import InvalidConfig, RipresaError
from ripresa.function_context import Context


@step
async def add(value: int) -> int:
    return value + 1


def test_lists_tuples_and_ranges_are_items_and_text_and_sets_are_not_ordered() -> None:
    def length(items: Items[int]) -> int:
        return len(items)

    assert length([1, 2]) == length((1, 2)) == length(range(2)) == 2


async def test_a_step_awaited_by_hand_just_runs_in_a_context_that_says_so() -> None:
    @step
    async def look(value: int) -> Any:
        context = current()
        return context.run, context.workflow, context.path, context.attempt, context.idempotency_key, value

    assert await look(7) == ("", "", "", 1, "outside-a-run", 7)
    assert current().deadline is None
    assert not current().cancelled
    assert not in_function()


@pytest.mark.parametrize("ask", [lambda ctx: ctx.sleep(1), lambda ctx: ctx.map(add, [1]), lambda ctx: ctx.gather()])
async def test_a_context_outside_its_function_is_a_coded_error(ask: Any) -> None:
    context: Context[None] = Context(None)  # type: ignore[arg-type]
    with pytest.raises(RipresaError) as caught:
        await ask(context)
    assert caught.value.code == "foreign_await"
    assert "inside a durable function" in str(caught.value)


async def test_a_length_that_is_none_is_refused_where_it_is_given() -> None:
    @workflow
    async def sleepy(ctx: Context) -> list[str]:
        found = []
        for length in (-1, "soon", None):
            try:
                await ctx.sleep(length)  # type: ignore[arg-type]
            except InvalidConfig as error:
                found.append(error.code)
        await ctx.sleep(0)
        await ctx.sleep("1 ms")
        return found

    assert await sleepy() == ["invalid_config"] * 3


async def test_a_step_called_in_a_step_runs_by_itself_and_in_a_function_it_is_journaled() -> None:
    @step
    async def outer(value: int) -> int:
        return await add(value)

    @workflow
    async def function(ctx: Context, value: int) -> int:
        return await outer(value)

    by_chain = [item.event async for item in chain(outer).stream(1)]
    by_function = [item.event async for item in function.stream(1)]
    assert sum(type(event).__name__ == "StepCompleted" for event in by_chain) == 1
    assert sum(type(event).__name__ == "StepCompleted" for event in by_function) == 1


async def test_tasks_that_a_step_starts_are_not_inside_a_function() -> None:
    async def inside() -> bool:
        return in_function()

    @step
    async def spawn() -> list[bool]:
        return [await asyncio.create_task(inside()), await inside(), await asyncio.to_thread(in_function)]

    @workflow
    async def function(ctx: Context) -> list[bool]:
        return [in_function(), *await spawn()]

    assert await function() == [True, False, False, False]


def test_what_is_sent_goes_nowhere_unless_a_context_says_where() -> None:
    from ripresa.reporting import NOWHERE, Sends

    assert Sends()._reporting() is NOWHERE
