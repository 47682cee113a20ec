"""Runs sync functions in daemon threads that nobody has to wait for.

Law: whoever stops waiting gets away at once. A thread cannot be interrupted, so it is abandoned: it no longer counts,
another takes its place, and it holds up neither the pool nor the end of the program.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, TypeVar

from ..errors import RipresaError

T = TypeVar("T")


def _dropped(value: object) -> None:
    """What becomes of a value that nobody waits for."""


class _Task:
    """One function on its way. `over` means that it counts no longer: it ended, or nobody waits for it."""

    __slots__ = ("done", "error", "fn", "late", "loop", "over", "running", "value")

    def __init__(self, fn: Callable[[], Any], loop: asyncio.AbstractEventLoop, late: Callable[[Any], None]) -> None:
        self.fn = fn
        self.late = late
        self.loop = loop
        self.done: asyncio.Future[None] = loop.create_future()
        self.running = False
        self.over = False
        self.value: Any = None
        self.error: BaseException | None = None

    def perform(self) -> None:
        """Run the function in this thread."""
        try:
            self.value = self.fn()
        except BaseException as error:  # the border: whatever it is, it belongs to whoever awaits it
            self.error = error

    def settle(self) -> None:
        """Wake whoever waits, if anybody still does."""
        if not self.done.done():
            self.done.set_result(None)

    def settle_late(self) -> None:
        """Tell what the function returned though nobody waited any more."""
        if self.error is None:
            self.late(self.value)

    def take(self) -> Any:
        """Return or raise what the function did, once: an error refers to the frames that it passed, so to this."""
        value, self.value = self.value, None
        error, self.error = self.error, None
        if error is None:
            return value
        try:
            raise error
        finally:
            del error


class Threads:
    """At most `limit` threads (default: four more than there are processors, at most 32), started when needed.

    For any number of event loops.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit or min(32, (os.cpu_count() or 1) + 4)
        self._queue: SimpleQueue[_Task | None] = SimpleQueue()
        self._lock = Lock()
        self._numbers = itertools.count(1)
        self._threads = 0  # that can take a task, now or when they have ended theirs
        self._load = 0  # tasks that wait or run, and are not over
        self._closed = False

    async def run(self, fn: Callable[[], T], late: Callable[[T], None] = _dropped) -> T:
        """What the function returns or raises, whatever it is (a `StopIteration` as a `RuntimeError`).

        Cancelled while the function runs, it is left to itself and what it returns goes to `late` in the loop; one that
        still waits for a thread never begins. Raises `RipresaError(closed)` after `close`.
        """
        task = _Task(fn, asyncio.get_running_loop(), late)
        self._submit(task)
        try:
            await task.done
        except BaseException:
            self._abandon(task)
            raise
        result: T = task.take()
        return result

    def close(self) -> None:
        """Take no more functions and let the threads end as they become idle; waits for nothing."""
        with self._lock:
            self._closed = True
            for _ in range(self._threads):
                self._queue.put(None)

    def _submit(self, task: _Task) -> None:
        with self._lock:
            if self._closed:
                raise RipresaError("the threads were used after they were closed", code="closed", op="run")
            self._load += 1
            needed = self._threads < min(self._load, self._limit)
            self._threads += needed
            self._queue.put(task)
        if needed:
            self._start_for(task)

    def _start_for(self, task: _Task) -> None:
        try:
            self._start()
        except RuntimeError as error:
            with self._lock:
                alone = self._threads == 0
            if alone:
                self._abandon(task)
                raise RipresaError(f"no thread can be started: {error}", code="not_available", op="run") from error

    def _start(self) -> None:
        try:
            Thread(target=self._work, name=f"ripresa-step-{next(self._numbers)}", daemon=True).start()
        except RuntimeError:
            with self._lock:
                self._threads -= 1
            raise

    def _abandon(self, task: _Task) -> None:
        with self._lock:
            if task.over:
                return
            task.over = True
            self._load -= 1
            if not task.running:
                return
            self._threads -= 1
            needed = self._threads < self._load
            self._threads += needed
        if needed:
            with suppress(RuntimeError):  # the next function tries again
                self._start()

    def _work(self) -> None:
        while (task := self._queue.get()) is not None:
            if not self._perform(task):
                return
            del task

    def _perform(self, task: _Task) -> bool:
        """Run a task; False if it was abandoned meanwhile, so that this thread has lost its place."""
        with self._lock:
            if task.over:
                return True
            task.running = True
        task.perform()
        in_time = self._end(task)
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            task.loop.call_soon_threadsafe(task.settle if in_time else task.settle_late)
        return in_time

    def _end(self, task: _Task) -> bool:
        with self._lock:
            if task.over:
                return False
            task.over = True
            self._load -= 1
            return True
