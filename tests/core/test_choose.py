"""Choices of several: the chosen arms run side by side, and their results come in the order of writing."""

from ripresa.core.commands import Ask, RunStep
from ripresa.core.events import BranchTaken, FanOutEnded, FanOutStarted, RunCompleted, StepScheduled
from ripresa.core.nodes.choose import Choose
from ripresa.core.nodes.join import Join
from ripresa.core.nodes.sequence import Sequence
from ripresa.core.view import ScopeView, view_of

from .play import Play, call, calls, define


def chosen(answer: bytes, *, window: int = 0) -> Play:
    arms = (call("a"), Sequence("b", calls("x y")), call("c"))
    node = Choose("which", arms, condition="topics", join=Join(), window=window)
    play = Play(define(node, call("after")), snapshots=True)
    assert play.start(b"5") == [Ask("which", "pick", b"5")]
    play.answer("which", answer)
    return play


def test_the_chosen_run_side_by_side_and_what_follows_is_given_their_results_in_order() -> None:
    play = chosen(b"[0,2]")
    assert play.events[2:] == [
        BranchTaken("which", "topics", "a, c", -2),
        FanOutStarted("which", 2),
        StepScheduled("which/a", 1),
        StepScheduled("which/c", 1),
    ]
    play.done("which/c", b"3")
    assert play.done("which/a", b"1") == [
        FanOutEnded("which", 2, 0, 0),
        StepScheduled("after", 1),
        RunStep("after", 1, (b"1", b"3")),
    ]
    play.check_replay()


def test_nothing_chosen_is_an_empty_list() -> None:
    play = chosen(b"[]")
    assert play.events[2] == BranchTaken("which", "topics", "none", -4)
    assert play.done("after", b"7") == [RunCompleted(b"7")]


def test_an_arm_of_several_steps_goes_on_from_a_snapshot() -> None:
    play = chosen(b"[1]", window=1)
    play.done("which/b/x", b"2")
    play.fail("which/b/y")
    assert play.reopen() == [StepScheduled("which/b/y", 2), RunStep("which/b/y", 2, b"2")]
    play.check_replay()


def test_readers_see_what_was_chosen() -> None:
    view = view_of(chosen(b"[0,1]").journal)
    assert view.scopes["which"] == ScopeView("which", "fan-out", count=2, detail="topics: a, b")
    assert view.expected == -1  # corrects what the definition let expect


def test_a_choice_that_raises_fails_without_a_summary_and_is_asked_again_when_reopened() -> None:
    node = Choose("which", calls("a b"), condition="topics", join=Join())
    play = Play(define(node, call("after")), snapshots=True)
    play.start(b"5")
    assert [type(effect).__name__ for effect in play.answer_fails("which")] == ["RunFailed"]
    assert play.reopen() == [Ask("which", "pick", b"5")]
    play.check_replay()
