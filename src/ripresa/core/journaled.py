"""Calls that a step journals and that can be undone: from when one begins it stands in the ledger, until it is settled.

Law: a call that began and of which nobody says how it ended stays in doubt, as a step does; one that raised did
nothing, unless an earlier try of it is in doubt. Once what made a call has an undo of its own and succeeded, that takes
its place.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .events import CallBegan, CallFailed, CallReturned
from .frames import CallFrame, ScopeFrame
from .ledger import Entry
from .nodes.compensation import CompensationFrame

if TYPE_CHECKING:
    from .state import RunState


def path_of_call(path: str, key: str) -> str:
    """The path of a call that the step at a path made, told apart by its key."""
    return f"{path}>{key}"


def began(run: RunState, frame: CallFrame, fact: CallBegan) -> None:
    """Until it is known how it ends, nobody knows whether it does its work. What a compensation does is not undone."""
    if _undoes(frame):
        return
    path, ledger = path_of_call(fact.path, fact.key), run.ledger
    entry = ledger.find(path, frame.generation)
    if entry is None:
        place = (ledger.last + 1, run.seq + 1, path, fact.attempt, frame.generation, frame.path, "", fact.callee)
        ledger.add(Entry(*place, fact.input, known=False, undo=fact.undo, takes_unknown=fact.takes_unknown))
    elif not entry.known:
        ledger.entries[entry.number] = replace(entry, doubted=True)


def failed(run: RunState, frame: CallFrame, fact: CallFailed) -> None:
    """It raised: then it did nothing, unless that is unknown."""
    entry = run.ledger.find(path_of_call(fact.path, fact.key), frame.generation)
    if entry is None or entry.known or not entry.undo:
        return
    if fact.unknown:
        run.ledger.entries[entry.number] = replace(entry, doubted=True)
    elif not entry.doubted:
        run.ledger.drop((entry.number,))


def returned(run: RunState, frame: CallFrame, fact: CallReturned) -> None:
    """It did its work, which takes the place of the calls that it made in turn."""
    path = path_of_call(fact.path, fact.key)
    entry = run.ledger.find(path, frame.generation)
    if entry is None:
        return
    run.ledger.drop_calls(path)
    run.ledger.drop((entry.number,))
    number = run.ledger.last + 1
    run.ledger.add(replace(entry, number=number, seq=run.seq + 1, output=fact.output, known=True))


def _undoes(frame: CallFrame) -> bool:
    scope: ScopeFrame | None = frame.parent
    while scope is not None:
        if isinstance(scope, CompensationFrame):
            return True
        scope = scope.parent
    return False
