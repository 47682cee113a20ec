"""Reducers for the fields of a typed state: `total: Annotated[int, add] = 0`; see docs/state.md."""

from __future__ import annotations

from .authoring.reducers import add, append, extend, last_write, merge, reducer, union
from .authoring.reducers import greatest as max
from .authoring.reducers import least as min

__all__ = ["add", "append", "extend", "last_write", "max", "merge", "min", "reducer", "union"]
