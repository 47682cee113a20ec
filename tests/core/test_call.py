"""Calls: attempts, backoff, lost attempts, and facts that come too late."""

import pytest

from ripresa.core.commands import CancelStep, ClearTimer, RunStep, SetTimer
from ripresa.core.events import (
    AttemptLost,
    CallFailed,
    CallRecorded,
    CallStarted,
    Failure,
    NodeCancelled,
    RetryScheduled,
    RunCancelled,
    RunCancelling,
    RunFailed,
    StepCompleted,
    StepFailed,
    StepScheduled,
    StepStarted,
    TimerFired,
)
from ripresa.core.frames import CallFrame
from ripresa.core.nodes.join import Join
from ripresa.core.nodes.parallel import Parallel

from .play import SECOND, START, Play, calls, define, failure


def started(names: str = "a") -> Play:
    play = Play(define(*calls(names)))
    play.start()
    return play


def frame_of(play: Play, path: str) -> CallFrame:
    frame = play.state.frames[path]
    assert isinstance(frame, CallFrame)
    return frame


def test_a_failed_attempt_waits_for_its_moment_and_runs_again() -> None:
    play = started()
    due = START + 5 * SECOND
    assert play.fail("a", retry_in=5 * SECOND) == [RetryScheduled("a", 2, due), SetTimer("a", due)]
    assert play.fire("a") == [StepScheduled("a", 2), RunStep("a", 2, b'"in"')]


def test_a_retry_that_is_due_runs_at_once() -> None:
    play = started()
    assert play.fail("a", retry_in=0) == [StepScheduled("a", 2), RunStep("a", 2, b'"in"')]


def test_the_third_failure_fails_the_run() -> None:
    play = started()
    play.fail("a", retry_in=0)
    play.fail("a", retry_in=0)
    assert play.fail("a") == [RunFailed(failure(path="a", attempt=3))]


@pytest.mark.parametrize(
    ("reason", "code", "types", "retryable"),
    [
        ("crashed", "attempt_lost", (), True),
        ("timeout", "timeout", ("TimeoutError", "OSError", "Exception"), True),
        ("process_died", "process_died", (), True),
        ("interrupted", "attempt_lost", (), True),
        ("cancelled", "cancelled", (), False),
        ("unknown", "outcome_unknown", (), False),
    ],
)
def test_a_lost_attempt_says_why_it_was_lost(reason: str, code: str, types: tuple[str, ...], retryable: bool) -> None:
    play = started()
    (ended,) = play.lose("a", reason)
    assert isinstance(ended, RunFailed)
    found = ended.failure
    assert found == Failure(code, found.message, types, retryable=retryable, path="a", attempt=1)


def test_a_lost_attempt_counts_but_for_one_that_the_engine_stopped() -> None:
    play = started()
    play.lose("a", "crashed", retry_in=0)
    assert (frame_of(play, "a").attempt, frame_of(play, "a").base) == (2, 1)
    play.lose("a", "interrupted", retry_in=0)
    assert (frame_of(play, "a").attempt, frame_of(play, "a").base) == (3, 2)


def test_a_backoff_is_cancelled_at_once() -> None:
    play = started()
    play.fail("a", retry_in=SECOND)
    assert play.cancel("stop") == [
        RunCancelling("stop"),
        NodeCancelled("a"),
        RunCancelled("stop"),
        ClearTimer("a"),
    ]


@pytest.mark.parametrize("outcome", ["done", "fail", "lose"])
def test_a_cancelled_attempt_may_end_in_any_way(outcome: str) -> None:
    play = started()
    assert play.cancel("stop") == [RunCancelling("stop"), CancelStep("a", 1)]
    assert getattr(play, outcome)("a") == [RunCancelled("stop")]


def test_a_cancelled_attempt_is_not_tried_again() -> None:
    play = started()
    play.cancel("stop")
    assert play.fail("a", retry_in=SECOND) == [RunCancelled("stop")]


def test_a_reopened_run_counts_attempts_on_and_retries_from_the_beginning() -> None:
    play = started()
    play.fail("a", retry_in=0)
    play.fail("a")
    assert play.reopen() == [StepScheduled("a", 3), RunStep("a", 3, b'"in"')]
    assert (frame_of(play, "a").attempt, frame_of(play, "a").base) == (3, 3)


def test_a_backoff_that_was_stopped_goes_on_with_the_next_attempt_when_reopened() -> None:
    play = Play(define(Parallel("p", calls("a b"), join=Join())))
    play.start()
    play.fail("a", retry_in=SECOND)
    play.fail("b")
    assert play.reopen() == [
        StepScheduled("a", 3),
        StepScheduled("b", 2),
        RunStep("a", 3, b'"in"'),
        RunStep("b", 2, b'"in"'),
    ]


def test_recorded_calls_are_kept_for_the_next_attempt() -> None:
    play = started()
    assert play.feed(CallRecorded(play.now, "a", 1, "k1", b"1")) == []
    assert play.feed(CallRecorded(play.now, "a", 1, "k2", b"2")) == []
    play.fail("a", retry_in=0)
    assert frame_of(play, "a").recorded == {"k1": b"1", "k2": b"2"}
    play.check_replay()


@pytest.mark.parametrize("end", [CallRecorded(START, "a", 1, "k1", b"1"), CallFailed(START, "a", 1, "k1", failure())])
def test_an_irreversible_call_is_intended_until_it_is_known_how_it_ended(end: CallRecorded | CallFailed) -> None:
    play = started()
    assert play.feed(CallStarted(play.now, "a", 1, "k1")) == []
    assert play.feed(CallStarted(play.now, "a", 1, "k2")) == []
    assert frame_of(play, "a").intents == ("k1", "k2")
    assert play.feed(end) == []
    assert frame_of(play, "a").intents == ("k2",)
    play.fail("a", retry_in=0)
    assert frame_of(play, "a").intents == ("k2",)
    play.check_replay()


def test_the_start_of_an_irreversible_attempt_is_noted() -> None:
    play = started()
    assert play.feed(StepStarted(play.now, "a", 1)) == []
    assert frame_of(play, "a").started == 1
    assert len(play.events) == 3


@pytest.mark.parametrize(
    "late",
    [
        StepCompleted(START, "a", 1, b"9"),
        StepFailed(START, "a", 1, failure(), 0),
        AttemptLost(START, "a", 1, "crashed", 0),
        CallRecorded(START, "a", 1, "k", b"9"),
        CallStarted(START, "a", 1, "k"),
        CallFailed(START, "a", 1, "k", failure()),
        StepStarted(START, "a", 1),
        StepCompleted(START, "a", 3, b"9"),
        StepCompleted(START, "nowhere", 1, b"9"),
        StepCompleted(START, "", 1, b"9"),
    ],
)
def test_reports_of_other_attempts_change_nothing(late: StepCompleted) -> None:
    play = started("a b")
    play.fail("a", retry_in=SECOND)
    assert play.feed(late) == []
    play.fire("a")
    assert play.feed(late) == []
    play.done("a")
    assert play.feed(late) == []
    assert len(play.events) == 8


def test_a_report_during_the_backoff_changes_nothing() -> None:
    play = started()
    play.fail("a", retry_in=SECOND)
    assert play.feed(StepCompleted(play.now, "a", 2, b"1")) == []


def test_an_old_timer_does_not_end_a_later_backoff() -> None:
    play = started()
    play.fail("a", retry_in=SECOND)
    play.fire("a")
    play.fail("a", retry_in=5 * SECOND)
    assert play.feed(TimerFired(START + SECOND, "a")) == []
    assert play.fire("a") == [StepScheduled("a", 3), RunStep("a", 3, b'"in"')]
