import asyncio
import os
import pty
import re
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ripresa import RunFailed, blocking, chain, step
from ripresa.cli.driving import is_held
from tests.cli.program import COMMAND, Begun, Terminal, ended, environment, killed, wait_for


@step
def boom(n: int) -> int:
    raise ValueError(n)


def begun(terminal: Terminal, target: str, given: str, mark: str, id: str = "a") -> Begun:
    """A run that is in the middle of a step, which has left a mark."""
    process = terminal.start("run", f"flows.py:{target}", "-i", given, "--id", id)
    wait_for((terminal.directory / mark).exists)
    return process


def go(terminal: Terminal) -> None:
    (terminal.directory / "go").touch()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_how_to_go_on_and_goes_on(terminal: Terminal, number: signal.Signals) -> None:
    run = begun(terminal, "patient", "[1, 2, 3]", "began-2")
    run.send_signal(number)
    told = ended(run)
    assert (told.code, told.out) == (130, "")
    assert "interrupted; take it up again with: python -m ripresa resume a" in told.err
    assert "running (left)" in terminal.here("runs").out
    go(terminal)
    assert terminal("resume", "a", "--json").json["output"] == [1, 2, 3]


def test_a_second_signal_ends_the_process_at_once(terminal: Terminal) -> None:
    run = begun(terminal, "deaf", "1", "began")
    run.send_signal(signal.SIGINT)
    wait_for((terminal.directory / "asked").exists)
    run.send_signal(signal.SIGINT)
    assert ended(run, 3).code == 130


HUNG = """
import asyncio
from ripresa import chain, step

@step(timeout=0.05)
async def hang(n: int) -> int:
    while True:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            print("no")

hung = chain(hang)
"""


def test_a_step_that_never_stops_keeps_no_command_from_ending(terminal: Terminal) -> None:
    terminal.write("hung.py", HUNG)
    told = terminal("run", "hung.py:hung", "-i", "1", "--json", RIPRESA_APP_PATIENCE="0.1")
    assert (told.code, told.json["error"]["code"]) == (1, "timeout")


async def wait() -> None:
    await asyncio.Event().wait()


async def deaf() -> None:
    with suppress(asyncio.CancelledError):
        await wait()
    await wait()


async def held_by(*functions: Callable[[], Any]) -> bool:
    tasks = [asyncio.create_task(function()) for function in functions]
    await asyncio.sleep(0)
    found = await is_held()
    assert [task.done() for task in tasks] == [function is wait for function in functions]
    return found


def test_what_does_not_stop_is_told_from_what_does() -> None:
    assert not asyncio.run(held_by())
    assert not asyncio.run(held_by(wait))
    assert asyncio.run(held_by(wait, deaf))


def test_a_killed_run_goes_on_when_it_is_started_again_or_resumed(terminal: Terminal) -> None:
    run = begun(terminal, "patient", "[1, 2, 3]", "began-2")
    refused = terminal("resume", "a")
    assert (refused.code, "error [owned_elsewhere]" in refused.err) == (1, True)
    killed(run)
    go(terminal)
    again = terminal("run", "flows.py:patient", "-i", "[1, 2, 3]", "--id", "a", "--json")
    assert (again.code, again.json["output"]) == (0, [1, 2, 3])
    assert "lost: crashed; again in 0ms" in again.err


def test_all_unfinished_runs_are_resumed_together(terminal: Terminal) -> None:
    assert terminal.here("resume", "--all").err.startswith("nothing to resume in ")
    for number in (1, 2):
        run = begun(terminal, "patient", f"[{number}]", f"began-{number}", id=f"run-{number}")
        killed(run)
    terminal.write("gone.py", (terminal.directory / "flows.py").read_text(encoding="utf-8"))
    terminal.write("bad.py", (terminal.directory / "flows.py").read_text(encoding="utf-8"))
    for name in ("gone", "bad"):
        run = terminal.start("run", f"{name}.py:patient", "-i", "[3]", "--id", name)
        wait_for((terminal.directory / "began-3").exists)
        killed(run)
        (terminal.directory / "began-3").unlink()
    (terminal.directory / "gone.py").unlink()
    terminal.write("bad.py", "1 / 0")
    go(terminal)
    told = terminal("resume", "--all", "--json")
    assert [run["status"] for run in told.json] == ["completed", "completed"]
    assert "run-1" in told.err
    assert "error [unknown_target]" in told.err
    assert "ZeroDivisionError" in told.err
    assert told.code == 2
    (terminal.directory / "bad.py").unlink()
    told = terminal("resume", "--all", "--json")
    assert (told.code, told.json) == (3, [])
    assert terminal("resume", "gone", "--target", "flows.py:patient", "-q").code == 0


def test_a_changed_workflow_is_not_resumed(terminal: Terminal) -> None:
    run = begun(terminal, "patient", "[1]", "began-1")
    killed(run)
    text = (terminal.directory / "flows.py").read_text(encoding="utf-8")
    terminal.write("flows.py", text.replace("concurrency=2", "concurrency=3"))
    told = terminal("resume", "a")
    assert told.code == 2
    assert "error [definition_changed] patient: the structure of workflow 'patient' changed" in told.err
    told = terminal("resume", "--all")
    assert (told.code, "error [definition_changed]" in told.err) == (2, True)


def test_a_run_is_cancelled_from_another_process_and_cleans_up(terminal: Terminal) -> None:
    run = begun(terminal, "patient", "[1, 2, 3]", "began-2")
    told = terminal("cancel", "a", "--reason", "enough")
    assert (told.code, told.out) == (0, "")
    assert "run a is cancel" in told.err
    told = ended(run)
    assert told.code == 4
    assert "cancelled (enough) after " in told.err
    assert (terminal.directory / "tidied").exists()
    told = terminal("cancel", "a")
    assert (told.code, "error [illegal_transition]" in told.err) == (2, True)
    assert terminal("resume", "a").code == 2
    again = terminal("run", "flows.py:patient", "-i", "[1, 2, 3]", "--id", "a", "-q")
    assert (again.code, again.out, again.err.partition(" after ")[0]) == (4, "", "cancelled (enough)")


def test_a_run_that_nobody_drives_is_cancelled_and_cleaned_up_by_who_asks(terminal: Terminal) -> None:
    run = begun(terminal, "patient", "[1, 2, 3]", "began-2")
    killed(run)
    assert terminal("cancel", "a").code == 0
    assert (terminal.directory / "tidied").exists()
    assert terminal.here("show", "a", "--json").json["status"] == "cancelled"


def test_a_terminated_run_does_not_clean_up(terminal: Terminal) -> None:
    run = begun(terminal, "patient", "[1, 2, 3]", "began-2")
    told = terminal.here("terminate", "a")
    assert (told.code, told.err) == (0, "run a is terminated\n")
    assert ended(run).code == 4
    assert not (terminal.directory / "tidied").exists()


def test_a_paused_run_waits_and_goes_on_where_it_is_continued(terminal: Terminal) -> None:
    run = begun(terminal, "patient", "[1, 2, 3]", "began-2")
    told = terminal.here("pause", "a")
    assert (told.code, told.err) == (0, "run a is paused\n")
    assert terminal.here("pause", "a").code == 0
    assert terminal.here("continue", "a").err == "run a is running\n"
    assert terminal.here("continue", "a").code == 0
    assert terminal.here("pause", "a").code == 0
    go(terminal)
    told = ended(run)
    assert told.code == 5
    assert "go on with: python -m ripresa continue a" in told.err
    assert not (terminal.directory / "began-3").exists()
    assert terminal("run", "flows.py:patient", "-i", "[1, 2, 3]", "--id", "a").code == 5
    assert terminal.here("resume", "--all").err.startswith("nothing to resume")
    told = terminal("continue", "a")
    assert (told.code, told.out.split()) == (0, ["[", "1,", "2,", "3", "]"])


def test_a_run_that_nobody_drives_is_paused_by_whoever_asks(terminal: Terminal) -> None:
    run = begun(terminal, "patient", "[1, 2, 3]", "began-2")
    killed(run)
    told = terminal.here("pause", "a", "--target", "elsewhere.py:patient")
    assert (told.code, told.err.partition(";")[0]) == (0, "nobody drives run a, and its code is not here")
    assert "unknown_target" in told.err
    told = terminal.here("cancel", "a", "--target", "elsewhere.py:patient")
    assert (told.code, "error [unknown_target]" in told.err) == (3, True)
    (terminal.directory / "began-2").unlink()
    assert terminal("pause", "a").code == 0
    assert " paused " in terminal.here("runs", "--status", "paused").out
    assert not (terminal.directory / "began-2").exists()
    go(terminal)
    assert terminal("resume", "--all").err.startswith("nothing to resume")
    assert terminal("resume", "a", "-q").out.split() == ["[", "1,", "2,", "3", "]"]


def test_whoever_watches_a_run_of_another_process_may_stop_watching(terminal: Terminal) -> None:
    run = begun(terminal, "patient", "[1]", "began-1")
    second = terminal.start("run", "flows.py:patient", "-i", "[1]", "--id", "a")
    wait_for(lambda: second.told()[1] == f"watching run a, which process {run.pid} drives\n")
    second.send_signal(signal.SIGINT)
    told = ended(second)
    assert told.code == 130
    assert f"no longer watching run a, which goes on in process {run.pid}" in told.err
    third = terminal.start("run", "flows.py:patient", "-i", "[1]", "--id", "a")
    wait_for(lambda: third.told()[1] != "")
    killed(run)
    told = ended(third)
    assert told.code == 130
    assert "run a was left by the process that drove it; take it up again with" in told.err


class Screen:
    """A command on a terminal of its own."""

    def __init__(self, directory: Path, *args: str) -> None:
        self.pid, self.master = pty.fork()
        if self.pid == 0:  # the child
            os.chdir(directory)
            os.execve(COMMAND[0], [*COMMAND, *args], environment(TERM="xterm", LINES="40", COLUMNS="100"))

    def press(self, key: bytes) -> None:
        os.write(self.master, key)

    def read(self) -> tuple[int, str]:
        """Exit code and everything that was written, without the control sequences."""
        found = b""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                found += os.read(self.master, 65536)
            except OSError:  # the other end is closed
                break
        os.close(self.master)
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status), re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", found.decode())


def test_a_terminal_shows_a_live_tree(terminal: Terminal) -> None:
    code, shown = Screen(terminal.directory, "run", "flows.py:retried", "-i", "10").read()
    assert code == 0
    assert "✓ retried  11/11 steps  100%" in shown
    assert "└── ✓ tried  [10/10]  4 tried again" in shown
    assert "completed after " in shown
    code, shown = Screen(terminal.directory, "run", "flows.py:looped", "-i", "4").read()
    assert code == 0
    assert "✓ fold  [4]  exhausted" in shown
    assert "✓ branch  is_large: double" in shown


def test_ctrl_c_in_a_terminal_stops_gracefully(terminal: Terminal) -> None:
    screen = Screen(terminal.directory, "run", "flows.py:patient", "-i", "[1, 2, 3]", "--id", "a")
    wait_for((terminal.directory / "began-2").exists)
    time.sleep(0.3)
    screen.press(b"\x03")
    code, shown = screen.read()
    assert code == 130
    assert "● slow  [0/3]" in shown
    assert "stopping; once more to stop at once" in shown
    assert "interrupted; take it up again with: python -m ripresa resume a" in shown


def test_ctrl_c_twice_in_a_terminal_ends_at_once(terminal: Terminal) -> None:
    screen = Screen(terminal.directory, "run", "flows.py:deaf", "-i", "1", "--id", "a")
    wait_for((terminal.directory / "began").exists)
    screen.press(b"\x03")
    wait_for((terminal.directory / "asked").exists)
    screen.press(b"\x03")
    assert screen.read()[0] == 130


def test_ctrl_c_while_the_code_is_imported_has_nothing_to_resume(terminal: Terminal) -> None:
    terminal.write("long.py", "import time\nfrom pathlib import Path\n\nPath('began').touch()\ntime.sleep(30)\n")
    run = terminal.start("run", "long.py:flow")
    wait_for((terminal.directory / "began").exists)
    run.send_signal(signal.SIGINT)
    told = ended(run)
    assert (told.code, told.err) == (130, "")


def test_a_run_in_memory_is_gone_when_it_is_interrupted(terminal: Terminal) -> None:
    run = terminal.start("run", "flows.py:patient", "-i", "[1]", "--store", "memory:")
    wait_for((terminal.directory / "began-1").exists)
    run.send_signal(signal.SIGINT)
    told = ended(run)
    assert told.code == 130
    assert "was kept in memory and is gone" in told.err


SPOIL = """
import sqlite3
from ripresa import chain, step


@step
def spoil(n: int) -> int:
    with sqlite3.connect("x.db") as connection:
        connection.execute("CREATE TRIGGER no BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'spoiled'); END")
    connection.close()
    return n


flow = chain(spoil).then(spoil)
"""


def test_a_run_whose_journal_cannot_be_written_ends_with_the_stores_error(terminal: Terminal) -> None:
    terminal.write("spoil.py", SPOIL)
    told = terminal("run", "spoil.py:flow", "-i", "1", "--store", "x.db", "--id", "a", "--json")
    assert (told.code, told.json["status"], told.json["error"]["code"]) == (1, "running", "store_failed")
    assert "error [store_failed]" in told.err
    assert "take run a up again with: python -m ripresa resume a --store x.db" in told.err
    assert "Traceback" not in told.err


def test_a_request_that_is_not_taken_up_in_time_is_said_to_be_left(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ripresa.cli.running.PATIENCE", 0.2)
    run = begun(terminal, "patient", "[1]", "began-1")
    run.send_signal(signal.SIGSTOP)
    told = terminal.here("cancel", "a")
    run.send_signal(signal.SIGCONT)
    assert (told.code, told.err) == (0, "asked; run a will take it up\n")
    assert ended(run).code == 4


def test_a_run_that_recorded_no_target_is_resumed_with_one(terminal: Terminal) -> None:
    with blocking.App(str(terminal.directory / "x.db")) as app, pytest.raises(RunFailed):
        app.start(chain(boom, name="sums")(3), id="a", target="").result()
    told = terminal("resume", "a", "--store", "x.db")
    assert told.code == 2
    assert "error [unknown_workflow]: the code of run 'a' (workflow 'sums') cannot be found" in told.err
    assert "hint: say where it is: --target file.py:name" in told.err
