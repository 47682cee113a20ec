"""What the documents show works: the Python of every page runs, in order, in a directory of its own.

A fence opens with ```python, or with ```python no-run and the reason why the block is only compiled.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.program import Terminal

ROOT = Path(__file__).parent.parent
PAGES = [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))) if page.exists()]
FENCE = re.compile(r"(?P<indent>[ \t]*)(?P<marks>`{3,}|~{3,})[ \t]*(?P<info>[^`]*)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: the line of its opening fence (from 1), what follows the marks, and the code."""

    line: int
    info: str
    code: tuple[str, ...]

    @property
    def language(self) -> str:
        return self.info.split(maxsplit=1)[0].lower() if self.info.split() else ""

    @property
    def runs(self) -> bool:
        return self.info == "python"


def blocks_of(text: str) -> list[Block]:
    """Every fenced block of a page, without the indentation of its fence."""
    found: list[Block] = []
    lines = enumerate(text.splitlines(), 1)
    for number, line in lines:
        opening = FENCE.fullmatch(line)
        if not opening:
            continue
        indent, marks = len(opening["indent"]), opening["marks"]
        code: list[str] = []
        for _, inner in lines:
            if re.fullmatch(rf"\s*{re.escape(marks[0])}{{{len(marks)},}}\s*", inner):
                break
            code.append(inner[indent:] if not inner[:indent].strip() else inner)
        found.append(Block(number, opening["info"].strip(), tuple(code)))
    return found


def refusal(block: Block) -> str | None:
    """Why a block may not stand on a page, None if it may."""
    if block.language in {"pycon", "py", "python3"}:
        return f"line {block.line}: write ```python, which is run, not ```{block.language}"
    if block.language == "python" and not block.runs and not re.fullmatch(r"python no-run \S.*", block.info):
        return f"line {block.line}: {block.info!r} is neither 'python' nor 'python no-run' with a reason"
    return None


def script_of(blocks: list[Block]) -> str:
    """All blocks that run as one script; each line keeps its number on the page, so that a traceback points there."""
    lines: list[str] = []
    for block in blocks:
        if block.runs:
            lines += [""] * (block.line - len(lines)) + list(block.code)
    return "\n".join(lines) + "\n" if lines else ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_python_of_a_page_works(page: Path, tmp_path: Path) -> None:
    blocks = blocks_of(page.read_text(encoding="utf-8"))
    assert [reason for block in blocks if (reason := refusal(block))] == []
    for block in blocks:
        if block.language == "python" and not block.runs:
            compile("\n" * block.line + "\n".join(block.code), str(page), "exec")
    if script := script_of(blocks):
        run(script, page, tmp_path)


def run(script: str, page: Path, directory: Path) -> None:
    """Run a page's script as its reader would; what it printed is the message of a failure."""
    (directory / "this_page.py").write_text(script, encoding="utf-8")
    ended = Terminal(directory).script(directory / "this_page.py")
    assert ended.code == 0, f"{page} (line numbers are the page's)\n{ended.out}{ended.err}"


def test_blocks_are_found_with_their_line_and_without_their_indentation() -> None:
    page = "# Title\n\n- item\n\n  ```python\n  if x:\n      y()\n  ```\n\n````text\n```python\n````\n"
    assert blocks_of(page) == [
        Block(5, "python", ("if x:", "    y()")),
        Block(10, "text", ("```python",)),
    ]


def test_a_script_keeps_the_line_numbers_of_its_page() -> None:
    blocks = [
        Block(2, "python", ("a = 1",)),
        Block(5, "python no-run needs a server", ("b",)),
        Block(8, "python", ("c",)),
    ]
    assert script_of(blocks).splitlines() == ["", "", "a = 1", "", "", "", "", "", "c"]


@pytest.mark.parametrize("info", ["pycon", "py", "python title=x", "python no-run"])
def test_other_fences_for_python_are_refused(info: str) -> None:
    assert refusal(Block(1, info, ())) is not None


@pytest.mark.parametrize("info", ["", "python", "python no-run needs a server", "console", "yaml"])
def test_plain_fences_are_accepted(info: str) -> None:
    assert refusal(Block(1, info, ())) is None
