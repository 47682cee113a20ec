"""How far the streams of a run had come, and whether a stream of another version can go on from there.

Law: a position belongs to its source, what is open to the stages before the sink. Where those are others, it means
nothing, and the stream does not go on as if it did.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json, to_json

from ..authoring.encoding import decode
from ..authoring.migration import StreamPlace
from ..authoring.stream import Plan
from ..core.events import Asked, Event, StreamAdvanced
from ..core.frames import StreamFrame
from ..core.nodes.dynamic import DynamicFrame
from ..core.values import NULL
from ..errors import RipresaError
from .attempts import bound_at
from .streams import content_type
from .values import Values

if TYPE_CHECKING:
    from .driver import Driver


def places_in(line: Iterable[Event], description: bytes, values: Values) -> dict[str, StreamPlace]:
    """Where the streams of a line stand, by path; `description` is that of their definition."""
    found: dict[str, StreamPlace] = {}
    flows: dict[str, str] = {}
    for event in line:
        if isinstance(event, Asked):
            prefix = prefix_of(event.path)
            flows.update((prefix + spec.segment, spec.shape) for spec in event.calls if spec.shape)
        elif isinstance(event, StreamAdvanced):
            found[event.path] = _place(event, values)
    for path, place in found.items():
        place.stages = _stages(json.loads(description)["nodes"], path)
        place.flow = flows[max(_above(flows, path), key=len)] if any(_above(flows, path)) else ""
    return found


def prefix_of(path: str) -> str:
    """What stands before the calls of a durable function."""
    head = path.rstrip("()")
    return f"{head}/" if head else ""


def _above(flows: Iterable[str], path: str) -> Iterator[str]:
    return (flow for flow in flows if path == flow or path.startswith(f"{flow}/"))


def _stages(nodes: list[dict[str, Any]], path: str) -> tuple[str, ...] | None:
    """The stages of the stream at a path of the run, if there is only one of its name."""
    name = path.rpartition("/")[2].partition("[")[0].partition("#")[0]
    streams = [node for node in nodes if node["kind"] == "stream" and node["path"].rpartition("/")[2] == name]
    kinds = {tuple(node["stages"]) for node in streams}
    return kinds.pop() if len(kinds) == 1 else None


def _place(event: StreamAdvanced, values: Values) -> StreamPlace:
    position, held, folded = (from_json(values.text(value)) for value in (event.position, event.held, event.output))
    counts = event.batch, event.taken, event.dropped, event.dead
    return StreamPlace(*counts, position, held or {}, folded, event.ended, elapsed=event.elapsed)


def fact_of(driver: Driver, path: str, place: StreamPlace) -> StreamAdvanced:
    """The fact that a stream stands at a place, for its first attempt."""
    keep = driver.keeper.keep
    return StreamAdvanced(
        driver.state.at,
        path,
        1,
        place.batches,
        keep(to_json(place.position)),
        keep(to_json(place.held)) if place.held else NULL,
        place.taken,
        place.dropped,
        place.dead,
        output=keep(to_json(place.folded)),
        ended=place.ended,
        group=1 if place.ended else place.batches,
        elapsed=place.elapsed,
    )


def misfit(driver: Driver, frame: Any, place: StreamPlace) -> str:
    """Why what stands there now cannot go on from a place; empty if it can."""
    if not isinstance(frame, StreamFrame):
        return "there is no stream any more"
    step: Any = bound_at(driver, frame).step
    plan: Plan = step.plan
    try:
        return _source_misfit(plan, place) or _held_misfit(plan, frame, place) or _sink_misfit(plan, place)
    except RipresaError as error:
        return error.message


def _source_misfit(plan: Plan, place: StreamPlace) -> str:
    if plan.source.positioned:
        decode(to_json(place.position), plan.position_type, where="position")
        return ""
    if plan.source.on_restart == "fail":
        return "its source takes no position, and does not say on_restart='skip' or 'live'"
    fits = plan.source.on_restart == "live" or place.position == place.taken
    return "" if fits else "its source has no positions any more"


def _held_misfit(plan: Plan, frame: StreamFrame, place: StreamPlace) -> str:
    """What its stages held open: they are to be there still, and to take it."""
    if not place.held:
        return ""
    numbers = sorted(map(int, place.held))
    kinds = [stage.kind for stage in plan.stages]
    if place.flow:
        same = place.flow == _flow_of(frame)
    else:
        same = place.stages is not None and [stage.split()[0] for stage in place.stages] == kinds
    if not same:
        return f"its stages have changed, of which number {', '.join(map(str, numbers))} held items open"
    for number in numbers:
        content = to_json(place.held[str(number)][0], inf_nan_mode="constants")
        decode(content, content_type(plan, number), where=plan.stages[number].name)
    return ""


def _sink_misfit(plan: Plan, place: StreamPlace) -> str:
    if plan.sink.kind == "fold":
        decode(to_json(place.folded), plan.result_type, where=plan.sink.name)
        return ""
    return "" if place.folded is None else "its sink does not fold any more"


def _flow_of(frame: Any) -> str:
    """The hash of the flow that a durable function called and that a frame belongs to; empty if there is none."""
    while frame.parent is not None:
        if isinstance(frame.parent, DynamicFrame):
            return frame.parent.calls[frame.key].shape
        frame = frame.parent
    return ""
