"""What steps send: with their completion or not at all, delivered after it, in order, once in effect."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ripresa import App, Context, InvalidConfig, Signal, chain, current, step, stream, wait_for, workflow
from ripresa.core.events import MessageQueued
from ripresa.errors import RunFailed, StoreError
from ripresa.ports import NEVER, Outgoing, Store
from ripresa.runtime import outbox
from ripresa.stores.memory import Memory, MemoryStore
from ripresa.stores.sqlite import SQLiteStore
from ripresa.testing.clock import ManualClock
from tests.runtime.stage import Failing, Wrapped, in_memory, journal_of, turns

WORD = Signal("word", str)


@pytest.fixture(params=["memory", "sqlite"])
async def app(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[App]:
    store: Store = MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "runs.db", "normal")
    async with App(store, patience=0.05) as app:
        yield app


@workflow
async def listener(ctx: Context, count: int) -> list[str]:
    return [await ctx.wait_for(WORD) for _ in range(count)]


@step
async def tell(words: list[str]) -> int:
    for word in words:
        current().send("listener", WORD, word)
    return len(words)


@step
def tell_from_a_thread(word: str) -> str:
    current().send("listener", WORD, word, id="chosen")
    return threading.current_thread().name


def total(so_far: int, number: int) -> int:
    return so_far + number


@step
async def double(number: int) -> int:
    return 2 * number


@step
async def begin(number: int) -> str:
    return current().start(chain(double)(number))


@step(retry=3)
async def flaky(words: list[str]) -> int:
    current().send("listener", WORD, f"attempt {current().attempt}")
    current().start(chain(double)(1), id=f"child {current().attempt}")
    if current().attempt < 2:
        raise OSError("try again")
    return current().attempt


async def empty(app: App, run: str) -> None:
    """Wait until everything that a run sent is delivered or given up."""
    while any(each.due < NEVER for each in await app.store.outgoing_of(run)):  # noqa: ASYNC110
        await asyncio.sleep(0.001)


async def test_what_a_step_sends_arrives_in_order(app: App) -> None:
    handle = await app.start(listener(3), id="listener")
    sender = await app.start(chain(tell)(["a", "b", "c"]))
    assert await handle.result() == ["a", "b", "c"]
    await empty(app, sender.id)
    assert (await sender.status()).sent == 3


async def test_a_sync_step_sends_from_its_thread(app: App) -> None:
    handle = await app.start(listener(1), id="listener")
    assert await app.run(chain(tell_from_a_thread)("hello")) != threading.current_thread().name
    assert await handle.result() == ["hello"]


async def test_a_step_starts_a_run_of_its_own(app: App) -> None:
    handle = await app.start(chain(begin)(4), id="parent")
    child = await handle.result()
    await empty(app, "parent")
    assert child.startswith("parent.")
    assert await (await app.handle(child)).result() == 8


async def test_only_the_attempt_that_completes_sends(app: App) -> None:
    handle = await app.start(listener(1), id="listener")
    assert await app.run(chain(flaky)([]), id="sender") == 2
    assert await handle.result() == ["attempt 2"]
    await empty(app, "sender")
    assert await app.store.find_run("child 1") is None
    assert await app.store.find_run("child 2") is not None


async def test_what_is_sent_is_in_the_journal_before_the_completion() -> None:
    async with in_memory() as app:
        await app.start(listener(2), id="listener")
        handle = await app.start(chain(tell)(["a", "b"]))
        await handle.result()
        events = await journal_of(handle)
        sent = [event for event in events if isinstance(event, MessageQueued)]
        assert [event.kind for event in sent] == ["signal", "signal"]
        assert len({event.id for event in sent}) == 2
        names = [type(event).__name__ for event in events]
        assert names.index("MessageQueued") + 2 == names.index("StepCompleted")


async def test_a_signal_that_is_delivered_twice_counts_once() -> None:
    class Forgetful(Wrapped):
        failures = 3

        async def delivered(self, number: int) -> None:
            if self.failures:
                self.failures -= 1
                raise StoreError("the disk is full", code="store_full")
            await self.inner.delivered(number)

        async def put(self, run: str, kind: str, body: bytes, dedup: str = "") -> bool:
            if self.failures == 1:
                self.failures -= 1
                raise StoreError("the disk is full", code="store_full")
            return await self.inner.put(run, kind, body, dedup)

    clock = ManualClock()
    async with App(Forgetful(MemoryStore()), clock=clock, patience=0.05) as app:
        handle = await app.start(listener(2), id="listener")
        sender = await app.start(chain(tell)(["a", "b"]))
        await sender.result()
        for _ in range(6):
            await turns(20)
            clock.advance(1)
        assert await handle.result() == ["a", "b"]
        await empty(app, sender.id)


@pytest.mark.parametrize("after", [False, True])
async def test_a_completion_that_is_not_recorded_sends_nothing(*, after: bool) -> None:
    """Creation of both runs is two writes; the third is the completion."""
    memory = Memory()
    async with App(Failing(MemoryStore(memory), 3, after=after), patience=0.05) as app:
        await app.start(listener(1), id="listener")
        await turns(3)
        sender = await app.start(chain(tell)(["a"]), id="sender")
        with pytest.raises(StoreError):
            await sender.result()
        assert len(memory.outbox) == after
    async with in_memory(memory) as app:
        await app.resume("listener", listener)
        await app.resume("sender", chain(tell))
        assert await (await app.handle("listener", listener)).result() == ["a"]


async def test_what_the_process_left_is_delivered_by_the_next(tmp_path: Path) -> None:
    """Also a start whose code only its registration tells."""
    memory = Memory()
    child = chain(double).named("child of another process")

    @step
    async def begin_child(number: int) -> str:
        return current().start(child(number), id="child")

    flow = chain(begin_child)
    async with in_memory(memory) as app:
        app.engine.outbox._closed = True
        await app.run(flow(3), id="parent")
        assert len(memory.outbox) == 1
    clock = ManualClock()
    async with in_memory(memory, clock=clock) as app:
        app.engine.begin_polling()
        app.engine.outbox.look()
        await turns(20)
        assert len(memory.outbox) == 1  # the code is nowhere here
    async with in_memory(memory, workflows=[child]) as app:
        await empty(app, "parent")
        assert await (await app.handle("child")).result() == 6


async def test_a_start_is_delivered_again_without_a_second_run() -> None:
    memory = Memory()
    async with in_memory(memory) as app:
        await app.run(chain(begin)(4), id="parent")
        await empty(app, "parent")
        [child] = [run for run in memory.runs if run != "parent"]
        await (await app.handle(child)).result()
        body = next(event for event in await journal_of(await app.handle("parent")) if isinstance(event, MessageQueued))
        assert isinstance(body.body, bytes)
        again = Outgoing("parent", "begin", "start", child, child, body.body, 1, 99)
        memory.outbox[99] = again
        app.engine.outbox.look()
        await empty(app, "parent")
        assert len(memory.runs) == 2


async def test_a_started_run_that_nobody_drives_is_taken_up() -> None:
    """The process died between its beginning and the record of the delivery."""
    memory = Memory()

    @step
    async def begin_waiting() -> str:
        return current().start(listener(1), id="child")

    async with in_memory(memory, linger=None) as app:
        app.engine.outbox._closed = True
        await app.run(begin_waiting(), id="parent")
        await app.start(listener(1), id="child")
    async with in_memory(memory, linger=None, workflows=[listener]) as app:
        app.engine.outbox.look()
        await empty(app, "parent")
        assert "child" in app.engine.drivers


async def test_a_started_run_that_somebody_else_takes_up_first_is_theirs() -> None:
    memory = Memory()
    other = MemoryStore(memory)

    class Late(Wrapped):
        async def claim(self, run: str) -> int | None:
            if run == "child":
                assert await other.claim(run) is not None
            return await self.inner.claim(run)

    @step
    async def begin_waiting() -> str:
        return current().start(listener(1), id="child")

    async with in_memory(memory, linger=None) as app:
        app.engine.outbox._closed = True
        await app.run(begin_waiting(), id="parent")
        await app.start(listener(1), id="child")
    await other.open()
    store: Any = Late(MemoryStore(memory))
    async with App(store, linger=None, workflows=[listener]) as app:
        app.engine.outbox.look()
        await empty(app, "parent")
        assert "child" not in app.engine.drivers
        assert await app.store.owner("child") is not None
    await other.close()


async def test_a_started_run_that_cannot_be_taken_up_is_given_up() -> None:
    """Its code has changed since its process died."""
    memory = Memory()

    @step
    async def begin_waiting() -> str:
        return current().start(chain(double, name="child").then(wait_for(WORD))(1), id="child")

    async with in_memory(memory, linger=None) as app:
        app.engine.outbox._closed = True
        await app.run(begin_waiting(), id="parent")
        await app.start(chain(double, name="child").then(wait_for(WORD))(1), id="child")
    async with in_memory(memory, linger=None, workflows=[chain(double, name="child").then(double)]) as app:
        app.engine.outbox.look()
        await empty(app, "parent")
        [lost] = await app.store.outgoing_of("parent")
        assert (lost.due, lost.error.partition(":")[0]) == (NEVER, "DefinitionChanged")


async def test_what_cannot_arrive_is_given_up_and_holds_nobody_up(app: App) -> None:
    @step
    async def send() -> None:
        current().send("nobody", WORD, "a")
        current().send("listener", WORD, "b")

    handle = await app.start(listener(1), id="listener")
    await app.run(send(), id="sender")
    assert await handle.result() == ["b"]
    await empty(app, "sender")
    [lost] = await app.store.outgoing_of("sender")
    assert (lost.due, lost.tries, lost.error[:12]) == (NEVER, 1, "RunNotFound:")


# --- senders of one's own


async def test_a_sender_is_called_until_it_returns() -> None:
    seen: list[Outgoing] = []

    async def post(parcel: Outgoing) -> None:
        seen.append(parcel)
        if len(seen) < 3:
            raise OSError("nobody answers")

    @step
    async def notify() -> None:
        current().queue("web", {"a": 1}, target="https://example.org")
        current().queue("web", 2, id="second")

    memory, clock = Memory(), ManualClock()
    async with in_memory(memory, clock=clock, senders={"web": post}) as app:
        await app.run(notify(), id="run")
        await turns(30)
        assert len(seen) == 1
        [first, _] = await app.store.outgoing_of("run")
        assert (first.tries, first.error) == (1, "OSError: nobody answers")
        clock.advance(1)
        await turns(30)
        assert len(seen) == 2
        clock.advance(1)
        await turns(30)
        assert len(seen) == 2  # the second wait is longer
        clock.advance(1)
        await turns(30)
        assert [each.body for each in seen] == [b'{"a":1}'] * 3 + [b"2"]
        assert len({each.id for each in seen}) == 2
        assert (seen[0].target, seen[3].id) == ("https://example.org", "second")
        assert memory.outbox == {}


async def test_a_sender_that_never_succeeds_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def post(parcel: Outgoing) -> None:
        raise OSError("nobody answers")

    @step
    async def notify() -> None:
        current().queue("web", 1)

    monkeypatch.setattr(outbox, "TRIES", 2)
    memory, clock = Memory(), ManualClock()
    async with in_memory(memory, clock=clock, senders={"web": post}) as app:
        await app.run(notify(), id="run")
        await turns(30)
        clock.advance(1)
        await turns(30)
        [lost] = memory.outbox.values()
        assert (lost.tries, lost.due) == (2, NEVER)


async def test_a_kind_without_sender_is_left_to_others() -> None:
    @step
    async def notify() -> None:
        current().queue("web", 1)

    memory, clock = Memory(), ManualClock()
    async with in_memory(memory, clock=clock) as app:
        await app.run(notify(), id="run")
        await turns(30)
        app.engine.outbox.look()
        await turns(30)
        [left] = memory.outbox.values()
        assert (left.tries, left.due) == (0, 0)
        clock.advance(61)
        await turns(30)
        assert len(memory.outbox) == 1


async def test_two_apps_do_not_send_the_same_at_a_time() -> None:
    gate, seen = asyncio.Event(), list[str]()

    async def post(parcel: Outgoing) -> None:
        seen.append(parcel.id)
        await gate.wait()

    @step
    async def notify() -> None:
        current().queue("web", 1)

    memory = Memory()
    async with in_memory(memory, senders={"web": post}) as one, in_memory(memory, senders={"web": post}) as two:
        await one.run(notify(), id="run")
        [parcel] = list(memory.outbox.values())
        await turns(10)
        assert await two.engine.outbox._deliver(parcel._replace(due=0))
        assert len(seen) == 1
        gate.set()
        await empty(one, "run")


async def test_a_sender_that_takes_its_time_holds_its_message_and_one_that_died_does_not_for_long() -> None:
    gate, seen = asyncio.Event(), list[str]()

    async def post(parcel: Outgoing) -> None:
        seen.append(parcel.id)
        await gate.wait()
        raise OSError("nobody answers")

    @step
    async def notify() -> None:
        current().queue("web", 1)

    memory, clock = Memory(), ManualClock()
    failing = Disturbed(MemoryStore(memory))
    app = App(failing, clock=clock, senders={"web": post}, patience=0.05)
    async with app:
        await app.run(notify(), id="run")
        await turns(10)
        for disturbed in (False, True, False, False, False):
            failing.disturbed = disturbed
            clock.advance(2)
            await turns(10)
            [held] = memory.outbox.values()
            assert held.due > clock.now()
        gate.set()
        await turns(10)
        [held] = memory.outbox.values()
        assert (held.tries, held.error, len(seen)) == (1, "OSError: nobody answers", 1)
        gate.clear()
        clock.advance(1)
        await turns(10)
        assert len(seen) == 2
    [held] = memory.outbox.values()
    async with in_memory(memory, clock=clock, senders={"web": post}) as app:
        app.engine.outbox.look()
        await turns(10)
        clock.advance(5)
        await turns(10)
        assert len(seen) == 3


async def test_what_somebody_else_has_begun_to_deliver_is_not_held_any_more() -> None:
    gate = asyncio.Event()

    async def post(parcel: Outgoing) -> None:
        await gate.wait()

    @step
    async def notify() -> None:
        current().queue("web", 1)

    memory, clock = Memory(), ManualClock()
    async with in_memory(memory, clock=clock, senders={"web": post}) as app:
        await app.run(notify(), id="run")
        await turns(10)
        [(number, held)] = memory.outbox.items()
        memory.outbox[number] = held._replace(due=held.due + 60_000_000)  # this process stood still
        clock.advance(2)
        await turns(10)
        assert memory.outbox[number].due == held.due + 60_000_000
        gate.set()
        await turns(10)


class Disturbed(Wrapped):
    """A store that cannot be written to for a while."""

    disturbed = False

    async def postpone(self, was: Outgoing, is_now: Outgoing) -> bool:
        if self.disturbed:
            raise StoreError("the disk is full", code="store_full")
        return await self.inner.postpone(was, is_now)


async def test_as_many_runs_are_delivered_for_at_a_time_as_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "LANES", 1)
    monkeypatch.setattr(outbox, "PAGE", 1)
    seen: list[str] = []

    async def post(parcel: Outgoing) -> None:
        seen.append(parcel.run)

    @step
    async def notify() -> None:
        current().queue("web", 1)

    memory = Memory()
    async with in_memory(memory) as app:
        for number in range(3):
            await app.run(notify(), id=f"{number}")
    async with in_memory(memory, senders={"web": post}) as app:
        app.engine.outbox.look()
        for number in range(3):
            await empty(app, f"{number}")
    assert sorted(seen) == ["0", "1", "2"]


async def test_closing_leaves_what_is_under_way_to_the_next() -> None:
    async def post(parcel: Outgoing) -> None:
        await asyncio.Event().wait()

    @step
    async def notify() -> None:
        current().queue("web", 1)

    memory = Memory()
    async with in_memory(memory, senders={"web": post}) as app:
        await app.run(notify(), id="run")
        await turns(10)
    assert len(memory.outbox) == 1


async def test_a_store_that_does_not_answer_is_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    class Silent(Wrapped):
        failures = 1

        async def outgoing(self, now: int, limit: int, skip: int = 0) -> Any:
            if self.failures:
                self.failures -= 1
                raise StoreError("busy", code="store_failed")
            return await self.inner.outgoing(now, limit, skip)

    async with App(Silent(MemoryStore()), patience=0.05) as app:
        handle = await app.start(listener(1), id="listener")
        await app.run(chain(tell)(["a"]))
        await turns(10)
        app.engine.outbox.look()
        assert await handle.result() == ["a"]
    assert "does not say" in caplog.text


async def test_an_engine_without_app_begins_no_runs() -> None:
    assert not await outbox.nowhere(None, None)  # type: ignore[arg-type]


# --- what is refused


@pytest.mark.parametrize(
    ("send", "told"),
    [
        (lambda: current().send("r", WORD, 3), "valid string"),  # type: ignore[misc]
        (lambda: current().send("", WORD, "a"), "no id of a run"),
        (lambda: current().send("r", WORD, "a", id=" "), "printable text"),
        (lambda: current().start(chain(double)("x")), "valid integer"),  # type: ignore[arg-type]
        (lambda: current().queue("signal", 1), "no kind"),
        (lambda: current().queue("", 1), "no kind"),
    ],
)
async def test_what_cannot_be_sent_is_refused_in_the_step(send: Any, told: str) -> None:
    @step
    async def wrong() -> None:
        send()

    async with in_memory() as app:
        with pytest.raises(RunFailed, match=told):
            await app.run(wrong())
        assert app.store.memory.outbox == {}  # type: ignore[attr-defined]


async def test_conditions_and_stages_of_streams_send_nothing() -> None:
    from ripresa import branch

    def one(_: int) -> list[int]:
        return [1]

    for send in (
        lambda: current().send("r", WORD, "a"),
        lambda: current().start(chain(double)(1)),
        lambda: current().queue("web", 1),
    ):

        def ask(number: int, send: Any = send) -> bool:
            send()
            return True

        async with in_memory() as app:
            await app.sessions.create("s")
            with pytest.raises(RunFailed, match="condition"):
                await app.run(branch(lambda number: ask(number), double, double)(1), session="s")
            with pytest.raises(RunFailed, match="sink"):
                await app.run(stream(one).map(lambda number: ask(number)).fold(total, 0)(0))


async def test_the_sink_of_a_stream_sends_with_each_batch() -> None:
    @step
    async def sink(items: list[int]) -> None:
        for item in items:
            current().send("listener", WORD, f"{item}")

    def four(_: int) -> list[int]:
        return [1, 2, 3, 4]

    async with in_memory() as app:
        handle = await app.start(listener(4), id="listener")
        await app.run(stream(four).batch(2).into(sink)(0))
        assert await handle.result() == ["1", "2", "3", "4"]


def test_outside_a_run_nothing_is_sent() -> None:
    current().send("r", WORD, "a")
    current().queue("web", 1)
    assert current().start(chain(double)(1)) == "outside-a-run"
    assert current().start(chain(double)(1), id="mine") == "mine"


def test_senders_are_checked_together() -> None:
    with pytest.raises(InvalidConfig, match=r"one of Ripresa's own.*must be an async function"):
        App(senders={"signal": print, "web": 3})  # type: ignore[dict-item]


async def test_what_is_not_delivered_is_one_line_of_the_log(app: App, caplog: pytest.LogCaptureFixture) -> None:
    await app.run(chain(tell)(["a"]), id="r")
    await empty(app, "r")
    [told] = [each for each in caplog.records if each.levelname == "WARNING"]
    assert told.exc_info is None
    assert told.getMessage().startswith("not delivered: RunNotFound: ")
    assert told.getMessage().endswith("(signal of run r to listener); see: ripresa outbox --given-up")


async def test_what_was_given_up_is_looked_through_and_sent_again(app: App) -> None:
    for run in ("r", "q"):
        await app.run(chain(tell)(["a"]), id=run)
        await empty(app, run)
    found = await app.outbox.list(given_up=True)
    assert [(each.run, each.kind, each.target) for each in found] == [
        ("r", "signal", "listener"),
        ("q", "signal", "listener"),
    ]
    assert [each.run for each in await app.outbox.list("q")] == ["q"]
    handle = await app.start(listener(2), id="listener")
    assert await app.outbox.resend("r") == 1
    await empty(app, "r")
    assert await app.outbox.resend(number=found[0].number) == 0
    assert await app.outbox.resend() == 1
    assert await handle.result() == ["a", "a"]
    await empty(app, "q")
    assert await app.outbox.list() == []
