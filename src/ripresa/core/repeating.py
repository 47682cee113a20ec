"""What a failed run would do again that nothing can undo, if it were reopened after something in it was undone.

Law: what begins anew because it was undone takes back results, but not what irreversible steps did in the world.
"""

from __future__ import annotations

from collections.abc import Iterator

from .frames import ENDED, CallFrame
from .ledger import Lasting
from .nodes.call import Call
from .nodes.dynamic import Dynamic, DynamicFrame
from .nodes.saga import SagaFrame
from .state import RunState


def repeats(run: RunState) -> list[str]:
    """The paths of the irreversible steps that a failed run did, or may have done, and would do again if reopened."""
    if not run.ledger.lasting:
        return []
    return run.ledger.lasting_below(("",)) if run.undone else list(dict.fromkeys(_found(run)))


def _found(run: RunState) -> Iterator[str]:
    for frame in run.frames.values():
        if isinstance(frame, SagaFrame) and frame.undone:
            yield from run.ledger.lasting_below((frame.prefix,), frame.since)
        elif isinstance(frame, DynamicFrame):
            yield from _of_function(run, frame)


def _of_function(run: RunState, frame: DynamicFrame) -> Iterator[str]:
    """What a durable function would ask for again: what was undone with a block, or what is in doubt."""
    assert isinstance(frame.node, Dynamic)
    asked, since = frame.node.goes_back_to(frame)
    for lasting in run.ledger.lasting.values():
        number = dict(lasting.calls).get(frame.path, 0)
        if since < number <= asked or (number > since and _in_doubt(run, lasting)):
            yield lasting.path


def _in_doubt(run: RunState, lasting: Lasting) -> bool:
    frame = run.frames.get(lasting.path)
    if not isinstance(frame, CallFrame) or frame.phase not in ENDED:
        return False
    assert isinstance(frame.node, Call)
    return lasting.key in frame.intents if lasting.key else frame.node.in_doubt(frame)
