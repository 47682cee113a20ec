"""What is printed of failures, problems and numbers."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest

from ripresa import InvalidWorkflow
from ripresa.advice import ADVICE
from ripresa.cli.plain import amount
from ripresa.cli.telling import tell_error, told_failure
from ripresa.core.events import Failure
from ripresa.errors import Problem

LIBRARY = sysconfig.get_paths()["purelib"] + "/httpx2/_client.py"
USERS = '  File "/home/ann/flows.py", line 3, in look\n    json.loads(text)\n'
THEIRS = f'  File "{LIBRARY}", line 9, in send\n    raise Odd\n  [Previous line repeated 3 more times]\n'
HEAD = "Traceback (most recent call last):\n"


def failure(code: str, traceback: str, cause: Failure | None = None) -> Failure:
    return Failure(code, "it rains", traceback=traceback, path="look", attempt=1, cause=cause)


def test_only_the_users_frames_of_a_traceback_are_shown() -> None:
    told = list(told_failure(failure("step_failed", f"{HEAD}{USERS}{THEIRS}Odd: it\n    rains")))
    assert told == [f"{HEAD}{USERS}Odd: it\n    rains", "error [step_failed] look (attempt 1): it rains"]


def test_a_ready_made_step_that_failed_shows_no_frames_of_libraries() -> None:
    told = list(told_failure(failure("address_refused", f"{HEAD}{THEIRS}Odd: it rains")))
    assert told == ["error [address_refused] look (attempt 1): it rains"]


def test_where_all_frames_are_of_libraries_the_users_code_is_installed_too() -> None:
    whole = f"{HEAD}{THEIRS}Odd: it rains"
    line = "error [step_failed] look (attempt 1): it rains"
    assert list(told_failure(failure("step_failed", whole))) == [whole, line]
    assert list(told_failure(failure("step_failed", "Odd: it rains"))) == [line]


def test_the_cause_is_shown_first() -> None:
    cause = failure("step_failed", f"{HEAD}{USERS}Odd: it pours")
    told = list(told_failure(failure("step_failed", f"{HEAD}{USERS}Odd: it rains", cause)))
    assert [line.splitlines()[-1] for line in told[:3]] == [
        "Odd: it pours",
        "The above exception was the direct cause of the following exception:",
        "Odd: it rains",
    ]


def test_every_problem_of_a_workflow_has_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    tell_error(InvalidWorkflow([Problem("a", "is bad", "bad"), Problem("", "has no steps")], op="check"))
    assert capsys.readouterr().err == (
        f"error [bad] a: is bad\nerror [invalid_workflow]: has no steps\n  hint: {ADVICE['invalid_workflow']}\n"
    )


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.00005035, "0.00005035"), (0.5, "0.5"), (3, "3"), (1e7, "10000000"), (0.1 + 0.2, "0.3"), (1500.0, "1500")],
)
def test_numbers_are_written_without_an_exponent(number: float, text: str) -> None:
    assert amount(number) == text


def test_a_file_that_is_not_there_is_compared_with_those_beside_it(tmp_path: Path) -> None:
    from ripresa.runtime.targets import near_file

    (tmp_path / "flows.py").touch()
    assert near_file(tmp_path / "flow.py") == "did you mean flows.py? "
    assert near_file(tmp_path / "flow.yaml") == near_file(tmp_path / "none" / "flow.py") == ""
