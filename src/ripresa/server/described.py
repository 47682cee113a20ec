"""What others are told of a workflow before they use it: what it is for, what it takes and gives."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import PydanticUserError

from ..authoring.encoding import adapter
from ..authoring.flow import Runnable
from ..authoring.function import Workflow
from ..authoring.single import Single


@dataclass(frozen=True, slots=True)
class Described:
    """A workflow as its readers see it; the schemas are JSON Schema, empty where nothing is known."""

    name: str
    version: str
    description: str
    input: Mapping[str, Any]
    output: Mapping[str, Any]


def described(runnable: Runnable[..., Any]) -> Described:
    """What is told of a workflow: the text of its function, if it has one, and its types."""
    return Described(
        runnable.name,
        runnable.version,
        _words(runnable) or f"The workflow {runnable.name}.",
        _schema(runnable.input_type),
        _schema(runnable.output_type),
    )


def _words(runnable: Runnable[..., Any]) -> str:
    if isinstance(runnable, Workflow):
        return inspect.cleandoc(runnable.fn.__doc__ or "")
    if isinstance(runnable, Single):
        return inspect.cleandoc(runnable.step.fn.__doc__ or "")
    return ""


def _schema(kind: Any) -> Mapping[str, Any]:
    try:
        found: dict[str, Any] = adapter(kind).json_schema()
    except PydanticUserError:  # a type that has none, which can be read all the same
        return {}
    return found
