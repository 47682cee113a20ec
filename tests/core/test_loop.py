"""Loops: over items, numbers and conditions, with index and accumulator; every end has its reason."""

from typing import Any

import pytest

from ripresa.core.commands import Ask, RunStep
from ripresa.core.events import IterationStarted, LoopEnded, RunCompleted, RunFailed, StepScheduled
from ripresa.core.nodes.loop import Loop, Over
from ripresa.core.nodes.sequence import Sequence
from ripresa.core.values import Pick, Value

from .play import Effect, Play, call, calls, define, failure

ITEMS = Over("items", start=b"100")
CONDITION = Over("condition")


def loop(over: Over, **options: Any) -> Play:
    return Play(define(Loop("l", call("s"), over=over, **options)))


def iteration(index: int, argument: Value) -> list[Effect]:
    path = f"s[{index}]"
    return [IterationStarted("", index, 1), StepScheduled(path, 1), RunStep(path, 1, argument)]


def test_a_loop_over_items_folds_them_in_order() -> None:
    play = loop(ITEMS)
    assert play.start(b"[7,8]") == [Ask("", "count", b"[7,8]")]
    assert play.answer("", b"2") == iteration(0, (b"100", Pick(b"[7,8]", 0)))
    assert play.done("s[0]", b"107") == iteration(1, (b"107", Pick(b"[7,8]", 1)))
    assert play.done("s[1]", b"115") == [LoopEnded("", 2, "exhausted"), RunCompleted(b"115")]
    play.check_replay()


def test_the_body_is_told_the_index_if_it_wants_it() -> None:
    play = loop(Over("items", start=b"0", indexed=True))
    play.start(b"[7]")
    assert play.answer("", b"1") == iteration(0, (b"0", Pick(b"[7]", 0), b"0"))


def test_an_empty_collection_returns_the_accumulator_it_began_with() -> None:
    play = loop(ITEMS)
    play.start(b"[]")
    assert play.answer("", b"0") == [LoopEnded("", 0, "empty"), RunCompleted(b"100")]


@pytest.mark.parametrize(
    ("over", "numbers"),
    [
        (Over("range", first=2, last=5), [2, 3, 4]),
        (Over("range", first=5, last=2, step=-2), [5, 3]),
        (Over("range", first=5, last=2), []),
    ],
)
def test_a_loop_over_numbers_goes_like_range(over: Over, numbers: list[int]) -> None:
    play = loop(over)
    effects = play.start(b"0")
    for index, number in enumerate(numbers):
        assert effects == iteration(index, (b"%d" % index, b"%d" % number))
        effects = play.done(f"s[{index}]", b"%d" % (index + 1))
    reason = "exhausted" if numbers else "empty"
    assert effects == [LoopEnded("", len(numbers), reason), RunCompleted(b"%d" % len(numbers))]


def test_while_is_asked_before_every_iteration() -> None:
    play = loop(CONDITION, before=True)
    assert play.start(b"0") == [Ask("", "while", b"0")]
    assert play.answer("", b"true") == iteration(0, b"0")
    assert play.done("s[0]", b"1") == [Ask("", "while", b"1")]
    assert play.answer("", b"false") == [LoopEnded("", 1, "while"), RunCompleted(b"1")]


def test_until_is_asked_after_every_iteration() -> None:
    play = loop(CONDITION, after=True)
    assert play.start(b"0") == iteration(0, b"0")
    assert play.done("s[0]", b"1") == [Ask("", "until", b"1")]
    assert play.answer("", b"false") == iteration(1, b"1")
    play.done("s[1]", b"2")
    assert play.answer("", b"true") == [LoopEnded("", 2, "until"), RunCompleted(b"2")]


@pytest.mark.parametrize("answer", [b"0", b"1", b"null", b'"true"', b"[]"])
def test_nothing_but_true_is_true(answer: bytes) -> None:
    play = loop(CONDITION, before=True)
    play.start(b"0")
    assert play.answer("", answer) == [LoopEnded("", 0, "while"), RunCompleted(b"0")]


def test_a_loop_is_bounded_by_its_greatest_number_of_iterations() -> None:
    play = loop(CONDITION, at_most=2)
    play.start(b"0")
    assert play.done("s[0]", b"1") == iteration(1, b"1")
    assert play.done("s[1]", b"2") == [LoopEnded("", 2, "max_iterations"), RunCompleted(b"2")]


def test_a_loop_that_ends_with_its_items_is_exhausted_even_at_its_bound() -> None:
    play = loop(Over("range", last=1), at_most=1)
    play.start(b"0")
    assert play.done("s[0]", b"1") == [LoopEnded("", 1, "exhausted"), RunCompleted(b"1")]


def test_a_reopened_loop_goes_on_with_its_iteration() -> None:
    body = Sequence("b", calls("s t"))
    play = Play(define(Loop("l", body, over=CONDITION, at_most=3)))
    play.start(b"0")
    play.done("b[0]/s", b"1")
    play.done("b[0]/t", b"2")
    play.done("b[1]/s", b"3")
    assert play.fail("b[1]/t") == [RunFailed(failure(path="b[1]/t", attempt=1))]
    assert play.reopen() == [StepScheduled("b[1]/t", 2), RunStep("b[1]/t", 2, b"3")]
    assert play.done("b[1]/t", b"4")[0] == IterationStarted("", 2, 2)
    play.check_replay()


@pytest.mark.parametrize(("question", "options"), [("while", {"before": True}), ("until", {"after": True})])
def test_a_condition_that_raises_is_asked_again_when_reopened(question: str, options: dict[str, bool]) -> None:
    play = loop(CONDITION, **options)
    play.start(b"0")
    if question == "until":
        play.done("s[0]", b"0")
    assert play.answer_fails("") == [RunFailed(failure("bad question"))]
    assert play.reopen() == [Ask("", question, b"0")]
