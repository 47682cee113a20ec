"""Tables of legal transitions: which state may follow which, of runs and of one's own workflows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..core.calling import told
from ..core.lifecycle import TRANSITIONS
from ..errors import IllegalTransition
from .flow import Runnable
from .options import check_name, refuse
from .step import Step


class Transitions(Mapping[str, tuple[str, ...]]):
    """Which state may follow which; immutable. States are names, or tasks (steps, flows), which stand for their names.

    `Transitions().link(draft, review).link(review, draft, publish)` is a table; `check` raises for what is not in it,
    and a router takes it as `legal`.
    """

    def __init__(self, table: Mapping[str, Iterable[str]] | None = None) -> None:
        self._table: dict[str, tuple[str, ...]] = {}
        for source, targets in (table or {}).items():
            wrong = f"what may follow {source!r} is {targets!r}, must be a list" if isinstance(targets, str) else None
            refuse("Transitions", wrong)
            self._add(source, tuple(targets))

    def link(self, source: Any, /, *targets: Any) -> Transitions:
        """The table in which these tasks or states may follow that one too; without targets it is an end."""
        twin = Transitions(self._table)
        twin._add(_name_of(source), tuple(map(_name_of, targets)))
        return twin

    def allows(self, source: Any, target: Any) -> bool:
        """Whether one may follow the other."""
        return _name_of(target) in self._table.get(_name_of(source), ())

    def check(self, source: Any, target: Any) -> str:
        """The name of the target. Raises `IllegalTransition` if it may not follow."""
        origin, to = _name_of(source), _name_of(target)
        if not self.allows(origin, to):
            known = "" if origin in self._table else f"; {origin!r} is no state of it"
            allowed = ", ".join(self._table.get(origin, ())) or "nothing"
            raise IllegalTransition(
                f"{origin!r} must not be followed by {to!r}{known}",
                op="transition",
                where=origin,
                hint=f"legal: {allowed}",
            )
        return to

    @property
    def states(self) -> tuple[str, ...]:
        """Every state, in the order in which it was named first."""
        return tuple(dict.fromkeys(name for source, targets in self._table.items() for name in (source, *targets)))

    @property
    def ends(self) -> tuple[str, ...]:
        """The states that nothing may follow."""
        return tuple(name for name in self.states if not self._table.get(name))

    def _add(self, source: str, targets: tuple[str, ...]) -> None:
        refuse("Transitions", *(check_name(name, "a state") for name in (source, *targets)))
        self._table[source] = tuple(dict.fromkeys((*self._table.get(source, ()), *targets)))

    def __getitem__(self, state: str) -> tuple[str, ...]:
        return self._table[state]

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)

    def __repr__(self) -> str:
        return f"Transitions({self._table!r})"


@told
def transitions() -> Transitions:
    """The life of a run: every status, and which may follow it. What a run refuses, it refuses by this table."""
    return Transitions(TRANSITIONS)


def _name_of(state: Any) -> str:
    name: str = state.name if isinstance(state, Step | Runnable) else state
    return name
