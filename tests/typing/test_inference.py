"""Holds both type checkers to what they infer, and to the planted mistakes: exactly those are reported, by each."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
INFERENCE = HERE / "inference.py"
MISTAKES = HERE / "mistakes.py"
MARK = re.compile(r"# (M\d\d\d?) ")
LEAST = 47

pytestmark = pytest.mark.xdist_group("checkers")  # on one worker, so that each checker runs once


def run(*command: str) -> str:
    """What a checker prints; it ends with 1 where it finds something."""
    done = subprocess.run(
        [sys.executable, "-m", *command, str(INFERENCE), str(MISTAKES)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


@cache
def mypy() -> dict[str, set[int]]:
    """The lines that mypy reports, by file."""
    found: dict[str, set[int]] = {}
    for line in run("mypy", "--output=json").splitlines():
        report = json.loads(line)
        if report["severity"] == "error":
            found.setdefault(Path(report["file"]).name, set()).add(report["line"])
    return found


@cache
def pyright() -> dict[str, set[int]]:
    """The lines that pyright reports, by file."""
    found: dict[str, set[int]] = {}
    for report in json.loads(run("pyright", "--outputjson"))["generalDiagnostics"]:
        if report["severity"] == "error":
            found.setdefault(Path(report["file"]).name, set()).add(report["range"]["start"]["line"] + 1)
    return found


def planted() -> dict[int, str]:
    """The numbers of the mistakes by line."""
    lines = enumerate(MISTAKES.read_text(encoding="utf-8").splitlines(), start=1)
    return {number: mark[1] for number, line in lines if (mark := MARK.search(line))}


Checker = Callable[[], dict[str, set[int]]]
CHECKERS = pytest.mark.parametrize("checker", [mypy, pyright], ids=["mypy", "pyright"])


@CHECKERS
def test_everything_is_inferred_without_annotations_in_between(checker: Checker) -> None:
    assert checker().get(INFERENCE.name, set()) == set()


@CHECKERS
def test_every_planted_mistake_is_reported(checker: Checker) -> None:
    reported = checker().get(MISTAKES.name, set())
    assert [name for line, name in planted().items() if line not in reported] == []


@CHECKERS
def test_nothing_else_is_reported(checker: Checker) -> None:
    assert checker().get(MISTAKES.name, set()) - planted().keys() == set()


def test_no_two_planted_mistakes_have_one_number() -> None:
    names = list(planted().values())
    assert len(names) == len(set(names)) >= LEAST
