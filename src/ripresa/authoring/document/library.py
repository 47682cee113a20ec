"""What documents may name: step types that were registered, and what targets such as `package.module:name` lead to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from ...errors import InvalidConfig, RipresaError
from ..options import check_name, refuse
from ..parameters import Parameters
from .near import meant
from .shapes import KINDS

T = TypeVar("T")

DOCUMENTS = (".yaml", ".yml", ".json")
"""The endings of files that are documents."""


@dataclass(frozen=True, slots=True)
class Maker:
    """A step type that is a function which makes a step or flow: `config` is its arguments, when a document is read.

    `steps` are the arguments that are lists of steps (or of MCP servers, for their tools), which a document names;
    `types` are those that are types, `servers` those that are MCP servers, `knowledge` those that are knowledge;
    `links` are those that are links or lists of them (steps, flows, workflows), `functions` those that are functions.
    One that takes a `name` is given that of the step.
    """

    make: Callable[..., Any]
    steps: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    servers: tuple[str, ...] = ()
    knowledge: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()

    @property
    def __name__(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride] - as functions and classes have one
        return str(getattr(self.make, "__name__", "maker"))


@dataclass(frozen=True, slots=True)
class Equipped:
    """A step type that is a step; it is made by `equip` where its config has one of the keys that this takes.

    All other keys of the config are arguments, as for any step.
    """

    plain: Any
    equip: Maker

    @property
    def keys(self) -> tuple[str, ...]:
        """What is no argument."""
        return tuple(Parameters(self.equip.make).names)


class Library:
    """Step types by name, for documents: an instance like any other; nothing registers itself.

    A type is a step, flow, workflow or function, whose named arguments a document gives in `config`; or a class whose
    instances can be called with the value, or a `Maker`: then `config` makes the step when the document is read.
    Conditions (`custom`), hooks and pools are found by the same names.
    """

    def __init__(self, entries: Mapping[str, object] | None = None) -> None:
        self._entries: dict[str, object] = {}
        for name, entry in (entries or {}).items():
            self.register(name, entry)

    def register(self, name: str, entry: T, /) -> T:
        """Let documents name something; gives it back. Raises `InvalidConfig` (`duplicate_name` if it is taken)."""
        refuse(
            "register",
            check_name(name, "name"),
            f"name is {name!r}, which is a kind of step of Ripresa's own" if name in KINDS else None,
        )
        if self._entries.setdefault(name, entry) is not entry:
            raise InvalidConfig(f"{name!r} is registered already", code="duplicate_name", op="register")
        return entry

    def type(self, name: str) -> Callable[[T], T]:
        """Register what stands below it: `@library.type("greet")`."""

        def keep(entry: T) -> T:
            return self.register(name, entry)

        return keep

    def find(self, name: str) -> object | None:
        """What is registered under a name."""
        return self._entries.get(name)

    @property
    def entries(self) -> dict[str, object]:
        """Everything that is registered."""
        return dict(self._entries)


class Reach(Protocol):
    """Gives what a target leads to. Raises `RipresaError` if that is nothing, or nothing for documents."""

    def __call__(self, target: str, *, as_type: bool = False) -> Any:
        """`as_type`: it is looked at as a type, and never called."""
        ...


class Shelf:
    """What one document may name: its own `types`, a library, ready-made types, and what targets lead to."""

    def __init__(
        self,
        library: Library,
        reach: Reach,
        ready: Mapping[str, str],
        types: Mapping[str, str],
        declared: Mapping[str, str] = {},
    ) -> None:
        self._library = library
        self._declared = declared
        self._reach = reach
        self._targets = {**ready, **types}
        self._own = types

    def find(self, name: str, what: str = "step type") -> Any:
        """What a registered name or a target leads to. Raises `RipresaError(unknown_type, unknown_target)`."""
        if ":" in name or name.endswith(DOCUMENTS):
            return self._reach(name)
        found = None if name in self._own else self._library.find(name)
        if found is not None:
            return found
        if name in self._targets:
            return self._reach(self._targets[name])
        raise self._unknown(name, what)

    def find_type(self, target: str) -> Any:
        """The class that a target leads to. Raises `RipresaError(unknown_target)`."""
        return self._reach(target, as_type=True)

    def declared(self, what: str, name: str, options: Mapping[str, Any]) -> Any:
        """The MCP server (`servers`) or knowledge that a document declares.

        Raises `InvalidConfig`, `RipresaError(unknown_target)`.
        """
        make: Maker = self._reach(self._declared[what])
        return make.make({**options, "name": name})

    def functions(self) -> dict[str, Any]:
        """What conditions may name as custom."""
        return {name: entry for name, entry in self._library.entries.items() if callable(entry)}

    def _unknown(self, name: str, what: str) -> RipresaError:
        is_type = what == "step type"
        known = sorted({*self._library.entries, *((*KINDS, *self._targets) if is_type else self._own)})
        hint = meant(name, known)
        if name in KINDS and is_type:
            hint = f"it is a kind of step of Ripresa's own: write {{type: {name}}}, with its config"
        return RipresaError(f"there is no {what} {name!r}", code="unknown_type", op="document", hint=hint)
