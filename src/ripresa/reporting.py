"""What a step holds to report beside its result, and to read and change what its session holds."""

from __future__ import annotations

from os import PathLike
from typing import Any, Protocol, TypeVar, overload

from .errors import RipresaError

A = TypeVar("A")


class SessionData(Protocol):
    """The values of the session that a run belongs to: read as they are now, with this step's own changes.

    A step's changes become durable with its completion, once, in the same transaction; those of an attempt that fails
    are forgotten. `add`, `append` and `merge` are applied to what is there then, so that none of several runs' changes
    is lost. Values are plain data, dataclasses or models, of up to 64 KB. In a condition the session can only be read.
    """

    @property
    def id(self) -> str:
        """The id of the session."""
        ...

    @overload
    def get(self, name: str, /) -> Any: ...
    @overload
    def get(self, name: str, kind: type[A], /) -> A | None: ...
    @overload
    def get(self, name: str, kind: type[A], default: A, /) -> A: ...
    def get(self, name: str, kind: Any = Any, default: Any = None, /) -> Any:
        """The value of this name, decoded as `kind`, or the default if there is none."""
        ...

    def names(self) -> list[str]:
        """The names of all values, in alphabetical order."""
        ...

    def set(self, name: str, value: object, /) -> None:
        """Let the value of this name be another."""
        ...

    def delete(self, name: str, /) -> None:
        """Forget the value of this name."""
        ...

    def add(self, name: str, amount: float, /) -> None:
        """Add to a number, which begins at 0."""
        ...

    def append(self, name: str, item: object, /) -> None:
        """Append to a list, which begins empty."""
        ...

    def merge(self, name: str, **fields: object) -> None:
        """Set fields of an object, which begins without any."""
        ...


class Reporting(Protocol):
    """Takes what a step reports beside its result; see the methods of `StepContext`."""

    def session(self) -> SessionData:
        """The session of the run. Raises `RipresaError(not_available)` if it has none."""
        ...

    def use(self, tokens: int, cost: float) -> None:
        """The step used so much."""
        ...

    def touch(self, path: str | PathLike[str]) -> None:
        """The step changed a file."""
        ...

    def save(self, name: str, source: bytes | str | PathLike[str], media_type: str) -> None:
        """The step made a result file."""
        ...


def no_session(message: str) -> RipresaError:
    """The error of code that asks for a session where there is none."""
    return RipresaError(message, code="not_available", op="session", hint='start the run with session="..."')


class Nowhere:
    """Forgets what a step reports that is run by hand."""

    def session(self) -> SessionData:
        """See `Reporting`."""
        raise no_session("outside a run there is no session")

    def use(self, tokens: int, cost: float) -> None:
        """See `Reporting`."""
        return

    def touch(self, path: str | PathLike[str]) -> None:
        """See `Reporting`."""
        return

    def save(self, name: str, source: bytes | str | PathLike[str], media_type: str) -> None:
        """See `Reporting`."""
        return


NOWHERE = Nowhere()
