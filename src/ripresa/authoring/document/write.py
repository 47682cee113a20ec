"""From a flow back to a document: plain data that gives the same nodes when it is read.

Law: what no document can say is refused with its name, never left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import fields
from functools import partial
from typing import Any, Final, Protocol, TypeVar, cast

from pydantic_core import from_json

from ...core.nodes.approval import Approval, Terms
from ...core.nodes.approved import Approved
from ...core.nodes.branch import Branch
from ...core.nodes.call import Call
from ...core.nodes.checked import Checked
from ...core.nodes.choose import Choose
from ...core.nodes.cleanup import Cleanup
from ...core.nodes.delay import Delay
from ...core.nodes.fallback import Fallback
from ...core.nodes.graph import Graph
from ...core.nodes.join import WINDOW
from ...core.nodes.loop import Loop
from ...core.nodes.map import Map
from ...core.nodes.node import Node
from ...core.nodes.parallel import Parallel
from ...core.nodes.router import Router
from ...core.nodes.saga import Saga
from ...core.nodes.sequence import Sequence
from ...core.nodes.stateful import Stateful
from ...core.nodes.stream import Stream
from ...core.nodes.subworkflow import Subworkflow
from ...core.nodes.undo import Undo, Undoable
from ...core.nodes.updates import Serving, TakeUpdate
from ...core.nodes.wait import Wait
from ...core.retry import Retry
from ...errors import RipresaError
from ..cache import Cache
from ..expression import Constant
from ..flow import Runnable, build_link
from ..function import Taken
from ..place import root
from ..questions import ByType
from ..routing import ByName
from ..rules import Rule
from ..standing import Answer
from ..step import Bound, Spread, Step
from ..wiring import Wires
from .annotations import text_of
from .recipe import Recipe
from .source import is_list, is_object, is_plain
from .state import is_declared, state_data
from .write_around import layered, query_data, serving, take_update
from .write_graph import graph_config, named_arguments
from .write_stream import stream_config
from .write_values import asked, data_of, length_of, refused, selecting

T = TypeVar("T")
Data = dict[str, Any]


CALLED: Final = {"servers": "MCP servers", "knowledge": "stores of knowledge"}
"""What is declared at the head of a document, in words."""


WHOLE: Final = ("state", "conflicts", "updates", "rules", "queries")
"""What stands around a flow that is a document as it does around a step."""


class Places(Protocol):
    """Where things stand that documents name by targets. Each raises `RipresaError(not_exportable)`."""

    def step(self, step: Step[..., Any]) -> tuple[str, Step[..., Any]]:
        """The target of a step, and the step that it leads to: itself, or one of the same function."""
        ...

    def thing(self, thing: Any) -> str:
        """The target of a function, class, workflow, hook, rule or pool."""
        ...

    def made(self, recipe: Recipe) -> str:
        """The type that makes a step."""
        ...

    def server(self, server: Any) -> tuple[str, dict[str, Any]]:
        """How an MCP server is named with its tools, and how it is declared."""
        ...

    def workflow(self, workflow: Any, name: str) -> tuple[str, Any]:
        """The target of a durable function that stands under its own name or this one, and what stands there."""
        ...

    def stream(self, node: Node[Any]) -> str:
        """The target of the flow that a stream is."""
        ...


def document_of(flow: Runnable[..., Any], places: Places) -> Data:
    """The document that a flow is. Raises `RipresaError(not_exportable)` that names what no document can say."""
    writer = Writer(places)
    data: Data = {"id": flow.name}
    if flow.version != "1":
        data["version"] = flow.version
    writer.tried(lambda: data.update(_terms(flow, writer)))
    _put_body(flow, data, writer)
    data.update({key: said for key, said in writer.declared.items() if said})
    if flow.hooks:
        data["hooks"] = writer.things(flow.hooks)
    writer.settle(flow.name)
    return data


def _put_body(flow: Runnable[..., Any], data: Data, writer: Writer) -> None:
    """What a flow does, and what stands around it."""
    said = writer.item(_bare(flow))
    around: Data = {key: said[key] for key in WHOLE if key in said}
    if set(said) - {*around, "id", "type", "config"}:
        data.update({"type": "wrap", "config": {"step": said}})
        return
    data.update(around)
    if said.get("type") == "sequence":
        data["steps"] = said["config"]["steps"]
    elif said:
        data.update({key: said[key] for key in ("type", "config")})


def _bare(flow: Runnable[..., Any]) -> Node[Any]:
    """The node of a flow without the hooks of the flow itself, which it has as the root of a definition."""
    node = flow.node
    if "definition" not in flow.__dict__ or flow.definition.root is not node:
        return node
    bare = copy(node)
    bare.hooks = node.hooks[len(flow.hooks) :]
    return bare


def _terms(flow: Any, writer: Writer) -> Data:
    """What a flow says about itself; more of it if it was a document."""
    from .flow import DocumentFlow

    found: Data = {"timeout": getattr(flow, "timeout", None)}
    if flow.limits is not None:
        values = {each.name: getattr(flow.limits, each.name) for each in fields(flow.limits)}
        found["limits"] = {name: value for name, value in values.items() if value is not None}
    if isinstance(flow, DocumentFlow):
        found |= {"name": flow.terms.title, "description": flow.terms.description}
        if flow.terms.given is not Any:
            found["input"] = writer.type(flow.terms.given)
    return {key: value for key, value in found.items() if value not in (None, "")}


class Writer:
    """Writes nodes as data."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.declared: dict[str, dict[str, Any]] = {"servers": {}, "knowledge": {}}
        self._refused: list[RipresaError] = []

    # --- what no document can say

    def tried(self, write: Callable[[], T]) -> T | None:
        """What a function writes; None, and a note, if no document can say it."""
        try:
            return write()
        except RipresaError as error:
            if all(str(error) != str(other) for other in self._refused):
                self._refused.append(error)
            return None

    def settle(self, name: str) -> None:
        """Raise everything that no document can say, together."""
        if len(self._refused) == 1:
            raise self._refused[0]
        if self._refused:
            told = "\n".join(f"  - {error.message}" for error in self._refused)
            raise RipresaError(
                f"{len(self._refused)} parts of {name!r} can stand in no document:\n{told}",
                code="not_exportable",
                op="export",
                where=", ".join(error.where for error in self._refused),
            )

    # --- what is named

    def thing(self, thing: Any) -> str:
        """The target of something."""
        return self.places.thing(thing)

    def things(self, found: Iterable[Any]) -> list[Any]:
        """The targets of several things."""
        return [self.tried(partial(self.thing, each)) for each in found]

    def rules(self, found: Iterable[Rule]) -> list[Any]:
        """Several rules."""
        return [self.tried(partial(self.rule, each)) for each in found]

    def type(self, kind: Any) -> str:
        """A type."""
        return text_of(kind, self.thing)

    def rule(self, rule: Rule) -> Any:
        """A rule: its target, or what it was made of."""
        try:
            return self.thing(rule)
        except RipresaError:
            if not rule.said:
                raise
        said: Data = {key: self._argument(value) for key, value in rule.said.items()}
        if "path" in said and callable(rule.said["path"]):
            said["path"] = {"function": said["path"]}
        usual = f"{said['rule']} {said.get('at', '')}".strip() if said["rule"] == "required_output" else said["rule"]
        said |= {} if rule.name == usual else {"name": rule.name}
        return said if rule.severity == "error" else {**said, "severity": rule.severity}

    def _argument(self, value: Any) -> Any:
        return self.thing(value) if callable(value) else value

    def state(self, node: Stateful) -> Data:
        """What a document says about its typed state."""
        from ..state_type import state_type

        kind = node.code.kind
        policy = next(each for each in ("error", "last_write") if state_type(kind, each).shape == node.shape)
        said = state_data(kind, self.type) if is_declared(kind) else self.thing(kind)
        return {"state": said, **({} if policy == "error" else {"conflicts": policy})}

    # --- parts

    def item(self, node: Node[Any], *, several: bool = False) -> Data:
        """A node as a step of a list; `several`: it is given several values by what it stands in."""
        return self.tried(partial(self._item, node, several=several)) or {}

    def _item(self, node: Node[Any], *, several: bool) -> Data:
        write = WRITERS.get(type(node))
        if write is None:
            raise refused(node.name, f"a {node.kind} can stand in no document here")
        kinds: dict[type[Any], Any] = {Call: Writer.call, Subworkflow: _subworkflow}
        several_for = kinds.get(type(node))
        data: Data = several_for(self, node, several=several) if several_for else write(self, node)
        hooks = () if type(node) is Call else node.hooks
        more = {"description": node.remark, "hooks": self.things(hooks), "queries": self.queries(node.answers)}
        return layered({"id": node.name, **data}, **{key: said for key, said in more.items() if said})

    def queries(self, answers: Iterable[Answer]) -> list[Data]:
        """The queries that are answered beside something."""
        return [self.tried(partial(query_data, self, each)) or {} for each in answers]

    def items(self, nodes: tuple[Node[Any], ...]) -> list[Data]:
        """Several of them."""
        return [self.item(node) for node in nodes]

    def call(self, node: Call, *, several: bool = False) -> Data:
        """A call of a step."""
        bound: Any = node.code
        assert isinstance(bound, Bound)
        target, known = self._step(bound.step)
        config: Data = {"step": target}
        if isinstance(bound.binding, Wires):
            config["arguments"] = named_arguments(bound, self.thing)
        elif isinstance(bound.binding, Spread) and not several:
            config["spread"] = True
        return {
            "type": "call",
            "config": config,
            **self.options(bound.step, known),
            **self._undo(node.undo, bound, known),
        }

    def _step(self, step: Step[..., Any]) -> tuple[Any, Step[..., Any]]:
        """How a step is named, or made, and the step that this gives."""
        recipe: Recipe | None = step.recipe
        try:
            return self.places.step(step)
        except RipresaError:
            if recipe is None:
                raise
        return self._made_of(recipe), recipe.make()

    def _made_of(self, recipe: Recipe) -> Any:
        """How a document makes a step or workflow, or names what it was made of."""
        if not recipe.kind:
            return self.thing(recipe.maker)
        self._declare("servers", recipe.servers)
        self._declare("knowledge", recipe.knowledge)
        types = {name: self._type(kind) for name, kind in recipe.types.items()}
        steps = {name: [self._tool(each) for each in found] for name, found in recipe.steps.items()}
        links = {name: self._links(found) for name, found in recipe.links.items()}
        things = {name: self.thing(found) for name, found in recipe.things.items()}
        return {
            "type": self.places.made(recipe),
            "config": {**recipe.config(), **types, **steps, **links, **things},
        }

    def _links(self, found: Any) -> Any:
        return [self._link(each) for each in found] if is_list(found) else self._link(found)

    def _link(self, link: Any) -> Any:
        """A step, flow or workflow that stands in no node."""
        if isinstance(link, Step):
            return self.step(cast("Step[..., Any]", link))
        return self.item(build_link(link, root(link.name)))

    def _declare(self, what: str, declared: Mapping[str, Any]) -> None:
        for name, found in declared.items():
            given = cast("Mapping[str, Any]", found() if callable(found) else found)
            said = {key: value if is_plain(value) else self.thing(value) for key, value in given.items()}
            if self.declared[what].setdefault(name, said) != said:
                raise refused(name, f"two {CALLED[what]} of one name are declared")

    def _type(self, kind: Any) -> Any:
        """A type of a config: plain data stands for itself."""
        return kind if is_object(kind) else self.type(kind)

    def step(self, step: Step[..., Any]) -> Any:
        """A step by itself: its target, or a call of it with its options."""
        target, known = self._step(step)
        options = {"id": step.name} if step.name != known.name else {}
        options |= self.options(step, known)
        if isinstance(target, str) and not options:
            return target
        return {"type": "call", "config": {"step": target}, "id": step.name, **options}

    def retry(self, retry: Retry) -> Any:
        """A retry policy."""
        return retry_data(retry)

    def value(self, value: Any) -> Any:
        """A value that is there."""
        return data_of(Constant(value), self.thing)

    def _tool(self, step: Any) -> Any:
        if is_object(step) or isinstance(step, str):
            return step
        if not isinstance(step, Step):
            return self._source(step)
        target, known = self._step(cast("Step[..., Any]", step))
        options = self.options(cast("Step[..., Any]", step), known)
        named = {} if step.name == known.name and isinstance(target, str) else {"id": step.name}
        if isinstance(target, str):
            return {"type": "call", "config": {"step": target}, **named, **options} if named or options else target
        return {**named, **target, **options}

    def _source(self, server: Any) -> str:
        """An MCP server, with the tools that it is bounded to."""
        name, said = self.places.server(server)
        self._declare("servers", {server.name: said})
        return name

    def options(self, step: Step[..., Any], known: Step[..., Any]) -> Data:
        """The options of a step that its target does not have."""
        mine, usual = step.options, known.options
        found: Data = {}
        for name in ("timeout", "effect", "executor", "concurrency"):
            if getattr(mine, name) != getattr(usual, name) and not (name == "effect" and step.compensation):
                found[name] = getattr(mine, name)
        if mine.retry != usual.retry:
            found["retry"] = retry_data(mine.retry)
        if mine.pool is not usual.pool:
            found["pool"] = mine.pool if isinstance(mine.pool, str | None) else self.thing(mine.pool)
        if mine.cache != usual.cache:
            found["cache"] = self._cache(mine.cache)
        lacking = [name for name in found if found[name] is None]
        if lacking:
            why = f"it lacks the {', '.join(lacking)} of its declaration: give it a name of its own"
            raise refused(step.name, why)
        own = mine.hooks[len(usual.hooks) :] if mine.hooks[: len(usual.hooks)] == usual.hooks else None
        if own is None:
            found["hooks"] = {"only": self.things(mine.hooks)}
        elif own:
            found["hooks"] = self.things(own)
        return found

    def _cache(self, cache: Cache | None) -> Any:
        if cache is None:
            return False
        key = {} if cache.key is None else {"key": self.thing(cache.key)}
        return {"ttl": length_of(cache.ttl) if cache.ttl else None, "version": cache.version, **key}

    def _undo(self, undo: Undo | None, bound: Bound, known: Step[..., Any]) -> Data:
        same = bound.step.compensation is known.compensation
        return {} if undo is None or same else {"undo": self.undo_item(undo)}

    def undo_item(self, undo: Undo) -> Data:
        """What undoes something."""
        return self.item(undo.body, several=True)

    def workflow(self, workflow: Any, name: str) -> tuple[Any, Any]:
        """How a workflow is named, or made, and what that gives."""
        if workflow.stands_for is not None:
            return self._step(workflow.stands_for)
        try:
            return self.places.workflow(workflow, name)
        except RipresaError:
            if workflow.recipe is None:
                raise
        return self._made_of(workflow.recipe), workflow.recipe.make()

    # --- kinds

    def of(self, kind: str, **config: Any) -> Data:
        """A step of a kind with what it says; None is not said."""
        return {"type": kind, "config": {key: value for key, value in config.items() if value is not None}}


def retry_data(retry: Retry) -> Any:
    """A retry policy as data: the number of attempts if nothing else is special."""
    usual = Retry(retry.attempts)
    found: Data = {"attempts": retry.attempts}
    for name in ("wait", "backoff", "max_wait", "jitter", "on", "never"):
        value: Any = getattr(retry, name)
        if value != getattr(usual, name):
            found[name] = list(value) if name in ("on", "never") else value
    return found if len(found) > 1 else retry.attempts


def _sequence(writer: Writer, node: Sequence) -> Data:
    return writer.of("sequence", steps=writer.items(node.children)) if node.children else writer.of("pass")


def _graph(writer: Writer, node: Graph) -> Data:
    kind = None if node.input_type is Any else writer.type(node.input_type)
    return writer.of("graph", input=kind, **graph_config(writer, node))


def _parallel(writer: Writer, node: Parallel) -> Data:
    join: Any = "first" if node.join.any else "first_success" if node.single else node.join.need or None
    window = None if node.window == len(node.branches) else node.window
    on_error = None if join or node.join.on_error == "fail_fast" else node.join.on_error
    return writer.of("parallel", branches=writer.items(node.branches), join=join, concurrency=window, on_error=on_error)


def _map(writer: Writer, node: Map) -> Data:
    window = None if node.window == WINDOW else node.window
    on_error = None if node.join.on_error == "fail_fast" else node.join.on_error
    return writer.of("map", step=writer.item(node.body), concurrency=window, on_error=on_error)


def _branch(writer: Writer, node: Branch) -> Data:
    if isinstance(node.code, ByType):
        return writer.of("case", cases=_cases(writer, node.code.kinds, node.arms))
    when = writer.tried(lambda: asked(node.code.predicate.fn, writer.thing))
    then, otherwise = writer.items(node.arms)
    return writer.of("branch", when=when, then=then, otherwise=otherwise)


def _cases(writer: Writer, kinds: tuple[type, ...], arms: tuple[Node[Any], ...]) -> list[Data]:
    return [{"kind": writer.type(kind), "step": writer.item(arm)} for kind, arm in zip(kinds, arms, strict=True)]


def _choose(writer: Writer, node: Choose) -> Data:
    window = None if node.window == len(node.arms) else node.window
    return writer.of(
        "choose",
        select=writer.tried(lambda: selecting(node.code.predicate.fn, writer.thing)),
        branches=writer.items(node.arms),
        concurrency=window,
        on_error=None if node.join.on_error == "fail_fast" else node.join.on_error,
    )


def _loop(writer: Writer, node: Loop) -> Data:
    code: Any = node.code
    predicate = None if code is None else writer.tried(lambda: asked(code.fn, writer.thing))
    ends = {"until": predicate if node.after else None, "while": predicate if node.before else None}
    over = node.over
    if over.kind == "condition":
        return writer.of("repeat", step=writer.item(node.body), **ends, at_most=node.at_most)
    body = writer.item(node.body, several=True)
    if over.kind == "items":
        indexed = over.indexed or None
        data = writer.of("fold", step=body, with_index=indexed, until=ends["until"])
        data["config"]["start"] = from_json(over.start)
        return data
    numbers = {"from": over.first or None, "to": over.last, "by": None if over.step == 1 else over.step}
    return writer.of("range", step=body, **numbers, until=ends["until"])


def _router(writer: Writer, node: Router) -> Data:
    code = node.code
    legal = None if code.ways.legal is None else {name: list(names) for name, names in code.ways.legal.items()}
    parts: Data
    if isinstance(code, ByName):
        parts = {"branches": writer.items(node.arms)}
    else:
        parts = {"cases": _cases(writer, code.kinds, node.arms)}
    return writer.of("router", until=writer.type(code.until), at_most=node.at_most, **parts, legal=legal)


def _fallback(writer: Writer, node: Fallback) -> Data:
    return writer.of("fallback", branches=writer.items(node.choices), on=list(node.on) or None)


def _saga(writer: Writer, node: Saga) -> Data:
    return writer.of("saga", step=writer.item(node.children[0]))


def _cleanup(writer: Writer, node: Cleanup) -> Data:
    return writer.of("cleanup", step=writer.item(node.body), handlers=writer.items(node.handlers))


def _delay(writer: Writer, node: Delay) -> Data:
    return writer.of("delay", length=length_of(node.length))


def _wait(writer: Writer, node: Wait) -> Data:
    kind = None if node.output_type is Any else writer.type(node.output_type)
    timeout = length_of(node.timeout) if node.timeout else None
    return writer.of("wait", signal=node.signal, value=kind, timeout=timeout)


def _people(terms: Terms) -> Data:
    found: Data = {
        "question": terms.question,
        "quorum": terms.quorum if terms.quorum != 1 else None,
        "assignees": list(terms.assignees) or None,
        "escalate_to": list(terms.escalate_to) or None,
        "expiry": terms.expiry if terms.expiry != "fail" else None,
    }
    for name in ("remind", "escalate", "timeout"):
        found[name] = length_of(getattr(terms, name)) if getattr(terms, name) else None
    return found


def _approval(writer: Writer, node: Approval) -> Data:
    form = None if node.code is None else writer.type(node.code)
    return writer.of("approval", **_people(node.terms), form=form)


def _approved(writer: Writer, node: Approved) -> Data:
    then, otherwise = writer.items(node.arms)
    return writer.of("approved", **_people(node.asked.terms), then=then, otherwise=otherwise)


def _subworkflow(writer: Writer, node: Subworkflow, *, several: bool = False) -> Data:
    body: Any = node.body.body if isinstance(node.body, Checked) else node.body
    workflow = (body.body if isinstance(body, Stateful) else body).code
    target, known = writer.workflow(workflow, node.name.partition("#")[0])
    taken = workflow.parameters.binding if isinstance(workflow.parameters, Taken) else None
    config: Data = {"step": target}
    if isinstance(taken, Wires):
        config["arguments"] = named_arguments(Bound(workflow, taken), writer.thing)
    elif isinstance(taken, Spread) and not several:
        config["spread"] = True
    if isinstance(known, Step):  # an agent, in whose place it stands
        return {"type": "call", "config": config, **writer.options(workflow.stands_for, cast("Step[..., Any]", known))}
    more = [rule for rule in workflow.rules if rule not in known.rules]
    return {"type": "call", "config": config, **({"rules": writer.rules(more)} if more else {})}


def _stream(writer: Writer, node: Stream) -> Data:
    try:
        return writer.of("subworkflow", workflow=writer.places.stream(node))
    except RipresaError:  # it stands under no name of its own
        code: Any = node.code
        return {"type": "stream", "config": stream_config(writer, code.step)}


def _checked(writer: Writer, node: Checked) -> Data:
    code: Any = node.code
    return layered(writer.item(node.body), rules=writer.rules(code.rules))


def _stateful(writer: Writer, node: Stateful) -> Data:
    return layered(writer.item(node.body), **writer.state(node))


def _undoable(writer: Writer, node: Undoable) -> Data:
    assert isinstance(node.undo, Undo)
    return layered(writer.item(node.body), undo=writer.undo_item(node.undo))


WRITERS: Final[dict[type, Callable[[Writer, Any], Data]]] = {
    Call: Writer.call,
    Sequence: _sequence,
    Graph: _graph,
    Parallel: _parallel,
    Map: _map,
    Branch: _branch,
    Choose: _choose,
    Loop: _loop,
    Router: _router,
    Fallback: _fallback,
    Saga: _saga,
    Cleanup: _cleanup,
    Delay: _delay,
    Wait: _wait,
    Approval: _approval,
    Approved: _approved,
    Subworkflow: _subworkflow,
    Stream: _stream,
    Undoable: _undoable,
    Checked: _checked,
    Stateful: _stateful,
    TakeUpdate: take_update,
    Serving: serving,
}

__all__ = ["Places", "RipresaError", "Writer", "document_of", "length_of", "retry_data"]
