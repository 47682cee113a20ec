"""Passages and their vectors in an SQLite file, by sqlite-vec; the extra `vectors`.

It is opened through apsw, which brings an SQLite of its own: that of Python often cannot load extensions.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any, Final, TypeVar

from ..authoring.options import bad_count, refuse
from ..errors import RipresaError, StoreError
from .knowledge import Found, Passage, wrong_dimension

T = TypeVar("T")

_CREATE: Final = """
    CREATE VIRTUAL TABLE IF NOT EXISTS passages USING vec0(
        id TEXT PRIMARY KEY, vector FLOAT[{size}] distance_metric=cosine, +text TEXT, +about TEXT
    )
"""
_MADE: Final = "SELECT sql FROM sqlite_master WHERE name = 'passages'"
_REMOVE: Final = "DELETE FROM passages WHERE id = ?"
_INSERT: Final = "INSERT INTO passages (id, vector, text, about) VALUES (?, ?, ?, ?)"
_NEAREST: Final = "SELECT id, text, about, distance FROM passages WHERE vector MATCH ? AND k = ? ORDER BY distance"


class SQLiteVectors:
    """`Vectors` in a file (`:memory:` for none), of `size` numbers each; distances are those of directions (cosine).

    Several processes may use one file. Opened when it is first used.
    """

    def __init__(self, path: str | Path, size: int) -> None:
        refuse("SQLiteVectors", bad_count(size, "size", most=8192))
        self.path = str(path)
        self.size = size
        self._connection: Any = None
        self._lock = Lock()

    async def put(self, passages: Sequence[tuple[Passage, Sequence[float]]]) -> None:
        """See `Vectors`."""
        rows = [(each.id, self._text(vector), each.text, json.dumps(each.about)) for each, vector in passages]

        def work(connection: Any) -> None:
            with connection:
                for row in rows:
                    connection.execute(_REMOVE, row[:1])
                    connection.execute(_INSERT, row)

        await self._do(work)

    async def nearest(self, vector: Sequence[float], limit: int) -> list[Found]:
        """See `Vectors`."""
        asked = self._text(vector), limit
        rows: list[Any] = await self._do(lambda connection: connection.execute(_NEAREST, asked).fetchall())
        return [Found(Passage(id, text, json.loads(about)), float(distance)) for id, text, about, distance in rows]

    async def remove(self, ids: Sequence[str]) -> None:
        """See `Vectors`."""

        def work(connection: Any) -> None:
            with connection:
                for id in ids:
                    connection.execute(_REMOVE, (id,))

        await self._do(work)

    async def close(self) -> None:
        """Close the file; it is opened again when it is used again."""
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _text(self, vector: Sequence[float]) -> str:
        if len(vector) != self.size:
            raise wrong_dimension(f"a vector for {self.path} has {len(vector)} numbers", self.size)
        return json.dumps([float(number) for number in vector])

    async def _do(self, work: Callable[[Any], T]) -> T:
        return await asyncio.to_thread(self._locked, work)

    def _locked(self, work: Callable[[Any], T]) -> T:
        apsw = _imported("apsw")
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = self._opened(apsw)
                return work(self._connection)
            except apsw.Error as error:
                raise StoreError(f"{self.path}: {error}", op="vectors") from error

    def _opened(self, apsw: Any) -> Any:
        extension = _imported("sqlite_vec").loadable_path()
        connection = apsw.Connection(self.path)
        connection.set_busy_timeout(5000)
        connection.enable_load_extension(True)
        connection.load_extension(extension)
        connection.enable_load_extension(False)
        connection.execute(_CREATE.format(size=self.size))
        ((made,),) = connection.execute(_MADE).fetchall()
        if f"FLOAT[{self.size}]" not in made:
            connection.close()
            there = int(made.partition("FLOAT[")[2].partition("]")[0])
            raise wrong_dimension(f"{self.path} is opened for vectors of {self.size} numbers", there)
        return connection


def _imported(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise RipresaError(
            f"vectors are kept by {name}, which is not installed",
            code="extra_missing",
            op="vectors",
            hint="pip install 'ripresa[vectors]'",
        ) from error
