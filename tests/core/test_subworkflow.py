"""Sub-workflows: a scope in the same journal with a time limit of its own; and the time limit of the run."""

from typing import Any

import pytest

from ripresa.core.commands import CancelStep, ClearTimer, RunStep, SetTimer
from ripresa.core.events import (
    Failure,
    RunCancelled,
    RunCancelling,
    RunCompleted,
    RunFailed,
    ScopeEnded,
    ScopeStarted,
    StepScheduled,
    TimerFired,
    TimerSet,
)
from ripresa.core.nodes.cleanup import Cleanup
from ripresa.core.nodes.node import Node
from ripresa.core.nodes.sequence import Sequence
from ripresa.core.nodes.subworkflow import Subworkflow

from .play import SECOND, START, Play, call, calls, define, failure

BODY = Sequence("body", calls("a b"))
LATE = Failure("deadline_exceeded", "workflow 'inner' had no time left", path="sub")
NO_TIME = Failure("deadline_exceeded", "the run had no time left")


def inner(body: Node[Any] = BODY, timeout: int = 0) -> Play:
    return Play(define(Sequence("outer", (Subworkflow("sub", body, workflow="inner", timeout=timeout), call("z")))))


def test_the_steps_of_a_sub_workflow_stand_below_its_own_path() -> None:
    play = inner()
    assert play.start(b"0") == [ScopeStarted("sub", "inner"), StepScheduled("sub/a", 1), RunStep("sub/a", 1, b"0")]
    play.done("sub/a", b"1")
    assert play.done("sub/b", b"2") == [ScopeEnded("sub", "completed"), StepScheduled("z", 1), RunStep("z", 1, b"2")]
    play.check_replay()


def test_a_body_that_is_a_single_step_shows_under_its_name() -> None:
    assert inner(call("a")).start(b"0")[1:] == [StepScheduled("sub/a", 1), RunStep("sub/a", 1, b"0")]


def test_scopes_directly_inside_each_other_do_not_get_in_their_way() -> None:
    nested = Subworkflow("deep", Cleanup("c", Cleanup("d", BODY, ()), calls("tidy")), workflow="deep")
    play = Play(define(Subworkflow("sub", nested, workflow="inner")))
    assert play.start(b"0") == [
        ScopeStarted("", "inner"),
        ScopeStarted("()", "deep"),
        StepScheduled("a", 1),
        RunStep("a", 1, b"0"),
    ]
    play.done("a")
    assert play.done("b", b"2") == [ScopeEnded("()", "completed"), ScopeEnded("", "completed"), RunCompleted(b"2")]
    play.check_replay()


def test_a_failure_inside_fails_it() -> None:
    play = inner()
    play.start()
    assert play.fail("sub/a") == [ScopeEnded("sub", "failed"), RunFailed(failure(path="sub/a", attempt=1))]


def test_a_sub_workflow_has_no_more_time_than_its_timeout() -> None:
    play = inner(timeout=SECOND)
    due = START + SECOND
    assert play.start()[1] == TimerSet("sub", due)
    assert play.ledger.timers == {"sub": SetTimer("sub", due)}
    assert play.fire("sub") == [CancelStep("sub/a", 1)]
    assert play.lose("sub/a", "cancelled") == [ScopeEnded("sub", "failed"), RunFailed(LATE)]


def test_the_timer_is_cleared_when_it_ends_in_time() -> None:
    play = inner(call("a"), timeout=SECOND)
    play.start()
    assert play.done("sub/a")[-1] == RunStep("z", 1, b"1")
    assert play.ledger.timers == {}


def test_a_timeout_while_it_is_stopped_already_changes_nothing_more() -> None:
    play = inner(timeout=SECOND)
    play.start()
    assert play.cancel() == [RunCancelling("enough"), CancelStep("sub/a", 1)]
    assert play.fire("sub") == []
    assert play.lose("sub/a", "cancelled") == [ScopeEnded("sub", "cancelled"), RunCancelled("enough")]


def test_a_reopened_sub_workflow_has_its_whole_time_again() -> None:
    play = inner(timeout=5 * SECOND)
    play.start()
    play.now += SECOND
    play.fail("sub/a")
    assert play.reopen() == [
        TimerSet("sub", START + 6 * SECOND),
        StepScheduled("sub/a", 2),
        SetTimer("sub", START + 6 * SECOND),
        RunStep("sub/a", 2, b'"in"'),
    ]
    assert play.feed(TimerFired(START + 5 * SECOND, "sub")) == []


# --- the run's own limit


def test_a_run_has_no_more_time_than_until_its_deadline() -> None:
    play = Play(define(*calls("a b")))
    assert play.start(deadline=SECOND)[1] == SetTimer("", START + SECOND)
    assert play.feed(TimerFired(START + SECOND - 1, "")) == []
    assert play.fire("") == [CancelStep("a", 1)]
    assert play.done("a") == [RunFailed(NO_TIME)]


@pytest.mark.parametrize("end", ["done", "fail"])
def test_the_deadline_is_cleared_when_the_run_ends(end: str) -> None:
    play = Play(define(call("a")))
    play.start(deadline=SECOND)
    assert getattr(play, end)("a")[-1] == ClearTimer("")
    assert play.fire("") == []


def test_a_deadline_that_comes_while_the_run_is_cancelled_changes_nothing_more() -> None:
    play = Play(define(call("a")))
    play.start(deadline=SECOND)
    play.cancel()
    assert play.fire("") == []
    assert play.done("a") == [RunCancelled("enough")]


def test_a_reopened_run_has_its_whole_time_again() -> None:
    play = Play(define(call("a")))
    play.start(deadline=SECOND)
    play.fire("")
    play.lose("a", "cancelled")
    assert play.status == "failed"
    assert play.reopen() == [
        StepScheduled("a", 2),
        SetTimer("", START + 2 * SECOND),
        RunStep("a", 2, b'"in"'),
    ]
    play.check_replay()
