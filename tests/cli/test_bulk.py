from tests.cli.program import Terminal

FRAGILE = """
from pathlib import Path
from ripresa import chain, step

@step
def look(n: int) -> int:
    if not Path("mended").exists():
        raise ValueError("not mended yet")
    return n

fragile = chain(look, name="fragile")
"""


def test_failed_runs_are_retried_together(terminal: Terminal) -> None:
    terminal.write("fragile.py", FRAGILE)
    for id in "abc":
        assert terminal("run", "fragile.py:fragile", "-i", "1", "--id", id).code == 1
    chosen = terminal.here("bulk", "retry", "--workflow", "fragile", "--dry-run")
    assert chosen.out.split() == ["c", "b", "a"]
    assert terminal.here("bulk", "retry", "--dry-run", "--json").json == {"chosen": ["c", "b", "a"]}
    terminal.write("mended", "")
    retried = terminal("bulk", "retry", "--json")
    assert retried.json == {"done": ["c", "b", "a"], "refused": []}
    assert retried.code == 0
    assert {run["status"] for run in terminal.here("runs", "--json").json} == {"completed"}


def test_what_refuses_is_told_and_is_the_exit_code(terminal: Terminal) -> None:
    terminal("run", "flows.py:sums", "-i", "4", "--id", "a")
    asked = terminal("bulk", "cancel", "--status", "completed")
    assert asked.code == 1
    assert "error [illegal_transition] a: " in asked.err
    assert asked.err.endswith("cancel: 0 runs, 1 refused\n")


def test_a_store_without_runs_has_nothing_to_ask(terminal: Terminal) -> None:
    assert terminal.here("bulk", "cancel").err == "cancel: 0 runs, 0 refused\n"
    assert terminal.here("bulk", "cancel", "--dry-run").code == 0
    assert terminal.here("bulk", "cancel", "--quiet").err == ""
    assert terminal.here("bulk", "delete").code == 2


CACHED = """
from ripresa import chain, step

@step(effect="pure", cache=True)
def squared(n: int) -> int:
    print("computed")
    return n * n

flow = chain(squared, name="flow")
"""


def test_cached_results_are_forgotten(terminal: Terminal) -> None:
    assert terminal.here("forget").err == "0 results forgotten\n"
    terminal.write("cached.py", CACHED)
    runs = [terminal("run", "cached.py:flow", "-i", "4") for _ in range(2)]
    assert [(run.out, "computed" in run.err) for run in runs] == [("16\n", True), ("16\n", False)]
    assert terminal.here("forget", "--expired", "--quiet").err == ""
    assert terminal.here("forget").err == "1 results forgotten\n"
