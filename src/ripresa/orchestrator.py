"""Workflows that are plain data, executed for users: a thin face over `App`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Final, TypeVar

from pydantic_core import from_json

from .app import App
from .authoring.document.flow import DocumentFlow
from .authoring.document.library import Library
from .authoring.options import bad_kind, refuse
from .client import Handle
from .core.events import Failure
from .core.limits import NONE
from .core.values import Value
from .core.view import RunView, StepView
from .errors import DefinitionChanged, Nondeterminism, RipresaError, RunExists
from .ports import RunHead
from .runtime.documents import is_document, load_document, load_target_document, modules_of
from .runtime.outcomes import Outcome, outcomes_of
from .runtime.values import Values

T = TypeVar("T")

NEAR = 60.0
"""Seconds for which an execution stays with a run that waits for time to pass."""

PAGE: Final = 200
"""How many sessions of a user are looked at together."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """A step of an execution: `status` as in `StepView`, its output as plain data, what it used in all attempts."""

    status: str
    output: Any = None
    attempts: int = 1
    tokens: int = 0
    cost: float = 0.0
    error: Failure | None = None
    unpriced: int = 0


@dataclass(frozen=True, slots=True)
class WorkflowResult:
    """An execution as it stands. `status`: completed, failed, cancelled, waiting (for a person, signal or moment), ...

    `output` is plain data; `steps` are by path, in the order in which they began: every step of the document, also
    those that are made of others (a branch, a map), with the tokens and cost of all that is below them. `cost` lacks
    that of the `unpriced` uses of models whose price nobody knows.
    """

    run_id: str
    workflow: str
    status: str
    output: Any = None
    steps: Mapping[str, StepResult] = field(default_factory=dict[str, StepResult])
    tokens: int = 0
    cost: float = 0.0
    user_id: str = ""
    session_id: str = ""
    error: Failure | None = None
    unpriced: int = 0


class WorkflowOrchestrator:
    """Executes workflows that are plain data: `await orchestrator.execute_workflow(workflow, user_id="user123")`.

    `store` and the other options are those of `App`; without them everything is configured by the environment.
    `library` are the step types that documents may name beside the ready-made ones, `modules` those from which their
    targets may import (see `load_document`). The store is open while something is executed, or inside `async with`.
    """

    def __init__(
        self,
        store: Any = None,
        *,
        library: Library | None = None,
        modules: Iterable[str] | None = None,
        **options: Any,
    ) -> None:
        self.library = library or Library()
        self.modules = modules_of(modules, "WorkflowOrchestrator")
        self._options: dict[str, Any] = {"near": NEAR, "linger": 0.0, "store": store, **options}
        self._app: App | None = None
        self._users = 0
        self._lock: asyncio.Lock | None = None

    async def __aenter__(self) -> WorkflowOrchestrator:
        await self._enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._leave()

    def register(self, name: str, entry: T, /) -> T:
        """Let documents name a step, flow, function or class; see `Library.register`."""
        return self.library.register(name, entry)

    # --- executions

    async def execute_workflow(
        self,
        workflow: Mapping[str, Any] | str,
        user_id: str = "",
        *,
        input: object = None,
        run_id: str | None = None,
        session_id: str | None = None,
        tags: Iterable[str] = (),
    ) -> WorkflowResult:
        """Run a workflow, a dict or the path of a file, until it ends or only waits; how it failed is in the result.

        `user_id` is recorded as who started the run, and owns its session: `session_id`, without one the user's own.
        With a `run_id` a second call of the same workflow and input gives the recorded run, taken up if it was left.
        Raises `InvalidWorkflow` before anything runs, `InvalidValue` for a bad input, `RunExists`, `SessionError`.
        """
        refuse(
            "execute_workflow",
            bad_kind(workflow, "workflow", (str, os.PathLike, Mapping), "a mapping or the path of a file"),
            bad_kind(user_id, "user_id", str, "a text"),
        )
        flow = load_document(workflow, library=self.library, modules=self.modules)
        async with self._opened() as app:
            session = await _session(app, user_id, session_id)
            known = None if run_id is None else await app.store.find_run(run_id)
            if known is not None and known.session != (session or ""):  # what is in it is somebody else's
                raise RunExists(
                    f"there is a run {run_id!r} already", run=known.id, op="start", hint="choose another id"
                )
            handle = await app.start(flow(input), id=run_id, session=session, tags=list(tags), by=user_id)
            if not (await handle.status()).ended and not await app.engine.is_driven(handle.id):
                await handle.resume()
            return await _followed(app, handle, flow)

    async def resume(self, run_id: str) -> WorkflowResult:
        """Take up a run that failed, was interrupted or waited; a completed one is given as it ended.

        Raises `RunNotFound`, `IllegalTransition` for one that was cancelled.
        """
        async with self._opened() as app:
            head = await _head(app, run_id)
            flow = self._flow(head)
            handle = await app.resume(run_id, flow)
            return await _followed(app, handle, flow)

    async def status(self, run_id: str) -> WorkflowResult:
        """An execution as it stands. Raises `RunNotFound`.

        If its document cannot be read here (it names types that are in no library here, or was changed), `steps` are
        only those that did something themselves.
        """
        async with self._opened() as app:
            handle = await app.handle(run_id)
            try:
                flow = self._flow(await _head(app, run_id))
            except RipresaError:
                flow = None
            return await _result(app, handle, flow)

    async def list(self, user_id: str = "", *, status: str | Iterable[str] = (), limit: int = 50) -> list[RunHead]:
        """The newest executions, of all of a user's sessions if one is named."""
        async with self._opened() as app:
            if not user_id:
                return [*(await app.runs(status=status, limit=limit)).runs]
            found: list[RunHead] = []
            async for session in _sessions_of(app, user_id):
                found.extend((await app.runs(status=status, session=session, limit=limit)).runs)
                found = sorted(found, key=lambda head: (head.created_at, head.id), reverse=True)[:limit]
            return found

    async def cancel(self, run_id: str, reason: str = "", *, user_id: str = "") -> WorkflowResult:
        """Ask a run to stop and clean up, and see that it has. Raises `RunNotFound`, `IllegalTransition`."""
        async with self._opened() as app:
            handle = await app.handle(run_id)
            flow = self._flow(await _head(app, run_id))
            if flow is not None:
                handle = await app.handle(run_id, flow)
            await handle.cancel(reason, by=user_id)
            return await _followed(app, handle, flow)

    # --- the app

    def _flow(self, head: RunHead) -> DocumentFlow | None:
        """The document of a run, read with the library of this orchestrator; None if it is none."""
        if not is_document(head.target):
            return None
        return load_target_document(head.target, library=self.library, modules=self.modules)

    @asynccontextmanager
    async def _opened(self) -> AsyncGenerator[App]:
        app = await self._enter()
        try:
            yield app
        finally:
            await self._leave()

    async def _enter(self) -> App:
        async with self._guard():
            if self._app is None:
                app = App(**self._options)
                await app.open()
                self._app = app
            self._users += 1
            return self._app

    async def _leave(self) -> None:
        async with self._guard():
            self._users -= 1
            if self._users == 0 and self._app is not None:
                app, self._app, self._lock = self._app, None, None
                await app.close()

    def _guard(self) -> asyncio.Lock:
        if self._lock is None:
            self._lock = asyncio.Lock()
        return self._lock


async def _sessions_of(app: App, user_id: str) -> AsyncGenerator[str]:
    """The ids of all sessions of a user: a run that is new may stand in one that is old."""
    page = await app.sessions.list(owner=user_id, limit=PAGE)
    while page:
        for session in page:
            yield session.id
        page = await app.sessions.list(owner=user_id, after=page[-1].id, limit=PAGE) if len(page) == PAGE else ()


async def _session(app: App, user_id: str, session_id: str | None) -> str | None:
    """The session of an execution, which belongs to the user. Raises `SessionError`."""
    if session_id is None and not user_id:
        return None
    id = f"user:{user_id}" if session_id is None else session_id
    known = await app.sessions.find(id)
    created = await app.sessions.create(id, owner=user_id, limits=NONE if known is None else known.limits)
    return created.id


async def _head(app: App, run_id: str) -> RunHead:
    await app.handle(run_id)
    found = await app.store.find_run(run_id)
    assert found is not None
    return found


async def _followed(app: App, handle: Handle[Any], flow: DocumentFlow | None) -> WorkflowResult:
    """How a run is left when it has ended, or only waits."""
    async for _ in handle.watch(asleep=False):
        pass
    return await _result(app, handle, flow)


async def _result(app: App, handle: Handle[Any], flow: DocumentFlow | None) -> WorkflowResult:
    head = await _head(app, handle.id)
    parts: Mapping[str, Outcome] = {}
    if flow is not None:
        with suppress(DefinitionChanged, Nondeterminism):  # the journal alone says less
            parts = await outcomes_of(app.engine, head, flow)
    view = await handle.status()
    status = head.status if head.status == "waiting" else view.status
    return replace(_of(view, parts, Values(app.store.blob)), status=status)


def _of(view: RunView, parts: Mapping[str, Outcome], values: Values) -> WorkflowResult:
    return WorkflowResult(
        view.id,
        view.workflow,
        view.status,
        _plain(view.output, values),
        dict(_steps(view, parts, values)),
        view.tokens,
        view.cost,
        view.by,
        view.session,
        view.failure,
        view.unpriced,
    )


def _steps(view: RunView, parts: Mapping[str, Outcome], values: Values) -> Iterator[tuple[str, StepResult]]:
    used = _used(view)
    for path, part in parts.items():
        if path not in view.steps:
            yield path, _part(view, path, part, used.get(path, (0, 0.0, 0)), values)
        else:
            yield path, _step(view.steps[path], values)
    for path, step in view.steps.items():
        if path not in parts:
            yield path, _step(step, values)


def _used(view: RunView) -> dict[str, tuple[int, float, int]]:
    """Tokens, cost and unpriced uses of everything below each path."""
    found: dict[str, tuple[int, float, int]] = {}
    for path, step in view.steps.items():
        if step.tokens or step.cost or step.unpriced:
            while path := path.rpartition("/")[0]:
                tokens, cost, unpriced = found.get(path, (0, 0.0, 0))
                found[path] = tokens + step.tokens, cost + step.cost, unpriced + step.unpriced
    return found


def _part(view: RunView, path: str, part: Outcome, used: tuple[int, float, int], values: Values) -> StepResult:
    status = part.status
    if status == "running" and view.ended:
        status = "cancelled"
    elif status == "running" and any(path in waiting for waiting in (view.waits, view.timers, view.approvals)):
        status = "waiting"
    elif path in view.undone:
        status = "undone"
    tokens, cost, unpriced = used
    return StepResult(status, _plain(part.output, values), 1, tokens, cost, part.failure, unpriced)


def _step(step: StepView, values: Values) -> StepResult:
    output = _plain(step.output, values)
    return StepResult(step.status, output, step.attempt, step.tokens, step.cost, step.failure, step.unpriced)


def _plain(value: Value | None, values: Values) -> Any:
    return None if value is None else from_json(values.text(value))
