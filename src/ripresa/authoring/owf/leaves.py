"""Tasks that are done in one step: set, raise, switch, emit, calls and programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..step import Effect
from .jq import Template, is_true
from .problems import TaskFault
from .scope import Scope
from .tasks import Leaf
from .world import Performer


@dataclass(frozen=True)
class Set(Leaf):
    """Gives data."""

    data: Template
    kind = "set"

    def templates(self) -> list[Template]:
        """See `Body`."""
        return [self.data]

    async def work(self, data: Any, scope: Scope) -> Any:
        """See `Leaf`."""
        return self.data.value(data, scope)


@dataclass(frozen=True)
class Raise(Leaf):
    """Raises an error."""

    error: Template
    reference: str
    kind = "raise"

    def templates(self) -> list[Template]:
        """See `Body`."""
        return [self.error]

    async def work(self, data: Any, scope: Scope) -> Any:
        """See `Leaf`."""
        problem: dict[str, Any] = dict(self.error.value(data, scope))
        problem.setdefault("instance", self.reference)
        raise TaskFault(problem)


@dataclass(frozen=True)
class Case:
    """A case of a switch; without `when` it is the one for all that no other takes."""

    name: str
    when: Template | None
    then: str


@dataclass(frozen=True)
class Switch(Leaf):
    """Chooses what is next: the first case whose condition holds, else the one without a condition."""

    cases: tuple[Case, ...]
    kind = "switch"

    def templates(self) -> list[Template]:
        """See `Body`."""
        return [case.when for case in self.cases if case.when is not None]

    async def work(self, data: Any, scope: Scope) -> Any:
        """See `Leaf`."""
        held = (case for case in self.cases if case.when is not None and is_true(case.when.value(data, scope)))
        default = (case for case in self.cases if case.when is None)
        chosen = next(held, None) or next(default, None)
        if chosen is not None:
            scope.then = chosen.then
        return data


VERSION: Final = "1.0"
"""The version of CloudEvents."""


@dataclass(frozen=True)
class Emit(Leaf):
    """Gives a CloudEvent, and has it told to whoever listens; id and time come with the call."""

    event: Template
    publish: Performer
    kind = "emit"
    effect = "idempotent"

    def templates(self) -> list[Template]:
        """See `Body`."""
        return [self.event]

    async def work(self, data: Any, scope: Scope) -> Any:
        """See `Leaf`."""
        made: Mapping[str, Any] = self.event.value(data, scope)
        event = {"specversion": VERSION, **scope.values["event"], **made}
        await self.publish(event, data)
        return event


@dataclass(frozen=True)
class Perform(Leaf):
    """Has something done in the world: a call, a program."""

    does: str
    arguments: Template
    performer: Performer
    effect: Effect = "idempotent"  # pyright: ignore[reportIncompatibleVariableOverride]
    kind = "perform"

    def templates(self) -> list[Template]:
        """See `Body`."""
        return [self.arguments]

    async def work(self, data: Any, scope: Scope) -> Any:
        """See `Leaf`."""
        return await self.performer(self.arguments.value(data, scope), data)
