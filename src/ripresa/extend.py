"""What a node, store or executor of one's own is made with: docs/extending.md shows each in a few lines."""

from .authoring.flow import Flow, as_links, build_link
from .authoring.place import One, Place, Several
from .core.frames import Frame, ScopeFrame
from .core.nodes.node import Node, Scope
from .core.parts import Failure
from .core.state import RunState
from .core.values import NULL, Pick, Value
from .ports import Executor, Store, Work

__all__ = [
    "NULL",
    "Executor",
    "Failure",
    "Flow",
    "Frame",
    "Node",
    "One",
    "Pick",
    "Place",
    "RunState",
    "Scope",
    "ScopeFrame",
    "Several",
    "Store",
    "Value",
    "Work",
    "as_links",
    "build_link",
]
