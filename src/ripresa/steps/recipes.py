"""The options of ready-made steps as the config of a document says them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar, cast

from typing_extensions import TypeIs

from ..authoring.document.recipe import Recipe
from ..authoring.step import Step
from ..errors import RipresaError
from .secret import Secret

S = TypeVar("S", bound=Step[..., Any])


def kept(made: S, kind: str, make: Callable[..., Any], own: Mapping[str, Any], **types: Any) -> S:
    """A step that knows how a document makes it: a type, the config for it, and what makes it again."""
    found = {name: type_ for name, type_ in types.items() if type_ is not None}
    made.recipe = Recipe(kind, make, partial(plain_config, made.name, own), types=found)
    return made


def plain_config(name: str, own: Mapping[str, Any]) -> dict[str, Any]:
    """Options as plain data. Raises `RipresaError(not_exportable)` for what is none."""
    return {key: _auth(value) if key == "auth" else _plain(value, name, key) for key, value in own.items()}


def _plain(value: Any, name: str, key: str) -> Any:
    within = partial(_plain, name=name, key=key)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Secret):
        return {"secret": value.reference}
    if isinstance(value, os.PathLike):
        return os.fspath(cast("os.PathLike[str]", value))
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Mapping):
        return {str(each): within(part) for each, part in cast("Mapping[object, object]", value).items()}
    if isinstance(value, set | frozenset):
        return [within(part) for part in sorted(cast("set[Any]", value), key=repr)]
    if isinstance(value, list | tuple | range):
        return [within(part) for part in cast("list[object]", value)]
    raise RipresaError(
        f"{name!r} can stand in no document: its {key} is {value!r}", code="not_exportable", op="export", where=name
    )


def changed(made: Any) -> dict[str, Any]:
    """The fields of a dataclass that are not as usual."""
    found = {each.name: (getattr(made, each.name), each.default) for each in fields(made) if each.init}
    return {name: value for name, (value, usual) in found.items() if value != usual}


def _auth(value: Any) -> Any:
    if isinstance(value, Secret):
        return value.reference
    if isinstance(value, tuple):
        user, secret = cast("tuple[str, Secret]", value)
        return {"basic": {"user": user, "password": secret.reference}}
    if not is_dataclass(value):
        return value
    said = {name: one.reference if isinstance(one, Secret) else one for name, one in changed(value).items()}
    return {type(value).__name__.lower(): _plain(said, "http", "auth")}


def is_mapping(data: object) -> TypeIs[Mapping[str, Any]]:
    """Whether plain data is an object."""
    return isinstance(data, Mapping)
