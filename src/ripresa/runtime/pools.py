"""Lends the members of an app's pools to attempts, in order of arrival, and refuses to wait for what can never come.

Law: an attempt takes the member of its step's own pool after all its slots (see `slots`), so that only what is taken,
or waited for, inside steps can close a cycle (see `waits`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from ..authoring.pool import Pool
from ..errors import InvalidConfig, RipresaError
from ..reporting import Hold
from .waits import Wait, Waits


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """A pool at this moment: how many members it has, and how many are free and held; how many attempts wait."""

    name: str
    size: int
    free: int
    held: int
    waiting: int


class State:
    """The members of one pool: free, held, or set aside because they are not well; and who waits for one."""

    def __init__(self, pool: Pool[Any]) -> None:
        self.pool = pool
        self.size = len(pool.members)
        self.free: deque[Any] = deque(pool.members)
        self.holds: dict[Hold, None] = {}
        self.aside = 0
        self.waits: deque[asyncio.Future[Any]] = deque()
        """The queue: the members that will be given."""

    @property
    def name(self) -> str:
        """See `Scarce`."""
        return self.pool.name

    def give_back(self, member: Any) -> None:
        """Lend a member to the first in the queue, or keep it free."""
        while self.waits:
            given = self.waits.popleft()
            if not given.done():
                given.set_result(member)
                return
        self.free.append(member)

    def drained(self) -> bool:
        """Whether nobody will give a member back: all have been set aside."""
        return self.aside == self.size


class Pools:
    """The pools of one app, by name."""

    def __init__(self, declared: Iterable[Pool[Any]] = (), waits: Waits | None = None) -> None:
        self._waits = Waits() if waits is None else waits
        self._states: dict[str, State] = {}
        for pool in declared:
            self._known(pool)

    def status(self) -> list[PoolStatus]:
        """All pools as they stand."""
        return [
            PoolStatus(name, state.size, len(state.free), len(state.holds), len(state.waits))
            for name, state in self._states.items()
        ]

    @asynccontextmanager
    async def take(
        self, pool: Pool[Any] | str, who: str, holds: tuple[Hold, ...] = (), run: str = ""
    ) -> AsyncGenerator[Hold, None]:
        """Hold a member; `holds` is what `who`, in this run, goes on holding meanwhile.

        Raises `RipresaError` with the codes `unknown_pool`, `pool_unhealthy` or `workflow_deadlock`.
        """
        state = self._find(pool)
        hold = Hold(state.pool.name, await self._checkout(Wait(state, who, run, holds), state), who)
        state.holds[hold] = None
        try:
            yield hold
        finally:
            del state.holds[hold]
            state.give_back(hold.member)

    def _known(self, pool: Pool[Any]) -> State:
        state = self._states.get(pool.name)
        if state is None:
            state = self._states[pool.name] = State(pool)
        elif state.pool is not pool:
            raise InvalidConfig(
                f"there are two pools named {pool.name!r}", code="duplicate_name", op="pool", hint="rename one of them"
            )
        return state

    def _find(self, pool: Pool[Any] | str) -> State:
        if isinstance(pool, Pool):
            return self._known(pool)
        state = self._states.get(pool)
        if state is None:
            there = ", ".join(self._states) or "none"
            raise RipresaError(
                f"the app has no pool named {pool!r}",
                code="unknown_pool",
                op="pool",
                hint=f"it has {there}; declare it with App(pools=[...]), or give the step the pool instead of its name",
            )
        return state

    async def _checkout(self, wait: Wait, state: State) -> Any:
        """A member that is well. Those that are not are kept back until this ends, in whatever way."""
        sick: list[Any] = []
        try:
            while True:
                member = state.free.popleft() if state.free else await self._wait(wait, state)
                try:
                    fine, member = await state.pool.well(member)
                except BaseException:
                    state.give_back(member)
                    raise
                if fine:
                    return member
                sick.append(member)
                state.aside += 1
                if state.drained():
                    raise _unhealthy(state)
        finally:
            state.aside -= len(sick)
            for member in sick:
                state.give_back(member)

    async def _wait(self, wait: Wait, state: State) -> Any:
        given: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        state.waits.append(given)
        try:
            with self._waits.waiting(wait):
                return await given
        except BaseException:
            if given.done() and not given.cancelled():  # it was given a member and cannot take it any more
                state.give_back(given.result())
            elif given in state.waits:
                state.waits.remove(given)
            raise


def _unhealthy(state: State) -> RipresaError:
    return RipresaError(
        f"no member of pool {state.pool.name!r} is well",
        code="pool_unhealthy",
        op="pool",
        hint="a step with retry= tries again later; or give the pool a replace=",
    )
