"""The gate: requests and when they are allowed, pause, take-over, time, and what changes nothing."""

from collections.abc import Callable

import pytest

from ripresa.core.advance import advance, outstanding
from ripresa.core.codec import encode_state
from ripresa.core.commands import CancelStep, ClearTimer, RunStep, SetTimer
from ripresa.core.events import (
    CancelRequested,
    CheckpointNamed,
    ContinueRequested,
    Fact,
    NodeCancelled,
    PauseRequested,
    RetryScheduled,
    RunCancelled,
    RunCancelling,
    RunCompleted,
    RunContinued,
    RunFailed,
    RunPausing,
    RunReopened,
    RunStarted,
    RunTaken,
    RunTerminated,
    StepCompleted,
    StepScheduled,
    TerminateRequested,
    TimerSet,
    UndoRequested,
)
from ripresa.core.lifecycle import ACTIVE, TERMINAL, TRANSITIONS, check_transition
from ripresa.core.nodes.call import Call
from ripresa.core.nodes.cleanup import Cleanup
from ripresa.core.nodes.delay import Delay
from ripresa.core.nodes.join import Join
from ripresa.core.nodes.node import Node
from ripresa.core.nodes.parallel import Parallel
from ripresa.core.nodes.sequence import Sequence
from ripresa.core.nodes.undo import Undo
from ripresa.core.state import RunState
from ripresa.errors import IllegalTransition, RipresaError

from .play import SECOND, START, Play, call, calls, define, failure

# --- the table of statuses


def test_only_what_the_table_allows_may_follow() -> None:
    allowed = {
        (status, to) for status in TRANSITIONS for to in TRANSITIONS if to in TRANSITIONS[status]
    }  # fmt: skip
    for status in TRANSITIONS:
        for to in TRANSITIONS:
            if (status, to) in allowed:
                check_transition(status, to)
            else:
                with pytest.raises(IllegalTransition):
                    check_transition(status, to)


def test_what_is_not_allowed_says_what_is() -> None:
    with pytest.raises(IllegalTransition) as caught:
        check_transition("failed", "paused", run="r1", op="pause")
    assert (
        str(caught.value) == "[illegal_transition] pause: run 'r1' is failed and cannot become paused "
        "(from failed it can become running, undoing)"
    )
    assert (caught.value.run, caught.value.op, caught.value.code) == ("r1", "pause", "illegal_transition")
    with pytest.raises(IllegalTransition, match="from terminated it can become undoing"):
        check_transition("terminated", "running")


@pytest.mark.parametrize(
    ("status", "helps"),
    [
        ("created", "it has not begun: ripresa resume r1 begins it"),
        ("paused", "ripresa continue r1 lets it go on"),
        ("failed", "ripresa resume r1 takes it up where it failed"),
        ("completed", "ripresa rollback r1 does a part of it again, ripresa fork r1"),
        ("cancelled", "ripresa rollback r1 does a part of it again, ripresa fork r1"),
    ],
)
def test_what_can_become_running_in_another_way_only_is_told_that_way(status: str, helps: str) -> None:
    with pytest.raises(IllegalTransition, match=f"is {status} and cannot become running .{helps}") as caught:
        check_transition(status, "running", only_from="other", run="r1", op="resume")
    assert "it can become" not in str(caught.value)


def test_every_status_is_active_or_terminal() -> None:
    assert set(ACTIVE) | TERMINAL == set(TRANSITIONS)
    assert not set(ACTIVE) & TERMINAL


def play_in(status: str) -> Play:
    undo = Undo(call("u")) if status in ("undoing", "undone") else None
    play = Play(define(Parallel("p", (Call("a", undo=undo), Delay("d", 9 * SECOND)), join=Join())))
    if status != "created":
        play.start()
    match status:
        case "paused":
            play.pause()
        case "cancelling":
            play.cancel()
        case "completed":
            play.done("a")
            play.fire("d")
        case "undoing" | "undone":
            play.done("a")
            play.fire("d")
            play.undo()
            if status == "undone":
                play.done("a/undo:u")
        case "failed":
            play.fail("a")
        case "cancelled":
            play.cancel()
            play.lose("a", "cancelled")
        case "terminated":
            play.terminate()
        case _:
            pass
    assert play.status == status
    return play


REQUESTS: dict[str, Callable[[int], Fact]] = {
    "start": lambda at: RunStarted(at, "r", "w", "1", "", b"1", 7),
    "resume": RunReopened,
    "cancel": CancelRequested,
    "terminate": TerminateRequested,
    "pause": PauseRequested,
    "continue": ContinueRequested,
    "undo": UndoRequested,
}
ALLOWED = {
    "start": {"created"},
    "resume": {"failed"},
    "cancel": {"running", "paused", "cancelling"},
    "terminate": {"running", "paused", "cancelling", "undoing"},
    "pause": {"running"},
    "continue": {"paused"},
    "undo": {"completed", "failed", "cancelled", "terminated", "undone"},
}


@pytest.mark.parametrize("status", TRANSITIONS)
@pytest.mark.parametrize("request_", REQUESTS)
def test_a_request_that_the_status_forbids_raises_and_changes_nothing(request_: str, status: str) -> None:
    play = play_in(status)
    fact = REQUESTS[request_](START + 20 * SECOND)
    if status in ALLOWED[request_]:
        advance(play.state, fact)
        return
    before = encode_state(play.state)
    with pytest.raises(IllegalTransition) as caught:
        advance(play.state, fact)
    assert caught.value.op == request_
    assert encode_state(play.state) == before


# --- cancel, terminate


def test_a_second_cancellation_changes_nothing() -> None:
    play = play_in("cancelling")
    assert play.cancel("again") == []


def test_a_run_that_is_failing_ends_cancelled_if_it_is_cancelled_meanwhile() -> None:
    play = Play(define(Parallel("p", calls("a b"), join=Join())))
    play.start()
    play.fail("a")
    assert play.cancel("stop") == [RunCancelling("stop")]
    assert play.lose("b", "cancelled")[-1] == RunCancelled("stop")


def test_cancelling_reaches_every_scope() -> None:
    inner = Sequence("s", (Parallel("p", (call("a"), Delay("d", SECOND)), join=Join()),))
    play = Play(define(Parallel("o", (inner, call("b")), join=Join())))
    play.start()
    assert [effect for effect in play.cancel() if isinstance(effect, CancelStep | ClearTimer)] == [
        CancelStep("s/p/a", 1),
        ClearTimer("s/p/d"),
        CancelStep("b", 1),
    ]
    play.lose("s/p/a", "cancelled")
    assert play.lose("b", "cancelled")[-1] == RunCancelled("enough")


@pytest.mark.parametrize("status", ["running", "paused", "cancelling"])
def test_a_terminated_run_wants_nothing_more(status: str) -> None:
    play = play_in(status)
    assert play.terminate() == [RunTerminated("kill")]
    assert outstanding(play.state) == []
    assert play.done("a") == []
    play.check_replay()


# --- pause


def test_a_paused_run_begins_nothing_new_until_it_goes_on() -> None:
    play = Play(define(*calls("a b")))
    play.start()
    assert play.pause() == [RunPausing()]
    assert play.done("a", b"1") == []
    assert outstanding(play.state) == []
    assert play.go_on() == [RunContinued(), StepScheduled("b", 1), RunStep("b", 1, b"1")]
    play.check_replay()


def test_a_paused_run_still_hears_and_its_timers_run() -> None:
    play = Play(define(Parallel("p", (call("a"), Delay("d", SECOND)), join=Join())))
    play.start()
    play.pause()
    due = play.now + SECOND
    assert play.fail("a", retry_in=SECOND) == [RetryScheduled("a", 2, due), SetTimer("a", due)]
    assert play.fire("a") == []
    assert play.fire("d") == []
    assert play.go_on() == [RunContinued(), StepScheduled("a", 2), RunStep("a", 2, b'"in"'), SetTimer("d", due)]
    play.done("a", b"1")
    assert play.fire("d")[-1] == RunCompleted((b"1", b'"in"'))
    play.check_replay()


def delayed(core: int = 8) -> Play:
    play = Play(define(call("a"), Delay("d", SECOND)))
    play.start(core=core)
    play.pause()
    return play


def test_a_delay_of_a_paused_run_begins_when_it_goes_on() -> None:
    play = delayed()
    assert play.done("a", b"1") == []
    assert outstanding(play.state) == []
    due = play.now + SECOND
    assert play.go_on() == [RunContinued(), TimerSet("d", due), SetTimer("d", due)]
    assert play.fire("d") == [RunCompleted(b"1")]
    play.check_replay()


def test_a_delay_that_a_pause_holds_is_cancelled_and_taken_back() -> None:
    play = delayed()
    play.done("a", b"1")
    assert NodeCancelled("d") in play.cancel()
    assert play.state.status == "cancelled"
    play = delayed()
    play.done("a", b"1")
    due = play.now + SECOND
    assert play.roll_back(play.state.seq) == [TimerSet("d", due), SetTimer("d", due)]


def test_the_delays_of_a_paused_run_ended_in_earlier_rules() -> None:
    play = delayed(core=7)
    due = play.now + SECOND
    assert play.done("a", b"1") == [TimerSet("d", due), SetTimer("d", due)]
    assert play.go_on() == [RunContinued()]
    play.pause()
    assert play.fire("d") == [RunCompleted(b"1")]


def test_a_paused_run_may_end() -> None:
    play = Play(define(call("a")))
    play.start()
    play.pause()
    assert play.done("a", b"1") == [RunCompleted(b"1")]


def test_what_is_held_is_cancelled_at_once() -> None:
    play = Play(define(*calls("a b")))
    play.start()
    play.pause()
    play.done("a")
    assert play.cancel("stop")[-1] == RunCancelled("stop")


def test_an_attempt_that_is_held_has_no_report() -> None:
    play = Play(define(*calls("a b")))
    play.start()
    play.pause()
    play.done("a")
    assert play.feed(StepCompleted(play.now, "b", 1, b"1")) == []


def test_handlers_that_were_held_run_when_a_paused_run_is_cancelled() -> None:
    play = Play(define(Cleanup("c", call("a"), calls("x"))))
    play.start(b"0")
    play.pause()
    play.fail("a")
    assert play.ledger.steps == {}
    assert play.cancel("stop") == [RunCancelling("stop"), StepScheduled("cleanup:x", 1), RunStep("cleanup:x", 1, b"0")]


def test_lost_attempts_of_a_paused_run_are_held_when_it_is_taken_over() -> None:
    play = Play(define(call("a")))
    play.start()
    play.pause()
    play.taken(2)
    assert outstanding(play.state) == [RunStep("a", 1, b'"in"')]
    assert play.lose("a", retry_in=0) == []
    assert play.go_on()[1:] == [StepScheduled("a", 2), RunStep("a", 2, b'"in"')]


# --- owners, checkpoints and time


def test_a_checkpoint_is_a_place_in_the_journal_and_nothing_else() -> None:
    play = Play(define(call("a")))
    assert play.feed(CheckpointNamed(play.now, "early")) == []
    play.start()
    assert play.feed(CheckpointNamed(play.now, "here")) == []
    assert play.events[2:] == [CheckpointNamed(play.now, "here")]
    play.done("a")
    assert play.feed(CheckpointNamed(play.now, "late")) == []
    assert len(play.events) == 5
    play.check_replay()


def test_only_a_later_owner_takes_a_run_over() -> None:
    play = Play(define(call("a")))
    assert play.taken(2) == []
    assert play.events == []
    play.start()
    assert play.taken(1) == []
    assert play.taken(2) == []
    assert play.events[-1] == RunTaken(play.now, 2, "other")
    assert play.taken(2) == []
    assert len(play.events) == 3
    assert play.state.epoch == 2


def test_a_failed_run_is_taken_over_and_reopened() -> None:
    play = play_in("failed")
    play.taken(2)
    assert play.events[-1] == RunTaken(play.now, 2, "other")
    assert play.reopen()[0] == StepScheduled("a", 2)


def test_the_clock_of_a_run_never_goes_back() -> None:
    play = Play(define(call("a"), Delay("d", SECOND)))
    play.start()
    play.now -= 5 * SECOND
    play.done("a")
    assert play.state.at == START
    assert play.ledger.timers == {"d": SetTimer("d", START + SECOND)}


def test_what_is_outstanding_is_in_the_order_in_which_it_began() -> None:
    play = Play(define(Parallel("p", (call("b"), Delay("d", SECOND), call("a")), join=Join())))
    play.start(b"0", deadline=9 * SECOND)
    assert outstanding(play.state) == [
        SetTimer("", START + 9 * SECOND),
        RunStep("b", 1, b"0"),
        SetTimer("d", START + SECOND),
        RunStep("a", 1, b"0"),
    ]


# --- nodes that cannot run


class Picture(Node[object]):  # type: ignore[type-var]
    kind = "picture"
    frame_class = Call.frame_class


@pytest.mark.parametrize("move", ["open", "cancel", "reopen"])
def test_a_node_that_cannot_run_says_so(move: str) -> None:
    frame = Call.frame_class("p", Picture("p"), None, 0, b"1")
    with pytest.raises(RipresaError, match="a node of kind 'picture' cannot run") as caught:
        getattr(Picture("p"), move)(RunState(define(call("a"))), frame)
    assert (caught.value.code, caught.value.where) == ("not_available", "p")
    assert Picture("p").timer(RunState(define(call("a"))), frame) is None  # type: ignore[func-returns-value]


def test_failures_keep_their_place() -> None:
    play = Play(define(call("a")))
    play.start()
    assert play.fail("a") == [RunFailed(failure(path="a", attempt=1))]
