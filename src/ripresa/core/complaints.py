"""What is wrong with several options of one call, collected so that one error names all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..errors import InvalidConfig


class Complaints(list[str]):
    """Complaints, with the errors that some of them come of."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        super().__init__(known)
        self.errors: list[InvalidConfig] = []

    def read(self, make: Callable[..., Any], *given: Any) -> Any:
        """What can be made of an option; None where that raises `InvalidConfig`, which is noted."""
        try:
            return make(*given)
        except InvalidConfig as error:
            self.append(error.message)
            self.errors.append(error)
            return None

    def refuse(self, op: str, where: str = "", hint: str = "") -> None:
        """Raise `InvalidConfig` with all of them, if there is one."""
        if not self:
            return
        hints = dict.fromkeys(filter(None, (hint, *(error.said for error in self.errors))))
        places = [error.where for error in self.errors if error.where]
        where = where or (places[0] if len(self) == 1 and places else "")
        error = InvalidConfig("; ".join(self), op=op, where=where, hint="; ".join(hints))
        error.complaints = tuple(self)
        raise error
