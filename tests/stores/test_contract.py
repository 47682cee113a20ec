"""Both shipped stores pass the contract that third-party adapters are held to."""

from pathlib import Path

import pytest

from ripresa.ports import Store
from ripresa.stores.memory import Memory, MemoryStore
from ripresa.stores.pace import Pace
from ripresa.stores.sqlite import SQLiteStore
from ripresa.testing.store_contract import Make, StoreContract


class TestWithoutAdapter:
    make_store = StoreContract.make_store

    def test_the_contract_says_what_it_needs(self, request: pytest.FixtureRequest) -> None:
        with pytest.raises(pytest.fail.Exception, match="make_store"):
            request.getfixturevalue("make_store")
        with pytest.raises(pytest.fail.Exception, match="lose"):
            StoreContract().lose(MemoryStore())


def on_the_thread() -> Pace:
    """A pace that stays on the thread, however quick the disk is."""
    pace = Pace(slow=0, quick=-1)
    pace.threaded = True
    return pace


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def make_store(self) -> Make:
        memory = Memory()
        return lambda: MemoryStore(memory)

    def lose(self, store: Store) -> None:
        assert isinstance(store, MemoryStore)
        store.memory.alive.discard(store.name)


class SQLiteContract(StoreContract):
    def lose(self, store: Store) -> None:
        assert isinstance(store, SQLiteStore)
        store._owner.drop()


class TestSQLiteStore(SQLiteContract):
    @pytest.fixture
    def make_store(self, tmp_path: Path) -> Make:
        return lambda: SQLiteStore(tmp_path / "runs.db")


class TestSQLiteStoreOnASlowDisk(SQLiteContract):
    @pytest.fixture
    def make_store(self, tmp_path: Path) -> Make:
        return lambda: SQLiteStore(tmp_path / "runs.db", "normal", pace=on_the_thread())
