"""YAML and JSON texts become documents: plain data, with line and column of everything in it.

Law: text in, data out. No tag makes anything but plain data, no key stands twice, and what aliases repeat is bounded.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Iterator
from importlib import import_module
from io import StringIO
from json.decoder import scanstring  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType]
from typing import Any, Final, cast

from ...errors import InvalidWorkflow, Problem, RipresaError
from .source import DEEPEST, Document, Inner, Path, Position, shown

MOST: Final = 100_000
"""How many parts a document may have, those that aliases repeat counted each time."""

_TAG: Final = "tag:yaml.org,2002:"
_PLAIN: Final = frozenset(_TAG + name for name in ("str", "int", "float", "bool", "null", "timestamp", "map", "seq"))
_MERGE: Final = _TAG + "merge"
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_WORDS: Final = {"true": True, "false": False, "null": None}


def document_of(text: str, name: str = "") -> Document:
    """The document that a text is: JSON if its name ends in .json, else YAML.

    Where keys stand twice, and nothing else is wrong, that is noted in the document for whoever reads on. Raises
    `InvalidWorkflow` with everything that is wrong with it, `RipresaError(extra_missing)` for YAML without the extra
    `documents`.
    """
    reader: _Json | _Yaml = _Json(text, name) if name.endswith(".json") else _Yaml(text, name)
    data = reader.read()
    if any(_TWICE not in problem.message for problem in reader.problems):
        raise InvalidWorkflow(reader.problems, op="document")
    return Document(data, name, reader.positions, reader.inner, tuple(reader.problems))


def text_of(data: dict[str, Any], *, as_json: bool = False) -> str:
    """The text of a document, in YAML or JSON. Raises `RipresaError(extra_missing)` as `document_of` does."""
    if as_json:
        return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    yaml = _yaml().YAML()
    yaml.width = 120
    yaml.indent(mapping=2, sequence=4, offset=2)
    stream = StringIO()
    yaml.dump(data, stream)
    return stream.getvalue()


_TWICE: Final = "stands here a second time"


class _Reader:
    """What both have in common: positions and problems."""

    def __init__(self, text: str, name: str) -> None:
        self.text = text
        self.name = name
        self.positions: dict[tuple[Any, ...], Position] = {}
        self.inner: dict[Path, Inner] = {}
        self.problems: list[Problem] = []

    def note(self, message: str, position: Position, path: Path = ()) -> None:
        mark = ":".join(map(str, (self.name, *position) if self.name else position))
        self.problems.append(Problem(" ".join(filter(None, (mark, shown(path)))), message))


# --- JSON


class _Stop(Exception):
    """A text that is no JSON from here on."""


class _Json(_Reader):
    """A text in JSON."""

    def read(self) -> Any:
        """The data; what is wrong is noted."""
        self._count = 0
        self._breaks = [match.start() for match in re.finditer("\n", self.text)]
        try:
            end, found = self._value(self._skip(0), ())
            if self._skip(end) != len(self.text):
                raise self._stop("there is more after the end", self._skip(end))
        except _Stop:
            return None
        return found

    def _value(self, at: int, path: Path) -> tuple[int, Any]:
        self.positions[path] = self._position(at)
        self._count += 1
        if self._count > MOST:
            raise self._stop(f"it has more than {MOST} parts", at)
        if len(path) > DEEPEST:
            raise self._stop("it is nested too deep", at)
        first = self.text[at : at + 1]
        if first == "{":
            return self._object(at, path)
        if first == "[":
            return self._list(at, path)
        if first == '"':
            self.inner[path] = (*self._position(at + 1), 0)
            return self._text(at)
        for word, value in _WORDS.items():
            if self.text.startswith(word, at):
                return at + len(word), value
        number = _NUMBER.match(self.text, at)
        if number is None:
            raise self._stop("a value is missing", at)
        try:
            return number.end(), json.loads(number[0])
        except ValueError:
            raise self._stop("a number is too long", at) from None

    def _text(self, at: int) -> tuple[int, str]:
        try:
            text, end = cast("tuple[str, int]", scanstring(self.text, at + 1, True))
        except json.JSONDecodeError as error:
            raise self._stop(error.msg, error.pos) from error
        return end, text

    def _object(self, at: int, path: Path) -> tuple[int, dict[str, Any]]:
        found: dict[str, Any] = {}
        for start in self._parts(at, "}"):
            if self.text[start : start + 1] != '"':
                raise self._stop("a key in double quotes is missing", start)
            end, key = self._text(start)
            if key in found:
                self.note(f"the key {key!r} {_TWICE}", self._position(start), path)
            colon = self._skip(end)
            if self.text[colon : colon + 1] != ":":
                raise self._stop("a colon is missing", colon)
            self._at, found[key] = self._value(self._skip(colon + 1), (*path, key))
            self.positions[*path, key, None] = self._position(start)
        return self._at, found

    def _list(self, at: int, path: Path) -> tuple[int, list[Any]]:
        found: list[Any] = []
        for start in self._parts(at, "]"):
            self._at, item = self._value(start, (*path, len(found)))
            found.append(item)
        return self._at, found

    def _parts(self, at: int, close: str) -> Iterator[int]:
        """Where each part of an object or list begins; who goes over them puts where it ends into `_at`."""
        at = self._skip(at + 1)
        if self.text[at : at + 1] != close:
            while True:
                yield at
                at = self._skip(self._at)
                if self.text[at : at + 1] == close:
                    break
                if self.text[at : at + 1] != ",":
                    raise self._stop(f"a comma or {close} is missing", at)
                at = self._skip(at + 1)
        self._at = at + 1

    def _skip(self, at: int) -> int:
        found = _SPACE.match(self.text, at)
        assert found is not None
        return found.end()

    def _position(self, at: int) -> Position:
        line = bisect_left(self._breaks, at)
        return line + 1, at - (self._breaks[line - 1] if line else -1)

    def _stop(self, message: str, at: int) -> _Stop:
        self.note(f"this is no JSON: {message}", self._position(at))
        return _Stop()


# --- YAML


def _yaml() -> Any:
    try:
        return import_module("ruamel.yaml")
    except ImportError as error:
        raise RipresaError(
            "YAML needs the extra 'documents'",
            code="extra_missing",
            op="document",
            hint="pip install 'ripresa[documents]', or write JSON",
        ) from error


def _shallow(scanner: Any) -> Any:
    """A scanner that stops where brackets are nested too deep: at every token it looks at each that is open."""

    class Shallow(scanner):  # type: ignore[misc]
        def fetch_flow_collection_start(self, *args: Any, **more: Any) -> None:
            if len(self.flow_context) > 2 * DEEPEST:
                raise RecursionError
            scanner.fetch_flow_collection_start(self, *args, **more)

    return Shallow


class _Yaml(_Reader):
    """A text in YAML 1.2."""

    def read(self) -> Any:
        """The data; what is wrong is noted."""
        library = _yaml()
        yaml = library.YAML(typ="safe", pure=True)
        yaml.Scanner = _shallow(library.scanner.Scanner)
        self._count = 0
        try:
            root = yaml.compose(self.text)
            self._scalar = yaml.constructor.construct_object
            return None if root is None else self._data(root, (), ())
        except library.error.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self.note(f"this is no YAML: {_in_words(error)}", _mark(mark))
        except library.error.YAMLError as error:
            self.note(f"this is no YAML: {error}", (1, 1))
        except RecursionError:
            self.note("this cannot be read: it is nested too deep", (1, 1))
        return None

    def _data(self, node: Any, path: Path, around: tuple[int, ...]) -> Any:
        self._count += 1
        self.positions.setdefault(path, _mark(node.start_mark))
        if self._count > MOST or id(node) in around:
            if self._count <= MOST + 1:
                why = "it holds itself" if id(node) in around else f"it has more than {MOST} parts"
                self.note(f"this cannot be read: {why}", _mark(node.start_mark), path)
            self._count = MOST + 2
            return None
        if str(node.tag) not in _PLAIN:
            self.note(f"the tag {node.tag} is nothing for documents", _mark(node.start_mark), path)
            return None
        within = (*around, id(node))
        if node.id == "mapping":
            return self._mapping(node, path, within)
        if node.id == "sequence":
            return [self._data(item, (*path, index), within) for index, item in enumerate(node.value)]
        return self._text_or_word(node, path)

    def _text_or_word(self, node: Any, path: Path) -> Any:
        line, column = _mark(node.start_mark)
        if node.style in ("|", ">"):
            lines = self.text.splitlines()[line:]
            first = next((number for number, text in enumerate(lines) if text.strip()), 0)
            text = lines[first] if lines else ""
            indent = len(text) - len(text.lstrip())
            self.inner[path] = (line + 1 + first, indent + 1, indent)
        else:
            self.inner[path] = (line, column + (node.style in ("'", '"')), 0)
        if str(node.tag) in (_TAG + "str", _TAG + "timestamp"):
            return str(node.value)
        try:
            return self._scalar(node)
        except (ValueError, LookupError):  # `!!int word`, or more digits than a number may have
            self.note(f"this cannot be read as {str(node.tag).rpartition(':')[2]}", (line, column), path)
            return None

    def _mapping(self, node: Any, path: Path, around: tuple[int, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            position = _mark(key_node.start_mark)
            if str(key_node.tag) == _MERGE:
                self._merge(value_node, path, around, merged)
                continue
            key = str(key_node.value) if key_node.id == "scalar" else ""
            if key_node.id != "scalar" or str(key_node.tag) not in _PLAIN:
                self.note("a key must be a text", position, path)
                continue
            if key in found:
                self.note(f"the key {key!r} {_TWICE}", position, path)
            self.positions[*path, key, None] = position
            found[key] = self._data(value_node, (*path, key), around)
        return {**merged, **found}

    def _merge(self, node: Any, path: Path, around: tuple[int, ...], into: dict[str, Any]) -> None:
        """What `<<` brings along; what stands in the mapping itself goes before it."""
        parts: list[Any] = node.value if node.id == "sequence" else [node]
        for part in parts:
            found = self._data(part, path, around)
            if not isinstance(found, dict):
                self.note("<< takes a mapping", _mark(node.start_mark), path)
                continue
            for key, value in cast("dict[str, Any]", found).items():
                into.setdefault(key, value)


_YAML: Final = {
    "mapping values are not allowed here": "a colon cannot stand here: indent the line as those beside it, or put a "
    "text that holds a colon into quotes",
    "found character '\\t' that cannot start any token": "a tab cannot stand here: indent by spaces",
    "could not find expected ':'": "a colon is missing: write key: value",
    "expected <block end>, but found '-'": "this item is not indented as those beside it",
    "expected <block end>, but found '<block mapping start>'": "this line is not indented as those beside it",
    "expected <block end>, but found '?'": "this line is not indented as those beside it",
}
"""What the library says, in words of people who write documents."""


def _in_words(error: Any) -> str:
    """What is wrong with a text in YAML, and where that began which does not end."""
    said = str(error.problem or error.context)
    if "but got '<stream end>'" in said and error.context_mark is not None:
        line, column = _mark(error.context_mark)
        return f"{said.partition(', but')[0]}: what began at {line}:{column} does not end"
    return _YAML.get(said, said)


def _mark(mark: Any) -> Position:
    return (1, 1) if mark is None else (mark.line + 1, mark.column + 1)
