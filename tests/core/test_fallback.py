"""Fallbacks: alternatives in order, tried when the one before failed in a way that counts."""

from dataclasses import replace

from ripresa.core.commands import RunStep
from ripresa.core.events import FallbackTaken, RunCompleted, RunFailed, StepScheduled
from ripresa.core.nodes.fallback import Fallback
from ripresa.core.nodes.join import Join
from ripresa.core.nodes.parallel import Parallel

from .play import Play, call, calls, define, failure


def test_the_next_alternative_is_given_the_same_input() -> None:
    play = Play(define(Fallback("f", calls("a b"))))
    assert play.start(b"5") == [StepScheduled("a", 1), RunStep("a", 1, b"5")]
    assert play.fail("a") == [
        FallbackTaken("", "b", failure(path="a", attempt=1), 1),
        StepScheduled("b", 1),
        RunStep("b", 1, b"5"),
    ]
    assert play.done("b", b"6") == [RunCompleted(b"6")]
    play.check_replay()


def test_no_alternative_is_tried_after_a_success() -> None:
    play = Play(define(Fallback("f", calls("a b"))))
    play.start()
    assert play.done("a", b"1") == [RunCompleted(b"1")]


def test_the_last_failure_fails_it_and_the_others_come_with_it() -> None:
    play = Play(define(Fallback("f", calls("a b c"))))
    play.start()
    play.fail("a", "first")
    play.fail("b", "second")
    others = (failure("first", path="a", attempt=1), failure("second", path="b", attempt=1))
    assert play.fail("c", "third") == [RunFailed(failure("third", path="c", attempt=1, others=others))]
    assert play.definition.expected == 1


def test_only_failures_of_the_named_types_count() -> None:
    play = Play(define(Fallback("f", calls("a b c"), on=("LookupError",))))
    play.start()
    assert play.fail("a", types="KeyError LookupError Exception")[1] == StepScheduled("b", 1)
    (ended,) = play.fail("b", types="ValueError Exception")
    assert isinstance(ended, RunFailed)
    assert ended.failure.types == ("ValueError", "Exception")


def test_a_reopened_fallback_goes_on_with_its_last_alternative() -> None:
    play = Play(define(Fallback("f", calls("a b"))))
    play.start(b"5")
    play.fail("a")
    play.fail("b")
    assert play.reopen() == [StepScheduled("b", 2), RunStep("b", 2, b"5")]


def test_a_stopped_fallback_remembers_what_failed_before() -> None:
    play = Play(define(Parallel("p", (Fallback("f", calls("a b")), call("z")), join=Join())))
    play.start()
    play.fail("f/a", "first")
    play.fail("z")
    play.lose("f/b", "cancelled")
    play.reopen()
    play.done("z")
    others = (failure("first", path="f/a", attempt=1),)
    second = replace(failure("second", path="f/b", attempt=2), others=others)
    assert play.fail("f/b", "second")[-1] == RunFailed(second)
