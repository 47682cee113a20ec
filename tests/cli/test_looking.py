import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ripresa import App, BeforeStep, Replace, RunStarting, before, chain, intercept, step
from ripresa.core.retry import FILE_MODULE
from ripresa.testing.clock import ManualClock
from tests.cli.program import Terminal, ended, environment, wait_for
from tests.runtime.stage import turns


def test_runs_are_listed_newest_first_and_filtered(terminal: Terminal) -> None:
    assert terminal.here("runs").err == (
        f"no runs in {terminal.directory / '.ripresa' / 'ripresa.db'}: it is not there, the first run makes it\n"
    )
    terminal("run", "flows.py:sums", "-i", "4", "--id", "a", "--tag", "blue", "--tag", "red")
    terminal("run", "flows.py:failing", "-i", "4", "--id", "b")
    listed = terminal.here("runs").out.splitlines()
    assert [line.split()[:3] for line in listed] == [
        ["RUN", "WORKFLOW", "STATUS"],
        ["b", "failing", "failed"],
        ["a", "sums", "completed"],
    ]
    assert listed[1].endswith("step_failed")
    assert listed[2].endswith("blue red")

    def ids(*args: str) -> list[str]:
        return [run["id"] for run in terminal.here("runs", "--json", *args).json]

    assert ids() == ["b", "a"]
    assert ids("--status", "failed") == ["b"]
    assert ids("--workflow", "sums") == ["a"]
    assert ids("--tag", "blue") == ["a"]
    assert ids("--limit", "1") == ["b"]
    assert "older ones: " in terminal.here("runs", "--limit", "1").err


def test_a_run_is_shown_with_its_tree_or_its_steps(terminal: Terminal) -> None:
    terminal("run", "flows.py:sums", "-i", "4", "--id", "a", "--tag", "blue")
    shown = terminal.here("show", "a").out
    for part in (
        "workflow:  sums (version 1)",
        "status:    completed",
        "5 of 6",
        "100%",
        "input:     4",
        "output:    12",
        "tags:      blue",
        "double  [4/4]",
    ):
        assert part in shown or part == "5 of 6", part
    listed = terminal.here("show", "a", "--steps").out
    assert "completed  map_each/double[3]" in listed
    assert "  given 3  6" in listed
    assert listed.rstrip().splitlines()[-1].endswith("  given [0, 2, 4, 6]  12")
    steps = terminal.here("show", "a", "--steps", "--json").json["steps"]
    assert [each["input"] for each in steps if each["name"] == "total"] == [[0, 2, 4, 6]]
    assert "input" not in terminal.here("show", "a", "--json").json["steps"][0]


FUNCTION = """
from ripresa import Context, Signal, step, workflow

@step
async def double(number: int, times: int = 2) -> int:
    return times * number

@step
async def nothing() -> None:
    pass

@step
async def stays(number: int) -> int:
    raise ValueError(number)

@workflow
async def flow(ctx: Context, number: int) -> int:
    print("printed by the function")
    await nothing()
    return await stays(await double(number, times=3))
"""


def test_what_steps_were_given_follows_from_the_code_that_is_here(terminal: Terminal) -> None:
    terminal.write("given.py", FUNCTION)
    terminal.here("run", "given.py:flow", "-i", "2", "--id", "a")
    shown = terminal.here("show", "a", "--steps")
    assert 'given {"number": 2, "times": 3}  6' in shown.out
    assert "  given 6  " in shown.out
    assert "printed" not in shown.out
    assert next(each for each in shown.out.splitlines() if "nothing" in each).endswith("null")
    for source, why in (
        (FUNCTION.replace("@workflow", "@workflow(version='2')"), "the structure of workflow 'flow' changed"),
        ("1 / 0", "its code cannot be imported: division by zero"),
        ("flow = 1", "'flow'"),
    ):
        for name in [each for each in sys.modules if each.startswith(FILE_MODULE)]:
            del sys.modules[name]
        terminal.write("given.py", source)
        shown = terminal.here("show", "a", "--steps")
        assert shown.code == 0
        assert re.search(f"what steps were given is not shown: .*({why})", shown.err), shown.err
        assert "  given " not in shown.out


def test_a_run_is_shown_as_json_with_everything_about_it(terminal: Terminal) -> None:
    terminal("run", "flows.py:big", "-i", "10000", "--id", "a")
    shown = terminal.here("show", "a", "--json").json
    assert shown["output"] == "x" * 10000
    assert (shown["id"], shown["workflow"], shown["version"], shown["status"]) == ("a", "big", "1", "completed")
    assert (shown["input"], shown["error"], shown["owner"]) == (10000, None, None)
    assert shown["progress"] == {"completed": 1, "total": 1, "percent": 100.0, "current": []}
    (step,) = shown["steps"]
    assert (step["path"], step["name"], step["status"], step["attempt"]) == ("large", "large", "completed", 1)
    assert step["output"] == "x" * 10000
    assert "… (10002 characters)" in terminal.here("show", "a").out


RULED = """
from dataclasses import dataclass
from typing import Annotated

from ripresa import Rule, chain, current, step
from ripresa.reducers import add


@dataclass
class Sum:
    total: Annotated[int, add] = 0
    title: str = "sum"


@step
async def count(value: int) -> int:
    add(current().to(Sum).total, value)
    return value


flow = (
    chain(count, name="flow")
    .with_state(Sum)
    .with_rules(Rule.custom("even", lambda n: "it is odd" if n % 2 else None, severity="warning"))
)
"""


def test_a_run_is_shown_with_its_state_and_what_its_rules_said(terminal: Terminal) -> None:
    terminal.write("ruled.py", RULED)
    for number in (2, 3):
        assert terminal.here("run", "ruled.py:flow", "-i", str(number), "--id", f"r{number}", "-q").code == 0
    shown = terminal.here("show", "r3", "--json").json
    assert shown["state"] == {"total": 3, "title": "sum"}
    assert shown["states"] == [{"path": "()", "name": "Sum", "version": 1, "fields": {"total": 3, "title": "sum"}}]
    assert "rule even of flow: warning: it is odd" in terminal.here("show", "r3").out
    assert "rule even of flow: kept" in terminal.here("show", "r2").out


def test_a_failed_run_is_shown_with_its_error(terminal: Terminal) -> None:
    terminal("run", "flows.py:failing", "-i", "1", "--id", "a")
    assert "error [step_failed] fails (attempt 2): Odd: no such number" in terminal.here("show", "a").out
    assert "failed  fails" in terminal.here("show", "a", "--steps").out
    assert terminal.here("show", "a", "--json").json["error"]["message"] == "no such number"


def test_the_events_of_a_run_are_printed(terminal: Terminal) -> None:
    terminal("run", "flows.py:failing", "-i", "1", "--id", "a")
    lines = terminal.here("events", "a").out.splitlines()
    assert lines[0].split()[2] == "RunStarted"
    assert lines[-1].split()[2] == "RunFailed"
    assert any("failure=step_failed: no such number" in line for line in lines)
    listed = terminal.here("events", "a", "--json").json
    assert [event["seq"] for event in listed] == list(range(1, len(lines) + 1))
    followed = terminal.here("events", "a", "--json", "--follow").out
    assert [json.loads(line) for line in followed.splitlines()] == listed


def test_large_values_stay_references_in_events_and_calls_are_data(terminal: Terminal) -> None:
    terminal("run", "flows.py:big", "-i", "10000", "--id", "a")
    (done,) = [event for event in terminal.here("events", "a", "--json").json if event["event"] == "StepCompleted"]
    assert list(done["output"]) == ["digest"]
    terminal("run", "flows.py:nothing", "--id", "b")
    (asked,) = [event for event in terminal.here("events", "b", "--json").json if event["event"] == "Asked"]
    assert [(call["kind"], call["input"]) for call in asked["calls"]] == [("sleep", 10000)]
    for command in ("show", "events", "resume"):
        assert terminal.here(command, "no").code == 3
    terminal("run", "flows.py:sums", "-i", "2", "--id", "c")
    assert terminal.here("events", "c", "--json").json[-1]["output"] == 2


def test_events_are_followed_from_another_process(terminal: Terminal) -> None:
    run = terminal.start("run", "flows.py:patient", "-i", "[1, 2, 3]", "--id", "a")
    wait_for((terminal.directory / "began-2").exists)
    shown = terminal("show", "a", "--json").json
    assert (shown["status"], shown["progress"]["current"]) == ("running", ["map_each/slow[0]", "map_each/slow[1]"])
    assert shown["owner"].startswith(f"{run.pid}-")
    assert f"driven by: process {run.pid}" in terminal.here("show", "a").out
    assert terminal.here("runs").out.splitlines()[1].split()[2] == "running"
    following = terminal.start("events", "a", "--follow")
    second = terminal.start("run", "flows.py:patient", "-i", "[1, 2, 3]", "--id", "a")
    wait_for(lambda: "map_each/slow[1]" in following.told()[0])
    (terminal.directory / "go").touch()
    assert ended(following).out.rstrip().endswith("  output=[1, 2, 3]")
    assert [ended(each).code for each in (run, second)] == [0, 0]


@pytest.mark.parametrize(
    ("target", "told"), [("sums", "chain 'sums' is valid"), ("greet", "workflow 'greet' is valid"), ("total", "valid")]
)
def test_a_sound_workflow_is_said_to_be_valid(terminal: Terminal, target: str, told: str) -> None:
    ended = terminal.here("check", f"flows.py:{target}")
    assert (ended.code, ended.err) == (0, "")
    assert told in ended.out


def test_everything_that_is_wrong_with_a_workflow_is_listed(terminal: Terminal) -> None:
    terminal.write("bad.py", "from ripresa import chain\n\n\ndef a(n: int) -> str: ...\n\n\nflow = chain(a).then(a)\n")
    found = terminal.here("check", "bad.py:flow")
    assert (found.code, found.out) == (2, "")
    assert "error [type_mismatch] chain/a#2: takes int, is given str" in found.err
    assert f"in {terminal.directory / 'bad.py'}, line 7" in found.err
    told = terminal.here("check", "bad.py:flow", "--json").json
    assert (told["ok"], [problem["code"] for problem in told["problems"]]) == (False, ["type_mismatch"])
    terminal.write(
        "doubtful.py",
        "import time\nfrom ripresa import Context, workflow\n\n\n"
        "@workflow\nasync def flow(ctx: Context) -> float:\n    return time.time()\n",
    )
    found = terminal.here("check", "doubtful.py:flow")
    assert found.code == 2
    assert "error [nondeterminism]" in found.err
    assert terminal.here("check", "flows.py:sums", "--json").json["ok"] is True


def test_what_is_only_doubtful_is_told_and_the_workflow_is_valid(terminal: Terminal) -> None:
    terminal.write(
        "far.py",
        "from ripresa import chain, step\n\n\n@step(executor='lab')\ndef a(n: int) -> int: ...\n\n\nflow = chain(a)\n",
    )
    found = terminal.here("check", "far.py:flow")
    assert (found.code, found.out) == (0, "chain 'chain' is valid\n")
    assert found.err.startswith("warning [unknown_executor] chain/a: names the executor 'lab'")
    told = terminal.here("check", "far.py:flow", "--json").json
    assert (told["ok"], told["problems"][0]["severity"]) == (True, "warning")
    refused = terminal.here("run", "far.py:flow", "--input", "1")
    assert refused.code == 2
    assert "error [unknown_executor] chain/a: there is no executor named 'lab'" in refused.err


def test_what_is_wrong_with_one_chain_is_listed_whole_and_what_is_wrong_beside_it_is_not(terminal: Terminal) -> None:
    terminal.write(
        "bad.py",
        "from ripresa import chain\n\n\ndef a(n: int) -> str: ...\n\n\ndef b(n: int) -> int: ...\n\n\n"
        'one = chain(a, name="one").then(a).then(b)\n'
        'two = chain(a, name="two").then(b)\n'
        'three = chain(b, name="three").then(b)\n',
    )
    found = terminal.here("check", "bad.py:one").err.splitlines()
    assert [line.partition(":")[0] for line in found[1:3]] == [
        "error [type_mismatch] one/a#2",
        "error [type_mismatch] one/b",
    ]
    assert found[0].endswith("line 10")
    assert found[3] == "  hint: let it take what it is given, or put a step between that makes one of the other"
    told = terminal.here("check", "bad.py:two", "--json")
    assert (told.json["workflow"], told.json["kind"], told.err) == (
        "two",
        "chain",
        "error [type_mismatch] two/b: takes int, is given str\n" + found[3] + "\n",
    )
    assert told.json["problems"][0]["hint"]
    beside = terminal.here("check", "bad.py:three")  # it could not be imported to be run
    assert (beside.code, "one/a#2" in beside.err) == (2, True)
    nowhere = terminal.here("check", "bad.py:four", "--json")
    assert (nowhere.json["workflow"], nowhere.json["kind"]) == ("one", "")


def test_a_workflow_is_drawn(terminal: Terminal) -> None:
    assert terminal.here("draw", "flows.py:sums").out.startswith("flowchart TD\n")
    assert terminal.here("draw", "flows.py:sums", "--format", "dot").out.startswith("digraph {\n")
    ended = terminal.here("draw", "flows.py:sums", "--format", "png")
    assert (ended.code, "error [invalid_config]" in ended.err) == (2, True)


def test_the_installed_program_names_itself_as_it_was_called(terminal: Terminal) -> None:
    program = Path(sys.executable).with_name("ripresa")
    command = [str(program), "run", "flows.py:one", "-i", '"x"', "--id", "a"]
    told = subprocess.run(command, cwd=terminal.directory, capture_output=True, text=True, env=environment())
    assert f"look into it: {program} show a" in told.stderr
    path = environment(PATH=f"{program.parent}:/usr/bin:/bin")
    told = subprocess.run(["ripresa", *command[1:]], cwd=terminal.directory, capture_output=True, text=True, env=path)
    assert "look into it: ripresa show a" in told.stderr
    (terminal.directory / "bin").symlink_to(program.parent)
    command[0] = "bin/ripresa"
    told = subprocess.run(command, cwd=terminal.directory, capture_output=True, text=True, env=environment())
    assert "look into it: bin/ripresa show a" in told.stderr


def test_store_and_log_are_what_the_settings_say(terminal: Terminal) -> None:
    (terminal.directory / "ours.toml").write_text(
        '[app]\nstore = "sqlite:mine.db"\ndurability = "normal"\n[observability]\nlog = "info"\n'
    )
    settings = {"RIPRESA_CONFIG": "ours.toml"}
    ran = terminal("run", "flows.py:sums", "-i", "4", "--id", "a", "-q", **settings)
    assert "INFO RunCompleted run=a seq=" in ran.err
    assert (terminal.directory / "mine.db").exists()
    assert not (terminal.directory / ".ripresa").exists()
    named = {**settings, "RIPRESA_APP_STORE": "sqlite:other.db"}
    assert "other.db: it is not there" in terminal("runs", **named).err
    wrong = terminal("runs", RIPRESA_APP_DURABILITY="none")
    assert wrong.code == 2
    assert "error [invalid_config]" in wrong.err


@step
async def half(number: int) -> int:
    return number // 2


@step
async def double(number: int) -> int:
    return 2 * number


async def _left_waiting_for_a_hook(store: Path) -> None:
    @before("double", timeout="1 hour")
    async def asks_bob(asked: BeforeStep) -> None:
        await asyncio.Event().wait()

    @before("half")
    def guess(asked: BeforeStep) -> Replace:
        return Replace(8)

    @intercept("start")
    def other(asked: RunStarting) -> Replace:
        return Replace(6)

    clock = ManualClock()
    async with App(store, clock=clock, hooks=[asks_bob, guess, other], patience=0.01) as app:
        handle = await app.start(chain(half).then(double)(1), id="r")
        while not (await handle.status()).asked:
            clock.advance(1)
            await turns(5)


def test_a_run_is_shown_with_what_hooks_answered_and_whom_it_waits_for(terminal: Terminal) -> None:
    store = terminal.directory / "hooked.db"
    asyncio.run(_left_waiting_for_a_hook(store))
    shown = terminal.here("show", "r", "--store", str(store)).out
    assert re.search(r"waits for: hook asks_bob \(before of double\) since \d{4}-", shown), shown
    assert "hooks:     replace by other (start)" in shown
    assert "replace by guess (before)" in shown
    assert "waiting for hook asks_bob (before)" in shown
    assert "replace by guess (before)" in terminal.here("show", "r", "--steps", "--store", str(store)).out
    found = terminal.here("show", "r", "--json", "--store", str(store)).json
    assert [(each["path"], each["hook"]) for each in found["hooks"]] == [("", "other"), ("half", "guess")]
    assert [(each["path"], each["point"], each["hook"]) for each in found["asked"]] == [
        ("double", "before", "asks_bob")
    ]
    assert "HookAwaited" in terminal.here("events", "r", "--store", str(store)).out
