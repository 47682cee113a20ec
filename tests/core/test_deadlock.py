"""A run that waits for nothing that could come says so, instead of waiting for ever."""

from ripresa.core.advance import stuck
from ripresa.core.commands import RunStep
from ripresa.core.events import Failure, RunFailed, RunStuck, StepScheduled
from ripresa.core.nodes.cleanup import Cleanup
from ripresa.core.nodes.delay import Delay
from ripresa.core.nodes.join import Join
from ripresa.core.nodes.parallel import Parallel
from ripresa.core.nodes.sequence import Sequence
from ripresa.core.nodes.wait import Wait

from .play import SECOND, Play, call, calls, define
from .silent import Silent


def playing(*nodes: object, deadline: int = 0) -> Play:
    play = Play(define(*nodes), snapshots=True)  # type: ignore[arg-type]
    play.start(b"1", deadline=deadline)
    return play


def test_a_node_that_waits_for_nothing_is_named_and_fails_the_run() -> None:
    play = playing(call("a"), Sequence("in", (Silent("hole"),)))
    assert stuck(play.state) is None
    play.done("a")
    assert stuck(play.state) == "in/hole"
    message = "the run can never advance: in/hole waits for nothing that could come"
    assert play.feed(RunStuck(play.now, "in/hole")) == [
        RunFailed(Failure("workflow_deadlock", message, path="in/hole"))
    ]
    play.check_replay()


def test_what_has_failed_beside_it_does_not_let_a_run_go_on() -> None:
    play = playing(Parallel("both", (call("a"), Silent("hole")), join=Join(on_error="fail_slow")))
    play.fail("a")
    assert stuck(play.state) == "hole"


def test_clean_up_runs_when_a_run_is_stuck() -> None:
    play = playing(Sequence("root", (Cleanup("guard", Silent("hole"), calls("undo")),)))
    assert play.feed(RunStuck(play.now, "guard/hole"))[1:] == [
        StepScheduled("guard/cleanup:undo", 1),
        RunStep("guard/cleanup:undo", 1, b"1"),
    ]
    play.done("guard/cleanup:undo")
    assert play.status == "failed"


def test_what_can_still_come_lets_a_run_go_on() -> None:
    hole = Silent("hole")
    for other in (call("a"), Delay("nap", SECOND), Wait("ask", "edited")):
        play = playing(Parallel("both", (hole, other), join=Join()))
        assert stuck(play.state) is None
    assert stuck(playing(hole, call("b"), deadline=SECOND).state) is None
    paused = playing(hole, call("b"))
    paused.pause()
    assert stuck(paused.state) is None


def test_a_run_that_has_ended_is_not_stuck_and_one_that_winds_up_cannot_fail_again() -> None:
    play = playing(call("a"), Silent("hole"))
    play.cancel()
    assert play.feed(RunStuck(play.now, "hole")) == []
    play.lose("a", "cancelled")
    assert stuck(play.state) is None
