"""Workflows of every kind under thousands of seeded schedules: they end as the undisturbed run does."""

import asyncio
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest

from ripresa.core.commands import Intercept
from ripresa.core.definition import Definition
from ripresa.core.events import Intercepted
from ripresa.core.gates import Gate
from ripresa.core.nodes.branch import Branch
from ripresa.core.nodes.call import Call
from ripresa.core.nodes.cleanup import Cleanup
from ripresa.core.nodes.delay import Delay
from ripresa.core.nodes.dynamic import Dynamic
from ripresa.core.nodes.fallback import Fallback
from ripresa.core.nodes.graph import INPUT, Graph, Wire
from ripresa.core.nodes.join import Join
from ripresa.core.nodes.loop import Loop, Over
from ripresa.core.nodes.map import Map
from ripresa.core.nodes.node import Node
from ripresa.core.nodes.parallel import Parallel
from ripresa.core.nodes.sequence import Sequence
from ripresa.core.nodes.subworkflow import Subworkflow
from ripresa.core.retry import Retry
from ripresa.errors import StepError
from ripresa.stores.memory import MemoryStore
from ripresa.testing import simulator
from ripresa.testing.simulator import (
    STORM,
    Attempt,
    Cancelled,
    Discrepancy,
    Faults,
    Race,
    Simulation,
    call,
    flow,
    sleep,
)
from tests.searching import checked

SEEDS = 300


def total(value: Any) -> int:
    """The sum of all numbers in a value, however deep."""
    return sum(map(total, value)) if isinstance(value, list) else int(value or 0)


def add(attempt: Attempt) -> Any:
    return total(attempt.input) + 1


def double(attempt: Attempt) -> Any:
    return total(attempt.input) * 2


def broken(attempt: Attempt) -> Any:
    raise StepError(f"{attempt.path} is broken", retryable=False)


def refuse() -> Any:
    raise StepError("I cannot say")


def flaky(attempt: Attempt) -> Any:
    if attempt.number < 3:
        raise StepError("not yet")
    return total(attempt.input) + 100


STEPS = {"add": add, "double": double, "broken": broken, "flaky": flaky}
STUBBORN = Retry(30, 0.1)


def steps(names: str) -> tuple[Call, ...]:
    return tuple(map(Call, names.split()))


def chain(names: str, name: str = "chain") -> Sequence:
    return Sequence(name, steps(names))


def simulate(root: Node[Any], **options: Any) -> Simulation:
    return Simulation(Definition("simulated", root), STEPS, **{"input": 1, "retry": STUBBORN, **options})


def publish(number: int) -> Generator[Any, Any, Any]:
    """A durable function with everything: one call, several, a race, a failure, a wait."""
    first = yield call("add", number)
    both = yield (call("add", first), call("double", first))
    winner = yield Race((call("add", 1), call("add", 1)))
    try:
        yield call("broken")
    except StepError:
        yield sleep(1_000_000)
    return [*both, winner]


def tidy(number: int) -> Generator[Any, Any, Any]:
    """A durable function that cleans up when it is cancelled."""
    try:
        yield (call("add", number), sleep(10**12))
    except Cancelled:
        yield call("double", number)
        raise


GRAPH = Graph(
    "graph",
    (
        Call("add"),
        Call("double"),
        Sequence("left", steps("double")),
        Call("flaky"),
        Sequence("either", ()),
        chain("add"),
    ),
    (
        Wire(sources=(INPUT,)),
        Wire(sources=(0,)),
        Wire(sources=(0,), tests=(1,), conditional=True),
        Wire(sources=(1, INPUT), evaluated=True),
        Wire(sources=(2, 3), first=True),
        Wire(sources=(4,), after=(2,)),
    ),
    output=Wire(sources=(3, 5), evaluated=True),
)


def nested(number: int) -> Generator[Any, Any, Any]:
    """A durable function that uses a flow, and one whose call fails for good."""
    found = yield flow("inner", number)
    yield (call("broken"), call("add", found))


def giving_up(number: int) -> Generator[Any, Any, Any]:
    """A durable function that fails of its own."""
    yield call("add", number)
    raise StepError("it is no use")


SIMULATIONS = {
    "sequence": simulate(chain("add flaky double add#2")),
    "parallel": simulate(Parallel("all", (chain("add double"), Call("flaky"), Delay("delay", 500_000)), join=Join())),
    "map": simulate(Map("map", chain("add flaky"), join=Join(), window=3), input=[1, 2, 3, 4, 5, 6, 7]),
    "best effort": simulate(
        Parallel("some", (Call("broken"), chain("add broken", "cut"), Call("add")), join=Join(on_error="best_effort"))
    ),
    "loop": simulate(
        Loop("loop", chain("add"), over=Over("condition"), before=True, after=True, at_most=9),
        answers={"loop": lambda question, value: value < 6 if question == "while" else value > 7},
    ),
    "graph": simulate(
        GRAPH,
        answers={
            "left?": lambda question, values: False,
            "flaky?": lambda question, values: values,
            "graph": lambda question, values: values,
        },
    ),
    "fallback": simulate(
        Fallback("try", (Call("broken"), Sequence("b", steps("add broken")), Call("double"))), input=21
    ),
    "branch": simulate(
        Branch("which", (chain("add", "a"), chain("double double#2", "b")), condition="odd", code=None),
        answers={"which": lambda question, value: value % 2},
    ),
    "function": simulate(Dynamic("f", workflow="publish", version="1"), functions={"publish": publish}),
    "function that fails": simulate(
        Dynamic("f", workflow="nested", version="1"),
        functions={"nested": nested},
        flows={"inner": chain("add double", "any")},
    ),
    "function that gives up": simulate(
        Dynamic("f", workflow="giving up", version="1"), functions={"giving up": giving_up}
    ),
    "question that raises": simulate(
        Branch("which", steps("add"), condition="odd", code=None), answers={"which": lambda question, value: refuse()}
    ),
    "failure with clean-up": simulate(
        Cleanup(
            "guard",
            Sequence(
                "body", (Call("add"), Parallel("p", (Call("broken"), Call("flaky")), join=Join(on_error="fail_slow")))
            ),
            steps("add double broken"),
        )
    ),
    "cancelled": simulate(
        Cleanup("guard", Sequence("body", (Call("add"), Delay("delay", 10**12))), steps("double")),
        requests=((1, "cancel"),),
    ),
    "cancelled function": simulate(
        Subworkflow("scope", Dynamic("f", workflow="tidy", version="1"), workflow="inner"),
        functions={"tidy": tidy},
        requests=((1, "cancel"),),
    ),
    "out of time": simulate(
        Sequence("all", (Subworkflow("sub", Sequence("w", (Delay("delay", 10**12),)), workflow="w", timeout=10**10),)),
    ),
    "paused": simulate(chain("add flaky double"), requests=((1, "pause"), (99, "continue"))),
    "terminated": simulate(
        Sequence("w", (Call("add"), Delay("delay", 10**12))), requests=((1, "terminate"), (99, "cancel"))
    ),
}


@pytest.mark.parametrize("name", SIMULATIONS)
def test_every_schedule_ends_as_the_undisturbed_run(name: str) -> None:
    results = checked(SIMULATIONS[name], range(1, SEEDS + 1))
    assert sum(result.crashes for result in results) > SEEDS / 10


def test_the_undisturbed_runs_say_what_is_expected() -> None:
    results = {name: simulation.run() for name, simulation in SIMULATIONS.items()}
    assert {name: (result.status, result.output) for name, result in results.items()} == {
        "sequence": ("completed", 205),
        "parallel": ("completed", [4, 101, 1]),
        "map": ("completed", [102, 103, 104, 105, 106, 107, 108]),
        "best effort": ("completed", [None, None, 2]),
        "loop": ("completed", 6),
        "graph": ("completed", [105, 106]),
        "fallback": ("completed", 42),
        "branch": ("completed", 4),
        "function": ("completed", [3, 4, 2]),
        "function that fails": ("failed", None),
        "function that gives up": ("failed", None),
        "question that raises": ("failed", None),
        "failure with clean-up": ("failed", None),
        "cancelled": ("cancelled", None),
        "cancelled function": ("cancelled", None),
        "out of time": ("failed", None),
        "paused": ("completed", 204),
        "terminated": ("terminated", None),
    }


def test_a_seed_gives_the_same_journal_every_time() -> None:
    simulation = SIMULATIONS["graph"]
    assert simulation.run(7, STORM) == simulation.run(7, STORM)
    assert simulation.run(7, STORM).events != simulation.run(8, STORM).events


def test_a_run_whose_end_depends_on_the_schedule_is_found_and_names_its_seed() -> None:
    race = simulate(Parallel("race", (Call("add"), Call("double")), join=Join(any=True)), input=7)
    with pytest.raises(Discrepancy, match=r"with seed \d+ .*simulation\.run\(\d+, Faults\("):
        race.check(range(1, 50))


def test_a_function_that_waits_for_nothing_is_found() -> None:
    def idle(_: Any) -> Generator[Any, Any, Any]:
        yield ()

    stuck = simulate(Dynamic("f", workflow="idle", version="1"), functions={"idle": idle})
    with pytest.raises(Discrepancy, match="the run is running and waits for nothing"):
        stuck.run()


def test_a_failed_run_is_resumed_and_finished_steps_do_not_run_again() -> None:
    mended = False

    def mend(attempt: Attempt) -> Any:
        if not mended and attempt.number < 2:
            raise StepError("not mended", retryable=False)
        return add(attempt)

    root = Sequence("s", (Call("add"), Parallel("p", (Call("mend"), chain("add double")), join=Join())))
    simulation = replace(simulate(root), steps={**STEPS, "mend": mend}, requests=((99, "resume"), (99, "resume")))
    mended = True
    expected = replace(simulation, requests=()).run().output
    mended = False
    for seed in range(1, 200):
        result = simulation.run(seed, STORM)
        assert (result.status, result.output) == ("completed", expected)


# --- what the simulator finds


class Forgetful(Call):
    """A step that is tried again without counting."""

    def failed(self, run: Any, frame: Any, failure: Any, retry_at: int) -> None:
        run.schedule(frame)


class Again(Sequence):
    """A chain that begins anew when it has ended."""

    def on_done(self, run: Any, frame: Any, key: int, value: Any) -> None:
        self.open(run, frame)


class Moody(Sequence):
    """A chain whose state does not follow from the facts."""

    def on_done(self, run: Any, frame: Any, key: int, value: Any) -> None:
        MOODS.append(1)
        run.reason = str(len(MOODS))
        super().on_done(run, frame, key, value)


MOODS: list[int] = []


@pytest.mark.parametrize(
    ("root", "message"),
    [
        (Sequence("s", (Forgetful("broken"),)), "attempt 1 of 'broken' runs twice"),
        (Again("s", steps("add")), "the finished step 'add' runs again"),
        (Moody("s", steps("add")), "the journal gives another state than the run had"),
    ],
)
def test_what_must_not_happen_is_found_and_names_its_seed(root: Node[Any], message: str) -> None:
    with pytest.raises(Discrepancy, match=rf"with seed 5 {message}; repeat it: simulation\.run\(5, "):
        simulate(root).run(5)


def test_a_store_that_waits_is_refused() -> None:
    class Waiting(MemoryStore):
        async def open(self) -> None:
            await asyncio.sleep(0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulator, "MemoryStore", Waiting)
        with pytest.raises(AssertionError, match="does not wait"):
            simulate(chain("add")).run()


# --- interceptors


def test_hooks_that_nobody_minds_change_nothing() -> None:
    plain = simulate(chain("add flaky double"))
    hooked = replace(plain, hooks=("before *", "after *", "error *", "complete *"))
    expected = plain.run().output
    for result in hooked.check(range(5)):
        assert result.output == expected
    asked = {item.event.point for item in hooked.run().events if isinstance(item.event, Intercepted)}
    assert asked == {"before", "after", "error", "complete"}


def test_interceptors_answer_late_and_across_crashes_and_the_end_is_the_same() -> None:
    def interceptor(command: Intercept, gate: Gate) -> Intercepted:
        answer, value = {"before": ("continue", b"null"), "after": ("replace", b"7")}[command.point]
        if gate.value == b"7":
            answer = "continue"
        return Intercepted(0, command.path, command.point, answer, "h", value)

    hooked = Simulation(
        Definition("hooked", Sequence("root", (Call("a"), Call("b")))),
        steps={"a": lambda attempt: 1, "b": lambda attempt: attempt.input},
        retry=Retry(attempts=50, wait=0),
        hooks=("after *", "before *"),
        interceptor=interceptor,
    )
    for result in hooked.check(range(60), Faults(crash=0.2, delay=0.3, duplicate=0.2)):
        answered = [item.event for item in result.events if isinstance(item.event, Intercepted)]
        assert [(one.path, one.point) for one in answered] == [
            ("a", "before"),
            ("a", "after"),
            ("b", "before"),
            ("b", "after"),
        ]
        assert result.output == 7
