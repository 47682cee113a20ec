"""Extensions: tasks that are done before and after others, as `use.extensions` says of which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ..document.source import Path
from .jq import Template, is_true
from .problems import Bad
from .scope import ENTERING, Scope
from .tasks import END, EXIT, Block, Composite, Left, Names, Task, mentioned

if TYPE_CHECKING:
    from .going import Going
    from .reading import Reader

COMPOSITES: Final = ("do", "fork")
EXTENDED: Final = ("all", "call", "composite", "emit", "for", "listen", "raise", "run", "set", "switch", "try", "wait")
"""What can be extended: kinds of tasks, those that hold others, or all."""


@dataclass(frozen=True)
class Extended(Composite):
    """A task with what is done before and after it; what these leave is dropped, unless `exit` stands in for it."""

    task: Task
    when: Template | None
    before: Block
    after: Block
    kind = "extended"

    async def go(self, going: Going, task: Task, entered: Mapping[str, Any], names: Names) -> Left:
        """See `Composite`; the directive is that of the task."""
        value = entered["input"]
        if not await self._applies(going, value, names):
            return await going.task(self.task, value, names)
        found, then = await going.walk(self.before, value, names)
        if then in (EXIT, END):
            return found, END if then == END else self.task.then
        found, way = await going.task(self.task, value, names)
        if way == END:
            return found, END
        _, then = await going.walk(self.after, found, names)
        return found, END if then == END else way

    async def _applies(self, going: Going, value: Any, names: Names) -> bool:
        when = self.when
        if when is None:
            return True
        asking = self.task.asking("extends", lambda data, scope: _holds(when, data, scope))
        return bool(await going.asked(asking, value, names, mentioned(when)))


def _holds(when: Template, data: Any, scope: Scope) -> bool:
    """Whether a condition holds; it does not for a task of another form than it looks for."""
    try:
        return is_true(when.value(data, scope))
    except Bad:
        return False


def extended(reader: Reader, task: Task, kind: str) -> Task:
    """A task with the extensions that are for it around it, the first outermost."""
    for extension in reversed(extensions(reader)):
        if extension.extends(kind):
            around = extension.around(task)
            task = Task(task.name, task.reference, task.definition, task.document, around, then=task.then)
    return task


def extensions(reader: Reader) -> list[Extension]:
    """All extensions of the document."""
    listed = reader.named(reader.use.get("extensions", []), ("use", "extensions"), "/use/extensions")
    return [Extension(reader, reader.object(data, path), path, reference) for _, data, path, reference in listed]


@dataclass(frozen=True)
class Extension:
    """An extension, as the document has it."""

    reader: Reader
    data: Mapping[str, Any]
    path: Path
    reference: str

    def extends(self, kind: str) -> bool:
        """Whether it is for tasks of this kind."""
        meant = self.data.get("extend", "all")
        return meant in ("all", kind) or (meant == "composite" and kind in COMPOSITES)

    def around(self, task: Task) -> Extended:
        """What is done before and after a task."""
        reader, data, path = self.reader, self.data, self.path
        reader.keys(data, path, ("extend", "when", "before", "after"), "extend")
        reader.choice(data.get("extend", "all"), (*path, "extend"), EXTENDED)
        with reader.standing_for(task):
            return Extended(
                task,
                reader.whole(data.get("when"), (*path, "when"), ENTERING),
                reader.block(data.get("before", []), (*path, "before"), f"{self.reference}/before", frozenset()),
                reader.block(data.get("after", []), (*path, "after"), f"{self.reference}/after", frozenset()),
            )


def without(task: Task) -> Task:
    """The task inside its extensions."""
    while isinstance(task.body, Extended):
        task = task.body.task
    return task
