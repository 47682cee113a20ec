"""From a document to a flow: every part is checked, and everything that is wrong is reported together.

Law: what a document says becomes calls of the same functions that people write chains and graphs with, so that both
give the same nodes. Where a part is wrong, a hole stands in its place, and the rest is still looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from functools import partial
from inspect import isclass
from typing import Any, TypeVar, cast

from ...core.names import check_name
from ...errors import InvalidConfig, RipresaError
from ...foreign import adopted
from ..chain import Chain
from ..check import walk
from ..choice import branch
from ..flow import Runnable, as_links
from ..function import Workflow
from ..options import bad_link
from ..parameters import Parameters
from ..place import distinct
from ..step import Options, Step
from . import graphs, kinds, settings
from .annotations import kind_of
from .around import answering, asked
from .cel import Expression, Use, has_expressions, parts_of
from .config import wrong_keys, wrong_values
from .flow import DocumentFlow, as_whole, built_as, is_flow, is_step, passing
from .library import Equipped, Maker, Shelf
from .near import meant, nearest
from .predicates import Predicates
from .recipe import Recipe
from .servers import Declared, as_named, bounded, declared_by, is_of_server, knowledge_named, offered, used
from .shapes import ATTEMPTS, IN_GRAPHS, KINDS, ROOT, STEP, Key, complaint
from .source import DEEPEST, BadExpression, Document, Notes, Path, is_list, is_object, too_deep

T = TypeVar("T")


def flow_of(document: Document, shelf: Callable[[Mapping[str, str]], Shelf]) -> DocumentFlow:
    """The flow that a document is; `shelf` makes what it may name, with the types that it brings along.

    Raises `InvalidWorkflow` with everything that is wrong with it.
    """
    loader = Loader(document, shelf)
    flow = loader.root()
    loader.notes.settle(document.name or "document")
    assert flow is not None
    return flow


class Config:
    """The keys of one part of a document, checked; those that are wrong are as if they were not there."""

    def __init__(self, data: Mapping[str, Any], path: Path, fine: set[str]) -> None:
        self._data = data
        self._fine = fine
        self.path = path

    def get(self, name: str, default: Any = None) -> Any:
        """What stands under a key."""
        return self._data[name] if name in self._fine else default

    def at(self, name: str) -> Path:
        """The path of a key."""
        return (*self.path, name)

    def options(self, *names: str) -> dict[str, Any]:
        """Those of these keys that are there, as keyword arguments."""
        return {name: self._data[name] for name in names if name in self._fine}

    def __contains__(self, name: object) -> bool:
        return name in self._fine


class Loader:
    """Reads one document."""

    def __init__(self, document: Document, shelf: Callable[[Mapping[str, str]], Shelf]) -> None:
        self.notes = Notes(document)
        self.document = document
        self._make_shelf = shelf
        self.shelf = shelf({})
        self.state: Any = None
        self.own_state: Any = None
        """That of the step which is being made, until it is taken."""
        self.servers: dict[str, Declared] = {}
        self.knowledge: dict[str, Declared] = {}
        self.predicates = Predicates(self)
        self._places: dict[str, Path] = {}
        """Where the steps of its own list stand."""
        self.names: set[str] = set()
        self.known: list[Any] = []
        """What the document has made or named so far."""

    # --- the whole

    def root(self) -> DocumentFlow | None:
        """The flow, None if something is wrong."""
        data = self.document.data
        if not is_object(data):
            given = "is empty" if data is None else f"is {data!r}"
            self.notes.add((), f"{given}, must be an object with id and steps")
            return None
        deep = too_deep(data)
        if deep is not None:
            self.notes.add(deep, f"is nested more than {DEEPEST} deep, or holds itself")
            return None
        config = self.config(data, ROOT, ())
        self._take_types(config)
        self.servers, self.knowledge = (declared_by(self, config, what) for what in ("servers", "knowledge"))
        name = self._name(config)
        terms = settings.terms_of(self, config)
        self.state = settings.state_of(self, config)
        body = self._body(config, name, terms.given)
        if self.state is None and "state" in config:  # what is wrong with it is told, and no more
            self.notes.forget("no_state")
        if self.notes.problems:
            self.predicates.check_names(self._names())
            return None
        version = config.get("version", "1")
        if "updates" in config:  # the handlers share the state of the flow
            body = answering(self, body if is_flow(body) else as_whole(body), config)
        make = partial(DocumentFlow, partial(built_as, body), terms, name=name, version=version)
        flow = self.tried((), make, self._places)
        if flow is not None:
            flow = asked(self, flow, config)
            self.predicates.check(flow)
        return flow

    def _names(self) -> set[str]:
        """The names of all steps, as far as they can be known where something is wrong."""
        names = set(self.names)
        for link in self.known:
            names.add(link.name)
            if isinstance(link, Runnable):
                names |= {node.name for node in walk(link.node)}
        return names

    def _take_types(self, config: Config) -> None:
        types = config.get("types", {})
        for name, target in types.items():
            wrong = check_name(name, "the name of a type")
            if name in KINDS:
                wrong = f"{name!r} is a kind of step of Ripresa's own"
            if wrong or not isinstance(target, str):
                self.notes.add((*config.at("types"), name), wrong or f"is {target!r}, must be a target")
        self.shelf = self._make_shelf({name: target for name, target in types.items() if isinstance(target, str)})

    def _name(self, config: Config) -> str:
        name = config.get("id", "document")
        wrong = check_name(name, "id")
        if wrong:
            self.notes.add(config.at("id"), wrong)
        return "document" if wrong else str(name)

    def _body(self, config: Config, name: str, given: Any) -> Any:
        if ("steps" in config) == ("type" in config):
            if not {nearest(key, ROOT) for key in self.document.data if key not in ROOT} & {"steps", "type"}:
                self.notes.add((), "must have either steps or a type")
            return self.hole(name)
        shape = graphs.Shape(name, config.get("version", "1"), given, **config.options("concurrency", "keep_going"))
        shape.conflicts = config.get("conflicts", "error")
        shape.state = self.state
        if "steps" in config:
            return self.listed(graphs.items_of(config.get("steps"), config.at("steps")), shape, config)
        kind = config.get("type")
        whole = {"type": kind, "id": name, **config.options("config")}
        if kind == "graph":
            options = self.config(config.get("config", {}), KINDS["graph"], config.at("config"))
            shape.concurrency, shape.keep_going = options.get("concurrency"), options.get("keep_going", False)
            if "input" in options:
                shape.given = self.type(options.get("input"), options.at("input"))
            return self.tried((), lambda: graphs.by_needs(self, options, shape)) or self.hole(name)
        made = self.step(whole, ())
        return made if self.state is None or is_step(made) else made.with_state(self.state.kind)

    def listed(self, items: list[graphs.Placed], shape: graphs.Shape, config: Config) -> Any:
        """A list of steps: a chain, or a graph if there are needs or values to be made of others."""
        self.check_ids(items)
        if any("needs" in item.data or item.data.get("type") in IN_GRAPHS for item in items):
            return self.tried(config.path, lambda: graphs.by_needs(self, config, shape, items)) or self.hole(shape.name)
        if "returns" in config or any(map(self._is_computed, items)):
            return self.tried(config.path, lambda: graphs.in_order(self, config, shape, items)) or self.hole(shape.name)
        links = tuple(self._conditional(item) for item in items)
        places = dict(zip(distinct(link.name for link in links), (item.path for item in items), strict=True))
        self._places |= {} if config.path else places
        make = partial(Chain[Any, Any], links, name=shape.name, version=shape.version)
        chained = self.tried(config.path, make, places)
        if chained is None or shape.state is None:
            return chained or self.hole(shape.name)
        return chained.with_state(shape.state.kind, conflicts=shape.conflicts)

    def check_ids(self, items: list[graphs.Placed]) -> None:
        """Note every id that stands at two steps of a list."""
        seen: dict[str, graphs.Placed] = {}
        for item in items:
            name = item.data.get("id")
            if not isinstance(name, str):
                continue
            base, number = named_again(name)
            before = sum(named_again(other)[0] == base for other in seen)
            if seen.setdefault(name, item) is not item:
                self.notes.add((*item.path, "id"), f"there are two steps {name!r}", code="duplicate_name")
            elif number and before != number - 1:
                message = f"is {name!r}, but {before} steps of that name stand before it"
                self.notes.add((*item.path, "id"), message, code="duplicate_name")

    def _is_computed(self, item: graphs.Placed) -> bool:
        """Whether what it is given is made of more than what the one before returned."""
        if "with" in item.data or self.arguments_of(item) or self.is_maker(item.data.get("type")):
            return True
        return any(use.root in ("input", "steps") for key in ("when", "unless") for use in uses_in(item.data.get(key)))

    def arguments_of(self, item: graphs.Placed) -> Mapping[str, Any]:
        """The named arguments of a step, as they stand there."""
        kind, given = item.data.get("type"), item.data.get("config")
        if not isinstance(kind, str) or not is_object(given):
            return {}
        if kind == "call":
            found: Any = given.get("arguments")
            return found if is_object(found) else {}
        made = self._type(kind)
        if kind in KINDS or _makes(made):
            return {}
        keys = self.keys_of(kind)
        return {name: value for name, value in given.items() if name not in keys}

    def keys_of(self, kind: object) -> tuple[str, ...]:
        """The keys in the config of a registered type that are no arguments of its step."""
        made = self._type(kind)
        return made.keys if isinstance(made, Equipped) else ()

    def is_maker(self, kind: object) -> bool:
        """Whether a registered type makes its step of its config."""
        return _makes(self._type(kind))

    def _type(self, kind: object) -> Any:
        """What a registered type is; None if there is none, or it is a kind of Ripresa's own."""
        if not isinstance(kind, str) or kind in KINDS:
            return None
        try:
            return self.shelf.find(kind)
        except RipresaError:
            return None

    def _conditional(self, item: graphs.Placed) -> Any:
        link = self.link(item.data if item.plain is None else item.plain, item.path, listed=True)
        for key in ("when", "unless"):
            if key not in item.data:
                continue
            predicate = self.predicates.condition(item.data[key], (*item.path, key))
            arms = (link, passing()) if key == "when" else (passing(), link)
            link = self.tried(item.path, partial(branch, predicate, *arms, name=link.name)) or self.hole(link.name)
        return link

    # --- parts

    def config(self, data: Mapping[str, Any], keys: Mapping[str, Key], path: Path) -> Config:
        """The keys of a part; notes those that are unknown, missing or wrong."""
        fine: set[str] = set()
        meant_by: set[str | None] = set()
        for name, value in data.items():
            key = keys.get(name)
            if key is None:
                meant_by.add(nearest(name, keys))
                self.notes.add((*path, name), f"is no key here; {meant(name, keys)}", key=True)
            elif value is None and key.sort != "any":
                continue
            elif wrong := complaint(key, value):
                self.notes.add((*path, name), wrong)
            else:
                fine.add(name)
        for name, key in keys.items():
            if key.required and data.get(name) is None and name not in meant_by:
                self.notes.add(path, f"lacks {name}: {key.about}")
        return Config(data, path, fine)

    def tried(self, path: Path, make: Callable[[], T], places: Mapping[str, Path] = {}) -> T | None:
        """What a function makes; notes at a path, or that of the step which it is about, what it raises."""
        try:
            return make()
        except BadExpression as error:
            self.notes.add(path, error.message, error.code, within=error.within)
        except RipresaError as error:
            self.notes.take(path, error, places)
        return None

    def keyed(self, path: Path, keys: Collection[str], make: Callable[[], T]) -> T | None:
        """What a function makes of options that stand under these keys at a path; notes each that it refuses."""
        try:
            return make()
        except InvalidConfig as error:
            self.notes.take_keyed(path, error, keys)
        return None

    def hole(self, name: str) -> Any:
        """What stands in the place of what is wrong."""
        self.names |= {name, name.rpartition(":")[2]}
        return Step[..., Any](_nothing, Options(name="hole" if check_name(name, "") else name))

    def link(self, data: Any, path: Path, *, listed: bool = False, in_graph: bool = False) -> Any:
        """A step, flow or workflow: a target, a step, or a list of steps.

        `listed`: it stands in a list, which looks to what it is given; `in_graph`: which gives it its name, too.
        """
        if isinstance(data, str):
            if KINDS.get(data) == {}:  # a kind that needs no more than its name
                return self.step({"type": data}, path, in_graph=in_graph)
            return self._named(self.target(data, path), path, data)
        if is_list(data):
            shape = graphs.Shape("steps")
            return self.listed(graphs.items_of(data, path), shape, Config({}, path, set()))
        item = graphs.Placed(data if is_object(data) else {}, path)
        if not listed and (self._is_computed(item) or "when" in item.data or "unless" in item.data):
            name = str(item.data.get("id") or item.data.get("type"))
            shape = graphs.Shape(name)
            return self.listed([item], shape, Config({}, path, set()))
        return self.step(data, path, in_graph=in_graph)

    def links(self, data: list[Any], path: Path) -> list[Any]:
        """Several of them; no two of one name."""
        self.check_ids(graphs.items_of(data, path))
        return [self.link(part, (*path, index)) for index, part in enumerate(data)]

    def step(self, data: Any, path: Path, *, in_graph: bool = False) -> Any:
        """One step as it stands there, without what it is given."""
        if not is_object(data):
            self.notes.add(path, f"is {data!r}, must be {STEP_WORDS}")
            return self.hole("hole")
        item = self.config(data, STEP, path)
        kind, name = item.get("type"), item.get("id")
        name = None if name is None else named_again(name)[0]
        wrong = None if name is None else check_name(name, "id")
        if wrong:
            self.notes.add(item.at("id"), wrong)
        if kind is None or wrong:
            return self.hole(str(name or "hole"))
        given = None if in_graph and "#" not in item.get("id", "") else name
        make = partial(self.tried, path, lambda: self._made(kind, given, item))
        made = make() if "state" not in item else settings.with_state(self, item, make)
        if made is None:
            return self.hole(str(name or kind))
        made = settings.dressed(self, made, item)
        self.known.append(made)
        return made

    def _made(self, kind: str, name: str | None, item: Config) -> Any:
        given: Mapping[str, Any] = item.get("config", {})
        path = item.at("config")
        if kind in IN_GRAPHS:
            self.notes.add(item.path, f"{kind} stands in graphs only: in a list with needs")
            return None
        if kind in KINDS:
            before = len(self.notes.problems)
            config = self.config(given, KINDS[kind], path if "config" in item else item.path)
            incomplete = any(key.required and key_name not in config for key_name, key in KINDS[kind].items())
            made = None if incomplete else kinds.MAKERS[kind](self, config, name)
            if made is None and len(self.notes.problems) == before:  # pragma: no cover - a maker that says nothing
                self.notes.add(item.path, f"{kind} cannot be made")
            return made
        found = self.target(kind, item.at("type"))
        if found is None:
            return None
        if _makes(found):
            return self._instance(found, given, Called.of(kind, found, name), path)
        if isinstance(found, Equipped):
            keys = {key: value for key, value in given.items() if key in found.keys and value is not None}
            found = self._instance(found.equip, keys, Called(kind, kind, kind, found), path) if keys else found.plain
            if found is None:
                return None
        return self.renamed(self._named(found, item.at("type"), kind), name or (None if ":" in kind else kind))

    def made_of(self, data: Mapping[str, Any], path: Path, name: str | None = None) -> Any:
        """The step that a type makes of its config, where it is what a call calls, or a tool."""
        made = self.config(data, MADE, path)
        kind: str = made.get("type", "made")
        found = self.target(kind, made.at("type")) if "type" in made else None
        given = made.get("config", {})
        maker = found.equip if isinstance(found, Equipped) else found
        if maker is not None and not _makes(maker):
            self.notes.add(path, f"{kind} makes no step of a config: name it alone", code="invalid_config")
            maker = None
        if maker is None:
            return self.hole(kind)
        is_equipped = isinstance(found, Equipped)
        called = Called(kind, kind, name or kind, found) if is_equipped else Called.of(kind, maker, name)
        return self._instance(maker, given, called, made.at("config")) or self.hole(kind)

    def _instance(self, maker: Any, given: Mapping[str, Any], called: Called, path: Path) -> Any:
        """The step that a class or a maker makes of its config."""
        links = maker.links if isinstance(maker, Maker) else ()
        if has_expressions({key: value for key, value in given.items() if key not in links}):
            self.notes.add(path, f"{called.label} is made when the document is read: no expressions here")
            return None
        bad = self._bad_keys(maker, given, path) if isinstance(maker, Maker) else set[str]()
        given = {key: value for key, value in given.items() if key not in bad}
        resolved, unresolved = self._resolved(maker, given, path) if isinstance(maker, Maker) else (given, set[str]())
        bad |= unresolved
        takes = Parameters(maker.make if isinstance(maker, Maker) else maker)
        if bad & {"", *takes.required}:
            return None
        made = self._made_by(maker, resolved, called, path, fine=not bad)
        if made is None or bad:
            return None
        make = partial(_step_of, maker, _with_name(maker, resolved, called.name), called.label)
        if bad_link(made, 0) or isclass(made):
            self.notes.add(path, f"{called.label} made {made!r}, which is no step or flow", code="invalid_config")
            return None
        made = as_links((made,), "document")[0]
        if isinstance(made, Step | Workflow):
            made = copy(cast("Any", made))  # it may stand elsewhere, too
            made.recipe = self._recipe(maker, given, resolved, make, called)
        return self.renamed(made, called.name)

    def _recipe(self, maker: Any, given: Any, resolved: Any, make: Callable[[], Any], called: Called) -> Recipe:
        """How a document says the step again that was made of this config."""
        if not isinstance(maker, Maker):
            return Recipe(called.kind, make, dict(given).copy, maker=called.maker)
        types = {key: resolved[key] for key in maker.types if key in given}
        steps = {key: as_named(self, given[key], resolved[key]) for key in maker.steps if key in given}
        links = {key: resolved[key] for key in maker.links if key in given}
        things = {key: resolved[key] for key in maker.functions if key in given}
        plain = {key: value for key, value in given.items() if key not in (*types, *steps, *links, *things)}
        servers, knowledge = (used(self, maker, given, what) for what in ("servers", "knowledge"))
        return Recipe(called.kind, make, plain.copy, types, steps, called.maker, servers, knowledge, links, things)

    def _resolved(self, maker: Maker, given: Mapping[str, Any], path: Path) -> tuple[dict[str, Any], set[str]]:
        """A config with the steps and types that it names, and the keys, which are noted, that name none."""
        finds: dict[str, Callable[[Any, Path], Any]] = {
            **dict.fromkeys(maker.types, lambda value, at: self.type(value, at) if isinstance(value, str) else value),
            **dict.fromkeys(maker.steps, self._steps_in),
            **dict.fromkeys(maker.servers, lambda value, at: self._declared(bounded, value, at)),
            **dict.fromkeys(maker.knowledge, lambda value, at: self._declared(knowledge_named, value, at)),
            **dict.fromkeys(maker.links, self._linked),
            **dict.fromkeys(maker.functions, lambda value, at: self.function(str(value), at)),
        }
        found, bad = dict(given), set[str]()
        for name in finds.keys() & given.keys():
            before = len(self.notes.problems)
            found[name] = finds[name](given[name], (*path, name))
            lacks = found[name] is None or (name in maker.steps and None in found[name])
            if len(self.notes.problems) > before or (lacks and given[name] is not None):
                bad.add(name)
        return {name: value for name, value in found.items() if name not in bad}, bad

    def _declared(self, find: Callable[[Loader, str, Path], Any], value: Any, path: Path) -> Any:
        """What the document declares under a name; anything else is what it is."""
        return find(self, value, path) if isinstance(value, str) else value

    def _linked(self, data: Any, path: Path) -> Any:
        """A link, or a list of links."""
        if not is_list(data):
            return self._member(data, path)
        self.check_ids(graphs.items_of(data, path))
        return [self._member(part, (*path, index)) for index, part in enumerate(data)]

    def _member(self, data: Any, path: Path) -> Any:
        """A link that stays what its type makes, as an agent that knows who else is in a team."""
        plain = is_object(data) and self.is_maker(data.get("type")) and not {"with", "when", "unless"} & set(data)
        return self.link(data, path, listed=plain)

    def _steps_in(self, data: Any, path: Path) -> list[Any]:
        """The steps that a list names."""
        if not is_list(data) or not all(isinstance(part, str) or is_object(part) for part in data):
            self.notes.add(path, f"is {data!r}, must be a list of targets")
            return []
        return [self._step_in(part, (*path, index)) for index, part in enumerate(data)]

    def _step_in(self, part: Any, path: Path) -> Any:
        """A step that is named, or a server with tools; an object is for what it is given to."""
        if is_object(part):
            return self._made_tool(part, path) if "type" in part else part
        if is_of_server(self, part) or (self._type(part) is None and nearest(part, self.servers)):
            return offered(self, part, path)
        link = self._named(self.tried(path, lambda: self.shelf.find(part, "tool")), path, part)
        if not is_step(link):
            self.notes.add(path, f"{part} is {link!r}, which is no step", code="invalid_config")
        return link

    def _made_tool(self, part: Mapping[str, Any], path: Path) -> Any:
        """A tool that a type makes of its config, or one that is called, with options of its own."""
        item = self.config(part, TOOL, path)
        if item.get("type") == "call":
            made = self.step(part, path)
        else:
            made = self.made_of({key: part[key] for key in MADE if key in part}, path, item.get("id"))
            made = settings.dressed(self, made, item) if is_step(made) else made
        if not is_step(made):
            self.notes.add(path, f"{item.get('type')} makes {made!r}, which is no step", code="invalid_config")
        return made

    def _bad_keys(self, maker: Maker, given: Mapping[str, Any], path: Path) -> set[str]:
        """The keys of a config that a maker does not take; an empty one if it lacks some. All are noted."""
        unknown, values = [*wrong_keys(maker.make, given)], [*wrong_values(maker.make, given)]
        meant_by = {nearest(name, Parameters(maker.make).names) for name, _ in unknown if name}
        for name, message in unknown:
            if name or message.removeprefix("lacks ") not in meant_by:
                self.notes.add((*path, name) if name else path, message, code="invalid_config", key=True)
        for name, message in values:
            self.notes.add((*path, name), message, code="invalid_config")
        return {name for name, _ in (*unknown, *values)}

    def _made_by(self, maker: Any, given: Mapping[str, Any], called: Called, path: Path, *, fine: bool) -> Any:
        """What a maker makes; None, and notes, if it refuses something: then it is asked again without that.

        What it says the second time, or where the config is not `fine`, counts only if it is about a key.
        """
        required = Parameters(maker.make if isinstance(maker, Maker) else maker).required
        while True:
            try:
                made = _step_of(maker, _with_name(maker, dict(given), called.name), called.label)
            except InvalidConfig as error:
                bad = self.notes.take_keyed(path, error, given.keys(), keyed=not fine)
                if not bad or bad & {*required}:
                    return None
                given, fine = {key: value for key, value in given.items() if key not in bad}, False
            except (TypeError, ValueError, AttributeError) as error:
                if fine:
                    self.notes.add(path, f"{called.label}: {error}", code="invalid_config")
                return None
            else:
                return made if fine else None

    def renamed(self, link: Any, name: str | None) -> Any:
        """A link under the name that the document gives it."""
        if name is None or link.name == name:
            return link
        return link.with_(name=name) if is_step(link) else link.named(name)

    # --- what is named

    def target(self, name: str, path: Path) -> Any:
        """What a registered name or a target leads to; None, and a note, if that is nothing."""
        return self.tried(path, lambda: self.shelf.find(name))

    def _named(self, found: Any, path: Path, name: str) -> Any:
        """Something that was found by a name as a link."""
        if found is None:
            return self.hole(name)
        if isinstance(found, Equipped):
            found = found.plain
        adapted = self.tried(path, lambda: adopted(found))
        if adapted is None:
            return self.hole(name)
        wrong = bad_link(adapted, 0)
        if wrong or isclass(found):
            self.notes.add(path, f"{name} is {found!r}, which is no step, flow or workflow", code="invalid_config")
            return self.hole(name)
        self.known.append(link := as_links((adapted,), "document")[0])
        return link

    def callee(self, name: str, path: Path) -> Any:
        """The step, flow or workflow of this name."""
        return self._named(self.target(name, path), path, name)

    def function(self, name: str, path: Path) -> Any:
        """The plain function of this name; None, and a note, if there is none."""
        found = self.target(name, path)
        if found is not None and not callable(found):
            self.notes.add(path, f"{name} is {found!r}, which is no function", code="invalid_config")
            return None
        return found

    def thing(self, name: str, path: Path) -> Any:
        """An object of your own, of any kind; None, and a note, if there is none."""
        return self.tried(path, lambda: self.shelf.find_type(name))

    def type(self, text: str, path: Path) -> Any:
        """The type that a text names; None, and a note, if there is none."""
        return self.tried(path, lambda: kind_of(text, self.shelf.find_type))


STEP_WORDS = "a step (an object with type), a list of steps, or the target of one"


@dataclass(frozen=True, slots=True)
class Called:
    """What a step is called that is made of a config: by its type, in what is said of it, in paths; what makes it."""

    kind: str
    label: str
    name: str | None
    maker: object

    @classmethod
    def of(cls, kind: str, maker: Any, name: str | None) -> Called:
        """As a class or a maker is called."""
        label = str(getattr(maker, "__name__", kind)) if ":" in kind else kind
        return cls(kind, label, name or label, maker)


MADE = {"type": STEP["type"], "config": STEP["config"]}
"""What stands where a call calls a step that is made of a config."""

TOOL = {name: STEP[name] for name in ("id", "type", "config", "description", "hooks", *ATTEMPTS)}
"""What stands where a tool is made of a config, or called with options of its own."""


def _with_name(maker: Any, given: dict[str, Any], name: str | None) -> dict[str, Any]:
    """A config with the name of the step, where the maker takes that."""
    takes = isinstance(maker, Maker) and name is not None and "name" not in given
    return {**given, "name": name} if takes and "name" in Parameters(maker.make).names else given


def _step_of(maker: Any, given: Mapping[str, Any], label: str) -> Any:
    return maker.make(**given) if isinstance(maker, Maker) else Step[..., Any](maker(**given), Options(name=label))


def _makes(found: object) -> bool:
    """Whether something makes a step of a config."""
    return isinstance(found, Maker) or (isclass(found) and not issubclass(found, Runnable))


def _nothing(*_: Any, **__: Any) -> Any:
    """Stands for a step that is wrong; it is never run."""


def named_again(name: str) -> tuple[str, int]:
    """What an id such as `fetch#2` says: the name, and its number among the steps of that name (0: the first)."""
    base, mark, number = name.partition("#")
    return (base, int(number)) if mark and number.isdecimal() and int(number) > 1 else (name, 0)


def uses_in(data: Any) -> Iterator[Use]:
    """What the expressions in plain data look at, as far as they can be understood."""
    if isinstance(data, str):
        try:
            parts = parts_of(data)
        except RipresaError:
            return
        for part in parts:
            if isinstance(part, Expression):
                yield from part.uses
    elif is_object(data):
        for value in data.values():
            yield from uses_in(value)
    elif is_list(data):
        for value in data:
            yield from uses_in(value)
