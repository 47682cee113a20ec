"""Queries: what durable functions expose, answered from the journal, of runs that are driven, asleep or over."""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from ripresa import (
    App,
    Context,
    InvalidConfig,
    InvalidValue,
    Query,
    QueryWith,
    RunFailed,
    RunNotFound,
    Signal,
    chain,
    step,
    workflow,
)
from ripresa.errors import RipresaError
from ripresa.stores.memory import Memory
from ripresa.stores.sqlite import SQLiteStore

from .stage import in_memory, turns


@dataclass
class Progress:
    done: list[str]
    left: int


@dataclass
class Report:
    title: str = ""


PROGRESS = Query("progress", Progress)
WORD = Signal("word", str)
LAST = Query("last", str)
STATE = Query("state", Report)


@step
async def shout(word: str) -> str:
    return word.upper()


@workflow
async def inner(ctx: Context, word: str) -> str:
    ctx.expose(LAST, lambda: word)
    return await shout(word)


@workflow
async def collect(ctx: Context, count: int) -> list[str]:
    done: list[str] = []
    ctx.expose(PROGRESS, lambda: Progress(done, count - len(done)))
    while len(done) < count:
        done.append(await inner(await ctx.wait_for(WORD)))
    return done


async def said(handle: Any, *words: str) -> None:
    """Send words, and wait until they are dealt with."""
    before = (await handle.status()).completed
    for word in words:
        await handle.send(WORD, word)
    while (await handle.status()).completed < before + len(words):
        await turns(1)


async def test_a_run_that_is_driven_says_how_far_it_is_and_goes_on_as_if_it_had_not_been_asked() -> None:
    async with in_memory(Memory()) as app:
        handle = await app.start(collect(2), id="r")
        assert await handle.query(PROGRESS) == Progress([], 2)
        await said(handle, "a")
        before = await app.engine.history("r")
        assert await handle.query(PROGRESS) == Progress(["A"], 1)
        assert await handle.query(LAST) == "a"
        assert await handle.queries() == ["progress", "last"]
        assert await app.engine.history("r") == before
        await said(handle, "b")
        assert await handle.result() == ["A", "B"]
        assert await handle.query(PROGRESS) == Progress(["A", "B"], 0)  # also when it is over


async def test_another_process_and_one_without_the_run_in_memory_are_answered_too(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    async with App(SQLiteStore(path, "normal"), linger=0.0) as app, App(SQLiteStore(path, "normal")) as other:
        handle = await app.start(collect(2), id="r")
        await said(handle, "a")
        elsewhere = await other.handle("r", collect)
        assert await elsewhere.query(PROGRESS) == Progress(["A"], 1)
        while "r" in app.engine.drivers:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        assert await elsewhere.query(PROGRESS) == await handle.query(PROGRESS) == Progress(["A"], 1)
        head = await app.store.find_run("r")
        assert head is not None
        assert head.status == "waiting"


async def test_what_is_not_exposed_is_a_coded_error_that_names_what_is() -> None:
    async with in_memory(Memory()) as app:
        handle = await app.start(collect(1), id="r")
        with pytest.raises(RipresaError, match="answers: progress\\)") as caught:
            await handle.query(LAST)
        assert caught.value.code == "unknown_query"
        with pytest.raises(InvalidValue):
            await handle.query(Query("progress", int))
        with pytest.raises(RipresaError) as caught:
            await handle.query(STATE)
        assert caught.value.code == "no_state"
        nobody: Any = type(handle)(app.engine, "nobody", int, handle._links)  # pyright: ignore[reportPrivateUsage]
        with pytest.raises(RunNotFound):
            await nobody.query(LAST)
    with pytest.raises(InvalidConfig):
        Query("", int)


@workflow
async def careless(ctx: Context, how: str) -> None:
    def raises() -> int:
        raise ZeroDivisionError("by nothing")

    async def waits() -> int:
        return 1

    answers: dict[str, Any] = {"raises": raises, "awaits": waits, "lies": lambda: object(), "exits": sys.exit}
    ctx.expose(Query("number", int), answers[how])
    await ctx.wait_for(WORD)


async def test_an_answer_that_fails_does_not_touch_the_run() -> None:
    async with in_memory(Memory()) as app:
        for how in ("raises", "lies", "exits"):
            handle = await app.start(careless(how), id=how)
            with pytest.raises(RipresaError, match="query 'number'") as caught:
                await handle.query(Query("number", int))
            assert caught.value.code == "query_failed"
            await handle.send(WORD, "on")
            await handle.result()
        with pytest.raises(RunFailed, match="must be a plain function") as failed:
            await app.run(careless("awaits"))
        assert failed.value.failure.code == "usage"


async def test_chains_say_their_progress_and_state() -> None:
    async with in_memory(Memory()) as app:
        handle = await app.start(chain(shout).then(shout).with_state(Report)("a"), id="r")
        await handle.result()
        found = await handle.query(Query("progress", dict[str, Any]))
        assert found == {"status": "completed", "completed": 2, "total": 2, "percent": 100.0}
        assert await handle.query(STATE) == Report()
        blind = await app.handle("r")
        assert await blind.query(STATE) == Report()  # which needs no code
        with pytest.raises(RipresaError) as caught:
            await blind.query(LAST)
        assert caught.value.code == "unknown_workflow"


# --- about something

PART = QueryWith("part", int, str)
WORDS = QueryWith("words", Report, list[str])


@workflow
async def answers(ctx: Context, words: list[str]) -> list[str]:
    ctx.expose(PART, lambda number: words[number])
    ctx.expose(WORDS, lambda report: [word for word in words if word.startswith(report.title)])
    ctx.expose(LAST, lambda: words[-1])
    return [await shout(await ctx.wait_for(WORD))]


async def test_a_query_is_asked_about_something_wherever_the_run_is() -> None:
    memory = Memory()
    flows: list[Any] = [answers, chain(answers)]
    for code in flows:
        async with in_memory(memory) as app, in_memory(memory) as other:
            handle = await app.start(code(["ebb", "tide"]))
            elsewhere = await other.handle(handle.id, code)
            assert await handle.query(PART, 1) == await elsewhere.query(PART, 1) == "tide"
            assert await elsewhere.query(WORDS, Report("e")) == ["ebb"]
            await handle.send(WORD, "x")
            await handle.result()
            assert await handle.query(PART, 0) == "ebb"


@pytest.mark.parametrize(
    ("query", "answer", "why"),
    [
        ("nth", lambda: 1, "query is 'nth', must be a Query or a QueryWith"),
        (LAST, "ebb", "query 'last' is answered by 'ebb', must be a function"),
        (LAST, str.upper, "query 'last' does not fit: it is given no argument"),
        (QueryWith("part", int, str), lambda: "", "it is given what it is asked about, as its one argument"),
    ],
)
async def test_what_cannot_answer_is_refused_where_it_is_exposed(query: Any, answer: Any, why: str) -> None:
    @workflow
    async def exposing(ctx: Context) -> None:
        ctx.expose(LAST, cast("Any", dict))  # which says nothing of its parameters
        ctx.expose(query, answer)

    async with in_memory(Memory()) as app:
        with pytest.raises(RunFailed, match=f"InvalidConfig: .*{why}"):
            await app.run(exposing())


async def test_what_a_query_is_asked_about_is_checked() -> None:
    async with in_memory(Memory()) as app:
        handle: Any = await app.start(answers(["ebb"]))
        for query, about, why in (
            (PART, ("one",), "valid integer"),
            (QueryWith("part", str, str), ("one",), "valid integer"),
            (Query("part", str), (), "asked about something"),
            (LAST, (1,), "asked about nothing"),
            (QueryWith("last", int, str), (1,), "asked about nothing"),
        ):
            with pytest.raises(InvalidValue, match=why):
                await handle.query(query, *about)
        with pytest.raises(RipresaError, match="IndexError") as caught:
            await handle.query(PART, 7)
        assert caught.value.code == "query_failed"
        with pytest.raises(InvalidValue, match=r"'progress' is asked about nothing \(ask it without an argument"):
            await handle.query(QueryWith("progress", int, Progress), 1)
        with pytest.raises(InvalidConfig):
            QueryWith("", int, str)
        await handle.cancel()
