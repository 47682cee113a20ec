"""What events are made of beside plain values: failures, the calls of durable functions, writes to a typed state."""

from __future__ import annotations

from ..records import record
from .values import NULL, Value


@record
class Failure:
    """An error as data.

    `types` are the qualified names of the exception's classes, most special first, so that policies can match by
    type without the class; `path` and `attempt` say where it arose; `others` are failures that came with it.
    """

    code: str
    message: str
    types: tuple[str, ...] = ()
    retryable: bool = False
    path: str = ""
    attempt: int = 0
    traceback: str = ""
    cause: Failure | None = None
    others: tuple[Failure, ...] = ()


@record
class Write:
    """One write to a field of a typed state.

    `op` is `set`, the name of a built-in reducer with its operand as `value`, or `custom`: then `value` is what the
    user's reducer made of `operand` in the writer's own branch. `by` is the path of the writer where it is not plain.
    """

    field: str
    op: str
    value: Value
    by: str = ""
    operand: Value = NULL


@record
class ValidationResult:
    """What a rule said of a result: `severity` is error, warning or info; `message` says why it is not kept."""

    rule: str
    severity: str
    passed: bool
    message: str = ""


@record
class CallSpec:
    """One call that a durable function asks for.

    `key` is its number within the function, from 1; `kind` is `step`, `flow`, `sleep`, `wait`, `answer`, `refuse`,
    `undo`, or `fork` and `join` (see `nodes.sides`); `segment` names it in paths; `input` is what it is called with
    (for `sleep` and `wait`: microseconds as JSON, 0 for ever; for `undo`: the number of calls before the first that may
    be undone, then how the paths of those begin; for `refuse` the reason); `shape` is the definition hash of a flow,
    the name of the signal that is waited for, the name and id of the update that is answered; `undo` the hash of what
    undoes a step. Of kind `patch`, before the others and with key 0, it is no call: it says that the function goes by
    the change of its code that `segment` names.
    """

    key: int
    kind: str
    segment: str
    input: Value = NULL
    shape: str = ""
    writes: tuple[Write, ...] = ()
    """What the call sees of the state beyond what its function's own branch holds (for calls of its fibers)."""
    undo: str = ""
    expected: int = 0
    """How many steps a flow lets expect."""
