"""Old runs: archived, removed, brought back; what has to stay stays."""

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ripresa import (
    App,
    Context,
    IllegalTransition,
    Migration,
    RipresaError,
    RunExists,
    RunNotFound,
    Signal,
    StoreError,
    chain,
    parallel,
    step,
    wait_for,
    workflow,
)
from ripresa.core.events import Migrated, RunForked
from ripresa.retention import archive_path, digest_of, tombstones
from ripresa.stores.memory import Memory, MemoryStore
from ripresa.stores.sweep import digests_in
from tests.runtime.stage import Failing, Wrapped, in_memory, on_clock, turns


@step
async def blow_up(value: int) -> str:
    return f"{value} " * 3000


@step
async def measure(text: str) -> int:
    return len(text)


FLOW = chain(blow_up, name="flow")


async def test_runs_that_ended_long_ago_are_removed_and_leave_a_tombstone() -> None:
    async with on_clock() as (app, clock):
        await app.run(FLOW(1), id="old")
        digest = digest_of(await app.store.read("old"))
        clock.advance("91 days")
        await app.run(FLOW(2), id="new")
        report = await app.prune(older_than="90 days", by="ann", reason="policy")
        assert report.done == ("old",)
        with pytest.raises(RunNotFound):
            await app.handle("old")
        assert (await (await app.handle("new")).status()).status == "completed"
        (stone,) = [stone async for stone in tombstones(app.store)]
        assert (stone.id, stone.workflow, stone.status, stone.by, stone.reason) == (
            "old",
            "flow",
            "completed",
            "ann",
            "policy",
        )
        assert stone.digest == digest
        assert await app.sweep() == 0
        clock.advance("1 day")
        assert await app.sweep() == 1  # the large result; the definition is the new run's too
        assert await (await app.handle("new", FLOW)).result() == "2 " * 3000


async def test_an_archived_run_comes_back_as_it_was(tmp_path: Path) -> None:
    async with in_memory() as app:
        handle = await app.start(FLOW(1), id="run/1", tags=["a"])
        await handle.result()
        before, journal = await handle.status(), await app.engine.history("run/1")
        assert (await app.select(tag="a").prune(archive=tmp_path)).done == ("run/1",)
        path = archive_path(tmp_path, "run/1")
    async with in_memory(Memory()) as app:
        again = await app.restore(path)
        assert await again.status() == before
        assert await app.engine.history("run/1") == journal
        assert await (await app.handle("run/1", FLOW)).result() == "1 " * 3000
        assert [head.id async for head in app.select(tag="a", status="completed")] == ["run/1"]
        with pytest.raises(RunExists):
            await app.restore(path)


async def test_a_failed_run_that_was_restored_can_be_resumed(tmp_path: Path) -> None:
    broken = [True]

    @step
    async def check(value: int) -> int:
        if broken:
            raise ValueError(value)
        return value

    flow = chain(check, name="fragile")
    async with in_memory(workflows=[flow]) as app:
        await (await app.start(flow(1), id="run")).outcome()
        await app.select().prune(archive=tmp_path)
        await app.restore(archive_path(tmp_path, "run"))
        broken.clear()
        assert await (await app.resume("run")).result() == 1


async def test_a_run_that_goes_on_is_refused() -> None:
    from tests.runtime.stage import Tally

    tally = Tally()

    @step
    async def wait(value: int) -> int:
        await tally.visit()
        return value

    async with in_memory() as app:
        await app.start(chain(wait)(1), id="run")
        await tally.reach(1)
        report = await app.select(status="running").prune()
        assert [(refusal.run, refusal.code) for refusal in report.refused] == [("run", "illegal_transition")]
        tally.open()


async def test_a_run_that_cannot_be_archived_stays(tmp_path: Path) -> None:
    folder = tmp_path / "a file"
    folder.write_text("")
    async with in_memory() as app:
        await app.run(FLOW(1), id="run")
        report = await app.select().prune(archive=folder)
        assert [refusal.code for refusal in report.refused] == ["store_failed"]
        assert (await (await app.handle("run")).status()).status == "completed"


async def test_what_looks_like_the_name_of_a_large_value_is_archived_as_what_it_is(tmp_path: Path) -> None:
    text = "0123456789abcdef" * 4
    async with in_memory() as app:
        await app.run(measure(text), id="run")
        assert (await app.select().prune(archive=tmp_path)).done == ("run",)
    async with in_memory() as app:
        assert await (await app.restore(archive_path(tmp_path, "run"))).result() == len(text)


async def test_a_run_whose_large_values_cannot_be_read_now_stays(tmp_path: Path) -> None:
    class Busy(Wrapped):
        def blob(self, digest: str) -> bytes:
            raise StoreError("the store is busy", code="store_failed")

    memory: Any = MemoryStore()
    async with App(memory) as app:
        await app.run(FLOW(1), id="run")
        app.engine.store = Busy(memory)
        report = await app.select().prune(archive=tmp_path)
        assert [refusal.code for refusal in report.refused] == ["store_failed"]
        assert await memory.find_run("run") is not None


async def test_a_run_is_not_archived_without_a_large_value_that_is_damaged(tmp_path: Path) -> None:
    memory: Any = MemoryStore()
    async with App(memory) as app:
        await app.run(FLOW(1), id="alone")
        await app.run(parallel(blow_up, blow_up)(2), id="among others")
        (lost,) = [digest for digest, data in memory.memory.blobs.items() if data.startswith(b'"1')]
        (other,) = [digest for digest, data in memory.memory.blobs.items() if data.startswith(b'"2')]
        del memory.memory.blobs[lost]
        del memory.memory.blobs[other]
        report = await app.select().prune(archive=tmp_path)
        assert {(each.run, each.code) for each in report.refused} == {
            ("alone", "store_corrupt"),
            ("among others", "store_corrupt"),
        }
        assert "cannot be archived whole: the value" in report.refused[0].message
        assert os.listdir(tmp_path) == []
        assert await memory.find_run("alone") is not None


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", [1, 2, 3])
async def test_a_restoration_that_is_interrupted_is_gone_on_with_and_nobody_takes_the_run_up(
    number: int, after: bool, tmp_path: Path
) -> None:
    flow = chain(blow_up, name="two").then(measure)
    async with in_memory() as app:
        await app.run(flow(1), id="run")
        digest = digest_of(await app.store.read("run"))
        await app.select().prune(archive=tmp_path)
    path, memory = archive_path(tmp_path, "run"), Memory()
    failing: Any = Failing(MemoryStore(memory), number, after=after)
    async with App(failing) as app:
        with pytest.raises(StoreError):
            await app.restore(path)
    async with in_memory(memory, workflows=[flow]) as app:
        head = await app.store.find_run("run")
        if head is not None and head.status == "created":
            with pytest.raises(IllegalTransition, match="was being restored"):
                await app.resume("run", flow)
            assert await app.resume_all() == []
        if head is None or head.status == "created":
            await app.restore(path)
        assert await (await app.handle("run", flow)).result() == 6000
        assert digest_of(await app.store.read("run")) == digest
        with pytest.raises(RunExists):
            await app.restore(path)


async def test_an_unfinished_restoration_is_not_gone_on_with_from_another_archive(tmp_path: Path) -> None:
    memory = Memory()
    for number in (1, 2):
        async with in_memory() as app:
            await app.run(FLOW(number), id="run")
            await app.select().prune(archive=tmp_path / str(number))
    failing: Any = Failing(MemoryStore(memory), 2)
    async with App(failing) as app:
        with pytest.raises(StoreError):
            await app.restore(archive_path(tmp_path / "1", "run"))
    async with in_memory(memory) as app:
        with pytest.raises(RunExists):
            await app.restore(archive_path(tmp_path / "2", "run"))
        await app.restore(archive_path(tmp_path / "1", "run"))
        assert await (await app.handle("run", FLOW)).result() == "1 " * 3000


async def test_a_run_of_one_transaction_comes_back_with_its_status(tmp_path: Path) -> None:
    @workflow
    async def at_once(ctx: Context) -> int:
        return 7

    async with in_memory() as app:
        await app.run(at_once(), id="run")
        await app.select().prune(archive=tmp_path)
        await app.restore(archive_path(tmp_path, "run"))
        assert [(head.id, head.status) for head in (await app.runs()).runs] == [("run", "completed")]
        assert (await app.select().prune()).done == ("run",)


@pytest.mark.parametrize("how", ["fork", "migrate"])
async def test_what_is_taken_over_later_survives_that_its_first_run_is_removed(how: str) -> None:
    """Results to be taken over stand in the value that `RunForked` or `Migrated` names; a sweep leaves it alone."""
    CALLS.clear()
    memory, go = Memory(), Signal("go", int)
    flow = chain(blow_up_once, name="big").then(wait_for(go, name="wait")).then(again_once)
    moved = chain(blow_up_once, name="big", version="2").then(wait_for(go, name="wait")).then(again_once).then(measure)
    async with in_memory(memory) as app:
        handle = await app.start(flow(1), id="first")
        await turns(9)
        if how == "fork":
            await handle.send(go, 3)
            await handle.result()
            await handle.fork("blow_up_once", id="second", effects="reuse")
    async with in_memory(memory, migrations=[Migration("big", "1", "2")]) as app:
        if how == "fork":
            assert (await app.select(status="completed").prune()).done == ("first",)
        else:
            await app.migrate("first", moved, by="eva")
        for _ in range(2):
            await app.sweep(grace=0)
    run, then = ("second", flow) if how == "fork" else ("first", moved)
    async with in_memory(memory) as app:
        found = await app.resume(run, then)
        await found.send(go, 3)
        assert await found.result() == ("3 " * 3000 if how == "fork" else 6000)
        kind = RunForked if how == "fork" else Migrated
        (event,) = [item.event for item in await app.engine.history(run) if isinstance(item.event, kind)]
        assert isinstance(event.reuse, bytes)
        assert list(digests_in(event.reuse))  # and nothing else that is there names it
    assert CALLS == ["big", "again"]


CALLS: list[str] = []


@step
async def blow_up_once(value: int) -> str:
    CALLS.append("big")
    return f"{value} " * 3000


@step
async def again_once(value: int) -> str:
    CALLS.append("again")
    return f"{value} " * 3000


def lines_of(path: Path) -> list[Any]:
    with gzip.open(path, "rt") as text:
        return [json.loads(line) for line in text]


BREAKING: dict[str, Callable[[list[Any]], list[Any]]] = {
    "cut off": lambda lines: lines[:-1],
    "of another format": lambda lines: [{**lines[0], "format": 2}, *lines[1:]],
    "changed": lambda lines: [lines[0], {**lines[1], "data": "AAAA"}, *lines[2:]],
    "without a head": lambda lines: [{}, *lines[1:]],
    "empty": lambda lines: [],
}


@pytest.mark.parametrize("how", [*BREAKING, "no gzip", "nowhere"])
async def test_what_is_no_archive_is_refused(how: str, tmp_path: Path) -> None:
    path = tmp_path / "x.run.gz"
    async with in_memory() as app:
        await app.run(FLOW(1), id="run")
        await app.select().prune(archive=tmp_path)
        if how in BREAKING:
            lines = BREAKING[how](lines_of(archive_path(tmp_path, "run")))
            with gzip.open(path, "wt") as text:
                text.writelines(json.dumps(line) + "\n" for line in lines)
        elif how == "no gzip":
            path.write_bytes(b"hello")
        with pytest.raises(RipresaError if how == "nowhere" else StoreError) as caught:
            await app.restore(path)
        assert caught.value.code == ("usage" if how == "nowhere" else "store_corrupt")
        assert await app.store.find_run("run") is None
