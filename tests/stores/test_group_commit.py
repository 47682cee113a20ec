"""What shares a transaction, what is written on the loop and what on the thread."""

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Executor, Future
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest

from ripresa.errors import Fenced, InvalidValue, StoreError
from ripresa.ports import Batch, Row
from ripresa.stores import group_commit
from ripresa.stores.jobs import Job
from ripresa.stores.pace import Pace
from ripresa.stores.sqlite import SQLiteStore
from ripresa.testing.store_contract import a_head, first, opened, outcome, then


def a_store(tmp_path: Path, **options: Any) -> SQLiteStore:
    return SQLiteStore(tmp_path / "runs.db", "normal", **options)


def on_the_thread() -> Pace:
    pace = Pace(slow=0, quick=-1)
    pace.threaded = True
    return pace


def recorded(store: SQLiteStore) -> list[str]:
    """Every statement that the writer is given from now on."""
    statements: list[str] = []
    store._database.writer.set_trace_callback(statements.append)
    return statements


def write_log(store: SQLiteStore) -> list[tuple[int, bool]]:
    """How many jobs each transaction has from now on, and whether it may wait."""
    log: list[tuple[int, bool]] = []
    write = store._database.write

    def noting(jobs: Sequence[Job], patient: bool) -> float:
        log.append((len(jobs), patient))
        return write(jobs, patient)

    store._group._write = noting
    return log


def without_hop(coroutine: Coroutine[Any, Any, None]) -> bool:
    """Whether it ends at once, without giving the loop a turn."""
    try:
        coroutine.send(None)
    except StopIteration:
        return True
    coroutine.close()
    return False


async def test_a_lone_run_appends_on_the_loop_without_a_hop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "TURN", 1000)
    async with opened(lambda: a_store(tmp_path)) as store:
        await store.create(first())
        await store.append(then(2))
        assert [without_hop(store.append(then(seq))) for seq in range(3, 6)] == [True, True, True]
        assert len(await store.read("r")) == 5


async def test_a_step_is_one_statement(tmp_path: Path) -> None:
    async with opened(lambda: a_store(tmp_path)) as store:
        assert isinstance(store, SQLiteStore)
        await store.create(first())
        await store.append(then(2))
        statements = recorded(store)
        for seq in range(3, 103):
            await store.append(then(seq))
        assert len(statements) == 100
        assert {statement.split("(")[0] for statement in statements} == {"INSERT OR IGNORE INTO events "}


async def test_a_lone_run_lets_the_loop_have_its_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "TURN", 0)
    async with opened(lambda: a_store(tmp_path)) as store:
        turns = 0
        await store.create(first())

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.ensure_future(others())
        for seq in range(2, 22):
            await store.append(then(seq))
        task.cancel()
        assert turns >= 20


async def test_a_thousand_runs_share_one_transaction(tmp_path: Path) -> None:
    async with opened(lambda: a_store(tmp_path)) as store:
        assert isinstance(store, SQLiteStore)
        names = [f"r{number}" for number in range(1000)]
        before = store.commits
        await asyncio.gather(*(store.create(first(name)) for name in names))
        assert store.commits == before + 1
        statements = recorded(store)
        for seq in (2, 3):
            await asyncio.gather(*(store.append(then(seq, name)) for name in names))
        assert store.commits == before + 3
        assert len(statements) == 2 * (1000 + 2)


async def test_two_runs_go_on_sharing(tmp_path: Path) -> None:
    async with opened(lambda: a_store(tmp_path)) as store:
        assert isinstance(store, SQLiteStore)

        async def run(name: str) -> None:
            for seq in range(2, 52):
                await store.append(then(seq, name))

        await asyncio.gather(store.create(first("a")), store.create(first("b")))
        before = store.commits
        await asyncio.gather(run("a"), run("b"))
        assert store.commits == before + 50


async def test_a_fenced_run_costs_the_others_no_transaction_of_their_own(tmp_path: Path) -> None:
    async with opened(lambda: a_store(tmp_path)) as store, opened(lambda: a_store(tmp_path)) as heir:
        assert isinstance(store, SQLiteStore)
        for name in "abc":
            await store.create(first(name))
        store._owner.drop()
        await heir.claim("b")
        await heir.append(then(2, "b"))
        before = store.commits
        outcomes = await asyncio.gather(*(outcome(store.append(then(2, name))) for name in "abc"))
        assert outcomes == [None, Fenced, None]
        assert store.commits == before + 1


async def test_a_fenced_run_is_told_when_it_writes_alone(tmp_path: Path) -> None:
    async with opened(lambda: a_store(tmp_path)) as store, opened(lambda: a_store(tmp_path)) as heir:
        assert isinstance(store, SQLiteStore)
        await store.create(first())
        await store.append(then(2))
        store._owner.drop()
        await heir.claim("r")
        await heir.append(then(3))
        assert await outcome(store.append(then(3))) is Fenced
        assert len(await heir.read("r")) == 3


async def test_a_caller_that_gives_up_does_not_lose_its_batch(tmp_path: Path) -> None:
    async with opened(lambda: a_store(tmp_path)) as store:
        await store.create(first())
        waiting = asyncio.ensure_future(store.append(then(2)))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await store.append(then(3))
        assert [row.seq for row in await store.read("r")] == [1, 2, 3]


async def test_a_caller_that_gives_up_twice_is_let_go_once(tmp_path: Path) -> None:
    async with opened(lambda: a_store(tmp_path)) as store:
        await asyncio.gather(store.create(first("a")), store.create(first("b")))
        callers = [asyncio.create_task(outcome(store.append(then(2, name)))) for name in "ab"]
        await asyncio.sleep(0)
        assert (callers[0].cancel(), callers[0].cancel()) == (True, True)
        found = await asyncio.gather(*callers, return_exceptions=True)
        assert [type(each) for each in found] == [asyncio.CancelledError, type(None)]
        assert [len(await store.read(name)) for name in "ab"] == [2, 2]


async def test_what_stops_the_process_in_one_run_keeps_no_other_from_going_on(tmp_path: Path) -> None:
    async with opened(lambda: a_store(tmp_path)) as store:
        assert isinstance(store, SQLiteStore)
        woken: list[str] = []

        def interrupted(_: Job) -> None:
            raise KeyboardInterrupt

        jobs = [Job().within(asyncio.get_running_loop()) for _ in range(4)]
        wakes = (lambda _: woken.append("first"), interrupted, lambda _: woken.append("third"))
        for job, wake in zip(jobs, wakes, strict=False):  # nobody awaits the last any more
            job.add_done_callback(wake, context=copy_context())
        with pytest.raises(KeyboardInterrupt):
            store._group._go_on(jobs)
        assert woken == ["first"]
        await asyncio.sleep(0)
        assert woken == ["first", "third"]


async def test_a_value_that_cannot_be_written_harms_nobody_else(tmp_path: Path) -> None:
    async with opened(lambda: a_store(tmp_path)) as store:
        batches = [first("a"), Batch("b", 1, 1, b"[]", head=a_head("b", error="\ud800")), first("c")]
        outcomes = await asyncio.gather(*(outcome(store.create(batch)) for batch in batches))
        assert outcomes == [None, InvalidValue, None]
        assert await store.find_run("b") is None
        with pytest.raises(InvalidValue) as caught:
            await store.append(then(2, "a", head=a_head("a", error="\ud800")))
        assert caught.value.code == "not_encodable"
        await store.append(then(2, "a"))
        assert [len(await store.read(name)) for name in "abc"] == [2, 0, 1]


async def test_a_bad_value_does_not_hide_that_the_disk_is_full(tmp_path: Path) -> None:
    async with opened(lambda: a_store(tmp_path)) as store:
        assert isinstance(store, SQLiteStore)
        await store.create(first("a"))
        await store.create(first("c"))
        store._database.writer.execute("PRAGMA max_page_count = 1")
        bad = Batch("b", 1, 1, b"[]", head=a_head("b", error="\ud800"))
        calls = [store.append(then(2, "a")), store.create(bad), store.append(then(2, "c", row=b"x" * 9000))]
        found = await asyncio.gather(*calls, return_exceptions=True)
        assert found[0] is None
        assert isinstance(found[1], InvalidValue)
        assert isinstance(found[2], StoreError)
        assert found[2].code == "store_full"
        assert [len(await store.read(name)) for name in "abc"] == [2, 0, 1]


async def test_on_a_slow_disk_the_loop_goes_on_and_the_next_group_collects(tmp_path: Path) -> None:
    async with opened(lambda: a_store(tmp_path, pace=on_the_thread())) as store:
        assert isinstance(store, SQLiteStore)
        names = [f"r{number}" for number in range(5)]
        await asyncio.gather(*(store.create(first(name)) for name in names))
        gate = threading.Event()
        log: list[int] = []
        begun = asyncio.Event()
        loop = asyncio.get_running_loop()
        threads: set[str] = set()
        write = store._database.write

        def slowly(jobs: Sequence[Job], patient: bool) -> float:
            log.append(len(jobs))
            loop.call_soon_threadsafe(begun.set)
            threads.add(threading.current_thread().name)
            gate.wait(10)
            return write(jobs, patient)

        store._group._write = slowly
        one = asyncio.ensure_future(store.append(then(2, "r0")))
        await begun.wait()
        rest = [asyncio.ensure_future(store.append(then(2, name))) for name in names[1:]]
        await asyncio.sleep(0)
        assert len(await store.read("r0")) == 1  # a reader does not wait for the writer
        gate.set()
        await asyncio.gather(one, *rest)
        assert log == [1, 4]
        assert all(name.startswith("ripresa-sqlite") for name in threads)


async def test_a_lone_run_on_a_slow_disk_writes_on_the_thread(tmp_path: Path) -> None:
    async with opened(lambda: a_store(tmp_path, pace=on_the_thread())) as store:
        assert isinstance(store, SQLiteStore)
        await store.create(first())
        log = write_log(store)
        for seq in range(2, 5):
            await store.append(then(seq))
        assert log == [(1, True)] * 3


class Telling(Executor):
    """A thread that says when it was given something to do."""

    def __init__(self, thread: Executor, told: asyncio.Event) -> None:
        self.thread = thread
        self.told = told

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.told.set()
        return self.thread.submit(fn, *args, **kwargs)


async def test_the_loop_does_not_wait_for_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "TURN", 1000)
    async with opened(lambda: a_store(tmp_path)) as store:
        assert isinstance(store, SQLiteStore)
        await store.create(first())
        await store.append(then(2))
        log = write_log(store)
        handed_over = asyncio.Event()
        monkeypatch.setattr(store._group, "_thread", Telling(store._thread, handed_over))
        other = sqlite3.connect(tmp_path / "runs.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.ensure_future(store.append(then(3)))
        await handed_over.wait()
        assert not waiting.done()
        other.execute("COMMIT")
        other.close()
        await waiting
        await store.append(then(4))
        await store.append(then(5))
        assert log == [(1, False), (1, False), (1, True), (1, False), (1, False)]
        assert list(await store.read("r", 2)) == [Row(3, 1, b"[3]"), Row(4, 1, b"[4]"), Row(5, 1, b"[5]")]


async def test_a_database_that_stays_locked_is_an_error_of_each_caller(tmp_path: Path) -> None:
    async with opened(lambda: a_store(tmp_path, patience=0.02)) as store:
        assert isinstance(store, SQLiteStore)
        await asyncio.gather(store.create(first("a")), store.create(first("b")))
        other = sqlite3.connect(tmp_path / "runs.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        calls: list[Awaitable[None]] = [store.append(then(2, "a")), store.append(then(2, "b"))]
        one, two = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(one, StoreError)
        assert isinstance(two, StoreError)
        assert one is not two
        assert (one.code, two.code) == ("store_locked", "store_locked")
        assert one.hint
        other.execute("ROLLBACK")
        other.close()
        await store.append(then(2, "a"))


def test_the_pace_changes_only_outside_its_two_limits() -> None:
    pace = Pace(slow=0.004, quick=0.002, weight=0.5)
    seen = []
    for seconds in (0.004, 0.004, 0.006, 0.003, 0.003, 0.001, 0.0005, 0.003, 0.003):
        pace.took(seconds)
        seen.append(pace.threaded)
    assert seen == [False, False, True, True, True, True, False, False, False]


def test_one_checkpoint_does_not_change_the_pace() -> None:
    pace = Pace()
    for _ in range(20):
        pace.took(0.0002)
    pace.took(1.0)
    assert not pace.threaded
