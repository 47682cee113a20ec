"""What is said where steps that changed the world would be done again, or forgotten, and nobody said that they may.

Law: there is one refusal, `effects_undecided`, that names the steps and how somebody decides; only its words differ.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from ..errors import RipresaError


class Undecided(NamedTuple):
    """Why something is refused, and what can be done about it: about `{run}` and event number `{at}`."""

    message: str
    hint: str


RESUME: Final = Undecided(
    "run {run!r} begins anew what was undone, and would do again what cannot be",
    "say that it may be done again (again=True, --again), or go on in a new run that takes its results "
    "over where inputs are the same: ripresa fork {run} --effects reuse",
)
"""A failed run that is reopened."""

OVER: Final = Undecided(
    "run {run!r} did after event {at} what would be done again",
    "undo it first, or say that it may be done again: again=True, --again",
)
"""A run that is rolled back."""

FORK: Final = Undecided(
    "run {run!r} changed the world, and a fork at event {at} would again",
    "say what the fork does there: effects='reuse' takes the results over where inputs are the same, "
    "effects='again' does it again",
)

MIGRATE: Final = Undecided(
    "run {run!r} did what cannot be taken back, and the new version would not know",
    "let the run finish that step first, or rename its result in a migration, or forget() it there",
)

UNDONE: Final = Undecided(
    "run {run!r} held at event {at} what has been undone since",
    "choose a place before that, so that it is done anew; ripresa checkpoints lists them",
)
"""A place that nothing can go on from, whatever anybody says."""


def refuse_undecided(why: Undecided, op: str, run: str, paths: Iterable[str], at: int = 0) -> None:
    """Raise `RipresaError(effects_undecided)` if there are such steps."""
    steps = list(dict.fromkeys(paths))
    if steps:
        raise RipresaError(
            f"{why.message.format(run=run, at=at)}: {', '.join(steps)}",
            code="effects_undecided",
            op=op,
            where=steps[0],
            hint=why.hint.format(run=run),
        )
