"""Steps one durable function: a coroutine is fed outcomes in order and yields the calls it asks for.

Law: what a function asks for depends on its input, the run's seed, and the ordered outcomes alone. A slice runs with
a stub in the place of the event loop, so that anything foreign is a clear error.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Any, Final, TypeAlias

from ..authoring.call import Pending
from ..authoring.encoding import decode, encode
from ..authoring.failures import error_of, failure_of
from ..authoring.flow import Runnable, to_node
from ..authoring.function import Workflow
from ..authoring.hooks import Hook, Placed, placed_in
from ..authoring.options import bad_count, refuse
from ..authoring.parameters import Parameters
from ..authoring.patterns import map_each
from ..authoring.step import Step
from ..authoring.undo import declare_undo
from ..context import copy_variables, enter_function
from ..core.definition import can_be_undone
from ..core.durations import MICROSECONDS
from ..core.events import Asked, CallSpec, Failure, Raised, Restarted, Returned, Write
from ..core.nodes.compensation import MARK
from ..core.nodes.dynamic import AGAIN, CALLS, OFF, PATCH, Dynamic, DynamicFrame, Outcome
from ..core.nodes.join import WINDOW
from ..core.nodes.node import Node
from ..core.nodes.sides import JOIN
from ..core.state import RunState
from ..errors import InvalidConfig, RipresaError
from ..function_context import Context, Restart
from ..messages import Query, QueryWith
from ..reporting import FunctionSession
from ..requested import (
    AwaitChild,
    Gather,
    Leave,
    MapOver,
    Outgo,
    Race,
    Saga,
    Scope,
    Sleep,
)
from ..updates import ReadText
from .asks import ask_of
from .deaf import PATIENCE, Cut, throw_away
from .exposing import about_of, bad_query
from .fibers import Awaits, Fiber, Joining, Main, Sink, Undoing, Waiting
from .function_session import JournaledSession, limits_left
from .no_loop import NO_LOOP, foreign
from .results import child_error
from .sides import Forking, Sides, sides_of, tells
from .switched import refused, used_of
from .values import Keeper, Values
from .views import Sheet, SheetMark, Targets, View, kept, no_state, sheet_within

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


MOST_CALLS: Final = 100_000
"""How many calls a durable function can make before it has to begin anew (`ctx.restart`)."""

SliceFact: TypeAlias = Asked | Returned | Raised | Restarted
"""How a slice of a durable function ended."""


def _too_long(workflow: str) -> RipresaError:
    return RipresaError(
        f"durable function {workflow!r} made {MOST_CALLS} calls, which is as many as it can remember",
        code="function_too_long",
        op="resume",
        hint="let it begin anew now and then: ctx.restart(...); or do the work in a flow, such as map_each",
    )


def moment(at: int) -> datetime:
    """The aware datetime of microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=at)


@dataclass(slots=True)
class Slice:
    """What a function asked for between two outcomes."""

    calls: list[CallSpec] = field(default_factory=list[CallSpec])
    dropped: list[int] = field(default_factory=list[int])
    patches: list[str] = field(default_factory=list[str])


class Interpreter:
    """One durable function of one run, as far as it has come."""

    session: FunctionSession = JournaledSession()

    def __init__(
        self,
        state: RunState,
        frame: DynamicFrame,
        values: Values,
        keeper: Keeper,
        recorded: Collection[str] | None,
        noted: dict[tuple[str, Hook], Placed],
        off: frozenset[str],
    ) -> None:
        node = frame.node
        assert isinstance(node, Dynamic)
        self.code: Workflow[..., Any] = node.code
        self.definition = state.definition
        self.path = frame.path
        self.prefix = frame.prefix
        self.run = state.run
        self.workflow = node.workflow
        self.values = values
        self.keeper = keeper
        self.noted = noted
        self.off = off
        """The features that it may not ask for, from where it goes on."""
        self._requests = 0
        """How many since the last outcome."""
        self.at = frame.began
        self.fed = 0
        self.asked = 0
        self.fibers: dict[Fiber, None] = {}
        self.reported = False
        self.waiting: dict[int, Waiting] = {}
        self.ready: deque[tuple[Fiber, int, Any, BaseException | None]] = deque()
        self.slice = Slice()
        self.main = Main()
        self.recorded = recorded
        """The changes that had been asked for where the function is stepped along; None where it goes on."""
        self.exposed: dict[str, tuple[Query[Any] | QueryWith[Any, Any], Callable[..., Any]]] = {}
        self._patches: dict[str, bool] = {}
        self.patience = round(PATIENCE * MICROSECONDS)
        """How many microseconds what a fiber waits for may last in all after it was told to stop."""
        self._is_cancelled = False
        self._scopes = 0
        self._reversible: list[str] = []
        self._undoing: list[Undoing] = []
        self._held: dict[str, SheetMark] = {}
        """What the typed state held where each scope of compensation began."""
        self._names: dict[str, int] = {}
        self._random = Random(f"{state.seed}/{frame.path}")
        self._variables = copy_variables()
        enter_function(self._variables)
        self.state_of_run = state
        self.delta: tuple[Write, ...] = ()
        """What the thing that ends just now has written."""
        self.fiber = Fiber(self, self._coroutine(frame), "", self.main, 0, sheet_within(state, frame, values))
        self.running = self.fiber
        self.fiber.settle(0, None, None)
        self._work()

    # --- what its context reads

    def left(self) -> Awaitable[dict[str, float]]:
        """How much is left of each limit."""
        return limits_left()

    def now(self) -> datetime:
        """The time of the event that the function goes on from."""
        return moment(self.at)

    def random(self) -> Random:
        """The function's random numbers."""
        return self._random

    def patched(self, name: str) -> bool:
        """Whether the function goes by a change of its code: decided where it is first asked for."""
        known = self._patches.get(name)
        if known is None:
            known = self._patches[name] = self.recorded is None or name in self.recorded
            if known:
                self.slice.patches.append(name)
        return known

    def expose(self, query: Query[Any] | QueryWith[Any, Any], answer: Callable[..., Any]) -> None:
        """Let a query be answered."""
        wrong = bad_query(query, answer)
        if wrong:
            raise InvalidConfig(wrong, op="expose", hint='ctx.expose(Query("name", Type), lambda: ...)')
        if inspect.iscoroutinefunction(answer):
            raise RipresaError(
                f"query {query.name!r} is answered by {answer!r}, must be a plain function",
                code="usage",
                op="expose",
                hint="ctx.expose(query, lambda: ...): it returns what is known, and awaits nothing",
            )
        self.exposed[query.name] = (query, answer)

    def reply(self, name: str, about: bytes | None) -> bytes:
        """What is answered to a query, as JSON text. Raises `RipresaError(query_failed)`, `InvalidValue`."""
        query, answer = self.exposed[name]
        given = about_of(query, about)
        self.running = self.fiber
        try:
            return encode(self._run(partial(answer, *given)), query.answer, where=name)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # the border: `SystemExit` too
            raise RipresaError(
                f"what answers query {name!r} of run {self.run!r} raised {type(error).__name__}: {error}",
                code="query_failed",
                op="query",
                where=name,
            ) from error

    def state(self) -> Any:
        """The typed state as the running fiber sees it."""
        return View(self._sheet())

    def to(self) -> Any:
        """Its fields, for reducers."""
        return Targets(self._sheet())

    def _sheet(self) -> Sheet:
        if self.running.sheet is None:
            raise no_state(self.path or self.workflow, f"{self.workflow!r} declares no state")
        return self.running.sheet

    def take_delta(self) -> tuple[Write, ...]:
        """What was written by the thing that has just ended; it is taken once."""
        delta, self.delta = self.delta, ()
        return delta

    # --- from outcomes to calls

    def feed(self, outcomes: Iterable[Outcome]) -> None:
        """Step the function on with the next outcomes."""
        for outcome in outcomes:
            self.at = outcome.at
            self.fed += 1
            self._requests = 0
            if outcome.key == 0:
                self._cancel()
            elif outcome.key in self.waiting:
                self._settle(self.waiting.pop(outcome.key), outcome)
            self._work()

    def _cancel(self) -> None:
        """Stop the function, and the fibers that were given up and are still at their end."""
        self._is_cancelled = True
        asked = [key for key, waiting in self.waiting.items() if isinstance(waiting.sink, Undoing)]
        for sink in [self.waiting.pop(key).sink for key in asked]:  # it has ended, but nobody will say so
            sink.give_up()
            sink.settle(0, None, None)
        for fiber in [fiber for fiber in self.fibers if fiber.sink is None]:
            fiber.cancel()
        if not self.main.ended:
            self.fiber.cancel()

    def fact(self, at: int) -> SliceFact:
        """What happened since the last time: calls asked for and given up, or the end of the function."""
        done, self.slice = self.slice, Slice()
        ended = self.main.ended and not self.fibers and not self.reported
        if ended and done.patches:  # they must be known before it is said how it ended
            return Asked(at, self.path, tuple(CallSpec(0, PATCH, name, shape=AGAIN) for name in done.patches))
        told = [call for call in done.calls if call.kind == JOIN]
        if ended and told and len(told) == len(done.calls):  # it must be known before, too
            return Asked(at, self.path, tuple(told), tuple(done.dropped), self._written())
        if ended:  # nobody is left to hear of what it asked for just before
            self.reported = True
            return self._end(at)
        patches = [CallSpec(0, PATCH, name) for name in done.patches]
        return Asked(at, self.path, (*patches, *done.calls), tuple(done.dropped), self._written())

    def _written(self) -> tuple[Write, ...]:
        return () if self.fiber.sheet is None else self.fiber.sheet.taken(self.keeper)

    def forget(self) -> None:
        """What has happened so far is known already."""
        self.slice = Slice()
        self._written()

    def close(self) -> None:
        """Throw the coroutines away: what their `finally` blocks ask for is not heard."""
        for fiber in reversed(self.fibers):
            throw_away(fiber.coroutine, self._run)
            if isinstance(fiber.awaits, Joining | Forking):
                fiber.awaits.close()

    def give_up(self, fiber: Fiber) -> None:
        """End a fiber that swallows whatever is raised in it."""
        throw_away(fiber.coroutine, self._run)

    def send(self, coroutine: Coroutine[Any, Any, Any], value: Any, error: BaseException | None) -> Any:
        """Step a coroutine once, with no event loop in sight."""
        return self._run(coroutine.send, value) if error is None else self._run(coroutine.throw, error)

    def _run(self, step: Callable[..., Any], *args: Any) -> Any:
        loop = asyncio._get_running_loop()
        asyncio._set_running_loop(NO_LOOP)
        try:
            return self._variables.run(step, *args)
        finally:
            asyncio._set_running_loop(loop)

    def refusal(self, request: object) -> RipresaError | None:
        """Why the function may not ask for this. What was refused stays so, and the journal says it as of a patch."""
        self._requests += 1
        if not (self.off if self.recorded is None else self.recorded):
            return None
        name = f"{OFF}{self.fed}.{self._requests} "
        if self.recorded is not None:
            used = next((each.removeprefix(name) for each in self.recorded if each.startswith(name)), "")
        else:
            used = used_of(self.off, request)
        if not used:
            return None
        self.slice.patches.append(name + used)
        return refused(request, used)

    def begin(self, request: object, fiber: Fiber) -> Awaits:
        """Start what a fiber awaits; returns what it waits for."""
        if fiber.ending is not None and fiber.ending.refuses(request):
            fiber.settle(0, None, asyncio.CancelledError())
            return None
        match request:
            case Pending():
                return self._call(request, fiber, 0, fiber.label)
            case Gather(units):
                return self._join(fiber, list(units), len(units), race=False)
            case Race(units):
                return self._join(fiber, list(units), len(units), race=True)
            case MapOver(link, items, concurrency):
                return self._map(fiber, link, list(items), concurrency)
            case Saga():
                self._enter(fiber)
                return None
            case Leave(scope, failed):
                return self._leave(fiber, scope, failed)
            case ReadText():
                self._read(request, fiber)
                return None
            case _:
                return self._begin_one(request, fiber)

    def _read(self, request: ReadText, fiber: Fiber) -> None:
        try:
            fiber.settle(0, decode(request.text, request.type), None)
        except RipresaError as error:
            fiber.settle(0, None, error)

    def _begin_one(self, request: object, fiber: Fiber) -> Awaits:
        """Start what is one call of its own kind."""
        ending = fiber.ending
        cut = Cut(self.at + request.microseconds) if ending is not None and isinstance(request, Sleep) else None
        try:
            if ending is not None:
                request = ending.cut(request, self.at, self.patience)
            ask = ask_of(request, partial(self.segment, label=fiber.label), self.prefix)
        except RipresaError as error:
            fiber.settle(0, None, error)
            return None
        if ask is None:
            fiber.settle(0, None, foreign(_described(request), self.path or self.workflow))
            return None
        return self._ask(ask.kind, cut or ask.callee, ask.segment, ask.text, fiber, 0)

    def start(self, unit: Any, sink: Sink, index: int, label: str, segment: str = "") -> Awaits:
        """Start one of several things side by side; returns what is waited for."""
        if isinstance(unit, _Item):
            unit = _applied(unit)
        if isinstance(unit, Pending):
            return self._call(unit, sink, index, label, segment)
        if not inspect.iscoroutine(unit):
            sink.settle(index, None, foreign(_described(unit), self.path or self.workflow))
            return None
        fiber = Fiber(self, unit, label, sink, index, _inner(sink))
        fiber.ending = _outer(sink).ending
        fiber.settle(0, None, None)
        return fiber

    def let_go(self, awaits: Awaits) -> None:
        """Give up something that is waited for."""
        if isinstance(awaits, int):
            del self.waiting[awaits]
            self.slice.dropped.append(awaits)
        elif awaits is not None:
            awaits.give_up()

    def _coroutine(self, frame: DynamicFrame) -> Any:
        parameters = self.code.parameters
        try:
            if frame.restarts:  # with the arguments of a call, wherever the first ones came from
                args, kwargs = Parameters.decode(parameters, frame.input, self.values)
            else:
                args, kwargs = parameters.decode(frame.input, self.values)
        except RipresaError as error:
            return _raising(error)
        return self.code.fn(Context(self), *args, **kwargs)

    def _work(self) -> None:
        while self.ready or (self._undoing and self._undo_next()):
            while self.ready:
                fiber, turn, value, error = self.ready.popleft()
                if turn == fiber.turn and (error is None or fiber.hears(error)):
                    fiber.step(value, error)

    # --- scopes of compensation

    def enter_scope(self) -> tuple[int, int]:
        """What happens from now on may have to be undone: how many calls there were, and how many reversible ones."""
        self._scopes += 1
        return self.asked, len(self._reversible)

    def leave_scope(self) -> None:
        """A scope has ended; with the last of them it is forgotten what in them could be undone."""
        self._scopes -= 1
        if not self._scopes:
            self._reversible = []

    def can_undo(self, heads: Iterable[str], seen: int) -> bool:
        """Whether something that can be undone was called below these prefixes since so many of the reversible."""
        below = tuple(heads)
        return any(f"{segment}/".startswith(below) for segment in self._reversible[seen:]) or self._called(below)

    def _called(self, below: tuple[str, ...]) -> bool:
        """Whether steps below these prefixes journaled what can be undone: the journal says so, as of a patch."""
        if not below:
            return False
        name = f"{CALLS}{below[0]}"
        if name in self._patches:
            return True
        if self.recorded is not None:
            found = name in self.recorded
        else:
            found = self.state_of_run.ledger.called_below(self.prefix + head for head in below)
        if found:
            self._patches[name] = True
            self.slice.patches.append(name)
        return found

    def undo(self, undoing: Undoing) -> Undoing:
        """Undo as soon as no fiber is still at its end there; then the scope has ended."""
        self._undoing.append(undoing)
        return undoing

    def _undo_next(self) -> bool:
        """Ask for the next thing to be undone, if its time has come."""
        for undoing in self._undoing:
            below = tuple(undoing.heads)
            if not any(fiber is not undoing.fiber and fiber.label.startswith(below) for fiber in self.fibers):
                self._undoing.remove(undoing)
                self._undo(undoing)
                return True
        return False

    def _undo(self, undoing: Undoing) -> None:
        possible = self.can_undo(undoing.heads, undoing.seen)
        self.leave_scope()
        if not possible:
            undoing.settle(0, None, None)
            return
        name = undoing.name and self.segment(undoing.name, undoing.fiber.label)
        segment = (name or undoing.heads[0].removesuffix(".")) + MARK
        text = json.dumps([undoing.asked, *undoing.heads], ensure_ascii=False).encode()
        self._ask("undo", None, segment, text, undoing, 0)

    def _enter(self, fiber: Fiber) -> None:
        label = self.segment("saga", fiber.label) + "."
        scope = Scope(label, fiber.label, *self.enter_scope())
        if fiber.sheet is not None:
            self._held[label] = fiber.sheet.mark()
        fiber.label = label
        fiber.settle(0, scope, None)

    def _leave(self, fiber: Fiber, scope: Scope, failed: bool) -> Awaits:
        undoing = Undoing(fiber, "", [scope.label], scope.asked, scope.seen)
        undoing.held = self._held.pop(scope.label, None)
        fiber.label = scope.outer
        if failed:
            return self.undo(undoing)
        fiber.settle(0, None, None)
        self.leave_scope()
        return None

    def _settle(self, waiting: Waiting, outcome: Outcome) -> None:
        if outcome.failure is not None:
            waiting.sink.settle(waiting.index, None, _raised(waiting.callee, outcome.failure))
            return
        self.definition.drop_flow(waiting.path)
        if isinstance(waiting.callee, Cut):
            error = asyncio.CancelledError() if outcome.at < waiting.callee.until else None
            waiting.sink.settle(waiting.index, None, error)
            return
        shared = self.state_of_run.shared
        self.delta = () if shared is None else shared.deltas.get(self.path, {}).get(outcome.key, ())
        try:
            value = None if waiting.callee is None else self.values.read(outcome.value, waiting.output_type)
            if isinstance(waiting.callee, Outgo) and waiting.callee.runnable is not None:
                value = value, waiting.callee.runnable.name, waiting.callee.runnable.output_type
        except RipresaError as error:
            self.delta = ()
            waiting.sink.settle(waiting.index, None, error)
        else:
            waiting.sink.settle(waiting.index, value, None)

    def _end(self, at: int) -> Returned | Raised | Restarted:
        if isinstance(self.main.error, Restart):
            return self._restart(at, self.main.error)
        if self.main.error is not None:
            return Raised(at, self.path, failure_of(self.main.error, self.path), self._written())
        try:
            text = encode(self.main.value, self.code.output_type, where=self.path or self.workflow)
        except RipresaError as error:
            return Raised(at, self.path, failure_of(error, self.path))
        return Returned(at, self.path, self.keeper.keep(text), self._written())

    def _restart(self, at: int, restart: Restart) -> Raised | Restarted:
        try:
            if self._is_cancelled:
                raise RipresaError("a function that is being stopped cannot begin anew", code="cancelled", op="restart")
            if not self.asked:
                raise RipresaError(
                    "it begins anew without having made a call, and would for ever", code="usage", op="restart"
                )
            text = self.code.parameters.encode(restart.given, restart.named, where=self.path or self.workflow)
        except RipresaError as error:
            return Raised(at, self.path, failure_of(error, self.path))
        return Restarted(at, self.path, self.keeper.keep(text), self._written())

    # --- requests

    def _call(self, call: Pending, sink: Sink, index: int, label: str, segment: str = "") -> Awaits:
        callee: Step[..., Any] | Runnable[..., Any] = call.callee
        segment = segment or self.segment(callee.name, label)
        try:
            if isinstance(callee, Step):
                text = callee.parameters.encode(call.args, call.kwargs, where=self.prefix + segment)
                for hook in callee.options.hooks:
                    self.noted[callee.name, hook] = Placed(hook, 2, True, frozenset((callee.name,)))
                return self._ask("step", callee, segment, text, sink, index)
            text = callee.encode_input(call.args, call.kwargs)
            return self._ask("flow", callee, segment, text, sink, index)
        except RipresaError as error:
            sink.settle(index, None, error)
            return None

    def _ask(self, kind: str, callee: Any, segment: str, text: bytes, sink: Sink, index: int) -> Awaits:
        if self.asked == MOST_CALLS:
            sink.settle(index, None, _too_long(self.workflow))
            return None
        self.asked += 1
        path = self.prefix + segment
        shape, expected = getattr(callee, "shape", ""), 0
        if kind == "flow":
            node = to_node(callee, segment)
            shape, expected = self._flow(path, node), node.expected()
        undo = (
            declare_undo(self.definition, callee, path)
            if kind == "step" and callee.options.effect == "reversible"
            else ""
        )
        if self._scopes and (undo or (kind == "flow" and can_be_undone(self.definition.flow(path, shape)))):
            self._reversible.append(segment)
        output_type = callee.parameters.returns if kind == "step" else getattr(callee, "output_type", None)
        spec = CallSpec(self.asked, kind, segment, self.keeper.keep(text), shape, self._seen(sink), undo, expected)
        self.slice.calls.append(spec)
        self.waiting[self.asked] = Waiting(callee, sink, index, output_type, path)
        return self.asked

    def _seen(self, sink: Sink) -> tuple[Write, ...]:
        """What a call sees of what its fiber has written and the function's own branch does not hold."""
        sheet = _sheet_of(sink)
        return tuple(kept(write, self.keeper) for write in sheet.unjoined()) if sheet is not None else ()

    def _flow(self, path: str, node: Node[Any]) -> str:
        for one in placed_in(node):
            self.noted[node.name, one.hook] = one
        return self.definition.add_flow(path, node)

    def _join(self, fiber: Fiber, units: list[Any], window: int, *, race: bool) -> Awaits:
        labels = [self._label(unit, fiber.label) for unit in units]
        told = units and tells(self.state_of_run)
        sides = sides_of(self, units, labels, fiber.label, race=race) if told else None
        return self._begin(Joining(fiber, units, labels, window=window, race=race, sides=sides))

    def _map(self, fiber: Fiber, link: Any, items: list[Any], concurrency: int | None) -> Awaits:
        try:
            if isinstance(link, Step | Runnable):
                return self._call(map_each(link, concurrency=concurrency)(items), fiber, 0, fiber.label)  # type: ignore[arg-type]
            where = self.path or self.workflow
            refuse("map", bad_count(concurrency, "concurrency", optional=True), where=where)
        except RipresaError as error:
            fiber.settle(0, None, error)
            return None
        name = self.segment(getattr(link, "__name__", "map").strip("<>"), fiber.label)
        labels = [f"{name}[{index}]." for index in range(len(items))]
        units: list[Any] = [_Item(link, item) for item in items]
        told = items and tells(self.state_of_run)
        sides = Sides("map", name, (f"{name}[",), (), list[Any]) if told else None
        return self._begin(Joining(fiber, units, labels, window=concurrency or WINDOW, race=False, sides=sides))

    def _begin(self, joining: Joining) -> Awaits:
        if joining.sides is not None:
            return Forking(joining, joining.sides).begin()
        return self.begin_joining(joining)

    def tell(self, spec: CallSpec, sink: Sink) -> int | None:
        """Tell of what runs side by side; the number of the call, whose answer comes at once unless hooks are asked."""
        if self.asked == MOST_CALLS:
            sink.settle(0, None, _too_long(self.workflow))
            return None
        self.asked += 1
        self.slice.calls.append(replace(spec, key=self.asked))
        self.waiting[self.asked] = Waiting(spec.kind, sink, 0, Any, self.prefix + spec.segment)
        return self.asked

    def begin_joining(self, joining: Joining) -> Awaits:
        """Begin what runs side by side; what its fiber waits for."""
        joining.begin()
        return joining.undoing or joining

    def _label(self, unit: Any, label: str) -> str:
        return self.segment(str(unit.__name__), label) + "." if inspect.iscoroutine(unit) else label

    def segment(self, name: str, label: str) -> str:
        """A part of a path that nothing else in this function has."""
        full = label + name
        count = self._names.get(full, 0) + 1
        self._names[full] = count
        return full if count == 1 else f"{full}#{count}"


def _outer(sink: Any) -> Fiber:
    """The fiber that waits for an outcome, or for which several things run side by side."""
    found: Fiber = sink.fiber if isinstance(sink, Joining | Undoing) else sink
    return found


def _sheet_of(sink: Any) -> Sheet | None:
    return _outer(sink).sheet


def _inner(sink: Sink) -> Sheet | None:
    sheet = _sheet_of(sink)
    return None if sheet is None else sheet.inner()


@dataclass(frozen=True, slots=True)
class _Item:
    """One item of a map whose link is a plain async function: called when its turn comes."""

    link: Any
    item: Any


async def _applied(unit: _Item) -> Any:
    return await unit.link(unit.item)


def _raised(callee: Any, failure: Failure) -> BaseException:
    """What a failed call raises in the function."""
    return child_error(callee.shape, failure) if isinstance(callee, AwaitChild) else error_of(failure)


async def _raising(error: BaseException) -> Any:
    raise error


def _described(request: object) -> str:
    return "something of another event loop" if request is None else f"a {type(request).__name__}"
