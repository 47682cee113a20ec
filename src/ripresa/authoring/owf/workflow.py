"""The workflow that an Open Workflow document is: a durable function that goes through its tasks."""

from __future__ import annotations

from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import to_json

from ...core.names import check_name
from ...function_context import Context
from ..document.flow import DocumentFlow, Terms, built_as
from ..document.source import Document as Source
from ..function import Workflow
from .composites import Do, For, Fork, Function
from .drawing import drawn
from .extensions import Extended
from .going import Going, Plan
from .leaves import Perform, Switch
from .listening import Listen
from .reading import is_open_workflow, plan_of
from .tasks import Block, Composite, Task
from .trying import Try
from .world import World

if TYPE_CHECKING:
    from ..draw import Ends, Picture

__all__ = ["OpenWorkflow", "is_open_workflow", "open_workflow_of"]


NAMED: Final = "named"
"""What runs side by side stands under the names of tasks; runs that began before that are not taken up."""


class OpenWorkflow(Workflow[[Any], Any]):
    """The durable function that goes through a document."""

    def __init__(self, plan: Plan, name: str, version: str) -> None:
        self.plan = plan

        async def run(ctx: Context[Any], input: Any = None) -> Any:
            return await Going(ctx, plan, input).whole()

        super().__init__(run, name, version)

    def drawn(self, picture: Picture, frame: str | None) -> Ends:
        """Its tasks, in a picture of the workflow that it is a part of."""
        return drawn(picture, self.plan.block, frame, self.name)


def open_workflow_of(source: Source, world: World) -> DocumentFlow:
    """The workflow of a document. Raises `InvalidWorkflow` with everything that is wrong with it.

    Its name is `namespace.name`; its version is that of the document with a digest of its structure behind it.
    """
    plan = plan_of(source, world)
    head = source.data["document"]
    name = "".join(char if check_name(char, "") is None else "-" for char in f"{head['namespace']}.{head['name']}")
    version = f"{head['version']}+{digest(plan.block, timed=bool(plan.timeout))}"
    said: dict[str, Any] = source.data.get("schedule") or {}
    scheduled = next((name for name in ("every", "cron", "after") if name in said), "")
    terms = Terms(title=str(head.get("title", "")), description=str(head.get("summary", "")), scheduled=scheduled)
    return DocumentFlow(partial(built_as, OpenWorkflow(plan, name, version)), terms, name=name, version=version)


def digest(block: Block, *, timed: bool = False) -> str:
    """What identifies the structure: names and kinds of tasks, the ways between them, what is named after a task."""
    whole = structure(block)
    return sha256(to_json([*whole, NAMED] if timed else whole)).hexdigest()[:12]


def structure(block: Block) -> list[Any]:
    """The structure of a list of tasks, as plain data."""
    return [_of_task(task) for task in block.tasks]


def _of_task(task: Task) -> list[Any]:
    ways = [case.then for case in task.body.cases] if isinstance(task.body, Switch) else []
    if isinstance(task.body, Try) and task.body.catch.then is not None:
        ways = [task.body.catch.then]
    kind = task.body.does if isinstance(task.body, Perform) else task.body.kind
    named = [NAMED] if isinstance(task.body, Fork) or (task.timeout and isinstance(task.body, Composite)) else []
    return [task.name, kind, task.then, ways, [structure(block) for block in blocks(task)], *named]


def blocks(task: Task) -> list[Block]:
    """The lists of tasks inside a task."""
    match task.body:
        case Extended(task=inner, before=before, after=after):
            return [Block((inner,)), before, after]
        case Do(block=block) | For(block=block):
            return [block]
        case Try(block=block, catch=catch):
            return [block] if catch.block is None else [block, catch.block]
        case Fork(branches=branches):
            return [Block((branch,)) for branch in branches]
        case Listen(each=each) if each is not None and each.block is not None:
            return [each.block]
        case Function(task=inner):
            return [Block((inner,))]
        case _:
            return []
