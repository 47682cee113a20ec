"""Whoever asks something of a run that another process drives is told when that is refused there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ripresa import App, Context, Handle, Hook, Limits, Signal, Veto, chain, intercept, step, workflow
from ripresa.core.events import (
    CancelRequested,
    CheckpointNamed,
    ContinueRequested,
    PauseRequested,
    Recorded,
    Requested,
    RunStuck,
    SignalReceived,
    SignalRefused,
)
from ripresa.core.requested import GUARDED
from ripresa.errors import IllegalTransition, InvalidValue, RipresaError, RunNotFound
from ripresa.runtime import hearing
from ripresa.runtime.bodies import encode_request, encode_signal
from ripresa.stores.memory import Memory
from tests.core.play import failure

from .stage import in_memory, turns

GO = Signal("go", int)


@step
async def double(number: int) -> int:
    return 2 * number


@workflow
async def waits(ctx: Context, number: int) -> int:
    return await double(await ctx.wait_for(GO))


def guards(point: str, answers: dict[str, Any], *, awaits: bool) -> Hook:
    """A hook that says what stands in `answers`, or nothing."""

    async def later(asked: Any) -> Any:
        await answers["gate"].wait()
        return answers.get(point)

    at: Any = intercept(point)  # type: ignore[call-overload]
    hook: Hook = at(later if awaits else lambda asked: answers.get(point))
    return hook


@asynccontextmanager
async def two(*hooks: Hook, flow: Any = waits) -> AsyncIterator[tuple[Handle[int], Handle[int], App]]:
    """The handle of who drives a run, and that of somebody else."""
    memory = Memory()
    async with in_memory(memory, hooks=hooks) as owner, in_memory(memory) as other:
        mine = await owner.start(flow(1), id="r")
        yield mine, await other.handle("r", flow), other


async def ask(handle: Handle[int], point: str) -> None:
    match point:
        case "cancel":
            await handle.cancel("enough", by="eve")
        case "signal":
            await handle.send(GO, 4, by="eve")
        case _:
            await handle.checkpoint("here", by="eve")


@pytest.mark.parametrize("awaits", [False, True])
@pytest.mark.parametrize("point", ["cancel", "signal", "checkpoint"])
async def test_what_a_hook_refuses_elsewhere_is_told(point: str, awaits: bool) -> None:
    answers: dict[str, Any] = {point: Veto("not now"), "gate": asyncio.Event()}
    async with two(guards(point, answers, awaits=awaits)) as (mine, theirs, other):
        head = await other.store.find_run("r")
        assert head is not None
        assert GUARDED in head.tags
        asking = asyncio.create_task(ask(theirs, point))
        if awaits:
            while not any(isinstance(each.event, Requested) for each in await other.engine.history("r")):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            assert not asking.done()
            answers["gate"].set()
        with pytest.raises(RipresaError, match="not now") as caught:
            await asking
        assert caught.value.code == "vetoed"
        del answers[point]
        await ask(theirs, point)
        if point == "checkpoint":
            await mine.cancel()


async def test_a_signal_of_another_type_is_told_too_where_hooks_are_asked() -> None:
    async with two(guards("signal", {}, awaits=False)) as (mine, theirs, _):
        while "go" not in mine._engine.drivers["r"].state.waiters:  # pyright: ignore[reportPrivateUsage]
            await turns(1)
        with pytest.raises(InvalidValue, match="valid integer"):
            await theirs.send(Signal("go", str), "four")
        await mine.cancel()


async def test_where_nobody_could_refuse_nobody_waits() -> None:
    async with two() as (mine, theirs, other):
        head = await other.store.find_run("r")
        assert head is not None
        assert GUARDED not in head.tags
        await theirs.send(GO, 4)
        assert len(await other.store.pending(["r"])) == 1
        assert await mine.result() == 8


async def test_hooks_that_come_and_go_are_heard_of() -> None:
    answers: dict[str, Any] = {"cancel": Veto("not now")}
    async with two() as (mine, theirs, other):
        hook = guards("cancel", answers, awaits=False)
        owner = mine._engine.switchboard.hooks  # pyright: ignore[reportPrivateUsage]
        added = owner.add(hook)
        await turns(5)
        with pytest.raises(RipresaError, match="not now"):
            await theirs.cancel()
        added()
        await turns(5)
        head = await other.store.find_run("r")
        assert head is not None
        assert GUARDED not in head.tags
        await theirs.cancel()


async def test_a_pause_of_what_is_paused_is_refused_wherever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing, "FORBIDDEN", 0.3)
    async with two() as (mine, theirs, _):
        with pytest.raises(IllegalTransition):
            await theirs._request("continue", "", "eve")  # pyright: ignore[reportPrivateUsage]
        await mine.pause()
        with pytest.raises(IllegalTransition, match="cannot become paused"):
            await theirs.pause("again", by="eve")
        await mine.resume()
        await mine.cancel()


async def test_a_run_that_a_limit_holds_is_paused_beyond_that_from_elsewhere() -> None:
    memory = Memory()
    flow = chain(double).then(double)
    async with in_memory(memory) as owner, in_memory(memory) as other:
        mine = await owner.start(flow(1), id="r", limits=Limits(steps=1, on_exceeded="pause"))
        while (await mine.status()).status != "paused":
            await turns(1)
        theirs = await other.handle("r", flow)
        await theirs.pause("wait", by="eve")
        await mine.allow(Limits(steps=5))
        assert (await mine.status()).status == "paused"
        await theirs.resume(by="eve")
        assert await mine.result() == 4


async def test_an_owner_that_does_not_take_it_up_or_goes_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: dict[str, Any] = {"gate": asyncio.Event()}
    monkeypatch.setattr(hearing, "PATIENCE", 0.0)
    async with two(guards("signal", answers, awaits=True)) as (mine, theirs, other):
        await theirs.send(GO, 4)
        assert len(await other.store.pending(["r"])) == 1
        monkeypatch.setattr(hearing, "PATIENCE", 10.0)
        asking = asyncio.create_task(theirs.send(GO, 5))
        while await other.store.pending(["r"]):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await mine._engine.drivers["r"].stop()  # pyright: ignore[reportPrivateUsage]
        assert await asking


async def test_a_run_that_was_pruned_meanwhile_has_refused_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with two() as (mine, _, other):
        asking = hearing.Asking("gone", "pause", b'{"reason":"","by":""}', 1)

        async def driven(run: str) -> bool:
            return True

        async def gone(run: str, after: int = 0) -> Any:
            raise RunNotFound("it is gone", run=run)

        monkeypatch.setattr(other.engine, "is_driven", driven)
        monkeypatch.setattr(other.engine, "history", gone)
        await hearing.heard(other.engine, asking)
        monkeypatch.undo()
        await mine.cancel()


@pytest.mark.parametrize(
    ("kind", "body", "event"),
    [
        ("cancel", encode_request("x", "eve"), CancelRequested(1, "x", "eve")),
        ("pause", encode_request("x", "eve"), PauseRequested(1, "x", "eve")),
        ("continue", encode_request("", "eve"), ContinueRequested(1, "eve")),
        ("checkpoint", encode_request("x", "eve"), CheckpointNamed(1, "x", "eve")),
        ("signal", encode_signal("x", b"1", "7", "eve"), SignalReceived(1, "x", b"1", "7", "eve")),
        ("signal", encode_signal("x", b"1", "7", "eve"), SignalRefused(1, "x", failure(), "7", "eve")),
    ],
)
def test_what_happens_at_once_is_known_for_what_was_asked(kind: str, body: bytes, event: Any) -> None:
    news = [Recorded("r", 5, 1, RunStuck(1, "")), Recorded("r", 6, 1, event)]
    place = hearing._place(hearing.Asking("r", kind, body, 4), news)  # pyright: ignore[reportPrivateUsage]
    assert place == 1
    assert hearing._place(hearing.Asking("r", "other", body, 4), news) is None  # pyright: ignore[reportPrivateUsage]
    assert hearing._answer(news, place) == [event]  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize(
    ("what", "status"), [("pause", "paused"), ("cancel", "cancelled"), ("terminate", "terminated"), ("go", "running")]
)
async def test_the_status_has_changed_when_what_was_asked_elsewhere_returns(what: str, status: str) -> None:
    async with two() as (mine, theirs, _):
        if what == "go":
            await mine.pause()
            await theirs.resume()
        else:
            await getattr(theirs, what)("enough", by="eve")
        assert (await theirs.status()).status == status
        if what in ("pause", "go"):
            await mine.cancel()


async def test_an_owner_that_takes_its_time_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing, "TAKEN", 0.1)
    memory = Memory()
    async with in_memory(memory) as owner, in_memory(memory) as other:
        mine = await owner.start(waits(1), id="r")
        monkeypatch.setattr(owner.engine.inbox, "collect", turns)  # it looks at nothing that it is asked
        theirs = await other.handle("r", waits)
        await theirs.pause()
        assert [each.kind for each in await other.store.pending(["r"])] == ["pause"]
        assert (await theirs.status()).status == "running"
        monkeypatch.undo()
        await mine.cancel()


async def test_an_owner_that_goes_meanwhile_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Memory()
    async with in_memory(memory) as owner, in_memory(memory) as other:
        await owner.start(waits(1), id="r")
        monkeypatch.setattr(owner.engine.inbox, "collect", turns)
        theirs = await other.handle("r", waits)
        asked = asyncio.create_task(theirs.pause())
        while not await other.store.pending(["r"]):
            await turns(1)
        await owner.engine.close()
        await asked
        assert [each.kind for each in await other.store.pending(["r"])] == ["pause"]
