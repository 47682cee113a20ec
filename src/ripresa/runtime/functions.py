"""The durable functions of a run: stepped on as it goes, along with its journal, and rebuilt when they are not there.

Law: the coroutine is a cache: thrown away it is rebuilt from the outcomes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from ..authoring.hooks import Hook, Placed
from ..core.durations import MICROSECONDS
from ..core.events import Asked, Fact, Raised, Restarted
from ..core.nodes.dynamic import AGAIN, PATCH, DynamicFrame
from ..core.parts import CallSpec
from ..core.reopening import goes_on, stands_at
from ..core.state import RunState
from ..errors import Nondeterminism
from .deaf import PATIENCE
from .interpreter import Interpreter, SliceFact
from .interpreter import moment as moment
from .values import Keeper, Values

if TYPE_CHECKING:
    from .engine import Settings


class Doubt(NamedTuple):
    """A slice that differed in replay: what had been asked for and told before it."""

    asked: int
    delivered: int
    difference: Nondeterminism


class Functions:
    """The durable functions of one run, rebuilt when they are not there."""

    __slots__ = (
        "_doubts",
        "_ended",
        "_found",
        "_keeper",
        "_off",
        "_patience",
        "_state",
        "_trails",
        "_values",
        "keeps_ended",
        "noted",
    )

    def __init__(self, state: RunState, values: Values, keeper: Keeper, settings: Settings | None = None) -> None:
        self._off: frozenset[str] = frozenset() if settings is None else settings.off
        self._patience = PATIENCE if settings is None else settings.patience
        self._state = state
        self._values = values
        self._keeper = keeper
        self.noted: dict[tuple[str, Hook], Placed] = {}
        self._found: dict[str, Interpreter] = {}
        self._ended: dict[str, Interpreter] = {}
        self.keeps_ended = False
        """Whether functions that have ended are kept, to be asked."""
        self._doubts: dict[str, Doubt] = {}
        self._trails: dict[str, dict[int, int]] = {}
        """What each function under way, or that raised, asked for: a hash of each call, by number."""

    def resume(self, path: str, first: int, recorded: Collection[str] | None = None) -> SliceFact:
        """Step the function at this path on with its outcomes from number `first`; what it did, as a fact.

        In replay `recorded` are the changes of its code that this slice asked for.
        """
        frame = self._state.frames[path]
        assert isinstance(frame, DynamicFrame)
        self._check_doubt(frame, first)
        function = self._found.get(path)
        if function is None or function.fed != first or function.reported:
            function = self._rebuild(frame, first, recorded)
        function.recorded = recorded
        function.feed(frame.outcomes[first:])
        fact = function.fact(self._state.at)
        if isinstance(fact, Asked):
            trail = self._trails.setdefault(path, {})
            for call in fact.calls:
                trail[call.key] = hash(_asked_for(call))
        else:
            if not isinstance(fact, Raised):  # else it may be taken up again
                self._trails.pop(path, None)
            ended = self._found.pop(path)
            if self.keeps_ended:
                self._ended[path] = ended
        return fact

    def exposed(self) -> dict[str, Callable[[bytes | None], bytes]]:
        """What answers queries, by name: of the functions under way or kept, the outermost first.

        Given what is asked about, as JSON text; None for a query about nothing.
        """
        found: dict[str, Callable[[bytes | None], bytes]] = {}
        functions = {**self._ended, **self._found}
        for path in sorted(functions, key=len):
            for name in functions[path].exposed:
                found.setdefault(name, partial(functions[path].reply, name))
        return found

    def replay(self, fact: SliceFact, *, strict: bool) -> None:
        """Step the function along with a recorded slice and compare what it does.

        If not `strict` the run was reopened later: a difference then counts only if that slice was not taken back.
        """
        frame = self._state.frames.get(fact.path)
        if not isinstance(frame, DynamicFrame):
            raise Nondeterminism("there is no durable function here", op="replay", where=fact.path)
        patches = [call for call in fact.calls if call.kind == PATCH] if isinstance(fact, Asked) else []
        try:
            live = self.resume(fact.path, frame.delivered, {call.segment for call in patches})
            if isinstance(live, Asked) or not patches or patches[-1].shape != AGAIN:  # else it asks no more, and ends
                _compare(fact, live, self._state.definition.name)
        except Nondeterminism as difference:
            if strict:
                raise
            self._doubts.setdefault(fact.path, Doubt(frame.asked, frame.delivered, difference))
            self._drop(fact.path)

    def refuse_differences(self) -> None:
        """Raise what differed in replay of a function that goes on from after that, as soon as it has its turn.

        To be called before anything is appended: else work is done whose results the function does not take.
        """
        for path, doubt in self._doubts.items():
            frame = self._state.frames.get(path)
            if isinstance(frame, DynamicFrame) and goes_on(frame):
                _refuse_after(doubt, *stands_at(frame))

    def _check_doubt(self, frame: DynamicFrame, first: int) -> None:
        """Raise what differed in replay unless the function goes on from before that."""
        doubt = self._doubts.get(frame.path)
        if doubt is not None:
            _refuse_after(doubt, frame.asked, first)
            del self._doubts[frame.path]

    def callee(self, path: str, key: int) -> Any:
        """The step behind call number `key` of the function at this path."""
        function = self._found.get(path)
        if function is None:
            frame = self._state.frames[path]
            assert isinstance(frame, DynamicFrame)
            function = self._rebuild(frame, frame.delivered, None)
        return function.waiting[key].callee

    def close(self) -> None:
        """Throw all of them away."""
        for function in self._found.values():
            function.close()
        self._found.clear()

    def _drop(self, path: str) -> None:
        stale = self._found.pop(path, None)
        if stale is not None:
            stale.close()

    def _rebuild(self, frame: DynamicFrame, first: int, recorded: Collection[str] | None) -> Interpreter:
        self._drop(frame.path)
        lived = bool(frame.outcomes or frame.asked or frame.patches)
        if lived:
            recorded = frame.patches
        function = Interpreter(self._state, frame, self._values, self._keeper, recorded, self.noted, self._off)
        function.patience = round(self._patience * MICROSECONDS)
        self._found[frame.path] = function
        if lived:
            function.feed(frame.outcomes[:first])
            expected = frame.outcomes[first].asked if first < len(frame.outcomes) else frame.asked
            difference = _rebuilt_otherwise(function, expected, self._trails.get(frame.path, {}))
            if difference:
                raise Nondeterminism(
                    f"durable function {function.workflow!r} {difference}",
                    op="replay",
                    where=frame.path or function.workflow,
                    hint="it must ask for the same calls in the same order; put time, chance and the world into steps",
                )
            function.forget()
        return function


def _refuse_after(doubt: Doubt, asked: int, delivered: int) -> None:
    """Raise what differed if the function goes on from after that."""
    if asked > doubt.asked or delivered > doubt.delivered:
        raise doubt.difference


def _rebuilt_otherwise(function: Interpreter, expected: int, trail: dict[int, int]) -> str:
    """What a rebuilt function asked for otherwise than it had, as far as that is known here: which calls, how many."""
    for call in function.slice.calls:
        if call.key <= expected and trail.get(call.key, hash(_asked_for(call))) != hash(_asked_for(call)):
            return f"asked for {_named(call)} as call {call.key} where it had asked for another"
    if function.asked != expected:
        return f"asked for {function.asked} calls where it had asked for {expected}"
    return ""


def _asked_for(call: CallSpec) -> tuple[object, ...]:
    return call.key, call.kind, call.segment, call.shape, call.undo


def _named(call: CallSpec) -> str:
    return f"{call.segment} ({call.shape})" if call.shape else call.segment


def _compare(recorded: SliceFact, live: SliceFact, workflow: str) -> None:
    if type(recorded) is type(live) and _asks(recorded) == _asks(live):
        return
    raise Nondeterminism(
        f"a durable function had {_described_slice(recorded)}, now it has {_described_slice(live)}",
        op="replay",
        where=recorded.path or workflow,
        hint="it must ask for the same calls in the same order; put time, chance and the world into steps, "
        "or give the workflow a new version",
    )


def _asks(fact: Fact) -> object:
    if isinstance(fact, Asked):
        calls = [call for call in fact.calls if call.kind != PATCH]
        return [_asked_for(call) for call in calls], fact.dropped
    return None


def _described_slice(fact: Fact) -> str:
    match fact:
        case Asked(calls=calls, dropped=dropped):
            named = ", ".join(map(_named, calls)) or "nothing"
            return f"asked for {named}" + (f" and given up {len(dropped)} calls" if dropped else "")
        case Raised(failure=failure):
            return f"raised {failure.types[0] if failure.types else failure.code}: {failure.message}"
        case Restarted():
            return "begun anew"
        case _:
            return "returned"
