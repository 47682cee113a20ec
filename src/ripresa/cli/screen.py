"""What is seen of runs while they go on: a live tree on a terminal, plain lines elsewhere, nothing when quiet.

Everything is written to standard error; standard output belongs to the result.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..core import events as e
from ..core.events import Recorded
from ..core.view import RunView
from ..interactions import TO_MODELS
from ..runtime.feed import Notice, StepProgressed
from .tree import Line, duration, lines_of, message_of

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

MARKS = {
    "completed": ("✓", "green"),
    "failed": ("✗", "red"),
    "cancelled": ("⊘", "yellow"),
    "terminated": ("⊘", "yellow"),
    "cancelling": ("⊘", "yellow"),
    "retrying": ("↻", "yellow"),
    "running": ("●", "cyan"),
    "waiting": ("◌", "blue"),
    "paused": ("◌", "blue"),
    "parked": ("?", "yellow"),
    "unknown": ("?", "red"),
    "held": ("◌", "blue"),
    "undoing": ("↶", "yellow"),
    "undone": ("↶", "yellow"),
    "skipped": ("·", "dim"),
}
INTERVAL = 0.1
SHARE = 8
"""A picture is drawn again after this many times as long as the last one took: drawing never slows the run much."""


class Watched:
    """One run as it is seen: its view and the last word of each step that is under way."""

    def __init__(self) -> None:
        self.view = RunView()
        self.notes: dict[str, StepProgressed] = {}

    def take(self, item: Recorded | Notice) -> None:
        """Take in what happened."""
        if isinstance(item, Recorded):
            self.view.apply(item)
        elif isinstance(item, StepProgressed):
            self.notes[item.path] = item


class Screen:
    """Shows nothing: what `--quiet` asks for, and what the others build on."""

    def __init__(self) -> None:
        self.runs: dict[str, Watched] = {}

    def watched(self, run: str) -> Watched:
        """What is known of a run."""
        return self.runs.setdefault(run, Watched())

    def take(self, run: str, item: Recorded | Notice) -> None:
        """Something happened in a run."""
        self.watched(run).take(item)

    def tick(self) -> float:
        """Draw; how many seconds to wait before the next time."""
        return 1.0

    def say(self, text: str) -> None:
        """A line between what is drawn."""

    @contextmanager
    def shown(self) -> Generator[None]:
        """Draw while this lasts."""
        yield


class Lines(Screen):
    """One line for what happens, for logs and pipes; the items of maps and loops only as numbers now and then."""

    def __init__(self) -> None:
        super().__init__()
        self._since = time.time_ns() // 1000  # what a run did before is not news
        self._told: dict[str, float] = {}

    def say(self, text: str) -> None:
        """See `Screen`."""
        print(text, file=sys.stderr, flush=True)

    def take(self, run: str, item: Recorded | Notice) -> None:
        """See `Screen`."""
        super().take(run, item)
        if isinstance(item, Recorded) and item.at >= self._since:
            for line in self._lines(self.runs[run].view, item):
                self.say(f"{run}: {line}" if len(self.runs) > 1 else line)

    def _lines(self, view: RunView, item: Recorded) -> Iterator[str]:
        match item.event:
            case e.StepCompleted(_, path, attempt) if not _is_item(path):
                tried = f", attempt {attempt}" if attempt > 1 else ""
                yield f"completed {path} in {duration(item.at - view.steps[path].scheduled_at)}{tried}"
            case e.StepCompleted() if self._is_due(view):
                yield f"{view.completed} of {view.total} steps ({view.percent:.0f}%)"
            case e.StepFailed(_, path, attempt, failure, retry_at):
                yield _again(path, attempt, message_of(failure), retry_at - item.at)
            case e.AttemptLost(_, path, attempt, reason, retry_at):
                yield _again(path, attempt, f"lost: {reason}", retry_at - item.at)
            case e.FanOutStarted(path, count, _, how):
                yield f"started {path or view.workflow}: {count} {'side by side' if how else 'items'}"
            case e.LoopEnded(path, iterations, reason):
                yield f"completed {path or view.workflow}: {iterations} times ({reason})"
            case e.BranchTaken(path, condition, choice) if not _is_item(path):
                yield f"took {choice} at {path or view.workflow} ({condition})"
            case e.TransitionTaken(path, _, source, target, reason) if not _is_item(path):
                yield f"{path or view.workflow}: {source or 'start'} → {target or 'end'} ({reason})"
            case e.Interacted(_, path, _, sender, receiver, kind) if kind not in TO_MODELS and not _is_item(path):
                yield f"{sender} → {receiver} ({kind})"
            case e.Intercepted() | e.HookFailed() | e.RequestRefused():
                yield from _of_hooks(item.event, view)
            case e.RunPausing():
                yield "paused"
            case _:
                pass

    def _is_due(self, view: RunView) -> bool:
        """Whether a tenth more is done than was told last."""
        if view.percent < self._told.get(view.id, 0.0) + 10.0:
            return False
        self._told[view.id] = view.percent
        return True


def _again(path: str, attempt: int, why: str, wait: int) -> str:
    """A line about an attempt that was not the good one; `wait` is below 0 if there is no other."""
    what = "failed" if wait < 0 else "again in " + duration(wait)
    return f"{path} (attempt {attempt}) {why}; {what}"


def _is_item(path: str) -> bool:
    return "[" in path


class Live(Screen):
    """A tree that is drawn again and again on a terminal."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        from rich.live import Live as RichLive

        self._console = console
        self._live = RichLive(console=console, auto_refresh=False, transient=False, vertical_overflow="ellipsis")

    def tick(self) -> float:
        """See `Screen`."""
        started = time.perf_counter()
        self._draw()
        return max(INTERVAL, SHARE * (time.perf_counter() - started))

    def say(self, text: str) -> None:
        """See `Screen`."""
        self._console.print(text, highlight=False, markup=False)

    @contextmanager
    def shown(self) -> Generator[None]:
        """See `Screen`."""
        with self._live:
            try:
                yield
            finally:
                self._draw()

    def _draw(self) -> None:
        from rich.console import Group

        now = time.time_ns() // 1000
        alone = len(self.runs) == 1
        drawn = [picture(run.view, now, run.notes, whole=alone) for run in self.runs.values() if run.view.seq]
        self._live.update(Group(*drawn), refresh=True)


def picture(
    view: RunView, now: int, notes: dict[str, StepProgressed] | None = None, *, whole: bool = True
) -> RenderableType:
    """A run as a tree; only its own line unless `whole`."""
    from rich.tree import Tree

    tree = Tree(_head(view, now), guide_style="dim")
    branches = [tree]
    for line in lines_of(view, now, notes) if whole else ():
        del branches[line.depth + 1 :]
        branches.append(branches[-1].add(_text(line)))
    return tree


def _head(view: RunView, now: int) -> Any:
    end = view.updated_at if view.ended else now
    facts = (
        f"{view.completed}/{view.total} steps",
        f"{view.percent:.0f}%",
        duration(max(end - view.created_at, 0)),
        "" if view.status in ("running", "completed") else view.status,
        view.id,
    )
    return _text(Line(0, view.status, view.workflow, tuple(filter(None, facts))))


def _text(line: Line) -> Any:
    from rich.text import Text

    mark, style = MARKS.get(line.status, ("●", "cyan"))
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f"{mark} ", style=style)
    text.append(line.name, style="bold" if line.status == "running" else "")
    for fact in line.facts:
        text.append(f"  {fact}", style="dim" if line.status in ("completed", "skipped") else style)
    return text


def screen(quiet: bool) -> Screen:
    """The screen that fits: nothing, a live tree, or lines where standard error is no terminal."""
    if quiet:
        return Screen()
    if not sys.stderr.isatty():
        return Lines()
    from rich.console import Console

    return Live(Console(stderr=True))


def _of_hooks(event: e.Intercepted | e.HookFailed | e.RequestRefused, view: RunView) -> Iterator[str]:
    """What hooks changed, or failed to."""
    match event:
        case e.Intercepted(_, path, _, answer, hook) if answer != "continue" and not _is_item(path):
            where = path.partition("!")[0] or view.workflow
            yield f"{answer} at {where}, says hook {hook}"
        case e.HookFailed(_, path, _, hook, failure) if not _is_item(path):
            yield f"hook {hook} failed at {path or view.workflow}: {failure.message}"
        case e.RequestRefused(point, name, _, failure):
            yield f"{point}{name and f' {name!r}'} is refused: {failure.message}"
        case _:
            pass
