"""Streams: items from a source through stages into a sink, with bounded buffers between them.

Law: a stream is immutable, and a flow once it has a sink. Its functions are called item by item by the runtime; only
what the sink acknowledged is recorded.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from types import NoneType
from typing import Any, Final, Generic, Literal, NamedTuple, Protocol, TypeAlias, get_args, get_origin, overload

from typing_extensions import TypeVar

from ..core.calling import told
from ..core.durations import MICROSECONDS, Duration, seconds
from ..core.events import Failure
from ..core.nodes.node import Node
from ..core.nodes.stream import Stream as StreamNode
from ..core.retry import ONCE, Retry
from ..errors import InvalidValue
from . import running
from .call import Pending
from .encoding import encode
from .fit import known, list_of, members, named, specific, union
from .flow import Flow, Runnable
from .options import bad_choice, bad_count, check_name, refuse
from .parameters import Parameters, decodable
from .place import One, Place, distinct
from .step import Bound, Options, Step, Whole, step_name
from .switches import require

A = TypeVar("A")
B = TypeVar("B")
P = TypeVar("P")
T = TypeVar("T")
A_contra = TypeVar("A_contra", contravariant=True)
T_co = TypeVar("T_co", covariant=True)

Overflow: TypeAlias = Literal["block", "drop_oldest", "drop_newest", "reject"]
"""What happens to items for which a buffer has no room: the stage before waits, an item is lost, the stream fails."""

OnRestart: TypeAlias = Literal["fail", "skip", "live"]
"""How a source without positions goes on: not at all, past the items that are done, or with whatever it gives now."""

OnItemError: TypeAlias = Literal["fail", "skip"]
"""What an item means for which a stage fails: the stream fails, or the item becomes a dead letter."""


class At(NamedTuple, Generic[T, P]):
    """What a source with positions gives: an item, and the position from which it would go on after it."""

    item: T
    position: P


@dataclass(frozen=True, slots=True)
class TimeWindow(Generic[T]):
    """The items of a stretch of time, by the time that they carry: from `start` to before `end`, the earliest first."""

    start: datetime
    end: datetime
    items: list[T]


@dataclass(frozen=True, slots=True)
class StreamResult:
    """What a stream with a sink returns: its counts, why it ended, and where its source would have gone on.

    `taken` items came from the source, the sink acknowledged `batches`; `dropped` items were lost to full buffers,
    `dead` ones to failing stages. `reason` is `exhausted`, `at_most`, `within`, or the word it was stopped with.
    """

    batches: int
    taken: int
    dropped: int
    dead: int
    reason: str
    position: Any = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An item that a stage failed for: the stage's name, the item as the stage was given it, and what was raised."""

    stage: str
    item: Any
    failure: Failure


class StreamControl(Protocol):
    """A stream under way, as its hooks see it."""

    @property
    def path(self) -> str:
        """Where it stands in the workflow."""
        ...

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """Items taken, batches acknowledged, items dropped, dead letters."""
        ...

    def pause(self) -> None:
        """Take nothing more from the source until `go_on`, or until the run, which pauses with it, is resumed."""
        ...

    def go_on(self) -> None:
        """Take items again."""
        ...

    def stop(self, reason: str = "stopped") -> None:
        """Take nothing more; what has been taken still reaches the sink."""
        ...


@dataclass(frozen=True, slots=True)
class StreamHooks:
    """Plain functions that are told what a stream does, and may pause or stop it. What they raise is only logged.

    `item` is told every item that is taken, `backpressure` the stage whose buffer is full (once, until it has room),
    `error` of items that become dead letters, and of what ends the stream: one that is paused then is tried again from
    the last recorded batch when it is resumed, one that is stopped ends there without failing.
    """

    start: Callable[[StreamControl], object] | None = None
    item: Callable[[StreamControl, Any], object] | None = None
    backpressure: Callable[[StreamControl, str], object] | None = None
    end: Callable[[StreamControl], object] | None = None
    error: Callable[[StreamControl, Failure], object] | None = None


# --- what a stream is made of


OUTSIDE: Final = ("wait", "update", "serving", "approval", "approved", "stream")
"""Kinds of nodes that a flow cannot have which is run for each item: nobody knows of it, so nothing reaches it."""


@dataclass(frozen=True, slots=True)
class Room:
    """The buffer before a stage: how many items it holds, and what happens to more. None: as the stream says."""

    buffer: int | None = None
    overflow: Overflow | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """A function and what it does to items: `map`, `filter`, `flat_map`; or `batch` and `window`, which have none.

    `count` is the size of a batch or window, `every` how many items lie between two windows, `within` how many seconds
    a batch may be open. The function of a `time_window` says what time an item carries; `count` and `every` are then
    microseconds, and `lateness` is how long after its end a window is still open.
    """

    kind: Literal["map", "filter", "flat_map", "batch", "window", "time_window"]
    name: str
    fn: Callable[..., Any] | None = None
    concurrency: int = 1
    on_error: OnItemError = "fail"
    room: Room = Room()
    count: int = 0
    every: int = 0
    within: float | None = None
    lateness: int = 0


@dataclass(frozen=True, slots=True)
class Source:
    """Where items come from; `positioned` if the function takes a position and gives items with positions."""

    fn: Callable[..., Any]
    positioned: bool
    on_restart: OnRestart
    at_most: int | None = None
    within: float | None = None


@dataclass(frozen=True, slots=True)
class Sink:
    """Where items go: `into` calls a function for each of them; `fold` puts them into a result that is recorded."""

    kind: Literal["into", "fold", "items"]
    name: str = "items"
    fn: Callable[..., Any] | None = None
    start: Any = None
    every: int = 1
    on_error: OnItemError = "fail"
    durable: bool = True
    dead_letters: Callable[[DeadLetter], Any] | None = None
    hooks: StreamHooks = StreamHooks()


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole stream. `kinds` are the types of what each stage is given and of what the sink is given."""

    source: Source
    stages: tuple[Stage, ...] = ()
    sink: Sink = Sink("items")
    room: Room = Room()
    kinds: tuple[Any, ...] = ()
    position_type: Any = Any
    result_type: Any = Any


class Pumped(Step[..., Any]):
    """The step that a stream is to the engine: its attempt pumps."""

    def __init__(self, plan: Plan, options: Options) -> None:
        super().__init__(plan.source.fn, options)
        self.plan = plan
        self.parameters = _Pumping(plan)


class _Pumping(Parameters):
    """What the source takes, and what the stream returns."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan.source.fn)
        self.returns = plan.result_type
        if plan.source.positioned:  # only the pump gives it a position
            first, position, *others = self.signature.parameters.values()
            self.signature = self.signature.replace(parameters=[first, position.replace(default=None), *others])

    @property
    def single(self) -> str:
        """What the source is given; the position is not told."""
        return self.positional[0]


class Stream(Generic[A_contra, T_co]):
    """Items on their way, without a sink as yet: `stream(source).map(parse).batch(100).into(store)`."""

    def __init__(self, plan: Plan, name: str) -> None:
        self.plan = plan
        self.name = name

    def __repr__(self) -> str:
        return f"<stream {self.name}>"

    @overload
    def map(
        self,
        fn: Callable[[T_co], Awaitable[B]],
        /,
        *,
        concurrency: int = ...,
        on_error: OnItemError = ...,
        buffer: int | None = ...,
        overflow: Overflow | None = ...,
    ) -> Stream[A_contra, B]: ...
    @overload
    def map(
        self,
        fn: Callable[[T_co], B],
        /,
        *,
        concurrency: int = ...,
        on_error: OnItemError = ...,
        buffer: int | None = ...,
        overflow: Overflow | None = ...,
    ) -> Stream[A_contra, B]: ...
    def map(
        self,
        fn: Callable[..., Any],
        /,
        *,
        concurrency: int = 1,
        on_error: OnItemError = "fail",
        buffer: int | None = None,
        overflow: Overflow | None = None,
    ) -> Stream[A_contra, Any]:
        """Each item becomes what a step, function or flow makes of it, in the order of the items.

        A plain function must be quick, for it runs in the event loop; an async one, a step or a flow runs for up to
        `concurrency` items at a time. A step's retry and timeout hold for each item. A flow is run in memory for each
        item, so an item is done again as a whole; it can wait for nothing outside.
        """
        return self._with(Stage("map", "", fn, concurrency, on_error, Room(buffer, overflow)))

    def filter(
        self,
        fn: Callable[[T_co], bool | Awaitable[bool]],
        /,
        *,
        on_error: OnItemError = "fail",
        buffer: int | None = None,
        overflow: Overflow | None = None,
    ) -> Stream[A_contra, T_co]:
        """Only the items for which a step or function says yes."""
        return self._with(Stage("filter", "", fn, 1, on_error, Room(buffer, overflow)))

    @overload
    def flat_map(
        self,
        fn: Callable[[T_co], AsyncIterable[B] | Awaitable[Iterable[B]]],
        /,
        *,
        on_error: OnItemError = ...,
        buffer: int | None = ...,
        overflow: Overflow | None = ...,
    ) -> Stream[A_contra, B]: ...
    @overload
    def flat_map(
        self,
        fn: Callable[[T_co], Iterable[B]],
        /,
        *,
        on_error: OnItemError = ...,
        buffer: int | None = ...,
        overflow: Overflow | None = ...,
    ) -> Stream[A_contra, B]: ...
    def flat_map(
        self,
        fn: Callable[..., Any],
        /,
        *,
        on_error: OnItemError = "fail",
        buffer: int | None = None,
        overflow: Overflow | None = None,
    ) -> Stream[A_contra, Any]:
        """Each item becomes any number of items, one after another.

        For a stream that goes on in the middle of them the function is called again with the same item, and what had
        reached the sink is skipped: for one item it gives the same items in the same order.
        """
        return self._with(Stage("flat_map", "", fn, 1, on_error, Room(buffer, overflow)))

    def batch(
        self,
        count: int,
        /,
        *,
        within: Duration | None = None,
        buffer: int | None = None,
        overflow: Overflow | None = None,
    ) -> Stream[A_contra, list[T_co]]:
        """Lists of `count` items; one that has been open for `within` is passed on as it is, the last one too."""
        wrong = bad_count(count, "count")
        limit = None if within is None else seconds(within, "within")
        refuse("batch", wrong, "within is 0, must be a length of time above 0" if limit == 0 else None)
        return self._with(Stage("batch", "batch", room=Room(buffer, overflow), count=count, within=limit))

    def window(
        self,
        count: int,
        /,
        *,
        every: int | None = None,
        buffer: int | None = None,
        overflow: Overflow | None = None,
    ) -> Stream[A_contra, list[T_co]]:
        """The last `count` items as a list, again after `every` more (one: a sliding window; `count`: side by side).

        The first window is whole; items after the last whole one are not passed on.
        """
        refuse("window", bad_count(count, "count"), bad_count(every, "every", optional=True))
        return self._with(Stage("window", "window", room=Room(buffer, overflow), count=count, every=every or count))

    def time_window(
        self,
        length: Duration,
        /,
        *,
        at: Callable[[T_co], datetime | float],
        every: Duration | None = None,
        lateness: Duration = 0,
        late: OnItemError = "skip",
        buffer: int | None = None,
        overflow: Overflow | None = None,
    ) -> Stream[A_contra, TimeWindow[T_co]]:
        """The items of each stretch of time, by the time that they carry: `at(item)`, aware or in seconds since 1970.

        A new window begins `every` so often (without a word each `length`: side by side), counted from 1970 in UTC. It
        is given once an item came whose time is `lateness` after its end, or when the source has ended. An item all of
        whose windows were given is late: a dead letter, or with `late="fail"` the end of the stream.
        """
        wide = round(seconds(length, "length") * MICROSECONDS)
        step = wide if every is None else round(seconds(every, "every") * MICROSECONDS)
        refuse(
            "time_window",
            "length is 0, must be a length of time above 0" if wide == 0 else None,
            None if 0 < step <= wide or wide == 0 else f"every is {every!r}, must be above 0 and at most the length",
            _bad_function(at, "at", plain=True),
            bad_choice(late, "late", get_args(OnItemError)),
        )
        room, wait = Room(buffer, overflow), round(seconds(lateness, "lateness") * MICROSECONDS)
        found = Stage("time_window", "time_window", at, 1, late, room, wide, step, None, wait)
        return self._with(found)

    def into(
        self,
        sink: Callable[[T_co], Awaitable[object]],
        /,
        *,
        every: int = 1,
        on_error: OnItemError = "fail",
        durable: bool = True,
        retry: Retry | int | None = None,
        dead_letters: Callable[[DeadLetter], Awaitable[object]] | None = None,
        hooks: StreamHooks = StreamHooks(),
    ) -> Flow[A_contra, StreamResult]:
        """Call a step or async function for each item (after `batch`: for each batch); by returning it acknowledges.

        After `every` calls the position is recorded, so that at most so many are repeated; what waits is recorded
        after 10 ms, and at once if the sink asks for more than to be done (session, artifacts, what it sends).
        `current().idempotency_key` is that of the batch. With `durable=False` only start and end are recorded. `retry`
        holds for the whole stream, which goes on from its position. `dead_letters` is given the items that stages with
        `on_error="skip"` failed for.
        """
        name = _name_of(sink)
        refuse(
            "into",
            _bad_function(sink, "sink"),
            bad_count(every, "every"),
            bad_choice(on_error, "on_error", get_args(OnItemError)),
            None if dead_letters is None else _bad_function(dead_letters, "dead_letters"),
        )
        end = Sink(
            "into", name, sink, None, every, on_error, durable=durable, dead_letters=dead_letters, hooks=hooks
        )  # fmt: skip
        return _flow(replace(self.plan, sink=end), self.name, retry)

    def fold(
        self,
        fn: Callable[[B, T_co], B],
        start: B,
        /,
        *,
        every: int = 1000,
        durable: bool = True,
        retry: Retry | int | None = None,
        dead_letters: Callable[[DeadLetter], Awaitable[object]] | None = None,
        hooks: StreamHooks = StreamHooks(),
    ) -> Flow[A_contra, B]:
        """Put the items one by one into a result, by a plain function; it is recorded after each `every` items.

        Each item counts exactly once, whatever happens in between.
        """
        refuse("fold", _bad_function(fn, "fn", plain=True), bad_count(every, "every"))
        end = Sink(
            "fold", _name_of(fn), fn, start, every, durable=durable, dead_letters=dead_letters, hooks=hooks
        )  # fmt: skip
        return _flow(replace(self.plan, sink=end), self.name, retry)

    def items(self, argument: A_contra, /) -> AsyncGenerator[T_co]:
        """The items themselves, in this process, as they come; nothing is recorded, and the reader sets the pace."""
        return running.items(self.plan, argument)

    def _with(self, stage: Stage) -> Stream[Any, Any]:
        op = stage.kind
        refuse(
            op,
            None if stage.fn is None else _bad_function(stage.fn, "fn"),
            bad_count(stage.concurrency, "concurrency"),
            bad_choice(stage.on_error, "on_error", get_args(OnItemError)),
            *_bad_room(stage.room),
        )
        names = distinct([*(known.name for known in self.plan.stages), stage.name or _name_of(stage.fn)])
        stages = (*self.plan.stages, replace(stage, name=names[-1]))
        return Stream[Any, Any](replace(self.plan, stages=stages), self.name)


@overload
def stream(
    source: Callable[[A, P | None], AsyncIterable[At[T, P]] | Iterable[At[T, P]]],
    /,
    *,
    name: str = ...,
    buffer: int = ...,
    overflow: Overflow = ...,
    at_most: int | None = ...,
    within: Duration | None = ...,
) -> Stream[A, T]: ...
@overload
def stream(
    source: Callable[[A], AsyncIterable[T] | Iterable[T]],
    /,
    *,
    name: str = ...,
    buffer: int = ...,
    overflow: Overflow = ...,
    on_restart: OnRestart = ...,
    at_most: int | None = ...,
    within: Duration | None = ...,
) -> Stream[A, T]: ...
@told
def stream(
    source: Callable[..., Any],
    /,
    *,
    name: str = "stream",
    buffer: int = 1000,
    overflow: Overflow = "block",
    on_restart: OnRestart = "fail",
    at_most: int | None = None,
    within: Duration | None = None,
) -> Stream[Any, Any]:
    """Begin a stream: a function of one argument that gives items, iterated over or async.

    So that the stream can go on in the middle, the function may take a position as its second argument (None: from the
    beginning) and give `At(item, position)`. For one that does not, `on_restart` says how it goes on: `skip` calls it
    again and passes over the items that are done (it gives the same ones again), `live` calls it again and takes what
    comes, `fail` refuses. `buffer` bounds the items before each stage, `overflow` says what happens to more of them.
    The stream ends with the source, after `at_most` items in all, or `within` after its attempt began.
    """
    require("streams", "stream")
    limit = None if within is None else seconds(within, "within")
    refuse(
        "stream",
        _bad_source(source),
        check_name(name, "name"),
        *_bad_room(Room(buffer, overflow)),
        bad_choice(on_restart, "on_restart", get_args(OnRestart)),
        bad_count(at_most, "at_most", optional=True),
        "within is 0, must be a length of time above 0" if limit == 0 else None,
    )
    positioned = len(Parameters(source).positional) > 1
    return Stream(Plan(Source(source, positioned, on_restart, at_most, limit), room=Room(buffer, overflow)), name)


# --- options


def _name_of(fn: Any) -> str:
    return str(fn.name) if isinstance(fn, Step | Runnable) else step_name(fn)  # pyright: ignore[reportUnknownMemberType]


def _bad_room(room: Room) -> tuple[str | None, str | None]:
    return (
        bad_count(room.buffer, "buffer", optional=True),
        None if room.overflow is None else bad_choice(room.overflow, "overflow", get_args(Overflow)),
    )


def _bad_source(source: Any) -> str | None:
    if isinstance(source, Step | Runnable | Pending) or not callable(source):
        return f"source is {source!r}, must be a plain function that gives items"
    if inspect.iscoroutinefunction(source):
        return f"source is {source!r}, a coroutine; write yield in it, or return an iterator from a plain def"
    count = len(Parameters(source).positional)
    return None if count in (1, 2) else f"source takes {count} values, must take one, or one and a position"


_NO_ITEMS: Final = {
    "irreversible": "irreversible: items may be repeated after a crash",
    "reversible": "reversible: what is done for items is not undone; do it in a step behind the stream",
}
"""Effects of what cannot be a stage or sink, and why."""


def _bad_function(fn: Any, option: str, *, plain: bool = False) -> str | None:
    """What is wrong with the function, step or flow of a stage or sink."""
    if isinstance(fn, Runnable) and not plain:
        return _bad_flow(fn, option)  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(fn, Step):
        if plain:
            return f"{option} is {fn!r}, must be a plain function"
        options = fn.options
        if options.effect in _NO_ITEMS:
            return f"{option} is {fn!r}, which is {_NO_ITEMS[options.effect]}"
        return f"{option} is {fn!r}, which runs in a process of its own" if options.executor == "process" else None
    if isinstance(fn, Runnable | Pending) or not callable(fn):
        wanted = "a plain function" if plain else "a step, a flow or a function"
        return f"{option} is {fn!r}, must be {wanted}"
    if plain and inspect.iscoroutinefunction(fn):
        return f"{option} is {fn!r}, must be a plain function"
    return None


def _bad_flow(flow: Runnable[..., Any], option: str) -> str | None:
    """What is wrong with a flow that is run for each item, in memory."""
    from .check import walk

    for node in walk(flow.definition.root):
        if node.kind in OUTSIDE:
            return f"{option} is {flow!r}, whose {node.name!r} waits for what does not come there, or is a stream"
        effect = node.code.step.options.effect if isinstance(node.code, Bound) else ""
        effect = "reversible" if node.undo is not None else effect
        if effect in _NO_ITEMS:
            return f"{option} is {flow!r}, whose {node.name!r} is {_NO_ITEMS[effect]}"
    return None


# --- streams become nodes


def _flow(plan: Plan, name: str, retry: Retry | int | None) -> Flow[Any, Any]:
    again = ONCE if retry is None else retry if isinstance(retry, Retry) else Retry(attempts=retry)
    return Flow(partial(_build, plan, again), name=name)


def _build(plan: Plan, retry: Retry, place: Place) -> Node[Any]:
    given = place.given.single(place)
    source = Parameters(plan.source.fn)
    wanted = source.kind_at(0)
    place.accepts(given, wanted)
    input_type = decodable(wanted if specific(wanted) or not known(given) else given)
    kinds, result = _kinds(plan, source, place)
    position = _position_type(source) if plan.source.positioned else int
    whole = replace(plan, kinds=kinds, position_type=position, result_type=result)
    code = Bound(Pumped(whole, Options(name=place.name, retry=retry)), Whole(input_type))
    shape = tuple(f"{stage.kind} {stage.name}" for stage in plan.stages)
    return StreamNode(place.name, shape=shape, code=code, input_type=input_type, output_type=result)


def _kinds(plan: Plan, source: Parameters, place: Place) -> tuple[tuple[Any, ...], Any]:
    """What each stage and the sink are given, and what comes out. Notes what does not fit."""
    kind = _item_of(source.returns)
    if plan.source.positioned:
        kind = (*get_args(kind), Any)[0] if get_origin(kind) is At else Any
    kinds = [kind]
    for stage in plan.stages:
        kind = _after(stage, kind, place.inner(stage.name, One(kind)))
        kinds.append(kind)
    return tuple(kinds), _result(plan.sink, kind, place.inner(plan.sink.name, One(kind)))


def _after(stage: Stage, kind: Any, place: Place) -> Any:
    """The type of what a stage gives for items of a type."""
    if stage.fn is None:
        return list_of(kind)
    returns = _given(stage.fn, kind, place)
    if stage.kind == "filter":
        return kind
    if stage.kind == "time_window":
        return TimeWindow[kind]
    return returns if stage.kind == "map" else _item_of(returns)


def _given(fn: Any, kind: Any, place: Place) -> Any:
    """The type of what a function, step or flow gives for items of a type. Notes if it does not take them."""
    if isinstance(fn, Runnable):
        place.accepts(kind, fn.input_type)
        return fn.output_type
    parameters = _parameters(fn)
    place.takes(parameters, (kind,))
    return parameters.returns


def _result(sink: Sink, kind: Any, place: Place) -> Any:
    if sink.kind == "into":
        _given(sink.fn, kind, place)
        return StreamResult
    parameters = _parameters(sink.fn)
    place.takes(parameters, (parameters.returns, kind))
    _check_start(sink.start, parameters.returns, place)
    return parameters.returns


def _check_start(start: Any, kind: Any, place: Place) -> None:
    """A fold begins with what its function returns."""
    try:
        encode(start, kind, where=place.path)
    except InvalidValue as error:
        place.mismatch(f"start is {start!r}, no {named(kind)}: {error.message}")


def _parameters(fn: Any) -> Parameters:
    return fn.parameters if isinstance(fn, Step) else Parameters(fn)


def _item_of(kind: Any) -> Any:
    """The type of the items of anything iterable, `Any` where it is not known."""
    found = [(*get_args(member), Any)[0] for member in members(kind)]
    return union(found)


def _position_type(source: Parameters) -> Any:
    kinds = [kind for kind in members(source.kind_at(1)) if kind is not NoneType]
    return union(kinds)
