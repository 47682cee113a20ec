"""Hold a commit message to Conventional Commits: `python tools/commit_message.py FILE`."""

import re
import sys
from pathlib import Path

TYPES = ("build", "chore", "ci", "docs", "feat", "fix", "perf", "refactor", "revert", "style", "test")
LONGEST = 100
SUBJECT = re.compile(rf"(?:{'|'.join(TYPES)})(?:\([a-z0-9][a-z0-9 ,./_-]*\))?!?: \S.*")
WRITTEN_BY_GIT = ("Merge ", "Revert ", "fixup! ", "squash! ", "amend! ")


def problem(message: str) -> str | None:
    """Say what is wrong with the message, None if nothing is."""
    lines = [line for line in message.splitlines() if not line.startswith("#")]
    while lines and not lines[0].strip():
        lines.pop(0)
    subject = lines[0] if lines else ""
    if subject.startswith(WRITTEN_BY_GIT):
        return None
    if not SUBJECT.fullmatch(subject):
        return f"The subject {subject!r} is not 'type(scope): what changed'; type is one of {', '.join(TYPES)}."
    if len(subject) > LONGEST:
        return f"The subject has {len(subject)} characters; keep it within {LONGEST}."
    if len(lines) > 1 and lines[1].strip():
        return f"The line after the subject is {lines[1]!r}; leave it blank."
    return None


def main(path: str) -> int:
    """Check the message in the file; 0 if it is good."""
    found = problem(Path(path).read_text(encoding="utf-8"))
    if found:
        print(found, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
