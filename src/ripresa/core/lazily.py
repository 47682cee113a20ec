"""Collections that most runs never need: made when they are first looked at.

A thousand runs that start at once pay for every object that each of them holds, most of all to the garbage collector.
What every run looks at is better made at once: reading an attribute of this kind costs a call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Late(Generic[T]):
    """An attribute that is made when it is first read. `name = Late(dict)` keeps it in a slot `_name`."""

    __slots__ = ("_make", "_slot")

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make

    def __set_name__(self, owner: type, name: str) -> None:
        self._slot = f"_{name}"

    def __get__(self, instance: object, owner: type | None = None) -> T:
        try:
            found: T = getattr(instance, self._slot)
        except AttributeError:
            found = self._make()
            setattr(instance, self._slot, found)
        return found

    def __set__(self, instance: object, value: T) -> None:
        setattr(instance, self._slot, value)
