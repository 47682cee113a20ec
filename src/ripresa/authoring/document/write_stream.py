"""Streams written as documents: their source, stages and sink by their targets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...core.durations import MICROSECONDS
from ...core.retry import ONCE
from ..flow import Runnable
from ..step import Step
from ..stream import Plan, Pumped, Room, Sink, Stage
from .streams import HOOKS

if TYPE_CHECKING:
    from .write import Data, Writer


def stream_config(writer: Writer, pumped: Pumped) -> Data:
    """What the config of a stream says. Raises `RipresaError(not_exportable)`."""
    plan: Plan = pumped.plan
    source, usual = plan.source, Room(1000, "block")
    found: Data = {
        "source": writer.thing(source.fn),
        "stages": [_stage(writer, stage) for stage in plan.stages] or None,
        **_sink(writer, plan.sink),
        **_differing(("buffer", plan.room.buffer, usual.buffer), ("overflow", plan.room.overflow, usual.overflow)),
        **_differing(("on_restart", source.on_restart, "fail"), ("at_most", source.at_most, None)),
        **_differing(("within", source.within, None)),
    }
    if pumped.options.retry != ONCE:
        found["retry"] = writer.retry(pumped.options.retry)
    return {key: value for key, value in found.items() if value is not None or key == "start"}


def _differing(*given: tuple[str, Any, Any]) -> Data:
    return {key: value for key, value, usual in given if value != usual}


def _stage(writer: Writer, stage: Stage) -> Data:
    room = _differing(("buffer", stage.room.buffer, None), ("overflow", stage.room.overflow, None))
    match stage.kind:
        case "batch":
            return {"batch": stage.count, **_differing(("within", stage.within, None)), **room}
        case "window":
            return {"window": stage.count, **_differing(("every", stage.every, stage.count)), **room}
        case "time_window":
            every = _differing(("every", stage.every / MICROSECONDS, stage.count / MICROSECONDS))
            late = _differing(("lateness", stage.lateness / MICROSECONDS, 0), ("late", stage.on_error, "skip"))
            length = stage.count / MICROSECONDS
            return {"time_window": length, "at": writer.thing(stage.fn), **every, **late, **room}
        case _:
            more = _differing(("concurrency", stage.concurrency, 1), ("on_error", stage.on_error, "fail"))
            return {stage.kind: _function(writer, stage.fn), **more, **room}


def _sink(writer: Writer, sink: Sink) -> Data:
    found: Data = {} if sink.durable else {"durable": False}
    if sink.dead_letters is not None:
        found["dead_letters"] = _function(writer, sink.dead_letters)
    told = {name: writer.thing(getattr(sink.hooks, name)) for name in HOOKS if getattr(sink.hooks, name) is not None}
    if told:
        found["hooks"] = told
    if sink.kind == "into":
        more = _differing(("every", sink.every, 1), ("on_error", sink.on_error, "fail"))
        return {"into": _function(writer, sink.fn), **more, **found}
    start = writer.value(sink.start)
    return {"fold": writer.thing(sink.fn), "start": start, **_differing(("every", sink.every, 1000)), **found}


def _function(writer: Writer, fn: Any) -> Any:
    """The target of a function, or a step or flow as a step."""
    if isinstance(fn, Step):
        return writer.step(fn)  # pyright: ignore[reportUnknownArgumentType]
    return writer.item(fn.definition.root) if isinstance(fn, Runnable) else writer.thing(fn)
