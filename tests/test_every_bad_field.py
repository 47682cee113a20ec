"""One `invalid_config` names every option that has a value it cannot have, also where it is of no fitting type."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, field_validator

from ripresa import App, Context, InvalidConfig, chain, step, workflow

START: list[tuple[dict[str, Any], list[str]]] = [
    ({"timeout": -1, "concurrency": 0}, ["timeout is -1", "concurrency is 0"]),
    ({"timeout": "zz", "id": ""}, ["id is ''", "timeout is 'zz'"]),
    ({"tags": 3}, ["tags is 3"]),
    ({"tags": "abc"}, ["tags is 'abc'"]),
    ({"tags": ["", 3]}, ["tags is ['', 3]"]),
    ({"tags": ["parent:x"], "id": 4}, ["id is 4", "tags has 'parent:x'"]),
    ({"limits": 3}, ["limits is 3"]),
    ({"limits": 0, "concurrency": "x"}, ["concurrency is 'x'", "limits is 0"]),
    ({"cancel": 3}, ["cancel is 3"]),
    ({"session": 3, "id": " "}, ["id is ' '", "session is 3"]),
    (
        {"id": 1, "timeout": None, "concurrency": True, "tags": None, "cancel": "c", "limits": {}},
        ["id is 1", "concurrency is True", "tags is None", "cancel is 'c'", "limits is {}"],
    ),
]

RUNS: list[tuple[dict[str, Any], list[str]]] = [
    ({"limit": -1, "status": 3}, ["status is 3", "limit is -1"]),
    ({"limit": "x", "status": "bogus"}, ["status has bogus", "limit is 'x'"]),
    ({"workflow": 1, "tag": 2, "after": 3, "session": 4}, ["workflow is 1", "tag is 2", "after is 3", "session is 4"]),
    ({"created_after": "now", "created_before": 5}, ["created_after is 'now'", "created_before is 5"]),
]


@step
def double(number: int) -> int:
    return 2 * number


async def flow(ctx: Context) -> None:
    """A durable function."""


def named(error: InvalidConfig, wanted: list[str]) -> None:
    assert error.code == "invalid_config"
    assert len(error.complaints) == len(wanted), error.complaints
    assert [part for part in wanted if part not in error.message] == []


class Priced(BaseModel):
    item: str

    @field_validator("item")
    @classmethod
    def known(cls, item: str) -> str:
        raise InvalidConfig("there is no list of prices", op="prices")


@step
def sold(priced: Priced) -> str:
    return priced.item


async def test_what_code_of_the_user_refuses_while_the_options_are_read_is_raised_as_it_is() -> None:
    async with App("memory:") as app:
        with pytest.raises(InvalidConfig, match="there is no list of prices") as caught:
            await app.start(chain(sold)({"item": "nut"}))  # type: ignore[arg-type]
        assert caught.value.op == "prices"


@pytest.mark.parametrize("way", ["start", "run"])
async def test_starting_names_every_bad_option_and_begins_nothing(way: str) -> None:
    async with App("memory:") as app:
        for options, wanted in START:
            with pytest.raises(InvalidConfig) as caught:
                await getattr(app, way)(chain(double)(1), **options)
            named(caught.value, wanted)
            assert (caught.value.op, caught.value.where) == ("start", "chain")
        assert (await app.runs()).runs == ()


async def test_what_a_start_alone_is_given_is_looked_at_too() -> None:
    given: dict[str, Any] = {"target": 3, "by": None, "timeout": "zz"}
    async with App("memory:") as app:
        with pytest.raises(InvalidConfig) as caught:
            await app.start(chain(double)(1), **given)
    assert caught.value.message.endswith("target is 3, must be a text; by is None, must be a text")
    assert "timeout is 'zz'" in caught.value.message
    assert "30s" in caught.value.hint


async def test_a_list_of_runs_names_every_bad_filter() -> None:
    async with App("memory:") as app:
        for options, wanted in RUNS:
            with pytest.raises(InvalidConfig) as caught:
                await app.runs(**options)
            named(caught.value, wanted)
        bad: Any = 3
        with pytest.raises(InvalidConfig) as caught:
            app.select(status=bad, workflow=bad)
        named(caught.value, ["status is 3", "workflow is 3"])


def test_a_workflow_names_every_bad_option() -> None:
    given: dict[str, Any] = {"version": "", "timeout": -1, "name": "", "conflicts": 1, "limits": 2, "shares_state": 3}
    with pytest.raises(InvalidConfig) as caught:
        workflow(**given)(flow)
    named(caught.value, [f"{name} is {value!r}" for name, value in given.items()])


def test_a_step_names_every_bad_option() -> None:
    given: dict[str, Any] = {"name": "", "hooks": 3, "timeout": -1, "concurrency": 0}
    for make in (lambda: step(**given)(double.fn), lambda: double.with_(**given)):
        with pytest.raises(InvalidConfig) as caught:
            make()
        named(caught.value, [f"{name} is {value!r}" for name, value in given.items()])
