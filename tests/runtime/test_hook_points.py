"""Each point asks with a class of its own that says where the run is and what it is about."""

from typing import Any

import pytest

from ripresa import (
    AfterStep,
    BeforeStep,
    BranchChoosing,
    FallbackChoosing,
    ForkStarting,
    Hook,
    Hooks,
    JoinEnding,
    LoopTurning,
    RunCompleting,
    RunFailed,
    RunFailing,
    RunStarting,
    StageEntering,
    StepErring,
    branch,
    chain,
    fallback,
    map_each,
    repeat,
    step,
)
from ripresa.testing.clock import ManualClock

from .stage import in_memory


@step
async def double(value: int) -> int:
    return 2 * value


@step
async def fail(value: int) -> int:
    raise ValueError("no")


@step
async def several(value: int) -> list[int]:
    return [value, value + 1]


@step
async def total(values: list[int]) -> int:
    return sum(values)


chosen = branch(lambda value: value > 0, double, fail, name="choice")
flow = (
    chain(chosen, name="flow")
    .then(repeat(double, until=lambda value: value > 3, at_most=9))
    .then(fallback(fail, double))
    .then(several)
    .then(map_each(double, concurrency=2))
    .then(total)
)

SAID: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "start": (RunStarting, {"path": "", "name": "flow", "input": 1}),
    "complete": (RunCompleting, {"path": "", "output": 34}),
    "stage": (StageEntering, {"path": "", "stage": "choice", "index": 0, "input": 1}),
    "before": (BeforeStep, {"path": "choice/double", "name": "double", "arguments": {"value": 1}, "input": 1}),
    "after": (AfterStep, {"path": "choice/double", "name": "double", "output": 2, "attempt": 1}),
    "error": (StepErring, {"path": "fallback/fail", "attempt": 1}),
    "fallback": (FallbackChoosing, {"path": "fallback", "choice": "double", "choices": ("fail", "double")}),
    "branch": (BranchChoosing, {"path": "choice", "choice": "double", "choices": ("double", "fail"), "input": 1}),
    "loop_start": (LoopTurning, {"path": "repeat", "value": 2, "index": 0}),
    "iteration": (LoopTurning, {"path": "repeat", "value": 2, "index": 0}),
    "iterated": (LoopTurning, {"path": "repeat", "value": 4, "index": 0}),
    "loop_end": (LoopTurning, {"path": "repeat", "value": 4, "index": 1}),
    "fork": (ForkStarting, {"path": "map_each", "count": 2, "window": 2, "input": [8, 9]}),
    "join": (JoinEnding, {"path": "map_each", "output": [16, 18]}),
}


async def test_each_point_asks_with_its_own_class_about_what_it_is_at() -> None:
    asked: dict[str, Any] = {}

    def look(about: Any) -> None:
        asked.setdefault(about.point, about)

    hooks, clock = Hooks([Hook(point, look) for point in SAID]), ManualClock()
    assert (len(hooks), hooks.version > 0, [hook.point for hook in hooks]) == (len(SAID), True, list(SAID))
    async with in_memory(hooks=hooks, clock=clock) as app:
        assert await app.run(flow(1), id="r") == 34
    assert asked.keys() == SAID.keys()
    for point, (kind, fields) in SAID.items():
        about = asked[point]
        assert type(about) is kind, point
        assert {name: getattr(about, name) for name in fields} == fields, point
        assert (about.point, about.run, about.workflow) == (point, "r", "flow")
        assert about.at.tzinfo is not None


async def test_a_run_that_is_about_to_fail_is_asked_about_with_its_failure() -> None:
    asked: list[RunFailing] = []
    async with in_memory(hooks=[Hook("fail", asked.append)]) as app:
        with pytest.raises(RunFailed):
            await app.run(chain(fail)(1))
    (about,) = asked
    assert type(about) is RunFailing
    assert (about.failure.path, about.failure.message, about.failure.attempt) == ("fail", "no", 1)
