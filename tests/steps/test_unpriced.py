"""Uses of models at a price that nobody knows: counted in every total, and held by a limit of money."""

import json

import pytest

from ripresa import (
    Agent,
    App,
    Limits,
    ModelEndpoint,
    RunFailed,
    WorkflowOrchestrator,
    chain,
    current,
    llm,
    step,
    tool,
)
from ripresa.core.limits import refusal
from ripresa.runtime.reports import UNPRICED
from ripresa.steps import cli_agent
from ripresa.steps.embedding import embedded
from ripresa.steps.providers import price_known
from ripresa.testing.answers import use
from ripresa.testing.fake_model import FakeModel
from ripresa.testing.model_server import ModelServer


def test_a_limit_of_money_allows_no_use_at_an_unknown_price_unless_it_says_how_many() -> None:
    assert refusal(Limits(money=1), {}, {"unpriced": 1}) == ("unpriced", 0, 0)
    assert refusal(Limits(money=1), {"unpriced": 1}, {"operations": 1}) == ("unpriced", 1, 0)
    assert refusal(Limits(money=1, unpriced=2), {"unpriced": 1}, {"unpriced": 1}) is None
    assert refusal(Limits(unpriced=1), {"unpriced": 1}, {"unpriced": 1}) == ("unpriced", 1, 1)
    assert refusal(Limits(tokens=1), {"unpriced": 9}, {"unpriced": 1}) is None


@pytest.mark.parametrize("whose", ["run", "session"])
async def test_where_money_is_limited_a_model_whose_price_nobody_knows_is_not_asked(whose: str) -> None:
    fake, limits = FakeModel("One."), Limits(money=5)
    asked = llm("{input}", input=str, output=str, name="a")
    async with App("memory:", models={"*": fake}) as app:
        await app.sessions.create("s", limits=limits if whose == "session" else Limits(tokens=10**6))
        handle = await app.start(asked("x"), session="s", limits=limits if whose == "run" else Limits(steps=9))
        with pytest.raises(RunFailed, match="nobody knows the price of the model") as caught:
            await handle.result()
        assert (caught.value.failure.code, fake.requests) == ("limit_exceeded", [])
        reached = (await handle.status()).reached
    assert reached is not None
    assert (reached.limit, reached.used, reached.allowed) == ("unpriced", 0, 0)
    assert reached.session == ("s" if whose == "session" else "")


@pytest.mark.parametrize("whose", ["run", "session"])
async def test_so_many_uses_at_an_unknown_price_as_are_allowed_are_made_and_told(
    whose: str, caplog: pytest.LogCaptureFixture
) -> None:
    fake, limits = FakeModel("One.", "Two.", "Three."), Limits(money=5, unpriced=2)
    asked = chain(llm("{input}", input=str, output=str, name="a")).then(llm("{input}", input=str, output=str, name="b"))
    third = asked.then(llm("{input}", input=str, output=str, name="c"))
    async with App("memory:", models={"*": fake}) as app:
        await app.sessions.create("s", limits=limits if whose == "session" else Limits(tokens=10**6))
        handle = await app.start(third("x"), session="s", limits=limits if whose == "run" else Limits(steps=9))
        with pytest.raises(RunFailed, match="2 of 2 are used"):
            await handle.result()
        told = [(each.sender, each.receiver) for each in await handle.interactions() if each.kind == "unpriced"]
        view = await handle.status()
        if whose == "session":
            assert (await app.sessions.used("s"))["unpriced"] == 2
    assert told == [("a", "limits"), ("b", "limits")]
    assert (view.unpriced, view.cost, view.steps["a"].unpriced, len(fake.requests)) == (2, 0.0, 1, 2)
    assert [each.message for each in caplog.records if "price" in each.message] == [UNPRICED] * 2


async def test_a_run_that_paused_of_an_unknown_price_goes_on_when_it_is_allowed() -> None:
    asked = llm("{input}", input=str, output=str, name="a")
    async with App("memory:", models={"*": FakeModel("One.")}) as app:
        handle = await app.start(asked("x"), limits=Limits(money=5, on_exceeded="ask"))
        async for recorded in handle.events():
            if type(recorded.event).__name__ == "LimitReached":
                break
        await handle.allow(Limits(money=5, unpriced=1))
        assert await handle.result() == "One."
        assert (await handle.status()).unpriced == 1


async def test_an_agent_asks_no_more_once_its_tokens_are_used_up() -> None:
    @tool(effect="read")
    async def look() -> str:
        return "there"

    fake = FakeModel(use("look"), use("look"), "Done.", cost=0.001)
    scout = Agent("scout", input=str, output=str, tools=[look])
    async with App("memory:", models={"*": fake}) as app:
        handle = await app.start(scout("Go."), limits=Limits(tokens=1))
        with pytest.raises(RunFailed, match="limit of tokens"):
            await handle.result()
    assert len(fake.requests) == 1


async def test_what_cleans_up_asks_models_whatever_the_limits_say() -> None:
    @step
    async def fail(text: str) -> str:
        raise ValueError(text)

    tell = llm("{input}", input=str, output=str, name="tell")
    fake = FakeModel("Told.")
    async with App("memory:", models={"*": fake}) as app:
        flow = chain(fail).cleanup(tell)
        handle = await app.start(flow("x"), limits=Limits(money=5))
        with pytest.raises(RunFailed, match="x"):
            await handle.result()
    assert len(fake.requests) == 1


async def test_without_a_limit_of_money_unknown_prices_are_only_counted(caplog: pytest.LogCaptureFixture) -> None:
    asked = llm("{input}", input=str, output=str, name="a")
    async with App("memory:", models={"*": FakeModel("One.", "Two.", "Three.")}) as app:
        await app.sessions.create("s", limits=Limits(tokens=10**6))
        free = await app.start(asked("x"))
        await free.result()
        handle = await app.start(asked("x"), session="s", limits=Limits(steps=9))
        await handle.result()
        alone = await app.start(asked("x"), limits=Limits(steps=9))
        await alone.result()
        for each in (free, handle, alone):
            assert not [told for told in await each.interactions() if told.kind == "unpriced"]
            assert (await each.status()).unpriced == 1
    assert UNPRICED not in caplog.text


async def test_what_turns_out_to_have_no_price_counts_and_the_next_attempt_is_refused() -> None:
    @step
    async def spend(text: str) -> str:
        current().usage(tokens=3, cost=None)
        return text

    flow = chain(spend).then(spend)
    async with App("memory:") as app:
        handle = await app.start(flow("x"), limits=Limits(money=5))
        with pytest.raises(RunFailed, match="1 of 0 are used"):
            await handle.result()
        view = await handle.status()
    assert (view.tokens, view.unpriced) == (3, 1)


async def test_a_coding_agent_that_never_says_what_was_paid_does_not_begin_where_money_is_limited() -> None:
    codex = cli_agent("codex", program="no-such-program-anywhere", in_place=True)
    async with App("memory:") as app:
        with pytest.raises(RunFailed, match="limit of unpriced"):
            await app.run(codex("Mend it."), limits=Limits(money=5))
        with pytest.raises(RunFailed, match="no-such-program-anywhere"):
            await app.run(codex("Mend it."), limits=Limits(money=5, unpriced=1))


async def test_an_embedding_model_whose_price_nobody_knows_is_not_asked_where_money_is_limited() -> None:
    async with ModelServer() as server:
        endpoint = ModelEndpoint("nobody-knows-this", server.url)

        @step
        async def learn(text: str) -> int:
            return len(await embedded(endpoint, [text], query=False))

        async with App("memory:") as app:
            with pytest.raises(RunFailed, match="limit of unpriced"):
                await app.run(learn("x"), limits=Limits(money=5))
            handle = await app.start(learn("x"))
            assert await handle.result() == 1
            assert (await handle.status()).unpriced == 1


async def test_the_result_of_a_document_says_how_many_of_its_uses_have_no_price(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with ModelServer("One.") as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        document = {"id": "ask", "steps": [{"id": "a", "type": "llm", "config": {"prompt": "x", "model": "mystery"}}]}
        result = await WorkflowOrchestrator("memory:").execute_workflow(document, user_id="ann")
    assert (result.unpriced, result.cost, result.steps["a"].unpriced) == (1, 0.0, 1)
    assert json.dumps(result.output) == '"One."'


def test_models_of_other_frameworks_have_the_prices_of_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    assert price_known("gpt-4o", 10, 3, "openai") == price_known("openai/gpt-4o", 10, 3) == pytest.approx(0.000055)
    assert price_known("gpt-4o", 10, 3) == pytest.approx(0.000055)
    assert price_known("nobody-knows-this", 10, 3) is None
    monkeypatch.setitem(__import__("sys").modules, "genai_prices", None)
    assert price_known("gpt-4o", 10, 3) is None
