"""Hold every source file to its share of covered lines and branches: `python tools/coverage_gate.py [coverage.json]`.

Reads the report of `coverage json`. An exclusion counts only with a reason: `# pragma: no cover - what makes it so`.
"""

import io
import json
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

SOURCE = Path("src/ripresa")


class Floor(NamedTuple):
    """The least percentages with which a file passes."""

    lines: float
    branches: float


#: The first row whose path the file is or lies under decides; paths are relative to src/ripresa, "" is every other one.
FLOORS: dict[str, Floor] = {
    "core": Floor(lines=100, branches=100),
    "authoring": Floor(lines=100, branches=100),
    "runtime": Floor(lines=100, branches=100),
    "stores": Floor(lines=100, branches=100),
    "": Floor(lines=100, branches=0),
}

PRAGMA = re.compile(r"#\s*pragma:?\s*no\s*(?:cover|branch)(?P<rest>.*)", re.IGNORECASE)
REASON = re.compile(r"\s+[-–—]\s+\S.*")


def floor_of(file: Path) -> Floor:
    """The row of the table that holds for a file (path relative to src/ripresa)."""
    return next(floor for prefix, floor in FLOORS.items() if file.is_relative_to(prefix))


def share(done: int, of: int) -> float:
    """Per cent; nothing to cover is covered."""
    return 100 * done / of if of else 100.0


def shortfalls(report: dict[str, Any], source: Path = SOURCE) -> Iterator[str]:
    """One sentence for each file that is below its floor."""
    measured = {Path(name).resolve(): data for name, data in report["files"].items()}
    for path in sorted(source.rglob("*.py")):
        data = measured.get(path.resolve())
        if data is None:
            yield f"{path}: not measured"
            continue
        summary, floor = data["summary"], floor_of(path.relative_to(source))
        lines = share(summary["covered_lines"], summary["num_statements"])
        branches = share(summary["covered_branches"], summary["num_branches"])
        if lines < floor.lines:
            missing = ", ".join(map(str, data["missing_lines"]))
            yield f"{path}: {lines:.1f} % of lines, {floor.lines:g} % wanted; missing {missing}"
        if branches < floor.branches:
            missing = ", ".join(f"{start}->{'exit' if end <= 0 else end}" for start, end in data["missing_branches"])
            yield f"{path}: {branches:.1f} % of branches, {floor.branches:g} % wanted; missing {missing}"


def bare_pragmas(source: Path = SOURCE) -> Iterator[str]:
    """One sentence for each exclusion that gives no reason."""
    for path in sorted(source.rglob("*.py")):
        for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
            found = PRAGMA.search(token.string) if token.type == tokenize.COMMENT else None
            if found and not REASON.fullmatch(found["rest"]):
                yield f"{path}:{token.start[0]}: {found[0]!r} gives no reason; write '# pragma: no cover - why'"


def main(report: str = "coverage.json") -> int:
    """Print what is below its floor; 0 if nothing is."""
    data = json.loads(Path(report).read_text(encoding="utf-8"))
    problems = [*shortfalls(data), *bare_pragmas()]
    for problem in problems:
        print(problem)
    totals = data["totals"]
    lines = share(totals["covered_lines"], totals["num_statements"])
    branches = share(totals["covered_branches"], totals["num_branches"])
    verdict = f"{len(problems)} below their floor" if problems else "every file is at its floor"
    print(f"Coverage: {lines:.1f} % of lines, {branches:.1f} % of branches; {verdict}.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
