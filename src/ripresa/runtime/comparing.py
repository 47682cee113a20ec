"""Two runs side by side: what their structure, inputs, results and ends have in common, and what not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..authoring.flow import Runnable
from ..core.changes import Change, changes
from ..core.definition import differences
from ..core.events import Recorded
from ..core.frames import CallFrame
from ..core.replay import lineage, started_of
from ..core.view import view_of
from ..errors import RipresaError
from ..ports import RunHead
from .driver import Driver
from .engine import Engine
from .restoring import replayed
from .values import Values

Code = Callable[[RunHead], Runnable[..., Any]]
"""Finds the code of a run. Raises `RipresaError`."""


@dataclass(frozen=True, slots=True)
class RunDiff:
    """What differs between two runs.

    `structure` says how the second one's definition differs from the first one's; `changes` are those of the runs as a
    whole and, by path, of status, attempt and output of each step; `inputs` are those of what each step was given, as
    JSON text, None if the code of one of the runs cannot be had here (inputs are not recorded, but follow from it).
    """

    structure: tuple[str, ...]
    changes: tuple[Change, ...]
    inputs: tuple[Change, ...] | None


async def compare(engine: Engine, one: RunHead, other: RunHead, code: Code) -> RunDiff:
    """Compare two runs as they stand now."""
    journals = [await engine.history(head.id) for head in (one, other)]
    lines = [lineage(journal) for journal in journals]
    before, after = view_of(journals[0]), view_of(journals[1])
    found = [Change("input", before.input, after.input)] if before.input != after.input else []
    found += changes(before, after)
    old, new = (started_of(line).definition for line in lines)
    structure = differences(engine.store.blob(old), engine.store.blob(new)) if old != new else []
    try:
        given = [inputs(engine, head, code(head), line) for head, line in zip((one, other), lines, strict=True)]
    except RipresaError:
        return RunDiff(tuple(structure), tuple(found), None)
    paths = {**given[0], **given[1]}
    differ = [path for path in paths if given[0].get(path) != given[1].get(path)]
    return RunDiff(
        tuple(structure),
        tuple(found),
        tuple(Change(path, given[0].get(path), given[1].get(path)) for path in differ),
    )


def inputs(engine: Engine, head: RunHead, code: Runnable[..., Any], line: list[Recorded]) -> dict[str, bytes]:
    """What each step was given, by path, as JSON text; also those that are under way.

    Raises what the replay of a run does: its code is another one, or decides otherwise.
    """
    found: dict[str, bytes] = {}
    read = Values(engine.store.blob).text

    def told(driver: Driver, fact: Recorded, recorded: list[Recorded]) -> None:
        frame = driver.state.frames.get(getattr(fact.event, "path", ""))
        if type(frame) is CallFrame:
            found[frame.path] = read(frame.input)

    driver = replayed(engine, head, code, line, told=told)
    under_way = {frame.path: read(frame.input) for frame in driver.state.frames.values() if type(frame) is CallFrame}
    driver.close()
    return {**found, **under_way}
