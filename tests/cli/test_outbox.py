"""What a run sends, on the command line."""

from tests.cli.program import Terminal

FLOWS = """
from ripresa import Signal, current, step

@step
async def tell(word: str) -> str:
    current().send("nobody", Signal("word", str), word)
    current().queue("web", word, target="here")
    return word
"""


def test_what_is_not_delivered_is_shown(terminal: Terminal) -> None:
    terminal.write("tell.py", FLOWS)
    assert terminal.here("run", "tell.py:tell", "-i", '"a"', "--id", "r", "-q").code == 0
    shown = terminal.here("show", "r").out
    assert "2 sent" in shown
    assert "sent by tell: web here" in shown
    outbox = terminal.here("show", "r", "--json").json["outbox"]
    assert [each["kind"] for each in outbox] == ["signal", "web"]
    assert "MessageQueued" in terminal.here("events", "r").out
