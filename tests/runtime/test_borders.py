"""The border to user code: whatever it raises ends the run, with its causes; no durable function passes for a step."""

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ripresa import Context, Hook, Query, RunFailed, before, branch, chain, current, map_each, parallel, step, workflow
from ripresa.core.commands import Ask
from ripresa.core.events import AnswerFailed, Restarted, Returned
from ripresa.core.values import NULL
from ripresa.errors import InvalidConfig, InvalidWorkflow, Nondeterminism, RipresaError
from ripresa.runtime import attempts, driver, functions, reconciling
from ripresa.runtime.attempts import Running
from ripresa.runtime.endings import is_closed
from ripresa.stores.memory import Memory
from ripresa.testing import real_code
from tests.runtime.stage import in_memory

ANY = (GeneratorExit(), SystemExit(3), asyncio.CancelledError(), StopIteration(1))


@step
async def keep(value: int) -> int:
    return value


# --- whatever is raised


@step
async def leave(value: int) -> int:
    raise ANY[value]


@step
def leave_in_a_thread(value: int) -> int:
    raise ANY[value]


@step
async def leave_within_a_call(value: int) -> int:
    return await current().call(leave.fn, value)


def leave_deciding(value: int) -> bool:
    raise ANY[value]


@workflow
async def leave_durably(ctx: Context, value: int) -> int:
    raise ANY[value]


FLOWS = {
    "step": chain(leave),
    "thread": chain(leave_in_a_thread),
    "call": chain(leave_within_a_call),
    "beside others": chain(keep).then(parallel(leave, keep)),
    "condition": chain(branch(leave_deciding, keep, keep)),
    "durable function": leave_durably,
}


@pytest.mark.parametrize("number", range(len(ANY)))
@pytest.mark.parametrize("place", FLOWS)
async def test_whatever_user_code_raises_ends_the_run_as_failed(place: str, number: int) -> None:
    flow: Any = FLOWS[place]
    async with in_memory() as app:
        handle = await app.start(flow(number))
        with pytest.raises(RunFailed):
            await handle.result()
        assert (await handle.status()).status == "failed"
        assert not app.engine.drivers


async def test_a_hook_that_raises_whatever_it_likes_is_a_failed_hook() -> None:
    @before(critical=True)
    def go_away(event: Any) -> None:
        raise GeneratorExit

    async with in_memory(hooks=[go_away]) as app:
        with pytest.raises(RunFailed) as caught:
            await app.run(chain(keep)(1))
    assert caught.value.failure.code == "hook_failed"


def attempt_of(task: asyncio.Task[Any] | None) -> Running:
    flight = SimpleNamespace(under_way={("a", 1): (None, None)} if task else {})
    driver = SimpleNamespace(flight=flight, task=task)
    return cast("Running", SimpleNamespace(driver=driver, path="a", number=1))


async def test_a_coroutine_that_nobody_awaits_any_more_is_told_from_a_step_that_raises() -> None:
    mine = attempt_of(asyncio.current_task())
    assert not is_closed(mine)
    assert is_closed(attempt_of(None))
    assert await asyncio.to_thread(is_closed, mine)


# --- what it was raised from


def raise_chained(value: int) -> int:
    try:
        try:
            raise TimeoutError("innermost")
        except TimeoutError as error:
            raise KeyError("inner") from error
    except KeyError as error:
        raise ValueError("outer") from error


@step
def chained(value: int) -> int:
    return raise_chained(value)


def causes(error: BaseException) -> list[str]:
    found: list[str] = []
    at = error.__cause__
    while at is not None:
        found.append(type(at).__name__)
        at = at.__cause__
    return found


async def test_what_an_error_was_raised_from_is_seen_live_and_after_it() -> None:
    memory = Memory()
    async with in_memory(memory) as app:
        handle = await app.start(chain(chained)(1), id="r")
        with pytest.raises(RunFailed) as live:
            await handle.result()
    async with in_memory(memory) as app:
        with pytest.raises(RunFailed) as later:
            await (await app.handle("r")).result()
    assert causes(live.value) == causes(later.value) == ["ValueError", "KeyError", "TimeoutError"]


async def test_a_durable_function_sees_what_a_failed_call_was_raised_from() -> None:
    @workflow
    async def looking(ctx: Context, value: int) -> list[str]:
        try:
            await chained(value)
        except ValueError as error:
            return causes(error)
        return []

    assert await looking(1) == ["KeyError", "TimeoutError"]


# --- current() in the body of a durable function

Use = Callable[[], Coroutine[Any, Any, Any]]


async def call() -> Any:
    return await current().call(charge, 1)


async def key() -> Any:
    return current().idempotency_key


async def plain() -> Any:
    return await call_from_a_step.fn(1)


charged: list[int] = []


async def charge(value: int) -> int:
    charged.append(value)
    return value


@step
async def call_from_a_step(value: int) -> int:
    return await current().call(charge, value)


@pytest.mark.parametrize("use", [call, key, plain])
async def test_a_durable_function_is_no_step_that_calls_and_has_a_key(use: Use) -> None:
    charged.clear()

    @workflow
    async def mistaken(ctx: Context) -> Any:
        return await use()

    async with in_memory() as app:
        with pytest.raises(RunFailed) as caught:
            await app.run(mistaken())
    assert caught.value.failure.code == "usage"
    assert "await the @step itself" in caught.value.failure.message
    assert charged == []


async def test_a_durable_function_that_a_step_runs_is_not_taken_for_that_step() -> None:
    @workflow
    async def inner(ctx: Context) -> str:
        return current().path

    @step
    async def outer(value: int) -> str:
        return await inner()

    with pytest.raises(RipresaError) as caught:
        await chain(outer)(1)
    assert "current() belongs to steps" in str(caught.value)


async def test_steps_of_a_durable_function_have_their_own_context() -> None:
    asked = Query("asked", str)

    @step
    async def where(value: int) -> str:
        return current().path

    @workflow
    async def fine(ctx: Context) -> list[str]:
        def answer() -> str:
            return current().path

        ctx.expose(asked, answer)
        return [await where(1), *await ctx.map(where, [2]), *await chain(map_each(where))([3])]

    async with in_memory() as app:
        handle = await app.start(fine())
        assert len(await handle.result()) == 3
        with pytest.raises(RipresaError) as caught:
            await handle.query(asked)
    assert caught.value.code == "query_failed"


# --- what nobody can mean


@pytest.mark.parametrize(
    ("told", "what"),
    [
        (("x",), "completed is 'x'"),
        ((float("nan"),), "completed is nan"),
        ((-1, float("inf")), "completed is -1, .*; total is inf"),
    ],
)
def test_progress_is_told_in_numbers(told: Any, what: str) -> None:
    with pytest.raises(InvalidConfig, match=what):
        current().progress(*told)
    current().progress(1)
    current().progress(0, 0)


async def test_runs_are_asked_for_by_statuses_that_there_are_and_begun_under_ids_that_are_texts() -> None:
    number: Any = 3
    async with in_memory() as app:
        with pytest.raises(InvalidConfig, match=r"status has runing \(did you mean running\?\)"):
            await app.runs(status="runing")
        with pytest.raises(InvalidConfig, match="id is 3, must be a printable text"):
            await app.start(chain(keep)(1), id=number)
        assert (await app.runs(status=["waiting", "completed"])).runs == ()


async def test_an_executor_that_nobody_has_is_told_before_anything_runs() -> None:
    ran: list[int] = []

    @step
    def first(number: int) -> int:
        ran.append(number)
        return number

    @step(effect="reversible")
    def put(number: int) -> int:
        return number

    put.undo(step(executor="mars")(forget))
    elsewhere = step(executor="thread")(leave_in_a_thread.fn)
    flow = chain(first).then(put).then(elsewhere)
    async with in_memory() as app:
        for call in (app.run(flow(1)), flow(1), anext(flow.stream(1))):
            with pytest.raises(InvalidWorkflow) as caught:
                await call
            assert [(problem.where, problem.code) for problem in caught.value.problems] == [
                ("chain/put/forget", "unknown_executor"),
                ("chain/leave_in_a_thread", "unknown_executor"),
            ]
        assert "run in threads by themselves" in caught.value.hint
        assert (await app.runs()).runs == ()
    assert ran == []


def forget(number: int) -> None:
    """Undoes nothing."""


async def test_an_executor_that_a_durable_function_asks_for_fails_its_call() -> None:
    elsewhere = step(executor="thread")(leave_in_a_thread.fn)

    @workflow
    async def asks(ctx: Context) -> int:
        return int(await elsewhere(1))

    async with in_memory() as app:
        with pytest.raises(RunFailed) as caught:
            await app.run(asks())
    assert caught.value.failure.code == "unknown_executor"
    assert caught.value.failure.message == "there is no executor named 'thread'; there are auto, process"


# --- what is no failure of the user's code


def raising(error: BaseException) -> Callable[..., Any]:
    def raises(*_: Any) -> Any:
        raise error

    return raises


async def test_an_interrupt_from_the_keyboard_is_nobodys_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted = raising(KeyboardInterrupt())
    nobody: Any = SimpleNamespace(_border=None, state=SimpleNamespace(at=7))
    ask = Ask("p", "which", NULL)
    for place in (driver, real_code):
        monkeypatch.setattr(place, "answered", interrupted)
    with pytest.raises(KeyboardInterrupt):
        driver.Driver.answer(nobody, ask)
    with pytest.raises(KeyboardInterrupt):
        real_code.RealCode.answer(nobody, ask)
    monkeypatch.setattr(real_code, "answered", raising(SystemExit(3)))
    told = real_code.RealCode.answer(nobody, ask)
    assert isinstance(told, AnswerFailed)
    assert (told.at, told.path, told.failure.types[0]) == (7, "p", "SystemExit")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), GeneratorExit()])
async def test_nor_is_it_in_a_step_that_finds_out_what_it_did(
    monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    monkeypatch.setattr(reconciling, "_called", raising(error))
    monkeypatch.setattr(reconciling, "is_closed", lambda _: True)
    looking: Any = SimpleNamespace(driver=SimpleNamespace(stopping=False), step=SimpleNamespace(reconciler=None))
    with pytest.raises(type(error)):
        await reconciling.found_out(looking)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), GeneratorExit()])
async def test_nor_is_it_in_a_step(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    monkeypatch.setattr(attempts, "_called", raising(error))
    monkeypatch.setattr(attempts, "is_closed", lambda _: True)
    options = SimpleNamespace(effect="read", timeout=None)
    bound = SimpleNamespace(step=SimpleNamespace(options=options, in_loop=False))
    border = SimpleNamespace(budget=None, clock=None, note_start=lambda _: None)
    running: Any = SimpleNamespace(driver=border, path="p", number=1, bound=bound)
    with pytest.raises(type(error)):
        await attempts._run(running)


async def test_nor_is_it_in_a_hook_or_in_the_answer_to_a_query() -> None:
    asked = Query("asked", int)

    @workflow
    async def exposing(ctx: Context) -> None:
        ctx.expose(asked, raising(KeyboardInterrupt()))
        await ctx.sleep("1 d")

    async with in_memory() as app:
        with pytest.raises(KeyboardInterrupt):
            await app.start(chain(keep).with_hooks(Hook("before", raising(KeyboardInterrupt())))(1))
        handle = await app.start(exposing())
        with pytest.raises(KeyboardInterrupt):
            await handle.query(asked)


def test_a_slice_of_a_function_that_is_not_there_is_found_out_and_what_is_another_one_is_said() -> None:
    state: Any = SimpleNamespace(frames={}, definition=SimpleNamespace(name="w"))
    nothing: Any = None
    with pytest.raises(Nondeterminism, match="there is no durable function here"):
        functions.Functions(state, nothing, nothing).replay(Returned(1, "p", NULL), strict=True)
    with pytest.raises(Nondeterminism, match="had begun anew, now it has returned"):
        functions._compare(Restarted(1, "p", NULL), Returned(1, "p", NULL), "w")
