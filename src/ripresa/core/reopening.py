"""Which frames a run goes on with: those under way, and those that have ended and are brought back in their turn."""

from __future__ import annotations

from .frames import ENDED, OPEN, Frame
from .nodes.dynamic import Dynamic, DynamicFrame
from .nodes.graph import GraphFrame
from .nodes.join import FanOutFrame


def goes_on(frame: Frame) -> bool:
    """Whether the run comes to this frame again: it is under way, or what it stands in will bring it back."""
    if frame.phase not in ENDED:
        return True
    parent = frame.parent
    if parent is None:
        return False
    if parent.phase == OPEN:
        return frame.key in _waiting(parent)
    if parent.phase not in ENDED or not goes_on(parent):
        return False
    return not isinstance(parent, DynamicFrame) or frame.key in _kept(parent)


def stands_at(frame: DynamicFrame) -> tuple[int, int]:
    """How many calls a function has asked for and been told the outcomes of where it goes on."""
    if frame.phase not in ENDED:
        return frame.asked, frame.delivered
    assert isinstance(frame.node, Dynamic)
    back = frame.node.taken_back(frame)
    return back.asked, back.delivered


def _waiting(parent: Frame) -> list[int]:
    """The children that a scope brings back when there is room for them."""
    if isinstance(parent, FanOutFrame):
        return parent.again
    return parent.ready if isinstance(parent, GraphFrame) else []


def _kept(parent: DynamicFrame) -> set[int]:
    assert isinstance(parent.node, Dynamic)
    back = parent.node.taken_back(parent)
    return {key for key in parent.children if not back.lets_go(key)}
