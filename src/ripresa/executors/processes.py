"""Runs jobs in child processes, one job at a time in each, so that a job can really be stopped: its child is killed."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ..core.codec import failure_from
from ..core.events import Failure
from ..errors import RipresaError, StepError
from .spawn import MARK, Child, import_path, start
from .targets import target_of

__all__ = ["Job", "ProcessFailure", "Processes", "target_of"]

GRACE = 1.0
"""Seconds that idle children have to end by themselves when the pool is closed."""

PATIENCE = 5.0
"""Seconds to wait for a killed child; one that the kernel cannot end in that time is waited for in the background."""

_PASSES = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt of a step: the function's target (`target_of`), its arguments as `Parameters.encode` wrote them.

    `context` is plain data: `run`, `workflow`, `path`, `attempt`, `key`, and `deadline` in microseconds since 1970 or
    None.
    """

    target: str
    arguments: bytes
    context: Mapping[str, Any]
    hear: Callable[[Sequence[str], bool], None] | None = None
    """Takes what the function reports, if it does, and whether it failed."""


class ProcessFailure(RipresaError):
    """The function raised in its child process; `failure` is what became of the exception there."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message, where=failure.path)
        self.code = failure.code
        self.failure = failure


class Processes:
    """At most `limit` children (default: as many as there are processors), started when needed and used again.

    A child inherits the environment and the working directory when it starts, and is told `sys.path` whenever that
    has changed. For one event loop.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.slot = asyncio.Semaphore(limit or os.cpu_count() or 1)
        self._children: set[Child] = set()
        self._idle: list[Child] = []
        self._closed = False

    async def run(self, job: Job) -> bytes:
        """The result of the function, encoded by its annotation. Jobs that wait for a child are served in order.

        Raises what `perform` raises.
        """
        async with self.slot:
            return await self.perform(job)

    async def perform(self, job: Job) -> bytes:
        """The same for a caller who holds `slot`.

        Cancelled, it kills the child with all that it has started, and returns when it is gone. Raises
        `ProcessFailure` for what the function raised, `RipresaError` with the code `process_died` if the child ended
        under the job, `not_available` if none could be started (the function did not run), `closed` after `close`.
        """
        context = dict(job.context)
        child = await self._ready()
        try:
            reply = await child.ask(_head(job, context, child), job.arguments)
        except (Exception, asyncio.CancelledError):
            await _end(child)
            raise
        if reply is None:
            raise self._died(job, await _end(child))
        self._idle.append(child)
        head, body = reply
        said: dict[str, Any] = json.loads(head) if head else {}
        if said.get("told") and job.hear is not None:
            job.hear(said["told"], "failure" in said)
        if "failure" in said:
            raise ProcessFailure(failure_from(said["failure"]))
        return body

    async def close(self) -> None:
        """Kill the children that are busy, let the idle ones end, and wait a moment for all; nothing runs after it."""
        self._closed = True
        idle, self._idle = self._idle, []
        for child in self._children.difference(idle):
            child.kill()
        for child in idle:
            child.hang_up()
        try:
            await self._all_ended(GRACE)
        finally:
            for child in self._children:
                child.kill()
        await self._all_ended(PATIENCE)

    async def _ready(self) -> Child:
        if self._closed:
            raise _closed()
        while self._idle:
            child = self._idle.pop()
            if child.is_there():
                return child
        return await self._start()

    async def _start(self) -> Child:
        if MARK in os.environ:
            raise RipresaError(
                "a child process cannot have child processes of its own",
                code="not_available",
                op="start",
                hint='what a script does belongs below if __name__ == "__main__": each child imports it',
            )
        try:
            child = start()
        except OSError as error:
            raise StepError(
                f"no child process can be started: {error}",
                code="not_available",
                retryable=error.errno in _PASSES,
                hint="is sys.executable a Python, and are there processes and open files left?",
            ) from error
        self._children.add(child)
        child.ended.add_done_callback(lambda _: self._forget(child))
        try:
            if await child.connect():
                return child
        except (Exception, asyncio.CancelledError):
            await _end(child)
            raise
        status = await _end(child)
        if self._closed:
            raise _closed()
        raise StepError(
            f"a child process {_ending(status)} before it was ready",
            code="not_available",
            hint="what it wrote to stderr says why",
        )

    def _forget(self, child: Child) -> None:
        self._children.discard(child)
        with suppress(ValueError):
            self._idle.remove(child)

    async def _all_ended(self, seconds: float) -> None:
        waited_for = [child.ended for child in self._children]
        if waited_for:
            await asyncio.wait(waited_for, timeout=seconds)

    def _died(self, job: Job, status: int | None) -> RipresaError:
        if self._closed:
            return _closed()
        return RipresaError(
            f"the child process {_ending(status)} under {job.target}",
            code="process_died",
            op="run",
            where=str(job.context.get("path", "")),
            hint="was it out of memory?" if status == -signal.SIGKILL else "what it wrote to stderr may say why",
        )


def _head(job: Job, context: dict[str, Any], child: Child) -> bytes:
    head: dict[str, Any] = {"target": job.target, "context": context}
    path = import_path()
    if path != child.path:
        child.path = path
        head["path"] = path
    return json.dumps(head).encode()


async def _end(child: Child) -> int | None:
    """Kill a child and wait until it is gone; its exit status as `Popen.returncode`, None if that takes too long."""
    child.kill()
    await asyncio.wait([child.ended], timeout=PATIENCE)
    return child.ended.result() if child.ended.done() else None


def _ending(status: int | None) -> str:
    if status is None:
        return "was killed and does not end"
    if status >= 0:
        return f"ended with exit status {status}"
    names = {-number: number.name for number in signal.Signals}
    return f"was killed by {names.get(status, f'signal {-status}')}"


def _closed() -> RipresaError:
    return RipresaError("the processes were used after they were closed", code="closed", op="run")
