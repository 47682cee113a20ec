"""Handles: what one holds of a run, wherever it is driven."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeAlias, TypeVar, cast, get_args, overload

from pydantic_core import to_json

from . import approvals, exchange
from .approvals import Answer, OpenApproval
from .authoring.encoding import decode, encode
from .authoring.flow import Runnable
from .core.branches import FanOutEvents, fan_outs
from .core.changes import Change, changes
from .core.durations import Duration, seconds
from .core.events import Recorded
from .core.lifecycle import ACTIVE, TERMINAL, WAITING
from .core.limits import Limits
from .core.merge import whole
from .core.places import event_at, places, written_by
from .core.replay import lineage
from .core.view import RunView, view_of
from .errors import InvalidConfig, RipresaError
from .interactions import Interaction, interactions_of
from .messages import Query, QueryWith, Signal, Update
from .runtime.bodies import encode_signal
from .runtime.driver import Driver
from .runtime.engine import Engine
from .runtime.feed import Notice, Watcher
from .runtime.functions import moment
from .runtime.ids import checked_id
from .runtime.restoring import replayed
from .runtime.results import cancel_error, interrupted, not_found, result_of, run_error
from .runtime.values import Values

if TYPE_CHECKING:
    from .runtime.undoing import UndoReport

R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")
A = TypeVar("A")
R = TypeVar("R")

Effects: TypeAlias = Literal["refuse", "reuse", "again"]
"""What becomes of steps that changed the world after the place where a run is forked."""

POLL = 0.1
"""Seconds between two looks at the journal of a run that another process drives."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[R_co]):
    """How a run ended, without an exception: `value` if its status is completed, else `error`."""

    status: str
    value: R_co | None = None
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A place in a run's journal: after event `seq`, which is the completion of the step or what somebody named.

    `undone` if the run was rolled back to before it since; one can return there nevertheless.
    """

    seq: int
    at: datetime
    name: str
    named: bool = False
    undone: bool = False


def _place(named: int | str | Checkpoint) -> int | str:
    return named.seq if isinstance(named, Checkpoint) else named


class Links(Protocol):
    """How a handle reaches what is above it."""

    async def take(self, *, again: bool = False) -> object:
        """Take its run up."""
        ...

    async def code(self) -> Runnable[..., Any]:
        """Find its code."""
        ...

    def other(self, run: str) -> Handle[Any]:
        """Make a handle of another run of that code."""
        ...


class Handle(Generic[R_co]):
    """A run: ask it, watch it, stop it. Handles are cheap; any number of them may be held of one run."""

    def __init__(self, engine: Engine, run: str, output_type: Any, links: Links) -> None:
        self.id = run
        self._engine = engine
        self._output_type = output_type
        self._links = links
        self._last: Driver | None = engine.drivers.get(run)

    def __repr__(self) -> str:
        return f"<run {self.id}>"

    # --- how it ends

    async def result(self) -> R_co:
        """Wait for the run's end; its result.

        Raises `RunFailed` (its cause is the step's own exception), `RunCancelled`, or what keeps this process from
        driving the run on (`StoreError`, `Fenced`, `Nondeterminism`); in a step, `RipresaError(workflow_deadlock)` if
        the run could never end, for it needs what the step holds. Cancelling the waiting does not cancel the run.
        """
        async with self._engine.waits.for_run(self.id):
            driver = self._driver()
            if driver is not None:
                await driver.ended.wait()
                driver.ended.result()
            return await self._ended_result()

    async def _ended_result(self) -> R_co:
        if self._last is not None and self._last.asleep:
            self._last = None
        rolled_back = self.id in self._engine.rolled_back
        if self._last is not None and self._last.state.status == "completed" and not rolled_back:  # which is for good
            return cast("R_co", self._decode("completed", self._last.output))
        view = await self._ended_view()
        if view.failure is not None and view.status == "failed":
            raise run_error(self.id, view.failure)
        if view.status in ("cancelled", "terminated", "undone"):
            raise cancel_error(self.id, view.status, view.reason, view)
        if not view.ended and self._last is not None and self._last.ended.done():
            self._last.ended.result()  # what kept it from going on here
        return cast("R_co", self._decode(view.status, view.output))

    async def outcome(self) -> Outcome[R_co]:
        """Wait for the run's end and say how it was; never raises for what the run did."""
        try:
            return Outcome("completed", await self.result())
        except Exception as error:  # whatever `result` raises is the outcome
            return Outcome((await self.status()).status, None, error)

    def _decode(self, status: str, output: Any) -> Any:
        return result_of(self.id, status, output, Values(self._engine.store.blob), self._output_type)

    async def _ended_view(self) -> RunView:
        view = await self.status()
        if not view.ended:
            async with aclosing(self.events(after=view.seq)) as events:
                async for _ in events:
                    pass
            view = await self.status()
        return view

    # --- how it stands

    async def status(self) -> RunView:
        """The run as it stands: status, progress, every step; rebuilt from its events.

        `left` says that the process which drove it has gone before it ended: `resume` takes it up.
        """
        view = view_of(await self._engine.history(self.id))
        view.left = not view.ended and view.status != "paused" and await self._is_left()
        return view

    async def _is_left(self) -> bool:
        """Whether nobody drives the run, nor needs to."""
        if self.id in self._engine.drivers:
            return False
        head = await self._engine.store.find_run(self.id)
        is_active = head is not None and head.status in ACTIVE and head.status != "paused"  # else it ended, or sleeps
        return is_active and not await self._engine.is_driven(self.id)

    @overload
    async def state(self, /) -> dict[str, Any]: ...
    @overload
    async def state(self, kind: type[T], /) -> T: ...
    async def state(self, kind: Any = None, /) -> Any:
        """The run's typed state as it stands, rebuilt from its events: of its class if that is given, else plain data.

        What branches under way have written is not in it before their join. Raises `RipresaError(no_state)` for a
        run without a state, `InvalidValue(invalid_field)` if it does not fit the class.
        """
        found = (await self.status()).state
        if found is None:
            raise RipresaError(f"run {self.id!r} has no state", code="no_state", op="state")
        text = whole(found.fields, Values(self._engine.store.blob).text)
        return decode(text, Any if kind is None else kind, where=f"state of run {self.id}", code="invalid_field")

    async def interactions(self) -> list[Interaction]:
        """Who sent what to whom, in order: agents, models, tools and people, by name; see `sequence_diagram`."""
        return interactions_of(await self.status(), Values(self._engine.store.blob).text)

    async def at(self, seq: int | Checkpoint) -> RunView:
        """The run as it stood after the event of this number: every checkpoint can be looked at, none is a copy."""
        seq = seq.seq if isinstance(seq, Checkpoint) else seq
        return view_of([item for item in await self._engine.history(self.id) if item.seq <= seq])

    async def checkpoints(self) -> list[Checkpoint]:
        """The places in the journal that one can look at or compare: after each step, and where somebody named one."""
        found = places(await self._engine.history(self.id))
        return [Checkpoint(place.seq, moment(place.at), place.name, place.named, place.undone) for place in found]

    async def diff(self, before: int | str | Checkpoint, after: int | str | Checkpoint) -> list[Change]:
        """What became of the run between two places of its journal, in the order in which it happened first.

        A place is a checkpoint, its name, the number of an event or the path of a step (after it returned).
        """
        journal = await self._engine.history(self.id)
        named = (_place(before), _place(after))
        seqs = [place if isinstance(place, int) else event_at(journal, place) for place in named]
        old, new = (view_of(journal[: written_by(journal, seq)]) for seq in seqs)
        return changes(old, new)

    async def rollback(
        self,
        to: int | str | Checkpoint,
        *,
        set: Mapping[str, Any] | None = None,
        again: bool = False,
        reason: str = "",
        by: str = "",
    ) -> None:
        """Take the run back to an earlier place of its journal and let it go on from there, in this process.

        A run that another living process drives goes on there: its owner is asked, and has done it on return.

        What came after is kept as history, and done anew under new idempotency keys. `to` is the number of an event,
        a checkpoint or its name, or the path of a step (after it returned). What is in flight is stopped first.
        `set` is as in `fork`: steps, by path, return something else than they did, fields of the state (`state.NAME`)
        hold something else at the place. A step that had returned by then is taken back too.

        Raises `RipresaError(effects_undecided)` if reversible or irreversible steps would be done again and `again`
        does not say that they may, `no_such_place`, `IllegalTransition` for a terminated run and for places where
        there was nothing to go on with, and what `resume` raises.
        """
        from .runtime.travel import Back
        from .runtime.turning import take_back

        given = {path: to_json(value) for path, value in (set or {}).items()}
        await take_back(self._engine, self.id, await self._links.code(), Back(_place(to), again, reason, by, given))

    async def undo(self, to: int | str | Checkpoint | None = None, *, reason: str = "", by: str = "") -> UndoReport:
        """Take back what the run did, last first, by what its steps declare to undo them; the run has ended before.

        `to` is a place as in `rollback`: what happened until then stays. A second call repeats nothing but what could
        not be undone; one that another process has begun, or left in the middle, is seen to its end.

        Raises `IllegalTransition` for a run that has not ended (cancel it: that undoes it too), `no_such_place`, and
        what `resume` raises.
        """
        from .runtime.undoing import Undo, begin_undo, report_of

        asked = Undo(None if to is None else _place(to), reason, by)
        driver = await begin_undo(self._engine, self.id, self._links.code, asked)
        if driver is not None:
            await driver.ended.wait()
            driver.ended.result()
        view = await self._ended_view()
        if not view.ended:
            raise interrupted(self.id)
        return report_of(await self._engine.history(self.id))

    async def fork(
        self,
        at: int | str | Checkpoint | None = None,
        *,
        set: Mapping[str, Any] | None = None,
        id: str | None = None,
        effects: Effects = "refuse",
        fresh: bool = False,
        by: str = "",
    ) -> Handle[R_co]:
        """Begin a new run from a place of this one, in this process; this one is not changed.

        `at` is as in `rollback`, by default the run's present place. `set` gives steps, by path, another output than
        they had, and the run, as `input`, another input: only what depends on it runs again. Every result that was
        recorded after the place is taken over by the step of the same name and input, unless `fresh`; what came from
        outside after it (timers, signals) is waited for anew. `effects` says what becomes of reversible and
        irreversible steps after the place: `reuse` their results, do them `again`, or `refuse` to fork.

        Raises `RunExists`, `RipresaError(effects_undecided, no_such_place)`, `InvalidValue`, `IllegalTransition`.
        """
        from .runtime.travel import Fork, fork

        given = {path: to_json(value) for path, value in (set or {}).items()}
        if effects not in get_args(Effects):
            raise InvalidConfig(f"effects is {effects!r}, must be one of {', '.join(get_args(Effects))}", op="fork")
        place = None if at is None else _place(at)
        wanted = Fork(place, given, checked_id(id, "fork"), effects, fresh, by)
        driver = await fork(self._engine, self.id, await self._links.code(), wanted)
        return self._links.other(driver.run)

    async def checkpoint(self, name: str, *, by: str = "") -> None:
        """Give the run's present place in its journal a name. Raises `IllegalTransition` if the run has ended."""
        await self._request("checkpoint", name, by)

    async def fan_outs(self) -> dict[str, FanOutEvents]:
        """The fan-outs of the run so far by path: the events of each branch in order, and the one summary of all."""
        return fan_outs(await self._engine.history(self.id))

    async def events(self, *, after: int = 0) -> AsyncGenerator[Recorded, None]:
        """The run's events from sequence number `after` on, gapless and in order, until it ends or is left alone.

        Never slows the run: a reader that falls behind reads the journal.
        """
        async with aclosing(self.watch(after=after)) as items:
            async for item in items:
                if isinstance(item, Recorded):
                    yield item

    async def progress(self) -> AsyncGenerator[RunView, None]:
        """The run as it stands after each of its events, from the first: `percent`, `current` steps, all of `status()`.

        It is one view that goes on with the run: look at it before the next is asked for. Never slows the run.
        """
        view = RunView()
        async with aclosing(self.events()) as events:
            async for recorded in events:
                view.apply(recorded)
                yield view

    async def watch(self, *, after: int = 0, asleep: bool = True) -> AsyncGenerator[Recorded | Notice, None]:
        """The same with notices in between: starts of attempts and what steps say about their progress.

        A run that leaves memory because it only waits is watched on, unless `asleep` is false.
        """
        watcher = self._engine.feed.watch(self.id)
        try:
            async for item in self._follow(watcher, after, asleep):
                yield item
        finally:
            self._engine.feed.leave(self.id, watcher)

    async def _follow(self, watcher: Watcher, seq: int, asleep: bool) -> AsyncGenerator[Recorded | Notice, None]:
        while True:
            for recorded in await self._engine.history(self.id, seq):
                seq = recorded.seq
                yield recorded
            ended = await self._is_over(asleep)
            if ended and not await self._engine.store.read(self.id, seq):
                return
            if self._driver() is None:
                await asyncio.sleep(POLL)
                continue
            async for item in watcher.live(seq):
                seq = item.seq if isinstance(item, Recorded) else seq
                yield item

    async def _is_over(self, asleep: bool) -> bool:
        """Whether nothing more will come: it ended, or nobody drives it (one that is asleep may go on)."""
        if self._driver() is not None:
            return False
        head = await self._engine.store.find_run(self.id)
        if head is None:
            raise not_found(self.id)
        if head.status == WAITING:
            return not asleep
        return head.status in TERMINAL or not await self._engine.is_driven(self.id)

    def _driver(self) -> Driver | None:
        found = self._engine.drivers.get(self.id)
        if found is not None:
            self._last = found
        return found

    # --- what is asked of it

    async def cancel(self, reason: str = "", *, by: str = "") -> None:
        """Ask the run to stop and clean up; durable on return. A second call changes nothing.

        Where another process drives the run, that has taken it up on return, unless it takes longer than 2 s: then it
        does so as soon as it can. The same is true of `terminate`, `pause` and `resume`.
        Raises `IllegalTransition` if it has ended.
        """
        await self._request("cancel", reason, by)

    async def terminate(self, reason: str = "", *, by: str = "") -> None:
        """Kill the run: nothing is cleaned up. Raises `IllegalTransition` if it has ended."""
        await self._request("terminate", reason, by)

    async def pause(self, reason: str = "", *, by: str = "") -> None:
        """Let the run start nothing new; what is in flight ends. Raises `IllegalTransition` unless it is running.

        Durable on return, and `status()` says so; where another process drives the run, see `cancel`.
        """
        await self._request("pause", reason, by)

    async def allow(self, limits: Limits | None, *, by: str = "") -> None:
        """Give the run these limits instead of its own, and let it go on if it paused; None: it fails of its limit.

        What it has used counts against the new limits. The limits of its session are set with `app.sessions.allow`.
        """
        await self._request("limits", "" if limits is None else limits.encode() or "{}", by)

    async def reconcile(
        self, path: str, *, completed: object = ..., failed: str | None = None, retry: bool = False, by: str
    ) -> None:
        """Say what an irreversible step really did that ended without a report: its result, why it failed, or `retry`.

        `path` is one of `status().parked`. With `retry` it did nothing and is tried again. Durable on return; where
        nobody drives the run, it is taken up. Raises `RipresaError(not_available)` if that step is not waited for,
        `invalid_state` if somebody else's answer came first, `InvalidValue` if it could not have returned this, and
        what needs the run's code to be known.
        """
        from .runtime.reconciling import answer_to, heard

        if [completed is not ..., failed is not None, retry].count(True) != 1:
            raise InvalidConfig("say one of completed, failed and retry", op="reconcile")
        verdict = "retry" if retry else "completed" if failed is None else "failed"
        async with self._seen() as driver:
            body, seq = answer_to(driver, path, verdict, completed if failed is None else failed, by), driver.state.seq
        await self._engine.inbox.answer(self.id, "reconcile", to_json(body), take=self._links.take)
        await heard(self._engine, self.id, body, seq)

    @asynccontextmanager
    async def _seen(self) -> AsyncGenerator[Driver, None]:
        """The run as it stands, with its code: that which is driven here, or one that is only looked at."""
        here = self._engine.drivers.get(self.id)
        if here is not None:
            yield here
            return
        head = await self._engine.store.find_run(self.id)
        if head is None:
            raise not_found(self.id)
        line = lineage(await self._engine.history(self.id))
        driver = replayed(self._engine, head, await self._links.code(), line)
        try:
            yield driver
        finally:
            driver.close()

    async def resume(self, *, again: bool = False, by: str = "") -> None:
        """Let a paused run go on, or take up a failed or abandoned one from its first unfinished steps.

        Where another process drives the run that is asked of it, and a pause that it has not taken up yet is undone.
        Raises `RipresaError(effects_undecided)` if a failed one begins anew, for what it did was undone, and would do
        what nothing can undo once more, unless `again` says that it may.
        """
        asked = await self._engine.store.pending([self.id])  # before the look: what is taken up changes the status
        head = await self._engine.store.find_run(self.id)
        if head is None:
            raise not_found(self.id)
        pauses = head.status not in TERMINAL and any(request.kind == "pause" for request in asked)
        if head.status == "paused" or pauses:
            await self._request("continue", "", by)
        else:
            await self._links.take(again=again)

    async def send(self, signal: Signal[T], value: T, /, *, id: str = "", by: str = "") -> bool:
        """Send the run a signal; recorded on return. False if it was sent one with the same `id` before.

        It goes to the oldest wait for this signal; one that comes early is kept for the next. `by` is a claim that is
        recorded. Raises `InvalidValue` for a value of another type, `IllegalTransition` if the run has ended.
        """
        text = encode(value, signal.type, where=signal.name, code="invalid_input")
        return await self._engine.inbox.signal(
            self.id, encode_signal(signal.name, text, id, by), id, take=self._links.take
        )

    async def update(
        self,
        update: Update[A, R],
        value: A,
        /,
        *,
        id: str = "",
        by: str = "",
        timeout: Duration | None = None,
    ) -> R:
        """Send the run an update and wait for its answer; a run that is asleep is woken.

        One that comes early is kept until the run asks for it. With an `id` it counts once: sent again, it gets the
        answer that there is. Raises `RipresaError` with `update_refused`, `update_unanswered` when the run ends before
        it answers, `update_timeout` (the update is still with the run), or what keeps this process from driving
        the run on; `InvalidValue` for a value of another type,
        `IllegalTransition` if the run has ended.
        """
        text = encode(value, update.type, where=update.name, code="invalid_input")
        patience = None if timeout is None else seconds(timeout, "timeout")
        asking = exchange.Asking(self.id, update.name, text, id, by)
        try:
            answer = await exchange.update(self._engine, asking, self._after, self._links.take, patience)
        except RipresaError as error:
            last = self._driver() or self._last
            if error.code == "update_unanswered" and last is not None and last.ended.done():
                last.ended.result()  # what kept it from going on here
            raise
        return cast("R", decode(answer, update.answer, where=update.name, code="invalid_output"))

    def _after(self, seq: int) -> AsyncGenerator[Recorded, None]:
        return self.events(after=seq)

    @overload
    async def query(self, query: Query[R], /) -> R: ...
    @overload
    async def query(self, query: QueryWith[A, R], about: A, /) -> R: ...
    async def query(self, query: Any, /, *about: Any) -> Any:
        """Ask the run something that changes nothing, as it stands in its journal; also when it sleeps or has ended.

        Durable functions say what they answer with `ctx.expose`. Every run answers `progress` (status, completed,
        total, percent) and, if it has one, `state`. It costs about as much as `status`.

        Raises `RipresaError` with `unknown_query` (naming those that there are), `query_failed`, `no_state`;
        `InvalidValue` for an answer, or something asked about, of another type; what needs the run's code to be known.
        """
        from .runtime.querying import ask

        text = encode(about[0], getattr(query, "type", Any), where=query.name, code="invalid_input") if about else None
        answer = await ask(self._engine, self.id, self._links.code, query.name, text)
        return decode(answer, query.answer, where=query.name, code="invalid_output")

    async def queries(self) -> list[str]:
        """The names of the queries that the run answers as it stands."""
        from .runtime.querying import names

        return await names(self._engine, self.id, self._links.code)

    async def approvals(self) -> list[OpenApproval]:
        """What people are asked in the run at the moment."""
        head = await self._engine.store.find_run(self.id)
        if head is None:
            raise not_found(self.id)
        return await approvals.open_in(self._engine, head)

    async def approve(
        self,
        name: str = "",
        *,
        by: str,
        form: object = None,
        comment: str = "",
        roles: Sequence[str] = (),
        digest: str = "",
        id: str = "",
    ) -> bool:
        """Grant an approval: the one of this name or path, or the only one that is open.

        `by` and `roles` are claims that are recorded. It counts for nothing but what was looked at: that of the
        `digest` (`OpenApproval.digest`), or what is asked when this is called. With an `id` it counts once, and sent
        again comes to what it came to the first time. False if nobody drives the run who could take it up; it is kept
        until somebody does.

        Raises `RipresaError` with `vote_refused` (somebody else is asked, or the form is wrong), `not_available` if no
        such approval is open.
        """
        answer = Answer(by, roles, True, approvals.as_form(form), comment, digest, id)
        return await approvals.answer(self._engine, self.id, name, answer, self._links.take)

    async def reject(
        self,
        name: str = "",
        *,
        by: str,
        form: object = None,
        comment: str = "",
        roles: Sequence[str] = (),
        digest: str = "",
        id: str = "",
    ) -> bool:
        """Reject an approval; see `approve`."""
        answer = Answer(by, roles, False, approvals.as_form(form), comment, digest, id)
        return await approvals.answer(self._engine, self.id, name, answer, self._links.take)

    async def delegate(self, name: str = "", *, by: str, to: str, roles: Sequence[str] = ()) -> bool:
        """Let `to` answer an approval instead of `by`; see `approve`."""
        asked = await approvals.find(self._engine, self.id, name)
        return await approvals.delegate(self._engine, asked, Answer(by, roles), to, self._links.take)

    async def _request(self, kind: str, reason: str, by: str) -> None:
        await self._engine.inbox.request(self.id, kind, reason=reason, by=by, take=self._links.take)
