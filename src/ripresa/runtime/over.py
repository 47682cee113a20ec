"""The end of driving a run, for whoever waits for it: any number of waiters, each of which may be cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..core.lazily import Late


class Over:
    """Whether a run is not driven here any more, and the error that kept it from going on, if one did."""

    __slots__ = ("_done", "_error", "_then", "_waiting")

    waiting = Late[list[asyncio.Future[None]]](list)
    then = Late[list[Callable[[], None]]](list)
    """What is called when it is over."""

    def __init__(self) -> None:
        self._done = False
        self._error: BaseException | None = None

    def done(self) -> bool:
        """Whether it is over."""
        return self._done

    def set(self, error: BaseException | None) -> None:
        """It is over, perhaps for an error."""
        self._done, self._error = True, error
        for waiter in self.waiting:
            if not waiter.done():
                waiter.set_result(None)
        for call in self.then:
            call()

    def result(self) -> None:
        """Raise what kept the run from going on."""
        if self._error is not None:
            raise self._error

    async def wait(self) -> None:
        """Return when it is over, whatever it ended with."""
        if self._done:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append(waiter)
        try:
            await waiter
        finally:
            self.waiting.remove(waiter)
