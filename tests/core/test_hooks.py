"""Interceptors in the core: where a run asks, what each answer does, and what is asked again."""

from typing import Any

import pytest

from ripresa.core.commands import Ask, Intercept, RunStep, SetTimer, Withdraw
from ripresa.core.events import (
    BranchTaken,
    Failure,
    FallbackTaken,
    FanOutEnded,
    FanOutStarted,
    HookAwaited,
    HookFailed,
    IterationStarted,
    LimitReached,
    LoopEnded,
    NodeCancelled,
    NodeSkipped,
    PointReached,
    RetryScheduled,
    RunCancelled,
    RunCancelling,
    RunCompleted,
    RunFailed,
    StepScheduled,
    TransitionTaken,
)
from ripresa.core.nodes.branch import Branch
from ripresa.core.nodes.call import Call
from ripresa.core.nodes.choose import Choose
from ripresa.core.nodes.cleanup import Cleanup
from ripresa.core.nodes.fallback import Fallback
from ripresa.core.nodes.graph import INPUT, Graph, Wire
from ripresa.core.nodes.join import Join
from ripresa.core.nodes.loop import Loop, Over
from ripresa.core.nodes.map import Map
from ripresa.core.nodes.node import Node
from ripresa.core.nodes.parallel import Parallel
from ripresa.core.nodes.router import Router
from ripresa.core.nodes.sequence import Sequence
from ripresa.core.nodes.undo import Undo
from ripresa.core.points import matches
from ripresa.errors import RipresaError

from .play import SECOND, START, Play, call, calls, define, failure

VETOED = Failure("vetoed", "no")


def vetoed(path: str, reason: str = "no", **fields: Any) -> RunFailed:
    return RunFailed(Failure("vetoed", reason, path=path, **fields))


def play(*nodes: Node[Any], hooks: str, input: bytes = b"5") -> Play:
    """A run that has started, with interceptors at these points, separated by commas."""
    begun = Play(define(*nodes), hooks=tuple(hooks.split(", ")))
    begun.start(input)
    return begun


def run_step(path: str, attempt: int = 1, input: bytes = b"5") -> list[Any]:
    return [StepScheduled(path, attempt), RunStep(path, attempt, input)]


# --- patterns


@pytest.mark.parametrize(
    ("pattern", "name", "path", "fits"),
    [
        ("*", "a", "x/a", True),
        ("a", "a", "x/a", True),
        ("a", "a#2", "x/a#2", True),
        ("a", "a?", "a?", True),
        ("a", "ab", "ab", False),
        ("a*", "ab", "ab", True),
        ("a?", "ab", "ab", True),
        ("x/a", "a", "x/a", True),
        ("x/a", "a", "y/x/a", False),
        ("*/a", "a", "y/x/a", True),
        ("a.b", "axb", "axb", False),
    ],
)
def test_a_pattern_names_nodes_by_name_or_path(pattern: str, name: str, path: str, fits: bool) -> None:
    assert matches(pattern, name, path) is fits


# --- before, after, error


def test_a_step_waits_for_the_interceptor_before_it() -> None:
    run = Play(define(call("a")), hooks=("before a",))
    assert run.start(b"5") == [Intercept("a", "before")]
    assert run.hook("a") == run_step("a")
    assert run.done("a", b"6") == [RunCompleted(b"6")]
    run.check_replay()


def test_another_step_is_not_asked_about() -> None:
    run = Play(define(*calls("a b")), hooks=("before b",))
    assert run.start(b"5") == run_step("a")
    assert run.done("a", b"6") == [Intercept("b", "before")]


def test_a_replaced_input_is_what_every_attempt_is_given() -> None:
    run = play(call("a"), hooks="before a")
    assert run.hook("a", "replace", value=b"7") == run_step("a", input=b"7")
    assert run.fail("a", retry_in=0) == run_step("a", 2, b"7")


def test_a_skipped_step_returns_what_the_hook_says() -> None:
    run = play(*calls("a b"), hooks="before a")
    assert run.hook("a", "skip", value=b"7") == run_step("b", input=b"7")


def test_a_vetoed_step_fails_and_is_asked_about_again_when_reopened() -> None:
    run = play(call("a"), hooks="before a")
    assert run.hook("a", "veto", detail="no") == [vetoed("a")]
    assert run.reopen() == [Intercept("a", "before")]
    assert run.hook("a") == run_step("a")
    run.check_replay()


def test_a_veto_without_a_reason_says_so() -> None:
    run = play(call("a"), hooks="before a")
    assert run.hook("a", "veto") == [vetoed("a", "a hook forbids it")]


def test_a_critical_interceptor_that_fails_fails_the_step() -> None:
    run = play(call("a"), hooks="before a")
    broken = failure("disk full", path="a")
    assert run.hook("a", "fail", failure=broken) == [RunFailed(broken)]


def test_a_hook_cancels_the_run() -> None:
    run = play(Parallel("p", calls("a b"), join=Join()), hooks="before b")
    assert run.hook("b", "cancel", detail="stop")[:2] == [RunCancelling("stop"), NodeCancelled("b")]
    assert run.lose("a", "cancelled")[-1] == RunCancelled("stop")


def test_a_cancellation_that_cannot_reach_the_step_fails_it() -> None:
    run = play(Cleanup("c", call("a"), calls("tidy")), hooks="before tidy")
    run.cancel("enough")
    run.lose("a", "cancelled")
    gone = Failure("cancelled", "too late", path="cleanup:tidy")
    assert run.hook("cleanup:tidy", "cancel", detail="too late")[-1] == RunCancelled("enough", (gone,))


def test_a_result_is_recorded_before_the_interceptor_after_it_is_asked() -> None:
    run = play(*calls("a b"), hooks="after a")
    assert run.done("a", b"6") == [Intercept("a", "after")]
    assert run.hook("a", "replace", value=b"7") == run_step("b", input=b"7")
    run.check_replay()


def test_an_interceptor_asks_for_another_attempt() -> None:
    run = play(call("a"), hooks="after a")
    run.done("a", b"6")
    assert run.hook("a", "again", number=START) == run_step("a", 2)
    run.done("a", b"7")
    due = START + SECOND
    assert run.hook("a", "again", number=due) == [RetryScheduled("a", 3, due), SetTimer("a", due)]
    assert run.fire("a") == run_step("a", 3)
    run.done("a", b"8")
    assert run.hook("a") == [RunCompleted(b"8")]
    run.check_replay()


def test_a_cancelled_run_keeps_the_result_that_a_hook_was_asked_about() -> None:
    run = play(*calls("a b"), hooks="after a")
    run.done("a", b"6")
    assert run.cancel() == [RunCancelling("enough"), RunCancelled("enough"), Withdraw("a")]


def test_a_cancelled_run_does_not_wait_for_an_interceptor() -> None:
    run = play(call("a"), hooks="before a")
    assert run.cancel() == [RunCancelling("enough"), NodeCancelled("a"), RunCancelled("enough"), Withdraw("a")]
    assert run.hook("a") == []


@pytest.mark.parametrize(
    ("retry_in", "found"), [(None, [RunFailed(failure(path="a", attempt=1))]), (0, run_step("a", 2))]
)
def test_an_error_that_nobody_minds_ends_as_its_policy_says(retry_in: int | None, found: list[Any]) -> None:
    run = play(call("a"), hooks="error a")
    assert run.fail("a", retry_in=retry_in) == [Intercept("a", "error")]
    assert run.hook("a") == found


def test_an_error_is_replaced_by_a_result() -> None:
    run = play(*calls("a b"), hooks="error a")
    run.lose("a", "timeout")
    assert run.hook("a", "replace", value=b"0") == run_step("b", input=b"0")


def test_an_error_is_tried_again_though_the_policy_had_no_more() -> None:
    run = play(call("a"), hooks="error a")
    run.fail("a")
    assert run.hook("a", "again") == run_step("a", 2)


def test_a_vetoed_error_is_another_failure_and_is_not_asked_about_when_reopened() -> None:
    run = play(call("a"), hooks="error a")
    run.fail("a", retry_in=0)
    assert run.hook("a", "veto", detail="no") == [vetoed("a", cause=failure(path="a", attempt=1))]
    assert run.reopen() == run_step("a", 2)


def test_an_interrupted_attempt_is_no_error() -> None:
    run = play(call("a"), hooks="error a")
    assert run.lose("a", "interrupted", retry_in=0) == run_step("a", 2)


# --- the run itself


def test_a_run_waits_for_the_interceptor_at_its_start() -> None:
    run = Play(define(call("a")), hooks=("start *",))
    assert run.start(b"5") == [Intercept("", "start")]
    assert run.hook("", "replace", value=b"6") == run_step("a", input=b"6")


@pytest.mark.parametrize(
    "root", [Parallel("p", calls("a b"), join=Join()), Loop("l", call("a"), over=Over("condition"))]
)
@pytest.mark.parametrize("way", ["skip", "veto", "cancel", "deadline"])
def test_a_run_that_does_not_even_begin(way: str, root: Node[Any]) -> None:
    run = Play(define(root), hooks=("start *",))
    run.start(b"5", deadline=SECOND)
    match way:
        case "skip":
            assert run.hook("", "skip", value=b"0")[0] == RunCompleted(b"0")
        case "veto":
            assert run.hook("", "veto", detail="no")[0] == vetoed("")
            assert Intercept("", "start") in run.reopen()
        case "cancel":
            assert run.cancel("no")[1] == RunCancelled("no")
        case _:
            assert run.fire("")[0] == RunFailed(Failure("deadline_exceeded", "the run had no time left"))
            assert Intercept("", "start") in run.reopen()
    run.check_replay()


def test_a_loop_at_the_root_begins_with_the_input_that_a_hook_gave_it() -> None:
    root = Loop("l", call("a"), over=Over("condition"), at_most=1)
    run = Play(define(root), hooks=("start *",))
    run.start(b"5")
    assert run.hook("", "replace", value=b"6")[-1] == RunStep("a[0]", 1, b"6")


def test_a_result_of_a_run_is_replaced_or_forbidden() -> None:
    run = play(call("a"), hooks="complete *")
    assert run.done("a", b"6") == [Intercept("", "complete")]
    assert run.hook("", "veto", detail="no") == [vetoed("")]
    assert run.reopen() == [Intercept("", "complete")]
    assert run.hook("", "replace", value=b"7") == [RunCompleted(b"7")]
    run.check_replay()


def test_a_run_is_cancelled_while_a_hook_is_asked_about_its_result() -> None:
    run = play(Cleanup("c", call("a"), calls("tidy")), hooks="complete *")
    run.done("a")
    run.cancel()
    assert run.done("cleanup:tidy")[-1] == RunCancelled("enough")
    run = play(Parallel("p", calls("a b"), join=Join(need=1)), hooks="complete *")
    run.done("a")
    run.lose("b", "cancelled")
    assert run.cancel() == [RunCancelling("enough"), RunCancelled("enough"), Withdraw("")]


def test_a_run_that_would_fail_completes_if_a_hook_says_so() -> None:
    run = play(call("a"), hooks="fail *")
    assert run.fail("a") == [Intercept("", "fail")]
    assert run.hook("", "replace", value=b"0") == [RunCompleted(b"0")]


@pytest.mark.parametrize("answer", ["continue", "fail"])
def test_a_run_fails_if_no_hook_minds_and_goes_on_where_it_failed(answer: str) -> None:
    run = play(call("a"), hooks="fail *")
    run.fail("a")
    assert run.hook("", answer, failure=failure(path="a", attempt=1)) == [RunFailed(failure(path="a", attempt=1))]
    assert run.reopen() == run_step("a", 2)
    run.check_replay()


def test_a_hook_cancels_a_run_that_would_fail() -> None:
    run = play(call("a"), hooks="fail *")
    run.fail("a")
    assert run.hook("", "cancel", detail="stop") == [RunCancelling("stop"), RunCancelled("stop"), Withdraw("")]


# --- stages, branches, alternatives, conditions


def test_a_chain_asks_between_its_stages_and_records_that_it_came_there() -> None:
    run = Play(define(*calls("a b")), hooks=("stage *",))
    assert run.start(b"5") == [PointReached("", "stage", "a", 0), Intercept("", "stage")]
    assert run.hook("") == run_step("a")
    assert run.done("a", b"6") == [PointReached("", "stage", "b", 1), Intercept("", "stage")]
    assert run.hook("", "replace", value=b"7") == run_step("b", input=b"7")


def test_a_stage_that_is_only_observed_is_recorded_and_not_asked_about() -> None:
    run = Play(define(call("a")), hooks=("observe:stage *",))
    assert run.start(b"5") == [PointReached("", "stage", "a", 0), *run_step("a")]


def branching() -> Play:
    run = play(Branch("which", calls("many few"), condition="c?", code=None), call("z"), hooks="branch which")
    assert run.answer("which", b"0") == [Intercept("which", "branch")]
    return run


def test_a_branch_is_taken_as_it_was_chosen_or_another_way() -> None:
    assert branching().hook("which")[:2] == [BranchTaken("which", "c?", "many"), StepScheduled("which/many", 1)]
    assert branching().hook("which", "redirect", detail="few")[1] == StepScheduled("which/few", 1)


def test_a_branch_is_left_out_or_forbidden() -> None:
    assert branching().hook("which", "skip", value=b"0") == run_step("z", input=b"0")
    run = branching()
    assert run.hook("which", "veto", detail="no") == [vetoed("which")]
    assert run.reopen() == [Intercept("which", "branch")]


def falling() -> Play:
    run = play(Fallback("f", calls("a b c")), hooks="fallback f")
    assert run.fail("f/a" if "f/a" in run.state.frames else "a") == [Intercept("", "fallback")]
    return run


def test_the_next_alternative_is_tried_or_another_one() -> None:
    boom = failure(path="a", attempt=1)
    assert falling().hook("") == [FallbackTaken("", "b", boom, 1), *run_step("b")]
    assert falling().hook("", "redirect", detail="c") == [FallbackTaken("", "c", boom, 1), *run_step("c")]
    assert falling().cancel()[-1] == Withdraw("")
    run = play(Fallback("f", calls("a b"), on=("ValueError",)), hooks="fallback x")
    assert run.fail("a", types="ValueError")[1] == StepScheduled("b", 1)


def gates(answer: bytes) -> Play:
    wires = (Wire(sources=(INPUT,), conditional=True),)
    run = play(Graph("g", calls("a"), wires, output=Wire(sources=(0,)), questions=(None,)), hooks="branch a")
    assert run.answer("a?", answer) == [Intercept("a?", "branch")]
    return run


def test_a_condition_of_a_graph_is_decided_otherwise() -> None:
    yes, no, taken = b'[true,"n > 1"]', b'[false,"n > 1"]', BranchTaken("a", "n > 1", "run")
    assert gates(yes).hook("a?")[:2] == [taken, StepScheduled("a", 1)]
    assert gates(yes).hook("a?", "redirect", detail="skip")[0] == NodeSkipped("a", -1, "n > 1")
    assert gates(no).hook("a?", "redirect", detail="run")[:2] == [taken, StepScheduled("a", 1)]


@pytest.mark.parametrize("condition", [b"true", b"false"])
def test_a_node_with_a_condition_is_left_out(condition: bytes) -> None:
    skipped = gates(condition)
    assert skipped.hook("a?", "skip", value=b"7", number=1) == [NodeSkipped("a", -1), RunCompleted(b"7")]
    skipped.check_replay()
    assert gates(condition).hook("a?", "skip") == [NodeSkipped("a", -1), RunCompleted(b"null")]


def test_a_node_that_a_hook_left_out_ran_in_earlier_rules() -> None:
    wires = (Wire(sources=(INPUT,), conditional=True),)
    graph = Graph("g", calls("a"), wires, output=Wire(sources=(0,)), questions=(None,))
    run = Play(define(graph), hooks=("branch a",))
    run.start(b"5", core=4)
    run.answer("a?", b"true")
    assert run.hook("a?", "skip", value=b"7", number=1)[0] == StepScheduled("a", 1)


def test_a_wait_at_a_limit_that_is_over_already_is_none() -> None:
    run = play(call("a"), hooks="limit a")
    run.feed(LimitReached(run.now, "a", 1, "steps", 1, 1, "fail"))
    assert run.hook("a", "again", number=0) == run_step("a")
    frame: Any = run.state.frames["a"]
    assert frame.delays == 1


def routed(answer: bytes = b'[0,"int"]') -> Play:
    run = play(Router("r", calls("a b"), condition="c", at_most=3), call("z"), hooks="branch r")
    assert run.answer("r", answer) == [Intercept("r", "branch")]
    return run


def test_a_router_goes_on_as_it_was_chosen_or_another_way() -> None:
    assert routed().hook("r")[0] == TransitionTaken("r", 0, "", "a", "int", 1)
    assert routed().hook("r", "redirect", detail="b")[0] == TransitionTaken("r", 0, "", "b", "hook", 1)
    assert routed().hook("r", "redirect", detail="end")[1:] == run_step("z")
    assert routed(b'[-1,"int"]').hook("r", "skip", value=b"0") == run_step("z", input=b"0")
    run = routed()
    assert run.hook("r", "veto", detail="no") == [vetoed("r")]
    assert run.reopen() == [Intercept("r", "branch")]
    assert run.hook("r")[1] == StepScheduled("r/a[0]", 1)
    run.check_replay()


def test_a_choice_of_several_is_taken_changed_or_left_out() -> None:
    def chosen() -> Play:
        run = play(Choose("some", calls("x y z"), condition="c", join=Join()), call("q"), hooks="branch some, fork *")
        assert run.answer("some", b"[0,2]") == [Intercept("some", "branch")]
        return run

    assert chosen().hook("some")[-1] == Intercept("some", "fork")
    run = chosen()
    run.hook("some", "redirect", detail="y")
    assert run.hook("some")[0] == StepScheduled("some/y", 1)
    assert chosen().hook("some", "skip", value=b"[]") == run_step("q", input=b"[]")
    run = chosen()
    assert run.hook("some", "veto", detail="no") == [vetoed("some")]
    assert run.reopen() == [Intercept("some", "branch")]
    assert run.cancel() == [RunCancelling("enough"), RunCancelled("enough"), Withdraw("some")]
    root = Play(define(Choose("some", calls("x"), condition="c", join=Join())), hooks=("branch *",))
    root.start(b"5", deadline=SECOND)
    root.answer("", b"[0]")
    assert root.fire("")[0] == RunFailed(Failure("deadline_exceeded", "the run had no time left"))
    assert Intercept("", "branch") in root.reopen()


# --- loops


def loop(hooks: str) -> Play:
    return play(Loop("l", call("a"), over=Over("condition"), at_most=2), call("z"), hooks=hooks)


def test_a_loop_is_entered_with_another_value_or_left_out() -> None:
    assert loop("loop_start l").hook("l")[1] == StepScheduled("l/a[0]", 1)
    assert loop("loop_start l").hook("l", "replace", value=b"9")[-1] == RunStep("l/a[0]", 1, b"9")
    assert loop("loop_start l").hook("l", "skip", value=b"9") == run_step("z", input=b"9")


def test_an_iteration_is_left_out_or_the_last_one() -> None:
    run = loop("iteration l")
    assert run.hook("l") == [IterationStarted("l", 0, 1), *run_step("l/a[0]")]
    assert run.done("l/a[0]", b"6") == [Intercept("l", "iteration")]
    assert run.hook("l", "skip") == [LoopEnded("l", 2, "max_iterations"), *run_step("z", input=b"6")]
    run = loop("iteration l")
    assert run.hook("l", "skip", value=b"7", number=1) == [Intercept("l", "iteration")]
    assert run.hook("l", "redirect", detail="end") == [LoopEnded("l", 1, "hook"), *run_step("z", input=b"7")]


def test_what_an_iteration_returned_is_replaced_and_the_loop_ended() -> None:
    run = loop("iterated l")
    assert run.done("l/a[0]", b"6") == [PointReached("l", "iterated", "a", 0), Intercept("l", "iterated")]
    assert run.hook("l", "replace", value=b"7")[-1] == RunStep("l/a[1]", 1, b"7")
    run.done("l/a[1]", b"8")
    found = run.hook("l", "redirect", detail="end", value=b"9", number=1)
    assert found == [LoopEnded("l", 2, "hook"), *run_step("z", input=b"9")]


def test_the_result_of_a_loop_is_replaced() -> None:
    run = play(Loop("l", call("a"), over=Over("range", last=0)), call("z"), hooks="loop_end l")
    assert run.hook("l", "replace", value=b"3") == run_step("z", input=b"3")
    assert run.journal[-2].event == run.events[-2]


# --- fork and join


def test_a_fan_out_is_made_narrower_but_never_wider() -> None:
    for width, expected in ((1, 1), (2, 2), (9, 2)):
        run = play(Map("m", call("a"), join=Join(), window=2), hooks="fork m", input=b"[1,2,3]")
        assert run.answer("m" if "m" in run.state.frames else "", b"3")[-1].__class__ is Intercept
        found = run.hook("", "narrow", number=width)
        assert sum(isinstance(event, StepScheduled) for event in found) == expected


def test_a_fan_out_is_left_out() -> None:
    run = play(Parallel("p", calls("a b"), join=Join()), call("z"), hooks="fork p")
    assert run.hook("p", "skip", value=b"[]") == [FanOutEnded("p", 0, 0, 0), *run_step("z", input=b"[]")]


@pytest.mark.parametrize("need", [0, 1])
def test_what_branches_returned_is_replaced_or_forbidden(need: int) -> None:
    def joined() -> Play:
        run = play(Parallel("p", calls("a b"), join=Join(need=need)), call("z"), hooks="join p")
        run.done("p/a", b"1")
        found = run.done("p/b", b"2") if need == 0 else run.lose("p/b", "cancelled")
        assert found[-1] == Intercept("p", "join")
        return run

    assert joined().hook("p", "replace", value=b"3") == run_step("z", input=b"3")
    run = joined()
    assert run.hook("p", "veto", detail="no") == [vetoed("p")]
    assert run.reopen() == [Intercept("p", "join")]
    assert joined().cancel()[1:] == [RunCancelled("enough"), Withdraw("p")]


def test_branches_that_end_at_once_are_joined_once() -> None:
    run = play(Map("m", Sequence("s", ()), join=Join()), call("z"), hooks="join m", input=b"[1]")
    assert run.answer("m", b"1") == [FanOutStarted("m", 1), FanOutEnded("m", 1, 0, 0), Intercept("m", "join")]
    assert run.hook("m", "replace", value=b"[2]") == run_step("z", input=b"[2]")


def test_branches_begin_before_a_fork_that_nobody_minds() -> None:
    run = Play(define(Parallel("p", calls("a b"), join=Join())), hooks=("fork x",))
    assert run.start(b"5")[0] == FanOutStarted("", 2)


# --- hooks come, go and fail


def test_points_change_while_a_run_is_under_way() -> None:
    run = play(*calls("a b c"), hooks="before a")
    run.hook("a")
    assert run.set_hooks("after b") == []
    assert run.done("a", b"6") == run_step("b", input=b"6")
    assert run.done("b", b"7") == [Intercept("b", "after")]
    run.set_hooks()
    assert run.hook("b") == run_step("c", input=b"7")
    run.check_replay()


def test_a_failure_of_a_hook_changes_nothing_unless_it_is_critical() -> None:
    run = play(call("a"), hooks="before x")
    assert run.feed(HookFailed(START, "a", "after", "h", failure())) == []
    found = run.feed(HookFailed(START, "a", "after", "h", failure(), critical=True))
    assert found[-1].__class__.__name__ == "CancelStep"
    broken = Failure("hook_failed", "critical hook 'h' failed: boom", path="a", cause=failure())
    assert run.feed(HookFailed(START, "a", "after", "h", failure(), critical=True)) == []
    assert run.lose("a", "cancelled") == [RunFailed(broken)]


def test_a_hook_that_takes_its_time_is_noted_while_the_run_waits_for_it() -> None:
    run = play(call("a"), hooks="before a")
    noted = HookAwaited(START, "a", "before", "bob", START)
    before = run.state.seq
    assert run.feed(noted) == []
    assert run.state.seq == before + 1
    run.hook("a")
    assert run.feed(noted) == []
    assert run.feed(HookAwaited(START, "b", "before", "bob", START)) == []
    assert run.done("a", b"6") == [RunCompleted(b"6")]
    assert sum(isinstance(recorded.event, HookAwaited) for recorded in run.journal) == 1
    run.check_replay()


def test_a_gate_is_outstanding_and_survives_encoding() -> None:
    run = Play(define(call("a")), hooks=("error a", "before a"), snapshots=True)
    assert run.start(b"5") == [Intercept("a", "before")]
    run.hook("a")
    run.fail("a")
    assert run.state.gates["a"].failure == failure(path="a", attempt=1)
    run.hook("a", "veto")
    run.reopen()
    run.terminate()
    assert run.state.gates == {}


def test_a_run_out_of_time_does_not_wait_for_an_interceptor() -> None:
    def late(hooks: str, *nodes: Node[Any]) -> Play:
        begun = Play(define(*nodes), hooks=tuple(hooks.split(", ")))
        begun.start(b"5", deadline=SECOND)
        return begun

    over = RunFailed(Failure("deadline_exceeded", "the run had no time left"))
    run = late("stage *", *calls("a b"))
    assert run.fire("")[0] == over
    assert Intercept("", "stage") in run.reopen()
    run = late("start *, fail *", Parallel("p", calls("a b"), join=Join()))
    assert run.hook("", "veto", detail="no") == [Intercept("", "fail")]
    assert run.fire("")[0] == vetoed("")


def test_a_node_at_which_no_hook_can_stand_says_so() -> None:
    run = play(call("a"), hooks="before a")
    frame = run.state.frames["a"]
    with pytest.raises(RipresaError, match="no hook can stand at 'before'"):
        Node.intercepted(frame.node, run.state, frame, run.state.gates["a"], None)  # type: ignore[arg-type]


def test_a_question_and_an_interceptor_come_one_after_the_other() -> None:
    run = play(Map("m", call("a"), join=Join()), hooks="start *, fork *", input=b"[1]")
    assert run.hook("") == [Ask("", "count", b"[1]")]
    assert run.answer("", b"1")[-1] == Intercept("", "fork")


def test_a_scope_that_was_cancelled_at_its_gate_is_asked_again_when_the_run_is_reopened() -> None:
    inner = Sequence("s", calls("b"))
    run = play(Parallel("p", (call("a"), inner), join=Join()), hooks="stage s")
    assert run.fail("a")[-1] == Withdraw("s")
    assert Intercept("s", "stage") in run.reopen()


# --- steps that can be undone, and what undoes them


def undoable(name: str) -> Call:
    return Call(name, undo=Undo(Call("take back")))


def test_a_hook_that_forbids_another_attempt_leaves_in_doubt_what_the_last_one_did() -> None:
    run = play(undoable("a"), hooks="error a")
    run.lose("a")
    run.hook("a", "veto", detail="no")
    assert [(entry.path, entry.known) for entry in run.state.ledger.entries.values()] == [("a", False)]
    run.check_replay()


def test_a_cancellation_leaves_the_hook_that_is_asked_about_undoing_to_its_answer() -> None:
    run = play(undoable("a"), call("b"), hooks="compensation *")
    run.done("a", b"1")
    run.fail("b")
    (path,) = run.state.gates
    assert not any(isinstance(effect, Withdraw) for effect in run.cancel())
    assert list(run.state.gates) == [path]
    run.hook(path)
    assert run.done("a/undo:take back")[-1] == RunCancelled("enough")
    run.check_replay()


def side_by_side(hooks: str, window: int = 0) -> Play:
    wires = (Wire(sources=(INPUT,)),) * 3
    return play(Graph("g", calls("a b c"), wires, output=Wire(sources=(0,)), window=window), call("z"), hooks=hooks)


def test_the_nodes_of_a_graph_are_asked_about_before_they_begin_and_when_they_have_ended() -> None:
    run = side_by_side("fork g, join g", window=2)
    assert run.hook("g", "narrow", number=1)[::2] == [StepScheduled("g/a", 1)]
    assert run.done("g/a", b"1")[0] == StepScheduled("g/b", 1)
    run.done("g/b")
    assert run.done("g/c") == [FanOutEnded("g", 3, 0, 0), Intercept("g", "join")]
    assert run.hook("g", "replace", value=b"7") == run_step("z", input=b"7")
    run.check_replay()


def test_a_graph_is_left_out_or_forbidden_before_and_after() -> None:
    assert side_by_side("fork g").hook("g", "skip", value=b"0") == [
        FanOutEnded("g", 0, 0, 0),
        *run_step("z", input=b"0"),
    ]
    run = side_by_side("fork g")
    assert run.hook("g", "veto", detail="no") == [FanOutEnded("g", 0, 0, 0), vetoed("g")]
    assert run.reopen() == [Intercept("g", "fork")]
    assert len(run.hook("g", "narrow", number=5)) == 6
    run = side_by_side("join g")
    for name in "abc":
        effects = run.done(f"g/{name}")
    assert effects[-1] == Intercept("g", "join")
    assert run.hook("g", "veto", detail="no") == [vetoed("g")]
    assert run.reopen() == [Intercept("g", "join")]
    assert RunCancelled("enough") in run.cancel()
    run.check_replay()
