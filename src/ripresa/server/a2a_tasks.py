"""What agents of elsewhere see of a run: a task of Agent2Agent, made from what readers see of its journal.

Law: a task is derived, never kept. Its id is the run's, its context the run's session, its history the message that
began the run.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from a2a.helpers import new_data_part, new_raw_part, new_text_part
from a2a.types import (
    Artifact,
    Message,
    Part,
    Role,
    Task,
    TaskArtifactUpdateEvent,
    TaskState,
    TaskStatus,
    TaskStatusUpdateEvent,
)
from google.protobuf.timestamp_pb2 import Timestamp  # type: ignore[import-untyped]

from ..app import App
from ..approvals import OpenApproval, open_in
from ..core.lifecycle import TERMINAL
from ..core.nodes.answer import UPDATES
from ..core.view import UNDER_WAY, RunView, view_of
from ..ports import RunHead
from ..runtime.values import Values

TAG: Final = "a2a"
"""The tag of all runs that were begun by a message."""

MESSAGE: Final = "a2a-message:"
"""What the tag begins with that names the message."""

LARGEST: Final = 1_048_576
"""Bytes of a result file that stands in a task; larger ones are named."""

ENDED: Final = {
    "completed": TaskState.TASK_STATE_COMPLETED,
    "failed": TaskState.TASK_STATE_FAILED,
    "cancelled": TaskState.TASK_STATE_CANCELED,
    "terminated": TaskState.TASK_STATE_CANCELED,
    "undone": TaskState.TASK_STATE_CANCELED,
}


@dataclass(frozen=True, slots=True)
class Question:
    """What a run waits to be told: an answer to an approval, or a signal."""

    approvals: tuple[OpenApproval, ...]
    signals: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.approvals or self.signals)

    @property
    def text(self) -> str:
        """The question in words."""
        asked = [each.question for each in self.approvals]
        return "\n".join([*asked, *(f"It waits for the signal {name!r}." for name in self.signals)])

    @property
    def data(self) -> list[dict[str, Any]]:
        """The question as data, with what an answer has to name."""
        asked: list[dict[str, Any]] = [
            {"approval": each.name, "question": each.question, "about": each.about, "form": each.form}
            for each in self.approvals
        ]
        return [*asked, *({"signal": name} for name in self.signals)]


@dataclass(frozen=True, slots=True)
class Seen:
    """A run as it stands, read for a task."""

    view: RunView
    question: Question
    context: str

    @property
    def state(self) -> TaskState:
        """Where the task stands."""
        if self.view.status == "created":
            return TaskState.TASK_STATE_SUBMITTED
        if self.question:
            return TaskState.TASK_STATE_INPUT_REQUIRED
        return ENDED.get(self.view.status, TaskState.TASK_STATE_WORKING)

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes by itself."""
        return bool(self.question) or self.view.status in TERMINAL


def session_of(workflow: str, context: str) -> str:
    """The session that a context is."""
    return f"{TAG}:{workflow}:{context}"


def context_of(workflow: str, session: str) -> str:
    """The context that a session is."""
    return session.removeprefix(session_of(workflow, ""))


class Reading:
    """Reads tasks from the runs of an app."""

    def __init__(self, app: App, workflow: str) -> None:
        self._app = app
        self._workflow = workflow
        self._values = Values(app.store.blob)

    async def seen(self, head: RunHead) -> Seen:
        """A run as it stands."""
        view = view_of(await self._app.engine.history(head.id))
        return Seen(view, await self._question(head, view), context_of(self._workflow, view.session))

    async def _question(self, head: RunHead, view: RunView) -> Question:
        if view.status != "running":
            return Question((), ())
        opened = tuple(await open_in(self._app.engine, head)) if view.approvals else ()
        busy = any(step.status in UNDER_WAY for step in view.steps.values())
        names = {each.signal for each in view.waits.values() if not each.signal.startswith(UPDATES)}
        return Question(opened, () if busy or opened else tuple(sorted(names)))

    async def task(self, seen: Seen, history: int | None = None, *, files: bool = True) -> Task:
        """The task that a run is; `history` is how many messages are told, all if it is None."""
        artifacts = await self.artifacts(seen) if files else []
        said = self._begun(seen)
        kept = said if history is None else said[-history:] if history else []
        return Task(
            id=seen.view.id, context_id=seen.context, status=self.status(seen), artifacts=artifacts, history=kept
        )

    def _begun(self, seen: Seen) -> list[Message]:
        view = seen.view
        id = next((tag.removeprefix(MESSAGE) for tag in view.tags if tag.startswith(MESSAGE)), "")
        parts = [_said(self._values.text(view.input))]
        return [Message(message_id=id, role=Role.ROLE_USER, parts=parts, task_id=view.id, context_id=seen.context)]

    def status(self, seen: Seen) -> TaskStatus:
        """How the task stands, with what is asked or what went wrong."""
        parts: list[Part] = []
        if seen.question:
            parts = [new_text_part(seen.question.text), *map(new_data_part, seen.question.data)]
        elif seen.view.status == "failed" and seen.view.failure is not None:
            parts = [new_text_part(f"[{seen.view.failure.code}] {seen.view.failure.message}")]
        elif seen.view.reason:
            parts = [new_text_part(seen.view.reason)]
        return self._status(seen, seen.state, parts)

    def _status(self, seen: Seen, state: TaskState, parts: Sequence[Part]) -> TaskStatus:
        at = Timestamp()
        at.FromMicroseconds(seen.view.updated_at)
        status = TaskStatus(state=state, timestamp=at)
        if parts:
            status.message.CopyFrom(
                Message(
                    message_id=f"{seen.view.id}-{seen.view.seq}",
                    role=Role.ROLE_AGENT,
                    parts=parts,
                    task_id=seen.view.id,
                    context_id=seen.context,
                )
            )
        return status

    async def artifacts(self, seen: Seen) -> list[Artifact]:
        """What a run gave: its output, and the result files that it saved."""
        found: list[Artifact] = []
        if seen.view.status == "completed" and seen.view.output is not None:
            found.append(
                Artifact(artifact_id="output", name="output", parts=[_said(self._values.text(seen.view.output))])
            )
        saved = await self._app.artifacts.list(run=seen.view.id) if seen.view.artifacts else ()
        for each in saved:
            parts: list[Part] = []
            if each.size <= LARGEST:
                content = await self._app.artifacts.get(each.name, run=seen.view.id)
                parts = [new_raw_part(content, each.media_type or None, each.name)]
            else:
                parts = [new_text_part(f"{each.name}: {each.size:,} bytes, too many to stand here")]
            found.append(Artifact(artifact_id=f"file:{each.name}", name=each.name, parts=parts))
        return found

    # --- news

    def told(self, seen: Seen) -> TaskStatusUpdateEvent:
        """That the task stands as it does."""
        return TaskStatusUpdateEvent(task_id=seen.view.id, context_id=seen.context, status=self.status(seen))

    def progress(self, seen: Seen, text: str) -> TaskStatusUpdateEvent:
        """That it is being worked on."""
        status = self._status(seen, TaskState.TASK_STATE_WORKING, [new_text_part(text)])
        return TaskStatusUpdateEvent(task_id=seen.view.id, context_id=seen.context, status=status)

    def gave(self, seen: Seen, artifact: Artifact) -> TaskArtifactUpdateEvent:
        """That it gave something."""
        return TaskArtifactUpdateEvent(
            task_id=seen.view.id, context_id=seen.context, artifact=artifact, last_chunk=True
        )

    def wrote(self, seen: Seen, path: str, text: str, *, more: bool) -> TaskArtifactUpdateEvent:
        """That a step writes text: a draft, which is not kept."""
        artifact = Artifact(artifact_id=f"draft:{path}", name="draft", parts=[new_text_part(text)])
        return TaskArtifactUpdateEvent(task_id=seen.view.id, context_id=seen.context, artifact=artifact, append=more)


def _said(text: bytes) -> Part:
    value = json.loads(text)
    return new_text_part(value) if isinstance(value, str) and value else new_data_part(value, "application/json")
