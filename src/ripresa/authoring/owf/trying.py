"""Tasks that may fail: which errors are caught, how often tasks are tried again, and what is done about the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ...core.durations import MICROSECONDS
from .durations import Length, bound, evaluated, templates
from .jq import Names as Variables
from .jq import Template, is_true
from .problems import Bad, TaskFault, matches
from .scope import Scope
from .tasks import CONTINUE, END, NEXT, Block, Composite, Left, Names, Task, mentioned

if TYPE_CHECKING:
    from .going import Going


class Terms(NamedTuple):
    """How long to wait before another try, and how many there are; lengths are in microseconds, 0 for none."""

    delay: int
    least: int
    most: int
    tries: int | None
    whole: int


@dataclass(frozen=True)
class Again:
    """How often tasks are tried again, and when. `least` and `most` are those of what is added by chance."""

    delay: Length = 0
    backoff: str = "constant"
    least: Length = 0
    most: Length = 0
    count: int | Template | None = None
    each: Length = 0
    all: Length = 0
    when: Template | None = None
    unless: Template | None = None

    def templates(self) -> list[Template]:
        """All that is evaluated of it about an error."""
        parts = (self.count, self.when, self.unless)
        lengths = templates(self.delay, self.least, self.most, self.all)
        return [*(part for part in parts if isinstance(part, Template)), *lengths]

    @property
    def varies(self) -> bool:
        """Whether its terms are evaluated."""
        return isinstance(self.count, Template) or bool(templates(self.delay, self.least, self.most, self.all))

    def terms(self, data: Any, variables: Variables) -> Terms:
        """What it comes to. Raises `Bad(expression)`."""
        delay, least, most, whole = (
            evaluated(each, data, variables) for each in (self.delay, self.least, self.most, self.all)
        )
        count = self.count.value(data, variables) if isinstance(self.count, Template) else self.count
        if count is not None and (type(count) is not int or count < 0):
            raise Bad("expression", f"limit.attempt.count gives {count!r}, which is no whole number from 0")
        if least > most:
            raise Bad("expression", "the jitter begins after its end")
        return Terms(delay, least, most, count, whole)

    def length(self, delay: int, tries: int) -> int:
        """How long to wait before try number `tries`, counted from 1."""
        if self.backoff == "exponential":
            return delay << min(tries - 1, 30)
        return delay * tries if self.backoff == "linear" else delay


@dataclass(frozen=True)
class Catch:
    """Which errors are caught, under which name, what is done about them, and what is next."""

    wanted: Template
    name: str = "error"
    when: Template | None = None
    unless: Template | None = None
    again: Again | None = None
    block: Block | None = None
    then: str | None = None

    def conditions(self) -> list[Template]:
        """All that is evaluated about an error."""
        again = self.again.templates() if self.again is not None else []
        return [part for part in (self.wanted, self.when, self.unless, *again) if part is not None]

    def judged(self, data: Any, variables: Variables) -> dict[str, Any]:
        """Whether the error is caught, whether it may be tried again, and the terms of that if they vary."""
        wanted: dict[str, Any] = self.wanted.value(data, variables)
        caught = matches(variables(self.name), wanted) and _holds(self.when, self.unless, data, variables)
        policy = self.again
        again = policy is not None and _holds(policy.when, policy.unless, data, variables)
        found: dict[str, Any] = {"caught": caught, "again": again}
        if policy is not None and policy.varies and caught and again:
            found["terms"] = list(policy.terms(data, variables))
        return found

    @property
    def ends(self) -> bool:
        """Whether it says what becomes of an error that is not tried again."""
        return self.block is not None or self.then is not None or self.again is None


def _holds(when: Template | None, unless: Template | None, data: Any, variables: Variables) -> bool:
    wanted = when is None or is_true(when.value(data, variables))
    return wanted and not (unless is not None and is_true(unless.value(data, variables)))


@dataclass(frozen=True)
class Try(Composite):
    """Goes through tasks; an error that is caught is tried again, handled, or passed over."""

    block: Block
    catch: Catch
    kind = "try"

    def templates(self) -> list[Template]:
        """See `Body`."""
        return templates(self._each)

    def enter(self, data: Any, scope: Scope) -> dict[str, Any]:
        """See `Composite`."""
        return {} if isinstance(self._each, int) else {"each": bound(self._each, data, scope)}

    @property
    def _each(self) -> Length:
        """How long a try may take."""
        return self.catch.again.each if self.catch.again is not None else 0

    async def go(self, going: Going, task: Task, entered: Mapping[str, Any], names: Names) -> Left:
        """See `Composite`."""
        data, tries, began = entered["input"], 0, going.ctx.now()
        each = self._each if isinstance(self._each, int) else entered["each"]
        while True:
            try:
                return await going.bounded(going.tasks(self.block, data, names), each, task.reference)
            except TaskFault as error:
                inside = {**names, self.catch.name: error.problem}
                judged = await self._judged(going, task, data, inside)
                if not judged["caught"]:
                    raise
                tries += 1
                spent = (going.ctx.now() - began).total_seconds()
                wait = self._wait(going, judged, tries, spent) if judged["again"] else None
                if wait is None and not self.catch.ends:
                    raise
            if wait is None:
                return await self._handled(going, data, inside)
            if wait:
                await going.ctx.sleep(wait / MICROSECONDS)

    async def _judged(self, going: Going, task: Task, data: Any, names: Names) -> dict[str, Any]:
        conditions = self.catch.conditions()
        if not any(part.expressions() for part in conditions):
            return self.catch.judged(data, names.__getitem__)
        mentions = mentioned(*conditions) | {self.catch.name}
        found: dict[str, Any] = await going.asked(task.asking("catch", self.catch.judged), data, names, mentions)
        return found

    def _wait(self, going: Going, judged: Mapping[str, Any], tries: int, spent: float) -> int | None:
        """How long to wait before the next try, None if there is none."""
        again = self.catch.again
        assert again is not None
        found = judged.get("terms")
        terms = Terms(*found) if found is not None else again.terms(None, str)
        if terms.tries is not None and tries > terms.tries:
            return None
        chance = going.ctx.random.randint(terms.least, terms.most) if terms.most else 0
        wait = again.length(terms.delay, tries) + chance
        return None if terms.whole and spent * MICROSECONDS + wait > terms.whole else wait

    async def _handled(self, going: Going, data: Any, names: Names) -> Left:
        value, then = (data, CONTINUE) if self.catch.block is None else await going.tasks(self.catch.block, data, names)
        if then == END or self.catch.then is None:
            return value, then
        return value, NEXT if self.catch.then == CONTINUE else self.catch.then
