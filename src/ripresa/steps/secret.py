"""Where secrets stand: named in code, read when they are used, and never written down."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..errors import InvalidConfig, StepError

HIDDEN: Final = "***"
"""What stands in the place of a secret."""

_SHORT: Final = 4
"""Values of fewer characters are not looked for in texts: they stand in everything."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A reference to a secret: `Secret("env:GITHUB_TOKEN")` or `Secret("file:/run/secrets/token")`.

    It is read whenever it is used. Only the reference can be shown, compared or written; the value is in no event, log
    or error. Raises `InvalidConfig` for a reference of another kind.
    """

    reference: str

    def __post_init__(self) -> None:
        kind, _, place = str(self.reference).partition(":")
        if kind not in ("env", "file") or not place:
            raise InvalidConfig(
                "the reference of a secret is not 'env:NAME' or 'file:PATH'",  # which may be the secret itself
                op="Secret",
                hint='write Secret("env:NAME"), never the secret itself',
            )

    def read(self) -> str:
        """The secret, without the line break at its end. Raises `StepError(secret_missing)`."""
        kind, _, place = self.reference.partition(":")
        if kind == "env":
            value = os.environ.get(place, "")
        else:
            try:
                value = Path(place).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise _missing(self.reference, type(error).__name__) from None
        if not value.strip():
            raise _missing(self.reference, "it is not set, or empty")
        return value.rstrip("\r\n")


def _missing(reference: str, why: str) -> StepError:
    hint = "set it for the process that runs the step"
    return StepError(f"there is no secret at {reference}: {why}", code="secret_missing", retryable=False, hint=hint)


def hide(text: str, secrets: Iterable[str]) -> str:
    """The text without these secrets."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORT:
            text = text.replace(secret, HIDDEN)
    return text
