"""Feature flags where workflows are written: a factory of what is switched off there makes nothing."""

from __future__ import annotations

from ..context import switched_off
from ..errors import RipresaError


def require(feature: str, op: str) -> None:
    """Raise `RipresaError(invalid_state)` if the settings in force have switched this feature off."""
    if feature in switched_off():
        raise RipresaError(
            f"{op} belongs to {feature}, which the settings in force have switched off",
            code="invalid_state",
            op=op,
            hint=f"set features.{feature} to true",
        )
