"""What is printed at the end of a run, and for every error: the user's own traceback, and what to do next."""

from __future__ import annotations

import json
import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TextIO

from ..advice import mending
from ..authoring.failures import place_of
from ..core.events import Failure
from ..core.lifecycle import TERMINAL, WAITING
from ..core.nodes.answer import UPDATES
from ..core.retry import FILE_MODULE
from ..core.view import RunView
from ..errors import InvalidWorkflow, Problem, RipresaError
from .driving import NOT_BEGUN, Left
from .exits import INTERRUPTED, exit_of, exit_of_status, worst
from .places import Place
from .plain import amount, error_plain, moment, result_plain, value
from .tree import duration

_NO_ARGUMENTS = b"{}"
_NAMED = 5
_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_INSTALLED = tuple(sysconfig.get_paths()[name] + os.sep for name in ("stdlib", "purelib", "platlib"))
_FRAME = re.compile(r'  File "(.+?)", line ')
_FILE_NAMES = re.compile(rf"{FILE_MODULE}\w+?__\.")


@dataclass(frozen=True, slots=True)
class Teller:
    """Says how runs were left: the result on standard output, all else on standard error."""

    place: Place
    json: bool = False
    quiet: bool = False
    several: bool = False
    asked_for: bool = False
    """Whether it was asked here that they end so: nobody has to be told who asked not to be."""

    def __call__(self, left: list[Left]) -> int:
        """See `driving.Tell`."""
        codes = [self._tell(run) for run in left]
        self._behind([each for run in left for each in run.behind])
        if self.json:
            told = [self._json(run) for run in left]
            print_json(told if self.several else told[0])
        elif not self.several and left[0].view.status == "completed":
            print_value(value(left[0].view.output, left[0].read))
        return worst(codes)

    def _json(self, left: Left) -> dict[str, Any]:
        told = result_plain(left.view, left.read, self.place.shown)
        if left.asleep:
            told["status"] = WAITING
        if left.error is not None:
            told["error"] = error_plain(left.error)
        return told

    def _tell(self, left: Left) -> int:
        view = left.view
        if left.error is not None:
            tell_error(left.error)
            self._say(f"take run {view.id} up again with: {self.place.command('resume', view.id)}")
            return exit_of(left.error)
        if view.status == "failed" and view.failure is not None:
            for line in told_failure(view.failure):
                warn(line)
            if self._is_kept():
                self._hint(view, view.failure)
        if left.asleep:
            self._asleep(view)
            return exit_of_status(WAITING)
        if view.status in TERMINAL or view.status == "paused":
            self._summary(left)
            return exit_of_status(view.status)
        self._say(self._interrupted(left))
        return INTERRUPTED

    def _behind(self, left: list[tuple[str, str]]) -> None:
        """Runs that nobody goes on with now, in one line, with the command that takes them up."""
        if not left:
            return
        names = [f"{run} ({status})" for run, status in left]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        told = f"left behind: {', '.join(names[:_NAMED])}{more}"
        if not self._is_kept():
            self._say(f"{told}, kept in memory and gone")
            return
        one = left[0][0] if len(left) == 1 else "--all"
        begun = all(status != NOT_BEGUN for _, status in left)
        resume = f"{self.place.command('resume', one)}  or  " if begun else ""  # what is not begun, a worker begins
        self._say(f"{told}; go on with: {resume}{self.place.command('worker')}")

    def _hint(self, view: RunView, failure: Failure) -> None:
        """How a run that failed is taken up again. Resuming it never changes what it was given."""
        more = self._more(view) if failure.code == "limit_exceeded" else ""
        warn(f"  hint: {more or mending(failure, view.id, partial(self.place.command, 'resume'))}")
        if not more and view.input != _NO_ARGUMENTS:
            warn(f"  or, as it keeps its input, with another: {self.place.command('fork', view.id)} --set input=JSON")

    def _summary(self, left: Left) -> None:
        view = left.view
        why = f" ({view.reason})" if view.reason else ""
        lasted = f" after {duration(view.updated_at - view.created_at)}" if view.status in TERMINAL else ""
        unfinished = view.status in ("cancelled", "terminated", "undone") and not self.asked_for
        (warn if unfinished else self._say)(f"{view.status}{why}{lasted}: run {view.id}")  # else --quiet said nothing
        for failure in view.failures:
            warn(f"clean-up failed at {failure.path}: {failure.message}")
        if view.status == "paused":
            more = self._more(view)
            self._say(more or f"go on with: {self.place.command('continue', view.id)}")
        if self._is_kept():
            self._say(f"journal: {self.place.shown}")
            show, events = self.place.command("show", view.id), self.place.command("events", view.id)
            self._say(f"look into it: {show}  or  {events}")

    def _more(self, view: RunView) -> str:
        """The limit that a run has reached, and how it is given more; empty if it has reached none."""
        reached = view.reached
        if not view.limit or reached is None:
            return ""
        whose = f" of session {reached.session}" if reached.session else ""
        told = f"the limit of {reached.limit}{whose} is reached: {amount(reached.used)} of {amount(reached.allowed)}"
        if reached.session:
            return f"{told}; allow the session more, then: {self.place.command('resume', view.id)}"
        return f"{told}; allow more with: {self.place.command('resume', view.id, '--limit', reached.limit + '=NUMBER')}"

    def _asleep(self, view: RunView) -> None:
        """What a run waits for, and the command that answers it."""
        for wait in view.waits.values():
            kind, name = "update" if wait.signal.startswith(UPDATES) else "signal", wait.signal.removeprefix(UPDATES)
            self._say(f"waits for {kind} {name}: {self.place.command(kind, view.id, name, 'VALUE')}")
        for run in view.awaited.values():
            self._say(f"waits for run {run}: {self.place.command('show', run)}")
        if view.awaited:
            worker, resume = self.place.command("worker"), self.place.command("resume", view.id)
            self._say(f"when it has ended, go on with: {worker}  or  {resume}")
        for asked in view.approvals.values():
            options = ("--as", "NAME", *form_option(asked.form), "--digest", asked.digest)
            command = self.place.command("approve", view.id, asked.path, *options)
            self._say(f"waits for an answer: {asked.question} {command}")
        for path in view.parked:
            command = self.place.command("reconcile", view.id, path, "--as", "NAME")
            self._say(f"waits for what {path} did, which ended without a report; find out, then: {command}")
            self._say("  with --completed JSON, --failed WHY, or --retry if it did nothing")
        due = min(view.timers.values(), default=0)
        if due:
            self._say(f"waits until {moment(due)}: {self.place.command('worker')} goes on then")
        self._say(f"waiting: run {view.id}, journal: {self.place.shown}")

    def _interrupted(self, left: Left) -> str:
        run = left.view.id
        if left.owner is not None and left.interrupted:
            return f"no longer watching run {run}, which goes on in process {process_of(left.owner)}"
        if not self._is_kept():
            return f"interrupted; run {run} was kept in memory and is gone"
        why = "interrupted" if left.interrupted else f"run {run} was left by the process that drove it"
        return f"{why}; take it up again with: {self.place.command('resume', run)}"

    def _is_kept(self) -> bool:
        return self.place.file is not None

    def _say(self, text: str) -> None:
        if not self.quiet or text.startswith("interrupted"):
            warn(text)


def form_option(form: str) -> tuple[str, ...]:
    """The option that fills in a form, with the names of its fields; nothing without a form."""
    name, opened, inside = form.partition("(")
    if not opened or not name.isidentifier():
        return ("--form", "JSON") if form else ()
    flat = inside.removesuffix(")")
    while flat != (flat := re.sub(r"\([^()]*\)|\[[^\[\]]*\]|\{[^{}]*\}", "", flat)):
        pass  # what is inside a field's own type
    names = [field.partition(":")[0].strip() for field in flat.split(",")]
    return ("--form", "{" + ", ".join(f'"{field}": ...' for field in names if field) + "}")


def process_of(owner: str) -> str:
    """The process id in the name of an owner."""
    return owner.partition("-")[0]


def warn(text: str) -> None:
    """A line on standard error."""
    print(text, file=sys.stderr, flush=True)


def print_json(found: Any, out: TextIO | None = None) -> None:
    """One JSON value on one line of standard output."""
    print(json.dumps(found, ensure_ascii=False), file=out or sys.stdout, flush=True)


def print_value(found: Any) -> None:
    """A result for readers: a text as it is, nothing for None, all else as indented JSON."""
    if isinstance(found, str):
        print(found, flush=True)
    elif found is not None:
        print(json.dumps(found, ensure_ascii=False, indent=2), flush=True)


# --- errors


def tell_error(error: RipresaError) -> None:
    """An error of ours, as it is printed: `error [code] where: message`, and what to do about it."""
    if isinstance(error, InvalidWorkflow):
        tell_users_line(error)
        tell_problems(error.problems, error.hint)
        return
    place = f" {error.where}:" if error.where else ":"
    warn(f"error [{error.code}]{place} {error.message}")
    if error.hint:
        warn(f"  hint: {error.hint}")


def tell_problems(problems: Sequence[Problem], hint: str = "") -> None:
    """What is wrong with a workflow, `error [code] where: message` each, and what to do about it, said once."""
    for problem in problems:
        place = f" {problem.where}:" if problem.where else ":"
        warn(f"{problem.severity} [{problem.code}]{place} {problem.message}")
    for each in dict.fromkeys([problem.hint for problem in problems if problem.severity == "error"] + [hint]):
        if each:
            warn(f"  hint: {each}")


def tell_users_line(error: InvalidWorkflow) -> None:
    """Where in the user's code a definition is wrong, if it was written in a file."""
    found = traceback.extract_tb(error.__traceback__)
    frames = [frame for frame in found if not _is_ours(frame) and not frame.filename.startswith(_INSTALLED)]
    if frames:
        warn(f"  in {frames[-1].filename}, line {frames[-1].lineno}")


def _is_ours(frame: traceback.FrameSummary) -> bool:
    return frame.filename.startswith((_OURS, "<frozen"))


def tell_user_error(error: BaseException) -> None:
    """What the user's module raised while it was imported, as Python would print it, without a frame of ours."""
    summary = traceback.TracebackException.from_exception(error)
    for part in _with_causes(summary):
        part.stack = traceback.StackSummary.from_list([frame for frame in part.stack if not _is_ours(frame)])
    warn(_FILE_NAMES.sub("", "".join(summary.format())).rstrip())


def _with_causes(summary: Any) -> Iterator[Any]:
    seen: set[int] = set()
    waiting = [summary]
    while waiting:
        part = waiting.pop()
        if part is not None and id(part) not in seen:
            seen.add(id(part))
            yield part
            waiting += [part.__cause__, part.__context__, *(part.exceptions or ())]


def told_failure(failure: Failure) -> Iterator[str]:
    """A failure as it is printed: tracebacks, causes first, then one line that says which step it was."""
    chain = [failure]
    while chain[-1].cause is not None:
        chain.append(chain[-1].cause)
    texts = [text for link in reversed(chain) if (text := _users(link))]
    yield from _separated(texts)
    raised = failure.types[:1] if failure.code == "step_failed" else ()
    kind = "".join(f"{name.rpartition('.')[2]}: " for name in raised)
    attempt = f" (attempt {failure.attempt})" if failure.attempt else ""
    where = place_of(failure)
    place = f" {where}{attempt}:" if where else ":"
    yield f"error [{failure.code}]{place} {kind}{failure.message}"
    for other in failure.others:
        yield f"  and {other.path}: {other.message}"


def _users(failure: Failure) -> str:
    """The traceback of a failure without the frames of libraries; empty if that of a ready-made step has no others."""
    kept: list[str] = []
    drops = found = False
    for line in failure.traceback.splitlines():
        frame = _FRAME.match(line)
        if frame is not None:
            drops = frame[1].startswith(_INSTALLED)
            found = found or not drops
        elif not line.startswith("  "):
            drops = False
        if not drops:
            kept.append(line)
    if found:
        return "\n".join(kept)
    return failure.traceback if failure.code == "step_failed" and '  File "' in failure.traceback else ""


def _separated(texts: list[str]) -> Iterator[str]:
    for index, text in enumerate(texts):
        if index:
            yield "\nThe above exception was the direct cause of the following exception:\n"
        yield text
