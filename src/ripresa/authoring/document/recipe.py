"""What a step was made of, so that a document can say it again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a document makes a step: the type that it names, or what made it (`maker`), and the config of that.

    `config` gives plain data when it is asked for, and raises `RipresaError(not_exportable)` for what is none; `types`
    and `steps` are the keys of it that name something, or say it as an object; `servers` is what a document says of the
    MCP servers that it names. `make` gives the step with the options
    that it usually has.
    """

    kind: str
    make: Callable[[], Any]
    config: Callable[[], dict[str, Any]] = dict
    types: Mapping[str, Any] = field(default_factory=dict[str, Any])
    steps: Mapping[str, Sequence[Any]] = field(default_factory=dict[str, Sequence[Any]])
    maker: object = None
    servers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
