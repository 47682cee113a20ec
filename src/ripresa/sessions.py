"""Sessions: what several runs of one user share, with a life of its own."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar, overload

from .authoring.encoding import decode, encode
from .core.events import Failure, RunFailed
from .core.limits import NONE, Limits, decode_limits
from .core.sessions import TRANSITIONS, check_fit, check_session
from .errors import InvalidConfig, SessionError
from .ports import Page, RunFilter, SessionFilter, SessionHead, SessionWrite
from .runtime.bodies import encode_request, suspender
from .runtime.engine import Engine
from .runtime.functions import moment
from .runtime.ids import new_id
from .stores.rules import require_active, require_session, session_exists

T = TypeVar("T")

PAGE = 500
"""How many runs are looked at at a time."""

__all__ = ["TRANSITIONS", "Session", "SessionFailure", "Sessions"]


@dataclass(frozen=True, slots=True)
class Session:
    """A session as it stood when it was asked for. `status`: active, suspended, completed or archived."""

    id: str
    owner: str
    status: str
    created_at: datetime
    updated_at: datetime
    limits: Limits = NONE


@dataclass(frozen=True, slots=True)
class SessionFailure:
    """Why a run of the session failed: at which step (empty: not in one), in which attempt, when, of what."""

    run: str
    workflow: str
    step: str
    attempt: int
    at: datetime
    failure: Failure


class Sessions:
    """The sessions of a store. Every change of a session's status is one that `TRANSITIONS` allows."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._store = engine.store

    # --- their life

    async def create(self, id: str | None = None, *, owner: str = "", limits: Limits = NONE) -> Session:
        """A new session, active. With an `id` it is idempotent: the same owner and limits give the one that is there.

        Raises `SessionError(session_exists)` for others, `InvalidConfig`.
        """
        bad = [
            f"{name} is {text!r}, must be a printable text of up to 200 characters"
            for name, text in (("id", "x" if id is None else id), ("owner", owner))
            if (name == "id" and not text.strip()) or not text.isprintable() or len(text) > 200
        ]
        if bad:
            raise InvalidConfig("; ".join(bad), op="sessions.create")
        now = self._engine.clock.now()
        head = SessionHead(id or new_id(now), owner, "active", now, now, limits.encode())
        try:
            await self._store.create_session(head)
        except SessionError:
            found = self._head(head.id, "create")
            if (found.owner, found.limits) != (head.owner, head.limits):
                raise session_exists(head.id) from None
            head = found
        return _session(head)

    async def get(self, id: str) -> Session:
        """The session of this id. Raises `SessionError(session_not_found)`."""
        return _session(self._head(id, "get"))

    async def find(self, id: str) -> Session | None:
        """The session of this id, if there is one."""
        found = self._store.find_session(id)
        return None if found is None else _session(found)

    async def list(
        self, *, status: str | Iterable[str] = (), owner: str = "", after: str = "", limit: int = 50
    ) -> tuple[Session, ...]:
        """Sessions, newest first; `after` is the id of the last one of the page before."""
        statuses = (status,) if isinstance(status, str) and status else tuple(status)
        page = await self._store.list_sessions(SessionFilter(statuses, owner, after, limit))
        return tuple(map(_session, page.sessions))

    async def suspend(self, id: str) -> Session:
        """Let its runs start nothing new (they pause; what is in flight ends), and let none begin in it.

        Session and requests become durable together. Raises `SessionError(illegal_transition)`.
        """
        session = await self._move(
            id, "suspended", "suspend", encode_request("the session is suspended", suspender(id))
        )
        await self._engine.inbox.collect()
        return session

    async def resume(self, id: str) -> Session:
        """Let the runs that paused with it go on; one that was paused by itself stays so.

        Session and requests become durable together.
        """
        who = suspender(id)
        session = await self._move(id, "active", "resume", encode_request(by=who, only=who), "continue")
        await self._engine.inbox.collect()
        self._engine.outbox.look_again()
        return session

    async def allow(self, id: str, limits: Limits) -> Session:
        """Give the session other limits; what was used counts against them. Runs that paused go on when resumed."""
        while True:
            head = self._head(id, "allow")
            require_active(id, head, "allow")
            changed = replace(head, limits=limits.encode(), updated_at=self._engine.clock.now())
            if await self._store.set_session(changed, head.status):
                return _session(changed)

    async def used(self, id: str) -> dict[str, float]:
        """What its runs have used in all, by the names of limits; counted while the session has limits."""
        found: dict[str, float] = json.loads(self._head(id, "used").used)
        return found

    async def complete(self, id: str) -> Session:
        """End the session: nothing begins in it any more. Raises `SessionError(invalid_state)` while a run goes on."""
        return await self._move(id, "completed", "complete")

    async def archive(self, id: str) -> Session:
        """Put a completed session away: its values can only be read."""
        return await self._move(id, "archived", "archive")

    async def _move(self, id: str, to: str, op: str, request: bytes | None = None, kind: str = "pause") -> Session:
        while True:
            head = self._head(id, op)
            check_session(id, head.status, to, op)
            moved = replace(head, status=to, updated_at=self._engine.clock.now())
            if await self._store.set_session(moved, head.status, request, kind=kind, idle=to == "completed"):
                return _session(moved)
            if self._head(id, op).status == head.status:
                runs = [
                    run
                    for status in ("running", "waiting", "paused", "cancelling")
                    for run in await self._runs(id, status)
                ]
                if runs:
                    raise SessionError(
                        f"session {id!r} cannot be completed: {', '.join(runs)} not ended",
                        session=id,
                        op=op,
                        hint="wait for its runs, or cancel them",
                    )

    # --- what they hold

    @overload
    async def value(self, id: str, name: str, /) -> Any: ...
    @overload
    async def value(self, id: str, name: str, kind: type[T], /) -> T | None: ...
    async def value(self, id: str, name: str, kind: Any = Any, /) -> Any:
        """A value that the session holds, decoded as `kind`; None if there is none of this name."""
        self._head(id, "value")
        found = self._store.session_values(id, name)
        return decode(found[name].value, kind, where=f"session {id!r}, {name!r}") if found else None

    async def values(self, id: str) -> dict[str, Any]:
        """Everything that the session holds, by name."""
        self._head(id, "values")
        return {name: decode(shelved.value) for name, shelved in self._store.session_values(id).items()}

    async def set(self, id: str, name: str, value: object) -> None:
        """Let a value be another, from outside of any run. Raises `SessionError` unless the session is active."""
        await self._change(id, name, "set", value)

    async def delete(self, id: str, name: str) -> None:
        """Forget a value, from outside of any run."""
        await self._change(id, name, "delete", None)

    async def _change(self, id: str, name: str, op: str, value: object) -> None:
        require_active(id, self._head(id, op), op)
        text = encode(value, where=f"session {id!r}, {name!r}", code="invalid_input")
        check_fit(name, op, None, text)
        await self._store.share((SessionWrite(id, name, op, text, self._engine.clock.now()),))

    # --- their runs

    async def runs(self, id: str, *, status: str = "", after: str = "", limit: int = 50) -> Page:
        """A page of the runs of the session, newest first."""
        self._head(id, "runs")
        return await self._store.list_runs(RunFilter((status,) if status else (), session=id, after=after, limit=limit))

    async def errors(self, id: str) -> tuple[SessionFailure, ...]:
        """Why runs of the session failed, those that are failed now, newest first."""
        self._head(id, "errors")
        return tuple([await self._failure(run) for run in await self._runs(id, "failed")])

    async def _failure(self, run: str) -> SessionFailure:
        """Why a failed run failed, in its last end."""
        journal = await self._engine.history(run)
        workflow = str(getattr(journal[0].event, "workflow", ""))
        ends = ((item.at, item.event.failure) for item in reversed(journal) if isinstance(item.event, RunFailed))
        at, failure = next(ends)
        return SessionFailure(run, workflow, failure.path, failure.attempt, moment(at), failure)

    async def _runs(self, id: str, status: str) -> tuple[str, ...]:
        found: tuple[str, ...] = ()
        while True:
            where = RunFilter((status,), session=id, after=found[-1] if found else "", limit=PAGE)
            page = await self._store.list_runs(where)
            found += tuple(head.id for head in page.runs)
            if not page.more:
                return found

    def _head(self, id: str, op: str) -> SessionHead:
        return require_session(id, self._store.find_session(id), op)


def _session(head: SessionHead) -> Session:
    return Session(
        head.id,
        head.owner,
        head.status,
        moment(head.created_at),
        moment(head.updated_at),
        decode_limits(head.limits),
    )
