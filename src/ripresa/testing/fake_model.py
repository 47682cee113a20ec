"""A language model without a network, for tests: what it says is scripted, what it was asked is kept.

`App(models={"*": FakeModel("Hello")})` lets it answer for every model. It stands here alone: nothing outside tests ever
answers in the place of a model.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from ..errors import ModelError
from ..steps.conversation import Message, ModelAnswer, ModelRequest, ToolCall, ToolSpec, Write
from ..steps.embedding import Embedded
from ..steps.forms import OUTPUT
from .answers import Answer, Fault, Received, Script, Slow, next_reply, vector_of

_CODES = {401: "model_unauthorized", 404: "unknown_model", 429: "model_rate_limited"}


class FakeModel:
    """A `Model` that gives the next of its scripted replies to each request, the same ones as `ModelServer`.

    A request for which there is none is refused. `requests` are all that were made, in OpenAI's form; `cost` is what
    each of them costs in dollars.
    """

    name = "fake"

    def __init__(self, *replies: Script, cost: float | None = None) -> None:
        self.script: list[Script] = list(replies)
        self.requests: list[Received] = []
        self.cost = cost

    def reply(self, *replies: Script) -> None:
        """Script more replies."""
        self.script.extend(replies)

    async def answer(self, request: ModelRequest, write: Write) -> ModelAnswer:
        """See `Model`."""
        received = Received("", {}, _body(request))
        self.requests.append(received)
        reply = next_reply(self.script, received)
        if isinstance(reply, Slow):
            await asyncio.sleep(reply.seconds)
            reply = reply.answer
        if isinstance(reply, Fault):
            raise _failed(reply)
        answer = Answer(reply) if isinstance(reply, str) else reply
        if request.stream:
            for word in answer.text.split(" "):
                write(word)
        return self._answered(answer, request)

    async def embed(self, texts: Sequence[str], *, query: bool) -> Embedded:
        """See `EmbeddingModel`: vectors of 64 numbers, by the words of each text; a token is a word."""
        words = sum(len(text.split()) for text in texts)
        return Embedded([vector_of(text) for text in texts], words, self.cost)

    def price(self, request: ModelRequest, input_tokens: int, output_tokens: int) -> float | None:
        """See `Model`."""
        return self.cost

    def _answered(self, answer: Answer, request: ModelRequest) -> ModelAnswer:
        text, uses = answer.text, list(answer.uses)
        calls = [
            ToolCall(
                use.id or f"call_{index}_{use.name}",
                use.name,
                use.arguments if isinstance(use.arguments, str) else json.dumps(dict(use.arguments)),
            )
            for index, use in enumerate(uses)
        ]
        if answer.value is not None and request.output is not None:
            calls.append(ToolCall("call_output", OUTPUT, json.dumps(answer.value)))
        elif answer.value is not None:
            text = json.dumps(answer.value)
        asked, said = answer.tokens or (len(json.dumps(_body(request)).split()), len(text.split()) + len(calls))
        finish = answer.finish or ("tool_call" if calls else "stop")
        return ModelAnswer(text, tuple(calls), finish, f"fake:{request.model}", asked, said, self.cost)


def _body(request: ModelRequest) -> dict[str, Any]:
    system = [{"role": "system", "content": request.system}] if request.system else []
    tools = [*request.tools, *([] if request.output is None else [request.output])]
    given = {"model": request.model, "temperature": request.temperature, "max_tokens": request.max_tokens}
    return {
        **{name: each for name, each in given.items() if each is not None},
        "messages": [*system, *map(_message, request.messages)],
        "tools": [_tool(spec) for spec in tools],
    }


def _tool(spec: ToolSpec) -> dict[str, Any]:
    function = {"name": spec.name, "description": spec.description, "parameters": dict(spec.schema)}
    return {"type": "function", "function": function}


def _message(message: Message) -> dict[str, Any]:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.id, "content": message.text}
    if message.role == "user":
        return {"role": "user", "content": message.text}
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in message.calls
    ]
    return {"role": "assistant", "content": message.text, **({"tool_calls": calls} if calls else {})}


def _failed(fault: Fault) -> ModelError:
    if fault.kind == "malformed":
        return ModelError(fault.message, code="invalid_model_answer")
    refused = 400 <= fault.status < 500 and fault.kind == "status"
    code = _CODES.get(fault.status, "model_refused") if refused else "model_unavailable"
    error = ModelError(fault.message, code=code)
    error.retry_after = fault.retry_after or 0.0
    return error
