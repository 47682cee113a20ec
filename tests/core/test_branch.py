"""Branches: user code chooses, the choice is an event, only the chosen arm runs."""

from ripresa.core.commands import Ask, RunStep
from ripresa.core.events import BranchTaken, Failure, RunCompleted, RunFailed, StepScheduled
from ripresa.core.nodes.branch import Branch
from ripresa.core.nodes.sequence import Sequence

from .play import Play, call, calls, define, failure

ARMS = (Sequence("many", calls("a b c")), call("few"))


def asked() -> Play:
    play = Play(define(Branch("which", ARMS, condition="is it worth it?", code=None), call("after")))
    assert play.start(b"5") == [Ask("which", "choose", b"5")]
    return play


def test_only_the_chosen_arm_runs_and_what_follows_runs_after_it() -> None:
    play = asked()
    assert play.answer("which", b"1") == [
        BranchTaken("which", "is it worth it?", "few", -2),
        StepScheduled("which/few", 1),
        RunStep("which/few", 1, b"5"),
    ]
    assert play.done("which/few", b"6") == [StepScheduled("after", 1), RunStep("after", 1, b"6")]
    assert play.done("after", b"7") == [RunCompleted(b"7")]


def test_the_longest_arm_is_what_is_expected() -> None:
    play = asked()
    assert play.answer("which", b"0")[0] == BranchTaken("which", "is it worth it?", "many", 0)
    assert play.definition.expected == 4


def test_a_value_that_no_arm_takes_fails_and_is_asked_about_again_when_reopened() -> None:
    play = asked()
    assert play.answer("which", b"-1") == [
        RunFailed(Failure("no_case", "no case of is it worth it? takes this value", path="which"))
    ]
    assert play.reopen() == [Ask("which", "choose", b"5")]
    assert play.answer("which", b"1")[1] == StepScheduled("which/few", 1)


def test_a_condition_that_raises_fails_and_is_asked_again_when_reopened() -> None:
    play = asked()
    assert play.answer_fails("which") == [RunFailed(failure("bad question", path="which"))]
    assert play.reopen() == [Ask("which", "choose", b"5")]


def test_a_choice_that_was_made_is_not_made_again_when_reopened() -> None:
    play = asked()
    play.answer("which", b"1")
    play.fail("which/few")
    assert play.reopen() == [StepScheduled("which/few", 2), RunStep("which/few", 2, b"5")]
    play.check_replay()


def test_an_answer_that_nobody_waits_for_changes_nothing() -> None:
    play = asked()
    play.answer("which", b"1")
    assert play.answer("which", b"0") == []
    assert play.answer("which/few", b"0") == []
    assert play.answer("nowhere", b"0") == []
    assert play.answer_fails("which") == []
