"""One attempt to have an agent of elsewhere do something: its task is begun once, and waited for.

Law: what was sent is journaled by the id of the task that it became, before it is waited for. A later attempt finds it
and goes on; only where the task is known to have failed, or to be unknown, is another one begun.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import NAMESPACE_URL, uuid4, uuid5

from ..context import current
from ..errors import RipresaError, StepError
from .bridge import Terms, bridged
from .calls import AGAIN, credentials
from .guard import Guard
from .oauth import OAuth2
from .parts import AgentReply, AgentRequest, Reader, last_words, parts_of
from .secret import Secret, hide
from .waiting import asked_by

if TYPE_CHECKING:
    from a2a.client import Client
    from a2a.client.errors import A2AClientError
    from a2a.types import AgentCard, StreamResponse, Task

_SLOWEST: Final = 30.0
"""Seconds between two questions for news at most, unless it was said to be longer."""

_GRACE: Final = 5.0
"""Seconds that an agent has to hear that its task is cancelled."""

_KNOWN: Final = 100
"""How many tasks are looked through for one that may have been begun, the newest ones."""


@dataclass(frozen=True, slots=True)
class Spec:
    """An agent as it was declared, checked."""

    name: str
    url: str
    card: str
    asks: str
    guard: Guard
    homes: frozenset[tuple[str, str, int]]
    headers: Mapping[str, str | Secret]
    auth: Secret | tuple[str, Secret] | OAuth2 | None
    ca: str
    streaming: bool
    max_size: int
    patience: float
    poll: float
    silence: float


@dataclass(frozen=True, slots=True)
class Begun:
    """What a message became: a task, or at once a reply."""

    task: str = ""
    reply: AgentReply | None = None


@dataclass(slots=True)
class Talk:
    """What is known while it lasts."""

    spec: Spec
    secrets: list[str] = field(default_factory=list[str])
    _news: int = 0
    _who: str = ""
    _client: Client = field(init=False)
    _streaming: bool = False
    _stream: AsyncIterator[StreamResponse] | None = None

    async def hold(self, request: AgentRequest) -> AgentReply:
        """Have it, to the reply. Raises `StepError` with the codes of the table."""
        spec = self.spec
        _installed()
        parts_of(request)  # what cannot be said is no business of the agent's
        headers = credentials(spec.headers, spec.auth, self.secrets)
        oauth = spec.auth if isinstance(spec.auth, OAuth2) else None
        terms = Terms(spec.guard, spec.patience, spec.max_size, headers, spec.homes, oauth, self.secrets, spec.ca)
        async with bridged(terms) as http:
            with self._coded():
                await self._open(http)
                reply = await self._have(request)
        current().interaction(self._who, spec.name, "reply", {"text": reply.text, "wants": reply.wants})
        return reply

    async def _open(self, http: Any) -> None:
        """Read the card, and connect as it says."""
        from a2a.client import ClientConfig, ClientFactory
        from a2a.utils.constants import TransportProtocol

        card = await self._card(http)
        bindings: list[str] = [TransportProtocol.JSONRPC, TransportProtocol.HTTP_JSON]
        config = ClientConfig(
            streaming=self.spec.streaming, polling=True, httpx_client=http, supported_protocol_bindings=bindings
        )
        self._who = card.name
        self._streaming = self.spec.streaming and card.capabilities.streaming
        try:
            self._client = ClientFactory(config).create(card)
        except ValueError as error:
            raise _not_of_it(f"the card of the agent cannot be used: {error}") from None

    async def _card(self, http: Any) -> AgentCard:
        from a2a.client import A2ACardResolver

        path = {"agent_card_path": self.spec.card} if self.spec.card else {}
        return await A2ACardResolver(http, self.spec.url, **path).get_agent_card()

    async def _have(self, request: AgentRequest) -> AgentReply:
        number = 0
        while True:
            begun, fresh = await self._begun(request, number)
            if begun.reply is not None:
                return begun.reply
            if fresh or await self._lives(begun.task) or request.task:  # nothing else can take its answer
                return self._reply(await self._waited(begun.task))
            number += 1

    # --- beginning

    async def _begun(self, request: AgentRequest, number: int) -> tuple[Begun, bool]:
        """The task that this became, and whether it was begun just now."""
        fresh, context = False, current()
        id = str(uuid5(NAMESPACE_URL, f"{context.idempotency_key}/{number}") if context.run else uuid4())

        async def begin() -> Begun:
            nonlocal fresh
            fresh = True
            known = await self._known(id, request) if context.attempt > 1 else ""
            if known:
                fresh = False
                return Begun(known)
            told = {"text": request.text, "files": [each.name for each in request.files]}
            context.interaction(self.spec.name, self._who, "request", told)
            return await self._sent(request, id)

        return await context.call_with_key(f"task-{number}", begin), fresh

    async def _known(self, id: str, request: AgentRequest) -> str:
        """The task that an attempt began or answered which did not live to record it; empty where none is known."""
        from a2a.types import ListTasksRequest
        from a2a.utils.errors import A2AError

        with suppress(A2AError):  # not every agent can list what it does
            if request.task:
                return request.task if _has_heard(await self._looked_at(request.task), id) else ""
            asked = ListTasksRequest(context_id=request.context, page_size=_KNOWN)
            found = await self._client.list_tasks(asked, context=self._within(self.spec.patience))
            return next((task.id for task in found.tasks if any(id == each.message_id for each in task.history)), "")
        return ""

    async def _sent(self, request: AgentRequest, id: str) -> Begun:
        from a2a.types import Message, Role, SendMessageRequest

        message = Message(
            message_id=id,
            role=Role.ROLE_USER,
            parts=parts_of(request),
            context_id=request.context or None,
            task_id=request.task or None,
        )
        patience = self.spec.silence if self._streaming else self.spec.patience
        stream = self._client.send_message(SendMessageRequest(message=message), context=self._within(patience))
        try:
            async for first in stream:
                return self._first(first, stream)
        except ValueError as error:
            raise _not_of_it(f"{self.spec.name}: {error}") from None
        raise _not_of_it(f"{self.spec.name} ended its answer before it began")

    def _first(self, first: StreamResponse, stream: AsyncIterator[StreamResponse]) -> Begun:
        if first.HasField("message"):
            return Begun(reply=Reader(self.secrets).message(first.message))
        self._stream = stream if self._streaming else None
        return Begun(self._told(first))

    def _within(self, patience: float) -> Any:
        from a2a.client import ClientCallContext

        return ClientCallContext(timeout=patience)

    # --- waiting

    async def _lives(self, id: str) -> bool:
        """Whether it is worth waiting for a task that an earlier attempt began."""
        from a2a.types import SubscribeToTaskRequest, TaskState
        from a2a.utils.errors import TaskNotFoundError

        try:
            task = await self._looked_at(id)
        except TaskNotFoundError:
            return False
        state = TaskState.Name(task.status.state)
        if self._streaming and state in _GOING:
            asked = SubscribeToTaskRequest(id=id)
            self._stream = self._client.subscribe(asked, context=self._within(self.spec.silence))
        return state not in _FAILED

    async def _waited(self, id: str) -> Task:
        """The task when it has come to an end, or to a question."""
        from a2a.types import TaskState

        pause = self.spec.poll
        try:
            await self._listened()
            while True:
                task = await self._looked_at(id)
                if TaskState.Name(task.status.state) not in _GOING:
                    return task
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, max(_SLOWEST, self.spec.poll))
        except asyncio.CancelledError:
            if current().cancelled or not current().run:  # otherwise the run is taken up again, and so is the task
                await self._cancelled(id)
            raise

    async def _listened(self) -> None:
        """Hear the stream to its end, which says that there is news; a stream that breaks is as good as one."""
        from a2a.types import TaskState
        from a2a.utils.errors import A2AError

        stream, self._stream = self._stream, None
        if stream is None:
            return
        with suppress(A2AError, StepError):
            async with aclosing(cast("AsyncGenerator[StreamResponse, None]", stream)) as heard:
                async for news in heard:
                    self._told(news)
                    if TaskState.Name(news.status_update.status.state) not in _GOING:
                        return

    def _told(self, news: StreamResponse) -> str:
        """Tell watchers what the agent tells; the id of the task."""
        from a2a.helpers import get_artifact_text, get_text_parts
        from a2a.types import TaskState

        self._news += 1
        if news.HasField("artifact_update"):
            current().write(hide(get_artifact_text(news.artifact_update.artifact, ""), self.secrets))
            return news.artifact_update.task_id
        status = news.task.status if news.HasField("task") else news.status_update.status
        said = " ".join(get_text_parts(status.message.parts)) or TaskState.Name(status.state)
        current().progress(self._news, None, hide(said, self.secrets)[:200])
        return news.task.id or news.status_update.task_id

    async def _looked_at(self, id: str) -> Task:
        from a2a.types import GetTaskRequest

        return await self._client.get_task(GetTaskRequest(id=id), context=self._within(self.spec.patience))

    async def _cancelled(self, id: str) -> None:
        from a2a.types import CancelTaskRequest
        from a2a.utils.errors import A2AError

        with suppress(A2AError, StepError, TimeoutError):  # the run ends as it would; the agent may be gone, or done
            async with asyncio.timeout(_GRACE):
                await self._client.cancel_task(CancelTaskRequest(id=id), context=self._within(_GRACE))

    # --- what came of it

    def _reply(self, task: Task) -> AgentReply:
        from a2a.helpers import get_text_parts
        from a2a.types import TaskState

        state = TaskState.Name(task.status.state)
        said = hide("\n".join(get_text_parts(last_words(task))), self.secrets)
        if state == "TASK_STATE_COMPLETED":
            return Reader(self.secrets).task(task)
        if state == "TASK_STATE_INPUT_REQUIRED" and self.spec.asks == "return":
            return Reader(self.secrets).task(task, said or "?")
        if state in ("TASK_STATE_INPUT_REQUIRED", "TASK_STATE_AUTH_REQUIRED"):
            raise StepError(
                f"{self.spec.name} asks: {said}",
                code="agent_asks",
                retryable=False,
                hint='with asks="return" the reply says what it wants, and another request answers it',
            )
        ended = state.removeprefix("TASK_STATE_").lower()
        raise StepError(
            f"{self.spec.name}: its task ended as {ended}{': ' if said else ''}{said}",
            code="agent_failed",
            retryable=state == "TASK_STATE_FAILED",
        )

    @contextmanager
    def _coded(self) -> Generator[None, None, None]:
        """Say with our codes what goes wrong."""
        from a2a.client.errors import A2AClientError
        from a2a.utils.errors import A2AError, InternalError
        from google.protobuf.json_format import ParseError  # type: ignore[import-untyped]

        try:
            yield
        except A2AClientError as error:
            raise self._broken(error) from error
        except A2AError as error:
            raise StepError(
                f"{self.spec.name}: {hide(error.message, self.secrets)}",
                code="agent_failed",
                retryable=isinstance(error, InternalError),
                unknown=isinstance(error, InternalError),
            ) from error
        except ParseError as error:
            raise _not_of_it(f"{self.spec.name}: {hide(str(error), self.secrets)}") from None

    def _broken(self, error: A2AClientError) -> StepError:
        import httpx

        cause = error.__cause__
        said = f"{self.spec.name}: {hide(error.message, self.secrets)}"
        if isinstance(cause, httpx.HTTPStatusError):
            status = cause.response.status_code
            return StepError(
                f"{self.spec.name} answered with status {status}",
                code="http_status",
                retryable=status in AGAIN,
                retry_after=asked_by(cause.response.headers.get("retry-after", "")),
                unknown=status in (500, 502, 504),
            )
        return _not_of_it(said)


_GOING: Final = ("TASK_STATE_UNSPECIFIED", "TASK_STATE_SUBMITTED", "TASK_STATE_WORKING")
_FAILED: Final = ("TASK_STATE_FAILED", "TASK_STATE_CANCELED", "TASK_STATE_REJECTED")


def _has_heard(task: Task, id: str) -> bool:
    """Whether a task has the answer of this id: it tells so, or does not ask any more."""
    from a2a.types import TaskState

    asks = TaskState.Name(task.status.state) in ("TASK_STATE_INPUT_REQUIRED", "TASK_STATE_AUTH_REQUIRED")
    return not asks or any(id == each.message_id for each in task.history)


def _not_of_it(message: str) -> StepError:
    return StepError(message, code="invalid_agent_answer", retryable=False)


def _installed() -> None:
    try:
        import a2a.client  # noqa: F401 # pyright: ignore[reportUnusedImport]
        import httpx2  # noqa: F401 # pyright: ignore[reportUnusedImport]
    except ImportError:
        raise RipresaError(
            "agents that speak Agent2Agent need an optional dependency",
            code="extra_missing",
            op="a2a_agent",
            hint="pip install 'ripresa[a2a]'",
        ) from None
