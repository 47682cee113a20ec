"""A step's own writes to the store's database: in the transaction of its completion, or not at all."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ripresa import (
    Again,
    App,
    InvalidValue,
    Retry,
    RunFailed,
    Veto,
    after,
    chain,
    current,
    map_each,
    step,
    stream,
)
from ripresa.core.events import RowsWritten
from ripresa.errors import RipresaError, StoreError
from ripresa.ports import Batch, Outgoing, Statement, Written
from ripresa.stores import statements
from ripresa.stores.memory import Memory
from ripresa.stores.sqlite import SQLiteStore
from ripresa.testing.store_samples import first, then

from .stage import in_memory, journal_of, kinds

TABLE = "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


@pytest.fixture
async def app(path: Path) -> AsyncIterator[App]:
    async with App(SQLiteStore(path, "normal"), patience=0.05) as app:
        do(path, TABLE)
        yield app


def do(path: Path, sql: str) -> list[Any]:
    connection = sqlite3.connect(path)
    with connection:
        found = connection.execute(sql).fetchall()
    connection.close()
    return found


def notes(path: Path) -> list[Any]:
    return do(path, "SELECT id, text FROM notes ORDER BY id")


@step
async def write(number: int) -> int:
    with current().transaction() as t:
        t.execute("INSERT INTO notes VALUES (?, ?)", (number, f"note {number}"))
    return number


@step
def write_from_a_thread(number: int) -> int:
    t = current().transaction()
    t.executemany("INSERT INTO notes VALUES (:id, :text)", [{"id": number + n, "text": "t"} for n in range(3)])
    return number


async def test_what_a_step_writes_is_there_when_it_has_completed(app: App, path: Path) -> None:
    handle = await app.start(chain(write).then(write_from_a_thread)(1), id="r")
    with pytest.raises(RunFailed, match="UNIQUE constraint"):
        await handle.result()
    assert notes(path) == [(1, "note 1")]
    assert await app.run(chain(write_from_a_thread)(5)) == 5
    assert len(notes(path)) == 4
    [written] = [event for event in await journal_of(handle) if isinstance(event, RowsWritten)]
    assert (written.path, written.statements, written.count) == ("write", ("INSERT INTO notes VALUES (?, ?)",), 1)


TRIED: list[int] = []


@step(retry=Retry(attempts=3, wait=0))
async def third_time(number: int) -> int:
    TRIED.append(number)
    t = current().transaction()
    t.execute("INSERT INTO notes VALUES (?, 'attempt')", (current().attempt,))
    if current().attempt == 1:
        raise ValueError("not yet")
    if current().attempt == 2:
        t.execute("INSERT INTO nowhere VALUES (1)")
    return number


async def test_an_attempt_that_fails_writes_nothing_and_one_whose_statements_fail_is_a_failed_attempt(
    app: App, path: Path
) -> None:
    assert await app.run(third_time(7)) == 7
    assert notes(path) == [(3, "attempt")]


@step
async def reads(number: int) -> list[Any]:
    t = current().transaction()
    t.execute("INSERT INTO notes VALUES (?, 'mine')", (number,))
    try:
        with current().transaction() as inner:
            inner.execute("INSERT INTO notes VALUES (99, 'taken back')")
            raise LookupError
    except LookupError:
        pass
    return await t.fetch("SELECT count(*) FROM notes WHERE id < ?", (1000,))


async def test_reads_see_what_is_durable_and_a_block_that_raises_is_forgotten(app: App, path: Path) -> None:
    assert await app.run(reads(1)) == [[0]]
    assert await app.run(reads(2)) == [[1]]
    assert notes(path) == [(1, "mine"), (2, "mine")]


@step
async def runs(sql: str) -> None:
    current().transaction().execute(sql)


@step
async def asks(sql: str) -> int:
    return len(await current().transaction().fetch(sql))


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM events",
        "UPDATE runs SET status = 'completed'",
        "INSERT INTO notes SELECT key, 'x' FROM events",
        "COMMIT",
        "SAVEPOINT mine",
        "PRAGMA user_version = 9",
        "CREATE TABLE more (a)",
        "DROP TABLE notes",
        "ATTACH 'other.db' AS other",
        "INSERT INTO sqlite_master VALUES (1, 2, 3, 4, 5)",
    ],
)
async def test_statements_reach_only_rows_of_the_users_own_tables(app: App, path: Path, sql: str) -> None:
    with pytest.raises(RunFailed, match=r"more than read and write rows|cannot be performed") as caught:
        await app.run(runs(sql))
    assert caught.value.failure.code == "transaction_failed"
    assert await app.run(write(1)) == 1


@pytest.mark.parametrize("sql", ["SELECT * FROM events", "DELETE FROM notes", "SELEC 1", "SELECT 1; SELECT 2"])
async def test_queries_only_read_tables_of_the_users_own(app: App, sql: str) -> None:
    with pytest.raises(RunFailed) as caught:
        await app.run(asks(sql))
    assert caught.value.failure.code in ("transaction_failed", "store_readonly")


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "


async def test_statements_and_queries_are_bounded(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statements, "SECONDS", 0.01)
    with pytest.raises(RunFailed, match="longer than"):
        await app.run(runs(f"{ENDLESS} INSERT INTO notes SELECT i, 'x' FROM n"))
    with pytest.raises(RunFailed, match="longer than"):
        await app.run(asks(f"{ENDLESS} SELECT max(i) FROM n"))
    monkeypatch.setattr(statements, "ROWS", 3)
    assert await app.run(asks("SELECT 1 UNION SELECT 2 UNION SELECT 3")) == 3
    with pytest.raises(RunFailed, match="more than 3 rows"):
        await app.run(asks(f"{ENDLESS} SELECT i FROM n LIMIT 4"))


async def test_one_batch_that_fails_does_not_take_the_others_with_it(path: Path) -> None:
    store = SQLiteStore(path, "normal")
    await store.open()
    do(path, TABLE)
    for run in ("a", "b", "c"):
        await store.create(first(run))

    def batch(run: str, *sql: str) -> Batch:
        return then(2, run, shared=(Written(run, tuple(map(Statement, sql))),))

    before = store.commits
    ends = await asyncio.gather(
        store.append(batch("a", "INSERT INTO notes VALUES (1, 'a')")),
        store.append(batch("b", "INSERT INTO notes VALUES (2, 'b')", "INSERT INTO notes VALUES (1, 'b')")),
        store.append(then(2, "c")),
        return_exceptions=True,
    )
    assert store.commits == before + 1
    assert ends[0] is None
    assert ends[2] is None
    assert isinstance(ends[1], RipresaError)
    assert ends[1].code == "transaction_failed"
    assert notes(path) == [(1, "a")]
    assert len(await store.read("b")) == 1
    await store.append(batch("b", "INSERT INTO notes VALUES (2, 'b')"))  # it may try something else
    with pytest.raises(RipresaError) as caught:
        await store.append(batch("b", "INSERT INTO notes VALUES (3, 'b')"))  # of a number that is there already
    assert caught.value.code == "fenced"
    assert notes(path) == [(1, "a"), (2, "b")]
    await store.close()


@pytest.mark.parametrize(
    "sql", [f"{ENDLESS} INSERT INTO notes SELECT i, 'x' FROM n", "INSERT OR ROLLBACK INTO notes VALUES (1, 'x')"]
)
async def test_a_statement_that_ends_the_transaction_does_not_take_the_others_with_it(
    path: Path, sql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statements, "SECONDS", 0.01)
    store = SQLiteStore(path, "normal")
    await store.open()
    do(path, TABLE)
    do(path, "INSERT INTO notes VALUES (1, 'first')")
    for run in ("a", "b"):
        await store.create(first(run))
    ends = await asyncio.gather(
        store.append(then(2, "a", shared=(Written("a", (Statement("INSERT INTO notes VALUES (5, 'a')"),)),))),
        store.append(then(2, "b", shared=(Written("b", (Statement(sql),)),))),
        store.try_statements((Statement(sql),)),
        return_exceptions=True,
    )
    assert ends[0] is None
    for error in ends[1:]:
        assert isinstance(error, RipresaError)
        assert error.code == "transaction_failed"
    assert notes(path) == [(1, "first"), (5, "a")]
    await store.close()


async def test_many_runs_write_at_the_same_time(app: App, path: Path) -> None:
    await asyncio.gather(*(app.run(chain(map_each(write))([10 * run + n for n in range(5)])) for run in range(10)))
    assert len(notes(path)) == 50


@step
async def sink(batch: list[int]) -> None:
    current().transaction().executemany("INSERT INTO notes VALUES (?, 's')", [(n,) for n in batch])


def source(count: int) -> list[int]:
    return list(range(count))


async def test_a_sink_writes_with_its_batch(app: App, path: Path) -> None:
    await app.run(stream(source).batch(3).into(sink)(7))
    assert len(notes(path)) == 7


async def test_where_there_is_no_database_it_is_not_available() -> None:
    async with in_memory_app() as app:
        with pytest.raises(RunFailed, match="has no tables") as caught:
            await app.run(write(1))
    assert caught.value.failure.code == "not_available"
    with pytest.raises(RipresaError, match="outside a run"):
        await write(1)


def in_memory_app() -> Any:
    return in_memory(Memory())


@step
async def wrong(how: int) -> str:
    t = current().transaction()
    no_sequence: Any = 7
    given: Any = [
        lambda: t.execute(""),
        lambda: t.execute("SELECT ?", "text"),
        lambda: t.execute("SELECT ?", no_sequence),
        lambda: t.execute("SELECT ?", (object(),)),
        lambda: t.executemany("SELECT ?", [(1,)] * 10_001),
    ]
    try:
        given[how]()
    except InvalidValue as error:
        return error.code
    return "accepted"


@pytest.mark.parametrize("how", range(5))
async def test_what_is_no_statement_is_refused_where_it_is_written(app: App, how: int) -> None:
    assert await app.run(wrong(how)) == "invalid_input"


async def test_a_statement_that_fails_after_it_was_tried_leaves_the_run_to_be_taken_up(
    app: App, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = SQLiteStore.try_statements

    async def and_then_somebody_else_writes(store: SQLiteStore, given: Any) -> None:
        await tried(store, given)
        if not notes(path):
            do(path, "INSERT INTO notes VALUES (1, 'theirs')")

    monkeypatch.setattr(SQLiteStore, "try_statements", and_then_somebody_else_writes)
    flow = chain(write.with_(retry=Retry(attempts=3, wait=0)))
    handle = await app.start(flow(1), id="r")
    with pytest.raises(RipresaError) as caught:
        await handle.result()
    assert caught.value.code == "transaction_failed"
    do(path, "DELETE FROM notes")
    monkeypatch.undo()
    assert await (await app.resume("r", flow)).result() == 1
    assert notes(path) == [(1, "note 1")]


async def test_what_is_the_fault_of_the_database_is_no_fault_of_the_statement(
    app: App, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    do(path, "INSERT INTO notes VALUES (1, 'there')")
    monkeypatch.setattr(statements, "_OF_THE_DATABASE", (sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_READONLY))
    store: Any = app.store
    with pytest.raises(StoreError):
        await store.try_statements((Statement("INSERT INTO notes VALUES (1, 'again')"),))
    with pytest.raises(StoreError):
        await store.select_rows(Statement("DELETE FROM notes"))


def writes_rows(number: int) -> int:
    current().transaction().execute("DELETE FROM notes")
    return number


async def test_in_a_child_process_there_is_no_database(app: App) -> None:
    with pytest.raises(RunFailed, match="transaction") as caught:
        await app.run(step(executor="process")(writes_rows)(1))
    assert caught.value.failure.code == "not_available"


@pytest.mark.parametrize("every", [1, 4])
async def test_a_batch_whose_writes_fail_is_not_acknowledged(every: int, app: App, path: Path) -> None:
    """Else the resumed stream would go on behind it, and its rows were lost."""
    given: list[int] = []

    def source(upto: int) -> Any:
        yield from range(1, upto)

    async def sink(number: int) -> None:
        given.append(number)
        if number != 2 or every == 1:  # within a group there are batches that ask for nothing
            current().transaction().execute("INSERT INTO notes SELECT ?, text FROM known", (number,))

    do(path, "CREATE TABLE known (text TEXT)")
    do(path, "INSERT INTO known VALUES (NULL)")
    flow = stream(source, on_restart="skip").into(sink, every=every)
    with pytest.raises(RunFailed):
        await app.run(flow(5), id="run")
    do(path, "UPDATE known SET text = 'now'")
    handle = await app.resume("run", flow)
    assert (await handle.result()).batches == 4
    assert [number for number, _ in notes(path)] == ([1, 2, 3, 4] if every == 1 else [1, 3, 4])
    assert given == [1, 1, 2, 3, 4]


# --- interceptors have a word


@step
async def writes_anything(number: int) -> int:
    t = current().transaction()
    t.execute("INSERT INTO notes VALUES (:id, :text)", {"id": current().attempt, "text": b"\x00\xff"})
    t.execute("INSERT INTO notes VALUES (?, ?)", (10 + current().attempt, float("inf")))
    current().queue("told", number)
    return number


@pytest.mark.parametrize("awaits", [False, True])
async def test_rows_of_a_result_that_a_hook_does_not_take_are_never_written(path: Path, awaits: bool) -> None:
    def say(asked: Any) -> Any:
        return Again() if asked.attempt == 1 else Veto("no") if asked.attempt == 2 and not MENDED else None

    async def say_later(asked: Any) -> Any:
        await asyncio.sleep(0)
        return say(asked)

    MENDED.clear()
    hook = after("writes_anything")(say_later if awaits else say)
    flow = chain(writes_anything).then(double)
    async with App(SQLiteStore(path, "normal"), hooks=[hook], senders={"told": told}) as app:
        do(path, "CREATE TABLE notes (id INTEGER PRIMARY KEY, text)")
        handle = await app.start(flow(1), id="r")
        with pytest.raises(RunFailed, match="no"):
            await handle.result()
        assert notes(path) == []
        assert (await handle.status()).statements == 2  # of the second attempt, which may be let yet
        assert [each for each in await app.store.outgoing_of("r") if each.kind == "told"] == []
    MENDED.append(1)
    async with App(SQLiteStore(path, "normal"), hooks=[hook], senders={"told": told}) as app:
        handle = await app.resume("r", flow)
        assert await handle.result() == 2
        assert notes(path) == [(2, b"\x00\xff"), (12, float("inf"))]
        found = kinds(await journal_of(handle))
        assert (found.count("EffectsDropped"), found.count("EffectsLet"), found.count("RowsWritten")) == (1, 1, 2)


MENDED: list[int] = []


async def told(parcel: Outgoing) -> None:
    pass


@step
async def double(number: int) -> int:
    return 2 * number


# --- foreign keys


@pytest.mark.parametrize("when", ["", "DEFERRABLE INITIALLY DEFERRED"])
async def test_a_row_that_refers_to_none_fails_the_attempt(app: App, path: Path, when: str) -> None:
    do(path, f"CREATE TABLE lines (id INTEGER PRIMARY KEY, note INTEGER REFERENCES notes {when})")
    do(path, "INSERT INTO lines VALUES (90, 90)")  # somebody else does not look
    with pytest.raises(RunFailed, match="FOREIGN KEY") as caught:
        await app.run(runs("INSERT INTO lines VALUES (1, 7)"))
    assert caught.value.failure.code == "transaction_failed"
    assert await app.run(write(7)) == 7
    await app.run(runs("INSERT INTO lines VALUES (1, 7)"))
    with pytest.raises(RunFailed, match="FOREIGN KEY"):
        await app.run(runs("DELETE FROM notes"))
    assert len(do(path, "SELECT * FROM lines")) == 2


async def test_a_row_that_somebody_takes_away_at_the_very_moment_fails_no_other_run(path: Path) -> None:
    store = SQLiteStore(path, "normal")
    await store.open()
    do(path, TABLE)
    do(path, "CREATE TABLE lines (note INTEGER REFERENCES notes DEFERRABLE INITIALLY DEFERRED)")
    await asyncio.gather(store.create(first("a")), store.create(first("b")))
    late = Written("a", (Statement("INSERT INTO lines VALUES (7)"),))
    found = await asyncio.gather(
        store.append(then(2, "a", shared=(late,))), store.append(then(2, "b")), return_exceptions=True
    )
    assert isinstance(found[0], RipresaError)
    assert (found[0].code, found[1]) == ("transaction_failed", None)
    with pytest.raises(RipresaError, match="FOREIGN KEY"):
        await store.append(then(2, "a", shared=(late,)))
    await store.append(then(2, "a"))
    await store.close()
