"""Gates: where a run waits for the answer of an interceptor, and what becomes of each answer.

Law: a gate stands only at a point that the run has recorded (`RunStarted.hooks`, `HooksSet`), so that replay finds
the same gates; its answer is a fact. A frame waits at one gate at most. A gate whose answer ended its frame is
remembered: a reopened run asks there again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .commands import Intercept, Share, Withdraw
from .events import (
    ArtifactSaved,
    EffectsDropped,
    EffectsLet,
    Failure,
    Intercepted,
    MessageQueued,
    NodeCancelled,
    PointReached,
    RowsWritten,
)
from .frames import ASKING, ENDED, FAILING, OPEN, WINDING, CallFrame, Frame
from .points import SEEN, matches, named_at, parse
from .reported import EFFECTS
from .values import NULL, Value

if TYPE_CHECKING:
    from .state import RunState

UNDOING: Final = ("compensation", "compensated", "compensation_error")
"""Points around what undoes a step: a word that forbids it is taken by the compensation, which nothing stops."""


class Gate(NamedTuple):
    """What is asked about: a value, and by point a number (index, count, moment), a word and a failure."""

    point: str
    value: Value = NULL
    number: int = 0
    detail: str = ""
    failure: Failure | None = None


def set_points(run: RunState, hooks: tuple[str, ...]) -> None:
    """Interceptors stand at these recorded points from now on."""
    run.hooks = hooks
    run.points = parse(hooks)


def gated(run: RunState, frame: Frame, gate: Gate) -> bool:
    """Let the frame wait if interceptors stand here; then the answer comes to `intercepted`."""
    if gate.point not in run.points or not _stands(run, *place_of(frame, gate), gate.point):
        return False
    _ask(run, frame, gate)
    return True


def place_of(frame: Frame, gate: Gate) -> tuple[str, str]:
    """The name and path that hooks at a gate are narrowed by: of what is undone, or those of the frame itself."""
    if gate.point in UNDOING:
        return named_at(gate.detail), gate.detail
    return frame.node.name, frame.path


def gated_at(run: RunState, key: str, gate: Gate) -> bool:
    """The same for something that concerns the run as a whole: it waits at a gate that is no frame's."""
    if not stands_at_root(run, gate.point):
        return False
    run.gates[key] = gate
    run.commands.append(Intercept(key, gate.point))
    return True


def stands_at_root(run: RunState, point: str) -> bool:
    """Whether interceptors stand at this point of the run itself."""
    return point in run.points and _stands(run, run.definition.root.name, "", point)


def reached(run: RunState, frame: Frame, point: str, name: str, index: int) -> None:
    """Record that a point which leaves no event of its own was reached, if any hook stands there."""
    place = frame.node.name, frame.path
    if _stands(run, *place, point) or _stands(run, *place, SEEN + point):
        run.consequences.append(PointReached(frame.path, point, name, index))


def _stands(run: RunState, name: str, path: str, point: str) -> bool:
    patterns = run.points.get(point)
    if patterns is None:
        return False
    return "*" in patterns or any(matches(pattern, name, path) for pattern in patterns)


def _ask(run: RunState, frame: Frame, gate: Gate) -> None:
    if isinstance(frame, CallFrame):
        frame.phase = ASKING
    run.gates[frame.path] = gate
    run.commands.append(Intercept(frame.path, gate.point))


def is_awaited(run: RunState, path: str, point: str) -> bool:
    """Whether a frame, or the run itself, waits at this gate."""
    gate = run.gates.get(path)
    if gate is None or gate.point != point:
        return False
    frame = run.frames.get(path)
    return frame is None or frame.phase not in ENDED


def intercepted(run: RunState, fact: Intercepted) -> None:
    """Go on as interceptors say."""
    frame = run.frames[fact.path]
    gate = run.gates[fact.path]
    if fact.answer == "cancel":
        if run.status not in ("cancelling", "undoing"):
            run.cancel_run(fact.detail)
        if run.gates.get(fact.path) is gate and frame.phase not in ENDED:  # the cancellation does not reach it
            _refuse(run, frame, Failure("cancelled", fact.detail, path=fact.path))
    elif fact.answer in ("veto", "fail") and gate.point not in UNDOING:
        reason = fact.detail or "a hook forbids it"
        _refuse(run, frame, fact.failure or Failure("vetoed", reason, path=fact.path, cause=gate.failure))
    else:
        del run.gates[fact.path]
        _go_on(run, frame, gate, fact)


def _go_on(run: RunState, frame: Any, gate: Gate, fact: Intercepted) -> None:
    replaced = fact.answer in ("replace", "skip")
    match gate.point:
        case "start" if fact.answer == "skip":
            run.complete(frame, fact.value)
        case "start":
            frame.begin_with(fact.value if replaced else frame.input)
            frame.node.open(run, frame)
        case "complete":
            run.complete(frame, fact.value if replaced else gate.value)
        case "fail" if replaced:
            run.complete(frame, fact.value)
        case "fail":
            assert gate.failure is not None
            run.give_up(frame, gate.failure)
        case _:
            frame.node.intercepted(run, frame, gate, fact)


def _refuse(run: RunState, frame: Any, failure: Failure) -> None:
    """The frame fails of the answer; a reopened run asks again."""
    gate = run.gates.pop(frame.path)
    _remember(run, frame, gate)
    if isinstance(frame, CallFrame) or gate.point == "start":
        _doubt(run, frame)
        run.fail(frame, failure)
    elif gate.point in ("complete", "fail"):
        run.give_up(frame, failure)
    elif gate.point in ("join", "branch"):
        _end(run, frame, failure)
    else:
        run.abort(frame, failure)


def _end(run: RunState, frame: Any, failure: Failure) -> None:
    """Fail a scope that has nothing to wind up: its branches have ended, or not begun."""
    frame.phase, frame.failure = FAILING, failure
    run.close(frame)


def _doubt(run: RunState, frame: Any) -> None:
    """A call ends at its gate; that is kept if nobody knows whether it did what could be undone."""
    if isinstance(frame, CallFrame) and frame.node.undo is not None:
        frame.node.doubt(run, frame)  # type: ignore[attr-defined]


def cancel(run: RunState, frame: Any) -> bool:
    """Stop a frame that waits at its gate; whether that was all there was to do. What undoes is not stopped."""
    if run.gates[frame.path].point in UNDOING:
        return False
    gate = _withdraw(run, frame)
    if gate.point == "join":  # the work is done: it is taken as it is
        run.refused.pop(frame.path)
        frame.node.intercepted(run, frame, gate, Intercepted(run.at, frame.path, gate.point, "continue"))
    elif gate.point == "after":
        run.refused.pop(frame.path)
        let_effects(run, frame)
        run.done(frame, gate.value)
    elif isinstance(frame, CallFrame):
        run.consequences.append(NodeCancelled(frame.path))
        _doubt(run, frame)
        run.cancelled(frame)
    elif gate.point in ("start", "fail", "branch") or frame.phase in WINDING:
        run.cancelled(frame)
    else:
        return False
    return True


def abort(run: RunState, frame: Any, failure: Failure) -> bool:
    """A frame that waits at its gate fails for another reason; whether that was all there was to do."""
    gate = _withdraw(run, frame)
    if gate.point == "start":
        run.fail(frame, failure)
    elif gate.failure is not None and gate.point == "fail":
        run.give_up(frame, gate.failure)
    elif gate.point == "branch":
        _end(run, frame, failure)
    else:
        return False
    return True


def _withdraw(run: RunState, frame: Frame) -> Gate:
    run.commands.append(Withdraw(frame.path))
    gate = run.gates.pop(frame.path)
    _remember(run, frame, gate)
    return gate


def _remember(run: RunState, frame: Frame, gate: Gate) -> None:
    """The frame may be reopened: then it is asked again, unless there is another attempt or nothing left to ask."""
    if gate.point not in ("error", "fail"):
        run.refused[frame.path] = gate


WITHHOLDS: Final = 4
"""The rules of the core from which on what an attempt does beyond the run waits for what is said of its result."""


def withhold(run: RunState, fact: Any) -> None:
    """Keep back what an attempt does beyond the run if interceptors are to be asked about its result."""
    frame = run.frames[fact.path]
    if run.core < WITHHOLDS or type(frame) is not CallFrame or frame.phase != OPEN or "after" not in run.points:
        return
    told = isinstance(fact, EFFECTS) and (not isinstance(fact, RowsWritten) or fact.body != NULL)
    if told and _stands(run, frame.node.name, frame.path, "after"):
        frame.withheld = (*frame.withheld, fact)


def is_withheld(run: RunState, fact: Any) -> bool:
    """Whether what this fact says is not to happen yet."""
    frame = run.frames.get(fact.path) if isinstance(fact, EFFECTS) else None
    return isinstance(frame, CallFrame) and any(each is fact for each in frame.withheld)


def let_effects(run: RunState, frame: CallFrame) -> None:
    """The result of an attempt is taken: what it does beyond the run happens."""
    if frame.withheld:
        run.consequences.append(EffectsLet(frame.path, frame.attempt))
        run.commands.append(Share(frame.withheld))
        frame.withheld = ()


DROPS: Final = 9
"""The rules of the core from which on what an attempt wrote to a state is gone when its result is not taken."""


def drop_effects(run: RunState, frame: CallFrame) -> None:
    """The result of an attempt is not taken: nothing of what it wrote, or does beyond the run, ever happens."""
    if run.shared is not None and run.core >= DROPS:
        run.shared.drop_pending(frame)
    if frame.withheld:
        messages = [each for each in frame.withheld if isinstance(each, MessageQueued)]
        artifacts = sum(isinstance(each, ArtifactSaved) for each in frame.withheld)
        rows = sum(each.count for each in frame.withheld if isinstance(each, RowsWritten))
        children = tuple(each.target for each in messages if each.kind == "start")
        dropped = EffectsDropped(frame.path, frame.attempt, len(messages), artifacts, rows, children)
        run.consequences.append(dropped)
        frame.withheld = ()


def forget(run: RunState, path: str) -> None:
    """The frame at this path is gone."""
    run.refused.pop(path, None)


def ask_again(run: RunState, frame: Frame) -> bool:
    """Ask again at the gate whose answer ended the frame, if there is one."""
    gate = run.refused.pop(frame.path, None)
    if gate is None:
        return False
    frame.phase = OPEN
    frame.failure = None
    _ask(run, frame, gate)
    return True


def open_gates(run: RunState) -> list[Intercept]:
    """The questions to interceptors that have no answer yet."""
    return [Intercept(path, gate.point) for path, gate in run.gates.items() if gate.point != "rollback"]
