"""Reducers: how the writes of several branches to one field of a state become one value.

A reducer stands in the annotation of its field, `scores: Annotated[list[float], append]`, and is called to write to
it: `append(current().to(Report).scores, 0.7)`. What is written is the operand; the field itself is not read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, TypeVar, get_args

from ..core.shared import ERROR, LAST_WRITE
from ..errors import InvalidConfig, RipresaError
from .fit import bare, fits, item_type, members, named
from .parameters import Parameters
from .step import step_name

T = TypeVar("T")
O_contra = TypeVar("O_contra", contravariant=True)
K = TypeVar("K")
V = TypeVar("V")
N = TypeVar("N", bound=float)


class Reducer:
    """Marks a field in its annotation; `name` is what the journal calls it."""

    name: str = ""
    wanted: Any = Any
    """The type that a field must have to take it."""

    def operand(self, kind: Any) -> Any:
        """The type of what is written to a field of this type."""
        return kind

    def complaint(self, kind: Any) -> str | None:
        """What is wrong with a field of this type."""
        found = [member for member in members(bare(kind)) if member not in (None, type(None))]
        if all(fits(member, self.wanted) for member in found):
            return None
        return f"has the reducer {self.name}, which takes {named(self.wanted)}, not {named(kind)}"

    def __repr__(self) -> str:
        return self.name


class Append(Reducer):
    """One more item at the end of a list."""

    name = "append"
    wanted = list[Any]

    def operand(self, kind: Any) -> Any:
        """An item."""
        return item_type(bare(kind))

    def __call__(self, field: list[T], item: T, /) -> None:
        """Write to a field of `current().to(...)`, `ctx.to` or `graph.state`."""
        contribute(self, field, item)


class Extend(Reducer):
    """More items at the end of a list."""

    name = "extend"
    wanted = list[Any]

    def __call__(self, field: list[T], items: list[T], /) -> None:
        """Write to a field of `current().to(...)`, `ctx.to` or `graph.state`."""
        contribute(self, field, items)


class Add(Reducer):
    """A number to be added."""

    name = "add"
    wanted = float

    def __call__(self, field: N, amount: N, /) -> None:
        """Write to a field of `current().to(...)`, `ctx.to` or `graph.state`."""
        contribute(self, field, amount)


class UnionOf(Reducer):
    """Items that a set, or a list without doubles, is to have."""

    name = "union"
    wanted = set[Any] | list[Any] | frozenset[Any]

    def __call__(self, field: T, items: T, /) -> None:
        """Write to a field of `current().to(...)`, `ctx.to` or `graph.state`."""
        contribute(self, field, items)


class Merge(Reducer):
    """Entries that a dict is to have; of several under one key the last branch's stays."""

    name = "merge"
    wanted = dict[Any, Any]

    def __call__(self, field: dict[K, V], entries: dict[K, V], /) -> None:
        """Write to a field of `current().to(...)`, `ctx.to` or `graph.state`."""
        contribute(self, field, entries)


class Least(Reducer):
    """The smallest of all that is written; None is no value."""

    name = "min"
    wanted = float | str

    def __call__(self, field: T, value: T, /) -> None:
        """Write to a field of `current().to(...)`, `ctx.to` or `graph.state`."""
        contribute(self, field, value)


class Greatest(Reducer):
    """The greatest of all that is written; None is no value."""

    name = "max"
    wanted = float | str

    def __call__(self, field: T, value: T, /) -> None:
        """Write to a field of `current().to(...)`, `ctx.to` or `graph.state`."""
        contribute(self, field, value)


append: Final = Append()
extend: Final = Extend()
add: Final = Add()
union: Final = UnionOf()
merge: Final = Merge()
least: Final = Least()
greatest: Final = Greatest()


@dataclass(frozen=True, slots=True)
class Conflicts:
    """What several branches may do to a field without a reducer; stands in its annotation."""

    policy: str


last_write: Final = Conflicts(LAST_WRITE)
"""`Annotated[str, last_write]`: of several branches that wrote the field, the last one, in their order, has it."""

Conflict = Literal["error", "last_write"]
"""What happens when several branches write one field: an error that names them, or the last one has it."""


def bad_conflict(value: object, option: str) -> str | None:
    """What is wrong with a policy."""
    allowed = get_args(Conflict)
    assert allowed == (ERROR, LAST_WRITE)
    return None if value in allowed else f"{option} is {value!r}, must be one of {', '.join(map(repr, allowed))}"


class Target(Generic[T]):
    """A field to write to: what `to` gives instead of a value. Reducers take it."""

    __slots__ = ("_contribute",)

    def __init__(self, contribute: Callable[[Reducer, Any], None]) -> None:
        self._contribute = contribute

    def take(self, reducer: Reducer, operand: object) -> None:
        """Write."""
        self._contribute(reducer, operand)


TARGET: Final = "_ripresa_target"
"""The method by which something that stands for a field to come gives its target."""


def contribute(reducer: Reducer, field: object, operand: object) -> None:
    """Write an operand to a field. Raises `RipresaError(usage)` if it is none, or has another reducer."""
    target: Any = getattr(type(field), TARGET, None)
    if target is not None:
        field = target(field)
    if not isinstance(field, Target):
        raise RipresaError(
            f"{reducer.name} needs a field of the state, is given {field!r}",
            code="usage",
            op=reducer.name,
            hint=f"write {reducer.name}(current().to(StateClass).field, ...), or ctx.to.field in a durable function",
        )
    field.take(reducer, operand)


# --- reducers of the user's own


class Custom(Reducer, Generic[T, O_contra]):
    """A reducer of the user's own; see `reducer`."""

    def __init__(self, fn: Callable[[T, O_contra], T]) -> None:
        self.fn = fn
        self.name = step_name(fn)
        self.parameters = Parameters(fn)
        complaint = self.parameters.refuses(2)
        if complaint:
            raise InvalidConfig(f"{self.name} {complaint}", op="reducer", hint="write: def name(value, operand)")

    def operand(self, kind: Any) -> Any:
        """The annotation of the function's second parameter, else the field's own type."""
        wanted = self.parameters.kind_at(1)
        return kind if wanted is Any else wanted

    def complaint(self, kind: Any) -> str | None:
        """What is wrong with a field of this type."""
        takes = self.parameters.kind_at(0)
        return None if fits(kind, takes) else f"has the reducer {self.name}, which takes {named(takes)}"

    def __call__(self, field: T, operand: O_contra, /) -> None:
        """Write to a field of `current().to(...)`, `ctx.to` or `graph.state`."""
        contribute(self, field, operand)


def reducer(fn: Callable[[T, O_contra], T], /) -> Custom[T, O_contra]:
    """Make a function of (value so far, operand) a reducer. It must be pure; what it made is recorded."""
    return Custom(fn)
