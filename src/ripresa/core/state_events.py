"""The events of typed states (see `events`, which lists them with the others)."""

from __future__ import annotations

from ..records import record
from .parts import Write

ANY = "*"
"""Stands for all fields of a state where the names of those are asked for that somebody has read."""


@record
class StateGiven:
    """The typed state of a scope begins with these values.

    `judged`: where branches that wrote to it are joined, its class is asked whether what comes out is valid.
    """

    at: int
    path: str
    writes: tuple[Write, ...] = ()
    judged: bool = False


@record
class StateMerged:
    """What several branches of a fork wrote may be joined.

    With one write for each field that they wrote by reducers of the user's own: what came out.
    """

    at: int
    path: str
    writes: tuple[Write, ...] = ()


@record
class StateEdited:
    """Somebody gave fields of the state of a scope other values than the run had come to: where a fork begins."""

    at: int
    path: str
    writes: tuple[Write, ...] = ()


@record
class StateOpened:
    """A scope has a typed state of its own, of this class and version; the fact before says what it begins with."""

    path: str
    name: str
    version: int


@record
class StateChanged:
    """The state of the scope at `path` took these writes; without any, those of the fact before."""

    path: str
    writes: tuple[Write, ...] = ()


@record
class StateRestored:
    """The state of a scope is what it was: the fields in `writes` begin anew with them, those in `gone` are not set."""

    path: str
    writes: tuple[Write, ...] = ()
    gone: tuple[str, ...] = ()
