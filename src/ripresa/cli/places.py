"""Where things are: the store a command means, and how this program is called by whoever started it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from ..app import App, default_store
from ..ports import Store
from ..stores import open_store
from .called import program

NEAR = 60.0
"""Seconds for which a command stays with a run that waits for time to pass."""


@dataclass(frozen=True, slots=True)
class Place:
    """The store of a command: `given` is what `--store` says, empty for the default."""

    given: str = ""
    durability: str = "full"

    @property
    def address(self) -> str:
        """The address of the store."""
        return self.given or default_store()

    def store(self) -> Store:
        """The store, not opened yet. Raises `StoreError` for an address that names none."""
        return open_store(self.address, self.durability)

    def app(self) -> App:
        """An app over this store, not opened yet."""
        return App(self.store(), durability=self.durability, linger=0.0, near=NEAR)

    @property
    def file(self) -> Path | None:
        """The file of the store; None if it has none."""
        kind, _, path = self.store().url.partition(":")
        return Path(path) if kind == "sqlite" else None

    @property
    def is_empty(self) -> bool:
        """Whether there certainly is no run: looking must not create a store."""
        file = self.file
        return file is not None and not file.exists()

    @property
    def shown(self) -> str:
        """The store as a reader finds it."""
        file = self.file
        return str(file) if file is not None else self.address

    def command(self, *words: str) -> str:
        """A command line that means the same store."""
        store = ("--store", self.given) if self.given else ()
        return f"{program()} {shlex.join([*words, *store])}"
