"""What readers see of a run: the effect of every event, and what holds of the view of any run at any moment."""

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import example, given
from typing_extensions import override

from ripresa.core import events as e
from ripresa.core import merge
from ripresa.core.changes import Change, changes
from ripresa.core.definition import Definition
from ripresa.core.events import CallSpec, Event, Fact, Failure, Recorded
from ripresa.core.frames import BACKOFF, CallFrame
from ripresa.core.lifecycle import TERMINAL
from ripresa.core.nodes.call import lost_failure
from ripresa.core.nodes.cleanup import Cleanup
from ripresa.core.nodes.delay import Delay
from ripresa.core.nodes.dynamic import Dynamic
from ripresa.core.nodes.fallback import Fallback
from ripresa.core.nodes.graph import Graph, Wire
from ripresa.core.nodes.join import Join
from ripresa.core.nodes.loop import Loop, Over
from ripresa.core.nodes.map import Map
from ripresa.core.nodes.parallel import Parallel
from ripresa.core.nodes.sequence import Sequence
from ripresa.core.nodes.subworkflow import Subworkflow
from ripresa.core.parts import ValidationResult
from ripresa.core.values import text_of
from ripresa.core.view import CLEANUP, UNDO, HookAnswer, HookWait, RunView, ScopeView, StepView, StreamView, view_of

from ..searching import searched
from .play import SECOND, START, Effect, Play, call, calls, define, failure
from .test_properties import Builder, History, Tape, tapes

STARTED = e.RunStarted(
    START, "r", "flow", "2", "hash", b'"in"', 7, "app:flow", deadline=START + 9, expected=2, tags=("a", "b")
)
REACHED = e.LimitReached(START, "a", 1, "steps", 1, 1)
BOOM = failure("boom", path="a", attempt=1)


def journal(*events: Event) -> list[Recorded]:
    """The events after the start of a run, each with the time of the fact that it follows."""
    at, found = START, list[Recorded]()
    for seq, event in enumerate((STARTED, *events), 1):
        at = getattr(event, "at", at)
        found.append(Recorded("r", seq, at, event))
    return found


def seen(*events: Event) -> RunView:
    return view_of(journal(*events))


def after(play: Play) -> RunView:
    return view_of(play.journal)


def started(play: Play) -> Play:
    """A run that has begun and knows how many steps it lets expect, as the engine tells it."""
    definition = play.definition
    play.feed(replace(STARTED, deadline=0, workflow=definition.name, expected=definition.expected))
    return play


# --- the run


def test_the_start_says_what_the_run_is() -> None:
    assert seen() == RunView(
        id="r",
        workflow="flow",
        version="2",
        target="app:flow",
        definition="hash",
        status="running",
        input=b'"in"',
        tags=("a", "b"),
        created_at=START,
        updated_at=START,
        deadline=START + 9,
        allowed=9,
        seq=1,
        expected=2,
    )
    assert view_of([]) == RunView()


LATER = {"updated_at": START + 5, "deadline": START + 14}


@pytest.mark.parametrize(
    ("events", "fields"),
    [
        ([e.RunTaken(START, 4, "me")], {"epoch": 4}),
        ([e.SessionEntered(START, "later")], {"session": "later"}),
        ([e.UsageReported(START, "a", 1, 5, 0.5), e.UsageReported(START, "b", 1, 2)], {"tokens": 7, "cost": 0.5}),
        (
            [e.FilesTouched(START, "a", 1, ("x", "y")), e.FilesTouched(START, "b", 1, ("x",))],
            {"files": {"x": "b", "y": "a"}},
        ),
        ([REACHED], {"limit": "steps", "reached": REACHED}),
        ([REACHED, e.RunContinued()], {"limit": "", "status": "running", "reached": REACHED}),
        ([REACHED, e.RunFailed(BOOM), e.RunReopened(START)], {"limit": "", "status": "running", "reached": REACHED}),
        ([e.ArtifactSaved(START, "a", 1, "n", "text/plain", "0f", 2, b"[]")], {"artifacts": 1}),
        ([e.MessageQueued(START, "a", 1, "signal", "r", "id", b"{}")], {"sent": 1}),
        ([e.MessageQueued(START, "a", 1, "start", "r", "r", b"{}"), e.EffectsDropped("a", 1, 1, 0, 0, ("r",))], {}),
        (
            [e.Interacted(START, "a", 1, "planner", "search", "call", b'"tides"')],
            {"interactions": [e.Interacted(START, "a", 1, "planner", "search", "call", b'"tides"')]},
        ),
        ([e.RunPausing()], {"status": "paused"}),
        ([e.RunPausing(), e.RunContinued()], {"status": "running"}),
        ([e.RunCancelling("enough")], {"status": "cancelling", "reason": "enough"}),
        ([e.RunCompleted(b"1")], {"status": "completed", "output": b"1"}),
        ([e.RunFailed(BOOM)], {"status": "failed", "failure": BOOM}),
        ([e.RunCancelled("why", (BOOM,))], {"status": "cancelled", "reason": "why", "failures": (BOOM,)}),
        ([e.RunTerminated("now")], {"status": "terminated", "reason": "now"}),
        ([e.RunFailed(BOOM), e.RunReopened(START)], {"status": "running"}),
        ([e.RunCancelling("why"), e.RunFailed(BOOM), e.RunReopened(START)], {"status": "running"}),
        ([e.TimerSet("d", 5)], {"timers": {"d": 5}}),
        ([e.TimerSet("d", 5), e.TimerFired(START, "d")], {}),
        ([e.TimerSet("d", 5), e.NodeCancelled("d")], {}),
        ([e.TimerSet("d", 5), e.RunTerminated()], {"status": "terminated"}),
        ([e.TimerFired(START, "")], {}),
        ([e.RunForked(START + 5, "o", 3, 0)], {"origin": "o", "forked_at": 3, "created_at": START + 5, **LATER}),
    ],
)
def test_what_happens_to_the_run_shows(events: list[Event], fields: dict[str, object]) -> None:
    assert seen(*events) == replace(seen(), seq=1 + len(events), **fields)  # type: ignore[arg-type]


SILENT: list[Event] = [
    e.StepStarted(START, "a", 1),
    e.Answered(START, "a", b"1"),
    e.AnswerFailed(START, "a", BOOM),
    e.Asked(START, "()"),
    e.Returned(START, "()", b"1"),
    e.Raised(START, "()", BOOM),
    e.Restarted(START, "()", b"1"),
    e.CallRecorded(START, "a", 1, "key", b"1"),
    e.CallStarted(START, "a", 1, "key"),
    e.CallBegan(START, "a", 1, "key", "undo", "call it@m"),
    e.CallReturned(START, "a", 1, "key", b"1"),
    e.CallFailed(START, "a", 1, "key", BOOM),
    e.CancelRequested(START),
    e.TerminateRequested(START),
    e.PauseRequested(START),
    e.ContinueRequested(START),
    e.CheckpointNamed(START, "here"),
    e.LimitsSet(START, "{}"),
    e.SessionWritten(START, "a", 1, "s", "count", "set", b"1"),
    e.RunStuck(START, "hole"),
]
QUIET: list[Event] = [e.EffectsLet("a", 1)]
"""What the events beside it tell readers already."""


def test_what_others_tell_moves_only_the_place() -> None:
    assert seen(*QUIET) == replace(seen(), seq=2)


@pytest.mark.parametrize("event", SILENT, ids=lambda event: type(event).__name__)
def test_what_concerns_no_reader_moves_only_place_and_time(event: Event) -> None:
    later: Event = replace(event, at=START + 1)  # type: ignore[arg-type]
    assert seen(later) == replace(seen(), seq=2, updated_at=START + 1)


def test_time_and_place_are_those_of_the_last_event() -> None:
    view = seen(e.StepScheduled("a", 1), e.StepCompleted(START + 5, "a", 1, b"1"), e.RunCompleted(b"1"))
    assert (view.seq, view.created_at, view.updated_at) == (4, START, START + 5)


def test_a_reopened_run_has_as_long_again() -> None:
    again = seen(e.RunFailed(BOOM), e.RunReopened(START + 100), e.RunFailed(BOOM), e.RunReopened(START + 200))
    assert again.deadline == START + 209
    play = Play(define(call("a")))
    play.start()
    play.fail("a")
    play.reopen()
    assert after(play).deadline == 0


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "terminated"])
def test_nothing_is_under_way_when_the_run_has_ended(status: str) -> None:
    end: dict[str, Event] = {
        "completed": e.RunCompleted(b"1"),
        "failed": e.RunFailed(BOOM),
        "cancelled": e.RunCancelled(),
        "terminated": e.RunTerminated(),
    }
    view = seen(
        e.StepScheduled("a", 1),
        e.StepScheduled("b", 1),
        e.StepFailed(START, "b", 1, BOOM, START + 3),
        e.RetryScheduled("b", 2, START + 3),
        e.IterationStarted("l", 0, 1),
        e.TimerSet("d", START + 9),
    )
    assert (view.ended, [step.path for step in view.current], view.waiting) == (False, ["a", "b"], False)
    view.apply(Recorded("r", 8, START + 4, end[status]))
    assert (view.status, view.ended, view.current, view.waiting, view.timers) == (status, True, [], False, {})
    assert view.steps == {
        "a": StepView("a", "cancelled", 1, START, START + 4),
        "b": StepView("b", "cancelled", 2, START, START + 4, failure=BOOM),
    }
    assert view.scopes == {"l": ScopeView("l", "loop", "ended", 1)}


# --- steps


@pytest.mark.parametrize(
    ("path", "name"), [("a", "a"), ("b/a", "a"), ("pages/fetch[12]", "fetch"), ("f/a#3", "a"), ("f/x[1]#2", "x")]
)
def test_the_name_of_a_step_is_the_last_part_of_its_path(path: str, name: str) -> None:
    assert StepView(path).name == name


A = e.StepScheduled("a", 1)


@pytest.mark.parametrize(
    ("events", "step"),
    [
        ([A], StepView("a", "scheduled", 1, START)),
        ([A, e.StepCompleted(START + 2, "a", 1, b"1")], StepView("a", "completed", 1, START, START + 2, output=b"1")),
        ([A, e.StepFailed(START + 2, "a", 1, BOOM)], StepView("a", "failed", 1, START, START + 2, failure=BOOM)),
        (
            [A, e.StepFailed(START + 2, "a", 1, BOOM, START + 9), e.RetryScheduled("a", 2, START + 9)],
            StepView("a", "retrying", 2, START, due=START + 9, failure=BOOM),
        ),
        (
            [
                A,
                e.StepFailed(START + 2, "a", 1, BOOM, START + 9),
                e.RetryScheduled("a", 2, START + 9),
                e.NodeCancelled("a"),
            ],
            StepView("a", "cancelled", 2, START, START + 2, failure=BOOM),
        ),
        (
            [A, e.StepFailed(START + 2, "a", 1, BOOM, START + 2), e.StepScheduled("a", 2)],
            StepView("a", "scheduled", 2, START, failure=BOOM),
        ),
        (
            [
                A,
                e.StepFailed(START + 2, "a", 1, BOOM, START + 9),
                e.RetryScheduled("a", 2, START + 9),
                e.TimerFired(START + 9, "a"),
                e.StepScheduled("a", 2),
                e.StepCompleted(START + 10, "a", 2, b"2"),
            ],
            StepView("a", "completed", 2, START, START + 10, failure=BOOM, output=b"2"),
        ),
        (
            [A, e.AttemptLost(START + 2, "a", 1, "cancelled")],
            StepView(
                "a",
                "cancelled",
                1,
                START,
                START + 2,
                failure=lost_failure("cancelled", "a", 1),
            ),
        ),
        (
            [A, e.AttemptLost(START + 2, "a", 1, "crashed", START + 2), e.StepScheduled("a", 2)],
            StepView(
                "a",
                "scheduled",
                2,
                START,
                failure=lost_failure("crashed", "a", 1),
            ),
        ),
        (
            [
                A,
                e.StepFailed(START + 2, "a", 1, BOOM),
                e.RunFailed(BOOM),
                e.RunReopened(START + 5),
                e.StepScheduled("a", 2),
            ],
            StepView("a", "scheduled", 2, START + 5),
        ),
        (
            [A, e.StepCompleted(START, "a", 1, b"1"), e.NodeCancelled("a")],
            StepView("a", "completed", 1, START, START, output=b"1"),
        ),
    ],
)
def test_what_happens_to_a_step_shows(events: list[Event], step: StepView) -> None:
    assert seen(*events).steps == {"a": step}


def test_a_step_that_fails_while_it_is_stopped_is_not_tried_again() -> None:
    play = started(Play(define(Fallback("f", (Parallel("p", calls("a b"), join=Join()), call("c"))))))
    play.fail("p/a")
    play.fail("p/b", retry_in=SECOND)
    view = after(play)
    assert {path: step.status for path, step in view.steps.items()} == {
        "p/a": "failed",
        "p/b": "failed",
        "c": "scheduled",
    }
    assert [step.path for step in view.current] == ["c"]


def test_a_retry_that_a_pause_holds_back_is_under_way() -> None:
    play = started(Play(define(call("a"))))
    play.pause()
    play.fail("a", retry_in=0)
    assert after(play).steps == {
        "a": StepView("a", "retrying", 1, START, due=START, failure=failure("boom", path="a", attempt=1))
    }
    play.now += SECOND
    play.go_on()
    assert after(play).steps == {
        "a": StepView("a", "scheduled", 2, START, failure=failure("boom", path="a", attempt=1))
    }


def test_what_a_pause_kept_from_beginning_leaves_no_trace_when_it_is_cancelled() -> None:
    play = started(Play(define(*calls("a b"))))
    play.pause()
    play.done("a")
    play.cancel()
    view = after(play)
    assert list(view.steps) == ["a"]
    assert (view.status, view.completed, view.total, view.percent) == ("cancelled", 1, 2, 50.0)


@pytest.mark.parametrize(
    ("events", "waiting"),
    [
        ([], False),
        ([A], False),
        ([e.TimerSet("d", 9)], True),
        ([A, e.TimerSet("d", 9)], False),
        ([A, e.StepFailed(START, "a", 1, BOOM, START + 9), e.RetryScheduled("a", 2, START + 9)], True),
        ([e.TimerSet("d", 9), e.RunPausing()], False),
    ],
)
def test_a_run_waits_if_nothing_but_timers_is_under_way(events: list[Event], waiting: bool) -> None:
    assert seen(*events).waiting is waiting


# --- nodes with children


@pytest.mark.parametrize(
    ("events", "scope", "expected"),
    [
        ([e.BranchTaken("b", "size > 3", "large", -1)], ScopeView("b", "branch", "ended", detail="size > 3: large"), 1),
        (
            [e.TransitionTaken("r", 1, "a", "b", "Rework", 2)],
            ScopeView("r", "router", count=2, detail="a → b: Rework"),
            4,
        ),
        (
            [e.TransitionTaken("r", 2, "b", "", "Ready")],
            ScopeView("r", "router", "ended", 2, detail="b → end: Ready"),
            2,
        ),
        ([e.FanOutStarted("m", 3, 6)], ScopeView("m", "fan-out", count=3), 8),
        (
            [e.FanOutStarted("m", 3), e.FanOutEnded("m", 1, 2, 0)],
            ScopeView("m", "fan-out", "ended", 3, completed=1, failed=2),
            2,
        ),
        ([e.IterationStarted("l", 0, 2)], ScopeView("l", "loop", count=1), 4),
        ([e.IterationStarted("l", 0, 2), e.IterationStarted("l", 1, 2)], ScopeView("l", "loop", count=2), 6),
        (
            [e.IterationStarted("l", 0, 1), e.LoopEnded("l", 1, "until")],
            ScopeView("l", "loop", "ended", 1, detail="until"),
            3,
        ),
        ([e.LoopEnded("l", 0, "empty")], ScopeView("l", "loop", "ended", detail="empty"), 2),
        ([e.FallbackTaken("f", "b", BOOM)], ScopeView("f", "fallback", detail="b, because boom"), 2),
        ([e.FallbackTaken("f", "b", BOOM, 3)] * 2, ScopeView("f", "fallback", detail="b, because boom"), 5),
        ([e.CleanupStarted("c", 3, 4)] * 2, ScopeView("c", "cleanup", count=3), 6),
        ([e.ScopeStarted("s", "inner")], ScopeView("s", "workflow", detail="inner"), 2),
        (
            [e.ScopeStarted("s", "inner"), e.ScopeEnded("s", "failed")],
            ScopeView("s", "workflow", "failed", detail="inner"),
            2,
        ),
        ([e.NodeSkipped("n", -2)], ScopeView("n", "skipped", "ended"), 0),
        ([e.CleanupStarted("c", 3)], ScopeView("c", "cleanup", count=3), 2),
        (
            [e.CleanupStarted("c", 3), e.CleanupEnded("c", (BOOM,))],
            ScopeView("c", "cleanup", "ended", 3, completed=2, failed=1),
            2,
        ),
    ],
)
def test_what_happens_to_a_scope_shows(events: list[Event], scope: ScopeView, expected: int) -> None:
    view = seen(*events)
    assert list(view.scopes.values()) == [scope]
    assert view.expected == expected


def test_clean_up_and_the_body_that_it_cleans_up_after_are_two_scopes() -> None:
    play = started(Play(define(Cleanup("c", Map("m", call("a"), join=Join()), calls("tidy")))))
    play.answer("()", b"2")
    play.done("a[0]")
    play.fail("a[1]")
    play.done("cleanup:tidy")
    scopes = {
        "()": ScopeView("()", "fan-out", "ended", 2, completed=1, failed=1),
        CLEANUP: ScopeView("", "cleanup", "ended", 1, completed=1),
    }
    assert after(play).scopes == scopes
    play.reopen()
    play.done("a[1]")
    assert after(play).scopes == scopes | {"()": ScopeView("()", "fan-out", "ended", 2, completed=2)}


def test_a_loop_that_failed_runs_again_when_the_run_is_reopened() -> None:
    play = started(Play(define(Loop("l", call("a"), over=Over("range", last=2)))))
    play.fail("a[0]")
    assert after(play).scopes == {"": ScopeView("", "loop", "ended", 1)}
    play.reopen()
    play.done("a[0]")
    assert after(play).scopes == {"": ScopeView("", "loop", "running", 2)}


def test_the_timer_of_a_workflow_ends_with_it() -> None:
    play = started(Play(define(Subworkflow("s", call("a"), workflow="inner", timeout=SECOND), call("b"))))
    assert after(play).timers == {"s": START + SECOND}
    assert not after(play).waiting
    play.done("s/a")
    assert after(play).timers == {}


# --- hooks


def hooked(*events: Event) -> StepView:
    view = seen(*events)
    assert view.completed == sum(step.status in ("completed", "skipped") for step in view.steps.values())
    return view.steps["a"]


def answered(point: str, answer: str, **fields: Any) -> e.Intercepted:
    return e.Intercepted(START + 3, "a", point, answer, "h", **fields)


def test_what_hooks_make_of_a_step_shows() -> None:
    a, done = e.StepScheduled("a", 1), e.StepCompleted(START + 2, "a", 1, b"1")
    failed = e.StepFailed(START + 2, "a", 1, BOOM, START + 9)
    assert seen(answered("before", "replace", value=b"1")).steps == {}
    assert seen(answered("before", "continue")).steps == {}
    assert seen(answered("branch", "veto")).steps == {}
    skipped = hooked(answered("before", "skip", value=b"7"))
    assert (skipped.status, skipped.output, skipped.ended_at) == ("skipped", b"7", START + 3)
    assert hooked(answered("before", "veto", detail="no")).failure == Failure("vetoed", "no", path="a")
    assert hooked(answered("before", "cancel")).status == "cancelled"
    assert hooked(a, done, answered("after", "replace", value=b"7")).output == b"7"
    assert hooked(a, done, answered("after", "cancel")).status == "completed"
    assert hooked(a, done, answered("after", "fail", failure=BOOM)).failure == BOOM
    assert hooked(a, done, answered("after", "again")).status == "retrying"
    assert hooked(a, failed, answered("error", "replace", value=b"7")).status == "completed"


def test_what_hooks_make_of_limits() -> None:
    a, reached = e.StepScheduled("a", 1), e.LimitReached(START, "a", 1, "steps", 1, 1)
    held = seen(a, reached, e.Intercepted(START, "a", "limit", "continue", "h"))
    assert (held.limit, held.steps["a"].status, held.current) == ("steps", "held", [])
    assert seen(a, reached, e.StepScheduled("a", 1)).steps["a"].status == "scheduled"
    assert seen(a, reached, e.RunFailed(BOOM)).steps["a"].status == "cancelled"
    skipped = seen(a, reached, e.Intercepted(START, "a", "limit", "skip", "h", b"7"))
    assert (skipped.limit, skipped.steps["a"].status, skipped.steps["a"].output) == ("", "skipped", b"7")
    assert seen(a, reached, e.Intercepted(START, "a", "limit", "replace", "h", b"{}")).limit == ""
    assert seen(a, reached, e.Intercepted(START, "a", "limit", "veto", "h")).steps["a"].status == "failed"


def test_what_hooks_do_besides_leaves_the_view_as_it_is() -> None:
    before = seen()
    events = (
        e.HookFailed(START, "a", "before", "h", BOOM),
        e.HooksSet(START),
        e.PointReached("", "stage"),
        e.Requested(START, "cancel", "why"),
        e.RequestRefused("cancel", "why", "", BOOM),
        e.Intercepted(START, "!limit", "limit", "veto", "h"),
    )
    after = seen(*events)
    assert (after.status, after.steps, after.scopes) == (before.status, before.steps, before.scopes)


def test_readers_see_what_hooks_answered_and_whom_the_run_waits_for() -> None:
    vetoed = e.Intercepted(START, "a", "before", "veto", "guard", detail="no")
    waits = e.HookAwaited(START + 5, "b", "before", "bob", START + 4)
    went_on = e.Intercepted(START, "b", "before", "continue")
    view = seen(vetoed, went_on, waits, e.CheckpointNamed(START + 6, "here"))
    assert view.answers == [HookAnswer("a", "before", "veto", "guard", "no", view.answers[0].at)]
    assert view.asked == {"b": HookWait("b", "before", "bob", START + 4)}
    for event in (went_on, e.NodeCancelled("b"), e.RunTaken(START, 2, "other"), e.RunTerminated("")):
        assert seen(waits, event).asked == {}


def test_readers_see_what_only_counts_as_undone() -> None:
    skip = e.Intercepted(START, "!undo", "compensation", "skip", "guard")
    a, b = ((e.StepScheduled(name, 1), e.StepCompleted(START, name, 1, b"1")) for name in "ab")
    view = seen(*a, *b, e.CompensationStarted("", 2), skip, e.StepUndone("b"), e.StepUndone("a"))
    assert (view.undone, view.undo_skipped) == (["b", "a"], {"b": "guard"})


# --- progress


def progress(view: RunView) -> tuple[int, int, float]:
    return view.completed, view.total, view.percent


@pytest.mark.parametrize(
    ("begins", "ends"),
    [
        (lambda index: e.IterationStarted("loop", index, 1), e.LoopEnded("loop", 4, "until")),
        (lambda index: e.TransitionTaken("loop", index, "", "a", "", 1), e.TransitionTaken("loop", 4, "a", "", "")),
    ],
)
def test_what_may_go_on_for_long_is_half_done_at_most_until_it_has_ended(begins: Any, ends: e.Event) -> None:
    def percent() -> float:
        return seen(*events).percent

    before = (e.StepScheduled("first", 1), e.StepCompleted(START, "first", 1, b"1"))
    events: list[e.Event] = [replace(STARTED, expected=2), *before]
    told = [percent()]
    for index in range(4):
        path = f"loop/a[{index}]"
        for event in (begins(index), e.StepScheduled(path, 1), e.StepCompleted(START, path, 1, b"1")):
            events.append(event)
            told.append(percent())
    assert told == sorted(told)
    assert max(told) < 60.0
    events.append(ends)
    assert percent() > 80.0


def test_progress_counts_completed_steps_of_those_that_are_expected() -> None:
    play = started(Play(define(*calls("a b c"))))
    found = [progress(after(play))]
    for name in "abc":
        play.done(name)
        found.append(progress(after(play)))
    assert found == [(0, 3, 0.0), (1, 3, 33.3), (2, 3, 66.7), (3, 3, 100.0)]


def test_nothing_is_done_of_nothing_but_a_completed_run_is_complete() -> None:
    play = started(Play(define(Delay("d", SECOND))))
    assert progress(after(play)) == (0, 0, 0.0)
    play.fire("d")
    assert progress(after(play)) == (0, 0, 100.0)


def test_what_is_skipped_and_what_a_branch_leaves_out_is_not_expected() -> None:
    nodes = (call("a"), Sequence("s", calls("x y")), call("b"))
    graph = Graph("g", nodes, (Wire(), Wire(conditional=True), Wire(sources=(0,))), output=Wire(sources=(2,)))
    play = started(Play(define(graph)))
    assert after(play).total == 4
    play.answer("s?", b"false")
    assert progress(after(play)) == (0, 2, 0.0)
    play.done("a")
    assert progress(after(play)) == (1, 2, 50.0)


@pytest.mark.parametrize("again", [e.Intercepted(4, "a", "before", "skip", "h"), e.StepScheduled("a", 1)])
def test_a_step_that_was_skipped_and_comes_again_counts_once(again: Event) -> None:
    skipped = e.Intercepted(1, "a", "before", "skip", "h")
    events = (replace(STARTED, expected=2), skipped, e.RunFailed(BOOM), e.RunReopened(3, kept=True), again)
    view = view_of([Recorded("r", number, 4, event) for number, event in enumerate(events, 1)])
    assert view.completed == sum(step.status in ("completed", "skipped") for step in view.steps.values())


def test_a_map_and_a_loop_expect_what_they_turn_out_to_do() -> None:
    body = Sequence("both", calls("x y"))
    play = started(
        Play(
            define(Map("m", body, join=Join(on_error="best_effort")), Loop("l", call("a"), over=Over("range", last=2)))
        )
    )
    assert progress(after(play)) == (0, 0, 0.0)
    play.answer("m", b"2")
    assert progress(after(play)) == (0, 4, 0.0)
    for path in ("m/both[0]/x", "m/both[0]/y", "m/both[1]/x"):
        play.done(path)
    play.fail("m/both[1]/y")
    assert progress(after(play)) == (3, 5, 75.0)  # it does not fall because of the loop, of which nothing was known
    play.done("l/a[0]")
    assert progress(after(play)) == (4, 6, 75.0)
    play.done("l/a[1]")
    assert (play.status, *progress(after(play))) == ("completed", 5, 6, 100.0)


def test_the_percentage_does_not_fall_when_more_becomes_known_and_does_when_work_is_taken_back() -> None:
    def percent(*more: e.Event) -> float:
        events.extend(more)
        return seen(*events).percent

    first = (e.StepScheduled("a", 1), e.StepCompleted(START, "a", 1, b"1"))
    events: list[e.Event] = [replace(STARTED, expected=1)]
    assert percent(*first) == 50.0  # all that is known is done, and the run goes on
    assert percent(e.FanOutStarted("m", 9, 9)) == 50.0
    again = (e.StepScheduled("m/b[0]", 1), e.StepCompleted(START, "m/b[0]", 1, b"1"))
    assert percent(*again) == 50.0
    assert percent(e.RunFailed(failure("boom")), e.RunReopened(START), e.StepScheduled("a", 1)) == 10.0
    assert percent(e.StepCompleted(START, "a", 1, b"1"), e.RunCompleted(b"1")) == 100.0


def test_the_steps_of_a_durable_function_are_known_when_it_asks_for_them() -> None:
    play = started(Play(define(Dynamic("f", workflow="f", version="1"), call("b"))))
    assert after(play).total == 1
    play.asked("f", CallSpec(1, "step", "x"), CallSpec(2, "sleep", "sleep", b"5"), CallSpec(3, "step", "y"))
    assert progress(after(play)) == (0, 3, 0.0)
    play.done("f/x")
    play.done("f/y")
    assert progress(after(play)) == (2, 3, 66.7)
    alone = started(Play(define(Subworkflow("s", Dynamic("f", workflow="f", version="1"), workflow="f"))))
    alone.asked("()", CallSpec(1, "step", "x"))
    assert [after(alone).expected, list(after(alone).steps)] == [1, ["x"]]


def test_steps_of_flows_alternatives_and_clean_up_are_expected_before_they_are_scheduled() -> None:
    asked = e.Asked(START, "f", (CallSpec(1, "step", "x"), CallSpec(2, "flow", "y", shape="h", expected=2)))
    assert seen(asked).total == 2 + 1 + 2
    play = started(Play(define(Fallback("f", (call("a"), Sequence("s", calls("b c")))))))
    play.fail("a")
    assert progress(after(play)) == (0, 3, 0.0)
    play.done("s/b")
    assert progress(after(play)) == (1, 3, 33.3)


def test_runs_of_earlier_rules_expect_what_they_expected_then() -> None:
    play = Play(define(Cleanup("c", Fallback("f", calls("a b")), calls("tidy"))))
    play.start(core=2)
    play.fail("a")
    play.fail("b")
    assert [event.expected for event in play.events if isinstance(event, e.FallbackTaken | e.CleanupStarted)] == [0, 0]
    play.check_replay()


def test_what_a_reopened_function_asks_for_again_is_expected_once() -> None:
    play = started(Play(define(Dynamic("f", workflow="f", version="1"))))
    play.asked("", CallSpec(1, "step", "x"))
    play.done("x")
    play.asked("", CallSpec(2, "step", "y"))
    play.fail("y")
    play.raised("", failure("boom", path="y", attempt=1))
    assert (play.status, *progress(after(play))) == ("failed", 1, 2, 50.0)
    play.reopen()
    play.done("y")
    play.returned("")
    assert (play.status, *progress(after(play))) == ("completed", 2, 2, 100.0)


def test_a_step_that_is_taken_back_is_not_completed_any_more() -> None:
    play = started(Play(define(Cleanup("c", call("a"), calls("tidy wash")))))
    play.fail("a")
    play.done("cleanup:wash")
    play.fail("cleanup:tidy")
    assert progress(after(play)) == (1, 3, 33.3)
    play.reopen()
    play.fail("a")
    view = after(play)
    assert [step.path for step in view.current] == ["cleanup:wash"]
    assert progress(view) == (0, 3, 0.0)


# --- differences


def test_the_differences_of_two_views_are_those_of_the_run_then_of_each_step() -> None:
    play = started(Play(define(call("a"), call("b"))))
    before = after(play)
    play.fail("a", retry_in=0)
    play.done("a")
    between = after(play)
    play.fail("b")
    end = after(play)
    assert changes(before, between) == [
        Change("completed", 0, 1),
        Change("a", ("scheduled", 1, None), ("completed", 2, b"1")),
        Change("b", None, ("scheduled", 1, None)),
    ]
    boom = failure("boom", path="b", attempt=1)
    assert changes(between, end) == [
        Change("status", "running", "failed"),
        Change("failure", None, boom),
        Change("b", ("scheduled", 1, None), ("failed", 1, None)),
    ]
    assert changes(between, before) == [
        Change("completed", 1, 0),
        Change("a", ("completed", 2, b"1"), ("scheduled", 1, None)),
        Change("b", ("scheduled", 1, None), None),
    ]
    assert changes(end, end) == []


@pytest.mark.parametrize(
    ("event", "found"),
    [
        (e.RunCompleted(b"1"), [Change("status", "running", "completed"), Change("output", None, b"1")]),
        (e.RunCancelling("why"), [Change("status", "running", "cancelling"), Change("reason", "", "why")]),
        (e.NodeSkipped("n", -1), [Change("expected", 2, 1)]),
        (e.CheckpointNamed(START, "here"), []),
        (e.WaitStarted("n", "go"), []),
        (e.SignalReceived(START, "go", b"1"), []),
        (e.SignalRefused(START, "go", failure()), []),
        (e.SignalTaken("n", "go"), []),
        (e.UpdateAnswered("n/answer_go", "go", "1", b"2"), []),
        (e.VoteCast(START, "n", "ann", True), []),
        (e.ApprovalDelegated(START, "n", "ann", "bob"), []),
        (e.ApprovalRequested("n", "ok?", b"1", "0"), []),
        (e.VoteRefused("n", "ann", "why"), []),
        (e.ApprovalReminded("n"), []),
    ],
)
def test_what_differs_of_the_run_is_named(event: Event, found: list[Change]) -> None:
    assert changes(seen(), seen(event)) == found


def test_what_rules_said_is_kept_by_the_path_of_the_node() -> None:
    said = (ValidationResult("file", "error", True), ValidationResult("short", "info", False, "too long"))
    assert seen(e.RulesChecked("a", ()), e.RulesChecked("a", said)).validations == {"a": said}


# --- what is undone, and what nobody knows


def test_a_compensation_shows_as_a_scope_of_its_own() -> None:
    begun: list[Event] = [e.StepScheduled("a", 1), e.StepCompleted(START, "a", 1, b"1"), e.CompensationStarted("", 2)]
    assert seen(*begun).scopes[UNDO] == ScopeView("", "undo", count=2)
    view = seen(*begun, e.StepUndone("a"), e.UndoFailed("b", BOOM), e.CompensationEnded("", "partial", 1, (BOOM,)))
    assert view.scopes[UNDO] == ScopeView("", "undo", "ended", 2, 1, 1, "partial")
    assert (view.undone, view.not_undone, view.completed) == (["a"], {"b": BOOM}, 0)
    assert view.steps["a"].status == "undone"


def test_a_run_that_is_taken_back_says_so() -> None:
    taken: list[Event] = [e.RunCompleted(b"1"), e.UndoRequested(START), e.RunUndoing("wrong")]
    assert (seen(*taken).status, seen(*taken).reason) == ("undoing", "wrong")
    assert seen(*taken, e.RunUndone()).status == "undone"


def test_a_late_outcome_changes_nothing_that_shows() -> None:
    scheduled = e.StepScheduled("a", 1)
    late = seen(scheduled, e.LateOutcome(START, "a", 1, b"1"))
    assert replace(late, seq=0) == replace(seen(scheduled), seq=0)


@pytest.mark.parametrize(("verdict", "status"), [("completed", "completed"), ("failed", "failed")])
def test_a_parked_step_waits_until_somebody_knows(verdict: str, status: str) -> None:
    lost: list[Event] = [e.StepScheduled("a", 1), e.AttemptLost(START, "a", 1, "parked"), e.StepParked("a", 1)]
    assert (seen(*lost).parked, seen(*lost).waiting) == (["a"], True)
    view = seen(*lost, e.Reconciled(START, "a", 1, verdict, b"1", BOOM))
    assert (view.parked, view.steps["a"].status) == ([], status)
    assert seen(*lost, e.RunTerminated()).steps["a"].status == "unknown"


def test_an_undo_that_a_hook_lets_be_tried_later_waits_for_that_moment() -> None:
    asked = e.Intercepted(START, "!undo", "compensation_error", "again", "h", number=START + 5)
    assert seen(asked).timers == {"!undo": START + 5}
    assert seen(asked, e.TimerFired(START + 5, "!undo")).timers == {}
    assert seen(replace(asked, number=START)).timers == {}


# --- any run


class Watched(Play):
    """A run whose view is taken along: what it says is compared with the run after every fact."""

    def __init__(self, definition: Definition) -> None:
        super().__init__(definition)
        self.view = RunView()
        self.paused = False

    @override
    def feed(self, fact: Fact) -> list[Effect]:
        if isinstance(fact, e.RunStarted):
            fact = replace(fact, expected=self.definition.expected)
        seq = len(self.journal)
        effects = super().feed(fact)
        for recorded in self.journal[seq:]:
            done, shown, over = self.view.completed, self.view.percent, self.view.status == "completed"
            self.view.apply(recorded)
            self.check_numbers()
            assert self.view.percent >= shown or self.view.completed < done or over
        self.check_state()
        return effects

    @override
    def roll_back(self, to: int, **fields: Any) -> list[Effect]:
        effects = super().roll_back(to, **fields)
        for recorded in self.journal[self.view.seq :]:
            self.view.apply(recorded)
            self.check_numbers()
        self.view = view_of(self.journal)
        self.check_numbers()
        self.paused |= self.view.status == "paused"
        self.check_state()
        return effects

    def check_numbers(self) -> None:
        view = self.view
        counted = [step for step in view.steps.values() if "/undo:" not in step.path]
        assert view.completed == sum(step.status in ("completed", "skipped") for step in counted)
        assert 0 <= view.completed <= view.total
        assert 0.0 <= view.percent <= 100.0

    def check_state(self) -> None:
        view, state = self.view, self.state
        assert (view.id, view.status, view.seq, view.epoch) == (state.run, state.status, state.seq, state.epoch)
        assert view.ended == (state.status in TERMINAL)
        if state.status in TERMINAL:
            assert (view.current, view.timers, view.waiting) == ([], {}, False)
            return
        scheduled = {step.path: step.attempt for step in view.current if step.status == "scheduled"}
        assert scheduled == {path: command.attempt for path, command in self.ledger.steps.items()}
        frames = state.frames.values()
        retrying = {frame.path for frame in frames if isinstance(frame, CallFrame) and frame.phase == BACKOFF}
        assert retrying <= {step.path for step in view.current if step.status == "retrying"}
        self.paused |= state.status == "paused"  # which may hold retries back, of steps that are being stopped too
        assert self.paused or retrying | scheduled.keys() == {step.path for step in view.current}
        timers = {path: timer.due for path, timer in self.ledger.timers.items()}
        assert view.timers == {path: due for path, due in timers.items() if path and path not in retrying}
        assert timers.get("", view.deadline) == view.deadline


@searched(400)
@given(tapes)
@example(b"")
def test_thview_of_any_run_says_what_the_run_is_doing(data: bytes) -> None:
    tape = Tape(data)
    definition = Builder(tape).definition()
    history = History(definition, tape, snapshots=False)
    play = history.play = Watched(definition)
    history.run()
    view = play.view
    assert view == view_of(play.journal)
    completed = {item.event.path for item in play.journal if isinstance(item.event, e.StepCompleted | e.Reconciled)}
    assert {path for path, step in view.steps.items() if step.status == "completed"} <= completed
    if view.status == "completed":
        assert (view.percent, view.output) == (100.0, play.output)
    for before in (RunView(), view_of(play.journal[: len(play.journal) // 2])):
        assert all(change.before != change.after for change in changes(before, view))


def test_a_migrated_run_is_seen_anew() -> None:
    before: list[Event] = [e.StepScheduled("a", 1), e.StepCompleted(START, "a", 1, b"1"), e.TimerSet("d", 5)]
    migrated = e.Migrated(START + 7, "1", 4, 2, 3, START)
    again = replace(STARTED, at=START + 7, version="3", definition="other", deadline=START + 16)
    view = seen(*before, migrated, again, e.StepScheduled("b", 1))
    expected = seen(e.StepScheduled("b", 1))
    expected.steps["b"].scheduled_at = START + 7
    later = {"updated_at": START + 7, "deadline": START + 16, "epoch": 3, "seq": 7}
    assert view == replace(expected, version="3", definition="other", **later)  # type: ignore[arg-type]
    incremental = RunView()
    for recorded in journal(*before, migrated, again, e.StepScheduled("b", 1)):
        incremental.apply(recorded)
    assert incremental == view


def test_a_step_that_was_not_run_shows_what_it_was_given() -> None:
    view = seen(e.StepScheduled("a", 1), e.StepReused(START, "a", 1, b"7"))
    assert view.steps["a"] == StepView("a", "completed", scheduled_at=START, ended_at=START, output=b"7")
    assert view.completed == 1


def test_after_a_rollback_the_run_stands_where_it_stood_and_goes_on() -> None:
    before: list[Event] = [e.StepScheduled("a", 1), e.StepCompleted(START, "a", 1, b"1"), e.StepScheduled("b", 1)]
    undone: list[Event] = [e.StepCompleted(START, "b", 1, b"2"), e.RunCompleted(b"2")]
    back: list[Event] = [e.RolledBack(START + 7, 4, 6, 1, 2, "why", "me"), e.StepScheduled("b", 1)]
    view = seen(*before, *undone, *back)
    expected = seen(*before)
    expected.steps["b"].scheduled_at = START + 7
    assert view == replace(expected, seq=8, updated_at=START + 7, deadline=START + 16, epoch=2)
    incremental = RunView()
    for recorded in journal(*before, *undone, *back):
        incremental.apply(recorded)
    assert (incremental.status, incremental.output, incremental.steps["b"].status) == ("running", None, "scheduled")


def test_the_state_follows_from_events_that_say_whose_it_is() -> None:
    def events(*found: e.Event) -> RunView:
        return view_of([Recorded("r", number, 1, event) for number, event in enumerate(found, 1)])

    total = e.Write("total", "set", b"0")
    start = e.RunStarted(1, "r", "w", "1", "h", b"1", 7, state=(total,))
    opened = e.StateOpened("", "Report", 2)
    view = events(start, opened, e.Returned(1, "fn", b"1", (e.Write("total", "add", b"2"),)), e.StateChanged(""))
    assert view.state is not None
    assert (view.state.name, view.state.version) == ("Report", 2)
    assert {name: merge.read(held, text_of) for name, held in view.state.fields.items()} == {"total": b"2"}
    view = events(
        start,
        opened,
        e.StateChanged("", (e.Write("total", "add", b"5"), e.Write("post", "set", b"1"))),
        e.StateRestored("", (total,), ("post",)),
        e.StateMerged(1, "in", (e.Write("x", "custom", b"9"),)),
        e.StateGiven(1, "in", (e.Write("x", "set", b"1"),)),
        e.StateOpened("in", "Inner", 1),
        e.StateEdited(1, "in", (e.Write("y", "set", b"2"),)),
        e.StateChanged("in"),
    )
    found = {path: {n: merge.read(held, text_of) for n, held in s.fields.items()} for path, s in view.states.items()}
    assert found == {"": {"total": b"0"}, "in": {"x": b"1", "y": b"2"}}


def test_an_approval_is_open_until_it_is_decided() -> None:
    view = seen(e.ApprovalRequested("n", "ok?", b"1", "0", ("ann",), 2, START, "", START))
    for event in (
        e.VoteCounted("n", "ann", True),
        e.DelegationTaken("n", "ann", "bob"),
        e.ApprovalEscalated("n", ("c",)),
    ):
        view.apply(Recorded("r", view.seq + 1, START, event))
    assert (view.approvals["n"].assignees, view.approvals["n"].votes) == (("bob", "c"), [("ann", True)])
    view.apply(Recorded("r", view.seq + 1, START, e.ApprovalDecided("n", True, "quorum", ("ann", "bob"))))
    assert view.approvals == {}
    decided = view.decided["n"]
    assert (decided.granted, decided.how, decided.by, decided.decided_at) == (True, "quorum", ("ann", "bob"), START)
    assert decided.votes == [("ann", True)]


def test_statements_are_counted() -> None:
    assert seen(e.RowsWritten(START, "a", 1, ("DELETE FROM t",), 3)).statements == 3


def test_a_run_that_was_started_by_another_names_it_and_its_own() -> None:
    view = seen(
        e.RunStarted(START, "r", "f", "1", "h", b"1", 1, parent="p"),
        e.Dispatched(START, "c", "start", "r.1", "r.1", b"{}", "cancel"),
        e.ChildAwaited("result", "r.1"),
    )
    assert (view.parent, view.children, view.awaited, view.waiting) == (
        "p",
        {"r.1": "started"},
        {"result": "r.1"},
        True,
    )
    view.apply(Recorded("r", 4, START, e.ChildEnded(START, "r.1", "completed", b"7")))
    assert (view.children, view.awaited) == ({"r.1": "completed"}, {})


def test_every_event_has_its_place_in_these_tests() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    kinds = (*get_args(e.Fact), *get_args(e.Consequence))
    assert [kind.__name__ for kind in kinds if f"e.{kind.__name__}(" not in text] == []


# --- streams


ADVANCED = e.StreamAdvanced(START + 1, "s", 1, 4, b"40", taken=40, dropped=2, dead=1)


def test_readers_see_how_far_a_stream_is() -> None:
    assert seen(ADVANCED).streams["s"] == StreamView("s", "running", 4, 40, 2, 1, START + 1)


def test_readers_see_why_a_stream_ended() -> None:
    view = seen(ADVANCED, e.StreamEnded("s", "at_most", 4, 41, 2, 1))
    assert view.streams["s"] == StreamView("s", "at_most", 4, 41, 2, 1, START + 1)


def test_readers_see_that_a_stream_was_killed_with_its_run() -> None:
    ended = StreamView("t", "exhausted", 1, 1)
    view = seen(ADVANCED, e.StreamEnded("t", "exhausted", 1, 1), e.RunTerminated("kill"))
    assert (view.streams["s"].status, view.streams["t"].status) == ("terminated", ended.status)


def test_readers_see_how_fast_a_stream_is_and_how_far_it_lags() -> None:
    later = e.StreamAdvanced(START + 3, "s", 2, 5, taken=100, elapsed=4_000_000, lag=100_000, behind=7)
    first = e.StreamAdvanced(START + 2, "s", 1, 4, taken=40, elapsed=1_000_000, lag=250_000)
    assert (first.throughput, later.throughput) == (40.0, 25.0)
    view = seen(first, later)
    assert view.streams["s"] == StreamView(
        "s", "running", 5, 100, 0, 0, START + 3, 4_000_000, 100_000, 250_000, behind=7, rate=20.0
    )
    assert view.streams["s"].throughput == 25.0


def test_a_stream_of_which_no_time_is_known_has_no_throughput() -> None:
    assert (ADVANCED.throughput, seen(ADVANCED).streams["s"].rate) == (0.0, 0.0)


def test_readers_see_the_throughput_and_greatest_lag_of_a_stream_that_has_ended() -> None:
    ended = e.StreamEnded("s", "exhausted", 5, 100, elapsed=5_000_000, lag=250_000)
    stream = seen(ADVANCED, ended).streams["s"]
    assert (ended.throughput, stream.throughput, stream.most_lag, stream.elapsed) == (20.0, 20.0, 250_000, 5_000_000)
