"""The JSON Schema of documents, made of the table by which they are read, for editors and other programs.

The file `document.schema.json` beside this is what `ripresa schema` prints; a test holds both together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .shapes import FIELD, KINDS, KNOWLEDGE, QUERY, ROOT, SERVER, STAGES, STEP, UPDATE, Key

Schema = dict[str, Any]

_LENGTH: Final = r"^(\s*\d+(\.\d+)?\s*[A-Za-z]+\s*,?)+$"
_NAMES: Final[Schema] = {"type": "array", "items": {"type": "string", "minLength": 1}}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 1}
_OBJECT: Final[Schema] = {"type": "object"}

SORTS: Final[Mapping[str, Schema]] = {
    "step": {"$ref": "#/$defs/link"},
    "steps": {"type": "array", "items": {"$ref": "#/$defs/link"}, "minItems": 1},
    "graph": {"type": "array", "items": {"$ref": "#/$defs/link"}},
    "cases": {"type": "array", "items": {"$ref": "#/$defs/case"}, "minItems": 1},
    "stages": {"type": "array", "items": {"$ref": "#/$defs/stage"}, "minItems": 1},
    "condition": {"$ref": "#/$defs/condition"},
    "selector": {"anyOf": [{"$ref": "#/$defs/expression"}, {"$ref": "#/$defs/function"}]},
    "text": {"type": "string", "minLength": 1},
    "type": {"type": "string", "minLength": 1},
    "target": {"type": "string", "minLength": 1},
    "callee": {"anyOf": [{"type": "string", "minLength": 1}, {"$ref": "#/$defs/made"}]},
    "count": _COUNT,
    "integer": {"type": "integer"},
    "flag": {"type": "boolean"},
    "length": {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": _LENGTH}]},
    "names": _NAMES,
    "targets": _NAMES,
    "hooks": {
        "anyOf": [
            _NAMES,
            {"type": "object", "properties": {"only": _NAMES}, "required": ["only"], "additionalProperties": False},
        ]
    },
    "functions": {"type": "object", "additionalProperties": {"type": "string", "minLength": 1}},
    "updates": {"type": "array", "items": {"$ref": "#/$defs/update"}, "minItems": 1},
    "queries": {"type": "array", "items": {"$ref": "#/$defs/query"}, "minItems": 1},
    "object": _OBJECT,
    "table": {"type": "object", "additionalProperties": _NAMES},
    "join": {"anyOf": [{"enum": ["all", "first", "first_success"]}, _COUNT]},
    "any": {},
    "retry": {"anyOf": [_COUNT, _OBJECT]},
    "cache": {"anyOf": [{"type": "boolean"}, {"type": "number"}, {"type": "string"}, _OBJECT]},
    "plain": {"type": "string"},
    "servers": {"type": "object", "additionalProperties": {"$ref": "#/$defs/server"}},
    "knowledge": {"type": "object", "additionalProperties": {"$ref": "#/$defs/knowledge"}},
    "state": {"anyOf": [{"type": "string", "minLength": 1}, {"$ref": "#/$defs/state"}]},
    "rules": {"type": "array", "items": {"type": ["string", "object"]}, "minItems": 1},
}
"""What may stand under a key of each sort."""

CONDITION: Final[Schema] = {
    "anyOf": [
        {"type": "boolean"},
        {"$ref": "#/$defs/expression"},
        {"$ref": "#/$defs/function"},
        {"type": "object", "required": ["op"]},
        {"type": "object", "required": ["test", "of"]},
        {"type": "object", "required": ["not"]},
        {"type": "object", "required": ["all"]},
        {"type": "object", "required": ["any"]},
    ]
}


def schema() -> Schema:
    """The JSON Schema of a document."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:ripresa:document:1",
        "title": "A Ripresa workflow as a document",
        **_object(ROOT),
        "oneOf": [{"required": ["steps"]}, {"required": ["type"]}],
        "allOf": _configs(),
        "$defs": {
            "link": {
                "description": "a step, a list of steps, or the target of one",
                "anyOf": [
                    {"type": "string", "minLength": 1},
                    {"$ref": "#/$defs/step"},
                    {"type": "array", "items": {"$ref": "#/$defs/link"}, "minItems": 1},
                ],
            },
            "step": {**_object(STEP), "allOf": _configs()},
            "case": {
                "type": "object",
                "properties": {"kind": SORTS["type"], "step": SORTS["step"]},
                "required": ["kind", "step"],
                "additionalProperties": False,
            },
            "state": {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": {"anyOf": [SORTS["type"], _object(FIELD)]},
            },
            "update": _object(UPDATE),
            "query": _object(QUERY),
            "server": {**_object(SERVER), "oneOf": [{"required": ["command"]}, {"required": ["url"]}]},
            "knowledge": {**_object(KNOWLEDGE), "oneOf": [{"required": ["path", "size"]}, {"required": ["vectors"]}]},
            "stage": {"anyOf": [_object(keys) for keys in STAGES.values()]},
            "made": {
                "type": "object",
                "properties": {"type": SORTS["target"], "config": _OBJECT},
                "required": ["type"],
                "additionalProperties": False,
            },
            "expression": {"type": "string", "pattern": r"^\s*\$\{\{"},
            "function": {
                "type": "object",
                "properties": {"function": SORTS["target"]},
                "required": ["function"],
                "additionalProperties": False,
            },
            "condition": CONDITION,
            **{f"config_{kind}": _object(keys) for kind, keys in KINDS.items()},
        },
    }


def _object(keys: Mapping[str, Key]) -> Schema:
    required = [name for name, key in keys.items() if key.required]
    found: Schema = {"type": "object", "properties": {name: _value(key) for name, key in keys.items()}}
    return {**found, **({"required": required} if required else {}), "additionalProperties": False}


def _value(key: Key) -> Schema:
    sort: Schema = {"enum": list(key.choices)} if key.sort == "choice" else SORTS[key.sort]
    return {"description": key.about, **sort}


def _configs() -> list[Schema]:
    """For each kind of step: what its config must be."""
    return [
        {
            "if": {"properties": {"type": {"const": kind}}, "required": ["type"]},
            "then": {
                "properties": {"config": {"$ref": f"#/$defs/config_{kind}"}},
                **({"required": ["config"]} if any(key.required for key in keys.values()) else {}),
            },
        }
        for kind, keys in KINDS.items()
    ]
