"""A program whose children are killed: they run workflows of every kind over one SQLite file, and note what they do.

It reads jobs as lines of JSON: `store` and `log` are paths, `names` the runs to start or take up, `pause` how long each
step takes. It forks a child for each, which costs no start of Python, and answers with the child's exit status and
what it wrote: its results and counts. With `kill` the child ends by SIGKILL: `["before", 7]` its seventh write,
`["after", 7]` it, `["commit", 3]` in the middle of its third transaction, or `["time", 0.05]` so many seconds after it
began.
"""

import asyncio
import gc
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from ripresa import (
    App,
    At,
    Context,
    Graph,
    Handoff,
    Limits,
    Pool,
    Redirect,
    Replace,
    Retry,
    Rule,
    StreamResult,
    TimeWindow,
    after,
    before,
    branch,
    chain,
    choose,
    current,
    fallback,
    fold,
    intercept,
    map_each,
    parallel,
    repeat,
    router,
    saga,
    step,
    stream,
    workflow,
)
from ripresa.core.codec import decode_events
from ripresa.core.events import (
    CallRecorded,
    Intercepted,
    StepCompleted,
    StepScheduled,
    StreamAdvanced,
)
from ripresa.runtime import leases
from ripresa.stores.sqlite import SQLiteStore
from tests.crash.document import document
from tests.crash.episodes import EPISODES
from tests.crash.notes import die, done, job, note
from tests.crash.open_workflow import open_workflow
from tests.crash.promises import PROMISES


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


@step
async def pinger(value: int) -> Handoff[int] | str:
    await done()
    return Handoff("ponger", value + 1) if value < 5 else f"over at {value}"


@step
async def ponger(value: int) -> Handoff[int]:
    await done()
    return Handoff("pinger", value * 2, "back")


async def model(value: int, turn: int) -> int:
    await asyncio.sleep(job["pause"])
    note(f"{current().run}/{current().path}/model={10 * value + turn}")
    return 10 * value + turn


@step
async def rent(value: int) -> int:
    await done()
    return value + 1


@rent.undo
async def give_back(value: int) -> None:
    await done()


@step
async def refuse(value: int) -> int:
    await done()
    raise ValueError(value)


@workflow
async def block(ctx: Context, value: int) -> int:
    first = await rent(value)
    try:
        async with ctx.saga():
            await refuse(await rent(await rent(first)))
    except ValueError:
        return await add(first)
    return 0


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


def spots(count: int, position: int | None) -> Iterator[At[int, int]]:
    return (At(number, number + 1) for number in range(position or 0, 10 * count + 3))


def twice(value: int) -> list[int]:
    return [value, value]


async def store_all(batch: list[int]) -> None:
    await asyncio.sleep(job["pause"])
    note(f"{current().run}/{current().path}/model={batch[-1] + 1}")


async def store_window(window: list[int]) -> None:
    await asyncio.sleep(job["pause"])
    note(f"{current().run}/{current().path}/model={window}")


async def store_one(value: int) -> None:
    await store_all([value])


def later_or_sooner(value: int) -> float:
    return value + 3 * (value % 2)


async def store_span(window: TimeWindow[int]) -> None:
    await store_window(window.items)


def plus(total: int, value: int) -> int:
    return total + value


@step
async def taken(result: StreamResult) -> int:
    await done()
    return result.taken


async def asked(event: Any, answer: Any) -> Any:
    """Note that a hook was asked, and answer it."""
    await asyncio.sleep(job["pause"])
    note(f"{event.run}/hook/{event.path}/model={event.point}")
    return answer


@before(timeout=60)
async def more(event: Any) -> Any:
    return await asked(event, Replace(event.input + 1))


@after("double", timeout=60)
async def less(event: Any) -> Any:
    return await asked(event, Replace(event.output - 1))


@intercept("branch", timeout=60)
async def otherwise(event: Any) -> Any:
    return await asked(event, Redirect("double"))


async def looked_at(event: Any, answer: Any) -> Any:
    """Note that a hook was asked about something that is undone, and answer it."""
    await asyncio.sleep(job["pause"])
    note(f"{event.run}/hook/undo/model={event.point}")
    return answer


@intercept("compensation", timeout=60)
async def undoing(event: Any) -> Any:
    return await looked_at(event, None)


@intercept("compensated", timeout=60)
async def undone(event: Any) -> Any:
    return await looked_at(event, None)


@intercept("limit", timeout=60)
async def allowed(event: Any) -> Any:
    return await asked(event, Replace(Limits(steps=50)))


def a_graph() -> Any:
    graph = Graph("graph", input=int)
    one = graph.add(add(graph.input))
    two = graph.add(double(graph.input))
    numbers = graph.add(spread(two.out))
    each = graph.map(add, numbers.out)
    total = graph.add(chain(fold(join, 0))(each.out))
    return graph.returns(graph.add(join(one.out, total.out)).out)


@cache
def workflows() -> dict[str, Any]:
    """Every kind, by the id of its run; built once for all children."""
    return {
        "chain": chain(add).then(double).then(large).then(length).then(add),
        "map": chain(spread).then(map_each(chain(add).then(double), concurrency=3)).then(fold(join, 0)),
        "parallel": chain(parallel(add, chain(add).then(double), inner)),
        "repeat": repeat(chain(add).then(add), until=lambda value: value > 6, at_most=9),
        "nested": chain(inner).then(inner),
        "agent": chain(agent).then(add),
        "router": chain(router(until=str, at_most=9)(pinger, ponger)).then(length),
        "choose": chain(choose(lambda _: ["double", "add"], add, agent, double)).then(fold(join, 0)),
        "stream": chain(add).then(stream(spots).map(add).batch(5).into(store_all)).then(taken),
        "windows": chain(stream(spots).flat_map(twice).window(5, every=3).into(store_window)).then(taken),
        "grouped": chain(stream(spots).map(add).into(store_one, every=4)).then(taken),
        "flows": chain(stream(spots).map(chain(add).then(double), concurrency=2).into(store_one)).then(taken),
        "by time": chain(stream(spots).time_window(6, at=later_or_sooner, every=3, lateness=4).into(store_span)).then(
            taken
        ),
        "folded": chain(stream(spots).flat_map(twice).fold(plus, 0, every=7)).then(add),
        "rules": chain(spread)
        .then(map_each(add.with_(pool=Pool("two", size=2))))
        .then(fold(join, 0))
        .with_rules(Rule.custom("large", lambda total: total > 9)),
        "graph": a_graph(),
        "hooked": chain(add).then(branch(bool, add, double)).then(add).with_hooks(more, less, otherwise),
        "watched": chain(add)
        .then(fallback(saga(chain(rent).then(refuse)), add))
        .then(double)
        .with_hooks(undoing, undone, allowed)
        .with_limits(Limits(steps=1)),
        "function": function,
        "saga": chain(add).then(fallback(saga(chain(rent).then(rent).then(refuse)), add)).then(double),
        "block": block,
        "document": document(),
        "open": open_workflow(),
    }


EVERY_EPISODE = EPISODES | PROMISES


class Deadly(SQLiteStore):
    """Kills its process at a certain write or transaction."""

    def __init__(self, path: str, where: str, number: int) -> None:
        super().__init__(path, "normal")
        self.where = where
        self.number = number
        self.writes = 0
        self.transactions = 0
        write = self._database.write

        def deadly(jobs: Any, patient: bool) -> float:
            self.transactions += 1
            if self.where == "commit" and self.transactions == self.number:
                writer = self._database.writer
                writer.set_trace_callback(lambda sql: die() if sql == "COMMIT" else None)
                if len(jobs) == 1:  # one statement, which commits itself: in the middle of it
                    writer.set_progress_handler(die, 12)
            return write(jobs, patient)

        self._database.write = deadly  # type: ignore[method-assign]

    async def create(self, batch: Any) -> None:
        await self.around(super().create, batch)

    async def append(self, batch: Any) -> None:
        await self.around(super().append, batch)

    async def around(self, write: Any, batch: Any) -> None:
        """Write, and perhaps die before or after it."""
        self.writes += 1
        fatal = self.writes == self.number
        if fatal and self.where == "before":
            die()
        await write(batch)
        if fatal and self.where == "after":
            die()


async def look(store: SQLiteStore, names: list[str]) -> tuple[list[str], list[str]]:
    """What is durably finished, and what was scheduled and is not, as lines of the log."""
    finished: set[str] = set()
    scheduled: set[str] = set()
    for name in names:
        rows = await store.read(name)
        for event in [item.event for row in rows for item in decode_events(row.data, name, row.seq)]:
            match event:
                case StepScheduled(path):
                    scheduled.add(f"{name}/{path}")
                case StepCompleted(_, path):
                    finished.add(f"{name}/{path}")
                case Intercepted(path=path, point=point) if path.endswith("!undo"):
                    finished.add(f"{name}/hook/undo/model={point}")
                case Intercepted(path=path, point=point):
                    finished.add(f"{name}/hook/{path}/model={point}")
                case CallRecorded(path=path, output=bytes(output)):
                    finished.add(f"{name}/{path}/model={output.decode()}")
                case StreamAdvanced(path=path, batch=batch, position=bytes(position)) if batch:
                    finished.add(f"{name}/{path}/model={position.decode()}")
                case _:
                    pass
        if name == "hooked":  # that a hook is asked leaves no event before its answer
            scheduled |= {f"{name}/hook/{path}" for path in ("add", "branch", "branch/double", "add#2")}
        if name == "watched":
            scheduled |= {f"{name}/hook/undo", f"{name}/hook/fallback/saga/rent"}
    return sorted(finished), sorted(scheduled - finished)


async def main() -> dict[str, Any]:
    """Run to the end what is to be run; the results."""
    store = Deadly(job["store"], *job.get("kill", ("never", 0)))
    if job["names"][0] in EVERY_EPISODE:
        episode = EVERY_EPISODE[job["names"][0]]
        async with App(store, **episode.options()) as app:
            return {"results": await episode.act(app)}
    found = {name: flow for name, flow in workflows().items() if name in job["names"]}
    async with App(store) as app:
        finished, under_way = await look(store, list(found))
        results = await asyncio.gather(*(app.run(flow(1), id=name) for name, flow in found.items()))
    return {
        "results": dict(zip(found, results, strict=True)),
        "finished": finished,
        "under way": under_way,
        "writes": store.writes,
        "transactions": store.transactions,
    }


def child() -> None:
    """Do the job; what it found goes to a file. One that gets stuck says so, and its test fails."""
    Path(job["store"] + ".out").write_text(json.dumps(asyncio.run(asyncio.wait_for(main(), PATIENCE))))


PATIENCE = 60
"""Seconds for a job, which takes some hundredths of one."""


async def warm_up(folder: str) -> None:
    """Let children find everything imported and built: do each job once."""
    for number, names in enumerate([[*workflows()], *([name] for name in EVERY_EPISODE)]):
        job.update(store=f"{folder}/{number}.db", log=f"{folder}/{number}.log", pause=0, names=names)
        await main()


def serve() -> None:
    """Do jobs until there are no more."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(warm_up(folder))
    gc.freeze()
    leases.LEASE = 100_000  # type: ignore[misc]  # nobody waits long for a sender that was killed
    for line in sys.stdin:
        job.update(json.loads(line))
        out = Path(job["store"] + ".out")
        out.unlink(missing_ok=True)
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                child()
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        where, number = job.get("kill", ("never", 0))
        if where == "time":
            time.sleep(number)
            os.kill(pid, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        found: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {}
        print(json.dumps({"status": status, **found}), flush=True)
        job.pop("kill", None)


if __name__ == "__main__":
    serve()
