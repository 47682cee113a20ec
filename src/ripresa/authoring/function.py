"""Workflows as durable functions: control flow is Python, and every call that is awaited is journaled."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Concatenate, ParamSpec, Protocol, cast, get_args, get_origin, overload

from typing_extensions import TypeVar

from ..core.calling import told
from ..core.complaints import Complaints
from ..core.durations import MICROSECONDS, Duration, microseconds
from ..core.items import Items
from ..core.limits import Limits
from ..core.nodes.dynamic import Dynamic
from ..core.nodes.node import Node
from ..core.nodes.subworkflow import Subworkflow
from ..core.shared import ERROR
from ..core.values import Value
from ..errors import InvalidConfig
from ..function_context import Context
from .call import Call
from .encoding import Reader
from .flow import Runnable, in_batches
from .options import bad_kind, bad_limits, check_name
from .parameters import Parameters
from .place import Place, root, settle
from .reducers import Conflict, bad_conflict
from .rules import checked
from .state_type import StateType, state_type
from .step import Binding, step_name
from .switches import require

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)


class Workflow(Runnable[P, R_co]):
    """A durable async function. Called inside another workflow it is a child of it, in the same journal.

    `fn` is the function, which takes a `Context` first; `timeout` is how long it may take in all, in seconds. `state`
    is its typed state; with `shares_state` it uses that of its caller where it has one.
    """

    state: StateType[Any] | None = None
    shares_state: bool = False

    def __init__(self, fn: Callable[..., Any], name: str, version: str = "1", timeout: float | None = None) -> None:
        self.fn = fn
        self.name = name
        self.version = version
        self.timeout = timeout
        self.parameters = Parameters(fn, skip=1)
        self.__doc__ = fn.__doc__
        self.__wrapped__ = fn

    @property
    def input_type(self) -> Any:
        """See `Runnable`."""
        return self.parameters.input_type

    @property
    def output_type(self) -> Any:
        """See `Runnable`."""
        return self.parameters.returns

    @cached_property
    def node(self) -> Node[Any]:
        """The durable function itself: the root of a run."""
        place = root(self.name)
        place.finds(self.parameters)
        settle(place, self.name)
        dynamic = self._dynamic(self.name, self.input_type)
        return checked(dynamic if self.state is None else self.state.around(dynamic), self.rules)

    def encode_input(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """See `Runnable`."""
        return self.parameters.encode(args, kwargs, where=self.name)

    def build(self, place: Place) -> Node[Any]:
        """See `Runnable`."""
        place.finds(self.parameters)
        binding, input_type = place.given.bind(self.parameters, place)
        return self._scope(place.name, self._given(binding), input_type)

    def batch(self, inputs: Items[Any], /, *, concurrency: int | None = None) -> Call[list[R_co]]:
        """Run in memory for each input (the only argument), at most `concurrency` at a time; results in order."""
        return in_batches(cast("Callable[[Any], Call[R_co]]", self), inputs, concurrency)

    def _given(self, binding: Binding) -> Workflow[P, R_co]:
        """The same, its input taken apart in another way than that of a direct call."""
        twin = copy(self)
        twin.parameters = Taken(self.parameters, binding)
        return twin

    def _scope(self, name: str, code: Workflow[P, R_co], input_type: Any) -> Subworkflow:
        timeout = 0 if self.timeout is None else round(self.timeout * MICROSECONDS)
        dynamic = code._dynamic(self.name, input_type)
        body = dynamic if self.state is None or self.shares_state else self.state.around(dynamic)
        return Subworkflow(
            name,
            checked(body, self.rules),
            workflow=self.name,
            timeout=timeout,
            shares_state=self.shares_state,
            input_type=input_type,
            output_type=self.output_type,
        )

    def _dynamic(self, name: str, input_type: Any) -> Dynamic:
        return Dynamic(
            name,
            workflow=self.name,
            version=self.version,
            code=self,
            input_type=input_type,
            output_type=self.output_type,
        )


class Taken(Parameters):
    """The parameters of a function whose input is not the arguments of a call but is taken apart by a binding."""

    def __init__(self, parameters: Parameters, binding: Binding) -> None:
        super().__init__(parameters.fn, skip=parameters.skip)
        self.binding = binding

    def decode(self, value: Value, reader: Reader) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """See `Parameters`."""
        return self.binding.arguments(value, reader)


class WorkflowDecorator(Protocol):
    """What `workflow(...)` with options gives."""

    def __call__(self, fn: Callable[Concatenate[Context[T], P], Call[R]], /) -> Workflow[P, R]:
        """Make a function a workflow."""
        ...


@overload
def workflow(fn: Callable[Concatenate[Context[T], P], Call[R]], /) -> Workflow[P, R]: ...
@overload
def workflow(
    *,
    name: str | None = ...,
    version: str = ...,
    timeout: Duration | None = ...,
    conflicts: Conflict = ...,
    shares_state: bool = ...,
    limits: Limits | None = ...,
) -> WorkflowDecorator: ...
@told
def workflow(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    version: str = "1",
    timeout: Duration | None = None,
    conflicts: Conflict = ERROR,
    shares_state: bool = False,
    limits: Limits | None = None,
) -> Any:
    """Make an async function a workflow: `async def publish(ctx: Context, topic: Topic) -> Report`.

    `name` (default: the function's) and `version` are what unfinished runs are recognised by: give a new version to a
    function that would ask for other calls than before. `timeout` bounds a run of it, and each use as a child.
    A context annotated as `Context[S]` gives it a typed state, fresh for each use; with `shares_state` a use as a child
    has the state of its caller. `conflicts` says what happens when fibers side by side replace one field of it.
    `limits` are what a run of it may use, unless it is started with others.

    Raises `InvalidConfig` that names everything that is wrong.
    """
    require("workflows", "workflow")
    settings = Settings(name, version, timeout, conflicts, shares_state, limits)
    return settings.apply if fn is None else settings.apply(fn)


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of `workflow`."""

    name: str | None
    version: str
    timeout: Duration | None
    conflicts: Conflict = ERROR
    shares_state: bool = False
    limits: Limits | None = None

    def apply(self, fn: Callable[..., Any]) -> Workflow[..., Any]:
        """The workflow that a function is. Raises `InvalidConfig`."""
        complaint = _no_durable_function(fn)
        if complaint:
            raise InvalidConfig(f"{getattr(fn, '__qualname__', fn)!s} {complaint}", op="workflow", hint=_HINT)
        name = self.name if self.name is not None else step_name(fn)
        bad = Complaints(filter(None, (check_name(name, "name"), check_name(self.version, "version"))))
        length = None if self.timeout is None else bad.read(microseconds, self.timeout, "timeout")
        found = (
            "timeout is 0, must be a length of time above 0" if length == 0 else None,
            bad_conflict(self.conflicts, "conflicts"),
            bad_kind(self.shares_state, "shares_state", bool, "True or False"),
            bad_limits(self.limits, "limits"),
        )
        bad.extend(filter(None, found))
        bad.refuse("workflow", str(name))
        made = Workflow[..., Any](fn, name, self.version, None if length is None else length / MICROSECONDS)
        declared = _declared_state(fn)
        made.state = None if declared is None else state_type(declared, self.conflicts)
        made.shares_state = self.shares_state
        made.limits = self.limits
        return made


def _declared_state(fn: Callable[..., Any]) -> Any:
    """The class of the state that a function's context is annotated with."""
    parameters = Parameters(fn)
    declared = get_args(parameters.hints.get(parameters.positional[0]))
    return next((kind for kind in declared if kind is not type(None) and not isinstance(kind, TypeVar)), None)


_HINT = "write: async def name(ctx: Context, ...) -> ..."


def _no_durable_function(fn: Any) -> str | None:
    if inspect.isasyncgenfunction(fn) or inspect.isgeneratorfunction(fn):
        return "is a generator: a durable function awaits and returns"
    if not inspect.iscoroutinefunction(fn):
        return "is no async function"
    parameters = Parameters(fn)
    if not parameters.positional:
        return "takes no context"
    first = parameters.positional[0]
    kind = parameters.hints.get(first, Context)
    if (get_origin(kind) or kind) is not Context:
        return f"takes {first} first, which is not annotated as Context"
    return None
