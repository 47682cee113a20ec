"""A program that is killed: runs workflows of every kind over one SQLite file, and notes on the side what it did.

`python -m tests.crash.driver STORE LOG [NAME ...]` starts each run that is not there yet, takes up those that are, and
prints the results as JSON. With `KILL=before:7` in the environment it kills itself before (or after) its seventh
append; `KILL=commit:3` in the middle of its third transaction, before the COMMIT.
"""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from ripresa import App, Context, Graph, Retry, chain, current, fold, map_each, parallel, repeat, step, workflow
from ripresa.stores.sqlite import SQLiteStore

LOG = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(os.devnull)
PAUSE = float(os.environ.get("PAUSE", "0"))


def note(what: str) -> None:
    """One line in the log, in one write: it survives the process."""
    handle = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, f"{what}\n".encode())
    os.close(handle)


async def done() -> None:
    """Take a moment, then note that the step has done its work."""
    await asyncio.sleep(PAUSE)
    note(f"{current().run}/{current().path}")


@step
async def add(value: int) -> int:
    await done()
    return value + 1


@step(retry=Retry(3, 0))
def double(value: int) -> int:
    note(f"{current().run}/{current().path}")
    return 2 * value


@step
async def spread(value: int) -> list[int]:
    await done()
    return list(range(value, value + 5))


@step
async def join(total: int, value: int) -> int:
    await done()
    return total + value


@step
async def large(value: int) -> str:
    await done()
    return str(value) * 10_000


@step
async def length(text: str) -> int:
    await done()
    return len(text)


@step
async def agent(value: int) -> int:
    context = current()
    turns = [await context.call(model, value, turn) for turn in range(3)]
    turns += await asyncio.gather(context.call(model, value, 7), context.call(model, value, 7))
    await done()
    return sum(turns)


async def model(value: int, turn: int) -> int:
    await asyncio.sleep(PAUSE)
    note(f"{current().run}/{current().path}/model({value},{turn})")
    return value * 10 + turn


@workflow
async def inner(ctx: Context, value: int) -> int:
    found = await ctx.map(add, [value, value + 1])
    return await double(sum(found))


@workflow
async def function(ctx: Context, value: int) -> list[int]:
    async def loser() -> int:
        try:
            await ctx.sleep("1 d")
        finally:
            await add(1000)
        return 0

    async def helper(start: int) -> int:
        return await double(await add(start))

    first = await ctx.race(loser(), add(value))
    await ctx.sleep(0.001)
    both = await ctx.gather(helper(first), helper(first + 1), inner(first))
    numbers = await ctx.map(helper, [1, 2, 3], concurrency=2)
    return [*both, *numbers, await agent(first), await chain(add).then(double)(first)]


def a_graph() -> Graph[int, int]:
    graph = Graph("graph", input=int)
    one = graph.add(add(graph.input))
    two = graph.add(double(graph.input))
    numbers = graph.add(spread(two.out))
    each = graph.map(add, numbers.out)
    total = graph.add(chain(fold(join, 0))(each.out))
    return graph.returns(graph.add(join(one.out, total.out)).out)


def workflows() -> dict[str, Any]:
    """Every kind, by the id of its run."""
    return {
        "chain": chain(add).then(double).then(large).then(length).then(add),
        "map": chain(spread).then(map_each(chain(add).then(double), concurrency=3)).then(fold(join, 0)),
        "parallel": chain(parallel(add, chain(add).then(double), inner)),
        "repeat": repeat(chain(add).then(add), until=lambda value: value > 6, at_most=9),
        "nested": chain(inner).then(inner),
        "agent": chain(agent).then(add),
        "graph": a_graph(),
        "function": function,
    }


class Deadly(SQLiteStore):
    """Kills its process at a certain append or commit."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.where, _, number = os.environ.get("KILL", "never:0").partition(":")
        self.left = int(number)
        write = self._database.write

        def deadly(jobs: Any, patient: bool) -> float:
            if self.where == "commit" and self.count():
                self._database.writer.set_progress_handler(None, 0)
                self._database.writer.set_trace_callback(lambda sql: die() if sql == "COMMIT" else None)
                if len(jobs) == 1:
                    self._database.writer.set_trace_callback(lambda sql: die())
            return write(jobs, patient)

        self._database.write = deadly  # type: ignore[method-assign]

    def count(self) -> bool:
        """Whether this is the one."""
        self.left -= 1
        return self.left == 0

    async def create(self, batch: Any) -> None:
        await self.around(super().create, batch)

    async def append(self, batch: Any) -> None:
        await self.around(super().append, batch)

    async def around(self, write: Any, batch: Any) -> None:
        """Write, and perhaps die before or after it."""
        fatal = self.where in ("before", "after") and self.count()
        if fatal and self.where == "before":
            die()
        await write(batch)
        if fatal:
            die()


def die() -> None:
    """As the kernel does it when there is no memory left."""
    os.kill(os.getpid(), signal.SIGKILL)


async def main(path: str, names: list[str]) -> dict[str, Any]:
    """Run to the end what is to be run; the results."""
    found = {name: flow for name, flow in workflows().items() if not names or name in names}
    store = Deadly(path)
    async with App(store, durability="normal") as app:
        results = await asyncio.gather(*(app.run(flow(1), id=name) for name, flow in found.items()))
        counts = {"appends": -store.left, "commits": store.commits}
    return {**dict(zip(found, results, strict=True)), "": counts}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], sys.argv[3:]))))
