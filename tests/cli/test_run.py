import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from ripresa.stores.sqlite import SQLiteStore
from tests.cli.program import Terminal


@pytest.mark.parametrize(
    ("target", "given", "result"),
    [
        ("sums", "4", 12),
        ("topic", '{"name": "tides", "size": 2}', "tides x 2"),
        ("greet", '{"name": "Ada"}', ["Ada"]),
        ("greet", '{"name": "Ada", "times": 2}', ["Ada", "Ada"]),
        ("one", '"Ada"', "Ada"),
        ("one", '{"name": "Ada"}', "Ada"),
        ("total", "[1, 2]", 3),
        ("nothing", None, None),
        ("nothing", "{}", None),
    ],
)
def test_the_input_is_the_argument_or_an_object_of_named_arguments(
    terminal: Terminal, target: str, given: str | None, result: object
) -> None:
    ended = terminal("run", f"flows.py:{target}", *(("--input", given) if given else ()), "--json")
    assert (ended.code, ended.json["status"], ended.json["output"]) == (0, "completed", result), ended.err


def test_the_input_may_come_from_a_file_or_from_standard_input(terminal: Terminal) -> None:
    terminal.write("input.json", "5\n")
    assert terminal("run", "flows.py:sums", "-i", "@input.json", "-q").out == "20\n"
    assert terminal("run", "flows.py:sums", "-i", "-", "-q", input="3").out == "6\n"


def test_a_target_may_be_a_module(terminal: Terminal) -> None:
    assert terminal("run", "flows:sums", "-i", "4", "-q").out == "12\n"


def test_standard_output_holds_the_result_alone(terminal: Terminal) -> None:
    ended = terminal("run", "flows.py:sums", "-i", "4", "--id", "a")
    assert ended.out == "12\n"
    assert "printed by a step" in ended.err
    assert "completed after" in ended.err
    assert str(terminal.directory / ".ripresa" / "ripresa.db") in ended.err
    assert "python -m ripresa show a" in ended.err


def test_a_quiet_run_says_nothing_but_its_result(terminal: Terminal) -> None:
    ended = terminal("run", "flows.py:topic", "-i", '{"name": "tides"}', "--quiet")
    assert (ended.code, ended.out, ended.err) == (0, "tides x 1\n", "")


def test_a_run_says_on_one_line_what_happens(terminal: Terminal) -> None:
    lines = terminal("run", "flows.py:retried", "-i", "10").err.splitlines()
    assert lines[0].startswith("completed numbers in ")
    assert lines[1] == "started tried: 10 items"
    assert sum("not yet" in line for line in lines) == 4
    assert any("steps (" in line for line in lines)
    lines = terminal("run", "flows.py:looped", "-i", "4").err.splitlines()
    assert "completed fold: 4 times (exhausted)" in lines
    assert "took double at branch (is_large)" in lines


def test_a_run_says_what_hooks_made_of_it(terminal: Terminal) -> None:
    ended = terminal("run", "flows.py:hooked", "-i", '"tides"')
    assert ended.out == "3\n"
    lines = ended.err.splitlines()
    assert "replace at size_of, says hook guard" in lines
    assert "hook broken failed at size_of: hook 'broken' failed: ValueError: no such guard" in lines


def test_the_same_id_gives_the_recorded_run_and_another_input_is_refused(terminal: Terminal) -> None:
    first = terminal("run", "flows.py:sums", "-i", "4", "--id", "a")
    again = terminal("run", "flows.py:sums", "-i", "4", "--id", "a")
    assert (again.code, again.out) == (0, first.out)
    assert "printed by a step" not in again.err
    other = terminal("run", "flows.py:sums", "-i", "5", "--id", "a", "--json")
    assert (other.code, other.json["error"]["code"]) == (2, "run_exists")
    assert "error [run_exists]" in other.err
    assert terminal("run", "flows.py:topic", "-i", '{"name": "x"}', "--id", "a").code == 2


def test_a_failed_run_shows_the_users_traceback_and_goes_on_when_it_is_mended(terminal: Terminal) -> None:
    ended = terminal("run", "flows.py:failing", "-i", "1", "--id", "a")
    assert (ended.code, ended.out) == (1, "")
    assert "ZeroDivisionError" in ended.err
    assert "The above exception was the direct cause" in ended.err
    assert "error [step_failed] fails (attempt 2): Odd: no such number" in ended.err
    assert "python -m ripresa resume a" in ended.err
    assert "as it keeps its input, with another: python -m ripresa fork a --set input=JSON" in ended.err
    assert "ripresa/runtime" not in ended.err
    assert terminal("run", "flows.py:failing", "-i", "1", "--id", "a").code == 1
    terminal.write("mended", "")
    assert terminal("resume", "a", "--json").json["output"] == 1
    assert terminal("resume", "a", "-q").out == "1\n"


def test_a_failed_run_is_told_as_json_too(terminal: Terminal) -> None:
    ended = terminal("run", "flows.py:failing", "-i", "1", "--json")
    error = ended.json["error"]
    assert (ended.code, ended.json["status"]) == (1, "failed")
    assert (error["code"], error["path"], error["attempt"], error["type"]) == ("step_failed", "fails", 2, "flows.Odd")
    assert error["cause"]["type"] == "ZeroDivisionError"


def test_the_store_is_the_option_else_the_environment_else_the_working_directory(terminal: Terminal) -> None:
    assert terminal("run", "flows.py:one", "-i", '"x"', "--store", "a.db").code == 0
    assert terminal("run", "flows.py:one", "-i", '"x"', RIPRESA_STORE="sqlite:b.db").code == 0
    assert sorted(path.name for path in terminal.directory.glob("*.db")) == ["a.db", "b.db"]
    assert not (terminal.directory / ".ripresa").exists()
    ended = terminal("run", "flows.py:one", "-i", '"x"', "--store", "a.db", "--id", "b")
    assert "show b --store a.db" in ended.err
    ended = terminal("run", "flows.py:one", "-i", '"x"', "--store", "memory:")
    assert (ended.code, ended.out) == (0, "x\n")
    assert "journal" not in ended.err


@pytest.mark.parametrize(
    ("args", "code", "told"),
    [
        (("run",), 2, "error [usage]: Missing argument"),
        (("bogus",), 2, "error [usage]: No such command 'bogus'."),
        (("run", "flows.py:sums", "--bogus"), 2, "error [usage]: No such option: --bogus"),
        (("run", "no.py:sums"), 3, "error [unknown_target]: 'no.py:sums' names no workflow: there is no file no.py"),
        (("run", "no.where:sums"), 3, "there is no module no.where"),
        (("run", "flows.py"), 3, "hint: say which of its workflows: flows.py:NAME"),
        (("run", "flow.py"), 3, "write file.py:name, package.module:name or a .yaml"),
        (("run", "flows.py:is_large"), 3, "hint: put @step above it, or it has sums"),
        (("run", "flow.py:sums"), 3, "hint: did you mean flows.py? looked in "),
        (("run", "flows.py:sum"), 3, "hint: did you mean sums?"),
        (("run", "flows.py:topic", "-i", '{"name": "x", "siez": 2}'), 2, "siez is no key here; did you mean size?"),
        (("run", "flows.py:no"), 3, "hint: it has sums, topic, greet"),
        (("run", "flows.py:Path"), 3, "'Path' is a "),
        (("run", "flows.py:sums"), 2, "error [invalid_input] sums: needs an input (int)"),
        (("run", "flows.py:greet"), 2, "error [invalid_input] greet: needs an input (name)"),
        (("run", "flows.py:sums", "-i", ""), 2, "this is no JSON: Expecting value at line 1, column 1\n"),
        (("run", "flows.py:sums", "-i", "[1,\n 2"), 2, "at line 2, column 3, near ' 2'"),
        (("run", "flows.py:sums", "-i", "@no.json"), 2, "error [usage] --input: no.json cannot be read"),
        (("run", "flows.py:sums", "-i", '"x"'), 2, "error [invalid_input] sums: Input should be a valid integer"),
        (("run", "flows.py:one", "-i", '{"other": 1}'), 2, "error [invalid_input] one: Input should be a valid string"),
        (("run", "flows.py:greet", "-i", "[1]"), 2, "takes an object of named arguments (name, times), is given [1]"),
        (("run", "flows.py:greet", "-i", '{"nam": 1}'), 2, "has no parameter 'nam'; it takes name, times"),
        (("run", "flows.py:greet", "-i", '{"name": 1}'), 2, "error [invalid_input] greet: name: Input should be"),
        (("run", "flows.py:sums", "-i", "1", "--store", "foo:x"), 2, "error [unknown_store]: no store has an address"),
        (("run", "flows.py:sums", "-i", "1", "--store", "postgresql://x"), 2, "error [not_available] postgresql://x:"),
        (("run", "flows.py:sums", "-i", "1", "--durability", "x"), 2, "error [invalid_config] durability:"),
        (("run", "flows.py:sums", "-i", "1", "--concurrency", "0"), 2, "error [usage]: Invalid value for"),
        (
            ("run", "flows.py:sums", "-i", "1", "--id", " ", "--store", "memory:"),
            2,
            "error [invalid_config] sums: id is",
        ),
        (("show", "no"), 3, "error [run_not_found]: there is no run 'no'"),
        (("events", "no"), 3, "error [run_not_found]"),
        (("resume", "no"), 3, "error [run_not_found]"),
        (("cancel", "no"), 3, "error [run_not_found]"),
        (("run", "no.where:sums"), 3, "error [unknown_target]"),
        (("resume",), 2, "give the id of a run, or --all"),
        (("resume", "--all", "--target", "x"), 2, "--target, --limit and --again are for one run"),
        (("runs", "--status", "bogus"), 2, "error [usage] --status: there is no status bogus"),
    ],
)
def test_what_is_wrong_is_said_with_a_code_and_an_exit_code(
    terminal: Terminal, args: tuple[str, ...], code: int, told: str
) -> None:
    ended = terminal.here(*args)
    assert (ended.code, ended.out) == (code, "")
    assert told in ended.err
    assert "Traceback" not in ended.err
    assert not (terminal.directory / ".ripresa").exists()


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        ("def broken():\n    return {}['no']\n\nbroken()\n", 2, "KeyError: 'no'"),
        ("def broken(:\n", 2, "SyntaxError"),
        ("import sys\nsys.exit(3)\n", 3, "its code ends the program while it is imported (exit status 3)"),
        (
            "from ripresa import chain\n\n\ndef a(n: int) -> str: ...\n\n\nflow = chain(a).then(a)\n",
            2,
            "error [type_mismatch] chain/a#2: takes int, is given str",
        ),
    ],
)
def test_code_that_cannot_be_imported_shows_its_own_fault(terminal: Terminal, text: str, code: int, told: str) -> None:
    terminal.write("bad.py", text)
    ended = terminal("run", "bad.py:flow")
    assert (ended.code, ended.out) == (code, "")
    assert told in ended.err
    assert "bad.py" in ended.err
    assert "importlib" not in ended.err
    assert "src/ripresa" not in ended.err


def _corrupt(path: Path) -> None:
    path.write_bytes(b"this is no database" * 100)


def _foreign(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()


def _newer(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA application_id = 0x52697072")
        connection.execute("PRAGMA user_version = 99")
    connection.close()


@pytest.mark.parametrize(
    ("make", "code"), [(_corrupt, "store_corrupt"), (_foreign, "store_corrupt"), (_newer, "store_newer")]
)
def test_a_file_that_is_no_store_of_ours_is_refused(terminal: Terminal, make: object, code: str) -> None:
    assert callable(make)
    make(terminal.directory / "x.db")
    for args in (("run", "flows.py:sums", "-i", "1"), ("runs",), ("show", "a")):
        ended = terminal.here(*args, "--store", "x.db")
        assert (ended.code, ended.out) == (1, "")
        assert f"error [{code}] {terminal.directory / 'x.db'}:" in ended.err
        assert "hint: " in ended.err


def test_a_locked_store_is_said_to_be_locked(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    assert terminal("run", "flows.py:one", "-i", '"x"', "--store", "x.db").code == 0
    store = SQLiteStore(terminal.directory / "x.db", patience=0.1)
    monkeypatch.setattr("ripresa.cli.places.open_store", lambda *options: store)
    connection = sqlite3.connect(terminal.directory / "x.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        ended = terminal.here("run", "flows.py:one", "-i", '"x"', "--store", "x.db")
    finally:
        connection.close()
    assert ended.code == 1
    assert "error [store_locked]" in ended.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_store_that_cannot_be_written_is_said_to_be_read_only(terminal: Terminal) -> None:
    (terminal.directory / "closed").mkdir(mode=0o500)
    ended = terminal("run", "flows.py:one", "-i", '"x"', "--store", "closed/x.db")
    assert ended.code == 1
    assert "error [store_readonly]" in ended.err


def test_help_and_version_load_neither_the_engine_nor_rich(terminal: Terminal) -> None:
    script = (
        "import sys; from ripresa.cli.program import run; run(['--help']); run(['--version']);"
        "print([name for name in sys.modules if name in ('rich', 'pydantic', 'asyncio', 'ripresa.app')])"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert told.startswith("Usage: python -m ripresa ")
    assert "Exit codes: 0 completed" in " ".join(told.split())
    assert told.splitlines()[-2:] == ["ripresa 0.1.0rc1", "[]"]


def test_without_arguments_the_help_is_shown(terminal: Terminal) -> None:
    ended = terminal()
    assert (ended.code, ended.out.partition("\n")[0]) == (0, "Usage: python -m ripresa [OPTIONS] COMMAND [ARGS]...")


def test_the_output_of_a_run_may_be_cut_off(terminal: Terminal) -> None:
    terminal("run", "flows.py:big", "-i", "100000", "--id", "a")
    script = f"{sys.executable} -m ripresa show a --json | head -c 10"
    told = subprocess.run(script, shell=True, cwd=terminal.directory, capture_output=True, text=True)
    assert (told.stdout, told.stderr) == ('{"id": "a"', "")


LIMITED = """
from ripresa import chain, step

@step
async def same(number: int) -> int:
    return number

flow = chain(same).then(same)
"""


def test_a_run_is_given_limits_and_shows_them(terminal: Terminal) -> None:
    terminal.write("limited.py", LIMITED)
    done = terminal.here("run", "limited.py:flow", "-i", "1", "--id", "a", "--limit", "steps=5", "--limit", "money=2.5")
    assert (done.code, done.out.strip()) == (0, "1")
    shown = terminal.here("show", "a").out
    assert "limits:    steps 2 of 5, money 2.5, then fail" in shown
    found = terminal.here("show", "a", "--json").json
    assert found["limits"] == {"steps": 5, "money": 2.5, "on_exceeded": "fail"}
    assert (found["used"]["steps"], found["used"]["operations"]) == (2, 2)
    stopped = terminal.here("run", "limited.py:flow", "-i", "1", "--limit", "steps=1")
    assert (stopped.code != 0, "limit of steps is reached: 1 of 1" in stopped.err) == (True, True)
    paused = terminal.here("run", "limited.py:flow", "-i", "1", "--limit", "steps=1", "--on-exceeded", "ask")
    assert "paused" in paused.err


@pytest.mark.parametrize("policy", ["fail", "pause", "ask"])
def test_a_run_that_reached_a_limit_is_allowed_more(terminal: Terminal, policy: str) -> None:
    terminal.write("limited.py", LIMITED)
    few = ("--limit", "steps=1", "--limit", "operations=9", "--on-exceeded", policy)
    left = terminal.here("run", "limited.py:flow", "-i", "1", "--id", "a", *few)
    assert "the limit of steps is reached: 1 of 1; allow more with: " in left.err
    assert "resume a --limit steps=NUMBER" in left.err
    done = terminal.here("resume", "a", "--limit", "steps=5")
    assert (done.code, done.out.strip()) == (0, "1"), done.err
    assert f"steps 2 of 5, operations 2 of 9, then {policy}" in terminal.here("show", "a").out
    assert terminal.here("resume", "a", "--limit", "steps=6").out.strip() == "1"
    assert terminal.here("resume", "--all", "--limit", "steps=6").code == 2


SHARED = """
import asyncio
from ripresa import App, Limits

async def main():
    async with App() as app:
        await app.sessions.create("s", limits=Limits(steps=1))

asyncio.run(main())
"""


def test_a_limit_of_a_session_is_not_one_of_the_run(terminal: Terminal) -> None:
    terminal.write("limited.py", LIMITED)
    terminal.write("shared.py", SHARED)
    subprocess.run([sys.executable, "shared.py"], cwd=terminal.directory, check=True)
    left = terminal.here("run", "limited.py:flow", "-i", "1", "--id", "a", "--session", "s")
    assert "the limit of steps of session s is reached: 1 of 1; allow the session more, then: " in left.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--limit", "stairs=5"), "--limit is 'stairs=5', must be NAME=VALUE"),
        (("--limit", "steps"), "--limit is 'steps', must be NAME=VALUE"),
        (("--limit", "steps=many"), "steps is 'many', must be a whole number from 0"),
        (("--on-exceeded", "ask"), "give a --limit"),
        (("--limit", "steps=5", "--on-exceeded", "cry"), "on_exceeded is 'cry'"),
    ],
)
def test_bad_limits_are_named(terminal: Terminal, options: tuple[str, ...], message: str) -> None:
    terminal.write("limited.py", LIMITED)
    refused = terminal.here("run", "limited.py:flow", "-i", "1", *options)
    assert refused.code == 2
    assert message in " ".join(refused.err.split())


def test_code_is_loaded_with_the_features_of_the_settings(terminal: Terminal) -> None:
    terminal.write("limited.py", LIMITED)
    terminal.write("settings.toml", "[features]\nchains = false\n")
    refused = terminal("run", "limited.py:flow", "-i", "1", RIPRESA_CONFIG="settings.toml")
    assert refused.code != 0
    assert "chain belongs to chains, which the settings in force have switched off" in " ".join(refused.err.split())


def test_another_input_is_offered_where_the_input_was_null_and_not_where_nothing_is_taken(terminal: Terminal) -> None:
    terminal.write(
        "bare.py",
        "from ripresa import chain, step\n@step\ndef asks(port: str | None) -> int:\n    raise ValueError(port)\n"
        "@step\ndef alone() -> int:\n    raise ValueError\nflow = chain(asks)\n",
    )
    assert "fork a --set input=JSON" in terminal.here("run", "bare.py:flow", "-i", "null", "--id", "a").err
    assert "--set input" not in terminal.here("run", "bare.py:alone", "--id", "b").err
