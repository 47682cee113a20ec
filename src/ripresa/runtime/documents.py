"""Documents become flows that can be run and taken up again: what their targets lead to, and where they come from.

Law: data cannot reach what nobody meant for it. A target in a document leads to what was declared as a step, flow,
workflow, hook, rule, pool, signal or type; to a plain function only if it is of the user's own code, which is neither
of the standard library nor installed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from inspect import isclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..authoring.document.flow import DocumentFlow
from ..authoring.document.library import DOCUMENTS, Equipped, Library, Maker, Reach, Shelf
from ..authoring.document.load import flow_of
from ..authoring.document.near import nearest
from ..authoring.document.source import Document
from ..authoring.document.text import document_of
from ..authoring.flow import Runnable
from ..authoring.hooks import Hook
from ..authoring.options import bad_kind, bad_texts, refuse
from ..authoring.owf.reading import is_open_workflow
from ..authoring.pool import Pool
from ..authoring.rules import Rule
from ..authoring.step import Step
from ..core.calling import told
from ..core.conditions import Condition
from ..errors import InvalidWorkflow, RipresaError
from ..foreign import family_of, is_agent_like
from .targets import find_object, is_own, near_file

if TYPE_CHECKING:
    from ..steps.open_workflow import Surroundings

INLINE: Final = "document:"
"""How the target of a run begins whose document is no file: JSON text follows."""

_STEPS: Final = "ripresa.steps.documents"

READY: Final[Mapping[str, str]] = {
    name.removesuffix("_type"): f"{_STEPS}:{name}"
    for name in (
        *("llm_type", "agent", "mcp", "http", "openapi", "grpc", "webhook", "human", "shell", "python", "cli_agent"),
        *("a2a_agent", "prompt", "knowledge", "supervisor", "handoff", "group_chat", "debate"),
    )
}
"""The ready-made step types, with where each of them is; looked for when a document names it."""

DECLARED_BY: Final = {"servers": f"{_STEPS}:server", "knowledge": f"{_STEPS}:known"}
"""What makes what a document declares: none of the free ones, since a server may be a program, knowledge a file."""

FREE: Final = frozenset(
    (*(READY[name] for name in ("llm", "prompt", "http", "openapi", "human")), f"{_STEPS}:llm", f"{_STEPS}:answer")
)
"""Those that a document may name whatever modules it may import from: they run no programs here."""

BOUND: Final[Mapping[str, str]] = {READY[name]: f"{_STEPS}:public_{name}" for name in ("prompt", "http", "openapi")}
"""What stands in for those of them that could reach more, where it is not granted by `modules`."""

OPEN_WORKFLOW: Final = "ripresa.steps.open_workflow"
"""What `modules` grants so that an Open Workflow document may run programs and call what is not public."""

STORE: Final = ("put", "nearest", "remove")
"""What a store of vectors has."""

DECLARED: Final = (Step, Runnable, Hook, Rule, Pool, Condition, Maker, Equipped)


@told
def load_document(
    source: str | os.PathLike[str] | Mapping[str, Any],
    /,
    *,
    library: Library | None = None,
    modules: Iterable[str] | None = None,
    surroundings: Surroundings | None = None,
) -> DocumentFlow:
    """The workflow that a document is: a YAML or JSON file, or plain data.

    `library` are the step types that it may name beside the ready-made ones; `modules` are those from which its
    targets may import, as names or globs (`[]`: none; without a word any). A document of the Open Workflow
    Specification is known by its head; `surroundings` are what it may reach. Raises `InvalidWorkflow` with everything
    that is wrong with it, each with line and column; `RipresaError(unknown_target)` if there is no such file.
    """
    refuse("load_document", bad_kind(source, "source", (str, os.PathLike, Mapping), "the path of a file or a mapping"))
    given = Given(library, modules_of(modules, "load_document"), surroundings)
    if isinstance(source, Mapping):
        flow = _loaded(Document(dict(source)), Path.cwd(), given)
        flow.__dict__["_target"] = _inline(source)
        return flow
    return _from_file(source, given, ())


@dataclass(frozen=True, slots=True)
class Given:
    """What a document is loaded with."""

    library: Library | None
    modules: tuple[str, ...] | None
    surroundings: Surroundings | None = None


def modules_of(modules: Iterable[str] | None, op: str) -> tuple[str, ...] | None:
    """The modules that targets may import from; None if any. Raises `InvalidConfig` for one text in place of a list."""
    if modules is None:
        return None
    allowed = modules if isinstance(modules, str) else tuple(modules)
    refuse(op, bad_texts(allowed, "modules"))
    return tuple(allowed)


def _from_file(source: str | os.PathLike[str], given: Given, around: tuple[Path, ...]) -> DocumentFlow:
    path = Path(source).expanduser().resolve()
    if path in around:
        raise _refused(str(source), "it holds itself")
    flow = _loaded(_read(path, str(source)), path.parent, given, (*around, path))
    flow.__dict__["_target"] = str(path)
    return flow


def is_document(target: str) -> bool:
    """Whether a target is that of a document."""
    return target.startswith(INLINE) or target.lower().endswith(DOCUMENTS)


def load_target_document(
    target: str, *, library: Library | None = None, modules: Iterable[str] | None = None
) -> DocumentFlow:
    """The workflow of such a target; see `load_document`."""
    source = json.loads(target.removeprefix(INLINE)) if target.startswith(INLINE) else target
    return load_document(source, library=library, modules=modules)


def _inline(source: Mapping[str, Any]) -> str:
    """The target of a document that is plain data; empty if it holds what is none."""
    try:
        return INLINE + json.dumps(source, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError):
        return ""


def _read(path: Path, shown: str) -> Document:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        message = f"{shown!r} names no workflow: the file cannot be read: {why}"
        raise RipresaError(message, code="unknown_target", op="load", hint=near_file(path).strip()) from error
    return document_of(text, shown)


def _loaded(document: Document, folder: Path, given: Given, around: tuple[Path, ...] = ()) -> DocumentFlow:
    if is_open_workflow(document.data):
        if document.problems:
            raise InvalidWorkflow(list(document.problems), op="document")
        from .open_workflow import open_workflow

        return open_workflow(document, folder, given.surroundings, free=_may(OPEN_WORKFLOW, given.modules))
    known = given.library or Library()
    reach = reaching(folder, given.modules, known, around)
    return flow_of(document, lambda types: Shelf(known, reach, READY, types, DECLARED_BY))


def _may(place: str, modules: tuple[str, ...] | None) -> bool:
    """Whether a document may import from a place."""
    return modules is None or any(fnmatchcase(place, pattern) for pattern in modules)


def reaching(
    folder: Path, modules: tuple[str, ...] | None, library: Library | None = None, around: tuple[Path, ...] = ()
) -> Reach:
    """What finds what the targets of a document in this folder lead to; `around` are the documents that it is in."""

    def reach(target: str, *, as_type: bool = False) -> Any:
        if target.lower().endswith(DOCUMENTS):
            if modules is not None and not _is_near(folder / target, target, modules, around):
                raise _refused(target, "documents may not reach this file here")
            return _from_file(folder / target, Given(library, modules), around)
        place, _, name = target.rpartition(":")
        if place.endswith(".py"):
            place = os.path.normpath(place)  # a pattern is about the file that it leads to, not how it goes there
        if not _may(place, modules):
            if target not in FREE:
                raise _refused(target, f"documents may not import {place!r} here")
            target = BOUND.get(target, target)
        if any(part.startswith("_") for part in name.split(".")):
            raise _refused(target, "names that begin with _ are nobody else's")
        found, module, *_ = find_object(f"{folder / place}:{name}" if place.endswith(".py") else target)
        if found is None:
            near = nearest(name, (each for each in vars(module) if not each.startswith("_")))
            raise _refused(target, f"{place} has no {name!r}" + (f"; did you mean {near}?" if near else ""))
        if not (as_type if isclass(found) and as_type else _is_meant(found, place)):
            raise _refused(target, "it is neither a step, flow or workflow nor a function or class of your own code")
        return found

    return reach


def _is_near(path: Path, target: str, modules: tuple[str, ...], around: tuple[Path, ...]) -> bool:
    """Whether a document that is bounded may hold another: one in the folder of the outermost file, or a named one."""
    if any(fnmatchcase(os.path.normpath(target), pattern) for pattern in modules):
        return True
    return bool(around) and path.resolve().is_relative_to(around[0].parent)


def _is_meant(found: Any, place: str) -> bool:
    if family_of(found) is not None:  # an agent or graph of another framework, which stands in somebody's own code
        return place.endswith(".py") or is_own(place)
    if is_agent_like(found) or all(callable(getattr(found, name, None)) for name in STORE):
        return is_own(type(found).__module__)
    origin = getattr(found, "__module__", None)
    return isinstance(found, DECLARED) or (callable(found) and isinstance(origin, str) and is_own(origin))


def _refused(target: str, why: str) -> RipresaError:
    return RipresaError(f"{target!r} is nothing for documents: {why}", code="unknown_target", op="document")
