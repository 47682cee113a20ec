"""Goes through a document in a run: from task to task, as the flow directives say, with the data that flows.

Law: it evaluates nothing and does nothing itself. It decides by what steps returned, so that replay decides the same.
"""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final

from ...core.durations import MICROSECONDS
from ...function_context import Context
from ..step import Options, Step
from .durations import Length, bound
from .extensions import Extended
from .inbox import Inbox
from .problems import Bad, fault, fault_of
from .scope import moment
from .tasks import (
    CONTINUE,
    END,
    EXIT,
    NEXT,
    Asking,
    Block,
    Body,
    Composite,
    DataFlow,
    Document,
    Left,
    Names,
    Task,
    called_as,
    mentioned,
)

ROOT: Final = "/"


@dataclass(frozen=True)
class Plan:
    """A document as it is gone through; `timeout` is 0 for none.

    `start` listens for the events that start it, which are its input if it is given none.
    """

    document: Document
    block: Block
    flow: DataFlow
    timeout: Length = 0
    start: Task | None = None


class Going:
    """One run of a document."""

    def __init__(self, ctx: Context[Any], plan: Plan, raw: Any) -> None:
        self.ctx = ctx
        self.plan = plan
        self.raw = raw
        self.began = ctx.now()
        self.context: Any = None
        self.inbox = Inbox(ctx)
        self.functions: dict[str, str] = {}
        """The texts of functions that are kept elsewhere, as this run was given them."""

    async def whole(self) -> Any:
        """The output of the workflow. Raises `TaskFault`."""
        if self.plan.start is not None and self.raw is None:
            self.raw, _ = await self.task(self.plan.start, None, {})
            self.began = self.ctx.now()
        limit = await self._limit()
        return (await self.bounded(self._whole(), limit, ROOT))[0]

    async def _limit(self) -> int:
        """How long the workflow may take, 0 for as long as it does."""
        length = self.plan.timeout
        if isinstance(length, int):
            return length
        task = Task("workflow", ROOT, {}, self.plan.document, Body())
        asking = task.asking("timeout", lambda data, scope: bound(length, data, scope))
        return int(await self.asked(asking, self.raw, {}, mentioned(length)))

    async def _whole(self) -> Left:
        flow = self.plan.flow
        data = self.raw
        if flow.enters:
            data = await self._flow("input", DataFlow(given=flow.given, taken=flow.taken), data)
        self.context = data
        found, _ = await self.tasks(self.plan.block, data, {})
        if flow.leaves:
            found = await self._flow("output", DataFlow(taken=flow.result, given_out=flow.given_out), found)
        return found, END

    async def _flow(self, what: str, flow: DataFlow, value: Any) -> Any:
        """What the input or output of the workflow becomes."""
        document = self.plan.document
        task = Task(what, ROOT, {}, document, Body(), flow)

        async def flowed(value: Any, about: dict[str, Any]) -> Any:
            scope = task.scope(about, value)
            try:
                return flow.leave(flow.enter(value, scope)[1], scope)["output"]
            except Bad as bad:
                raise bad.at(f"/{what}") from bad.__cause__

        step = Step[..., Any](flowed, Options(what, effect="pure"))
        return await self.called(step, value, self.about(mentioned(*flow.templates()), {}), f"/{what}")

    # --- lists of tasks

    async def tasks(self, block: Block, value: Any, names: Names) -> Left:
        """Go through tasks: the output of the last, and `end` if the workflow ends with it."""
        value, then = await self.walk(block, value, names)
        return value, END if then == END else CONTINUE

    async def walk(self, block: Block, value: Any, names: Names) -> Left:
        """The same; `exit` if that is what a task said."""
        place = 0
        while place < len(block.tasks):
            value, then = await self.task(block.tasks[place], value, names)
            if then in (END, EXIT):
                return value, then
            place = place + 1 if then == CONTINUE else block.position(then)
        return value, CONTINUE

    async def task(self, task: Task, value: Any, names: Names) -> Left:
        """Do one task: its output, and what is next."""
        if not isinstance(task.body, Composite):
            about = self.about(task.mentions, names)
            if task.body.kind == "emit":
                about["event"] = {"id": str(self.ctx.uuid()), "time": moment(self.ctx.now())["iso8601"]}
            found = await self.called(task.step, value, about, task.reference)
            return self._taken(task, found) if task.wraps else (found, task.then)
        entered: dict[str, Any] = {"input": value}
        if isinstance(task.body, Extended):
            return await task.body.go(self, task, entered, names)
        if task.entering is not None:
            entered = await self.called(task.entering, value, self.about(task.mentions, names), task.reference)
            if entered.get("skipped"):
                return value, CONTINUE
        limit = task.timeout if isinstance(task.timeout, int) else entered["timeout"]
        found, then = await self.bounded(task.body.go(self, task, entered, names), limit, task.reference)
        if then == END:
            return found, END
        way = {CONTINUE: task.then, NEXT: CONTINUE}.get(then, then)
        if task.leaving is None:
            return found, way
        about = {**self.about(mentioned(*task.flow.templates()), names), "input": entered["input"]}
        return self._taken(task, await self.called(task.leaving, found, about, task.reference))[0], way

    def _taken(self, task: Task, found: dict[str, Any]) -> Left:
        if "context" in found:
            self.context = found["context"]
        return found["output"], CONTINUE if found.get("skipped") else found.get("then", task.then)

    # --- parts of tasks

    async def called(self, step: Step[..., Any], value: Any, about: dict[str, Any], reference: str) -> Any:
        """What a step returns. Raises `TaskFault`, with what the journal recorded of the step's failure."""
        return await self.awaited(step(value, about), reference)

    async def awaited(self, call: Any, reference: str) -> Any:
        """The same of any call."""
        try:
            return await call
        except Exception as error:  # whatever a call failed of is the fault of its task
            raise fault_of(error, reference) from error

    async def asked(self, asking: Asking, value: Any, names: Names, mentions: frozenset[str]) -> Any:
        """What a task evaluates meanwhile of a value and the variables that are looked at."""
        return await self.called(asking.step, value, self.about(mentions, names), asking.reference)

    def about(self, mentions: frozenset[str], names: Names) -> dict[str, Any]:
        """The values of the variables that are looked at."""
        about = {name: value for name, value in names.items() if name in mentions}
        if "context" in mentions:
            about["context"] = self.context
        if "workflow" in mentions:
            about["workflow"] = {"id": self.ctx.run, "input": self.raw, "startedAt": moment(self.began)}
        if "task" in mentions:
            about["task"] = {"startedAt": moment(self.ctx.now())}
        return about

    async def bounded(self, body: Coroutine[Any, Any, Left], length: int, reference: str) -> Left:
        """The same, within so many microseconds (0: without a bound). Raises `TaskFault` of the type `timeout`."""
        if not length:
            return await body
        name = reference.rpartition("/")[2] or "workflow"
        found = await self.ctx.race(called_as(_marked(body), name), called_as(self._late(length), f"{name}.timeout"))
        if found is None:
            raise fault("timeout", reference, f"it took longer than {length / MICROSECONDS:g} s")
        return found[0], found[1]

    async def _late(self, length: int) -> None:
        await self.ctx.sleep(length / MICROSECONDS)


async def _marked(body: Coroutine[Any, Any, Left]) -> Left | None:
    return await body
