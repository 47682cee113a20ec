"""The app: options, ids, tags, lists, and where its store is."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ripresa import App, Context, chain, step, workflow
from ripresa.errors import InvalidConfig, InvalidValue, RipresaError, RunExists, RunNotFound
from ripresa.runtime.ids import new_id
from ripresa.stores.memory import Memory, MemoryStore
from ripresa.testing.clock import ManualClock
from tests.runtime.stage import Tally, Wrapped


@step
async def add(value: int) -> int:
    return value + 1


@step
async def fail(value: int) -> int:
    raise ValueError


flow = chain(add)


async def test_the_store_is_named_or_in_the_environment_or_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RIPRESA_STORE", raising=False)
    async with App() as app:
        assert app.store.url == f"sqlite:{tmp_path / '.ripresa/ripresa.db'}"
        assert await app.run(flow(1), id="here") == 2
    monkeypatch.setenv("RIPRESA_STORE", f"sqlite:{tmp_path / 'other.db'}")
    async with App() as app:
        assert app.store.url.endswith("other.db")
        with pytest.raises(RunNotFound):
            await app.handle("here")
    async with App("memory:") as app:
        assert app.store.url == "memory:"
    for file in (f"sqlite:{tmp_path / '.ripresa/ripresa.db'}", tmp_path / ".ripresa/ripresa.db"):
        async with App(file) as app:
            assert await (await app.handle("here", flow)).result() == 2
    store: Any = 5
    with pytest.raises(InvalidConfig, match="store is 5, must be an address, a path or a Store"):
        App(store)


def test_everything_that_is_wrong_with_what_an_app_is_given_is_named_together() -> None:
    anything: Any = {"max_concurrency": 0, "durability": "zz", "near": "q", "linger": -1, "pools": [4], "hooks": [3]}
    with pytest.raises(InvalidConfig) as caught:
        App(**{"store": 3, "models": 7, **anything})
    for name in ("store", "models", "linger", "near", "pools", "max_concurrency", "durability", "hook"):
        assert name in caught.value.message


@pytest.mark.parametrize(
    "options",
    [{"durability": "none"}, {"patience": -1}, {"max_concurrency": 0}, {"threads": 0}, {"processes": True}],
)
def test_a_bad_option_is_refused_at_once(options: Any) -> None:
    with pytest.raises(InvalidConfig):
        App("memory:", **options)


@pytest.mark.parametrize("bad", ["", "  ", "a\nb", "x" * 201])
async def test_an_id_that_is_none_is_refused(bad: str) -> None:
    async with App("memory:") as app:
        with pytest.raises(InvalidConfig, match="id is"):
            await app.start(flow(1), id=bad)


@pytest.mark.parametrize("bad", ["text", [""], ["a\tb"]])
async def test_tags_that_are_none_are_refused(bad: Any) -> None:
    async with App("memory:") as app:
        with pytest.raises(InvalidConfig, match="tags"):
            await app.start(flow(1), tags=bad)


async def test_only_calls_can_be_started() -> None:
    async def plain() -> None: ...

    async with App("memory:") as app:
        for bad in (plain(), 7):
            with pytest.raises(RipresaError) as caught:
                await app.start(bad)  # type: ignore[arg-type]
            assert caught.value.code == "usage"
        with pytest.raises(InvalidValue):
            await app.start(flow("x"))  # type: ignore[arg-type]
        assert (await app.runs()).runs == ()


async def test_a_start_is_idempotent_by_id() -> None:
    async with App("memory:") as app:
        handles = await asyncio.gather(*(app.start(flow(1), id="one") for _ in range(5)))
        assert [await handle.result() for handle in handles] == [2] * 5
        assert repr(handles[0]) == "<run one>"
        assert await app.run(flow(1), id="one") == 2
        with pytest.raises(RunExists, match="another input"):
            await app.run(flow(2), id="one")
        with pytest.raises(RunExists, match="another workflow"):
            await app.run(add(1), id="one")
        assert len((await app.runs()).runs) == 1


async def test_a_large_input_is_compared_too() -> None:
    @step
    async def length(text: str) -> int:
        return len(text)

    async with App("memory:") as app:
        assert await app.run(chain(length)("x" * 10_000), id="one") == 10_000
        assert await app.run(chain(length)("x" * 10_000), id="one") == 10_000
        with pytest.raises(RunExists):
            await app.run(chain(length)("y" * 10_000), id="one")


async def test_runs_are_listed_newest_first_and_filtered() -> None:
    clock = ManualClock()
    async with App("memory:", clock=clock) as app:
        for number in range(5):
            clock.advance(1)
            call = chain(fail)(number) if number == 2 else flow.named(f"flow{number % 2}")(number)
            handle = await app.start(call, id=f"r{number}", tags=["even"] if number % 2 == 0 else ["odd", "all"])
            await handle.outcome()

        async def ids(**where: Any) -> list[str]:
            return [run.id for run in (await app.runs(**where)).runs]

        start = datetime.fromtimestamp(clock.now() / 1_000_000, UTC) - timedelta(seconds=5)
        assert await ids() == ["r4", "r3", "r2", "r1", "r0"]
        assert await ids(status="failed") == ["r2"]
        assert await ids(status=["failed", "completed"], limit=2) == ["r4", "r3"]
        assert await ids(workflow="flow1") == ["r3", "r1"]
        assert await ids(tag="all") == ["r3", "r1"]
        assert await ids(after="r3") == ["r2", "r1", "r0"]
        assert await ids(created_after=start + timedelta(seconds=3)) == ["r4", "r3"]
        assert await ids(created_before=start + timedelta(seconds=2)) == ["r0"]
        assert (await app.runs(limit=2)).more
        assert (await app.runs(status="failed")).runs[0].error == "step_failed"


async def test_a_run_that_ends_in_its_first_batch_is_recorded_as_it_ended() -> None:
    @workflow
    async def nothing(ctx: Context, value: int) -> int:
        return value

    @workflow
    async def broken(ctx: Context, value: int) -> int:
        raise ValueError("at once")

    async with App("memory:") as app:
        assert await app.run(nothing(3), id="good") == 3
        handle = await app.start(broken(3), id="bad")
        assert (await handle.outcome()).status == "failed"
        good, bad = [await app.store.find_run(name) for name in ("good", "bad")]
        assert good is not None
        assert bad is not None
        assert (good.status, good.error, bad.status, bad.error) == ("completed", "", "failed", "step_failed")
        assert await app.store.owner("good") is None


async def test_generated_ids_sort_by_time_and_differ() -> None:
    ids = [new_id(1_700_000_000_000_000 + number * 1_000) for number in range(200)]
    assert ids == sorted(ids)
    assert len({new_id(0) for _ in range(200)}) == 200


async def test_code_is_found_by_name_by_hand_or_by_target() -> None:
    memory, tally = Memory(), Tally()

    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    local = chain(wait).named("local")
    async with App(MemoryStore(memory), patience=0.05) as app:
        await app.start(local(1), id="run", target="")
        await app.start(local(1), id="elsewhere", target="no_such_module:flow")
        await tally.reach(2)
    async with App(MemoryStore(memory)) as app:
        for name, code in (("run", "unknown_workflow"), ("elsewhere", "unknown_target")):
            with pytest.raises(RipresaError) as caught:
                await app.resume(name)
            assert caught.value.code == code
    tally.open()
    async with App(MemoryStore(memory), workflows=[local]) as app:
        assert await (await app.resume("run")).result() == 1
        assert await (await app.resume("elsewhere")).result() == 1
        assert await (await app.resume("run")).result() == 1


async def test_listeners_hear_of_every_run() -> None:
    heard: list[Any] = []
    async with App("memory:", listeners=[heard.append]) as app:
        await app.run(flow(1), id="run")
        assert heard == await app.engine.history("run")


async def test_any_number_of_runs_is_taken_up() -> None:
    memory, tally = Memory(), Tally()

    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    many = chain(wait)
    async with App(MemoryStore(memory), patience=0.05) as app:
        for number in range(501):
            await app.start(many(number))
        await tally.reach(501)
    tally.open()
    async with App(MemoryStore(memory), workflows=[many]) as app:
        handles = await app.resume_all()
        assert sorted([await handle.result() for handle in handles]) == list(range(501))


async def test_a_run_that_somebody_took_first_is_not_missed() -> None:
    class Blind(Wrapped):
        async def owner(self, run: str) -> str | None:
            return None

    memory, tally = Memory(), Tally()

    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    flow = chain(wait)
    async with App(MemoryStore(memory), patience=0.05) as app:
        await app.start(flow(1), id="run")
        await tally.reach(1)
        async with App(Blind(MemoryStore(memory)), workflows=[flow]) as other:
            assert await other.resume_all() == []


async def test_every_run_that_cannot_be_taken_up_is_named() -> None:
    memory, tally = Memory(), Tally()

    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    async with App(MemoryStore(memory), patience=0.05) as app:
        for name in ("one", "two"):
            await app.start(chain(wait)(1), id=name)
        await tally.reach(2)
    async with App(MemoryStore(memory)) as app:
        with pytest.raises(RipresaError) as caught:
            await app.resume_all()
    told = str(caught.value) + "".join(caught.value.__notes__)
    assert "'one'" in told
    assert "'two'" in told
