"""What every node has in common: it opens, hears how its children end, and can say what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from ...errors import RipresaError
from ..events import Failure, Intercepted
from ..frames import Frame, ScopeFrame
from ..values import Value

if TYPE_CHECKING:
    from ..gates import Gate
    from ..state import RunState

F = TypeVar("F", bound=Frame)
S = TypeVar("S", bound=ScopeFrame)


class Node(Generic[F]):
    """A part of a definition: immutable, shared by all runs. Its state in a run is a frame.

    `name` is unique among its siblings and stands in paths; `code` is what only the border understands (a step, a
    predicate, the wiring of arguments), `input_type` and `output_type` are annotations or `typing.Any`.
    """

    kind: ClassVar[str]
    frame_class: ClassVar[type[Frame]]
    hooks: tuple[Any, ...] = ()
    """The hooks that were written beside it; they shape no hash, and the core never looks at them."""
    answers: tuple[Any, ...] = ()
    """The queries that are answered beside it; they shape no hash either."""
    feature: str = ""
    """The feature flag that it belongs to, where its kind does not say so."""
    remark: str = ""
    """Words for people; they shape no hash either."""
    forks: ClassVar[bool] = False
    """Whether its children are branches: each writes to a typed state by itself until they are joined."""
    hides_state: bool = False
    """Whether what is below it does not see the typed state of what is above it."""
    watches: tuple[str, ...] = ()
    """The steps whose ends its questions look at, by name or path."""
    undo: Any = None
    """What undoes it (`nodes.undo.Undo`), if anything does."""

    def __init__(self, name: str, *, code: Any = None, input_type: Any = Any, output_type: Any = Any) -> None:
        self.name = name
        self.code = code
        self.input_type = input_type
        self.output_type = output_type

    @property
    def children(self) -> tuple[Node[Any], ...]:
        """The nodes below this one, in order."""
        return ()

    def policy(self) -> dict[str, Any]:
        """The settings that shape decisions and therefore belong to the definition's hash (plain data)."""
        return {}

    def precedes(self, key: int) -> tuple[int, ...]:
        """The children, in order, whose writes to a typed state the branch with this key sees."""
        return ()

    def expected(self) -> int:
        """How many steps this node lets expect before it runs."""
        return sum(child.expected() for child in self.children)

    def child_node(self, run: RunState, frame: F, key: int, path: str) -> Node[Any]:
        """The node of the child with this key (to find it again when a state is decoded)."""
        return self.children[key]

    def open(self, run: RunState, frame: F) -> None:
        """Begin with `frame.input`."""
        raise RipresaError(f"a node of kind {self.kind!r} cannot run", code="not_available", where=frame.path)

    def cancel(self, run: RunState, frame: F) -> None:
        """Begin to stop."""
        raise RipresaError(f"a node of kind {self.kind!r} cannot run", code="not_available", where=frame.path)

    def reopen(self, run: RunState, frame: F) -> None:
        """Go on after the run had failed."""
        raise RipresaError(f"a node of kind {self.kind!r} cannot run", code="not_available", where=frame.path)

    def rewind(self, run: RunState, frame: F) -> None:
        """The run goes on from here after a rollback; what is outstanding is commanded anew anyway."""

    def release(self, run: RunState, frame: F) -> None:
        """The run was paused and goes on."""

    def intercepted(self, run: RunState, frame: F, gate: Gate, fact: Intercepted) -> None:
        """Go on as interceptors answered at the gate (neither a veto nor a cancellation)."""
        raise RipresaError(f"no hook can stand at {gate.point!r} here", code="not_available", where=frame.path)

    def timer(self, run: RunState, frame: F) -> None:
        """The frame's timer fired; late ones change nothing."""


class Scope(Node[S]):
    """A node with children. Without a word of its own it fails when a child fails and ends when it was stopped."""

    frame_class: ClassVar[type[Frame]] = ScopeFrame

    def on_done(self, run: RunState, frame: S, key: int, value: Value) -> None:
        """A child returned (its frame is gone)."""
        run.done(frame, value)

    def on_failed(self, run: RunState, frame: S, key: int, failure: Failure) -> None:
        """A child failed (its frame is kept until the scope lets it go)."""
        run.abort(frame, failure)

    def begin_anew(self, run: RunState, frame: S) -> None:
        """Begin again after what it did was undone."""
        self.open(run, frame)

    def wound(self, run: RunState, frame: S) -> None:
        """All children have ended while the scope winds up."""
        run.close(frame)

    def cancel(self, run: RunState, frame: S) -> None:
        """Stop all children; end when they have."""
        run.stop_children(frame)
        run.wind(frame)

    def reopen(self, run: RunState, frame: S) -> None:
        """Ask again, or reopen the children that have ended."""
        if frame.question:
            run.ask(frame, frame.question, frame.about)
        else:
            run.reopen_children(frame)
