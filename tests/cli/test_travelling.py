"""Time travel from the command line."""

from tests.cli.program import Terminal


def test_places_are_listed_and_compared(terminal: Terminal) -> None:
    terminal.here("run", "flows.py:sums", "-i", "2", "--id", "a", "-q")
    listed = terminal.here("checkpoints", "a", "--json").json
    assert [place["name"] for place in listed] == ["numbers", "map_each/double[0]", "map_each/double[1]", "total"]
    lines = terminal.here("checkpoints", "a").out.splitlines()
    assert lines[0].split()[3:] == ["step", "numbers"]
    found = terminal.here("diff", "a", "--from", "numbers", "--to", "map_each/double[0]", "--json").json
    assert {change["what"] for change in found} >= {"completed", "map_each/double[0]"}
    shown = terminal.here("diff", "a").out
    assert 'status\n  - "running"\n  + "completed"' in shown
    assert terminal.here("diff", "a", "--from", "nowhere").code == 3
    assert terminal.here("checkpoints", "b").code == 3
    assert terminal.here("diff", "b").code == 3


def test_a_run_is_taken_back_and_seen_to_its_end(terminal: Terminal) -> None:
    terminal.here("run", "flows.py:sums", "-i", "3", "--id", "a", "-q")
    back = terminal.here("rollback", "a", "--at", "numbers")
    assert (back.code, back.out) == (0, "6\n")
    listed = terminal.here("checkpoints", "a").out
    assert listed.count("(rolled back)") == 4
    events = [event["event"] for event in terminal.here("events", "a", "--json").json]
    assert events.count("RolledBack") == 1
    assert "by=command line" in terminal.here("events", "a").out
    assert terminal.here("show", "a", "--json").json["progress"]["completed"] == 5
    given = terminal.here("rollback", "a", "--at", "numbers", "--set", "total=7")
    assert (given.code, given.out) == (0, "7\n")
    assert terminal.here("rollback", "a", "--at", "numbers", "--set", "total").code == 2
    assert terminal.here("rollback", "a", "--at", "nowhere").code == 3
    assert terminal.here("rollback", "b", "--at", "1").code == 3


def test_two_runs_are_compared(terminal: Terminal) -> None:
    terminal.here("run", "flows.py:sums", "-i", "2", "--id", "a", "-q")
    terminal.here("fork", "a", "--set", "numbers=[5]", "--id", "b", "-q")
    terminal.here("run", "flows.py:topic", "-i", '{"name": "tides"}', "--id", "c", "-q")
    found = terminal.here("diff", "a", "b", "--json").json
    assert found["structure"] == []
    given = {"what": "map_each/double[0]", "before": 0, "after": 5}
    assert given in found["inputs"]
    assert {"what": "output", "before": 2, "after": 10} in found["changes"]
    shown = terminal.here("diff", "a", "b").out
    assert "map_each/double[0] was given\n  - 0\n  + 5\n" in shown
    assert "structure: name" in terminal.here("diff", "a", "c").out
    assert terminal.here("diff", "a", "nobody").code == 3
    assert terminal.here("diff", "a", "b", "--from", "1").code == 2
    (terminal.directory / "flows.py").rename(terminal.directory / "gone.py")
    assert "not compared" in terminal("diff", "a", "b").err


def test_a_run_that_failed_is_compared_with_one_that_did_not(terminal: Terminal) -> None:
    terminal.here("run", "flows.py:failing", "-i", "1", "--id", "a", "-q")
    terminal.write("mended", "")
    terminal.here("run", "flows.py:failing", "-i", "1", "--id", "b", "-q")
    changes = {change["what"]: change for change in terminal.here("diff", "a", "b", "--json").json["changes"]}
    failure = changes["failure"]
    assert (failure["before"]["code"], failure["before"]["message"]) == ("step_failed", "no such number")
    assert failure["after"] is None


def test_a_fork_is_a_run_of_its_own(terminal: Terminal) -> None:
    terminal.here("run", "flows.py:sums", "-i", "3", "--id", "a", "-q")
    twin = terminal.here("fork", "a", "--set", "numbers=[5]", "--id", "b", "--json").json
    assert (twin["id"], twin["status"], twin["output"]) == ("b", "completed", 10)
    shown = terminal.here("show", "b", "--json").json
    assert shown["origin"] == {"run": "a", "event": 2}
    assert "forked from: a, after event 2" in terminal.here("show", "b").out
    assert terminal.here("show", "a", "--json").json["origin"] is None
    assert terminal.here("fork", "a", "--at", "numbers", "--id", "b").code == 2
    for bad in ("numbers", "=3", "numbers=[", 'numbers="x"'):
        refused = terminal.here("fork", "a", "--set", bad)
        assert refused.code == 2, bad
    assert terminal.here("fork", "a", "--at", "numbers", "--effects", "maybe").code == 2


STATEFUL = """
from dataclasses import dataclass
from typing import Annotated

from ripresa import chain, current, step
from ripresa.reducers import add


@dataclass
class Sum:
    total: Annotated[int, add] = 0
    title: str = "sum"


@step
async def count(value: int) -> int:
    add(current().to(Sum).total, value)
    return value


@step
async def tell(value: int) -> str:
    state = current().state(Sum)
    return f"{state.title} {state.total}"


flow = chain(count, name="flow").then(tell).with_state(Sum)
"""


def test_a_field_of_the_state_is_set_and_shown_in_the_difference(terminal: Terminal) -> None:
    (terminal.directory / "stateful.py").write_text(STATEFUL)
    terminal.here("run", "stateful.py:flow", "-i", "3", "--id", "a", "-q")
    assert terminal.here("fork", "a", "--set", "state.total=7", "--id", "b").out == "sum 10\n"
    assert terminal.here("fork", "a", "--at", "count", "--set", 'state.title="x"', "--id", "c").out == "x 3\n"
    for bad in ('state.total="many"', "state.colour=1"):
        assert terminal.here("fork", "a", "--set", bad).code == 2, bad
    found = terminal.here("diff", "a", "b", "--json").json
    assert {"what": "state.total", "before": 3, "after": 10} in found["changes"]
    shown = terminal.here("diff", "a", "--from", "1").out
    assert "state.total\n  - 0\n  + 3\n" in shown
    events = [event["event"] for event in terminal.here("events", "c", "--json").json]
    assert "StateEdited" in events
