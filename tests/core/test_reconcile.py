"""A step of which nobody knows what it did waits until somebody says so; it is never repeated blindly."""

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
    assert view_of(play.journal).steps["a"].status == "cancelled"


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
