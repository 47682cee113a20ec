"""Places in a journal: the checkpoints that one can look at, compare, return to and fork from, and what names mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import RipresaError
from .events import (
    CheckpointNamed,
    Recorded,
    StateChanged,
    StateOpened,
    StateRestored,
    StepCompleted,
    StepReused,
)
from .replay import lineage, place_after


@dataclass(frozen=True, slots=True)
class Place:
    """A place: after event `seq`, which is the completion of the step `name` or what somebody `named`.

    `undone` if the run was rolled back to before it since: one can return there nevertheless.
    """

    seq: int
    at: int
    name: str
    named: bool = False
    undone: bool = False


def places(journal: Sequence[Recorded]) -> list[Place]:
    """All places of a whole journal, in order."""
    line = {recorded.seq for recorded in lineage(journal)}
    found: list[Place] = []
    for recorded in journal:
        named = _name(recorded)
        if named is not None:
            checkpoint = isinstance(recorded.event, CheckpointNamed)
            found.append(Place(recorded.seq, recorded.at, named, checkpoint, recorded.seq not in line))
    return found


def find_place(journal: Sequence[Recorded], at: int | str) -> int:
    """The number of the last event of a place: `event_at` with all that followed from the same fact."""
    return place_after(journal, event_at(journal, at))


def event_at(journal: Sequence[Recorded], at: int | str) -> int:
    """The number of the event that a place in a whole journal is named by: a number, a checkpoint or a step.

    Of several places of one name the last counts, those that were rolled back only if there is no other, a checkpoint
    before a step. Raises `RipresaError(no_such_place)`.
    """
    if not isinstance(at, int | str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise _nowhere(journal, f"place {at!r}")
    if isinstance(at, int) or at.isdecimal():
        number = int(at)
        if 1 <= number <= len(journal):
            return number
        raise _nowhere(journal, f"event {number}")
    found = [place for place in places(journal) if place.name == at]
    if not found:
        raise _nowhere(journal, f"checkpoint or completed step {at!r}")
    return max(found, key=lambda place: (not place.undone, place.named, place.seq)).seq


def _name(recorded: Recorded) -> str | None:
    match recorded.event:
        case CheckpointNamed(_, name):
            return name
        case StepCompleted(_, path) | StepReused(_, path):
            return path
        case _:
            return None


def _nowhere(journal: Sequence[Recorded], what: str) -> RipresaError:
    run = journal[0].run
    return RipresaError(
        f"run {run!r} has no {what}; it has {len(journal)} events",
        code="no_such_place",
        where=run,
        hint=f"ripresa checkpoints {run} lists the places that there are",
    )


def written_by(journal: Sequence[Recorded], seq: int) -> int:
    """The number of the last event that says what became of typed states by the event of this number."""
    while seq < len(journal) and isinstance(journal[seq].event, StateOpened | StateChanged | StateRestored):
        seq += 1
    return seq
