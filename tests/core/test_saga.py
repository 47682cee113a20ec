"""What a run did is undone: last first, only what happened, once, whatever fails meanwhile."""

import pytest

from ripresa.core.commands import RunStep, Withdraw
from ripresa.core.definition import Definition
from ripresa.core.events import (
    AttemptLost,
    CallSpec,
    CompensationEnded,
    CompensationStarted,
    LateOutcome,
    RunCancelled,
    RunCancelling,
    RunCompleted,
    RunFailed,
    RunTerminated,
    RunUndoing,
    RunUndone,
    StepCompleted,
    StepScheduled,
    StepUndone,
    UndoFailed,
)
from ripresa.core.nodes.call import Call
from ripresa.core.nodes.cleanup import Cleanup
from ripresa.core.nodes.delay import Delay
from ripresa.core.nodes.dynamic import Dynamic
from ripresa.core.nodes.fallback import Fallback
from ripresa.core.nodes.join import Join
from ripresa.core.nodes.map import Map
from ripresa.core.nodes.parallel import Parallel
from ripresa.core.nodes.saga import Saga
from ripresa.core.nodes.sequence import Sequence
from ripresa.core.nodes.undo import Undo, Undoable
from ripresa.core.view import view_of

from .play import SECOND, Effect, Play, define, failure


def undone(name: str, **takes: bool) -> Call:
    """A call that `x` undoes."""
    return Call(name, undo=Undo(Call("x"), **takes))


def finish(play: Play, *paths: str) -> list[Effect]:
    """The undos at these paths succeed; what follows from the last."""
    effects: list[Effect] = []
    for path in paths:
        assert list(play.ledger.steps) == [path], "one undo at a time, in this order"
        effects = play.done(path, b"null")
    return effects


def scheduled(play: Play) -> list[str]:
    """What was scheduled, in order."""
    return [event.path for event in play.events if isinstance(event, StepScheduled)]


@pytest.fixture(params=[False, True], ids=["kept", "encoded after every fact"])
def snapshots(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


# --- the run itself is a scope of compensation


def test_a_failed_run_undoes_what_was_done_last_first(snapshots: bool) -> None:
    play = Play(define(undone("a"), Call("b"), undone("c"), Call("d")), snapshots=snapshots)
    play.start()
    for name in "abc":
        play.done(name, b'"%s"' % name.encode())
    assert play.fail("d") == [
        CompensationStarted("", 2),
        StepScheduled("c/undo:x", 1),
        RunStep("c/undo:x", 1, b'"c"'),
    ]
    assert play.status == "running"
    assert play.done("c/undo:x", b"null") == [
        StepUndone("c"),
        StepScheduled("a/undo:x", 1),
        RunStep("a/undo:x", 1, b'"a"'),
    ]
    assert play.done("a/undo:x", b"null") == [
        StepUndone("a"),
        CompensationEnded("", "complete", 2),
        RunFailed(failure(path="d", attempt=1)),
    ]
    play.check_replay()


def skipping(*answers: str, core: int = 10, snapshots: bool = False) -> Play:
    """A run that fails after two steps, about whose undos a hook answers (the last step is undone first)."""
    play = Play(define(undone("a"), undone("b"), Call("d")), snapshots=snapshots, hooks=("compensation *",))
    play.start(core=core)
    play.done("a")
    play.done("b")
    play.fail("d")
    for name, answer in zip("ba", answers, strict=True):
        play.hook("!undo", answer)
        if answer == "continue":
            play.done(f"{name}/undo:x", b"null")
    play.check_replay()
    return play


def ended_undo(play: Play) -> CompensationEnded:
    found = play.events[-2]
    assert isinstance(found, CompensationEnded)
    return found


def test_what_a_hook_lets_be_is_told_and_is_no_complete_undo(snapshots: bool) -> None:
    every = skipping("skip", "skip", snapshots=snapshots)
    assert ended_undo(every) == CompensationEnded("", "skipped", 2, skipped=("b", "a"))
    assert view_of(every.journal).scopes["!undo"].detail == "skipped"
    assert ended_undo(skipping("skip", "continue")) == CompensationEnded("", "complete", 2, skipped=("b",))
    vetoed = ended_undo(skipping("skip", "veto"))
    assert (vetoed.report, vetoed.undone, vetoed.skipped) == ("partial", 1, ("b",))
    assert ended_undo(skipping("skip", "skip", core=9)) == CompensationEnded("", "complete", 2)


def test_a_completed_run_undoes_nothing() -> None:
    play = Play(define(undone("a")))
    play.start()
    assert play.done("a", b"1") == [RunCompleted(b"1")]


def test_a_failing_step_itself_is_not_undone_for_it_did_nothing() -> None:
    play = Play(define(undone("a"), undone("b")))
    play.start()
    play.done("a")
    play.fail("b")
    assert list(play.ledger.steps) == ["a/undo:x"]


def test_a_run_without_anything_to_undo_fails_as_ever() -> None:
    play = Play(define(undone("a")))
    play.start()
    assert play.fail("a") == [RunFailed(failure(path="a", attempt=1))]


def test_an_undo_that_takes_the_input_is_given_both() -> None:
    play = Play(define(undone("a", takes_input=True), Call("b")))
    play.start(b'"in"')
    play.done("a", b'"out"')
    assert RunStep("a/undo:x", 1, (b'"out"', b'"in"')) in play.fail("b")


def test_an_undo_has_retries_of_its_own() -> None:
    play = Play(define(undone("a"), Call("b")))
    play.start()
    play.done("a")
    play.fail("b")
    play.fail("a/undo:x", retry_in=SECOND)
    play.fire("a/undo:x")
    assert play.attempt("a/undo:x") == 2
    assert play.done("a/undo:x", b"null")[-2] == CompensationEnded("", "complete", 1)


def test_an_undo_that_fails_stops_no_other() -> None:
    play = Play(define(*(undone(name) for name in "abc"), Call("d")))
    play.start()
    for name in "abc":
        play.done(name)
    play.fail("d")
    finish(play, "c/undo:x")
    raised = failure("stuck", path="b/undo:x", attempt=1)
    assert play.fail("b/undo:x", "stuck")[0] == UndoFailed("b", raised)
    assert finish(play, "a/undo:x")[1:-1] == [CompensationEnded("", "partial", 2, (raised,))]
    assert play.status == "failed"


def test_a_compensation_in_which_everything_fails_says_so() -> None:
    play = Play(define(undone("a"), Call("b")))
    play.start()
    play.done("a")
    play.fail("b")
    report = play.fail("a/undo:x")[1]
    assert isinstance(report, CompensationEnded)
    assert (report.report, report.undone) == ("failed", 0)


def test_a_cancelled_run_undoes_what_was_done_when_every_attempt_has_reported() -> None:
    play = Play(define(undone("a"), Parallel("p", (Call("b"), Call("c")), join=Join())))
    play.start()
    play.done("a")
    play.cancel("stop")
    assert play.lose("p/b", "cancelled") == []
    effects = play.lose("p/c", "cancelled")
    assert effects[1] == CompensationStarted("", 1)
    assert play.status == "cancelling"
    assert finish(play, "a/undo:x")[1:] == [CompensationEnded("", "complete", 1), RunCancelled("stop")]
    play.check_replay()


def test_cancellation_in_the_middle_of_a_compensation_does_not_stop_it(snapshots: bool) -> None:
    play = Play(define(undone("a"), undone("b"), Call("c")), snapshots=snapshots)
    play.start()
    play.done("a")
    play.done("b")
    play.fail("c")
    assert play.cancel("now") == [RunCancelling("now")]
    assert finish(play, "b/undo:x", "a/undo:x")[-1] == RunCancelled("now")
    play.check_replay()


def test_terminating_in_the_middle_of_a_compensation_leaves_the_rest_to_undo_later() -> None:
    play = Play(define(undone("a"), undone("b"), Call("c")))
    play.start()
    play.done("a")
    play.done("b")
    play.fail("c")
    finish(play, "b/undo:x")
    assert play.terminate() == [RunTerminated("kill")]
    play.ledger.steps.clear()
    assert play.undo()[:2] == [RunUndoing(""), CompensationStarted("", 1)]
    assert finish(play, "a/undo:x")[-1] == RunUndone()


def test_a_paused_run_holds_its_undos() -> None:
    play = Play(define(undone("a"), Call("b")))
    play.start()
    play.done("a")
    play.pause()
    play.go_on()
    play.pause()
    assert play.fail("b") == [CompensationStarted("", 1)]
    assert play.go_on()[1:] == [StepScheduled("a/undo:x", 1), RunStep("a/undo:x", 1, b"1")]


def test_the_time_that_a_run_had_does_not_end_its_compensation() -> None:
    play = Play(define(undone("a"), Call("b")))
    play.start(deadline=9 * SECOND)
    play.done("a")
    play.fail("b")
    assert play.ledger.timers == {}


def test_clean_up_comes_before_compensation() -> None:
    body = Sequence("s", (undone("a"), Call("b")))
    play = Play(define(Cleanup("c", body, (Call("h"),))))
    play.start()
    play.done("a")
    play.fail("b")
    assert list(play.ledger.steps) == ["cleanup:h"]
    assert play.done("cleanup:h")[1] == CompensationStarted("", 1)


# --- unknown outcomes


def test_a_step_whose_outcome_nobody_knows_is_undone_if_its_undo_takes_that() -> None:
    play = Play(define(undone("a", takes_input=True, takes_unknown=True)))
    play.start()
    assert play.lose("a", "timeout")[1:] == [
        StepScheduled("a/undo:x", 1),
        RunStep("a/undo:x", 1, (b"null", b'"in"')),
    ]


def test_an_undo_that_does_not_take_an_unknown_outcome_is_reported_instead() -> None:
    play = Play(define(undone("a")))
    play.start()
    effects = play.lose("a", "timeout")
    assert [type(effect) for effect in effects[:3]] == [CompensationStarted, UndoFailed, CompensationEnded]
    assert effects[1].failure.code == "outcome_unknown"  # type: ignore[union-attr]
    assert play.status == "failed"


def test_an_attempt_that_never_began_is_not_undone() -> None:
    play = Play(define(undone("a", takes_input=True, takes_unknown=True)))
    play.start()
    play.cancel()
    assert play.feed(AttemptLost(play.now, "a", 1, "cancelled", began=False)) == [RunCancelled("enough")]


def test_doubt_about_an_earlier_attempt_stays_until_one_succeeds() -> None:
    play = Play(define(undone("a", takes_input=True, takes_unknown=True), Call("b")))
    play.start()
    play.lose("a", "timeout", retry_in=0)
    play.done("a", b"5")
    assert RunStep("a/undo:x", 1, (b"5", b'"in"')) in play.fail("b")
    assert len(play.state.ledger.entries) == 1

    play = Play(define(undone("a", takes_input=True, takes_unknown=True)))
    play.start()
    play.lose("a", "timeout", retry_in=0)
    assert RunStep("a/undo:x", 1, (b"null", b'"in"')) in play.fail("a")


def test_a_retry_that_is_cancelled_while_it_waits_leaves_the_doubt() -> None:
    play = Play(define(undone("a", takes_input=True, takes_unknown=True)))
    play.start()
    play.lose("a", "timeout", retry_in=SECOND)
    play.cancel()
    assert list(play.ledger.steps) == ["a/undo:x"]


def test_a_late_success_ends_the_doubt(snapshots: bool) -> None:
    play = Play(define(undone("a")), snapshots=snapshots)
    play.start()
    play.lose("a", "timeout", retry_in=0)
    assert play.feed(LateOutcome(play.now, "a", 1, b"5")) == []
    assert play.feed(LateOutcome(play.now, "a", 1, b"6")) == [], "only the first counts"
    assert RunStep("a/undo:x", 1, b"5") in play.fail("a")
    play.check_replay()


def test_a_late_success_is_learnt_also_after_its_step_has_ended() -> None:
    play = Play(define(Parallel("p", (undone("a"), Call("b")), join=Join(on_error="fail_slow"))))
    play.start()
    play.lose("a", "timeout")
    play.feed(LateOutcome(play.now, "a", 1, b"5"))
    assert RunStep("a/undo:x", 1, b"5") in play.done("b")


def test_a_success_after_its_undo_and_the_end_of_the_run_is_kept_once_and_undone_by_another_key(
    snapshots: bool,
) -> None:
    play = Play(define(undone("a", takes_input=True, takes_unknown=True)), snapshots=snapshots)
    play.start()
    play.lose("a", "timeout")
    finish(play, "a/undo:x")
    assert (play.status, play.state.ledger.entries) == ("failed", {})
    late = LateOutcome(play.now, "a", 1, b"5")
    assert play.feed(late) == []
    assert play.events[-1] == late
    assert play.feed(late) == []
    assert play.status == "failed"
    view = view_of(play.journal)
    assert (view.undone, view.not_undone["a"].code) == (["a"], "late_outcome")
    assert RunStep("a/undo:x#2", 1, (b"5", b'"in"')) in play.undo()
    finish(play, "a/undo:x#2")
    assert (play.status, view_of(play.journal).not_undone) == ("undone", {})
    assert play.feed(late) == [], "it was known"
    play.check_replay()


def test_a_late_success_of_what_cannot_be_undone_or_is_known_changes_nothing() -> None:
    play = Play(define(Call("a"), undone("b"), Call("c")))
    play.start()
    play.lose("a", "timeout", retry_in=0)
    play.feed(LateOutcome(play.now, "a", 1, b"5"))
    play.done("a")
    play.feed(LateOutcome(play.now, "b", 1, b"5"))
    play.done("b")
    play.feed(LateOutcome(play.now, "b", 1, b"5"))
    play.feed(LateOutcome(play.now, "nowhere", 1, b"5"))
    assert not [event for event in play.events if isinstance(event, LateOutcome)]


# --- scopes


def test_a_saga_undoes_its_own_and_leaves_the_rest(snapshots: bool) -> None:
    saga = Saga("s", Sequence("body", (undone("b"), Call("c"))))
    play = Play(define(undone("a"), Fallback("f", (saga, Call("other")))), snapshots=snapshots)
    play.start()
    play.done("a")
    play.done("f/s/b")
    assert play.fail("f/s/c")[0] == CompensationStarted("f/s", 1)
    finish(play, "f/s/b/undo:x")
    assert play.done("f/other", b"9")[-1] == RunCompleted(b"9")
    play.check_replay()


def test_what_a_completed_saga_did_is_undone_with_the_scope_around_it() -> None:
    play = Play(define(Saga("s", Sequence("body", (undone("a"), Call("b")))), Call("c")))
    play.start()
    play.done("s/a")
    play.done("s/b")
    play.fail("c")
    assert list(play.ledger.steps) == ["s/a/undo:x"]


def test_a_saga_without_anything_to_undo_just_fails() -> None:
    play = Play(define(Saga("s", Call("a"))))
    play.start()
    assert play.fail("a") == [RunFailed(failure(path="a", attempt=1))]


def test_a_saga_that_is_stopped_because_its_sibling_failed_is_undone_and_not_stopped_again() -> None:
    saga = Saga("s", Sequence("body", (undone("a"), Call("b"))))
    play = Play(define(Parallel("p", (saga, Call("c")), join=Join())))
    play.start()
    play.done("s/a")
    play.fail("c")
    play.lose("s/b", "cancelled")
    play.cancel("too")
    assert finish(play, "s/a/undo:x")[-1] == RunCancelled("too")


def test_a_flow_with_an_undo_of_its_own_is_undone_as_a_whole() -> None:
    flow = Undoable("f", Sequence("f", (undone("a"), undone("b"))), Undo(Call("x")))
    play = Play(define(flow, Call("c")))
    play.start()
    play.done("f/a")
    play.done("f/b", b"7")
    assert play.fail("c")[:2] == [CompensationStarted("", 1), StepScheduled("f/undo:x", 1)]


def test_until_it_has_completed_such_a_flow_is_undone_step_by_step() -> None:
    flow = Undoable("f", Sequence("f", (undone("a"), undone("b"))), Undo(Call("x")))
    play = Play(define(flow, Call("c")))
    play.start()
    play.done("f/a")
    assert play.fail("f/b")[1] == StepScheduled("f/a/undo:x", 1)


def test_a_whole_flow_can_undo_a_step_and_what_it_does_is_not_undone(snapshots: bool) -> None:
    back = Sequence("back", (undone("one"), Call("two")))
    play = Play(define(Call("a", undo=Undo(back)), Call("b")), snapshots=snapshots)
    play.start()
    play.done("a")
    play.fail("b")
    play.done("a/undo:back/one")
    assert play.fail("a/undo:back/two")[0] == UndoFailed("a", failure(path="a/undo:back/two", attempt=1))
    assert play.status == "failed"
    play.check_replay()


def test_only_the_branches_that_were_not_needed_are_undone(snapshots: bool) -> None:
    branches = tuple(Sequence(name, (undone("one"), Call("two"))) for name in "abc")
    play = Play(define(Parallel("p", branches, join=Join(need=1), single=True), Call("after")), snapshots=snapshots)
    play.start()
    for name in "abc":
        play.done(f"p/{name}/one")
    play.fail("p/b/two")
    assert play.done("p/a/two", b"1")[-1].path == "p/c/two"  # type: ignore[union-attr]
    assert play.lose("p/c/two", "cancelled")[1] == CompensationStarted("p", 2)
    finish(play, "p/c/one/undo:x", "p/b/one/undo:x")
    assert play.done("after")[-1] == RunCompleted(b"1")
    assert [entry.path for entry in play.state.ledger.entries.values()] == ["p/a/one"]
    play.check_replay()


def test_what_a_late_winner_did_is_undone_too() -> None:
    play = Play(define(Parallel("p", (undone("a"), undone("b")), join=Join(need=1))))
    play.start()
    play.done("a")
    assert play.done("b")[1] == CompensationStarted("", 1)
    assert finish(play, "b/undo:x")[-1] == RunCompleted((b"1",))


def test_each_item_of_a_map_is_undone_by_itself() -> None:
    play = Play(define(Map("m", undone("a"), join=Join()), Call("b")))
    play.start()
    play.answer("m", b"2")
    play.done("m/a[1]")
    play.done("m/a[0]")
    play.fail("b")
    finish(play, "m/a[0]/undo:x", "m/a[1]/undo:x")
    assert play.status == "failed"


# --- reopened


def test_a_run_that_was_undone_begins_anew_when_it_is_reopened(snapshots: bool) -> None:
    play = Play(define(undone("a"), Call("b")), snapshots=snapshots)
    play.start()
    play.done("a")
    play.fail("b")
    finish(play, "a/undo:x")
    assert play.reopen() == [StepScheduled("a", 1), RunStep("a", 1, b'"in"')]
    assert play.state.frames["a"].generation == 1  # type: ignore[attr-defined]
    play.done("a")
    play.fail("b")
    finish(play, "a/undo:x")
    play.check_replay()


def test_only_the_saga_that_was_undone_begins_anew(snapshots: bool) -> None:
    saga = Saga("s", Sequence("body", (undone("b"), Call("c"))))
    play = Play(define(Call("a"), saga), snapshots=snapshots)
    play.start()
    play.done("a", b"2")
    play.done("s/b")
    play.fail("s/c")
    finish(play, "s/b/undo:x")
    assert play.reopen() == [StepScheduled("s/b", 1), RunStep("s/b", 1, b"2")]


def test_a_run_of_which_nothing_was_undone_goes_on_where_it_failed() -> None:
    play = Play(define(Saga("s", undone("a")), Call("b")))
    play.start()
    play.lose("s/a", "timeout")
    assert play.status == "failed"
    assert play.reopen()[0] == StepScheduled("s/a", 2)
    play.done("s/a")
    assert len(play.state.ledger.entries) == 1, "what was in doubt is known now"


# --- an ended run is undone


def test_a_completed_run_is_taken_back(snapshots: bool) -> None:
    play = Play(define(undone("a"), Call("b"), undone("c")), snapshots=snapshots)
    play.start()
    for name in "abc":
        play.done(name)
    assert play.undo()[:2] == [RunUndoing(""), CompensationStarted("", 2)]
    assert play.status == "undoing"
    assert finish(play, "c/undo:x", "a/undo:x")[-1] == RunUndone()
    assert play.status == "undone"
    assert play.undo() == [
        RunUndoing(""), CompensationStarted("", 0), CompensationEnded("", "complete", 0), RunUndone(),
    ]  # fmt: skip
    play.check_replay()


def test_a_run_is_taken_back_as_far_as_an_event() -> None:
    play = Play(define(*(undone(name) for name in "abc")))
    play.start()
    for name in "abc":
        play.done(name)
    seq = next(
        item.seq for item in play.journal if isinstance(item.event, StepCompleted) and item.event.path == "a"
    )  # fmt: skip
    play.undo(after=seq)
    finish(play, "c/undo:x", "b/undo:x")
    assert play.status == "undone"
    play.undo()
    finish(play, "a/undo:x")


def test_undoing_a_failed_run_tries_again_what_could_not_be_undone() -> None:
    play = Play(define(undone("a"), Call("b")))
    play.start()
    play.done("a")
    play.fail("b")
    play.fail("a/undo:x")
    assert play.status == "failed"
    play.undo()
    assert finish(play, "a/undo:x")[-1] == RunUndone()


# --- durable functions


def dynamic() -> tuple[Definition, str]:
    definition = define(Sequence("flow", (Dynamic("d", workflow="w", version="1"),)))
    shape = ""
    for path in ("d/a", "d/b", "d/s.a", "d/s.b"):
        shape = definition.add_flow(f"{path}/undo", Undo(Call("x")))
    return definition, shape


def step(key: int, segment: str, undo: str = "") -> CallSpec:
    return CallSpec(key, "step", segment, b"1", undo=undo)


def test_what_a_durable_function_called_is_undone() -> None:
    definition, shape = dynamic()
    play = Play(definition)
    play.start()
    play.asked("d", step(1, "a", shape))
    play.done("d/a", b'"out"')
    play.asked("d", step(2, "b"))
    play.fail("d/b")
    assert play.raised("d", failure())[1:] == [StepScheduled("d/a/undo:x", 1), RunStep("d/a/undo:x", 1, b'"out"')]
    finish(play, "d/a/undo:x")
    play.check_replay()


def test_a_flow_that_a_durable_function_called_is_kept_as_long_as_it_may_have_to_be_undone() -> None:
    definition, _ = dynamic()
    shape = definition.add_flow("d/f", Sequence("f", (undone("a"),)))
    play = Play(definition)
    play.start()
    play.asked("d", CallSpec(1, "flow", "f", b"1", shape))
    play.done("d/f/a")
    definition.drop_flow("d/f")
    play.raised("d", failure())
    assert list(play.ledger.steps) == ["d/f/a/undo:x"]
    definition.add_flow("d/g", Call("g"))
    definition.drop_flow("d/g")
    assert "d/g" not in definition.flows


def test_a_durable_function_undoes_a_part_of_what_it_did(snapshots: bool) -> None:
    definition, shape = dynamic()
    play = Play(definition, snapshots=snapshots)
    play.start()
    play.asked("d", step(1, "a", shape))
    play.done("d/a")
    play.asked("d", step(2, "s.a", shape))
    play.done("d/s.a")
    assert play.asked("d", CallSpec(3, "undo", "s!undo", b'[1, "s."]'))[0] == CompensationStarted("d/s", 1)
    play.cancel()
    finish(play, "d/s.a/undo:x")
    play.returned("d")
    finish(play, "d/a/undo:x")
    assert play.status == "cancelled"
    play.check_replay()


def test_a_cancelled_function_still_waits_for_the_hook_that_is_asked_about_what_it_undoes(snapshots: bool) -> None:
    definition, shape = dynamic()
    play = Play(definition, snapshots=snapshots, hooks=("compensation *",))
    play.start()
    play.asked("d", step(1, "s.a", shape))
    play.done("d/s.a")
    play.asked("d", CallSpec(2, "undo", "s!undo", b'[0, "s."]'))
    (path,) = play.state.gates
    assert not any(isinstance(effect, Withdraw) for effect in play.cancel())
    assert list(play.state.gates) == [path]
    play.hook(path)
    finish(play, "d/s.a/undo:x")
    play.returned("d")
    assert play.status == "cancelled"
    play.check_replay()


def waiting_undo(*, snapshots: bool = False) -> Play:
    """A function that gives a call up and wants everything there undone: that waits for the call."""
    definition, shape = dynamic()
    play = Play(definition, snapshots=snapshots)
    play.start()
    play.asked("d", step(1, "s.a", shape), step(2, "s.b", shape))
    play.done("d/s.a")
    play.asked("d", CallSpec(3, "undo", "s!undo", b'[0, "s."]'), dropped=(2,))
    assert "d/s.a/undo:x" not in play.ledger.steps
    return play


@pytest.mark.parametrize("how", ["completed", "failed", "stopped"])
def test_what_is_being_stopped_ends_before_it_is_undone(how: str, snapshots: bool) -> None:
    play = waiting_undo(snapshots=snapshots)
    if how == "completed":
        play.done("d/s.b")
        finish(play, "d/s.b/undo:x")
    elif how == "failed":
        play.fail("d/s.b")
    else:
        play.feed(AttemptLost(play.now, "d/s.b", 1, "cancelled", began=False))
    finish(play, "d/s.a/undo:x")
    play.returned("d")
    assert play.status == "completed"
    play.check_replay()


def test_a_cancelled_function_does_not_wait_before_it_undoes(snapshots: bool) -> None:
    play = waiting_undo(snapshots=snapshots)
    play.cancel()
    play.done("d/s.a/undo:x", b"null")
    play.feed(AttemptLost(play.now, "d/s.b", 1, "cancelled", began=False))
    play.returned("d")
    assert play.status == "cancelled"
    play.check_replay()


def test_a_reopened_function_goes_back_to_before_the_calls_that_were_undone(snapshots: bool) -> None:
    definition, shape = dynamic()
    play = Play(definition, snapshots=snapshots)
    play.start()
    play.asked("d", step(1, "a"))
    play.done("d/a")
    play.asked("d", step(2, "s.a", shape))
    play.done("d/s.a")
    play.asked("d", step(3, "s.b"))
    play.fail("d/s.b")
    play.asked("d", CallSpec(4, "undo", "s!undo", b'[1, "s."]'))
    finish(play, "d/s.a/undo:x")
    play.raised("d", failure(path="d/s.b", attempt=1))
    assert play.status == "failed"
    play.reopen()
    frame = play.state.frames["d"]
    assert (frame.asked, frame.delivered, len(frame.outcomes)) == (1, 0, 1)  # type: ignore[attr-defined]
    play.asked("d", step(2, "s.a", shape))
    assert play.attempt("d/s.a") == 1
    play.check_replay()


def test_undoing_nothing_ends_at_once() -> None:
    definition, _ = dynamic()
    play = Play(definition)
    play.start()
    effects = play.asked("d", CallSpec(1, "undo", "s!undo", b'[1, "s."]'))
    assert effects[1] == CompensationEnded("d/s", "complete", 0)


def test_a_timer_beside_a_saga_is_none_of_its_business() -> None:
    saga = Saga("s", Sequence("body", (undone("a"), Call("b"))))
    play = Play(define(Parallel("p", (saga, Delay("d", SECOND)), join=Join(on_error="fail_slow"))))
    play.start()
    play.done("s/a")
    play.fail("s/b")
    play.fire("d")
    finish(play, "s/a/undo:x")
    assert play.status == "failed"


# --- how it is seen


def test_the_view_names_what_was_undone_and_what_was_not() -> None:
    play = Play(
        define(undone("a"), undone("b"), Undoable("f", Sequence("f", (Call("c"),)), Undo(Call("x"))), Call("d"))
    )
    play.start()
    for path in ("a", "b", "f/c"):
        play.done(path)
    play.fail("d")
    view = view_of(play.journal)
    assert (view.status, view.scopes["!undo"].count, view.scopes["!undo"].status) == ("running", 3, "running")
    finish(play, "f/undo:x")
    play.fail("b/undo:x", "stuck")
    finish(play, "a/undo:x")
    view = view_of(play.journal)
    assert view.undone == ["f", "a"]
    assert {path: found.message for path, found in view.not_undone.items()} == {"b": "stuck"}
    assert (view.steps["a"].status, view.steps["b"].status) == ("undone", "completed")
    assert view.scopes["!undo"].detail == "partial"
    play.undo()
    assert view_of(play.journal).status == "undoing"
    finish(play, "b/undo:x")
    view = view_of(play.journal)
    assert (view.status, view.undone, view.not_undone) == ("undone", ["f", "a", "b"], {})


def test_the_undo_of_a_step_is_part_of_its_definition() -> None:
    plain, with_undo = (define(node).hash for node in (Call("a"), undone("a")))
    assert plain != with_undo
    assert with_undo != define(undone("a", takes_input=True)).hash
