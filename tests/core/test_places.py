"""Places in a journal have numbers and names, and a run goes on from any of them as if nothing had come after."""

import pytest

from ripresa.core.advance import advance
from ripresa.core.codec import decode_state, encode_state
from ripresa.core.commands import CancelStep, Resume, RunStep, SetTimer
from ripresa.core.events import (
    CallSpec,
    CheckpointNamed,
    Fact,
    Migrated,
    Recorded,
    RolledBack,
    RunForked,
    RunStarted,
    StepReused,
    StepScheduled,
    StepStarted,
    TimerSet,
)
from ripresa.core.frames import CallFrame
from ripresa.core.nodes.delay import Delay
from ripresa.core.nodes.dynamic import Dynamic
from ripresa.core.nodes.join import Join
from ripresa.core.nodes.loop import Loop, Over
from ripresa.core.nodes.parallel import Parallel
from ripresa.core.nodes.sequence import Sequence
from ripresa.core.nodes.subworkflow import Subworkflow
from ripresa.core.nodes.wait import Wait
from ripresa.core.places import Place, find_place, places
from ripresa.core.replay import lineage, next_generation, place_after, replay, started_of
from ripresa.core.state import RunState
from ripresa.errors import IllegalTransition, RipresaError, StoreError

from .play import SECOND, START, Effect, Play, call, calls, define


def chain(names: str = "a b c") -> Play:
    play = Play(define(*calls(names)))
    play.start()
    for name in names.split():
        play.done(name, b"1")
    return play


def numbers(journal: list[Recorded]) -> list[int]:
    return [recorded.seq for recorded in journal]


# --- places


def test_places_are_completed_steps_and_named_checkpoints() -> None:
    play = Play(define(*calls("a b")))
    play.start()
    play.feed(CheckpointNamed(play.now, "mine", "me"))
    play.done("a")
    play.feed(StepReused(play.now, "b", 1, b"2"))
    assert places(play.journal) == [
        Place(3, START, "mine", named=True),
        Place(4, START, "a"),
        Place(6, START, "b"),
    ]


def test_places_that_were_rolled_back_are_marked() -> None:
    play = chain()
    play.roll_back(3)
    play.done("b")
    assert [(place.seq, place.name, place.undone) for place in places(play.journal)] == [
        (3, "a", False),
        (5, "b", True),
        (7, "c", True),
        (11, "b", False),
    ]


@pytest.mark.parametrize(("at", "seq"), [(1, 2), (2, 2), ("3", 4), ("a", 4), ("b", 6), ("mine", 9), ("c", 8)])
def test_a_place_is_the_end_of_what_followed_from_one_fact(at: int | str, seq: int) -> None:
    play = Play(define(*calls("a b c d")))
    play.start()
    for name in "abc":
        play.done(name)
    play.feed(CheckpointNamed(play.now, "mine"))
    assert find_place(play.journal, at) == seq


def test_of_several_places_of_one_name_the_last_that_still_counts_is_meant() -> None:
    play = chain()
    play.feed(CheckpointNamed(play.now, "b"))
    assert find_place(play.journal, "b") == 6, "nothing is kept of a run that has ended"
    play.roll_back(4)
    play.feed(CheckpointNamed(play.now, "b"))
    play.done("b")
    assert find_place(play.journal, "b") == 11, "a checkpoint is meant rather than a step"
    assert find_place(play.journal, "c") == 8, "it was rolled back, but there is no other"


@pytest.mark.parametrize("at", [0, 9, "0", "nowhere", ""])
def test_a_place_that_there_is_not_is_an_error_that_names_it(at: int | str) -> None:
    with pytest.raises(RipresaError, match="ripresa checkpoints r") as caught:
        find_place(chain().journal, at)
    assert (caught.value.code, caught.value.where) == ("no_such_place", "r")


# --- lines


def test_a_line_leaves_out_what_was_rolled_back_and_may_lead_over_it_again() -> None:
    play = chain()
    assert lineage(play.journal) == play.journal
    play.roll_back(4)
    assert numbers(lineage(play.journal)) == [1, 2, 3, 4, 9, 10]
    play.roll_back(6)
    assert numbers(lineage(play.journal)) == [1, 2, 3, 4, 5, 6, 11, 12]
    assert play.done("c") != []
    play.check_replay()
    assert lineage([]) == []
    assert place_after(play.journal, 14) == 14


def test_a_tail_can_be_replayed_if_no_rollback_leads_to_before_it() -> None:
    play = chain()
    play.roll_back(4)
    state = replay(RunState(play.definition), play.journal[:4])
    assert encode_state(replay(state, play.journal[4:])) == encode_state(play.state)
    state = replay(RunState(play.definition), play.journal[:6])
    with pytest.raises(StoreError, match="where event 4 belongs"):
        replay(state, play.journal[6:])


def test_a_line_with_a_gap_is_refused() -> None:
    play = chain()
    with pytest.raises(StoreError, match="event 4 where event 3 belongs"):
        lineage([*play.journal[:2], *play.journal[3:]])


def test_every_rollback_begins_a_generation_that_there_has_not_been() -> None:
    play = Play(define(*calls("a b")))
    play.start()
    play.fail("a")
    play.reopen()
    assert next_generation(play.journal) == 2
    play.roll_back(2)
    play.fail("a")
    play.reopen()
    play.roll_back(2)
    assert [event.generation for event in play.events if isinstance(event, RolledBack)] == [2, 4]
    fork = Recorded("r", 1, START, RunForked(START, "o", 3, 7))
    assert next_generation([fork]) == 8


# --- going back


def test_what_was_under_way_begins_anew_under_a_new_generation() -> None:
    play = Play(define(Sequence("s", calls("a b"))))
    play.start()
    play.feed(StepStarted(play.now, "a", 1))
    play.done("a", b"1")
    play.fail("b")
    assert play.status == "failed"
    assert play.roll_back(3) == [StepScheduled("a", 1), RunStep("a", 1, b'"in"')]
    frame = play.state.frames["a"]
    assert isinstance(frame, CallFrame)
    assert (frame.generation, frame.started, play.status) == (1, 0, "running")
    play.done("a", b"2")
    play.done("b", b"3")
    assert (play.status, play.output) == ("completed", b"3")
    play.check_replay()


def test_a_backoff_a_wait_and_a_step_that_is_being_stopped_are_taken_up_as_they_were() -> None:
    join = Join(need=1)
    play = Play(define(Parallel("p", (*calls("a b"), Delay("d", 9 * SECOND)), join=Join(on_error="fail_slow"))))
    play.start()
    play.fail("a", retry_in=SECOND)
    place = len(play.journal)
    play.done("b")
    assert play.roll_back(place) == [
        StepScheduled("b", 1),
        SetTimer("a", START + SECOND),
        RunStep("b", 1, b'"in"'),
        SetTimer("d", START + 9 * SECOND),
    ]
    play = Play(define(Parallel("p", calls("a b"), join=join)))
    play.start()
    play.done("a")
    place = len(play.journal)
    play.lose("b", "cancelled")
    assert play.status == "completed"
    assert play.roll_back(place) == [RunStep("b", 1, b'"in"'), CancelStep("b", 1)]
    play.lose("b", "cancelled")
    assert play.status == "completed"
    play.check_replay()


def test_time_limits_begin_anew() -> None:
    scope = Subworkflow("child", Sequence("s", calls("a b")), workflow="w", timeout=9 * SECOND)
    plain = Subworkflow("plain", Sequence("s", calls("x")), workflow="w")
    play = Play(define(Parallel("p", (scope, plain), join=Join())))
    play.start(deadline=20 * SECOND)
    play.now += 5 * SECOND
    play.done("child/a")
    effects = play.roll_back(1)
    later = START + 5 * SECOND
    assert TimerSet("child", later + 9 * SECOND) in effects
    assert SetTimer("", later + 20 * SECOND) in effects
    assert play.state.deadline == later + 20 * SECOND


def test_a_paused_run_goes_on_when_it_is_taken_back() -> None:
    play = Play(define(*calls("a b")))
    play.start()
    play.pause()
    play.done("a")
    assert play.roll_back(len(play.journal)) == [StepScheduled("b", 1), RunStep("b", 1, b"1")]
    assert play.status == "running"


def test_going_back_into_a_loop_and_a_parallel_branch_repeats_only_what_came_after() -> None:
    body = Parallel("body", calls("l r"), join=Join())
    play = Play(define(Sequence("s", (Loop("loop", body, over=Over("range", last=3)),))))
    play.start()
    for index in range(3):
        play.done(f"loop/body[{index}]/l")
        play.done(f"loop/body[{index}]/r")
    assert play.status == "completed"
    place = find_place(play.journal, "loop/body[1]/l")
    assert scheduled(play.roll_back(place)) == ["loop/body[1]/r"]
    play.done("loop/body[1]/r")
    play.done("loop/body[2]/l")
    play.done("loop/body[2]/r")
    assert play.status == "completed"
    play.check_replay()


def scheduled(effects: list[Effect]) -> list[str]:
    return [effect.path for effect in effects if isinstance(effect, StepScheduled)]


def test_a_durable_function_is_asked_again_what_it_was_asked_there() -> None:
    play = Play(define(Dynamic("f", workflow="w", version="1")))
    play.start(b"0")
    play.asked("", CallSpec(1, "step", "a", b"1"))
    play.done("a", b"2")
    place = len(play.journal)
    play.asked("", CallSpec(2, "step", "b", b"2"))
    play.done("b", b"3")
    play.returned("", b"3")
    assert play.roll_back(place) == [Resume("", 0)]
    play.asked("", CallSpec(2, "step", "c", b"2"))
    play.done("c", b"4")
    play.returned("", b"4")
    assert (play.status, play.output) == ("completed", b"4")


@pytest.mark.parametrize("end", ["completed", "cancelled", "cancelling", "failed", "terminated"])
def test_nothing_goes_on_from_where_a_run_had_ended_or_was_being_stopped(end: str) -> None:
    play = Play(define(call("a")))
    play.start()
    if end == "completed":
        play.done("a")
    elif end == "failed":
        play.fail("a")
    elif end == "terminated":
        play.terminate()
    else:
        play.cancel()
        if end == "cancelled":
            play.lose("a", "cancelled")
    assert play.status == end
    seq = play.state.seq
    for fact in (RolledBack(START, seq, seq, 1, 1), RunForked(START, "o", seq, 0)):
        with pytest.raises(IllegalTransition, match=f"was {end} after event {seq}"):
            advance(play.state, fact)
    assert play.state.seq == seq


def test_a_rollback_to_another_place_than_the_state_is_at_changes_nothing() -> None:
    play = Play(define(*calls("a b")))
    play.start()
    for to, since in ((1, 2), (3, 3), (2, 1)):
        assert play.feed(RolledBack(START, to, since, 1, 1)) == []


# --- forks


def test_a_fork_goes_its_own_way_and_takes_results_over() -> None:
    play = Play(define(*calls("a b")))
    play.start(deadline=9 * SECOND)
    play.done("a")
    play.now += SECOND
    effects = play.feed(RunForked(play.now, "other", 4, 0))
    assert effects == [StepScheduled("b", 1), SetTimer("", START + 10 * SECOND), RunStep("b", 1, b"1")]
    assert play.feed(StepReused(play.now, "b", 2, b"1")) == []
    play.feed(StepReused(play.now, "b", 1, b"7"))
    assert (play.status, play.output) == ("completed", b"7")
    play.check_replay()


# --- migrations


def test_a_migrated_run_begins_anew_where_its_journal_is() -> None:
    old = chain("a b")
    play = Play(define(call("a"), Delay("pause", 9 * SECOND), call("c")))
    due = START + 5 * SECOND
    migrated = Migrated(START, "1", 6, 4, 3, START, waits=("pause", "gone"), dues=(due, 7))
    state = play.state
    journal = list(old.journal[:6])

    def feed(fact: Fact) -> list[object]:
        before = state.seq
        consequences, commands = advance(state, fact)
        start = state.seq - len(consequences)
        assert start == (before if isinstance(fact, RunStarted | StepReused) else migrated.since) + 1
        journal.extend(Recorded("r", n, START, event) for n, event in enumerate((fact, *consequences), start))
        return [*consequences, *commands]

    assert feed(migrated) == []
    assert (state.status, state.seq, state.generation, state.epoch) == ("created", 7, 4, 3)
    feed(RunStarted(START, "r", "flow", "2", "h", b"1", 7))
    assert feed(StepReused(START, "a", 1, b"1")) == [TimerSet("pause", due), SetTimer("pause", due)]
    assert state.dues == {"gone": 7}
    assert numbers(lineage(journal)) == [7, 8, 9, 10, 11]
    assert started_of(lineage(journal)).version == "2"
    assert started_of(old.journal).version == "1"
    assert encode_state(replay(RunState(play.definition), journal)) == encode_state(state)
    assert encode_state(decode_state(encode_state(state), play.definition)) == encode_state(state)
    assert next_generation(journal) == 5
    with pytest.raises(IllegalTransition, match="cannot become running"):
        advance(state, migrated)


def test_a_wait_for_a_signal_keeps_its_moment_too() -> None:
    play = Play(define(Parallel("p", (Wait("a", "a", timeout=9 * SECOND), Wait("b", "b")), join=Join())))
    play.state.dues = {"a": START + SECOND, "b": START + SECOND}
    assert SetTimer("a", START + SECOND) in play.start()
    assert "b" in play.state.dues
