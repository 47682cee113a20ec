"""The source of the package, parsed once for all the tests that read it, which run in one process."""

import ast
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "ripresa"
TOGETHER = pytest.mark.xdist_group("sources")
"""For modules of tests that read the source."""


@cache
def trees() -> dict[str, ast.Module]:
    """Every file by its path in the package."""
    files = {path.relative_to(SOURCE).as_posix(): path for path in sorted(SOURCE.rglob("*.py"))}
    return {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in files.items()}
