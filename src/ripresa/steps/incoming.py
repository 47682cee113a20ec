"""Webhooks in: a signature is checked, and what is told starts a run or is a signal to one, once by its id.

Plain functions of headers and a body, for whatever web framework takes the request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, cast

from pydantic_core import from_json

from ..authoring.call import Call, Pending
from ..authoring.options import bad_count, refuse
from ..core.names import check_name
from ..errors import RipresaError
from ..messages import Signal
from .secret import Secret
from .webhooks import bad_secrets, keys

if TYPE_CHECKING:
    from ..app import App

_PLAIN: Final = re.compile(r"[\w.-]{1,120}", re.ASCII)
_SIMPLE: Final = re.compile(r"[\w-]{1,60}", re.ASCII)


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """What another service told: the id of the message, when it was sent, its type, and its data.

    `type` and `data` are those of Standard Webhooks; where a body has none of them, `data` is the whole.
    """

    id: str
    sent_at: datetime
    type: str
    data: Any


@dataclass(frozen=True, slots=True)
class ToRun:
    """Answer of an `Incoming`: send this signal to a run."""

    run: str
    signal: Signal[Any]
    value: Any


@dataclass(frozen=True, slots=True)
class Received:
    """What became of a message: the run that it started or went to, and whether it was the first of its id."""

    id: str
    run: str = ""
    is_new: bool = True


@dataclass(frozen=True, slots=True)
class Incoming:
    """What is done with the messages of one service: `then` says which run is started, or which is sent a signal.

    It is given a `WebhookEvent` and returns a call, a `ToRun`, or None for what is of no interest. `secret` is what the
    service signs with, or several while they change. Bodies are at most `max_size` bytes. Raises `InvalidConfig`.
    """

    name: str
    secret: Secret | tuple[Secret, ...]
    then: Callable[[WebhookEvent], Call[Any] | ToRun | None]
    max_size: int = 1_048_576

    def __post_init__(self) -> None:
        refuse(
            "Incoming",
            check_name(self.name, "name"),
            bad_secrets(self.secret),
            None if callable(cast("object", self.then)) else f"then is {self.then!r}, must be a function",
            bad_count(self.max_size, "max_size"),
            where=str(self.name),
        )

    def verify(self, headers: Mapping[str, str], body: bytes) -> WebhookEvent:
        """The message, if it is from who knows the secret and not older than five minutes.

        Raises `RipresaError(webhook_refused)`.
        """
        if len(body) > self.max_size:
            raise _refused(f"a body of {len(body):,} bytes is larger than {self.max_size:,}")
        found = {name.lower(): value for name, value in headers.items()}
        if not any(_is_signed(key, body, found) for key in keys(self.secret)):
            raise _refused("the signature is wrong, or too old, or there is none")
        try:
            data = from_json(body)
        except ValueError:
            raise _refused("the body is no JSON") from None
        moment = datetime.fromtimestamp(float(found["webhook-timestamp"]), UTC)
        if isinstance(data, dict) and "type" in data and "data" in data:
            whole = cast("dict[str, Any]", data)
            return WebhookEvent(found["webhook-id"], moment, str(whole["type"]), whole["data"])
        return WebhookEvent(found["webhook-id"], moment, "", data)

    async def receive(self, app: App, headers: Mapping[str, str], body: bytes) -> Received:
        """Do what the message asks for, durably on return; a message that comes again changes nothing.

        Raises `RipresaError(webhook_refused)` for one that is not to be trusted (HTTP status 401), `RunExists` if its
        id was used for something else, and what starting or sending raises.
        """
        event = self.verify(headers, body)
        answer = self.then(event)
        if answer is None:
            return Received(event.id)
        if isinstance(answer, ToRun):
            handle = await app.handle(answer.run)
            is_new = await handle.send(answer.signal, answer.value, id=self._own(event.id), by=f"webhook:{self.name}")
            return Received(event.id, answer.run, is_new)
        if not isinstance(answer, Pending):
            raise RipresaError(f"then returned {answer!r}, must be a call, a ToRun or None", code="usage", op="receive")
        run = self._own(event.id)
        is_new = await app.store.find_run(run) is None
        handle = await app.start(answer, id=run, tags=(f"webhook:{self.name}",))
        return Received(event.id, handle.id, is_new)

    def _own(self, id: str) -> str:
        """The id of a message as one of ours: the same for the same, and for no other.

        A name stands before the first dot and has none in it; what has a ~ in it is a digest, and nothing else has one.
        """
        name = self.name if _SIMPLE.fullmatch(self.name) else f"{_unlike(self.name[:40])}~{_digest(self.name)}"
        return f"webhook.{name}.{id if _PLAIN.fullmatch(id) else f'~{_digest(id)}'}"


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _unlike(text: str) -> str:
    """A text without what would make a name ambiguous."""
    return re.sub(r"[^\w-]", "_", text, flags=re.ASCII)


def _is_signed(key: Any, body: bytes, headers: dict[str, str]) -> bool:
    from standardwebhooks import WebhookVerificationError

    try:
        key.verify(body, headers, json_parse=False)
    except (WebhookVerificationError, ValueError):  # also base64 and text that are none
        return False
    return True


def _refused(why: str) -> RipresaError:
    return RipresaError(f"a webhook is refused: {why}", code="webhook_refused", op="receive")
