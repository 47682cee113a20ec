"""What a run had used, what people said of its steps, and what nobody knows yet, is as it was after a migration."""

from contextlib import suppress
from copy import deepcopy
from typing import Any, cast

import pytest

from ripresa import (
    App,
    BeforeStep,
    Context,
    Failure,
    Graph,
    Handle,
    LimitReaching,
    Limits,
    Migration,
    Redirect,
    RunFailed,
    RunForm,
    Step,
    before,
    chain,
    current,
    delay,
    fallback,
    for_range,
    intercept,
    migration,
    step,
    workflow,
)
from ripresa.core.events import LimitReached, Migrated
from ripresa.core.replay import lineage
from ripresa.core.usage import used_in
from ripresa.errors import RipresaError
from ripresa.runtime.forms import causes
from ripresa.stores.memory import Memory
from ripresa.testing.clock import START
from tests.runtime.stage import Tally, in_memory, on_clock, turns

UP = Migration("flow", "1", "2")
DONE: list[str] = []


@pytest.fixture(autouse=True)
def clean() -> None:
    DONE.clear()


@step
async def inc(value: int) -> int:
    DONE.append("inc")
    current().usage(tokens=10, cost=0.5)
    return value + 1


@step
async def grow(value: int, index: int) -> int:
    current().usage(tokens=10)
    return value + 1


@step
async def double(value: int) -> int:
    DONE.append("double")
    return 2 * value


def held(tally: Tally, **options: Any) -> Any:
    """A step that waits until the test lets it go."""

    @step(name="hold", **options)
    async def hold(value: int) -> int:
        DONE.append("hold")
        await tally.visit()
        return value

    return hold


def chained(version: str, first: Any, second: Any) -> Any:
    made = chain(cast("Step[[int], int]", first), name="flow", version=version).then(cast("Step[[int], int]", second))
    return made if version == "1" else made.then(double)


def wired(version: str, first: Any, second: Any) -> Any:
    graph = Graph("flow", input=int, version=version)
    begun = graph.add(first(value=graph.input))
    last = graph.add(second(value=begun.out))
    return graph.returns(last.out if version == "1" else graph.add(double(value=last.out)).out)


def dynamic(version: str, first: Any, second: Any) -> Any:
    @workflow(name="flow", version=version)
    async def flow(ctx: Context, value: int) -> int:
        found = await second(await first(value))
        return found if version == "1" else await double(found)

    return flow


FORMS = pytest.mark.parametrize("form", [chained, wired, dynamic], ids=["chain", "graph", "function"])


async def until(handle: Handle[Any], status: str) -> None:
    while (await handle.status()).status != status:
        await turns(1)


async def events(app: App) -> list[Any]:
    """The line of the run."""
    return [item.event for item in lineage(list(await app.engine.history("r")))]


async def used(app: App) -> dict[str, float]:
    """What counts as used by the journal of the run."""
    return used_in(await events(app))[1]


async def left(memory: Memory, flow: Any, tally: Tally, **options: Any) -> None:
    """A run whose process ended while its step was held."""
    async with in_memory(memory) as app:
        await app.start(flow(1), id="r", **options)
        await tally.reach(1)
    DONE.clear()


# --- limits


@FORMS
async def test_a_run_that_a_limit_has_paused_stays_so_until_it_is_allowed_more(form: Any) -> None:
    memory, second = Memory(), inc.with_(name="second")
    async with in_memory(memory) as app:
        handle = await app.start(form("1", inc, second)(1), id="r", limits=Limits(steps=1, on_exceeded="ask"))
        await until(handle, "paused")
        before = await used(app)
    async with in_memory(memory, migrations=[UP]) as app:
        new = form("2", inc, second)
        report = await app.migrate("r", new)
        assert (report.status, report.taken, report.ahead) == ("paused", ("inc",), ("second",))
        assert await used(app) == before
        assert {**before, "steps": 1, "operations": 1, "tokens": 10, "money": 0.5} == before
        handle = await app.resume("r", new)
        view = await handle.status()
        assert (view.status, view.limit, view.tokens, view.cost) == ("paused", "steps", 10, 0.5)
        with pytest.raises(RipresaError):
            await handle.resume()
        await handle.allow(Limits(steps=2, on_exceeded="pause"))
        while len([event for event in await events(app) if isinstance(event, LimitReached)]) < 2:
            await turns(1)
        await handle.allow(Limits(steps=3))
        assert await handle.result() == 6
        assert {**await used(app), "steps": 3, "operations": 3, "tokens": 20, "money": 1.0} == await used(app)
        assert DONE == ["inc", "inc", "double"]


@FORMS
async def test_what_was_used_stays_used_and_a_step_in_flight_counts_as_one_step(form: Any) -> None:
    memory, tally = Memory(), Tally()
    hold = held(tally)
    await left(memory, form("1", inc, hold), tally, limits=Limits(steps=2))
    tally.open()
    async with in_memory(memory, migrations=[UP]) as app:
        new = form("2", inc, hold)
        await app.migrate("r", new)
        counts = await used(app)
        assert (counts["steps"], counts["operations"], counts["tokens"]) == (2, 3, 10)
        outcome = await (await app.resume("r", new)).outcome()
        assert isinstance(outcome.error, RunFailed)
        assert (outcome.error.failure.code, DONE) == ("limit_exceeded", ["hold"])


async def test_iterations_that_are_told_again_are_not_used_again_and_other_limits_hold() -> None:
    memory, tally = Memory(), Tally()
    hold = held(tally)

    def flow(version: str) -> Any:
        made = chain(for_range(grow, 0, 3), name="flow", version=version).then(hold)
        return made if version == "1" else made.then(double)

    async with in_memory(memory) as app:
        handle = await app.start(flow("1")(1), id="r", limits=Limits(iterations=3))
        await tally.reach(1)
        await handle.allow(Limits(iterations=4, steps=5))
    async with in_memory(memory, migrations=[UP]) as app:
        await app.migrate("r", flow("2"))
        counts = await used(app)
        assert (counts["iterations"], counts["steps"]) == (3, 4)
        tally.open()
        handle = await app.resume("r", flow("2"))
        assert (await handle.result(), (await handle.status()).tokens) == (8, 30)


async def test_a_session_is_charged_once_for_what_was_in_flight() -> None:
    memory, tally = Memory(), Tally()
    hold = held(tally)
    async with in_memory(memory) as app:
        await app.sessions.create("s", limits=Limits(steps=3, concurrency=1))
    await left(memory, chained("1", inc, hold), tally, session="s")
    tally.open()
    async with in_memory(memory, migrations=[UP]) as app:
        new = chained("2", inc, hold)
        await app.migrate("r", new)
        assert await (await app.resume("r", new)).result() == 4
        assert (await app.sessions.used("s"))["steps"] == 3


@pytest.mark.parametrize("status", ["running", "failed"])
async def test_the_time_that_a_run_has_goes_on_unless_it_had_failed(status: str) -> None:
    memory = Memory()

    @step(name="hold")
    async def hold(value: int) -> int:
        DONE.append("hold")
        if status == "failed" and len(DONE) == 1:
            raise ValueError("no")
        return value

    old = chain(hold, name="flow").then(delay(50, name="pause"))
    new = chain(hold, name="flow", version="2").then(delay(50, name="pause")).then(double)
    async with on_clock(memory) as (app, clock):
        handle = await app.start(old(1), id="r", timeout=100, limits=Limits(wall_time=1000))
        while (await handle.status()).status != status or not (await handle.status()).completed + (status == "failed"):
            await turns(1)
        clock.advance(10)
    async with on_clock(memory, at=clock.now(), migrations=[UP]) as (app, clock):
        await app.migrate("r", new)
        view = await (await app.handle("r", new)).status()
        assert view.deadline - START == (110_000_000 if status == "failed" else 100_000_000)
        assert view.allowed == 100_000_000
        handle = await app.resume("r", new)
        await turns(5)
        assert START + 1_000_000_000 in clock.waiting()
        assert view.deadline in clock.waiting()
        await handle.cancel()


async def test_what_was_under_way_in_a_paused_run_waits_until_it_goes_on() -> None:
    memory, tally = Memory(), Tally()
    hold = held(tally)
    async with in_memory(memory) as app:
        handle = await app.start(chained("1", inc, hold)(1), id="r")
        await tally.reach(1)
        await handle.pause(by="ben")
        await handle.resume()
        await handle.pause(by="eva")
    async with in_memory(memory, migrations=[UP]) as app:
        new = chained("2", inc, hold)
        assert (await app.migrate("r", new)).status == "paused"
        handle = await app.resume("r", new)
        await turns(20)
        assert tally.entered == 1
        tally.open()
        await handle.resume()
        assert await handle.result() == 4


async def test_a_limit_at_a_step_that_is_gone_holds_the_run_as_a_whole() -> None:
    memory = Memory()
    async with in_memory(memory) as app:
        handle = await app.start(
            chained("1", inc, inc.with_(name="second"))(1), id="r", limits=Limits(steps=1, on_exceeded="pause")
        )
        await until(handle, "paused")
    async with in_memory(memory, migrations=[UP]) as app:
        new = chained("2", inc, inc.with_(name="other"))
        assert (await app.migrate("r", new)).status == "paused"
        handle = await app.resume("r", new)
        await turns(10)
        assert (await handle.status()).status == "paused"
        await handle.allow(Limits(steps=3))
        assert await handle.result() == 6


# --- what people said, and what nobody knows


async def parked(memory: Memory, flow: Any, tally: Tally, verdict: dict[str, Any]) -> None:
    """A run with a step that was parked and about which somebody said this; it is left at the step after it."""
    await left(memory, flow, tally)
    async with in_memory(memory) as app:
        handle = await app.resume("r", flow)
        while not (await handle.status()).parked:
            await turns(1)
        if verdict:
            await handle.reconcile((await handle.status()).parked[0], **verdict, by="eva")
            await tally.reach(2)
    DONE.clear()


@FORMS
async def test_a_step_of_which_somebody_said_what_it_returned_is_not_run_again(form: Any) -> None:
    memory, tally = Memory(), Tally()
    hold, rest = held(tally, effect="irreversible"), held(tally)
    await parked(memory, form("1", hold, rest.with_(name="rest")), tally, {"completed": 5})
    tally.open()
    async with in_memory(memory, migrations=[UP]) as app:
        new = form("2", hold, rest.with_(name="rest"))
        report = await app.migrate("r", new, dry_run=True)
        assert (report.taken, report.ahead) == (("hold",), ("rest",))
        await app.migrate("r", new)
        assert (await (await app.resume("r", new)).result(), DONE) == (10, ["hold", "double"])


@pytest.mark.parametrize("forgets", [False, True])
async def test_a_step_of_which_somebody_said_that_it_failed_fails_again(forgets: bool) -> None:
    memory, tally = Memory(), Tally()
    hold, rest = held(tally, effect="irreversible"), held(tally)
    named = rest.with_(name="rest")

    def flow(version: str) -> Any:
        made = chain(fallback(hold, inc, name="either"), name="flow", version=version).then(named)
        return made if version == "1" else made.then(double)

    await parked(memory, flow("1"), tally, {"failed": "the bank refused"})
    tally.open()

    @migration("flow", from_="1", to="2")
    def up(run: RunForm) -> None:
        assert [*run.failures] == ["either/hold"]
        assert run.failures["either/hold"].message == "the bank refused"
        if forgets:
            run.forget("either/hold")

    async with in_memory(memory, migrations=[up]) as app:
        await app.migrate("r", flow("2"))
        assert await (await app.resume("r", flow("2"))).result() == (2 if forgets else 4)
        assert (["hold", "hold", "double"] if forgets else ["hold", "double"]) == DONE


async def test_a_run_that_failed_of_what_somebody_said_tries_it_again_in_its_new_version() -> None:
    memory, tally = Memory(), Tally()
    hold = held(tally, effect="irreversible")
    await left(memory, chained("1", hold, inc), tally)
    async with in_memory(memory) as app:
        handle = await app.resume("r", chained("1", hold, inc))
        while not (await handle.status()).parked:
            await turns(1)
        await handle.reconcile("hold", failed="the bank refused", by="eva")
        await handle.outcome()
    tally.open()
    async with in_memory(memory, migrations=[UP]) as app:
        new = chained("2", hold, inc)
        await app.migrate("r", new)
        assert await (await app.resume("r", new)).result() == 4


@FORMS
@pytest.mark.parametrize("known", [False, True], ids=["in flight", "parked"])
async def test_a_step_of_which_nobody_knows_what_it_did_waits_for_who_does(form: Any, known: bool) -> None:
    memory, tally = Memory(), Tally()
    hold = held(tally, effect="irreversible")
    if known:
        await parked(memory, form("1", inc, hold), tally, {})
    else:
        await left(memory, form("1", inc, hold), tally)
    async with in_memory(memory, migrations=[UP]) as app:
        with pytest.raises(RipresaError) as caught:
            await app.migrate("r", form("2", inc, inc.with_(name="other")))
        assert (caught.value.code, caught.value.where) == ("effects_undecided", "hold")
        new = form("2", inc, hold)
        await app.migrate("r", new)
        handle = await app.resume("r", new)
        assert (await handle.status()).parked == ["hold"]
        await handle.reconcile("hold", completed=5, by="eva")
        assert (await handle.result(), tally.entered) == (10, 1)


async def test_an_irreversible_call_that_was_recorded_is_handed_to_the_next_attempt_or_the_run_is_refused() -> None:
    memory, tally = Memory(), Tally()

    @step(effect="irreversible")
    async def pay(value: int) -> int:
        DONE.append("pay")
        return value + 1

    @step(name="agent")
    async def agent(value: int) -> int:
        found = await current().call(pay, value)
        await tally.visit()
        return found

    await left(memory, chained("1", inc, agent), tally)
    tally.open()
    async with in_memory(memory, migrations=[UP]) as app:
        with pytest.raises(RipresaError) as caught:
            await app.migrate("r", chained("2", inc, inc.with_(name="other")))
        assert (caught.value.code, caught.value.where) == ("effects_undecided", "agent")
        new = chained("2", inc, agent)
        await app.migrate("r", new)
        assert (await (await app.resume("r", new)).result(), DONE) == (6, ["double"])


async def test_a_run_is_migrated_twice_and_what_it_used_and_told_is_still_known() -> None:
    memory, tally = Memory(), Tally()

    @step
    async def tells(value: int) -> int:
        current().save_artifact("note", b"text")
        return value

    hold = held(tally)
    await left(memory, chained("1", tells, hold), tally)
    async with in_memory(memory, migrations=[UP, Migration("flow", "2", "3")]) as app:
        await app.migrate("r", chained("2", tells, hold))
        await app.migrate("r", chained("3", tells, hold))
        assert (await used(app))["steps"] == 2
        assert (await (await app.handle("r")).status()).artifacts == 1
        assert isinstance((await events(app))[0], Migrated)


# --- what a killed process leaves


def killed(memory: Memory) -> Memory:
    """What the store holds after a kill at this very moment."""
    found = deepcopy(memory)
    for run in found.runs.values():
        run.owner = ""
    return found


async def test_a_session_is_charged_for_the_attempt_that_a_kill_left_in_flight() -> None:
    memory, tally = Memory(), Tally()
    hold, new = held(tally), chained("2", inc, held(Tally(open=True)))
    async with in_memory(memory) as app:
        await app.sessions.create("s", limits=Limits(operations=5))
        await app.start(chained("1", inc, hold)(1), id="r", session="s")
        await tally.reach(1)
        memory = killed(memory)
    async with in_memory(memory, migrations=[UP]) as app:
        await app.migrate("r", new)
        assert await app.sessions.used("s") == {"operations": 2, "steps": 2, "tokens": 10, "money": 0.5}
        assert await (await app.resume("r", new)).result() == 4
        assert (await app.sessions.used("s"))["operations"] == 4
        assert memory.held["s"] == {}


async def test_a_pause_that_a_hook_made_of_a_limit_stays_and_hooks_are_asked_about_the_rest() -> None:
    asked: list[str] = []

    @intercept("limit")
    async def look(reaching: LimitReaching) -> Redirect:
        asked.append(reaching.path)
        return Redirect("pause")

    memory, second = Memory(), inc.with_(name="second")
    async with in_memory(memory, hooks=[look]) as app:
        handle = await app.start(chained("1", inc, second)(1), id="r", limits=Limits(steps=1))
        await until(handle, "paused")
    new = chained("2", inc, second)
    async with in_memory(memory, hooks=[look], migrations=[UP]) as app:
        await app.migrate("r", new)
        handle = await app.resume("r", new)
        await until(handle, "paused")
        await handle.allow(Limits(steps=3))
        assert await handle.result() == 6
    assert asked[0] == "second"


async def test_a_call_that_failed_for_sure_is_tried_again_in_the_new_version() -> None:
    memory, tally = Memory(), Tally()

    @step(effect="irreversible")
    async def pay(value: int) -> int:
        DONE.append("pay")
        if len(DONE) == 1:
            raise ValueError("no")
        return value

    @step(name="agent")
    async def agent(value: int) -> int:
        with suppress(ValueError):
            return await current().call(pay, value)
        await tally.visit()
        return 0

    old, new = chain(agent, name="flow"), chain(agent, name="flow", version="2").then(double)
    async with in_memory(memory) as app:
        await app.start(old(1), id="r")
        await tally.reach(1)
        memory = killed(memory)
    async with in_memory(memory, migrations=[UP]) as app:
        await app.migrate("r", new)
        assert await (await app.resume("r", new)).result() == 2


def test_steps_that_failed_are_known_by_all_that_their_failure_came_of() -> None:
    inner = Failure("b", "", cause=Failure("c", "", path="y"))
    group = Failure("group", "", others=(Failure("a", "", path="x"), inner))
    assert [each.path for each in causes(group)] == ["", "x", "", "y"]


async def test_hooks_that_stand_only_where_the_run_is_migrated_are_asked_in_the_new_version() -> None:
    asked: list[str] = []

    @before("second")
    def look(starting: BeforeStep) -> None:
        asked.append(starting.path)

    memory, second = Memory(), inc.with_(name="second")
    async with in_memory(memory) as app:
        handle = await app.start(chained("1", inc, second)(1), id="r", limits=Limits(steps=1, on_exceeded="pause"))
        await until(handle, "paused")
    new = chained("2", inc, second)
    async with in_memory(memory, hooks=[look], migrations=[UP]) as app:
        await app.migrate("r", new)
        handle = await app.resume("r", new)
        await handle.allow(Limits(steps=3))
        assert await handle.result() == 6
    assert asked == ["second"]
