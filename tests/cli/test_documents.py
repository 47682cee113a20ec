"""Workflows that are documents, on the command line: run, check, draw, and taken up again after the process died."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ripresa.authoring.document.schema import schema
from tests.cli.program import Terminal, killed, wait_for

FLOW = """\
id: patient
name: A patient flow
types:
  slow: flows.py:slow
  double: flows.py:double
steps:
  - id: twice
    type: double
  - id: wait
    type: slow
    when: ${{ value > 1 }}
  - id: end
    type: double
    with: ${{ steps.wait.output + steps.twice.output }}
"""

BAD = """\
id: bad
steps:
  - type: flows.py:doubel
    retyr: 3
  - type: flows.py:double
    with: ${{ steps.nobody.output }}
"""


@pytest.fixture
def documents(terminal: Terminal) -> Terminal:
    terminal.write("flow.yaml", FLOW)
    terminal.write("bad.yaml", BAD)
    return terminal


def test_a_document_that_was_killed_is_taken_up_by_a_fresh_process(documents: Terminal) -> None:
    process = documents.start("run", "flow.yaml", "--input", "2", "--id", "it")
    wait_for((documents.directory / "began-4").exists)
    killed(process)
    documents.write("go", "")
    resumed = documents("resume", "it", "--json")
    assert resumed.code == 0
    assert resumed.json["output"] == 16
    journal = documents("events", "it", "--json").json
    scheduled = [event["path"] for event in journal if event["event"] == "StepScheduled"]
    assert scheduled.count("twice") == 1
    assert documents.here("show", "it", "--json").json["target"] == str(documents.directory / "flow.yaml")


def test_check_says_what_is_wrong_with_line_and_column(documents: Terminal) -> None:
    checked = documents.here("check", "bad.yaml", "--json")
    assert checked.code == 2
    assert [(problem["where"], problem["code"]) for problem in checked.json["problems"]] == [
        ("bad.yaml:3:11 steps[0].type", "unknown_target"),
        ("bad.yaml:4:5 steps[0].retyr", "invalid_workflow"),
        ("bad.yaml:6:15 steps[1].with", "unknown_step"),
    ]
    assert "error [unknown_step] bad.yaml:6:15 steps[1].with: there is no step 'nobody'" in checked.err
    assert documents.here("check", "flow.yaml").out == "graph 'patient' is valid\n"


def test_the_schema_of_documents_is_printed_for_editors(terminal: Terminal) -> None:
    told = terminal.here("schema")
    assert (told.code, told.err) == (0, "")
    assert told.json == json.loads(json.dumps(schema()))
    assert told.json["$schema"].startswith("https://json-schema.org/")


def test_a_document_is_drawn(documents: Terminal) -> None:
    assert '["twice"]' in documents.here("draw", "flow.yaml").out


def test_a_flow_is_exported_as_a_document_that_runs_alike(documents: Terminal) -> None:
    exported = documents("export", "flows.py:sums")
    assert (exported.code, exported.err) == (0, "")
    documents.write("sums.yaml", exported.out)
    ran = documents("run", "sums.yaml", "--input", "4", "--json")
    assert ran.json["output"] == 12
    assert documents.here("export", "sums.yaml").out == exported.out
    assert json.loads(documents.here("export", "flows.py:sums", "--json").out)["id"] == "sums"
    refused = documents.here("export", "flows.py:greet")
    assert refused.code == 2
    assert "error [not_exportable] greet: 'greet' can stand in no document: it is a durable function" in refused.err


def test_a_document_without_an_input_needs_none(documents: Terminal) -> None:
    documents.write("short.json", json.dumps({"id": "short", "steps": [{"type": "pass"}]}))
    ran = documents("run", "short.json", "--json")
    assert (ran.code, ran.json["output"]) == (0, None)
    documents.write("typed.json", json.dumps({"id": "typed", "input": "string", "steps": [{"type": "pass"}]}))
    assert "needs an input (str)" in documents.here("run", "typed.json").err


def test_a_document_that_is_not_there_is_not_found(documents: Terminal) -> None:
    missing = documents.here("run", "none.yaml")
    assert missing.code == 3
    assert "the file cannot be read: No such file or directory" in missing.err


def test_a_changed_document_is_refused_for_an_unfinished_run(documents: Terminal) -> None:
    process = documents.start("run", "flow.yaml", "--input", "2", "--id", "it")
    wait_for((documents.directory / "began-4").exists)
    killed(process)
    documents.write("flow.yaml", FLOW.replace("id: end", "id: last"))
    assert "definition_changed" in documents("resume", "it").err
    assert Path(documents.directory / "flow.yaml").exists()
