"""Pools: a bounded number of members (agents, devices, connections) that steps take one at a time."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Generic, overload

from typing_extensions import TypeVar

from ..context import current, holding
from ..core.calling import told_of
from ..errors import RipresaError
from .options import bad_count, check_name, refuse

T = TypeVar("T")


@told_of
class Pool(Generic[T]):
    """Members that are lent to one attempt at a time, in order of arrival, by each app for itself.

    `members` are what is lent; with `size` instead they are the numbers from 0. A step declared with
    `@step(pool=gpus)` holds a member for each attempt; `async with gpus.take() as gpu:` takes one inside a step.
    `health` is asked about a member before it is lent; one that is not well is replaced by what `replace(member)`
    gives, or passed over while there is no `replace`. Both may be async.

    Raises `InvalidConfig` that names every bad option.
    """

    @overload
    def __init__(
        self: Pool[int],
        name: str,
        *,
        size: int,
        health: Callable[[int], bool | Awaitable[bool]] | None = ...,
        replace: Callable[[int], int | Awaitable[int]] | None = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        name: str,
        members: Iterable[T],
        *,
        health: Callable[[T], bool | Awaitable[bool]] | None = ...,
        replace: Callable[[T], T | Awaitable[T]] | None = ...,
    ) -> None: ...
    def __init__(
        self,
        name: str,
        members: Iterable[Any] | None = None,
        *,
        size: int | None = None,
        health: Callable[[Any], Any] | None = None,
        replace: Callable[[Any], Any] | None = None,
    ) -> None:
        found = None if members is None else list(members)
        refuse(
            "Pool",
            check_name(name, "name"),
            "either members or size must be given" if (found is None) == (size is None) else None,
            bad_count(size, "size", optional=True),
            "members is empty: nobody could ever take one" if found == [] else None,
            _bad_callable(health, "health"),
            _bad_callable(replace, "replace"),
            "replace is asked only where health says no" if replace is not None and health is None else None,
        )
        self.name = name
        self.members: tuple[Any, ...] = tuple(range(size or 0) if found is None else found)
        self.health = health
        self.replace = replace

    def __repr__(self) -> str:
        return f"<pool {self.name} of {len(self.members)}>"

    def take(self) -> AbstractAsyncContextManager[T]:
        """Hold a member while a block of a step runs: `async with gpus.take() as gpu:`.

        Waits in order of arrival; the member is given back when the block ends, however it ends. Raises
        `RipresaError(workflow_deadlock)` instead of waiting for what could never come, `pool_unhealthy` if no member
        is well. Outside a run nobody else takes any: the first member, at once.
        """
        return _take(self)

    def mine(self) -> T:
        """The member that the running code holds, the one taken last. Raises `RipresaError(usage)` if it holds none."""
        for hold in reversed(current().holds):
            if hold.pool == self.name:
                member: T = hold.member
                return member
        raise RipresaError(
            f"no member of pool {self.name!r} is held here",
            code="usage",
            op="pool",
            hint=f"declare the step with pool={self.name!r}, or take one: async with pool.take() as member",
        )

    async def well(self, member: Any) -> tuple[bool, Any]:
        """Whether there is a member that can be lent in the place of this one, and which: itself, or its successor."""
        if self.health is None or await _answer(self.health(member)):
            return True, member
        if self.replace is None:
            return False, member
        return True, await _answer(self.replace(member))


def _bad_callable(value: object, option: str) -> str | None:
    return None if value is None or callable(value) else f"{option} is {value!r}, must be a function of a member"


async def _answer(answer: Any) -> Any:
    return await answer if inspect.isawaitable(answer) else answer


@asynccontextmanager
async def _take(pool: Pool[T]) -> AsyncGenerator[T, None]:
    async with current().checkout(pool) as hold:
        with holding(hold):
            yield hold.member
