"""Finds the code of a run: among the registered workflows, or by the target that it recorded."""

from __future__ import annotations

from typing import Any

from ..authoring.flow import Runnable
from ..authoring.registry import Registry
from ..authoring.single import runnable_of
from ..errors import RipresaError
from ..ports import RunHead
from .targets import find_target, load_target, load_version


class Code:
    """The code of runs; what was loaded by target is loaded once."""

    def __init__(self, workflows: Registry) -> None:
        self._workflows = workflows
        self._targets: dict[str, Runnable[..., Any] | None] = {}

    def anywhere(self, head: RunHead) -> Runnable[..., Any] | None:
        """The registered workflow of the run's name, or what its target names; None where there is neither."""
        found = self.find(head)
        if found is None and head.target:
            if head.target not in self._targets:
                self._targets[head.target] = find_target(head.target)
            found = self._targets[head.target]
        return found

    def newest(self, head: RunHead) -> Runnable[..., Any]:
        """The newest version that is known of the run's workflow. Raises `RipresaError(unknown_target)`."""
        found = self._workflows.find(head.workflow)
        return runnable_of(found) if found is not None else load_target(head.target)

    def find(self, head: RunHead) -> Runnable[..., Any] | None:
        """The registered workflow of the run's name, of its version if that one is there."""
        found = self._workflows.find(head.workflow, version=head.version) or self._workflows.find(head.workflow)
        return None if found is None else runnable_of(found)

    def of(self, head: RunHead) -> Runnable[..., Any]:
        """The code to go on with. Raises `RipresaError(unknown_workflow, unknown_target)`."""
        found = self.find(head)
        if found is not None:
            return found
        if head.target:
            return load_version(head.target, head.version)
        raise RipresaError(
            f"the code of run {head.id!r} (workflow {head.workflow!r}) cannot be found: it recorded no target",
            code="unknown_workflow",
            op="resume",
            hint="register the workflow: App(workflows=[...]), or hand it to resume()",
        )
