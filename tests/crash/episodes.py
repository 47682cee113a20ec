"""What people and other runs do to runs, as a process does it that may be killed anywhere: begun or gone on with.

Each episode is done again from its beginning by the next process, and gives what the undisturbed one gives: it asks
for what has not been asked for, and says what it found.
"""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from ripresa import (
    AfterStep,
    Again,
    App,
    At,
    CancelAsking,
    Context,
    Graph,
    Handle,
    Limits,
    Migration,
    Replace,
    RipresaError,
    RunForm,
    Signal,
    SignalArriving,
    Update,
    Veto,
    after,
    approval,
    chain,
    current,
    intercept,
    map_each,
    parallel,
    step,
    stream,
    wait_for_update,
    workflow,
)
from ripresa.core.events import (
    ApprovalDecided,
    CompensationStarted,
    Dispatched,
    EffectsLet,
    Event,
    MessageQueued,
    Migrated,
    Requested,
    RolledBack,
    RowsWritten,
    RunForked,
    RunUndone,
    SignalReceived,
    StateMerged,
    StepUndone,
    UpdateAnswered,
)
from ripresa.core.lifecycle import TERMINAL
from ripresa.core.replay import lineage
from ripresa.core.usage import used_in
from ripresa.ports import Outgoing
from ripresa.reducers import add as plus
from ripresa.reducers import reducer
from ripresa.retention import archive_path, tombstones
from tests.crash.notes import die, done, job, note, noted


class Episode(NamedTuple):
    """What is done with an app, and the options of the app."""

    act: Callable[[App], Awaitable[list[Any]]]
    options: Callable[[], dict[str, Any]] = dict


@step
async def add(value: int) -> int:
    await done()
    return value + 1


@step
async def double(value: int) -> int:
    await done()
    return 2 * value


async def events_of(app: App, run: str, *kinds: type[Event]) -> list[int]:
    """How many events of each of these kinds a run has."""
    journal = [item.event for item in await app.engine.history(run)]
    return [sum(isinstance(event, kind) for event in journal) for kind in kinds]


async def taken_up(app: App, flow: Any, call: Any, run: str, **options: Any) -> Handle[Any]:
    """A run as it stands, driven here if it has not ended."""
    handle: Handle[Any] = await app.start(call, id=run, **options)
    head = await app.store.find_run(run)
    assert head is not None
    if head.status not in TERMINAL and not await app.engine.is_driven(run):
        await app.resume(run, flow)
    return handle


# --- travelling


@step
async def broken(value: int) -> int:
    raise ValueError("never")


async def travel(app: App) -> list[Any]:
    """Roll a run back, fork it, migrate another: each once, whatever had been done before the process died."""
    flow = chain(add, name="travel").then(double).then(add)
    old, new = chain(add, name="moved").then(broken), chain(add, name="moved", version="2").then(double)
    await app.run(flow(1), id="travel")
    handle = await app.handle("travel", flow)
    if await events_of(app, "travel", RolledBack) == [0]:
        await handle.rollback("add")
    found: list[Any] = [await handle.result()]
    if await app.store.find_run("fork") is None:
        await handle.fork(set={"add": 10}, id="fork")
    found.append(await (await app.resume("fork", flow)).result())
    if await app.store.find_run("moved") is None:
        await (await app.start(old(1), id="moved")).outcome()
    head = await app.store.find_run("moved")
    assert head is not None
    if head.version == "1" and head.status != "failed":
        await (await app.resume("moved", old)).outcome()
    if head.version == "1":
        await app.migrate("moved", new, by="somebody")
    found.append(await (await app.resume("moved", new)).result())
    for run, kind in (("travel", RolledBack), ("fork", RunForked), ("moved", Migrated)):
        found += await events_of(app, run, kind)
    return found


@dataclass
class Sum:
    total: Annotated[int, plus] = 0
    last: int = 0


@dataclass
class Total:
    sum: Annotated[int, plus] = 0
    last: int = 0


@step
async def contribute(value: int) -> int:
    plus(current().to(Sum).total, value)
    return value + 1


@step
async def look_at(value: int) -> int:
    current().state(Sum).last = current().state(Sum).total
    return value


@step(name="end")
async def stopped(value: int) -> int:
    raise ValueError("never")


@step(name="end")
async def summed(value: int) -> list[int]:
    state = current().state(Total)
    return [state.sum, state.last, value]


def to_total(run: RunForm) -> None:
    run.rename_field("total", "sum")
    run.change_field("sum", int, lambda value: 10 * value)


async def stateful_travel(app: App) -> list[Any]:
    """Fork a run with a state, and migrate another: each once, whatever had been done before the process died."""
    flow = chain(contribute, name="kept").then(look_at).then(contribute).with_state(Sum)
    old = chain(contribute, name="shifted").then(look_at).then(stopped).with_state(Sum)
    new = chain(contribute, name="shifted", version="2").then(look_at).then(summed).with_state(Total)
    found: list[Any] = [await app.run(flow(1), id="kept")]
    handle = await app.handle("kept", flow)
    if await app.store.find_run("twin") is None:
        await handle.fork(set={"state.total": 100}, id="twin")
    twin = await app.resume("twin", flow)
    await twin.result()
    found.append((await twin.state(Sum)).last)
    if await app.store.find_run("shifted") is None:
        await (await app.start(old(1), id="shifted")).outcome()
    head = await app.store.find_run("shifted")
    assert head is not None
    if head.version == "1" and head.status != "failed":
        await (await app.resume("shifted", old)).outcome()
    if head.version == "1":
        await app.migrate("shifted", new)
    found.append(await (await app.resume("shifted", new)).result())
    for run, kind in (("twin", RunForked), ("shifted", Migrated)):
        found += await events_of(app, run, kind)
    return found


async def take_back(number: int) -> None:
    """Undoes an addition."""


async def undone(app: App) -> list[Any]:
    """Undo a finished run: each step once, whatever had been undone before the process died."""
    flow = (
        chain(add.undone_by(take_back), name="undone").then(double).then(add.with_(name="again").undone_by(take_back))
    )
    head = await app.store.find_run("undone")
    if head is None or head.status == "running":
        await app.run(flow(1), id="undone")
    report = await (await app.handle("undone", flow)).undo()
    return [*report.undone, *await events_of(app, "undone", StepUndone, RunUndone)]


# --- messages


raise_price = Update("raise_price", int, int)
finished = Signal("finished", int)


@workflow
async def haggle(ctx: Context, price: int) -> int:
    """Three offers; one that is too low is refused."""
    for _ in range(3):
        offer = await ctx.next_update(raise_price)
        if offer.value < 0:
            await offer.refuse("too low")
            continue
        price = await add(price + offer.value)
        await offer.answer(price)
    return await double(price)


async def updated(app: App) -> list[Any]:
    """Three updates: each is counted once and has one answer, whoever asks for it again."""
    handle = await taken_up(app, haggle, haggle(10), "haggle")
    found: list[Any] = []
    for number, offer in enumerate((5, -1, 2)):
        try:
            found.append(await handle.update(raise_price, offer, id=f"offer-{number}"))
        except RipresaError as error:
            found.append(error.code)
    return [*found, await handle.result(), *await events_of(app, "haggle", SignalReceived, UpdateAnswered)]


close = Update("close", int, int)


@step
async def small(value: int) -> int:
    await done()
    if value > 20:
        raise ValueError("too much")
    return current().state(Sum).total


closing = (
    chain(wait_for_update(close, add), name="closing")
    .with_update(raise_price, chain(contribute).then(small))
    .with_state(Sum)
)


async def served(app: App) -> list[Any]:
    """Updates beside a flow: each is answered once, and writes to its state all or nothing."""
    handle = await taken_up(app, closing, closing(0), "closing")
    found: list[Any] = []
    for update, value in ((raise_price, 5), (raise_price, 30), (close, 7)):
        try:
            found.append(await handle.update(update, value, id=f"{update.name}-{value}"))
        except RipresaError as error:
            found.append(error.code)
    found += [await handle.result(), (await handle.state(Sum)).total]
    return [*found, *await events_of(app, "closing", SignalReceived, UpdateAnswered)]


@workflow
async def waits(ctx: Context) -> int:
    return await ctx.wait_for(finished)


child = chain(add, name="child")


@step
async def tells(value: int) -> str:
    context = current()
    context.send("waits", finished, value)
    context.queue("letter", value, id=f"letter-{value}")
    begun = context.start(child(value))
    await done()
    return begun


async def deliver(parcel: Outgoing) -> None:
    note(f"delivered {parcel.id}")


async def sent(app: App) -> list[Any]:
    """What a step sends arrives, and counts once: a signal, a run and a letter."""
    waiting = await taken_up(app, waits, waits(), "waits")
    flow = chain(tells, name="tells")
    name = await (await taken_up(app, flow, flow(7), "tells")).result()
    while "delivered letter-7" not in noted() or await app.store.find_run(name) is None:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    begun = await taken_up(app, child, child(7), name)
    delivered = {line for line in noted() if line.startswith("delivered")}
    return [
        await waiting.result(),
        await begun.result(),
        sorted(delivered),
        *await events_of(app, "waits", SignalReceived),
        *await events_of(app, "tells", MessageQueued),
    ]


@workflow
async def offspring(ctx: Context, value: int) -> int:
    return await add(await add(value))


@workflow
async def parent(ctx: Context, value: int) -> list[int]:
    first = await ctx.start(offspring(value))
    second = await ctx.start(offspring(10 * value), id="chosen", on_close="cancel")
    await ctx.start(offspring(100 * value))
    return [await second.result(), await first.result()]


async def family(app: App) -> list[Any]:
    """Children are started once, whatever happens; those that a killed process left are taken up."""
    await app.resume_all()
    result = await app.run(parent(1), id="family")
    events = [item.event for item in await app.engine.history("family")]
    children = [event.target for event in events if isinstance(event, Dispatched)]
    while any([await app.store.find_run(child) is None for child in children]):  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    results = [await (await app.handle(child, offspring)).result() for child in children]
    page = await app.runs(workflow="offspring")
    return [*result, *results, len(page.runs)]


async def numbers(count: int, position: int | None) -> AsyncIterator[At[int, int]]:
    for number in range(position or 0, count):
        yield At(number, number + 1)


async def leaks(batch: list[int]) -> None:
    if batch[0] == 2:
        raise ValueError("never")


async def holds(batch: list[int]) -> None:
    await done()


def carrying(version: str, sink: Any) -> Any:
    pump = stream(numbers, name="pump").batch(2).into(sink)

    @workflow(name="carried", version=version)
    async def carried(ctx: Context, value: int) -> list[int]:
        begun = await ctx.start(offspring(value))
        pumped = await pump(value)
        return [pumped.batches, pumped.taken, await begun.result()]

    return carried


async def carried(app: App) -> list[Any]:
    """A run with a child, a stream in its middle and limits is migrated: none of it is lost, or there twice."""
    old, new = carrying("1", leaks), carrying("2", holds)
    if await app.store.find_run("carried") is None:
        await (await app.start(old(5), id="carried", limits=Limits(steps=1))).outcome()
    head = await app.store.find_run("carried")
    assert head is not None
    if head.version == "1" and head.status != "failed":
        await (await app.resume("carried", old)).outcome()
    if head.version == "1":
        await app.migrate("carried", new)
    handle = await app.resume("carried", new)
    result = await handle.result()
    line = [item.event for item in lineage(list(await app.engine.history("carried")))]
    page = await app.runs(workflow="offspring")
    return [*result, used_in(line)[1]["steps"], len(page.runs), *await events_of(app, "carried", Migrated)]


# --- what nobody knows


@step(effect="irreversible")
async def pay(amount: int) -> int:
    if "paid" not in noted():
        note("paid")
        if job.get("dies in the step"):
            die()
    else:
        note("paid twice")
    return amount + 1


async def reconciled(app: App) -> list[Any]:
    """An irreversible step: whoever finds it parked looks whether it was done, and says so."""
    flow = chain(add, name="buy").then(pay).then(double)
    handle = await taken_up(app, flow, flow(1), "buy")
    while not (view := await handle.status()).ended:
        if view.parked:
            happened: dict[str, Any] = {"completed": 3} if "paid" in noted() else {"retry": True}
            await handle.reconcile("pay", by="eva", **happened)
        await asyncio.sleep(0.001)
    once = [line for line in noted() if line.startswith("paid")]
    return [await handle.result(), once, *await events_of(app, "buy", CompensationStarted)]


# --- state that is merged


@reducer
def longest(before: str, word: str) -> str:
    return max(before, word, key=len)


@dataclass
class Board:
    total: Annotated[int, plus] = 0
    word: Annotated[str, longest] = ""


@step
async def write(value: int) -> int:
    to = current().to(Board)
    plus(to.total, value)
    longest(to.word, "x" * value)
    await done()
    return value


def drawn() -> Any:
    """A graph with a state to which nodes side by side write, a condition, and people who do not answer in time."""
    g = Graph("drawn", input=int, state=Board)
    first, second = g.add(write(g.input)), g.add(write(g.add(double(g.input)).out))
    more = g.add(add(first.out), when=first.out > 0)
    less = g.add(double(second.out), unless=first.out > 0)
    expired = g.add(approval("enough?", timeout=0.001, expiry="approve")(g.first(more, less).out))
    return g.returns(g.add(write(second.out), when=expired.out.granted).out)


async def merged(app: App) -> list[Any]:
    """Branches write to a state, which is merged where they join: by reducers, one of them asked."""
    graph = drawn()
    across = await taken_up(app, graph, graph(1), "drawn")
    found = [await across.result(), await across.state(Board), *await events_of(app, "drawn", ApprovalDecided)]
    branches = parallel(write, chain(add).then(write), chain(double).then(add).then(write))
    flow = chain(branches, name="merged").with_state(Board)
    handle = await taken_up(app, flow, flow(1), "merged")
    result = await handle.result()
    board = await handle.state(Board)
    joined = await events_of(app, "merged", StateMerged)
    return [list(result), board.total, board.word, *joined, found[0], found[1].total, found[1].word, *found[2:]]


# --- sessions and retention


async def suspended(app: App) -> list[Any]:
    """A session is suspended with its run and resumed; what the run writes to it counts once."""
    if await app.sessions.find("s") is None:
        await app.sessions.create("s")
    flow = chain(count, name="counts").then(count.with_(name="again")).then(count.with_(name="last"))
    if await app.store.find_run("counts") is None:
        await app.start(flow(0), id="counts", session="s")
        await app.sessions.suspend("s")
    if (await app.sessions.get("s")).status == "suspended":
        await app.sessions.resume("s")
    handle = await app.handle("counts", flow)
    if not (await handle.status()).ended and not await app.engine.is_driven("counts"):
        await app.resume("counts", flow)
    return [await handle.result(), (await app.sessions.values("s"))["count"]]


@step
async def count(value: int) -> int:
    current().session.add("count", 1)
    await done()
    return value + 1


@step
async def large(value: int) -> str:
    await done()
    return f"{value} " * 5000


async def pruned(app: App) -> list[Any]:
    """Finished runs are archived and removed; what another run still names stays, and an archive comes back."""
    flow = chain(large, name="large")
    folder = Path(job["store"] + ".archive")
    gone = {stone.id async for stone in tombstones(app.store)}
    for run in ("old", "older", "kept"):
        if run not in gone:
            await (await taken_up(app, flow, flow(1), run, tags=[] if run == "kept" else ["gone"])).result()
    if "old" not in gone or "older" not in gone:
        await app.select(tag="gone").prune(archive=folder, by="eva")
    for _ in range(2):
        await app.sweep(grace=0)
    head = await app.store.find_run("old")
    if head is None or head.status == "created":
        await app.restore(archive_path(folder, "old"))
    assert await app.store.find_run("older") is None
    stones = sorted([stone.id async for stone in tombstones(app.store)])
    lengths = [len(await (await app.handle(run, flow)).result()) for run in ("old", "kept")]
    return [lengths, stones, len(os.listdir(folder))]


# --- rows of one's own


@step
async def enter(value: int) -> int:
    t = current().transaction()
    t.execute("INSERT INTO entries VALUES (?)", (value,))
    t.execute("UPDATE sums SET total = total + ?", (value,))
    return value + 1


async def entered(app: App) -> list[Any]:
    """Rows are written with the completions of their steps, side by side and one after the other."""
    with sqlite3.connect(job["store"]) as tables:
        if not tables.execute("SELECT 1 FROM sqlite_master WHERE name = 'sums'").fetchone():
            tables.execute("CREATE TABLE entries (value)")
            tables.execute("CREATE TABLE sums AS SELECT 0 AS total")
    flow = chain(map_each(enter, name="several")).then(map_each(enter))
    result = await app.run(flow([1, 2, 3]), id="entered")
    written = sum(isinstance(item.event, RowsWritten) for item in await app.engine.history("entered"))
    (count,) = tables.execute("SELECT count(*) FROM entries").fetchone()
    (total,) = tables.execute("SELECT total FROM sums").fetchone()
    tables.close()
    return [result, written, count, total]


# --- hooks that are asked about requests, and about what a step did


GO = Signal("go", int)


@after("enter")
async def once_more(asked: AfterStep) -> Again | None:
    await asyncio.sleep(0)
    return Again() if asked.attempt == 1 else None


@intercept("signal")
async def one_more(asked: SignalArriving) -> Replace:
    await asyncio.sleep(0)
    return Replace(asked.value + 1)


@intercept("cancel")
async def never(asked: CancelAsking) -> Veto:
    await asyncio.sleep(0)
    return Veto("not this one")


@workflow
async def guarded(ctx: Context, value: int) -> int:
    return await enter(value) + await ctx.wait_for(GO)


async def asked_to_cancel(app: App) -> int:
    journal = [item.event for item in await app.engine.history("guarded")]
    return sum(isinstance(event, Requested) and event.point == "cancel" for event in journal)


async def asked_about(app: App) -> list[Any]:
    """Hooks that are awaited say what becomes of requests and of a result whose rows are withheld meanwhile."""
    with sqlite3.connect(job["store"]) as tables:
        if not tables.execute("SELECT 1 FROM sqlite_master WHERE name = 'sums'").fetchone():
            tables.execute("CREATE TABLE entries (value)")
            tables.execute("CREATE TABLE sums AS SELECT 0 AS total")
    handle = await taken_up(app, guarded, guarded(1), "guarded")
    head = await app.store.find_run("guarded")
    if head is not None and head.status not in TERMINAL:
        if not await asked_to_cancel(app):
            with suppress(RipresaError):
                await handle.cancel("now")
        await handle.send(GO, 5, id="once")
    result = await handle.result()
    counts = [*await events_of(app, "guarded", EffectsLet, SignalReceived), await asked_to_cancel(app)]
    rows = tables.execute("SELECT count(*), sum(value), total FROM entries, sums").fetchone()
    tables.close()
    return [result, *rows, *counts]


def guards() -> dict[str, Any]:
    return {"hooks": [once_more, one_more, never]}


def moves() -> dict[str, Any]:
    return {"migrations": [Migration("moved", "1", "2")]}


def shifts() -> dict[str, Any]:
    return {"migrations": [Migration("shifted", "1", "2", to_total)]}


def carries() -> dict[str, Any]:
    return {"migrations": [Migration("carried", "1", "2")], "workflows": [offspring]}


def raises() -> dict[str, Any]:
    return {"workflows": [offspring, parent]}


def delivers() -> dict[str, Any]:
    return {"workflows": [waits, child], "senders": {"letter": deliver}}


EPISODES = {
    "travel": Episode(travel, moves),
    "stateful travel": Episode(stateful_travel, shifts),
    "undone": Episode(undone),
    "family": Episode(family, raises),
    "carried": Episode(carried, carries),
    "updated": Episode(updated),
    "served": Episode(served),
    "sent": Episode(sent, delivers),
    "reconciled": Episode(reconciled),
    "merged": Episode(merged),
    "suspended": Episode(suspended),
    "pruned": Episode(pruned),
    "entered": Episode(entered),
    "asked": Episode(asked_about, guards),
}
"""By name; what each gives stands in `test_episodes.py`."""
