"""Group commit: what many runs write in the same turn of the event loop becomes durable in one transaction.

Law: whoever writes alone pays neither a hop through the loop nor one to a thread; whoever writes beside others shares
their transaction; on a slow disk, and where another process has to be waited for, the loop goes on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

from ..errors import StoreError
from .jobs import Job
from .pace import Pace

TURN = 0.005
"""Seconds after which a run that writes alone lets the loop have a turn, so that others can begin."""

Write = Callable[[Sequence[Job], bool], float]
"""Make all jobs durable in one transaction, waiting for other processes or not (`Database.write`)."""


class GroupCommit:
    """Collects jobs and hands them to `write`, one group at a time, on the loop or on the thread."""

    def __init__(self, write: Write, pace: Pace, thread: Executor) -> None:
        self._write = write
        self._pace = pace
        self._thread = thread
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Job] = []
        self._busy = False  # a flush is due or on its way
        self._idle: asyncio.Future[None] | None = None
        self._alone = ""  # the run that had the last transaction for itself
        self._turn_at = 0.0

    async def commit(self, job: Job) -> None:
        """Return when the job is durable; raise what it was refused for, or why its transaction failed."""
        await self._join(job)
        if job.error is not None:
            raise job.error

    def begin(self, job: Job) -> Job | None:
        """Write the job now (None), or with others in this turn: it is to be awaited."""
        if self._may_write_now(job.run) and self._write_here((job,)):
            job.settle()
            return None
        return self._join(job)

    async def drain(self) -> None:
        """Wait until nothing waits."""
        while self._busy:
            self._idle = self._loop.create_future()
            await self._idle

    def _may_write_now(self, run: str) -> bool:
        return (
            run != ""
            and run == self._alone
            and not self._busy
            and not self._pace.threaded
            and time.perf_counter() < self._turn_at
        )

    def _write_here(self, jobs: Sequence[Job]) -> bool:
        """Write on the loop; False when that would mean to wait for another process."""
        try:
            self._pace.took(self._write(jobs, False))
        except StoreError as error:
            if error.code == "store_locked":
                return False
            _fail(jobs, error)
        return True

    def _join(self, job: Job) -> Job:
        self._waiting.append(job)
        if not self._busy:
            self._busy = True
            self._loop.call_soon(self._flush)
        return job.within(self._loop)

    def _flush(self) -> None:
        jobs, self._waiting = self._waiting, []
        if not self._pace.threaded and self._write_here(jobs):
            self._finish(jobs)
        else:
            future = self._loop.run_in_executor(self._thread, self._write, jobs, True)
            future.add_done_callback(lambda written: self._land(jobs, written))

    def _land(self, jobs: Sequence[Job], written: asyncio.Future[float]) -> None:
        try:
            self._pace.took(written.result())
        except StoreError as error:
            _fail(jobs, error)
        self._finish(jobs)

    def _finish(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            job.settle()
        self._alone = jobs[0].run if len(jobs) == 1 else ""
        self._turn_at = time.perf_counter() + TURN
        self._busy = bool(self._waiting)
        if self._busy:
            self._loop.call_soon(self._flush)
        elif self._idle is not None and not self._idle.done():
            self._idle.set_result(None)
        self._go_on(jobs)

    def _go_on(self, jobs: Sequence[Job]) -> None:
        """Go on with all that has waited for these, in this turn of the loop."""
        rest = iter(jobs)
        try:
            for job in rest:
                job.end()
        finally:  # a task lets nothing through but what is meant for the whole process, as Ctrl-C is
            for job in rest:
                self._loop.call_soon(job.end)


def _fail(jobs: Sequence[Job], error: StoreError) -> None:
    """Each caller gets an error of its own: one that is raised in two tasks would mix their tracebacks."""
    for job in jobs:
        job.error = StoreError(error.message, code=error.code, op=error.op, where=error.where, hint=error.said)
        job.error.__cause__ = error.__cause__
