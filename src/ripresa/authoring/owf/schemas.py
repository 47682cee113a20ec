"""Schemas of data: JSON Schema, checked where data comes in and goes out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any

from pydantic_core import from_json, to_json

from ...errors import InvalidConfig, RipresaError
from .problems import Bad


@dataclass(frozen=True, slots=True)
class Schema:
    """A JSON Schema, as text."""

    text: bytes

    def check(self, value: Any, what: str) -> None:
        """Raises `Bad(validation)` for a value that does not fit."""
        wrong = next(iter(_validator(self.text).iter_errors(value)), None)
        if wrong is not None:
            place = "".join(f"/{part}" for part in wrong.instance_path)
            raise Bad("validation", f"{what}{f' at {place}' if place else ''}: {wrong.message}")


def schema_of(data: Any) -> Schema:
    """A schema. Raises `InvalidConfig` for what is none, `RipresaError(extra_missing)`."""
    text = to_json(data)
    _validator(text)
    return Schema(text)


@lru_cache(512)
def _validator(text: bytes) -> Any:
    try:
        library = import_module("jsonschema_rs")
    except ImportError as error:
        raise RipresaError(
            "schemas need the extra 'owf'", code="extra_missing", op="document", hint="pip install 'ripresa[owf]'"
        ) from error
    try:
        return library.validator_for(from_json(text), offline=True)
    except (ValueError, library.ReferencingError) as error:
        raise InvalidConfig(f"this is no JSON Schema: {error}", op="document") from error
