"""What durable functions send, the runs that they start, and the wait for their ends."""

from ripresa.core.codec import decode_state, encode_state
from ripresa.core.commands import Ask, LookUp, Resume
from ripresa.core.events import (
    CallSpec,
    ChildAwaited,
    ChildEnded,
    Dispatched,
    NodeCancelled,
    RunCompleted,
    RunContinued,
    RunFailed,
    RunStuck,
)
from ripresa.core.nodes.child import DISPATCH, note_children
from ripresa.core.nodes.dynamic import Dynamic
from ripresa.core.view import view_of

from .play import Play, define, failure


def function(*, snapshots: bool = True) -> Play:
    play = Play(define(Dynamic("f", workflow="f", version="1")), snapshots=snapshots)
    play.start()
    return play


def start(key: int, segment: str = "child") -> CallSpec:
    return CallSpec(key, "dispatch", segment, b'"in"', '{"kind":"start"}')


def result(key: int, child: str, segment: str = "result") -> CallSpec:
    return CallSpec(key, "child", segment, b"null", child)


def test_a_run_is_started_and_its_end_is_waited_for() -> None:
    play = function()
    assert play.asked("", start(1)) == [Ask("child", DISPATCH, b'"in"')]
    assert play.dispatched("child", "start", "r.1", "abandon") == [Resume("", 0)]
    assert play.state.children == {}
    assert play.asked("", result(2, "r.1")) == [ChildAwaited("result", "r.1"), LookUp("result", "r.1")]
    assert play.child_ended("other") == []
    assert play.child_ended("r.1", output=b"7") == [Resume("", 1)]
    assert play.child_ended("r.1", output=b"8") == []  # it is heard once
    assert play.returned("", b"7") == [RunCompleted(b"7")]
    play.check_replay()


def test_what_was_dispatched_twice_or_is_not_asked_changes_nothing() -> None:
    play = function()
    play.asked("", start(1))
    play.dispatched("child", "start", "r.1")
    assert play.dispatched("child", "start", "r.1") == []
    assert play.dispatched("", "start", "r.1") == []


def test_the_wait_for_a_run_that_failed_fails_and_is_taken_up_with_the_run() -> None:
    play = function()
    play.asked("", start(1))
    play.dispatched("child", "start", "r.1", "cancel")
    assert play.state.children == {"r.1": "cancel"}
    play.asked("", result(2, "r.1"))
    assert play.child_ended("r.1", "failed") == [Resume("", 1)]
    assert play.state.children == {}
    assert play.raised("", failure("it failed")) == [RunFailed(failure("it failed"))]
    assert play.reopen() == [ChildAwaited("result", "r.1"), LookUp("result", "r.1")]
    play.child_ended("r.1", output=b"7")
    play.returned("", b"7")
    assert play.output == b"7"
    play.check_replay()


def test_several_waits_for_one_run_hear_of_its_end() -> None:
    play = function()
    play.asked("", result(1, "c", "a"), result(2, "c", "b"))
    play.child_ended("c")
    assert play.state.waiters == {}
    play.returned("")
    play.check_replay()


def test_a_wait_that_is_cancelled_does_not_hear_of_it() -> None:
    play = function()
    play.asked("", result(1, "c"), CallSpec(2, "sleep", "sleep", b"5"))
    play.fire("sleep")
    assert NodeCancelled("result") in play.asked("", dropped=(1,))
    assert play.child_ended("c") == []
    play.returned("")
    play.check_replay()


def test_a_run_that_is_cancelled_while_it_waits_ends() -> None:
    play = function()
    play.asked("", result(1, "c"))
    play.cancel()
    play.raised("", failure("cancelled"))
    assert play.status == "cancelled"
    play.check_replay()


def test_what_cannot_be_sent_fails_like_a_call() -> None:
    play = function()
    play.asked("", start(1))
    assert play.answer_fails("child", "no such code") == [Resume("", 0)]
    play.raised("", failure("no such code"))
    assert play.status == "failed"
    play.check_replay()


def test_who_started_a_run_is_kept_in_its_state() -> None:
    play = Play(define(Dynamic("f", workflow="f", version="1")))
    play.start(parent="p", reports=True)
    play.asked("", start(1))
    play.dispatched("child", "start", "r.1", "terminate")
    again = decode_state(encode_state(play.state), play.definition)
    assert (again.parent, again.children) == ("p", {"r.1": "terminate"})
    play.check_replay()
    alone = Play(define(Dynamic("f", workflow="f", version="1")))
    alone.start(parent="p")
    assert alone.state.parent == ""


def test_readers_see_the_family_of_a_run() -> None:
    play = Play(define(Dynamic("f", workflow="f", version="1")))
    play.start(parent="p")
    play.asked("", start(1), CallSpec(2, "dispatch", "tell", b"1", '{"kind":"signal"}'))
    play.dispatched("child", "start", "r.1")
    play.dispatched("tell", "signal", "q")
    play.asked("", result(3, "r.1"))
    view = view_of(play.journal)
    assert (view.parent, view.sent, view.children, view.awaited) == ("p", 2, {"r.1": "started"}, {"result": "r.1"})
    assert view.waiting
    play.child_ended("r.1", "cancelled")
    view = view_of(play.journal)
    assert (view.children, view.awaited) == ({"r.1": "cancelled"}, {})
    assert any(isinstance(event, Dispatched) for event in play.events)


def test_a_rollback_keeps_what_becomes_of_the_children_that_were_begun_after_the_place() -> None:
    play = function()
    play.asked("", start(1, "first"))
    place = len(play.journal)
    play.dispatched("first", "start", "r.1", "cancel")
    play.asked("", start(2, "second"))
    play.dispatched("second", "start", "r.2", "terminate")
    children: dict[str, str] = {}
    for recorded in play.journal:
        note_children(children, recorded.event)
    assert children == play.state.children == {"r.1": "cancel", "r.2": "terminate"}
    play.roll_back(place, children=("r.1", "r.2"), closes=("cancel", "terminate"))
    assert play.state.children == children
    view = view_of(play.journal)
    assert view.children == {"r.1": "started", "r.2": "started"}
    play.check_replay()
    play.roll_back(place, children=("r.1",), closes=("cancel",))
    note_children(children, play.events[-2])
    assert list(play.state.children) == ["r.1"]
    note_children(children, ChildEnded(play.now, "r.1", "completed"))
    assert children == {"r.2": "terminate"}


def test_a_paused_run_sends_nothing_until_it_goes_on() -> None:
    play = function()
    play.pause()
    assert play.asked("", start(1)) == []
    assert play.go_on() == [RunContinued(), Ask("child", DISPATCH, b'"in"')]
    play.dispatched("child", "start", "r.1")
    assert play.returned("", b"7") == [RunCompleted(b"7")]
    play.check_replay()


def test_what_a_pause_holds_back_is_sent_by_a_run_that_was_taken_back_or_reopened() -> None:
    play = function()
    play.pause()
    play.asked("", start(1))
    assert play.roll_back(play.state.seq) == [Ask("child", DISPATCH, b'"in"')]
    play = function()
    play.pause()
    play.asked("", start(1))
    play.feed(RunStuck(play.now, "child"))
    play.returned("", b"0")
    assert play.state.status == "failed"
    assert Ask("child", DISPATCH, b'"in"') in play.reopen()


def test_a_paused_run_began_others_in_earlier_rules() -> None:
    play = Play(define(Dynamic("f", workflow="f", version="1")))
    play.start(core=7)
    play.pause()
    assert play.asked("", start(1)) == [Ask("child", DISPATCH, b'"in"')]
    assert play.go_on() == [RunContinued()]
