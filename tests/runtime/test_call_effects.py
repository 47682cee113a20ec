"""What the effect of a step says of the calls that it journals: one that changes nothing calls nothing that does."""

from typing import Any

import pytest

from ripresa import App, Context, Graph, RunFailed, chain, current, speculate, step, workflow
from ripresa.authoring.step import Effect

from .stage import in_memory

DONE: list[str] = []


@pytest.fixture(autouse=True)
def clean() -> None:
    DONE.clear()


@step(effect="irreversible")
async def mail(text: str) -> str:
    DONE.append(f"mail {text}")
    return text


@step(effect="read")
async def look(text: str) -> str:
    return await current().call(mail, text)


async def plainly(text: str) -> str:
    return await current().call(mail, text)


@step(effect="read")
async def through(text: str) -> str:
    return await current().call(plainly, text)


@step
async def between(text: str) -> str:
    return await current().call(look, text)


@workflow
async def function(ctx: Context, text: str) -> str:
    return await look(text)


def graph() -> Any:
    g = Graph("g", input=str)
    node = g.add(look(g.input))
    return g.returns(node.out)


async def failure(app: App, call: Any) -> Any:
    with pytest.raises(RunFailed) as caught:
        await app.run(call)
    return caught.value.failure


@pytest.mark.parametrize("flow", [chain(look), graph(), function, chain(between), chain(through)])
async def test_a_step_that_changes_nothing_calls_nothing_that_does(flow: Any) -> None:
    async with in_memory() as app:
        found = await failure(app, flow("a"))
    assert found.code == "effect_exceeded"
    assert "says that it is read, but calls mail, which is irreversible" in found.message
    assert DONE == []


async def test_a_speculated_step_sends_nothing() -> None:
    async with in_memory() as app:
        await failure(app, chain(speculate(look, after="1ms"))("a"))
    assert DONE == []


@pytest.mark.parametrize("flow", [chain(look), graph(), function])
async def test_a_rehearsal_does_not_send_what_a_harmless_step_would(flow: Any) -> None:
    async with in_memory() as app:
        found = await app.rehearse(flow("a"))
    assert found.status == "failed"
    assert "calls mail, which is irreversible" in found.error
    assert [(planned.effect, planned.ran) for planned in found.steps] == [("read", True)]
    assert DONE == []


@pytest.mark.parametrize(
    ("outer", "inner", "allowed"),
    [
        ("pure", "pure", True),
        ("pure", "read", False),
        ("read", "pure", True),
        ("read", "idempotent", False),
        ("idempotent", "irreversible", True),
        ("irreversible", "irreversible", True),
    ],
)
async def test_which_effect_may_call_which(outer: Effect, inner: Effect, allowed: bool) -> None:
    @step(effect=inner)
    async def called() -> int:
        return 1

    @step(effect=outer)
    async def calling() -> int:
        return await current().call(called)

    async with in_memory() as app:
        if allowed:
            assert await app.run(calling()) == 1
        else:
            assert (await failure(app, calling())).code == "effect_exceeded"
