"""Webhooks out: what steps send, and what happens to runs, told to other services by the outbox.

They follow Standard Webhooks (https://www.standardwebhooks.com): signed, with an id that stays the same, tried again.
Law: what is told becomes durable in the batch of what it tells, and is delivered after it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NoReturn, cast

from pydantic_core import to_json

from ..authoring.options import refuse
from ..context import current
from ..core import events as e
from ..core.names import check_name
from ..core.parts import Failure
from ..errors import RipresaError, StepError
from ..ports import WEBHOOK, Outgoing, RunHead
from .guard import bad_allow, bad_url, guard_of
from .secret import Secret
from .transport import client
from .waiting import asked_by

_log = logging.getLogger("ripresa.webhooks")

_PLACE: Final = ("path", "attempt")


def _error(failure: Failure) -> dict[str, Any]:
    return {"error": {"code": failure.code, "message": failure.message}}


def _ended(event: Any) -> dict[str, Any]:
    return {"reason": event.reason} if event.reason else {}


def _step(event: Any) -> dict[str, Any]:
    return {name: getattr(event, name) for name in _PLACE}


def _nothing(event: Any) -> dict[str, Any]:
    return {}


TOLD: Final[dict[type[Any], tuple[str, Callable[[Any], dict[str, Any]]]]] = {
    e.RunStarted: ("run.started", _nothing),
    e.RunReopened: ("run.reopened", _nothing),
    e.RunCompleted: ("run.completed", _nothing),
    e.RunFailed: ("run.failed", lambda event: _error(event.failure)),
    e.RunCancelled: ("run.cancelled", _ended),
    e.RunTerminated: ("run.terminated", _ended),
    e.RunUndone: ("run.undone", _nothing),
    e.StepCompleted: ("step.completed", _step),
    e.StepFailed: ("step.failed", lambda event: {**_step(event), **_error(event.failure)}),
    e.StepParked: ("step.parked", _step),
}
"""The events of runs that can be told, each with the name that it has outside and what is told of it."""

TYPES: Final = tuple(name for name, _ in TOLD.values())


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A place that is told: `url`, and the secret (`whsec_...`) that it knows; of several the first is the newest.

    `events` are those of runs that it is told by itself ("run.completed", "run.failed", ...), of these `workflows` or
    of all. `allow` are addresses that are not in the public internet, as with `http`; `patience` is in seconds. Raises
    `InvalidConfig`.
    """

    name: str
    url: str
    secret: Secret | tuple[Secret, ...]
    events: tuple[str, ...] = ()
    workflows: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    patience: float = 15.0

    def __post_init__(self) -> None:
        refuse(
            "Endpoint",
            check_name(self.name, "name"),
            bad_url(self.url) if self.url else "url is empty",
            bad_allow(self.allow),
            bad_secrets(self.secret),
            *(
                f"events has {each!r}, must have some of {', '.join(TYPES)}"
                for each in self.events
                if each not in TYPES
            ),
            where=str(self.name),
        )


def bad_secrets(value: object) -> str | None:
    """What is wrong with a secret or several."""
    found = cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,)
    good = bool(found) and all(isinstance(each, Secret) for each in found)
    return None if good else "secret must be a Secret, or several in a tuple"


def send_webhook(endpoint: str, type: str, data: object, /, *, id: str = "") -> None:
    """Tell an endpoint of the app, by name, if and only if the running step completes.

    What is sent is `{"type": ..., "timestamp": ..., "data": ...}`; its id is the same however often it is delivered. To
    be called in a step of an app that has `webhooks`. Outside a run nothing is sent.
    """
    current().queue(WEBHOOK, _message(type, datetime.now(UTC), data), target=endpoint, id=id)


def _message(type: str, at: datetime, data: object) -> dict[str, object]:
    return {"type": type, "timestamp": at.isoformat().replace("+00:00", "Z"), "data": data}


class Webhooks:
    """The endpoints of an app: what is told them, and how. Raises `InvalidConfig` for two of one name."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        given = tuple(endpoints)
        names = [getattr(each, "name", None) for each in given]
        refuse(
            "webhooks",
            *(
                f"{each!r} is no Endpoint"
                for each in cast("tuple[object, ...]", given)
                if not isinstance(each, Endpoint)
            ),
            *(
                f"several endpoints are named {name!r}"
                for name in sorted({n for n in names if n and names.count(n) > 1})
            ),
        )
        self._endpoints = {each.name: each for each in given}
        self._told = {name: each for name, each in self._endpoints.items() if each.events}

    @property
    def announces(self) -> bool:
        """Whether any endpoint is told of events."""
        return bool(self._told)

    def announce(self, head: RunHead, at: int, first: int, events: Sequence[e.Event]) -> Iterator[Outgoing]:
        """What the endpoints are told of these events."""
        for seq, event in enumerate(events, first):
            told = TOLD.get(type(event))
            if told is None:
                continue
            name, more = told
            for endpoint in self._told.values():
                if name in endpoint.events and (not endpoint.workflows or head.workflow in endpoint.workflows):
                    yield self._parcel(endpoint, head, getattr(event, "at", at), seq, (name, more(event)))

    def _parcel(
        self, endpoint: Endpoint, head: RunHead, at: int, seq: int, told: tuple[str, dict[str, Any]]
    ) -> Outgoing:
        name, more = told
        data: dict[str, Any] = {"run": head.id, "workflow": head.workflow, "version": head.version, "seq": seq, **more}
        body = to_json(_message(name, datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at), data))
        return Outgoing(head.id, data.get("path", ""), WEBHOOK, endpoint.name, f"{head.id[:160]}.e{seq}", body, at)

    async def deliver(self, parcel: Outgoing) -> None:
        """Post what is sent to its endpoint. Raises `StepError(webhook_failed)` unless it is taken."""
        endpoint = self._endpoints.get(parcel.target)
        if endpoint is None:
            there = ", ".join(self._endpoints)
            _fail(parcel, f"there is no endpoint {parcel.target!r}; there are {there}", retryable=False)
        headers = {"content-type": "application/json", **signed(endpoint.secret, parcel.id, parcel.body)}
        began = datetime.now(UTC)
        async with client(guard_of(endpoint.allow), endpoint.patience) as opened:
            import httpx2

            try:
                # a trickle of an answer would hold the lane past its lease, and others deliver it too
                async with (
                    asyncio.timeout(endpoint.patience),
                    opened.stream("POST", endpoint.url, content=parcel.body, headers=headers) as answer,
                ):
                    status, asked = answer.status_code, answer.headers.get("retry-after", "")
            except (httpx2.HTTPError, TimeoutError) as error:
                _fail(parcel, f"{endpoint.name}: {type(error).__name__}")
        took = (datetime.now(UTC) - began).total_seconds()
        fields = {"endpoint": endpoint.name, "id": parcel.id, "run": parcel.run, "status": status, "seconds": took}
        _log.info("webhook answered", extra={**fields, "tries": parcel.tries + 1})
        if not 200 <= status < 300:
            why = f"{endpoint.name} answered with status {status}"
            _fail(parcel, why, retryable=status != 410, retry_after=asked_by(asked))  # 410: gone for good


def _fail(parcel: Outgoing, why: str, *, retryable: bool = True, retry_after: float = 0.0) -> NoReturn:
    _log.warning("webhook not delivered", extra={"id": parcel.id, "run": parcel.run, "why": why})
    raise StepError(why, code="webhook_failed", retryable=retryable, retry_after=retry_after)


def signed(secret: Secret | tuple[Secret, ...], id: str, body: bytes) -> dict[str, str]:
    """The headers of Standard Webhooks for a body that is sent now, signed with each of the secrets."""
    now = datetime.now(UTC)
    text = body.decode()
    signatures = [key.sign(id, now, text) for key in keys(secret)]
    return {
        "webhook-id": id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def keys(secret: Secret | tuple[Secret, ...]) -> list[Any]:
    """What signs and verifies, of each secret. Raises `StepError(secret_missing)` for one that is no key."""
    try:
        from standardwebhooks import Webhook
    except ImportError:
        raise RipresaError(
            "webhooks need an optional dependency",
            code="extra_missing",
            op="webhooks",
            hint="pip install 'ripresa[http]'",
        ) from None
    return [_key(Webhook, each) for each in (secret if isinstance(secret, tuple) else (secret,))]


def _key(make: Callable[[str], Any], secret: Secret) -> Any:
    from standardwebhooks.webhooks import EmptyWebhookSecretError

    try:
        return make(secret.read())
    except (ValueError, EmptyWebhookSecretError):
        message = f"the secret at {secret.reference} is no key of webhooks: whsec_ and base64"
    raise StepError(message, code="secret_missing", retryable=False)
