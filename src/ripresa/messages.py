"""What may be sent to a run: named and typed, known to who sends and who waits alike."""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from .core.calling import told_of
from .core.names import check_name
from .errors import InvalidConfig

M = TypeVar("M")
T = TypeVar("T")
A = TypeVar("A")
R = TypeVar("R")


@told_of
@dataclass(frozen=True, slots=True)
class Signal(Generic[T]):
    """A message in, without answer: `edited = Signal("edited", Draft)`.

    Raises `InvalidConfig` for a name that is none.
    """

    name: str
    type: type[T]

    def __post_init__(self) -> None:
        _check(self)


@told_of
@dataclass(frozen=True, slots=True)
class Update(Generic[A, R]):
    """A message in that is answered: `raise_price = Update("raise_price", int, Quote)`; `answer` is the answer's type.

    Raises `InvalidConfig` for a name that is none.
    """

    name: str
    type: type[A]
    answer: builtins.type[R]

    def __post_init__(self) -> None:
        _check(self)


@told_of
@dataclass(frozen=True, slots=True)
class Query(Generic[R]):
    """A question that changes nothing: `progress = Query("progress", Progress)`; `answer` is the answer's type.

    Raises `InvalidConfig` for a name that is none.
    """

    name: str
    answer: type[R]

    def __post_init__(self) -> None:
        _check(self)


@told_of
@dataclass(frozen=True, slots=True)
class QueryWith(Generic[A, R]):
    """A question about something: `part = QueryWith("part", int, Part)`, asked as `handle.query(part, 3)`.

    Raises `InvalidConfig` for a name that is none.
    """

    name: str
    type: type[A]
    answer: builtins.type[R]

    def __post_init__(self) -> None:
        _check(self)


def _check(message: Signal[Any] | Update[Any, Any] | Query[Any] | QueryWith[Any, Any]) -> None:
    wrong = check_name(message.name, "name")
    if wrong:
        raise InvalidConfig(wrong, op=type(message).__name__)


class _Nullable:
    """Metadata of a type: null is read as None."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> dict[str, Any]:
        return {"type": "nullable", "schema": handler(source)}


@dataclass(frozen=True, slots=True)
class Approval(Generic[M]):
    """What people decided: `by` are those whose answer it was, `comment` is what the last of them said.

    `form` is what that one filled in; None where it was rejected without one, or nobody answered in time. `how` is
    `quorum`, or `expired` if its time was up.
    """

    granted: bool
    form: Annotated[M, _Nullable()]
    by: tuple[str, ...] = ()
    comment: str = ""
    how: str = "quorum"
