"""What the state of a scope holds at a place with all that its branches have written by then, joined or not."""

from __future__ import annotations

from collections.abc import Iterator

from .events import Write
from .frames import Frame, ScopeFrame
from .shared import Fields, Shared, after
from .state import RunState


def as_joined(run: RunState) -> dict[str, Fields]:
    """The states of a run by scope, as if every branch were joined with what it has written so far."""
    shared = run.shared
    if shared is None:
        return {}
    return {path: after(fields, _unjoined(shared, run.frames[path])) for path, fields in shared.scopes.items()}


def _unjoined(shared: Shared, frame: Frame) -> Iterator[Write]:
    """What was written below a frame and has not reached it, in the order of the branches."""
    deltas = shared.deltas.get(frame.path, {})
    children = frame.children if isinstance(frame, ScopeFrame) else {}
    for key in sorted({*deltas, *children}):
        yield from deltas.get(key, ())
        child = children.get(key)
        if child is not None and child.path not in shared.scopes:
            layer = shared.layers.get(child.path)
            yield from () if layer is None else layer.writes
            yield from _unjoined(shared, child)
