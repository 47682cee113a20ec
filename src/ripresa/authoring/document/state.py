"""Typed state that a document declares itself: its fields with their types, what they begin with, their reducers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import MISSING, field, fields, make_dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final

from ...core.shared import ERROR, LAST_WRITE
from .. import reducers
from ..encoding import encode
from ..fit import bare
from ..reducers import Conflicts, Reducer
from ..state_type import StateField, state_type
from .shapes import FIELD
from .source import is_object

if TYPE_CHECKING:
    from .load import Loader
    from .source import Path

REDUCERS: Final[Mapping[str, Reducer]] = {
    each.name: each
    for each in (
        *(reducers.append, reducers.extend, reducers.add, reducers.union),
        *(reducers.merge, reducers.least, reducers.greatest),
    )
}
"""Those that a field may name."""

_DECLARED: Final = "__ripresa_declared__"


def declared_state(loader: Loader, data: Mapping[str, Any], path: Path) -> type[Any] | None:
    """The class of a state that is an object of fields; None, and a note, if something is wrong with it."""
    before = len(loader.notes.problems)
    found = [_field(loader, name, said, (*path, name)) for name, said in data.items()]
    if len(loader.notes.problems) > before:
        return None
    kind = make_dataclass("State", [each for each in found if each is not None], kw_only=True)
    setattr(kind, _DECLARED, True)
    return kind


def _field(loader: Loader, name: str, said: Any, path: Path) -> tuple[str, Any, Any] | None:
    given = {"type": said} if isinstance(said, str) else said
    if not is_object(given):
        loader.notes.add(path, f"is {said!r}, must be a type, or an object with type")
        return None
    if not name.isidentifier() or name.startswith("_"):
        loader.notes.add(path, f"{name!r} is no name of a field", key=True)
        return None
    config = loader.config(given, FIELD, path)
    kind = loader.type(config.get("type"), config.at("type")) if "type" in config else None
    if kind is None:
        return None
    by, conflicts = config.get("by"), config.get("conflicts")
    if "start" not in given:
        return name, _marked(kind, by, conflicts), field()
    loader.tried(config.at("start"), lambda: encode(given["start"], bare(kind), code="invalid_field"))
    return name, _marked(kind, by, conflicts), field(default_factory=partial(deepcopy, given["start"]))


def _marked(kind: Any, by: str | None, conflicts: str | None) -> Any:
    marked = kind if by is None else Annotated[kind, REDUCERS[by]]
    return marked if conflicts is None else Annotated[marked, Conflicts(conflicts)]


def is_declared(kind: type[Any]) -> bool:
    """Whether a document declared the class."""
    return hasattr(kind, _DECLARED)


def state_data(kind: type[Any], type_text: Callable[[Any], str]) -> dict[str, Any]:
    """What a document says of such a class."""
    starts = {each.name: each.default_factory for each in fields(kind)}
    usual, other = (state_type(kind, policy).fields for policy in (ERROR, LAST_WRITE))
    return {
        name: _said(each, starts[name], type_text, marked=each.conflict == other[name].conflict)
        for name, each in usual.items()
    }


def _said(each: StateField, start: Any, type_text: Callable[[Any], str], *, marked: bool) -> Any:
    said: dict[str, Any] = {"type": type_text(each.kind)}
    if start is not MISSING:
        said["start"] = start()
    if each.reducer is not None:
        said["by"] = each.reducer.name
    if marked:
        said["conflicts"] = each.conflict
    return said if len(said) > 1 else said["type"]
