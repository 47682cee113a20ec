"""Clean-up: handlers run last first when the body failed or was cancelled; nothing stops them."""

from ripresa.core.commands import CancelStep, RunStep
from ripresa.core.events import (
    CleanupEnded,
    CleanupStarted,
    FanOutEnded,
    FanOutStarted,
    RunCancelled,
    RunCancelling,
    RunCompleted,
    RunFailed,
    ScopeEnded,
    StepScheduled,
)
from ripresa.core.nodes.cleanup import Cleanup
from ripresa.core.nodes.join import Join
from ripresa.core.nodes.parallel import Parallel
from ripresa.core.nodes.sequence import Sequence
from ripresa.core.nodes.subworkflow import Subworkflow

from .play import SECOND, Play, call, calls, define, failure

BROKEN = failure(path="a", attempt=1)


def guarded(*, handlers: str = "x y", deadline: int = 0) -> Play:
    play = Play(define(Cleanup("c", Sequence("body", calls("a b")), calls(handlers))))
    play.start(b"0", deadline=deadline)
    return play


def test_nothing_is_cleaned_up_after_a_success() -> None:
    play = guarded()
    play.done("a", b"1")
    assert play.done("b", b"2") == [RunCompleted(b"2")]
    assert play.definition.expected == 2


def test_handlers_run_last_first_with_the_input_before_the_run_fails() -> None:
    play = guarded()
    assert play.fail("a") == [
        CleanupStarted("", 2, 2),
        StepScheduled("cleanup:y", 1),
        RunStep("cleanup:y", 1, b"0"),
    ]
    assert play.done("cleanup:y") == [StepScheduled("cleanup:x", 1), RunStep("cleanup:x", 1, b"0")]
    assert play.done("cleanup:x") == [CleanupEnded(""), RunFailed(BROKEN)]
    play.check_replay()


def test_handlers_run_before_a_cancelled_run_ends() -> None:
    play = guarded(handlers="x")
    assert play.cancel("stop") == [RunCancelling("stop"), CancelStep("a", 1)]
    assert play.lose("a", "cancelled")[0] == CleanupStarted("", 1, 1)
    assert play.done("cleanup:x") == [CleanupEnded(""), RunCancelled("stop")]


def test_a_second_cancellation_does_not_stop_the_handlers() -> None:
    play = guarded(handlers="x")
    play.cancel("stop")
    play.lose("a", "cancelled")
    assert play.cancel("again") == []
    assert play.done("cleanup:x") == [CleanupEnded(""), RunCancelled("stop")]


def test_a_cancellation_during_the_clean_up_of_a_failure_cancels_the_run_and_no_handler() -> None:
    play = guarded(handlers="x")
    play.fail("a")
    assert play.cancel("stop") == [RunCancelling("stop")]
    assert play.done("cleanup:x") == [CleanupEnded(""), RunCancelled("stop")]


def test_a_deadline_does_not_stop_the_handlers() -> None:
    play = guarded(handlers="x", deadline=SECOND)
    play.fail("a")
    assert play.fire("") == []
    assert play.done("cleanup:x") == [CleanupEnded(""), RunFailed(BROKEN)]


def test_handlers_that_fail_are_collected_and_stop_nothing() -> None:
    play = guarded()
    play.cancel("stop")
    play.lose("a", "cancelled")
    assert play.fail("cleanup:y", "first")[0] == StepScheduled("cleanup:x", 1)
    failures = (failure("first", path="cleanup:y", attempt=1), failure("second", path="cleanup:x", attempt=1))
    assert play.fail("cleanup:x", "second") == [CleanupEnded("", failures), RunCancelled("stop", failures)]


def test_a_handler_may_be_tried_again() -> None:
    play = guarded(handlers="x")
    play.fail("a")
    play.fail("cleanup:x", retry_in=0)
    assert play.done("cleanup:x") == [CleanupEnded(""), RunFailed(BROKEN)]


def test_a_handler_has_its_own_time_limit() -> None:
    handler = Subworkflow("late", call("x"), workflow="late", timeout=SECOND)
    play = Play(define(Cleanup("c", call("a"), (handler,))))
    play.start()
    play.fail("a")
    assert play.fire("cleanup:late") == [CancelStep("cleanup:late/x", 1)]
    ended = play.lose("cleanup:late/x", "cancelled")
    assert ended[0] == ScopeEnded("cleanup:late", "failed")
    assert ended[-1] == RunFailed(BROKEN)


def test_a_sibling_that_fails_does_not_stop_the_handlers() -> None:
    guard = Cleanup("c", call("a"), calls("x"))
    play = Play(define(Parallel("p", (guard, call("z")), join=Join())))
    play.start(b"0")
    play.fail("c/a", "first")
    assert play.fail("z", "second") == []
    first = failure("first", path="c/a", attempt=1, others=())
    assert play.done("c/cleanup:x")[-1] == RunFailed(failure("second", path="z", attempt=1, others=(first,)))


def test_without_handlers_the_failure_passes_through() -> None:
    play = Play(define(Cleanup("c", call("a"), ())))
    play.start()
    assert play.fail("a") == [CleanupStarted("", 0), CleanupEnded(""), RunFailed(BROKEN)]


def test_a_reopened_scope_goes_on_and_cleans_up_again_if_it_fails_again() -> None:
    play = guarded(handlers="x")
    play.fail("a")
    play.fail("cleanup:x", "messy")
    assert play.reopen() == [StepScheduled("a", 2), RunStep("a", 2, b"0")]
    play.fail("a", "again")
    assert play.done("cleanup:x") == [CleanupEnded(""), RunFailed(failure("again", path="a", attempt=2))]
    play.reopen()
    play.cancel("stop")
    play.lose("a", "cancelled")
    assert play.done("cleanup:x") == [CleanupEnded(""), RunCancelled("stop")]
    play.check_replay()


def test_a_body_that_returned_while_it_was_stopped_is_finished_when_reopened() -> None:
    guard = Cleanup("c", call("a"), calls("x"))
    play = Play(define(Parallel("p", (guard, call("z")), join=Join())))
    assert play.start(b"0")[0] == FanOutStarted("", 2)
    play.fail("z")
    play.done("c/a", b"1")
    play.done("c/cleanup:x")
    assert play.status == "failed"
    assert play.reopen() == [StepScheduled("z", 2), RunStep("z", 2, b"0")]
    assert play.done("z", b"2") == [FanOutEnded("", 2, 0, 0), RunCompleted((b"1", b"2"))]


def test_inner_handlers_run_before_outer_ones() -> None:
    play = Play(define(Cleanup("o", Sequence("s", (Cleanup("i", call("a"), calls("x")),)), calls("y"))))
    play.start()
    assert play.fail("i/a")[1] == StepScheduled("i/cleanup:x", 1)
    assert play.done("i/cleanup:x")[:3] == [CleanupEnded("i"), CleanupStarted("", 1, 1), StepScheduled("cleanup:y", 1)]


def test_handlers_that_return_at_once_are_run_too() -> None:
    play = Play(define(Cleanup("c", call("a"), (Sequence("nothing", ()),))))
    play.start()
    assert play.fail("a") == [CleanupStarted("", 1), CleanupEnded(""), RunFailed(BROKEN)]
