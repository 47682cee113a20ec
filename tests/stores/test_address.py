"""Addresses of stores: every way to write one, and what the others are told."""

import subprocess
import sys
from pathlib import Path

import pytest

from ripresa.errors import StoreError
from ripresa.stores import open_store
from ripresa.stores.memory import MemoryStore
from ripresa.stores.sqlite import SQLiteStore


@pytest.mark.parametrize("url", ["memory:", "memory://"])
def test_a_store_in_memory(url: str) -> None:
    one, two = open_store(url), open_store(url)
    assert isinstance(one, MemoryStore)
    assert isinstance(two, MemoryStore)
    assert one.memory is not two.memory
    assert one.url == "memory:"


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:runs.db", "runs.db"),
        ("sqlite:/var/runs", "/var/runs"),
        ("sqlite:///runs.db", "runs.db"),
        ("sqlite:////var/runs.db", "/var/runs.db"),
        ("runs.db", "runs.db"),
        ("/var/lib/runs.db", "/var/lib/runs.db"),
        ("~/runs.db", str(Path.home() / "runs.db")),
    ],
)
def test_a_store_in_a_file(url: str, path: str) -> None:
    store = open_store(url, "normal")
    assert isinstance(store, SQLiteStore)
    assert store.url == f"sqlite:{Path(path).absolute()}"
    assert open_store(store.url).url == store.url


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("postgresql://localhost/runs", "not_available"),
        ("temporal://localhost:7233", "not_available"),
        ("", "unknown_store"),
        ("runs", "unknown_store"),
        ("mysql://localhost/runs.db", "unknown_store"),
        ("sqlite://runs.db", "unknown_store"),
        ("sqlite:", "unknown_store"),
    ],
)
def test_other_addresses_are_told_what_there_is(url: str, code: str) -> None:
    with pytest.raises(StoreError) as caught:
        open_store(url)
    assert caught.value.code == code
    assert "sqlite:PATH" in caught.value.hint


def test_importing_the_stores_loads_no_adapter() -> None:
    script = "import sys; before = set(sys.modules); import ripresa.stores; print(*set(sys.modules) - before)"
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "ripresa.stores.address" in printed.split()
    assert not {"ripresa.stores.sqlite", "ripresa.stores.memory", "sqlite3", "asyncio"}.intersection(printed.split())
