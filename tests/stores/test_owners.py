"""Ownership lives and dies with a process, whatever ends it."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ripresa.errors import StoreError
from ripresa.stores.owners import Owner, is_alive
from ripresa.stores.sqlite import SQLiteStore
from ripresa.testing.store_contract import first, opened, then

OWNING = """
    import asyncio, os, sys
    from ripresa.stores.sqlite import SQLiteStore
    from ripresa.testing.store_contract import first, then

    async def main():
        store = SQLiteStore(sys.argv[1])
        await store.open()
        await store.create(first())
        print(await store.owner("r"), flush=True)
        sys.stdin.readline()
        await store.close()

    asyncio.run(main())
"""

FORKING = """
    import asyncio, os, signal, sys
    from ripresa.errors import StoreError
    from ripresa.stores.sqlite import SQLiteStore
    from ripresa.testing.store_contract import first, then

    async def main():
        store = SQLiteStore(sys.argv[1])
        await store.open()
        await store.create(first())
        if os.fork():
            os.kill(os.getpid(), signal.SIGSTOP)
        try:
            await store.append(then(2))
        except StoreError as error:
            print(error.code, flush=True)
        print(os.getppid(), flush=True)
        print(os.getpid(), flush=True)
        os.close(1)
        signal.pause()

    asyncio.run(main())
"""


@contextmanager
def python(script: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


async def test_a_run_of_a_living_process_is_not_to_be_had_until_it_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    async with opened(lambda: SQLiteStore(path)) as store:
        with python(OWNING, path) as process:
            name = line(process)
            assert await store.owner("r") == name
            assert await store.claim("r") is None
            assert await store.put("r", "signal", b"{}")
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert await store.owner("r") is None
            assert await store.claim("r") == 2
            await store.append(then(2))
        assert name not in os.listdir(f"{path}-owners")


async def test_a_process_that_closes_its_store_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with python(OWNING, path) as process:
        line(process)
        assert len(os.listdir(f"{path}-owners")) == 1
        process.communicate("\n")
    assert os.listdir(tmp_path) == ["runs.db"]


async def test_a_forked_child_owns_nothing_and_cannot_write(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    async with opened(lambda: SQLiteStore(path)) as store:
        with python(FORKING, path) as parent:
            assert line(parent) == "closed"
            assert line(parent) == str(parent.pid)
            assert await store.claim("r") is None
            child = int(line(parent))
            try:
                parent.kill()
                parent.wait()
                assert await store.claim("r") == 2  # though the child lives and has the file open
            finally:
                os.kill(child, signal.SIGKILL)


async def test_looking_at_owners_does_not_let_go_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    probe = """
        import sys
        from pathlib import Path
        from ripresa.stores.owners import is_alive
        print(is_alive(Path(sys.argv[1]), sys.argv[2]))
    """
    async with opened(lambda: SQLiteStore(path)) as store, opened(lambda: SQLiteStore(path)) as other:
        await store.create(first())
        name = await other.owner("r")
        assert name is not None
        await other.claim("r")
        await other.create(first("s"))
        link = tmp_path / "link"
        link.symlink_to(f"{path}-owners")
        assert is_alive(link, name)
        with python(probe, f"{path}-owners", name) as process:
            assert line(process) == "True"


def test_the_file_of_a_dead_owner_is_removed_by_whoever_looks(tmp_path: Path) -> None:
    (tmp_path / "dead").touch()
    (tmp_path / ".not-named-yet").touch()
    owner = Owner(tmp_path)
    owner.hold()
    owner.hold()
    assert sorted(os.listdir(tmp_path)) == sorted([".not-named-yet", owner.name])
    assert is_alive(tmp_path, owner.name)
    assert not is_alive(tmp_path, "never was")
    owner.drop()
    owner.drop()
    assert not is_alive(tmp_path, owner.name)


def test_an_owner_whose_file_was_swept_away_can_still_end(tmp_path: Path) -> None:
    owner = Owner(tmp_path / "owners")
    owner.hold()
    (tmp_path / "owners" / owner.name).unlink()
    assert not is_alive(tmp_path / "owners", owner.name)
    owner.drop()


def test_one_who_comes_while_the_last_one_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leaving, coming = Owner(tmp_path / "owners"), Owner(tmp_path / "owners")
    leaving.hold()
    listdir = os.listdir

    def meanwhile(path: Path) -> list[str]:
        monkeypatch.undo()
        found = listdir(path)
        leaving.drop()
        return found

    monkeypatch.setattr(os, "listdir", meanwhile)
    coming.hold()
    assert os.listdir(tmp_path / "owners") == [coming.name]
    coming.drop()
    assert os.listdir(tmp_path) == []


def test_a_place_that_is_gone_is_not_waited_for(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Owner(tmp_path / "gone" / "owners").hold()


def test_a_system_without_record_locks_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with pytest.raises(StoreError) as caught:
        Owner(tmp_path).hold()
    assert caught.value.code == "not_available"
