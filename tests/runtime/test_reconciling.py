"""An irreversible step that ended without a report waits for who knows what it did; it is never repeated blindly."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from ripresa import (
    App,
    Context,
    Handle,
    RunFailed,
    RunNotFound,
    StepError,
    Unknown,
    chain,
    current,
    parallel,
    step,
    workflow,
)
from ripresa.core.events import Reconciled
from ripresa.errors import InvalidConfig, InvalidValue, RipresaError
from ripresa.runtime import reconciling
from ripresa.stores.memory import Memory, MemoryStore

from .stage import in_memory, journal_of, turns

ENTERED: list[str] = []
ASKED: list[str] = []


@pytest.fixture(autouse=True)
def clean() -> None:
    ENTERED.clear()
    ASKED.clear()


@dataclass
class Receipt:
    number: int


@step(effect="irreversible", retry=5)
async def pay(amount: int) -> Receipt:
    ENTERED.append(current().idempotency_key)
    if len(ENTERED) == 1:
        await asyncio.Event().wait()
    return Receipt(amount)


@step
async def book(receipt: Receipt) -> int:
    return receipt.number


buy = chain(pay).then(book)


@workflow
async def buying(ctx: Context, amount: int) -> int:
    return await book(await pay(amount))


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await turns(1)


async def left(memory: Memory, call: Any, count: int = 1) -> None:
    """A run whose process ends while the step is under way."""
    async with in_memory(memory) as app:
        await app.start(call, id="r")
        await until(lambda: len(ENTERED) >= count)


async def parked(app: App, flow: Any, path: str = "pay") -> Handle[Any]:
    handle = await app.resume("r", flow)
    while (await handle.status()).parked != [path]:
        await turns(1)
    return handle


@pytest.mark.parametrize("flow", [buy, buying], ids=["chain", "durable function"])
async def test_a_person_says_what_it_returned(flow: Any) -> None:
    memory = Memory()
    await left(memory, flow(7))
    async with in_memory(memory) as app:
        handle = await parked(app, flow)
        await handle.reconcile("pay", completed=Receipt(8), by="eva")
        assert await handle.result() == 8
        said = [event for event in await journal_of(handle) if isinstance(event, Reconciled)]
    assert [(fact.verdict, fact.by) for fact in said] == [("completed", "eva")]
    assert len(ENTERED) == 1


async def test_a_person_says_that_it_failed() -> None:
    memory = Memory()
    await left(memory, buy(7))
    async with in_memory(memory) as app:
        handle = await parked(app, buy)
        await handle.reconcile("pay", failed="the bank refused", by="eva")
        with pytest.raises(RunFailed, match="the bank refused"):
            await handle.result()


async def test_it_is_tried_again_under_the_same_key_only_if_a_person_says_so() -> None:
    memory = Memory()
    await left(memory, buy(7))
    async with in_memory(memory) as app:
        handle = await parked(app, buy)
        await handle.reconcile("pay", retry=True, by="eva")
        assert await handle.result() == 7
    assert ENTERED == ["r/pay", "r/pay"]


async def test_of_two_people_who_answer_at_once_the_second_hears_so() -> None:
    memory = Memory()
    await left(memory, buy(7))
    async with in_memory(memory) as app:
        handle = await parked(app, buy)
        answers = (
            handle.reconcile("pay", completed=Receipt(8), by="eva"),
            handle.reconcile("pay", completed=Receipt(8), by="eva"),  # the same once more is no contradiction
            handle.reconcile("pay", completed=Receipt(9), by="eva"),
            handle.reconcile("pay", failed="the bank refused", by="ben"),
        )
        heard = await asyncio.gather(*answers, return_exceptions=True)
        assert list(heard[:2]) == [None, None]
        for error in heard[2:]:
            assert isinstance(error, RipresaError)
            assert error.code == "invalid_state"
            assert "eva said 'completed'" in error.message
        assert await handle.result() == 8


async def test_an_answer_by_the_inbox_hears_of_one_that_came_before_it() -> None:
    memory = Memory()
    await left(memory, buy(7))
    async with in_memory(memory) as app, in_memory(memory) as other:
        handle = await parked(app, buy)
        elsewhere = await other.handle("r", buy)
        second = asyncio.create_task(elsewhere.reconcile("pay", retry=True, by="ben"))
        while not await app.store.pending(["r"]):
            await turns(1)
        await handle.reconcile("pay", failed="the bank refused", by="eva")
        with pytest.raises(RipresaError, match="came too late: eva said 'failed'") as caught:
            await second
        assert caught.value.code == "invalid_state"


async def test_an_answer_to_a_run_that_was_cancelled_meanwhile_hears_so() -> None:
    memory = Memory()
    await left(memory, buy(7))
    async with in_memory(memory) as app, in_memory(memory) as other:
        handle = await parked(app, buy)
        elsewhere = await other.handle("r", buy)
        second = asyncio.create_task(elsewhere.reconcile("pay", retry=True, by="ben"))
        while not await app.store.pending(["r"]):
            await turns(1)
        await handle.cancel()
        with pytest.raises(RipresaError, match="came too late: the run is cancelled") as caught:
            await second
        assert caught.value.code == "invalid_state"


async def test_an_answer_that_nobody_takes_up_in_time_is_left_with_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciling, "PATIENCE", 0)
    memory = Memory()
    await left(memory, buy(7))
    async with in_memory(memory) as app, in_memory(memory) as other:
        handle = await parked(app, buy)
        await (await other.handle("r", buy)).reconcile("pay", completed=Receipt(8), by="ben")
        assert await handle.result() == 8


async def test_what_the_step_could_not_return_and_what_is_not_asked_is_refused() -> None:
    memory = Memory()
    await left(memory, buy(7))
    async with in_memory(memory) as app:
        handle = await parked(app, buy)
        with pytest.raises(InvalidValue):
            await handle.reconcile("pay", completed="seven", by="eva")
        with pytest.raises(RipresaError, match="it waits for: pay") as caught:
            await handle.reconcile("book", completed=7, by="eva")
        assert caught.value.code == "not_available"
        wrongs: tuple[dict[str, Any], ...] = ({}, {"completed": 1, "retry": True}, {"completed": None, "failed": ""})
        for wrong in wrongs:
            with pytest.raises(InvalidConfig, match="one of"):
                await handle.reconcile("pay", **wrong, by="eva")
        nobody: Any = Handle(app.engine, "nobody", int, handle._links)  # pyright: ignore[reportPrivateUsage]
        with pytest.raises(RunNotFound):
            await nobody.reconcile("pay", retry=True, by="eva")


async def test_an_answer_from_elsewhere_comes_by_the_inbox() -> None:
    memory = Memory()
    await left(memory, buy(7))
    async with in_memory(memory) as app, in_memory(memory) as other:
        handle = await parked(app, buy)
        await (await other.handle("r", buy)).reconcile("pay", completed={"number": 9}, by="eva")
        await app.engine.inbox.collect()
        assert await handle.result() == 9


async def test_a_parked_run_leaves_memory_and_is_taken_up_for_the_answer() -> None:
    memory = Memory()
    await left(memory, buy(7))
    async with App(MemoryStore(memory), linger=0, patience=0.05) as app:
        handle = await app.resume("r", buy)
        await until(lambda: not app.engine.drivers)
        head = await app.store.find_run("r")
        assert head is not None
        assert head.status == "waiting"
        await handle.reconcile("pay", completed=Receipt(8), by="eva")
        assert await handle.result() == 8


async def test_a_timeout_parks_it_too_and_holds_up_nobody_else() -> None:
    @step(effect="irreversible", timeout=0.01)
    async def slow(amount: int) -> int:
        await asyncio.Event().wait()
        return amount

    @step
    async def other(amount: int) -> int:
        ENTERED.append("other")
        return amount

    async with in_memory() as app:
        handle = await app.start(parallel(slow, other)(7), id="r")
        while (await handle.status()).parked != ["slow"]:
            await turns(1)
        assert ENTERED == ["other"]
        await handle.reconcile("slow", completed=1, by="eva")
        assert await handle.result() == (1, 7)


# --- the step's own function


def payment(answer: Any) -> Any:
    """A flow whose step knows how to find out what it did."""

    @step(effect="irreversible")
    async def charge(amount: int) -> int:
        ENTERED.append("charge")
        await asyncio.Event().wait()
        return amount

    charge.reconcile(answer)
    return chain(charge)


@pytest.mark.parametrize("is_async", [True, False])
async def test_the_steps_own_function_knows_what_it_did(is_async: bool) -> None:
    def look(amount: int) -> int:
        ASKED.append(current().idempotency_key)
        return amount + 1

    async def look_async(amount: int) -> int:
        return look(amount)

    memory, flow = Memory(), payment(look_async if is_async else look)
    await left(memory, flow(7))
    async with in_memory(memory) as app:
        assert await (await app.resume("r", flow)).result() == 8
    assert (ASKED, ENTERED) == (["r/charge"], ["charge"])


async def test_what_it_raises_is_how_the_step_failed() -> None:
    async def look(amount: int) -> int:
        raise StepError(f"no payment of {amount}")

    memory, flow = Memory(), payment(look)
    await left(memory, flow(7))
    async with in_memory(memory) as app:
        with pytest.raises(RunFailed, match="no payment of 7"):
            await (await app.resume("r", flow)).result()


@pytest.mark.parametrize("answer", [Unknown, Unknown(), "not a number"], ids=repr)
async def test_where_it_does_not_know_a_person_decides(answer: Any) -> None:
    async def look(amount: int) -> Any:
        ASKED.append("look")
        return answer

    memory, flow = Memory(), payment(look)
    await left(memory, flow(7))
    async with in_memory(memory) as app:
        handle = await parked(app, flow, "charge")
        await turns(5)
        assert ASKED == ["look"]
        await handle.reconcile("charge", completed=3, by="eva")
        assert await handle.result() == 3


async def test_a_process_that_ends_while_it_looks_leaves_it_to_the_next() -> None:
    gate = asyncio.Event()

    async def look(amount: int) -> int:
        ASKED.append("look")
        await gate.wait()
        return 5

    memory, flow = Memory(), payment(look)
    await left(memory, flow(7))
    async with in_memory(memory) as app:
        await app.resume("r", flow)
        await until(lambda: bool(ASKED))
    async with in_memory(memory) as app:
        await app.resume("r", flow)
    gate.set()
    async with in_memory(memory) as app:
        assert await (await app.resume("r", flow)).result() == 5
    assert ASKED[0] == "look"


async def test_a_reconciliation_with_a_state_sees_it() -> None:
    @dataclass
    class Till:
        total: int = 3

    async def look(amount: int) -> int:
        return amount

    memory = Memory()
    flow = payment(look).with_state(Till)
    await left(memory, flow(7))
    async with in_memory(memory) as app:
        assert await (await app.resume("r", flow)).result() == 7


def test_only_an_irreversible_step_is_reconciled_and_once() -> None:
    @step
    async def plain(amount: int) -> int:
        return amount

    with pytest.raises(InvalidConfig, match="simply repeated"):
        plain.reconcile(lambda amount: amount)

    @step(effect="irreversible")
    async def charge(amount: int) -> int:
        return amount

    @charge.reconcile
    async def look(amount: int) -> int:
        return amount

    assert charge.with_(name="other").reconciler is look
    with pytest.raises(InvalidConfig, match="already"):
        charge.reconcile(look)


def test_the_end_of_the_loop_leaves_it_as_it_is() -> None:
    async def look(amount: int) -> int:
        ASKED.append("look")
        await asyncio.Event().wait()
        return amount

    memory, flow = Memory(), payment(look)

    async def torn() -> None:
        app = await in_memory(memory).__aenter__()
        await app.resume("r", flow)
        await until(lambda: bool(ASKED))

    async def seen() -> list[str]:
        async with in_memory(memory) as app:
            return (await (await app.handle("r", flow)).status()).parked

    asyncio.run(left(memory, flow(7)))
    asyncio.run(torn())
    assert asyncio.run(seen()) == ["charge"]
