"""The command line: `ripresa --help`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command in `sys.argv` and exit with its code."""
    from .program import run

    sys.exit(run(sys.argv[1:]))
