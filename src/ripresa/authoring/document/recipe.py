"""What a step was made of, so that a document can say it again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Said: TypeAlias = Mapping[str, Any] | Callable[[], Mapping[str, Any]]
"""What is declared, or what gives it when it is asked."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a document makes a step: the type that it names, or what made it (`maker`), and the config of that.

    `config` gives plain data when it is asked for, and raises `RipresaError(not_exportable)` for what is none; `types`,
    `steps` (tools) and `links` (whatever can stand in a chain) are the keys of it that name something, or say it as an
    object, `things` those that are targets. `servers` and `knowledge` are what a document declares of those that it
    names. `make` gives the step with the options that it usually has. Without a `kind` it is `maker` itself that a
    document names.
    """

    kind: str
    make: Callable[[], Any]
    config: Callable[[], dict[str, Any]] = dict
    types: Mapping[str, Any] = field(default_factory=dict[str, Any])
    steps: Mapping[str, Sequence[Any]] = field(default_factory=dict[str, Sequence[Any]])
    maker: object = None
    servers: Mapping[str, Said] = field(default_factory=dict[str, "Said"])
    knowledge: Mapping[str, Said] = field(default_factory=dict[str, "Said"])
    links: Mapping[str, Any] = field(default_factory=dict[str, Any])
    things: Mapping[str, Any] = field(default_factory=dict[str, Any])
