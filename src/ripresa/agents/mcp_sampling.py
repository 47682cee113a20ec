"""A model that an MCP server may ask through its client, in the middle of a call: journaled, priced and limited."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..authoring.step import Options
from ..context import current, notes
from ..steps.asking import Voice, ask, name_of
from ..steps.conversation import Message, ModelAnswer, ModelRequest
from ..steps.llm import PATIENT
from ..steps.mcp_line import Heard
from .adapting import journaled


class Sampler:
    """Asks the model for a server. What it is asked again in the next attempt of a call is not asked anew."""

    def __init__(self, server: str, voice: Voice) -> None:
        self._server = server
        self._voice = voice

    async def __call__(self, context: Any, params: Any) -> Any:
        """See the MCP library. Raises what models and limits raise."""
        from mcp.types import CreateMessageResult, TextContent

        if not isinstance(notes(), Heard):
            return _refused("a model is asked as part of a call alone, as the protocol says it since July 2026")
        several = [(each.role, each.content_as_list) for each in params.messages]
        if params.tools or any(part.type != "text" for _, parts in several for part in parts):
            return _refused("the model is told texts alone, and has no tools")
        messages = tuple(
            Message("model" if role == "assistant" else "user", "\n".join(part.text for part in parts))
            for role, parts in several
        )
        answer = await self._answered(params, messages)
        ended = "maxTokens" if answer.finish == "length" else "endTurn"
        text = TextContent(type="text", text=answer.text)
        return CreateMessageResult(role="assistant", content=text, model=answer.model, stop_reason=ended)

    async def _answered(self, params: Any, messages: tuple[Message, ...]) -> ModelAnswer:
        voice = replace(self._voice, temperature=params.temperature, max_tokens=params.max_tokens)
        model = name_of(voice.models[0])

        async def answer(asked: Any) -> ModelAnswer:
            told = [{"role": each.role, "text": each.text} for each in messages]
            current().interaction(self._server, model, "request", told)
            found = await ask(voice, ModelRequest("", messages, params.system_prompt or ""))
            current().interaction(found.model or model, self._server, "answer", {"text": found.text})
            return found

        asked = params.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"meta"})
        found: ModelAnswer = await journaled("sampling", answer, Options("sampling", PATIENT), ModelAnswer, asked)
        return found


def _refused(why: str) -> Any:
    from mcp.types import INVALID_REQUEST, ErrorData

    return ErrorData(code=INVALID_REQUEST, message=why)
