"""Routers: one node at a time, what it returned picks the next, every move is an event, and they come to an end."""

from typing import Any

from ripresa.core.commands import Ask, RunStep
from ripresa.core.events import Failure, RunCompleted, RunFailed, StepScheduled, TransitionTaken
from ripresa.core.nodes.node import Node
from ripresa.core.nodes.router import Router
from ripresa.core.nodes.sequence import Sequence
from ripresa.core.values import Pick
from ripresa.core.view import ScopeView, view_of

from .play import Play, calls, define, failure


def router(names: str = "triage billing", *, at_most: int = 3, handoff: bool = False) -> Play:
    arms: tuple[Node[Any], ...] = (*calls(names), Sequence("both", calls("x y")))
    node = Router("desk", arms, condition="Ticket", at_most=at_most, handoff=handoff)
    return Play(define(node, *calls("after")), snapshots=True)


def scheduled(path: str, value: Any) -> list[Any]:
    return [StepScheduled(path, 1), RunStep(path, 1, value)]


def test_the_answer_picks_what_begins_and_what_comes_next_until_it_is_the_end() -> None:
    play = router()
    assert play.start(b"5") == [Ask("desk", "enter", b"5")]
    assert play.answer("desk", b'[0,"New"]') == [
        TransitionTaken("desk", 0, "", "triage", "New", 1),
        *scheduled("desk/triage[0]", b"5"),
    ]
    assert play.done("desk/triage[0]", b"6") == [Ask("desk", "next", (b"0", b"6"))]
    assert play.answer("desk", b'[2,"Both"]') == [
        TransitionTaken("desk", 1, "triage", "both", "Both", 2),
        *scheduled("desk/both[1]/x", b"6"),
    ]
    play.done("desk/both[1]/x", b"7")
    assert play.done("desk/both[1]/y", b"8") == [Ask("desk", "next", (b"2", b"8"))]
    assert play.answer("desk", b'[-1,"Done"]') == [
        TransitionTaken("desk", 2, "both", "", "Done"),
        *scheduled("after", b"8"),
    ]
    assert play.done("after", b"9") == [RunCompleted(b"9")]
    play.check_replay()


def test_a_node_may_come_again_under_a_path_of_its_own() -> None:
    play = router()
    play.start(b"5")
    play.answer("desk", b'[0,"New"]')
    play.done("desk/triage[0]", b"6")
    assert play.answer("desk", b'[0,"New"]')[1:] == scheduled("desk/triage[1]", b"6")


def test_with_handoffs_the_first_node_begins_and_the_next_is_given_what_is_handed_on() -> None:
    play = router(handoff=True)
    assert play.start(b"5") == [
        TransitionTaken("desk", 0, "", "triage", "start", 1),
        *scheduled("desk/triage[0]", b"5"),
    ]
    handoff = b'["billing",7,"money"]'
    assert play.done("desk/triage[0]", handoff) == [Ask("desk", "next", (b"0", handoff))]
    assert play.answer("desk", b'[1,"money"]') == [
        TransitionTaken("desk", 1, "triage", "billing", "money", 1),
        *scheduled("desk/billing[1]", Pick(handoff, 1)),
    ]


def test_one_transition_too_many_fails_and_a_reopened_run_has_as_many_again() -> None:
    play = router(at_most=2)
    play.start(b"5")
    play.answer("desk", b'[0,"New"]')
    play.done("desk/triage[0]", b"6")
    play.answer("desk", b'[1,"Money"]')
    play.done("desk/billing[1]", b"7")
    failed = Failure("too_many_transitions", "2 of its nodes have run, at most 2 may; triage is next", path="desk")
    assert play.answer("desk", b'[0,"New"]') == [
        TransitionTaken("desk", 2, "billing", "", "too_many_transitions"),
        RunFailed(failed),
    ]
    assert view_of(play.journal).scopes["desk"] == ScopeView(
        "desk", "router", "ended", 2, detail="billing → end: too_many_transitions"
    )
    assert play.reopen()[0] == Ask("desk", "next", b"[1,7]")
    assert play.answer("desk", b'[0,"New"]')[1:] == scheduled("desk/triage[2]", b"7")
    play.check_replay()


def test_a_choice_that_raises_fails_and_is_asked_again_when_reopened() -> None:
    play = router()
    play.start(b"5")
    play.answer("desk", b'[0,"New"]')
    play.done("desk/triage[0]", b"6")
    assert play.answer_fails("desk") == [RunFailed(failure("bad question", path="desk"))]
    assert play.reopen() == [Ask("desk", "next", b"[0,6]")]


def test_a_node_that_failed_goes_on_when_reopened_and_the_way_there_is_kept() -> None:
    play = router()
    play.start(b"5")
    play.answer("desk", b'[1,"New"]')
    play.fail("desk/billing[0]")
    assert play.reopen() == [StepScheduled("desk/billing[0]", 2), RunStep("desk/billing[0]", 2, b"5")]
    play.done("desk/billing[0]", b"6")
    play.check_replay()


def test_cancelling_stops_the_active_node() -> None:
    play = router()
    play.start(b"5")
    play.answer("desk", b'[1,"New"]')
    play.cancel()
    play.lose("desk/billing[0]", "cancelled")
    assert play.status == "cancelled"
    play.check_replay()


def test_readers_see_how_many_nodes_have_run_and_the_latest_move() -> None:
    play = router()
    play.start(b"5")
    play.answer("desk", b'[0,"New"]')
    view = view_of(play.journal)
    assert view.scopes["desk"] == ScopeView("desk", "router", "running", 1, detail="start → triage: New")
    assert view.expected == 1
