"""Parallel and map: every join with every error policy, windows, order, and how a failed one goes on."""

import pytest

from ripresa.core.commands import Ask, CancelStep, RunStep
from ripresa.core.events import (
    Failure,
    FanOutEnded,
    FanOutStarted,
    RunCancelled,
    RunCancelling,
    RunCompleted,
    RunFailed,
    StepScheduled,
)
from ripresa.core.nodes.join import WINDOW, Join
from ripresa.core.nodes.loop import Loop, Over
from ripresa.core.nodes.map import Map
from ripresa.core.nodes.parallel import Parallel
from ripresa.core.nodes.sequence import Sequence
from ripresa.core.values import Pick

from .play import Effect, Play, call, calls, define, failure

FAIL_SLOW = Join(on_error="fail_slow")
BEST_EFFORT = Join(on_error="best_effort")


def side_by_side(names: str, join: Join = Join(), **options: int) -> Play:  # noqa: B008 - frozen
    play = Play(define(Parallel("p", calls(names), join=join, **options)))  # type: ignore[arg-type]
    play.start(b"0")
    return play


def mapped(count: int, join: Join = Join(), window: int = 0) -> Play:  # noqa: B008 - frozen
    play = Play(define(Map("m", call("s"), join=join, window=window)))
    play.start(b"[7,8,9]")
    play.answer("", b"%d" % count)
    return play


def scheduled(effects: list[Effect]) -> list[str]:
    return [effect.path for effect in effects if isinstance(effect, StepScheduled)]


def outcomes(play: Play, script: str) -> list[Effect]:
    """Feed outcomes such as "a+ b- c+" and return what follows from the last one."""
    effects: list[Effect] = []
    for item in script.split():
        name = item[:-1]
        if item.endswith("+"):
            effects = play.done(name, b'"%s"' % name.encode())
        else:
            effects = play.lose(name, "cancelled") if item.endswith("x") else play.fail(name, name)
    play.check_replay()
    return effects


def failed(name: str, *others: Failure) -> Failure:
    return failure(name, path=name, attempt=1, others=others)


def test_all_branches_begin_at_once_with_the_same_input() -> None:
    play = Play(define(Parallel("p", calls("a b"), join=Join())))
    assert play.start(b"0") == [
        FanOutStarted("", 2),
        StepScheduled("a", 1),
        StepScheduled("b", 1),
        RunStep("a", 1, b"0"),
        RunStep("b", 1, b"0"),
    ]


NEITHER = Failure(
    "join_impossible", "1 of 2 branches had to succeed, 2 failed", cause=failed("a"), others=(failed("b"),)
)
TOO_FEW = Failure(
    "join_impossible", "2 of 3 branches had to succeed, 2 failed", cause=failed("c"), others=(failed("a"),)
)

JOINS = [
    # all
    (Join(), "a b c", "c+ a+ b+", [FanOutEnded("", 3, 0, 0), RunCompleted((b'"a"', b'"b"', b'"c"'))]),
    (Join(), "a b c", "c+ b-", [CancelStep("a", 1)]),
    (Join(), "a b c", "c+ b- ax", [FanOutEnded("", 1, 1, 1), RunFailed(failed("b"))]),
    (Join(), "a b c", "c+ b- a+", [FanOutEnded("", 2, 1, 0), RunFailed(failed("b"))]),
    (Join(), "a b c", "b- a- c-", [FanOutEnded("", 0, 1, 2), RunFailed(failed("b"))]),
    (FAIL_SLOW, "a b c", "b- a-", []),
    (FAIL_SLOW, "a b c", "b- a- c+", [FanOutEnded("", 1, 2, 0), RunFailed(failed("b", failed("a")))]),
    (FAIL_SLOW, "a b", "b+ a+", [FanOutEnded("", 2, 0, 0), RunCompleted((b'"a"', b'"b"'))]),
    (
        BEST_EFFORT,
        "a b c",
        "b- a+ c-",
        [FanOutEnded("", 1, 2, 0, (failed("b"), failed("c"))), RunCompleted((b'"a"', b"null", b"null"))],
    ),
    # n of them
    (Join(need=2), "a b c", "c+", []),
    (Join(need=2), "a b c", "c+ a+", [CancelStep("b", 1)]),
    (Join(need=2), "a b c", "c+ a+ bx", [FanOutEnded("", 2, 0, 1), RunCompleted((b'"a"', b'"c"'))]),
    (Join(need=2), "a b c", "c+ a+ b+", [FanOutEnded("", 3, 0, 0), RunCompleted((b'"a"', b'"c"'))]),
    (Join(need=2), "a b c", "b- c+ a+", [FanOutEnded("", 2, 1, 0), RunCompleted((b'"a"', b'"c"'))]),
    (Join(need=2), "a b c", "c- a-", [CancelStep("b", 1)]),
    (Join(need=2), "a b c", "c- a- bx", [FanOutEnded("", 0, 2, 1), RunFailed(TOO_FEW)]),
    (Join(need=2, on_error="best_effort"), "a b c", "c- a- bx", [FanOutEnded("", 0, 2, 1), RunFailed(TOO_FEW)]),
    # the first that ends
    (Join(any=True), "a b", "b+ ax", [FanOutEnded("", 1, 0, 1), RunCompleted(b'"b"')]),
    (Join(any=True), "a b", "b- ax", [FanOutEnded("", 0, 1, 1), RunFailed(failed("b"))]),
    # the first that succeeds
    (Join(need=1), "a b", "a- b-", [FanOutEnded("", 0, 2, 0), RunFailed(NEITHER)]),
]


@pytest.mark.parametrize(("join", "names", "script", "expected"), JOINS)
def test_joins(join: Join, names: str, script: str, expected: list[Effect]) -> None:
    assert outcomes(side_by_side(names, join), script) == expected


def test_the_first_success_is_returned_bare_if_a_single_one_was_wanted() -> None:
    play = Play(define(Parallel("p", calls("a b"), join=Join(need=1), single=True)))
    play.start()
    assert outcomes(play, "a- b+") == [FanOutEnded("", 1, 1, 0), RunCompleted(b'"b"')]


@pytest.mark.parametrize(
    ("join", "expected"),
    [
        (Join(), [FanOutEnded("", 0, 0, 0), RunCompleted(())]),
        (FAIL_SLOW, [FanOutEnded("", 0, 0, 0), RunCompleted(())]),
        (BEST_EFFORT, [FanOutEnded("", 0, 0, 0), RunCompleted(())]),
        (
            Join(need=2),
            [
                FanOutEnded("", 0, 0, 0),
                RunFailed(Failure("join_impossible", "2 of 0 branches had to succeed, 0 failed")),
            ],
        ),
        (
            Join(any=True),
            [
                FanOutEnded("", 0, 0, 0),
                RunFailed(Failure("join_impossible", "1 of 0 branches had to succeed, 0 failed")),
            ],
        ),
    ],
)
def test_nothing_to_do_ends_at_once(join: Join, expected: list[Effect]) -> None:
    play = Play(define(Map("m", call("s"), join=join)))
    play.start(b"[]")
    assert play.answer("", b"0") == [FanOutStarted("", 0), *expected]
    if play.status == "failed":
        assert play.reopen() == expected
    play.check_replay()


def test_a_map_asks_how_many_items_there_are_and_picks_them() -> None:
    play = Play(define(Map("m", call("s"), join=Join())))
    assert play.start(b"[7,8]") == [Ask("", "count", b"[7,8]")]
    assert play.answer("", b"2") == [
        FanOutStarted("", 2, 2),
        StepScheduled("s[0]", 1),
        StepScheduled("s[1]", 1),
        RunStep("s[0]", 1, Pick(b"[7,8]", 0)),
        RunStep("s[1]", 1, Pick(b"[7,8]", 1)),
    ]
    play.done("s[1]", b'"second"')
    assert play.done("s[0]", b'"first"') == [FanOutEnded("", 2, 0, 0), RunCompleted((b'"first"', b'"second"'))]


def test_no_more_branches_are_under_way_than_the_window_allows() -> None:
    play = Play(define(Map("m", call("s"), join=Join(), window=2)))
    play.start(b"[7,8,9]")
    assert scheduled(play.answer("", b"3")) == ["s[0]", "s[1]"]
    assert scheduled(play.done("s[1]")) == ["s[2]"]
    assert play.done("s[0]") == []
    assert play.done("s[2]") == [FanOutEnded("", 3, 0, 0), RunCompleted((b"1", b"1", b"1"))]


def test_without_a_window_of_its_own_a_map_schedules_so_many_and_parallel_all() -> None:
    assert len(scheduled(list(mapped(1000).state.consequences))) == 0
    assert len(mapped(1000).state.frames) == WINDOW + 1
    assert len(side_by_side("a b c").state.frames) == 4
    assert len(side_by_side("a b c", window=2).state.frames) == 3


def test_branches_that_have_not_begun_never_do_after_a_failure() -> None:
    play = mapped(3, window=1)
    assert play.fail("s[0]") == [FanOutEnded("", 0, 1, 0), RunFailed(failure(path="s[0]", attempt=1))]


def test_a_question_that_fails_is_asked_again_when_reopened() -> None:
    play = Play(define(Map("m", call("s"), join=Join())))
    play.start(b"[7]")
    assert play.answer_fails("") == [RunFailed(failure("bad question"))]
    assert play.reopen() == [Ask("", "count", b"[7]")]
    assert scheduled(play.answer("", b"1")) == ["s[0]"]


def test_the_first_failure_is_kept_and_what_failed_meanwhile_comes_with_it() -> None:
    pairs = Parallel("left", calls("a b"), join=Join()), Parallel("right", calls("c d"), join=Join())
    play = Play(define(Parallel("p", pairs, join=Join())))
    play.start()
    play.fail("left/a", "first")
    play.fail("right/c", "second")
    assert play.lose("left/b", "cancelled") == [FanOutEnded("left", 0, 1, 1)]
    second = failure("second", path="right/c", attempt=1)
    assert play.lose("right/d", "cancelled") == [
        FanOutEnded("right", 0, 1, 1),
        FanOutEnded("", 0, 2, 0),
        RunFailed(failure("first", path="left/a", attempt=1, others=(second,))),
    ]


# --- cancelled and reopened


def test_a_cancelled_fan_out_says_how_its_branches_ended() -> None:
    play = side_by_side("a b")
    play.done("a")
    assert play.cancel() == [RunCancelling("enough"), CancelStep("b", 1)]
    assert play.lose("b", "cancelled") == [FanOutEnded("", 1, 0, 1), RunCancelled("enough")]


def test_a_reopened_fan_out_runs_only_what_has_not_returned() -> None:
    play = side_by_side("a b c")
    outcomes(play, "a+ b- cx")
    assert scheduled(play.reopen()) == ["b", "c"]
    assert outcomes(play, "b+ c+") == [FanOutEnded("", 3, 0, 0), RunCompleted((b'"a"', b'"b"', b'"c"'))]


def test_a_branch_that_returned_while_the_others_were_stopped_is_not_run_again() -> None:
    play = side_by_side("a b c")
    outcomes(play, "b- a+ cx")
    assert scheduled(play.reopen()) == ["b", "c"]
    assert outcomes(play, "b+ c+") == [FanOutEnded("", 3, 0, 0), RunCompleted((b'"a"', b'"b"', b'"c"'))]


def test_a_step_in_a_stopped_branch_is_not_lost_when_it_returns() -> None:
    play = Play(define(Parallel("p", (Sequence("s", calls("a b")), call("c")), join=Join())))
    play.start()
    play.fail("c")
    play.done("s/a", b"5")
    assert play.reopen() == [
        StepScheduled("s/b", 1),
        StepScheduled("c", 2),
        RunStep("s/b", 1, b"5"),
        RunStep("c", 2, b'"in"'),
    ]


def test_a_reopened_fan_out_keeps_to_its_window() -> None:
    play = mapped(3, FAIL_SLOW, window=1)
    outcomes(play, "s[0]- s[1]+ s[2]-")
    assert scheduled(play.reopen()) == ["s[0]"]
    assert scheduled(play.done("s[0]", b'"s[0]"')) == ["s[2]"]
    assert play.done("s[2]") == [FanOutEnded("", 3, 0, 0), RunCompleted((b'"s[0]"', b'"s[1]"', b"1"))]


def test_a_reopened_fan_out_forgets_the_failures_that_it_tries_to_mend() -> None:
    play = side_by_side("a b c", Join(need=2))
    outcomes(play, "a- b- cx")
    assert scheduled(play.reopen()) == ["a", "b", "c"]
    assert outcomes(play, "a- b+ c+") == [FanOutEnded("", 2, 1, 0), RunCompleted((b'"b"', b'"c"'))]


def test_what_best_effort_has_given_up_stays_given_up_in_a_reopened_run() -> None:
    outer = Play(define(Parallel("o", (Parallel("p", calls("a b"), join=BEST_EFFORT), call("z")), join=Join())))
    outer.start()
    outer.fail("p/a", "a")
    outer.fail("z")
    outer.lose("p/b", "cancelled")
    assert scheduled(outer.reopen()) == ["p/b", "z"]
    lost = failure("a", path="p/a", attempt=1)
    assert outer.done("p/b", b"2") == [FanOutEnded("p", 1, 1, 0, (lost,))]


def test_enough_results_that_came_while_it_was_stopped_are_enough_when_reopened() -> None:
    inner = Parallel("p", calls("a b c"), join=Join(need=1), single=True)
    play = Play(define(Parallel("o", (inner, call("z")), join=Join())))
    play.start()
    play.fail("z")
    play.done("p/a", b"1")
    play.done("p/b", b"2")
    play.lose("p/c", "cancelled")
    assert play.reopen() == [FanOutEnded("p", 2, 0, 1), StepScheduled("z", 2), RunStep("z", 2, b'"in"')]
    assert play.done("z", b"3") == [FanOutEnded("", 2, 0, 0), RunCompleted((b"1", b"3"))]
    play.check_replay()


def test_branches_that_return_at_once_do_not_confuse_the_join() -> None:
    nothing = Loop("none", call("s"), over=Over("range"))
    play = Play(define(Parallel("p", (nothing, Sequence("s", ())), join=Join())))
    assert play.start(b"1")[-2:] == [FanOutEnded("", 2, 0, 0), RunCompleted((b"1", b"1"))]


def test_a_fan_out_that_has_its_result_is_not_cancelled_any_more() -> None:
    play = side_by_side("a b", Join(need=1))
    play.done("a", b"1")
    assert play.cancel() == [RunCancelling("enough")]
    assert play.lose("b", "cancelled") == [FanOutEnded("", 1, 0, 1), RunCompleted((b"1",))]
