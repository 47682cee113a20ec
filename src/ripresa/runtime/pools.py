"""Lends the members of an app's pools to attempts, in order of arrival, and refuses to wait for what can never come.

Law: an attempt takes the member of its step's own pool after all its slots (see `slots`), so that only what is taken
inside steps can close a cycle. A wait is stuck if every member is held by somebody who waits, while holding it, for
something that is stuck in turn; only a new wait can make one, so it is enough to look when one begins.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from ..authoring.pool import Pool
from ..context import Hold
from ..errors import InvalidConfig, RipresaError


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """A pool at this moment: how many members it has, and how many are free and held; how many attempts wait."""

    name: str
    size: int
    free: int
    held: int
    waiting: int


@dataclass(slots=True, eq=False)
class Wait:
    """Somebody in the queue of a pool: who, what they hold meanwhile, and the member that they will be given."""

    state: State
    who: str
    holds: tuple[Hold, ...]
    given: asyncio.Future[Any]


class State:
    """The members of one pool: free, held, or set aside because they are not well; and who waits for one."""

    def __init__(self, pool: Pool[Any]) -> None:
        self.pool = pool
        self.size = len(pool.members)
        self.free: deque[Any] = deque(pool.members)
        self.holds: dict[Hold, None] = {}
        self.aside = 0
        self.waits: deque[Wait] = deque()

    def give_back(self, member: Any) -> None:
        """Lend a member to the first in the queue, or keep it free."""
        while self.waits:
            wait = self.waits.popleft()
            if not wait.given.done():
                wait.given.set_result(member)
                return
        self.free.append(member)

    def drained(self) -> bool:
        """Whether nobody will give a member back: all have been set aside."""
        return self.aside == self.size


class Pools:
    """The pools of one app, by name."""

    def __init__(self, declared: Iterable[Pool[Any]] = ()) -> None:
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
    async def take(self, pool: Pool[Any] | str, who: str, holds: tuple[Hold, ...] = ()) -> AsyncGenerator[Hold, None]:
        """Hold a member; `holds` is what `who` goes on holding meanwhile.

        Raises `RipresaError` with the codes `unknown_pool`, `pool_unhealthy` or `workflow_deadlock`.
        """
        state = self._find(pool)
        hold = Hold(state.pool.name, await self._checkout(state, who, holds), who)
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
                hint=f"it has {there}; declare it with App(pools=[...]), or give the step the pool instead of its name",
            )
        return state

    async def _checkout(self, state: State, who: str, holds: tuple[Hold, ...]) -> Any:
        """A member that is well. Those that are not are kept back until this ends, in whatever way."""
        sick: list[Any] = []
        try:
            while True:
                member = state.free.popleft() if state.free else await self._wait(state, who, holds)
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

    async def _wait(self, state: State, who: str, holds: tuple[Hold, ...]) -> Any:
        wait = Wait(state, who, holds, asyncio.get_running_loop().create_future())
        state.waits.append(wait)
        try:
            if holds:
                self._refuse_cycle(wait)
            return await wait.given
        except BaseException:
            if wait.given.done() and not wait.given.cancelled():  # it was given a member and cannot take it any more
                state.give_back(wait.given.result())
            elif wait in state.waits:
                state.waits.remove(wait)
            raise

    # --- who waits for whom

    def _refuse_cycle(self, wait: Wait) -> None:
        stuck = self._stuck()
        if wait in stuck:
            raise RipresaError(
                f"this would wait for ever: {'; '.join(_cycle(wait, stuck))}",
                code="workflow_deadlock",
                op="pool",
                hint="take pools in the same order everywhere, or give one back before taking the other",
            )

    def _stuck(self) -> dict[Wait, None]:
        """The waits that can never end: what is left when all those that can have been taken out, again and again."""
        waits = [wait for state in self._states.values() for wait in state.waits]
        while True:
            blocked = {hold for wait in waits for hold in wait.holds}
            left = [wait for wait in waits if _is_stuck(wait.state, blocked)]
            if len(left) == len(waits):
                return dict.fromkeys(left)
            waits = left


def _is_stuck(state: State, blocked: set[Hold]) -> bool:
    return len(state.holds) + state.aside == state.size and all(hold in blocked for hold in state.holds)


def _cycle(wait: Wait, stuck: dict[Wait, None]) -> list[str]:
    """The cycle that a stuck wait is in, or leads to, in words."""
    seen: dict[Wait, None] = {}
    while wait not in seen:
        seen[wait] = None
        hold = next(iter(wait.state.holds))
        wait = next(other for other in stuck if hold in other.holds)
    chain = list(seen)
    return [
        f"{item.who} holds {', '.join(repr(hold.pool) for hold in item.holds)} and waits for {item.state.pool.name!r}"
        for item in chain[chain.index(wait) :]
    ]


def _unhealthy(state: State) -> RipresaError:
    return RipresaError(
        f"no member of pool {state.pool.name!r} is well",
        code="pool_unhealthy",
        op="pool",
        hint="a step with retry= tries again later; or give the pool a replace=",
    )
