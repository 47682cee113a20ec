"""What a migrated run takes along beside results: what it used, what came from outside, who paused it, what it began.

Law: what was recorded is kept. What has no place in the new version is refused by name, never left out.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from ..core import events as e
from ..core.events import Event, Fact, Recorded
from ..core.frames import OPEN, PARKED, CallFrame, StreamFrame
from ..core.nodes.child import note_children
from ..core.usage import TOLD, Usage, other_limits, spent
from ..core.view import view_of
from .forms import Begun, causes
from .stream_places import prefix_of

if TYPE_CHECKING:
    from ..authoring.migration import RunForm
    from .driver import Driver

_AGAIN: Final = (e.IterationStarted, e.CallRecorded, e.StreamAdvanced)
"""Events that tell of a use and come again as a migrated run is brought to where it was."""


class Carried:
    """What the line of a run tells that its results do not."""

    def __init__(self, line: Sequence[Recorded], begun: Begun) -> None:
        self.line = line
        self.own: dict[str, bool] = {}
        """The steps that it did itself, and whether that stands: else it was undone."""
        self._called: set[str] = set()
        self._heard: Counter[str] = Counter()
        """How many signals of a name it had taken before it began anew."""
        self._taken: Counter[str] = Counter()
        self.usage = Usage()
        self.limits = ""
        """What it may use by now, as JSON."""
        self.pauses: list[e.PauseRequested | e.LimitReached] = []
        """Who, or which limit, has paused it."""
        self.in_flight: dict[str, int] = {}
        """The attempts that nobody has reported about, by path."""
        self.unknown: dict[tuple[str, str], bool] = {}
        """The irreversible steps (without a key) and calls of which nobody knows what they did."""
        self.done: dict[str, None] = {}
        """The irreversible steps that did what they do, and are not to do it again."""
        self.lasting: dict[str, None] = {}
        """All that ever did."""
        self.sent: dict[str, e.Dispatched] = {}
        """What durable functions sent out of the run, by path."""
        self.ends: list[e.ChildEnded] = []
        """How runs ended that it waited for, unless it failed of that."""
        self.children: dict[str, str] = {}
        """Runs that are not to outlive it, and what becomes of each."""
        self._reached: e.LimitReached | None = None
        self._begun: dict[str, None] = {}
        self._calls: dict[str, dict[str, e.CallRecorded]] = {}
        self._lasting: dict[str, set[str]] = {}
        """The keys of recorded calls that cannot be taken back, by the path of their step."""
        for item in line:
            self.usage.read(item.event)
            self._heed(item.event)
            self._follow(item.event)
            self._relate(item.event)
            self._undo(item.event)
            if item.seq == begun.since - 1:
                self._begin_anew()

    def _heed(self, event: Event) -> None:
        """Limits, and who pauses the run."""
        self.limits = other_limits(event) or (event.limits if isinstance(event, e.RunStarted) else self.limits)
        match event:
            case e.PauseRequested():
                self.pauses.append(event)
            case e.LimitReached():
                self._reached = event
                if event.policy != "fail":
                    self.pauses.append(event)
            case e.Intercepted(point="limit", detail="pause" | "ask" as policy) if self._reached is not None:
                self.pauses.append(replace(self._reached, policy=policy))  # so a hook had it
            case e.RunContinued() | e.RunReopened():
                self.pauses.clear()
            case _:
                pass

    def _follow(self, event: Event) -> None:
        """Attempts, and what they do that cannot be taken back."""
        match event:
            case e.StepScheduled(path, attempt):
                self.in_flight[path] = attempt
                self._begun[path] = None
            case e.StepStarted(_, path):
                self.unknown[path, ""] = True
            case e.CallStarted(_, path, _, key):
                self.unknown[path, key] = True
            case e.CallRecorded(_, path, _, key):
                self._calls.setdefault(path, {})[key] = event
                if (path, key) in self.unknown:
                    del self.unknown[path, key]
                    self._lasting.setdefault(path, set()).add(key)
            case e.CallFailed(_, path, _, key):
                self.unknown.pop((path, key), False)
            case e.StepCompleted(_, path) | e.StepReused(_, path) | e.Reconciled(_, path, _, "completed"):
                self._completed(path)
            case e.StepFailed(_, path):
                self.in_flight.pop(path, None)
                self.unknown.pop((path, ""), False)
            case e.Reconciled(_, path):
                self._settle(path)
            case e.AttemptLost(_, path) | e.LimitReached(_, path):
                self.in_flight.pop(path, None)
            case _:
                pass

    def _relate(self, event: Event) -> None:
        """What it sent to other runs, and heard of them."""
        note_children(self.children, event)
        match event:
            case e.Dispatched(_, path):
                self.sent[path] = event
            case e.ChildEnded():
                self.ends.append(event)
            case e.RunFailed(failure):
                found = list(causes(failure))
                self.ends = [end for end in self.ends if end.failure is None or end.failure not in found]
            case _:
                pass

    def _undo(self, event: Event) -> None:
        """What it did itself, and what of that was undone."""
        match event:
            case e.StepCompleted(_, path):
                self.own[path] = True
            case e.StepReused(_, path):
                self.own.pop(path, None)
                if event.own:
                    self.own[path] = True
            case e.StepUndone(path) if path in self.own:
                self.own[path] = False
            case e.Asked(_, path, calls):
                self._called.update(prefix_of(path) + spec.segment for spec in calls)
            case e.SignalTaken(_, name):
                self._taken[name] += 1
            case _:
                pass

    def _begin_anew(self) -> None:
        """Forget what the run has forgotten."""
        self._heard = Counter(self._taken)
        for before in (self.done, self.own, self.sent, self.ends, self._calls, self._begun):
            before.clear()

    def _completed(self, path: str) -> None:
        if self._settle(path) | bool(self._lasting.pop(path, None)):
            self.done[path] = self.lasting[path] = None
        for of_attempts in (self._calls, self._begun):
            of_attempts.pop(path, None)

    def _settle(self, path: str) -> bool:
        """It is known what the attempt at this path did; whether it may have done what cannot be taken back."""
        self.in_flight.pop(path, None)
        known = [place for place in self.unknown if place[0] == path]
        for place in known:
            del self.unknown[place]
        return bool(known)

    # --- as facts of the new version

    def heard(self, form: RunForm, now: int) -> Iterator[Fact]:
        """What came from outside and is still owed."""
        asked = {old: new for new, old in form.approvals.items()}
        answered = {item.event.path for item in self.line if isinstance(item.event, e.Intercepted)}
        taken = Counter(self._heard)
        for item in self.line:
            match item.event:
                case e.SignalReceived(_, name) if taken[name] > 0:
                    taken[name] -= 1
                case e.SignalReceived():
                    yield replace(item.event, at=now)
                case e.Requested(_, "signal") if f"!{item.seq}" not in answered:
                    yield replace(item.event, at=now)
                case e.VoteCast(_, path) | e.ApprovalDelegated(_, path) if path in asked:
                    yield replace(item.event, at=now, path=asked[path])
                case e.ChildEnded() if item.event in self.ends:
                    yield replace(item.event, at=now)
                case _:
                    pass

    def attempts(self, now: int) -> Iterator[Fact]:
        """What unfinished steps had recorded, and what nobody knows of them."""
        for path, recorded in self._calls.items():
            for key, call in recorded.items():
                if key in self._lasting.get(path, ()):
                    yield e.CallStarted(now, path, 1, key)
                yield replace(call, at=now, attempt=1)
        for path, key in self.unknown:
            yield e.CallStarted(now, path, 1, key) if key else e.StepStarted(now, path, 1)
        for path in dict.fromkeys(path for path, _ in self.unknown):
            yield e.AttemptLost(now, path, 1, "parked")

    def paused(self, driver: Driver, now: int) -> Iterator[Fact]:
        """What keeps the run paused, and nothing under way meanwhile; the run itself is as far as it comes."""
        for pause in self.pauses:
            if isinstance(pause, e.LimitReached):
                there = _is_open(driver, pause.path)
                yield replace(pause, at=now, path=pause.path if there else "", attempt=int(there))
            else:
                yield replace(pause, at=now)
        for path in list(driver.state.frames):
            if _is_open(driver, path):
                yield e.AttemptLost(now, path, 1, "interrupted", now, began=False)

    def used(self, events: Sequence[Event]) -> str:
        """What counts as used when the run begins anew, as JSON; `events` tell some of it again."""
        counts = dict(self.usage.counts)
        for event in events:
            for name, amount in spent(event) if isinstance(event, _AGAIN) else ():
                counts[name] = max(0, counts.get(name, 0) - amount)
        view, begun = view_of(list(self.line)), [path for path in self.usage.first if path in self._begun]
        told = {name: getattr(view, name) for name in TOLD}
        return json.dumps([_some(counts), begun, _some(told)])

    def homeless(self, driver: Driver, taken: Sequence[str], given: dict[str, str]) -> list[str]:
        """What was done and cannot be taken back, or was undone, and of which the new version would not know.

        `given` are the paths of results by those that they had.
        """
        frames: Any = driver.state.frames
        unknown = [path for path, key in self.unknown if not _knows(frames.get(path), key)]
        lost = [path for path in self.done if path in given and given[path] not in taken]
        undone = [
            path for path, stands in self.own.items() if not stands and path in given and path not in self._called
        ]
        calls = [path for path, keys in self._lasting.items() if keys - _recorded(frames.get(path))]
        return list(dict.fromkeys((*unknown, *lost, *calls, *undone)))


def _some(counts: dict[str, float]) -> dict[str, float]:
    return {name: amount for name, amount in counts.items() if amount}


def _is_open(driver: Driver, path: str) -> bool:
    """Whether an attempt at this path is to run that nobody has begun."""
    frame = driver.state.frames.get(path)
    return isinstance(frame, CallFrame) and not isinstance(frame, StreamFrame) and frame.phase == OPEN


def _knows(frame: Any, key: str) -> bool:
    """Whether a step will not do again what it may have done, or may have let a call do."""
    return isinstance(frame, CallFrame) and (key in frame.intents if key else frame.phase == PARKED)


def _recorded(frame: Any) -> set[str]:
    """The keys of the calls that a step will be handed the results of."""
    return set(frame.recorded or ()) if isinstance(frame, CallFrame) else set()
