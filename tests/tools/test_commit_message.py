"""Commit messages are held to Conventional Commits."""

import pytest

from tools.commit_message import problem


@pytest.mark.parametrize(
    "message",
    [
        "feat: resume a run",
        "fix(core)!: count attempts from 1\n\nBREAKING CHANGE: the first attempt was 0.\n",
        "# a comment of git\nci: run on 3.14\n",
        "Merge branch 'main'",
        "fixup! feat: resume a run",
    ],
)
def test_a_conventional_message_is_accepted(message: str) -> None:
    assert problem(message) is None


@pytest.mark.parametrize(
    ("message", "word"),
    [
        ("", "subject"),
        ("Resume a run", "type(scope)"),
        ("feature: resume a run", "type(scope)"),
        ("feat:resume a run", "type(scope)"),
        ("feat: " + "x" * 100, "106 characters"),
        ("feat: resume a run\nat once", "blank"),
    ],
)
def test_another_message_is_refused_with_the_reason(message: str, word: str) -> None:
    assert word in (problem(message) or "")
