"""What cannot be written or read is a coded error that says what to do, and leaves nothing half behind."""

import asyncio
import errno
import os
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ripresa.core.values import by_content
from ripresa.errors import InvalidConfig, StoreError
from ripresa.ports import Store
from ripresa.stores import database
from ripresa.stores.failures import store_error
from ripresa.stores.sqlite import SQLiteStore
from ripresa.testing.store_contract import a_head, first, opened, then

NOBODY = 65534

BEFORE = len(database.MIGRATIONS)


async def failure(waiting: Coroutine[Any, Any, object]) -> StoreError:
    with pytest.raises(StoreError) as caught:
        await waiting
    assert caught.value.hint
    return caught.value


async def code_of(waiting: Coroutine[Any, Any, object]) -> str:
    return (await failure(waiting)).code


def path_of(store: Store) -> Path:
    return Path(store.url.removeprefix("sqlite:"))


def execute(path: Path, *statements: str) -> list[Any]:
    """Run statements as another program would; the rows of the last."""
    connection = sqlite3.connect(path, isolation_level=None)
    rows: list[Any] = []
    for statement in statements:
        rows = connection.execute(statement).fetchall()
    connection.close()
    return rows


def writer_of(store: Store) -> sqlite3.Connection:
    assert isinstance(store, SQLiteStore)
    return store._database.writer


@pytest.fixture
def make(tmp_path: Path) -> Callable[[], SQLiteStore]:
    return lambda: SQLiteStore(tmp_path / "runs.db", patience=0.02)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user can reach (`tmp_path` is for its owner alone)."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


@contextmanager
def ordinary_user() -> Iterator[None]:
    """The rights of files hold for everyone but root: be somebody else for a while."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


# --- opening ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", ":memory:"])
def test_a_store_needs_a_file(path: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        SQLiteStore(path)
    assert "memory" in caught.value.hint


def test_durability_is_one_of_two_words() -> None:
    with pytest.raises(InvalidConfig):
        SQLiteStore("runs.db", "maximal")


async def test_missing_directories_are_created(tmp_path: Path) -> None:
    async with opened(lambda: SQLiteStore(tmp_path / "some" / "where" / "runs.db")) as store:
        assert path_of(store) == tmp_path / "some" / "where" / "runs.db"
        assert execute(path_of(store), "PRAGMA application_id") == [(database.APPLICATION,)]


async def test_a_directory_is_no_database(tmp_path: Path) -> None:
    assert await code_of(SQLiteStore(tmp_path).open()) == "store_failed"


async def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert await code_of(SQLiteStore(tmp_path / "file" / "runs.db").open()) == "store_failed"


async def test_a_file_that_is_no_database(make: Callable[[], SQLiteStore], tmp_path: Path) -> None:
    (tmp_path / "runs.db").write_text("Dear diary, " * 100)
    error = await failure(make().open())
    assert error.code == "store_corrupt"
    assert error.where == str(tmp_path / "runs.db")


async def test_a_damaged_header(make: Callable[[], SQLiteStore], tmp_path: Path) -> None:
    async with opened(make) as store:
        await store.create(first())
    data = bytearray((tmp_path / "runs.db").read_bytes())
    data[:100] = bytes(100)
    (tmp_path / "runs.db").write_bytes(data)
    assert await code_of(make().open()) == "store_corrupt"


async def test_damaged_pages_are_noticed_when_they_are_read(make: Callable[[], SQLiteStore], tmp_path: Path) -> None:
    async with opened(make) as store:
        await store.create(first(row=b"x" * 20_000))
    roots = execute(tmp_path / "runs.db", "SELECT rootpage FROM sqlite_master WHERE tbl_name IN ('runs', 'inbox')")
    data = bytearray((tmp_path / "runs.db").read_bytes())
    for (page,) in roots:
        data[(page - 1) * 4096 : (page - 1) * 4096 + 100] = b"\xff" * 100
    (tmp_path / "runs.db").write_bytes(data)
    async with opened(make) as store:
        assert await code_of(store.find_run("r")) == "store_corrupt"
        assert await code_of(store.put("r", "signal", b"{}")) == "store_corrupt"


async def test_a_large_value_that_was_changed_is_noticed(make: Callable[[], SQLiteStore], tmp_path: Path) -> None:
    value = b'"%s"' % (b"x" * 5000)
    digest = by_content(value)[1]
    async with opened(make) as store:
        await store.create(first())
        await store.append(then(2, blobs=((digest, value),)))
        assert store.blob(digest) == value
        execute(tmp_path / "runs.db", "UPDATE blobs SET data = CAST(data || 'y' AS BLOB)")
        with pytest.raises(StoreError) as caught:
            store.blob(digest)
        assert caught.value.code == "store_corrupt"


async def test_the_database_of_another_program_is_left_alone(make: Callable[[], SQLiteStore], tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    execute(path, "CREATE TABLE recipes (name TEXT)")
    before = path.read_bytes()
    assert await code_of(make().open()) == "store_corrupt"
    assert path.read_bytes() == before
    execute(path, "DROP TABLE recipes", "PRAGMA application_id = 1")
    assert await code_of(make().open()) == "store_corrupt"


async def test_a_newer_database_is_left_alone(make: Callable[[], SQLiteStore], tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    async with opened(make) as store:
        await store.create(first())
    execute(path, "PRAGMA user_version = 99")
    before = path.read_bytes()
    error = await failure(make().open())
    assert error.code == "store_newer"
    assert "upgrade" in error.hint
    assert path.read_bytes() == before


def with_migrations(monkeypatch: pytest.MonkeyPatch, *scripts: str) -> None:
    """As if these migrations came after the real ones."""
    real = database.read_sql
    names = [f"{number:03}_new.sql" for number in range(100, 100 + len(scripts))]
    texts = dict(zip(names, scripts, strict=True))
    monkeypatch.setattr(database, "read_sql", lambda name: texts[name] if name in texts else real(name))
    monkeypatch.setattr(database, "MIGRATIONS", (*database.MIGRATIONS, *names))


async def test_a_migration_runs_once_on_what_is_there(
    make: Callable[[], SQLiteStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(make) as store:
        await store.create(first())
    with_migrations(monkeypatch, "ALTER TABLE runs ADD COLUMN priority INTEGER;", "CREATE TABLE more (a);\n")
    for _ in range(2):
        async with opened(make) as store:
            assert await store.find_run("r") == a_head()
    assert execute(tmp_path / "runs.db", "SELECT priority FROM runs") == [(None,)]
    assert execute(tmp_path / "runs.db", "PRAGMA user_version") == [(BEFORE + 2,)]


@pytest.mark.parametrize("existing", [False, True])
async def test_a_migration_that_fails_changes_nothing(
    make: Callable[[], SQLiteStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, existing: bool
) -> None:
    if existing:
        async with opened(make) as store:
            await store.create(first())
    with monkeypatch.context() as patch:
        with_migrations(patch, "CREATE TABLE fine (a);\n", "DROP TABLE inbox;\nCREATE TABLE runs (again);\n")
        assert await code_of(make().open()) == "store_failed"
    tables = {name for (name,) in execute(tmp_path / "runs.db", "SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert {"runs", "sessions", "fine"} & tables == ({"runs", "sessions"} if existing else set())
    assert execute(tmp_path / "runs.db", "PRAGMA user_version") == [(BEFORE if existing else 0,)]
    async with opened(make) as store:
        assert (await store.find_run("r") is not None) == existing


async def test_of_two_that_migrate_at_once_the_second_finds_it_done(
    make: Callable[[], SQLiteStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    use_wal = database.Database._use_wal

    def overtaken(self: database.Database) -> None:
        use_wal(self)
        monkeypatch.undo()
        other = database.Database(self.path, "full", 1)
        other.open()
        other.close()

    monkeypatch.setattr(database.Database, "_use_wal", overtaken)
    async with opened(make) as store:
        await store.create(first())


async def test_many_processes_open_a_new_file_at_once(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import asyncio, sys
        from ripresa.stores.sqlite import SQLiteStore
        from ripresa.testing.store_contract import first, opened

        async def main():
            sys.stdin.readline()
            async with opened(lambda: SQLiteStore(sys.argv[1])) as store:
                await store.create(first(sys.argv[2]))

        asyncio.run(main())
        """
    )
    commands = [[sys.executable, "-c", script, str(tmp_path / "runs.db"), str(number)] for number in range(4)]
    processes = await asyncio.gather(
        *(asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE) for command in commands)
    )
    await asyncio.gather(*(process.communicate(b"\n") for process in processes))
    assert [process.returncode for process in processes] == [0] * 4
    assert execute(tmp_path / "runs.db", "SELECT count(*) FROM runs") == [(4,)]


async def test_switching_a_new_file_to_a_log_waits_for_others(
    make: Callable[[], SQLiteStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = sqlite3.connect(tmp_path / "runs.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    assert await code_of(make().open()) == "store_locked"
    waits: list[float] = []

    def let_go(seconds: float) -> None:
        waits.append(seconds)
        other.close()

    monkeypatch.setattr("time.sleep", let_go)
    async with opened(lambda: SQLiteStore(tmp_path / "runs.db")) as store:
        await store.create(first())
    assert len(waits) == 1


async def test_a_place_that_cannot_hold_a_log(make: Callable[[], SQLiteStore], monkeypatch: pytest.MonkeyPatch) -> None:
    # A database in memory is one of the few that refuse it everywhere.
    monkeypatch.setattr(database.Database, "_connect", lambda _: sqlite3.connect(":memory:", check_same_thread=False))
    assert await code_of(make().open()) == "store_failed"


# --- rights ----------------------------------------------------------------------------------------------------------


async def test_a_file_that_may_not_be_written(open_directory: Path) -> None:
    async with opened(lambda: SQLiteStore(open_directory / "runs.db")) as store:
        await store.create(first())
    os.chmod(open_directory / "runs.db", 0o444)
    os.chmod(open_directory, 0o777)
    with ordinary_user():
        assert await code_of(SQLiteStore(open_directory / "runs.db").open()) == "store_readonly"


async def test_a_directory_that_may_not_be_written(open_directory: Path) -> None:
    os.chmod(open_directory, 0o555)
    with ordinary_user():
        for path in ("runs.db", "deeper/runs.db"):
            assert await code_of(SQLiteStore(open_directory / path).open()) == "store_readonly"


async def test_a_place_for_owners_that_may_not_be_written(open_directory: Path) -> None:
    async with opened(lambda: SQLiteStore(open_directory / "runs.db")) as store:
        await store.create(first())
    os.chmod(open_directory / "runs.db", 0o666)
    (open_directory / "runs.db-owners").mkdir(mode=0o555)
    os.chmod(open_directory, 0o777)
    with ordinary_user():
        store = SQLiteStore(open_directory / "runs.db")
        await store.open()
        assert await store.put("r", "signal", b"{}")
        assert await code_of(store.claim("r")) == "store_readonly"
        await store.close()


async def test_an_owner_that_may_not_be_looked_at(open_directory: Path) -> None:
    async with opened(lambda: SQLiteStore(open_directory / "runs.db")) as store:
        await store.create(first())
    execute(open_directory / "runs.db", "UPDATE runs SET owner = 'somebody'")
    os.chmod(open_directory / "runs.db", 0o666)
    os.chmod(open_directory, 0o777)
    (open_directory / "runs.db-owners").mkdir()
    os.chmod(open_directory / "runs.db-owners", 0o777)
    (open_directory / "runs.db-owners" / "somebody").touch(mode=0)
    with ordinary_user():
        async with opened(lambda: SQLiteStore(open_directory / "runs.db")) as store:
            assert await code_of(store.owner("r")) == "store_readonly"
            assert await code_of(store.claim("r")) == "store_readonly"
            await store.create(first("s"))


async def test_a_database_that_became_read_only(make: Callable[[], SQLiteStore]) -> None:
    async with opened(make) as store:
        await store.create(first())
        writer_of(store).execute("PRAGMA query_only = ON")
        assert await code_of(store.append(then(2))) == "store_readonly"
        assert await code_of(store.put("r", "signal", b"{}")) == "store_readonly"
        assert await code_of(store.create(first("s"))) == "store_readonly"
        writer_of(store).execute("PRAGMA query_only = OFF")
        await store.append(then(2))
        await store.create(first("s"))
        assert list(await store.pending()) == []


# --- the disk --------------------------------------------------------------------------------------------------------


async def test_a_full_disk_keeps_all_of_a_transaction_or_nothing(make: Callable[[], SQLiteStore]) -> None:
    value = b'"%s"' % (b"v" * 5000)
    large = ((by_content(value)[1], value),)
    async with opened(make) as store:
        for name in ("a", "b"):
            await store.create(first(name))
        await store.put("a", "signal", b"{}")
        (request,) = await store.pending()
        writer_of(store).execute("PRAGMA max_page_count = 1")
        batches = [
            then(2, "a", taken=(request.number,), head=a_head("a", status="failed")),
            then(2, "b", row=b"x" * 30_000, blobs=large),
        ]
        errors = await asyncio.gather(*(failure(store.append(batch)) for batch in batches))
        assert [error.code for error in errors] == ["store_full", "store_full"]
        assert [len(await store.read(name)) for name in ("a", "b")] == [1, 1]
        assert await store.find_run("a") == a_head("a")
        assert list(await store.pending()) == [request]
        writer_of(store).execute("PRAGMA max_page_count = 100000")
        await asyncio.gather(*(store.append(batch) for batch in batches))
        assert [len(await store.read(name)) for name in ("a", "b")] == [2, 2]
        assert store.blob(large[0][0]) == value
        assert list(await store.pending()) == []


async def test_a_disk_that_refuses_a_write_in_the_middle(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import asyncio, os, resource, sys
        from ripresa.errors import StoreError
        from ripresa.stores.sqlite import SQLiteStore
        from ripresa.testing.store_contract import first, then

        async def main():
            store = SQLiteStore(sys.argv[1], "full")
            await store.open()
            await store.create(first())
            resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
            seq = 2
            try:
                while True:
                    await store.append(then(seq, row=b"x" * 3000))
                    seq += 1
            except StoreError as error:
                print(error.code, seq, flush=True)
            try:
                await store.append(then(seq, row=b"x" * 30000))
            except StoreError as error:
                print(error.code, flush=True)
            assert [row.seq for row in await store.read("r")] == list(range(1, seq))
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            await store.append(then(seq))
            os._exit(0)

        asyncio.run(main())
        """
    )
    command = [sys.executable, "-c", script, str(tmp_path / "runs.db")]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0
    code, seq, again = output.decode().split()
    assert {code, again} <= {"store_failed", "store_full"}
    assert int(seq) > 3
    async with opened(lambda: SQLiteStore(tmp_path / "runs.db")) as store:
        assert [row.seq for row in await store.read("r")] == list(range(1, int(seq) + 1))


def denying(*words: str) -> Callable[..., int]:
    """An authorizer that refuses statements which begin or end transactions, by their name."""

    def authorize(action: int, argument: str | None, *_: object) -> int:
        return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_TRANSACTION and argument in words else sqlite3.SQLITE_OK

    return authorize


async def test_nothing_is_written_to_a_transaction_that_could_not_be_ended(make: Callable[[], SQLiteStore]) -> None:
    async with opened(make) as store:
        await store.create(first())
        broken = writer_of(store)
        broken.set_authorizer(denying("COMMIT", "ROLLBACK"))
        assert await code_of(store.append(then(2, head=a_head(status="failed")))) == "store_failed"
        assert writer_of(store).in_transaction
        await store.append(then(2))
        assert writer_of(store) is not broken
    async with opened(make) as store:
        assert len(await store.read("r")) == 2
        assert await store.find_run("r") == a_head()


async def test_closing_without_a_checkpoint_loses_nothing(make: Callable[[], SQLiteStore], tmp_path: Path) -> None:
    store = make()
    await store.open()
    await store.create(first())
    writer_of(store).execute("BEGIN IMMEDIATE")
    await store.close()
    async with opened(make) as again:
        assert len(await again.read("r")) == 1


async def test_an_owner_that_cannot_be_written_down(make: Callable[[], SQLiteStore], tmp_path: Path) -> None:
    (tmp_path / "runs.db-owners").touch()
    async with opened(make) as store:
        assert await code_of(store.create(first())) == "store_failed"
        assert await store.find_run("r") is None


async def test_a_look_at_a_lost_database_is_an_error(make: Callable[[], SQLiteStore]) -> None:
    async with opened(make) as store:
        assert isinstance(store, SQLiteStore)
        store._database.watcher.set_authorizer(lambda *_: sqlite3.SQLITE_DENY)
        with pytest.raises(StoreError):
            store.changed()


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "store_full"),
        (errno.EROFS, "store_readonly"),
        (errno.EACCES, "store_readonly"),
        (errno.EIO, "store_failed"),
        (None, "store_failed"),
    ],
)
def test_errors_of_the_system_are_told_apart_by_number(number: int | None, code: str) -> None:
    assert store_error(OSError(number, "why") if number else OSError("why"), Path("runs.db")).code == code


def test_errors_of_sqlite_without_a_number_are_failures() -> None:
    assert store_error(sqlite3.Error("why"), Path("runs.db")).code == "store_failed"


async def test_a_sweep_of_a_damaged_database_says_so(make: Callable[[], SQLiteStore], tmp_path: Path) -> None:
    async with opened(make) as store:
        await store.create(first())
        execute(tmp_path / "runs.db", "DROP TABLE artifacts")
        with pytest.raises(StoreError):
            await store.sweep(1000, 0)
