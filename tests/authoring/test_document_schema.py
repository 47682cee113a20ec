"""The published JSON Schema of documents says what the reader takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

import ripresa
from ripresa.authoring.document import shapes
from ripresa.authoring.document.schema import SORTS, schema
from ripresa.authoring.document.text import document_of
from ripresa.runtime.exporting import export_document
from tests.authoring.test_document import KINDS
from tests.corpus.control_flow import PATTERNS
from tests.corpus.workflows import WORKFLOWS
from tests.runtime.test_exporting import PARTS, REFUSED, wired

FILE = Path(ripresa.__file__).parent / "authoring" / "document" / "document.schema.json"
EXAMPLES = sorted(
    file for file in (Path(__file__).parents[2] / "examples").glob("*.yaml") if not file.name.endswith(".owf.yaml")
)
VALIDATOR = jsonschema_rs.validator_for(schema())


def complaints(data: Any) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(data)]


def test_the_file_in_the_package_is_the_schema() -> None:
    assert json.loads(FILE.read_text(encoding="utf-8")) == schema(), "ripresa schema > document.schema.json"
    jsonschema_rs.meta.validate(schema())


def test_every_sort_of_value_has_a_schema_and_words() -> None:
    keys = [
        key for table in (shapes.ROOT, shapes.STEP, shapes.SERVER, *shapes.KINDS.values()) for key in table.values()
    ]
    assert {key.sort for key in keys} == {*SORTS, "choice"} == {*shapes.SORTS}


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_every_example_fits_the_schema(file: Path) -> None:
    assert complaints(document_of(file.read_text(encoding="utf-8"), file.name).data) == []


@pytest.mark.parametrize("part", [part for part, *_ in KINDS], ids=str)
def test_every_kind_of_step_fits_the_schema(part: dict[str, Any]) -> None:
    assert complaints({"id": "x", "steps": [part]}) == []
    assert complaints({"id": "x", **part}) == []


FLOWS = [
    *(case.flow for case in (*PATTERNS.values(), *WORKFLOWS) if case.name not in REFUSED),
    *PARTS,
    wired(),
]


@pytest.mark.parametrize("flow", [flow for flow in FLOWS if flow.node.kind != "dynamic"], ids=str)
def test_whatever_is_exported_fits_the_schema(flow: Any) -> None:
    assert complaints(export_document(flow)) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"id": "x"},
        {"id": "x", "steps": []},
        {"id": "x", "steps": [{}]},
        {"id": "x", "steps": ["a:b"], "type": "map"},
        {"id": "x", "steps": [{"type": "map"}]},
        {"id": "x", "steps": [{"type": "map", "config": {"step": "a:b", "stop": 1}}]},
        {"id": "x", "steps": [{"type": "delay", "config": {"length": "long"}}]},
        {"id": "x", "steps": [{"type": "branch", "config": {"when": "value > 3", "then": "a:b"}}]},
        {"id": "x", "steps": [{"type": "a", "retyr": 3}]},
    ],
    ids=str,
)
def test_what_is_wrong_does_not_fit(wrong: Any) -> None:
    assert complaints(wrong)
