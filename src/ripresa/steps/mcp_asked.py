"""What MCP servers ask of their client in the middle of a call: people, a model, the folders that they may work in.

Law: nothing is told that the author has not allowed, and a server that is told nothing knows so from the beginning. A
call is made by rounds: what the server asks is answered, and it is called again with the answers and its own state.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..errors import ToolFailed
from .halts import Halt, Question, Replies

if TYPE_CHECKING:
    from mcp import Client

ROUNDS: Final = 10
"""How often a call is made again with answers, before the server is told that it asks too much."""

REST: Final = 0.1
"""Seconds until a call is made again whose server asks nothing but that."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a server may ask: people, a model (`sample` asks it), and for the folders `roots`."""

    questions: bool = False
    sample: Callable[[Any, Any], Awaitable[Any]] | None = None
    roots: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.questions or self.sample or self.roots)

    def callbacks(self) -> dict[str, Any]:
        """What the client of the MCP library is given, by which it says what may be asked."""
        answers = {
            "elicitation_callback": _declined if self.questions else None,
            "sampling_callback": self.sample,
            "list_roots_callback": self._listed if self.roots else None,
        }
        return {name: each for name, each in answers.items() if each is not None}

    async def _listed(self, context: Any) -> Any:
        from mcp.types import ListRootsResult

        return ListRootsResult.model_validate({"roots": list(map(_root, self.roots))})


def _root(path: str) -> dict[str, str]:
    whole = Path(path).absolute()
    return {"uri": whole.as_uri(), "name": whole.name}


NOTHING: Final = Asked()
"""What a server may ask of which nobody has said anything."""


async def _declined(context: Any, params: Any) -> Any:
    """The answer where nobody is asked: outside of agents, and to servers that wait for it in the middle of a call."""
    from mcp.types import ElicitResult

    return ElicitResult(action="decline")


async def in_rounds(
    client: Client, call: Mapping[str, Any], replies: Replies | None, *, halts: bool, where: str
) -> Any:
    """The result of a call, or where it `halts` to ask people. Raises `ToolFailed` for one that never stops asking."""
    from mcp.types import InputRequiredResult

    responses, state = (None, None) if replies is None else (_responses(replies), replies.halt.state)
    for _ in range(ROUNDS):
        result = await client.session.call_tool(
            **call, input_responses=responses, request_state=state, allow_input_required=True
        )
        if not isinstance(result, InputRequiredResult):
            return result
        asked = result.input_requests or {}
        questions = {key: each for key, each in asked.items() if halts and each.method == "elicitation/create"}
        responses = {key: await _answer(client, key, each) for key, each in asked.items() if key not in questions}
        if questions:
            more = {key: each.model_dump(mode="json", by_alias=True) for key, each in responses.items()}
            told = {key: _question(each.params) for key, each in questions.items()}
            return Halt(told, result.request_state, more)
        state = result.request_state
        if not asked:
            await asyncio.sleep(REST)
    raise ToolFailed(f"{where} asks without end: {ROUNDS} times in one call", code="tool_failed", retryable=False)


def _question(params: Any) -> Question:
    if params.mode == "url":
        return Question(f"{params.message} (open {params.url}, and say whether it is done)")
    return Question(params.message.strip() or "It asks for this.", dict(params.requested_schema))


def _responses(replies: Replies) -> Any:
    """What people answered, and what was answered without them, as the MCP library has it."""
    from mcp_types import InputResponses
    from pydantic import TypeAdapter

    given = {key: {"action": each.action, "content": each.content} for key, each in replies.by_key.items()}
    return TypeAdapter[Any](InputResponses).validate_python({**replies.halt.more, **given})


async def _answer(client: Client, key: str, request: Any) -> Any:
    """What is answered without people. Raises `MCPError` where that is refused."""
    from mcp import MCPError
    from mcp.client.context import ClientRequestContext
    from mcp.types import ErrorData

    meta = request.params.meta if request.params else None
    found = await client.session.dispatch_input_request(
        ClientRequestContext(session=client.session, request_id=key, meta=meta), request
    )
    if isinstance(found, ErrorData):
        raise MCPError.from_error_data(found)
    return found
