"""Runs that wait: they leave the process, are answered from the command line, and are driven on by whoever is there."""

import asyncio
import shlex
import signal
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from ripresa import App
from ripresa.cli.inputs import load
from ripresa.runtime.bodies import encode_signal
from tests.cli.program import Begun, Terminal, ended, killed, wait_for

FLOWS = '''
"""Workflows that wait."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from ripresa import Context, Signal, Update, approved, chain, delay, map_each, parallel, step, wait_for, workflow


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


@step
async def busy(topic: str) -> str:
    while not Path("go").exists():
        await asyncio.sleep(0.01)
    return topic


@step
async def last(text: str) -> str:
    return text


@step
async def both(draft: Draft, text: str) -> str:
    return draft.text + text


revise = chain(write, name="revise").then(wait_for(edited)).then(publish)
beside = chain(parallel(chain(last).then(wait_for(edited)), busy, name="beside").into(both))
later = chain(last, name="later").then(delay("2 days")).then(last)
reviewed = chain(write, name="reviewed").then(
    approved("Publish?", publish, chain(publish, name="anyway"), assignees=["ann", "bob"], quorum=2)
)
held = chain(parallel(chain(write).then(approved("Publish?", publish, publish)), busy, name="held"))
rise = Update("rise", int, int)


@workflow
async def selling(ctx: Context, price: int) -> int:
    while True:
        request = await ctx.next_update(rise)
        if request.value < 0:
            await request.refuse("prices only rise")
        else:
            price += request.value
            await request.answer(price)


soon = chain(last, name="soon").then(delay(0.3)).then(last)
'''


def prepared(terminal: Terminal) -> Terminal:
    terminal.write("waits.py", FLOWS)
    return terminal


def beside(terminal: Terminal) -> Begun:
    """A run that waits for a signal and has something else to do."""
    run = prepared(terminal).start("run", "waits.py:beside", "-i", '"tides"', "--id", "a")
    wait_for(lambda: "WaitStarted" in terminal.here("events", "a").out)
    return run


def test_a_run_that_waits_for_a_signal_leaves_and_says_how_to_answer(terminal: Terminal) -> None:
    told = prepared(terminal)("run", "waits.py:revise", "-i", '"tides"', "--id", "a")
    assert (told.code, told.out) == (5, "")
    assert "waits for signal edited: python -m ripresa signal a edited VALUE" in told.err
    listed = terminal.here("runs", "--status", "waiting")
    assert ("waiting" in listed.out, "(left)" in listed.out) == (True, False)
    shown = terminal.here("show", "a").out
    assert "waiting for signal edited" in shown
    assert "status:    waiting" in shown
    assert terminal.here("show", "a", "--json").json["waits"][0]["signal"] == "edited"
    again = terminal("resume", "a", "--json")
    assert (again.code, again.json["status"]) == (5, "waiting")
    refused = terminal("signal", "a", "edited", "3")
    assert (refused.code, "error [invalid_input]" in refused.err) == (2, True)
    sent = terminal("signal", "a", "edited", '{"text": "better"}', "--id", "1", "--as", "ann")
    assert (sent.code, sent.out) == (0, "BETTER\n")
    late = terminal.here("signal", "a", "edited", '{"text": "late"}')
    assert (late.code, "error [illegal_transition]" in late.err) == (2, True)
    assert '"by": "ann"' in terminal.here("events", "a", "--json").out


def test_an_update_is_answered_on_standard_output(terminal: Terminal) -> None:
    told = prepared(terminal)("run", "waits.py:selling", "-i", "10", "--id", "a")
    assert "waits for update rise: python -m ripresa update a rise VALUE" in told.err
    assert "waiting for update rise" in terminal.here("show", "a").out
    answered = terminal("update", "a", "rise", "5", "--id", "1")
    assert (answered.code, answered.out) == (0, "15\n")
    again = terminal("update", "a", "rise", "5", "--id", "1", "--quiet")
    assert (again.code, again.out) == (0, "15\n")
    refused = terminal("update", "a", "rise", "--", "-1")
    assert (refused.out, "error [update_refused]" in refused.err) == ("", True)


def test_a_signal_reaches_a_run_of_another_process_which_refuses_what_does_not_fit(terminal: Terminal) -> None:
    run = beside(terminal)
    refused = terminal("signal", "a", "edited", "3")
    assert (refused.code, "error [invalid_input]" in refused.err) == (2, True)
    sent = terminal("signal", "a", "edited", '{"text": "better"}', "--id", "1")
    assert (sent.code, "has it" in sent.err) == (0, True)
    double = terminal.here("signal", "a", "edited", '{"text": "better"}', "--id", "1")
    assert (double.code, "before" in double.err) == (0, True)
    (terminal.directory / "go").touch()
    told = ended(run)
    assert (told.code, told.out) == (0, "bettertides\n")


def test_a_signal_to_a_run_whose_process_died_takes_it_up(terminal: Terminal) -> None:
    killed(beside(terminal))
    (terminal.directory / "go").touch()
    sent = terminal("signal", "a", "edited", '{"text": "better"}')
    assert (sent.code, sent.out) == (0, "bettertides\n")


TWICE = """
from ripresa import Context, Signal, Update, workflow

word = Signal("word", str)
rise = Update("rise", int, int)


@workflow
async def twice(ctx: Context) -> str:
    return await ctx.wait_for(word) + await ctx.wait_for(word)


@workflow
async def selling(ctx: Context, price: int) -> int:
    request = await ctx.next_update(rise)
    await request.answer(price + request.value)
    return await ctx.wait_for(Signal("sold", int))


@workflow
async def later(ctx: Context, price: int) -> int:
    await ctx.wait_for(Signal("sold", int))
    request = await ctx.next_update(rise)
    await request.answer(price + request.value)
    return price + request.value
"""


def test_a_signal_of_one_id_comes_once_to_a_run_that_nobody_drives(terminal: Terminal) -> None:
    terminal.write("twice.py", TWICE)
    assert terminal.here("run", "twice.py:twice", "--id", "a", "-q").code == 5
    assert terminal.here("signal", "a", "word", '"x"', "--id", "1").code == 5
    again = terminal.here("signal", "a", "word", '"x"', "--id", "1")
    assert (again.code, "run a was sent a signal of this id before" in again.err) == (5, True)
    assert terminal.here("signal", "a", "word", '"y"', "--id", "2").out == "xy\n"


async def test_who_drives_a_run_answers_what_is_asked_from_another_terminal(terminal: Terminal) -> None:
    terminal.write("twice.py", TWICE)
    path = terminal.directory / ".ripresa" / "ripresa.db"
    path.parent.mkdir()
    async with App(str(path)) as app:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(terminal.directory)
            selling = load("twice.py:selling")
        handle = await app.start(selling(10), id="a")
        asked = await asyncio.to_thread(terminal.here, "update", "a", "rise", "5")
        assert (asked.code, asked.out) == (0, "15\n")
        with ThreadPoolExecutor(1) as beside, pytest.MonkeyPatch.context() as patch:
            patch.setattr("ripresa.cli.messaging.PATIENCE", 0.1)
            late = beside.submit(terminal.here, "signal", "a", "sold", "7").result()  # nobody turns the loop meanwhile
        assert (late.code, late.err) == (0, "sent; run a will take it up\n")
        assert await handle.result() == 7


async def test_an_update_that_nobody_answers_in_time_says_how_its_answer_is_got_later(terminal: Terminal) -> None:
    terminal.write("twice.py", TWICE)
    path = terminal.directory / ".ripresa" / "ripresa.db"
    path.parent.mkdir()
    async with App(str(path)) as app:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(terminal.directory)
            later = load("twice.py:later")
        handle = await app.start(later(10), id="a")
        told = await asyncio.to_thread(terminal.here, "update", "a", "rise", "--timeout", "0.1s", "--", "-1")
        assert (told.code, told.out, "error [update_timeout]" in told.err) == (1, "", True)
        await app.engine.inbox.signal("a", encode_signal("sold", b"7"))
        again = shlex.split(told.err.partition("twice: ")[2])[3:]
        assert (await asyncio.to_thread(terminal.here, *again)).out == "9\n"
        assert await handle.result() == 9
        ended = await asyncio.to_thread(terminal.here, "update", "a", "rise", "2")
        assert "error [illegal_transition]" in ended.err
    none = terminal.here("update", "a", "rise", "5", "--timeout", "0s")
    assert (none.code, "--timeout is '0s', must be a length of time above 0" in none.err) == (2, True)


def test_a_command_does_not_stay_for_days(terminal: Terminal) -> None:
    told = prepared(terminal)("run", "waits.py:later", "-i", '"a"', "--id", "a")
    assert told.code == 5
    assert "waits until" in told.err
    assert "python -m ripresa worker" in told.err
    assert terminal.here("resume", "--all").err.startswith("nothing to resume in ")
    assert terminal.here("cancel", "a").code == 0
    assert terminal.here("runs", "--json").json[0]["status"] == "cancelled"


def test_a_command_stays_for_moments(terminal: Terminal) -> None:
    told = prepared(terminal)("run", "waits.py:soon", "-i", '"a"')
    assert (told.code, told.out) == (0, "a\n")


async def leave_signals(terminal: Terminal) -> None:
    """Send both runs a signal without taking them up."""
    async with App(f"sqlite:{terminal.directory}/.ripresa/ripresa.db") as app:
        for run in "ab":
            await app.engine.inbox.signal(run, encode_signal("edited", b'{"text":"better"}'))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_worker_drives_what_is_due_or_was_left_until_it_is_stopped(
    terminal: Terminal, number: signal.Signals
) -> None:
    killed(beside(terminal))
    prepared(terminal)("run", "waits.py:revise", "-i", '"tides"', "--id", "b")
    worker = terminal.start("worker")
    wait_for(lambda: terminal.here("runs", "--json").json[1]["owner"] is not None)
    terminal.write("go", "")
    asyncio.run(leave_signals(terminal))
    wait_for(lambda: [run["status"] for run in terminal.here("runs", "--json").json] == ["completed"] * 2)
    worker.send_signal(number)
    told = ended(worker)
    assert told.code == 130
    assert "taken up: run a" in told.err
    assert "completed: run b" in told.err


def test_a_worker_whose_store_is_damaged_ends_with_its_error(terminal: Terminal) -> None:
    prepared(terminal).here("run", "waits.py:later", "-i", '"a"', "-q")
    with closing(sqlite3.connect(terminal.directory / ".ripresa" / "ripresa.db")) as store:
        store.execute("drop table runs")
    told = terminal("worker")
    assert (told.code, "error [store_failed]" in told.err) == (1, True)


def test_people_answer_from_the_command_line(terminal: Terminal) -> None:
    assert "nobody is asked" in terminal.here("approvals").err
    told = prepared(terminal)("run", "waits.py:reviewed", "-i", '"tides"', "--id", "a")
    assert told.code == 5
    assert "waits for an answer: Publish?" in told.err
    assert "python -m ripresa approve a approved/approval --as NAME" in told.err
    assert "waiting for an answer: Publish? (0/2)" in terminal.here("show", "a").out
    (asked,) = terminal.here("approvals", "--json").json
    assert (asked["run"], asked["about"], asked["assignees"]) == ("a", {"text": "tides"}, ["ann", "bob"])
    listed = terminal.here("approvals").out
    assert f"--digest {asked['digest']}" in listed
    assert terminal.here("approve", "a").code == 2
    refused = terminal("approve", "a", "--as", "eve")
    assert (refused.code, "error [vote_refused]" in refused.err) == (1, True)
    first = terminal("approve", "a", "--as", "ann", "--digest", asked["digest"])
    assert first.code == 0
    moved = terminal("approve", "a", "approval", "--as", "bob", "--to", "cid")
    assert moved.code == 0
    assert "Publish?  asked: ann, cid  1 of 2" in terminal.here("approvals").out
    second = terminal("approve", "a", "--as", "cid", "--comment", "fine")
    assert (second.code, second.out) == (0, "TIDES\n")
    assert f'Publish? about {asked["digest"]}: {{"text": "tides"}}' in second.err
    assert "granted by ann, cid" in terminal.here("show", "a").out
    (decided,) = terminal.here("show", "a", "--json").json["decided"]
    assert (decided["how"], [vote["by"] for vote in decided["votes"]]) == ("quorum", ["ann", "cid"])
    late = terminal.here("approve", "a", "--as", "dan")
    assert (late.code, "error [not_available]" in late.err) == (2, True)
    assert "VoteCast" in terminal.here("events", "a").out


def test_an_answer_reaches_a_run_of_another_process(terminal: Terminal) -> None:
    run = prepared(terminal).start("run", "waits.py:held", "-i", '"tides"', "--id", "a", "--json")
    wait_for(lambda: "ApprovalRequested" in terminal.here("events", "a").out)
    answered = terminal.here("approve", "a", "--as", "ann", "--reject")
    assert (answered.code, "it counts" in answered.err) == (0, True)
    (terminal.directory / "go").touch()
    assert ended(run).code == 0
