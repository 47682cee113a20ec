"""The session of a run as its durable functions see it: what they read and change is done by steps.

Law: replay finds what the function found, for the steps are journaled; a change is made once, with its step.
"""

from __future__ import annotations

from typing import Any

from pydantic_core import to_json

from ..authoring.encoding import decode
from ..authoring.step import step
from ..context import current


@step(effect="read")
async def session_id() -> str:
    """Which session the run belongs to now."""
    return current().session.id


@step(effect="read")
async def session_get(name: str) -> list[Any]:
    """The value of this name, or nothing."""
    session = current().session
    found = session.get(name)
    return [found] if found is not None or name in session.names() else []


@step(effect="read")
async def session_names() -> list[str]:
    """The names of all values."""
    return current().session.names()


@step
async def session_set(name: str, value: Any) -> None:
    """Let a value be another."""
    current().session.set(name, value)


@step
async def session_delete(name: str) -> None:
    """Forget a value."""
    current().session.delete(name)


@step
async def session_add(name: str, amount: Any) -> None:
    """Add to a number."""
    current().session.add(name, amount)


@step
async def session_append(name: str, item: Any) -> None:
    """Append to a list."""
    current().session.append(name, item)


@step
async def session_merge(name: str, fields: dict[str, Any]) -> None:
    """Set fields of an object."""
    current().session.merge(name, **fields)


@step(effect="read")
async def limits_left() -> dict[str, float]:
    """How much is left of each limit."""
    return current().left()


class JournaledSession:
    """See `reporting.FunctionSession`."""

    async def id(self) -> str:
        """Which session the run belongs to now."""
        return await session_id()

    async def get(self, name: str, kind: Any = Any, default: Any = None, /) -> Any:
        """The value of this name, decoded as `kind`, or the default."""
        found = await session_get(name)
        return decode(to_json(found[0]), kind, where=f"session, {name!r}") if found else default

    async def names(self) -> list[str]:
        """The names of all values."""
        return await session_names()

    async def set(self, name: str, value: object, /) -> None:
        """Let a value be another."""
        await session_set(name, value)

    async def delete(self, name: str, /) -> None:
        """Forget a value."""
        await session_delete(name)

    async def add(self, name: str, amount: float, /) -> None:
        """Add to a number."""
        await session_add(name, amount)

    async def append(self, name: str, item: object, /) -> None:
        """Append to a list."""
        await session_append(name, item)

    async def merge(self, name: str, /, **fields: object) -> None:
        """Set fields of an object."""
        await session_merge(name, fields)
