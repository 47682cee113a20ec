"""What a run, or all runs of a session together, may use, and what happens when that is used up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias, get_args

from ..errors import InvalidConfig
from .calling import told_of
from .durations import Duration, seconds

Policy: TypeAlias = Literal["fail", "pause", "ask"]
"""What happens when a limit is reached: the run fails, it pauses, or it pauses until somebody answers."""

COUNTS: Final = ("steps", "operations", "iterations", "tokens", "storage", "state_size", "unpriced")
"""Limits that are whole numbers; `money` is a number, `wall_time` seconds."""


@told_of
@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What may be used at most; None is no limit. The policy `on_exceeded` says what happens then.

    `steps` begun, `operations` (attempts of steps and the calls journaled inside them), `iterations` of all loops
    together, `tokens` and `money` as steps report them, `storage` in bytes of artifacts, `state_size` in bytes of what
    the session holds, `wall_time` in seconds since the beginning, `concurrency` attempts at a time (those beyond wait),
    `unpriced` uses of models at a price that nobody knows: none where `money` is limited and this says nothing.

    Raises `InvalidConfig` that names every bad field.
    """

    steps: int | None = None
    operations: int | None = None
    iterations: int | None = None
    tokens: int | None = None
    money: float | None = None
    storage: int | None = None
    state_size: int | None = None
    wall_time: Duration | None = None
    concurrency: int | None = None
    on_exceeded: Policy = "fail"
    unpriced: int | None = None

    def __post_init__(self) -> None:
        bad = list(_problems(self))
        if self.wall_time is not None:
            try:
                object.__setattr__(self, "wall_time", seconds(self.wall_time, "wall_time"))
            except InvalidConfig as error:
                bad.append(error.message)
        if bad:
            raise InvalidConfig("; ".join(bad), op="Limits")

    def __bool__(self) -> bool:
        return self is not NONE and len(_given(self)) > 1

    @property
    def bounds(self) -> bool:
        """Whether there is a limit besides that of attempts at a time, for which nothing has to be counted."""
        return self is not NONE and any(name not in ("concurrency", "on_exceeded") for name in _given(self))

    def encode(self) -> str:
        """As JSON text; empty for no limits."""
        return json.dumps({name: getattr(self, name) for name in _given(self)}) if self else ""


@lru_cache(maxsize=256)
def _given(limits: Limits) -> tuple[str, ...]:
    """The fields that say something, in order; the last is the policy, which there always is."""
    return tuple(field.name for field in fields(limits) if getattr(limits, field.name) is not None)


def _problems(limits: Limits) -> Any:
    for name in COUNTS:
        value = getattr(limits, name)
        if value is not None and (type(value) is not int or value < 0):
            yield f"{name} is {value!r}, must be a whole number from 0"
    money: Any = limits.money
    if money is not None and (isinstance(money, bool) or not isinstance(money, int | float) or not money >= 0):
        yield f"money is {money!r}, must be a number from 0"
    concurrency: Any = limits.concurrency
    if concurrency is not None and (type(concurrency) is not int or concurrency < 1):
        yield f"concurrency is {concurrency!r}, must be a whole number from 1"
    if limits.on_exceeded not in get_args(Policy):
        yield f"on_exceeded is {limits.on_exceeded!r}, must be one of {', '.join(get_args(Policy))}"


NONE: Final = Limits()


def decode_limits(text: str) -> Limits:
    """The limits that `encode` wrote."""
    return Limits(**json.loads(text)) if text else NONE


AMOUNTS: Final = ("steps", "operations", "iterations", "tokens", "money", "storage", "unpriced")
"""Limits of what adds up."""

NO_PRICE: Final = (
    "nobody knows the price of the model, and money is limited: bound it by tokens, or allow Limits(unpriced=...)"
)
"""What is said of a model that a limit of money cannot hold."""

Refusal: TypeAlias = tuple[str, float, float]
"""The name of a limit, what is used, what is allowed."""


def refusal(limits: Limits, used: Mapping[str, float], asked: Mapping[str, float]) -> Refusal | None:
    """The first limit that does not let `asked` be used beyond `used`.

    Of tokens and money something must be left for an attempt to begin, since it is not known how much it will use.
    """
    for name in AMOUNTS:
        allowed = getattr(limits, name)
        if allowed is None and name == "unpriced" and limits.money is not None:
            allowed = 0  # what has no price would pass a limit of money
        if allowed is None:
            continue
        have, more = used.get(name, 0), asked.get(name, 0)
        begins = name in ("tokens", "money") and "operations" in asked
        if have + more > allowed or (begins and have and have >= allowed):
            return name, have, allowed
    return None


def remaining(limits: Limits, used: Mapping[str, float]) -> dict[str, float]:
    """How much is left of each limit of what adds up, by name; never less than nothing."""
    allowed = {name: getattr(limits, name) for name in AMOUNTS}
    if allowed["unpriced"] is None and limits.money is not None:
        allowed["unpriced"] = 0
    return {name: max(most - used.get(name, 0), 0) for name, most in allowed.items() if most is not None}


def limits_of(given: Limits | None, runnable: object, usual: Limits, concurrency: int | None) -> Limits:
    """The limits of a run: those it is started with, else its workflow's, else the usual ones.

    Raises `InvalidConfig` for what are no limits.
    """
    if given is not None and not isinstance(given, Limits):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidConfig(f"limits is {given!r}, must be Limits", op="start", hint="limits=Limits(steps=...)")
    own: Limits | None = getattr(runnable, "limits", None)
    found = given or own or usual
    return found if concurrency is None else replace(found, concurrency=concurrency)
