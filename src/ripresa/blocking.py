"""The synchronous face: `with ripresa.blocking.App() as app: app.run(flow("tides"))`; in scripts, notebooks, threads.

One event loop in a thread of its own, and one function that puts a method of the asynchronous `App` or `Handle` before
it: names, parameters and types are theirs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from functools import wraps
from threading import Thread, get_ident
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload

from . import app as _app
from . import client as _client
from .errors import RipresaError

__all__ = ["App", "Handle"]

P = ParamSpec("P")
T = TypeVar("T")
A = TypeVar("A")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Loop:
    """An event loop in a daemon thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._run, name="ripresa-blocking", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop; its result. Whoever stops waiting (Ctrl-C) cancels it.

        Raises `RipresaError(usage)` on the loop's own thread, where waiting would never end.
        """
        if get_ident() == self._thread.ident:
            coroutine.close()
            raise RipresaError(
                "this is the thread of the event loop, which cannot wait for itself",
                code="usage",
                op="blocking",
                hint="in an async step await what you need, or make the step a plain def",
            )
        future: Future[T] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        finally:
            future.cancel()

    def stop(self) -> None:
        """End the loop and its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Face(Protocol):
    """What stands for something asynchronous: that, and the loop it lives on."""

    loop: Loop
    inner: Any


@overload
def blocking(method: Callable[Concatenate[Any, P], AsyncIterator[T]]) -> Callable[Concatenate[Any, P], Iterator[T]]: ...
@overload
def blocking(
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Any, P], T]: ...
def blocking(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method that waits for this one: for its result, or for one item after another."""

    @wraps(method)
    def wait(self: Face, *args: Any, **kwargs: Any) -> Any:
        found = method(self.inner, *args, **kwargs)
        if isinstance(found, AsyncIterator):
            return _items(self.loop, found)
        return self.loop.wait(found)

    return wait


def handing(
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, _client.Handle[R]]],
) -> Callable[Concatenate[Any, P], Handle[R]]:
    """The same for a method that gives a handle: what comes back is one of this module."""
    waits = blocking(method)

    @wraps(method)
    def hand(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        return Handle(self.loop, waits(self, *args, **kwargs))

    return hand


def _items(loop: Loop, found: Any) -> Iterator[Any]:
    try:
        while True:
            try:
                item = loop.wait(anext(found))
            except StopAsyncIteration:
                return
            yield item
    finally:
        loop.wait(found.aclose())


class Handle(Generic[R_co]):
    """A run: see `ripresa.Handle`."""

    def __init__(self, loop: Loop, inner: _client.Handle[R_co]) -> None:
        self.loop = loop
        self.inner = inner
        self.id = inner.id

    def __repr__(self) -> str:
        return repr(self.inner)

    def result(self) -> R_co:
        """Wait for the run's end; its result. Raises like `ripresa.Handle.result`."""
        return self.loop.wait(self.inner.result())

    def outcome(self) -> _client.Outcome[R_co]:
        """Wait for the run's end and say how it was; never raises for what the run did."""
        return self.loop.wait(self.inner.outcome())

    status = blocking(_client.Handle[Any].status)
    events = blocking(_client.Handle[Any].events)
    progress = blocking(_client.Handle[Any].progress)
    watch = blocking(_client.Handle[Any].watch)
    cancel = blocking(_client.Handle[Any].cancel)
    terminate = blocking(_client.Handle[Any].terminate)
    pause = blocking(_client.Handle[Any].pause)
    resume = blocking(_client.Handle[Any].resume)
    send = blocking(_client.Handle[Any].send)
    update = blocking(_client.Handle[Any].update)
    checkpoints = blocking(_client.Handle[Any].checkpoints)
    diff = blocking(_client.Handle[Any].diff)
    rollback = blocking(_client.Handle[Any].rollback)
    undo = blocking(_client.Handle[Any].undo)
    reconcile = blocking(_client.Handle[Any].reconcile)

    def fork(self, at: int | str | None = None, **options: Any) -> Handle[R_co]:
        """Begin a new run from a place of this one: see `ripresa.Handle.fork`, whose options it takes."""
        return Handle(self.loop, self.loop.wait(self.inner.fork(at, **options)))


class App:
    """Runs workflows durably, from code that does not await: see `ripresa.App`, whose options it takes.

    May be used from any number of threads.
    """

    loop: Loop

    def __init__(self, *args: Any, **options: Any) -> None:
        self.inner = _app.App(*args, **options)

    def __enter__(self) -> App:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> None:
        """Start the loop and open the store. Raises `StoreError`."""
        self.loop = Loop()
        try:
            self.loop.wait(self.inner.open())
        except BaseException:
            self.loop.stop()
            raise

    def close(self) -> None:
        """Interrupt the runs that are driven here (they can be resumed), close the store, end the loop."""
        try:
            self.loop.wait(self.inner.close())
        finally:
            self.loop.stop()

    run = blocking(_app.App.run)
    start = handing(_app.App.start)
    handle = handing(_app.App.handle)
    resume = handing(_app.App.resume)

    def resume_all(self) -> list[Handle[Any]]:
        """Take up every run that no living process drives; failed ones are left alone."""
        return [Handle(self.loop, handle) for handle in self.loop.wait(self.inner.resume_all())]

    runs = blocking(_app.App.runs)
    approvals = blocking(_app.App.approvals)
    migrate = blocking(_app.App.migrate)
    plan = blocking(_app.App.plan)
    diff = blocking(_app.App.diff)
