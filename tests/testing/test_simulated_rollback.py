"""Simulated runs go back, in every schedule: what ended before the place stays, the rest happens anew, once."""

from typing import Any

import pytest

from ripresa import Context, chain, fallback, parallel, saga, step, workflow
from ripresa.core.commands import Intercept
from ripresa.core.definition import Definition
from ripresa.core.events import (
    Event,
    Intercepted,
    Recorded,
    Requested,
    RequestRefused,
    RolledBack,
    StepCompleted,
    StreamAdvanced,
)
from ripresa.core.gates import Gate
from ripresa.core.nodes.call import Call
from ripresa.core.nodes.sequence import Sequence
from ripresa.core.nodes.stream import Stream
from ripresa.core.retry import Retry
from ripresa.errors import StepError
from ripresa.testing.simulator import Attempt, Discrepancy, Faults, Result, Simulation
from tests.searching import checked

STUBBORN = Retry(30, 0.1)
SEEDS = range(1, 50)
AT_THE_END = 99


def add(attempt: Attempt) -> Any:
    return attempt.input + 1


def double(attempt: Attempt) -> Any:
    return attempt.input * 2


def broken(attempt: Attempt) -> Any:
    raise StepError(f"{attempt.path} is broken", retryable=False)


def total(attempt: Attempt) -> Any:
    return sum(attempt.input)


def pump(attempt: Attempt) -> Any:
    return attempt.batch if attempt.batch <= 5 else None


def none(attempt: Attempt) -> Any:
    return None


STEPS = {"add": add, "double": double, "broken": broken, "total": total, "pump": pump, "undo": none}


def body(value: int) -> int:
    raise AssertionError("a simulation has steps of its own")


@step(name="add")
async def add_one(value: int) -> int:
    return body(value)


@step(name="double")
async def twice(value: int) -> int:
    return body(value)


@step(name="total")
async def total_of(values: tuple[int, int]) -> int:
    return body(0)


@step(name="broken")
async def breaks(value: int) -> int:
    return body(value)


@step(name="add")
async def rented(value: int) -> int:
    return body(value)


@rented.undo
async def undo(value: int) -> None:
    body(value)


@workflow
async def several(ctx: Context, value: int) -> int:
    found = await ctx.map(add_one, [value, value + 1])
    first, second = await ctx.gather(twice(found[0]), chain(add_one).then(twice)(found[1]))
    return first + second


def play(flow: Any, *requests: str, at: int = AT_THE_END, **options: Any) -> Simulation:
    asked = tuple((at, each) for each in requests)
    return Simulation.of(flow, STEPS, **{"input": 1, "retry": STUBBORN, "requests": asked, **options})


def events(result: Result, kind: type[Event]) -> list[Any]:
    return [item.event for item in result.events if isinstance(item.event, kind)]


def batches(journal: tuple[Recorded, ...]) -> list[int]:
    return [item.event.batch for item in journal if isinstance(item.event, StreamAdvanced)]


def before(result: Result, back: RolledBack) -> str:
    """The step that had ended last where a run went back to."""
    ended = [item.event for item in result.events[: back.to] if isinstance(item.event, StepCompleted)]
    return ended[-1].path


GOING_BACK = {
    "chain": play(chain(add_one).then(twice).then(add_one), "rollback:add"),
    "side by side": play(chain(parallel(add_one, chain(add_one).then(twice))).then(total_of), "rollback:parallel/add"),
    "function": play(several, "rollback:double"),
    "failed": play(chain(add_one).then(breaks), "rollback:add"),
    "saga": play(chain(add_one).then(fallback(saga(chain(rented).then(breaks)), twice)), "rollback:add"),
    "by number": play(chain(add_one).then(twice), "rollback:2"),
    "twice": play(chain(add_one).then(twice).then(add_one), "rollback:double", "rollback:add"),
}


@pytest.mark.parametrize("name", GOING_BACK)
def test_a_run_that_goes_back_ends_in_every_schedule_as_the_undisturbed_one(name: str) -> None:
    simulation = GOING_BACK[name]
    results = checked(simulation, SEEDS)
    assert sum(result.crashes for result in results) > len(SEEDS) / 10
    for result in results:
        assert len(events(result, RolledBack)) == len(simulation.requests)


def test_what_had_ended_before_the_place_is_not_done_again_and_the_rest_is() -> None:
    for result in checked(GOING_BACK["chain"], SEEDS):
        assert [event.path for event in events(result, StepCompleted)] == ["add", "double", "add#2", "double", "add#2"]
        (back,) = events(result, RolledBack)
        assert (before(result, back), back.generation) == ("add", 1)


def test_a_run_goes_back_in_its_middle_whatever_is_under_way() -> None:
    simulation = play(chain(add_one).then(twice).then(add_one), "rollback:add", at=2)
    results = checked(simulation, SEEDS)
    assert sum(len(events(result, RolledBack)) for result in results) > len(SEEDS) / 2  # else it came before the step
    assert {result.output for result in results} == {5}


def test_an_attempt_that_was_being_stopped_at_the_place_has_stopped() -> None:
    flow = chain(parallel(breaks, chain(add_one).then(twice)), name="cut").then(total_of)
    journal = play(flow).run(3).events
    stopping = next(item.seq for item in journal if type(item.event).__name__ == "StepFailed")
    for seed in SEEDS:
        result = play(flow, f"rollback:{stopping}").run(seed)
        assert result.status == "failed"


def test_a_stream_goes_back_to_its_last_batch_before_the_place() -> None:
    root = Sequence("root", (Call("add"), Stream("pump"), Call("double")))
    simulation = Simulation(
        Definition("s", root), STEPS, input=1, retry=STUBBORN, requests=((AT_THE_END, "rollback:9"),)
    )
    places: set[int] = set()
    for result in checked(simulation, SEEDS):
        (back,) = (item for item in result.events if isinstance(item.event, RolledBack))
        assert isinstance(back.event, RolledBack)
        last = max([0, *batches(result.events[: back.event.to])])
        assert batches(result.events[back.seq :]) == [*range(last + 1, 6), 5]
        places.add(last)
    assert len(places) > 2


@pytest.mark.parametrize("place", ["nowhere", "9999", "0"])
def test_a_place_that_is_not_there_is_refused_and_the_run_goes_on(place: str) -> None:
    for result in checked(play(chain(add_one).then(twice), f"rollback:{place}", at=1), SEEDS):
        assert (result.output, events(result, RolledBack)) == (4, [])


def test_there_is_nothing_to_go_on_with_where_the_run_had_ended() -> None:
    flow = chain(add_one)
    for result in checked(play(flow, "rollback:add"), SEEDS):
        assert (result.status, events(result, RolledBack)) == ("completed", [])


def test_a_terminated_run_does_not_go_back() -> None:
    result = Simulation.of(
        chain(add_one).then(twice), STEPS, input=1, requests=((1, "terminate"), (AT_THE_END, "rollback:2"))
    ).run()
    assert (result.status, events(result, RolledBack)) == ("terminated", [])


def test_a_run_does_not_go_back_to_what_has_been_undone_since() -> None:
    flow = chain(add_one).then(fallback(saga(chain(rented).then(breaks)), twice))
    place = "rollback:fallback/saga/add"
    for result in checked(play(flow, place), SEEDS):
        assert (result.output, events(result, RolledBack)) == (4, [])


def test_what_was_done_again_at_the_word_of_a_hook_or_after_a_failure_is_not_taken_for_done_twice() -> None:
    tries: list[int] = []

    def interceptor(command: Intercept, gate: Gate) -> Intercepted:
        tries.append(1)
        return Intercepted(0, command.path, command.point, "again" if len(tries) == 1 else "continue", "h")

    flow = chain(add_one).then(breaks).then(twice)
    simulation = play(
        flow, "resume", "rollback:add", "rollback:2", hooks=("after add",), interceptor=interceptor, retry=Retry(2, 0)
    )
    for seed in range(1, 20):
        tries.clear()
        result = simulation.run(seed, Faults(crash=0.1))
        assert result.status == "failed"
        assert len(events(result, RolledBack)) == 2


def test_what_ended_before_the_run_was_resumed_may_begin_anew_and_what_ended_since_does_not() -> None:
    def mended(attempt: Attempt) -> Any:
        if attempt.number < 2:
            raise StepError("not yet", retryable=False)
        return attempt.input

    flow = chain(add_one).then(breaks).then(twice)
    simulation = Simulation.of(
        flow,
        {**STEPS, "broken": mended},
        input=1,
        requests=((AT_THE_END, "resume"), (AT_THE_END, "rollback:broken")),
    )
    for seed in range(1, 20):
        result = simulation.run(seed)
        assert (result.output, len(events(result, RolledBack))) == (4, 1)
        assert [event.path for event in events(result, StepCompleted)] == ["add", "broken", "double", "double"]


# --- interceptors


def answering(answer: str, detail: str = "") -> Any:
    def interceptor(command: Intercept, gate: Gate) -> Intercepted:
        assert (command.point, gate.detail) == ("rollback", "add")
        return Intercepted(0, command.path, command.point, answer, "h", detail=detail)

    return interceptor


def hooked(answer: str, detail: str = "") -> list[Result]:
    flow = chain(add_one).then(twice).then(add_one)
    simulation = play(flow, "rollback:add", hooks=("rollback *",), interceptor=answering(answer, detail))
    return checked(simulation, SEEDS)


def test_interceptors_of_a_rollback_are_asked_once_and_let_it() -> None:
    for result in hooked("continue"):
        assert [event.name for event in events(result, Requested)] == ["add"]
        assert [before(result, back) for back in events(result, RolledBack)] == ["add"]


def test_interceptors_of_a_rollback_send_the_run_elsewhere() -> None:
    for result in hooked("redirect", "double"):
        assert [before(result, back) for back in events(result, RolledBack)] == ["double"]


def test_a_run_that_is_sent_nowhere_stays_where_it_is() -> None:
    for result in hooked("redirect", "nowhere"):
        assert events(result, RolledBack) == []


def test_interceptors_forbid_a_rollback_and_the_run_stays_where_it_is() -> None:
    for result in hooked("veto", "not now"):
        assert (result.output, events(result, RolledBack)) == (5, [])
        (refused,) = events(result, RequestRefused)
        assert refused.failure.message == "not now"


# --- what is found


class Forgetful(Sequence):
    """A chain that begins anew when it goes back."""

    def rewind(self, run: Any, frame: Any) -> None:
        self.open(run, frame)


def test_what_had_ended_before_the_place_and_runs_again_is_found() -> None:
    root = Forgetful("s", (Call("add"), Call("double")))
    simulation = Simulation(Definition("s", root), STEPS, input=1, requests=((AT_THE_END, "rollback:add"),))
    with pytest.raises(Discrepancy, match="the finished step 'add' runs again"):
        simulation.run()
