"""A step by itself as something that can be run."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from ..core.nodes.call import Call as CallNode
from ..core.nodes.node import Node
from ..core.nodes.sequence import Sequence
from .flow import Runnable
from .place import Place, root, settle
from .step import Bound, Named, Step
from .undo import direct_undo


class Single(Runnable[..., Any]):
    """One step with the arguments of its own call."""

    def __init__(self, step: Step[..., Any]) -> None:
        self.name = step.name
        self.step = step

    def build(self, place: Place) -> Node[Any]:
        """See `Runnable`."""
        return self.node

    @cached_property
    def node(self) -> Node[Any]:
        """See `Runnable`."""
        parameters = self.step.parameters
        place = root(self.name)
        place.finds(parameters)
        settle(place, self.name)
        kinds = {"input_type": parameters.input_type, "output_type": parameters.returns}
        call = CallNode(self.name, code=Bound(self.step, Named(parameters)), undo=direct_undo(self.step), **kinds)
        call.hooks = self.step.options.hooks
        return Sequence(self.name, (call,), **kinds)

    def encode_input(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """See `Runnable`."""
        return self.step.parameters.encode(args, kwargs, where=self.name)


def runnable_of(callee: Step[..., Any] | Runnable[..., Any]) -> Runnable[..., Any]:
    """What a call called, as something that can be run."""
    if not isinstance(callee, Step):
        return callee
    known: Runnable[..., Any] | None = callee.stand_in
    return Single(callee) if known is None else known
