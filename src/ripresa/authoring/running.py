"""Runs workflows in memory: the one place where `workflow` looks up, to the runtime, and only when something is run.

See docs/decisions/0001-context-below-workflow.md.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from ..core.events import Recorded


async def run(runnable: Any, args: tuple[Any, ...], kwargs: dict[str, Any], id: str = "") -> Any:
    """Run to the end, in this process, with nothing kept; gives the result or raises."""
    from ..runtime.memory import run as run_in_memory

    return await run_in_memory(runnable, args, kwargs, id)


def stream(runnable: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> AsyncIterator[Recorded]:
    """The same, told while it happens: the events of the run."""
    from ..runtime.memory import stream as stream_in_memory

    return stream_in_memory(runnable, args, kwargs)


def items(plan: Any, argument: Any) -> AsyncGenerator[Any]:
    """The items of a stream that has no sink, in this process."""
    from ..runtime.memory import items as items_in_memory

    return items_in_memory(plan, argument)
