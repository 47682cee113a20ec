"""The order of a graph's nodes: by dependency, and among those that could change places as they were written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from heapq import heapify, heappop, heappush

from ..errors import InvalidWorkflow, Problem


def check_graph(nodes: Mapping[str, Sequence[str]], *, name: str = "") -> list[str]:
    """The names in an order in which each stands after those that it depends on; of several the first written is first.

    `nodes` are the names with those that each depends on. Raises `InvalidWorkflow` with everything that is wrong:
    `unknown_dependency` per missing name, `cycle` with its path.
    """
    problems = [
        Problem(_path(name, node), f"depends on {need!r}, which is not in the graph", "unknown_dependency")
        for node, needs in nodes.items()
        for need in needs
        if need not in nodes
    ]
    sorter: TopologicalSorter[str] = TopologicalSorter(
        {node: [need for need in needs if need in nodes] for node, needs in nodes.items()}
    )
    try:
        sorter.prepare()
    except CycleError as error:
        around: list[str] = list(reversed(error.args[1]))
        problems.append(Problem(_path(name, around[0]), f"depends on itself: {' -> '.join(around)}", "cycle"))
    if problems:
        raise InvalidWorkflow(problems, op="check_graph")
    return _sorted(sorter, list(nodes))


def _path(graph: str, node: str) -> str:
    return f"{graph}/{node}" if graph else node


def _sorted(sorter: TopologicalSorter[str], written: list[str]) -> list[str]:
    position = {name: index for index, name in enumerate(written)}
    ready = [position[name] for name in sorter.get_ready()]
    heapify(ready)
    found: list[str] = []
    while ready:
        name = written[heappop(ready)]
        found.append(name)
        sorter.done(name)
        for following in sorter.get_ready():
            heappush(ready, position[following])
    return found
