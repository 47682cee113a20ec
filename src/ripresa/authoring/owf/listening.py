"""Tasks that listen: they take the events that reach a run, as far as these are what they listen for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from .inbox import Seat
from .jq import Computed, Plain, Template, is_true
from .problems import Bad
from .scope import Scope
from .tasks import CONTINUE, END, Block, Composite, DataFlow, Left, Names, Task, mentioned

if TYPE_CHECKING:
    from .going import Going

_ALONE: Final = re.compile(r"(?:\$\w+(?:\.\w+)*|true|false|null|and|or|[\s()\d=<>!])*")
"""A condition of variables and values, which looks at no events: they need not be recorded for it."""

_PATTERN: Final = re.compile(r"[*+?\[\](){}|^$\\]")


@dataclass(frozen=True)
class Correlation:
    """What of an event has to be the same: as expected, or as it was in the first event."""

    name: str
    source: Template
    expected: Template | None


@dataclass(frozen=True)
class Filter:
    """Which events are meant: by their attributes, and by what they have in common."""

    attributes: Mapping[str, Template]
    correlations: tuple[Correlation, ...] = ()

    def templates(self) -> list[Template]:
        """All that is evaluated."""
        parts = [part for each in self.correlations for part in (each.source, each.expected) if part is not None]
        return [*self.attributes.values(), *parts]

    def takes(self, event: Mapping[str, Any], scope: Scope, keys: dict[str, Any]) -> bool:
        """Whether it means this event; what has to be the same from now on is added to `keys`."""
        try:
            if not all(_fits(part, event.get(name), scope) for name, part in self.attributes.items()):
                return False
            found = {each.name: each.source.value(event, scope) for each in self.correlations}
            for each in self.correlations:
                expected = keys.get(each.name) if each.expected is None else each.expected.value(event, scope)
                if (each.expected is not None or each.name in keys) and expected != found[each.name]:
                    return False
        except Bad:
            return False  # an event of another form
        keys.update(found)
        return True


def _fits(wanted: Template, value: Any, scope: Scope) -> bool:
    """Whether an attribute is as it has to be: a condition on it, its value, or a pattern for it."""
    if isinstance(wanted, Computed):
        found = wanted.value(value, scope)
        return found if isinstance(found, bool) else bool(found == value)
    if isinstance(wanted, Plain) and isinstance(wanted.data, str) and isinstance(value, str):
        return wanted.data == value or bool(_PATTERN.search(wanted.data) and re.fullmatch(wanted.data, value))
    return bool(wanted.value(value, scope) == value)


@dataclass(frozen=True)
class Strategy:
    """How many events of which filters are waited for: `one`, `any` or `all`; `any` may go on until something."""

    mode: str
    filters: tuple[Filter, ...]
    until: Template | Strategy | None = None

    def templates(self) -> list[Template]:
        """All that is evaluated about an event."""
        more = self.until.templates() if isinstance(self.until, Strategy) else []
        return [*(part for each in self.filters for part in each.templates()), *more]

    def heard(self, event: Mapping[str, Any], done: list[int], scope: Scope, keys: dict[str, Any]) -> int | None:
        """The number of the filter that takes an event, None if none does."""
        if not self.filters:
            return 0
        open_ones = [each for each in range(len(self.filters)) if self.mode != "all" or each not in done]
        return next((each for each in open_ones if self.filters[each].takes(event, scope, keys)), None)

    def is_done(self, done: list[int]) -> bool:
        """Whether that is enough."""
        return len(done) >= len(self.filters) if self.mode == "all" else bool(done)


@dataclass
class Heard:
    """What was heard so far: the filters that took an event, those of `until`, and what has to be the same."""

    done: list[int] = field(default_factory=list[int])
    until: list[int] = field(default_factory=list[int])
    keys: dict[str, Any] = field(default_factory=dict[str, Any])

    def with_(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """What is asked about an event."""
        return {"event": event, "done": self.done, "until": self.until, "keys": self.keys}


@dataclass(frozen=True)
class Each:
    """What is done with every event."""

    item: str = "item"
    at: str = "index"
    block: Block | None = None
    flow: DataFlow = field(default_factory=DataFlow)


@dataclass(frozen=True)
class Listen(Composite):
    """Listens for events; its output is the list of those that it took."""

    strategy: Strategy
    read: str = "data"
    each: Each | None = None
    kind = "listen"

    async def go(self, going: Going, task: Task, entered: Mapping[str, Any], names: Names) -> Left:
        """See `Composite`."""
        heard, results = Heard(), list[Any]()
        with going.inbox.seat() as seat:
            while True:
                event = await self._next(going, seat, task, heard, names)
                if event is None:
                    return results, CONTINUE
                value, then = await self._taken(going, task, event, len(results), names)
                results.append(value)
                if then == END:
                    return results, END
                if await self._is_over(going, task, results, heard, names):
                    return results, CONTINUE

    async def _next(self, going: Going, seat: Seat, task: Task, heard: Heard, names: Names) -> Mapping[str, Any] | None:
        """The next event that it takes; None when it has heard what ends it."""
        while True:
            event = await seat.next()
            asking = task.asking("event", self._judged)
            found = await going.asked(asking, heard.with_(event), names, mentioned(*self.strategy.templates()))
            if found["until"] is not None or found["taken"] is not None:
                seat.take(event)
            if found["until"] is not None:
                heard.until, heard.keys = [*heard.until, found["until"]], found["keys"]
                if isinstance(self.strategy.until, Strategy) and self.strategy.until.is_done(heard.until):
                    return None
            elif found["taken"] is not None:
                heard.done, heard.keys = [*heard.done, found["taken"]], found["keys"]
                return event

    def _judged(self, asked: dict[str, Any], scope: Scope) -> dict[str, Any]:
        """Which filter takes an event, of `until` or of its own."""
        event, keys, until = asked["event"], dict(asked["keys"]), self.strategy.until
        ends = until.heard(event, asked["until"], scope, keys) if isinstance(until, Strategy) else None
        taken = None if ends is not None else self.strategy.heard(event, asked["done"], scope, keys)
        return {"taken": taken, "until": ends, "keys": keys}

    async def _taken(self, going: Going, task: Task, event: Mapping[str, Any], index: int, names: Names) -> Left:
        """What becomes of an event."""
        value: Any = event if self.read == "envelope" else event.get("data")
        if self.each is None:
            return value, CONTINUE
        inside = {**names, self.each.item: value, self.each.at: index}
        then = CONTINUE
        if self.each.block is not None:
            value, then = await going.tasks(self.each.block, value, inside)
        flow = self.each.flow
        if then == END or not flow.leaves:
            return value, then
        left = await going.asked(task.asking("item", flow.leave), value, inside, mentioned(*flow.templates()))
        if "context" in left:
            going.context = left["context"]
        return left["output"], then

    async def _is_over(self, going: Going, task: Task, results: list[Any], heard: Heard, names: Names) -> bool:
        until = self.strategy.until
        if until is None:
            return self.strategy.is_done(heard.done)
        if isinstance(until, Strategy):
            return False
        asking = task.asking("until", lambda data, scope: is_true(until.value(data, scope)))
        alone = all(_ALONE.fullmatch(each.text) for each in until.expressions())
        return bool(await going.asked(asking, None if alone else list(results), names, mentioned(until)))
