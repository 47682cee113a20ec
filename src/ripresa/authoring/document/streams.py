"""Streams in documents: a source, stages and a sink, each a target or a step, become the calls that make a stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final, cast

from ..flow import Runnable
from ..step import Step
from ..stream import StreamHooks, stream
from .near import meant
from .settings import retry_from
from .shapes import STAGES
from .source import is_object

if TYPE_CHECKING:
    from .load import Config, Loader
    from .source import Path

_FUNCTIONS = ("map", "filter", "flat_map")
HOOKS: Final = tuple(each.name for each in fields(StreamHooks))
"""What a stream may tell functions about."""


def stream_of(loader: Loader, config: Config, name: str | None) -> Any:
    """The flow that a stream is; None, and a note, if something is wrong with it."""
    before = len(loader.notes.problems)
    source = loader.function(config.get("source"), config.at("source"))
    if ("into" in config) == ("fold" in config):
        loader.notes.add(config.path, "a stream has either into or fold")
    stages = [
        _stage(loader, data, (*config.at("stages"), index)) for index, data in enumerate(config.get("stages", []))
    ]
    sink = _sink(loader, config)
    if len(loader.notes.problems) > before:
        return None
    options = config.options("buffer", "overflow", "on_restart", "at_most", "within")
    made: Any = cast("Any", stream)(source, **({} if name is None else {"name": name}), **options)
    for kind, args, more in stages:
        made = getattr(made, kind)(*args, **more)
    kind, args, more = sink
    return getattr(made, kind)(*args, **more)


def _stage(loader: Loader, data: Any, path: Path) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """The method that adds a stage, with what it is called with."""
    kinds = [kind for kind in STAGES if is_object(data) and kind in data]
    if len(kinds) != 1:
        loader.notes.add(path, f"is {data!r}, must be an object with one of {', '.join(STAGES)}")
        return "", (), {}
    kind = kinds[0]
    config = loader.config(data, STAGES[kind], path)
    given = config.get(kind)
    more = config.options(*(name for name in STAGES[kind] if name not in (kind, "at")))
    if kind in _FUNCTIONS and kind in config:
        given = _function(loader, given, config.at(kind))
    if kind == "time_window" and "at" in config:
        more["at"] = loader.function(config.get("at"), config.at("at"))
    return kind, (given,), more


def _sink(loader: Loader, config: Config) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    more = config.options("every", "durable")
    if "retry" in config:
        more["retry"] = loader.tried(config.at("retry"), lambda: retry_from(config.get("retry")))
    if "dead_letters" in config:
        more["dead_letters"] = _function(loader, config.get("dead_letters"), config.at("dead_letters"))
    if "hooks" in config:
        more["hooks"] = _hooks(loader, config.get("hooks"), config.at("hooks"))
    if "into" in config:
        sink = _function(loader, config.get("into"), config.at("into"))
        if "start" in config:
            loader.notes.add(config.at("start"), "start goes with fold", key=True)
        return "into", (sink,), {**more, **config.options("on_error")}
    if "on_error" in config:
        loader.notes.add(config.at("on_error"), "on_error goes with into", key=True)
    fold = loader.function(config.get("fold"), config.at("fold")) if "fold" in config else None
    return "fold", (fold, config.get("start")), more


def _hooks(loader: Loader, data: Mapping[str, str], path: Path) -> StreamHooks:
    """Functions that are told what the stream does."""
    for name in data.keys() - HOOKS:
        loader.notes.add((*path, name), f"is no key here; {meant(name, HOOKS)}", key=True)
    return StreamHooks(**{name: loader.function(data[name], (*path, name)) for name in HOOKS if name in data})


def _function(loader: Loader, data: Any, path: Path) -> Any:
    """A function as it is, or a step or flow that is run for each item."""
    if not isinstance(data, str):
        return loader.link(data, path)
    found: Any = loader.target(data, path)
    if isinstance(found, Step | Runnable):
        return cast("Any", found)
    return loader.function(data, path)
