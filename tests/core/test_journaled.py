"""Calls that steps journal, in the ledger."""

from types import SimpleNamespace
from typing import Any

from ripresa.core import journaled
from ripresa.core.events import CallBegan, CallReturned
from ripresa.core.ledger import Ledger


def test_a_call_that_begins_again_is_in_doubt_unless_it_is_known_what_it_did() -> None:
    run: Any = SimpleNamespace(ledger=Ledger(), seq=4)
    frame: Any = SimpleNamespace(path="a", generation=0, parent=None)
    began = CallBegan(1, "a", 1, "book:1", "cancel", "book")
    for doubted in (False, True):
        journaled.began(run, frame, began)
        assert [entry.doubted for entry in run.ledger.entries.values()] == [doubted]
    journaled.returned(run, frame, CallReturned(1, "a", 1, "book:1", b"1"))
    (known,) = run.ledger.entries.values()
    journaled.began(run, frame, began)
    assert [*run.ledger.entries.values()] == [known]
    assert known.known
