"""A token by which anyone who holds it stops what was started with it: runs, awaitables, and tokens below it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from functools import wraps
from threading import Lock
from typing import Any, ParamSpec, TypeVar

from ..errors import RunCancelled

P = ParamSpec("P")
R = TypeVar("R")


class CancelToken:
    """Cancelled once and for good, from any thread.

    Hand it to `App.start(..., cancel=token)`, or wrap any async function with `guard`. A `child` is cancelled with
    its parent and can be cancelled alone.
    """

    def __init__(self) -> None:
        self.cancelled = False
        self.reason = ""
        self._lock = Lock()
        self._callbacks: list[Callable[[], None]] = []

    def cancel(self, reason: str = "") -> None:
        """Stop everything that was started with this token; a second call changes nothing."""
        with self._lock:
            if self.cancelled:
                return
            self.reason, self.cancelled = reason, True
            callbacks, self._callbacks = self._callbacks, []
        with ExitStack() as stack:  # which calls them all, whatever one of them raises
            for callback in reversed(callbacks):
                stack.callback(callback)

    def child(self) -> CancelToken:
        """A token that is cancelled with this one, for the same reason."""
        token = CancelToken()
        self.on_cancel(lambda: token.cancel(self.reason))
        return token

    def on_cancel(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back, in the cancelling thread, when the token is cancelled (at once if it is). Returns its undoing."""
        with self._lock:
            if not self.cancelled:
                self._callbacks.append(callback)
                return lambda: self._forget(callback)
        callback()
        return lambda: None

    def _forget(self, callback: Callable[[], None]) -> None:
        with self._lock:
            if callback in self._callbacks:
                self._callbacks.remove(callback)

    def guard(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> Callable[P, Coroutine[Any, Any, R]]:
        """The same async function, stopped when the token is cancelled; then it raises `RunCancelled`."""

        @wraps(fn)
        async def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            return await self.run(fn(*args, **kwargs))

        return guarded

    async def run(self, awaitable: Coroutine[Any, Any, R], /) -> R:
        """Await something that is stopped when the token is cancelled. Raises `RunCancelled` with its reason."""
        if self._is_over():
            awaitable.close()
            raise self._error()
        loop = asyncio.get_running_loop()

        async def work() -> R:
            return await awaitable

        task = loop.create_task(work())

        def stop() -> None:
            loop.call_soon_threadsafe(task.cancel)

        forget = self.on_cancel(stop)
        try:
            return await task
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if self._is_over() and not (current is not None and current.cancelling()):
                raise self._error() from None
            task.cancel()
            await asyncio.wait([task])
            raise
        finally:
            forget()

    def _is_over(self) -> bool:
        return self.cancelled

    def _error(self) -> RunCancelled:
        error = RunCancelled(f"cancelled{': ' + self.reason if self.reason else ''}", op="cancel")
        error.reason = self.reason
        return error
