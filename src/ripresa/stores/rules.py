"""What every store decides and says alike, whatever it keeps things in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from ..core.limits import Refusal, decode_limits, refusal
from ..errors import Fenced, RipresaError, RunExists, RunNotFound, SessionError, StoreError
from ..ports import Batch, Page, Row, RunFilter, RunHead, SessionHead, SessionPage, Spend

END_OF_TIME = 2**63 - 1


def first_head(batch: Batch) -> RunHead:
    """The head of a run's first batch."""
    if batch.head is None or batch.seq != 1:
        message = "the first batch of a run begins with event 1 and has a head"
        raise RipresaError(message, code="usage", op="create", where=batch.run)
    return batch.head


def about(rows: Sequence[Row], limit: int) -> Sequence[Row]:
    """The first rows, until they hold at least `limit` events; all of them if it is 0."""
    held = 0
    for index, row in enumerate(rows):
        held += row.events
        if held >= limit > 0:
            return rows[: index + 1]
    return rows


def place(head: RunHead) -> tuple[int, str]:
    """Where a run stands in lists."""
    return head.created_at, head.id


def upper_bound(where: RunFilter, last: RunHead | None) -> tuple[int, str]:
    """The place that every run of the page stands below; `last` is the run that `where.after` names."""
    bound = (where.created_before or END_OF_TIME, "")
    return bound if last is None else min(bound, place(last))


def page(heads: Sequence[RunHead], limit: int) -> Page:
    """The first page of these runs (in any order)."""
    ordered = sorted(heads, key=place, reverse=True)
    return Page(tuple(ordered[:limit]), len(ordered) > limit)


def fenced(batch: Batch, reason: str) -> Fenced:
    """The error of an append that comes too late, too early or from somebody else."""
    return Fenced(
        f"event {batch.seq} of run {batch.run!r} cannot be appended: {reason}",
        run=batch.run,
        op="append",
        hint="drop what is in memory, claim the run and read it again",
    )


def misplaced(batch: Batch, following: int | None) -> Fenced:
    """The error of an append to a run whose next event has the number `following` (None: it is not owned here)."""
    return fenced(batch, "this store does not own the run" if following is None else f"the next one is {following}")


def exists(run: str) -> RunExists:
    """The error of a second creation."""
    return RunExists(f"there is a run {run!r} already", run=run, op="create", hint="choose another id, or attach to it")


def not_found(run: str, op: str) -> RunNotFound:
    """The error of everything that needs a run which is not there."""
    return RunNotFound(f"there is no run {run!r}", run=run, op=op, hint="look for its id in the list of runs")


def closed(op: str, where: str) -> StoreError:
    """The error of a store that is used before it is opened, after it is closed or in a forked process."""
    hint = "open a store of its own in each process, and keep it open until its runs are done"
    return StoreError("the store is not open here", code="closed", op=op, where=where, hint=hint)


# --- sessions


def require_session(session: str, found: SessionHead | None, op: str) -> SessionHead:
    """The session that was found. Raises `SessionError(session_not_found)` if there is none."""
    if found is None:
        raise SessionError(
            f"there is no session {session!r}",
            session=session,
            code="session_not_found",
            op=op,
            hint="create it with app.sessions.create(); ripresa sessions lists those that there are",
        )
    return found


def require_active(session: str, found: SessionHead | None, op: str) -> None:
    """Raise `SessionError` unless runs may begin or go on in this session."""
    status = require_session(session, found, op).status
    if status != "active":
        hint = "resume the session first" if status == "suspended" else "use another session"
        raise SessionError(f"session {session!r} is {status}: nothing goes on in it", session=session, op=op, hint=hint)


def session_exists(session: str) -> SessionError:
    """The error of a second creation."""
    message = f"there is a session {session!r} already"
    return SessionError(message, session=session, code="session_exists", op="create_session", hint="choose another id")


def session_page(heads: Sequence[SessionHead], limit: int) -> SessionPage:
    """The first page of these sessions (in any order)."""
    ordered = sorted(heads, key=lambda head: (head.created_at, head.id), reverse=True)
    return SessionPage(tuple(ordered[:limit]), len(ordered) > limit)


Held: TypeAlias = dict[tuple[str, str], dict[str, float]]
"""What is reserved, by run and place."""


def reserved(
    head: SessionHead, held: Held, key: tuple[str, str], asked: Mapping[str, float], now: int, *, more: bool = False
) -> dict[str, float] | Refusal:
    """What a place holds after a reservation, or the limit of the session that does not let it."""
    limits, mine = decode_limits(head.limits), held.get(key, {})
    if limits.concurrency is not None and not mine and len(held) >= limits.concurrency:
        return "concurrency", len(held), limits.concurrency
    seconds: Any = limits.wall_time
    if seconds is not None and now - head.created_at > seconds * 1_000_000:
        return "wall_time", (now - head.created_at) / 1_000_000, seconds
    beyond = {name: amount for name, amount in asked.items() if more or name not in ONCE or name not in mine}
    refused = refusal(limits, added(json.loads(head.used), *held.values()), beyond)
    return refused or added(mine, beyond)


def begun_with(held: Mapping[str, float]) -> dict[str, float]:
    """What a place that goes on still holds after it has recorded how far it is."""
    return {name: min(held[name], 1) for name in ONCE if name in held}


def added(*amounts: Mapping[str, float]) -> dict[str, float]:
    """Amounts added up by name."""
    total: dict[str, float] = {}
    for each in amounts:
        for name, amount in each.items():
            total[name] = total.get(name, 0) + amount
    return total


def spent(used: str, spend: Spend, released: Sequence[Mapping[str, float]]) -> str:
    """What is used of a session after a `Spend` that releases these reservations."""
    counted = [{name: each[name] for name in ONCE if name in each} for each in released if spend.keep]
    unheld = {} if released or not spend.keep else dict(spend.unheld)
    return json.dumps(added(json.loads(used), dict(spend.used), unheld, *counted))


ONCE: Final = ("steps", "operations")
"""What a place holds once: it is known beforehand how much it is."""
