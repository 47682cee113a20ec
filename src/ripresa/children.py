"""Runs that a durable function starts: each of its own, with its own journal, started once, its end waited for."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

from .function_context import Awaited
from .messages import Signal
from .requested import AwaitChild, OnClose, SendOut, StartRun

R = TypeVar("R")
T = TypeVar("T")


class Child(Generic[R]):
    """A run that this durable function has started. What is asked of it is delivered by the outbox, in order."""

    def __init__(self, id: str, name: str, output_type: Any) -> None:
        self.id = id
        self._name = name
        self._output_type = output_type
        self._result: R
        self._heard = False

    def __repr__(self) -> str:
        return f"<child run {self.id}>"

    async def result(self) -> R:
        """Wait for its end, across restarts; its result.

        Raises `RunFailed` (its cause is the step's own exception) if it failed or could not be started, and
        `RunCancelled`. To give up waiting, race it with `ctx.sleep`: that does not cancel the run.
        """
        if not self._heard:
            self._result = await Awaited(AwaitChild(self.id, self._name, self._output_type))
            self._heard = True
        return self._result

    async def send(self, signal: Signal[T], value: T, /, *, id: str = "") -> None:
        """Send it a signal; recorded on return, delivered after that, counted once.

        Raises `InvalidValue` for a value of another type.
        """
        await Awaited(SendOut("signal", self.id, signal.name, signal.type, value, id))

    async def cancel(self, reason: str = "") -> None:
        """Ask it to stop and clean up; recorded on return. Whether it has ended already shows in its result."""
        await Awaited(SendOut("cancel", self.id, "cancel", str, reason))

    async def terminate(self, reason: str = "") -> None:
        """Kill it: nothing is cleaned up; recorded on return."""
        await Awaited(SendOut("terminate", self.id, "terminate", str, reason))


async def start(call: Coroutine[Any, Any, R], id: str, on_close: OnClose) -> Child[R]:
    """See `Context.start`."""
    started: tuple[str, str, Any] = await Awaited(StartRun(call, id, on_close))
    return Child(*started)
