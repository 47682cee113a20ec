"""Tasks: what a document is made of, and how data flows through each of them, in steps that record what came of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Final, TypeVar

from ...core.names import NAME_SEPARATORS, check_name
from ...errors import StepError
from ..step import Effect, Options, Step
from .durations import Length, bound, in_seconds, templates
from .jq import Template, is_true
from .problems import Bad, fault_of
from .schemas import Schema
from .scope import Scope
from .world import World

T = TypeVar("T")

CONTINUE: Final = "continue"
NEXT: Final = ""
"""What a task itself says that is to go on with the next one, whatever its `then` says. No task has this name."""

EXIT: Final = "exit"
END: Final = "end"
DIRECTIVES: Final = (CONTINUE, EXIT, END)


@dataclass(frozen=True, slots=True)
class DataFlow:
    """What happens to data on its way into a task and out of it."""

    when: Template | None = None
    given: Schema | None = None
    taken: Template | None = None
    result: Template | None = None
    given_out: Schema | None = None
    export: Template | None = None
    exported: Schema | None = None

    def templates(self) -> list[Template]:
        """All that is evaluated."""
        return [part for part in (self.when, self.taken, self.result, self.export) if part is not None]

    @property
    def enters(self) -> bool:
        """Whether anything happens on the way in."""
        return self.when is not None or self.given is not None or self.taken is not None

    @property
    def leaves(self) -> bool:
        """Whether anything happens on the way out."""
        return self.result is not None or self.given_out is not None or self.export is not None

    def enter(self, raw: Any, scope: Scope) -> tuple[bool, Any]:
        """Whether the task is run, and its input. Raises `Bad`."""
        if self.when is not None and not is_true(self.when.value(raw, scope)):
            return False, raw
        if self.given is not None:
            self.given.check(raw, "the input")
        data = raw if self.taken is None else self.taken.value(raw, scope)
        scope.values["input"] = data
        return True, data

    def leave(self, found: Any, scope: Scope) -> dict[str, Any]:
        """The output of the task, and the context if it exports one. Raises `Bad`."""
        output = found if self.result is None else self.result.value(found, scope)
        if self.given_out is not None:
            self.given_out.check(output, "the output")
        if self.export is None:
            return {"output": output}
        scope.values["output"] = output
        context = self.export.value(output, scope)
        if self.exported is not None:
            self.exported.check(context, "what is exported")
        return {"output": output, "context": context}


class Body(ABC):  # noqa: B024 - one without more stands for a task that is wrong
    """What a task does beside passing data on."""

    kind: ClassVar[str] = ""
    effect: Effect = "pure"

    def templates(self) -> list[Template]:
        """All that is evaluated of it in the step of its task."""
        return []


class Leaf(Body):
    """A task that is done in one step."""

    @abstractmethod
    async def work(self, data: Any, scope: Scope) -> Any:
        """Do it; what comes of it. Raises `Bad`, or what a call raises."""


class Composite(Body):
    """A task of which the durable function does more than call a step."""

    def enter(self, data: Any, scope: Scope) -> dict[str, Any]:
        """What is evaluated before it begins. Raises `Bad`."""
        return {}

    @abstractmethod
    async def go(self, going: Any, task: Task, entered: Mapping[str, Any], names: Names) -> Left:
        """Do it: what comes of it, and whether the workflow ends with that."""


Names = dict[str, Any]
"""The variables of loops, handlers and the like around a task."""

Left = tuple[Any, str]
"""What a task or a list of tasks leaves: its output, and the directive that the flow goes on by."""


@dataclass(frozen=True, slots=True)
class Document:
    """What all tasks of a document share."""

    data: Mapping[str, Any]
    world: World
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Task:
    """One task: where it stands (`reference` is a JSON Pointer), what it does, and what happens next."""

    name: str
    reference: str
    definition: Mapping[str, Any]
    document: Document
    body: Body
    flow: DataFlow = field(default_factory=DataFlow)
    then: str = CONTINUE
    timeout: Length = 0
    stands_for: Task | None = None
    """The task that it extends, which is `$task` for it."""

    @cached_property
    def label(self) -> str:
        """Its name as a step may have it."""
        return "".join("-" if char in NAME_SEPARATORS or not char.isprintable() else char for char in self.name)

    @cached_property
    def mentions(self) -> frozenset[str]:
        """The variables that its expressions look at."""
        return mentioned(*self.flow.templates(), *self.body.templates(), *templates(self.timeout))

    @cached_property
    def step(self) -> Step[..., Any]:
        """The step that does all of it."""
        return Step[..., Any](self._done, Options(self.label, effect=self.body.effect))

    @cached_property
    def entering(self) -> Step[..., Any] | None:
        """The step that evaluates what has to be known before it begins, if anything has."""
        needed = self.flow.enters or bool(self.body.templates()) or not isinstance(self.timeout, int)
        return Step[..., Any](self._entered, Options(self.label, effect="pure")) if needed else None

    @cached_property
    def leaving(self) -> Step[..., Any] | None:
        """The step that makes its output of what came of it, if that is not the same."""
        return Step[..., Any](self._left, Options(f"{self.label}.output", effect="pure")) if self.flow.leaves else None

    def asking(self, what: str, ask: Callable[[Any, Scope], Any]) -> Asking:
        """A step that evaluates something of it meanwhile: `ask` is given a value and the variables."""

        async def asked(value: Any, about: dict[str, Any]) -> Any:
            try:
                return ask(value, self.scope(about, value))
            except Bad as bad:
                raise bad.at(self.reference) from bad.__cause__

        return Asking(Step[..., Any](asked, Options(f"{self.label}.{what}", effect="pure")), self.reference)

    def scope(self, about: Mapping[str, Any], raw: Any) -> Scope:
        """Its variables; `about` is what differs from run to run, `raw` its input as it comes."""
        given = dict(about)
        given["task"] = {"input": raw, **given.get("task", {})}
        seen = self.stands_for or self
        fixed = {
            "task": {"name": seen.name, "reference": seen.reference, "definition": seen.definition, **seen.definition},
            "workflow": {"definition": self.document.data},
        }
        return Scope(given, fixed, self.document.world, self.document.secrets)

    async def _done(self, value: Any, about: dict[str, Any]) -> Any:
        assert isinstance(self.body, Leaf)
        scope = self.scope(about, value)
        try:
            runs, data = self.flow.enter(value, scope)
            if not runs:
                return {"output": value, "skipped": True}
            found = await self._bounded(data, scope, self.body)
            scope.values["task"]["output"] = found
            left = self.flow.leave(found, scope)
        except Bad as bad:
            raise bad.at(self.reference) from bad.__cause__
        except StepError as error:
            if error.unknown:  # the document has its own way to go on, nobody is to be asked
                raise fault_of(error, self.reference) from error
            raise
        if scope.then:
            left["then"] = scope.then
        return left if self.wraps else left["output"]

    async def _bounded(self, data: Any, scope: Scope, body: Leaf) -> Any:
        """What comes of its work, within its timeout."""
        limit = bound(self.timeout, data, scope)
        work = body.work(data, scope)
        return await (self.document.world.within(in_seconds(limit), work) if limit else work)

    async def _entered(self, value: Any, about: dict[str, Any]) -> Any:
        assert isinstance(self.body, Composite)
        scope = self.scope(about, value)
        try:
            runs, data = self.flow.enter(value, scope)
            if not runs:
                return {"skipped": True}
            limit = {} if isinstance(self.timeout, int) else {"timeout": bound(self.timeout, data, scope)}
            return {"input": data, **limit, **self.body.enter(data, scope)}
        except Bad as bad:
            raise bad.at(self.reference) from bad.__cause__

    async def _left(self, value: Any, about: dict[str, Any]) -> Any:
        scope = self.scope(about, None)
        scope.values["task"]["output"] = value
        try:
            return self.flow.leave(value, scope)
        except Bad as bad:
            raise bad.at(self.reference) from bad.__cause__

    @property
    def wraps(self) -> bool:
        """Whether its step returns more than its output: whether it was run, what it exports, where it leads."""
        return self.flow.when is not None or self.flow.export is not None or self.body.kind == "switch"


@dataclass(frozen=True, slots=True)
class Asking:
    """A step that evaluates something of the task at a place."""

    step: Step[..., Any]
    reference: str


def mentioned(*templates: Template) -> frozenset[str]:
    """The variables that templates look at."""
    return frozenset(name for part in templates for each in part.expressions() for name in each.names)


@dataclass(frozen=True, slots=True)
class Block:
    """Tasks in their order, each known by its name."""

    tasks: tuple[Task, ...]

    def position(self, name: str) -> int:
        """Where the task of this name stands."""
        return next(index for index, task in enumerate(self.tasks) if task.name == name)


def called_as(body: Coroutine[Any, Any, T], name: str) -> Coroutine[Any, Any, T]:
    """A coroutine under the name that what it does has in paths."""
    named: Any = body
    named.__name__ = "".join(char if check_name(char, "") is None else "-" for char in name)
    return body
