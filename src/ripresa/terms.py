"""The options of an approval, checked together: for chains, graphs and durable functions alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from .core.definition import type_name
from .core.durations import Duration, microseconds
from .core.names import check_name
from .core.nodes.approval import ROLE, Terms
from .errors import InvalidConfig

Expiry: TypeAlias = Literal["fail", "reject", "approve"]
"""What it means that nobody answered in time."""


@dataclass(frozen=True, slots=True)
class Asking:
    """How people are asked: what `approval`, `approved` and `ctx.approval` take. See `checked`."""

    quorum: int = 1
    assignees: Sequence[str] = ()
    remind: Duration | None = None
    escalate: Duration | None = None
    escalate_to: Sequence[str] = ()
    timeout: Duration | None = None
    expiry: Expiry = "fail"
    name: str = "approval"

    def checked(self, question: str, form: Any, op: str) -> Terms:
        """The terms. Raises `InvalidConfig` that names every option that has a value it cannot have."""
        lengths = {
            name: 0 if given is None else microseconds(given, name)
            for name, given in (("remind", self.remind), ("escalate", self.escalate), ("timeout", self.timeout))
        }
        found = [
            check_name(self.name, "name"),
            None if question.strip() else f"question is {question!r}, must be a text that is not empty",
            *(
                f"{name} is 0, must be a length of time above 0"
                for name in lengths
                if getattr(self, name) is not None and not lengths[name]
            ),
            *self._people(),
            *self._policy(form, lengths),
        ]
        bad = [complaint for complaint in found if complaint]
        if bad:
            raise InvalidConfig("; ".join(bad), op=op, where=str(self.name))
        return Terms(
            question,
            self.quorum,
            tuple(self.assignees),
            lengths["remind"],
            lengths["escalate"],
            tuple(self.escalate_to),
            lengths["timeout"],
            self.expiry,
            "" if form is None else type_name(form),
        )

    def _people(self) -> list[str | None]:
        found: list[str | None] = []
        for option in ("assignees", "escalate_to"):
            names: Any = getattr(self, option)
            fine = not isinstance(names, str) and all(isinstance(name, str) and name.strip() for name in names)
            found.append(None if fine else f"{option} is {names!r}, must be a list of names")
        return found

    def _policy(self, form: Any, lengths: dict[str, int]) -> list[str | None]:
        several = [] if isinstance(self.assignees, str) else [*self.assignees, *self.escalate_to]
        people = several and not any(str(name).startswith(ROLE) for name in several)
        enough = type(self.quorum) is int and self.quorum >= 1
        known = self.expiry in get_args(Expiry)
        filled = self.expiry != "approve" or form is None
        timely = lengths["timeout"] > 0 or self.expiry == "fail"
        return [
            None if enough else f"quorum is {self.quorum!r}, must be a whole number from 1",
            f"quorum is {self.quorum}, but only {len(several)} are asked"
            if enough and people and self.quorum > len(several)
            else None,
            None if known else f"expiry is {self.expiry!r}, must be one of {', '.join(map(repr, get_args(Expiry)))}",
            None if filled else "expiry is 'approve', which leaves nobody to fill in the form",
            None if timely else f"expiry is {self.expiry!r}, but there is no timeout",
            None if bool(lengths["escalate"]) == bool(self.escalate_to) else "escalate and escalate_to belong together",
        ]
