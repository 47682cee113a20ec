"""Where the things of a flow stand by name, so that a document can lead to them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from typing_extensions import TypeIs

from ..authoring.document.library import Library
from ..authoring.document.recipe import Recipe
from ..authoring.document.write import document_of
from ..authoring.flow import Flow, Runnable
from ..authoring.function import Workflow
from ..authoring.single import Single
from ..authoring.step import Step
from ..authoring.stream import Pumped
from ..core.calling import told
from ..core.nodes.node import Node
from ..errors import RipresaError
from .documents import READY
from .targets import own_modules, place_of


@told
def export_document(
    flow: Runnable[..., Any],
    /,
    *,
    folder: str | os.PathLike[str] | None = None,
    library: Library | None = None,
) -> dict[str, Any]:
    """The document that a chain, a graph or any other flow is: plain data that reads back as the same definition.

    Steps, functions and types in it are named by their targets; those in files of `folder`, where the document will
    be, by their paths from there, all others by absolute ones. What stands in no module is named as it is registered in
    `library`, which whoever reads the document must have, too. Raises `RipresaError(not_exportable)` that names what
    no document can say: a lambda, a function inside a function, a durable function or a step by itself.
    """
    if isinstance(flow, Workflow):
        raise _refused(flow.name, "it is a durable function: documents call it by its target")
    if isinstance(flow, Single | Step):
        raise _refused(flow.name, "it is a single step, no flow")
    return document_of(flow, Named(None if folder is None else Path(folder).resolve(), library))


class Named:
    """Finds the names of things in the modules where they were made, and in the user's own."""

    def __init__(self, folder: Path | None = None, library: Library | None = None) -> None:
        self._folder = folder
        self._entries: Mapping[str, Any] = {} if library is None else library.entries

    def _registered(self, thing: Any) -> str:
        """The name under which something is registered; empty if it is not."""
        return next((name for name, entry in self._entries.items() if entry is thing), "")

    def _from(self, target: str) -> str:
        """A target as it stands in a document of the folder."""
        place, _, name = target.rpartition(":")
        if self._folder is None or not os.path.isabs(place) or not Path(place).is_relative_to(self._folder):
            return target
        return f"{Path(place).relative_to(self._folder).as_posix()}:{name}"

    def step(self, step: Step[..., Any]) -> tuple[str, Step[..., Any]]:
        """See `Places`."""
        try:
            target, found = self._step(step)
        except RipresaError:
            if self._registered(step):
                return self._registered(step), step
            if self._registered(step.fn):
                return self._registered(step.fn), _plain(step)
            raise
        return self._from(target), found

    def thing(self, thing: Any) -> str:
        """See `Places`."""
        try:
            return self._from(self._thing(thing))
        except RipresaError:
            if self._registered(thing):
                return self._registered(thing)
            raise

    def _step(self, step: Step[..., Any]) -> tuple[str, Step[..., Any]]:
        target, found = _declared(step.fn)
        if isinstance(found, Step) and found is not step:
            other = _search(step)
            return (other, step) if other else (target, _like(found, step))
        if isinstance(found, Step):
            return target, step
        if found is step.fn:
            return target, _plain(step)
        other = _search(step)
        if other:
            return other, step
        raise _nameless(step.fn, step.name)

    def _thing(self, thing: Any) -> str:
        target, found = _declared(thing)
        if target and found is thing:
            return target
        other = _search(thing)
        if other:
            return other
        raise _nameless(thing, str(getattr(thing, "name", thing)))

    def made(self, recipe: Recipe) -> str:
        """See `Places`."""
        if recipe.kind in READY or recipe.kind.startswith("ripresa."):
            return recipe.kind
        try:
            return self.thing(recipe.maker)
        except RipresaError as error:
            why = "what makes it stands at the top level of no module: give it a name there"
            raise _refused(recipe.kind, why) from error

    def server(self, server: Any) -> tuple[str, dict[str, Any]]:
        """See `Places`."""
        from ..steps.recipes import plain_config
        from ..steps.saying import server_said

        named, said = server_said(server)
        return named, plain_config(server.name, said)

    def workflow(self, workflow: Any, name: str) -> tuple[str, Any]:
        """See `Places`."""
        for registered, entry in self._entries.items():
            if _same(entry, workflow) and workflow.name in (entry.name, name):
                return registered, entry
        target, found = _declared(workflow.fn)
        if target and _same(found, workflow) and workflow.name in (found.name, name):
            return self._from(target), found
        raise _nameless(workflow.fn, workflow.name)

    def stream(self, node: Node[Any]) -> str:
        """See `Places`."""
        for module, name, value in _everything():
            if isinstance(value, Flow) and _is_stream_of(value, node):
                return self._from(place_of(module, name, value))  # pyright: ignore[reportUnknownArgumentType]
        raise _refused(node.name, "it is a stream that stands under no name of its own")


def _is_stream_of(flow: Any, node: Any) -> bool:
    mine, other = getattr(flow.node.code, "step", None), node.code.step
    if not isinstance(mine, Pumped) or not isinstance(other, Pumped):
        return False
    return all(getattr(mine.plan, name) == getattr(other.plan, name) for name in ("source", "stages", "sink", "room"))


def _same(one: Any, other: Any) -> TypeIs[Workflow[..., Any]]:
    """Whether two are one workflow, under any name, given its input in any way."""
    return isinstance(one, Workflow) and (one.fn, one.version, one.timeout) == (other.fn, other.version, other.timeout)


def _like(found: Any, step: Step[..., Any]) -> Step[..., Any]:
    if found.fn is not step.fn:
        raise _nameless(step.fn, step.name)
    same: Step[..., Any] = found
    return same


def _plain(step: Step[..., Any]) -> Step[..., Any]:
    """The step that a plain function is where it stands as a link."""
    from ..authoring.flow import as_links

    found: Any = as_links((step.fn,), "export")[0]
    return found  # type: ignore[no-any-return]


def _declared(thing: Any) -> tuple[str, Any]:
    """The target under which something says that it was made, and what stands there now."""
    module, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or "<" in name or module not in sys.modules:
        return "", None
    found: Any = sys.modules[module]
    for part in name.split("."):
        found = None if part.startswith("_") else getattr(found, part, None)
    return ("", None) if found is None else (place_of(module, name, found), found)


def _search(thing: Any) -> str:
    return next((place_of(module, name, value) for module, name, value in _everything() if value is thing), "")


def _everything() -> Iterator[tuple[str, str, Any]]:
    for module in own_modules(len(sys.modules)):
        for name, value in list(vars(sys.modules[module]).items()):
            if not name.startswith("_"):
                yield module, name, value


def _nameless(thing: Any, name: str) -> RipresaError:
    qualname = str(getattr(thing, "__qualname__", name))
    if str(getattr(thing, "__module__", "")).startswith("ripresa."):  # a step that is made here, such as an agent
        qualname = name
    what = "it stands at the top level of no module"
    if "<lambda>" in qualname:
        what = "a lambda has no name"
    elif qualname.startswith("_"):
        what = "names that begin with _ are nothing for documents"
    return _refused(qualname if "<" in qualname else name, f"{what}: give it a public name there")


def _refused(what: str, why: str) -> RipresaError:
    return RipresaError(f"{what!r} can stand in no document: {why}", code="not_exportable", op="export", where=what)
