"""What a condition can ask of the run it stands in: to look, and nothing else."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from ripresa import RipresaError, branch, chain, current, step
from ripresa.reducers import append
from tests.runtime.stage import in_memory


@dataclass
class Counted:
    numbers: list[int] = field(default_factory=list[int])


@step
async def yes(value: int) -> str:
    return "yes"


@step
async def no(value: int) -> str:
    return "no"


def code_of(ask: Any) -> str:
    with pytest.raises(RipresaError) as caught:
        ask()
    return caught.value.code


async def test_a_condition_reserves_nothing_and_writes_nothing() -> None:
    codes: list[str] = []

    def look(value: int) -> bool:
        context: Any = current()
        codes.append(code_of(lambda: context.reserve(tokens=1).send(None)))
        codes.append(code_of(lambda: context.call(len, "a").send(None)))
        codes.append(code_of(lambda: append(context.to(Counted).numbers, 5)))
        assert context.deadline is None
        assert not context.cancelled
        context.progress(1)
        return True

    flow = chain(branch(look, yes, no)).with_state(Counted)
    async with in_memory() as app:
        assert await app.run(flow(1)) == "yes"
    assert codes == ["usage", "usage", "usage"]


async def test_a_condition_of_a_run_without_session_and_state_has_nothing_to_report() -> None:
    codes: list[str] = []

    def look(value: int) -> bool:
        context = current()
        assert (context.run, context.attempt) != ("", 0)
        codes.append(code_of(lambda: context.usage(tokens=1)))
        codes.append(code_of(lambda: context.queue("mail", "x")))
        codes.append(code_of(lambda: context.session.get("a")))
        codes.append(code_of(lambda: context.state(Counted)))
        return True

    async with in_memory() as app:
        assert await app.run(chain(branch(look, yes, no))(1)) == "yes"
    assert codes == ["invalid_state", "invalid_state", "not_available", "no_state"]
