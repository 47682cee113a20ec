"""A node that a run cannot get past: it opens, and waits for nothing."""

from __future__ import annotations

from typing import Any, ClassVar

from ripresa.core.nodes.node import Scope


class Silent(Scope[Any]):
    kind: ClassVar[str] = "silent"

    def open(self, run: Any, frame: Any) -> None:
        """Do nothing; nobody will ever hear of it again."""
