"""Old runs: archived in files, removed from the store, brought back; what has to stay for audit stays.

Law: a run is removed only when its archive, if one is wanted, is complete and on the disk.
"""

from __future__ import annotations

import gzip
import json
import os
import re
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from .errors import RipresaError, StoreError
from .ports import Batch, Row, RunHead, Store, Tombstone

FORMAT: Final = 1

_PART: Final = re.compile(rb'"@([0-9a-f]{64})"')
"""A reference among the parts of a value (see `core/codec.py`): a text of the user's has its quotes escaped there."""

SUFFIX: Final = ".run.gz"
"""How the files of archived runs end: gzip, a line of JSON for the run, each row and each large value."""


async def bury(store: Store, head: RunHead, now: int, *, by: str, reason: str, archive: Path | None) -> None:
    """Remove a run that has ended, after it was archived. Raises `RipresaError(illegal_transition)` if it has not."""
    rows = await store.read(head.id)
    if archive is not None:
        _write(archive, store, head, rows)
    stone = Tombstone(
        head.id,
        head.workflow,
        head.version,
        head.status,
        head.created_at,
        head.updated_at,
        head.error,
        digest_of(rows),
        now,
        by,
        reason,
    )
    if not await store.prune(stone):
        raise RipresaError(
            f"run {head.id!r} has not ended, or is being driven",
            code="illegal_transition",
            op="prune",
            where=head.id,
            hint="cancel or terminate it first",
        )


def digest_of(rows: Any) -> str:
    """The SHA-256 of a journal's rows, in hex."""
    whole = sha256()
    for row in rows:
        whole.update(row.data + b"\n")
    return whole.hexdigest()


def archive_path(folder: Path, run: str) -> Path:
    """The file of a run in an archive: its id, with what file names cannot hold replaced, and a piece of its hash."""
    plain = "".join(char if char.isalnum() or char in "-_." else "_" for char in run)[:100]
    return folder / f"{plain}-{sha256(run.encode()).hexdigest()[:8]}{SUFFIX}"


def _write(folder: Path, store: Store, head: RunHead, rows: Any) -> None:
    path = archive_path(folder, head.id)
    unfinished = path.with_name(f".{path.name}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(unfinished, "wb") as file:
            with gzip.open(file, "wt", encoding="utf-8") as text:
                for line in _lines(store, head, rows):
                    text.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except OSError as error:
        raise StoreError(
            f"run {head.id!r} cannot be archived: {error}", code="store_failed", op="prune", where=str(folder)
        ) from error
    finally:
        with suppress(OSError):
            unfinished.unlink()


def _lines(store: Store, head: RunHead, rows: Any) -> Iterator[dict[str, Any]]:
    yield {"ripresa": "run", "format": FORMAT, "head": asdict(head), "digest": digest_of(rows)}
    from .stores.sweep import digests_in

    waiting: list[bytes] = []
    needed: set[str] = set()
    for row in rows:
        yield {"seq": row.seq, "events": row.events, "data": b64encode(row.data).decode()}
        waiting.append(row.data)
        needed.update(_needed_by(row.data))
    seen: set[str] = set()
    while waiting:
        for digest in digests_in(waiting.pop()):
            if digest not in seen:
                seen.add(digest)
                value = _blob(store, digest, head.id if digest in needed else "")
                if value is not None:
                    yield {"value": digest, "data": b64encode(value).decode()}
                    waiting.append(value)
    yield {"end": len(rows)}


def _needed_by(row: bytes) -> Iterator[str]:
    """The digests of the large values that a row of events holds by reference."""
    for line in row.split(b"\n")[1:]:
        if line[:1] == b"@":
            yield line[1:].decode()
        elif line[:1] == b"*":
            yield from (found.decode() for found in _PART.findall(line))


def _blob(store: Store, digest: str, needed_by: str) -> bytes | None:
    """A large value; None for a text of the user's that only looks like a digest."""
    try:
        return store.blob(digest)
    except StoreError as error:
        if error.code != "store_corrupt":
            raise
        if needed_by:
            raise StoreError(
                f"run {needed_by!r} cannot be archived whole: {error.message}",
                code="store_corrupt",
                op="prune",
                where=needed_by,
                hint="bring the store back from a backup, or remove the run without an archive",
            ) from error
        return None


async def restore(store: Store, path: Path) -> RunHead:
    """Bring an archived run back, as it was. Raises `StoreError(store_corrupt)` for what is no archive, `RunExists`.

    Until it is whole it is `created`, which nobody takes up; one that was interrupted goes on where it stopped.
    """
    head, rows, values, digest = _read(path)
    if digest_of(rows) != digest:
        raise _broken(path, "its journal has another hash than was written")
    ended, last = replace(head, wake_at=0), len(rows) - 1
    for number in range(await _restored(store, head.id, rows), len(rows)):
        row = rows[number]
        batch = Batch(head.id, row.seq, row.events, row.data)
        if number == 0:
            new = replace(ended, session="", status=ended.status if last == 0 else "created")
            await store.create(batch._replace(blobs=tuple(values.items()), head=new))
        else:
            await store.append(batch._replace(head=ended if number == last else None, release=number == last))
    if last == 0:
        await store.release(head.id)
    return head


async def _restored(store: Store, run: str, rows: list[Row]) -> int:
    """How many rows of a run an interrupted restoration has brought back."""
    found = await store.find_run(run)
    if found is None or found.status != "created" or await store.claim(run) is None:
        return 0  # and if there is one, it is refused as any other
    there = list(await store.read(run))
    if there == rows[: len(there)]:
        return len(there)
    await store.release(run)
    return 0


def _read(path: Path) -> tuple[RunHead, list[Row], dict[str, bytes], str]:
    rows: list[Row] = []
    values: dict[str, bytes] = {}
    try:
        with gzip.open(path, "rt", encoding="utf-8") as text:
            first, *lines = map(json.loads, text)
        fields: dict[str, Any] = {**first["head"], "tags": tuple(first["head"]["tags"])}
        head = RunHead(**fields)
        for line in lines[:-1]:
            data = b64decode(line["data"], validate=True)
            if "value" in line:
                values[line["value"]] = data
            else:
                rows.append(Row(line["seq"], line["events"], data))
        if lines[-1] != {"end": len(rows)} or first["format"] != FORMAT:
            raise _broken(path, "it is cut off, or of another format")
        return head, rows, values, first["digest"]
    except FileNotFoundError as error:
        raise RipresaError(f"there is no file {path}", code="usage", op="restore") from error
    except (OSError, EOFError, ValueError, KeyError, TypeError, IndexError) as error:
        raise _broken(path, str(error)) from error


def _broken(path: Path, why: str) -> StoreError:
    return StoreError(f"{path} is not the archive of a run: {why}", code="store_corrupt", op="restore", where=str(path))


async def tombstones(store: Store) -> AsyncIterator[Tombstone]:
    """What stayed of all runs that were pruned, newest first."""
    seen = 0
    while page := await store.list_tombstones(500, seen):
        for stone in page:
            yield stone
        seen += len(page)
