"""What may be sent to a run: named and typed, known to who sends and who waits alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from .core.names import check_name
from .errors import InvalidConfig

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Signal(Generic[T]):
    """A message in, without answer: `edited = Signal("edited", Draft)`.

    Raises `InvalidConfig` for a name that is none.
    """

    name: str
    type: type[T]

    def __post_init__(self) -> None:
        wrong = check_name(self.name, "name")
        if wrong:
            raise InvalidConfig(wrong, op=type(self).__name__)
