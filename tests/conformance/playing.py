"""Plays a scenario: the document is loaded and run by an app, and what it left is held against what is expected."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from ripresa import App, RunFailed, Surroundings, load_document
from ripresa.authoring.document.source import is_list, is_object
from ripresa.authoring.owf.problems import problem_of
from ripresa.core.events import StepScheduled

from .features import Scenario, Step

NOTHING: Final = object()


class Unlike(Exception):
    """What came is not what was expected."""


@dataclass
class Played:
    """What is known of a scenario while it is played."""

    surroundings: Surroundings
    document: Any = None
    input: Any = None
    output: Any = NOTHING
    problem: Any = None
    ran: list[str] = field(default_factory=list[str])

    async def execute(self) -> None:
        """Run the document."""
        flow = load_document(self.document, surroundings=self.surroundings)
        async with App("memory:") as app:
            handle = await app.start(flow(self.input))
            try:
                self.output = await handle.result()
            except RunFailed as error:
                self.problem = problem_of(error.failure)
                expect(self.problem is not None, f"the run failed, but with no problem details: {error}")
            self.ran = [each.event.path async for each in handle.events() if isinstance(each.event, StepScheduled)]


def expect(holds: bool, why: str) -> None:
    """Raises `Unlike` if something does not hold."""
    if not holds:
        raise Unlike(why)


async def play(scenario: Scenario, surroundings: Surroundings) -> None:
    """Play a scenario. Raises `Unlike`, and `ValueError` for a step that is not understood."""
    played = Played(surroundings)
    for step in scenario.steps:
        if step.text == "the workflow is executed":
            await played.execute()
        else:
            _meaning(step)(played, step)


def _meaning(step: Step) -> Callable[[Played, Step], None]:
    for pattern, meaning in MEANINGS.items():
        found = re.fullmatch(pattern, step.text)
        if found is not None:
            return lambda played, step: meaning(played, step, *found.groups())
    raise ValueError(f"{step.text!r} is not understood")


def _document(played: Played, step: Step) -> None:
    played.document = step.data


def _input(played: Played, step: Step) -> None:
    played.input = step.data


def _completes(played: Played, step: Step) -> None:
    expect(played.output is not NOTHING, f"it faulted: {played.problem}")


def _completes_with(played: Played, step: Step) -> None:
    _completes(played, step)
    expect(played.output == step.data, f"the output is {played.output!r}, not {step.data!r}")


def _faults(played: Played, step: Step) -> None:
    expect(played.problem is not None, f"it did not fault, but left {played.output!r}")


def _faults_with(played: Played, step: Step) -> None:
    _faults(played, step)
    expect(played.problem == step.data, f"the error is {played.problem!r}, not {step.data!r}")


def _has(played: Played, step: Step, names: str) -> None:
    for name in re.findall(r"'([^']+)'", names):
        expect(found_at(played.output, name) is not NOTHING, f"{played.output!r} has no {name}")


def _has_value(played: Played, step: Step, name: str) -> None:
    found = found_at(played.output, name)
    expect(found == step.data, f"{name} is {found!r}, not {step.data!r}")


def _has_items(played: Played, step: Step, name: str, count: str) -> None:
    found = found_at(played.output, name)
    good = is_list(found) and len(found) == int(count)
    expect(good, f"{name} is {found!r}, not a list of {count}")


def _first(played: Played, step: Step, name: str) -> None:
    expect(played.ran[:1] == [name], f"these ran: {played.ran}")


def _last(played: Played, step: Step, name: str) -> None:
    expect(played.ran[-1:] == [name], f"these ran: {played.ran}")


def _after(played: Played, step: Step, name: str, other: str) -> None:
    expect({name, other} <= set(played.ran), f"these ran: {played.ran}")
    expect(played.ran.index(name) > played.ran.index(other), f"these ran: {played.ran}")


def found_at(value: Any, path: str) -> Any:
    """What stands at a path such as `error.type`, `NOTHING` if there is nothing."""
    for name in path.split("."):
        if not is_object(value) or name not in value:
            return NOTHING
        value = value[name]
    return value


MEANINGS: Final[dict[str, Callable[..., None]]] = {
    r"a workflow with definition:": _document,
    r"the workflow input is:": _input,
    r"the workflow should complete": _completes,
    r"the workflow should complete with output:": _completes_with,
    r"the workflow should fault": _faults,
    r"the workflow should fault with error:": _faults_with,
    r"the workflow output should have properties (.*)": _has,
    r"the workflow output should have a '([^']+)' property with value:": _has_value,
    r"the workflow output should have a '([^']+)' property containing (\d+) items": _has_items,
    r"(\w+) should run first": _first,
    r"(\w+) should run last": _last,
    r"(\w+) should run after (\w+)": _after,
}
