"""Tells watchers what became durable, without ever waiting for them.

A watcher has a bounded buffer; one that falls behind reads what it missed from the journal, so nothing is lost and
nothing piles up. Notices (starts, progress) are live only and have no place in the sequence; they may come from any
thread, everything else from the loop's. A listener is called with each event of every run; one that raises is the
listener's problem, never the run's.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass

from ..core.events import Event, Recorded


@dataclass(frozen=True, slots=True)
class StepBegan:
    """Notice: an attempt began to run."""

    run: str
    path: str
    attempt: int
    at: int


@dataclass(frozen=True, slots=True)
class StepProgressed:
    """Notice: what a step said about how far it is."""

    run: str
    path: str
    attempt: int
    completed: float
    total: float | None
    message: str


@dataclass(frozen=True, slots=True)
class TextWritten:
    """Notice: a piece of text that a step has while it is being written."""

    run: str
    path: str
    attempt: int
    text: str


@dataclass(frozen=True, slots=True)
class StreamProgressed:
    """Notice: how a stream is doing, at most once a second.

    `rates` are the items a second that each stage took since the notice before, `waiting` those in the buffer before
    it, by name; `lag` is how many seconds ago the last item that the sink acknowledged came from the source.
    """

    run: str
    path: str
    attempt: int
    at: int
    taken: int
    batches: int
    dropped: int
    dead: int
    rates: tuple[tuple[str, float], ...]
    waiting: tuple[tuple[str, int], ...]
    lag: float


Notice = StepBegan | StepProgressed | StreamProgressed | TextWritten

Listener = Callable[[Recorded], None]
"""Told about every durable event, in order within a run; it must return quickly."""

_log = logging.getLogger("ripresa")


class Watcher:
    """One reader of one run."""

    SIZE = 1024

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._buffer: deque[Recorded | Notice] = deque()
        self._woken = asyncio.Event()
        self.behind = False
        self.ended = False

    def put(self, items: Iterable[Recorded | Notice]) -> None:
        """Hand over what happened; if there is no room, forget it and remember that something was missed."""
        if not self.behind:
            self._buffer.extend(items)
            self.behind = len(self._buffer) > self.SIZE
        if self.behind:
            self._buffer.clear()
        self._woken.set()

    def tell(self, notice: Notice) -> None:
        """Hand over a notice, from any thread."""
        if asyncio._get_running_loop() is self._loop:
            self.put((notice,))
        else:
            self._loop.call_soon_threadsafe(self.put, (notice,))

    def begin(self) -> None:
        """Something may happen again."""
        self.ended = False

    def end(self) -> None:
        """Nothing more will happen."""
        self.ended = True
        self._woken.set()

    def take(self) -> list[Recorded | Notice]:
        """Everything handed over since the last time; nothing if something was missed (then read the journal)."""
        items = list(self._buffer)
        self._buffer.clear()
        self.behind = False
        return items

    async def live(self, seq: int) -> AsyncIterator[Recorded | Notice]:
        """What happens after event `seq`, gapless, until the end or until something was missed."""
        while not self.ended:
            await self.wait()
            if self.behind:
                self.take()
                return
            for item in self.take():
                if not isinstance(item, Recorded):
                    yield item
                elif item.seq == seq + 1:
                    seq = item.seq
                    yield item
                elif item.seq > seq:
                    return

    async def wait(self) -> None:
        """Wait until there is something to take, or the end."""
        await self._woken.wait()
        self._woken.clear()


class Feed:
    """The watchers of all runs of one app."""

    def __init__(self) -> None:
        self._watchers: dict[str, list[Watcher]] = {}
        self._listeners: dict[object, Listener] = {}
        self._followers: dict[str, Listener] = {}

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call a listener with every event from now on, after it is durable; returns how to stop that at once."""
        key = object()
        self._listeners[key] = listener

        def leave() -> None:
            self._listeners.pop(key, None)

        return leave

    def follow(self, run: str, listener: Listener | None) -> None:
        """Call one listener with every event of one run, in the place of the one before (None: no more).

        It does its own catching.
        """
        if listener is not None:
            self._followers[run] = listener
        else:
            self._followers.pop(run, None)

    def watch(self, run: str) -> Watcher:
        """Begin to watch a run."""
        watcher = Watcher()
        self._watchers.setdefault(run, []).append(watcher)
        return watcher

    def leave(self, run: str, watcher: Watcher) -> None:
        """Stop watching."""
        watchers = self._watchers.get(run, [])
        if watcher in watchers:
            watchers.remove(watcher)
        if not watchers:
            self._watchers.pop(run, None)

    def watched(self, run: str) -> bool:
        """Whether anybody watches this run."""
        return run in self._watchers

    def is_heard(self, run: str) -> bool:
        """Whether anybody is to be told of the events of this run."""
        return True if self._listeners else run in self._watchers or run in self._followers

    def publish(self, run: str, seq: int, events: Iterable[Event]) -> None:
        """Tell the watchers of a run about events that are durable, numbered from `seq`."""
        items: list[Recorded] = []
        at = 0
        for number, event in enumerate(events, seq):
            at = getattr(event, "at", at)
            items.append(Recorded(run, number, at, event))
        for watcher in self._watchers.get(run, ()):
            watcher.put(items)
        for key in tuple(self._listeners):
            for item in items:
                self._tell(key, item)
        follower = self._followers.get(run)
        if follower is not None:
            for item in items:
                follower(item)

    def _tell(self, key: object, item: Recorded) -> None:
        listener = self._listeners.get(key)
        if listener is None:  # it left meanwhile
            return
        try:
            listener(item)
        except Exception:  # a listener is told afterwards: what it raises concerns nobody else
            _log.exception("a listener raised", extra={"listener": repr(listener), "run": item.run, "seq": item.seq})

    def notify(self, notice: Notice) -> None:
        """Tell the watchers of a run something that is not kept, from any thread."""
        for watcher in tuple(self._watchers.get(notice.run, ())):
            watcher.tell(notice)

    def begin(self, run: str) -> None:
        """Tell the watchers of a run that it is driven here from now on."""
        for watcher in self._watchers.get(run, ()):
            watcher.begin()

    def end(self, run: str) -> None:
        """Tell the watchers of a run that this process will say nothing more about it."""
        self._followers.pop(run, None)
        for watcher in self._watchers.get(run, ()):
            watcher.end()
