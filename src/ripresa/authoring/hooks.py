"""Hooks: small functions that are asked at points of a run (interceptors), or told afterwards (observers).

Law: a hook is a value; where it stands and how far it is bounded is said beside it, and nothing is registered at
import. The functions are called by the runtime, at one border.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass
from functools import partial
from types import NoneType
from typing import (
    Any,
    Final,
    Literal,
    Protocol,
    TypeAlias,
    TypedDict,
    TypeVar,
    Unpack,
    get_args,
    get_type_hints,
    overload,
)

from ..core import events as e
from ..core.calling import told, told_of
from ..core.complaints import Complaints
from ..core.durations import Duration, seconds
from ..core.nodes.dynamic import Dynamic
from ..core.nodes.node import Node
from ..core.points import ANSWERS, EVENTS, FIRST_GLOBAL, SEEN, UNSEEN, plain_name
from ..errors import InvalidConfig
from .asked import (
    AfterStep,
    Again,
    BeforeStep,
    BranchChoosing,
    Cancel,
    CancelAsking,
    CheckpointNaming,
    Continue,
    FallbackChoosing,
    ForkStarting,
    JoinEnding,
    LimitReaching,
    LoopTurning,
    Narrow,
    Observed,
    Redirect,
    Replace,
    RollbackStarting,
    RunCompleting,
    RunFailing,
    RunStarting,
    SignalArriving,
    Skip,
    StageEntering,
    StepErring,
    UndoEnding,
    UndoErring,
    UndoStarting,
    Veto,
)
from .options import bad_choice, bad_count, bad_int, bad_kind
from .switches import require

T = TypeVar("T")
A = TypeVar("A")
H_contra = TypeVar("H_contra", contravariant=True)

TIMEOUT: Final = 10.0
"""Seconds that an async hook may take where nothing else is said."""

EVERYTHING: Final = "event"
"""The point of observers that are told of every event."""

Asked: TypeAlias = Callable[[T], A | Awaitable[A]]
"""A hook's function, `def` or `async def`: takes what the point is about, gives an answer."""


@dataclass(frozen=True, slots=True)
class Breaker:
    """Leaves a hook out after so many failures in a row, and tries it once after every `reset` (a length of time)."""

    failures: int = 5
    reset: Duration = 30.0

    def __post_init__(self) -> None:
        bad = Complaints()
        bad.extend(filter(None, (bad_count(self.failures, "failures"),)))
        reset = bad.read(seconds, self.reset, "reset")
        bad.refuse("Breaker")
        object.__setattr__(self, "reset", reset)


@told_of
@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Hook:
    """A function at a point.

    `step` is the name of a node, or a glob over paths if it has a slash; `workflow` the name of a run's workflow, or a
    glob. Of hooks that stand together a higher `priority` comes first. An async function may take `timeout` (default
    10 seconds); a plain one is called on the event loop and must return at once, unless it has a timeout: then it
    runs in a thread. A hook that fails is left out, and recorded; a `critical` one fails what it stands at. `breaker`
    leaves one out that keeps failing (None: never). With `observes` it is told afterwards and not asked.

    Raises `InvalidConfig` that names every bad option.
    """

    point: str
    fn: Callable[[Any], Any]
    _: KW_ONLY
    step: str = "*"
    workflow: str = "*"
    priority: int = 0
    timeout: Duration | None = None
    critical: bool = False
    breaker: Breaker | None = Breaker()
    observes: bool = False
    name: str = ""

    def __post_init__(self) -> None:
        limit = TIMEOUT if self.timeout is None and self.is_async else self.timeout
        bad = Complaints()
        bad.extend(filter(None, self._complaints()))
        length = None if limit is None else bad.read(seconds, limit, "timeout")
        if length == 0:
            bad.append(f"timeout is {self.timeout!r}, must be a length of time above 0")
        unseen = _is_among(self.point, EVENTS) and not _is_among(self.point, ANSWERS)
        hint = f"at {self.point!r} hooks can only observe: write @observe({self.point!r})"
        bad.refuse("Hook", hint=hint if unseen and not self.observes else "")
        object.__setattr__(self, "timeout", length)
        object.__setattr__(self, "name", self.name or str(getattr(self.fn, "__name__", type(self.fn).__name__)))

    def _complaints(self) -> Iterator[str | None]:
        """What is wrong with each field, but for its time."""
        yield bad_choice(self.point, "point", [*EVENTS, EVERYTHING] if self.observes else list(ANSWERS))
        yield _bad_function(self.fn)
        yield from (_bad_pattern(getattr(self, option), option) for option in ("step", "workflow"))
        yield bad_int(self.priority, "priority")
        yield from (
            bad_kind(getattr(self, option), option, bool, "true or false") for option in ("critical", "observes")
        )
        yield bad_kind(self.breaker, "breaker", (Breaker, NoneType), "a Breaker or None")
        yield _bad_text(self.name, "name")
        if not self.observes and _is_among(self.point, ANSWERS):
            yield _bad_answers(self.point, self.fn)

    def __call__(self, asked: Any) -> Any:
        """Call the function, as in a test of it."""
        return self.fn(asked)

    @property
    def is_async(self) -> bool:
        """Whether the function must be awaited."""
        return inspect.iscoroutinefunction(self.fn) or inspect.iscoroutinefunction(getattr(self.fn, "__call__", None))  # noqa: B004

    @property
    def is_inline(self) -> bool:
        """Whether it is called on the event loop, and answers in the same breath."""
        return self.timeout is None


def _bad_function(fn: Any) -> str | None:
    from .flow import Runnable
    from .step import Step

    if not callable(fn) or inspect.isclass(fn):
        return f"fn is {fn!r}, must be a function"
    if isinstance(fn, Step | Runnable):
        return f"fn is {fn!r}, which is no plain function: its call would be a part of the run"
    if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        return f"fn is {fn!r}, which gives a generator and no answer"
    try:
        inspect.signature(fn).bind(None)
    except TypeError as error:
        return f"fn is {fn!r}, must take what the point is about: {error}"
    except ValueError:  # written in C, and says nothing of what it takes
        return None
    return None


def _is_among(point: object, points: Mapping[str, object]) -> bool:
    return isinstance(point, str) and point in points


WORDS: Final[dict[type[Any], str]] = {
    Continue: "continue",
    Replace: "replace",
    Skip: "skip",
    Again: "again",
    Redirect: "redirect",
    Narrow: "narrow",
    Cancel: "cancel",
    Veto: "veto",
}
"""What answers are called."""


def allowed_at(point: str) -> str:
    """What may be answered at a point, as text."""
    return ", ".join(("continue", *sorted(ANSWERS[point])))


def _bad_answers(point: str, fn: Any) -> str | None:
    """What is wrong with the answers that a function says it gives, as far as its annotation can be read."""
    try:
        said = _named(get_type_hints(inspect.unwrap(fn)).get("return"))
    except (NameError, TypeError, AttributeError, SyntaxError):  # names that are known to type checkers alone
        return None
    bad = sorted({WORDS[kind] for kind in said} - {"continue"} - ANSWERS.get(point, frozenset(WORDS.values())))
    if not bad or len(said) == len(WORDS):
        return None
    return f"fn answers {', '.join(bad)}, but at {point!r} it may answer {allowed_at(point)}"


def _named(kind: Any) -> set[type[Any]]:
    """The answers in an annotation."""
    found = {kind} if isinstance(kind, type) and kind in WORDS else set[type[Any]]()
    return found.union(*(_named(part) for part in get_args(kind)))


def _bad_pattern(value: object, option: str) -> str | None:
    fits = isinstance(value, str) and value.strip() == value != ""
    return None if fits else f"{option} is {value!r}, must be a name or a glob"


def _bad_text(value: object, option: str) -> str | None:
    fits = isinstance(value, str) and value.strip() == value
    return None if fits else f"{option} is {value!r}, must be a text"


class Hooks:
    """Hooks that can be added and taken away, also while runs are under way. `version` grows with every change."""

    def __init__(self, hooks: Iterable[Hook] = ()) -> None:
        self._hooks: dict[object, Hook] = {}
        self._changed: list[Callable[[], None]] = []
        self.version = 0
        self.add(*hooks)

    def __iter__(self) -> Iterator[Hook]:
        """In the order in which they were added."""
        return iter(tuple(self._hooks.values()))

    def __len__(self) -> int:
        """How many."""
        return len(self._hooks)

    def add(self, *hooks: Hook) -> Callable[[], None]:
        """Add hooks; returns how to take them away again. Runs that are under way hear of it as soon as may be."""
        refuse_no_hooks("hooks.add", hooks)
        keys = {object(): hook for hook in hooks}
        self._hooks.update(keys)
        self._tell()

        def remove() -> None:
            found = [self._hooks.pop(key, None) for key in keys]
            if any(found):
                self._tell()

        return remove

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back after every change; returns how to stop that."""
        self._changed.append(callback)

        def forget() -> None:
            if callback in self._changed:
                self._changed.remove(callback)

        return forget

    def _tell(self) -> None:
        self.version += 1
        for callback in tuple(self._changed):
            callback()


def refuse_no_hooks(op: str, hooks: Iterable[object]) -> None:
    """Raise `InvalidConfig` that names everything that is no hook."""
    bad = [f"{hook!r} is no hook" for hook in hooks if not isinstance(hook, Hook)]
    if bad:
        raise InvalidConfig(
            "; ".join(bad), op=op, hint="write @before, @after, @on_error, @intercept or @observe above it"
        )


# --- where hooks stand in a definition


@dataclass(frozen=True, slots=True)
class Placed:
    """A hook with what it is bound to: the whole app (rank 0), a workflow (1) or a step (2).

    `beside`: it was written beside a node; `names` are those of the nodes that it concerns, None for all.
    """

    hook: Hook
    rank: int
    beside: bool = False
    names: frozenset[str] | None = None

    def recorded(self) -> list[str]:
        """The points of a run that it makes active."""
        hook = self.hook
        if hook.observes and hook.point not in UNSEEN:
            return []
        point = SEEN + hook.point if hook.observes else hook.point
        names = ["*"] if self.names is None else sorted(self.names)
        return [f"{point} {hook.step if hook.step != '*' else name}" for name in names]


def placed_in(root: Node[Any]) -> tuple[Placed, ...]:
    """The hooks that were written beside the nodes of a definition; found once for each."""
    found: tuple[Placed, ...] | None = root.__dict__.get("_placed")
    if found is None:
        found = tuple(_placed(root, root))
        root.__dict__["_placed"] = found
    return found


def _placed(node: Node[Any], root: Node[Any]) -> Iterator[Placed]:
    for hook in node.hooks:
        rank = 2 if not node.children and not isinstance(node, Dynamic) else 1
        yield Placed(hook, rank, True, None if node is root and rank == 1 else _names(node))
    for child in node.children:
        yield from _placed(child, root)


def _names(node: Node[Any]) -> frozenset[str] | None:
    """The names of the nodes from here down; None if a durable function makes them as it goes."""
    if isinstance(node, Dynamic):
        return None
    below = [_names(child) for child in node.children]
    return None if None in below else frozenset((plain_name(node.name),)).union(*(names for names in below if names))


def placed_everywhere(hooks: Iterable[Hook]) -> list[Placed]:
    """The hooks of an app."""
    return [Placed(hook, 2 if hook.step != "*" else 1 if hook.workflow != "*" else 0) for hook in hooks]


def in_order(point: str, placed: Iterable[Placed]) -> list[Placed]:
    """The order in which hooks come at a point: global first or last, then by priority, then as they were added."""
    sign = 1 if point in FIRST_GLOBAL else -1
    return sorted(placed, key=lambda one: (sign * one.rank, -one.hook.priority))


# --- decorators


class HookOptions(TypedDict, total=False):
    """The options of a hook beside where it stands; see `Hook`."""

    workflow: str
    priority: int
    timeout: Duration | None
    critical: bool
    breaker: Breaker | None
    name: str


class Interceptor(Protocol[H_contra]):
    """Makes a function with this argument and answer a hook."""

    def __call__(self, fn: H_contra, /) -> Hook:
        """The hook."""
        ...


BeforeAnswer: TypeAlias = Continue | Replace | Skip | Cancel | Veto | None
AfterAnswer: TypeAlias = Continue | Replace | Again | Cancel | Veto | None
StartAnswer: TypeAlias = BeforeAnswer
ValueAnswer: TypeAlias = Continue | Replace | Cancel | Veto | None
FailAnswer: TypeAlias = Continue | Replace | Cancel | None
FallbackAnswer: TypeAlias = Continue | Redirect | Cancel | Veto | None
BranchAnswer: TypeAlias = Continue | Redirect | Skip | Cancel | Veto | None
LoopAnswer: TypeAlias = Continue | Replace | Skip | Redirect | Cancel | Veto | None
ForkAnswer: TypeAlias = Continue | Narrow | Skip | Cancel | Veto | None

CancelAnswer: TypeAlias = Continue | Veto | None
SignalAnswer: TypeAlias = Continue | Replace | Skip | Cancel | Veto | None
CheckpointAnswer: TypeAlias = Continue | Replace | Veto | None
RollbackAnswer: TypeAlias = Continue | Redirect | Veto | None
LimitAnswer: TypeAlias = Continue | Replace | Skip | Again | Redirect | Cancel | Veto | None
UndoAnswer: TypeAlias = Continue | Replace | Skip | Veto | None
UndoneAnswer: TypeAlias = Continue | Veto | None
UndoErrorAnswer: TypeAlias = Continue | Again | Skip | None

LoopPoint: TypeAlias = Literal["loop_start", "iteration", "iterated", "loop_end"]


@overload
def before(fn: Asked[BeforeStep, BeforeAnswer], /) -> Hook: ...
@overload
def before(step: str = "*", /, **options: Unpack[HookOptions]) -> Interceptor[Asked[BeforeStep, BeforeAnswer]]: ...
@told
def before(step: Any = "*", /, **options: Unpack[HookOptions]) -> Any:
    """Ask this function before a step runs: `@before`, or `@before("fetch", priority=5)`."""
    return _at("before", step, options)


@overload
def after(fn: Asked[AfterStep, AfterAnswer], /) -> Hook: ...
@overload
def after(step: str = "*", /, **options: Unpack[HookOptions]) -> Interceptor[Asked[AfterStep, AfterAnswer]]: ...
@told
def after(step: Any = "*", /, **options: Unpack[HookOptions]) -> Any:
    """Ask this function after a step returned: `@after`, or `@after("fetch")`."""
    return _at("after", step, options)


@overload
def on_error(fn: Asked[StepErring, AfterAnswer], /) -> Hook: ...
@overload
def on_error(step: str = "*", /, **options: Unpack[HookOptions]) -> Interceptor[Asked[StepErring, AfterAnswer]]: ...
@told
def on_error(step: Any = "*", /, **options: Unpack[HookOptions]) -> Any:
    """Ask this function when an attempt of a step failed: `@on_error`, or `@on_error("fetch")`."""
    return _at("error", step, options)


def _at(point: str, step: Any, options: Any) -> Any:
    require("hooks", point)
    if not isinstance(step, str):
        return Hook(point, step)
    return partial(_made, point, {"step": step, **options})


def _made(point: str, options: dict[str, Any], fn: Any) -> Hook:
    require("hooks", point)
    return Hook(point, fn, **options)


_O = HookOptions


@overload
def intercept(
    point: Literal["start"], step: str = "*", /, **o: Unpack[_O]
) -> Interceptor[Asked[RunStarting, StartAnswer]]: ...
@overload
def intercept(
    point: Literal["complete"], step: str = "*", /, **o: Unpack[_O]
) -> Interceptor[Asked[RunCompleting, ValueAnswer]]: ...
@overload
def intercept(
    point: Literal["fail"], step: str = "*", /, **o: Unpack[_O]
) -> Interceptor[Asked[RunFailing, FailAnswer]]: ...
@overload
def intercept(
    point: Literal["stage"], step: str = "*", /, **o: Unpack[_O]
) -> Interceptor[Asked[StageEntering, ValueAnswer]]: ...
@overload
def intercept(
    point: Literal["before"], step: str = "*", /, **o: Unpack[_O]
) -> Interceptor[Asked[BeforeStep, BeforeAnswer]]: ...
@overload
def intercept(
    point: Literal["after"], step: str = "*", /, **o: Unpack[_O]
) -> Interceptor[Asked[AfterStep, AfterAnswer]]: ...
@overload
def intercept(
    point: Literal["error"], step: str = "*", /, **o: Unpack[_O]
) -> Interceptor[Asked[StepErring, AfterAnswer]]: ...
@overload
def intercept(
    point: Literal["fallback"], step: str = "*", /, **o: Unpack[_O]
) -> Interceptor[Asked[FallbackChoosing, FallbackAnswer]]: ...
@overload
def intercept(
    point: Literal["branch"], step: str = "*", /, **o: Unpack[_O]
) -> Interceptor[Asked[BranchChoosing, BranchAnswer]]: ...
@overload
def intercept(point: LoopPoint, step: str = "*", /, **o: Unpack[_O]) -> Interceptor[Asked[LoopTurning, LoopAnswer]]: ...
@overload
def intercept(
    point: Literal["fork"], step: str = "*", /, **o: Unpack[_O]
) -> Interceptor[Asked[ForkStarting, ForkAnswer]]: ...
@overload
def intercept(
    point: Literal["join"], step: str = "*", /, **o: Unpack[_O]
) -> Interceptor[Asked[JoinEnding, ValueAnswer]]: ...
@overload
def intercept(
    point: Literal["cancel"], step: str = "*", /, **o: Unpack[_O]
) -> Interceptor[Asked[CancelAsking, CancelAnswer]]: ...
@overload
def intercept(
    point: Literal["signal"], step: str = "*", /, **o: Unpack[_O]
) -> Interceptor[Asked[SignalArriving, SignalAnswer]]: ...
@overload
def intercept(
    point: Literal["checkpoint"], step: str = "*", /, **o: Unpack[_O]
) -> Interceptor[Asked[CheckpointNaming, CheckpointAnswer]]: ...
@overload
def intercept(
    point: Literal["rollback"], step: str = "*", /, **o: Unpack[_O]
) -> Interceptor[Asked[RollbackStarting, RollbackAnswer]]: ...
@overload
def intercept(
    point: Literal["limit"], step: str = "*", /, **o: Unpack[_O]
) -> Interceptor[Asked[LimitReaching, LimitAnswer]]: ...
@overload
def intercept(
    point: Literal["compensation"], step: str = "*", /, **o: Unpack[_O]
) -> Interceptor[Asked[UndoStarting, UndoAnswer]]: ...
@overload
def intercept(
    point: Literal["compensated"], step: str = "*", /, **o: Unpack[_O]
) -> Interceptor[Asked[UndoEnding, UndoneAnswer]]: ...
@overload
def intercept(
    point: Literal["compensation_error"], step: str = "*", /, **o: Unpack[_O]
) -> Interceptor[Asked[UndoErring, UndoErrorAnswer]]: ...
@told
def intercept(point: str, step: str = "*", /, **o: Unpack[_O]) -> Any:
    """Ask this function at a point: `@intercept("branch")`, `@intercept("fork", "crawl*")`."""
    return partial(_made, point, {"step": step, **o})


@overload
def observe(
    point: Literal["start"], step: str = "*", /, **o: Unpack[_O]
) -> Interceptor[Asked[Observed[e.RunStarted | e.ScopeStarted], object]]: ...
@overload
def observe(
    point: Literal["complete"], step: str = "*", /, **o: Unpack[_O]
) -> Interceptor[Asked[Observed[e.RunCompleted], object]]: ...
@overload
def observe(
    point: Literal["fail"], step: str = "*", /, **o: Unpack[_O]
) -> Interceptor[Asked[Observed[e.RunFailed], object]]: ...
@overload
def observe(
    point: Literal["before"], step: str = "*", /, **o: Unpack[_O]
) -> Interceptor[Asked[Observed[e.StepScheduled], object]]: ...
@overload
def observe(
    point: Literal["after"], step: str = "*", /, **o: Unpack[_O]
) -> Interceptor[Asked[Observed[e.StepCompleted], object]]: ...
@overload
def observe(
    point: Literal["error"], step: str = "*", /, **o: Unpack[_O]
) -> Interceptor[Asked[Observed[e.StepFailed | e.AttemptLost], object]]: ...
@overload
def observe(point: str, step: str = "*", /, **o: Unpack[_O]) -> Interceptor[Asked[Observed, object]]: ...
@told
def observe(point: str, step: str = "*", /, **o: Unpack[_O]) -> Any:
    """Tell this function afterwards: `@observe("after", "fetch")`; `@observe("event")` is told of every event."""
    return partial(_made, point, {"step": step, "observes": True, **o})
