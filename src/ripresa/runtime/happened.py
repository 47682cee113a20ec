"""What a run did to the world after a place in it, and which results from before it have been taken back since.

Law: what changed the world is never done again in silence, nor does anything go on with a result that was undone.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..authoring.flow import Runnable
from ..core.events import (
    Asked,
    CallBegan,
    CallStarted,
    Recorded,
    RolledBack,
    StepCompleted,
    StepStarted,
    StepUndone,
)
from ..core.frames import CANCELLING, OPEN, CallFrame
from ..core.journaled import path_of_call
from ..core.nodes.call import Call
from ..core.replay import lineage
from ..core.state import RunState
from ..errors import Nondeterminism
from ..ports import RunHead
from .attempts import bound_at
from .driver import Driver
from .restoring import replayed
from .reuse import CHANGING
from .undecided import UNDONE, refuse_undecided

if TYPE_CHECKING:
    from ..authoring.step import Step
    from .engine import Engine


def step_at(driver: Driver, path: str) -> Step[..., Any] | None:
    """The step that is under way at a path; None for a stream, whose items are no results."""
    frame = driver.state.frames.get(path)
    return bound_at(driver, frame).step if type(frame) is CallFrame else None


def changing(engine: Engine, head: RunHead, code: Runnable[..., Any], journal: list[Recorded], to: int) -> list[str]:
    """The steps that changed the world after a place and have not been undone since.

    Where the code has been mended so that it decides otherwise than it did after the place, the journal alone says so.
    """
    before = {recorded.seq for recorded in lineage(journal[:to])}
    found: dict[str, None] = {}
    undoable: set[str] = set()
    line, read = lineage(journal), 0

    def told(driver: Driver, fact: Recorded, recorded: list[Recorded]) -> None:
        nonlocal read
        read = fact.seq + len(recorded)
        event = fact.event
        step = step_at(driver, event.path) if isinstance(event, StepCompleted) and fact.seq not in before else None
        if isinstance(event, StepCompleted) and step is not None and step.options.effect in CHANGING:
            found[event.path] = None
        for each in (fact, *recorded):
            _follow(each, before, undoable, found)

    try:
        replayed(engine, head, code, line, told=told).close()
    except Nondeterminism:
        if read <= to:
            raise
        for each in line:
            if each.seq > read:
                _follow(each, before, undoable, found)
    return list(found)


def _follow(recorded: Recorded, before: set[int], undoable: set[str], found: dict[str, None]) -> None:
    """What the journal says by itself."""
    match recorded.event:
        case Asked(_, path, calls):
            prefix = _bare(path)
            undoable.update(f"{prefix}/{spec.segment}".lstrip("/") for spec in calls if spec.undo)
        case _ if recorded.seq in before:
            pass
        case StepStarted(_, path) | CallStarted(_, path):
            found[path] = None
        case CallBegan(_, path, _, key):
            found[path_of_call(path, key)] = None
        case StepCompleted(_, path) if path in undoable:
            found[path] = None
        case StepUndone(path):
            for each in [each for each in found if _covers(path, each)]:
                del found[each]
        case _:
            pass


def under_way(state: RunState) -> list[str]:
    """The irreversible steps that had begun at this place and not ended."""
    return [
        frame.path
        for frame in state.frames.values()
        if isinstance(frame, CallFrame) and frame.phase in (OPEN, CANCELLING) and _may_have_done(frame)
    ]


def _may_have_done(frame: CallFrame) -> bool:
    assert isinstance(frame.node, Call)
    return frame.node.in_doubt(frame)


class TakenBack:
    """What has been undone anywhere in a whole journal, also in what was rolled back."""

    def __init__(self, journal: Sequence[Recorded]) -> None:
        self._undone: list[tuple[int, str, set[int]]] = []
        if not any(isinstance(recorded.event, StepUndone) for recorded in journal):
            return
        ends = [index for index, recorded in enumerate(journal) if isinstance(recorded.event, RolledBack)]
        lines: dict[int, set[int]] = {}
        for index, recorded in enumerate(journal):
            if isinstance(recorded.event, StepUndone):
                at = bisect_right(ends, index)
                end = ends[at] if at < len(ends) else len(journal)
                if end not in lines:
                    lines[end] = {item.seq for item in lineage(journal[:end])}
                self._undone.append((recorded.seq, recorded.event.path, lines[end]))

    def __bool__(self) -> bool:
        return bool(self._undone)

    def has(self, path: str, seq: int) -> bool:
        """Whether what happened at this path with this event has been undone."""
        return any(seq < undone and seq in line and _covers(what, path) for undone, what, line in self._undone)

    def refuse(self, state: RunState, op: str, to: int) -> None:
        """Raise `RipresaError(effects_undecided)` for a place at which a run held what has been undone since."""
        refuse_undecided(UNDONE, op, state.run, self.of(state), to)

    def of(self, state: RunState) -> list[str]:
        """The paths of what had happened at this place and has been undone since."""
        return [entry.path for entry in state.ledger.entries.values() if self.has(entry.path, entry.seq)]


def _bare(path: str) -> str:
    """A path without what marks the body of a scope."""
    while path.endswith("()"):
        path = path.removesuffix("()")
    return path


def _covers(undone: str, path: str) -> bool:
    """Whether what was undone is what happened at a path, or a flow that it was a part of."""
    return path == undone or path.startswith((f"{_bare(undone)}/", path_of_call(undone, "")))
