"""A document as it was read: plain data, where each part of it stands in a text, and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from typing_extensions import TypeIs

from ...errors import InvalidConfig, InvalidWorkflow, Problem, RipresaError

_ABOUT: Final = re.compile(r"(\w+)(?=[ .:\[])")
"""The option that a complaint is about: its first word."""

Path: TypeAlias = tuple[str | int, ...]
"""Where something stands in the data: keys and indices from the outside in."""

Position: TypeAlias = tuple[int, int]
"""Line and column, both from 1."""


class BadExpression(InvalidConfig):
    """An expression that cannot be understood; `within` is where in it."""

    default_code = "invalid_expression"

    def __init__(self, message: str, within: Position = (1, 1)) -> None:
        super().__init__(message, op="expression")
        self.within = within


Inner: TypeAlias = tuple[int, int, int]
"""Where the content of a text begins, and by how much its other lines are indented."""


@dataclass(frozen=True, slots=True)
class Document:
    """Plain data; `name` is the file that it was read from, `positions` say where the values at paths begin.

    The position of a key is that of its path with a `None` behind it; `inner` says where the content of texts begins.
    """

    data: Any
    name: str = ""
    positions: Mapping[tuple[Any, ...], Position] = field(default_factory=dict[tuple[Any, ...], Position])
    inner: Mapping[Path, Inner] = field(default_factory=dict[Path, Inner])
    problems: tuple[Problem, ...] = ()
    """What is wrong with the text already."""

    def at(self, path: Path) -> Any:
        """What stands at a path; None if nothing does."""
        found = self.data
        for part in path:
            if is_object(found) and part in found:
                found = found[str(part)]
            elif is_list(found) and isinstance(part, int) and part < len(found):
                found = found[part]
            else:
                return None
        return found

    def place(self, path: Path, *, key: bool = False, within: Position | None = None) -> str:
        """Where a value stands, or its key: `flow.yaml:12:5 steps[1].config`; `within`: line and column inside it."""
        position = self.mark(path, key=key, within=within)
        mark = ":".join(map(str, (self.name, *position))) if position and self.name else self.name
        return " ".join(part for part in (mark, shown(path)) if part)

    def mark(self, path: Path, *, key: bool = False, within: Position | None = None) -> Position | None:
        """Line and column of it, if they are known."""
        position = self._position(path, key)
        if position is not None and within is not None:
            line, column = within
            first, start, indent = self.inner.get(path, (*position, 0))
            position = (first + line - 1, column + (start - 1 if line == 1 else indent))
        return position

    def _position(self, path: Path, key: bool) -> Position | None:
        if key and (*path, None) in self.positions:
            return self.positions[*path, None]
        for length in range(len(path), -1, -1):
            if path[:length] in self.positions:
                return self.positions[path[:length]]
        return None


def is_object(data: object) -> TypeIs[Mapping[str, Any]]:
    """Whether plain data is an object."""
    return isinstance(data, Mapping)


def is_list(data: object) -> TypeIs[list[Any]]:
    """Whether plain data is a list."""
    return isinstance(data, list)


def is_plain(data: object) -> bool:
    """Whether something is plain data."""
    if is_object(data):
        return all(map(is_plain, data.values()))
    return all(map(is_plain, data)) if is_list(data) else data is None or isinstance(data, bool | int | float | str)


def shown(path: Path) -> str:
    """A path as people write it: `steps[1].config.when`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


DEEPEST = 100
"""How deep the parts of a document may be nested."""


def too_deep(data: Any) -> Path | None:
    """Where plain data is nested too deep, or holds itself; None if it is not."""
    level: dict[int, tuple[Path, Any]] = {id(data): ((), data)}
    for _ in range(DEEPEST + 1):
        level = {id(part): (path, part) for above in level.values() for path, part in _parts(*above)}
        if not level:
            return None
    return next(iter(level.values()))[0][:2]


def _parts(path: Path, part: object) -> Iterator[tuple[Path, Any]]:
    if is_object(part):
        yield from (((*path, str(key)), value) for key, value in part.items())
    elif is_list(part):
        yield from (((*path, index), value) for index, value in enumerate(part))


@dataclass(slots=True)
class Notes:
    """What was found wrong with a document."""

    document: Document
    problems: list[Problem] = field(default_factory=list[Problem])
    _marks: list[Position] = field(default_factory=list[Position])

    def __post_init__(self) -> None:
        self.problems += self.document.problems
        self._marks += [(0, 0) for _ in self.document.problems]

    def add(
        self,
        path: Path,
        message: str,
        code: str = "invalid_workflow",
        *,
        key: bool = False,
        within: Position | None = None,
    ) -> None:
        """Something is wrong at a path."""
        problem = Problem(self.document.place(path, key=key, within=within), message, code)
        if problem not in self.problems:
            self.problems.append(problem)
            self._marks.append(self.document.mark(path, key=key, within=within) or (0, 0))

    def take(self, path: Path, error: RipresaError, places: Mapping[str, Path] = {}) -> None:
        """What an error of ours says is wrong at a path; `places` are those of the steps that it may name."""
        if isinstance(error, InvalidWorkflow):
            for problem in error.problems:
                about = f"{problem.where}: {problem.message}" if problem.where else problem.message
                named = next(iter(problem.where.split("/")[1:2]), "")
                self.add(places.get(named, path), about, problem.code)
        else:
            self.add(path, f"{error.message} ({error.said})" if error.said else error.message, error.code)

    def take_keyed(self, path: Path, error: InvalidConfig, keys: Collection[str], *, keyed: bool = False) -> set[str]:
        """What an error says is wrong with options that stand under these keys at a path, each at its key.

        Gives the keys that it is about. Of what is about none of them nothing is noted if only `keyed` is wanted.
        """
        found: set[str] = set()
        complaints = error.complaints or (error.message,)
        hint = f" ({error.said})" if error.said and len(complaints) == 1 else ""
        for text in _one_by_one(complaints, keys):
            about = _ABOUT.match(text)
            key = about[1] if about is not None and about[1] in keys else error.op if error.op in keys else ""
            if key:
                found.add(key)
                said = text.removeprefix(f"{key} ") if text.startswith(f"{key} is ") else text
                self.add((*path, key), said + hint, error.code)
            elif not keyed:
                self.add(path[:-1] if path and path[-1] == "config" else path, text + hint, error.code)
        return found

    def forget(self, code: str) -> None:
        """Leave out what was noted with a code: it only follows from something else."""
        kept = [at for at, problem in enumerate(self.problems) if problem.code != code]
        self.problems, self._marks = [self.problems[at] for at in kept], [self._marks[at] for at in kept]

    def settle(self, op: str) -> None:
        """Raise everything that was found wrong, together, in the order of the text."""
        if self.problems:
            found = sorted(zip(self._marks, self.problems, strict=True), key=lambda noted: noted[0])
            raise InvalidWorkflow([problem for _, problem in found], op=op)


def _one_by_one(complaints: Iterable[str], keys: Collection[str]) -> Iterator[str]:
    """Complaints, of which each that is several about these keys is taken apart."""
    for text in complaints:
        parts = text.split("; ")
        abouts = [_ABOUT.match(part) for part in parts]
        several = all(about is not None and about[1] in keys for about in abouts)
        yield from parts if several else (text,)
