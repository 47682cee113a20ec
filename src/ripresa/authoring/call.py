"""A call: a step, flow or workflow with its arguments, of which nothing has happened yet."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from typing import Any, Final, TypeAlias, TypeVar

from ..context import in_function
from ..errors import RipresaError
from ..foreign import family_of, is_agent_like
from ..users_code import users_line

R = TypeVar("R")

Call: TypeAlias = Coroutine[Any, Any, R]
"""The static type of a call: exactly `Coroutine`, so that both type checkers report a forgotten await."""


_CALL_IT: Final = "call the step or workflow: name(arguments)"


class Pending:
    """What a call is at run time. Awaiting it runs it: journaled inside a durable function, by itself elsewhere.

    `callee` is what was called; `perform` runs it by itself.
    """

    __slots__ = ("args", "callee", "kwargs", "perform")

    def __init__(
        self,
        callee: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        perform: Callable[[], Coroutine[Any, Any, Any]],
    ) -> None:
        self.callee = callee
        self.args = args
        self.kwargs = kwargs
        self.perform = perform

    def __await__(self) -> Generator[Any, Any, Any]:
        if in_function():
            return (yield self)
        return (yield from self.perform().__await__())

    def __repr__(self) -> str:
        given = [repr(arg) for arg in self.args] + [f"{name}={value!r}" for name, value in self.kwargs.items()]
        return f"<call {self.callee.name}({', '.join(given)})>"

    def close(self) -> None:
        """Nothing has begun, so there is nothing to close (calls are typed as coroutines)."""


def closed(coroutine: Any) -> str:
    """Close a coroutine that nobody will await; gives its name."""
    coroutine.close()
    return str(getattr(coroutine, "__qualname__", coroutine))


def pending(call: object, op: str) -> Pending:
    """The call that something is. Raises `RipresaError(usage)` for a plain coroutine or anything else."""
    if isinstance(call, Pending):
        return call
    if isinstance(call, Coroutine):
        raise RipresaError(
            f"{closed(call)} is a plain coroutine",
            code="usage",
            op=op,
            where=users_line(),
            hint="make its function a @step",
        )
    agent = family_of(call) is not None or is_agent_like(call)
    hint = "make a flow of it, and call that: chain(agent)(input)" if agent else _CALL_IT
    raise RipresaError(f"{shortened(call)} is no call", code="usage", op=op, where=users_line(), hint=hint)


def shortened(value: object, most: int = 80) -> str:
    """How a value shows itself, cut off where that is long: of other people's objects it may be pages."""
    text = repr(value)
    return text if len(text) <= most else f"{text[: most - 1]}…"
