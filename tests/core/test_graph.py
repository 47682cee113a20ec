"""Graphs: order by dependency, conditions, skipping, the first of several, windows, and going on after a failure."""

from typing import Any

import pytest

from ripresa.core.branches import fan_outs
from ripresa.core.commands import Ask, CancelStep, RunStep
from ripresa.core.events import (
    BranchTaken,
    FanOutEnded,
    FanOutStarted,
    NodeSkipped,
    RunCancelled,
    RunCompleted,
    RunFailed,
    StepScheduled,
)
from ripresa.core.nodes.graph import INPUT, Graph, Wire
from ripresa.core.nodes.node import Node
from ripresa.core.nodes.sequence import Sequence
from ripresa.core.values import NULL

from .play import Effect, Play, calls, define, failure

FROM_INPUT = Wire(sources=(INPUT,))
PLACE = Sequence("first", ())


def graph(nodes: str | tuple[Node[Any], ...], *wires: Wire, output: Wire | None = None, **options: Any) -> Play:
    found = calls(nodes) if isinstance(nodes, str) else nodes
    play = Play(define(Graph("g", found, wires, output=output or Wire(sources=(len(found) - 1,)), **options)))
    play.start(b"0")
    return play


def ran(effects: list[Effect]) -> list[tuple[str, object]]:
    return [(effect.path, effect.input) for effect in effects if isinstance(effect, RunStep)]


def test_nodes_begin_when_everything_they_need_has_returned() -> None:
    play = Play(
        define(Graph("g", calls("a b c"), (FROM_INPUT, FROM_INPUT, Wire(sources=(1, 0))), output=Wire(sources=(2,))))
    )
    assert ran(play.start(b"0")) == [("a", (b"0",)), ("b", (b"0",))]
    assert play.done("a", b"1") == []
    assert ran(play.done("b", b"2")) == [("c", (b"2", b"1"))]
    assert play.done("c", b"3") == [FanOutEnded("", 3, 0, 0), RunCompleted(b"3")]
    play.check_replay()


def test_a_diamond_is_given_each_predecessor_once() -> None:
    play = graph("a b c d", FROM_INPUT, Wire((0,)), Wire((0,)), Wire((1, 2)))
    assert ran(play.done("a", b"1")) == [("b", (b"1",)), ("c", (b"1",))]
    play.done("c", b"3")
    assert ran(play.done("b", b"2")) == [("d", (b"2", b"3"))]


def test_the_same_source_may_be_used_twice() -> None:
    play = graph("a b", FROM_INPUT, Wire((0, 0)))
    assert ran(play.done("a", b"1")) == [("b", (b"1", b"1"))]


def test_what_is_ready_begins_in_the_order_of_writing() -> None:
    play = graph("a b c d", FROM_INPUT, Wire((0,)), Wire((0,)), Wire((0,)), output=Wire((1, 2, 3), evaluated=True))
    assert [path for path, _ in ran(play.done("a"))] == ["b", "c", "d"]
    for path in "dbc":
        effects = play.done(path, path.encode())
    assert effects == [Ask("", "returns", (b"b", b"c", b"d"))]
    assert play.answer("", b'"all"') == [FanOutEnded("", 4, 0, 0), RunCompleted(b'"all"')]


def test_no_more_nodes_are_under_way_than_the_window_allows() -> None:
    play = graph("a b c", FROM_INPUT, FROM_INPUT, FROM_INPUT, window=1)
    assert len(play.ledger.steps) == 1
    assert ran(play.done("a")) == [("b", (b"0",))]


def test_a_graph_of_nothing_returns_its_input() -> None:
    play = Play(define(Graph("g", (), (), output=FROM_INPUT)))
    assert play.start(b"5") == [RunCompleted(b"5")]


def test_a_graph_without_output_returns_null() -> None:
    play = graph("a", FROM_INPUT, output=Wire())
    assert play.done("a") == [RunCompleted(NULL)]


# --- conditions


WHEN = Wire(sources=(0,), tests=(0, INPUT), conditional=True)


def test_a_condition_is_asked_about_sources_and_tests_and_the_node_is_given_its_sources() -> None:
    play = graph("a b", FROM_INPUT, WHEN)
    assert play.done("a", b"1") == [Ask("b?", "when", (b"1", b"1", b"0"))]
    taken = BranchTaken("b", "", "run")
    assert play.answer("b?", b"true") == [taken, StepScheduled("b", 1), RunStep("b", 1, (b"1",))]
    assert play.done("b", b"2") == [RunCompleted(b"2")]
    play.check_replay()


@pytest.mark.parametrize("answer", [b"false", b"null", b"0", b"1", b'"true"'])
def test_a_node_whose_condition_is_not_true_is_skipped(answer: bytes) -> None:
    play = graph("a b", FROM_INPUT, WHEN)
    play.done("a", b"1")
    assert play.answer("b?", answer) == [NodeSkipped("b", -1), RunCompleted(NULL)]


def test_skipping_goes_on_to_what_needs_a_result_but_not_to_what_only_waits() -> None:
    play = graph("a b c d", FROM_INPUT, WHEN, Wire((1,)), Wire((0,), after=(1,)))
    play.done("a", b"1")
    assert play.answer("b?", b"false") == [
        NodeSkipped("b", -1),
        NodeSkipped("c", -1),
        StepScheduled("d", 1),
        RunStep("d", 1, (b"1",)),
    ]


def test_a_condition_about_a_skipped_node_skips_too() -> None:
    play = graph("a b c", FROM_INPUT, WHEN, Wire((0,), tests=(1,), conditional=True))
    play.done("a")
    assert play.answer("b?", b"false") == [NodeSkipped("b", -1), NodeSkipped("c", -1), RunCompleted(NULL)]


def test_input_that_is_made_by_user_code_is_asked_for() -> None:
    play = graph("a b", FROM_INPUT, Wire((0, INPUT), evaluated=True))
    assert play.done("a", b"1") == [Ask("b?", "input", (b"1", b"0"))]
    assert ran(play.answer("b?", b'{"x":1}')) == [("b", b'{"x":1}')]


def test_the_condition_comes_before_the_input() -> None:
    play = graph("a b", FROM_INPUT, Wire((0,), tests=(0,), conditional=True, evaluated=True))
    play.done("a", b"1")
    taken = BranchTaken("b", "a > 0", "run")
    assert play.answer("b?", b'[true,"a > 0"]') == [taken, Ask("b?", "input", (b"1", b"1"))]
    assert ran(play.answer("b?", b"[2]")) == [("b", b"[2]")]


def test_a_condition_that_raises_fails_the_graph_and_is_asked_again_when_reopened() -> None:
    play = graph("a b", FROM_INPUT, WHEN)
    play.done("a", b"1")
    assert play.answer_fails("b?") == [RunFailed(failure("bad question", path="b?"))]
    assert play.reopen() == [Ask("b?", "when", (b"1", b"1", b"0"))]
    assert ran(play.answer("b?", b"true")) == [("b", (b"1",))]


def test_an_output_that_raises_is_asked_for_again_when_reopened() -> None:
    play = graph("a", FROM_INPUT, output=Wire((0,), evaluated=True))
    play.done("a", b"1")
    assert play.answer_fails("") == [RunFailed(failure("bad question"))]
    assert play.reopen() == [Ask("", "returns", (b"1",))]
    assert play.answer("", b"2") == [RunCompleted(b"2")]
    play.check_replay()


# --- the first of several


def test_first_takes_the_first_source_that_was_not_skipped() -> None:
    nodes: tuple[Node[Any], ...] = (*calls("a b"), PLACE)
    play = graph(nodes, FROM_INPUT, Wire((0,), tests=(0,), conditional=True), Wire((1, 0), first=True))
    play.done("a", b"1")
    assert play.answer("b?", b"false") == [NodeSkipped("b", -1), RunCompleted(b"1")]


def test_first_takes_the_input_if_nothing_else_ran() -> None:
    nodes: tuple[Node[Any], ...] = (*calls("a"), PLACE)
    play = Play(
        define(
            Graph(
                "g", nodes, (Wire((), conditional=True), Wire((0, INPUT), first=True)), output=Wire((1,))
            )
        )
    )  # fmt: skip
    assert play.start(b"5") == [Ask("a?", "when", ())]
    assert play.answer("a?", b"false") == [NodeSkipped("a", -1), RunCompleted(b"5")]


def test_first_of_nothing_is_skipped() -> None:
    nodes: tuple[Node[Any], ...] = (*calls("a"), PLACE)
    play = Play(
        define(Graph("g", nodes, (Wire((), conditional=True), Wire((0,), first=True)), output=Wire((1,))))
    )  # fmt: skip
    play.start()
    assert play.answer("a?", b"false") == [NodeSkipped("a", -1), NodeSkipped("first", 0), RunCompleted(NULL)]


# --- failures


def test_the_first_failure_stops_the_others() -> None:
    play = graph("a b", FROM_INPUT, FROM_INPUT)
    assert play.fail("a") == [CancelStep("b", 1)]
    assert play.lose("b", "cancelled") == [FanOutEnded("", 0, 1, 1), RunFailed(failure(path="a", attempt=1))]


def test_what_does_not_depend_on_a_failed_node_goes_on_if_it_is_to() -> None:
    play = graph("a b c d", FROM_INPUT, FROM_INPUT, Wire((0,)), Wire((1,)), keep_going=True)
    assert play.fail("a", "first") == []
    assert ran(play.done("b", b"2")) == [("d", (b"2",))]
    second = failure("second", path="d", attempt=1)
    failed = RunFailed(failure("first", path="a", attempt=1, others=(second,)))
    assert play.fail("d", "second") == [FanOutEnded("", 1, 2, 0), failed]
    assert play.reopen() == [
        StepScheduled("a", 2),
        StepScheduled("d", 2),
        RunStep("a", 2, (b"0",)),
        RunStep("d", 2, (b"2",)),
    ]
    play.done("a", b"1")
    play.done("d", b"4")
    assert play.done("c", b"3") == [FanOutEnded("", 4, 0, 0), RunCompleted(b"4")]
    play.check_replay()


def test_a_reopened_graph_keeps_what_returned_while_it_was_stopped() -> None:
    play = graph("a b c", FROM_INPUT, FROM_INPUT, Wire((0, 1)))
    play.fail("a")
    play.done("b", b"2")
    assert ran(play.reopen()) == [("a", (b"0",))]
    assert ran(play.done("a", b"1")) == [("c", (b"1", b"2"))]


def test_a_reopened_graph_keeps_to_its_window() -> None:
    play = graph("a b c", FROM_INPUT, FROM_INPUT, FROM_INPUT, window=1, keep_going=True)
    play.fail("a")
    play.fail("b")
    play.done("c", b"3")
    assert [path for path, _ in ran(play.reopen())] == ["a"]
    assert [path for path, _ in ran(play.done("a"))] == ["b"]
    assert play.done("b") == [RunCompleted(b"3")]


def test_a_condition_that_was_asked_at_the_time_of_a_failure_is_asked_again() -> None:
    play = graph("a b", Wire((), conditional=True), Wire((), conditional=True))
    play.answer_fails("a?")
    assert play.status == "failed"
    assert play.reopen() == [Ask("a?", "when", ()), Ask("b?", "when", ())]


def test_a_cancelled_graph_begins_nothing_more() -> None:
    play = graph("a b", FROM_INPUT, Wire((0,)))
    play.cancel("stop")
    assert play.done("a") == [RunCancelled("stop")]


# --- what runs side by side is told of


def started(play: Play) -> list[FanOutStarted]:
    return [each.event for each in play.journal if isinstance(each.event, FanOutStarted)]


def test_a_graph_whose_nodes_wait_for_each_other_tells_of_no_branches() -> None:
    line = graph("a b c", FROM_INPUT, Wire((0,)), Wire((0, 1)))
    assert started(line) == []
    assert started(graph("a b", FROM_INPUT, FROM_INPUT, window=1)) == []
    assert line.done("a") + line.done("b")
    assert line.done("c", b"3") == [RunCompleted(b"3")]


def test_a_graph_with_nodes_side_by_side_sums_them_up_once_for_each_time_it_ends() -> None:
    play = graph((*calls("a b c"), PLACE), FROM_INPUT, WHEN, FROM_INPUT, Wire((1, 2), first=True))
    assert started(play) == [FanOutStarted("", 3, how="graph")]
    play.done("a")
    play.answer("b?", b'[false,"a"]')
    play.fail("c")
    play.reopen()
    assert play.done("c", b"3") == [FanOutEnded("", 2, 0, 0), RunCompleted(b"3")]
    ended = [each.event for each in play.journal if isinstance(each.event, FanOutEnded)]
    assert [(each.completed, each.failed, each.cancelled) for each in ended] == [(1, 1, 0), (2, 0, 0)]
    found = fan_outs(play.journal)[""]
    assert list(found.branches) == ["a", "c", "b"]
    assert found.summary == ended[-1]
    play.check_replay()


def test_a_node_that_does_not_run_says_by_which_condition() -> None:
    play = graph("a b", FROM_INPUT, WHEN)
    play.done("a", b"1")
    assert play.answer("b?", b'[false,"a > 1"]')[0] == NodeSkipped("b", -1, "a > 1")
    play.check_replay()


def test_a_graph_of_earlier_rules_tells_neither() -> None:
    play = Play(define(Graph("g", calls("a b"), (FROM_INPUT, Wire((), conditional=True)), output=Wire((0,)))))
    play.start(b"0", core=6)
    assert play.answer("b?", b'[true,"x"]')[0] == StepScheduled("b", 1)
    play.done("b")
    assert play.done("a", b"1") == [RunCompleted(b"1")]
    play.check_replay()
