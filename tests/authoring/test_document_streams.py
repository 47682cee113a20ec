"""Streams that a document declares itself, and streams of Python that come back from one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ripresa import (
    App,
    InvalidWorkflow,
    RipresaError,
    StreamHooks,
    chain,
    export_document,
    load_document,
    step,
    stream,
)
from ripresa.core.definition import describe
from tests.authoring import material
from tests.authoring.test_document_schema import complaints

HERE = __name__


def numbers(most: int) -> Iterator[int]:
    yield from range(most)


@step
async def double(value: int) -> int:
    return 2 * value


@step
async def halves(value: int) -> list[int]:
    return [value // 2, value - value // 2]


async def is_odd(value: int) -> bool:
    return value % 2 == 1


def plus(total: int, items: list[int]) -> int:
    return total + sum(items)


def add(total: int, value: int) -> int:
    return total + value


def moment(value: int) -> float:
    return value * 30.0


@step
async def keep(value: Any) -> None:
    pass


async def buried(letter: Any) -> None:
    pass


@step
async def fussy(value: int) -> int:
    if value == 3:
        raise ValueError(value)
    return value


def doc(**config: Any) -> dict[str, Any]:
    given = {"source": f"{HERE}:numbers", "on_restart": "skip", **config}
    return {"id": "flow", "steps": [{"id": "it", "type": "stream", "config": given}]}


STAGES = [
    {"filter": f"{HERE}:is_odd"},
    {"map": f"{HERE}:double", "concurrency": 2, "buffer": 5, "overflow": "block"},
    {"map": {"type": "call", "config": {"step": f"{HERE}:double"}, "retry": 2}},
    {"map": [f"{HERE}:double", {"type": "pass"}]},
    {"flat_map": f"{HERE}:halves"},
    {"window": 2, "every": 1},
]


async def test_a_stream_of_a_document_runs_through_its_stages() -> None:
    flow = load_document(doc(stages=STAGES, fold=f"{HERE}:plus", start=0))
    async with App("memory:") as app:
        assert await app.run(flow(4)) == (4 + 4) + (4 + 12) + (12 + 12)
        taken = await app.run(load_document(doc(stages=[{"batch": 2}], into=f"{HERE}:keep", at_most=5))(9))
        assert (taken.taken, taken.batches, taken.reason) == (5, 3, "at_most")


async def test_dead_letters_go_where_a_document_says() -> None:
    more = {"dead_letters": f"{HERE}:buried", "on_error": "fail", "every": 2, "retry": 2, "durable": True}
    flow = load_document(doc(stages=[{"map": f"{HERE}:fussy", "on_error": "skip"}], into=f"{HERE}:keep", **more))
    async with App("memory:") as app:
        result = await app.run(flow(5))
    assert (result.taken, result.dead) == (5, 1)


def came_back(flow: Any) -> dict[str, Any]:
    data = export_document(flow)
    assert complaints(data) == []
    again = load_document(json.loads(json.dumps(data)))
    assert list(describe(again.node)) == list(describe(flow.node))
    assert again.definition.hash == flow.definition.hash
    assert export_document(again) == data
    found: dict[str, Any] = data["steps"][-1]["config"]
    return found


@pytest.mark.parametrize(
    "config",
    [
        {"stages": STAGES, "fold": f"{HERE}:plus", "start": 0, "every": 5},
        {"stages": [{"batch": 2, "within": 3.5}], "into": f"{HERE}:keep", "on_error": "skip", "durable": False},
        {"into": [f"{HERE}:keep", f"{HERE}:keep"], "retry": {"attempts": 2, "wait": 3.0}, "buffer": 7},
        {
            "stages": [{"time_window": 60.0, "at": f"{HERE}:moment", "every": 30.0, "lateness": 5.0, "late": "fail"}],
            "into": f"{HERE}:keep",
            "overflow": "reject",
            "within": 9.0,
            "at_most": 7,
            "dead_letters": f"{HERE}:buried",
        },
        {"into": {"type": "shell", "config": {"command": ["cat"]}}},
    ],
)
async def test_what_a_document_declared_comes_back(config: dict[str, Any]) -> None:
    found = came_back(load_document(doc(**config)))
    plain = {key: value for key, value in config.items() if key not in ("stages", "into")}
    assert {key: found[key] for key in plain} == plain


def test_a_stream_of_python_comes_back() -> None:
    made = stream(numbers, name="pumped", buffer=3, within=5).map(double.with_(name="twice")).map(double).window(3)
    config = came_back(chain(made.into(keep, retry=2)))
    assert config["stages"][0] == {"map": {"type": "call", "config": {"step": f"{HERE}:double"}, "id": "twice"}}
    assert config["stages"][1:] == [{"map": f"{HERE}:double"}, {"window": 3}]


def begun(control: Any) -> None:
    return None


def test_hooks_of_a_stream_come_back() -> None:
    hooked = chain(stream(numbers, name="many").into(keep, hooks=StreamHooks(start=begun, item=material.whisper_to)))
    said = export_document(hooked)
    config = said["steps"][0]["config"]
    assert config["hooks"] == {"start": f"{HERE}:begun", "item": material.at("whisper_to")}
    assert export_document(load_document(said)) == said
    with pytest.raises(RipresaError, match="a lambda has no name"):
        export_document(chain(stream(numbers).into(keep, hooks=StreamHooks(start=lambda control: None))))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, ": a stream has either into or fold"),
        ({"into": f"{HERE}:keep", "fold": f"{HERE}:add"}, ": a stream has either into or fold"),
        ({"into": f"{HERE}:keep", "start": 1}, ".start: start goes with fold"),
        ({"into": f"{HERE}:keep", "hooks": {"strt": f"{HERE}:begun"}}, ".hooks.strt: is no key here; did you mean"),
        ({"into": f"{HERE}:keep", "hooks": {"zz": f"{HERE}:begun"}}, ".hooks.zz: is no key here; there are start"),
        ({"fold": f"{HERE}:add", "start": 0, "on_error": "skip"}, ".on_error: on_error goes with into"),
        ({"into": f"{HERE}:kep"}, f".into: '{HERE}:kep' is nothing for documents"),
        ({"into": f"{HERE}:keep", "source": f"{HERE}:none"}, f".source: '{HERE}:none' is nothing for documents"),
        ({"into": f"{HERE}:keep", "stages": [3]}, ".stages[0]: is 3, must be an object with one of map, filter"),
        ({"into": f"{HERE}:keep", "stages": [{"map": "a", "batch": 3}]}, ".stages[0]: is {"),
        ({"into": f"{HERE}:keep", "stages": [{"batch": 0}]}, ".stages[0].batch: is 0, must be a whole number from 1"),
        ({"into": f"{HERE}:keep", "stages": [{"map": ""}]}, ".stages[0].map: there is no step type ''"),
        ({"into": f"{HERE}:keep", "stages": [{"time_window": 3}]}, ".stages[0]: lacks at: a function that gives"),
        ({"into": f"{HERE}:keep", "stages": [{"batch": 3, "size": 1}]}, ".stages[0].size: is no key here"),
        ({"into": f"{HERE}:keep", "retry": {"attempts": 0}}, ".retry: attempts is 0"),
    ],
)
def test_what_is_wrong_with_a_stream_is_told(config: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidWorkflow) as caught:
        load_document(doc(**config))
    told = [f"{problem.where}: {problem.message}" for problem in caught.value.problems]
    assert any(each.startswith(f"steps[0].config{message}") for each in told), told
