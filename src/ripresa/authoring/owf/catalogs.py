"""Functions that are kept elsewhere: where those of catalogs stand, and how a run comes to the task that one is.

Law: the text of a function is fetched by a step of the run, so that the journal has it; a run goes by the text that it
was given, whatever stands there later. It is given no secrets and no part of `use`: it is the text of others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from ...errors import RipresaError
from ..document.source import Path
from ..step import Options, Step
from .composites import Function
from .jq import Object, Plain, Template
from .problems import Bad, fault
from .scope import Scope
from .tasks import Body, Composite, Document, Left, Names, Task, mentioned

if TYPE_CHECKING:
    from .going import Going
    from .reading import Place
    from .world import Performer

FILE: Final = "function.yaml"
_NAMED: Final = re.compile(r"(?P<name>[\w.-]+):(?P<version>[\w.+-]+)@(?P<catalog>[\w.-]+)")
_OF_GITHUB: Final = re.compile(r"https://github\.com/([^/?#]+)/([^/?#@]+)(?:/(?:tree|blob)/([^/?#@]+))?(/[^?#@]*)?")
_TAGGED: Final = re.compile(r"https://github\.com/([^/?#]+)/([^/?#@]+)(/[^?#@]*)?@([^/?#@]+)")
_OF_GITLAB: Final = re.compile(r"(https://gitlab\.com/[^?#]+?)/-/(?:tree|blob)/([^?#]+)")


def raw(url: str) -> str:
    """Where a machine finds what stands at a URL: the page of a file or folder of a repository becomes its content."""
    tagged = _TAGGED.fullmatch(url)
    if tagged is not None:
        owner, name, path, tag = tagged.groups()
        return f"https://raw.githubusercontent.com/{owner}/{name}/{tag}{(path or '').rstrip('/')}/{FILE}"
    found = _OF_GITHUB.fullmatch(url)
    if found is not None:
        owner, name, branch, path = found.groups()
        place = f"refs/heads/{branch}" if branch else "HEAD"
        return f"https://raw.githubusercontent.com/{owner}/{name}/{place}{(path or '').rstrip('/')}"
    return _OF_GITLAB.sub(r"\1/-/raw/\2", url)


def cataloged(root: str, name: str, version: str) -> str:
    """Where a function stands in the catalog at a URL."""
    return f"{raw(root.rstrip('/')).rstrip('/')}/functions/{name}/{version}/{FILE}"


def fetched(place: Place, name: str, arguments: Template) -> Body:
    """The call of a function that is kept elsewhere: by its URL, or `name:version@catalog`."""
    reader, path = place.reader, place.at("call")
    performer = reader.world.performers.get("function")
    if performer is None:
        reader.notes.add(path, "functions that are kept elsewhere are not available to this document", "not_available")
        return Body()
    if "://" in name:
        where: Template | None = Object({"uri": Plain(raw(name))})
    else:
        where = _of_catalog(place, name, path)
    if where is None:
        return Body()
    if name in reader.within:
        reader.notes.add(path, f"the function {name!r} calls itself", "cycle")
        return Body()
    found = Fetched(name, where, arguments, performer, reader.document, (*reader.within, name))
    _check(place, found)
    return found


def _check(place: Place, called: Fetched) -> None:
    """Note what is wrong with a function in a file, which is there to be looked at."""
    reader, path = place.reader, place.at("call")
    if called.where.expressions() or reader.world.file is None:
        return
    uri = str(called.where.value(None, str)["uri"])
    if not uri.startswith("file://"):
        return
    try:
        called.read(reader.world.file(uri), "-", place.reference)
    except Bad as bad:
        reader.notes.add(path, bad.detail, "unknown_step")
    except RipresaError as error:
        reader.notes.take(path, error)


def _of_catalog(place: Place, name: str, path: Path) -> Template | None:
    """The endpoint of a function of a catalog, None for what is none."""
    reader, found = place.reader, _NAMED.fullmatch(name)
    if found is None:
        reader.notes.add(path, f"{name!r} is no function of a catalog: that is name:version@catalog")
        return None
    catalog, known = found["catalog"], reader.object(reader.use.get("catalogs", {}), ("use", "catalogs"))
    if catalog == "default" and catalog not in known:
        return Object({"uri": Plain(f"file://functions/{found['name']}/{found['version']}/{FILE}")})
    if catalog not in known:
        reader.notes.add(path, f"there is no catalog {catalog!r} in use.catalogs", "unknown_step")
        return None
    root = catalog_of(place, known[catalog], ("use", "catalogs", catalog))
    return At(root, found["name"], found["version"])


def catalog_of(place: Place, data: Any, path: Path) -> Template:
    """The endpoint of a catalog."""
    from .calls import endpoint

    found = place.reader.object(data, path, ("endpoint",), "endpoint")
    return endpoint(place, found.get("endpoint", "-"), (*path, "endpoint"))


@dataclass(frozen=True, slots=True)
class At(Template):
    """The endpoint of a function in the catalog whose endpoint is `root`."""

    root: Template
    name: str
    version: str

    def value(self, data: Any, names: Any) -> Any:
        """See `Template`."""
        root: dict[str, Any] = self.root.value(data, names)
        return {**root, "uri": cataloged(str(root["uri"]), self.name, self.version)}

    def expressions(self) -> Any:
        """See `Template`."""
        return self.root.expressions()


@dataclass(frozen=True, eq=False)
class Fetched(Composite):
    """Calls a function that is kept elsewhere; `within` are the functions that it is called in, and itself."""

    name: str
    where: Template
    arguments: Template
    performer: Performer
    document: Document
    within: tuple[str, ...]
    kind = "function"
    _made: dict[str, Task] = field(default_factory=dict[str, Task])

    def templates(self) -> list[Template]:
        """See `Body`."""
        return [self.arguments]

    def enter(self, data: Any, scope: Scope) -> dict[str, Any]:
        """See `Composite`."""
        return {"arguments": self.arguments.value(data, scope)}

    async def go(self, going: Going, task: Task, entered: Mapping[str, Any], names: Names) -> Left:
        """See `Composite`."""
        text = going.functions.get(self.name)
        if text is None:
            about = going.about(mentioned(self.where), names)
            found = await going.called(self._fetching(task), entered["input"], about, task.reference)
            text = going.functions[self.name] = str(found["text"])
        inner = Function(self.arguments, self._task(text, task))
        return await inner.go(going, task, entered, names)

    def _fetching(self, task: Task) -> Step[..., Any]:
        """The step that fetches its text."""

        async def fetched(value: Any, about: dict[str, Any]) -> Any:
            try:
                place = {"endpoint": self.where.value(value, task.scope(about, value))}
                text = await self.performer(place, value)
            except Bad as bad:
                raise bad.at(task.reference) from bad.__cause__
            digest = f"sha256:{sha256(text.encode()).hexdigest()}"
            return {"from": place["endpoint"]["uri"].partition("?")[0], "digest": digest, "text": text}

        return Step[..., Any](fetched, Options(f"{task.label}.function", effect="read"))

    def _task(self, text: str, task: Task) -> Task:
        """The task that a text is. Raises `TaskFault` of the type `configuration` for one that is none."""
        made = self._made.get(text)
        if made is None:
            try:
                made = self._made[text] = self.read(text, task.name, task.reference)
            except RipresaError as error:
                raise fault("configuration", task.reference, str(error)) from error
        return made

    def read(self, text: str, name: str, reference: str) -> Task:
        """The task that a text is. Raises `InvalidWorkflow` with all that is wrong with it."""
        from ..document.text import document_of
        from .reading import Reader

        source = document_of(text, self.name)
        world = self.document.world.abroad or self.document.world
        reader = Reader(source, world, Document(self.document.data, world), self.within)
        task = reader.task(name, source.data, (), reference, frozenset())
        reader.notes.settle(self.name)
        return task
