"""Streams: what is recorded of one, and where the next attempt begins."""

from typing import Any

import pytest

from ripresa.core.commands import CancelStep, HoldStream, RunStep, SetTimer
from ripresa.core.definition import Definition, shape_of
from ripresa.core.events import (
    AttemptLost,
    NodeCancelled,
    RunCancelled,
    RunCompleted,
    RunFailed,
    StepCompleted,
    StepFailed,
    StepScheduled,
    StreamAdvanced,
    StreamEnded,
)
from ripresa.core.frames import StreamFrame
from ripresa.core.nodes.join import Join
from ripresa.core.nodes.parallel import Parallel
from ripresa.core.nodes.sequence import Sequence
from ripresa.core.nodes.stream import Stream

from .play import SECOND, START, Play, call, failure


def started(**options: Any) -> Play:
    play = Play(Definition("flow", Sequence("flow", (Stream("s", shape=("map a",)),))), **options)
    play.start()
    return play


def batch(play: Play, number: int, *, attempt: int = 1, ended: str = "", **fields: Any) -> list[Any]:
    defaults = {"position": b"%d" % (10 * number), "taken": 10 * number}
    return play.feed(StreamAdvanced(play.now, "s", attempt, number, **{**defaults, **fields}, ended=ended))


def frame_of(play: Play) -> StreamFrame:
    frame = play.state.frames["s"]
    assert isinstance(frame, StreamFrame)
    return frame


@pytest.mark.parametrize("snapshots", [False, True])
def test_a_stream_is_one_attempt_that_advances_batch_by_batch(snapshots: bool) -> None:
    play = started(snapshots=snapshots)
    assert batch(play, 1) == []
    assert batch(play, 2, held=b'{"0":[1,2]}', dropped=3, dead=1, failures=(failure(),)) == []
    frame = frame_of(play)
    assert (frame.batches, frame.position, frame.held, frame.taken) == (2, b"20", b'{"0":[1,2]}', 20)
    assert (frame.dropped, frame.dead) == (3, 1)
    assert batch(play, 2, ended="exhausted", taken=21) == [StreamEnded("s", "exhausted", 2, 21)]
    assert play.feed(StepCompleted(play.now, "s", 1, b"7")) == [RunCompleted(b"7")]
    play.check_replay()


def test_the_next_attempt_begins_where_the_last_batch_ended() -> None:
    play = started()
    batch(play, 1)
    assert play.lose("s", retry_in=0) == [StepScheduled("s", 2), RunStep("s", 2, b'"in"')]
    assert (frame_of(play).batches, frame_of(play).position) == (1, b"10")
    assert batch(play, 2, attempt=2) == []
    play.check_replay()


def test_only_failures_without_progress_count_as_tries() -> None:
    play = started()
    play.fail("s", retry_in=0)
    play.fail("s", retry_in=0)
    assert (frame_of(play).attempt, frame_of(play).base) == (3, 1)
    batch(play, 1, attempt=3)
    assert frame_of(play).base == 3


def test_a_batch_that_is_late_doubled_or_out_of_order_changes_nothing() -> None:
    play = started()
    assert batch(play, 2) == []
    assert frame_of(play).batches == 0
    batch(play, 1)
    batch(play, 1, taken=99)
    assert frame_of(play).taken == 10
    play.lose("s", retry_in=0)
    batch(play, 2, attempt=1)
    assert frame_of(play).batches == 1
    batch(play, 1, attempt=2, ended="exhausted")
    batch(play, 1, attempt=2, ended="exhausted")
    batch(play, 2, attempt=2)
    assert play.feed(StreamAdvanced(play.now, "nowhere", 1, 1)) == []
    assert [type(event) for event in play.events].count(StreamEnded) == 1


def test_a_group_of_batches_is_recorded_as_one_fact_that_follows_the_one_before() -> None:
    play = started()
    batch(play, 3, group=3)
    assert (frame_of(play).batches, frame_of(play).taken) == (3, 30)
    batch(play, 5, group=3)
    batch(play, 3, group=3)
    assert frame_of(play).batches == 3
    batch(play, 5, group=2)
    batch(play, 6, ended="exhausted")
    assert frame_of(play).batches == 6
    play.check_replay()


def test_a_batch_of_what_is_no_stream_changes_nothing() -> None:
    play = Play(Definition("flow", Sequence("flow", (call("a"),))))
    play.start()
    assert play.feed(StreamAdvanced(play.now, "a", 1, 1)) == []


def test_a_stream_that_ended_before_its_result_was_recorded_does_not_end_twice() -> None:
    play = started()
    batch(play, 0, ended="exhausted")
    play.lose("s", retry_in=0)
    assert play.fail("s") == [RunFailed(failure(path="s", attempt=2))]


def test_a_failed_stream_says_how_far_it_was_and_goes_on_there_when_the_run_is_reopened() -> None:
    play = started()
    batch(play, 1)
    assert play.fail("s") == [StreamEnded("s", "failed", 1, 10), RunFailed(failure(path="s", attempt=1))]
    play.reopen()
    assert (frame_of(play).batches, frame_of(play).attempt) == (1, 2)
    batch(play, 2, attempt=2)
    play.done("s")
    assert play.status == "completed"
    play.check_replay()


def test_a_batch_that_the_sink_acknowledged_while_the_stream_is_cancelled_counts() -> None:
    play = started()
    assert CancelStep("s", 1) in play.cancel()
    batch(play, 1)
    assert play.lose("s", "cancelled") == [StreamEnded("s", "cancelled", 1, 10), RunCancelled("enough")]


def test_a_stream_that_waits_for_its_next_attempt_is_cancelled_at_once() -> None:
    play = started()
    play.fail("s", retry_in=SECOND)
    effects = play.cancel()
    assert [e for e in effects if isinstance(e, StreamEnded | NodeCancelled | RunCancelled)] == [
        StreamEnded("s", "cancelled", 0, 0), NodeCancelled("s"), RunCancelled("enough"),
    ]  # fmt: skip


def test_a_pause_holds_streams_and_going_on_lets_them_go() -> None:
    play = Play(Definition("flow", Parallel("p", (Stream("s"), call("a")), join=Join(), window=2)))
    play.start()
    assert HoldStream("s", 1, on=True) in play.pause()
    play.feed(StreamAdvanced(play.now, "s", 1, 1))
    assert HoldStream("s", 1, on=False) in play.go_on()
    play.check_replay()


def test_a_stream_whose_process_died_while_the_run_was_paused_is_held() -> None:
    play = started()
    play.pause()
    assert play.lose("s", retry_in=0) == []
    assert play.go_on()[1:] == [StepScheduled("s", 2), RunStep("s", 2, b'"in"')]


def test_a_stream_waits_for_its_next_attempt_like_any_step() -> None:
    play = started()
    assert SetTimer("s", START + SECOND) in play.fail("s", retry_in=SECOND)
    assert RunStep("s", 2, b'"in"') in play.fire("s")


def test_the_hash_of_a_stream_names_its_stages() -> None:
    assert shape_of(Stream("s", shape=("map a",))) != shape_of(Stream("s", shape=("map b",)))


def test_a_lost_attempt_is_the_end_of_a_stream_that_may_not_be_tried_again() -> None:
    play = started()
    effects = play.feed(AttemptLost(play.now, "s", 1, "crashed"))
    assert effects[0] == StreamEnded("s", "failed", 0, 0)
    assert play.status == "failed"
    assert not any(isinstance(event, StepFailed) for event in play.events)


def test_how_long_it_was_pumped_and_how_far_it_lagged_is_told_at_its_end() -> None:
    play = started(snapshots=True)
    batch(play, 1, elapsed=2 * SECOND, lag=300)
    batch(play, 2, elapsed=5 * SECOND, lag=200)
    assert batch(play, 2, ended="exhausted", elapsed=6 * SECOND) == [
        StreamEnded("s", "exhausted", 2, 20, elapsed=6 * SECOND, lag=300)
    ]
    play.check_replay()
