"""Facts about what steps report beside their results, and about what their runs share and may use.

They change nothing in the run's own state. See `events` for what holds for every fact.
"""

from __future__ import annotations

from typing import Final

from ..records import record
from .values import NULL, Value


class Reported:
    """What an attempt reports beside its result."""

    __slots__ = ()


@record
class SessionWritten(Reported):
    """A step that completes changes a value that its session holds; `op`: see `core.sessions.apply`."""

    at: int
    path: str
    attempt: int
    session: str
    name: str
    op: str
    value: Value


@record
class SessionEntered:
    """The run goes on in another session."""

    at: int
    session: str


@record
class ArtifactSaved(Reported):
    """A step that completes saves a version of a result file: `content` lists the digests of its pieces."""

    at: int
    path: str
    attempt: int
    name: str
    media_type: str
    digest: str
    size: int
    content: Value


@record
class MessageQueued(Reported):
    """A step that completes sends something out of its run; see `ports.Outgoing`."""

    at: int
    path: str
    attempt: int
    kind: str
    target: str
    id: str
    body: Value


@record
class RowsWritten(Reported):
    """A step that completes writes to tables of its own in the store's database, by so many statements.

    `statements` are their texts, each once and shortened; the values are in the tables alone. Where interceptors may
    have a word about the result, `body` is what is to be written, as JSON, until they have let it be.
    """

    at: int
    path: str
    attempt: int
    statements: tuple[str, ...] = ()
    count: int = 0
    body: Value = NULL


EFFECTS: Final = (SessionWritten, ArtifactSaved, MessageQueued, RowsWritten)
"""What an attempt does beyond its run, with a success only."""


@record
class EffectsLet:
    """Interceptors let the result of an attempt be: what it does beyond the run, and was withheld, happens now."""

    path: str
    attempt: int


@record
class EffectsDropped:
    """The result of an attempt is not taken: so many messages, artifacts and statements of it never happen.

    `children` are the runs that it was to start.
    """

    path: str
    attempt: int
    messages: int = 0
    artifacts: int = 0
    statements: int = 0
    children: tuple[str, ...] = ()


@record
class UsageReported(Reported):
    """An attempt says what it used, whether or not it succeeds; `unpriced` uses had a price that nobody knows."""

    at: int
    path: str
    attempt: int
    tokens: int = 0
    cost: float = 0.0
    unpriced: int = 0


@record
class FilesTouched(Reported):
    """An attempt says which files it changed, whether or not it succeeds."""

    at: int
    path: str
    attempt: int
    files: tuple[str, ...] = ()


@record
class Interacted(Reported):
    """Somebody sent somebody else something: agents, models, tools and people, by name; `kind` says what it was."""

    at: int
    path: str
    attempt: int
    sender: str
    receiver: str
    kind: str
    content: Value


@record
class LimitReached:
    """A limit of the run, or of its `session`, does not let an attempt begin or go on (no path: the run as a whole).

    `policy` is what happens now: `fail`, `pause`, or `ask`, which is a pause that only an answer ends.
    """

    at: int
    path: str
    attempt: int
    limit: str
    used: float
    allowed: float
    policy: str = "fail"
    session: str = ""


@record
class LimitsSet:
    """Somebody gives the run other limits, as JSON; empty for the answer that nothing more is allowed."""

    at: int
    limits: str = ""
    by: str = ""
