"""The tree of a run: given these events, exactly these lines."""

import pytest

from ripresa import InvalidWorkflow, RunView
from ripresa.cli.driving import Left
from ripresa.cli.places import Place
from ripresa.cli.plain import error_plain, event_plain
from ripresa.cli.telling import Teller
from ripresa.cli.tree import Line, duration, lines_of, message_of
from ripresa.core import events as e
from ripresa.core.events import Failure, Recorded
from ripresa.core.values import Pick
from ripresa.errors import Problem
from ripresa.runtime.feed import StepProgressed

SECOND = 1_000_000


def view_of(*events: e.Event) -> RunView:
    view, at = RunView(), SECOND
    begin = e.RunStarted(at, "a", "flow", "1", "hash", b"null", 0)
    for seq, event in enumerate((begin, *events), 1):
        at = getattr(event, "at", at)
        view.apply(Recorded("a", seq, at, event))
    return view


def lines(*events: e.Event, now: int = 10 * SECOND, notes: tuple[StepProgressed, ...] = ()) -> list[Line]:
    return lines_of(view_of(*events), now, {note.path: note for note in notes})


def failed(path: str, retry_at: int = 0, attempt: int = 1, at: int = 2 * SECOND) -> e.StepFailed:
    return e.StepFailed(at, path, attempt, Failure("step_failed", "no\nmore", ("m.Odd",), path=path), retry_at)


def test_a_step_shows_how_long_it_took_or_takes() -> None:
    assert lines(e.StepScheduled("a", 1), e.StepCompleted(3 * SECOND, "a", 1, b"1"), e.StepScheduled("b", 1)) == [
        Line(0, "completed", "a", ("2.0s",)),
        Line(0, "running", "b", ("7.0s",)),
    ]


def test_a_step_says_what_it_said_itself() -> None:
    (line,) = lines(e.StepScheduled("a", 1), notes=(StepProgressed("r", "a", 1, 1, 4, "pages"),))
    assert line.facts == ("25% pages", "9.0s")
    (line,) = lines(e.StepScheduled("a", 1), notes=(StepProgressed("r", "a", 1, 3, None, ""),))
    assert line.facts == ("3", "9.0s")


def test_a_step_that_is_tried_again_says_why() -> None:
    events = (e.StepScheduled("a", 1), failed("a", 3 * SECOND), e.RetryScheduled("a", 2, 3 * SECOND))
    assert lines(*events) == [Line(0, "retrying", "a", ("attempt 2", "Odd: no", "9.0s"))]


def test_the_items_of_a_map_share_a_line_and_the_first_in_trouble_have_their_own() -> None:
    events: list[e.Event] = [
        e.FanOutStarted("map_each", 100, 100),
        *(e.StepScheduled(f"map_each/f[{n}]", 1) for n in range(10)),
    ]
    events += [failed(f"map_each/f[{n}]") for n in range(5)]
    assert lines(*events) == [
        Line(0, "running", "f", ("[5/100]", "5 failed", "9.0s")),
        *(Line(1, "failed", f"f[{n}]", ("Odd: no",)) for n in range(3)),
    ]


def test_a_map_of_flows_shows_their_steps_and_counts_whole_items() -> None:
    events: list[e.Event] = [
        e.FanOutStarted("pages", 2, 4),
        e.StepScheduled("pages/chain[0]/get", 1),
        e.StepScheduled("pages/chain[1]/get", 1),
        e.StepCompleted(2 * SECOND, "pages/chain[0]/get", 1, b"1"),
        e.StepScheduled("pages/chain[0]/put", 1),
        e.StepCompleted(2 * SECOND, "pages/chain[0]/put", 1, b"1"),
    ]
    assert lines(*events) == [
        Line(0, "running", "pages", ("[1/2]", "9.0s")),
        Line(1, "running", "get", ("[1/2]", "9.0s")),
        Line(1, "completed", "put", ("0ms",)),
    ]


def test_a_map_that_is_the_whole_workflow_shows_its_items() -> None:
    events = (e.FanOutStarted("", 2, 2), e.StepScheduled("f[0]", 1), e.StepCompleted(SECOND, "f[0]", 1, b"1"))
    assert lines(*events) == [Line(0, "completed", "flow", ("[1/2]", "0ms"))]


def test_scopes_say_what_they_decided() -> None:
    events = (
        e.BranchTaken("choose", "is_big", "left"),
        e.StepScheduled("choose/left", 1),
        e.StepCompleted(SECOND, "choose/left", 1, b"1"),
        e.NodeSkipped("other"),
        e.TimerSet("delay", 20 * SECOND),
        e.IterationStarted("repeat", 0),
        e.LoopEnded("repeat", 0, "empty"),
        e.CleanupStarted("safe", 1),
        e.CleanupStarted("sound", 1),
        e.CleanupEnded("sound"),
    )
    assert lines(*events) == [
        Line(0, "completed", "choose", ("is_big: left", "0ms")),
        Line(1, "completed", "left", ("0ms",)),
        Line(0, "skipped", "other"),
        Line(0, "completed", "repeat", ("empty",)),
        Line(0, "completed", "safe", ("cleaning up",)),
        Line(0, "completed", "sound", ("cleaned up",)),
        Line(0, "waiting", "delay", ("waiting",)),
    ]


def test_a_stream_says_how_far_it_is_and_why_it_ended() -> None:
    scheduled = (e.StepScheduled("a", 1), e.StreamAdvanced(2 * SECOND, "a", 1, 3, taken=1200, dropped=2))
    assert lines(*scheduled) == [Line(0, "running", "a", ("1,200 items, 3 batches, 2 dropped", "9.0s"))]
    (line,) = lines(*scheduled, e.StreamEnded("a", "at_most", 3, 1201, 2, 1), e.StepCompleted(3 * SECOND, "a", 1, b"1"))
    assert line.facts == ("1,201 items, 3 batches, 2 dropped, 1 dead letters, at_most", "2.0s")


def test_a_stream_says_its_throughput_and_how_far_it_lagged() -> None:
    events = [e.StepScheduled(f"map_each/a[{n}]", 1) for n in range(2)]
    facts = [
        e.StreamAdvanced(2 * SECOND, f"map_each/a[{n}]", 1, 1, taken=3000, elapsed=SECOND, lag=n) for n in range(2)
    ]
    (line,) = lines(*events[:1], facts[0])[1:]
    assert "3,000 items, 1 batches, 3,000 items/s" in line.facts
    (line,) = lines(e.FanOutStarted("map_each", 2), *events, *facts)
    assert "6,000 items, 2 batches, 6,000 items/s, lag up to 0ms" in line.facts


def test_a_step_says_what_hooks_answered_and_whom_it_waits_for() -> None:
    begun = (e.StepScheduled("a", 1), e.StepCompleted(3 * SECOND, "a", 1, b"1"))
    kept = e.Intercepted(3 * SECOND, "a", "after", "replace", "mend", b"2")
    no = e.Intercepted(3 * SECOND, "b", "before", "veto", "guard", detail="no")
    waits = e.HookAwaited(3 * SECOND, "c", "before", "bob", 2 * SECOND)
    assert lines(*begun, kept, no, waits) == [
        Line(0, "completed", "a", ("replace by mend (after)", "2.0s")),
        Line(0, "failed", "b", ("no", "veto by guard (before): no", "0ms")),
        Line(0, "waiting", "c", ("waiting for hook bob (before)",)),
    ]


def test_the_answers_of_hooks_to_many_items_are_counted() -> None:
    items = [f"map_each/a[{n}]" for n in range(4)]
    skips = [e.Intercepted(2 * SECOND, path, "before", "skip", number=1) for path in items]
    (line,) = lines(e.FanOutStarted("map_each", 4), *skips)
    assert "4 answers of hooks, the last: skip (before)" in line.facts


def test_the_streams_of_a_map_are_counted_together() -> None:
    events: list[e.Event] = [e.StepScheduled(f"map_each/a[{n}]", 1) for n in range(2)]
    events += [e.StreamAdvanced(2 * SECOND, f"map_each/a[{n}]", 1, 1, taken=10) for n in range(2)]
    (line,) = lines(e.FanOutStarted("map_each", 2), *events)
    assert "20 items, 2 batches" in line.facts


def test_what_runs_side_by_side_says_how_many_and_how_they_ended() -> None:
    begun = (e.FanOutStarted("g", 3, how="graph"), e.StepScheduled("g/a", 1))
    assert lines(*begun)[0] == Line(0, "running", "g", ("3 side by side", "9.0s"))
    assert lines(e.FanOutStarted("gather", 2, how="gather", branches=("a", "b"))) == [
        Line(0, "running", "gather", ("2 side by side",))
    ]
    ended = (*begun, e.StepCompleted(3 * SECOND, "g/a", 1, b"1"), e.FanOutEnded("g", 1, 2, 0))
    assert lines(*ended)[0].facts[0] == "1 of 3 completed, 2 failed"
    root = (e.FanOutStarted("", 2, how="graph"), e.StepScheduled("a", 1))
    assert lines(*root) == [Line(0, "running", "a", ("9.0s",))]


def test_a_choice_that_was_made_often_says_no_single_one() -> None:
    events = [e.BranchTaken(f"map_each/case[{n}]", "A | B", "left") for n in range(2)]
    assert lines(e.FanOutStarted("map_each", 2, 2), *events)[0].facts == ("[0/2]",)


def test_a_cancelled_step_is_shown_as_such() -> None:
    assert lines(e.StepScheduled("a", 1), e.NodeCancelled("a"))[0].status == "cancelled"


@pytest.mark.parametrize(
    ("microseconds", "told"),
    [(0, "0ms"), (999_000, "999ms"), (1_200_000, "1.2s"), (187_000_000, "3m07s"), (7_500_000_000, "2h05m")],
)
def test_a_length_of_time_is_told_in_two_units(microseconds: int, told: str) -> None:
    assert duration(microseconds) == told


def test_a_failure_of_ours_is_told_by_its_message_alone() -> None:
    assert message_of(Failure("timeout", "too slow", ("ripresa.errors.StepTimeout",))) == "too slow"


# --- as data, and at the end


def test_values_in_events_are_data_whatever_they_are_made_of() -> None:
    event = e.Answered(SECOND, "a", (b"1", Pick(b"@digest", 3)))
    assert event_plain(Recorded("r", 1, SECOND, event))["answer"] == [1, {"item": 3, "of": {"digest": "digest"}}]


def test_an_invalid_workflow_lists_its_problems_as_data() -> None:
    error = InvalidWorkflow([Problem("a", "no", "cycle"), Problem("b", "never")])
    assert [problem["where"] for problem in error_plain(error)["problems"]] == ["a", "b"]


def test_clean_up_that_failed_and_failures_that_came_along_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    view = view_of(e.RunCancelling("why"), e.RunCancelled("why", (Failure("step_failed", "stuck", path="free"),)))
    assert Teller(Place("memory:"))([Left(view, lambda value: b"null")]) == 4
    assert "clean-up failed at free: stuck" in capsys.readouterr().err
    failure = Failure(
        "step_failed", "no", ("m.Odd",), path="a", attempt=1, others=(Failure("x", "nor this", path="b"),)
    )
    assert Teller(Place("memory:"))([Left(view_of(e.RunFailed(failure)), lambda value: b"null")]) == 1
    assert "  and b: nor this" in capsys.readouterr().err


def test_what_was_undone_shows_how_long_it_took_itself_and_does_not_count_as_done() -> None:
    ended: list[e.Event] = []
    for number, path in enumerate(("a", "b", "flow/c"), 1):
        ended += [e.StepScheduled(path, 1), e.StepCompleted(number * 2 * SECOND, path, 1, b"1")]
    undoing: list[e.Event] = []
    for number, path in enumerate(("flow", "a"), 5):
        undo = f"{path}/undo:back"
        done = e.StepCompleted(number * 2 * SECOND, undo, 1, b"1")
        undoing += [e.StepScheduled(undo, 1), done, e.StepUndone(path)]
    view = view_of(*ended, e.RunCompleted(b"1"), e.UndoRequested(8 * SECOND), e.RunUndoing(""), *undoing, e.RunUndone())
    assert [(line.depth, line.status, line.name, line.facts) for line in lines_of(view, 99 * SECOND)] == [
        (0, "undone", "a", ("1.0s",)),
        (1, "completed", "undo:back", ("2.0s",)),
        (0, "completed", "b", ("2.0s",)),
        (0, "undone", "flow", ("2.0s",)),
        (1, "undone", "c", ("2.0s",)),
        (1, "completed", "undo:back", ("2.0s",)),
    ]
    assert (view.completed, view.total, view.percent) == (1, 3, 33.3)
