"""How often a step is tried again, and when: a frozen value with pure methods."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import PurePath
from typing import Any, Final, Literal, TypeAlias, cast

from ..errors import InvalidConfig
from .calling import told_of
from .complaints import Complaints
from .durations import Duration, seconds
from .events import Failure

Backoff: TypeAlias = Literal["fixed", "linear", "exponential"]

LOST_ATTEMPTS: Final = 5
"""How many attempts a step may have at least when its process dies under it."""


def _names_one_of(failure: Failure, names: tuple[str, ...]) -> bool:
    return any(name in names for name in (failure.code, *failure.types))


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _names(given: Any, option: str) -> tuple[str, ...]:
    several = isinstance(given, Iterable) and not isinstance(given, str | type)
    kinds = list(cast("Iterable[Any]", given if several else [given]))
    if not all(isinstance(kind, str) or _is_exception(kind) for kind in kinds):
        raise InvalidConfig(f"{option} is {given!r}, must be exception types or codes of failures", op="Retry")
    return tuple(kind if isinstance(kind, str) else type_key(kind) for kind in kinds)


def _is_exception(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseException)


def type_key(kind: type) -> str:
    """The name under which a failure records an exception type: the same however its file was loaded."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{module_key(kind.__module__)}.{kind.__qualname__}"


FILE_MODULE: Final = "__file_"
"""How the names of modules begin that were loaded from a file by its path."""


def module_key(name: str) -> str:
    """The name of a module; for a program (`__main__`) or a file loaded by its path the one it would be imported by.

    A run is begun by `python survey.py` and taken up by `ripresa resume`: its exception types must not change names.
    """
    if name != "__main__" and not name.startswith(FILE_MODULE):
        return name
    module = sys.modules.get(name)
    spec, file = getattr(module, "__spec__", None), getattr(module, "__file__", None)
    if spec is not None and spec.name not in ("__main__", name):  # python -m
        return str(spec.name)
    return PurePath(file).stem if file else name


@told_of
@dataclass(frozen=True, slots=True, init=False)
class Retry:
    """Try a step up to `attempts` times in all (1: once, no second try).

    Before attempt n+1 it waits `wait` (fixed), n * `wait` (linear) or `wait` * 2**(n-1) (exponential), at most
    `max_wait`, spread by `jitter`: 0.1 means up to ten per cent more or less, the same in every replay. Which
    failures count: `on` names exception types or codes, `never` those that end it at once; without them the failure
    says itself whether it is retryable.
    """

    attempts: int
    wait: float
    backoff: Backoff
    max_wait: float
    jitter: float
    on: tuple[str, ...]
    never: tuple[str, ...]

    def __init__(
        self,
        attempts: int = 3,
        wait: Duration = 1.0,
        *,
        backoff: Backoff = "exponential",
        max_wait: Duration = timedelta(minutes=1),
        jitter: float = 0.1,
        on: type[BaseException] | str | Iterable[type[BaseException] | str] = (),
        never: type[BaseException] | str | Iterable[type[BaseException] | str] = (),
    ) -> None:
        bad = Complaints()
        if not _is_count(attempts):
            bad.append(f"attempts is {attempts!r}, must be a whole number from 1 (the first try counts)")
        if backoff not in ("fixed", "linear", "exponential"):
            bad.append(f"backoff is {backoff!r}, must be 'fixed', 'linear' or 'exponential'")
        if not _is_number(jitter) or not 0 <= jitter <= 1:
            bad.append(f"jitter is {jitter!r}, must be from 0 to 1")
        read = {
            "attempts": attempts,
            "wait": bad.read(seconds, wait, "wait"),
            "backoff": backoff,
            "max_wait": bad.read(seconds, max_wait, "max_wait"),
            "jitter": jitter,
            "on": bad.read(_names, on, "on"),
            "never": bad.read(_names, never, "never"),
        }
        bad.refuse("Retry")
        read["jitter"] = float(jitter)
        for name, value in read.items():
            object.__setattr__(self, name, value)

    def delay(self, attempt: int, spread: float = 0.0) -> float:
        """Seconds to wait after attempt number `attempt` (from 1); `spread` from -1 to 1 places it in the jitter."""
        if self.backoff == "fixed":
            wait = self.wait
        elif self.backoff == "linear":
            wait = self.wait * attempt
        else:
            wait = self.wait * 2.0 ** min(attempt - 1, 64)
        return min(min(wait, self.max_wait) * (1 + self.jitter * spread), self.max_wait)

    def counts(self, failure: Failure) -> bool:
        """Whether another attempt may mend this failure."""
        if self.forbids(failure):
            return False
        return _names_one_of(failure, self.on) if self.on else failure.retryable

    def forbids(self, failure: Failure) -> bool:
        """Whether this failure ends the step at once, whatever else is said."""
        return _names_one_of(failure, self.never)


ONCE: Final = Retry(attempts=1)


def retry_after(retry: Retry, tries: int, failure: Failure, spread: float) -> float | None:
    """Seconds until the next attempt after the `tries`-th one failed like this; None if there is none.

    An attempt that was lost with its process is repeated at once, up to `LOST_ATTEMPTS` times even where the policy
    allows fewer attempts: that the process died says nothing about the step.
    """
    if failure.code == "attempt_lost" and not retry.forbids(failure):
        return 0.0 if tries < max(retry.attempts, LOST_ATTEMPTS) else None
    if tries >= retry.attempts or not retry.counts(failure):
        return None
    return retry.delay(tries, spread)


def spread_of(seed: int, key: str, attempt: int) -> float:
    """A number from -1 to 1 that depends only on run, step and attempt."""
    digest = sha256(f"{seed}/{key}/{attempt}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**47 - 1
