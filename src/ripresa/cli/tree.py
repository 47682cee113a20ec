"""A run as a tree of steps, made of what readers see of it: one line for a step, one for all items of a map.

Law: a function of the view and of live notices, nothing else; ten thousand items make no more lines than ten.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

from ..core.durations import per_second
from ..core.events import Failure
from ..core.view import HookAnswer, RunView, ScopeView, StepView, StreamView
from ..runtime.feed import StepProgressed

UNDOES = "undo:"
"""How the names of what undoes a step begin."""

SHOWN_ITEMS = 3
"""How many items of a map that are in trouble are shown by themselves."""

_COUNTER = re.compile(r"(\[\d+\]|#\d+)+$")
_UNNAMED = "map_each"
WAITING = "waiting"
SIDES = ("graph", "gather", "race", "map")
"""Kinds of scopes whose branches have lines of their own, beside theirs or below it."""
BESIDE = "side by side"


@dataclass(slots=True)
class Branch:
    """A place in the workflow: a step, a node with children, or all the items of a map or loop."""

    name: str
    kind: str = ""
    count: int = 0
    detail: str = ""
    skipped: bool = False
    steps: list[StepView] = field(default_factory=list[StepView])
    items: dict[str, bool] = field(default_factory=dict[str, bool])
    """Each item, and whether something is under way in it."""
    parts: dict[str, Branch] = field(default_factory=dict[str, "Branch"])
    flow: tuple[int, ...] = (0, 0, 0, 0)
    """Items, batches, drops and dead letters of the streams here."""
    pumped: tuple[int, int] = (0, 0)
    """How long they were pumped and how far they lagged at most, in microseconds."""

    answers: list[HookAnswer] = field(default_factory=list[HookAnswer])
    """What hooks answered here."""

    def all_steps(self) -> Iterator[StepView]:
        """The steps here and below, but those that undo what was done."""
        yield from self.steps
        for name, part in self.parts.items():
            if not name.startswith(UNDOES):
                yield from part.all_steps()


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the tree. `status`: completed, failed, cancelled, retrying, running, waiting or skipped."""

    depth: int
    status: str
    name: str
    facts: tuple[str, ...] = ()


@lru_cache(maxsize=65536)
def place_of(path: str) -> tuple[tuple[str, str], ...]:
    """The segments of a path without index and counter, each with the path up to it."""
    found: list[tuple[str, str]] = []
    upto = ""
    for segment in path.removesuffix("()").split("/"):
        upto = f"{upto}/{segment}" if upto else segment
        if segment:
            found.append((_COUNTER.sub("", segment), upto))
    return tuple(found)


def branches_of(view: RunView) -> Branch:
    """The places of a run, in the order in which they were reached."""
    root = Branch(view.workflow)
    for step in view.steps.values():
        here, active = root, step.status in ("scheduled", "retrying")
        for name, path in place_of(step.path):
            here = here.parts.setdefault(name, Branch(name))
            here.items[path] = active or here.items.get(path, False)
        here.steps.append(step)
    for scope in view.scopes.values():
        _put_scope(root, scope)
    for stream in view.streams.values():
        _put_stream(_reached(root, stream.path), stream)
    for path in view.timers:
        _reached(root, path).detail = WAITING
    for path, wait in view.waits.items():
        kind, _, name = wait.signal.rpartition(":")
        _reached(root, path).detail = f"{WAITING} for {kind or 'signal'} {name}"
    for path, run in view.awaited.items():
        _reached(root, path).detail = f"{WAITING} for run {run}"
    for hook in view.asked.values():
        _reached(root, place_at(hook.path)).detail = f"{WAITING} for hook {hook.hook} ({hook.point})"
    for answer in view.answers:
        _reached(root, place_at(answer.path)).answers.append(answer)
    for path, asked in view.decided.items():
        word = "granted" if asked.granted else "refused"
        _reached(root, path).detail = f"{word} by {', '.join(asked.by)}" if asked.how != "expired" else "expired"
    for path, asked in view.approvals.items():
        _reached(root, path).detail = f"{WAITING} for an answer: {asked.question} ({len(asked.votes)}/{asked.quorum})"
    return root


def place_at(path: str) -> str:
    """The place that a gate stands at: of what undoes it the scope, of a request to the run the run itself."""
    return path.partition("!")[0]


def told_answer(answer: HookAnswer) -> str:
    """What a hook answered, by whom, and where."""
    who = f" by {answer.hook}" if answer.hook else ""
    return f"{answer.answer}{who} ({answer.point})" + (f": {answer.detail}" if answer.detail else "")


def _told_answers(answers: list[HookAnswer]) -> str:
    """The same of all answers of a place, in so many words if there are few."""
    if len(answers) > SHOWN_ITEMS:
        return f"{len(answers)} answers of hooks, the last: {told_answer(answers[-1])}"
    return "; ".join(map(told_answer, answers))


def _reached(root: Branch, path: str) -> Branch:
    for name, _ in place_of(path):
        root = root.parts.setdefault(name, Branch(name))
    return root


def _put_scope(root: Branch, scope: ScopeView) -> None:
    here = _reached(root, scope.path)
    if scope.kind == "cleanup":
        here.detail = "cleaned up" if scope.status == "ended" else "cleaning up"
        return
    if scope.kind == "undo":
        here.detail = f"undone: {scope.detail}" if scope.detail else "undoing"
        return
    if scope.kind in SIDES:
        failed = f", {scope.failed} failed" if scope.failed else ""
        done = f"{scope.completed} of {scope.count} completed{failed}"
        here.detail = done if scope.status == "ended" else f"{scope.count} {BESIDE}"
        return
    several = bool(here.kind)
    here.kind = scope.kind
    here.skipped = scope.kind == "skipped"
    here.count += scope.count
    here.detail = "" if several else scope.detail


def _put_stream(here: Branch, stream: StreamView) -> None:
    """The counts of all streams of a place together, throughput and lag; why it ended if that is worth a word."""
    counts = (stream.taken, stream.batches, stream.dropped, stream.dead)
    here.flow = tuple(map(sum, zip(here.flow, counts, strict=True)))
    words = ("items", "batches", "dropped", "dead letters")
    told = [f"{count:,} {word}" for count, word in zip(here.flow, words, strict=True) if count]
    here.pumped = max(here.pumped[0], stream.elapsed), max(here.pumped[1], stream.most_lag)
    elapsed, lag = here.pumped
    told += [f"{per_second(here.flow[0], elapsed):,.0f} items/s"] if elapsed else []
    told += [f"lag up to {duration(lag)}"] if lag else []
    ended = [] if stream.status in ("running", "exhausted") else [stream.status]
    here.detail = ", ".join([*told, *ended])


def lines_of(view: RunView, now: int, notes: Mapping[str, StepProgressed] | None = None) -> list[Line]:
    """The tree below the run's own line; `now` is the moment up to which what is under way has lasted."""
    root = branches_of(view)
    parts = [root] if root.kind in ("fan-out", "loop") else root.parts.values()
    return [line for part in parts for line in _lines(part, 0, now, notes or {})]


def _lines(branch: Branch, depth: int, now: int, notes: Mapping[str, StepProgressed]) -> Iterator[Line]:
    branch = _merged(branch)
    steps = list(branch.all_steps())
    several = branch.count or any(not name.startswith(UNDOES) for name in branch.parts)
    single = branch.steps[0] if len(branch.steps) == 1 and not several else None
    facts = (*_facts(branch, steps, single, notes), _lasted(steps, now))
    yield Line(depth, _status(branch, steps), branch.name, tuple(filter(None, facts)))
    for step in _troubled(branch) if single is None else ():
        facts = (_attempt(step), _trouble(step))
        yield Line(depth + 1, _step_status(step), _index(step.path), tuple(filter(None, facts)))
    for part in branch.parts.values():
        yield from _lines(part, depth + 1, now, notes)


def _merged(branch: Branch) -> Branch:
    """A map and its body are one line: `fetch [37/120]`, or the name that the map was given."""
    if branch.kind not in ("fan-out", "loop") or len(branch.parts) != 1:
        return branch
    (body,) = branch.parts.values()
    told = body.detail if any(body.flow) else ""
    name = body.name if branch.name == _UNNAMED else branch.name
    whole = replace(body, name=name, kind=branch.kind, count=branch.count, detail=branch.detail or told, skipped=False)
    whole.answers = [*branch.answers, *body.answers]
    return whole


def _facts(
    branch: Branch, steps: list[StepView], single: StepView | None, notes: Mapping[str, StepProgressed]
) -> Iterator[str]:
    if single is not None:
        yield _attempt(single)
        yield _said(notes.get(single.path))
        yield _trouble(single)
    elif branch.steps or branch.count:
        yield _counted(branch)
        failed = sum(step.status == "failed" for step in steps)
        again = sum(step.attempt - 1 for step in steps)
        yield f"{failed} failed" if failed else ""
        yield f"{again} tried again" if again else ""
    yield branch.detail
    yield _told_answers(branch.answers)


def _counted(branch: Branch) -> str:
    done = len(branch.items) - sum(branch.items.values())
    if branch.kind == "loop":
        return f"[{done}]"
    return f"[{done}/{max(branch.count, len(branch.items))}]"


_STATUSES = (
    "running",
    "parked",
    "held",
    "retrying",
    "unknown",
    "failed",
    "completed",
    "undone",
    "skipped",
    "cancelled",
)
"""The statuses of steps: the first of those that occur is that of several together."""


def _status(branch: Branch, steps: list[StepView]) -> str:
    if not steps:
        if branch.skipped:
            return "skipped"
        if branch.detail.endswith(BESIDE):
            return "running"
        return "waiting" if branch.detail.startswith(WAITING) else "completed"
    found = {_step_status(step) for step in steps}
    return next(status for status in _STATUSES if status in found)


def _step_status(step: StepView) -> str:
    return "running" if step.status == "scheduled" else step.status


def _troubled(branch: Branch) -> list[StepView]:
    """The items that are worth a line of their own: those that failed, else those that are tried again."""
    for status in ("failed", "retrying"):
        found = [step for step in branch.steps if step.status == status]
        if found:
            return found[:SHOWN_ITEMS]
    return []


def _index(path: str) -> str:
    """Which item a step belongs to: the last segment with an index, and what is below it."""
    before, bracket, _ = path.rpartition("[")
    begin = before.rpartition("/")[0]
    return path[len(begin) :].lstrip("/") if bracket else path


def _attempt(step: StepView) -> str:
    return f"attempt {step.attempt}" if step.attempt > 1 else ""


_TROUBLED = ("failed", "retrying", "parked", "unknown")


def _trouble(step: StepView) -> str:
    """What went wrong with a step that failed or is tried again; nothing for others."""
    return message_of(step.failure) if step.failure is not None and step.status in _TROUBLED else ""


def message_of(failure: Failure) -> str:
    """A failure on one line: the exception's class and the first line of its message."""
    raised = failure.types[:1] if failure.code == "step_failed" else ()
    kind = "".join(f"{name.rpartition('.')[2]}: " for name in raised)
    return f"{kind}{failure.message.partition(chr(10))[0]}"[:200]


def _said(note: StepProgressed | None) -> str:
    if note is None:
        return ""
    share = f"{100 * note.completed / note.total:.0f}%" if note.total else f"{note.completed:g}"
    return f"{share} {note.message}".rstrip()


def _lasted(steps: list[StepView], now: int) -> str:
    if not steps:
        return ""
    begin = min(step.scheduled_at for step in steps)
    active = any(step.status in ("scheduled", "retrying") for step in steps)
    return duration(max(now if active else max(step.ended_at for step in steps), begin) - begin)


def duration(microseconds: int) -> str:
    """A length of time for readers: 4ms, 1.2s, 3m07s, 2h05m."""
    if microseconds < 1_000_000:
        return f"{microseconds // 1000}ms"
    if microseconds < 60_000_000:
        return f"{microseconds / 1_000_000:.1f}s"
    minutes, seconds = divmod(microseconds // 1_000_000, 60)
    if minutes < 60:
        return f"{minutes}m{seconds:02}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m"
