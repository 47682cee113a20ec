"""The ledger: what a run did that can be undone, in the order in which it happened.

Law: only a step that declares what undoes it leaves an entry, once it has succeeded or once nobody can say whether it
did. An entry goes when its undo is recorded; one whose undo failed stays, marked, and is not tried again by itself.
What nothing can undo is kept beside that, from when it begins until it is known that it did nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from .values import NULL, Value

KEEPS_WHAT_LASTS: Final = 6
"""The rules of the core from which on it is kept what a run did that nothing can undo."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that happened: its `number` in the ledger, and `seq`, that of the event that says so.

    `generation` is part of its idempotency key. What undoes it is found at `place` in the definition, or (with a
    `shape`) in the flow that a durable function called at the path `base`. `known` is false where nobody knows whether
    the step did its work; then there is no output. `stuck`: its undo has failed. `again`: it was undone before it was
    known that it had happened, and happened after that.

    A call that a step journaled names what undoes it (`undo`): `base` is the path of the step, and `place` says who was
    called. `doubted`: an earlier try of it may have done its work.
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
    undo: str = ""
    takes_unknown: bool = False
    doubted: bool = False
    again: bool = False

    @property
    def step(self) -> str:
        """The path of the step that did it."""
        return self.base if self.undo else self.path


class Lasting(NamedTuple):
    """An irreversible step that began (or, with a `key`, a call inside one), and did or may have done what it does.

    `calls` are the calls of durable functions that it is a part of: the path of each function, the number of the call.
    """

    path: str
    key: str
    number: int
    seq: int
    calls: tuple[tuple[str, int], ...] = ()


class Ledger:
    """The entries of a run by their numbers; `last` is the latest that was given."""

    __slots__ = ("doubted", "entries", "last", "lasting")

    def __init__(self) -> None:
        self.entries: dict[int, Entry] = {}
        self.last = 0
        self.lasting: dict[tuple[str, str], Lasting] = {}
        self.doubted: dict[tuple[str, int], Entry] = {}
        """What was undone without anybody knowing whether it had happened, by path and generation."""

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
        heads, whole = _heads(prefixes)
        found = [e.number for e in self._latest(since) if not e.stuck and (e.step.startswith(heads) or e.step in whole)]
        return found[::-1]

    def began(self, path: str, key: str, seq: int, calls: tuple[tuple[str, int], ...]) -> None:
        """What nothing can undo is about to happen."""
        self.last += 1
        self.lasting.pop((path, key), None)
        self.lasting[path, key] = Lasting(path, key, self.last, seq, calls)

    def did_nothing(self, path: str, key: str) -> None:
        """It is known that it has not happened."""
        self.lasting.pop((path, key), None)

    def covered(self, prefixes: Iterable[str], since: int) -> None:
        """What stands for all that happened there can be undone as a whole."""
        below = set(self.lasting_below(prefixes, since))
        self.lasting = {place: entry for place, entry in self.lasting.items() if entry.path not in below}

    def lasting_below(self, prefixes: Iterable[str], since: int = 0) -> list[str]:
        """The paths of what nothing can undo, as `below` says."""
        heads, whole = _heads(prefixes)
        found = [e for e in self.lasting.values() if e.path.startswith(heads) or e.path in whole]
        return list(dict.fromkeys(entry.path for entry in found if entry.number > since))

    def lasting_after(self, seq: int) -> list[str]:
        """The paths of what nothing can undo and began after this event."""
        return list(dict.fromkeys(entry.path for entry in self.lasting.values() if entry.seq > seq))

    def after(self, seq: int) -> list[int]:
        """All entries of events after this one, the stuck ones too."""
        return [entry.number for entry in self.entries.values() if entry.seq > seq]

    def called_below(self, prefixes: Iterable[str]) -> bool:
        """Whether steps below these prefixes made calls that can be undone."""
        heads, whole = _heads(prefixes)
        return any(e.undo and (e.step.startswith(heads) or e.step in whole) for e in self.entries.values())

    def drop_calls(self, path: str) -> None:
        """What did these calls is undone as a whole."""
        self.drop([each.number for each in self.entries.values() if each.undo and each.path.startswith(f"{path}>")])

    def drop(self, numbers: Iterable[int]) -> None:
        """Let entries go."""
        for number in numbers:
            del self.entries[number]

    def undone(self, entry: Entry) -> None:
        """An entry is undone; if nobody knew whether there was anything to undo, it may happen yet."""
        self.drop((entry.number,))
        if not entry.known:
            self.doubted[entry.path, entry.generation] = entry

    def happened_after_all(self, path: str, generation: int, seq: int, output: Value) -> None:
        """It has happened what was undone already, in case it had."""
        entry = self.doubted.pop((path, generation))
        number = self.last + 1
        self.add(replace(entry, number=number, seq=seq, output=output, known=True, stuck=False, again=True))

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


def _heads(prefixes: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """How paths below these prefixes begin, and which are those of the prefixes themselves."""
    heads = tuple(prefixes)
    return heads, tuple(head[:-1] for head in heads if head)


def _same(one: Entry, other: Entry) -> bool:
    return (one.path, one.generation) == (other.path, other.generation)
