"""Graphs written as documents: their nodes with what each is given, needs, and is asked."""

from __future__ import annotations

from functools import partial
from inspect import Parameter
from typing import TYPE_CHECKING, Any

from ...core.merge import SET
from ...core.nodes.call import Call
from ...core.nodes.graph import Graph, Wire
from ...core.nodes.node import Node
from ...core.nodes.stateful import Assign
from ...core.nodes.subworkflow import Subworkflow
from ..step import Bound
from ..wiring import Condition, Result
from .cel import has_expressions
from .graphs import first_of
from .write_values import Place, cel_of, data_of, node_condition

if TYPE_CHECKING:
    from .write import Data, Writer


def graph_config(writer: Writer, node: Graph) -> Data:
    """What the config of a graph says, besides its input."""
    return {
        "steps": [writer.tried(partial(_item, writer, node, index)) for index in range(len(node.nodes))],
        "returns": writer.tried(lambda: _returns(writer, node)),
        "concurrency": node.window or None,
        "keep_going": node.keep_going or None,
    }


def _returns(writer: Writer, node: Graph) -> Any:
    code: Any = node.code
    if isinstance(code, Result):
        return data_of(code.expression, writer.thing)
    sources = node.output.sources
    return None if not sources else _output(node, sources[0])


def _output(node: Graph, index: int) -> str:
    from ..expression import Source

    name = "" if index < 0 else node.nodes[index].name
    return f"${{{{ {cel_of(Source(None, index, name, Any))} }}}}"


def _item(writer: Writer, graph: Graph, index: int) -> Data:
    node, wire, gate = graph.nodes[index], graph.wires[index], graph.gates[index]
    described = {"description": node.remark} if node.remark else {}
    if wire.first:
        of = [graph.nodes[source].name for source in wire.sources]
        return {"id": node.name, **described, "type": "first", "config": {"of": of}}
    if isinstance(node, Assign):
        by = {} if node.op == SET else {"by": node.op}
        assert gate is not None
        value = data_of(gate.code.made, writer.thing)
        return {**described, "type": "set", "config": {"field": node.field, **by, "value": value}}
    data = writer.item(node)
    if not isinstance(node, Call | Subworkflow):
        assert gate is not None
        data["with"] = data_of(gate.code.made, writer.thing)
    if gate is not None:
        data.update(_conditions(writer, gate.code.condition))
    return {**data, **_needs(graph, wire)}


def _conditions(writer: Writer, condition: Condition) -> Data:
    found = {"when": condition.when, "unless": condition.unless}
    return {key: node_condition(wire, writer.thing) for key, wire in found.items() if wire is not None}


def _needs(graph: Graph, wire: Wire) -> Data:
    return {"needs": [graph.nodes[index].name for index in wire.after]} if wire.after else {}


def named_arguments(bound: Bound, place: Place) -> dict[str, Any]:
    """The arguments of a step in a graph, by name."""
    binding: Any = bound.binding
    parameters = bound.step.parameters
    found: dict[str, Any] = {}
    rest = [data_of(argument.expression, place) for argument in binding.args[len(parameters.positional) :]]
    for index, argument in enumerate(binding.args[: len(parameters.positional)]):
        found[parameters.positional[index]] = data_of(argument.expression, place)
    found.update({name: data_of(argument.expression, place) for name, argument in binding.kwargs.items()})
    first = first_of(parameters)
    kinds = {name: one.kind for name, one in parameters.signature.parameters.items()}
    more = next((name for name, kind in kinds.items() if kind is Parameter.VAR_POSITIONAL), "")
    if more and (rest or more == first):
        found[more] = rest
    if first is None or first in found or has_expressions(found):
        return found
    from ..expression import Constant

    return {first: data_of(Constant(parameters.signature.parameters[first].default), place), **found}


__all__ = ["Node", "graph_config", "named_arguments"]
