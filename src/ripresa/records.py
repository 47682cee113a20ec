"""How facts, wishes and other plain records are declared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def record(kind: type[T]) -> type[T]:
    """A slotted dataclass that is never changed: both type checkers refuse what would change it.

    Python itself does not. What makes it (`frozen=True`) costs a call for each field of each record that is made, and
    every step makes several (decision 0047).
    """
    return dataclass(slots=True, unsafe_hash=True)(kind)
