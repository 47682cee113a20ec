"""A coding agent that speaks the Agent Client Protocol: the first word of its prompt says what it does."""

# ruff: noqa: ASYNC230, ASYNC240

import asyncio
import json
import os
import sys
from typing import Any

import acp
from acp.schema import AgentCapabilities, Cost, PermissionOption, ToolCallUpdate, Usage, UsageUpdate

LOG = os.environ["FAKE_LOG"]


def note(*what: object) -> None:
    with open(LOG, "a", encoding="utf-8") as log:
        log.write(json.dumps(what) + "\n")


def spent(word: str) -> float:
    """What the session had cost before this turn; a session of `costly` turns remembers it."""
    if word != "costly":
        return 0.0
    before = float(os.path.exists(LOG + ".cost"))
    open(LOG + ".cost", "w").close()
    return 0.75 * before


class Fake:
    def __init__(self) -> None:
        self.client: Any = None
        self.cwd = ""

    def on_connect(self, conn: Any) -> None:
        self.client = conn

    async def initialize(self, protocol_version: int, **_: Any) -> Any:
        if "--broken" in sys.argv:
            raise acp.RequestError.auth_required({"key": os.environ.get("KEY", "")})
        loads = "--forgetful" not in sys.argv
        capabilities = AgentCapabilities(load_session=loads)
        return acp.InitializeResponse(protocol_version=protocol_version, agent_capabilities=capabilities)

    async def new_session(self, cwd: str, **_: Any) -> Any:
        note("new", cwd)
        self.cwd = cwd
        return acp.NewSessionResponse(session_id="acp_1")

    async def load_session(self, cwd: str, session_id: str, **_: Any) -> Any:
        note("load", session_id)
        self.cwd = cwd
        await self.say(session_id, "what was said before")
        return acp.LoadSessionResponse()

    async def say(self, session: str, text: str) -> None:
        await self.client.session_update(session_id=session, update=acp.update_agent_message_text(text))

    def write(self, name: str, text: str) -> None:
        with open(os.path.join(self.cwd, name), "w", encoding="utf-8") as file:
            file.write(text)

    async def prompt(self, session_id: str, prompt: list[Any], **_: Any) -> Any:
        word = prompt[0].text.split()[0]
        note("prompt", prompt[0].text, sys.argv[1:])
        print("this is no message", flush=True)
        print("warming up", file=sys.stderr, flush=True)
        if word == "dies" and not os.path.exists(LOG + ".died"):
            open(LOG + ".died", "w").close()
            self.write("half.txt", "first\n")
            os._exit(3)
        if word == "hangs":
            await asyncio.Event().wait()
        if word == "long":
            await self.say(session_id, "x" * 17 * 1024 * 1024)
        if word == "asks":
            kinds = ["reject_once"] if "--strict" in sys.argv else ["reject_once", "allow_always", "allow_once"]
            options = [PermissionOption(option_id=kind, name=kind, kind=kind) for kind in kinds]  # type: ignore[arg-type]
            call = ToolCallUpdate(tool_call_id="1", title="write")
            answer = await self.client.request_permission(session_id=session_id, tool_call=call, options=options)
            note("permission", answer.outcome.model_dump(mode="json", exclude_none=True))
        self.write("tide.txt", "high\n")
        await self.say(session_id, "It is ")
        await self.say(session_id, f"done {os.environ.get('KEY', '')}.")
        before = spent(word)
        for amount in () if word == "free" else (before + 0.25, before + 0.75):
            cost = Cost(amount=amount, currency="USD")
            update = UsageUpdate(session_update="usage_update", used=10, size=100, cost=cost)
            await self.client.session_update(session_id=session_id, update=update)
        if word == "costly" and not before:
            return acp.PromptResponse(stop_reason="max_tokens")
        reason: Any = word if word in ("refusal", "max_tokens") else "end_turn"
        usage = Usage(total_tokens=120, input_tokens=100, output_tokens=20)
        return acp.PromptResponse(stop_reason=reason, usage=usage)


if __name__ == "__main__":
    asyncio.run(acp.run_agent(Fake()))  # type: ignore[arg-type]
