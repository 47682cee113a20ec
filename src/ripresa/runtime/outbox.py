"""Delivers what runs send, after the step that sent it is recorded: at least once, of each run in order, with patience.

Law: nothing is forgotten before it is delivered, and to deliver it again changes nothing (a signal is counted once
by its id, a run is started once by its id). Any process over the store may deliver.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ..authoring.flow import Runnable
from ..core.durations import MICROSECONDS
from ..core.events import Event
from ..errors import Fenced, RipresaError, SessionError, StepError, StoreError, asked_wait
from ..ports import NEVER, Alarm, Outgoing, RunHead, Shared
from .family import ask_to_end, look_up, tell_end, tell_not_started
from .leases import Lease
from .mailing import QueuedStart

if TYPE_CHECKING:
    from ..core.commands import LookUp
    from .driver import Driver
    from .engine import Engine

Sender = Callable[[Outgoing], Awaitable[object]]
"""Delivers what is sent of one kind. It may be called again with the same `id`; what it raises is tried again."""

Announce: TypeAlias = Callable[[RunHead, int, int, Sequence[Event]], Iterable[Outgoing]]
"""What is sent out because of these events of a run: its line in lists, the time, the number of the first, the events.

It becomes durable with them."""

KINDS: Final = ("signal", "start", "cancel", "terminate", "ended")
"""What is delivered without a sender of one's own."""

PAGE: Final = 500
"""How many deliveries are looked at in one go."""

LANES: Final = 100
"""How many lanes' deliveries are under way at a time."""

TRIES: Final = 20
"""After so many tries a delivery is given up."""

LONGEST: Final = 300
"""Seconds between two tries at most; they begin with one second, and double."""

RETRY: Final = 60 * MICROSECONDS
"""How long is left alone what cannot be delivered here: its code or sender is in another process."""

_log = logging.getLogger("ripresa")


async def nowhere(known: Runnable[..., Any] | None, queued: QueuedStart) -> bool:
    """Begins no run."""
    return False


class Outbox:
    """One engine's way to deliver. `begin` begins a run that was queued, False if its code is not here."""

    def __init__(self, engine: Engine, senders: Mapping[str, Sender]) -> None:
        self.begin: Callable[[Runnable[..., Any] | None, QueuedStart], Awaitable[bool]] = nowhere
        self._engine = engine
        self._senders = senders
        self._known: dict[str, Runnable[..., Any]] = {}
        self._left_alone: dict[int, int] = {}
        self._lanes: dict[str, asyncio.Task[None]] = {}
        self._looks: set[asyncio.Task[None]] = set()
        self._expecting: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        self._alarm: Alarm | None = None
        self._again = self._closed = False

    def remember(self, runnable: Runnable[..., Any]) -> None:
        """The code of a run that will be queued is here."""
        self._known[runnable.definition.hash] = runnable

    def kept(self, shared: Sequence[Shared]) -> None:
        """This has become durable."""
        if any(isinstance(each, Outgoing) for each in shared):
            self.look()

    def look(self) -> None:
        """Something may be due, now or earlier than was known."""
        if self._closed:
            return
        self._again = True
        if self._task is None:
            self._task = self._engine.loop.create_task(self._work(), name="ripresa outbox")

    def look_again(self) -> None:
        """What could not be delivered may be delivered now: a session goes on."""
        self._left_alone.clear()
        self.look()

    def expects(self, parent: str, child: str) -> bool:
        """Whether a run that is waited for is under way here: to be begun, driven, or about to tell of its end.

        Who asks is roused when this may have changed.
        """
        here = child in self._engine.drivers or child in self._lanes or parent in self._lanes or self._task is not None
        here = here or bool(self._looks)  # nobody else may tell of an end that is looked up
        here = here or self._engine.waker.is_busy  # the child may be woken by what it was sent before it fell asleep
        if here:
            self._expecting.add(parent)
        return here

    def settled(self) -> None:
        """A run has left, or a delivery or a look at who is due has ended."""
        expecting, self._expecting = self._expecting, set()
        for run in expecting:
            if run in self._engine.drivers:
                self._engine.drivers[run].rouse()

    def look_up(self, driver: Driver, command: LookUp) -> None:
        """See whether a run that was started from here has ended."""
        if not self._closed:
            task = self._engine.loop.create_task(look_up(driver, command), name="ripresa look")
            self._looks.add(task)
            task.add_done_callback(self._looked)

    def _looked(self, task: asyncio.Task[None]) -> None:
        self._looks.discard(task)
        self.settled()

    async def close(self) -> None:
        """Deliver nothing any more; what was begun is delivered again by whoever comes next."""
        self._closed = True
        if self._alarm is not None:
            self._alarm.cancel()
        under_way = [*self._looks, *self._lanes.values(), *([self._task] if self._task is not None else [])]
        for task in under_way:
            task.cancel()
        if under_way:
            await asyncio.wait(under_way)

    async def _work(self) -> None:
        try:
            while self._again:
                self._again = False
                now = self._engine.clock.now()
                self._left_alone = {number: until for number, until in self._left_alone.items() if until > now}
                await self._begin_lanes(now)
                await self._set_alarm(now)
        except StoreError:
            _log.warning("the store does not say what is to be delivered", exc_info=True)
        finally:
            self._task = None
            self.settled()

    async def _begin_lanes(self, now: int) -> None:
        skip = 0
        while True:
            found = await self._engine.store.outgoing(now, PAGE, skip)
            for each in found:
                if len(self._lanes) >= LANES:
                    return
                if each.lane not in self._lanes and each.number not in self._left_alone:
                    self._lanes[each.lane] = self._engine.loop.create_task(self._lane(each), name="ripresa delivery")
            skip += len(found)
            if len(found) < PAGE:
                return

    async def _set_alarm(self, now: int) -> None:
        due = await self._engine.store.next_outgoing(now)
        moments = [moment for moment in (due, *self._left_alone.values()) if moment]
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if moments:
            self._alarm = self._engine.clock.call_at(min(moments), self.look)

    async def _lane(self, parcel: Outgoing) -> None:
        try:
            if not await self._deliver(parcel):
                self._left_alone[parcel.number] = self._engine.clock.now() + RETRY
        except StoreError:
            self._left_alone[parcel.number] = self._engine.clock.now() + MICROSECONDS
            _log.warning("a delivery cannot be recorded", exc_info=True, extra={"run": parcel.run})
        finally:
            del self._lanes[parcel.lane]
            self.look()

    async def _deliver(self, parcel: Outgoing) -> bool:
        """Deliver, or record that it failed; False if it is left to others."""
        lease: Lease | None = None
        try:
            if parcel.kind == "signal":
                await self._engine.inbox.signal(parcel.target, parcel.body, parcel.id, hear=False)
                self._wake(parcel.target)
            elif parcel.kind == "start":
                queued = QueuedStart.decode(parcel.body)
                if not await self.begin(self._known.get(queued.definition), queued):
                    return False
            elif parcel.kind == "ended":
                await tell_end(self._engine, parcel.target, parcel.body, parcel.id)
            elif parcel.kind in KINDS:
                await ask_to_end(self._engine, parcel)
            else:
                sender = self._senders.get(parcel.kind)
                if sender is None:
                    return False
                lease = Lease(self._engine, parcel)
                if not await lease.take():
                    return True  # somebody else delivers it
                try:
                    await sender(parcel)
                finally:
                    await lease.end()
        except StoreError:
            raise
        except Exception as error:  # the border: a sender is user code, and so is what a run waits with
            status = self._status_of(error.session) if isinstance(error, SessionError) else ""
            if status == "suspended" or (status == "active" and parcel.kind == "start"):
                return status == "active"  # it was resumed since: again at once; else when it is, however long it takes
            final = _is_final(error, own=parcel.kind in KINDS)
            await self._failed(parcel if lease is None else lease.parcel, error, final=final)
        else:
            await self._engine.store.delivered(parcel.number)
        return True

    def _status_of(self, session: str) -> str:
        head = self._engine.store.find_session(session)
        return "" if head is None else head.status

    def _wake(self, run: str) -> None:
        """What was put down for a run makes it due, if it is asleep."""
        if run not in self._engine.drivers and self._engine.settings.linger is not None:
            self._engine.waker.look()

    async def _failed(self, parcel: Outgoing, error: Exception, *, final: bool) -> None:
        tries = parcel.tries + 1
        wait = max(min(2**parcel.tries, LONGEST), asked_wait(error))
        due = NEVER if final or tries >= TRIES else self._engine.clock.now() + round(wait * MICROSECONDS)
        failed = parcel._replace(tries=tries, due=due, error=f"{type(error).__name__}: {error}")
        _warn_of(failed, error)
        if await self._engine.store.postpone(parcel, failed) and parcel.kind == "start" and due == NEVER:
            await tell_not_started(self._engine, failed)


def _warn_of(failed: Outgoing, error: Exception) -> None:
    """Say in one line what is not delivered: it may come out beside the output of something else."""
    told = "not delivered: %s (%s of run %s to %s); see: ripresa outbox%s"
    option = " --given-up" if failed.due == NEVER else ""
    place = (failed.kind, failed.run, failed.target)
    about = {"run": failed.run, "parcel": failed.id}
    _log.warning(told, " ".join(failed.error.split()), *place, option, extra=about)
    _log.debug("why it is not delivered", exc_info=error, extra=about)


def _is_final(error: Exception, *, own: bool) -> bool:
    """Whether no other try can mend it: what Ripresa itself delivers finds no run, or a sender says so."""
    if isinstance(error, StepError):
        return not error.retryable
    return own and isinstance(error, RipresaError) and not _passes(error)


def _passes(error: RipresaError) -> bool:
    """Whether an error is about this moment, not about what is sent."""
    return isinstance(error, Fenced) or error.code in ("closed", "owned_elsewhere", "interrupted")
