"""What can be run: the contract that flows and workflows share, and how any link becomes a node of the engine.

Law: a flow is immutable. It knows how to build its node at any place; names and types come from the place, so one
flow may stand in many workflows, and many times in one.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from copy import copy
from functools import cached_property, partial
from typing import Any, Final, Generic, NamedTuple, ParamSpec, Protocol, Self, TypeAlias, cast, overload

from typing_extensions import TypeVar

from ..context import checked_later
from ..core.calling import told
from ..core.definition import Definition
from ..core.events import Recorded
from ..core.items import Items
from ..core.limits import Limits
from ..core.nodes.call import Call as CallNode
from ..core.nodes.cleanup import Cleanup
from ..core.nodes.node import Node, Scope
from ..core.nodes.saga import Saga
from ..core.nodes.sequence import Sequence
from ..core.nodes.stateful import Stateful
from ..core.shared import ERROR
from ..errors import InvalidValue, InvalidWorkflow
from ..foreign import adopted
from ..messages import Query, QueryWith, Update
from . import running
from .call import Call, Pending
from .encoding import encode
from .hooks import Hook, refuse_no_hooks
from .options import bad_limits, bad_link, check_name, refuse
from .place import Direct, Given, One, Place, distinct, root, settle
from .reducers import Conflict, bad_conflict
from .rules import Rule, checked, joined
from .standing import Answer, Standing, bad_answer
from .state_type import StateType, state_type
from .statement import goes_on
from .step import Bound, Options, Step, step_name
from .switches import require
from .undo import step_undo

_UPDATE, _CLEANUP, _STATE = range(3)
"""How far outside of a flow a scope around it stands."""

_SHAPING: Final = frozenset({"_build", "layers"})
"""The attributes of a flow that can keep it from being built."""

P = ParamSpec("P")
A = TypeVar("A")
B = TypeVar("B")
R = TypeVar("R")
X = TypeVar("X")
Y = TypeVar("Y")
A_contra = TypeVar("A_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)

Link: TypeAlias = Callable[[A], Awaitable[B]]
"""Whatever fits between A and B: a step, a flow, a workflow, an async function."""

Build: TypeAlias = Callable[[Place], Node[Any]]
"""Makes a node for a place; what does not fit is noted there."""


class Layer(NamedTuple):
    """A scope around a flow: how far outside it stands, and what makes it of the flow's name and what is inside."""

    rank: int
    build: Callable[[str, Build, Place], Node[Any]]


def _rank(layer: Layer) -> int:
    return layer.rank


class Runnable(Generic[P, R_co]):
    """What can be run by itself: it has a name, a node, a definition, and knows the types of its input and result."""

    name: str
    version: str = "1"
    """What a run remembers: unfinished runs keep theirs, and several may be registered side by side."""
    stands_for: Step[..., Any] | None = None
    """The step in whose place it stands, and under whose name it is found."""
    hooks: tuple[Hook, ...] = ()
    rules: tuple[Rule, ...] = ()
    remark: str = ""
    """Words for people, where a document gave some."""
    recipe: Any = None
    """How a document makes it, where one does."""
    answers: tuple[Answer, ...] = ()
    """The queries that its runs answer."""
    limits: Limits | None = None
    """What a run of it may use, where nothing else is said; inside another it is that one's affair."""

    @abstractmethod
    def build(self, place: Place) -> Node[Any]:
        """The node that stands for this at a place inside another definition."""

    @abstractmethod
    def encode_input(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """Validate the arguments of a call and write them as one value. Raises `InvalidValue(invalid_input)`."""

    @cached_property
    def node(self) -> Node[Any]:
        """The node of this, standing by itself: the root of a run. Raises `InvalidWorkflow` if it cannot be built."""
        place = root(self.name)
        node = self.build(place)
        settle(place, self.name)
        return node

    @property
    def input_type(self) -> Any:
        """The annotation of the one value that its arguments become."""
        return self.node.input_type

    @property
    def output_type(self) -> Any:
        """The annotation of its result."""
        return self.node.output_type

    @cached_property
    def definition(self) -> Definition:
        """What a run is made of. Its root is a node with children."""
        node = self.node
        if not isinstance(node, Scope):
            node = Sequence(node.name, (node,), input_type=node.input_type, output_type=node.output_type)
        if self.hooks:
            node.hooks = (*self.hooks, *node.hooks)
        return Definition(self.name, node, version=self.version)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Call[R_co]:
        """A call: nothing has happened yet. Awaited by itself it runs in memory."""
        return cast("Call[R_co]", Pending(self, args, kwargs, partial(running.run, self, args, kwargs)))

    def __repr__(self) -> str:
        return f"<{type(self).__name__.lower()} {self.name}>"

    def invoke(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:
        """Run in memory, in this process; nothing is kept."""
        return running.run(self, args, kwargs)

    def stream(self, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[Recorded]:
        """The events of a run in memory, while it happens; the last, `RunCompleted`, holds the result."""
        return running.stream(self, args, kwargs)

    def with_hooks(self, *hooks: Hook) -> Self:
        """The same with hooks that stand at it and at everything inside it, beside those that it has."""
        refuse_no_hooks("with_hooks", hooks)
        return self._twin(hooks=(*self.hooks, *hooks))

    def with_rules(self, *rules: Rule) -> Self:
        """The same with rules that its result must keep, beside those that it has; see `Rule`.

        They are looked at once, when the result is known. What they say is recorded; a broken one of the severity
        `error` fails it with `rule_failed`, and is looked at again when the run is resumed.
        """
        return self._twin(rules=joined(self.rules, rules))

    def with_limits(self, limits: Limits) -> Self:
        """The same with limits for each run of it, unless the run is started with others."""
        refuse("with_limits", bad_limits(limits, "limits"))
        return self._twin(limits=limits)

    def named(self, name: str) -> Self:
        """The same under another name."""
        refuse("named", check_name(name, "name"))
        return self._twin(name=name)

    def _twin(self, **other: Any) -> Self:
        """The same with other attributes."""
        twin = copy(self)
        for cached in ("definition", "node", "_target"):
            twin.__dict__.pop(cached, None)
        twin.__dict__.update(other)
        if "node" not in self.__dict__ or not _SHAPING.isdisjoint(other):
            twin._check()
        return twin

    def _check(self) -> None:
        """Say what is wrong as soon as it is written; nothing is found where parts say it when they are used."""


class Flow(Runnable[[A_contra], R_co], Generic[A_contra, R_co]):
    """One value in, one out: made of steps and other flows, and itself a link of them.

    What is said about it holds in whatever order it is said. From inside outwards: updates that it answers, handlers
    that clean up, its state, rules about its result, hooks.

    Raises `InvalidWorkflow` that lists everything that does not fit, and `InvalidConfig` for a name that is none.
    """

    layers: tuple[Layer, ...] = ()
    """The scopes around what it does, from inside outwards."""

    def __init__(self, build: Build, *, name: str, version: str = "1") -> None:
        refuse(type(self).__name__.lower(), check_name(name, "name"), check_name(version, "version"))
        self.name = name
        self.version = version
        self._build = build
        self._check()

    def build(self, place: Place) -> Node[Any]:
        """See `Runnable`."""
        build = self._build
        for layer in self.layers:
            build = partial(layer.build, self.name, build)
        node = checked(build(place.single()), self.rules)
        if self.answers:
            node.answers = (*self.answers, *node.answers)
        return node

    def encode_input(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """See `Runnable`."""
        if len(args) != 1 or kwargs:
            raise InvalidValue(
                f"takes one value, is given {len(args) + len(kwargs)}", code="invalid_input", where=self.name
            )
        return encode(args[0], self.input_type, where=self.name, code="invalid_input")

    def batch(self: Flow[A, R], inputs: Items[A], /, *, concurrency: int | None = None) -> Call[list[R]]:
        """Run in memory for each input, at most `concurrency` at a time; results in the order of the inputs.

        All of it is one run: the limits of the flow hold for all inputs together.
        """
        return in_batches(self, inputs, concurrency)

    def cleanup(self: Flow[A, R], *handlers: Callable[[A], Awaitable[object]]) -> Flow[A, R]:
        """Run these, last first, if the flow fails or is cancelled; each is given the flow's input."""
        return self._around(Layer(_CLEANUP, partial(build_cleanup, as_links(handlers, "cleanup"))))

    def with_state(self: Flow[A, R], state: type[Any], *, conflicts: Conflict = ERROR) -> Flow[A, R]:
        """The flow with a typed state of its own, which its steps share: `current().state(S)` gives each its view.

        `state` is a pydantic model, a dataclass or a TypedDict. Of branches that replace one field, `conflicts`
        ("error", "last_write") says what happens, for fields that do not say it themselves. Raises `InvalidConfig`.
        """
        require("state", "with_state")
        second = any(layer.rank == _STATE for layer in self.layers)
        refuse(
            "with_state",
            "the flow has a state already: add fields to that one" if second else None,
            bad_conflict(conflicts, "conflicts"),
            where=self.name,
        )
        return self.sharing(state_type(state, conflicts))

    def with_update(self: Flow[A, R], update: Update[X, Y], handler: Link[X, Y], /) -> Flow[A, R]:
        """The flow with an update that it answers, while it goes on, with what the handler makes of its value.

        The handler is a step or flow like any other and shares the state of this one. When it fails the update is
        refused with the failure's message, and the flow goes on. Raises `InvalidConfig`.
        """
        from .serving import served

        return self._around(Layer(_UPDATE, served(self, update, handler)))

    @overload
    def with_query(self: Flow[A, R], query: Query[Y], answer: Callable[[Standing], Y], /) -> Flow[A, R]: ...
    @overload
    def with_query(self: Flow[A, R], query: QueryWith[X, Y], answer: Callable[[Standing, X], Y], /) -> Flow[A, R]: ...
    def with_query(self, query: Any, answer: Callable[..., Any], /) -> Any:
        """The flow with a query that its runs answer: by a plain function of the run as it stands in its journal.

        Of a `QueryWith` the function is given, too, what it is asked about. Raises `InvalidConfig`.
        """
        refuse("with_query", bad_answer(query, answer))
        return self._twin(answers=(*self.answers, Answer(query, answer)))

    def sharing(self, state: StateType[Any]) -> Self:
        """The same with a typed state of its own."""
        return self._around(Layer(_STATE, partial(_build_stateful, state)))

    def like(self, other: Flow[Any, Any]) -> Self:
        """The same with all that is said about another flow."""
        said = ("hooks", "rules", "answers", "layers", "limits")
        return self._twin(**{each: getattr(other, each) for each in said})

    def _around(self, layer: Layer) -> Self:
        """The same with one more scope around it; of scopes of one kind the one that was said last is outside."""
        return self._twin(layers=tuple(sorted((*self.layers, layer), key=_rank)))

    def _check(self) -> None:
        """Build once, so that what is wrong is said where it was written, all of one statement together.

        What cannot be built says so again wherever it is used.
        """
        if checked_later():
            return
        try:
            _ = self.node
        except InvalidWorkflow:
            if not goes_on():
                raise


def in_batches(link: Callable[[A], Awaitable[B]], inputs: Items[A], concurrency: int | None) -> Call[list[B]]:
    """Run a link in memory for each input."""
    from .patterns import map_each

    flow = map_each(link, concurrency=concurrency, name="batch")
    flow.limits = getattr(link, "limits", None)
    return flow.invoke(inputs)


# --- links become nodes


class Part(Protocol):
    """What builds its own node: flows, workflows, and what stands only inside them."""

    @property
    def name(self) -> str:
        """Its name among its siblings, if it is the only one of that name."""
        ...

    def build(self, place: Place) -> Node[Any]:
        """The node at a place."""
        ...


Built: TypeAlias = Step[..., Any] | Part
"""A link after `as_links`."""


def as_links(links: tuple[Any, ...], op: str, *complaints: str | None) -> tuple[Built, ...]:
    """Steps, flows and workflows as they are, plain functions as steps.

    Raises `InvalidConfig` that names everything that is no link, with the other complaints of the caller.
    """
    links = tuple(link if _is_built(link) else adopted(link) for link in links)
    found = [None if _is_built(link) else bad_link(link, index) for index, link in enumerate(links)]
    hint = "give steps, flows, workflows or functions, without calling them" if any(found) else ""
    refuse(op, *found, None if links else "there is nothing to run", *complaints, hint=hint)
    return tuple(map(_as_link, links))


def _is_built(link: object) -> bool:
    return isinstance(link, Step | Runnable)


def _as_link(link: Any) -> Built:
    if _is_built(link):
        return cast("Built", link)
    return Step[..., Any](link, Options(name=step_name(link)))


def build_link(link: Built, place: Place) -> Node[Any]:
    """The node of a link at a place."""
    node = _node_of(link, place)
    if getattr(link, "remark", ""):
        node.remark = link.remark  # type: ignore[union-attr]
    return node


def _node_of(link: Built, place: Place) -> Node[Any]:
    if isinstance(link, Step) and link.stand_in is not None:
        return build_link(link.stand_in, place)
    if not isinstance(link, Step):
        node = link.build(place)
        if isinstance(link, Runnable) and link.hooks:
            node.hooks = (*link.hooks, *node.hooks)
        return node
    place.finds(link.parameters)
    binding, input_type = place.given.bind(link.parameters, place)
    undo = step_undo(link, binding, place) if link.options.effect == "reversible" else None
    types = {"input_type": input_type, "output_type": link.parameters.returns}
    call = CallNode(place.name, code=Bound(link, binding), undo=undo, **types)
    if link.options.hooks:
        call.hooks = link.options.hooks
    return call


def build_links(links: tuple[Built, ...], place: Place, given: Given) -> tuple[Node[Any], ...]:
    """Nodes with names of their own, side by side, all given the same."""
    names = distinct(link.name for link in links)
    return tuple(build_link(link, place.inner(name, given)) for link, name in zip(links, names, strict=True))


def to_node(link: Any, name: str | None = None) -> Node[Any]:
    """The node of a step, flow, workflow or function that is called directly, by the arguments of a call.

    Raises `InvalidConfig` if it is no link.
    """
    (checked,) = as_links((link,), "to_node")
    place = root(name or checked.name, Direct())
    node = build_link(checked, place)
    settle(place, checked.name)
    return node


def _build_stateful(state: StateType[Any], _: str, build: Build, place: Place) -> Stateful:
    return state.around(build(place))


@told
def saga(body: Link[A, B], /, *, name: str = "saga") -> Flow[A, B]:
    """A scope of compensation: if the body fails or is cancelled, what it did is undone, last first.

    What a completed body did is undone with the scope around it, in the end with the run.
    """
    require("sagas", "saga")
    (link,) = as_links((body,), "saga", check_name(name, "name"))
    return Flow(partial(_build_saga, link), name=name)


def _build_saga(link: Built, place: Place) -> Saga:
    body = build_link(link, place.inner(link.name, place.given))
    return Saga(place.name, body, input_type=body.input_type, output_type=body.output_type)


def build_cleanup(handlers: tuple[Built, ...], name: str, build: Build, place: Place) -> Cleanup:
    """What is built, under this name, with handlers that clean up."""
    first, *rest = distinct([name, *(handler.name for handler in handlers)])
    body = build(place.inner(first, place.given))
    given = One(body.input_type)
    nodes = tuple(build_link(handler, place.inner(name, given)) for handler, name in zip(handlers, rest, strict=True))
    return Cleanup(place.name, body, nodes, input_type=body.input_type, output_type=body.output_type)
