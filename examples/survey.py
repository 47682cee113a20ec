"""Survey a source tree: `make demo`, or `ripresa run examples/survey.py:survey --input '{"directory": "."}'`.

Lists the files, measures them side by side, each by its language, adds up per language, goes over the directories with
an accumulator, collects oddities, merges all that and writes `report.md`:

    find_files -> measure each file -+-> add_up (per language) ---+
                  (by its language)  +-> rank_directories (loop) -+-> write_report
                                     +-> collect_oddities --------+

Every result is recorded. Stop it in the middle, with Ctrl-C or `kill -9`, and `ripresa resume` goes on with the files
that are not measured yet.
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
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ripresa import App, Graph, Retry, case, chain, fallback, fold, step

# --- what travels between the steps: plain dataclasses, recorded as JSON ---------------------------------------------


@dataclass
class Order:
    """What to survey. With a `pace` every file takes that many seconds longer: time to interrupt the run."""

    directory: str = "."
    report: str = "report.md"
    pace: float = 0.0


@dataclass
class Entry:
    """A file to measure: where it is, its name below the root, and the order's pace."""

    path: str
    name: str
    pace: float


@dataclass
class PythonFile(Entry):
    """Python can parse it. The tag tells the kinds of files apart when they are read back from the journal."""

    kind: Literal["python"] = "python"


@dataclass
class TextFile(Entry):
    """A file of a language, with what its comments begin with."""

    language: str
    comment: str
    kind: Literal["text"] = "text"


@dataclass
class OtherFile(Entry):
    """Pictures, archives, data: only the size counts."""

    kind: Literal["other"] = "other"


File = PythonFile | TextFile | OtherFile


@dataclass
class Found:
    """The files of a tree. Paths are absolute: a run that goes on from another directory means the same ones."""

    root: str
    report: str
    files: list[File]


@dataclass
class Measure:
    """A file in numbers."""

    name: str
    language: str
    size: int = 0
    lines: int = 0
    code: int = 0
    comments: int = 0
    blank: int = 0
    functions: int = 0
    todos: int = 0
    longest_line: int = 0
    oddities: list[str] = field(default_factory=list[str])


@dataclass
class Sums:
    """The numbers of several files together."""

    name: str
    files: int = 0
    size: int = 0
    lines: int = 0
    code: int = 0
    comments: int = 0
    blank: int = 0
    functions: int = 0
    todos: int = 0


@dataclass
class Directory:
    """A directory with the files directly in it."""

    name: str
    measures: list[Measure]


@dataclass
class Ranking:
    """What the loop over the directories carries along: how many there were, the deepest, and the largest."""

    count: int = 0
    deepest: str = ""
    largest: list[Sums] = field(default_factory=list[Sums])


@dataclass
class Oddity:
    """Something that a reader may want to look at."""

    name: str
    what: str


@dataclass
class Report:
    """The result of a run."""

    path: str
    files: int
    lines: int
    languages: int
    oddities: int


# --- find the files ---------------------------------------------------------------------------------------------------

SKIPPED = {"__pycache__", "build", "dist", "htmlcov", "node_modules", "site-packages", "target", "venv"}
LANGUAGES = {
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
    ".lock": ("Lock file", "#"),
    ".md": ("Markdown", "<!--"),
    ".php": ("PHP", "//"),
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
NAMES = {"Dockerfile": ("Docker", "#"), "Makefile": ("Make", "#")}

careful = Retry(attempts=3, wait=0.1, on=OSError)
"""A disk that is busy or a network share that comes back deserves a second try; a mistake of ours does not."""


@step(effect="read", retry=careful, timeout=60)
def find_files(order: Order) -> Found:
    """List the files of a tree: what git knows, else everything but hidden and build directories."""
    root = Path(order.directory).expanduser().absolute()
    if not root.is_dir():
        raise ValueError(f"{order.directory!r} is no directory (looked for {root})")
    report = Path(order.report).expanduser().absolute()
    paths = [path for path in (known_to_git(root) or walked(root)) if path.is_file() and path != report]
    return Found(str(root), str(report), [file_of(root, path, order.pace) for path in sorted(paths)])


def known_to_git(root: Path) -> list[Path]:
    """The files that git tracks, or would; none if git knows nothing of this directory."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    return [root / os.fsdecode(name) for name in sorted(set(listed.split(b"\0"))) if name]


def walked(root: Path) -> list[Path]:
    """The files of a directory that is not under version control."""
    found: list[Path] = []
    for directory, names, files in os.walk(root):
        names[:] = [name for name in names if name not in SKIPPED and not name.startswith(".")]
        found += [Path(directory, name) for name in files if not name.startswith(".")]
    return found


def file_of(root: Path, path: Path, pace: float) -> File:
    """What kind of file a path leads to. Not every name on a disk is text, and only text can be recorded."""
    name = os.fsencode(path.relative_to(root)).decode(errors="replace")
    where = (os.fsencode(path).decode(errors="replace"), name, pace)
    if path.suffix == ".py":
        return PythonFile(*where)
    language, comment = NAMES.get(path.name) or LANGUAGES.get(path.suffix.lower(), ("", ""))
    return TextFile(*where, language, comment) if language else OtherFile(*where)


# --- measure one file: these steps run side by side -------------------------------------------------------------------


@step(effect="read", retry=careful, timeout=30)
def measure_python(file: PythonFile) -> Measure:
    """Count lines with Python's tokenizer, and functions with its parser."""
    measure, text = read(file, "Python")
    if text is None:
        return measure
    try:
        tree = ast.parse(text)
        comments = [t.start[0] for t in tokenize.generate_tokens(io.StringIO(text).readline) if is_comment_line(t)]
    except (SyntaxError, ValueError, tokenize.TokenError, RecursionError, MemoryError) as error:
        measure.oddities.append(f"Python cannot parse it: {error}")
        return counted(measure, text, "#")
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    measure.functions = len(functions)
    for function in functions:
        length = (function.end_lineno or function.lineno) - function.lineno + 1
        if length > 100:
            measure.oddities.append(f"{function.name}() has {length} lines")
    counted(measure, text, "#")
    measure.comments = len(comments)
    measure.code = measure.lines - measure.blank - measure.comments
    return measure


def is_comment_line(token: tokenize.TokenInfo) -> bool:
    """Whether a token is a comment with nothing before it on its line."""
    return token.type == tokenize.COMMENT and token.line.lstrip().startswith("#")


@step(effect="read", retry=careful, timeout=30)
def measure_text(file: TextFile) -> Measure:
    """Count lines; those that begin like a comment are comments."""
    measure, text = read(file, file.language)
    return measure if text is None else counted(measure, text, file.comment)


@step(effect="read", retry=careful, timeout=30)
def measure_other(file: OtherFile) -> Measure:
    """Look at the size alone."""
    time.sleep(file.pace)
    return Measure(file.name, "Other", Path(file.path).stat().st_size)


@step(effect="pure")
def unreadable(file: File) -> Measure:
    """What is left to say about a file that could not be read after all attempts."""
    return Measure(file.name, "Other", oddities=["cannot be read"])


def read(file: Entry, language: str) -> tuple[Measure, str | None]:
    """The text of a file, None if it is none; with the measure that begins."""
    time.sleep(file.pace)
    content = Path(file.path).read_bytes()
    measure = Measure(file.name, language, len(content))
    try:
        return measure, content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        measure.oddities.append(f"is no UTF-8 text (byte {error.start})")
        return measure, None


def counted(measure: Measure, text: str, comment: str) -> Measure:
    """The measure with what can be counted in any text."""
    lines = text.splitlines()
    stripped = [line.strip() for line in lines]
    measure.lines = len(lines)
    measure.blank = stripped.count("")
    measure.comments = sum(line.startswith(comment) for line in stripped) if comment else 0
    measure.code = measure.lines - measure.blank - measure.comments
    measure.longest_line = max(map(len, lines), default=0)
    measure.todos = sum("TODO" in line or "FIXME" in line for line in lines)
    measure.oddities += oddities_of(measure, text, lines)
    return measure


def oddities_of(measure: Measure, text: str, lines: list[str]) -> Iterable[str]:
    """What is unusual about a text."""
    if not text:
        return
    if not text.endswith("\n"):
        yield "does not end with a line break"
    if "\r\n" in text:
        yield "has Windows line ends"
    if measure.longest_line > 500:
        yield f"has a line of {measure.longest_line} characters"
    if any(line.startswith(" ") for line in lines) and any(line.startswith("\t") for line in lines):
        yield "is indented by tabs and by spaces"


# The route is chosen by the kind of file; one that cannot be read, after its attempts, does not stop the survey.
by_language = case(PythonFile, measure_python).case(TextFile, measure_text).case(OtherFile, measure_other)
measure = fallback(by_language, unreadable, on=OSError, name="measure")


# --- merge ------------------------------------------------------------------------------------------------------------


@step(effect="pure")
def add_up(measures: list[Measure]) -> list[Sums]:
    """The numbers per language, the one with the most lines first."""
    groups: dict[str, list[Measure]] = defaultdict(list)
    for each in measures:
        groups[each.language].append(each)
    return sorted((sums_of(name, found) for name, found in groups.items()), key=lambda sums: (-sums.lines, sums.name))


def sums_of(name: str, measures: list[Measure]) -> Sums:
    """The numbers of some files together."""
    sums = Sums(name, len(measures))
    for each in measures:
        sums.size += each.size
        sums.lines += each.lines
        sums.code += each.code
        sums.comments += each.comments
        sums.blank += each.blank
        sums.functions += each.functions
        sums.todos += each.todos
    return sums


@step(effect="pure")
def by_directory(measures: list[Measure]) -> list[Directory]:
    """The files by the directory that they are in."""
    groups: dict[str, list[Measure]] = defaultdict(list)
    for each in measures:
        groups[str(Path(each.name).parent)].append(each)
    return [Directory(name, groups[name]) for name in sorted(groups)]


@step(effect="pure")
def add_directory(ranking: Ranking, directory: Directory) -> Ranking:
    """One turn of the loop: the ranking so far with one more directory in it."""
    largest = sorted([*ranking.largest, sums_of(directory.name, directory.measures)], key=lambda sums: -sums.lines)
    deepest = max(ranking.deepest, directory.name, key=lambda name: (name.count(os.sep), name))
    return Ranking(ranking.count + 1, deepest, largest[:15])


rank_directories = chain(by_directory, name="rank_directories").then(fold(add_directory, Ranking()))


@step(effect="pure")
def collect_oddities(measures: list[Measure]) -> list[Oddity]:
    """Everything unusual, in the order of the files."""
    return [Oddity(each.name, what) for each in measures for what in each.oddities]


# --- write the report -------------------------------------------------------------------------------------------------


@step(retry=careful)
def write_report(
    root: str, path: str, measures: list[Measure], languages: list[Sums], ranking: Ranking, oddities: list[Oddity]
) -> Report:
    """Write the report in one piece: whoever looks finds the old one or the new one, never half of one."""
    text = "\n".join([*heading(root, measures), *tables(measures, languages, ranking), *listed(oddities)]) + "\n"
    target = Path(path)
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
    return Report(path, len(measures), sum(each.lines for each in measures), len(languages), len(oddities))


def heading(root: str, measures: list[Measure]) -> list[str]:
    """The title and the survey in one sentence."""
    sums = sums_of("", measures)
    return [
        f"# Survey of {Path(root).name or root}",
        "",
        f"{sums.files:,} files, {sums.lines:,} lines ({sums.code:,} code, {sums.comments:,} comments, "
        f"{sums.blank:,} blank), {sums.functions:,} Python functions, TODO or FIXME on {sums.todos:,} lines, "
        f"{sums.size:,} bytes.",
    ]


def tables(measures: list[Measure], languages: list[Sums], ranking: Ranking) -> list[str]:
    """Languages, directories, files."""
    biggest = sorted(measures, key=lambda each: (-each.lines, each.name))[:15]
    widest = max(measures, key=lambda each: each.longest_line, default=None)
    return [
        *("", "## Languages", ""),
        *table(["language", *COLUMNS], [[each.name, *numbers(each)] for each in languages]),
        *("", "## Largest directories", "", f"{ranking.count:,} in all; the deepest is `{ranking.deepest}`.", ""),
        *table(["directory", *COLUMNS], [[f"`{each.name}`", *numbers(each)] for each in ranking.largest]),
        *("", "## Biggest files", ""),
        *table(
            ["file", "language", "lines", "longest line", "bytes"],
            [[f"`{each.name}`", each.language, each.lines, each.longest_line, each.size] for each in biggest],
        ),
        *([f"\nThe longest line has {widest.longest_line:,} characters, in `{widest.name}`."] if widest else []),
    ]


COLUMNS = ["files", "lines", "code", "comments", "blank", "functions", "todos"]


def numbers(sums: Sums) -> list[object]:
    """What stands in these columns."""
    return [getattr(sums, column) for column in COLUMNS]


def table(columns: list[str], rows: list[list[object]]) -> list[str]:
    """A Markdown table; numbers stand at the right."""
    marks = [":--" if not rows or isinstance(cell, str) else "--:" for cell in (rows[0] if rows else columns)]
    lines = [columns, marks, *([f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows)]
    return ["| " + " | ".join(line) + " |" for line in lines]


def listed(oddities: list[Oddity]) -> list[str]:
    """The oddities, at most a hundred."""
    if not oddities:
        return ["", "## Oddities", "", "None."]
    more = [f"- and {len(oddities) - 100:,} more"] if len(oddities) > 100 else []
    return ["", "## Oddities", "", *(f"- `{each.name}` {each.what}" for each in oddities[:100]), *more]


# --- the workflow -----------------------------------------------------------------------------------------------------

graph = Graph("survey", input=Order)
found = graph.add(find_files(graph.input))
measures = graph.map(measure, found.out.files, concurrency=8, name="measure")
# These three wait for the measures and not for each other, so they run side by side.
languages = graph.add(add_up(measures.out))
ranking = graph.add(rank_directories(measures.out))
oddities = graph.add(collect_oddities(measures.out))
report = graph.add(
    write_report(found.out.root, found.out.report, measures.out, languages.out, ranking.out, oddities.out)
)
survey = graph.returns(report.out)


async def main(directory: str) -> None:
    async with App() as app:
        print(await app.run(survey(Order(directory))))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "."))
