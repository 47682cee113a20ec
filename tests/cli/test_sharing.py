"""Sessions and artifacts on the command line."""

from tests.cli.program import Terminal

FLOWS = """
from ripresa import chain, current, step

@step
def note(text: str) -> str:
    here = current()
    if here.session.get("count", int, 0) == 2:
        raise ValueError("full")
    here.session.add("count", 1)
    here.usage(tokens=7, cost=0.5)
    here.usage(tokens=1, cost=None)
    here.touched("notes.txt")
    here.save_artifact("note", text)
    return text

flow = chain(note)
"""


def test_a_session_is_used_from_the_command_line(terminal: Terminal) -> None:
    assert terminal.here("sessions").err.startswith("no sessions in ")
    assert terminal.here("sessions", "--json").json == []
    assert terminal.here("artifacts", "r", "--json").json == []
    assert terminal.here("sessions", "s").code == 3
    assert terminal.here("artifact", "get", "note", "r").code == 3
    terminal.write("notes.py", FLOWS)
    assert terminal.here("session", "create", "s", "--owner", "ada").err == "session s is active\n"
    for number, text in enumerate(("one", "two", "three")):
        run = ("run", "notes.py:flow", "-i", f'"{text}"', "--id", f"r{number}", "--session", "s", "-q")
        assert terminal.here(*run).code == (1 if number == 2 else 0)
    assert terminal.here("sessions").out.splitlines()[1].split()[:3] == ["s", "active", "ada"]
    assert [each["id"] for each in terminal.here("sessions", "--json", "--owner", "ada").json] == ["s"]
    shown = terminal.here("sessions", "s").out
    for line in ("value:     count = 2", "run:       r0  chain  completed", "error:     r2  note  attempt 1  full"):
        assert line in shown
    told = terminal.here("sessions", "s", "--json").json
    assert (told["values"], told["errors"][0]["failure"]["message"]) == ({"count": 2}, "full")
    assert [each["id"] for each in terminal.here("runs", "--session", "s", "--json").json] == ["r2", "r1", "r0"]

    listed = terminal.here("artifacts", "--session", "s").out.splitlines()
    assert [line.split()[:3] for line in listed[1:]] == [["note", "1", "3"], ["note", "2", "3"]]
    assert terminal.here("artifacts", "r1", "--json").json[0]["version"] == 2
    assert terminal.here("artifacts", "r2").err == "no artifacts\n"
    assert terminal.here("artifact", "get", "note", "--session", "s", "--version", "1").out == "one"
    assert terminal.here("artifact", "get", "note", "r1", "-o", "out.txt").err.startswith("version 2 of note: 3 bytes")
    assert (terminal.directory / "out.txt").read_text() == "two"
    assert terminal.here("artifact", "get", "nothing", "r1").code == 3

    shown = terminal.here("show", "r0").out
    assert "8 tokens, cost $0.5 (1 uses of models at a price that nobody knows), 1 artifacts" in shown
    assert "files:     notes.txt" in shown
    totals = terminal.here("show", "r0", "--json").json["totals"]
    assert (totals["tokens"], totals["cost"], totals["files"]) == (8, 0.5, ["notes.txt"])
    assert totals["unpriced"] == 1

    assert terminal.here("session", "suspend", "s").code == 0
    assert terminal.here("run", "notes.py:flow", "-i", '"x"', "--session", "s", "-q").code == 2
    assert terminal.here("session", "archive", "s").code == 2
    assert terminal.here("session", "explode", "s").code == 2
