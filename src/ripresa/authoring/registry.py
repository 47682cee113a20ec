"""A registry: workflows and steps by name and kind. An instance like any other; nothing registers itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import Any, Literal, TypeAlias, TypeVar

from ..core.nodes.checked import Checked
from ..core.nodes.cleanup import Cleanup
from ..core.nodes.graph import Graph
from ..core.nodes.sequence import Sequence
from ..core.nodes.stateful import Stateful
from ..core.nodes.updates import Serving
from ..errors import InvalidConfig, RipresaError
from .chain import Chain
from .document.flow import DocumentFlow
from .flow import Flow, Runnable
from .function import Workflow
from .options import check_name, refuse
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
    node = entry.node
    while isinstance(node, Checked | Stateful | Cleanup | Serving):
        node = node.body
    if isinstance(entry, DocumentFlow) and isinstance(node, Sequence):
        return "chain"
    return "graph" if isinstance(node, Graph) else "flow"


def version_of(entry: Entry) -> str:
    """The version of a flow or workflow; steps have none but `1`."""
    return "1" if isinstance(entry, Step) else entry.version


def _is_flow(entry: object) -> bool:
    return isinstance(entry, Flow)


def _bad_maker(make: object) -> str | None:
    return None if callable(make) else f"make is {make!r}, must be a function that returns a flow"


class Registry:
    """Steps, flows and workflows; one name stands for one of them, or for several versions of one."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._makers: dict[str, Callable[..., Entry]] = {}
        self._versions: dict[str, dict[str, Entry]] = {}

    def register(self, entry: T, /, *, name: str | None = None) -> T:
        """Add under its own name or another; gives it back, so that it can be used as a decorator.

        Of several versions of one name, the one that is registered last is the one that the name stands for. Raises
        `InvalidConfig(duplicate_name)` if the name is taken by something else, or by another of the same version.
        """
        kind = kind_of(entry)
        name = name or entry.name
        known, version = self._versions.setdefault(name, {}), version_of(entry)
        for at, other in known.items():
            if other is entry or (at != version and "step" not in (kind, kind_of(other))):
                continue
            raise InvalidConfig(
                f"{name!r} is registered already, as {other!r}",
                code="duplicate_name",
                op="register",
                hint="give one of them another name or version",
            )
        known[version] = self._entries[name] = entry
        return entry

    def versions(self, name: str) -> dict[str, Entry]:
        """What is registered under a name, by version, in the order of registration."""
        return dict(self._versions.get(name, {}))

    def find(self, name: str, kind: Kind | None = None, version: str | None = None) -> Entry | None:
        """What is registered under a name, if it is of that kind; of this version, or the last one."""
        entry = self._entries.get(name) if version is None else self.versions(name).get(version)
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

    def provide(self, kind: str, make: Callable[..., Entry]) -> None:
        """Add what makes flows of a kind, to be chosen by its name.

        Raises `InvalidConfig` (`duplicate_name` if something else is provided under it).
        """
        refuse(
            "provide",
            check_name(kind, "kind"),
            _bad_maker(make),
        )
        if self._makers.setdefault(kind, make) is not make:
            raise InvalidConfig(f"{kind!r} is provided already", code="duplicate_name", op="provide")

    def make(self, kind: str, /, *args: Any, **options: Any) -> Entry:
        """A flow of a kind that is provided. Raises `RipresaError(unknown_workflow)`."""
        maker = self._makers.get(kind)
        if maker is None:
            there = ", ".join(self._makers) or "nothing"
            raise RipresaError(
                f"nothing provides {kind!r}", code="unknown_workflow", op="make", hint=f"provided: {there}"
            )
        made = maker(*args, **options)
        kind_of(made)
        return made

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
