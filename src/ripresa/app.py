"""The app: puts store, engine and workflows together. The only place that names adapters."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from .authoring.call import Call, pending
from .authoring.flow import Runnable
from .authoring.hooks import Hook
from .authoring.pool import Pool
from .authoring.registry import Registry
from .authoring.single import runnable_of
from .config import AppConfig, Config, configured, log_listener
from .core.calling import told
from .core.durations import Duration, microseconds, seconds
from .core.events import Recorded, RunStarted
from .core.lifecycle import ACTIVE, LIVE, TERMINAL
from .core.limits import Limits, limits_of
from .core.nodes.approval import ASKED
from .errors import RipresaError, RunExists
from .ports import Clock, Executor, Page, RunFilter, RunHead, Store

if TYPE_CHECKING:
    from .approvals import OpenApproval
    from .artifacts import Artifacts
    from .authoring.migration import Migration
    from .authoring.step import Step
    from .client import Handle
    from .runtime.cancellation import CancelToken
    from .runtime.comparing import RunDiff
    from .runtime.engine import Engine, Settings
    from .runtime.mailing import QueuedStart
    from .runtime.migrating import MigrationReport, Planned
    from .runtime.outbox import Sender
    from .runtime.pools import PoolStatus
    from .runtime.rehearsing import Rehearsal
    from .selection import Report, Selection
    from .sessions import Sessions
    from .steps.webhooks import Endpoint
    from .stores.address import Factory
    from .undelivered import Undelivered

R = TypeVar("R")

LEFT = 2.0
"""Seconds between two looks of a worker for runs that their process left."""

DEFAULT_STORE = "sqlite:.ripresa/ripresa.db"


def default_store() -> str:
    """The address of the store where none is named: `RIPRESA_STORE`, or a file in the working directory."""
    return os.environ.get("RIPRESA_STORE") or DEFAULT_STORE


class App:
    """Runs workflows durably: an async context manager. Leaving it stops its runs so that they can be resumed.

    `store` is an address ("sqlite:PATH", "memory:"), the path of a file or a `Store`; without one `RIPRESA_STORE`, then
    `.ripresa/ripresa.db` in the working directory. `durability` is `full` (a recorded step survives the loss of power)
    or `normal` (it survives the end of the process). `workflows` are found by name when runs are resumed; others by
    the target that their run recorded. `max_concurrency` caps the attempts at a time, `threads` and `processes` the
    workers for sync steps and for `executor="process"`. `listeners` are called with every durable event of every run,
    `hooks` are asked or told at the points where they stand; more can be added to `app.hooks` at any time.
    `config` is a tree of settings, a dict or a file (see `Config`); what is given by keyword goes before it.
    `pools` are found by steps that name one. `patience` is how many seconds the app waits for steps that do not stop.
    A run that only waits leaves memory after `linger` (None: never), unless a timer of it is due sooner than `near`; it
    is woken when it is due, or when something is sent to it, by any app over the same store that has its code: one that
    drove it, or has it among its `workflows`. `migrations` take unfinished runs from one version of a workflow to the
    next.

    `stores` and `executors` are of one's own: a factory for a scheme of addresses, and what steps name by
    `executor="NAME"`; `senders` deliver what steps send by `current().queue("NAME", ...)`; `models` are what `model=`
    of llm steps and agents means, by name: another name, a `ModelEndpoint` or a `Model`. `webhooks` are
    endpoints that are told of events of runs, and by steps (`ripresa.steps.send_webhook`).
    """

    @told
    def __init__(  # noqa: PLR0913 - every option of the app, by keyword
        self,
        store: str | os.PathLike[str] | Store | None = None,
        *,
        config: Config | Mapping[str, Any] | str | os.PathLike[str] | None = None,
        durability: str | None = None,
        workflows: Iterable[Runnable[..., Any]] = (),
        max_concurrency: int | None = None,
        threads: int | None = None,
        processes: int | None = None,
        patience: Duration | None = None,
        listeners: Iterable[Callable[[Recorded], None]] = (),
        hooks: Iterable[Hook] = (),
        pools: Iterable[Pool[Any]] = (),
        clock: Clock | None = None,
        linger: Duration | None = 1.0,
        near: Duration = 5.0,
        migrations: Iterable[Migration] = (),
        stores: Mapping[str, Factory] = MappingProxyType({}),
        executors: Mapping[str, Executor] = MappingProxyType({}),
        senders: Mapping[str, Sender] = MappingProxyType({}),
        models: Mapping[str, Any] = MappingProxyType({}),
        webhooks: Iterable[Endpoint] = (),
    ) -> None:
        from .runtime.code import Code
        from .runtime.given import Given, outlets

        pools = tuple(pools)
        given = {
            "store": store if isinstance(store, str) else None,
            "durability": durability,
            "max_concurrency": max_concurrency,
            "threads": threads,
            "processes": processes,
            "patience": patience,
        }
        named = {name: value for name, value in given.items() if value is not None}
        others = Given(store, stores, executors, senders, models, pools, {"linger": linger, "near": near})
        store, self.config, self.hooks = others.checked(partial(configured, config, named), hooks)
        options = self.config.app
        self._address: str | Store = (store or options.store) if store is None or isinstance(store, str) else store
        self._durability = options.durability
        self._clock = clock
        told, announce = outlets(senders, webhooks)
        shared = {"pools": pools, "executors": dict(executors), "models": {**self.config.models, **models}}
        told_of = {"senders": told, "announce": announce}
        self._settings = _settings(options, linger, near, off=self.config.off, **told_of, **shared)
        self._stores = dict(stores)
        self._engine: Engine | None = None
        self._listeners = (*log_listener(self.config.observability.log), *listeners)
        self.migrations = tuple(migrations)
        self.workflows = Registry()
        self._code = Code(self.workflows)
        for runnable in workflows:
            self.workflows.register(runnable)

    @classmethod
    def from_config(cls, config: Config | Mapping[str, Any] | str | os.PathLike[str], **options: Any) -> App:
        """An app with the settings of a tree, a dict or a file; `options` are those of `App`, and go before them."""
        return cls(config=config, **options)

    async def __aenter__(self) -> App:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Open the store. Raises `StoreError`."""
        from .runtime.clock import SystemClock
        from .runtime.engine import Engine
        from .stores import open_store

        if self._engine is not None:
            return
        address = self._address or default_store()
        store = open_store(address, self._durability, self._stores) if isinstance(address, str) else address
        await store.open()
        self._engine = Engine(store, self._clock or SystemClock(), self._settings, self.hooks)
        for listener in self._listeners if self.config.observability.enabled else ():
            self._engine.feed.listen(listener)
        self._engine.waker.find = self._code.find
        self._engine.outbox.begin = self._begin
        if len(self.workflows):
            self._engine.begin_polling()

    async def close(self) -> None:
        """Interrupt the runs that are driven here (they can be resumed) and close the store."""
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.close()
            await engine.store.close()

    @property
    def engine(self) -> Engine:
        """The engine of the open app. Raises `RipresaError(closed)` before `open` and after `close`."""
        if self._engine is None:
            raise RipresaError(
                "the app is not open", code="closed", op="App", hint="use it in `async with App() as app:`"
            )
        return self._engine

    @property
    def store(self) -> Store:
        """The open store."""
        return self.engine.store

    @property
    def sessions(self) -> Sessions:
        """What several runs share: create, find, suspend, resume, complete and archive it."""
        from .sessions import Sessions

        return Sessions(self.engine)

    def pools(self) -> list[PoolStatus]:
        """The pools of the app as they stand: those that were declared, and those that steps have brought along."""
        return self.engine.pools.status()

    @property
    def outbox(self) -> Undelivered:
        """What runs have sent that is not delivered: look through it, send again what was given up."""
        from .undelivered import Undelivered

        return Undelivered(self.engine)

    @property
    def artifacts(self) -> Artifacts:
        """Result files of runs and sessions, with their versions."""
        from .artifacts import Artifacts

        return Artifacts(self.store)

    # --- runs

    async def start(  # noqa: PLR0913 - every option of a run, by keyword
        self,
        call: Call[R],
        /,
        *,
        id: str | None = None,
        timeout: Duration | None = None,
        concurrency: int | None = None,
        tags: Sequence[str] = (),
        cancel: CancelToken | None = None,
        target: str | None = None,
        session: str | None = None,
        state: object = None,
        limits: Limits | None = None,
        by: str = "",
    ) -> Handle[R]:
        """Begin a run of a call: durable on return.

        With an `id` it is idempotent: the same workflow and input give the recorded run, others `RunExists`.
        `timeout` bounds the whole run, `concurrency` its attempts at a time; `tags` can be filtered by. Cancelling
        the token `cancel` cancels the run. `target` says where the code is, if it cannot be found by itself.
        `session` is the id of the session that it belongs to, which must be active. `state` is what its typed state
        begins with instead of the defaults, an instance or fields by name. `limits` are what the run may use (else
        what its workflow or the config says). `by` says who starts it, a claim that is recorded. Raises `InvalidValue`
        for a bad input or state before anything runs, `SessionError`.
        """
        from .starting import start_of

        start = start_of(
            self.engine,
            self.config,
            call,
            id=id,
            timeout=timeout,
            concurrency=concurrency,
            tags=tags,
            target=target,
            session=session,
            state=state,
            limits=limits,
            by=by,
            cancel=cancel,
        )
        try:
            driver = await self.engine.start(start)
        except RunExists:
            handle = await self._existing(start)
        else:
            handle = self._handle(driver.run, start.runnable)
        self._bind(handle.id, cancel)
        return handle

    async def run(  # noqa: PLR0913 - every option of a run, by keyword
        self,
        call: Call[R],
        /,
        *,
        id: str | None = None,
        timeout: Duration | None = None,
        concurrency: int | None = None,
        tags: Sequence[str] = (),
        cancel: CancelToken | None = None,
        session: str | None = None,
        state: object = None,
        limits: Limits | None = None,
    ) -> R:
        """Begin a run and wait for its result. Cancelling the waiting leaves the run to itself.

        A run of this id that another process left unfinished is taken up; a failed one raises what it failed of.
        """
        handle = await self.start(
            call,
            id=id,
            timeout=timeout,
            concurrency=concurrency,
            tags=tags,
            cancel=cancel,
            session=session,
            state=state,
            limits=limits,
        )
        head = await self.store.find_run(handle.id)
        if head is not None and head.status not in TERMINAL and not await self.engine.is_driven(handle.id):
            await handle.resume()
            self._bind(handle.id, cancel)
        return await handle.result()

    async def _begin(self, known: Runnable[..., Any] | None, queued: QueuedStart) -> bool:
        """Begin a run that a step has queued, unless it has begun; False if its code is not here."""
        from .runtime.family import require_own
        from .runtime.waking import QUICKER
        from .starting import queued_start

        head = RunHead(queued.run, queued.workflow, queued.version, "created", queued.target, 0, 0)
        runnable = known or self._code.anywhere(head)
        if runnable is None:
            return False
        start = queued_start(self.config, runnable, queued)
        try:
            await self.engine.start(start)
        except RunExists:
            await self._existing(start)
            head = await self._head(queued.run)
            require_own(head, queued)
            if head.status in LIVE and not await self.engine.is_driven(queued.run):
                try:
                    await self.engine.take(head, runnable)
                except RipresaError as error:
                    if error.code not in QUICKER:
                        raise
        return True

    async def rehearse(
        self,
        call: Call[Any],
        /,
        *,
        session: str | None = None,
        state: object = None,
        limits: Limits | None = None,
    ) -> Rehearsal:
        """A dry run, in memory: only steps with the effects `pure` and `read` run, and nothing is written to a store.

        What other steps would be given is listed, in order, and what they would return is made up from their
        annotations, emptily; where that cannot be done the rehearsal stops. Hooks of the app are not asked.
        `session`, `state` and `limits` are as in `start`; the session is looked at, and never changed.
        """
        from .runtime.rehearsing import Given, rehearse
        from .stores.rules import require_session

        asked = pending(call, "rehearse")
        runnable, store = runnable_of(asked.callee), self.engine.store
        head = None if session is None else require_session(session, store.find_session(session), "rehearse")
        values = {} if session is None else {name: it.value for name, it in store.session_values(session).items()}
        given = Given(head, values, state, limits_of(limits, runnable, self.config.limits, None), self.config.off)
        return await rehearse(runnable, asked.args, asked.kwargs, given)

    def _bind(self, run: str, cancel: CancelToken | None) -> None:
        driver = self.engine.drivers.get(run)
        if cancel is not None and driver is not None:
            self.engine.bind(driver, cancel)

    async def _existing(self, start: Any) -> Handle[Any]:
        """The recorded run, if it is of the same workflow and input."""
        started = (await self.engine.history(start.id))[0].event
        assert isinstance(started, RunStarted)
        from .runtime.values import Values

        recorded = Values(self.store.blob).text(started.input)
        if started.workflow == start.runnable.name and recorded == start.input:
            return self._handle(start.id, start.runnable)
        what = "input" if started.workflow == start.runnable.name else f"workflow ({started.workflow!r})"
        raise RunExists(
            f"run {start.id!r} was started with another {what}",
            run=start.id,
            op="start",
            hint="choose another id, or start it with what it was started with",
        )

    def _handle(self, run: str, runnable: Runnable[..., Any] | None) -> Handle[Any]:
        from .client import Handle

        links = _Links(self, run, runnable)
        return Handle(self.engine, run, Any if runnable is None else runnable.output_type, links)

    @overload
    async def handle(self, id: str) -> Handle[Any]: ...
    @overload
    async def handle(self, id: str, workflow: Runnable[..., R] | None) -> Handle[R]: ...
    async def handle(self, id: str, workflow: Runnable[..., Any] | None = None) -> Handle[Any]:
        """A handle of a recorded run. Given its workflow, results have its type. Raises `RunNotFound`."""
        await self._head(id)
        return self._handle(id, workflow)

    @overload
    async def resume(self, id: str, *, session: str | None = None, again: bool = False) -> Handle[Any]: ...
    @overload
    async def resume(
        self, id: str, workflow: Runnable[..., R] | None, *, session: str | None = None, again: bool = False
    ) -> Handle[R]: ...
    async def resume(
        self, id: str, workflow: Runnable[..., Any] | None = None, *, session: str | None = None, again: bool = False
    ) -> Handle[Any]:
        """Take up a run that failed or was left by its process, from its first unfinished steps.

        Its code is `workflow`, or the registered workflow of its name, or what its recorded target names. A run that
        is being driven here, or has completed, is left as it is. With `session` it goes on in that session, which it
        can if it was left, failed or is paused. Raises `RunNotFound`, `RunError(owned_elsewhere)`,
        `DefinitionChanged`, `Nondeterminism`, `IllegalTransition` for one that was cancelled or terminated, and
        `RipresaError(effects_undecided)` for a failed one that begins anew, for what it did was undone, and would do
        what nothing can undo once more, unless `again` says that it may.
        """
        head = await self._head(id)
        if head.status == "completed":
            return self._handle(id, workflow or self._code.find(head))
        runnable = await self._take(id, workflow, session or "", again=again)
        return self._handle(id, runnable)

    async def resume_all(self) -> list[Handle[Any]]:
        """Take up every run that no living process drives; failed ones, and those that wait still, are left alone.

        One that cannot be taken up keeps no other from it: its error is raised in the end, with the others' as notes.
        """
        taken: list[Handle[Any]] = []
        problems: list[RipresaError] = []
        for head in await self._abandoned():
            if not await self.engine.is_driven(head.id):
                try:
                    taken.append(await self.resume(head.id))
                except RipresaError as problem:
                    if problem.code not in ("owned_elsewhere", "illegal_transition"):  # else somebody was quicker
                        problems.append(problem)
        if problems:
            for other in problems[1:]:
                problems[0].add_note(str(other))
            raise problems[0]
        return taken

    async def approvals(self) -> list[OpenApproval]:
        """What people are asked at the moment, over all runs, newest first; only the journals of those are read."""
        from .approvals import open_in

        found: list[OpenApproval] = []
        where = RunFilter(tag=ASKED, limit=500)
        while True:
            page = await self.store.list_runs(where)
            for head in page.runs:
                found.extend(await open_in(self.engine, head))
            if not page.more:
                return found
            where = replace(where, after=page.runs[-1].id)

    async def work(self) -> None:
        """Be a worker until cancelled: drive runs that are due, and take up those that their process left.

        Their code is found among the registered workflows, or imported from the target that they recorded. One that
        cannot be had here is left to others.
        """
        self.engine.waker.find = self._code.anywhere
        self.engine.begin_polling()
        while True:
            for head in await self._abandoned():
                if not await self.engine.is_driven(head.id):
                    await self.engine.waker.take_up(head)
            await asyncio.sleep(LEFT)

    async def _abandoned(self) -> list[RunHead]:
        """Runs that may have been left by their process, and those that are due."""
        due = await self.store.due(self.engine.clock.now(), 500)
        return [*await self._all(ACTIVE), *due]

    async def migrate(
        self, id: str, workflow: Runnable[..., Any] | None = None, *, dry_run: bool = False, by: str = ""
    ) -> MigrationReport:
        """Take an unfinished run over to another version of its workflow, all or nothing; it is resumed afterwards.

        That is `workflow`, or the version that was registered last, or what the recorded target names; the way there
        is that of the app's `migrations`. A run whose journal fits the new definition as it is needs none. With
        `dry_run` nothing is changed. Nobody may be driving the run.

        Raises `RipresaError(migration_missing, migration_failed, effects_undecided)`, `IllegalTransition`,
        `RunError(owned_elsewhere)`, `RunNotFound`.
        """
        from .runtime.migrating import Move, migrate

        head = await self._head(id)
        code = workflow or self._code.newest(head)
        return await migrate(self.engine, head, Move(code, self.migrations, by), dry_run=dry_run)

    async def diff(self, id: str, other: str) -> RunDiff:
        """What differs between two runs: structure, input, steps with what they were given and returned, ends.

        Raises `RunNotFound`.
        """
        from .runtime.comparing import compare

        return await compare(self.engine, await self._head(id), await self._head(other), self._code.of)

    async def plan(self, workflow: Runnable[..., Any]) -> list[Planned]:
        """Say for every unfinished run of a workflow what becomes of it with this definition; nothing is changed."""
        from .runtime.migrating import Move, Planning, plan

        heads = [head for head in await self._all((*LIVE, "failed")) if head.workflow == workflow.name]
        registered = self.workflows.versions(workflow.name).values()
        others = [other for each in registered if (other := runnable_of(each)) is not workflow]
        return await plan(self.engine, heads, Planning(Move(workflow, self.migrations), others))

    async def _all(self, status: tuple[str, ...]) -> list[RunHead]:
        found: list[RunHead] = []
        page = await self.store.list_runs(RunFilter(status=status, limit=500))
        found.extend(page.runs)
        while page.more:
            page = await self.store.list_runs(RunFilter(status=status, limit=500, after=found[-1].id))
            found.extend(page.runs)
        return found

    async def _take(
        self, id: str, workflow: Runnable[..., Any] | None, session: str = "", *, again: bool
    ) -> Runnable[..., Any]:
        from .core.lifecycle import check_transition

        head = await self._head(id)
        if head.status in ("cancelled", "terminated", "completed", "undone"):
            check_transition(head.status, "running", only_from="failed", run=id, op="resume")
        runnable = workflow or self._code.of(head)
        await self.engine.take(head, runnable, session=session, again=again)
        return runnable

    async def _code_of(self, id: str) -> Runnable[..., Any]:
        return self._code.of(await self._head(id))

    async def _head(self, id: str) -> RunHead:
        from .runtime.results import not_found

        head = await self.store.find_run(id)
        if head is None:
            raise not_found(id)
        return head

    async def prune(
        self,
        *,
        older_than: Duration,
        workflow: str = "",
        tag: str = "",
        archive: str | Path | None = None,
        by: str = "",
        reason: str = "",
    ) -> Report:
        """Remove runs that ended longer ago than that; a policy for other statuses or times: `select(...).prune()`.

        What is their own goes with them: journal, requests, artifacts, and, by and by, large values. What stays for
        audit is a `Tombstone` of each. With `archive` (a folder) each is written to a file first.
        """
        from .runtime.functions import moment

        before = moment(self.engine.clock.now() - microseconds(older_than, "older_than"))
        chosen = self.select(workflow=workflow, tag=tag)
        report = await chosen.prune(
            ended_before=before, archive=None if archive is None else Path(archive), by=by, reason=reason
        )
        await self.sweep()
        return report

    async def sweep(self, *, grace: Duration = "1 day") -> int:
        """Remove large values that nothing names, and nothing named when they were looked for `grace` ago; how many.

        `grace` is for what a step has put down and not yet named; 0 is for stores that nobody else writes to.
        """
        return await self.store.sweep(self.engine.clock.now(), microseconds(grace, "grace"))

    async def restore(self, path: str | Path) -> Handle[Any]:
        """Bring a run back from the file to which it was archived; it is as it was when it ended.

        Raises `RunExists`, `StoreError(store_corrupt)` for a file that is no archive.
        """
        from .retention import restore

        return self._handle((await restore(self.store, Path(path))).id, None)

    async def forget(self, step: Step[..., Any] | str = "", *, expired: bool = False) -> int:
        """Forget cached results: of one step (or the qualified name of its function) or all; how many there were.

        `expired` forgets those only whose time is up, which nobody is given any more.
        """
        from .authoring.cache import cached_name

        name = step if isinstance(step, str) else cached_name(step.fn)
        return await self.store.forget_results(name, self.engine.clock.now() if expired else 0)

    async def runs(  # noqa: PLR0913 - every way to filter, by keyword
        self,
        *,
        status: str | Iterable[str] = (),
        workflow: str = "",
        tag: str = "",
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        after: str = "",
        limit: int = 50,
        session: str = "",
    ) -> Page:
        """A page of runs, newest first. `after` is the id of the last run of the page before."""
        from .selection import where_of

        page = {"after": after, "session": session, "limit": limit}
        where = where_of(status, workflow, tag, created_after, created_before, **page)
        return await self.store.list_runs(where)

    def select(
        self,
        *,
        status: str | Iterable[str] = (),
        workflow: str = "",
        tag: str = "",
        created_after: datetime | None = None,
        created_before: datetime | None = None,
    ) -> Selection:
        """The runs that this filter chooses, to be gone through or asked something all together.

        `await app.select(workflow="report", status="failed").retry()`
        """
        from .selection import Selection, where_of

        return Selection(self, where_of(status, workflow, tag, created_after, created_before))


class _Links:
    """How the handle of a run reaches its app; see `client.Links`."""

    __slots__ = ("_app", "_run", "_runnable")

    def __init__(self, app: App, run: str, runnable: Runnable[..., Any] | None) -> None:
        self._app = app
        self._run = run
        self._runnable = runnable

    async def take(self, *, again: bool = False) -> object:
        return await self._app._take(self._run, self._runnable, again=again)  # pyright: ignore[reportPrivateUsage]

    async def code(self) -> Runnable[..., Any]:
        return self._runnable or await self._app._code_of(self._run)  # pyright: ignore[reportPrivateUsage]

    def other(self, run: str) -> Handle[Any]:
        return self._app._handle(run, self._runnable)  # pyright: ignore[reportPrivateUsage]


def _settings(options: AppConfig, linger: Duration | None, near: Duration, **others: Any) -> Settings:
    """How the engine runs: what the config says of it, and what stands in the code alone."""
    from .runtime.engine import Settings

    return Settings(
        max_concurrency=options.max_concurrency,
        threads=options.threads,
        processes=options.processes,
        patience=options.patience,
        linger=None if linger is None else seconds(linger, "linger"),
        near=seconds(near, "near"),
        **others,
    )
