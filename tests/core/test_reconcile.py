"""A step of which nobody knows what it did waits until somebody says so; it is never repeated blindly."""

from typing import Any

import pytest

from ripresa.core.commands import Reconcile, RunStep
from ripresa.core.events import (
    NodeCancelled,
    RunCancelled,
    RunCancelling,
    RunCompleted,
    RunFailed,
    StepParked,
    StepScheduled,
    StepStarted,
)
from ripresa.core.nodes.join import Join
from ripresa.core.nodes.parallel import Parallel
from ripresa.core.view import view_of

from .play import Play, call, calls, define, failure


def parked(*, snapshots: bool = False) -> Play:
    play = Play(define(*calls("a b")), snapshots=snapshots)
    play.start()
    assert play.lose("a", "parked") == [StepParked("a", 1), Reconcile("a", 1, b'"in"')]
    return play


@pytest.fixture(params=[False, True], ids=["kept", "encoded after every fact"])
def play(request: pytest.FixtureRequest) -> Play:
    return parked(snapshots=bool(request.param))


def test_a_parked_step_waits(play: Play) -> None:
    assert play.status == "running"
    assert play.done("a") == []
    assert play.taken(2) == []
    view = view_of(play.journal)
    assert (view.parked, view.waiting) == (["a"], True)


def test_it_goes_on_with_what_it_really_returned(play: Play) -> None:
    assert play.reconcile("a", "completed", b"7") == [StepScheduled("b", 1), RunStep("b", 1, b"7")]
    assert play.done("b")[-1] == RunCompleted(b"1")
    view = view_of(play.journal)
    assert (view.steps["a"].status, view.steps["a"].output, view.completed) == ("completed", b"7", 2)
    play.check_replay()


def test_it_fails_as_it_is_said_to(play: Play) -> None:
    assert play.reconcile("a", "failed") == [RunFailed(failure("it did not", path="a"))]
    view = view_of(play.journal)
    assert (view.steps["a"].status, view.steps["a"].failure) == ("failed", failure("it did not", path="a"))
    play.check_replay()


def test_it_is_tried_again_only_if_that_is_said(play: Play) -> None:
    assert play.reconcile("a", "retry") == [StepScheduled("a", 2), RunStep("a", 2, b'"in"')]
    assert play.state.frames["a"].base == 2, "that one does not count"  # type: ignore[attr-defined]
    assert view_of(play.journal).steps["a"].status == "scheduled"
    play.done("a")
    play.check_replay()


def test_what_is_said_of_another_attempt_changes_nothing(play: Play) -> None:
    play.reconcile("a", "retry")
    assert play.reconcile("a", "completed") == []
    assert play.reconcile("nowhere", "completed") == []


def test_a_parked_step_can_be_cancelled(play: Play) -> None:
    assert play.cancel() == [RunCancelling("enough"), NodeCancelled("a"), RunCancelled("enough")]
    assert view_of(play.journal).steps["a"].status == "unknown"


def test_a_step_that_is_being_stopped_is_not_parked() -> None:
    play = Play(define(Parallel("p", calls("a b"), join=Join())))
    play.start()
    play.fail("b")
    assert play.lose("a", "parked")[-1] == RunFailed(failure(path="b", attempt=1))


def test_the_time_of_a_run_goes_on_while_a_step_is_parked() -> None:
    play = Play(define(call("a")))
    play.start(deadline=5)
    play.lose("a", "parked")
    effects = play.fire("")
    assert isinstance(effects[-1], RunFailed)


# --- a reopened run


def reopened_in_doubt(reason: str, *, snapshots: bool = False, **recorded: Any) -> Play:
    play = Play(define(Parallel("p", calls("a b"), join=Join())), snapshots=snapshots)
    play.start(**recorded)
    play.feed(StepStarted(play.now, "a", 1))
    if reason == "parked":
        play.lose("a", reason)
        play.fail("b")
    else:
        play.fail("b")
        play.lose("a", reason)
    assert play.status == "failed"
    return play


@pytest.mark.parametrize("snapshots", [False, True], ids=["kept", "encoded after every fact"])
@pytest.mark.parametrize("reason", ["parked", "cancelled"])
def test_a_step_in_doubt_is_parked_again_when_the_run_is_reopened(reason: str, snapshots: bool) -> None:
    play = reopened_in_doubt(reason, snapshots=snapshots)
    assert view_of(play.journal).steps["a"].status == "unknown"
    assert play.reopen() == [
        StepParked("a", 1),
        StepScheduled("b", 2),
        Reconcile("a", 1, b'"in"'),
        RunStep("b", 2, b'"in"'),
    ]
    assert view_of(play.journal).not_undone == {}
    play.reconcile("a", "retry")
    play.fail("a")
    play.lose("b", "cancelled")
    assert play.status == "failed"
    effects = play.reopen()
    assert StepScheduled("a", 3) in effects, "it is known by now that it did nothing"
    play.done("a")
    play.done("b")
    assert play.status == "completed"
    play.check_replay()


def test_runs_of_earlier_rules_repeat_it_as_they_did() -> None:
    play = reopened_in_doubt("parked", core=5)
    assert StepScheduled("a", 2) in play.reopen()
    assert play.state.ledger.lasting == {}
    play.check_replay()


def test_a_step_that_failed_as_somebody_said_is_tried_again() -> None:
    play = Play(define(*calls("a b")))
    play.start()
    play.feed(StepStarted(play.now, "a", 1))
    play.lose("a", "parked")
    assert list(play.state.ledger.lasting) == [("a", "")]
    play.reconcile("a", "failed")
    assert play.state.ledger.lasting == {}
    assert play.reopen() == [StepScheduled("a", 2), RunStep("a", 2, b'"in"')]


def test_a_parked_step_keeps_its_key_when_the_run_is_rolled_back_to_where_it_was_parked() -> None:
    play = Play(define(Parallel("p", calls("a b"), join=Join())))
    play.start()
    play.feed(StepStarted(play.now, "a", 1))
    play.lose("a", "parked")
    place = len(play.journal)
    play.done("b")
    effects = play.roll_back(place)
    assert Reconcile("a", 1, b'"in"') in effects
    assert (play.state.frames["a"].generation, play.state.generation) == (0, 1)  # type: ignore[attr-defined]
    play.fail("b")
    assert StepParked("a", 1) in play.reopen()
    play.check_replay()
