"""What a fork takes over from the run that it left: recorded results, each with what it was computed of.

Law: what a step reads of a typed state is not recorded, so where there is one only what was given by hand is taken.
A result is taken over only by a step of the same name that is given the same input: the one at the same place,
or, for `pure` and `read` steps, one anywhere. What was given by hand is taken by the step at that place, whatever its
input.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from ..core.commands import RunStep
from ..core.events import StepReused
from ..core.frames import OPEN, CallFrame
from ..core.values import Value
from .attempts import bound_at

if TYPE_CHECKING:
    from .driver import Driver

ANYWHERE: Final = ("pure", "read")
"""Effects of steps whose result is as good at another place."""

CHANGING: Final = ("reversible", "irreversible")
"""Effects of steps that change the world in a way that doing them again does not leave as it was."""


class Reuse:
    """Results by place, step and input; for what a run schedules in one `generation` only."""

    def __init__(self, generation: int = 0) -> None:
        self.generation = generation
        self._given: dict[str, bytes] = {}
        self._known: dict[tuple[str, str, str], bytes] = {}
        self._alike: dict[tuple[str, str], bytes] = {}

    def give(self, path: str, output: bytes) -> None:
        """Let the step at this path return this."""
        self._given[path] = output

    def keep(self, path: str, name: str, digest: str, output: bytes) -> None:
        """Let the step at this path return this if it is given the same input."""
        self._known[path, name, digest] = output

    def keep_anywhere(self, name: str, digest: str, output: bytes) -> None:
        """Let any step of this name return this if it is given the same input."""
        self._alike.setdefault((name, digest), output)

    def find(self, driver: Driver, command: RunStep) -> StepReused | None:
        """The fact that an attempt need not run, if there is a result for it."""
        frame = driver.state.frames.get(command.path)
        if type(frame) is not CallFrame or frame.phase != OPEN or frame.generation != self.generation:
            return None
        given = self._given.get(command.path)
        if given is not None:
            return StepReused(driver.state.at, command.path, command.attempt, given, True)
        if driver.state.shared is not None and driver.state.shared.scope(frame) is not None:
            return None
        name = bound_at(driver, frame).step.options.name
        digest = digest_of_input(driver.values.text, command.input)
        output = self._known.get((command.path, name, digest)) or self._alike.get((name, digest))
        return None if output is None else StepReused(driver.state.at, command.path, command.attempt, output)

    def encode(self) -> bytes:
        """As JSON."""
        data: list[Any] = [
            [[path, output.decode()] for path, output in self._given.items()],
            [[*place, output.decode()] for place, output in self._known.items()],
            [[*place, output.decode()] for place, output in self._alike.items()],
        ]
        return json.dumps(data, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, text: bytes, generation: int) -> Reuse:
        """What `encode` wrote."""
        found = cls(generation)
        given, known, alike = json.loads(text)
        found._given = {path: output.encode() for path, output in given}
        found._known = {(path, name, digest): output.encode() for path, name, digest, output in known}
        found._alike = {(name, digest): output.encode() for name, digest, output in alike}
        return found


def digest_of_input(text: Callable[[Value], bytes], value: Value) -> str:
    """What stands for an input: equal for equal ones."""
    return sha256(text(value)).hexdigest()[:32]
