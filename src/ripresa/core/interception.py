"""The events of hooks: what interceptors answered, which hooks failed, where they stand, and points they saw."""

from __future__ import annotations

from ..records import record
from .parts import Failure
from .values import NULL, Value


@record
class Intercepted:
    """Interceptors answered at a point.

    `answer`: continue, replace, skip, again, redirect, narrow, cancel, veto, or fail where a critical one failed;
    `hook` names those that shaped it. By answer, `value` is the replacement, `detail` a reason or where to go,
    `number` a count, a moment, or for skip whether a value was given.
    """

    at: int
    path: str
    point: str
    answer: str
    hook: str = ""
    value: Value = NULL
    detail: str = ""
    number: int = 0
    failure: Failure | None = None


@record
class HookFailed:
    """A hook raised, took too long or gave an answer that makes no sense; the run goes on unless it is critical."""

    at: int
    path: str
    point: str
    hook: str
    failure: Failure
    critical: bool = False


@record
class HookAwaited:
    """A hook that was asked at `since` has not answered for a while: this is what the run waits for at `point`."""

    at: int
    path: str
    point: str
    hook: str
    since: int = 0


@record
class HooksSet:
    """Hooks stand at these points from now on (they were added or taken away while the run was under way)."""

    at: int
    hooks: tuple[str, ...] = ()


@record
class Requested:
    """Something was asked of the run that interceptors are asked about first.

    `point` says what: `cancel` (`name` is the reason), `checkpoint` (its name), `signal` (its name, value and the
    sender's `id`), `rollback` (to the place `name`, which is event `number`).
    """

    at: int
    point: str
    name: str = ""
    value: Value = NULL
    id: str = ""
    by: str = ""
    number: int = 0


@record
class RequestRefused:
    """What was asked of the run does not happen, and why."""

    point: str
    name: str
    id: str
    failure: Failure


@record
class PointReached:
    """A point that leaves no event of its own was reached, and a hook stands there."""

    path: str
    point: str
    name: str = ""
    index: int = 0
