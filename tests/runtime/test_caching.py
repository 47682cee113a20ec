"""Results that other runs may use: found, good for as long as was said, and never in the way."""

import logging
from dataclasses import dataclass
from typing import Any

import pytest

from ripresa import App, Cache, InvalidConfig, RunFailed, chain, current, map_each, step, workflow
from ripresa.core.events import StepCompleted, StepReused
from ripresa.core.merge import read
from ripresa.core.values import text_of
from ripresa.core.view import view_of
from ripresa.errors import StoreError
from ripresa.function_context import Context
from ripresa.stores.memory import MemoryStore
from tests.runtime.stage import Wrapped, all_of, in_memory, journal_of, on_clock

asked: list[Any] = []


@pytest.fixture(autouse=True)
def _nothing_was_asked() -> None:
    asked.clear()


@step(effect="read", cache="1 day")
async def look_up(name: str) -> str:
    asked.append(name)
    return name.upper()


LOOK = chain(look_up)


async def test_a_second_run_is_given_what_the_first_found() -> None:
    async with in_memory() as app:
        assert await app.run(LOOK("a")) == "A"
        handle = await app.start(LOOK("a"))
        assert await handle.result() == "A"
        assert await app.run(LOOK("b")) == "B"
        kinds = [type(event) for event in await journal_of(handle)]
        (reused,) = [event for event in await journal_of(handle) if isinstance(event, StepReused)]
    assert asked == ["a", "b"]
    assert StepCompleted not in kinds
    assert reused.cached
    assert not reused.given


async def test_a_result_is_good_for_as_long_as_was_said() -> None:
    async with on_clock() as (app, clock):
        await app.run(LOOK("a"))
        clock.advance("23 h")
        await app.run(LOOK("a"))
        clock.advance("1 h")
        await app.run(LOOK("a"))
    assert asked == ["a", "a"]


async def test_chains_maps_and_durable_functions_share_results() -> None:
    @workflow
    async def function(ctx: Context, name: str) -> str:
        return await look_up(name)

    async with in_memory() as app:
        assert await app.run(function("a")) == "A"
        assert await app.run(map_each(look_up, concurrency=1)(["a", "b", "a", "b"])) == ["A", "B", "A", "B"]
    assert asked == ["a", "b"]


async def test_a_key_of_ones_own_says_which_calls_are_alike() -> None:
    @step(effect="pure", cache=Cache(key=lambda text, times=1: f"{len(text)} {times}"))
    def repeat(text: str, times: int = 1) -> str:
        asked.append(text)
        return text * times

    async with in_memory() as app:
        flow = chain(repeat)
        assert [await app.run(flow(text)) for text in ("ab", "cd", "abc")] == ["ab", "ab", "abc"]
    assert asked == ["ab", "abc"]


async def test_another_version_does_not_see_the_results_of_the_one_before() -> None:
    async with in_memory() as app:
        await app.run(LOOK("a"))
        await app.run(chain(look_up.with_(cache=Cache(version="2")))("a"))
        await app.run(chain(look_up.with_(cache=False))("a"))
        await app.run(chain(look_up.with_(cache=True))("a"))
    assert asked == ["a", "a", "a"]


async def test_a_failure_is_not_kept() -> None:
    @step(effect="read", cache=True)
    async def broken(name: str) -> str:
        asked.append(name)
        raise ValueError(name)

    async with in_memory() as app:
        for _ in range(2):
            with pytest.raises(RunFailed):
                await app.run(chain(broken)("a"))
    assert asked == ["a", "a"]


@pytest.mark.parametrize("key", [lambda name: 7, lambda: "x", lambda name: 1 / 0])
async def test_a_key_that_is_none_fails_the_step(key: Any) -> None:
    flow = chain(look_up.with_(cache=Cache(key=key)))
    async with in_memory() as app:
        with pytest.raises(RunFailed):
            await app.run(flow("a"))
    assert asked == []


async def test_results_can_be_forgotten() -> None:
    async with in_memory() as app:
        for name in "ab":
            await app.run(LOOK(name))
        assert await app.forget(expired=True) == 0
        assert await app.forget("another.step") == 0
        assert await app.forget(look_up) == 2
        await app.run(LOOK("a"))
        assert await app.forget() == 1
    assert asked == ["a", "b", "a"]


async def test_a_store_that_cannot_keep_a_result_does_not_fail_the_step(caplog: pytest.LogCaptureFixture) -> None:
    class Forgetful(Wrapped):
        async def keep_result(self, result: Any) -> None:
            raise StoreError("the disk is full", code="store_full")

    store: Any = Forgetful(MemoryStore())
    async with App(store) as app:
        with caplog.at_level(logging.WARNING, "ripresa"):
            assert await app.run(LOOK("a")) == "A"
    assert [record.getMessage() for record in caplog.records] == ["a result was not cached"]


@pytest.mark.parametrize("effect", ["idempotent", "irreversible"])
def test_only_steps_that_change_nothing_can_be_cached(effect: Any) -> None:
    with pytest.raises(InvalidConfig, match="cache is for steps of effect pure or read"):
        step(effect=effect, cache=True)(look_up.fn)


def test_what_is_wrong_with_a_cache_is_said_all_together() -> None:
    with pytest.raises(InvalidConfig, match=r"ttl is 0.*; key is 'name'"):
        Cache(0, key="name")
    assert Cache("1 h") == Cache(3600)


async def test_what_a_step_read_of_the_state_or_wrote_to_it_is_good_for_that_state_only() -> None:
    @dataclass
    class Notes:
        prefix: str = ""
        found: int = 0

    @step(effect="read", cache=True)
    async def prefixed(name: str) -> str:
        asked.append(name)
        return current().state(Notes).prefix + name

    @step(effect="read", cache=True)
    async def counted(name: str) -> str:
        asked.append(name)
        current().state(Notes).found = 1
        return name

    flow = chain(prefixed).then(counted).with_state(Notes)
    async with in_memory() as app:
        assert await app.run(flow("a"), state=Notes("x")) == "xa"
        handle = await app.start(flow("a"), state=Notes("y"))
        assert await handle.result() == "ya"
        view = view_of(await all_of(handle))
        assert view.state is not None
        assert read(view.state.fields["found"], text_of) == b"1"
    assert asked == ["a", "xa", "a", "ya"]
