"""Reads the conformance features of the specification: Gherkin, as far as they use it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

from ripresa.authoring.document.text import document_of

STEP = re.compile(r"\s*(Given|When|Then|And)\s+(.*\S)\s*")
BLOCK = re.compile(r'\s*"""(\w*)\s*')


@dataclass(frozen=True)
class Step:
    """What a scenario says in one line, without the word that it begins with, and the data below it."""

    text: str
    data: Any = None


@dataclass(frozen=True)
class Scenario:
    """One scenario of a feature."""

    file: str
    name: str
    steps: tuple[Step, ...]


def scenarios_of(path: Path) -> Iterator[Scenario]:
    """The scenarios of a file. Raises `ValueError` for a line that is not understood: nothing is passed over."""
    parts = re.split(r"^\s*Scenario:\s*(.*\S)\s*$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        yield Scenario(path.name, name, tuple(_steps(body, f"{path.name}: {name}")))


def _steps(body: str, where: str) -> Iterator[Step]:
    lines = iter(body.splitlines())
    text, data = "", None
    for line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if BLOCK.fullmatch(line):
            data = document_of(dedent("\n".join(_block(lines)))).data
            continue
        found = STEP.fullmatch(line)
        if found is None:
            raise ValueError(f"{where}: {line.strip()!r} is not understood")
        if text:
            yield Step(text, data)
        text, data = re.sub(r"^given ", "", found[2]), None
    yield Step(text, data)


def _block(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        if BLOCK.fullmatch(line):
            return
        yield line
