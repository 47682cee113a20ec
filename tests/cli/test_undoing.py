"""What a run did is taken back from the command line."""

import signal
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


trip = chain(book, name="trip").then(pay).then(book.with_(name="again"))
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
