"""What a document is given of the world: how its calls are made, its secrets, the other workflows that it may run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

Performer: TypeAlias = Callable[[Mapping[str, Any], Any], Awaitable[Any]]
"""Does what a task asks for: it is given the task's arguments, evaluated, and the task's input."""


@dataclass(frozen=True, slots=True)
class World:
    """See the module.

    `performers` are by kind: `http`, `openapi`, `grpc`, `a2a`, `mcp`, `mcp-stdio`, `shell`, `script`, `event`,
    `function`. `secret` gives a secret by name and raises `RipresaError(secret_missing)`. `workflow` gives what finds
    another workflow by namespace, name and version, None if there is none. `within` bounds a work in time, in seconds,
    and raises `Bad(timeout)`. `file` gives the text of a file that a document names, and raises `Bad(configuration)`.
    `abroad` is what functions are given that are kept elsewhere.
    """

    performers: Mapping[str, Performer]
    within: Callable[[float, Awaitable[Any]], Awaitable[Any]]
    secret: Callable[[str], Any]
    workflow: Callable[[str, str, str], Callable[[], Any] | None]
    runtime: Mapping[str, Any]
    file: Callable[[str], str] | None = None
    abroad: World | None = None
