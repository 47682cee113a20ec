"""The coverage gate lets through what is covered or left out with a reason, and nothing else."""

from pathlib import Path
from typing import Any

import pytest

from tools.coverage_gate import bare_pragmas, floor_of, shortfalls


def report(path: Path, lines: int = 4, branches: int = 2) -> dict[str, Any]:
    """What coverage writes of a file with four lines and two branches."""
    summary = {"covered_lines": lines, "num_statements": 4, "covered_branches": branches, "num_branches": 2}
    return {"files": {str(path): {"summary": summary, "missing_lines": [3], "missing_branches": [[1, -1]]}}}


@pytest.fixture
def module(tmp_path: Path) -> Path:
    path = tmp_path / "core" / "retry.py"
    path.parent.mkdir()
    path.touch()
    return path


def test_a_covered_file_passes(module: Path, tmp_path: Path) -> None:
    assert list(shortfalls(report(module), tmp_path)) == []


def test_a_missing_line_and_a_missing_branch_are_named(module: Path, tmp_path: Path) -> None:
    lines, branches = shortfalls(report(module, lines=3, branches=1), tmp_path)
    assert lines.endswith("75.0 % of lines, 100 % wanted; missing 3")
    assert branches.endswith("50.0 % of branches, 100 % wanted; missing 1->exit")


def test_a_file_that_was_not_measured_is_named(module: Path, tmp_path: Path) -> None:
    assert list(shortfalls({"files": {}}, tmp_path)) == [f"{module}: not measured"]


def test_the_table_goes_by_directories_not_by_letters() -> None:
    assert floor_of(Path("core/nodes/call.py")).branches >= floor_of(Path("core_values.py")).branches
    assert floor_of(Path("core/nodes/call.py")) is not floor_of(Path("core_values.py"))


@pytest.mark.parametrize("pragma", ["# pragma: no cover", "# pragma: no branch -", "#pragma no cover: because"])
def test_an_exclusion_without_a_reason_is_refused(pragma: str, module: Path, tmp_path: Path) -> None:
    module.write_text(f"x = 1\ny = 2  {pragma}\n", encoding="utf-8")
    (found,) = bare_pragmas(tmp_path)
    assert found.startswith(f"{module}:2: ")


@pytest.mark.parametrize("line", ["y = 2  # pragma: no cover - Windows only", "y = '# pragma: no cover'"])
def test_an_exclusion_with_a_reason_passes(line: str, module: Path, tmp_path: Path) -> None:
    module.write_text(f"{line}\n", encoding="utf-8")
    assert list(bare_pragmas(tmp_path)) == []
