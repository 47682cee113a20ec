"""Serves workflows as agents of Agent2Agent (https://a2a-protocol.org, version 1.0): a message starts a run.

Law: the run's journal is all that is kept. A message that comes again starts nothing again, whatever became of this
process meanwhile.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, NoReturn, TypeVar, cast

from a2a.helpers import get_data_parts, get_text_parts
from a2a.server.context import ServerCallContext
from a2a.server.events import Event
from a2a.server.request_handlers import RequestHandler
from a2a.server.request_handlers.request_handler import (
    validate_request_params,  # pyright: ignore[reportUnknownVariableType]
)
from a2a.types import (
    AgentCard,
    CancelTaskRequest,
    GetTaskRequest,
    ListTasksRequest,
    ListTasksResponse,
    Message,
    SendMessageRequest,
    SubscribeToTaskRequest,
    Task,
    TaskState,
)
from a2a.utils.errors import (
    ContentTypeNotSupportedError,
    ExtendedAgentCardNotConfiguredError,
    InvalidParamsError,
    PushNotificationNotSupportedError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)

from ..app import App
from ..authoring.call import Call
from ..authoring.encoding import encode
from ..authoring.flow import Runnable
from ..cli.inputs import call_of
from ..client import Handle
from ..core.events import Recorded, RolledBack, SignalReceived, StepCompleted, VoteCounted, VoteRefused
from ..core.lifecycle import LIVE, TERMINAL
from ..errors import IllegalTransition, InvalidValue, RipresaError, RunExists, RunNotFound, SessionError
from ..messages import Signal
from ..ports import RunHead
from ..runtime.feed import StepProgressed, TextWritten
from ..steps.parts import whole
from .a2a_tasks import ENDED, MESSAGE, TAG, Question, Reading, Seen, session_of

F = TypeVar("F", bound=Callable[..., Any])

_PLAIN: Final = re.compile(r"[\w.-]{1,100}", re.ASCII)
_YES: Final = ("yes", "y", "ok", "approve", "approved", "granted")
_NO: Final = ("no", "n", "reject", "rejected", "denied")
_BY: Final = "a2a"
_PAGE: Final = 50
_PATIENCE: Final = 5.0
"""Seconds in which a run that is cancelled is waited for, before it is told how it stands."""


@dataclass(frozen=True, slots=True)
class Begun:
    """The run that a message is about, and what it was asking when the message came."""

    handle: Handle[Any]
    answered: Question


def _complete(method: F) -> F:
    """Refuse requests that lack what the protocol wants of them."""
    return cast("F", validate_request_params(method))


class Desk(RequestHandler):
    """Takes the requests for one workflow of an app."""

    def __init__(self, app: App, workflow: Runnable[..., Any]) -> None:
        self._app = app
        self._workflow = workflow
        self._reading = Reading(app, workflow.name)

    # --- messages

    @_complete
    async def on_message_send(self, params: SendMessageRequest, context: ServerCallContext) -> Task | Message:
        """Start a run, or tell one what it asks; its task, when it has come to an end or a question."""
        begun = await self._begun(params, context)
        if not params.configuration.return_immediately:
            async with aclosing(self._news(begun)) as news:
                async for _ in news:
                    pass
        wanted = params.configuration.history_length if params.configuration.HasField("history_length") else None
        return await self._reading.task(await self._seen(begun.handle.id), wanted)

    @_complete
    async def on_message_send_stream(
        self, params: SendMessageRequest, context: ServerCallContext
    ) -> AsyncGenerator[Event, None]:
        """The same, and what happens until then."""
        begun = await self._begun(params, context)
        async with aclosing(self._news(begun)) as news:
            async for each in news:
                yield each

    async def _begun(self, params: SendMessageRequest, context: ServerCallContext) -> Begun:
        message = params.message
        if params.configuration.HasField("task_push_notification_config"):
            raise PushNotificationNotSupportedError
        if not message.message_id.isprintable():
            raise InvalidParamsError("the message id must be printable")
        if message.task_id:
            return await self._answered(message, _who(context))
        nothing = Question((), ())
        try:
            return Begun(await self._started(message, _who(context)), nothing)
        except RunExists:
            raise InvalidParamsError(f"the message id {message.message_id!r} was used for something else") from None
        except (InvalidValue, SessionError) as error:
            raise InvalidParamsError(str(error)) from None

    async def _started(self, message: Message, by: str) -> Handle[Any]:
        digest = sha256(f"{self._workflow.name}\0{message.message_id}".encode()).hexdigest()[:32]
        context = message.context_id or digest
        if not _PLAIN.fullmatch(context):
            raise InvalidParamsError("the context id must be of letters, digits, '.', '_' and '-'")
        call = self._call(message)
        session = session_of(self._workflow.name, context)
        await self._app.sessions.create(session, owner=_BY)
        tags = (TAG, f"{MESSAGE}{message.message_id}")
        return await self._app.start(call, id=f"{TAG}.{digest}", session=session, tags=tags, by=by)

    def _call(self, message: Message) -> Call[Any]:
        """What a message asks for: its one data part, or its text, which may be JSON where text is none."""
        found, text = _content(message)
        if found is not None:
            return call_of(self._workflow, encode(found[0]))
        try:
            return call_of(self._workflow, encode(text))
        except InvalidValue as error:
            try:
                return call_of(self._workflow, text.encode())
            except ValueError:
                raise error from None

    # --- answers

    async def _answered(self, message: Message, by: str) -> Begun:
        seen = await self._seen(message.task_id)
        if message.context_id and message.context_id != seen.context:
            raise InvalidParamsError("the task is of another context")
        handle = await self._app.handle(message.task_id, self._workflow)
        if await self._is_taken(message):
            return Begun(handle, Question((), ()))
        if not seen.question:
            raise UnsupportedOperationError(f"the task does not ask anything: its run is {seen.view.status}")
        try:
            await self._tell(handle, seen.question, message, by)
        except RipresaError as error:
            raise InvalidParamsError(str(error)) from None
        return Begun(handle, seen.question)

    async def _is_taken(self, message: Message) -> bool:
        """Whether the run has this answer already, whatever it asks now. Raises for one that did not count."""
        for recorded in await self._app.engine.history(message.task_id):  # read after the question was
            event = recorded.event
            if isinstance(event, VoteCounted | VoteRefused | SignalReceived) and event.id == message.message_id:
                if isinstance(event, VoteRefused):
                    raise InvalidParamsError(event.reason)
                return True
        return False

    async def _tell(self, handle: Handle[Any], question: Question, message: Message, by: str) -> None:
        found, text = _content(message)
        data = found[0] if found else None
        named: dict[str, Any] = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
        if "signal" in named:
            if named["signal"] not in question.signals:
                _unclear(question)
            await self._send(handle, named["signal"], named.get("value"), message, by)
        elif "granted" in named:
            await self._vote(handle, question, named, message, by)
        elif len(question.approvals) == 1:
            await self._vote(handle, question, _vote_of(question, found, text), message, by)
        elif len(question.signals) == 1:
            await self._send(handle, question.signals[0], data if found else text, message, by)
        else:
            _unclear(question)

    async def _send(self, handle: Handle[Any], name: str, value: Any, message: Message, by: str) -> None:
        await handle.send(Signal(name, cast("type[Any]", Any)), value, id=message.message_id, by=by)

    async def _vote(
        self, handle: Handle[Any], question: Question, vote: dict[str, Any], message: Message, by: str
    ) -> None:
        name, comment = vote.get("approval", ""), str(vote.get("comment", ""))
        asked = [each for each in question.approvals if not name or name in (each.name, each.path)]
        if len(asked) != 1 or not isinstance(vote["granted"], bool):
            _unclear(question)
        say = handle.approve if vote["granted"] else handle.reject
        path, digest = asked[0].path, asked[0].digest
        await say(path, by=by, form=vote.get("form"), comment=comment, digest=digest, id=message.message_id)

    # --- tasks

    @_complete
    async def on_get_task(self, params: GetTaskRequest, context: ServerCallContext) -> Task | None:
        """A task as it stands."""
        wanted = params.history_length if params.HasField("history_length") else None
        return await self._reading.task(await self._seen(params.id), wanted)

    @_complete
    async def on_list_tasks(self, params: ListTasksRequest, context: ServerCallContext) -> ListTasksResponse:
        """A page of tasks, the newest first; how many there are on all pages is not counted."""
        size = params.page_size if params.HasField("page_size") else _PAGE
        if not 1 <= size <= 2 * _PAGE:
            raise InvalidParamsError(f"page_size is {size}, must be from 1 to {2 * _PAGE}")
        wanted = params.history_length if params.HasField("history_length") else None
        session = session_of(self._workflow.name, params.context_id) if params.context_id else ""
        try:
            page = await self._app.runs(
                workflow=self._workflow.name,
                tag=TAG,
                status=_statuses(params.status),
                session=session,
                after=params.page_token,
                limit=size,
            )
        except RunNotFound:
            raise InvalidParamsError(f"the page token {params.page_token!r} is of no list") from None
        tasks: list[Task] = []
        for head in page.runs:
            seen = await self._reading.seen(head)
            if params.status in (TaskState.TASK_STATE_UNSPECIFIED, seen.state):
                tasks.append(await self._reading.task(seen, wanted, files=params.include_artifacts))
        return ListTasksResponse(
            tasks=tasks,
            page_size=size,
            next_page_token=page.runs[-1].id if page.more else "",
        )

    @_complete
    async def on_cancel_task(self, params: CancelTaskRequest, context: ServerCallContext) -> Task | None:
        """Cancel a run; what it has come to by then."""
        await self._seen(params.id)
        handle = await self._app.handle(params.id, self._workflow)
        try:
            await handle.cancel("asked by its caller", by=_who(context))
        except IllegalTransition as error:
            raise TaskNotCancelableError(str(error)) from None
        try:
            async with asyncio.timeout(_PATIENCE):
                async for _ in handle.events():
                    pass
        except TimeoutError:
            pass  # it cleans up: it is told as being worked on
        return await self._reading.task(await self._seen(params.id))

    @_complete
    async def on_subscribe_to_task(
        self, params: SubscribeToTaskRequest, context: ServerCallContext
    ) -> AsyncGenerator[Event, None]:
        """What happens to a task from now on."""
        seen = await self._seen(params.id)
        if seen.state in ENDED.values():
            raise UnsupportedOperationError(f"the task has ended: its run is {seen.view.status}")
        handle = await self._app.handle(params.id, self._workflow)
        async with aclosing(self._news(Begun(handle, Question((), ())))) as news:
            async for each in news:
                yield each

    async def _seen(self, id: str) -> Seen:
        head = await self._app.store.find_run(id)
        if head is None or not self._is_ours(head):
            raise TaskNotFoundError
        seen = await self._reading.seen(head)
        if TAG not in seen.view.tags:
            raise TaskNotFoundError
        return seen

    def _is_ours(self, head: RunHead) -> bool:
        return head.workflow == self._workflow.name

    async def _news(self, begun: Begun) -> AsyncGenerator[Event, None]:
        """The task, and what happens to it until it has ended, or asks something else than what was answered."""
        handle = begun.handle
        seen = await self._seen(handle.id)
        yield await self._reading.task(seen)
        if _is_settled(seen, begun):
            return
        drafts: set[str] = set()
        async with aclosing(handle.watch(after=seen.view.seq)) as items:
            async for item in items:
                if isinstance(item, TextWritten):
                    yield self._reading.wrote(seen, item.path, item.text, more=item.path in drafts)
                    drafts.add(item.path)
                elif isinstance(item, StepProgressed):
                    yield self._reading.progress(seen, item.message or item.path)
                elif isinstance(item, Recorded):
                    if isinstance(item.event, StepCompleted):
                        yield self._reading.progress(seen, f"{item.event.path} is done")
                    seen = await self._after(seen, item)
                    if _is_settled(seen, begun):
                        break
        for artifact in await self._reading.artifacts(seen):
            yield self._reading.gave(seen, artifact)
        yield self._reading.told(seen)

    async def _after(self, seen: Seen, recorded: Recorded) -> Seen:
        """A run as it stands after an event: read again only where it may have come to an end, or to a question."""
        view = seen.view
        if recorded.seq > view.seq:
            view.apply(recorded)
        moved = isinstance(recorded.event, RolledBack) or view.status in TERMINAL or view.approvals or view.waits
        return await self._seen(view.id) if moved else seen

    # --- what is not there

    async def on_create_task_push_notification_config(self, params: Any, context: ServerCallContext) -> NoReturn:
        """Refused: the card says that there is none."""
        raise PushNotificationNotSupportedError

    async def on_get_task_push_notification_config(self, params: Any, context: ServerCallContext) -> NoReturn:
        """The same."""
        raise PushNotificationNotSupportedError

    async def on_list_task_push_notification_configs(self, params: Any, context: ServerCallContext) -> NoReturn:
        """The same."""
        raise PushNotificationNotSupportedError

    async def on_delete_task_push_notification_config(self, params: Any, context: ServerCallContext) -> NoReturn:
        """The same."""
        raise PushNotificationNotSupportedError

    async def on_get_extended_agent_card(self, params: Any, context: ServerCallContext) -> AgentCard:
        """Refused: there is one card for all."""
        raise ExtendedAgentCardNotConfiguredError


def _is_settled(seen: Seen, begun: Begun) -> bool:
    return seen.is_over and (not begun.answered or seen.question != begun.answered)


def _who(context: ServerCallContext) -> str:
    user = context.user
    return f"{_BY}:{user.user_name}" if user.is_authenticated else _BY


def _content(message: Message) -> tuple[tuple[Any] | None, str]:
    """The data of a message, if it has some, and its text. Raises for what no workflow takes."""
    data = [whole(each) for each in get_data_parts(message.parts)]
    texts = get_text_parts(message.parts)
    if len(data) > 1 or len(data) + len(texts) < len(message.parts):
        raise ContentTypeNotSupportedError("a message is text, or one data part; files are not taken")
    return ((data[0],) if data else None), "\n".join(texts)


def _vote_of(question: Question, found: tuple[Any] | None, text: str) -> dict[str, Any]:
    """What an answer means that does not say so: a form grants, a word grants or rejects."""
    if found and question.approvals[0].form:
        return {"granted": True, "form": found[0]}
    word = text.strip().rstrip(".!").lower()
    if word not in (*_YES, *_NO) or (word in _YES and question.approvals[0].form):
        _unclear(question)
    return {"granted": word in _YES}


def _unclear(question: Question) -> NoReturn:
    raise InvalidParamsError(
        'it is not clear what is answered: send a data part {"approval": NAME, "granted": true or false, "form": ..., '
        f'"comment": ...}} or {{"signal": NAME, "value": ...}}; asked is {question.data}'
    )


def _statuses(state: TaskState) -> tuple[str, ...]:
    """The statuses that runs may have whose tasks are in this state."""
    found = tuple(status for status, each in ENDED.items() if each == state)
    return found or (() if state == TaskState.TASK_STATE_UNSPECIFIED else LIVE)
