"""What undoes a step or flow: how it is checked against what it undoes, and becomes part of the definition."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from types import NoneType
from typing import Any, cast

from ..core.definition import Definition
from ..core.nodes.call import Call as CallNode
from ..core.nodes.node import Node
from ..core.nodes.undo import Undo, Undoable
from ..core.values import Value
from ..errors import InvalidConfig
from .encoding import Reader
from .fit import fits, known, members, named
from .parameters import Parameters
from .place import One, Place, root, settle
from .step import Binding, Bound, Named, Step, Whole


@dataclass(frozen=True, slots=True)
class Undoing:
    """How an undo is given the output, of this type, and then the arguments of what it undoes, if it takes them.

    `binding` takes the arguments apart; `parameters` puts them in order (None: there is one).
    """

    kind: Any
    binding: Binding | None = None
    parameters: Parameters | None = None
    count: int = 0

    def arguments(self, value: Value, reader: Reader) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """See `Binding`."""
        if self.binding is None:
            return (reader.read(value, self.kind),), {}
        output, given = reader.items(value)
        args, kwargs = self.binding.arguments(given, reader)
        if self.parameters is not None:
            bound = inspect.BoundArguments(
                self.parameters.signature, self.parameters.signature.bind(*args, **kwargs).arguments
            )
            bound.apply_defaults()
            args = tuple(bound.arguments.values())
        return (reader.read(output, self.kind), *args[: self.count]), {}


@dataclass(frozen=True, slots=True)
class Doing:
    """What is undone: the type of its output, and how its input becomes arguments of which types."""

    output_type: Any
    binding: Binding
    parameters: Parameters | None
    kinds: tuple[Any, ...]


def step_undo(step: Step[..., Any], binding: Binding, place: Place) -> Undo | None:
    """What undoes a step that is given its input like this; None if nothing does. Notes a reversible one without."""
    if step.compensation is None:
        if step.options.effect == "reversible":
            place.note(f"{step.name} is reversible, but nothing says what undoes it: add @{step.name}.undo", "no_undo")
        return None
    parameters = step.parameters
    kinds = tuple(parameters.type_of(name) for name in parameters.names)
    return build_undo(step.compensation, Doing(parameters.returns, binding, parameters, kinds), place)


def build_undo(compensation: Any, doing: Doing, place: Place) -> Undo:
    """The undo of something that is done at a place. Notes what does not fit."""
    given = One(doing.output_type)
    inner = place.inner(f"undo:{compensation.name}", given)
    if not isinstance(compensation, Step):
        return Undo(compensation.build(place.inner(compensation.name, given)))
    step = cast("Step[..., Any]", compensation)
    if step.options.effect == "reversible" or step.compensation is not None:
        inner.note("what undoes something cannot itself be undone", "no_undo")
    count = _taken(step.parameters, doing, inner)
    wanted = inner.takes(step.parameters, (doing.output_type, *doing.kinds[:count]))
    if known(step.parameters.returns) and step.parameters.returns is not NoneType:
        inner.mismatch(f"undoes something, so it returns None, not {named(step.parameters.returns)}")
    binding = Undoing(wanted[0], doing.binding, doing.parameters, count) if count else Undoing(wanted[0])
    node = CallNode(step.name, code=Bound(step, binding), input_type=wanted[0], output_type=NoneType)
    return Undo(node, takes_input=count > 0, takes_unknown=count > 0 and _takes_none(wanted[0]))


def direct_undo(step: Step[..., Any]) -> Undo | None:
    """What undoes a step that is called by itself. Raises `InvalidWorkflow` if it does not fit."""
    known_undo: Undo | None = step.__dict__.get("direct_undo")
    if known_undo is None:
        place = root(step.name)
        known_undo = step_undo(step, Named(step.parameters), place)
        settle(place, step.name)
        step.__dict__["direct_undo"] = known_undo
    return known_undo


def called_undo(step: Step[..., Any]) -> Undo:
    """What undoes a step that another journals. Raises `InvalidWorkflow` if it does not fit, or is a flow."""
    undo = direct_undo(step)
    if undo is None or not isinstance(undo.body, CallNode):
        raise InvalidConfig(
            f"what undoes {step.name} is a flow, which cannot undo a call that a step journals",
            op="call",
            where=step.name,
            hint="let a function or a step undo it, or call it from a flow or a durable function",
        )
    return undo


@dataclass(frozen=True, slots=True)
class Doable:
    """A step with an undo that is called, and its arguments; `wrapped`: by something that makes a text of them."""

    step: Step[..., Any]
    arguments: bytes
    wrapped: bool = False


def undoable(called: Step[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Doable | None:
    """What is done by a journaled call of a reversible step, None if it cannot be done. Raises as `called_undo`."""
    wraps = getattr(called, "wraps", None)
    if wraps is not None:
        found: Doable | None = wraps(*args, **kwargs)
        return found
    called_undo(called)
    return Doable(called, called.parameters.encode(args, kwargs, where=called.name))


def declare_undo(definition: Definition, step: Step[..., Any], path: str) -> str:
    """Make known to a run what undoes a step that is called by itself at this path; returns its hash."""
    undo = direct_undo(step)
    assert undo is not None
    return definition.add_flow(f"{path}/undo", undo)


@dataclass(frozen=True, slots=True)
class Taken:
    """A flow or workflow with an undo of its own, as a link."""

    link: Any
    compensation: Any

    @property
    def name(self) -> str:
        """The name of the link."""
        return str(self.link.name)

    def build(self, place: Place) -> Node[Any]:
        """See `flow.Part`."""
        from .flow import build_link

        body = build_link(self.link, place)
        doing = Doing(body.output_type, Whole(body.input_type), None, (body.input_type,))
        undo = build_undo(self.compensation, doing, place)
        return Undoable(place.name, body, undo, input_type=body.input_type, output_type=body.output_type)


def undone_by(link: Any, compensation: Any) -> Any:
    """A link with what undoes it."""
    return link.undone_by(compensation) if isinstance(link, Step) else Taken(link, compensation)  # pyright: ignore[reportUnknownVariableType]


def _taken(parameters: Parameters, doing: Doing, place: Place) -> int:
    """How many of the arguments of what it undoes an undo takes, after the output."""
    positional, required = len(parameters.positional), len(parameters.required)
    if positional == 0 or required > 1 + len(doing.kinds):
        place.mismatch(f"takes {', '.join(parameters.names) or 'nothing'}; an undo takes the output, then the input")
        return 0
    return min(positional - 1, len(doing.kinds))


def _takes_none(kind: Any) -> bool:
    return known(kind) and any(member in (None, NoneType) for member in members(kind)) and fits(NoneType, kind)
