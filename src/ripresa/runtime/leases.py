"""Holds what a sender of one's own is delivering, so that others leave it alone for as long as this process lives.

Law: what was held is due again soon after its process has died, and never while the sender is at work: a lease is
short, and renewed in time.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from ..core.durations import MICROSECONDS
from ..errors import StoreError
from ..ports import Alarm, Outgoing

if TYPE_CHECKING:
    from .engine import Engine

LEASE: Final = 5 * MICROSECONDS
"""How long others leave alone what nobody says any more that it is being delivered."""

RENEWALS: Final = 3
"""How often a lease is renewed within its length."""


class Lease:
    """One delivery that is under way; `parcel` is as the store has it."""

    def __init__(self, engine: Engine, parcel: Outgoing) -> None:
        self.parcel = parcel
        self._engine = engine
        self._alarm: Alarm | None = None
        self._renewing: asyncio.Task[None] | None = None

    async def take(self) -> bool:
        """Begin to hold it; False if somebody else delivers it."""
        held = self.parcel._replace(due=self._engine.clock.now() + LEASE)
        if not await self._engine.store.postpone(self.parcel, held):
            return False
        self.parcel = held
        self._alarm = self._engine.clock.call_at(held.due - LEASE + LEASE // RENEWALS, self._renew)
        return True

    async def end(self) -> None:
        """Hold it no longer. What is being written to the store is waited for."""
        assert self._alarm is not None, "it is held"
        self._alarm.cancel()
        if self._renewing is not None:
            await asyncio.wait([self._renewing])
            self._alarm.cancel()

    def _renew(self) -> None:
        self._renewing = self._engine.loop.create_task(self._again(), name="ripresa lease")

    async def _again(self) -> None:
        try:
            await self.take()  # or somebody else has begun to deliver it, while this process stood still
        except StoreError:  # there is another try before the lease is over
            self._alarm = self._engine.clock.call_at(self._engine.clock.now() + LEASE // RENEWALS, self._renew)
