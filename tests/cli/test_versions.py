"""Versions from the command line: the plan for unfinished runs, and migrations."""

from tests.cli.program import Terminal, wait_for

OLD = """
from ripresa import chain, delay, step

@step
def inc(value: int) -> int:
    return value + 1

flow = chain(inc, name="flow").then(delay(3600))
"""

NEW = """
from ripresa import Migration, chain, step

@step
def add(value: int) -> int:
    return value + 100

@step
def double(value: int) -> int:
    return value * 2

up = Migration("flow", "1", "2", renamed={"inc": "add"})
flow = chain(add, name="flow", version="2").then(double)
"""

BESIDE = (
    OLD.replace('flow = chain(inc, name="flow")', 'flow_1 = chain(inc, name="flow")')
    + """
flow = chain(inc, name="flow", version="2")
"""
)


def begun(terminal: Terminal, *ids: str) -> None:
    """Runs that wait and were left."""
    terminal.write("app.py", OLD)
    for id in ids:
        process = terminal.start("run", "app.py:flow", "-i", "1", "--id", id)
        wait_for(lambda run=id: "TimerSet" in terminal.here("events", run).out)  # type: ignore[misc]
        process.kill()
        process.communicate()


def test_runs_are_planned_and_taken_over(terminal: Terminal) -> None:
    begun(terminal, "a", "b")
    safe = terminal("plan", "app.py:flow", "--json")
    assert (safe.code, [run["verdict"] for run in safe.json]) == (0, ["safe", "safe"])
    terminal.write("app.py", NEW.replace("up = ", "_ = "))
    assert terminal("plan", "app.py:flow").code == 0
    terminal.write("app.py", NEW.replace("up = Migration", "up = lambda *_, **__: Migration"))
    blocked = terminal("plan", "app.py:flow")
    assert (blocked.code, blocked.out.count("blocked")) == (1, 2)
    assert terminal("migrate", "--all", "--target", "app.py:flow").code == 2
    terminal.write("app.py", NEW)
    planned = terminal("plan", "app.py:flow", "--json")
    assert (planned.code, [run["verdict"] for run in planned.json]) == (0, ["migrate", "migrate"])
    dry = terminal("migrate", "a", "--dry-run", "--json").json
    assert (dry["done"], dry["taken"], dry["ahead"]) == (False, ["add"], ["double"])
    one = terminal("migrate", "a")
    assert "run a migrated from version 1 to 2: running" in one.out
    assert terminal("resume", "a", "-q").out == "4\n"
    rest = terminal("migrate", "--all", "--target", "app.py:flow", "--json")
    assert [run["run"] for run in rest.json] == ["b"]
    assert "no unfinished runs of another version" in terminal("migrate", "--all", "--target", "app.py:flow").err
    assert terminal("resume", "b", "-q").out == "4\n"
    assert terminal.here("show", "b", "--json").json["version"] == "2"
    assert "no unfinished runs" in terminal("plan", "app.py:flow").err


def test_runs_that_cannot_be_taken_over_say_why_and_those_that_were_are_told(terminal: Terminal) -> None:
    terminal.write("app.py", OLD.replace("3600", "'2 days'"))
    for id in "ab":
        assert terminal.here("run", "app.py:flow", "-i", "1", "--id", id, "-q").code == 5
    terminal.write("app.py", NEW.replace("up = Migration", "up = lambda *_, **__: Migration"))
    missing = terminal("migrate", "a")
    assert (missing.code, "error [migration_missing]" in missing.err, missing.out) == (2, True, "")
    terminal.write("app.py", NEW)
    told = terminal("migrate", "--all", "--target", "app.py:flow")
    assert [line for line in told.out.splitlines() if "migrated" in line] == [
        "run a migrated from version 1 to 2: running",
        "run b migrated from version 1 to 2: running",
    ]
    assert told.code == 0


def test_a_version_that_stands_beside_the_new_one_keeps_its_runs(terminal: Terminal) -> None:
    begun(terminal, "a")
    terminal.write("app.py", BESIDE)
    planned = terminal("plan", "app.py:flow")
    assert (planned.code, planned.out.startswith("pinned")) == (0, True)
    process = terminal.start("resume", "a")
    wait_for(lambda: "RunTaken" in terminal.here("events", "a").out)
    process.kill()
    process.communicate()
    assert "RunTaken" in terminal.here("events", "a").out


def test_what_makes_no_sense_is_refused(terminal: Terminal) -> None:
    terminal.write("app.py", NEW)
    assert terminal.here("migrate").code == 2
    assert terminal.here("migrate", "a", "--all").code == 2
    assert terminal.here("migrate", "--all").code == 2
    assert terminal.here("migrate", "a").code == 3
    assert terminal.here("plan", "app.py:flow").code == 0
    terminal.here("run", "app.py:flow", "-i", "1", "--id", "x", "-q")
    assert terminal.here("migrate", "nobody").code == 3
    assert terminal.here("migrate", "x").code == 0
