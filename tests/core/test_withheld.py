"""What an attempt does beyond its run while interceptors are asked about its result: withheld, then let or dropped."""

from typing import Any

import pytest

from ripresa.core.commands import RunStep, Share
from ripresa.core.events import (
    ArtifactSaved,
    EffectsDropped,
    EffectsLet,
    HooksSet,
    MessageQueued,
    RowsWritten,
    SessionWritten,
    UsageReported,
)
from ripresa.core.gates import is_withheld
from ripresa.core.nodes.fallback import Fallback
from ripresa.core.view import view_of

from .play import Play, call, calls, define


def effects(play: Play, path: str = "a", attempt: int = 1) -> list[Any]:
    place = (play.now, path, attempt)
    return [
        MessageQueued(*place, "start", "child", "child", b"{}"),
        SessionWritten(*place, "s", "n", "set", b"1"),
        RowsWritten(*place, ("INSERT",), 2, b'[["INSERT",[]]]'),
        ArtifactSaved(*place, "n", "text/plain", "0f", 2, b"[]"),
    ]


def gated(*nodes: Any, hooks: tuple[str, ...] = ("after *",), **recorded: Any) -> Play:
    play = Play(define(*(nodes or calls("a b"))), snapshots=True, hooks=hooks)
    play.start(**recorded)
    return play


def completes(play: Play) -> list[Any]:
    facts = effects(play)
    for fact in facts:
        play.feed(fact)
    play.done("a")
    return facts


@pytest.mark.parametrize("answer", ["continue", "replace", "skip"])
def test_what_an_attempt_does_beyond_the_run_happens_when_its_result_is_let(answer: str) -> None:
    play = gated()
    facts = completes(play)
    assert play.hook("a", answer, value=b"2")[-1] == RunStep("b", 1, b"1" if answer == "continue" else b"2")
    view = view_of(play.journal)
    assert (view.sent, view.artifacts, view.statements, view.children) == (1, 1, 2, {"child": "started"})
    assert EffectsLet("a", 1) in play.events
    assert facts
    play.check_replay()


def test_the_facts_that_were_withheld_are_handed_out_together() -> None:
    play = gated()
    facts = completes(play)
    assert Share(tuple(facts)) in play.hook("a")
    play.check_replay()


def test_what_is_done_again_was_never_done() -> None:
    play = gated()
    completes(play)
    assert play.hook("a", "again")[0] == EffectsDropped("a", 1, 1, 1, 2, ("child",))
    view = view_of(play.journal)
    assert (view.sent, view.artifacts, view.statements, view.children) == (0, 0, 0, {})
    play.done("a", b"2")
    assert play.hook("a")[-1] == RunStep("b", 1, b"2")
    assert not any(isinstance(event, EffectsLet) for event in play.events)
    play.check_replay()


def test_what_is_forbidden_waits_for_a_run_that_is_reopened() -> None:
    play = gated()
    facts = completes(play)
    assert not any(isinstance(each, Share) for each in play.hook("a", "veto"))
    assert play.status == "failed"
    play.reopen()
    assert Share(tuple(facts)) in play.hook("a")
    play.check_replay()


def test_work_that_is_done_when_the_run_is_cancelled_is_done_beyond_it_too() -> None:
    play = gated()
    facts = completes(play)
    assert Share(tuple(facts)) in play.cancel()
    play.check_replay()


def test_a_step_that_takes_the_place_of_a_forbidden_one_does_nothing_of_its() -> None:
    play = gated(Fallback("f", calls("a b")), hooks=("after a",))
    completes(play)
    play.hook("a", "veto")
    play.done("b")
    assert play.status == "completed"
    assert not any(isinstance(event, EffectsLet) for event in play.events)
    play.check_replay()


@pytest.mark.parametrize(("hooks", "recorded"), [(("before *",), {}), (("after b",), {}), (("after *",), {"core": 3})])
def test_nothing_is_withheld_where_nobody_is_asked_or_by_earlier_rules(
    hooks: tuple[str, ...], recorded: dict[str, Any]
) -> None:
    play = gated(hooks=hooks, **recorded)
    if hooks == ("before *",):
        play.hook("a")
    for fact in effects(play):
        play.feed(fact)
        assert not is_withheld(play.state, fact)
    play.done("a")
    assert not any(isinstance(event, EffectsLet) for event in play.events)
    play.check_replay()


def test_what_was_used_is_told_at_once_and_so_are_rows_that_cannot_be_withheld() -> None:
    play = gated()
    for fact in (UsageReported(play.now, "a", 1, 3), RowsWritten(play.now, "a", 1, ("INSERT",), 1)):
        play.feed(fact)
        assert not is_withheld(play.state, fact)


def test_hooks_that_are_taken_away_at_the_very_moment_withhold_nothing() -> None:
    play = gated(call("a"))
    facts = effects(play)
    for fact in facts:
        play.feed(fact)
    play.feed(HooksSet(play.now))
    assert Share(tuple(facts)) in play.done("a")
    play.check_replay()
