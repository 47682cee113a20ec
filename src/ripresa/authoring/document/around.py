"""What a document says to stand around what is made of steps: the updates and queries that its runs answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...messages import Query, QueryWith, Update
from .shapes import QUERY, UPDATE
from .source import is_object

if TYPE_CHECKING:
    from .load import Config, Loader
    from .source import Path


def answering(loader: Loader, made: Any, item: Config) -> Any:
    """A flow with the updates and queries that it answers."""
    for index, data in enumerate(item.get("updates", [])):
        made = _with_update(loader, made, data, (*item.at("updates"), index))
    return made


def asked(loader: Loader, made: Any, item: Config) -> Any:
    """A flow with the queries that its runs answer."""
    for index, data in enumerate(item.get("queries", [])):
        made = _with_query(loader, made, data, (*item.at("queries"), index))
    return made


def _with_update(loader: Loader, made: Any, data: Any, path: Path) -> Any:
    config = _config(loader, data, UPDATE, path)
    update, link = (None, None) if config is None else updated(loader, config)
    if update is None:
        return made
    return loader.tried(path, lambda: made.with_update(update, link)) or made


def updated(loader: Loader, config: Config) -> tuple[Update[Any, Any] | None, Any]:
    """The update that is described, and what answers it; None, and a note, if something is wrong with them."""
    if not all(name in config for name in UPDATE):
        return None, None
    value, answer = (loader.type(config.get(key), config.at(key)) for key in ("value", "answer"))
    link = loader.link(config.get("step"), config.at("step"))
    if value is None or answer is None:
        return None, None
    return loader.tried(config.path, lambda: Update(config.get("update"), value, answer)), link


def _with_query(loader: Loader, made: Any, data: Any, path: Path) -> Any:
    config = _config(loader, data, QUERY, path)
    if config is None or not all(name in config for name in ("query", "answer", "function")):
        return made
    types = [loader.type(config.get(key), config.at(key)) for key in ("about", "answer") if key in config]
    fn = loader.function(config.get("function"), config.at("function"))
    if fn is None or None in types:
        return made
    kind: Any = QueryWith if "about" in config else Query
    return loader.tried(path, lambda: made.with_query(kind(config.get("query"), *types), fn)) or made


def _config(loader: Loader, data: Any, keys: Any, path: Path) -> Config | None:
    if is_object(data):
        return loader.config(data, keys, path)
    loader.notes.add(path, f"is {data!r}, must be an object of {', '.join(keys)}")
    return None
