"""Lines for logs and pipes: given these events, exactly what is said."""

import time

import pytest

from ripresa.cli.screen import Lines
from ripresa.core import events as e
from ripresa.core.events import Failure, Recorded

NO = Failure("vetoed", "not today")


def said(capsys: pytest.CaptureFixture[str], *events: e.Event) -> list[str]:
    """What is said of a run of these events, all of them news."""
    lines, at = Lines(), time.time_ns() // 1000 + 1_000_000
    begin = e.RunStarted(at, "a", "flow", "1", "hash", b"null", 0)
    for seq, event in enumerate((begin, *events), 1):
        lines.take("a", Recorded("a", seq, at, event))
    return capsys.readouterr().err.splitlines()


def test_the_ways_that_a_router_takes_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(
        capsys,
        e.TransitionTaken("route", 1, "", "write", "start"),
        e.TransitionTaken("route", 2, "write", "", "stop"),
        e.TransitionTaken("", 1, "a", "b", "handoff"),
        e.TransitionTaken("map/route[3]", 1, "a", "b", "handoff"),
    ) == ["route: start → write (start)", "route: write → end (stop)", "flow: a → b (handoff)"]


def test_what_hooks_change_refuse_or_fail_at_is_told_and_what_they_let_be_is_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert said(
        capsys,
        e.Intercepted(1, "step", "before", "continue", "calm"),
        e.Intercepted(1, "step!limit", "limit", "veto", "strict"),
        e.Intercepted(1, "", "start", "replace", "strict"),
        e.Intercepted(1, "map/step[1]", "before", "skip", "strict"),
        e.HookFailed(1, "", "complete", "broken", NO),
        e.RequestRefused("signal", "edited", "1", NO),
        e.RequestRefused("cancel", "", "", NO),
    ) == [
        "veto at step, says hook strict",
        "replace at flow, says hook strict",
        "hook broken failed at flow: not today",
        "signal 'edited' is refused: not today",
        "cancel is refused: not today",
    ]
