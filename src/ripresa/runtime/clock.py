"""The time of the machine, and waits on the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from ..core.durations import MICROSECONDS
from ..ports import Alarm, Clock


class SystemClock:
    """`ports.Clock` over the machine's clock."""

    def now(self) -> int:
        """Microseconds since 1970 UTC."""
        return time.time_ns() // 1000

    def call_at(self, due: int, callback: Callable[[], None]) -> Alarm:
        """Call back at `due` or soon after; never before, even if the machine's clock is set back meanwhile."""
        wait = (due - self.now()) / MICROSECONDS
        return asyncio.get_running_loop().call_later(max(0.0, wait), callback)


async def sleep(clock: Clock, seconds: float) -> None:
    """Wait at least this long by a clock."""
    woken = asyncio.Event()
    alarm = clock.call_at(clock.now() + round(seconds * MICROSECONDS), woken.set)
    try:
        await woken.wait()
    finally:
        alarm.cancel()


@asynccontextmanager
async def time_limit(
    clock: Clock, seconds: float, give_up: tuple[float, Callable[[], None]] | None = None
) -> AsyncGenerator[asyncio.Timeout]:
    """`asyncio.timeout` by a clock: what takes longer is cancelled and is a `TimeoutError`.

    `give_up` is called if it has not stopped so many seconds (of the event loop) after that.
    """
    async with asyncio.timeout(None) as limit:
        patience: list[asyncio.TimerHandle] = []

        def expire() -> None:
            limit.reschedule(0)  # a moment of the loop that is past: now
            if give_up is not None:
                patience.append(asyncio.get_running_loop().call_later(*give_up))

        alarm = clock.call_at(clock.now() + round(seconds * MICROSECONDS), expire)
        try:
            yield limit
        finally:
            alarm.cancel()
            for handle in patience:
                handle.cancel()
