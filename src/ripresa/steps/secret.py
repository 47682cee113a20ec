"""Where secrets stand: named in code, read when they are used, and never written down."""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from ..errors import InvalidConfig, StepError

HIDDEN: Final = "***"
"""What stands in the place of a secret."""

_SALT: Final = os.urandom(16)

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


class KnownSecret(Secret):
    """A secret that whoever makes a call holds already, as code that reads it elsewhere does; shown as nothing.

    It is told from others, in this process, without being known by what tells it.
    """

    __slots__ = ("_value",)
    _value: str

    def __init__(self, value: str) -> None:
        digest = hmac.digest(_SALT, value.encode("utf-8", "surrogatepass"), "sha256").hex()[:32]
        object.__setattr__(self, "_value", value)
        object.__setattr__(self, "reference", f"known:{digest}")

    def read(self) -> str:
        """The secret. Raises `StepError(secret_missing)` for an empty one."""
        if not self._value.strip():
            raise _missing("a value", "it is empty")
        return self._value


def _missing(reference: str, why: str) -> StepError:
    hint = "set it for the process that runs the step"
    return StepError(f"there is no secret at {reference}: {why}", code="secret_missing", retryable=False, hint=hint)


def is_line(value: object) -> bool:
    """Whether a value can stand in a header: one line of plain ASCII."""
    return isinstance(value, str) and value.isascii() and (value == "" or value.isprintable())


def line_of(secret: Secret) -> str:
    """The secret, which is one line. Raises `StepError(secret_missing)`."""
    value = secret.read()
    if not is_line(value):
        raise StepError(f"the secret at {secret.reference} is not one line", code="secret_missing", retryable=False)
    return value


def hide(text: str, secrets: Iterable[str]) -> str:
    """The text without these secrets."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORT:
            text = text.replace(secret, HIDDEN)
    return text


def without(value: Any, hidden: Callable[[str], str]) -> Any:
    """A JSON value whose texts are told as `hidden` says."""
    if isinstance(value, str):
        return hidden(value)
    if isinstance(value, list):
        parts: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
        return [without(each, hidden) for each in parts]
    if isinstance(value, dict):
        return {hidden(name): without(each, hidden) for name, each in cast("dict[str, Any]", value).items()}
    return value
