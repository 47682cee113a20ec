"""What can be gone over in order: the type of whatever maps, loops and streams of lists take."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

T_co = TypeVar("T_co", covariant=True)


class Items(Protocol[T_co]):
    """A finite, ordered collection. Not `str` (its `__contains__` takes `str`), not a set (no order to replay)."""

    def __len__(self) -> int:
        """How many."""
        ...

    def __iter__(self) -> Any:
        """In order."""
        ...

    def __contains__(self, value: object, /) -> bool:
        """Whether it is among them."""
        ...

    def __getitem__(self, index: int, /) -> T_co:
        """The one at an index from 0."""
        ...
