"""The real code of a workflow in a simulation: its durable functions, stepped as coroutines, and its conditions.

Law: what is here is a cache. A crash throws it away, and it is rebuilt from the journal, as by any process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Final

from ..authoring.failures import failure_of
from ..authoring.flow import Runnable
from ..core.commands import Ask, Resume
from ..core.events import AnswerFailed, Asked, Fact, Raised, Recorded, Restarted, Returned
from ..core.replay import feed, lineage, steps
from ..core.state import RunState
from ..ports import RunHead
from ..runtime.asking import answered
from ..runtime.functions import Functions
from ..runtime.values import Keeper, RunValues

NEVER_LARGE = 1 << 60
NO_LARGE: Final[Mapping[str, bytes]] = {}
"""Large values by digest: no value is large enough to stand apart from its event."""


class RealCode:
    """What one process knows of a run beside its journal."""

    def __init__(self, flow: Runnable[..., Any], head: RunHead, state: RunState | None = None) -> None:
        """`state`: where the run stands, as it was written and read again; without one it has not begun."""
        self.state = RunState(flow.definition.for_run()) if state is None else state
        keeper = Keeper(NEVER_LARGE)
        self.values = RunValues(NO_LARGE.__getitem__, keeper, self.state)
        self.functions = Functions(self.state, self.values, keeper)
        self._border: Any = SimpleNamespace(
            run=head.id, head=head, state=self.state, values=self.values, keeper=keeper, engine=None
        )

    def replay(self, journal: Sequence[Recorded]) -> None:
        """Go along with what was recorded; the functions have to do again what they did."""
        for fact, recorded in steps(lineage(journal)):
            if isinstance(fact.event, Asked | Returned | Raised | Restarted):
                self.functions.replay(fact.event, strict=True)
            feed(self.state, fact, recorded)

    def answer(self, command: Ask | Resume) -> Fact:
        """What the code says."""
        if isinstance(command, Resume):
            return self.functions.resume(command.path, command.first)
        try:
            return answered(self._border, command)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # the border: whatever a condition raises is data from here on
            return AnswerFailed(self.state.at, command.path, failure_of(error, command.path))

    def close(self) -> None:
        """Throw the coroutines away."""
        self.functions.close()
