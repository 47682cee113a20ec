"""Whether an app has what a definition asks for beyond Ripresa's own."""

from __future__ import annotations

from typing import Any

from ..authoring.flow import Runnable
from ..authoring.placement import unknown_executors
from ..errors import InvalidWorkflow
from .engine import Engine


def require_executors(engine: Engine, runnable: Runnable[..., Any]) -> None:
    """Refuse a definition whose steps name executors that are not here, all together. Raises `InvalidWorkflow`.

    Those of steps that durable functions call are known only when they are called.
    """
    problems = unknown_executors(runnable.definition.root, tuple(engine.settings.executors))
    if problems:
        raise InvalidWorkflow(problems, op="start")
