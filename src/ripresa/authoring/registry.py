"""A registry: workflows and steps by name and kind. An instance like any other; nothing registers itself."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any, Literal, TypeAlias, TypeVar

from ..core.nodes.graph import Graph
from ..errors import InvalidConfig, RipresaError
from .chain import Chain
from .flow import Flow, Runnable
from .function import Workflow
from .step import Step

Kind: TypeAlias = Literal["chain", "graph", "workflow", "flow", "step"]
"""What something is. `flow` is a flow that is neither a chain nor a graph."""

Entry: TypeAlias = Step[..., Any] | Runnable[..., Any]
T = TypeVar("T", bound=Entry)


def kind_of(entry: Entry) -> Kind:
    """What a step, flow or workflow is. Raises `InvalidConfig` for anything else."""
    if isinstance(entry, Step):
        return "step"
    if isinstance(entry, Workflow):
        return "workflow"
    if isinstance(entry, Chain):
        return "chain"
    if not _is_flow(entry):
        raise InvalidConfig(f"{entry!r} is no step, flow or workflow", op="register")
    return "graph" if isinstance(entry.node, Graph) else "flow"


def _is_flow(entry: object) -> bool:
    return isinstance(entry, Flow)


class Registry:
    """Steps, flows and workflows; one name stands for one of them."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def register(self, entry: T, /, *, name: str | None = None) -> T:
        """Add under its own name or another; gives it back, so that it can be used as a decorator.

        Raises `InvalidConfig(duplicate_name)` if the name is taken by something else.
        """
        kind_of(entry)
        name = name or entry.name
        if self._entries.setdefault(name, entry) is not entry:
            raise InvalidConfig(
                f"{name!r} is registered already, as {self._entries[name]!r}",
                code="duplicate_name",
                op="register",
                hint="give one of them another name",
            )
        return entry

    def find(self, name: str, kind: Kind | None = None) -> Entry | None:
        """What is registered under a name, if it is of that kind."""
        entry = self._entries.get(name)
        return entry if entry is not None and kind in (None, kind_of(entry)) else None

    def get(self, name: str, kind: Kind | None = None) -> Entry:
        """The same. Raises `RipresaError(unknown_workflow)` if there is nothing."""
        entry = self.find(name, kind)
        if entry is None:
            there = ", ".join(self._entries) or "nothing"
            raise RipresaError(
                f"no {kind or 'workflow'} is registered as {name!r}",
                code="unknown_workflow",
                op="get",
                hint=f"registered: {there}",
            )
        return entry

    def discover(self, pattern: str = "*", kind: Kind | None = None) -> list[tuple[str, Entry]]:
        """Names that match a pattern (`*`, `?`) with what they stand for, in alphabetical order."""
        found = sorted(self._entries.items())
        return [(n, entry) for n, entry in found if fnmatchcase(n, pattern) and kind in (None, kind_of(entry))]

    def list(self, kind: Kind | None = None) -> list[str]:
        """The names, in alphabetical order."""
        return [name for name, _ in self.discover(kind=kind)]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))
