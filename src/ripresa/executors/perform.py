"""What a child process does with a job: finds the function, decodes, runs, encodes; whatever is raised becomes data."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from inspect import isawaitable
from types import SimpleNamespace
from typing import Any

from ..authoring.encoding import decode, encode
from ..authoring.parameters import Parameters
from ..context import (
    Hold,
    Holding,
    Variables,
    enter_step,
)
from ..errors import RipresaError
from ..reporting import Reporting
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

    def deadline(self) -> datetime | None:
        """When the attempt will be stopped."""
        return None if self.due is None else _EPOCH + timedelta(microseconds=self.due)

    def cancelled(self) -> bool:
        """A child is killed, never asked."""
        return False

    def progress(self, completed: float, total: float | None, message: str) -> None:
        """Raises `RipresaError(not_available)`."""
        raise self._not_here("progress")

    async def record(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], key: str) -> Any:
        """Raises `RipresaError(not_available)`."""
        raise self._not_here("call")

    async def reserve(self, tokens: int, cost: float) -> None:
        """Raises `RipresaError(not_available)`."""
        raise self._not_here("reserve")

    def reporting(self) -> Reporting:
        """Raises `RipresaError(not_available)`."""
        raise self._not_here("session, usage, touched, save_artifact, send, start, queue and transaction")

    def checkout(self, pool: Any, holds: tuple[Hold, ...]) -> AbstractAsyncContextManager[Hold]:
        """Raises `RipresaError(not_available)`."""
        raise self._not_here("checkout")

    def state(self, kind: Any) -> Any:
        """Raises `RipresaError(not_available)`."""
        raise self._not_here("state")

    def to(self, kind: Any) -> Any:
        """Raises `RipresaError(not_available)`."""
        raise self._not_here("to")

    def _not_here(self, op: str) -> RipresaError:
        return RipresaError(
            f"current().{op} does not work in a child process",
            code="not_available",
            op=op,
            where=self.path,
            hint='leave executor="process" away, or do it in a step of its own',
        )


def perform(head: bytes, body: bytes) -> Message:
    """Do the job that a message asks for: no head and the encoded result, or a failure as JSON and no body."""
    job = json.loads(head)
    context = job["context"]
    sys.path[:] = job.get("path", sys.path)
    try:
        return b"", _result(job["target"], body, context)
    except BaseException as error:  # the border: exceptions of user code become data
        from ..authoring.failures import failure_of
        from ..core.codec import failure_plain

        failure = failure_of(error, context["path"], context["attempt"])
        return json.dumps(failure_plain(failure)).encode(), b""
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(AttributeError, OSError, ValueError):  # user code may have closed or replaced it
                stream.flush()


@lru_cache(maxsize=1024)
def _parameters(target: str) -> Parameters:
    return Parameters(find(target))


def _result(target: str, arguments: bytes, context: dict[str, Any]) -> bytes:
    parameters = _parameters(target)
    args, kwargs = parameters.decode(arguments, _VALUES)
    attempt = Distant(
        context["run"],
        context["workflow"],
        context["path"],
        context["attempt"],
        context["key"],
        context["deadline"],
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
