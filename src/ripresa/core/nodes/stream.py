"""`stream`: items that the runtime pumps from a source through stages into a sink; one attempt pumps until the end.

Law: items are neither events nor commands. What is recorded is what the sink acknowledged: position and open content,
one fact for each batch, or for each group of them; the next attempt goes on from there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from ..events import Failure, Intercepted, StreamAdvanced, StreamEnded
from ..frames import CANCELLING, Frame, StreamFrame
from .call import Call

if TYPE_CHECKING:
    from ..frames import CallFrame
    from ..gates import Gate
    from ..state import RunState


class Stream(Call):
    """A call that reports its progress batch by batch. `shape` names its stages, which open content belongs to.

    An attempt that advanced counts as the first of its retry policy: only failures without progress use it up.
    """

    kind: ClassVar[str] = "stream"
    frame_class: ClassVar[type[Frame]] = StreamFrame

    def __init__(self, name: str, *, shape: tuple[str, ...] = (), **types: Any) -> None:
        super().__init__(name, **types)
        self.shape = shape

    @override
    def policy(self) -> dict[str, Any]:
        return {"stages": list(self.shape)}

    def waits_for(self, frame: StreamFrame, fact: StreamAdvanced) -> bool:
        """Whether this is the next batch or group of them, or the end (once)."""
        if frame.ended:
            return False
        return fact.batch >= frame.batches if fact.ended else fact.batch == frame.batches + fact.group

    def advanced(self, run: RunState, frame: Any, fact: StreamAdvanced) -> None:
        """The sink acknowledged a batch, or the stream came to its end."""
        frame.batches = fact.batch
        frame.position, frame.held, frame.folded = fact.position, fact.held, fact.output
        frame.taken, frame.dropped, frame.dead = fact.taken, fact.dropped, fact.dead
        frame.elapsed, frame.lag = fact.elapsed, max(frame.lag, fact.lag)
        frame.base = frame.attempt
        frame.ended = fact.ended
        if fact.ended:
            self._ended(run, frame, fact.ended)

    @override
    def failed(self, run: RunState, frame: Any, failure: Failure, retry_at: int) -> None:
        if not frame.ended and frame.phase == CANCELLING:
            self._ended(run, frame, "cancelled")
        super().failed(run, frame, failure, retry_at)

    @override
    def _settle(self, run: RunState, frame: Any, failure: Failure, retry_at: int) -> None:
        if not frame.ended and not retry_at:
            self._ended(run, frame, "failed")
        super()._settle(run, frame, failure, retry_at)

    @override
    def intercepted(self, run: RunState, frame: Any, gate: Gate, fact: Intercepted) -> None:
        if fact.answer == "again" and frame.ended:  # a hook wants all of it once more
            frame.begin()
        super().intercepted(run, frame, gate, fact)

    @override
    def cancel(self, run: RunState, frame: CallFrame) -> None:
        if frame.phase != CANCELLING:
            self._ended(run, frame, "cancelled")
        super().cancel(run, frame)

    def _ended(self, run: RunState, frame: Any, reason: str) -> None:
        counts = frame.batches, frame.taken, frame.dropped, frame.dead, frame.elapsed, frame.lag
        run.consequences.append(StreamEnded(frame.path, reason, *counts))
