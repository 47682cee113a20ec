"""Tasks that hold others or wait: do, for, fork, try, wait, functions, other workflows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...core.durations import MICROSECONDS
from .durations import length_of
from .jq import Names as Variables
from .jq import Template, is_true
from .problems import Bad, TaskFault, matches
from .scope import Scope
from .tasks import CONTINUE, END, Block, Composite, Left, Names, Task, called_as, mentioned

if TYPE_CHECKING:
    from .going import Going


@dataclass(frozen=True)
class Do(Composite):
    """Goes through tasks."""

    block: Block
    kind = "do"

    async def go(self, going: Going, task: Task, entered: Mapping[str, Any], names: Names) -> Left:
        """See `Composite`."""
        return await going.tasks(self.block, entered["input"], names)


@dataclass(frozen=True)
class Wait(Composite):
    """Waits; the length is an expression or so many microseconds."""

    length: Template | int
    kind = "wait"

    def templates(self) -> list[Template]:
        """See `Body`."""
        return [] if isinstance(self.length, int) else [self.length]

    def enter(self, data: Any, scope: Scope) -> dict[str, Any]:
        """See `Composite`."""
        return {} if isinstance(self.length, int) else {"length": evaluated_length(self.length, data, scope)}

    async def go(self, going: Going, task: Task, entered: Mapping[str, Any], names: Names) -> Left:
        """See `Composite`."""
        length = self.length if isinstance(self.length, int) else entered["length"]
        await going.ctx.sleep(length / MICROSECONDS)
        return entered["input"], CONTINUE


def evaluated_length(template: Template, data: Any, scope: Scope) -> int:
    """A length of time that an expression gives. Raises `Bad(expression)`."""
    try:
        return length_of(template.value(data, scope))
    except ValueError as error:
        raise Bad("expression", f"the duration {error}") from error


@dataclass(frozen=True)
class For(Composite):
    """Goes through tasks for each item; what they leave is what the next round begins with."""

    each: str
    at: str
    items: Template
    condition: Template | None
    block: Block
    kind = "for"

    def templates(self) -> list[Template]:
        """See `Body`."""
        return [self.items]

    def enter(self, data: Any, scope: Scope) -> dict[str, Any]:
        """See `Composite`."""
        items = self.items.value(data, scope)
        if items is not None and not isinstance(items, list):
            raise Bad("expression", f"for.in gives {items!r}, which is no list")
        return {"items": items or []}

    async def go(self, going: Going, task: Task, entered: Mapping[str, Any], names: Names) -> Left:
        """See `Composite`."""
        value = entered["input"]
        for index, item in enumerate(entered["items"]):
            inside = {**names, self.each: item, self.at: index}
            if not await self._goes_on(going, task, value, inside):
                break
            value, then = await going.tasks(self.block, value, inside)
            if then == END:
                return value, END
        return value, CONTINUE

    async def _goes_on(self, going: Going, task: Task, value: Any, names: Names) -> bool:
        condition = self.condition
        if condition is None:
            return True
        step = task.asking("while", lambda data, scope: is_true(condition.value(data, scope)))
        return bool(await going.asked(step, value, names, mentioned(condition)))


@dataclass(frozen=True)
class Fork(Composite):
    """Does tasks side by side; if they compete the first to end is the one that counts."""

    branches: tuple[Task, ...]
    compete: bool
    kind = "fork"

    async def go(self, going: Going, task: Task, entered: Mapping[str, Any], names: Names) -> Left:
        """See `Composite`."""
        branches = [called_as(going.task(each, entered["input"], names), each.name) for each in self.branches]
        if self.compete:
            value, then = await going.ctx.race(*branches)
            return value, END if then == END else CONTINUE
        left = await going.ctx.gather(*branches)
        return [value for value, _ in left], END if any(then == END for _, then in left) else CONTINUE


@dataclass(frozen=True)
class Again:
    """How often tasks are tried again, and when. Lengths are in microseconds, 0 for none."""

    delay: int = 0
    backoff: str = "constant"
    jitter: tuple[int, int] = (0, 0)
    count: int | None = None
    each: int = 0
    all: int = 0
    when: Template | None = None
    unless: Template | None = None

    def length(self, tries: int) -> int:
        """How long to wait before try number `tries`, counted from 1."""
        if self.backoff == "exponential":
            return self.delay << min(tries - 1, 30)
        return self.delay * tries if self.backoff == "linear" else self.delay


@dataclass(frozen=True)
class Catch:
    """Which errors are caught, under which name, and what is done about them."""

    wanted: Template
    name: str = "error"
    when: Template | None = None
    unless: Template | None = None
    again: Again | None = None
    block: Block | None = None

    def conditions(self) -> list[Template]:
        """All that is evaluated about an error."""
        again = (self.again.when, self.again.unless) if self.again is not None else ()
        return [part for part in (self.wanted, self.when, self.unless, *again) if part is not None]

    def judged(self, data: Any, variables: Variables) -> dict[str, bool]:
        """Whether the error is caught, and whether it may be tried again."""
        wanted: dict[str, Any] = self.wanted.value(data, variables)
        caught = matches(variables(self.name), wanted) and _holds(self.when, self.unless, data, variables)
        again = self.again is not None and _holds(self.again.when, self.again.unless, data, variables)
        return {"caught": caught, "again": again}


def _holds(when: Template | None, unless: Template | None, data: Any, variables: Variables) -> bool:
    wanted = when is None or is_true(when.value(data, variables))
    return wanted and not (unless is not None and is_true(unless.value(data, variables)))


@dataclass(frozen=True)
class Try(Composite):
    """Goes through tasks; an error that is caught is tried again, handled, or passed over."""

    block: Block
    catch: Catch
    kind = "try"

    async def go(self, going: Going, task: Task, entered: Mapping[str, Any], names: Names) -> Left:
        """See `Composite`."""
        data, tries, began = entered["input"], 0, going.ctx.now()
        each = self.catch.again.each if self.catch.again is not None else 0
        while True:
            try:
                return await going.bounded(going.tasks(self.block, data, names), each, task.reference)
            except TaskFault as error:
                inside = {**names, self.catch.name: error.problem}
                judged = await self._judged(going, task, data, inside)
                if not judged["caught"]:
                    raise
                tries += 1
                wait = self._wait(going, tries, (going.ctx.now() - began).total_seconds()) if judged["again"] else None
                if wait is None and self.catch.block is None and self.catch.again is not None:
                    raise
            if wait is None:
                return await self._handled(going, data, inside)
            if wait:
                await going.ctx.sleep(wait / MICROSECONDS)

    async def _judged(self, going: Going, task: Task, data: Any, names: Names) -> dict[str, bool]:
        conditions = self.catch.conditions()
        if not any(part.expressions() for part in conditions):
            return self.catch.judged(data, names.__getitem__)
        mentions = mentioned(*conditions) | {self.catch.name}
        found: dict[str, bool] = await going.asked(task.asking("catch", self.catch.judged), data, names, mentions)
        return found

    def _wait(self, going: Going, tries: int, spent: float) -> int | None:
        """How long to wait before the next try, None if there is none."""
        again = self.catch.again
        assert again is not None
        if again.count is not None and tries > again.count:
            return None
        low, high = again.jitter
        wait = again.length(tries) + (going.ctx.random.randint(low, high) if high else 0)
        return None if again.all and spent * MICROSECONDS + wait > again.all else wait

    async def _handled(self, going: Going, data: Any, names: Names) -> Left:
        return (data, CONTINUE) if self.catch.block is None else await going.tasks(self.catch.block, data, names)


@dataclass(frozen=True)
class Function(Composite):
    """Calls a function of the document: a task, with arguments as its input."""

    arguments: Template
    task: Task
    kind = "call"

    def templates(self) -> list[Template]:
        """See `Body`."""
        return [self.arguments]

    def enter(self, data: Any, scope: Scope) -> dict[str, Any]:
        """See `Composite`."""
        return {"arguments": self.arguments.value(data, scope)}

    async def go(self, going: Going, task: Task, entered: Mapping[str, Any], names: Names) -> Left:
        """See `Composite`."""
        value, then = await going.task(self.task, entered["arguments"], {})
        return value, END if then == END else CONTINUE


@dataclass(frozen=True)
class RunWorkflow(Composite):
    """Runs another workflow: as a part of this run, or, if it is not waited for, as a run of its own."""

    find: Callable[[], Any]
    arguments: Template
    waits: bool
    kind = "run"

    def templates(self) -> list[Template]:
        """See `Body`."""
        return [self.arguments]

    def enter(self, data: Any, scope: Scope) -> dict[str, Any]:
        """See `Composite`."""
        return {"arguments": self.arguments.value(data, scope)}

    async def go(self, going: Going, task: Task, entered: Mapping[str, Any], names: Names) -> Left:
        """See `Composite`."""
        call = self.find()(entered["arguments"])
        if self.waits:
            return await going.awaited(call, task.reference), CONTINUE
        await going.awaited(going.ctx.start(call), task.reference)
        return entered["input"], CONTINUE
