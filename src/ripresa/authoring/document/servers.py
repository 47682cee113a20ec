"""MCP servers and knowledge that a document declares, and the tools of them that its steps name.

A step names `handbook` to look things up in such knowledge, `files` for all tools of a server, `files/read_file`
for one, `files/read_*` or `files/read_file,find` for some.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ...core.names import check_name
from .cel import has_expressions
from .library import DOCUMENTS, Maker
from .near import meant
from .shapes import KNOWLEDGE, SERVER
from .source import is_list, is_object

if TYPE_CHECKING:
    from .load import Config, Loader
    from .source import Path

_PATTERN: Final = "*?["


@dataclass(frozen=True, slots=True)
class Declared:
    """What a document says of a server, and the server; None if something is wrong with it, which is noted."""

    said: Mapping[str, Any]
    server: Any


KEYS: Final = {"servers": SERVER, "knowledge": KNOWLEDGE}
_CALLED: Final = {"servers": ("a server", "command or url"), "knowledge": ("knowledge", "path and size, or vectors")}


def declared_by(loader: Loader, config: Config, what: str) -> dict[str, Declared]:
    """The servers, or knowledge, that a document declares, by name."""
    found: Mapping[str, Any] = config.get(what, {})
    return {name: Declared(said, _declared(loader, name, said, config, what)) for name, said in found.items()}


def _declared(loader: Loader, name: str, said: Any, config: Config, what: str) -> Any:
    path, before, (called, keys) = (*config.at(what), name), len(loader.notes.problems), _CALLED[what]
    wrong = check_name(name, f"the name of {called}")
    if name in config.get("types", {}):
        wrong = f"{name!r} is a type of this document, too"
    if what == "knowledge" and name in config.get("servers", {}):
        wrong = f"{name!r} is a server of this document, too"
    if wrong:
        loader.notes.add(path, wrong, key=True)
    if not is_object(said):
        loader.notes.add(path, f"is {said!r}, must be an object with {keys}")
        return None
    if has_expressions(said):
        loader.notes.add(path, f"{called} is made when the document is read: no expressions here")
    given = loader.config(said, KEYS[what], path).options(*KEYS[what])
    for key in ("vectors", "embedder") if what == "knowledge" else ():
        if ":" in str(given.get(key, "")) and (key == "vectors" or "." in given[key].partition(":")[0]):
            given[key] = loader.thing(given[key], (*path, key))
    if len(loader.notes.problems) > before:
        return None
    return loader.tried(path, lambda: loader.shelf.declared(what, name, given))


def is_of_server(loader: Loader, text: object) -> bool:
    """Whether a text names a server, or tools of one, rather than a step."""
    if not isinstance(text, str) or ":" in text or text.endswith(DOCUMENTS):
        return False
    return "/" in text or text in loader.servers or text in loader.knowledge


def offered(loader: Loader, text: str, path: Path) -> Any:
    """The knowledge, or server with no other tools than it says, that a text names; None, and a note, if none is."""
    if text in loader.knowledge:
        made = loader.knowledge[text].server
        return None if made is None else made.look_up
    return bounded(loader, text, path)


def bounded(loader: Loader, text: str, path: Path) -> Any:
    """The server that a text names, with no other tools than it says; None, and a note, if there is none."""
    name, _, tools = text.partition("/")
    found = server_named(loader, name, path)
    if found is None or not tools:
        return found
    chosen = [each.strip() for each in tools.split(",")]
    for each in chosen:
        if not any(char in each for char in _PATTERN) and not found.allows(each):
            loader.notes.add(path, f"{name} is not allowed the tool {each!r}", code="invalid_config")
            return None
    return found.only(*chosen)


def server_named(loader: Loader, name: str, path: Path) -> Any:
    """The server of this name; None, and a note, if there is none."""
    missing = ("no MCP server", "there are", "servers")
    return _named(loader, loader.servers, name, path, missing)


def knowledge_named(loader: Loader, name: str, path: Path) -> Any:
    """The knowledge of this name; None, and a note, if there is none."""
    missing = ("no knowledge", "there is", "knowledge")
    return _named(loader, loader.knowledge, name, path, missing)


def _named(loader: Loader, there: Mapping[str, Any], name: str, path: Path, missing: tuple[str, str, str]) -> Any:
    """What is declared under a name; `missing` is how its absence is told, and under which key it is declared."""
    if name in there:
        return there[name].server
    what, listed, key = missing
    hint = meant(name, there, listed) if there else f"declare it under {key}"
    loader.notes.add(path, f"there is {what} {name!r}; {hint}", code="unknown_type")
    return None


def as_named(loader: Loader, given: Any, found: Iterable[Any]) -> list[Any]:
    """A list of steps as a document says it again: what is of a server by its name."""
    return [said if is_of_server(loader, said) else each for said, each in zip(given, found, strict=True)]


def used(loader: Loader, maker: Maker, given: Mapping[str, Any], what: str) -> dict[str, Mapping[str, Any]]:
    """What the document says of the servers, or knowledge, that a config names."""
    known = loader.servers if what == "servers" else loader.knowledge
    lists = (given[key] for key in maker.steps if is_list(given.get(key)))
    texts = [*(part for parts in lists for part in parts), *(given.get(key) for key in getattr(maker, what))]
    names = (text.partition("/")[0] for text in texts if isinstance(text, str))
    return {name: known[name].said for name in names if name in known}
