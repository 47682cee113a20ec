"""What the members of a team told each other in a run, as lines that a test compares."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ..client import Handle
from ..interactions import TO_MODELS


async def exchanges(handle: Handle[Any], *, without: Collection[str] = TO_MODELS) -> list[str]:
    """`["lead delegate researcher", "researcher reply lead"]`: sender, kind and receiver of each, in order.

    What is said to models and by them is left out, or what is of the kinds in `without`.
    """
    found = await handle.interactions()
    return [f"{each.sender} {each.kind} {each.receiver}" for each in found if each.kind not in without]
