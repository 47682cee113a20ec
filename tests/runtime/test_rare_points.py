"""Interceptors beside the way forward: cancellation, signals, checkpoints, rollbacks, limits, compensation."""

import asyncio
from typing import Any

import pytest

from ripresa import (
    Again,
    App,
    Breaker,
    Cancel,
    CancelAsking,
    CheckpointNaming,
    Hook,
    LimitReaching,
    Limits,
    Observed,
    Redirect,
    Replace,
    RollbackStarting,
    RunCancelled,
    RunFailed,
    Signal,
    SignalArriving,
    Skip,
    UndoEnding,
    UndoErring,
    UndoStarting,
    Update,
    Veto,
    chain,
    intercept,
    map_each,
    observe,
    step,
    wait_for,
    workflow,
)
from ripresa.core.events import (
    CheckpointNamed,
    HookFailed,
    Intercepted,
    LimitReached,
    Requested,
    RequestRefused,
    RolledBack,
    StepScheduled,
    StepUndone,
    UndoFailed,
)
from ripresa.errors import InvalidConfig, RipresaError, StoreError
from ripresa.function_context import Context
from ripresa.runtime.letting import Letting
from ripresa.stores.memory import Memory, MemoryStore

from .stage import Failing, in_memory, on_clock, turns

GO = Signal("go", int)
WEIGH = Update("weigh", int, int)


@step
async def double(value: int) -> int:
    return value * 2


@step
async def broken(value: int) -> int:
    raise ValueError("no")


flow = chain(double).then(double)
waiting = chain(wait_for(GO)).then(double)


@workflow
async def pair(ctx: Context) -> list[int]:
    return [await ctx.wait_for(GO), await ctx.wait_for(GO)]


def hook(point: str, *answers: Any, **options: Any) -> tuple[Hook, list[Any]]:
    """A hook that gives these answers in turn, the last one for ever, and what it was asked."""
    asked: list[Any] = []

    def answer(about: Any) -> Any:
        asked.append(about)
        return answers[min(len(asked), len(answers)) - 1]

    return Hook(point, answer, **options), asked


def code_of(outcome: Any) -> str:
    error = outcome.error
    return error.failure.code if isinstance(error, RunFailed) else error.code if error else ""


def slow(point: str, answer: Any, gate: asyncio.Event) -> Hook:
    async def late(about: Any) -> Any:
        await gate.wait()
        return answer

    return Hook(point, late)


async def journal(app: App, run: str) -> list[Any]:
    return [item.event for item in await app.engine.history(run)]


async def events_of(app: App, run: str, kind: type[Any]) -> list[Any]:
    return [event for event in await journal(app, run) if isinstance(event, kind)]


# --- cancel


async def test_a_cancellation_is_forbidden_and_whoever_asked_hears_of_it() -> None:
    guard, asked = hook("cancel", Veto("not now"), None)
    async with in_memory(hooks=[guard]) as app:
        handle = await app.start(waiting(0), id="r")
        with pytest.raises(RipresaError, match="cancel is refused: not now") as caught:
            await handle.cancel("bored", by="ann")
        assert caught.value.code == "vetoed"
        assert isinstance(asked[0], CancelAsking)
        assert (asked[0].reason, asked[0].by, asked[0].path, asked[0].name) == ("bored", "ann", "", "chain")
        await handle.cancel("really")
        with pytest.raises(RunCancelled):
            await handle.result()
        assert [e.name for e in await events_of(app, "r", RequestRefused)] == ["bored"]


async def test_a_run_that_is_cancelled_waits_for_an_async_hook_at_cancel_alone() -> None:
    gate = asyncio.Event()
    async with in_memory(hooks=[slow("cancel", None, gate)]) as app:
        handle = await app.start(waiting(0), id="r")
        asking = asyncio.create_task(handle.cancel("x"))
        await turns(5)
        assert not asking.done()
        assert (await handle.status()).status == "running"
        gate.set()
        await asking
        with pytest.raises(RunCancelled):
            await handle.result()


async def test_a_critical_hook_that_fails_keeps_no_run_from_being_cancelled() -> None:
    def bad(about: CancelAsking) -> None:
        raise ValueError("oops")

    async with in_memory(hooks=[intercept("cancel", critical=True)(bad)]) as app:
        handle = await app.start(waiting(0), id="r")
        await handle.cancel()
        with pytest.raises(RunCancelled):
            await handle.result()


async def test_who_waits_for_a_hook_hears_when_the_app_is_left() -> None:
    async with in_memory(hooks=[slow("cancel", None, asyncio.Event())]) as app:
        handle = await app.start(waiting(0), id="r")
        asking = asyncio.create_task(handle.cancel("x"))
        await turns(5)
    with pytest.raises(RipresaError):
        await asking


# --- signals


@pytest.mark.parametrize(("answer", "result"), [(None, 10), (Replace(50), 100)])
async def test_a_signal_is_let_through_as_it_is_or_another(answer: Any, result: int) -> None:
    look, asked = hook("signal", answer)
    async with in_memory(hooks=[look]) as app:
        handle = await app.start(waiting(0), id="r")
        assert await handle.send(GO, 5, by="ann")
        assert await handle.result() == result
    about = asked[0]
    assert isinstance(about, SignalArriving)
    assert (about.signal, about.value, about.by, about.is_update) == ("go", 5, "ann", False)


async def test_a_signal_is_left_out_refused_or_ends_the_run() -> None:
    look, _ = hook("signal", Skip(), Veto("spam"), Cancel("enough"))
    async with in_memory(hooks=[look]) as app:
        handle = await app.start(waiting(0), id="r")
        assert await handle.send(GO, 1)
        with pytest.raises(RipresaError, match="spam"):
            await handle.send(GO, 2)
        assert await handle.send(GO, 3)
        with pytest.raises(RunCancelled):
            await handle.result()
        answers = [event.answer for event in await events_of(app, "r", Intercepted)]
        assert answers == ["skip", "veto", "cancel"]


async def test_signals_do_not_overtake_one_another_while_a_hook_thinks() -> None:
    gate = asyncio.Event()
    both = chain(wait_for(GO)).then(double).then(wait_for(GO)).then(double)
    async with in_memory(hooks=[slow("signal", None, gate)]) as app:
        handle = await app.start(both(0), id="r")
        sending = [asyncio.create_task(handle.send(GO, value)) for value in (1, 2)]
        await turns(5)
        gate.set()
        assert await asyncio.gather(*sending) == [True, True]
        assert await handle.result() == 4


async def test_an_update_is_weighed_too() -> None:
    @workflow
    async def weighs(ctx: Context) -> int:
        asked = await ctx.next_update(WEIGH)
        await asked.answer(asked.value + 1)
        return asked.value

    look, asked = hook("signal", Veto("too heavy"), Replace(7))
    async with in_memory(hooks=[look]) as app:
        handle = await app.start(weighs(), id="r")
        with pytest.raises(RipresaError, match="too heavy") as caught:
            await handle.update(WEIGH, 1000)
        assert caught.value.code in ("update_refused", "vetoed")
        assert await handle.update(WEIGH, 3) == 8
        assert await handle.result() == 7
    assert [(a.signal, a.value, a.is_update) for a in asked] == [("weigh", 1000, True), ("weigh", 3, True)]


async def test_who_sends_a_signal_hears_of_it_when_the_hook_is_taken_away_meanwhile() -> None:
    """Also the sender of the next one, about which nobody is asked any more."""
    gate = asyncio.Event()
    async with in_memory() as app:
        remove = app.hooks.add(slow("signal", None, gate))
        handle = await app.start(pair())
        sending = [asyncio.create_task(handle.send(GO, value)) for value in (1, 2)]
        await turns(20)
        remove()
        await turns(20)
        gate.set()
        async with asyncio.timeout(2):
            await asyncio.gather(*sending)
            assert await handle.result() == [1, 2]


async def test_a_refusal_is_not_heard_before_it_is_durable() -> None:
    """Whoever takes the run up asks again, and may let it through."""
    gate = asyncio.Event()
    store = Failing(MemoryStore(), 3)  # the creation, the request, the answer
    async with App(store, patience=0.05, hooks=[slow("signal", Veto("no"), gate)]) as app:
        handle = await app.start(pair())
        sending = asyncio.create_task(handle.send(GO, 1))
        await turns(20)
        gate.set()
        with pytest.raises(StoreError):
            await sending


# --- checkpoints, rollbacks


async def test_a_checkpoint_gets_another_name_or_none() -> None:
    look, asked = hook("checkpoint", Replace("safe"), Veto("no more"), Replace(5), None)
    async with in_memory(hooks=[look]) as app:
        handle = await app.start(waiting(0), id="r")
        await handle.checkpoint("here", by="ann")
        with pytest.raises(RipresaError, match="no more"):
            await handle.checkpoint("there")
        await handle.checkpoint("third")
        assert [e.name for e in await events_of(app, "r", CheckpointNamed)] == ["safe", "third"]
        assert len(await events_of(app, "r", HookFailed)) == 1
        await handle.send(GO, 1)
        await handle.result()
    assert isinstance(asked[0], CheckpointNaming)
    assert (asked[0].checkpoint, asked[0].by) == ("here", "ann")


async def test_a_rollback_is_forbidden_sent_elsewhere_or_let_be() -> None:
    look, asked = hook("rollback", Veto("leave it"), Redirect("double"), Redirect("nowhere"))
    async with in_memory(hooks=[look]) as app:
        handle = await app.start(flow(1), id="r")
        assert await handle.result() == 4
        with pytest.raises(RipresaError, match="leave it"):
            await handle.rollback(1, by="ann")
        assert (await handle.status()).status == "completed"
        await handle.rollback(1)
        assert await handle.result() == 4
        (first,) = await events_of(app, "r", RolledBack)
        begun = [e.path for e in await events_of(app, "r", StepScheduled)]
        assert begun == ["double", "double#2", "double#2"]
        await handle.rollback(1)  # the hook's answer names no place: it goes where it was to go
        assert await handle.result() == 4
        assert [e.to for e in await events_of(app, "r", RolledBack)] == [first.to, 2]
        assert (await events_of(app, "r", Requested))[0].by == "ann"
    assert isinstance(asked[0], RollbackStarting)
    assert (asked[0].place, asked[0].to) == ("1", 2)


@pytest.mark.parametrize("answer", [None, Redirect("nowhere"), Skip()])
async def test_a_hook_that_fails_about_the_rollback_of_an_ended_run_is_recorded(answer: Any) -> None:
    def broken(asked: Any) -> Any:
        if answer is None:
            raise ValueError("no")
        return answer

    async with in_memory(hooks=[Hook("rollback", broken)]) as app:
        handle = await app.start(flow(1), id="r")
        await handle.result()
        await handle.rollback(1)
        assert await handle.result() == 4
        assert len(await events_of(app, "r", HookFailed)) == 1


async def test_a_rollback_asks_nobody_where_no_hook_stands() -> None:
    async with in_memory(hooks=[hook("rollback", Veto("x"), workflow="other")[0]]) as app:
        handle = await app.start(flow(1), id="r")
        await handle.result()
        await handle.rollback(1)
        assert await handle.result() == 4


# --- limits


async def limited(*answers: Any, policy: Any = "fail") -> tuple[Any, list[Any], list[Any]]:
    look, asked = hook("limit", *answers)
    async with in_memory(hooks=[look]) as app:
        handle = await app.start(flow(1), id="r", limits=Limits(steps=1, on_exceeded=policy))
        outcome = await asyncio.wait_for(handle.outcome(), 10)
        return outcome, asked, await journal(app, "r")


async def test_a_limit_asks_the_hook_before_its_policy() -> None:
    outcome, asked, _ = await limited(None)
    assert code_of(outcome) == "limit_exceeded"
    about = asked[0]
    assert isinstance(about, LimitReaching)
    assert (about.limit, about.used, about.allowed, about.policy, about.path) == ("steps", 1, 1, "fail", "double#2")


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (Replace(Limits(steps=2)), 4),
        (Skip(9), 9),
        (Veto("dear"), "vetoed"),
        (Cancel("stop"), "cancelled"),
        (Redirect("fail"), "limit_exceeded"),
    ],
)
async def test_what_a_hook_makes_of_a_limit(answer: Any, found: Any) -> None:
    outcome, _, _ = await limited(answer, policy="pause" if isinstance(answer, Redirect) else "fail")
    assert (outcome.value if isinstance(found, int) else code_of(outcome)) == found


@pytest.mark.parametrize(
    "answer", [Replace(Limits(steps=1)), Replace(5), Again(), Redirect("elsewhere"), Replace(Limits(steps=0))]
)
async def test_an_answer_that_changes_nothing_about_a_limit_is_none(answer: Any) -> None:
    outcome, _, events = await limited(answer)
    assert code_of(outcome) == "limit_exceeded"
    (failed,) = (event for event in events if isinstance(event, HookFailed))
    assert failed.failure.code == "invalid_answer"


async def test_a_limit_pauses_the_run_instead_of_failing_it() -> None:
    look, _ = hook("limit", Redirect("ask"))
    async with in_memory(hooks=[look]) as app:
        handle = await app.start(flow(1), id="r", limits=Limits(steps=1))
        while (await handle.status()).status != "paused":
            await turns(1)
        assert (await handle.status()).limit == "steps"
        await handle.allow(Limits(steps=5))
        assert await handle.result() == 4


async def test_a_step_waits_until_a_limit_may_let_it_begin() -> None:
    look, asked = hook("limit", Again(after=5), Replace(Limits(steps=3)))
    async with on_clock(hooks=[look]) as (app, clock):
        handle = await app.start(flow(1), id="r", limits=Limits(steps=1))
        while not asked:
            await turns(1)
        await turns(5)
        clock.advance(5)
        assert await handle.result() == 4
        assert len(await events_of(app, "r", LimitReached)) == 2


@pytest.mark.parametrize(
    ("answer", "code"),
    [(None, "limit_exceeded"), (Veto("late"), "vetoed"), (Cancel("x"), "cancelled"), (Skip(1), "limit_exceeded")],
)
async def test_the_time_of_a_run_is_a_limit_too(answer: Any, code: str) -> None:
    look, asked = hook("limit", answer)
    async with on_clock(hooks=[look]) as (app, clock):
        handle = await app.start(waiting(0), id="r", limits=Limits(wall_time=5))
        await turns(3)
        clock.advance(5)
        outcome = await handle.outcome()
        assert (code_of(outcome), asked[0].limit, asked[0].path) == (code, "wall_time", "")


async def test_a_step_waits_at_a_limit_only_as_often_as_its_hook_says() -> None:
    look, asked = hook("limit", *(Again(after=5, at_most=2),) * 9)
    memory = Memory()
    async with on_clock(memory, hooks=[look]) as (app, clock):
        await app.start(flow(1), id="r", limits=Limits(steps=1))
        while not asked:
            await turns(1)
        await turns(5)
        later = clock.now() + 5_000_000
    async with on_clock(memory, later, hooks=[look]) as (app, clock):  # what it has waited is known to its journal
        handle = await app.resume("r", flow)
        while len(asked) < 2:
            await turns(1)
        await turns(5)
        clock.advance(5)
        assert code_of(await handle.outcome()) == "limit_exceeded"
        answers = [event.answer for event in await events_of(app, "r", Intercepted) if event.point == "limit"]
        assert answers == ["again", "again", "continue"]


async def test_a_run_gets_more_time_from_a_hook() -> None:
    look, _ = hook("limit", Replace(Limits(wall_time=60)))
    async with on_clock(hooks=[look]) as (app, clock):
        handle = await app.start(waiting(0), id="r", limits=Limits(wall_time=5))
        await turns(3)
        clock.advance(5)
        await turns(5)
        await handle.send(GO, 1)
        assert await handle.result() == 2


async def test_the_limits_of_a_session_are_not_a_hooks_to_change() -> None:
    look, asked = hook("limit", Replace(Limits(steps=50)))
    async with in_memory(hooks=[look]) as app:
        await app.sessions.create("s", limits=Limits(steps=1))
        outcome = await (await app.start(flow(1), id="r", session="s")).outcome()
        assert code_of(outcome) == "limit_exceeded"
        assert asked[0].session == "s"
        assert len(await events_of(app, "r", HookFailed)) == 1


async def test_what_a_hook_answered_about_limits_holds_when_the_run_is_taken_up_again() -> None:
    look, asked = hook("limit", Replace(Limits(steps=2)))
    memory = Memory()
    both = chain(double).then(double).then(wait_for(GO))
    async with in_memory(memory, hooks=[look]) as app:
        await app.start(both(1), id="r", limits=Limits(steps=1))
        while not asked:
            await turns(1)
    async with in_memory(memory, hooks=[look]) as app:
        handle = await app.resume("r", both)
        await handle.send(GO, 3)
        assert await handle.result() == 3
    assert len(asked) == 1


# --- compensation


undone: list[int] = []


@step(effect="reversible")
async def book(value: int) -> int:
    return value + 1


@book.undo
async def unbook(booked: int) -> None:
    undone.append(booked)
    if booked < 0 or (len(undone) == 1 and booked == 99):
        raise ValueError("not now")


trip = chain(book).then(broken)


async def compensated(*hooks: Hook, value: int = 1) -> tuple[list[Any], list[Any]]:
    undone.clear()
    async with in_memory(hooks=hooks) as app:
        outcome = await (await app.start(trip(value), id="r")).outcome()
        assert outcome.error is not None
        events = await journal(app, "r")
    return list(undone), [type(e).__name__ for e in events if isinstance(e, StepUndone | UndoFailed)]


async def test_what_is_undone_is_looked_at_before() -> None:
    look, asked = hook("compensation", None)
    assert await compensated(look) == ([2], ["StepUndone"])
    assert isinstance(asked[0], UndoStarting)
    assert (asked[0].path, asked[0].name, asked[0].output, asked[0].known) == ("book", "book", 2, True)
    assert await compensated(hook("compensation", Replace(7))[0]) == ([7], ["StepUndone"])
    assert await compensated(hook("compensation", Skip())[0]) == ([], ["StepUndone"])
    assert await compensated(hook("compensation", Veto("keep it"))[0]) == ([], ["UndoFailed"])


async def test_hooks_at_compensation_stand_at_what_is_undone() -> None:
    assert await compensated(hook("compensation", Skip(), step="broken")[0]) == ([2], ["StepUndone"])
    assert await compensated(hook("compensation", Skip(), step="book")[0]) == ([], ["StepUndone"])
    beside = book.with_(hooks=[hook("compensation", Skip())[0]])
    undone.clear()
    async with in_memory() as app:
        assert (await (await app.start(chain(beside).then(broken)(1))).outcome()).error is not None
    assert undone == []


async def test_what_was_undone_is_looked_at_after() -> None:
    look, asked = hook("compensated", None)
    assert await compensated(look) == ([2], ["StepUndone"])
    assert isinstance(asked[0], UndoEnding)
    assert await compensated(hook("compensated", Veto("still there"))[0]) == ([2], ["UndoFailed"])


async def test_an_undo_that_failed_is_tried_again_or_let_be() -> None:
    look, asked = hook("compensation_error", None)
    assert await compensated(look, value=98) == ([99], ["UndoFailed"])
    assert isinstance(asked[0], UndoErring)
    assert (asked[0].failure.message, asked[0].attempt) == ("not now", 1)
    assert await compensated(hook("compensation_error", Again())[0], value=98) == ([99, 99], ["StepUndone"])
    assert await compensated(hook("compensation_error", Again(at_most=3))[0], value=-9) == ([-8] * 3, ["UndoFailed"])
    assert await compensated(hook("compensation_error", Skip())[0], value=98) == ([99], ["StepUndone"])


async def test_an_undo_that_failed_is_tried_again_after_a_while() -> None:
    look, asked = hook("compensation_error", Again(after=30))
    undone.clear()
    async with on_clock(hooks=[look]) as (app, clock):
        handle = await app.start(trip(98), id="r")
        while not asked:
            await turns(1)
        await turns(5)
        assert undone == [99]
        clock.advance(30)
        with pytest.raises(RunFailed):
            await handle.result()
    assert undone == [99, 99]


async def test_a_critical_hook_that_fails_at_compensation_leaves_it_undone_as_far_as_it_goes() -> None:
    def bad(about: Any) -> None:
        raise ValueError("oops")

    for point, found in (("compensation", []), ("compensated", [2])):
        assert await compensated(intercept(point, critical=True)(bad)) == (found, ["UndoFailed"])  # type: ignore[call-overload]
    assert await compensated(intercept("compensation_error", critical=True)(bad), value=98) == ([99], ["UndoFailed"])


async def test_observers_stand_at_compensation_and_its_parts() -> None:
    seen: list[tuple[str, str]] = []

    def look(point: str) -> Hook:
        return observe(point)(lambda item: seen.append((item.point, type(item.event).__name__)))

    await compensated(look("compensation"), look("compensated"), look("compensation_error"), look("limit"))
    names = [("compensation", "CompensationStarted"), ("compensation", "StepUndone"), ("compensated", "StepUndone")]
    assert seen == [*names, ("compensation", "CompensationEnded")]


# --- what makes no sense is refused where it is written


def test_an_answer_that_is_not_legal_is_refused_when_the_hook_is_made() -> None:
    def bad(about: CancelAsking) -> Replace | None:
        return None

    with pytest.raises(InvalidConfig) as caught:
        intercept("cancel")(bad)  # type: ignore[arg-type]
    assert "fn answers replace, but at 'cancel' it may answer continue, veto" in caught.value.message


def test_a_point_where_hooks_only_observe_says_so() -> None:
    with pytest.raises(InvalidConfig, match="only observe") as caught:
        Hook("pause", lambda about: None)
    assert "@observe('pause')" in caught.value.hint


async def test_what_is_observed_of_a_branch_says_which_session_run_and_scope_it_belongs_to() -> None:
    seen: list[tuple[str, str, str]] = []

    @observe("after")
    def look(item: Observed) -> None:
        seen.append((item.path, item.session, item.within))

    spread = chain(map_each(double)).then(wait_for(GO))
    async with in_memory(hooks=[look]) as app:
        await app.sessions.create("s")
        handle = await app.start(spread([1, 2]), id="r", session="s")
        await handle.send(GO, 1)
        await handle.result()
        (found,) = (await handle.fan_outs()).values()
    assert seen == [("map_each/double[0]", "s", "map_each"), ("map_each/double[1]", "s", "map_each")]
    assert (found.run, found.session, found.parent, found.within) == ("r", "s", "", "")


async def test_what_is_observed_of_a_child_says_who_started_it() -> None:
    seen: dict[str, str] = {}

    @observe("start")
    def look(item: Observed) -> None:
        seen[item.run] = item.parent

    @workflow
    async def starts(ctx: Context) -> int:
        child = await ctx.start(chain(double, name="twice")(4), id="child")
        return await child.result()

    async with in_memory(hooks=[look]) as app:
        assert await app.run(starts(), id="r") == 8
    assert seen == {"r": "", "child": "r"}


# --- async hooks that fail


async def test_a_critical_async_hook_that_fails_and_is_left_out_fails_the_step() -> None:
    asked: list[Any] = []

    async def bad(about: Any) -> None:
        asked.append(about)
        raise ValueError("oops")

    for critical, codes in ((True, ["hook_failed", "hook_failed"]), (False, ["", ""])):
        asked.clear()
        guard = Hook("before", bad, step="double", critical=critical, breaker=Breaker(1, "1 minute"))
        async with in_memory(hooks=[guard]) as app:
            found = [code_of(await (await app.start(chain(double)(1))).outcome()) for _ in range(2)]
        assert (found, len(asked)) == (codes, 1)


async def test_a_run_that_waits_for_a_hook_goes_on_where_others_stand_now() -> None:
    memory = Memory()
    async with in_memory(memory, hooks=[slow("before", None, asyncio.Event())]) as app:
        await app.start(flow(1), id="r")
        await turns(5)
    async with in_memory(memory, hooks=[hook("complete", None)[0]]) as app:
        assert await (await app.resume("r", flow)).result() == 4


async def test_whoever_has_stopped_waiting_for_an_answer_is_passed_over() -> None:
    letting = Letting()
    patient, gone = asyncio.get_running_loop().create_future(), asyncio.get_running_loop().create_future()
    for number, done in enumerate((gone, patient), 1):
        assert letting.asked(number, done, [], True)
    gone.cancel()
    letting.close(RipresaError("it is over", code="not_available"))
    assert gone.cancelled()
    with pytest.raises(RipresaError, match="it is over"):
        await patient


async def test_what_was_let_through_does_not_come_to_a_run_that_another_hook_has_cancelled_meanwhile() -> None:
    memory, gate = Memory(), asyncio.Event()
    hurried = chain(wait_for(GO, timeout="1 h")).then(double)
    async with on_clock(memory, hooks=[slow("signal", None, gate), slow("checkpoint", None, gate)]) as (app, clock):
        handle = await app.start(hurried(0), id="r")
        asking = [asyncio.create_task(handle.checkpoint("here")), asyncio.create_task(handle.send(GO, 1))]
        await turns(10)
        clock.advance(3600)
        with pytest.raises(RunFailed):
            await handle.result()
        for each in asking:
            each.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
    listener, heard = hook("checkpoint", None)
    guard, _ = hook("signal", Cancel("no"))
    async with on_clock(memory, hooks=[guard, listener]) as (app, _):
        handle = await app.resume("r", hurried)
        with pytest.raises(RunCancelled):
            await handle.result()
        assert len(heard) == 1
        assert await events_of(app, "r", CheckpointNamed) == []
