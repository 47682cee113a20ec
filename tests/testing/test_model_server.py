"""The model server of `ripresa.testing`, driven by OpenAI's own client over real HTTP."""

import asyncio
import json
from typing import Literal

import openai
import pytest
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionToolParam

from ripresa.testing.answers import Answer, Fault, Received, Slow, ToolUse, use, value, vector_of
from ripresa.testing.model_server import ModelServer


def client(server: ModelServer, timeout: float = 10) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=server.url, api_key="loopback", max_retries=0, timeout=timeout)


def tool(name: str) -> ChatCompletionToolParam:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}


async def ask(server: ModelServer, text: str = "Hello?", **options: object) -> openai.types.chat.ChatCompletion:
    async with client(server) as ai:
        done = await ai.chat.completions.create(
            model="m",
            messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}],
            **options,  # type: ignore[call-overload]
        )
    assert isinstance(done, openai.types.chat.ChatCompletion)
    return done


async def test_each_request_takes_the_next_reply_and_is_kept() -> None:
    async with ModelServer("One.", Answer("Two.", tokens=(7, 3))) as server:
        first, second = await ask(server, "1"), await ask(server, "2")
    assert [first.choices[0].message.content, second.choices[0].message.content] == ["One.", "Two."]
    assert second.usage is not None
    assert (second.usage.prompt_tokens, second.usage.completion_tokens) == (7, 3)
    assert [(each.model, each.system, each.prompt) for each in server.requests] == [
        ("m", "Be brief.", "1"),
        ("m", "Be brief.", "2"),
    ]
    assert server.requests[0].headers["authorization"] == "Bearer loopback"


async def test_a_request_that_nothing_is_scripted_for_is_refused() -> None:
    async with ModelServer() as server:
        with pytest.raises(openai.BadRequestError, match="no answer is scripted"):
            await ask(server)


async def test_tools_are_called_and_their_results_seen() -> None:
    async with ModelServer(use("search", query="tides"), Answer(uses=(ToolUse("search", "{half"),))) as server:
        done = await ask(server, tools=[tool("search")])
        assert done.choices[0].message.tool_calls is not None
        call = done.choices[0].message.tool_calls[0]
        assert call.type == "function"
        assert (call.function.name, json.loads(call.function.arguments)) == ("search", {"query": "tides"})
        assert done.choices[0].finish_reason == "tool_calls"
        again = await ask(server, tools=[tool("search")])
        assert "{half" in again.model_dump_json()
    assert server.requests[0].tools == ["search"]
    result = Received("", {}, {"messages": [{"role": "tool", "content": [{"type": "text", "text": "found"}]}]})
    assert result.results == ["found"]
    assert (result.prompt, result.system, result.tools) == ("", "", [])


async def test_a_value_comes_in_the_form_that_the_request_asks_for() -> None:
    async with ModelServer(value({"a": 1}), value({"a": 1}), value({"a": 1})) as server:
        as_tool = await ask(server, tools=[tool("search"), tool("final_result")])
        as_text = await ask(server, response_format={"type": "json_object"})
        plain = await ask(server)
    assert as_tool.choices[0].message.tool_calls is not None
    call = as_tool.choices[0].message.tool_calls[0]
    assert call.type == "function"
    assert (call.function.name, call.function.arguments) == ("final_result", '{"a": 1}')
    assert as_text.choices[0].message.content == plain.choices[0].message.content == '{"a": 1}'


async def test_answers_are_streamed_word_by_word() -> None:
    replies = "The tide is high.", use("search", query="tides")
    async with ModelServer(*replies) as server, client(server) as ai:
        text, arguments, tokens = [], "", 0
        for _ in replies:
            async for chunk in await ai.chat.completions.create(
                model="m",
                messages=[{"role": "user", "content": "?"}],
                stream=True,
                stream_options={"include_usage": True},
            ):
                delta = chunk.choices[0].delta if chunk.choices else None
                if delta and delta.content:
                    text.append(delta.content)
                for call in (delta and delta.tool_calls) or ():
                    arguments += (call.function and call.function.arguments) or ""
                tokens += chunk.usage.completion_tokens if chunk.usage else 0
    assert text == ["The", " tide", " is", " high."]
    assert json.loads(arguments) == {"query": "tides"}
    assert tokens >= 4


async def test_refusals_say_when_to_come_back() -> None:
    async with ModelServer(Fault(status=429, retry_after=2), Fault(status=500), Fault(status=401)) as server:
        with pytest.raises(openai.RateLimitError) as limited:
            await ask(server)
        assert limited.value.response.headers["retry-after"] == "2"
        with pytest.raises(openai.InternalServerError):
            await ask(server)
        with pytest.raises(openai.AuthenticationError):
            await ask(server)


async def test_malformed_dropped_and_slow_answers() -> None:
    async with ModelServer(
        Fault("malformed"), Fault("dropped"), Fault("dropped"), Slow(30), Slow(0, "At last.")
    ) as server:
        with pytest.raises(json.JSONDecodeError):
            await ask(server)
        with pytest.raises(openai.APIConnectionError):
            await ask(server)
        async with client(server, timeout=0.1) as ai:
            with pytest.raises(openai.APIConnectionError):
                async for _ in await ai.chat.completions.create(model="m", messages=[], stream=True):
                    pass
            with pytest.raises(openai.APITimeoutError):
                await ai.chat.completions.create(model="m", messages=[])
        assert (await ask(server)).choices[0].message.content == "At last."


async def test_a_reply_may_be_made_of_the_request() -> None:
    async with ModelServer() as server:
        server.reply(lambda request: f"You said {request.prompt}")
        assert (await ask(server, "hi")).choices[0].message.content == "You said hi"
        assert server.env == {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "loopback"}


async def test_other_addresses_are_no_model() -> None:
    async with ModelServer() as server, client(server) as ai:
        assert [model.id async for model in ai.models.list()] == ["loopback"]
        with pytest.raises(openai.NotFoundError):
            await ai.moderations.create(model="m", input="x")


@pytest.mark.parametrize("form", ["float", "base64"])
async def test_vectors_are_those_of_the_words(form: Literal["float", "base64"]) -> None:
    async with ModelServer(faults=[Fault(status=500)]) as server, client(server) as ai:
        with pytest.raises(openai.InternalServerError):
            await ai.embeddings.create(model="m", input="x")
        found = await ai.embeddings.create(model="m", input="the tide", encoding_format=form, dimensions=8)
        if form == "float":
            assert found.data[0].embedding == vector_of("the tide", 8)
        assert found.usage.total_tokens == 2
    assert [request.body["input"] for request in server.embedded] == ["x", "the tide"]


async def test_a_body_without_its_length_is_refused() -> None:
    async with ModelServer() as server:
        port = int(server.url.rpartition(":")[2].partition("/")[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400")
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 10\r\n\r\n{")
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        assert server.requests == []
