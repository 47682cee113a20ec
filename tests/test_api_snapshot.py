"""The public API is kept: what was there is there, in the same way, unless the snapshot is written anew on purpose.

`python tools/api_snapshot.py --write` writes it; what it takes away belongs into the changelog, with a `!` commit.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
TOOL = ROOT / "tools" / "api_snapshot.py"


def tool() -> Any:
    spec = importlib.util.spec_from_file_location("api_snapshot", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_nothing_public_was_taken_away_or_changed_unannounced() -> None:
    snapshot = tool()
    then = snapshot.SNAPSHOT.read_text(encoding="utf-8").splitlines()
    assert snapshot.missing(snapshot.lines(), then) == []


def test_a_name_that_is_gone_and_a_signature_that_changed_are_both_named() -> None:
    assert tool().missing(["a(x)", "c"], ["a()", "b", "c"]) == ["a()", "b"]


def test_the_snapshot_holds_functions_classes_and_their_members() -> None:
    lines = tool().lines()
    assert any(line.startswith("chain(") for line in lines)
    assert any(line.startswith("App.start(self, ") for line in lines)
    assert "class RunFailed(RunError)" in lines
    assert not any(" at 0x" in line for line in lines)


def test_the_tool_says_what_differs(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, str(TOOL)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert not [line for line in done.stdout.splitlines() if line.startswith("-")]
