"""A conversation with a coding agent by the Agent Client Protocol (https://agentclientprotocol.com), over its pipes.

Law: as with lines of JSON it is a success only if the agent says that its turn has ended; here its program lives on
until it is stopped, so that its exit status says nothing. Files and terminals are the agent's own affair: it is offered
none of ours.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast

from ..context import current
from ..errors import RipresaError, StepError
from .dialects import count_at, text_at
from .process import PIECE, Ear, Process, Program, started
from .secret import hide

if TYPE_CHECKING:
    from .agents import Spec

GREETING: Final = 30.0
"""Seconds for a program to show that it speaks the protocol, where nobody says that it does."""

_NO_METHOD: Final = -32601
_ENDED: Final = "end_turn"
_REFUSED: Final = "refusal"
_TOLD: Final = 2000


class Wire:
    """The messages of one program: a line of JSON each. What is no message is left aside."""

    def __init__(self, process: Process, name: str) -> None:
        self._process = process
        self._name = name
        self.problem: StepError | None = None

    async def send(self, message: dict[str, Any]) -> None:
        """Write a message."""
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        await self._process.stdin.drain()

    async def receive(self) -> dict[str, Any] | None:
        """The next message; None when there are no more."""
        while True:
            try:
                line = await self._process.stdout.readuntil(b"\n")
            except asyncio.IncompleteReadError:
                return None
            except asyncio.LimitOverrunError:
                message = f"{self._name} wrote a line of more than 16 MiB"
                self.problem = StepError(message, code="too_large", retryable=False)
                return None
            try:
                found = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(found, dict):
                return cast("dict[str, Any]", found)

    async def close(self) -> None:
        """See `started`, which closes it."""


class Client:
    """What the agent may ask of us: to be told, and for permission, which it is given once for each."""

    def __init__(self, talk: AcpTalk) -> None:
        self._talk = talk

    async def session_update(self, session_id: str, update: Any, **_: Any) -> None:
        """The agent tells what it does."""
        self._talk.told(update.model_dump(mode="json", by_alias=True))

    async def request_permission(self, session_id: str, tool_call: Any, options: list[Any], **_: Any) -> Any:
        """The agent wants to do something: the step says by its dialect, arguments and folder what it may."""
        from acp.schema import AllowedOutcome, DeniedOutcome, RequestPermissionResponse

        self._talk.heard("permission")
        for kind in ("allow_once", "allow_always"):
            for option in options:
                if option.kind == kind:
                    return RequestPermissionResponse(
                        outcome=AllowedOutcome(outcome="selected", option_id=option.option_id)
                    )
        return RequestPermissionResponse(outcome=DeniedOutcome(outcome="cancelled"))


class AcpTalk:
    """One conversation: what it is and has come to."""

    def __init__(self, spec: Spec, program: Program, secrets: list[str]) -> None:
        self.text = ""
        self.tokens = 0
        self.cost = 0.0
        self.priced = True
        self.greeted = False
        """Whether the program has answered, so that it speaks the protocol."""
        self._charged = 0.0
        self._told_cost = False
        self._spec = spec
        self._program = replace(program, argv=(*spec.dialect.acp, *spec.args))
        self._secrets = secrets
        self._complaint = bytearray()
        self._count = 0
        self._live = False
        self._ear = Ear(spec.silence)
        self._agent: Any = None
        self._wire: Wire
        self._process: Process

    async def hold(self, prompt: str) -> str:
        """Have it, from the prompt to the end of the turn; the id of the session, which is journaled before that."""
        resumed = True

        async def begin() -> str:
            nonlocal resumed
            resumed = False
            await self._open(stack, group)
            made = await self._asked(self._agent.new_session(cwd=str(self._program.cwd), mcp_servers=[]))
            return str(made.session_id)

        try:
            async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
                session = await current().call_with_key("session", begin)
                if resumed:
                    capabilities = await self._open(stack, group)
                    session = await self._take_up(capabilities, session)
                await self._counted(session, prompt)
                await self._agent.close()
                for task in self._tasks:
                    task.cancel()
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from None
        return session

    async def _open(self, stack: AsyncExitStack, group: asyncio.TaskGroup) -> Any:
        """Start the program and shake hands; what it can do."""
        try:
            import acp
        except ImportError:
            raise RipresaError(
                "the Agent Client Protocol needs an optional dependency",
                code="extra_missing",
                op="cli_agent",
                hint="pip install 'ripresa[acp]'",
            ) from None
        try:
            self._process = process = await stack.enter_async_context(started(self._program))
        except StepError as error:
            if error.code == "executable_missing" and self._spec.dialect.install:
                error.hint = self._spec.dialect.install
            raise
        self._ear.hear()
        self._tasks = [
            group.create_task(self._keep_complaint(process.stderr)),
            group.create_task(self._ear.listen(self._spec.dialect.name)),
        ]
        self._wire = Wire(process, self._spec.dialect.name)
        self._agent = acp.connect_to_agent(cast("Any", Client(self)), self._wire)
        stack.push_async_callback(self._agent.close)
        try:
            async with asyncio.timeout(GREETING if self._spec.acp is None else None):
                hello = await self._asked(self._agent.initialize(protocol_version=acp.PROTOCOL_VERSION))
        except TimeoutError:
            raise self._failure("it does not answer the greeting") from None
        return hello.agent_capabilities

    async def _take_up(self, capabilities: Any, session: str) -> str:
        """Go on with a session, if the agent can; else begin another one."""
        place = str(self._program.cwd)
        if capabilities is not None and capabilities.load_session:
            await self._asked(self._agent.load_session(cwd=place, session_id=session, mcp_servers=[]))
            self._charged = await _charged_before()
            return session
        made = await self._asked(self._agent.new_session(cwd=place, mcp_servers=[]))
        return str(made.session_id)

    async def _counted(self, session: str, prompt: str) -> None:
        """The turn; if it fails, what the session has cost by then is kept for the attempt that takes it up."""
        try:
            await self._turn(session, prompt)
        except BaseException:
            if self.cost:
                await current().call_with_key(f"cost-{current().attempt}", _charged, self._charged)
            raise

    async def _turn(self, session: str, prompt: str) -> None:
        import acp

        self.text, self._live = "", True
        answer = await self._asked(self._agent.prompt(session_id=session, prompt=[acp.text_block(prompt)]))
        usage: dict[str, Any] = {} if answer.usage is None else answer.usage.model_dump(mode="json", by_alias=True)
        self._used(count_at(usage, "totalTokens"), 0.0, priced=self._told_cost)
        if answer.stop_reason != _ENDED:
            raise StepError(
                f"{self._spec.dialect.name}: its turn ended with {answer.stop_reason!r}",
                code="agent_failed",
                retryable=answer.stop_reason != _REFUSED,
            )

    async def _asked(self, asking: Any) -> Any:
        """What the agent answers. Raises `StepError(agent_failed, too_large)` where it refuses, or ends."""
        import acp

        try:
            answer = await asking
        except acp.RequestError as error:
            self.greeted = self.greeted or error.code != _NO_METHOD
            said = hide(f"{error}: {json.dumps(error.data)}" if error.data else str(error), self._secrets)
            raise self._failure(said[:_TOLD]) from None
        except (ConnectionError, ValueError) as error:  # it ended, or answered what is no answer
            if self._wire.problem is not None:
                raise self._wire.problem from None
            self._process.stdin.close()
            said = hide(self._complaint.decode("utf-8", "replace").strip(), self._secrets)[-_TOLD:]
            raise self._failure(f"it went away ({type(error).__name__}){': ' if said else ''}{said}") from None
        self._ear.hear()
        self.greeted = True
        return answer

    def _failure(self, why: str) -> StepError:
        return StepError(f"{self._spec.dialect.name}: {why}", code="agent_failed")

    async def _keep_complaint(self, stream: asyncio.StreamReader) -> None:
        while piece := await stream.read(PIECE):
            self._complaint += piece
            del self._complaint[:-PIECE]

    # --- what the agent tells

    def heard(self, what: str) -> None:
        """The agent told of something."""
        self._ear.hear()
        self._count += 1
        current().progress(self._count, None, what[:80])

    def told(self, update: dict[str, Any]) -> None:
        """Take an update of the session. What an earlier attempt was told comes again before the turn begins."""
        kind = text_at(update, "sessionUpdate")
        self.heard(kind)
        if not self._live:
            return
        if kind == "agent_message_chunk":
            self.text = hide(self.text + text_at(update, "content", "text"), self._secrets)
        elif kind == "usage_update":
            cost = update.get("cost")
            amount = cost.get("amount") if isinstance(cost, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            self._told_cost = self._told_cost or isinstance(amount, int | float)
            self._used(0, float(amount) if isinstance(amount, int | float) else 0.0)

    def _used(self, tokens: int, cost: float, *, priced: bool = True) -> None:
        """The agent used so much: tokens in this turn, money in the whole session, of which some has been counted."""
        more, dearer = max(tokens - self.tokens, 0), max(cost - self._charged, 0.0)
        self.tokens, self.cost, self._charged = self.tokens + more, self.cost + dearer, self._charged + dearer
        self.priced = priced or not more
        current().usage(tokens=more, cost=dearer if self.priced else None)


async def _charged(amount: float) -> float:
    """How much of a session's cost was counted when an attempt ended."""
    return amount


async def _charged_before() -> float:
    """How much of a session's cost earlier attempts have counted; one that kept nothing has counted nothing."""
    context, found = current(), 0.0
    for number in range(1, context.attempt):
        found = max(found, await context.call_with_key(f"cost-{number}", _charged, 0.0))
    return found
