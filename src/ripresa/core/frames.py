"""Frames: what a run holds while a node of its definition is active.

Law: a frame is plain data beside its links to node, parent and children, which its path finds again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from .events import Failure, Write
from .values import NULL, Value

if TYPE_CHECKING:
    from .nodes.node import Node

OPEN = "open"
HELD = "held"
BACKOFF = "backoff"
ASKING = "asking"
PARKED = "parked"
CANCELLING = "cancelling"
FAILING = "failing"
JOINING = "joining"
FAILED = "failed"
CANCELLED = "cancelled"
DONE = "done"

ENDED = (FAILED, CANCELLED, DONE)
"""Phases of a frame that has ended and is kept so that the run can be reopened (done: while its scope wound up)."""

WINDING = (CANCELLING, FAILING, JOINING)
"""Phases of a scope that waits for its children to end."""


class Frame:
    """An active node: where it is, what it was given, how far it is; what it returned, if it is kept nevertheless."""

    __slots__ = ("failure", "input", "key", "node", "parent", "path", "phase", "result")
    FIELDS: ClassVar[tuple[tuple[str, str], ...]] = (
        ("input", "value"),
        ("phase", "plain"),
        ("failure", "failure"),
        ("result", "value"),
    )

    def __init__(self, path: str, node: Node[Any], parent: ScopeFrame | None, key: int, input: Value) -> None:
        self.path = path
        self.node = node
        self.parent = parent
        self.key = key
        self.input = input
        self.phase = OPEN
        self.failure: Failure | None = None
        self.result: Value = NULL

    def begin_with(self, input: Value) -> None:
        """Begin with another input than it was given."""
        self.input = input


class CallFrame(Frame):
    """A call: its attempt (from 1), the attempt that its retry policy counts from, and what it journaled itself.

    `started`: the attempt of an irreversible step that began, or that of one which can be undone of which nobody
    knows whether it did its work.

    `intents` are the irreversible calls it began and had no report of.
    `written` is what its recorded calls wrote to the typed state, by their keys.
    `replaced`: its input is no longer what its node is given but the arguments of its step, as a hook said.
    `withheld` is what its attempt does beyond the run, until interceptors have let its result be.
    `delays` is how often hooks have let it wait at a limit, since it began or was reopened.
    """

    __slots__ = (
        "attempt", "base", "delays", "due", "generation", "intents", "recorded", "replaced", "started", "withheld",
        "written",
    )  # fmt: skip
    FIELDS = (
        *Frame.FIELDS,
        ("attempt", "plain"),
        ("base", "plain"),
        ("due", "plain"),
        ("generation", "plain"),
        ("recorded", "values by key"),
        ("started", "plain"),
        ("intents", "list"),
        ("replaced", "plain"),
        ("written", "writes by key"),
        ("withheld", "facts"),
        ("delays", "plain"),
    )

    def __init__(self, path: str, node: Node[Any], parent: ScopeFrame | None, key: int, input: Value) -> None:
        Frame.__init__(self, path, node, parent, key, input)
        self.attempt = 1
        self.base = 1
        self.due = 0
        self.generation = 0
        self.recorded: dict[str, Value] | None = None
        self.started = 0
        self.intents: tuple[str, ...] = ()
        self.replaced = False
        self.written: dict[str, tuple[Write, ...]] | None = None
        self.withheld: tuple[Any, ...] = ()
        self.delays = 0


class StreamFrame(CallFrame):
    """A stream: how many batches its sink acknowledged, where its source goes on, what its stages held open there.

    `ended` is why it came to its end, as soon as all of it is recorded; `lag` the greatest there was.
    """

    __slots__ = ("batches", "dead", "dropped", "elapsed", "ended", "folded", "held", "lag", "position", "taken")
    FIELDS = (
        *CallFrame.FIELDS,
        ("batches", "plain"),
        ("position", "value"),
        ("held", "value"),
        ("taken", "plain"),
        ("dropped", "plain"),
        ("dead", "plain"),
        ("folded", "value"),
        ("ended", "plain"),
        ("elapsed", "plain"),
        ("lag", "plain"),
    )

    def __init__(self, path: str, node: Node[Any], parent: ScopeFrame | None, key: int, input: Value) -> None:
        super().__init__(path, node, parent, key, input)
        self.begin()

    def begin(self) -> None:
        """Nothing of it has been recorded."""
        self.batches = 0
        self.position: Value = NULL
        self.held: Value = NULL
        self.taken = 0
        self.dropped = 0
        self.dead = 0
        self.folded: Value = NULL
        self.ended = ""
        self.elapsed = 0
        self.lag = 0


class ScopeFrame(Frame):
    """A node with children. `active` counts those that have not ended; `shielded` lets it go on while it winds up.

    `question` is what it has asked user code and not been answered, `about` the value it asked about.
    """

    __slots__ = ("about", "active", "children", "others", "prefix", "question", "shielded")
    FIELDS = (
        *Frame.FIELDS,
        ("shielded", "plain"),
        ("question", "plain"),
        ("about", "value"),
        ("others", "failures"),
        ("prefix", "plain"),
    )

    def __init__(self, path: str, node: Node[Any], parent: ScopeFrame | None, key: int, input: Value) -> None:
        super().__init__(path, node, parent, key, input)
        self.children: dict[int, Frame] = {}
        self.active = 0
        self.shielded = False
        self.question = ""
        self.about: Value = NULL
        self.others: tuple[Failure, ...] = ()
        self.prefix = f"{path}/" if path else ""

    @property
    def forks(self) -> bool:
        """Whether its children are branches, see `Node.forks`."""
        return self.node.forks
