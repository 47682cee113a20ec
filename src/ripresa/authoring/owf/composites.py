"""Tasks that hold others or wait: do, for, fork, wait, functions, other workflows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...core.durations import MICROSECONDS
from .durations import Length, evaluated
from .jq import Template, is_true
from .problems import Bad
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

    length: Length
    kind = "wait"

    def templates(self) -> list[Template]:
        """See `Body`."""
        return [] if isinstance(self.length, int) else [self.length]

    def enter(self, data: Any, scope: Scope) -> dict[str, Any]:
        """See `Composite`."""
        return {} if isinstance(self.length, int) else {"length": evaluated(self.length, data, scope)}

    async def go(self, going: Going, task: Task, entered: Mapping[str, Any], names: Names) -> Left:
        """See `Composite`."""
        length = self.length if isinstance(self.length, int) else entered["length"]
        await going.ctx.sleep(length / MICROSECONDS)
        return entered["input"], CONTINUE


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
    drops: bool = False
    """Whether its output is left out."""

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
            found = await going.awaited(call, task.reference)
            return None if self.drops else found, CONTINUE
        await going.awaited(going.ctx.start(call), task.reference)
        return entered["input"], CONTINUE
