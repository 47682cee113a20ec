"""`check`: everything that is wrong with one workflow, before it runs."""

from __future__ import annotations

import sys

from ..authoring.check import check as problems_of
from ..authoring.flow import Runnable
from ..authoring.registry import kind_of
from ..authoring.single import Single
from ..context import checking_later
from ..errors import InvalidWorkflow, Problem, RipresaError
from ..runtime.documents import is_document
from ..runtime.targets import is_own
from .exits import COMPLETED, USAGE, UserCodeFailed
from .inputs import load
from .telling import print_json, tell_problems, tell_users_line


def check(target: str, *, as_json: bool) -> int:
    """Tell what is wrong with what a target names; gives the exit code."""
    name, kind, problems = _looked_at(target)
    valid = all(each.severity == "warning" for each in problems)
    if as_json:
        found = [
            {name: getattr(each, name) for name in ("where", "message", "code", "hint", "severity")}
            for each in problems
        ]
        print_json({"target": target, "workflow": name, "kind": kind, "ok": valid, "problems": found})
    tell_problems(problems)
    if valid and not as_json:
        print(f"{kind} {name!r} is valid")
    return COMPLETED if valid else USAGE


def _looked_at(target: str) -> tuple[str, str, list[Problem]]:
    """Name, kind and problems."""
    try:
        found = load(target)
        return found.name, _kind(found), problems_of(found)
    except InvalidWorkflow as error:
        whole = None if is_document(target) else _written_anyway(target)
        problems = [] if whole is None else problems_of(whole)
        if not problems or error.problems[0] in problems:  # else the import stopped at something else beside it
            tell_users_line(error)
        if whole is None:
            return error.op, "", list(error.problems)
        return whole.name, _kind(whole), problems or list(error.problems)


def _written_anyway(target: str) -> Runnable[..., object] | None:
    """A target whose module is imported though something in it cannot be built; None if that does not do."""
    known = set(sys.modules)
    try:
        with checking_later():
            return load(target)
    except (RipresaError, UserCodeFailed):
        return None
    finally:
        for name in filter(is_own, set(sys.modules) - known):
            del sys.modules[name]


def _kind(runnable: Runnable[..., object]) -> str:
    return "step" if isinstance(runnable, Single) else kind_of(runnable)
