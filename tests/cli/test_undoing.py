"""What a run did is taken back from the command line."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.program import Terminal, ended, wait_for

TRIPS = """
import asyncio
from pathlib import Path

from ripresa import chain, step


@step
async def book(what: str) -> str:
    return f"{what}!"


@book.undo
async def unbook(booked: str) -> None:
    if Path("full").exists():
        raise RuntimeError("fully booked")
    Path("began").touch()
    while Path("wait").exists():
        await asyncio.sleep(0.01)
    with Path("log").open("a") as file:
        file.write(f"{booked}\\n")


@step(effect="irreversible")
async def pay(what: str) -> str:
    return what


@step(effect="irreversible", timeout=0.01)
async def charge(amount: int) -> int:
    Path("charged").touch()
    if not Path("quick").exists():
        await asyncio.sleep(60)
    return amount


buy = chain(charge, name="buy")
trip = chain(book, name="trip").then(pay).then(book.with_(name="again"))


@step
async def confirm(what: str) -> str:
    if not Path("mended").exists():
        raise ConnectionError("nobody answers")
    return what


anew = chain(book, name="anew").then(pay).then(confirm)
"""


OWNER = """
import asyncio
from pathlib import Path

from ripresa import App
from trips import buy


async def main():
    async with App(linger=None) as app:
        handle = await app.resume("b", buy)
        Path("owned").touch()
        await handle.result()


asyncio.run(main())
"""


@pytest.fixture
def booked(terminal: Terminal) -> Terminal:
    terminal.write("trips.py", TRIPS)
    assert terminal.here("run", "trips.py:trip", "-i", '"a"', "--id", "t", "-q").code == 0
    return terminal


def test_a_finished_run_is_undone(booked: Terminal) -> None:
    told = booked.here("undo", "t", "--reason", "rained")
    assert (told.code, told.out) == (0, "undone: again\nundone: book\ncannot be undone: pay\n")
    assert Path(booked.directory, "log").read_text() == "a!!\na!\n"
    shown = booked.here("show", "t").out
    assert "undone: rained" in shown
    assert "undone: again\nundone: book\n" in shown
    assert booked.here("undo", "t").code == 0
    assert Path(booked.directory, "log").read_text() == "a!!\na!\n"


def test_what_was_not_undone_is_told(booked: Terminal) -> None:
    Path(booked.directory, "full").touch()
    told = booked.here("undo", "t", "--to", "pay", "--json")
    assert (told.code, told.json["undone"], told.json["irreversible"]) == (1, [], ["pay"])
    assert told.json["failed"]["again"]["message"] == "fully booked"
    assert "not undone: again: fully booked" in booked.here("show", "t").out


def test_a_run_that_is_not_there_or_no_place_of_it_cannot_be_undone(booked: Terminal) -> None:
    assert booked.here("undo", "nobody").code == 3
    assert booked.here("undo", "t", "--to", "nowhere").code == 3


def test_an_undo_that_was_interrupted_goes_on(booked: Terminal) -> None:
    wait, began = Path(booked.directory, "wait"), Path(booked.directory, "began")
    wait.touch()
    process = booked.start("undo", "t")
    wait_for(began.exists)
    process.send_signal(signal.SIGINT)
    left = ended(process)
    assert left.code == 130, left.err
    assert booked.here("show", "t", "--json").json["status"] == "undoing"
    wait.unlink()
    assert booked.here("undo", "t").code == 0
    assert Path(booked.directory, "log").read_text() == "a!!\na!\n"


# --- reconcile


@pytest.fixture
def charged(terminal: Terminal) -> Terminal:
    terminal.write("trips.py", TRIPS)
    left = terminal.here("run", "trips.py:buy", "-i", "7", "--id", "b")
    assert left.code == 5, left.err
    assert "ripresa reconcile b charge --as NAME" in left.err
    assert terminal.here("show", "b", "--json").json["parked"] == ["charge"]
    return terminal


def test_a_person_says_what_a_step_did(charged: Terminal) -> None:
    assert charged.here("resume", "b").code == 5
    told = charged.here("reconcile", "b", "charge", "--completed", "8", "--as", "eva")
    assert (told.code, told.out) == (0, "8\n")
    assert "by=eva" in charged.here("events", "b").out
    assert charged.here("reconcile", "b", "charge", "--retry", "--as", "eva").code == 2


def test_a_person_says_that_a_step_failed(charged: Terminal) -> None:
    told = charged.here("reconcile", "b", "charge", "--failed", "the bank refused", "--as", "eva")
    assert told.code == 1
    assert "the bank refused" in told.err


def test_a_step_is_tried_again_and_may_end_as_before(charged: Terminal) -> None:
    assert charged.here("reconcile", "b", "charge", "--retry", "--as", "eva").code == 0
    assert charged.here("show", "b", "--json").json["parked"] == ["charge"]


def test_what_cannot_be_said_is_refused(charged: Terminal) -> None:
    assert charged.here("reconcile", "b", "charge", "--retry").code == 2
    assert charged.here("reconcile", "b", "charge", "--as", "eva").code == 2
    assert charged.here("reconcile", "b", "charge", "--completed", '"x"', "--as", "eva").code == 2
    assert charged.here("reconcile", "nobody", "charge", "--retry", "--as", "eva").code == 3


def test_the_process_that_drives_the_run_takes_the_answer_up(charged: Terminal) -> None:
    Path(charged.directory, "park.py").write_text(OWNER)
    owner = subprocess.Popen([sys.executable, "park.py"], cwd=charged.directory)
    try:
        wait_for(Path(charged.directory, "owned").exists)
        told = charged.here("reconcile", "b", "charge", "--completed", "8", "--as", "eva")
        assert (told.code, told.err) == (0, "left; run b will take it up\n")
        assert owner.wait(timeout=30) == 0
    finally:
        owner.kill()
    assert charged.here("show", "b", "--json").json["output"] == 8


def test_a_failed_run_that_begins_anew_does_again_what_nothing_can_undo_only_if_that_is_said(booked: Terminal) -> None:
    assert booked.here("run", "trips.py:anew", "-i", '"a"', "--id", "r", "-q").code == 1
    assert "not undone: pay: nothing can undo it" in booked.here("show", "r").out
    Path(booked.directory, "mended").touch()
    refused = booked.here("resume", "r")
    assert (refused.code, "effects_undecided" in refused.err, "--again" in refused.err) == (2, True, True)
    assert booked.here("resume", "--all", "--again").code == 2
    assert booked.here("resume", "r", "--again", "-q").out == "a!\n"
