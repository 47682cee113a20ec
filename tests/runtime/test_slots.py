"""Slots: what an attempt holds while it runs, in one order, given back whatever happens."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from ripresa.runtime.caps import Cap
from ripresa.runtime.slots import Slots
from tests.runtime.stage import turns


def free(*semaphores: asyncio.Semaphore | Cap | None) -> list[bool]:
    return [semaphore is not None and not semaphore.locked() for semaphore in semaphores]


@pytest.mark.parametrize(
    ("app", "run", "concurrency", "needed"),
    [
        (None, None, None, False),
        (2, None, None, True),
        (None, 2, None, True),
        (None, None, 2, True),
        (1, 2, 3, True),
    ],
)
async def test_slots_are_needed_where_anything_is_capped(
    app: int | None, run: int | None, concurrency: int | None, needed: bool
) -> None:
    cap = None if run is None else asyncio.Semaphore(run)
    assert Slots(app).needed(cap, concurrency) is needed


async def test_without_a_cap_nothing_is_held() -> None:
    slots = Slots()
    async with AsyncExitStack() as stack:
        for _ in range(100):
            await stack.enter_async_context(slots.take(None, "a", None))
    assert slots._steps == {}


async def test_an_attempt_holds_all_its_slots_until_it_ends_in_whichever_way() -> None:
    slots, run, child = Slots(1), asyncio.Semaphore(1), asyncio.Semaphore(1)
    held: list[list[bool]] = []

    async def attempt() -> None:
        async with slots.take(run, "a", 1, child):
            held.append(free(run, slots._step("a", 1), slots._app, child))
            raise ValueError("mine")

    for _ in range(2):
        with pytest.raises(ValueError, match="mine"):
            await attempt()
    assert held == [[False] * 4] * 2
    assert free(run, slots._step("a", 1), slots._app, child) == [True] * 4


async def test_the_cap_of_a_step_is_shared_by_its_name() -> None:
    slots, entered = Slots(), list[str]()

    async def attempt(name: str, label: str) -> None:
        async with slots.take(None, name, 1):
            entered.append(label)
            await asyncio.Event().wait()

    tasks = [asyncio.create_task(attempt(name, f"{name}{turn}")) for turn in (1, 2) for name in "ab"]
    await turns(3)
    assert entered == ["a1", "b1"]
    tasks[0].cancel()
    await turns(3)
    assert entered == ["a1", "b1", "a2"]
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_who_came_first_is_served_first() -> None:
    slots, order = Slots(1), list[int]()

    async def attempt(number: int) -> None:
        async with slots.take(None, "a", None):
            order.append(number)
            await turns(1)

    await asyncio.gather(*map(attempt, range(20)))
    assert order == list(range(20))


@pytest.mark.parametrize("full", range(4))
async def test_who_is_cancelled_while_it_waits_gives_back_what_it_has(full: int) -> None:
    slots, run, child = Slots(1), asyncio.Semaphore(1), asyncio.Semaphore(1)
    semaphores: list[asyncio.Semaphore | Cap | None] = [run, slots._step("a", 1), slots._app, child]
    last = semaphores[full]
    assert last is not None
    await last.acquire()

    async def attempt() -> None:
        async with slots.take(run, "a", 1, child):
            raise AssertionError

    task = asyncio.create_task(attempt())
    await turns(3)
    held = [False] * (full + 1) + [True] * (3 - full)
    if full == 2:
        held[1] = True  # that of the step is not held while one of the app is waited for
    assert free(*semaphores) == held
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    last.release()
    assert free(*semaphores) == [True] * 4


async def test_no_slot_of_a_step_is_held_while_waiting_for_one_of_the_app_or_the_other_way_round() -> None:
    slots, order = Slots(1), list[str]()
    going = {name: asyncio.Event() for name in ("other", "a1", "a2")}

    async def attempt(step: str, label: str, concurrency: int | None) -> None:
        async with slots.take(None, step, concurrency):
            order.append(label)
            await going[label].wait()

    tasks = [asyncio.create_task(attempt("b", "other", None))]
    await turns(2)
    tasks += [asyncio.create_task(attempt("a", label, 1)) for label in ("a1", "a2")]
    await turns(5)
    assert (order, slots.of_step("a", 1).locked()) == (["other"], False)
    async with slots.of_step("a", 1):  # as what runs inside an attempt holds it
        going["other"].set()
        await turns(5)
        assert order == ["other"]
        assert slots._app is not None
        assert not slots._app.locked()
    await turns(5)
    for label in ("a1", "a2"):
        assert order[-1] == label
        going[label].set()
        await turns(5)
    await asyncio.gather(*tasks)
    assert free(slots._app, slots.of_step("a", 1)) == [True, True]


async def test_what_two_caps_need_is_given_together_in_order_of_arrival_and_comes_to_an_end() -> None:
    slots, order = Slots(2), list[str]()

    async def attempt(step: str, number: int) -> None:
        async with slots.take(None, step, 1):
            order.append(f"{step}{number}")
            await turns(1)

    async with asyncio.timeout(10):
        await asyncio.gather(*(attempt(step, number) for number in range(50) for step in "abc"))
    assert sorted(order) == sorted(f"{step}{number}" for number in range(50) for step in "abc")
    for step in "abc":
        assert [each for each in order if each[0] == step] == [f"{step}{number}" for number in range(50)]
    assert free(slots._app, *map(slots._step, "abc", (1, 1, 1))) == [True] * 4


@pytest.mark.parametrize("cancelled_first", [True, False])
async def test_slots_that_come_in_the_moment_of_being_cancelled_go_to_the_next(cancelled_first: bool) -> None:
    slots, entered = Slots(1), list[str]()

    async def attempt(label: str) -> None:
        async with slots.take(None, "a", 1):
            entered.append(label)

    app = slots._app
    assert app is not None
    await app.acquire()
    first, second = asyncio.create_task(attempt("first")), asyncio.create_task(attempt("second"))
    await turns(3)
    if cancelled_first:
        first.cancel()
        app.release()
    else:
        app.release()
        first.cancel()
    await asyncio.wait([first, second])
    assert first.cancelled()
    assert entered == ["second"]
    assert free(app, slots._step("a", 1)) == [True, True]
