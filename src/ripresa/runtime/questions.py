"""One question to interceptors: what they are asked about, decoded anew for each, and what their answers come to."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

from ..authoring.asked import (
    UNSET,
    AfterStep,
    Again,
    Answer,
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
from ..authoring.encoding import encode
from ..authoring.hooks import WORDS, Hook, allowed_at
from ..authoring.options import bad_count
from ..core.bounds import TIME_IS_UP
from ..core.commands import Intercept
from ..core.durations import microseconds
from ..core.events import Failure, Intercepted, Requested
from ..core.frames import CallFrame
from ..core.gates import UNDOING, Gate, place_of
from ..core.limits import Limits, Policy
from ..core.nodes.answer import UPDATES
from ..core.nodes.branch import Branch
from ..core.nodes.choose import Choose
from ..core.nodes.fallback import Fallback
from ..core.nodes.graph import RUN, SKIP
from ..core.nodes.graph import Gate as Gatekeeper
from ..core.nodes.node import Node
from ..core.nodes.router import END, FINISH, Router
from ..core.points import ANSWERS
from ..core.values import NULL, Value, text_of
from ..errors import RipresaError
from .attempts import bound_at
from .functions import moment

if TYPE_CHECKING:
    from .driver import Driver

Place: TypeAlias = tuple[str, str, str, str, str, datetime]
"""What everything that is asked about begins with; see `Point`."""

_ABOUT_INPUT = ("start", "stage", "loop_start", "branch", "fork", "fallback")


class Question:
    """A gate as its interceptors see it, one after another."""

    def __init__(self, driver: Driver, command: Intercept, *, waits: bool) -> None:
        self.driver = driver
        self.state = driver.state
        self.path = command.path
        self.point = command.point
        self.waits = waits
        self.frame: Any = driver.state.frames.get(command.path) or driver.state.root
        self.gate = driver.state.gates[command.path]
        self.value: Value = self.gate.value
        self.replaced = False
        self.shaped: list[str] = []
        self.decided: Intercepted | None = None
        self._encoded: Value = NULL

    @property
    def at(self) -> int:
        """The moment of a fact: the present, unless all is said in the same breath."""
        return max(self.driver.clock.now(), self.state.at) if self.waits else self.state.at

    # --- asking

    def asked(self) -> Any:
        """What a hook is handed, with values of its own."""
        gate, frame = self.gate, self.frame
        name, path = place_of(frame, gate)
        place = (self.point, self.state.run, self.state.definition.name, path, name, moment(self.at))
        match self.point:
            case "before":
                return BeforeStep(*place, self._arguments())
            case "after":
                return AfterStep(*place, self._read(), frame.attempt)
            case "error":
                return StepErring(*place, self._failure(), frame.attempt, gate.number > 0)
            case "start" | "complete" | "fail":
                return self._asked_of_run(place)
            case "stage":
                return StageEntering(*place, gate.detail, gate.number, self._read())
            case "fallback":
                return FallbackChoosing(*place, gate.detail, self.choices, self._failure())
            case "branch":
                return BranchChoosing(*place, gate.detail, self.choices, self._read())
            case "fork":
                return ForkStarting(*place, gate.number, frame.node.window or gate.number, self._read())
            case "join":
                return JoinEnding(*place, self._read())
            case "loop_start" | "iteration" | "iterated" | "loop_end":
                return LoopTurning(*place, self._read(), gate.number)
            case _:
                return self._asked_rarely(place)

    def _asked_of_run(self, place: Place) -> Any:
        if self.point == "start":
            return RunStarting(*place, self._read())
        return RunCompleting(*place, self._read()) if self.point == "complete" else RunFailing(*place, self._failure())

    def _asked_rarely(self, place: Place) -> Any:
        """The same at points that do not belong to the way forward."""
        gate, request = self.gate, self.state.requests.get(self.path)
        match self.point:
            case "limit":
                return LimitReaching(*place, *limit_in(gate), gate.detail, self._told["session"])
            case "compensation":
                entry = self.state.ledger.entries[gate.number]
                return UndoStarting(*place, self._read() if entry.known else None, entry.known)
            case "compensated":
                return UndoEnding(*place)
            case "compensation_error":
                return UndoErring(*place, self._failure(), self.frame.tries)
            case _:
                assert request is not None
                return _about(place, request, self._sent())

    @property
    def _told(self) -> dict[str, Any]:
        """What is told of a limit that is reached."""
        told: dict[str, Any] = json.loads(text_of(self.gate.value))
        return told

    def _sent(self) -> Any:
        """What came with a signal, or inside an update."""
        if self.point != "signal":
            return None
        sent = self.driver.values.read(self.value, Any)
        return json.loads(sent["value"]) if self.gate.detail.startswith(UPDATES) else sent

    @property
    def choices(self) -> tuple[str, ...]:
        """Where a redirection may lead."""
        node = self.frame.node
        if self.point == "limit":
            return get_args(Policy)
        if isinstance(node, Router):
            return tuple(arm.name for arm in node.arms if self._takes(node, arm)) + self._ends(node)
        if isinstance(node, Branch | Choose):
            return tuple(arm.name for arm in node.arms)
        if isinstance(node, Fallback):
            return tuple(choice.name for choice in node.choices)
        return ("end",) if self.point in ("iteration", "iterated") else (RUN, SKIP)

    def _takes(self, node: Router, arm: Node[Any]) -> bool:
        """Whether a router's arm takes what a handoff holds; by type it is looked at when it begins."""
        return not node.handoff or self._reads(node.handed(self.value, self.gate.number), arm.input_type)

    def _ends(self, node: Router) -> tuple[str, ...]:
        """A handoff is no result that a router could end with."""
        return () if node.handoff and self.gate.number != END else (FINISH,)

    def _reads(self, value: Value, kind: Any) -> bool:
        try:
            self.driver.values.read(value, kind)
        except RipresaError:
            return False
        return True

    def _failure(self) -> Failure:
        assert self.gate.failure is not None
        return self.gate.failure

    def _read(self) -> Any:
        return self.driver.values.read(self.value, self._kind)

    @property
    def _kind(self) -> Any:
        """The type of the value that is asked about."""
        node = self.frame.node
        if self.point in UNDOING:
            return self.state.definition.undo(self.state.ledger.entries[self.gate.number]).body.input_type
        if isinstance(self.frame, CallFrame):
            return bound_at(self.driver, self.frame).step.parameters.returns
        if self.point == "stage":
            return node.steps[self.gate.number].input_type
        if self.point == "branch" and not isinstance(node, Branch | Choose):
            return Any  # the results that a node of a graph waits for, or what a router's arm returned
        return node.input_type if self.point in _ABOUT_INPUT else node.output_type

    def _arguments(self) -> dict[str, Any]:
        bound = bound_at(self.driver, self.frame)
        if self.replaced:
            args, kwargs = bound.step.parameters.decode(self.value, self.driver.values)
        else:
            args, kwargs = bound.binding.arguments(self.value, self.driver.values)
        parameters = bound.step.parameters
        single = parameters.single
        if single is not None:
            default = parameters.signature.parameters[single].default
            return {single: args[0] if args else kwargs.get(single, default)}
        return dict(parameters.signature.bind(*args, **kwargs).arguments)

    # --- answering

    def check(self, hook: Hook, answer: Any) -> None:
        """Raise `invalid_answer` for one that makes no sense here, `InvalidValue` for a value of another type."""
        if answer is None or isinstance(answer, Continue):
            return
        kind: type[Any] = type(answer)  # pyright: ignore[reportUnknownVariableType]
        if WORDS.get(kind) not in ANSWERS[self.point]:
            legal = f"at {self.point!r} it may answer {allowed_at(self.point)}"
            raise self._invalid(hook, f"answered {answer!r}", legal)
        wrong = self._wrong_here(answer)
        if wrong:
            raise self._invalid(hook, f"answered {answer!r}", wrong)
        if isinstance(answer, Redirect) and self.point != "rollback" and answer.to not in self.choices:
            raise self._invalid(hook, f"redirects to {answer.to!r}", f"there are {', '.join(map(repr, self.choices))}")
        if isinstance(answer, Redirect) and isinstance(self.frame.node, Router) and answer.to == FINISH:
            self.driver.values.read(self.value, self.frame.node.output_type)  # it becomes the router's result
        if isinstance(answer, Narrow) and bad_count(answer.to, "to"):
            raise self._invalid(hook, f"narrows to {answer.to!r}", "give a whole number from 1")
        if isinstance(answer, Again):
            microseconds(answer.after, "after")
        if isinstance(answer, Replace | Skip):
            self._encoded = self._encode(answer)

    def _wrong_here(self, answer: Any) -> str:
        """Why an answer that is legal at its point is not where it was given."""
        if self.point == "checkpoint" and isinstance(answer, Replace) and not isinstance(answer.value, str):
            return "the name of a checkpoint is text"
        if self.point == "rollback" and isinstance(answer, Redirect):
            return self._no_place(answer.to)
        return self._wrong_of_limit(answer) if self.point == "limit" else ""

    def _no_place(self, to: str) -> str:
        assert self.driver.hooks is not None
        try:
            self.driver.hooks.place(to)
        except RipresaError as error:
            return error.message
        return ""

    def _wrong_of_limit(self, answer: Any) -> str:
        told = self._told
        if isinstance(answer, Skip | Again) and self.path == TIME_IS_UP:
            return "no step has reached this limit"
        if isinstance(answer, Again) and not microseconds(answer.after, "after"):
            return "say after how long it may be tried again"
        if not isinstance(answer, Replace):
            return ""
        if told["session"]:
            return "the limits of a session are set with app.sessions.allow"
        if not isinstance(answer.value, Limits):
            return "it is replaced by other Limits"
        allowed, used = getattr(answer.value, told["limit"]), told["used"]
        return "" if allowed is None or allowed > used else f"{used:g} of {told['limit']} are used already"

    def _invalid(self, hook: Hook, what: str, hint: str) -> RipresaError:
        return RipresaError(f"hook {hook.name!r} {what}", code="invalid_answer", where=self.path, hint=hint)

    def _encode(self, answer: Replace | Skip) -> Value:
        if self.point in ("limit", "signal", "checkpoint") or self.point in UNDOING:
            return self._encode_rarely(answer)
        if answer.value is UNSET:
            nothing = self.point == "iteration" or isinstance(self.frame.node, Gatekeeper)
            return NULL if nothing else self._keep(None, self._result_kind)
        if isinstance(answer, Replace) and self.point == "before":
            return self.driver.keeper.keep(self._new_arguments(answer.value))
        return self._keep(answer.value, self._result_kind if isinstance(answer, Skip) else self._kind_of_replacement)

    def _encode_rarely(self, answer: Replace | Skip) -> Value:
        if isinstance(answer, Skip):
            given = None if answer.value is UNSET else answer.value
            return self._keep(given, self._result_kind) if self.point == "limit" else NULL
        if self.point == "limit":
            return answer.value.encode().encode() or b"{}"
        if self.point == "signal":
            return self.driver.keeper.keep(self._resent(encode(answer.value, where=self.path)))
        return self._keep(answer.value, self._kind if self.point in UNDOING else str)

    def _resent(self, text: bytes) -> bytes:
        """Another value in the place of that which came; an update keeps its sender."""
        if not self.gate.detail.startswith(UPDATES):
            return text
        sent = self.driver.values.read(self.gate.value, Any)
        return json.dumps({**sent, "value": text.decode()}).encode()

    def _keep(self, value: Any, kind: Any) -> Value:
        return self.driver.keeper.keep(encode(value, kind, where=self.path))

    @property
    def _result_kind(self) -> Any:
        """The type of what it returns that is left out."""
        if isinstance(self.frame, CallFrame):
            return bound_at(self.driver, self.frame).step.parameters.returns
        return self.frame.node.output_type

    @property
    def _kind_of_replacement(self) -> Any:
        return self._result_kind if self.point in ("error", "fail") else self._kind

    def _new_arguments(self, value: Any) -> bytes:
        parameters = bound_at(self.driver, self.frame).step.parameters
        if parameters.single is None and isinstance(value, dict):
            given: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
            return parameters.encode((), given, where=self.path)
        if parameters.single is not None:
            return parameters.encode((), {parameters.single: value}, where=self.path)
        return parameters.encode((value,), {}, where=self.path)

    def take(self, hook: Hook, answer: Answer) -> bool:
        """Take an answer that was checked; whether it decides, so that nobody else is asked."""
        if isinstance(answer, Continue) or (isinstance(answer, Again) and self._tries >= answer.at_most):
            return False
        self.shaped.append(hook.name)
        if isinstance(answer, Replace):
            self.value, self.replaced = self._encoded, True
            return self.point in ("error", "fail")
        self.decided = self._decision(answer)
        return True

    @property
    def _tries(self) -> int:
        """How often that has been tried which is to be tried again; at a limit, how often it was let wait."""
        if self.point == "limit":
            return int(self.frame.delays)
        tries: int = self.frame.tries if self.point in UNDOING else self.frame.attempt
        return tries

    def _decision(self, answer: Answer) -> Intercepted:
        word, hook = WORDS[type(answer)], ", ".join(self.shaped)
        fact = (self.at, self.path, self.point, word, hook)
        match answer:
            case Skip():
                return Intercepted(*fact, self._encoded, number=int(answer.value is not UNSET))
            case Again():
                return Intercepted(*fact, number=self.at + microseconds(answer.after, "after"))
            case Redirect():
                value = self.value if self.replaced else NULL
                return Intercepted(*fact, value, detail=answer.to, number=int(self.replaced))
            case Narrow():
                return Intercepted(*fact, number=answer.to)
            case _:
                assert isinstance(answer, Cancel | Veto)
                return Intercepted(*fact, detail=answer.reason)

    def refused(self, hook: Hook, failure: Failure) -> Intercepted:
        """The answer where a critical hook failed."""
        return Intercepted(self.at, self.path, self.point, "fail", hook.name, failure=failure)

    def fact(self) -> Intercepted:
        """What all answers come to."""
        if self.decided is not None:
            return self.decided
        hook = ", ".join(self.shaped)
        if self.replaced:
            name = "" if self.point != "checkpoint" else str(self.driver.values.read(self.value, str))
            return Intercepted(self.at, self.path, self.point, "replace", hook, NULL if name else self.value, name)
        return Intercepted(self.at, self.path, self.point, "continue")


def limit_in(gate: Gate) -> tuple[str, float, float]:
    """Which limit is reached, how much of it is used and how much there is."""
    told = json.loads(text_of(gate.value))
    return told["limit"], told["used"], told["allowed"]


def _about(place: Place, request: Requested, sent: Any) -> Any:
    """What is asked about a request."""
    match request.point:
        case "cancel":
            return CancelAsking(*place, request.name, request.by)
        case "checkpoint":
            return CheckpointNaming(*place, request.name, request.by)
        case "rollback":
            return RollbackStarting(*place, request.name, request.number, request.by)
        case _:
            name = request.name.removeprefix(UPDATES)
            return SignalArriving(*place, name, sent, request.id, request.by, name != request.name)
