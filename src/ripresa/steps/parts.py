"""What agents of elsewhere are told and tell: text, data and files, as values of ours and as parts of Agent2Agent."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from ..context import current
from ..core.names import check_name
from ..errors import InvalidValue
from .secret import hide, without

if TYPE_CHECKING:
    from a2a.types import Artifact, Message, Part, Task


@dataclass(frozen=True, slots=True)
class AgentFile:
    """A file that an agent is sent, or sent: its `content` in base64, or a `url` where it is.

    Inside a run the content of what an agent sends is the artifact of this `name`; `content` is empty. What stands at a
    URL is never fetched.
    """

    name: str
    media_type: str = ""
    url: str = ""
    content: str = ""


@dataclass(frozen=True, slots=True)
class AgentRequest:
    """What an agent is told: text, data (anything that is JSON) and files.

    `context` is the conversation that it belongs to, `task` the task whose question it answers: both stand in the
    reply before.
    """

    text: str = ""
    data: Any = None
    files: tuple[AgentFile, ...] = ()
    context: str = ""
    task: str = ""


@dataclass(frozen=True, slots=True)
class AgentReply:
    """What an agent gave: all of its text, its data, and its files.

    `wants` is what it asks before it goes on, if it does; then the request that answers it names `task` and `context`.
    """

    text: str
    data: tuple[Any, ...] = ()
    files: tuple[AgentFile, ...] = ()
    task: str = ""
    context: str = ""
    wants: str = ""


def parts_of(request: AgentRequest) -> list[Part]:
    """The parts of a message. Raises `InvalidValue` where nothing is said, or a file has no content."""
    from a2a.helpers import new_data_part, new_raw_part, new_text_part, new_url_part

    found = [new_text_part(request.text)] if request.text.strip() else []
    if request.data is not None:
        found.append(new_data_part(request.data, "application/json"))
    for file in request.files:
        if file.url:
            found.append(new_url_part(file.url, file.media_type or None, file.name))
        else:
            found.append(new_raw_part(_content(file), file.media_type or None, file.name))
    if not found:
        raise InvalidValue("there is nothing to tell the agent", op="a2a_agent")
    return found


def _content(file: AgentFile) -> bytes:
    try:
        return base64.b64decode(file.content, validate=True)
    except (binascii.Error, ValueError) as error:
        message = f"the content of the file {file.name!r} is not base64: {error}"
        raise InvalidValue(message, op="a2a_agent") from None


@dataclass(slots=True)
class Reader:
    """Reads what an agent gave, without these secrets; only what is in a file stays as it came."""

    secrets: Sequence[str]
    data: list[Any] = field(default_factory=list[Any])
    files: list[AgentFile] = field(default_factory=list[AgentFile])

    def message(self, message: Message) -> AgentReply:
        """The reply that a message is."""
        return self._reply(self._text(message.parts, "\n", "file"), "", message.context_id)

    def task(self, task: Task, wants: str = "") -> AgentReply:
        """What a task has come to: its artifacts, or where it has none what the agent said last."""
        said = "\n".join(filter(None, map(self._artifact, task.artifacts)))
        if not task.artifacts:
            said = self._text(last_words(task), "\n", "file")
        return self._reply(said, task.id, task.context_id, wants)

    def _reply(self, text: str, task: str, context: str, wants: str = "") -> AgentReply:
        return AgentReply(text, tuple(self.data), tuple(self.files), task, context, hide(wants, self.secrets))

    def _artifact(self, artifact: Artifact) -> str:
        return self._text(artifact.parts, "", artifact.name or "file")  # its parts may be pieces of one text

    def _text(self, parts: Iterable[Part], between: str, name: str) -> str:
        return between.join(self._texts(parts, name))

    def _texts(self, parts: Iterable[Part], name: str) -> Iterator[str]:
        from a2a.helpers import get_data_parts

        for part in parts:
            if part.HasField("text"):
                yield hide(part.text, self.secrets)
            elif part.HasField("data"):
                self.data.append(without(whole(get_data_parts([part])[0]), self._hidden))
            else:
                self.files.append(self._file(part, name))

    def _file(self, part: Part, name: str) -> AgentFile:
        called, media_type = self._free(self._hidden(part.filename or name)), self._hidden(part.media_type)
        if part.HasField("url"):
            return AgentFile(called, media_type, self._hidden(part.url))
        if not current().run:
            return AgentFile(called, media_type, content=base64.b64encode(part.raw).decode())
        current().save_artifact(called, part.raw, media_type=media_type)
        return AgentFile(called, media_type)

    def _hidden(self, text: str) -> str:
        return hide(text, self.secrets)

    def _free(self, name: str) -> str:
        """A name for a file that no other has: the last of a path, since the agent chose it."""
        last = PurePosixPath(name.replace("\\", "/")).name
        plain = last if check_name(last, "name") is None and last not in (".", "..") else "file"
        taken, number, free = {each.name for each in self.files}, 1, plain
        while free in taken:
            number += 1
            free = f"{number}-{plain}"
        return free


def last_words(task: Task) -> Sequence[Part]:
    """What the agent said last about a task."""
    from a2a.types import Role

    said: list[Message] = [each for each in task.history if each.role == Role.ROLE_AGENT]
    if task.status.HasField("message"):
        said.append(task.status.message)
    return list(said[-1].parts) if said else ()


def whole(value: Any) -> Any:
    """A value as it was before it went over the wire, which knows no whole numbers."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, dict):
        return {name: whole(each) for name, each in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return [whole(each) for each in value]  # pyright: ignore[reportUnknownVariableType]
    return value
