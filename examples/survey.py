"""Survey a source tree: `make demo`, or `ripresa run examples/survey.py:survey --input '{"directory": "."}'`.

Lists the files, reads and measures each of them in parallel, routes by language, goes over the directories with an
accumulator, merges what was found and writes `report.md`. Every step is recorded: stop it in the middle with Ctrl-C or
`kill -9`, and `ripresa resume` goes on with the files that are not measured yet.

    find_files -> measure each file (by its language) -+-> add up per language --+
                                                       +-> fold over directories -+-> write the report
                                                       +-> look for oddities -----+
"""

from __future__ import annotations

import ast
import asyncio
import io
import os
import subprocess
import sys
import tempfile
import time
import tokenize
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from ripresa import App, Graph, Retry, case, chain, current, fold, map_each, step

# --- what travels between the steps: plain dataclasses, recorded as JSON ---------------------------------------------


@dataclass
class Order:
    """What to survey. `pace` makes each file take that many seconds longer, to have time to kill the run."""

    directory: str = "."
    report: str = "report.md"
    pace: float = 0.0


@dataclass
class PythonFile:
    """A file that Python can parse. The tag tells the kinds of files apart when they are read from the journal."""

    path: str
    kind: Literal["python"] = "python"


@dataclass
class TextFile:
    """A file in a language of which we know how comments look."""

    path: str
    language: str
    comment: str
    kind: Literal["text"] = "text"


@dataclass
class OtherFile:
    """Pictures, archives, data: only their size is looked at."""

    path: str
    kind: Literal["other"] = "other"


File = PythonFile | TextFile | OtherFile


@dataclass
class Found:
    """The files of a tree. The directories are absolute, so that a run which goes on elsewhere means the same ones."""

    root: str
    report: str
    pace: float
    files: list[File]


@dataclass
class Measure:
    """One file in numbers."""

    path: str
    language: str
    size: int
    lines: int = 0
    code: int = 0
    comments: int = 0
    blank: int = 0
    longest_line: int = 0
    functions: int = 0
    longest_function: str = ""
    longest_function_lines: int = 0
    todos: int = 0
    oddities: list[str] = field(default_factory=list[str])


@dataclass
class Sums:
    """Numbers of several files together."""

    name: str
    files: int = 0
    lines: int = 0
    code: int = 0
    comments: int = 0
    blank: int = 0
    functions: int = 0
    todos: int = 0
    size: int = 0


@dataclass
class Directory:
    """A directory with the measures of the files directly in it."""

    name: str
    measures: list[Measure]


@dataclass
class Ranking:
    """What the loop over the directories carries along: how many there were, and the largest of them."""

    count: int = 0
    deepest: str = ""
    largest: list[Sums] = field(default_factory=list[Sums])


@dataclass
class Report:
    """The result of a run."""

    path: str
    files: int
    lines: int
    languages: int
    oddities: int


# --- finding the files -------------------------------------------------------------------------------------------------

SKIPPED = {"node_modules", "build", "dist", "target", "venv", "__pycache__", "site-packages", "htmlcov"}
COMMENTS = {
    ".c": ("C", "//"),
    ".cfg": ("INI", "#"),
    ".cpp": ("C++", "//"),
    ".cs": ("C#", "//"),
    ".css": ("CSS", "/*"),
    ".go": ("Go", "//"),
    ".h": ("C", "//"),
    ".html": ("HTML", "<!--"),
    ".ini": ("INI", "#"),
    ".java": ("Java", "//"),
    ".js": ("JavaScript", "//"),
    ".json": ("JSON", ""),
    ".kt": ("Kotlin", "//"),
    ".lua": ("Lua", "--"),
    ".md": ("Markdown", "<!--"),
    ".php": ("PHP", "//"),
    ".pl": ("Perl", "#"),
    ".rb": ("Ruby", "#"),
    ".rs": ("Rust", "//"),
    ".rst": ("reStructuredText", ".."),
    ".sh": ("Shell", "#"),
    ".sql": ("SQL", "--"),
    ".swift": ("Swift", "//"),
    ".toml": ("TOML", "#"),
    ".ts": ("TypeScript", "//"),
    ".tsx": ("TypeScript", "//"),
    ".txt": ("Text", ""),
    ".yaml": ("YAML", "#"),
    ".yml": ("YAML", "#"),
}
NAMES = {"Makefile": ("Make", "#"), "Dockerfile": ("Docker", "#")}


@step(effect="read", retry=Retry(attempts=3, wait=0.1, on=OSError), timeout=60)
def find_files(order: Order) -> Found:
    """List the files of a tree: what git knows of, else everything but hidden and build directories."""
    root = Path(order.directory).expanduser().absolute()
    if not root.is_dir():
        raise ValueError(f"{order.directory!r} is no directory (looked for {root})")
    report = Path(order.report).absolute()
    paths = [path for path in known_to_git(root) or walk(root) if path.is_file() and path != report]
    return Found(str(root), str(report), order.pace, [file_at(root, path) for path in sorted(paths)])


def known_to_git(root: Path) -> list[Path]:
    """The files that git tracks or would, nothing if it knows nothing of this directory."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    return [root / os.fsdecode(name) for name in listed.split(b"\0") if name]


def walk(root: Path) -> list[Path]:
    """All files below a directory that is not under version control."""
    found: list[Path] = []
    for directory, names, files in os.walk(root):
        names[:] = [name for name in names if name not in SKIPPED and not name.startswith(".")]
        found += [Path(directory, name) for name in files if not name.startswith(".")]
    return found


def file_at(root: Path, path: Path) -> File:
    """The kind of file that a path names. A name that is not text (Linux allows it) cannot be recorded as it is."""
    name = str(path.relative_to(root))
    if not name.isprintable():
        return OtherFile(name.encode("utf-8", "replace").decode())
    if path.suffix == ".py":
        return PythonFile(name)
    language, comment = NAMES.get(path.name) or COMMENTS.get(path.suffix.lower(), ("", ""))
    return TextFile(name, language, comment) if language else OtherFile(name)


# --- measuring one file: the steps that run side by side ---------------------------------------------------------------


@dataclass
class Job[F]:  # placeholder
    file: F
