"""Open Workflow documents on the command line: run, check, draw, events, and taken up by another process."""

from __future__ import annotations

import json

from tests.cli.program import Terminal

ORDER = """\
document: {dsl: '1.0.3', namespace: shop, name: order, version: '0.1.0'}
do:
  - add: {set: {sum: "${ .a + .b }"}}
  - paid: {listen: {to: {one: {with: {type: paid}}}}, output: {as: '.[0].by'}}
"""


def test_a_document_is_run_and_taken_up_by_the_process_that_brings_its_event(terminal: Terminal) -> None:
    terminal.write("order.owf.yaml", ORDER)
    waits = terminal.here("run", "order.owf.yaml", "--input", '{"a": 1, "b": 2}', "--id", "o", "--json")
    assert waits.json["status"] == "waiting"
    done = terminal.here("signal", "o", "event", json.dumps({"type": "paid", "data": {"by": "ann"}}))
    assert done.code == 0, done.err
    assert terminal.here("show", "o", "--json").json["output"] == "ann"


def test_a_document_is_checked_and_drawn(terminal: Terminal) -> None:
    terminal.write("order.owf.yaml", ORDER)
    assert terminal.here("check", "order.owf.yaml").code == 0
    assert '(["paid: events"])' in terminal.here("draw", "order.owf.yaml").out
    terminal.write("bad.yaml", ORDER.replace(".a + .b", ".a +"))
    checked = terminal.here("check", "bad.yaml")
    assert checked.code == 2
    assert "error [invalid_expression] bad.yaml:3:31 do[0].add.set.sum: syntax error, unexpected end" in checked.err


def test_a_document_that_begins_by_itself_is_begun_by_hand_alone(terminal: Terminal) -> None:
    terminal.write("beat.owf.yaml", ORDER.partition("do:")[0] + "schedule: {every: PT1H}\ndo: [{a: {set: {b: 1}}}]\n")
    refused = terminal.here("run", "beat.owf.yaml")
    assert refused.code == 2
    assert "[not_available]" in refused.err
    assert "says that its runs begin by themselves (schedule.every)" in refused.err
    assert terminal.here("run", "beat.owf.yaml", "--input", "null").code == 0
