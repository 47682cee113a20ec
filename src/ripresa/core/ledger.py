"""The ledger: what a run did that can be undone, in the order in which it happened.

Law: only a step that declares what undoes it leaves an entry, once it has succeeded or once nobody can say whether it
did. An entry goes when its undo is recorded; one whose undo failed stays, marked, and is not tried again by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from .values import NULL, Value


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that happened: its `number` in the ledger, and `seq`, that of the event that says so.

    `generation` is part of its idempotency key. What undoes it is found at `place` in the definition, or (with a
    `shape`) in the flow that a durable function called at the path `base`. `known` is false where nobody knows whether
    the step did its work; then there is no output. `stuck`: its undo has failed.
    """

    number: int
    seq: int
    path: str
    attempt: int
    generation: int
    base: str
    shape: str
    place: str
    input: Value
    output: Value = NULL
    known: bool = True
    stuck: bool = False


class Ledger:
    """The entries of a run by their numbers; `last` is the latest that was given."""

    __slots__ = ("entries", "last")

    def __init__(self) -> None:
        self.entries: dict[int, Entry] = {}
        self.last = 0

    def add(self, entry: Entry) -> None:
        """Keep an entry; what was kept of earlier attempts with the same key is what it says now."""
        if entry.attempt > 1:
            for old in [old for old in self.entries.values() if _same(old, entry)]:
                del self.entries[old.number]
        self.entries[entry.number] = entry
        self.last = entry.number

    def find(self, path: str, generation: int) -> Entry | None:
        """The latest entry of a call, if there is one."""
        return next((e for e in self._latest(0) if e.path == path and e.generation == generation), None)

    def below(self, prefixes: Iterable[str], since: int = 0) -> list[int]:
        """The entries of calls below these prefixes (`a/`: the call `a` itself too; empty: all), not the stuck ones.

        Only those after number `since`.
        """
        heads = tuple(prefixes)
        whole = tuple(head[:-1] for head in heads if head)
        found = [e.number for e in self._latest(since) if not e.stuck and (e.path.startswith(heads) or e.path in whole)]
        return found[::-1]

    def after(self, seq: int) -> list[int]:
        """All entries of events after this one, the stuck ones too."""
        return [entry.number for entry in self.entries.values() if entry.seq > seq]

    def drop(self, numbers: Iterable[int]) -> None:
        """Let entries go."""
        for number in numbers:
            del self.entries[number]

    def stick(self, number: int) -> None:
        """The undo of an entry has failed."""
        self.entries[number] = replace(self.entries[number], stuck=True)

    def learn(self, number: int, output: Value) -> None:
        """It is known after all that the step did its work."""
        self.entries[number] = replace(self.entries[number], output=output, known=True)

    def _latest(self, since: int) -> Iterator[Entry]:
        for entry in reversed(self.entries.values()):
            if entry.number <= since:
                return
            yield entry


def _same(one: Entry, other: Entry) -> bool:
    return (one.path, one.generation) == (other.path, other.generation)
