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
