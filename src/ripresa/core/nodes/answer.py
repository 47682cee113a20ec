"""`answer`: what a durable function answers to an update; it is recorded, and over at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from typing_extensions import override

from ..events import UpdateAnswered
from ..frames import Frame
from ..values import NULL
from .node import Node

if TYPE_CHECKING:
    from ..state import RunState

UPDATES: Final = "update:"
"""What stands before the names of updates among what a run waits for; no signal can have such a name."""


class Answer(Node[Frame]):
    """Answer the update that `about` names, `name/id`, with the input, or refuse it with the input as the reason."""

    kind: ClassVar[str] = "answer"
    frame_class: ClassVar[type[Frame]] = Frame

    def __init__(self, name: str, about: str, *, refused: bool, **types: Any) -> None:
        super().__init__(name, **types)
        self.update, _, self.id = about.partition("/")
        self.refused = refused

    @override
    def open(self, run: RunState, frame: Frame) -> None:
        run.consequences.append(UpdateAnswered(frame.path, self.update, self.id, frame.input, self.refused))
        run.done(frame, NULL)
