"""What an agent did by its tools is undone with what the tools themselves returned and were given."""

from typing import Any

import pytest

from ripresa import Agent, App, InvalidConfig, chain, step, tool
from ripresa.testing.answers import use
from ripresa.testing.fake_model import FakeModel


async def test_the_tools_that_an_agent_used_are_undone_and_those_that_failed_are_not() -> None:
    undone: list[Any] = []

    @tool
    async def book(town: str, seats: int = 1) -> dict[str, int]:
        """Book."""
        if town == "nowhere":
            raise ValueError(town)
        return {town: seats}

    @book.undo
    async def unbook(booked: dict[str, int], town: str, seats: int = 1) -> None:
        undone.append((booked, town, seats))

    @step
    async def fail(text: str) -> str:
        raise ConnectionError(text)

    said = FakeModel(
        use("book", town="Rome"),
        use("book", town="nowhere"),
        use("book", street="x"),
        use("book", town="Bari", seats=2),
        "ok",
    )
    made = Agent("clerk", input=str, output=str, tools=[book])
    async with App("memory:", models={"*": said}) as app:
        handle = await app.start(chain(made).then(fail)("trip"))
        assert (await handle.outcome()).status == "failed"
        view = await handle.status()
    assert undone == [({"Bari": 2}, "Bari", 2), ({"Rome": 1}, "Rome", 1)]
    assert all(path.startswith("clerk>book:") for path in view.undone)
    assert view.not_undone == {}


def test_a_tool_that_a_flow_undoes_is_refused_when_the_agent_is_made() -> None:
    @tool
    async def book(town: str) -> str:
        """Book."""
        return town

    @step
    async def forget(town: str) -> None: ...

    book.undo(chain(forget))
    with pytest.raises(InvalidConfig, match="is a flow, which cannot undo a call"):
        Agent("clerk", input=str, output=str, tools=[book])
