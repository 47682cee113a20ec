"""Which model a name means, and what is said where there is none."""

import sys
from typing import Any

import pytest

from ripresa import ModelEndpoint, ModelError, ModelRequest, RipresaError
from ripresa.steps.asking import name_of
from ripresa.steps.conversation import Message, ToolCall
from ripresa.steps.gateway import Gateway
from ripresa.steps.providers import ProviderModel, coded, said_to
from ripresa.testing.answers import Answer, Fault, Slow, use
from ripresa.testing.fake_model import FakeModel
from ripresa.testing.model_server import ModelServer

REQUEST = ModelRequest("m", (Message("user", "Hi"),))


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def found(gateway: Gateway, model: Any) -> tuple[str, str]:
    model = gateway.find(model)
    assert isinstance(model, ProviderModel)
    return model.provider, model.name


def test_a_name_is_the_apps_own_then_a_providers_then_one_of_the_price_list() -> None:
    fake = FakeModel()
    names: dict[str, Any] = {"fast": "gpt-4o-mini", "quick": "fast", "mine": fake, "gpt-5": "openai:gpt-4o"}
    gateway = Gateway(names)
    assert gateway.find("mine") is fake
    assert gateway.find(fake) is fake
    assert found(gateway, "quick") == ("openai", "gpt-4o-mini")
    assert found(gateway, "gpt-5") == ("openai", "gpt-4o")
    assert found(gateway, "groq:llama-3.3-70b") == ("groq", "llama-3.3-70b")
    assert found(gateway, "claude-sonnet-4-5") == ("anthropic", "claude-sonnet-4-5")
    assert found(gateway, ModelEndpoint("llama3:8b", "http://127.0.0.1:1/v1")) == ("openai", "llama3:8b")
    assert found(gateway, ModelEndpoint("openai:llama3", "http://127.0.0.1:1/v1")) == ("openai", "llama3")
    assert (dict(gateway), len(gateway)) == (names, 4)


def test_names_that_mean_each_other_are_left_as_they_are() -> None:
    with pytest.raises(RipresaError) as caught:
        Gateway({"a": "b", "b": "a"}).find("a")
    assert caught.value.code == "unknown_model"


def test_one_model_may_answer_for_all_that_are_not_named() -> None:
    fake = FakeModel()
    gateway = Gateway({"*": fake, "fast": "gpt-4o"})
    assert gateway.find("default") is gateway.find("fast") is gateway.find("openai:gpt-4o") is fake


def test_no_model_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RipresaError, match="RIPRESA_MODELS_DEFAULT") as caught:
        Gateway({}).find("default")
    assert caught.value.code == "model_not_configured"
    with pytest.raises(RipresaError) as unknown:
        Gateway({}).find("my-model")
    assert unknown.value.code == "unknown_model"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    assert found(Gateway({}), "my-model") == ("openai", "my-model")


@pytest.mark.parametrize(
    ("model", "code", "words"),
    [
        ("openai:gpt-4o", "model_not_configured", "OPENAI_API_KEY"),
        (ModelEndpoint("openai:gpt-4o", key_variable="TEAM_KEY"), "model_not_configured", "TEAM_KEY"),
        ("openai-responses:gpt-4o", "model_not_configured", "OPENAI_API_KEY"),
        ("nobody:x", "model_not_configured", "nobody"),
        ("anthropic:claude-sonnet-4-5", "extra_missing", "pydantic-ai-slim[anthropic]"),
    ],
)
async def test_what_is_missing_is_named(model: Any, code: str, words: str) -> None:
    with pytest.raises(RipresaError) as caught:
        await Gateway({}).find(model).answer(REQUEST, print)
    assert caught.value.code == code
    assert words in str(caught.value)
    assert "None" not in str(caught.value)


async def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    for name in [name for name in sys.modules if name.partition(".")[0] == "pydantic_ai"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pydantic_ai.direct", None)
    with pytest.raises(RipresaError, match=r"ripresa\[llm\]") as caught:
        await Gateway({}).find("openai:gpt-4o").answer(REQUEST, print)
    assert caught.value.code == "extra_missing"


async def test_a_server_of_ones_own_needs_no_key() -> None:
    async with ModelServer("Hi.") as server:
        gateway = Gateway({"local": ModelEndpoint("llama3", server.url)})
        answer = await gateway.find("local").answer(REQUEST, print)
        await gateway.close()
        await gateway.close()
    assert (answer.text, answer.model, answer.cost) == ("Hi.", "openai:llama3", None)
    assert server.requests[0].model == "llama3"


async def test_what_a_server_says_about_coming_back_is_kept() -> None:
    async with ModelServer(Fault(status=429, retry_after=30)) as server:
        gateway = Gateway({"local": ModelEndpoint("llama3", server.url)})
        with pytest.raises(ModelError) as caught:
            await gateway.find("local").answer(REQUEST, print)
        await gateway.close()
    assert (caught.value.code, caught.value.retry_after, caught.value.retryable) == ("model_rate_limited", 30, True)


async def test_connections_are_kept_for_the_next_request() -> None:
    async with ModelServer("1", "2") as server:
        gateway = Gateway({"local": ModelEndpoint("llama3", server.url)})
        assert gateway.find("local") is gateway.find("local")
        for _ in range(2):
            await gateway.find("local").answer(REQUEST, print)
        await gateway.close()


def test_what_a_provider_wants_back_is_given_back() -> None:
    from pydantic_ai.messages import ModelResponse, TextPart, ThinkingPart

    response = ModelResponse(parts=[ThinkingPart("hm", signature="s"), TextPart("Yes.")])
    answer = ProviderModel(ModelEndpoint("openai:gpt-4o"), "", "").read(response, REQUEST)
    assert answer.text == "Yes."
    said = said_to(ModelRequest("m", (Message("user", "?"), answer.message, Message("user", "!"))))
    assert [type(each).__name__ for each in said] == ["ModelRequest", "ModelResponse", "ModelRequest"]
    assert said[1].parts == response.parts


def test_a_conversation_has_the_form_of_the_provider() -> None:
    call = ToolCall("c1", "search", "{}")
    messages = Message("user", "?"), Message("model", "", (call,)), Message("tool", "found", id="c1", name="search")
    said = said_to(ModelRequest("m", messages, "Be brief."))
    assert [[part.part_kind for part in each.parts] for each in said] == [
        ["system-prompt", "user-prompt"],
        ["tool-call"],
        ["tool-return"],
    ]
    assert said_to(ModelRequest("m", (Message("model", "Hi"),)))[0].kind == "response"


def test_errors_that_only_some_providers_make_have_codes_too() -> None:
    from pydantic_ai import exceptions as ai

    kinds: list[tuple[Any, str]] = [
        (ai.ModelQuotaExceededError("m", "spent"), "model_quota_exceeded"),
        (ai.ModelContextWindowExceededError("m", "long"), "context_too_long"),
        (ai.ContentFilterError("no"), "answer_filtered"),
        (ai.UnexpectedModelBehavior("odd"), "invalid_model_answer"),
    ]
    assert [coded(error, "m").code for error, _ in kinds] == [code for _, code in kinds]


async def test_a_model_without_a_network_fails_as_others_do() -> None:
    faults = Fault(status=429, retry_after=3), Fault("malformed"), Fault("dropped"), Fault(status=400)
    fake = FakeModel(*faults, Slow(0, "x"))
    codes: list[tuple[str, float]] = []
    for _ in faults:
        with pytest.raises(ModelError) as caught:
            await fake.answer(REQUEST, print)
        codes.append((caught.value.code, caught.value.retry_after))
    assert codes == [
        ("model_rate_limited", 3),
        ("invalid_model_answer", 0),
        ("model_unavailable", 0),
        ("model_refused", 0),
    ]
    assert (await fake.answer(REQUEST, print)).text == "x"
    with pytest.raises(ModelError, match="no answer is scripted"):
        await fake.answer(REQUEST, print)
    fake.reply(use("search", query="x"), Answer(value=[1]))
    assert (await fake.answer(REQUEST, print)).calls[0].arguments == '{"query": "x"}'
    assert (await fake.answer(REQUEST, print)).text == "[1]"


def test_models_have_names() -> None:
    assert [name_of(each) for each in ("gpt-4o", ModelEndpoint("llama3"), FakeModel())] == ["gpt-4o", "llama3", "fake"]


def test_a_server_is_sent_no_key_but_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai")
    monkeypatch.setenv("TEAM_KEY", "of-the-team")

    def key(variable: str) -> str:
        model: Any = Gateway({}).find(ModelEndpoint("llama3", "http://127.0.0.1:1/v1", variable))
        return str(model._client().client.api_key)

    assert (key(""), key("TEAM_KEY")) == ("not-set", "of-the-team")
    with pytest.raises(RipresaError, match="set NO_KEY") as caught:
        key("NO_KEY")
    assert caught.value.code == "model_not_configured"


def test_a_key_that_cannot_be_given_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", "of-the-environment")
    model: Any = Gateway({}).find(ModelEndpoint("deepseek:deepseek-chat", key_variable="TEAM_KEY"))
    with pytest.raises(RipresaError, match="a key of its own"):
        model._client()
