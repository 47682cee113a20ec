"""From a document to its tasks: every part is checked, and everything that is wrong is reported together."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, Final

from ...errors import RipresaError
from ..document.source import BadExpression, Notes, Path, is_list, is_object
from ..document.source import Document as Source
from .durations import Length, length_of
from .extensions import extended, without
from .going import Plan
from .jq import Compiler, Plain, Template
from .schedules import check_schedule
from .schemas import Schema, schema_of
from .scope import ENTERING, EXPORTING, WORKFLOW, WORKING
from .tasks import CONTINUE, DIRECTIVES, Block, Body, DataFlow, Document, Task
from .world import World

TOP: Final = ("document", "input", "use", "do", "timeout", "output", "schedule", "evaluate", "metadata")
ABOUT: Final = ("dsl", "namespace", "name", "version", "title", "summary", "tags", "metadata")
USE: Final = (
    "authentications", "errors", "extensions", "functions", "retries", "secrets", "timeouts", "catalogs",
)  # fmt: skip
OF_ALL: Final = ("if", "input", "output", "export", "timeout", "then", "metadata")
"""What every task may have."""


def is_open_workflow(data: object) -> bool:
    """Whether plain data is a document of the specification: it says so at its head."""
    head = data.get("document") if is_object(data) else None
    return is_object(head) and "dsl" in head


def plan_of(source: Source, world: World) -> Plan:
    """The tasks of a document. Raises `InvalidWorkflow` with everything that is wrong with it."""
    reader = Reader(source, world)
    plan = reader.plan()
    reader.notes.settle(source.name or "document")
    return plan


class Reader:
    """Reads one document; or the text of a function of `document`, which is called in the functions `within`."""

    def __init__(
        self, source: Source, world: World, document: Document | None = None, within: tuple[str, ...] = ()
    ) -> None:
        self.notes = Notes(source)
        self.source = source
        self.world = world
        self.use: Mapping[str, Any] = {}
        self.loose = False
        self.document = document or Document(source.data, world)
        self.within = within
        self._functions: list[str] = []
        self._used: set[tuple[str, str]] = set()
        self._stands_for: Task | None = None

    # --- the whole

    def plan(self) -> Plan:
        """The whole document."""
        from .reuse import check_unused

        data: Mapping[str, Any] = self.source.data
        self.keys(data, (), TOP, "do")
        self._free(data, (), "metadata")
        self._about(data["document"])
        self.use = self.object(data.get("use", {}), ("use",), USE)
        self._evaluate(data.get("evaluate", {}))
        secrets = self.use.get("secrets", [])
        if not is_list(secrets) or not all(isinstance(each, str) for each in secrets):
            self.notes.add(("use", "secrets"), "must be a list of names")
            secrets = []
        self.document = Document(data, self.world, tuple(secrets))
        plan = Plan(
            self.document,
            self.block(data.get("do", []), ("do",), "/do", frozenset()),
            self._flow_of_all(data),
            self.timeout(data.get("timeout"), ("timeout",), WORKFLOW),
            self._start(data.get("schedule", {})),
        )
        check_unused(self)
        return plan

    def unused(self, kind: str) -> list[str]:
        """The names of what stands in a part of `use` and was not looked up."""
        listed = self.object(self.use.get(kind, {}), ("use", kind))
        return [name for name in listed if (kind, name) not in self._used]

    def _start(self, data: Any) -> Task | None:
        """What listens for the events that a document is started by, if it is."""
        from .kinds import strategy_of
        from .listening import Listen

        found = self.object(data, ("schedule",), ("every", "cron", "after", "on", "read"))
        check_schedule(self, found)
        if "on" not in found:
            if "read" in found:
                self.notes.add(("schedule", "read"), "says how events of on are read, and there is no on", key=True)
            return None
        place = Place(self, found, ("schedule",), "/schedule", frozenset())
        read = self.choice(found.get("read", "envelope"), ("schedule", "read"), ("envelope", "data", "raw"))
        listening = Listen(strategy_of(place, found["on"], ("schedule", "on")), read)
        return Task("schedule", "/schedule/on", found, self.document, listening)

    def _about(self, head: Mapping[str, Any]) -> None:
        self.keys(head, ("document",), ABOUT, "dsl", "namespace", "name", "version")
        for name in ("dsl", "namespace", "name", "version"):
            if not isinstance(head.get(name, ""), str) or head.get(name) == "":
                self.notes.add(("document", name), f"is {head.get(name)!r}, must be a text")
        self._free(head, ("document",), "tags", "metadata")
        if not str(head.get("dsl", "1.0")).startswith("1."):
            self.notes.add(("document", "dsl"), f"is {head['dsl']!r}; version 1 of the language is known here")

    def _evaluate(self, data: Any) -> None:
        found = self.object(data, ("evaluate",), ("language", "mode"))
        if found.get("language", "jq") != "jq":
            why = f"is {found['language']!r}; expressions are in jq"
            self.notes.add(("evaluate", "language"), why, "not_available")
        if found.get("mode", "strict") not in ("strict", "loose"):
            self.notes.add(("evaluate", "mode"), f"is {found['mode']!r}, must be strict or loose")
        self.loose = found.get("mode") == "loose"

    def _flow_of_all(self, data: Mapping[str, Any]) -> DataFlow:
        given = self.object(data.get("input", {}), ("input",), ("schema", "from"))
        shown = self.object(data.get("output", {}), ("output",), ("schema", "as"))
        return DataFlow(
            given=self.schema(given, ("input",)),
            taken=self.whole(given.get("from"), ("input", "from"), WORKFLOW),
            result=self.whole(shown.get("as"), ("output", "as"), WORKFLOW | {"context"}),
            given_out=self.schema(shown, ("output",)),
        )

    # --- tasks

    def block(self, data: Any, path: Path, reference: str, names: frozenset[str]) -> Block:
        """A list of tasks; `names` are the variables around it."""
        tasks: list[Task] = []
        for name, definition, place, where in self.named(data, path, reference):
            if any(each.name == name for each in tasks):
                self.notes.add(place, f"there are two tasks {name!r} in this list", "duplicate_name", key=True)
            tasks.append(self.task(name, definition, place, where, names))
        known = [task.name for task in tasks]
        for task, place in zip(tasks, (each[2] for each in self.named(data, path, reference)), strict=True):
            self._check_ways(task, place, known)
        return Block(tuple(tasks))

    def named(self, data: Any, path: Path, reference: str) -> list[tuple[str, Any, Path, str]]:
        """The parts of a list of objects of one key each: name, content, place, JSON Pointer."""
        if not is_list(data):
            self.notes.add(path, "must be a list of objects of one key each, which is a name")
            return []
        found: list[tuple[str, Any, Path, str]] = []
        for index, each in enumerate(data):
            if not is_object(each) or len(each) != 1:
                self.notes.add((*path, index), "must be an object of one key, which is a name")
                continue
            ((name, content),) = each.items()
            pointer = name.replace("~", "~0").replace("/", "~1")
            found.append((name, content, (*path, index, name), f"{reference}/{index}/{pointer}"))
        return found

    def _check_ways(self, task: Task, path: Path, known: list[str]) -> None:
        from .leaves import Switch
        from .trying import Try

        ways = [((*path, "then"), task.then)]
        body = without(task).body
        if isinstance(body, Try) and body.catch.then is not None:
            ways.append(((*path, "catch", "then"), body.catch.then))
        if isinstance(body, Switch):
            cases = enumerate(body.cases)
            ways += [((*path, "switch", index, case.name, "then"), case.then) for index, case in cases]
        for place, then in ways:
            if then not in DIRECTIVES and then not in known:
                near = get_close_matches(then, known, 1)
                hint = f"did you mean {near[0]}?" if near else f"there are {', '.join([*DIRECTIVES, *known])}"
                self.notes.add(place, f"there is no task {then!r} in this list; {hint}", "unknown_step")

    def task(self, name: str, data: Any, path: Path, reference: str, names: frozenset[str]) -> Task:
        """One task."""
        from .kinds import KINDS

        nothing = Task(name, reference, {}, self.document, Body())
        if not is_object(data):
            self.notes.add(path, "must be an object")
            return nothing
        kind = next((each for each in KINDS if each in data), None)
        if kind is None:
            near = [each for key in data for each in get_close_matches(str(key), KINDS, 1)]
            hint = f"; did you mean {near[0]}?" if near else ""
            self.notes.add(path, f"is no task: it has none of {', '.join(KINDS)}{hint}")
            return nothing
        keys, make = KINDS[kind]
        self.keys(data, path, (kind, *keys, *OF_ALL))
        self._free(data, path, "metadata")
        place = Place(self, data, path, reference, names)
        body = make(place)
        task = Task(
            name,
            reference,
            data,
            self.document,
            body,
            self._flow(data, path, names),
            self.directive(data.get("then", CONTINUE), (*path, "then")),
            self.timeout(data.get("timeout"), (*path, "timeout"), WORKING | names),
            self._stands_for,
        )
        return task if self._stands_for is not None else extended(self, task, kind)

    @contextmanager
    def standing_for(self, task: Task) -> Generator[None, None, None]:
        """Read tasks of an extension, which are not extended themselves and see the task that they extend."""
        self._stands_for = task
        try:
            yield
        finally:
            self._stands_for = None

    def _flow(self, data: Mapping[str, Any], path: Path, names: frozenset[str]) -> DataFlow:
        given = self.object(data.get("input", {}), (*path, "input"), ("schema", "from"))
        return replace(
            self.leaving(data, path, names),
            when=self.whole(data.get("if"), (*path, "if"), ENTERING | names),
            given=self.schema(given, (*path, "input")),
            taken=self.whole(given.get("from"), (*path, "input", "from"), ENTERING | names),
        )

    def leaving(self, data: Mapping[str, Any], path: Path, names: frozenset[str]) -> DataFlow:
        """What happens to data on its way out: `output` and `export`."""
        shown = self.object(data.get("output", {}), (*path, "output"), ("schema", "as"))
        export = self.object(data.get("export", {}), (*path, "export"), ("schema", "as"))
        return DataFlow(
            result=self.whole(shown.get("as"), (*path, "output", "as"), WORKING | names),
            given_out=self.schema(shown, (*path, "output")),
            export=self.whole(export.get("as"), (*path, "export", "as"), EXPORTING | names),
            exported=self.schema(export, (*path, "export")),
        )

    def function(self, name: str, reference: str, path: Path) -> Task | None:
        """The task that a function of the document is; its place is that of the call."""
        functions = self.object(self.use.get("functions", {}), ("use", "functions"))
        if name not in functions:
            near = get_close_matches(name, functions, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            self.notes.add(path, f"there is no function {name!r} in use.functions{hint}", "unknown_step")
            return None
        if name in self._functions:
            self.notes.add(path, f"the function {name!r} calls itself", "cycle")
            return None
        self._used.add(("functions", name))
        self._functions.append(name)
        task = self.task(name, functions[name], ("use", "functions", name), reference, frozenset())
        self._functions.pop()
        return task

    # --- parts

    def _free(self, data: Mapping[str, Any], path: Path, *names: str) -> None:
        """Objects of whatever the author likes, which nothing here looks at."""
        for name in names:
            self.object(data.get(name, {}), (*path, name))

    def keys(self, data: Mapping[str, Any], path: Path, known: tuple[str, ...], *required: str) -> None:
        """Note keys that are unknown, and those that are missing."""
        for name in data:
            if name not in known:
                near = get_close_matches(str(name), known, 1)
                hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
                self.notes.add((*path, name), f"is no key here; {hint}", key=True)
        for name in required:
            if name not in data:
                self.notes.add(path, f"lacks {name}")

    def object(self, data: Any, path: Path, known: tuple[str, ...] | None = None, *required: str) -> Mapping[str, Any]:
        """An object with these keys; an empty one if it is none."""
        if not is_object(data):
            self.notes.add(path, f"is {data!r}, must be an object")
            return {}
        if known is not None:
            self.keys(data, path, known, *required)
        return data

    def choice(self, data: Any, path: Path, known: tuple[str, ...]) -> str:
        """One of these words, the first of them if it is none."""
        if data in known:
            return str(data)
        self.notes.add(path, f"is {data!r}, must be one of {', '.join(known)}")
        return known[0]

    def text(self, data: Any, path: Path) -> str:
        """A text that is not empty."""
        if isinstance(data, str) and data:
            return data
        self.notes.add(path, f"is {data!r}, must be a text")
        return "-"

    def compiler(self, known: frozenset[str]) -> Compiler:
        """Makes templates that may look at these variables."""
        return Compiler(known, self.loose, self._wrong)

    def _wrong(self, path: Path, error: BadExpression) -> None:
        self.notes.add(path, error.message, error.code, within=error.within)

    def whole(self, data: Any, path: Path, known: frozenset[str]) -> Template | None:
        """What stands where an expression is expected, None for nothing."""
        return None if data is None else self.compiler(known).whole(data, path)

    def template(self, data: Any, path: Path, known: frozenset[str]) -> Template:
        """Data with expressions in it."""
        return self.compiler(known).template(data, path)

    def directive(self, data: Any, path: Path) -> str:
        """A flow directive."""
        return data if isinstance(data, str) else self.text(data, path)

    def schema(self, data: Mapping[str, Any], path: Path) -> Schema | None:
        """The schema of an input, output or export, None for none."""
        if "schema" not in data:
            return None
        place = (*path, "schema")
        found = self.object(data["schema"], place, ("format", "document", "resource"))
        if str(found.get("format", "json")).partition(":")[0] != "json":
            self.notes.add((*place, "format"), f"is {found['format']!r}; schemas are JSON Schemas", "not_available")
        elif "document" in found:
            try:
                return schema_of(found["document"])
            except RipresaError as error:
                self.notes.take((*place, "document"), error)
        elif "resource" in found:
            why = "schemas elsewhere are not supported: put it under document"
            self.notes.add((*place, "resource"), why, "not_available")
        else:
            self.notes.add(place, "lacks document")
        return None

    def duration(self, data: Any, path: Path) -> int:
        """A length of time in microseconds."""
        try:
            return length_of(data)
        except ValueError as error:
            self.notes.add(path, str(error))
            return 0

    def length(self, data: Any, path: Path, known: frozenset[str]) -> Length:
        """The same, or an expression that gives one: as a whole, or in its parts."""
        template = self.template(data, path, known)
        if not isinstance(template, Plain):
            return template
        return self.duration(data, path) if template.data == data else 0

    def timeout(self, data: Any, path: Path, known: frozenset[str]) -> Length:
        """A timeout, or the name of one; 0 for none."""
        if data is None:
            return 0
        if isinstance(data, str):
            data, path = self.reused("timeouts", data, path)
        found = self.object(data, path, ("after",), "after")
        before = len(self.notes.problems)
        length = self.length(found["after"], (*path, "after"), known) if "after" in found else 0
        if "after" in found and not length and len(self.notes.problems) == before:
            self.notes.add((*path, "after"), "must be longer than nothing")
        return length

    def reused(self, kind: str, name: str, path: Path) -> tuple[Any, Path]:
        """What stands in `use` under a name, and where."""
        known = self.object(self.use.get(kind, {}), ("use", kind))
        if name not in known:
            near = get_close_matches(name, known, 1)
            self.notes.add(path, f"there is no {name!r} in use.{kind}{f'; did you mean {near[0]}?' if near else ''}")
            return {}, path
        self._used.add((kind, name))
        return known[name], ("use", kind, name)


@dataclass(frozen=True)
class Place:
    """A task that is read: its content, where it stands, and the variables around it."""

    reader: Reader
    data: Mapping[str, Any]
    path: Path
    reference: str
    names: frozenset[str]

    def at(self, *parts: str | int) -> Path:
        """The path of a part of it."""
        return (*self.path, *parts)

    def template(self, data: Any, *parts: str | int) -> Template:
        """Data of it with expressions."""
        return self.reader.template(data, self.at(*parts), WORKING | self.names)

    def whole(self, data: Any, *parts: str | int) -> Template | None:
        """What stands where an expression is expected."""
        return self.reader.whole(data, self.at(*parts), WORKING | self.names)

    def object(self, name: str, *known: str) -> Mapping[str, Any]:
        """An object of it with these keys."""
        return self.reader.object(self.data[name], self.at(name), known or None)

    def block(self, data: Any, *parts: str | int, more: tuple[str, ...] = ()) -> Block:
        """A list of tasks in it, with more variables."""
        reference = "/".join([self.reference, *map(str, parts)])
        return self.reader.block(data, self.at(*parts), reference, self.names | set(more))
