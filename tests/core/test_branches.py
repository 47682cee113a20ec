"""The events of branches: in order within each, told apart by path, and summed up once."""

from typing import Any

from ripresa.core.branches import FanOutEvents, fan_outs
from ripresa.core.events import (
    FanOutEnded,
    FanOutStarted,
    Recorded,
    SessionEntered,
    StepCompleted,
    StepFailed,
    StepScheduled,
)
from ripresa.core.nodes.join import Join
from ripresa.core.nodes.map import Map
from ripresa.core.nodes.parallel import Parallel
from ripresa.core.nodes.sequence import Sequence

from .play import Play, call, calls, define


def kinds(events: tuple[Recorded, ...]) -> list[str]:
    return [type(recorded.event).__name__ for recorded in events]


def test_each_branch_has_its_own_events_in_order_however_they_were_mixed() -> None:
    body = Sequence("page", calls("fetch read"))
    play = Play(define(call("plan"), Map("pages", body, join=Join(on_error="best_effort")), call("end")))
    play.start(b"1")
    play.done("plan", b"[1,2]")
    play.answer("pages", b"2")
    play.done("pages/page[1]/fetch", b"1")
    play.done("pages/page[0]/fetch", b"1")
    play.fail("pages/page[0]/read")
    play.done("pages/page[1]/read", b"1")
    found = fan_outs(play.journal)["pages"]
    assert list(found.branches) == ["page[0]", "page[1]"]
    assert kinds(found.branches["page[0]"]) == ["StepScheduled", "StepCompleted", "StepScheduled", "StepFailed"]
    assert kinds(found.branches["page[1]"]) == ["StepScheduled", "StepCompleted", "StepScheduled", "StepCompleted"]
    for events in found.branches.values():
        assert [item.seq for item in events] == sorted(item.seq for item in events)
        assert {item.run for item in events} == {"r"}
    assert isinstance(found.summary, FanOutEnded)
    assert (found.summary.completed, found.summary.failed) == (1, 1)
    assert sum(isinstance(item.event, FanOutEnded) for item in play.journal) == 1


def test_a_fan_out_within_another_is_in_both_and_one_that_goes_on_has_no_summary() -> None:
    inner = Parallel("inner", calls("a b"), join=Join())
    play = Play(define(Parallel("outer", (inner, call("c")), join=Join())))
    play.start(b"1")
    play.done("inner/a")
    found = fan_outs(play.journal)
    assert list(found) == ["", "inner"]
    assert list(found[""].branches) == ["inner", "c"]
    assert [type(item.event) for item in found["inner"].branches["a"]] == [StepScheduled, StepCompleted]
    assert found["inner"].summary is None
    assert found[""].summary is None


def test_a_fan_out_that_is_the_body_of_a_scope_keeps_its_branches() -> None:
    from ripresa.core.nodes.subworkflow import Subworkflow

    body = Parallel("both", calls("a b"), join=Join())
    play = Play(define(Sequence("root", (Subworkflow("sub", body, workflow="w"),))))
    play.start(b"1")
    play.fail("sub/a")
    found = fan_outs(play.journal)["sub()"]
    assert [type(item.event) for item in found.branches["a"]] == [StepScheduled, StepFailed]
    assert isinstance(found, FanOutEvents)


def test_branches_that_lie_beside_their_fan_out_are_told_by_how_their_paths_begin() -> None:
    events: tuple[Any, ...] = (
        SessionEntered(1, "s"),
        FanOutStarted("gather", 3, 0, "gather", ("add", "look.", "ask[")),
        StepScheduled("add", 1),
        StepScheduled("look.up", 1),
        StepScheduled("ask[2]", 1),
        StepScheduled("add[0].x", 1),
        StepScheduled("other", 1),
    )
    found = fan_outs(Recorded("r", seq, 1, event) for seq, event in enumerate(events, 1))["gather"]
    assert found.session == "s"
    assert [item.seq for item in found.branches["add"]] == [3]
    assert "other" not in found.branches
