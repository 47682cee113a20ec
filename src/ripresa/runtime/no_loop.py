"""What stands where the event loop would be while a durable function is stepped: whatever asks for it is an error."""

from __future__ import annotations

from typing import Any

from ..errors import RipresaError
from ..users_code import users_line


class _NoLoop:
    """Stands where the event loop would be while a durable function is stepped."""

    def __getattr__(self, name: str) -> Any:
        raise foreign("the event loop", users_line())

    def __hash__(self) -> int:  # to find the current task by its loop
        raise foreign("the event loop", users_line())


NO_LOOP: Any = _NoLoop()


def foreign(what: str, where: str) -> RipresaError:
    """The error for anything that a durable function may not wait for, with where it is asked for."""
    return RipresaError(
        f"a durable function cannot wait for {what}",
        code="foreign_await",
        where=where,
        hint="await steps, flows, workflows and its context; put everything else into a @step",
    )
