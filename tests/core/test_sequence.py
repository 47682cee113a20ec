"""Chains: one node after another, each given what the one before returned."""

from ripresa.core.commands import CancelStep, RunStep
from ripresa.core.events import RunCancelled, RunCancelling, RunCompleted, RunFailed, StepScheduled
from ripresa.core.nodes.sequence import Sequence

from .play import Play, call, calls, define, failure


def test_the_first_step_is_given_the_input() -> None:
    play = Play(define(*calls("a b")))
    assert play.start(b'"tides"') == [StepScheduled("a", 1), RunStep("a", 1, b'"tides"')]


def test_every_step_is_given_what_the_one_before_returned() -> None:
    play = Play(define(*calls("a b")))
    play.start()
    assert play.done("a", b"41") == [StepScheduled("b", 1), RunStep("b", 1, b"41")]
    assert play.done("b", b"42") == [RunCompleted(b"42")]
    assert play.status == "completed"
    play.check_replay()


def test_a_sequence_of_nothing_returns_its_input() -> None:
    play = Play(define(Sequence("nothing", ())))
    assert play.start(b"7") == [RunCompleted(b"7")]


def test_a_failed_step_fails_the_run_and_the_rest_does_not_run() -> None:
    play = Play(define(*calls("a b")))
    play.start()
    assert play.fail("a") == [RunFailed(failure(path="a", attempt=1))]


def test_a_reopened_run_begins_with_the_first_unfinished_step() -> None:
    play = Play(define(*calls("a b c")))
    play.start()
    play.done("a", b"1")
    play.fail("b")
    assert play.reopen() == [StepScheduled("b", 2), RunStep("b", 2, b"1")]
    play.done("b", b"2")
    assert play.done("c", b"3") == [RunCompleted(b"3")]
    play.check_replay()


def test_a_cancelled_run_ends_when_its_attempt_has_reported() -> None:
    play = Play(define(*calls("a b")))
    play.start()
    assert play.cancel("enough") == [RunCancelling("enough"), CancelStep("a", 1)]
    assert play.lose("a", "cancelled") == [RunCancelled("enough")]


def test_a_step_that_returns_while_it_is_cancelled_leads_to_nothing_more() -> None:
    play = Play(define(*calls("a b")))
    play.start()
    play.cancel()
    assert play.done("a") == [RunCancelled("enough")]


def test_nested_sequences_show_in_paths() -> None:
    play = Play(define(Sequence("outer", (Sequence("inner", calls("a")), call("b")))))
    assert play.start(b"1") == [StepScheduled("inner/a", 1), RunStep("inner/a", 1, b"1")]
    assert play.done("inner/a", b"2") == [StepScheduled("b", 1), RunStep("b", 1, b"2")]
