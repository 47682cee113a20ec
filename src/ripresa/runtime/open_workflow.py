"""Open Workflow documents become flows that can be run; other documents that they run are found beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from ..authoring.document.flow import DocumentFlow
from ..authoring.document.library import DOCUMENTS
from ..authoring.document.source import Document
from ..authoring.document.text import document_of
from ..authoring.owf.reading import is_open_workflow
from ..authoring.owf.workflow import open_workflow_of
from ..authoring.owf.world import World
from ..errors import RipresaError
from ..steps.open_workflow import Surroundings, key_of, world_of

LATEST = "latest"
PROGRAMS = ("shell", "script", "mcp-stdio")
"""What starts programs."""


def open_workflow(document: Document, folder: Path, given: Surroundings | None, *, free: bool) -> DocumentFlow:
    """The workflow of a document in this folder.

    If it is not `free` it runs no programs, calls nothing private, and is given no secrets.
    """
    surroundings = given or Surroundings()
    if not free:
        surroundings = replace(surroundings, allow=(), stand_ins={}, secret=_no_secret)
    beside = Beside(folder, surroundings, free)
    return open_workflow_of(document, beside.world)


class Beside:
    """The documents of a folder, and those that were handed in."""

    def __init__(self, folder: Path, surroundings: Surroundings, free: bool) -> None:
        self._folder = folder
        self._surroundings = surroundings
        world = world_of(surroundings, self.find, folder if free else None)
        if not free:
            world = replace(_without_programs(world), abroad=world.abroad and _without_programs(world.abroad))
        self.world = world

    def find(self, namespace: str, name: str, version: str) -> Callable[[], Any] | None:
        """What loads the document of this name when it is run; None if there is none."""
        found: dict[tuple[int, ...], tuple[Document, str]] = {}
        for document, target in self._all():
            key = key_of(document.data)
            if key[:2] == (namespace, name) and version in (key[2], LATEST):
                found.setdefault(_order(key[2]), (document, target))
        return cache(partial(self._loaded, *found[max(found)])) if found else None

    def _loaded(self, document: Document, target: str) -> DocumentFlow:
        flow = open_workflow_of(document, self.world)
        flow.__dict__["_target"] = target
        return flow

    def _all(self) -> Iterator[tuple[Document, str]]:
        for data in self._surroundings.workflows:
            yield Document(dict(data)), ""
        for path in sorted(self._folder.iterdir()):
            if path.suffix in DOCUMENTS and path.is_file():
                document = _readable(path)
                if document is not None and is_open_workflow(document.data):
                    yield document, str(path)


def _without_programs(world: World) -> World:
    kept = {name: each for name, each in world.performers.items() if name not in PROGRAMS}
    return replace(world, performers=kept)


def _no_secret(name: str) -> Any:
    raise RipresaError(f"the secret {name!r} is nothing for this document", code="secret_missing", op="secret")


def _readable(path: Path) -> Document | None:
    """The document in a file beside; None if it is none, which is the matter of who runs it."""
    try:
        return document_of(path.read_text(encoding="utf-8"), path.name)
    except (OSError, UnicodeDecodeError, RipresaError):
        return None


def _order(version: str) -> tuple[int, ...]:
    """By which of two versions is later."""
    return tuple(int(part) if part.isdigit() else 0 for part in version.partition("-")[0].split("."))
