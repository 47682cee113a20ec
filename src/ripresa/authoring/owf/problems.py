"""Errors as the specification has them: problem details (RFC 7807) that tasks raise and catch."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, cast

from ...core.events import Failure
from ...errors import RipresaError

STANDARD: Final[Mapping[str, tuple[int, str]]] = {
    "configuration": (400, "Configuration Error"),
    "validation": (400, "Validation Error"),
    "expression": (400, "Expression Error"),
    "authentication": (401, "Authentication Error"),
    "authorization": (403, "Authorization Error"),
    "timeout": (408, "Timeout"),
    "communication": (500, "Communication Error"),
    "runtime": (500, "Runtime Error"),
}
"""The standard types of errors, each with its status and title."""

ROOT: Final = "https://open-workflow-specification.org/spec/1.0.0/errors/"
"""How the standard types begin that are raised here."""

_KNOWN: Final = re.compile(
    r"https://(?:serverlessworkflow\.io(?:\.io)?|open-workflow-specification\.org)"
    r"/(?:spec/1\.0\.\d+/errors|dsl/errors/types)/(\w+)/?"
)
"""The standard types as the specification and its tests write them: they have moved, and mean the same."""

_DETAIL: Final = 2000

_CODES: Final[Mapping[str, str]] = {
    "timeout": "timeout",
    "deadline_exceeded": "timeout",
    "http_failed": "communication",
    "http_status": "communication",
    "grpc_failed": "communication",
    "grpc_status": "communication",
    "certificate_refused": "communication",
    "address_refused": "communication",
    "too_large": "communication",
    "secret_missing": "authorization",
    "invalid_config": "configuration",
    "unknown_operation": "configuration",
    "invalid_description": "configuration",
    "token_refused": "authentication",
    "invalid_input": "validation",
    "expression_failed": "expression",
}
"""What the codes of our own errors are in the words of the specification; all others are `runtime`."""


class TaskFault(RipresaError):
    """An error that a task of an Open Workflow document raised; its message is the problem as JSON."""

    default_code = "task_faulted"
    failure: Failure | None = None

    def __init__(self, problem: Mapping[str, Any]) -> None:
        self.problem = dict(problem)
        super().__init__(json.dumps(self.problem, ensure_ascii=False), op="task")


class Bad(Exception):
    """Something of a task is wrong, of a standard type; where it stands is added by who runs the task."""

    def __init__(self, kind: str, detail: str, status: int = 0, title: str = "") -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.status = status
        self.title = title

    def at(self, reference: str) -> TaskFault:
        """The error of the task at this place."""
        return fault(self.kind, reference, self.detail, self.status, self.title)


def fault(kind: str, instance: str, detail: str, status: int = 0, title: str = "") -> TaskFault:
    """An error of a standard type."""
    usual, name = STANDARD[kind]
    return TaskFault({
        "type": ROOT + kind,
        "status": status or usual,
        "title": title or name,
        "detail": detail[:_DETAIL],
        "instance": instance,
    })  # fmt: skip


def fault_of(error: Exception, instance: str) -> TaskFault:
    """What the error of a call is for the task that made it; of a recorded failure, with that."""
    recorded = getattr(error, "failure", None)
    if isinstance(recorded, Failure):
        found = problem_of(recorded)
        made = TaskFault(found) if found is not None else _coded(recorded.code, recorded.message, instance)
        made.failure = recorded if found is not None else None
        return made
    return _coded(getattr(error, "code", ""), getattr(error, "message", None) or str(error), instance)


def _coded(code: str, message: str, instance: str) -> TaskFault:
    return fault(_CODES.get(code, "runtime"), instance, message)


def problem_of(failure: Failure) -> dict[str, Any] | None:
    """The problem that a recorded failure is; None if no task raised it."""
    return cast("dict[str, Any]", json.loads(failure.message)) if failure.code == "task_faulted" else None


def same_type(one: object, other: object) -> bool:
    """Whether two types of errors are the same, wherever the specification stood when they were written."""
    return _canonical(one) == _canonical(other)


def _canonical(kind: object) -> object:
    found = _KNOWN.fullmatch(kind) if isinstance(kind, str) else None
    return ROOT + found[1] if found else kind


def matches(problem: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a problem has all that a filter of errors asks for."""
    return all(
        same_type(problem.get(name), value) if name == "type" else problem.get(name) == value
        for name, value in wanted.items()
    )
