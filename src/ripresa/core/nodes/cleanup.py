"""`cleanup`: handlers that run, last first, when the body failed or was cancelled, shielded from cancellation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from ..events import CleanupEnded, CleanupStarted, Failure
from ..frames import Frame, ScopeFrame
from ..values import Value
from .node import Node, Scope

if TYPE_CHECKING:
    from ..state import RunState


class CleanupFrame(ScopeFrame):
    """How the body ended, and which handlers failed."""

    __slots__ = ("failures",)
    FIELDS = (*ScopeFrame.FIELDS, ("failures", "failure list"))

    def __init__(self, *place: Any) -> None:
        super().__init__(*place)
        self.failures: list[Failure] = []


class Cleanup(Scope[CleanupFrame]):
    """A body with handlers, each given the body's input. The failures of handlers are kept and stop nothing."""

    kind: ClassVar[str] = "cleanup"
    frame_class: ClassVar[type[Frame]] = CleanupFrame

    def __init__(self, name: str, body: Node[Any], handlers: tuple[Node[Any], ...], **types: Any) -> None:
        super().__init__(name, **types)
        self.body = body
        self.handlers = handlers

    @property
    @override
    def children(self) -> tuple[Node[Any], ...]:
        return (self.body, *self.handlers)

    @override
    def expected(self) -> int:
        return self.body.expected()

    @override
    def open(self, run: RunState, frame: CleanupFrame) -> None:
        run.spawn_body(frame, self.body, frame.input)

    @override
    def on_done(self, run: RunState, frame: CleanupFrame, key: int, value: Value) -> None:
        if key == 0:
            run.done(frame, value)
        else:
            self._next(run, frame, key - 1)

    @override
    def on_failed(self, run: RunState, frame: CleanupFrame, key: int, failure: Failure) -> None:
        if key == 0:
            run.abort(frame, failure)
            return
        frame.failures.append(failure)
        run.drop(frame, key)
        self._next(run, frame, key - 1)

    @override
    def wound(self, run: RunState, frame: CleanupFrame) -> None:
        frame.shielded = True
        expected = sum(handler.expected() for handler in self.handlers) if run.core > 2 else 0
        run.consequences.append(CleanupStarted(frame.path, len(self.handlers), expected))
        self._next(run, frame, len(self.handlers))

    @override
    def reopen(self, run: RunState, frame: CleanupFrame) -> None:
        frame.failures = []
        run.reopen_children(frame)

    def _next(self, run: RunState, frame: CleanupFrame, key: int) -> None:
        if key > 0:
            handler = self.handlers[key - 1]
            run.spawn(frame, handler, f"cleanup:{handler.name}", key, frame.input)
            return
        run.consequences.append(CleanupEnded(frame.path, tuple(frame.failures)))
        run.cleanup_failures = (*run.cleanup_failures, *frame.failures)
        run.close(frame)
