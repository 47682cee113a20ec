"""Exit codes: one table from statuses and coded errors to the number that a shell sees."""

from __future__ import annotations

from typing import Final

from ..errors import InvalidConfig, InvalidWorkflow, RipresaError

COMPLETED: Final = 0
FAILED: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
CANCELLED: Final = 4
WAITING: Final = 5
INTERRUPTED: Final = 130

BY_STATUS: Final = {
    "completed": COMPLETED,
    "failed": FAILED,
    "cancelled": CANCELLED,
    "terminated": CANCELLED,
    "undone": CANCELLED,
    "paused": WAITING,
    "waiting": WAITING,
}
"""A run of any other status goes on or was left: see `exit_of_status`."""

_BY_CODE: Final = {
    **dict.fromkeys(
        (
            "definition_changed",
            "effects_undecided",
            "extra_missing",
            "illegal_transition",
            "invalid_config",
            "invalid_input",
            "migration_missing",
            "not_available",
            "not_exportable",
            "run_exists",
            "invalid_state",
            "session_exists",
            "unknown_store",
            "unknown_workflow",
            "usage",
        ),
        USAGE,
    ),
    **dict.fromkeys(
        (
            "artifact_not_found",
            "no_such_place",
            "run_not_found",
            "session_not_found",
            "unknown_target",
            "unknown_query",
        ),
        NOT_FOUND,
    ),
    **dict.fromkeys(("cancelled", "terminated", "undone"), CANCELLED),
    "interrupted": INTERRUPTED,
}


class UserCodeFailed(Exception):
    """The user's module raised while it was imported: what it raised is the cause."""


def exit_of_status(status: str) -> int:
    """The exit code for a run that is not driven any more: one that has not ended can be taken up again."""
    return BY_STATUS.get(status, INTERRUPTED)


def exit_of(error: RipresaError) -> int:
    """The exit code for an error of ours: whatever is neither wrong usage nor something missing has failed."""
    if isinstance(error, InvalidWorkflow | InvalidConfig):
        return USAGE
    return _BY_CODE.get(error.code, FAILED)


def worst(codes: list[int]) -> int:
    """One exit code for several runs: the first of these that occurs decides."""
    return next((code for code in (INTERRUPTED, FAILED, USAGE, NOT_FOUND, CANCELLED, WAITING) if code in codes), 0)
