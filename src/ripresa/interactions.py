"""Interactions: who sent what to whom in a run, read from its journal; as values, as lines, as a sequence diagram."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic_core import from_json

from .core.values import Value
from .core.view import RunView
from .runtime.functions import moment

BACK: Final = frozenset({"reply", "result", "vote"})
"""The kinds that answer something; drawn dashed."""

TO_MODELS: Final = frozenset({"request", "answer"})
"""The kinds of what is said to models and by them, in full in the journal."""

LONGEST: Final = 60
"""How many characters of a content a line or an arrow shows."""

_NEVER: Final = str.maketrans({"#": "#35;", ";": "#59;", "<": "#lt;", ">": "#gt;", '"': "#quot;"})
"""What has a meaning of its own in Mermaid."""


@dataclass(frozen=True, slots=True)
class Interaction:
    """Somebody sent somebody something, in an attempt of the step at `path`.

    `kind` says what it was: `request` and `answer` of a model, `call` and `result` of a tool, `delegate`, `handoff`,
    `broadcast`, `vote` and `reply` in a team; code of yours may have others.
    """

    at: datetime
    path: str
    attempt: int
    sender: str
    receiver: str
    kind: str
    content: Any

    def summary(self, most: int = LONGEST) -> str:
        """The content as one line of at most so many characters: a text as it is, all else as JSON."""
        content = self.content
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        line = " ".join(text.split())
        return line if len(line) <= most else f"{line[: most - 1]}…"

    def __str__(self) -> str:
        again = f" (attempt {self.attempt})" if self.attempt > 1 else ""
        return f"{self.sender} -> {self.receiver}  {self.kind}{again}  {self.summary()}".rstrip()


def interactions_of(view: RunView, read: Callable[[Value], bytes]) -> list[Interaction]:
    """The interactions of a run, in the order in which they were recorded; `read` gives the JSON text of a value."""
    return [
        Interaction(
            moment(told.at),
            told.path,
            told.attempt,
            told.sender,
            told.receiver,
            told.kind,
            from_json(read(told.content)),
        )
        for told in view.interactions
    ]


def sequence_diagram(interactions: Iterable[Interaction]) -> str:
    """Interactions as a sequence diagram in Mermaid, without what is said to models and by them."""
    found = [each for each in interactions if each.kind not in TO_MODELS]
    people = dict.fromkeys(name for each in found for name in (each.sender, each.receiver))
    keys = {name: f"p{number}" for number, name in enumerate(people, 1)}
    lines = ["sequenceDiagram", *(f"    participant {key} as {_plain(name)}" for name, key in keys.items())]
    for each in found:
        arrow = "-->>" if each.kind in BACK else "->>"
        text = f"{each.kind}: {each.summary()}".removesuffix(": ")
        lines.append(f"    {keys[each.sender]}{arrow}{keys[each.receiver]}: {_plain(text)}")
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """A text that Mermaid shows as it is, on one line."""
    return " ".join(text.split()).translate(_NEVER) or "?"
