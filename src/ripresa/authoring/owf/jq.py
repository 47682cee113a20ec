"""Runtime expressions: jq programs, compiled when a document is read, and the data that they stand in.

Law: only what stands in a document is ever compiled. What an expression gives is a value: it is never read as an
expression again, and what it looks at is data. A program sees neither the environment nor other files. This module
alone knows the library behind it.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any, Final, TypeAlias

from ...errors import RipresaError
from ..document.source import BadExpression, is_list, is_object
from .problems import Bad

OPEN: Final = "${"
_NAME: Final = re.compile(r"\$([A-Za-z_]\w*)")
_AT: Final = re.compile(r"jq: error: (.*?)(?: at <top-level>, line (\d+), column (\d+)):?$", re.MULTILINE)
_CLOSED: Final = ("env", "input", "inputs", "halt", "halt_error", "halt_error($x)", "get_search_list", "input_filename")
_PRELUDE: Final = (
    "".join(f'def {name}: error("{name.partition("(")[0]} is nothing for documents"); ' for name in _CLOSED)
    + ". as $__given | {} as $ENV | "
)

Names: TypeAlias = Callable[[str], Any]
"""Gives the value of a variable by its name."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A jq program that was compiled; `names` are the variables that it looks at."""

    text: str
    names: tuple[str, ...]

    def value(self, data: Any, names: Names) -> Any:
        """What it gives: null for nothing, a list for several results. Raises `Bad(expression)`."""
        given = {"value": data, "names": {name: names(name) for name in self.names}}
        try:
            found = _program(self.text, self.names).input_value(given).all()
        except ValueError as error:
            raise Bad("expression", f"{self.text.strip()!r} cannot be evaluated: {error}") from error
        return found[0] if len(found) == 1 else (found or None)


@lru_cache(4096)
def _program(text: str, names: tuple[str, ...]) -> Any:
    bound = "".join(f"$__given.names.{name} as ${name} | " for name in names)
    return _library().compile(f"{_PRELUDE}{bound}$__given.value | (\n{text}\n)")


@lru_cache(1)
def _library() -> Any:
    try:
        return import_module("jq")
    except ImportError as error:
        raise RipresaError(
            "Open Workflow documents need the extra 'owf'",
            code="extra_missing",
            op="document",
            hint="pip install 'ripresa[owf]'",
        ) from error


def compiled(text: str, known: Collection[str]) -> Expression:
    """Compile a program that may look at these variables. Raises `BadExpression`, `RipresaError(extra_missing)`."""
    if not text.strip():
        raise BadExpression("the expression is empty")
    found = Expression(text, tuple(sorted({name for name in _NAME.findall(text) if name in known})))
    try:
        _program(found.text, found.names)
    except ValueError as error:
        raise _refused(text, str(error), known) from error
    return found


def _refused(text: str, told: str, known: Collection[str]) -> BadExpression:
    found = _AT.search(told)
    message = found[1] if found else told.strip().splitlines()[0].removeprefix("jq: error: ")
    if message.startswith("$"):
        message = f"{message.replace('is not defined', 'is no variable here')}; there are ${', $'.join(sorted(known))}"
    lines = text.split("\n")
    line, column = (int(found[2]) - 1, int(found[3])) if found else (1, 1)
    if line > len(lines):
        return BadExpression("syntax error, unexpected end of the expression", (len(lines), len(lines[-1]) + 1))
    return BadExpression(message, (max(line, 1), column))


def is_true(value: Any) -> bool:
    """Whether a value counts as true: as in jq, all but false and null."""
    return value is not None and value is not False


# --- data with expressions in it


class Template(ABC):
    """Data with expressions in it: `value` gives it with their results in their places."""

    @abstractmethod
    def value(self, data: Any, names: Names) -> Any:
        """The data. Raises `Bad(expression)`."""

    def expressions(self) -> list[Expression]:
        """All that are in it."""
        return []


@dataclass(frozen=True, slots=True)
class Plain(Template):
    """Data without expressions."""

    data: Any

    def value(self, data: Any, names: Names) -> Any:
        """See `Template`."""
        return self.data


@dataclass(frozen=True, slots=True)
class Computed(Template):
    """What is one expression as a whole. If it is `loose`, it is its own text where it cannot be evaluated."""

    expression: Expression
    loose: bool = False

    def value(self, data: Any, names: Names) -> Any:
        """See `Template`."""
        try:
            return self.expression.value(data, names)
        except Bad:
            if self.loose:
                return self.expression.text
            raise

    def expressions(self) -> list[Expression]:
        """See `Template`."""
        return [self.expression]


@dataclass(frozen=True, slots=True)
class Text(Template):
    """A text with expressions in it: texts are put in as they are, anything else as JSON, null as nothing."""

    parts: tuple[str | Expression, ...]

    def value(self, data: Any, names: Names) -> Any:
        """See `Template`."""
        return "".join(part if isinstance(part, str) else shown(part.value(data, names)) for part in self.parts)

    def expressions(self) -> list[Expression]:
        """See `Template`."""
        return [part for part in self.parts if isinstance(part, Expression)]


@dataclass(frozen=True, slots=True)
class Object(Template):
    """An object with expressions in it."""

    items: Mapping[str, Template]

    def value(self, data: Any, names: Names) -> Any:
        """See `Template`."""
        return {name: part.value(data, names) for name, part in self.items.items()}

    def expressions(self) -> list[Expression]:
        """See `Template`."""
        return [each for part in self.items.values() for each in part.expressions()]


@dataclass(frozen=True, slots=True)
class Items(Template):
    """A list with expressions in it."""

    parts: tuple[Template, ...]

    def value(self, data: Any, names: Names) -> Any:
        """See `Template`."""
        return [part.value(data, names) for part in self.parts]

    def expressions(self) -> list[Expression]:
        """See `Template`."""
        return [each for part in self.parts for each in part.expressions()]


def shown(value: Any) -> str:
    """A value inside a text."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Compiler:
    """Makes templates of data; what is wrong with an expression is told to `wrong`, with where it stands."""

    known: frozenset[str]
    loose: bool
    wrong: Callable[[tuple[str | int, ...], BadExpression], None]

    def template(self, data: Any, path: tuple[str | int, ...]) -> Template:
        """Data in which texts `${ ... }` are expressions."""
        if isinstance(data, str):
            return self._text(data, path)
        if is_object(data):
            parts = {name: self.template(part, (*path, name)) for name, part in data.items()}
            return Object(parts) if _has(parts.values()) else Plain(data)
        if is_list(data):
            items = tuple(self.template(part, (*path, index)) for index, part in enumerate(data))
            return Items(items) if _has(items) else Plain(data)
        return Plain(data)

    def whole(self, data: Any, path: tuple[str | int, ...]) -> Template:
        """Where an expression is expected: a text is one, in `${ }` or bare."""
        if not isinstance(data, str):
            return self.template(data, path)
        inside = only(data)
        if inside is None:
            return self._computed(data, path, 0)
        return self._computed(inside[0], path, inside[1])

    def _computed(self, text: str, path: tuple[str | int, ...], start: int, around: str = "") -> Template:
        found = self.expression(text, path, start, around)
        return Plain(None) if found is None else Computed(found, self.loose)

    def expression(self, text: str, path: tuple[str | int, ...], start: int = 0, around: str = "") -> Expression | None:
        """An expression, None if it is wrong; `start` is where it begins in the text `around` it."""
        try:
            return compiled(text, self.known)
        except BadExpression as error:
            before = around[:start]
            line, column = error.within
            first = column + (start if not before else len(before) - (before.rfind("\n") + 1))
            self.wrong(path, BadExpression(error.message, (line + before.count("\n"), first if line == 1 else column)))
            return None

    def _text(self, text: str, path: tuple[str | int, ...]) -> Template:
        inside = only(text)
        if inside is not None:
            return self._computed(*((inside[0], path, inside[1])), around=text)
        if OPEN not in text:
            return self._bare(text)
        parts = [
            part if isinstance(part, str) else self.expression(part[0], path, part[1], text) or ""
            for part in split(text, self._unclosed(path))
        ]
        return Text(tuple(parts))

    def _unclosed(self, path: tuple[str | int, ...]) -> Callable[[], None]:
        return lambda: self.wrong(path, BadExpression("there is a ${ without its }"))

    def _bare(self, text: str) -> Template:
        if not self.loose or not text.strip():
            return Plain(text)
        try:
            return Computed(compiled(text, self.known), loose=True)
        except BadExpression:
            return Plain(text)


def _has(parts: Collection[Template]) -> bool:
    return any(not isinstance(part, Plain) for part in parts)


def only(text: str) -> tuple[str, int] | None:
    """The expression that a text is as a whole, and where it begins in it; None if it is more, or none."""
    begin = len(text) - len(text.lstrip())
    if not text.startswith(OPEN, begin):
        return None
    end = closing(text, begin + 2)
    return (text[begin + 2 : end], begin + 2) if end is not None and not text[end + 1 :].strip() else None


def split(text: str, unclosed: Callable[[], None]) -> list[str | tuple[str, int]]:
    """The texts between expressions, and the expressions with where each begins."""
    parts: list[str | tuple[str, int]] = []
    place = 0
    while (begin := text.find(OPEN, place)) >= 0:
        end = closing(text, begin + 2)
        if end is None:
            unclosed()
            break
        if begin > place:
            parts.append(text[place:begin])
        parts.append((text[begin + 2 : end], begin + 2))
        place = end + 1
    return [*parts, text[place:]] if place < len(text) else parts


def closing(text: str, place: int) -> int | None:
    """Where the brace is that closes the one before `place`: those of objects, texts and comments are passed over."""
    depth: list[str] = []
    while place < len(text):
        char = text[place]
        if depth and depth[-1] == '"':
            if char == "\\":
                if text[place + 1 : place + 2] == "(":
                    depth.append("(")
                place += 1
            elif char == '"':
                depth.pop()
        elif char in '"{(':
            depth.append(char)
        elif char == "#":
            end = text.find("\n", place)
            place = len(text) if end < 0 else end
        elif char in "})":
            if not depth:
                return place if char == "}" else None
            depth.pop()
        place += 1
    return None
