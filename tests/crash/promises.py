"""More episodes: people who decide, races and copies, limits that wait, hooks at forks and rollbacks, undone calls."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ripresa import (
    App,
    Context,
    ForkStarting,
    Handle,
    JoinEnding,
    Limits,
    Narrow,
    Redirect,
    Replace,
    RipresaError,
    RollbackStarting,
    Veto,
    approved,
    chain,
    current,
    fallback,
    first_of,
    first_success,
    fold,
    intercept,
    map_each,
    n_of,
    parallel,
    saga,
    speculate,
    step,
    workflow,
)
from ripresa.core.events import (
    ApprovalDecided,
    CallReturned,
    FanOutEnded,
    Intercepted,
    LimitsSet,
    RequestRefused,
    RolledBack,
    StepUndone,
    VoteCast,
)
from ripresa.core.limits import Policy
from tests.crash.episodes import Episode, add, double, events_of, taken_up
from tests.crash.notes import done, note, noted


async def seen_to_its_end(handle: Handle[Any], meanwhile: Callable[[Handle[Any]], Awaitable[None]]) -> Any:
    """The result of a run about which somebody does something until it has ended."""
    while not (await handle.status()).ended:
        await meanwhile(handle)
        await asyncio.sleep(0.001)
    return await handle.result()


# --- people


@dataclass
class Sum:
    amount: int


asking = chain(add, name="asking").then(
    approved("Send it?", double, add, assignees=["ann", "bob", "cid"], quorum=2, name="first")
)


@workflow
async def asking_twice(ctx: Context, value: int) -> int:
    first = await ctx.approval("How much?", value, form=Sum, name="sum")
    second = await ctx.approval("Really?", first.form.amount, name="really", assignees=["ann", "bob"], quorum=2)
    return await (double if second.granted else add)(first.form.amount)


async def vote(handle: Handle[Any], *who: str) -> None:
    """Each of these answers what is asked, once, in whatever state the run is."""
    for asked in await handle.approvals():
        form = Sum(20) if asked.name == "sum" else None
        for name in who:
            with suppress(RipresaError):  # it was decided meanwhile
                await handle.approve(asked.path, by=name, form=form, id=f"{asked.name}/{name}")


async def all_vote(handle: Handle[Any]) -> None:
    await vote(handle, "ann", "bob")


async def decided(app: App) -> list[Any]:
    """Approvals that are open when the process dies, that are answered while nobody drives the run, and in between."""
    found: list[Any] = []
    for run, flow in (("asking", asking), ("twice", asking_twice)):
        if await app.store.find_run(run) is not None:
            await vote(await app.handle(run), "ann")  # of code that is not known here: nobody takes it up for that
        handle = await taken_up(app, flow, flow(1), run)
        found.append(await seen_to_its_end(handle, all_vote))
        found += await events_of(app, run, ApprovalDecided)
    return [*found, *await events_of(app, "asking", VoteCast)]


# --- the first, some of them, copies


@step(retry=1)
async def refuses(value: int) -> int:
    raise ValueError(value)


@step
async def hangs(value: int) -> int:
    await asyncio.Event().wait()
    return value


@step(effect="read")
async def looks(value: int) -> int:
    if "looked" not in noted():
        note("looked")
        await asyncio.Event().wait()
    return value + 100


@workflow
async def rivals(ctx: Context, value: int) -> int:
    async def slow(start: int) -> int:
        return await hangs(await add(start))

    found = await ctx.race(slow(value), double(value))
    return await first_success(refuses, hangs, chain(add).then(double))(found)


async def raced(app: App) -> list[Any]:
    """Who wins stays the winner, whoever is killed; losers end, and a copy that hangs is not waited for."""
    flow = (
        chain(first_success(refuses, hangs, chain(add).then(double)), name="raced")
        .then(n_of(2, hangs, add, refuses, chain(double).then(add)))
        .then(fold(plus, 0))
        .then(first_of(hangs, add))
        .then(speculate(looks, after=0.005))
        .then(rivals)
    )
    handle = await taken_up(app, flow, flow(1), "raced")
    return [await handle.result(), *await events_of(app, "raced", FanOutEnded)]


@step
async def plus(total: int, value: int) -> int:
    await done()
    return total + value


# --- limits


async def limited(app: App) -> list[Any]:
    """Runs that wait at a limit wait on after a crash, and go on with what they are allowed; what was done counts."""
    found: list[Any] = []
    policies: tuple[Policy, ...] = ("pause", "ask")
    for policy in policies:
        flow = chain(map_each(add), name=policy).then(map_each(double)).then(fold(plus, 0))
        limits = Limits(steps=3, on_exceeded=policy)
        handle = await taken_up(app, flow, flow([1, 2]), policy, limits=limits)
        found.append(await seen_to_its_end(handle, allow))
        found += await events_of(app, policy, LimitsSet)
    return found


async def allow(handle: Handle[Any]) -> None:
    if (await handle.status()).status == "paused":
        with suppress(RipresaError):  # it has gone on meanwhile
            await handle.allow(Limits(steps=20), by="eva")


# --- hooks where branches begin and end


@intercept("fork")
async def one_by_one(asked: ForkStarting) -> Narrow:
    await asyncio.sleep(0)
    note("asked about a fork")
    return Narrow(1)


@intercept("join")
async def backwards(asked: JoinEnding) -> Replace | None:
    await asyncio.sleep(0)
    output: Any = asked.output
    return Replace([*reversed(output)]) if isinstance(output, list) else None  # pyright: ignore[reportUnknownArgumentType]


@workflow
async def gathers(ctx: Context, values: list[int]) -> list[int]:
    async def both(value: int) -> int:
        return await double(await add(value))

    first, second = await ctx.gather(both(values[0]), add(values[1]))
    return [first, second, *await ctx.map(both, values)]


async def forked(app: App) -> list[Any]:
    """Hooks at forks and joins of chains and functions are asked, and what they say holds, once."""
    flow = chain(parallel(map_each(add), map_each(chain(double).then(add))), name="forked").then(whole).then(gathers)
    handle = await taken_up(app, flow, flow([1, 2]), "forked")
    return [await handle.result(), *await events_of(app, "forked", FanOutEnded, Intercepted)]


@step
async def whole(parts: tuple[list[int], list[int]]) -> list[int]:
    await done()
    return [each for part in parts for each in part]


def narrows() -> dict[str, Any]:
    return {"hooks": [one_by_one, backwards]}


# --- journaled calls that are undone


@step
async def book(what: str) -> str:
    note(f"book {what}")
    return f"{what}!"


@book.undo
async def unbook(booked: str, what: str) -> None:
    note(f"unbook {booked} {what}")


@step
async def travels(value: int) -> str:
    flight = await current().call(book, f"flight {value}")
    hotel = await current().call(book, f"hotel {value}")
    await done()
    return f"{flight} {hotel}"


@step
async def cannot(text: str) -> int:
    raise ValueError(text)


@workflow
async def journeys(ctx: Context, value: int) -> int:
    try:
        async with ctx.saga():
            await cannot(await travels(value))
    except ValueError:
        return await add(value)
    return 0


async def called(app: App) -> list[Any]:
    """What steps did by journaled calls is undone, last first, in chains and functions, and not what never happened."""
    flow = chain(fallback(saga(chain(travels).then(cannot)), always), name="called").then(journeys)
    handle = await taken_up(app, flow, flow(1), "called")
    result = await handle.result()
    unbooked = [line for line in dict.fromkeys(noted()) if line.startswith("unbook")]
    booked = {line for line in noted() if line.startswith("book")}
    return [result, unbooked, sorted(booked), *await events_of(app, "called", StepUndone, CallReturned)]


@step
async def always(value: int) -> int:
    await done()
    return value + 1


# --- rollbacks that hooks are asked about


@intercept("rollback")
async def guide(asked: RollbackStarting) -> Redirect | Veto | None:
    await asyncio.sleep(0)
    if asked.place == "plain":
        return Veto("never there")
    return Redirect("add") if asked.place == "double" else None


@step
async def plain(value: int) -> int:
    await done()
    return value


async def guided(app: App) -> list[Any]:
    """A rollback that is sent elsewhere and one that is refused: each once, and the run goes on."""
    flow = chain(add, name="guided").then(plain).then(double).then(add.with_(name="last"))
    handle = await taken_up(app, flow, flow(1), "guided")
    await handle.result()
    if await events_of(app, "guided", RolledBack) == [0]:
        await handle.rollback("double")
    if await events_of(app, "guided", RequestRefused) == [0]:
        with suppress(RipresaError):  # that says that it is vetoed
            await handle.rollback("plain")
    result = await (await taken_up(app, flow, flow(1), "guided")).result()
    return [result, *await events_of(app, "guided", RolledBack, RequestRefused)]


def guides() -> dict[str, Any]:
    return {"hooks": [guide]}


PROMISES = {
    "decided": Episode(decided),
    "raced": Episode(raced),
    "limited": Episode(limited),
    "forked": Episode(forked, narrows),
    "called": Episode(called),
    "guided": Episode(guided, guides),
}
"""By name; what each gives stands in `test_episodes.py`."""
