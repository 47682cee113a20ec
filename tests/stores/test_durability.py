"""What was acknowledged survives: the loss of power in the middle of any write, and SIGKILL at any moment."""

import asyncio
import itertools
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import pytest

from ripresa.core.values import by_content
from ripresa.ports import Batch, Row, RunFilter
from ripresa.stores.sqlite import SQLiteStore
from ripresa.testing.store_contract import a_head, first, opened, then

SECTOR = 512
HEADER = 32
RUNS = ("a", "b", "c")
Content = dict[str, tuple[str, tuple[Row, ...]]]
Files = tuple[bytes, bytes]


async def content(store: SQLiteStore) -> Content:
    """Everything that a reader sees of the runs, their large values included."""
    heads = (await store.list_runs(RunFilter())).runs
    seen: Content = {}
    for head in heads:
        rows = tuple(await store.read(head.id))
        for row in rows:
            if row.data.startswith(b"@"):
                store.blob(row.data[1:].decode())
        seen[head.id] = head.status, rows
    return seen


def snapshot(path: Path, to: Path) -> Files:
    """The file and its log as the disk has them now. Copied by another process: closing a file drops its locks."""
    subprocess.run(["cp", str(path), f"{path}-wal", str(to)], check=True)
    return (to / path.name).read_bytes(), (to / f"{path.name}-wal").read_bytes()


def torn(before: bytes, after: bytes, rng: random.Random) -> bytes:
    """`after` as power loss leaves it: in each sector what was being written is old, new or rubbish.

    What stands beside it in the same sector is unharmed ("powersafe overwrite", which SQLite counts on).
    """
    before = before.ljust(len(after), b"\0")
    end = rng.choice((len(after), rng.randint(len(before.rstrip(b"\0")), len(after))))
    found = bytearray(after)
    kinds = rng.choice((("old",), ("old", "new"), ("old", "new", "rubbish"), ("rubbish",)))
    for start in range(0, len(after), SECTOR):
        changed = [at for at in range(start, min(start + SECTOR, len(after))) if before[at] != after[at]]
        if changed:
            place = slice(changed[0], changed[-1] + 1)
            rubbish = rng.randbytes(place.stop - place.start)
            found[place] = {"old": before[place], "new": after[place], "rubbish": rubbish}[rng.choice(kinds)]
    return bytes(found[:end])


def torn_log(before: bytes, after: bytes, rng: random.Random) -> bytes:
    """The log likewise. One that begins anew has its header written and synced before anything else of it."""
    if before[:HEADER] == after[:HEADER]:
        return torn(before, after, rng)
    if rng.random() < 0.3:
        return torn(before[:HEADER], after[:HEADER], rng).ljust(HEADER, b"\0") + before[HEADER:]
    return after[:HEADER] + torn(before, after, rng)[HEADER:]


def lay_out(directory: Path, files: Files) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    (directory / "runs.db").write_bytes(files[0])
    (directory / "runs.db-wal").write_bytes(files[1])


async def opened_again(directory: Path, files: Files) -> Content:
    """What is read from these files, which must be sound."""
    lay_out(directory, files)
    async with opened(lambda: SQLiteStore(directory / "runs.db")) as store:
        assert isinstance(store, SQLiteStore)
        assert store._database.writer.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return await content(store)


def next_batches(rng: random.Random, seqs: dict[str, int]) -> Sequence[Batch]:
    """Some runs go on: rows small and large, now and then a head or a value by content."""
    batches = []
    for name in rng.sample(RUNS, rng.randint(1, 3)):
        batch = then(seqs[name], name, row=rng.randbytes(rng.choice((20, 80, 1500, 9000))).hex().encode())
        if rng.random() < 0.3:
            value = rng.randbytes(5000).hex().encode()
            reference, digest = by_content(value)
            batch = then(seqs[name], name, row=reference, blobs=((digest, value),))
        elif rng.random() < 0.3:
            batch = then(seqs[name], name, head=a_head(name, status=f"at {seqs[name]}"))
        seqs[name] += 1
        batches.append(batch)
    return batches


@pytest.mark.parametrize("seed", range(4))
async def test_power_loss_keeps_what_was_acknowledged_and_nothing_half(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    live, copy, again = tmp_path / "live", tmp_path / "copy", tmp_path / "again"
    copy.mkdir()
    history: list[tuple[Files, Content]] = []
    async with opened(lambda: SQLiteStore(live / "runs.db", "full")) as store:
        assert isinstance(store, SQLiteStore)
        store._database.writer.execute("PRAGMA wal_autocheckpoint = 25")  # so that the log begins anew a few times
        await asyncio.gather(*(store.create(first(name)) for name in RUNS))
        seqs = dict.fromkeys(RUNS, 2)
        for _ in range(14):
            history.append((snapshot(live / "runs.db", copy), await content(store)))
            store._group._alone = ""  # all of them in one transaction, so that there is one state between two pictures
            await asyncio.gather(*(store.append(batch) for batch in next_batches(rng, seqs)))
        history.append((snapshot(live / "runs.db", copy), await content(store)))
    assert len({file for (file, _), _ in history}) > 1  # checkpoints were among them
    assert len({log[16:24] for (_, log), _ in history}) > 1  # and beginnings of the log, which change its salt
    for (files, acknowledged), (later_files, later) in itertools.pairwise(history):
        assert await opened_again(again, files) == acknowledged
        for _ in range(3):
            # The log is written and synced; only then, if at all, is it carried over to the file.
            found = await opened_again(again, (files[0], torn_log(files[1], later_files[1], rng)))
            assert found in (acknowledged, later)
        if files[0] != later_files[0]:
            assert await opened_again(again, (torn(files[0], later_files[0], rng), later_files[1])) == later


async def test_rubbish_after_the_end_of_the_log_is_nothing(tmp_path: Path) -> None:
    rng = random.Random(1)
    async with opened(lambda: SQLiteStore(tmp_path / "live" / "runs.db")) as store:
        assert isinstance(store, SQLiteStore)
        await store.create(first("a"))
        await store.append(then(2, "a"))
        (tmp_path / "copy").mkdir()
        file, log = snapshot(tmp_path / "live" / "runs.db", tmp_path / "copy")
        acknowledged = await content(store)
    for size in (1, 23, 24, 4096, 4120, 9000):
        for rubbish in (bytes(size), rng.randbytes(size), log[32 : 32 + size]):
            assert await opened_again(tmp_path / "again", (file, log + rubbish)) == acknowledged


async def test_full_durability_syncs_the_log_at_each_commit(tmp_path: Path) -> None:
    for durability, synchronous in (("full", 2), ("normal", 1)):
        store = SQLiteStore(tmp_path / f"{durability}.db", durability)
        async with opened(lambda store=store: store):  # type: ignore[misc]
            pragmas = [
                store._database.writer.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("synchronous", "journal_mode")
            ]
            assert pragmas == [synchronous, "wal"]


APPENDING = textwrap.dedent(
    """
    import asyncio, sys
    from ripresa.stores.sqlite import SQLiteStore
    from ripresa.testing.store_contract import first, then

    async def run(store, name):
        await store.create(first(name))
        print(name, 1, flush=True)
        for seq in range(2, 100000):
            await store.append(then(seq, name, row=name.encode() * 300))
            print(name, seq, flush=True)

    async def main():
        store = SQLiteStore(sys.argv[1], sys.argv[2])
        await store.open()
        await asyncio.gather(*(run(store, name) for name in sys.argv[3:]))

    asyncio.run(main())
    """
)


def killed_after(lines: int, *arguments: object) -> dict[str, int]:
    """The last event of each run that a process acknowledged before it was killed in the middle of its work."""
    command = [sys.executable, "-c", APPENDING, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(lines)]
        process.send_signal(signal.SIGKILL)
        said += process.stdout.readlines()
    return {name: int(seq) for name, seq in (line.split() for line in said if line.endswith("\n"))}


@pytest.mark.parametrize(
    ("durability", "runs", "lines"),
    [("full", "a", 40), ("full", "abc", 7), ("normal", "a", 900), ("normal", "abc", 2500), ("normal", "abcdefgh", 8)],
)
async def test_after_sigkill_everything_acknowledged_is_there(
    tmp_path: Path, durability: str, runs: str, lines: int
) -> None:
    path = tmp_path / "runs.db"
    acknowledged = killed_after(lines, path, durability, *runs)
    async with opened(lambda: SQLiteStore(path)) as store:
        for name, seq in acknowledged.items():
            seqs = [row.seq for row in await store.read(name)]
            assert seqs == list(range(1, len(seqs) + 1))
            assert len(seqs) >= seq
            assert await store.claim(name) == 2  # at once: there is no lease to wait out
            await store.append(then(len(seqs) + 1, name))
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
