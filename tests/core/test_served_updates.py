"""Updates taken by chains and graphs: answered in order, refused, stopped, reopened; replayed from any moment."""

from dataclasses import replace
from typing import Any

import pytest
from pydantic_core import from_json

from ripresa.core.commands import Ask, SetTimer
from ripresa.core.definition import Definition
from ripresa.core.events import (
    NodeCancelled,
    RunCancelled,
    RunCancelling,
    RunCompleted,
    RunFailed,
    SignalTaken,
    StateChanged,
    StepScheduled,
    UpdateAnswered,
    WaitStarted,
    Write,
)
from ripresa.core.merge import read
from ripresa.core.nodes.sequence import Sequence
from ripresa.core.nodes.stateful import Stateful
from ripresa.core.nodes.updates import TAKEN, VALUE, Serving, TakeUpdate
from ripresa.core.shared import MERGE, FieldShape, Shape
from ripresa.core.values import text_of
from ripresa.core.view import view_of

from .play import SECOND, Play, call, define

WAIT = "on/price"


def taking(*, lasts: bool = True) -> TakeUpdate:
    return TakeUpdate("on", "price", call("body"), lasts=lasts)


def serving(*steps: str, **options: Any) -> Play:
    body = Sequence("main", tuple(call(name) for name in steps or ("a",)))
    play = Play(Definition("flow", Serving("flow", body, (taking(),))), **options)
    play.start()
    return play


def take(play: Play, number: int, *, refused: str = "", at: str = "on") -> list[Any]:
    """An update comes, and the border says who sent it and what its value is."""
    found = play.signal("update:price", b'{"id":"u%d"}' % number)
    assert found[0].__class__ is SignalTaken
    found += play.answer(at, b'["u%d","%s"]' % (number, refused.encode()))
    return found if refused else found + play.answer(at, b"%d" % number)


@pytest.mark.parametrize("snapshots", [False, True])
def test_updates_are_answered_one_after_another_while_the_body_goes_on(snapshots: bool) -> None:
    play = serving("a", "b", snapshots=snapshots)
    assert StepScheduled("on/body[0]", 1) in take(play, 1)
    play.done("a")
    assert play.done("on/body[0]", b"7") == [
        UpdateAnswered("on", "price", "u1", b"7"),
        WaitStarted("on/price[1]", "update:price"),
    ]
    take(play, 2)
    play.done("on/body[1]", b"8")
    assert play.done("b") == [NodeCancelled("on/price[2]"), RunCompleted(b"1")]
    play.check_replay()


def test_one_that_comes_while_another_is_answered_waits_for_its_turn() -> None:
    play = serving()
    take(play, 1)
    assert play.signal("update:price", b'{"id":"u2"}') == []
    found = play.done("on/body[0]", b"7")
    assert found[2] == SignalTaken("on/price[1]", "update:price")
    assert play.state.frames["on"].question == TAKEN  # type: ignore[attr-defined]
    play.check_replay()


def test_a_value_that_is_none_and_a_body_that_fails_refuse_and_stop_nothing() -> None:
    play = serving(snapshots=True)
    found = take(play, 1, refused="no number")
    assert found[-2:] == [
        UpdateAnswered("on", "price", "u1", b'"no number"', refused=True),
        WaitStarted("on/price[1]", "update:price"),
    ]
    take(play, 2)
    assert play.fail("on/body[1]")[0] == UpdateAnswered("on", "price", "u2", b'"boom"', refused=True)
    assert play.status == "running"
    play.done("a")
    assert play.status == "completed"
    play.check_replay()


def test_what_was_taken_is_answered_before_the_flow_ends() -> None:
    play = serving(snapshots=True)
    take(play, 1)
    assert play.done("a", b"5") == []
    assert play.done("on/body[0]", b"7") == [UpdateAnswered("on", "price", "u1", b"7"), RunCompleted(b"5")]
    play.check_replay()


def test_what_is_being_asked_about_is_answered_before_the_flow_ends() -> None:
    play = serving()
    play.signal("update:price", b'{"id":"u1"}')
    assert play.done("a", b"5") == []
    play.answer("on", b'["u1",""]')
    assert play.state.frames["on"].question == VALUE  # type: ignore[attr-defined]
    play.answer("on", b"3")
    assert play.fail("on/body[0]")[-1] == RunCompleted(b"5")
    play.check_replay()


def test_a_run_that_is_cancelled_waits_for_no_update() -> None:
    play = serving()
    found = play.cancel()
    assert RunCancelling("enough") in found
    assert NodeCancelled("on/price[0]") in found
    assert play.lose("a", "cancelled")[-1] == RunCancelled("enough")
    play.check_replay()


def test_an_update_under_way_is_stopped_with_its_run_after_the_body_had_ended() -> None:
    play = serving()
    take(play, 1)
    play.done("a", b"5")
    play.cancel()
    assert play.lose("on/body[0]", "cancelled")[-1] == RunCancelled("enough")
    play.check_replay()


def test_a_failed_run_takes_updates_again_when_it_is_reopened() -> None:
    play = serving(snapshots=True)
    assert isinstance(play.fail("a")[-1], RunFailed)
    assert WaitStarted("on/price[0]", "update:price") in play.reopen()
    take(play, 1)
    play.done("on/body[0]", b"7")
    assert play.done("a")[-1] == RunCompleted(b"1")
    play.check_replay()


def test_a_run_that_failed_after_its_body_had_ended_ends_with_what_that_returned() -> None:
    play = Play(Definition("flow", Serving("flow", call("a"), (taking(),))), snapshots=True)
    play.start(deadline=1)
    take(play, 1)
    play.done("a", b"5")
    play.fire("")
    play.lose("on/body[0]", "cancelled")
    assert play.status == "failed"
    assert RunCompleted(b"5") in play.reopen()
    play.check_replay()


# --- what it writes to a typed state


def sharing(*, core: int = 10, snapshots: bool = False, judged: bool = False) -> Play:
    """An update that two steps answer, beside a body that writes too."""
    shape = Shape("Sale", 1, (FieldShape("price", "int", "", "last_write"), FieldShape("said", "list", "append")))
    handler = TakeUpdate("on", "price", Sequence("both", (call("h"), call("i"))), lasts=True)
    serving = Serving("flow", Sequence("main", (call("a"), call("b"))), (handler,))
    play = Play(Definition("flow", Stateful("flow", serving, shape=shape)), snapshots=snapshots)
    play.start(core=core, state=(price(1),), judged=judged)
    return play


def price(value: int) -> Write:
    return Write("price", "set", b"%d" % value)


def said(text: str) -> Write:
    return Write("said", "append", b'"%s"' % text.encode())


def state(play: Play) -> dict[str, Any]:
    return {name: from_json(read(held, text_of)) for name, held in view_of(play.journal).states[""].fields.items()}


@pytest.mark.parametrize("snapshots", [False, True])
def test_what_answers_an_update_writes_all_or_nothing(snapshots: bool) -> None:
    play = sharing(snapshots=snapshots)
    take(play, 1, at="on")
    play.done("on/both[0]/h", writes=(price(5), said("h")))
    assert state(play) == {"price": 1}
    shared = play.state.shared
    assert shared is not None
    seen = shared.visible(play.state.frames["on/both[0]/i"])
    assert read(seen["price"], text_of) == b"5"
    play.done("a", writes=(said("a"),))
    assert play.fail("on/both[0]/i")[0] == UpdateAnswered("on", "price", "u1", b'"boom"', refused=True)
    assert state(play) == {"price": 1, "said": ["a"]}
    take(play, 2, at="on")
    play.done("on/both[1]/h", writes=(price(6),))
    found = play.done("on/both[1]/i", writes=(said("i"),))
    written = (replace(price(6), by="on/both[1]/h"), replace(said("i"), by="on/both[1]/i"))
    assert found[:2] == [StateChanged("", written), UpdateAnswered("on", "price", "u2", b"1")]
    assert state(play) == {"price": 6, "said": ["a", "i"]}
    play.done("b")
    assert play.status == "completed"
    play.check_replay()


def test_what_answers_an_update_that_is_stopped_has_written_nothing_and_goes_on_with_what_it_wrote() -> None:
    play = sharing()
    take(play, 1, at="on")
    play.done("on/both[0]/h", writes=(price(5),))
    play.fail("a")
    play.lose("on/both[0]/i", "cancelled")
    assert (play.status, state(play)) == ("failed", {"price": 1})
    play.reopen()
    play.done("on/both[0]/i")
    assert state(play) == {"price": 5}
    play.check_replay()


@pytest.mark.parametrize("snapshots", [False, True])
def test_what_is_not_valid_with_what_the_flow_wrote_meanwhile_refuses_its_update(snapshots: bool) -> None:
    play = sharing(judged=True, snapshots=snapshots)
    take(play, 1, at="on")
    play.done("on/both[0]/h", writes=(price(5),))
    assert play.done("on/both[0]/i", b"7") == [Ask("on", MERGE, b"-1")]
    found = play.answer_fails("on", "too much")
    assert found[0] == UpdateAnswered("on", "price", "u1", b'"too much"', refused=True)
    assert state(play) == {"price": 1}
    take(play, 2, at="on")
    play.done("on/both[1]/h", writes=(price(6),))
    play.done("on/both[1]/i", b"8")
    play.fail("a")
    assert play.status == "failed"
    assert Ask("on", MERGE, b"-1") in play.reopen()
    assert UpdateAnswered("on", "price", "u2", b"8") in play.merged("on")
    assert state(play) == {"price": 6}
    take(play, 3, at="on")
    play.done("on/both[2]/h")
    assert play.done("on/both[2]/i", b"9")[0] == UpdateAnswered("on", "price", "u3", b"9")
    play.check_replay()


def test_in_earlier_rules_what_answers_an_update_wrote_step_by_step() -> None:
    play = sharing(core=9)
    take(play, 1, at="on")
    play.done("on/both[0]/h", writes=(price(5),))
    play.fail("on/both[0]/i")
    assert state(play) == {"price": 5}
    play.check_replay()


# --- one that is a step by itself


@pytest.mark.parametrize("snapshots", [False, True])
def test_one_update_is_waited_for_and_its_answer_goes_on(snapshots: bool) -> None:
    play = Play(define(taking(lasts=False), call("b")), snapshots=snapshots)
    assert play.start() == [WaitStarted("on/price[0]", "update:price")]
    take(play, 1, refused="no number")
    take(play, 2)
    play.fail("on/body[1]")
    take(play, 3)
    found = play.done("on/body[2]", b"7")
    assert found[0] == UpdateAnswered("on", "price", "u3", b"7")
    assert found[1] == StepScheduled("b", 1)
    assert play.done("b", b"8") == [RunCompleted(b"8")]
    play.check_replay()


def test_the_answer_that_is_waited_for_is_stopped_and_begun_anew() -> None:
    play = Play(define(taking(lasts=False)))
    play.start()
    play.cancel()
    assert play.status == "cancelled"
    play.check_replay()


# --- with a time by which one is to come


def limited(**options: Any) -> Play:
    play = Play(define(Sequence("flow", (TakeUpdate("on", "price", call("body"), timeout=9 * SECOND),))), **options)
    due = play.now + 9 * SECOND
    assert play.start() == [WaitStarted("on/price[0]", "update:price", due), SetTimer("on/price[0]", due)]
    return play


@pytest.mark.parametrize("snapshots", [False, True])
def test_an_update_that_was_refused_leaves_the_next_one_what_was_left_of_the_time(snapshots: bool) -> None:
    play = limited(snapshots=snapshots)
    due = play.now + 9 * SECOND
    play.now += 4 * SECOND
    assert SetTimer("on/price[1]", due) in take(play, 1, refused="no number")
    take(play, 2)
    play.now += 4 * SECOND
    assert WaitStarted("on/price[2]", "update:price", due) in play.fail("on/body[1]")
    play.now = due
    (failed,) = play.fire("on/price[2]")
    assert isinstance(failed, RunFailed)
    assert (failed.failure.code, failed.failure.message) == ("timeout", "no update 'price' came within 9 s")
    play.now += SECOND
    again = play.now + 9 * SECOND
    assert WaitStarted("on/price[2]", "update:price", again) in play.reopen()
    take(play, 3, refused="no number")
    assert play.state.frames["on/price[3]"].due == again  # type: ignore[attr-defined]
    play.check_replay()


def test_what_answers_an_update_that_came_in_time_may_take_longer() -> None:
    play = limited()
    take(play, 1)
    play.now += 60 * SECOND
    assert play.done("on/body[0]", b"7")[-1] == RunCompleted(b"7")
    play.check_replay()


def test_the_time_of_an_update_that_a_paused_run_comes_to_begins_when_the_run_goes_on() -> None:
    play = Play(define(call("a"), TakeUpdate("on", "price", call("body"), timeout=9 * SECOND)))
    play.start()
    play.pause()
    assert play.done("a") == [WaitStarted("on/price[0]", "update:price")]
    play.now += 60 * SECOND
    play.go_on()
    due = play.now + 9 * SECOND
    assert WaitStarted("on/price[1]", "update:price", due) in take(play, 1, refused="no number")
    play.check_replay()


def test_in_earlier_rules_an_update_that_did_not_come_was_called_a_signal() -> None:
    play = Play(define(Sequence("flow", (TakeUpdate("on", "price", call("body"), timeout=9 * SECOND),))))
    play.start(core=9)
    play.now += 9 * SECOND
    (failed,) = play.fire("on/price[0]")
    assert "no signal 'update:price' came" in failed.failure.message  # type: ignore[union-attr]


def test_what_is_waited_for_shapes_the_definition_and_what_is_expected() -> None:
    once, lasting = taking(lasts=False), taking()
    assert (once.expected(), lasting.expected()) == (1, 0)
    assert once.policy() == {"update": "price", "lasts": False}
    assert TakeUpdate("on", "price", call("body"), timeout=5).policy()["timeout"] == 5
    assert Serving("s", call("a"), (lasting,)).expected() == 1
