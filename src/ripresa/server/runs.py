"""Workflows and runs as MCP tools: start, look into, wait for, signal, answer, cancel, resume."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final, cast, get_type_hints

from ..agents.tools import Tool, tool
from ..app import App
from ..approvals import OpenApproval
from ..authoring.encoding import adapter
from ..authoring.flow import Runnable
from ..authoring.function import Workflow
from ..authoring.parameters import Parameters
from ..authoring.single import Single
from ..cli.inputs import call_of
from ..cli.plain import approval_plain, failure_plain, head_plain, run_plain, value
from ..client import Handle
from ..core.events import Recorded
from ..core.lifecycle import TERMINAL
from ..errors import InvalidValue
from ..messages import Signal
from ..runtime.values import Values
from .desk import Request, ServedTool, served

MOST: Final = 200
LONGEST: Final = 3600.0
WAIT: Final = 30.0
"""Seconds that a call waits for the end of a run, unless it says how long."""

AS: Final = "mcp"
"""Who does what is asked for here, where nobody says who: a claim that is recorded."""

ABOUT_ID: Final = (
    "An id of your own for the run: with the same id and input a second call gives the same run and starts nothing."
)
ABOUT_WAIT: Final = "How many seconds to wait for its end; it goes on by itself all the same. 0: not at all."


@dataclass(frozen=True, slots=True)
class RunState:
    """How a run stands. `waiting_for` are the questions that people are asked in it."""

    run: str
    workflow: str
    status: str
    output: Any = None
    error: dict[str, Any] | None = None
    completed: int = 0
    total: int = 0
    current: list[str] = field(default_factory=list[str])
    waiting_for: list[str] = field(default_factory=list[str])
    left: bool = False
    """Whether nobody drives it though it has not ended: `resume_run` takes it up."""


@dataclass(frozen=True, slots=True)
class WorkflowsListed:
    """The workflows that can be started."""

    workflows: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class RunsListed:
    """Runs, newest first; `more` says that there are others after the last of them."""

    runs: list[dict[str, Any]]
    more: bool


@dataclass(frozen=True, slots=True)
class ApprovalsListed:
    """What people are asked."""

    approvals: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Done:
    """Whether it was done: False where it had been done before, or nobody drives the run who could take it up yet."""

    done: bool


class Runs:
    """The runs of an app, for clients of an MCP server."""

    def __init__(self, app: App, workflows: Iterable[Runnable[..., Any]]) -> None:
        self.app = app
        self.workflows = {tool_name(each): each for each in workflows}

    def tools(self) -> list[ServedTool]:
        """All tools: one for each workflow, and those about runs."""
        own: list[tuple[Callable[..., Any], str, bool]] = [
            (self.list_workflows, "read", False),
            (self.list_runs, "read", False),
            (self.inspect_run, "read", False),
            (self.wait_for_run, "read", True),
            (self.list_approvals, "read", False),
            (self.answer_approval, "irreversible", False),
            (self.signal_run, "irreversible", False),
            (self.cancel_run, "idempotent", False),
            (self.resume_run, "idempotent", True),
        ]
        found = [self._starts(name, each) for name, each in self.workflows.items()]
        return [*found, *(_made(fn, effect, with_request) for fn, effect, with_request in own)]

    # --- workflows

    def _starts(self, name: str, runnable: Runnable[..., Any]) -> ServedTool:
        async def call(arguments: dict[str, Any], request: Request) -> RunState:
            known = {"input", "id", "wait"}
            unknown = sorted(set(arguments) - known)
            if unknown:
                raise InvalidValue(f"there is no argument {', '.join(unknown)}: put the input into 'input'", where=name)
            text = json.dumps(arguments["input"]).encode() if "input" in arguments else None
            id = _id(arguments.get("id")) or request.key or None
            handle = await self.app.start(call_of(runnable, text), id=id, by=AS)
            await self._take_up(handle)
            return await self._seen(handle, _seconds(arguments.get("wait", WAIT)), request)

        about = (runnable.__doc__ or "").strip() if _is_told(runnable) else ""
        description = f"Start the workflow {runnable.name}, durably.{f' {about}' if about else ''}"
        return ServedTool(name, description, input_schema(runnable), call, output_schema(runnable))

    async def list_workflows(self) -> WorkflowsListed:
        """List the workflows that can be started, each by the tool of its name."""
        return WorkflowsListed(
            [{"tool": name, "workflow": each.name, "version": each.version} for name, each in self.workflows.items()]
        )

    # --- runs

    async def list_runs(
        self,
        status: tuple[str, ...] = (),
        workflow: str = "",
        tag: str = "",
        after: str = "",
        limit: int = 20,
    ) -> RunsListed:
        """List runs, newest first. `after` is the id of the last run of the page before."""
        page = await self.app.runs(
            status=status, workflow=workflow, tag=tag, after=after, limit=min(max(limit, 1), 200)
        )
        return RunsListed([head_plain(head, await self.app.store.owner(head.id)) for head in page.runs], page.more)

    async def inspect_run(self, run: str) -> dict[str, Any]:
        """Show everything that is known of a run: status, steps with their inputs and outputs, failure, totals."""
        handle = await self.app.handle(run)
        return run_plain(await handle.status(), self.read, await self.app.store.owner(run))

    async def wait_for_run(self, request: Request, run: str, wait: float = WAIT) -> RunState:
        """Wait for the end of a run, at most so many seconds; how it stands then."""
        return await self._seen(await self.app.handle(run), _seconds(wait), request)

    async def cancel_run(self, run: str, reason: str = "", by: str = AS) -> RunState:
        """Ask a run to stop; what it did is undone where its workflow says how."""
        handle = await self.app.handle(run)
        await handle.cancel(reason, by=by)
        return await self.state(handle)

    async def resume_run(self, request: Request, run: str, wait: float = WAIT) -> RunState:
        """Take up a run that failed, is paused or was left; nothing that has ended is done again.

        A completed run is told with its result.
        """
        handle = await self.app.handle(run)
        if (await handle.status()).status != "completed":
            await handle.resume(by=AS)
        return await self._seen(handle, _seconds(wait), request)

    async def signal_run(self, run: str, name: str, value: Any = None, id: str = "", by: str = AS) -> Done:
        """Send a run a signal that it waits for. With an `id` it counts once."""
        handle = await self.app.handle(run)
        signal = Signal(name, cast("type[Any]", Any))
        return Done(await handle.send(signal, value, id=id, by=by))

    # --- people

    async def list_approvals(self) -> ApprovalsListed:
        """List what people are asked in all runs, with what they are shown and the form that is to be filled in."""
        return ApprovalsListed([approval_plain(each) for each in await self.app.approvals()])

    async def answer_approval(
        self,
        run: str,
        granted: bool,
        by: str,
        name: str = "",
        form: Any = None,
        comment: str = "",
        digest: str = "",
    ) -> Done:
        """Grant or reject what a run asks, in the name of a person who has said so.

        `by` is that person, a claim that is recorded. `name` is the name or path of the approval, if several are open;
        `digest` that of what the person was shown: with it the answer counts for nothing else.
        """
        handle = await self.app.handle(run)
        if granted:
            return Done(await handle.approve(name, by=by, form=form, comment=comment, digest=digest))
        return Done(await handle.reject(name, by=by, form=form, comment=comment))

    # --- how a run stands

    @property
    def read(self) -> Any:
        """Gives the JSON text of a value."""
        return Values(self.app.store.blob).text

    async def _take_up(self, handle: Handle[Any]) -> None:
        """Go on with a run of this id that its process left; one that failed or is paused stays as it is."""
        head = await self.app.store.find_run(handle.id)
        left = head is not None and head.status not in (*TERMINAL, "paused")
        if left and handle.id not in self.app.engine.drivers and await self.app.store.owner(handle.id) is None:
            await handle.resume()

    async def _seen(self, handle: Handle[Any], wait: float, request: Request) -> RunState:
        """How a run stands when it has ended, sleeps, or so many seconds are over; what happens meanwhile is told."""
        if wait:
            try:
                async with asyncio.timeout(wait):
                    await self._followed(handle, request)
            except TimeoutError:
                pass
        return await self.state(handle)

    async def _followed(self, handle: Handle[Any], request: Request) -> None:
        seq = (await handle.status()).seq
        async with aclosing(handle.watch(after=seq, asleep=False)) as items:
            async for item in items:
                if isinstance(item, Recorded):
                    where = getattr(item.event, "path", "")
                    await request.progress(item.seq, None, f"{type(item.event).__name__} {where}".strip())

    async def state(self, handle: Handle[Any]) -> RunState:
        """How a run stands."""
        view = await handle.status()
        asked: list[OpenApproval] = await handle.approvals() if view.approvals else []
        return RunState(
            view.id,
            view.workflow,
            view.status,
            value(view.output, self.read),
            failure_plain(view.failure),
            view.completed,
            view.total,
            [step.path for step in view.current],
            [each.question for each in asked],
            view.left,
        )


def _without_request(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function with a signature that has no request: nobody is asked for that."""

    async def call(*args: Any, **kwargs: Any) -> Any:
        return await fn(*args, **kwargs)

    signature = inspect.signature(fn)
    call.__dict__["__signature__"] = signature.replace(
        parameters=[each for name, each in signature.parameters.items() if name != "request"]
    )
    call.__annotations__ = {name: kind for name, kind in get_type_hints(fn).items() if name != "request"}
    call.__name__ = call.__qualname__ = fn.__name__
    call.__doc__ = fn.__doc__
    return call


def _made(fn: Callable[..., Any], effect: Any, with_request: bool) -> ServedTool:
    made: Tool[..., Any] = tool(effect=effect)(_without_request(fn) if with_request else fn)
    return served(made, with_request=with_request)


def _id(said: Any) -> str:
    if said is not None and not isinstance(said, str):
        raise InvalidValue(f"id is {said!r}, must be a text", where="id")
    return said or ""


def _seconds(wait: Any) -> float:
    if type(wait) not in (int, float) or not 0 <= wait <= LONGEST:
        raise InvalidValue(f"wait is {wait!r}, must be seconds from 0 to {LONGEST:g}", where="wait")
    return float(wait)


# --- what workflows take and give


def tool_name(runnable: Runnable[..., Any]) -> str:
    """The name of the tool that starts a workflow."""
    return "".join(char if char.isascii() and (char.isalnum() or char in "-_") else "_" for char in runnable.name)[:64]


def _is_told(runnable: Runnable[..., Any]) -> bool:
    """Whether its docstring is about it, and not about its class."""
    return isinstance(runnable, Workflow | Single) or "__doc__" in vars(runnable)


def _parameters(runnable: Runnable[..., Any]) -> Parameters | None:
    if isinstance(runnable, Workflow):
        return runnable.parameters
    return runnable.step.parameters if isinstance(runnable, Single) else None


def input_schema(runnable: Runnable[..., Any]) -> dict[str, Any]:
    """The JSON Schema of the arguments of a workflow's tool: `input`, `id` and `wait`."""
    parameters = _parameters(runnable)
    properties: dict[str, Any] = {
        "id": {"type": "string", "description": ABOUT_ID},
        "wait": {"type": "number", "description": ABOUT_WAIT, "default": WAIT},
    }
    found: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    if parameters is not None and not parameters.names:
        return found
    kind = runnable.input_type if parameters is None or parameters.only is not None else parameters.fields
    schema, defs = _schema(kind, "validation")
    found["properties"] = {"input": schema, **properties}
    if parameters is None or parameters.required:
        found["required"] = ["input"]
    return {**found, **defs}


def output_schema(runnable: Runnable[..., Any]) -> dict[str, Any]:
    """The JSON Schema of a `RunState` of a workflow: what it gives, once it has."""
    state, _ = _schema(RunState, "serialization")
    schema, defs = _schema(runnable.output_type, "serialization")
    properties = {**state["properties"], "output": {"anyOf": [schema, {"type": "null"}]}}
    return {**state, "properties": properties, **defs}


def _schema(kind: Any, mode: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The JSON Schema of a type, and what it refers to, which stands at the root of a document."""
    found: dict[str, Any] = adapter(kind).json_schema(mode=mode)
    defs: Mapping[str, Any] = found.pop("$defs", {})
    return found, {"$defs": defs} if defs else {}
