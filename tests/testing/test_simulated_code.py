"""Real workflows under thousands of seeded schedules: coroutines, conditions, streams, people, compensation, undo."""

from typing import Any

import pytest

from ripresa import (
    Context,
    Retry,
    Signal,
    Update,
    branch,
    chain,
    fallback,
    fold,
    map_each,
    parallel,
    repeat,
    saga,
    step,
    wait_for_update,
    workflow,
)
from ripresa.authoring.routing import Handoff
from ripresa.core.commands import Intercept
from ripresa.core.definition import Definition
from ripresa.core.events import (
    ApprovalDecided,
    Asked,
    Intercepted,
    RequestRefused,
    SignalReceived,
    SignalTaken,
    StepUndone,
    StreamAdvanced,
    UpdateAnswered,
)
from ripresa.core.gates import Gate
from ripresa.core.nodes.approval import Approval, Terms
from ripresa.core.nodes.call import Call
from ripresa.core.nodes.delay import Delay
from ripresa.core.nodes.sequence import Sequence
from ripresa.core.nodes.stream import Stream
from ripresa.errors import StepError
from ripresa.testing.simulator import STORM, Attempt, Discrepancy, Faults, Simulation, Step
from tests.searching import checked

SEEDS = range(1, 151)
STUBBORN = Retry(40, 0.1)
go_on = Signal("go_on", str)


@step
async def add(value: int) -> int:
    raise NotImplementedError


@step
async def double(value: int) -> int:
    raise NotImplementedError


@step
async def plus(total: int, value: int) -> int:
    raise NotImplementedError


@step
async def spread(value: int) -> list[int]:
    raise NotImplementedError


@step
async def rent(value: int) -> int:
    raise NotImplementedError


@rent.undo
async def give_back(value: int) -> None:
    raise NotImplementedError


@step
async def refuse(value: int) -> int:
    raise NotImplementedError


def one(attempt: Attempt) -> Any:
    """The only argument of a step, however it comes."""
    given = attempt.input
    while isinstance(given, list | dict):
        given = given[0] if isinstance(given, list) else next(iter(given.values()))
    return given


def refused(attempt: Attempt) -> Any:
    raise StepError("refused", retryable=False)


def added(attempt: Attempt) -> Any:
    given = attempt.input.values() if isinstance(attempt.input, dict) else attempt.input
    return sum(given)


def flaky(attempt: Attempt) -> Any:
    if attempt.number < 2:
        raise StepError("not yet")
    return 2 * one(attempt)


STEPS: dict[str, Step] = {
    "add": lambda attempt: one(attempt) + 1,
    "double": flaky,
    "plus": added,
    "spread": lambda attempt: list(range(one(attempt), one(attempt) + 4)),
    "rent": lambda attempt: one(attempt) + 1,
    "give_back": lambda attempt: None,
    "refuse": refused,
}


@workflow
async def inner(ctx: Context, value: int) -> int:
    found = await ctx.map(add, [value, value + 1], concurrency=1)
    return await double(sum(found))


@workflow
async def function(ctx: Context, value: int) -> list[int]:
    async def loser() -> int:
        try:
            await ctx.sleep("400 d")
        finally:
            await add(1000)
        return 0

    async def helper(start: int) -> int:
        return await double(await add(start))

    first = await ctx.race(loser(), add(value))
    both = await ctx.gather(helper(first), inner(first), chain(add).then(double)(first))
    numbers = await ctx.map(helper, [1, 2, 3], concurrency=2)
    return [*both, *numbers, ctx.random.randrange(1)]


@workflow
async def block(ctx: Context, value: int) -> int:
    first = await add(value)
    try:
        async with ctx.saga():
            await ctx.gather(rent(first), refuse(await rent(first)))
    except RuntimeError:
        return await double(first)
    except Exception:
        return await double(first)
    return 0


@workflow
async def talk(ctx: Context, value: int) -> list[str]:
    return [await ctx.wait_for(go_on), str(await add(value)), await ctx.wait_for(go_on)]


@step
async def pinger(value: int) -> Handoff[int] | int:
    raise NotImplementedError


FLOWS: dict[str, tuple[Any, Any]] = {
    "chain": (chain(add).then(double).then(branch(lambda value: value > 3, add, double)), 5),
    "map": (chain(spread).then(map_each(chain(add).then(double), concurrency=2)).then(fold(plus, 0)), 28),
    "parallel": (chain(parallel(add, chain(double).then(add), inner)), [2, 3, 10]),
    "repeat": (repeat(chain(add).then(add), until=lambda value: value > 6, at_most=9), 7),
    "saga": (chain(add).then(fallback(saga(chain(rent).then(rent).then(refuse)), add)).then(double), 6),
    "function": (function, [6, 14, 6, 4, 6, 8, 0]),
    "block": (block, 4),
}


@pytest.mark.parametrize("name", FLOWS)
def test_a_real_workflow_ends_as_undisturbed_under_every_schedule(name: str) -> None:
    flow, expected = FLOWS[name]
    simulation = Simulation.of(flow, STEPS, input=1, retry=STUBBORN)
    undisturbed = simulation.run()
    assert (undisturbed.status, undisturbed.output) == ("completed", expected)
    results = checked(simulation, SEEDS)
    assert sum(result.crashes for result in results) > len(SEEDS) / 10


def test_what_a_saga_did_is_undone_whatever_happens() -> None:
    flow, _ = FLOWS["saga"]
    for result in checked(Simulation.of(flow, STEPS, input=1, retry=STUBBORN), SEEDS):
        undone = [item.event.path for item in result.events if isinstance(item.event, StepUndone)]
        assert len(undone) == len(set(undone)) == 2


def test_a_function_is_sent_signals_and_stepped_as_a_coroutine() -> None:
    simulation = Simulation.of(
        talk, STEPS, input=1, retry=STUBBORN, requests=((0, "signal:go_on"), (2, "signal:go_on"))
    )
    results = checked(simulation, SEEDS, Faults(crash=0.2, delay=0.3, duplicate=0.3, reorder=0.5))
    for result in results:
        assert result.output == ["go_on", "2", "go_on"]
        assert any(isinstance(item.event, Asked) for item in result.events)


def test_what_a_flow_takes_of_updates_is_answered_once_each_under_every_schedule() -> None:
    rise, stop = Update("rise", int, int), Update("stop", int, int)
    flow = chain(add).then(wait_for_update(stop, add)).with_update(rise, chain(add).then(double))
    requests = ((0, "update:rise:5"), (1, 'update:rise:"x"'), (2, "update:rise:7"), (3, "update:stop:1"))
    simulation = Simulation.of(flow, STEPS, input=1, retry=STUBBORN, requests=requests)
    found: dict[str, bool] = {}
    for result in simulation.check(SEEDS, Faults(crash=0.2, delay=0.3, duplicate=0.3, reorder=0.5)):
        events = [item.event for item in result.events]
        answers = [event for event in events if isinstance(event, UpdateAnswered)]
        assert [each.id for each in answers if each.name == "rise"] == [
            event.id for event in events if isinstance(event, SignalTaken) and event.signal == "update:rise"
        ]
        assert [each.id for each in answers if each.name == "stop"] == ["update:stop:1"]
        found |= {each.id: each.refused for each in answers}
        assert result.output == 2
    assert found == {
        "update:rise:5": False, 'update:rise:"x"': True, "update:rise:7": False, "update:stop:1": False
    }  # fmt: skip


def test_a_coroutine_that_does_something_else_after_a_crash_is_found() -> None:
    moods: list[int] = []

    @workflow
    async def moody(ctx: Context, value: int) -> int:
        moods.append(1)
        return await (add if len(moods) % 2 else double)(await add(value))

    with pytest.raises(Exception, match=r"a durable function had asked for|asked for .* where"):
        Simulation.of(moody, STEPS, input=1, retry=STUBBORN).check(SEEDS)


def test_a_stream_goes_on_after_the_last_batch_that_was_acknowledged() -> None:
    def pump(attempt: Attempt) -> Any:
        assert attempt.batch > 0
        return attempt.batch * 10 if attempt.batch <= 7 else None

    root = Sequence("root", (Call("add"), Stream("pump"), Call("double")))
    simulation = Simulation(Definition("s", root), {**STEPS, "pump": pump}, input=1, retry=STUBBORN)
    for result in checked(simulation, SEEDS):
        assert result.output == 14
        batches = [item.event for item in result.events if isinstance(item.event, StreamAdvanced)]
        assert [event.batch for event in batches] == [1, 2, 3, 4, 5, 6, 7, 7]
        assert batches[-1].ended == "exhausted"


def test_a_stream_that_repeats_what_was_acknowledged_is_found() -> None:
    class Forgetful(Stream):
        def advanced(self, run: Any, frame: Any, fact: Any) -> None:
            super().advanced(run, frame, fact)
            if fact.batch == 3 and not fact.ended:
                frame.batches = 1

    root = Sequence("root", (Forgetful("pump"),))
    simulation = Simulation(Definition("s", root), {"pump": lambda attempt: attempt.batch}, retry=STUBBORN)
    with pytest.raises(Discrepancy, match="batch 2 of 'pump' is repeated, which was acknowledged"):
        simulation.run()


def test_a_cancelled_stream_ends_in_its_middle() -> None:
    root = Sequence("root", (Stream("pump"),))
    simulation = Simulation(
        Definition("s", root),
        {"pump": lambda attempt: attempt.batch},
        retry=STUBBORN,
        requests=((4, "cancel"),),
    )
    assert {result.status for result in checked(simulation, SEEDS)} == {"cancelled"}


def test_people_answer_approvals_once_each_whenever_they_come() -> None:
    root = Sequence("root", (Approval("ok", Terms("Publish?", quorum=2)), Call("after")))
    votes = ((0, "approve:ok:ann"), (0, "approve:ok:ann"), (0, "approve:ok:bob"), (9, "reject:ok:eva"))
    simulation = Simulation(
        Definition("s", root), {"after": lambda attempt: "done"}, input="x", retry=STUBBORN, requests=votes
    )
    for result in checked(simulation, SEEDS):
        assert result.output == "done"
        assert len([1 for item in result.events if isinstance(item.event, ApprovalDecided)]) == 1


def test_a_finished_run_is_undone_once_under_every_schedule() -> None:
    flow = chain(rent, name="whole").then(add).then(rent.with_(name="rent_again").undone_by(give_back))
    simulation = Simulation.of(
        flow, {**STEPS, "rent_again": STEPS["rent"]}, input=1, retry=STUBBORN, requests=((99, "undo"), (99, "undo"))
    )
    for result in checked(simulation, SEEDS):
        assert result.status == "undone"
        undone = [item.event.path for item in result.events if isinstance(item.event, StepUndone)]
        assert sorted(undone) == ["rent", "rent_again"]


def test_a_seed_gives_the_same_journal_every_time() -> None:
    simulation = Simulation.of(function, STEPS, input=1, retry=STUBBORN)
    assert simulation.run(7, STORM) == simulation.run(7, STORM)


def test_what_is_not_under_way_though_the_run_waits_for_it_is_found() -> None:
    class Silent(Call):
        def open(self, run: Any, frame: Any) -> None:
            super().open(run, frame)
            run.commands.clear()

    root = Sequence("root", (Call("add"), Silent("add#2")))
    with pytest.raises(Discrepancy, match="attempt 1 of 'add#2' is not under way"):
        Simulation(Definition("s", root), STEPS, input=1, retry=STUBBORN).run()


def test_a_timer_that_nobody_minds_though_the_run_waits_for_it_is_found() -> None:
    class Silent(Delay):
        def open(self, run: Any, frame: Any) -> None:
            super().open(run, frame)
            run.commands.clear()

    root = Sequence("root", (Call("add"), Silent("nap", 5)))
    with pytest.raises(Discrepancy, match="nobody minds the timer of 'nap'"):
        Simulation(Definition("s", root), STEPS, input=1, retry=STUBBORN).run()


# --- hooks of real workflows, asked about steps and about requests


@workflow
async def patient(ctx: Context, value: int) -> str:
    number, word = await add(value), await ctx.wait_for(go_on)
    return f"{number} {word}"


def strict(command: Intercept, gate: Gate) -> Intercepted:
    """Nobody may cancel, another signal comes than was sent, and the first result of a step is not taken."""
    answers = {
        "cancel": ("veto", b"null"),
        "signal": ("replace", b'"other"'),
        "after": ("again" if gate.value == b"1" else "continue", b"null"),
    }
    answer, value = answers[command.point]
    return Intercepted(0, command.path, command.point, answer, "strict", value)


@pytest.mark.parametrize("flow", [patient, chain(patient)], ids=["function", "chain"])
def test_hooks_are_asked_about_requests_and_results_of_real_code_across_crashes(flow: Any) -> None:
    taken: list[int] = []

    def adds(attempt: Attempt) -> int:
        taken.append(attempt.number)
        return min(attempt.number, 2)

    simulation = Simulation.of(
        flow,
        {"add": adds},
        input=1,
        retry=STUBBORN,
        requests=((1, "cancel"), (1, "signal:go_on")),
        hooks=("after *", "cancel *", "signal *"),
        interceptor=strict,
    )
    refused: list[tuple[str, str]] = []
    for result in checked(simulation, SEEDS, Faults(crash=0.2, delay=0.3, duplicate=0.3, reorder=0.5)):
        assert (result.status, result.output) == ("completed", "2 other")
        found = [item.event for item in result.events if isinstance(item.event, RequestRefused)]
        assert len(found) <= 1  # none where the run has ended before the answer came
        refused += [(each.point, each.failure.code) for each in found]
        assert sum(isinstance(item.event, SignalReceived) for item in result.events) == 1
    assert max(taken) > 1
    assert set(refused) == {("cancel", "vetoed")}
