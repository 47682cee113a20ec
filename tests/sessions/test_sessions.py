"""Sessions through the app: their life, what they hold, the runs that share them. On both stores."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from ripresa import (
    App,
    Context,
    Handle,
    InvalidConfig,
    InvalidValue,
    Limits,
    RipresaError,
    RunFailed,
    SessionData,
    SessionError,
    branch,
    chain,
    current,
    fold,
    map_each,
    parallel,
    repeat,
    step,
    workflow,
)
from ripresa.core import events as e
from ripresa.core.view import view_of
from ripresa.errors import RunError
from ripresa.ports import Store
from ripresa.stores.memory import Memory, MemoryStore
from ripresa.stores.sqlite import SQLiteStore
from tests.runtime.stage import Failing, Tally, journal_of, kinds


@pytest.fixture(params=["memory", "sqlite"])
async def app(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[App]:
    store: Store = MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "runs.db", "normal")
    async with App(store, patience=0.05) as app:
        yield app


@step
def count(word: str) -> int:
    session = current().session
    session.add("count", 1)
    session.append("words", word)
    session.merge("by", **{word: session.get("count", int, 0)})
    session.set("last", word)
    return session.get("count", int, 0)


@step
async def fail(word: str) -> str:
    current().session.set("last", "never")
    raise ValueError(word)


@step
async def echo(word: str) -> str:
    return word


async def becomes(handle: Handle[Any], status: str = "", *, completed: int = 0) -> None:
    """Wait until the run has a status, or so many completed steps."""
    async with aclosing(handle.events()) as events:
        async for _ in events:
            view = await handle.status()
            if status in ("", view.status) and view.completed >= completed:
                return


# --- their life


async def test_a_session_lives_from_its_creation_to_the_archive(app: App) -> None:
    session = await app.sessions.create("s", owner="ada", limits=Limits(steps=9))
    assert (session.id, session.owner, session.status, session.limits) == ("s", "ada", "active", Limits(steps=9))
    assert session.created_at == session.updated_at
    assert (await app.sessions.suspend("s")).status == "suspended"
    assert (await app.sessions.resume("s")).status == "active"
    assert (await app.sessions.complete("s")).status == "completed"
    archived = await app.sessions.archive("s")
    assert archived == await app.sessions.get("s") == await app.sessions.find("s")
    assert archived.status == "archived"


async def test_what_the_table_does_not_allow_is_refused(app: App) -> None:
    await app.sessions.create("s")
    with pytest.raises(SessionError, match="is active and cannot become archived") as caught:
        await app.sessions.archive("s")
    assert (caught.value.code, caught.value.session) == ("illegal_transition", "s")
    assert (await app.sessions.get("s")).status == "active"


async def test_an_unknown_session_is_not_found(app: App) -> None:
    assert await app.sessions.find("s") is None
    calls = [
        app.sessions.get("s"),
        app.sessions.suspend("s"),
        app.sessions.values("s"),
        app.sessions.set("s", "a", 1),
        app.sessions.runs("s"),
        app.sessions.errors("s"),
        app.start(count("a"), session="s"),
    ]
    for call in calls:
        with pytest.raises(SessionError) as caught:
            await call
        assert caught.value.code == "session_not_found"


async def test_creation_is_idempotent_by_id(app: App) -> None:
    first = await app.sessions.create("s", owner="ada")
    assert await app.sessions.create("s", owner="ada") == first
    with pytest.raises(SessionError) as caught:
        await app.sessions.create("s", owner="bob")
    assert caught.value.code == "session_exists"
    assert len({(await app.sessions.create()).id for _ in range(3)}) == 3


async def test_bad_fields_are_named_together(app: App) -> None:
    with pytest.raises(InvalidConfig, match=r"id is ' '.*owner is 'a\\n'"):
        await app.sessions.create(" ", owner="a\n")


async def test_sessions_are_listed_by_owner_and_status(app: App) -> None:
    for number in range(4):
        await app.sessions.create(f"s{number}", owner="ab"[number % 2])
    await app.sessions.suspend("s0")
    assert {session.id for session in await app.sessions.list(owner="a")} == {"s0", "s2"}
    assert [session.id for session in await app.sessions.list(status="suspended")] == ["s0"]
    seen: list[str] = []
    while page := await app.sessions.list(status=("active", "suspended"), limit=3, after=seen[-1] if seen else ""):
        seen += [session.id for session in page]
    assert sorted(seen) == ["s0", "s1", "s2", "s3"]


# --- what they hold


async def test_what_one_run_leaves_the_next_finds(app: App) -> None:
    await app.sessions.create("s")
    flow = chain(count)
    assert [await app.run(flow(word), session="s") for word in ("a", "b")] == [1, 2]
    expected = {"by": {"a": 1, "b": 2}, "count": 2, "last": "b", "words": ["a", "b"]}
    assert await app.sessions.values("s") == expected
    assert await app.sessions.value("s", "count", int) == 2
    assert await app.sessions.value("s", "nothing", int) is None
    assert {head.session for head in (await app.sessions.runs("s")).runs} == {"s"}
    assert len((await app.runs(session="s")).runs) == 2


@dataclass
class Note:
    text: str
    weight: int = 1


async def test_values_are_typed(app: App) -> None:
    @step
    def keep(text: str) -> Note | None:
        session = current().session
        assert session.get("note", Note) is None
        session.set("note", Note(text))
        assert session.names() == ["note"]
        assert session.id == "s"
        return session.get("note", Note)

    await app.sessions.create("s")
    assert await app.run(keep("x"), session="s") == Note("x")
    assert await app.sessions.value("s", "note", Note) == Note("x")
    await app.sessions.set("s", "note", Note("y", 2))
    assert await app.sessions.value("s", "note") == {"text": "y", "weight": 2}
    await app.sessions.delete("s", "note")
    assert await app.sessions.values("s") == {}


async def test_an_attempt_that_fails_leaves_nothing_behind(app: App) -> None:
    @step(retry=3)
    async def third_time(word: str) -> str:
        session = current().session
        session.add("tries", 1)
        session.delete("old")
        assert session.get("tries") == 1
        assert session.names() == ["tries"]
        if current().attempt < 3:
            raise ValueError
        return word

    await app.sessions.create("s")
    await app.sessions.set("s", "old", True)
    await app.run(third_time("x"), session="s")
    assert await app.sessions.values("s") == {"tries": 1}
    with pytest.raises(RunFailed):
        await app.run(fail("x"), session="s")
    assert await app.sessions.values("s") == {"tries": 1}


async def test_the_writes_stand_in_the_journal_before_the_completion(app: App) -> None:
    await app.sessions.create("s")
    handle = await app.start(chain(count)("a"), session="s")
    await handle.result()
    events = await journal_of(handle)
    assert kinds(events) == ["RunStarted", "StepScheduled", *["SessionWritten"] * 4, "StepCompleted", "RunCompleted"]
    assert isinstance(events[0], e.RunStarted)
    assert events[0].session == "s"
    assert [event.op for event in events if isinstance(event, e.SessionWritten)] == ["add", "append", "merge", "set"]
    assert (await handle.status()).session == "s"


async def test_branches_and_loops_share_the_session(app: App) -> None:
    @step
    async def visit(n: int) -> int:
        await asyncio.sleep(0)
        current().session.add("visits", n)
        return n

    @step
    def total(before: int, n: int) -> int:
        current().session.append("totals", before + n)
        return before + n

    await app.sessions.create("s")
    flow = chain(map_each(visit)).then(fold(total, 0)).then(parallel(visit, visit, visit))
    assert await app.run(flow([1, 2, 3]), session="s") == (6, 6, 6)
    assert await app.sessions.values("s") == {"totals": [1, 3, 6], "visits": 24}


def visited(session: SessionData) -> tuple[str, int, list[str]]:
    """What helpers of steps and conditions are given to look at."""
    return session.id, session.get("count", int, 0), session.names()


async def test_what_a_step_hands_on_of_its_session_is_its_data(app: App) -> None:
    seen: list[tuple[str, int, list[str]]] = []

    @step
    def look(word: str) -> str:
        seen.append(visited(current().session))
        current().session.add("count", 1)
        seen.append(visited(current().session))
        return word

    def often(word: str) -> bool:
        seen.append(visited(current().session))
        return False

    await app.sessions.create("s")
    await app.run(chain(look).then(branch(often, echo, echo))("a"), session="s")
    assert seen == [("s", 0, []), ("s", 1, ["count"]), ("s", 1, ["count"])]


async def test_conditions_read_the_session_as_it_is_when_they_are_asked(app: App) -> None:
    @step
    def more(n: int) -> int:
        current().session.add("n", 1)
        return n + 1

    def enough(n: int) -> bool:
        assert current().run
        return current().session.get("n", int, 0) >= 3

    loop = repeat(more, until=enough, at_most=9)
    flow = chain(loop).then(branch(lambda n: current().session.get("n") == 3, echo_number, more))
    await app.sessions.create("s")
    assert await app.run(flow(0), session="s") == 3
    assert await app.run(flow(0), session="s") == 2


@step
def echo_number(n: int) -> int:
    return n


async def test_a_condition_cannot_change_the_session_nor_call(app: App) -> None:
    async def nothing() -> None: ...

    def meddles(n: int) -> bool:
        here = current()
        here.progress(1)
        assert (here.deadline, here.cancelled, here.attempt, here.workflow) == (None, False, 1, "branch")
        with pytest.raises(RipresaError, match="a condition cannot call"):
            here.call(nothing).send(None)
        with pytest.raises(RipresaError, match="a condition cannot change the session") as caught:
            here.session.set("n", 1)
        return caught.value.code == "invalid_state"

    await app.sessions.create("s")
    assert await app.run(branch(meddles, echo_number, echo_number)(1), session="s") == 1


async def test_a_durable_function_uses_it_in_its_steps(app: App) -> None:
    @workflow
    async def talk(ctx: Context, words: list[str]) -> int:
        counts = await ctx.map(count, words, concurrency=1)
        return counts[-1]

    await app.sessions.create("s")
    assert await app.run(talk(["a", "b"]), session="s") == 2
    assert await app.sessions.value("s", "words") == ["a", "b"]


async def test_runs_side_by_side_lose_no_change(app: App) -> None:
    await app.sessions.create("s")
    await asyncio.gather(*(app.run(chain(count)(f"w{number}"), session="s") for number in range(20)))
    values = await app.sessions.values("s")
    assert values["count"] == 20
    assert len(values["words"]) == len(values["by"]) == 20


async def test_without_a_session_a_step_is_told_so(app: App) -> None:
    with pytest.raises(RipresaError, match="there is no session") as caught:
        _ = current().session
    assert caught.value.code == "not_available"
    with pytest.raises(RunFailed, match="belongs to no session"):
        await app.run(count("a"))


async def test_bad_changes_fail_the_step(app: App) -> None:
    @step
    def wrong(op: str) -> None:
        session: Any = current().session
        calls: dict[str, Any] = {
            "name": lambda: session.set("a\nb", 1),
            "add": lambda: session.add("n", "1"),
            "kind": lambda: session.append("word", 1),
            "large": lambda: session.set("n", "x" * 70_000),
            "what": lambda: session.set("n", object()),
        }
        calls[op]()

    await app.sessions.create("s")
    await app.sessions.set("s", "word", "one")
    for op in ("name", "add", "kind", "large", "what"):
        with pytest.raises(RunFailed) as caught:
            await app.run(wrong(op), session="s")
        assert caught.value.failure.types[0] == "ripresa.errors.InvalidValue"
    with pytest.raises(InvalidValue):
        await app.sessions.set("s", "n", "x" * 70_000)


async def test_from_outside_only_an_active_session_changes(app: App) -> None:
    await app.sessions.create("s")
    await app.sessions.complete("s")
    with pytest.raises(SessionError, match="use another session") as caught:
        await app.sessions.set("s", "n", 1)
    assert caught.value.code == "invalid_state"


# --- suspend and resume


@pytest.mark.parametrize("back", [True, False])
async def test_a_pause_that_was_taken_back_while_nobody_drove_the_run_does_not_hold_it(back: bool) -> None:
    memory, tally = Memory(), Tally()

    @step
    async def slow(n: int) -> int:
        await tally.visit()
        return n + 1

    flow = chain(slow).then(slow)
    async with App(MemoryStore(memory), patience=0.05) as app:
        await app.sessions.create("s")
        await app.start(flow(0), id="r", session="s")
        await tally.reach(1)
    tally.open()
    async with App(MemoryStore(memory)) as app:
        await app.sessions.suspend("s")
        head = app.store.find_session("s")
        assert head is not None
        if back:  # by a process that died before it could say so to the run
            await app.store.set_session(replace(head, status="active"), "suspended")
        handle = await app.resume("r", flow)
        if not back:
            await becomes(handle, "paused")
            await app.sessions.resume("s")
        assert await handle.result() == 2


async def test_a_session_that_is_resumed_before_its_runs_have_paused_leaves_none_behind(app: App) -> None:
    tally = Tally()

    @step
    async def slow(n: int) -> int:
        await tally.visit()
        return n + 1

    await app.sessions.create("s")
    handles = [await app.start(chain(slow).then(slow)(n), session="s") for n in range(3)]
    await tally.reach(3)
    for _ in range(3):
        await app.sessions.suspend("s")
        await app.sessions.resume("s")
    tally.open()
    assert [await handle.result() for handle in handles] == [2, 3, 4]


async def test_a_suspended_session_starts_nothing_new_and_goes_on_when_resumed(app: App) -> None:
    tally = Tally()

    @step
    async def slow(n: int) -> int:
        await tally.visit()
        return n + 1

    await app.sessions.create("s")
    handle = await app.start(chain(slow).then(slow)(0), session="s")
    mine = await app.start(chain(slow).then(slow)(0), session="s")
    await tally.reach(2)
    await mine.pause("I said so")
    await app.sessions.suspend("s")
    await becomes(handle, "paused")
    tally.open()
    await becomes(handle, completed=1)
    with pytest.raises(SessionError, match="resume the session first"):
        await handle.resume()
    with pytest.raises(SessionError, match="is suspended"):
        await app.start(slow(0), session="s")
    assert tally.entered == 2
    await app.sessions.resume("s")
    assert await handle.result() == 2
    assert (await mine.status()).status == "paused"
    await mine.resume()
    assert await mine.result() == 2


async def test_a_session_with_unfinished_runs_cannot_be_completed(app: App) -> None:
    tally = Tally()

    @step
    async def slow(n: int) -> int:
        await tally.visit()
        return n

    await app.sessions.create("s")
    handle = await app.start(slow(0), id="r", session="s")
    with pytest.raises(SessionError, match="cannot be completed: r not ended") as caught:
        await app.sessions.complete("s")
    assert caught.value.code == "invalid_state"
    tally.open()
    await handle.result()
    await app.sessions.complete("s")


async def test_of_two_that_change_it_at_once_the_second_sees_the_first(app: App) -> None:
    await app.sessions.create("s")
    results = await asyncio.gather(app.sessions.complete("s"), app.sessions.suspend("s"), return_exceptions=True)
    assert [type(result).__name__ for result in results].count("SessionError") == 1


async def test_a_process_that_dies_as_it_resumes_a_session_leaves_none_of_its_runs_paused() -> None:
    memory, tally = Memory(), Tally()

    @step
    async def slow(n: int) -> int:
        await tally.visit()
        return n + 1

    flow = chain(slow).then(slow)
    async with App(MemoryStore(memory), patience=0.05) as app:
        await app.sessions.create("s")
        handle = await app.start(flow(0), id="r", session="s")
        mine = await app.start(flow(0), id="mine", session="s")
        await tally.reach(2)
        await mine.pause("I said so")
        await app.sessions.suspend("s")
        await becomes(handle, "paused")
    tally.open()
    async with App(MemoryStore(memory)) as app:
        await app.sessions.resume("s")  # and nothing after its transaction
    async with App(MemoryStore(memory)) as app:
        assert await (await app.resume("r", flow)).result() == 2
        mine = await app.resume("mine", flow)
        assert (await mine.status()).status == "paused"
        assert {each.run for each in await app.store.pending()} <= {"mine"}


async def test_more_for_a_run_of_a_suspended_session_does_not_let_it_go_on(app: App) -> None:
    await app.sessions.create("s")
    tally = Tally(open=True)

    @step
    async def quick(n: int) -> int:
        await tally.visit()
        return n + 1

    handle = await app.start(chain(quick).then(quick)(0), session="s", limits=Limits(steps=1, on_exceeded="ask"))
    await becomes(handle, "paused")
    await app.sessions.suspend("s")
    await handle.allow(Limits(steps=5))
    assert (await handle.status()).status == "paused"
    await app.sessions.resume("s")
    assert await handle.result() == 2


# --- a run may go on in a later session


async def test_a_failed_run_goes_on_in_a_later_session(app: App) -> None:
    broken = True

    @step
    def sometimes(n: int) -> int:
        current().session.add("n", n)
        if broken:
            raise ValueError("not yet")
        return n

    flow = chain(sometimes)
    for id in ("monday", "tuesday"):
        await app.sessions.create(id)
    with pytest.raises(RunFailed):
        await app.run(flow(2), id="r", session="monday")
    await app.sessions.complete("monday")
    broken = False
    with pytest.raises(SessionError, match="'monday' is completed"):
        await app.resume("r", flow)
    with pytest.raises(SessionError, match="no session 'wednesday'"):
        await app.resume("r", flow, session="wednesday")
    handle = await app.resume("r", flow, session="tuesday")
    assert await handle.result() == 2
    assert await app.sessions.values("tuesday") == {"n": 2}
    assert await app.sessions.values("monday") == {}
    assert (await handle.status()).session == "tuesday"
    assert [head.id for head in (await app.sessions.runs("tuesday")).runs] == ["r"]
    assert (await app.sessions.runs("monday")).runs == ()


async def test_a_run_that_paused_with_its_session_goes_on_in_another(app: App) -> None:
    tally = Tally()

    @step
    async def slow(n: int) -> int:
        await tally.visit()
        return n + 1

    for id in ("monday", "tuesday"):
        await app.sessions.create(id)
    flow = chain(slow).then(slow)
    handle = await app.start(flow(0), id="r", session="monday")
    await tally.reach(1)
    with pytest.raises(RunError, match="is running and cannot go on in another session"):
        await app.resume("r", flow, session="tuesday")
    await app.sessions.suspend("monday")
    await becomes(handle, "paused")
    tally.open()
    await app.resume("r", flow, session="monday")
    await app.resume("r", flow, session="tuesday")
    assert await handle.result() == 2
    assert "SessionEntered" in kinds(await journal_of(handle))
    assert (await app.sessions.get("monday")).status == "suspended"


async def test_a_run_that_was_left_paused_goes_on_in_another() -> None:
    memory, tally = Memory(), Tally()

    @step
    async def slow(n: int) -> int:
        await tally.visit()
        return n

    flow = chain(slow)
    async with App(MemoryStore(memory), patience=0.01) as app:
        for id in ("monday", "tuesday"):
            await app.sessions.create(id)
        handle = await app.start(flow(1), id="r", session="monday")
        await tally.reach(1)
        await app.sessions.suspend("monday")
        await becomes(handle, "paused")
    tally.open()
    async with App(MemoryStore(memory)) as app:
        assert (await (await app.resume("r", flow)).status()).status == "paused"
    async with App(MemoryStore(memory)) as app:
        handle = await app.resume("r", flow, session="tuesday")
        assert await handle.result() == 1


# --- errors


async def test_errors_are_read_from_the_session(app: App) -> None:
    await app.sessions.create("s")
    for number in range(2):
        with pytest.raises(RunFailed):
            await app.run(chain(echo).then(fail)("bad"), id=f"r{number}", session="s")
    await app.run(echo("fine"), session="s")
    errors = await app.sessions.errors("s")
    assert {error.run for error in errors} == {"r0", "r1"}
    assert {(error.workflow, error.step, error.attempt) for error in errors} == {("chain", "fail", 1)}
    assert all(error.failure.message == "bad" for error in errors)
    created = (await app.sessions.get("s")).created_at
    assert all(error.at >= created for error in errors)


async def test_more_runs_than_a_page_are_all_found(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    from ripresa import sessions

    monkeypatch.setattr(sessions, "PAGE", 2)
    await app.sessions.create("s")
    for number in range(5):
        with pytest.raises(RunFailed):
            await app.run(fail("bad"), id=f"r{number}", session="s")
    assert len(await app.sessions.errors("s")) == 5


# --- exactly once


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", [2, 3])
async def test_a_write_is_made_once_or_not_at_all_wherever_an_append_fails(number: int, after: bool) -> None:
    memory = Memory()
    flow = chain(count).then(again)
    async with App(MemoryStore(memory)) as app:
        await app.sessions.create("s")
    async with App(Failing(MemoryStore(memory), number, after=after)) as app:
        handle = await app.start(flow("a"), id="r", session="s")
        with pytest.raises(RipresaError):
            await handle.result()
    async with App(MemoryStore(memory)) as app:
        handle = await app.resume("r", flow)
        assert await handle.result() == 2
        assert (await app.sessions.values("s"))["count"] == 2


@step
def again(n: int) -> int:
    current().session.add("count", 1)
    return n + 1


async def test_a_view_knows_the_session_of_a_run_from_its_events_alone(app: App) -> None:
    await app.sessions.create("s")
    handle = await app.start(echo("a"), session="s")
    await handle.result()
    assert view_of(await app.engine.history(handle.id)).session == "s"
    head = await app.store.find_run(handle.id)
    assert head is not None
    assert head.session == "s"
