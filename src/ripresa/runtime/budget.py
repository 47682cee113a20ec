"""What a run, and its session, may still use: asked before an attempt begins, settled with its end.

Law: nothing begins that its limits do not allow, however much runs side by side. A run's own counts follow from its
journal; what a session has left is reserved in the store in one transaction and settled in the transaction of the
append, so that neither a crash nor another process counts anything twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ..core.bounds import cleans_up
from ..core.durations import MICROSECONDS, seconds
from ..core.events import (
    AttemptLost,
    CallRecorded,
    Event,
    LimitReached,
    Recorded,
    StepCompleted,
    StepFailed,
    StreamAdvanced,
    UsageReported,
    Write,
)
from ..core.lifecycle import TERMINAL
from ..core.limits import NO_PRICE, Limits, Refusal, decode_limits, refusal, remaining
from ..core.usage import Usage, other_limits, spent
from ..errors import RipresaError
from ..ports import SessionHead, Spend
from .clock import sleep

if TYPE_CHECKING:
    from .attempts import Running
    from .driver import Driver

WALL = "\0wall"
"""The alarm of the time that a run may take in all."""

WAIT = 0.1
"""Seconds between two looks at whether a session has room for one more attempt."""

STOPPED = ("cancelled", "interrupted")
"""Why an attempt is lost that may have been waiting for its turn."""

ENDS = (StepCompleted, StepFailed, AttemptLost)
OF_ATTEMPTS = (CallRecorded, LimitReached)


class Budget:
    """The limits of one run that is driven here, and what is used of them."""

    def __init__(self, driver: Driver, limits: Limits, began_at: int) -> None:
        self.limits = limits
        self._driver = driver
        self._began_at = began_at
        self._held: dict[str, dict[str, float]] = {}
        self._usage = Usage()
        self._said: dict[str, dict[str, float]] = {}
        self._calls: dict[str, int] = {}
        """Calls of the sinks of streams that may be made and are not recorded."""
        self._granted: dict[str, int] = {}
        """Those of them that the session has granted and that are still to be made."""
        self._lent: dict[str, dict[str, float]] = {}
        """What the session holds for attempts: unlike what is held here, that is not less when a use is recorded."""
        self._begun: dict[str, set[str]] = {}
        """Journaled calls that have begun and are not recorded, by the attempts that make them."""
        self._counted: dict[str, list[int]] = {}
        """For how many calls of an attempt the session holds an operation until it ends, and how many are recorded."""
        self._growing: dict[str, int] = {}
        """What attempts have written to the typed state that is not durable yet, in bytes."""

    # --- what was used

    def restore(self, line: Iterable[Recorded]) -> None:
        """Count what the journal tells. No alarm is set: nobody may be about to drive the run."""
        for recorded in line:
            self._usage.read(recorded.event)
            self._heed(recorded.event)

    def kept(self, events: Iterable[Event]) -> None:
        """Count what has become durable."""
        for event in events:
            self._usage.note(event)
            if self._heed(event):
                self.watch_time()
            if isinstance(event, UsageReported):
                self._spent(f"{event.path}#{event.attempt}", event)
            elif isinstance(event, CallRecorded):
                self._begun.get(f"{event.path}#{event.attempt}", set()).discard(event.key)
            elif isinstance(event, ENDS):
                self._settled(f"{event.path}#{event.attempt}")
                self._said.pop(f"{event.path}#{event.attempt}", None)
                self._growing.pop(f"{event.path}#{event.attempt}", None)
            elif isinstance(event, StreamAdvanced | LimitReached):
                self._settled(f"{event.path}#{event.attempt}")

    def _settled(self, place: str) -> None:
        """What an attempt has used of what it holds is recorded."""
        for held in (self._held, self._lent, self._calls, self._granted, self._counted):
            held.pop(place, None)

    def _spent(self, place: str, event: UsageReported) -> None:
        """What an attempt has said that it used is recorded; so much less is held for it."""
        self.use(place, -event.tokens, -event.cost, -event.unpriced)
        held = self._held.get(place, {})
        for name, amount in spent(event):
            held[name] = max(0, held.get(name, 0) - amount)

    def use(self, place: str, tokens: int, money: float, unpriced: int) -> None:
        """An attempt says what it used; it counts from now on, before it is recorded."""
        said = self._said.setdefault(place, {"tokens": 0, "money": 0, "unpriced": 0})
        said["tokens"] += tokens
        said["money"] += money
        said["unpriced"] += unpriced

    def _heed(self, event: Event) -> bool:
        """Go by other limits from here on, if an event gives any."""
        text = other_limits(event)
        if text:
            self.limits = decode_limits(text)
        return bool(text)

    def _total(self) -> dict[str, float]:
        total = dict(self._usage.counts)
        for place in {**self._held, **self._said}:
            held, said = self._held.get(place, {}), self._said.get(place, {})
            for name in ("tokens", "money", "storage", "unpriced"):
                total[name] = total.get(name, 0) + max(held.get(name, 0), said.get(name, 0))
        calls = sum(self._calls.values()) + sum(map(len, self._begun.values()))
        total["operations"] = total.get("operations", 0) + calls
        return total

    def left(self) -> dict[str, float]:
        """How much is left of each limit, of the run or of its session, whichever leaves less."""
        found = remaining(self.limits, self._total())
        wall, size, now = self.limits.wall_time, self.limits.state_size, self._driver.clock.now()
        if wall is not None:
            found["wall_time"] = max(seconds(wall) - (now - self._began_at) / MICROSECONDS, 0)
        if size is not None:
            found["state_size"] = max(size - self._state_held(), 0)
        head = self._session_head()
        if head is not None:
            for name, amount in remaining(decode_limits(head.limits), json.loads(head.used)).items():
                found[name] = min(amount, found.get(name, amount))
        return found

    # --- what may begin

    async def admit(self, running: Running) -> LimitReached | None:
        """Count an attempt that is about to run, or say which limit forbids it. What cleans up is never forbidden."""
        if cleans_up(running.frame):
            return None
        asked: dict[str, float] = {"operations": 1}
        if running.path not in self._usage.first:
            asked["steps"] = 1
        refused = refusal(self.limits, self._total(), asked)
        if refused is not None:
            return self._reached(running, refused)
        self._usage.begin(running.path, running.number, 1)
        admitted = False
        try:
            refused = await self._reserve(running, asked)
            admitted = refused is None
        finally:
            if not admitted:  # also where it was cancelled while the session had no room for it
                self._usage.begin(running.path, running.number, -1)
        return None if refused is None else self._reached(running, refused, self._driver.head.session)

    async def reserve(self, running: Running, tokens: int, money: float) -> None:
        """Hold tokens and money for an attempt until it ends. Raises `RipresaError(limit_exceeded)`."""
        await self._hold(running, {"tokens": tokens, "money": money})

    async def store(self, running: Running, size: int) -> None:
        """Hold room for an artifact until it is recorded. Raises `RipresaError(limit_exceeded)`."""
        await self._hold(running, {"storage": size})

    async def _hold(self, running: Running, asked: dict[str, float], goal: dict[str, float] | None = None) -> None:
        """Hold so much more than is used or held; with a `goal` so much in all, of which some may be held."""
        self.require(running, asked)
        place, session = running.place, self._driver.head.session
        held, lent = self._held.setdefault(place, {}), self._lent.setdefault(place, {})
        for name, amount in (asked if goal is None else goal).items():
            held[name] = held.get(name, 0) + amount if goal is None else max(held.get(name, 0), amount)
        more = asked if goal is None else {name: max(0, much - lent.get(name, 0)) for name, much in goal.items()}
        for name, amount in more.items():
            lent[name] = lent.get(name, 0) + amount
        if any(more.values()) or (session and self._is_limited(session)):
            refused = await self._reserve(running, more)
            if refused is not None:
                raise self._refuse(running, refused, session)

    async def ensure(self, running: Running, tokens: int, money: float | None) -> None:
        """Hold at least so much for an attempt; what it holds already counts. Raises `RipresaError(limit_exceeded)`.

        Of tokens and money something must be left. A price that nobody knows (None) is for the limit `unpriced`. What
        cleans up is never forbidden.
        """
        if cleans_up(running.frame):
            return
        held, said = self._held.get(running.place, {}), self._said.get(running.place, {})
        self._require_some(running, held, said)
        wanted = {"tokens": tokens, "money": money or 0.0}
        if money is None and self.limits_money():
            wanted["unpriced"] = 1
        goal = {name: said.get(name, 0) + much for name, much in wanted.items() if much}
        counts = {name: max(held.get(name, 0), said.get(name, 0)) for name in wanted}
        await self._hold(running, {name: max(0, goal.get(name, 0) - counts[name]) for name in wanted}, goal)

    def _require_some(self, running: Running, held: dict[str, float], said: dict[str, float]) -> None:
        """Raise `RipresaError(limit_exceeded)` if nothing is left of tokens or money but what this attempt holds."""
        total = self._total()
        for name in ("tokens", "money"):
            total[name] = total.get(name, 0) - max(0, held.get(name, 0) - said.get(name, 0))
        refused, session = refusal(self.limits, total, {"operations": 0}), ""
        head = self._session_head()
        if refused is None and head is not None:
            session = head.id
            refused = refusal(decode_limits(head.limits), json.loads(head.used), {"operations": 0})
        if refused is not None:
            raise self._refuse(running, refused, session)

    async def begin_call(self, running: Running, key: str) -> None:
        """Count a journaled call of an attempt that is about to be made. Raises `RipresaError(limit_exceeded)`."""
        if cleans_up(running.frame):
            return
        place, session = running.place, self._driver.head.session
        most = Limits(operations=self.limits.operations)
        refused = refusal(most, self._total(), {"operations": 1}) if most else None
        if refused is not None:
            raise self._refuse(running, refused)
        self._begun.setdefault(place, set()).add(key)
        head = self._session_head()
        if head is not None and decode_limits(head.limits).operations is not None:
            refused = await self._reserve(running, {"operations": 1}, more=True)
            if refused is not None:
                raise self._refuse(running, refused, session)
            self._counted.setdefault(place, [0, 0])[0] += 1

    def end_call(self, running: Running, key: str) -> None:
        """A journaled call has ended, recorded or not."""
        begun = self._begun.get(running.place)
        if begun is not None:
            begun.discard(key)
            if not begun:
                del self._begun[running.place]

    def require_left(self, running: Running) -> None:
        """Raise `RipresaError(limit_exceeded)` if a stream has used up what it may report."""
        self.require(running, {"operations": 0})

    async def call(self, running: Running, group: int) -> None:
        """Let a stream call its sink once more; it records `group` calls at a time.

        Raises `RipresaError(limit_exceeded)` if nothing is left.
        """
        self.require(running, {"operations": 1})
        place = running.place
        session = self._driver.head.session
        if session and not self._granted.get(place) and self._is_limited(session):
            self._granted[place] = await self._grant(running, group)
        self._calls[place] = self._calls.get(place, 0) + 1
        if place in self._granted:
            self._granted[place] -= 1

    def limits_money(self) -> bool:
        """Whether money is limited, for the run or for its session."""
        if self.limits.money is not None:
            return True
        head = self._session_head()
        return head is not None and decode_limits(head.limits).money is not None

    def _is_limited(self, session: str) -> bool:
        head = self._driver.engine.store.find_session(session)
        return head is not None and bool(head.limits)

    async def _grant(self, running: Running, group: int) -> int:
        """How many calls of a sink the session lets be made: a whole group if it has so much left, else one."""
        refused = await self._reserve(running, {"operations": group}, more=True)
        if refused is not None and group > 1:
            group = 1
            refused = await self._reserve(running, {"operations": 1}, more=True)
        if refused is not None:
            raise self._refuse(running, refused, self._driver.head.session)
        return group

    def require(self, running: Running, asked: dict[str, float]) -> None:
        """Raise `RipresaError(limit_exceeded)` unless so much more may be used."""
        refused = refusal(self.limits, self._total(), asked)
        if refused is not None:
            raise self._refuse(running, refused)

    def require_state(self, running: Running, writes: Iterable[Write]) -> None:
        """Raise `RipresaError(limit_exceeded)` if the typed state of the run would become larger than it may be."""
        if self.limits.state_size is not None:
            size = sum(len(self._driver.values.text(write.value)) for write in writes)
            refused = self._state_refused(size)
            if refused is not None:
                raise self._refuse(running, refused)
            self._growing[running.place] = size

    def state_outgrown(self, now: int) -> LimitReached | None:
        """The fact that the typed state of the run has become larger than it may be: a durable function wrote to it."""
        refused = None if self.limits.state_size is None else self._state_refused(0)
        return None if refused is None else LimitReached(now, "", 0, *refused, self.limits.on_exceeded)

    def _state_refused(self, more: int) -> Refusal | None:
        most = self.limits.state_size
        assert most is not None
        size = self._state_held() + more
        return ("state_size", size, most) if size > most else None

    def _state_held(self) -> int:
        """The bytes of the typed state, with what is about to be written to it."""
        shared, text = self._driver.state.shared, self._driver.values.text
        held = 0 if shared is None else sum(len(text(value)) for value in shared.values())
        return held + sum(self._growing.values())

    async def _reserve(self, running: Running, asked: dict[str, float], *, more: bool = False) -> Refusal | None:
        driver = self._driver
        while driver.head.session:
            now = driver.clock.now()
            store = driver.engine.store
            refused = await store.reserve(driver.head.session, driver.run, running.place, asked, now, more=more)
            if refused is None or refused[0] != "concurrency":
                return refused
            await sleep(driver.clock, WAIT)
        return None

    def _refuse(self, running: Running, refused: Refusal, session: str = "") -> RipresaError:
        running.refused = self._reached(running, refused, session)
        name, used, allowed = refused
        return RipresaError(
            f"the limit of {name} is reached: {used:g} of {allowed:g} are used",
            code="limit_exceeded",
            op=name,
            where=running.path,
            hint=NO_PRICE if name == "unpriced" else "",
        )

    def _reached(self, running: Running, refused: Refusal, session: str = "") -> LimitReached:
        limits = self.limits
        if session:
            head = self._driver.engine.store.find_session(session)
            limits = decode_limits(head.limits) if head is not None else limits
        now = self._driver.clock.now()
        return LimitReached(now, running.path, running.number, *refused, limits.on_exceeded, session)

    # --- time

    def watch_time(self) -> None:
        """Say when the time of the run is over, if it has an end."""
        limit: Any = self.limits.wall_time
        if limit is None:
            self._driver.alarms.clear(WALL)
            return
        due = self._began_at + round(limit * MICROSECONDS)
        reached = LimitReached(due, "", 0, "wall_time", limit, limit, self.limits.on_exceeded)
        self._driver.alarms.wake_at(WALL, due, reached)

    # --- the session's share

    def settle(self, events: Iterable[Event]) -> Iterator[Spend]:
        """What a batch changes of what the session has left."""
        session, run = self._driver.head.session, self._driver.run
        total: dict[str, float] = {}
        for event in events:
            for name, amount in self._new(event):
                total[name] = total.get(name, 0) + amount
            if isinstance(event, (*ENDS, LimitReached)) and event.path:
                place = f"{event.path}#{event.attempt}"
                yield Spend(session, run, place, keep=not isinstance(event, LimitReached), unheld=self._unheld(event))
            elif isinstance(event, StreamAdvanced):
                yield Spend(session, run, f"{event.path}#{event.attempt}", part=True)
        if total:
            yield Spend(session, run, "", tuple(total.items()))
        if self._driver.state.status in TERMINAL:
            yield Spend(session, run, "*")

    def _new(self, event: Event) -> Iterable[tuple[str, float]]:
        """What an event says was used that the session does not hold as used already, until the attempt has ended."""
        counted = self._counted.get(f"{event.path}#{event.attempt}") if isinstance(event, OF_ATTEMPTS) else None
        if counted is None:
            return spent(event)
        held, recorded = counted
        if isinstance(event, CallRecorded):
            counted[1] = min(held, recorded + 1)
            return () if recorded < held else spent(event)
        return (("operations", float(recorded)),)  # what is held is given back with it

    def _session_head(self) -> SessionHead | None:
        session = self._driver.head.session
        return self._driver.engine.store.find_session(session) if session else None

    def _unheld(self, event: Any) -> tuple[tuple[str, float], ...]:
        """What an attempt has used that has reserved nothing; one that was stopped before it could never began."""
        if isinstance(event, AttemptLost) and event.reason in STOPPED:
            return ()
        return ("operations", 1.0), ("steps", float(self._usage.first.get(event.path) == event.attempt))
