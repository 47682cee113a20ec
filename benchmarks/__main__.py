"""Prints every figure of docs/benchmarks.md; `--write` writes that page, `--quick` measures less."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from ripresa import App, Hook, __version__, after, before, for_range, observe, step, stream
from ripresa.core.events import Recorded, StepScheduled
from ripresa.runtime.feed import Feed

from . import asleep, simulated
from . import workflows as w
from .floors import Floor
from .measure import Table, median, percentile, seconds

STORES = (("memory", ""), ("SQLite, normal", "normal"), ("SQLite, full", "full"))
ROOT = Path(__file__).resolve().parent.parent


class Bench:
    """One run of all measurements in a directory that is thrown away."""

    def __init__(self, folder: Path, rounds: int) -> None:
        self.folder = folder
        self.rounds = rounds
        self.number = 0
        self.tables: list[Table] = []

    def app(self, durability: str, **options: Any) -> App:
        """An app on a fresh store."""
        self.number += 1
        if not durability:
            return App("memory:", **options)
        return App(f"sqlite:{self.folder}/{self.number}.db", durability=durability, **options)

    def floor(self, durability: str) -> Floor:
        """The floor of the same kind."""
        self.number += 1
        path = self.folder / f"floor{self.number}.db" if durability else None
        return Floor(path, durability.upper() or "FULL")

    def table(self, title: str, *columns: str) -> Table:
        """A new table."""
        table = Table(title, columns)
        self.tables.append(table)
        table.begin()
        return table

    async def time(self, work: Callable[[], Awaitable[object]]) -> float:
        """The median of several rounds, in seconds."""
        return median(await seconds(work, self.rounds))


async def throughput(bench: Bench) -> None:
    """Chains, many runs, maps."""
    table = bench.table("Steps and runs", "what", "engine", "floor", "ratio")
    chain, ten = w.chain_of(1000), w.chain_of(10)
    for name, durability in STORES:
        floor = bench.floor(durability)
        async with bench.app(durability) as app:
            engine = await bench.time(lambda: app.run(chain(0))) * 1000
            bare = await bench.time(lambda: floor.chain(w.increment.fn, 1000)) * 1000
            table.add(f"{name}: µs per step, chain of 1,000", engine, bare, engine / bare)
    for name, durability in STORES:
        floor = bench.floor(durability)
        async with bench.app(durability) as app:

            async def many(app: App = app) -> None:
                handles = await asyncio.gather(*(app.start(ten(0)) for _ in range(1000)))
                await asyncio.gather(*(handle.result() for handle in handles))

            engine = 10_000 / await bench.time(many)
            before = getattr(app.store, "commits", 0)
            await many()
            commits = (getattr(app.store, "commits", 0) - before) / 10_000
            bare = 10_000 / await bench.time(lambda: floor.runs(w.increment.fn, 1000, 10))
            table.add(f"{name}: steps/s, 1,000 runs of 10 ({commits:.4f} commits a step)", engine, bare, bare / engine)
    for name, durability in STORES:
        floor = bench.floor(durability)
        async with bench.app(durability) as app:
            items = list(range(10_000))
            engine = await bench.time(lambda: app.run(w.mapped(items)))
            bare = await bench.time(lambda: floor.fan_out(w.increment.fn, 10_000))
            table.add(f"{name}: seconds, map of 10,000", engine, bare, engine / bare)


async def growth(bench: Bench) -> None:
    """Does a step cost more when there are many, or when much is held?"""
    table = bench.table("Growth: µs per step", "what", "µs", "to the first")
    first = 0.0
    for steps in (10, 100, 1000, 10_000):
        async with bench.app("") as app:
            repeats = max(1, 2000 // steps)
            once, twice = w.loop_of(steps), w.loop_of(2 * steps)

            async def again(loop: Any, app: App = app, repeats: int = repeats) -> None:
                for _ in range(repeats):
                    await app.run(loop(0))

            more = await bench.time(lambda: again(twice)) - await bench.time(lambda: again(once))
            each = more / (repeats * steps) * 1e6
            first = first or each
            table.add(f"each of the second {steps:,} steps of a loop", each, each / first)
    first = 0.0
    for size in (1_000, 100_000, 1_000_000):
        async with bench.app("") as app:
            data = "x" * size
            small = await bench.time(lambda: app.run(w.holding(data, 10)))
            large = await bench.time(lambda: app.run(w.holding(data, 510)))
            each = (large - small) / 500 * 1e6
            first = first or each
            table.add(f"500 steps of a durable function that holds {size:,} bytes", each, each / first)


async def size_and_resume(bench: Bench) -> None:
    """Bytes on disk, and how long it takes to take a long run up again."""
    table = bench.table("Size and resume", "what", "value")
    for name, durability in STORES[1:2]:
        app = bench.app(durability)
        async with app:
            path = app.store.url.removeprefix("sqlite:")
            await app.run(w.chain_of(10)(0))
            before = _pages(path)
            chain = w.chain_of(1000)
            for _ in range(10):
                await app.run(chain(0))
            used = _pages(path) - before
            table.add(f"{name}: bytes on disk per step, chains of 1,000", used / 10_000)
    async with bench.app("normal") as app:
        path = app.store.url.removeprefix("sqlite:")
        before = _pages(path)
        ten = w.chain_of(10)
        await asyncio.gather(*[(await app.start(ten(0))).result() for _ in range(1000)])
        table.add("SQLite, normal: bytes on disk per step, 1,000 runs of 10", (_pages(path) - before) / 10_000)
    found = []
    for _ in range(bench.rounds):
        found.append(await _resume(bench))
    table.add("seconds to resume a run after 10,000 steps (read, replay, go on)", median(found))


def _pages(path: str) -> int:
    import sqlite3

    connection = sqlite3.connect(path)
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (pages,), (size,) = (
            connection.execute("PRAGMA page_count").fetchone(),
            connection.execute("PRAGMA page_size").fetchone(),
        )
        (free,) = connection.execute("PRAGMA freelist_count").fetchone()
        return int(pages - free) * int(size)
    finally:
        connection.close()


async def _resume(bench: Bench) -> float:
    loop = for_range(_stopping, 0, 10_001)
    app = bench.app("normal")
    async with app:
        handle = await app.start(loop(0))
        async for recorded in handle.events():
            if isinstance(recorded.event, StepScheduled) and recorded.event.path.endswith("[10000]"):
                break
        url, run = app.store.url, handle.id
    async with App(url, durability="normal") as app:
        begin = time.perf_counter()
        handle = await app.resume(run, loop)
        took = time.perf_counter() - begin
        await handle.terminate()
    return took


@step
async def _stopping(total: int, number: int) -> int:
    if number == 10_000:
        await asyncio.Event().wait()
    return total + 1


async def streams(bench: Bench) -> None:
    """Items a second through three stages, and what a million of them hold."""
    table = bench.table("Streams", "what", "value")
    items = 200_000
    for name, source in (("an iterator", w.numbers), ("an async iterator", w.async_numbers)):
        async with bench.app("") as app:
            flow = w.three_stages(source).batch(100).into(w.accept, durable=False)
            took = await bench.time(lambda app=app, flow=flow: app.run(flow(items)))  # type: ignore[misc]
            table.add(f"items/s through three stages, nothing recorded, from {name}", items / took)
    for name, durability in STORES:
        for size in (1, 100, 1000):
            count = items if size > 1 else items // 20
            async with bench.app(durability) as app:
                flow = w.three_stages(w.numbers).batch(size).into(w.accept)
                took = await bench.time(lambda app=app, flow=flow, count=count: app.run(flow(count)))  # type: ignore[misc]
                table.add(f"{name}: items/s, recorded in batches of {size:,}", count / took)
        for every in (10, 100):
            async with bench.app(durability) as app:
                flow = w.three_stages(w.numbers).into(w.accept, every=every)
                took = await bench.time(lambda app=app, flow=flow: app.run(flow(items // 4)))  # type: ignore[misc]
                table.add(f"{name}: items/s, one by one, recorded after each {every}", items / 4 / took)
        floor = bench.floor(durability)
        took = await bench.time(lambda floor=floor: floor.chain(w.increment.fn, items // 40))  # type: ignore[misc]
        floor.close()
        table.add(f"{name}: items/s of the floor, a commit for each second one", items / 20 / took)
    for count in (10_000, 1_000_000):
        async with bench.app("normal") as app:
            sink = w.SlowSink()
            await app.run(stream(w.texts).map(str.upper).filter(bool).map(str.lower).batch(100).into(sink)(count))
            table.add(f"MB more at most while {count:,} items of 1 kB wait for a slow sink", sink.more / 1e6)


async def latencies(bench: Bench) -> None:
    """The first step, a checkpoint, an event to many readers."""
    table = bench.table("Latencies", "what", "p50", "p95")
    found = []
    async with bench.app("full") as app:
        for _ in range(200):
            begin = time.perf_counter()
            flow = w.chain_of(10)
            handle = await app.start(flow(0))
            found.append((time.perf_counter() - begin) * 1000)
            await handle.result()
    table.add(
        "ms to build and start a workflow of 10 steps (SQLite, full)", percentile(found, 0.5), percentile(found, 0.95)
    )
    found = []
    async with bench.app("full") as app:
        for _ in range(200):
            begin = time.perf_counter()
            await app.run(w.checkpoint(10 * 1024))
            found.append((time.perf_counter() - begin) * 1000)
    table.add("ms for a run that checkpoints 10 KiB (SQLite, full)", percentile(found, 0.5), percentile(found, 0.95))
    feed, found = Feed(), []
    watchers = [feed.watch("r") for _ in range(10)]
    event = StepScheduled("step", 1)
    for number in range(2000):
        begin = time.perf_counter()
        feed.publish("r", number + 1, [event])
        for watcher in watchers:
            items = watcher.take()
            assert isinstance(items[0], Recorded)
        found.append((time.perf_counter() - begin) * 1e6)
    table.add("µs for an event to 10 subscribers, given and taken", percentile(found, 0.5), percentile(found, 0.95))


async def parallelism(bench: Bench) -> None:
    """Does side by side take as long as one?"""
    table = bench.table("Parallel against sequential", "what", "seconds", "speed-up", "of N")
    async with bench.app("") as app:
        one = await bench.time(lambda: app.run(w.chain_of(1, w.tenth)(0)))
        for width in (1, 2, 4, 8, 16, 32, 64):
            flow = w.branches(width, w.tenth)
            took = await bench.time(lambda: app.run(flow(0)))
            table.add(f"{width} I/O-bound branches of 100 ms", took, width * one / took, one / took)
    cores = os.cpu_count() or 1
    async with bench.app("", processes=cores) as app:
        one = await bench.time(lambda: app.run(w.chain_of(1, w.burn)(0)))
        for width in (1, cores):
            flow = w.branches(width, w.burn)
            took = await bench.time(lambda: app.run(flow(0)))
            table.add(f"{width} CPU-bound branches of 200 ms, {cores} cores", took, width * one / took, one / took)


async def overhead(bench: Bench) -> None:
    """What durability and watching add to steps that do something."""
    table = bench.table("Overhead on steps of 1 ms: ms per step", "what", "engine", "floor", "ratio")
    steps = 200
    chain = w.chain_of(steps, w.millisecond)
    for name, durability in STORES:
        floor = bench.floor(durability)
        async with bench.app(durability) as app:

            async def watched(app: App = app) -> None:
                handle = await app.start(chain(0))
                async for _ in handle.watch():
                    pass

            took = await bench.time(watched) / steps * 1000
            bare = await bench.time(lambda: floor.chain(w.millisecond.fn, steps)) / steps * 1000
            table.add(f"{name}, with every event and notice read", took, bare, took / bare)


async def hooks(bench: Bench) -> None:
    """What hooks add to steps of 1 ms, and what they cost by themselves; measured in turns, since machines drift."""
    table = bench.table("Hooks: µs per step", "what", "steps of 1 ms", "of those, %", "empty steps")
    kinds: dict[str, list[Hook]] = {
        "no hook": [],
        "one that stands elsewhere": [before("another")(_nothing)],
        "an observer of completed steps": [observe("after")(_nothing)],
        "an interceptor, plain, before": [before(_nothing)],
        "an interceptor, plain, before and after": [before(_nothing), after(_nothing)],
        "an interceptor, async, before (one commit more)": [before(_nothing_later)],
    }
    real, empty = w.chain_of(100, w.millisecond), w.chain_of(100)
    took: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in kinds}
    for _ in range(3 * bench.rounds):
        for name, found in kinds.items():
            async with bench.app("normal", hooks=found) as app:
                for call, times in zip((real, empty), took[name], strict=True):
                    times += await seconds(lambda call=call, app=app: app.run(call(0)), 1)  # type: ignore[misc]
    bare = min(took["no hook"][0])
    for name, (with_work, without) in took.items():
        table.add(name, min(with_work) * 10_000, 100 * (min(with_work) / bare - 1), min(without) * 10_000)


def _nothing(asked: Any) -> None:
    pass


async def _nothing_later(asked: Any) -> None:
    pass


@step
async def plus(total: int, number: int) -> int:
    """A step that does nothing much."""
    return total + number


async def time_travel(bench: Bench) -> None:
    """Rollback to and fork at the middle, diff of two, by length of history: all replay it, none copies a value."""
    table = bench.table("Time travel: ms", "history", "rollback", "fork", "diff of two")
    for length in (100, 1_000, 10_000):
        flow = for_range(plus, 0, length, name="long")
        async with bench.app("normal", workflows=[flow]) as app:
            handle = await app.start(flow(0))
            await handle.result()
            begin = time.perf_counter()
            other = await handle.fork(length)
            forked = time.perf_counter() - begin
            await other.result()
            begin = time.perf_counter()
            await app.diff(handle.id, other.id)
            compared = time.perf_counter() - begin
            begin = time.perf_counter()
            await handle.rollback(length)
            taken_back = time.perf_counter() - begin
            await handle.result()
            table.add(f"{length:,} steps", taken_back * 1000, forked * 1000, compared * 1000)


async def imports(bench: Bench) -> None:
    """What `import ripresa` costs."""
    table = bench.table("Import: ms of CPU", "what", "ms")
    code = "import time; t = time.process_time(); import {0}; print((time.process_time() - t) * 1000)"
    for what in ("ripresa", "ripresa.app, ripresa.authoring.step", "pydantic"):
        times = [float(subprocess.check_output([sys.executable, "-c", code.format(what)])) for _ in range(7)]
        table.add(f"import {what}", median(times))


async def sleepers(bench: Bench) -> None:
    """Runs that only wait: what 100,000 of them cost a process, and how late 1,000 wake that are due together."""
    table = bench.table("100,000 runs asleep in one file, 1,000 due together", "what", "measured", "limit")
    found = await asleep.measure(bench.folder)
    table.add("MB that they add to an empty process", found["MB added"], 30.0)
    table.add("seconds from due to done, median", found["median"], "")
    table.add("seconds from due to done, p99", found["p99"], 1.0)
    table.add("seconds from due to done, most", found["most"], "")


async def schedules(bench: Bench) -> None:
    """What the simulator plays."""
    table = bench.table("Simulated schedules per second", "workflow", "undisturbed", "all faults")
    for row in simulated.measure():
        table.add(*row)


PARTS = (
    throughput,
    growth,
    size_and_resume,
    streams,
    latencies,
    parallelism,
    overhead,
    hooks,
    time_travel,
    imports,
    sleepers,
    schedules,
)


async def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    parser.add_argument("--quick", action="store_true", help="two rounds instead of five")
    parser.add_argument("parts", nargs="*", help=", ".join(part.__name__ for part in PARTS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), 2 if options.quick else 5)
        for part in PARTS:
            if not options.parts or part.__name__ in options.parts:
                await part(bench)
    if options.write:
        _write(bench)


def _write(bench: Bench) -> None:
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    page = f"""# Benchmarks

What the engine costs beside the work that it orchestrates. `make bench` prints these figures anew; medians of several
rounds, each beside a floor measured in the same run: bare asyncio with the same SQLite commits. Machines are noisy:
the ratios say more than the microseconds.

Ripresa {__version__}, {machine}.

"""
    (ROOT / "docs" / "benchmarks.md").write_text(page + "\n".join(table.markdown() for table in bench.tables))


if __name__ == "__main__":
    asyncio.run(main())
