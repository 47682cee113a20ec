"""What a child process does with a job: finds the function, decodes, runs, encodes; whatever is raised becomes data."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from inspect import isawaitable
from types import SimpleNamespace
from typing import Any, cast

from ..authoring.encoding import decode, encode
from ..authoring.parameters import Parameters
from ..context import Holding, Variables, enter_step
from ..core.sessions import Changing, apply, check_change
from ..errors import RipresaError
from ..reporting import Hold, Reporting, SessionData, no_session
from .frames import Message
from .targets import find

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_VALUES: Any = SimpleNamespace(read=decode)  # arguments come whole: there is nothing to look up, nothing to split


@dataclass(slots=True)
class Distant:
    """The attempt as the child knows it; `due` is its deadline in microseconds since 1970."""

    run: str
    workflow: str
    path: str
    number: int
    key: str
    due: int | None
    session: dict[str, Any] | None = None
    """The session of the run as it was when the attempt began: `id`, and `values`, JSON texts by name."""
    told: list[str] = field(default_factory=list[str])
    """What it reports beside its result, JSON texts: each a word and what goes with it."""

    def tell(self, what: str, *more: object) -> None:
        """Report something to the process of the run; it is heard there with the end of the attempt."""
        self.told.append(json.dumps([what, *more]))

    def deadline(self) -> datetime | None:
        """When the attempt will be stopped."""
        return None if self.due is None else _EPOCH + timedelta(microseconds=self.due)

    def cancelled(self) -> bool:
        """A child is killed, never asked."""
        return False

    def progress(self, completed: float, total: float | None, message: str) -> None:
        """Raises `RipresaError(not_available)`."""
        raise self.not_here("progress")

    async def record(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], key: str) -> Any:
        """Raises `RipresaError(not_available)`."""
        raise self.not_here("call")

    async def reserve(self, tokens: int, cost: float) -> None:
        """Raises `RipresaError(not_available)`."""
        raise self.not_here("reserve")

    def reporting(self) -> Reporting:
        """The session, what was used and touched; all else raises `RipresaError(not_available)`."""
        return cast("Reporting", _FarReporting(self))

    def checkout(self, pool: Any, holds: tuple[Hold, ...]) -> AbstractAsyncContextManager[Hold]:
        """Raises `RipresaError(not_available)`."""
        raise self.not_here("checkout")

    def state(self, kind: Any) -> Any:
        """Raises `RipresaError(not_available)`."""
        raise self.not_here("state")

    def to(self, kind: Any) -> Any:
        """Raises `RipresaError(not_available)`."""
        raise self.not_here("to")

    def not_here(self, op: str) -> RipresaError:
        """The error for what works only in the process of the run."""
        return RipresaError(
            f"current().{op} does not work in a child process",
            code="not_available",
            op=op,
            where=self.path,
            hint='leave executor="process" away, or do it in a step of its own',
        )


class _FarReporting:
    """What a step in a child process may report beside its result."""

    def __init__(self, attempt: Distant) -> None:
        self._attempt = attempt

    def session(self) -> SessionData:
        """The values of the session. Raises `RipresaError(not_available)` if the run has none."""
        found = self._attempt.session
        if found is None:
            raise no_session(f"run {self._attempt.run!r} belongs to no session")
        return cast("SessionData", _FarSession(self._attempt, found["id"], found["values"]))

    def use(self, tokens: int, cost: float | None) -> None:
        """See `StepContext.usage`."""
        self._attempt.tell("use", tokens, cost)

    def touch(self, path: str | os.PathLike[str]) -> None:
        """See `StepContext.touched`."""
        self._attempt.tell("touch", os.fspath(path))

    def __getattr__(self, name: str) -> Any:
        raise self._attempt.not_here("left, save_artifact, send, start, queue and transaction")


class _FarSession(Changing):
    """The values of a session as they were when the attempt began, with its own changes."""

    def __init__(self, attempt: Distant, id: str, values: dict[str, str]) -> None:
        self.id = id
        self._attempt = attempt
        self._values = {name: text.encode() for name, text in values.items()}

    def get(self, name: str, kind: Any = Any, default: Any = None, /) -> Any:
        """See `SessionData.get`."""
        found = self._values.get(name)
        return default if found is None else decode(found, kind, where=f"session {self.id!r}, {name!r}")

    def names(self) -> list[str]:
        """See `SessionData.names`."""
        return sorted(self._values)

    def _change(self, name: str, op: str, operand: object) -> None:
        text = encode(operand, where=f"session {self.id!r}, {name!r}", code="invalid_input")
        check_change(name, op, self._values.get(name), text)
        changed = apply(op, self._values.pop(name, None), text)
        if changed is not None:
            self._values[name] = changed
        self._attempt.tell("session", name, op, text.decode())


def perform(head: bytes, body: bytes) -> Message:
    """Do the job that a message asks for: the body is the encoded result, empty for a `failure` in the head.

    The head has what the function reports, too (`told`); there is none where there is neither.
    """
    job = json.loads(head)
    context, told = job["context"], list[str]()
    sys.path[:] = job.get("path", sys.path)
    try:
        result = _result(job["target"], body, context, told)
        return _head({"told": told} if told else {}), result
    except BaseException as error:  # the border: exceptions of user code become data
        from ..authoring.failures import failure_of
        from ..core.codec import failure_plain

        failure = failure_of(error, context["path"], context["attempt"])
        return _head({"failure": failure_plain(failure), "told": told}), b""
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(AttributeError, OSError, ValueError):  # user code may have closed or replaced it
                stream.flush()


def _head(said: dict[str, Any]) -> bytes:
    return json.dumps(said).encode() if said else b""


@lru_cache(maxsize=1024)
def _parameters(target: str) -> Parameters:
    return Parameters(find(target))


def _result(target: str, arguments: bytes, context: dict[str, Any], told: list[str]) -> bytes:
    parameters = _parameters(target)
    args, kwargs = parameters.decode(arguments, _VALUES)
    attempt = Distant(
        context["run"],
        context["workflow"],
        context["path"],
        context["attempt"],
        context["key"],
        context["deadline"],
        context.get("session"),
        told,
    )
    variables = Variables()
    holds = (Hold(context["pool"], decode(context["member"].encode()), attempt.path),) if "pool" in context else ()
    enter_step(variables, Holding(attempt, holds))
    result: Any = variables.run(parameters.fn, *args, **kwargs)
    if isawaitable(result):
        import asyncio

        result = variables.run(asyncio.run, _awaited(result))
    return encode(result, parameters.returns, where=attempt.path)


async def _awaited(result: Awaitable[Any]) -> Any:
    return await result
