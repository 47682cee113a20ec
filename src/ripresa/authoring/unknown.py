"""The answer of a reconciliation that does not know either."""

from __future__ import annotations

from typing_extensions import override


class Unknown:
    """Returned by a step's `reconcile` function, also as the class: it cannot be found out, ask a person."""

    @override
    def __repr__(self) -> str:
        return "Unknown()"
