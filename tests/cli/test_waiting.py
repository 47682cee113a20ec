"""Runs that wait: signals from the command line to runs of other processes, and to those that nobody drives."""

import subprocess

from tests.cli.program import Terminal, ended, killed, wait_for

FLOWS = '''
"""Workflows that wait."""

from dataclasses import dataclass

from ripresa import Signal, chain, step, wait_for


@dataclass
class Draft:
    text: str


edited = Signal("edited", Draft)


@step
async def write(topic: str) -> Draft:
    return Draft(topic)


@step
async def publish(draft: Draft) -> str:
    return draft.text.upper()


revise = chain(write, name="revise").then(wait_for(edited)).then(publish)
'''


def waiting(terminal: Terminal, target: str = "revise") -> "subprocess.Popen[str]":
    terminal.write("waits.py", FLOWS)
    run = terminal.start("run", f"waits.py:{target}", "-i", '"tides"', "--id", "a")
    wait_for(lambda: "WaitStarted" in terminal.here("events", "a").out)
    return run


def test_a_signal_reaches_a_run_of_another_process_which_refuses_what_does_not_fit(terminal: Terminal) -> None:
    run = waiting(terminal)
    shown = terminal.here("show", "a")
    assert "waiting for signal edited" in shown.out
    assert terminal.here("show", "a", "--json").json["waits"][0]["signal"] == "edited"
    refused = terminal("signal", "a", "edited", "3")
    assert (refused.code, "error [invalid_input]" in refused.err) == (2, True)
    sent = terminal("signal", "a", "edited", '{"text": "better"}', "--id", "1", "--as", "ann")
    assert (sent.code, "has it" in sent.err) == (0, True)
    told = ended(run)
    assert (told.code, told.out) == (0, "BETTER\n")
    late = terminal.here("signal", "a", "edited", '{"text": "late"}')
    assert (late.code, "error [illegal_transition]" in late.err) == (2, True)
    assert '"by": "ann"' in terminal.here("events", "a", "--json").out


def test_a_signal_to_a_run_that_nobody_drives_takes_it_up(terminal: Terminal) -> None:
    killed(waiting(terminal))
    sent = terminal("signal", "a", "edited", '{"text": "better"}')
    assert (sent.code, sent.out) == (0, "BETTER\n")
