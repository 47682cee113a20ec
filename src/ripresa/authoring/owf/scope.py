"""What expressions of a task may look at: the arguments of the specification, and the variables of loops around it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from ...errors import RipresaError
from .problems import Bad
from .world import World

WORKFLOW: Final = frozenset(("secrets", "workflow", "runtime"))
ENTERING: Final = WORKFLOW | {"context", "task"}
WORKING: Final = ENTERING | {"input"}
EXPORTING: Final = WORKING | {"output"}
"""Which arguments there are when: for the input of a workflow, before a task, in it and after it, for its export."""


def moment(at: datetime) -> dict[str, Any]:
    """A time as expressions see it."""
    seconds = at.timestamp()
    return {
        "iso8601": at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "epoch": {"seconds": int(seconds), "milliseconds": int(seconds * 1000)},
    }


class Scope:
    """The variables of one task while it runs, by name.

    `about` is what the durable function handed over: the variables that differ from run to run.
    """

    def __init__(
        self, about: Mapping[str, Any], fixed: Mapping[str, Any], world: World, secrets: tuple[str, ...]
    ) -> None:
        self.values = dict(about)
        self._fixed = fixed
        self._world = world
        self._secrets = secrets
        self.then = ""

    def __call__(self, name: str) -> Any:
        """The value of a variable; null for one that has none yet. Raises `Bad(authorization)`."""
        if name == "secrets":
            return {secret: self._secret(secret) for secret in self._secrets}
        if name == "runtime":
            return dict(self._world.runtime)
        if name in self._fixed:
            return {**self._fixed[name], **self.values.get(name, {})}
        return self.values.get(name)

    def _secret(self, name: str) -> Any:
        try:
            return self._world.secret(name)
        except RipresaError as error:
            raise Bad("authorization", error.message) from error
