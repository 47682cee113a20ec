"""Hook points: the places of a run that hooks may stand at, what may be answered there, and how a run records them.

A run records which points interceptors stand at as texts `point pattern`. A pattern without a slash is compared with
the name of the node, one with a slash with the whole path; `*` stands for any characters, `?` for one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

ANSWERS: Final[dict[str, frozenset[str]]] = {
    "start": frozenset(("replace", "skip", "cancel", "veto")),
    "complete": frozenset(("replace", "cancel", "veto")),
    "fail": frozenset(("replace", "cancel")),
    "stage": frozenset(("replace", "cancel", "veto")),
    "before": frozenset(("replace", "skip", "cancel", "veto")),
    "after": frozenset(("replace", "again", "cancel", "veto")),
    "error": frozenset(("replace", "again", "cancel", "veto")),
    "fallback": frozenset(("redirect", "cancel", "veto")),
    "branch": frozenset(("redirect", "skip", "cancel", "veto")),
    "loop_start": frozenset(("replace", "skip", "cancel", "veto")),
    "iteration": frozenset(("replace", "skip", "redirect", "cancel", "veto")),
    "iterated": frozenset(("replace", "redirect", "cancel", "veto")),
    "loop_end": frozenset(("replace", "cancel", "veto")),
    "fork": frozenset(("narrow", "skip", "cancel", "veto")),
    "join": frozenset(("replace", "cancel", "veto")),
    "checkpoint": frozenset(("replace", "veto")),
    "rollback": frozenset(("redirect", "veto")),
    "compensation": frozenset(("replace", "skip", "veto")),
    "compensated": frozenset(("veto",)),
    "compensation_error": frozenset(("again", "skip")),
    "cancel": frozenset(("veto",)),
    "signal": frozenset(("replace", "skip", "cancel", "veto")),
    "limit": frozenset(("replace", "skip", "again", "redirect", "cancel", "veto")),
}
"""What interceptors may answer, beside `continue`, at each point where they may stand."""

EVENTS: Final[dict[str, tuple[str, ...]]] = {
    "start": ("RunStarted", "ScopeStarted"),
    "complete": ("RunCompleted",),
    "fail": ("RunFailed",),
    "cancel": ("RunCancelling", "RunCancelled", "RunTerminated"),
    "stage": (),
    "before": ("StepScheduled",),
    "after": ("StepCompleted",),
    "error": ("StepFailed", "AttemptLost"),
    "fallback": ("FallbackTaken",),
    "branch": ("BranchTaken", "NodeSkipped"),
    "loop_start": (),
    "iteration": ("IterationStarted",),
    "iterated": (),
    "loop_end": ("LoopEnded",),
    "fork": ("FanOutStarted",),
    "join": ("FanOutEnded",),
    "route": ("TransitionTaken",),
    "stream": ("StreamAdvanced", "StreamEnded"),
    "signal": ("SignalReceived", "SignalRefused", "SignalTaken", "UpdateAnswered"),
    "checkpoint": ("CheckpointNamed",),
    "rollback": ("RolledBack",),
    "pause": ("RunPausing", "RunContinued"),
    "reuse": ("StepReused",),
    "state": ("StateChanged", "StateEdited", "StateGiven", "StateMerged"),
    "approval": ("ApprovalRequested", "ApprovalReminded", "ApprovalEscalated", "ApprovalDelegated", "ApprovalDecided"),
    "artifact": ("ArtifactSaved", "FilesTouched"),
    "message": ("MessageQueued", "Interacted"),
    "compensation": ("CompensationStarted", "StepUndone", "UndoFailed", "CompensationEnded"),
    "compensated": ("StepUndone",),
    "compensation_error": ("UndoFailed",),
    "limit": ("LimitReached", "LimitsSet"),
    "cleanup": ("CleanupStarted", "CleanupEnded"),
    "hook": ("Intercepted", "HookAwaited", "HookFailed", "HooksSet", "Requested", "RequestRefused"),
}
"""The events that observers of a point are told of; for a point without one the run records `PointReached`."""

UNSEEN: Final = tuple(point for point, events in EVENTS.items() if not events)
"""Points that leave no event of their own: observers of them must be recorded too."""

FIRST_GLOBAL: Final = frozenset(
    (
        *("start", "stage", "before", "fallback", "branch", "loop_start", "iteration", "fork"),
        *("checkpoint", "rollback", "compensation", "cancel", "signal", "limit"),
    )
)
"""Points before something happens: there global hooks come first, elsewhere the most specific ones do."""

SEEN: Final = "observe:"
"""What stands before a recorded point that is only observed."""


def parse(recorded: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Recorded points as patterns by point."""
    found: dict[str, tuple[str, ...]] = {}
    for text in recorded:
        point, _, pattern = text.partition(" ")
        found[point] = (*found.get(point, ()), pattern)
    return found


def matches(pattern: str, name: str, path: str) -> bool:
    """Whether a pattern names the node of this name at this path."""
    return pattern == "*" or _fits(pattern, path if "/" in pattern else name)


def named_at(path: str) -> str:
    """The name of the node at a path."""
    return path.rpartition("/")[2].partition("[")[0].partition("(")[0]


def enclosing(path: str) -> str:
    """The path of the scope around a path; empty for the run itself."""
    return path.rpartition("/")[0]


def plain_name(name: str) -> str:
    """A node's name as it was given: without its number among those of one name, and without a gate's mark."""
    return name.partition("#")[0].removesuffix("?")


@lru_cache(maxsize=4096)
def _fits(pattern: str, text: str) -> bool:
    return bool(_compiled(pattern).fullmatch(text if "/" in pattern else plain_name(text)))


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    text = "".join(".*" if char == "*" else "." if char == "?" else re.escape(char) for char in pattern)
    return re.compile(text, re.DOTALL)
