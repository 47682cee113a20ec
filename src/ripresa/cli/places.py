"""Where things are: the store a command means, and how this program is called by whoever started it."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..app import App, default_store
from ..config import Config
from ..core.events import Recorded
from ..ports import Store
from ..stores import open_store
from .called import program

NEAR = 60.0
"""Seconds for which a command stays with a run that waits for time to pass."""


@dataclass(frozen=True, slots=True)
class Place:
    """The store of a command.

    `given` and `synced` are what `--store` and `--durability` say, empty for what the settings say (see `Config`), as
    in an `App` without them.
    """

    given: str = ""
    synced: str = ""

    @property
    def address(self) -> str:
        """The address of the store."""
        return self.given or Config.load().app.store or default_store()

    @property
    def durability(self) -> str:
        """What a recorded step survives."""
        return self.synced or Config.load().app.durability

    def store(self) -> Store:
        """The store, not opened yet. Raises `StoreError` for an address that names none, `InvalidConfig`."""
        return open_store(self.address, self.durability)

    def app(self) -> App:
        """An app for one command, not opened yet: it waits for what is due soon and for nothing else."""
        return self._made(linger=0.0, near=NEAR)

    def worker(self, *listeners: Callable[[Recorded], None]) -> App:
        """An app that goes on until it is told not to, not opened yet."""
        return self._made(listeners=listeners)

    def _made(self, **options: Any) -> App:
        app = App(self.store(), durability=self.durability, **options)
        if app.config.observability.log != "off":
            _log_events()
        return app

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
        end = words.index("--") if "--" in words else len(words)
        return f"{program()} {shlex.join([*words[:end], *store, *words[end:]])}"


def _log_events() -> None:
    """Write the log of events to stderr, a line each, unless somebody has it already."""
    import logging

    log = logging.getLogger("ripresa.events")
    if not log.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(levelname)s %(message)s run=%(run)s seq=%(seq)s path=%(path)s"))
        log.addHandler(handler)
        log.setLevel(logging.DEBUG)
