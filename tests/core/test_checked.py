"""Rules about a result: what they say is an event, a broken error fails the node, and a reopened run asks again."""

from typing import Any

from ripresa.core.commands import Ask
from ripresa.core.events import Failure, RulesChecked, RunCompleted, RunFailed
from ripresa.core.nodes.checked import Checked
from ripresa.core.nodes.sequence import Sequence
from ripresa.core.parts import ValidationResult
from ripresa.core.view import view_of

from .play import Play, calls, define

RULES = (("file", "error"), ("length", "warning"))
FINE = ValidationResult("file", "error", True, "")
SHORT = ValidationResult("length", "warning", False, "too short")
GONE = ValidationResult("file", "error", False, "there is no file")


def playing() -> Play:
    body = Sequence("write", calls("a b"))
    play = Play(define(Sequence("root", (Checked("write", body, rules=RULES, code=None),))), snapshots=True)
    play.start(b"1")
    play.done("write/a", b"2")
    assert play.done("write/b", b"3") == [Ask("write", "rules", b"3")]
    return play


def said(*results: ValidationResult) -> bytes:
    import json

    return json.dumps([[r.rule, r.severity, r.passed, r.message] for r in results]).encode()


def test_a_result_that_keeps_its_errors_is_the_result_and_what_was_said_is_kept() -> None:
    play = playing()
    assert play.answer("write", said(FINE, SHORT)) == [RulesChecked("write", (FINE, SHORT)), RunCompleted(b"3")]
    assert view_of(play.journal).validations == {"write": (FINE, SHORT)}
    play.check_replay()


def test_a_broken_error_fails_and_is_looked_at_again_when_reopened() -> None:
    play = playing()
    failed: list[Any] = [
        RulesChecked("write", (GONE, SHORT)),
        RunFailed(Failure("rule_failed", "file: there is no file", path="write")),
    ]
    assert play.answer("write", said(GONE, SHORT)) == failed
    assert play.reopen() == [Ask("write", "rules", b"3")]
    play.answer("write", said(FINE, SHORT))
    assert play.status == "completed"
    assert view_of(play.journal).validations == {"write": (FINE, SHORT)}
    play.check_replay()
