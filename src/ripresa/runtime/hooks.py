"""The border to hooks: interceptors are asked and observers told here, bounded in time, and what they raise is data.

Law: nothing is done here for a run where no hook stands. A hook never holds the run up beyond its timeout, and a
cancelled run does not wait for one; what a hook answers counts only as the fact `Intercepted`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from functools import partial
from inspect import isawaitable, iscoroutine
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from ..authoring.asked import Observed
from ..authoring.call import closed
from ..authoring.failures import failure_of
from ..authoring.flow import Runnable
from ..authoring.hooks import (
    EVERYTHING,
    Breaker,
    Hook,
    Hooks,
    Placed,
    in_order,
    placed_everywhere,
    placed_in,
)
from ..context import copy_variables
from ..core.commands import Command, Intercept, Withdraw
from ..core.durations import MICROSECONDS, seconds
from ..core.events import (
    Fact,
    HookAwaited,
    HookFailed,
    HooksSet,
    Intercepted,
    PointReached,
    Recorded,
    ScopeEnded,
    StepUndone,
    UndoFailed,
)
from ..core.frames import CallFrame, Frame
from ..core.gates import is_awaited, place_of
from ..core.lifecycle import TERMINAL
from ..core.nodes.compensation import CompensationFrame
from ..core.points import EVENTS, matches, plain_name
from ..errors import RipresaError
from ..ports import Alarm, Clock
from .attempts import bound_at
from .functions import moment
from .questions import Question

if TYPE_CHECKING:
    from .driver import Driver
    from .engine import Engine

_CLOSER: Final[dict[type[Any], str]] = {StepUndone: "compensated", UndoFailed: "compensation_error"}
"""Points of events that stand at a wider one too."""

_POINTS: Final = {event: point for point, events in EVENTS.items() if point not in _CLOSER.values() for event in events}
_QUEUE: Final = 10_000
"""The most events that wait for a slow observer; it is not told of more."""

NOTED: Final = MICROSECONDS
"""A hook that takes longer than this is noted as what the run waits for."""

_log = logging.getLogger("ripresa")


class Circuit:
    """Whether a hook is called: not for a while after it failed too often in a row, then once to see."""

    def __init__(self, breaker: Breaker, clock: Clock) -> None:
        self.breaker = breaker
        self.clock = clock
        self.failures = 0
        self.closed_until = 0

    def lets_through(self) -> bool:
        """Whether the hook may be called now; of those who ask while it is tried, only the first."""
        if self.failures < self.breaker.failures:
            return True
        now = self.clock.now()
        if now < self.closed_until:
            return False
        self._wait(now)
        return True

    def note(self, *, failed: bool) -> None:
        """How a call of the hook ended."""
        self.failures = self.failures + 1 if failed else 0
        if self.failures >= self.breaker.failures:
            self._wait(self.clock.now())

    def _wait(self, now: int) -> None:
        self.closed_until = now + round(seconds(self.breaker.reset) * MICROSECONDS)


class Switchboard:
    """What the hooks of one engine share: those of the app, their circuits, and what waits for slow observers."""

    def __init__(self, engine: Engine, hooks: Hooks) -> None:
        self.engine = engine
        self.hooks = hooks
        self.circuits: WeakKeyDictionary[Hook, Circuit] = WeakKeyDictionary()
        self.outboxes: dict[Hook, Outbox] = {}
        self._forget = hooks.on_change(self._changed)

    def circuit(self, hook: Hook) -> Circuit | None:
        """The circuit of a hook that has a breaker."""
        if hook.breaker is None:
            return None
        found = self.circuits.get(hook)
        if found is None:
            found = self.circuits[hook] = Circuit(hook.breaker, self.engine.clock)
        return found

    def outbox(self, hook: Hook) -> Outbox:
        """Where events wait for an observer that takes its time."""
        found = self.outboxes.get(hook)
        if found is None:
            found = self.outboxes[hook] = Outbox(hook, self)
        return found

    def of_run(self, driver: Driver) -> RunHooks | None:
        """The hooks of a run; None if no hook concerns it, so that nothing need be done for it."""
        if not len(self.hooks) and not driver.noted and not placed_in(driver.state.definition.root):
            return None
        found = RunHooks(driver, self)
        return found if found.placed else None

    def _changed(self) -> None:
        for driver in tuple(self.engine.drivers.values()):
            for fact in changed_points(driver):
                driver.deliver_if_driven(fact)

    async def close(self) -> None:
        """Let slow observers have what waits for them, as long as the engine is patient."""
        self._forget()
        waiting = [box.task for box in self.outboxes.values() if box.task is not None]
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=self.engine.patience)
            for task in late:
                task.cancel()


class Outbox:
    """Events on their way to an observer that is not called on the event loop, in order."""

    def __init__(self, hook: Hook, board: Switchboard) -> None:
        self.hook = hook
        self.board = board
        self.waiting: deque[tuple[RunHooks, Observed]] = deque()
        self.task: asyncio.Task[None] | None = None

    def put(self, run: RunHooks, observed: Observed) -> None:
        """Hand an event over; if too many wait, that counts as a failure of the observer."""
        if len(self.waiting) >= _QUEUE:
            error = RipresaError(f"{_QUEUE} events wait for the observer", code="hook_failed", where=self.hook.name)
            run.failed_observer(self.hook, observed, error)
            return
        self.waiting.append((run, observed))
        if self.task is None:
            self.task = self.board.engine.loop.create_task(self._work(), name=f"ripresa observer {self.hook.name}")

    async def _work(self) -> None:
        try:
            while self.waiting:
                run, observed = self.waiting.popleft()
                await run.tell(self.hook, observed)
        finally:
            self.task = None


class RunHooks:
    """The hooks that concern one run."""

    place: Callable[[str], int]
    """The event that the name of a place means; it is there while a rollback is asked about."""

    def __init__(self, driver: Driver, board: Switchboard) -> None:
        self.driver = driver
        self.board = board
        self.asking: dict[str, asyncio.Task[None]] = {}
        self.placed: list[Placed] = []
        self._waits: dict[asyncio.Task[Any], Hook] = {}
        """Who waits for which hook."""
        self._asked: dict[str, list[Placed]] = {}
        self._told: dict[str, list[Placed]] = {}
        self._circuits: dict[Hook, Circuit | None] = {}
        self.refresh()

    def refresh(self) -> None:
        """Look again which hooks there are."""
        state = self.driver.state
        workflow = state.definition.name
        everywhere = [
            one for one in placed_everywhere(self.board.hooks) if matches(one.hook.workflow, workflow, workflow)
        ]
        found = [*everywhere, *placed_in(state.definition.root), *self.driver.noted.values()]
        self.placed = found
        self._asked = _by_point(one for one in found if not one.hook.observes)
        self._told = _by_point(one for one in found if one.hook.observes)
        self._circuits = {one.hook: self.board.circuit(one.hook) for one in found}
        for task, hook in self._waits.items():
            if hook not in self._circuits:
                task.cancel()

    @property
    def observed(self) -> bool:
        """Whether anybody is to be told of events."""
        return bool(self._told)

    def stands_at(self, point: str) -> bool:
        """Whether an interceptor stands at this point, wherever in the run."""
        return point in self._asked

    def recorded(self) -> tuple[str, ...]:
        """The points at which hooks stand, as a run records them."""
        return tuple(sorted({text for one in self.placed for text in one.recorded()}))

    def change(self, at: int) -> HooksSet | None:
        """The fact that other hooks stand than the run has recorded."""
        self.refresh()
        recorded = self.recorded()
        return None if recorded == self.driver.state.hooks else HooksSet(at, recorded)

    # --- interceptors

    def asked_at(self, command: Intercept) -> list[Hook]:
        """The interceptors at a gate, in order."""
        placed = self._asked.get(command.point)
        if placed is None:
            return []
        state = self.driver.state
        frame: Any = state.frames.get(command.path) or state.root
        place = place_of(frame, state.gates[command.path])
        return [one.hook for one in placed if _concerns(one, frame, place, self.driver)]

    def at_once(self, command: Intercept) -> list[Fact] | None:
        """The answer of interceptors that need not be awaited; None if one of them must be."""
        hooks = self.asked_at(command)
        for hook in hooks:
            if hook.timeout is not None:
                return None
        question = Question(self.driver, command, waits=False)
        facts: list[Fact] = []
        for hook in hooks:
            try:
                answer = self._called(hook, question)
            except RipresaError as error:
                if self._refused(hook, question, error, facts):
                    return facts
            else:
                if answer is not None and question.take(hook, answer):
                    break
        facts.append(question.fact())
        return facts

    def _called(self, hook: Hook, question: Question) -> Any:
        """The answer of one hook that is called on the event loop; see `_call`."""
        circuit = self._circuits[hook]
        if circuit is not None and circuit.failures and not circuit.lets_through():
            return _left_out(hook)
        asked = _put(hook, question)
        try:
            answer = at_once(hook, asked)
            if answer is not None:
                question.check(hook, answer)
        except BaseException as error:  # the border: whatever a hook raises is data from here on
            if _is_not_its_own(hook, error):
                raise
            raise self._broken(hook, circuit, error) from error
        if circuit is not None and circuit.failures:
            circuit.note(failed=False)
        return answer

    def ask(self, command: Intercept) -> None:
        """Ask interceptors in a task of their own; their answer comes to the run as mail."""
        self.withdraw(command.path)
        task = self.board.engine.loop.create_task(self._ask(command), name=f"ripresa hooks {self.driver.run}")
        self.asking[command.path] = task

    def withdraw(self, path: str) -> None:
        """Nobody waits for the answer any more."""
        task = self.asking.pop(path, None)
        if task is not None:
            task.cancel()

    async def close(self) -> None:
        """Stop asking; a hook that does not stop is left to itself after the engine's patience."""
        tasks = list(self.asking.values())
        for path in list(self.asking):
            self.withdraw(path)
        if tasks:
            await asyncio.wait(tasks, timeout=self.board.engine.patience)

    async def answered(self, command: Intercept) -> list[Fact]:
        """The answer of interceptors, however long they take."""
        return await self._answered(command, self.asked_at(command))

    async def _ask(self, command: Intercept) -> None:
        facts = await self._answered(command, self.asked_at(command))
        if self.asking.get(command.path) is not asyncio.current_task():
            return  # it was withdrawn, and the hook did not mind being cancelled
        del self.asking[command.path]
        for fact in facts:
            self.driver.deliver_if_driven(fact)

    async def _answered(self, command: Intercept, hooks: list[Hook]) -> list[Fact]:
        """Ask one after another until one decides; what each replaces is what the next is asked about."""
        question = Question(self.driver, command, waits=True)
        facts: list[Fact] = []
        for hook in hooks:
            try:
                answer = await self._stayed(hook, question)
            except RipresaError as error:
                if self._refused(hook, question, error, facts):
                    return facts
            else:
                if answer is not None and question.take(hook, answer):
                    break
        return [*facts, question.fact()]

    async def _stayed(self, hook: Hook, question: Question) -> Any:
        """The answer of a hook that is still there when it has answered; one that was taken away is not waited for."""
        task = asyncio.current_task()
        assert task is not None
        if hook not in self._circuits:
            return None
        self._waits[task] = hook
        asked = task.cancelling()
        try:
            answer = await self._call(hook, question)
        except asyncio.CancelledError:
            if hook in self._circuits or task.cancelling() > asked + 1:
                raise
            answer = None
        finally:
            del self._waits[task]
        if hook in self._circuits:
            return answer
        while task.cancelling() > asked:
            task.uncancel()
        return None

    def _refused(self, hook: Hook, question: Question, error: RipresaError, facts: list[Fact]) -> bool:
        """Note that a hook failed; whether that decides, because it is critical."""
        failure = failure_of(error, question.path)
        if hook.critical:
            facts.append(question.refused(hook, failure))
        else:
            facts.append(HookFailed(question.at, question.path, question.point, hook.name, failure))
        return hook.critical

    async def _call(self, hook: Hook, question: Question) -> Any:
        """The answer of one hook, None if it has none or is left out. Raises what makes it one that failed."""
        circuit = self._circuits.get(hook)
        if circuit is not None and not circuit.lets_through():
            return _left_out(hook)
        asked = _put(hook, question)
        alarm = None if hook.timeout is None else self._noted_later(hook, question)
        try:
            answer = await called(hook, asked, self.board.engine)
            question.check(hook, answer)
        except BaseException as error:  # the border: whatever a hook raises is data from here on
            if _is_not_its_own(hook, error):
                raise
            raise self._broken(hook, circuit, error) from error
        finally:
            if alarm is not None:
                alarm.cancel()
        if circuit is not None:
            circuit.note(failed=False)
        return answer

    def _noted_later(self, hook: Hook, question: Question) -> Alarm:
        """Let the run say what it waits for, if the hook has not answered by then."""
        since = question.at

        def note() -> None:
            fact = HookAwaited(question.at, question.path, question.point, hook.name, since)
            self.driver.deliver_if_driven(fact)

        clock = self.board.engine.clock
        return clock.call_at(clock.now() + NOTED, note)

    def _broken(self, hook: Hook, circuit: Circuit | None, error: BaseException) -> RipresaError:
        if circuit is not None:
            circuit.note(failed=True)
        _log.warning("a hook failed", extra={"hook": hook.name, "point": hook.point, "run": self.driver.run})
        return _failed(hook, error)

    # --- observers

    def told(self, item: Recorded) -> None:
        """An event is durable: tell those who observe its point."""
        point = point_of(item.event)
        for name in (point, _CLOSER.get(type(item.event), ""), EVERYTHING):
            for one in self._told.get(name, ()):
                if _sees(one, getattr(item.event, "path", "")):
                    self._tell(one.hook, self._observed(name if name != EVERYTHING else point, item))

    def _observed(self, point: str, item: Recorded) -> Observed:
        path: str = getattr(item.event, "path", "")
        driver = self.driver
        name, session, parent = driver.state.definition.name, driver.head.session, driver.state.parent
        return Observed(point, item.run, name, path, moment(item.at), item.seq, item.event, session, parent)

    def _tell(self, hook: Hook, observed: Observed) -> None:
        if not hook.is_inline:
            self.board.outbox(hook).put(self, observed)
        else:
            _without_waiting(self.tell(hook, observed))

    async def tell(self, hook: Hook, observed: Observed) -> None:
        """Tell an observer of an event; what it raises is recorded if the run is still under way."""
        circuit = self._circuits.get(hook)
        if circuit is not None and not circuit.lets_through():
            return
        try:
            await called(hook, observed, self.board.engine)
        except BaseException as error:  # the border: an observer is told afterwards and cannot change what happened
            if _is_not_its_own(hook, error):
                raise
            self.failed_observer(hook, observed, error)
        else:
            if circuit is not None:
                circuit.note(failed=False)

    def failed_observer(self, hook: Hook, observed: Observed, error: BaseException) -> None:
        """Log that an observer failed; keep it as an event, unless what it was told was such an event."""
        circuit = self._circuits.get(hook)
        if circuit is not None:
            circuit.note(failed=True)
        _log.warning("an observer failed", exc_info=error, extra={"hook": hook.name, "run": observed.run})
        over = self.driver.ended.done() or self.driver.state.status in TERMINAL
        if isinstance(observed.event, HookFailed) and (over or not hook.critical):
            return
        failure = failure_of(_failed(hook, error), observed.path)
        now = self.board.engine.clock.now()
        fact = HookFailed(now, observed.path, observed.point, hook.name, failure, hook.critical)
        if over:
            self.board.engine.late.put(self.driver, fact)
        else:
            self.driver.deliver_if_driven(fact)


# --- what the driver of a run calls


def standing(engine: Engine, code: Runnable[..., Any]) -> Iterator[Hook]:
    """The hooks that may concern runs of this code, wherever they stand."""
    yield from engine.switchboard.hooks
    yield from (one.hook for one in placed_in(code.node))


def follow(driver: Driver) -> None:
    """Let observers hear of what becomes durable from now on."""
    told = driver.hooks.told if driver.hooks is not None and driver.hooks.observed else None
    driver.engine.feed.follow(driver.run, told)


def changed_points(driver: Driver) -> list[Fact]:
    """The fact that hooks stand at other points than the run has recorded, if they do."""
    if driver.hooks is None:
        driver.hooks = driver.engine.switchboard.of_run(driver)
    now = max(driver.clock.now(), driver.state.at)
    if driver.hooks is None:
        return [HooksSet(now)] if driver.state.hooks else []
    fact = driver.hooks.change(now)
    follow(driver)
    return [] if fact is None else [fact]


def answers(driver: Driver, command: Intercept, effects: list[Command]) -> list[Fact]:
    """What interceptors answer at once; if one of them must be awaited, that is an effect."""
    if not is_awaited(driver.state, command.path, command.point):
        return []
    facts = [_unasked(driver, command)] if driver.hooks is None else driver.hooks.at_once(command)
    if facts is None:
        effects.append(command)
        return []
    return facts


def ask(driver: Driver, command: Command) -> None:
    """Ask interceptors that must be awaited, or let them go."""
    if driver.hooks is None:
        if isinstance(command, Intercept):  # they stood there when the run was left, and are not there any more
            driver.deliver_if_driven(_unasked(driver, command))
    elif isinstance(command, Withdraw):
        driver.hooks.withdraw(command.path)
    elif isinstance(command, Intercept) and not driver.stopping:
        driver.hooks.ask(command)


def _unasked(driver: Driver, command: Intercept) -> Fact:
    return Intercepted(max(driver.clock.now(), driver.state.at), command.path, command.point, "continue")


# ---


def _by_point(placed: Iterable[Placed]) -> dict[str, list[Placed]]:
    found: dict[str, list[Placed]] = {}
    for one in placed:
        found.setdefault(one.hook.point, []).append(one)
    return {point: in_order(point, here) for point, here in found.items()}


def _put(hook: Hook, question: Question) -> Any:
    """What a hook is asked about. Raises `RipresaError(hook_failed)` if that cannot be read: no fault of the hook."""
    try:
        return question.asked()
    except Exception as error:  # the border: a type of the user's may refuse what was recorded
        message = f"hook {hook.name!r} could not be asked: {failure_of(error).message}"
        raise RipresaError(message, code="hook_failed", where=question.path) from error


def _left_out(hook: Hook) -> None:
    """Nobody asks a hook that keeps failing. Raises `RipresaError(hook_failed)` for a critical one."""
    if hook.critical:
        raise RipresaError(
            f"critical hook {hook.name!r} is left out because it kept failing", code="hook_failed", op="hook"
        )


def _failed(hook: Hook, error: BaseException) -> RipresaError:
    if isinstance(error, RipresaError) and error.code in ("invalid_answer", "timeout"):
        return error
    shown = failure_of(error)
    kind = shown.types[0].rpartition(".")[2] if shown.types else shown.code
    failed = RipresaError(f"hook {hook.name!r} failed: {kind}: {shown.message}", code="hook_failed", op="hook")
    failed.__cause__ = error
    return failed


def _is_not_its_own(hook: Hook, error: BaseException) -> bool:
    """Whether an exception was meant for whoever runs the hook: Ctrl-C, or a cancellation from outside."""
    if not isinstance(error, asyncio.CancelledError):
        return isinstance(error, KeyboardInterrupt) or (isinstance(error, GeneratorExit) and not hook.is_inline)
    task = None if hook.is_inline else asyncio.current_task()
    return task is not None and task.cancelling() > 0


def point_of(event: Any) -> str:
    """The point at which an event stands; empty for one that stands at none."""
    if isinstance(event, PointReached):
        return event.point
    if isinstance(event, ScopeEnded):
        return {"completed": "complete", "failed": "fail"}.get(event.status, "cancel")
    return _POINTS.get(type(event).__name__, "")


def _concerns(one: Placed, frame: Frame, place: tuple[str, str], driver: Driver) -> bool:
    """Whether a hook stands at this node, or at what is undone at this place."""
    hook = one.hook
    if not matches(hook.step, *place):
        return False
    if one.names is not None and isinstance(frame, CompensationFrame):
        return plain_name(place[0]) in one.names
    if not one.beside or any(hook in node.hooks for node in _up(frame)):
        return True
    return isinstance(frame, CallFrame) and hook in bound_at(driver, frame).step.options.hooks


def _up(frame: Frame | None) -> Iterable[Any]:
    while frame is not None:
        yield frame.node
        frame = frame.parent


def _sees(one: Placed, path: str) -> bool:
    """Whether an observer stands at the node that an event is about."""
    name = path.rpartition("/")[2].partition("[")[0].partition("(")[0]
    if one.names is not None and plain_name(name) not in one.names:
        return False
    return matches(one.hook.step, name, path)


def at_once(hook: Hook, asked: Any) -> Any:
    """Call a plain hook, in context variables of its own. Raises whatever it raises."""
    answer = copy_variables().run(hook.fn, asked)
    if answer is not None and isawaitable(answer):
        what = closed(answer) if iscoroutine(answer) else "something to await"
        raise RipresaError(
            f"hook {hook.name!r} gave {what}",
            code="invalid_answer",
            op="hook",
            hint="write `async def`, or give the hook a timeout",
        )
    return answer


async def called(hook: Hook, asked: Any, engine: Engine) -> Any:
    """Call a hook, within its time, in context variables of its own. Raises whatever it raises, and `timeout`."""
    if hook.timeout is None:
        return at_once(hook, asked)
    variables = copy_variables()
    limit = asyncio.timeout(None)
    try:
        async with limit:
            due = engine.clock.now() + round(seconds(hook.timeout) * MICROSECONDS)
            alarm = engine.clock.call_at(due, partial(_expire, limit))
            try:
                answer = await _awaited(hook, variables, asked, engine)
            finally:
                alarm.cancel()
    except TimeoutError as error:
        if limit.expired():
            raise RipresaError(
                f"hook {hook.name!r} took longer than {hook.timeout} s", code="timeout", op="hook"
            ) from error
        raise
    return answer


def _expire(limit: asyncio.Timeout) -> None:
    limit.reschedule(asyncio.get_running_loop().time())


async def _awaited(hook: Hook, variables: Any, asked: Any, engine: Engine) -> Any:
    if hook.is_async:
        return await variables.run(hook.fn, asked)
    answer = await engine.threads.run(partial(variables.run, hook.fn, asked))
    return await answer if isawaitable(answer) else answer


def _without_waiting(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waits")  # pragma: no cover - a hook that is called at once never does
