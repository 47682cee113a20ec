"""Approvals from outside: what is open, and how people answer it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import uuid4

from pydantic_core import from_json

from .authoring.encoding import encode
from .core.events import DelegationTaken, Recorded, VoteCounted, VoteRefused
from .core.lifecycle import TERMINAL
from .core.view import ApprovalView, view_of
from .errors import RipresaError
from .ports import RunHead
from .runtime.bodies import encode_vote
from .runtime.engine import Engine
from .runtime.functions import moment
from .runtime.values import Values

T = TypeVar("T")

PATIENCE = 10.0
"""Seconds to wait for whoever drives a run to take an answer up."""

LOOK = 0.05


@dataclass(frozen=True, slots=True)
class OpenApproval:
    """What people are asked in a run. `about` is what they are shown, `digest` tells it from everything else.

    `votes` are the answers so far: name, and whether granted. `form` is the type of what is to be filled in, as text.
    """

    run: str
    workflow: str
    path: str
    question: str
    about: Any
    digest: str
    assignees: tuple[str, ...]
    quorum: int
    votes: tuple[tuple[str, bool], ...]
    form: str
    since: datetime
    expires: datetime | None

    @property
    def name(self) -> str:
        """The last part of its path, without the fiber that asks."""
        return self.path.rpartition("/")[2].rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Answer:
    """Who answers, and in which roles; both are claims that are recorded. One with an `id` counts once.

    Without the `digest` of what was looked at it is bound to what is asked when it is given.
    """

    by: str
    roles: Sequence[str] = ()
    granted: bool = True
    form: bytes = b"null"
    comment: str = ""
    digest: str = ""
    id: str = ""


Take = Callable[[], Awaitable[Any]]


async def open_in(engine: Engine, head: RunHead) -> list[OpenApproval]:
    """The open approvals of a run."""
    view = view_of(await engine.history(head.id))
    values = Values(engine.store.blob)
    return [_opened(head, found, values) for found in view.approvals.values()]


def _opened(head: RunHead, found: ApprovalView, values: Values) -> OpenApproval:
    return OpenApproval(
        head.id,
        head.workflow,
        found.path,
        found.question,
        from_json(values.text(found.about)),
        found.digest,
        found.assignees,
        found.quorum,
        tuple(found.votes),
        found.form,
        moment(found.since),
        moment(found.expires) if found.expires else None,
    )


def as_form(form: object) -> bytes:
    """What somebody filled in, as JSON text."""
    return encode(form, type(form), where="form", code="invalid_input")


async def find(engine: Engine, run: str, name: str) -> OpenApproval:
    """The open approval of this name or path in a run; the only one if the name is empty.

    Raises `RipresaError(not_available)` if there is none, or several.
    """
    head = await engine.store.find_run(run)
    opened = await open_in(engine, head) if head is not None and head.status not in TERMINAL else []
    found = [each for each in opened if not name or name in (each.name, each.path)]
    if len(found) == 1:
        return found[0]
    there = ", ".join(each.path for each in opened) or "none"
    what = f"no approval {name!r} is open" if not found else "several approvals are open"
    raise RipresaError(f"{what} in run {run!r}", code="not_available", op="approve", hint=f"open: {there}")


async def answer(engine: Engine, run: str, name: str, given: Answer, take: Take | None) -> bool:
    """Answer the open approval of this name or path; see `find` and `cast`.

    An answer whose id stands in the journal already is what it was then, whatever is open now.
    """
    if given.id and _is_told(await engine.history(run), given.id, "vote"):
        return True
    return await cast(engine, await find(engine, run, name), given, take)


async def cast(engine: Engine, asked: OpenApproval, answer: Answer, take: Take | None) -> bool:
    """Answer an approval; False if nobody has taken the answer up yet, which is kept until somebody does.

    It is bound to what was looked at: what `asked` is about, unless the answer has a digest of its own. Raises
    `RipresaError(vote_refused)` that says why it does not count.
    """
    fields = {"granted": answer.granted, "form": answer.form.decode(), "comment": answer.comment}
    digest = answer.digest or asked.digest
    body = {"path": asked.path, "by": answer.by, "digest": digest, "roles": list(answer.roles), **fields}
    return await _sent(engine, asked.run, "vote", body, take, answer.id)


async def delegate(engine: Engine, asked: OpenApproval, answer: Answer, to: str, take: Take | None) -> bool:
    """Let somebody else answer instead. The same as for `cast`."""
    body = {"path": asked.path, "by": answer.by, "to": to, "roles": list(answer.roles)}
    return await _sent(engine, asked.run, "delegate", body, take)


async def _sent(engine: Engine, run: str, kind: str, body: dict[str, Any], take: Take | None, given: str = "") -> bool:
    id = given or uuid4().hex
    history = await engine.history(run)
    seq = 0 if given else history[-1].seq
    await engine.inbox.answer(run, kind, encode_vote(**body, id=id), given, take=take)
    for _ in range(round(PATIENCE / LOOK)):
        news = await engine.history(run, seq)
        if _is_told(news, id, kind):
            return True
        seq = news[-1].seq if news else seq
        if not await engine.is_driven(run):
            return False
        await asyncio.sleep(LOOK)
    return False


def _is_told(history: Sequence[Recorded], id: str, kind: str) -> bool:
    """Whether it is told here what an answer came to. Raises `RipresaError(vote_refused)` if it does not count."""
    for recorded in history:
        event = recorded.event
        if isinstance(event, VoteCounted | VoteRefused | DelegationTaken) and event.id == id:
            if isinstance(event, VoteRefused):
                raise RipresaError(event.reason, code="vote_refused", op=kind, where=event.path)
            return True
    return False
