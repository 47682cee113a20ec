"""The tables of the documentation say what the code does."""

import re
from pathlib import Path

import pytest

from ripresa import InvalidWorkflow, RipresaError
from ripresa.advice import ADVICE
from ripresa.cli.exits import exit_of, exit_of_status, worst
from ripresa.core.lifecycle import TRANSITIONS
from ripresa.errors import CODES, Problem

DOCS = Path(__file__).parents[2] / "docs"


def test_the_table_of_errors_is_the_table_of_codes() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| (.*) \| (yes|no) \| (.*) \|$", (DOCS / "errors.md").read_text(encoding="utf-8"), re.M
    )
    assert rows == [
        (name, code.meaning, "yes" if code.retryable else "no", ADVICE[name]) for name, code in CODES.items()
    ]


def test_every_status_and_code_has_an_exit_code() -> None:
    table = {int(code) for code in re.findall(r"^\| (\d+) \|", (DOCS / "cli.md").read_text(encoding="utf-8"), re.M)}
    assert {exit_of_status(status) for status in TRANSITIONS} <= table
    assert {exit_of(RipresaError("", code=code)) for code in CODES} <= table


@pytest.mark.parametrize(
    ("code", "number"),
    [
        ("usage", 2),
        ("run_exists", 2),
        ("run_not_found", 3),
        ("unknown_target", 3),
        ("store_locked", 1),
        ("terminated", 4),
        ("interrupted", 130),
    ],
)
def test_an_error_ends_with_the_exit_code_of_its_code(code: str, number: int) -> None:
    assert exit_of(RipresaError("", code=code)) == number


def test_any_invalid_workflow_is_wrong_usage() -> None:
    assert exit_of(InvalidWorkflow([Problem("a", "no", "cycle")])) == 2


def test_of_several_runs_the_worst_decides() -> None:
    assert worst([0, 0]) == 0
    assert worst([0, 4, 5]) == 4
    assert worst([0, 4, 1]) == 1
    assert worst([130, 1]) == 130
