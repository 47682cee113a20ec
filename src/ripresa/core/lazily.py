"""Collections that most runs never need: made when they are first looked at.

A thousand runs that start at once pay for every object that each of them holds, most of all to the garbage collector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar


class Lazily:
    """An object with slots, some of which stay empty until they are read: `made_late` says how each is made then."""

    __slots__ = ()

    made_late: ClassVar[Mapping[str, Callable[[], Any]]]

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """What a slot holds that is empty yet; nobody has looked at it before."""
            make = self.made_late.get(name)
            if make is None:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            made = make()
            setattr(self, name, made)
            return made
