"""One tree of errors and one table of codes: what happened, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal

from .advice import ADVICE


@dataclass(frozen=True, slots=True)
class Code:
    """What a code means, and whether trying again may help."""

    meaning: str
    retryable: bool = False


CODES: dict[str, Code] = {
    # definitions
    "invalid_workflow": Code("the definition of a workflow is wrong"),
    "invalid_config": Code("an option has a value that it cannot have"),
    "cycle": Code("a graph depends on itself"),
    "unknown_dependency": Code("a node depends on one that is not in the graph"),
    "duplicate_name": Code("two things that must differ have one name"),
    "type_mismatch": Code("the annotations of two neighbours do not fit"),
    "unresolved_annotation": Code("an annotation names what cannot be found"),
    "no_undo": Code("a reversible step does not say what undoes it, or its undo cannot undo it"),
    "definition_changed": Code("the structure of a workflow changed under an unfinished run"),
    "unknown_target": Code("the code of a workflow is not where its target says"),
    "unknown_workflow": Code("no workflow of that name is registered"),
    "not_available": Code("this needs something that is not here"),
    "extra_missing": Code("an optional dependency is not installed"),
    "invalid_condition": Code("a condition that is data cannot be understood"),
    "invalid_expression": Code("an expression of a document cannot be understood"),
    "invalid_type": Code("a document names no type where one is needed"),
    "unknown_type": Code("a document names a step type that is not registered"),
    "unknown_step": Code("a document looks at a step that it does not have"),
    "not_exportable": Code("a workflow holds what no document can say"),
    "effect_exceeded": Code("a step that says that it changes nothing calls one that does"),
    "not_speculable": Code("something is to be run in several copies that may be run once only"),
    # values
    "invalid_input": Code("a value does not have the type that was declared for it"),
    "invalid_output": Code("a step returned something else than it declares"),
    "not_encodable": Code("a value cannot be written as JSON"),
    "invalid_field": Code("a value does not fit the field of the state that it is for"),
    "no_state": Code("there is no state of that class here, or its field was never set"),
    "state_conflict": Code("branches that do not see each other wrote one field of the state"),
    "no_case": Code("no case takes this value"),
    "illegal_handoff": Code("a node of a router hands on to one that it may not hand on to"),
    "too_many_transitions": Code("a router did not come to an end within the number of transitions that it is allowed"),
    "rule_failed": Code("a result does not keep a rule of its workflow"),
    "transaction_failed": Code("what a step writes to the store's database cannot be written", retryable=True),
    # attempts
    "step_failed": Code("a step raised an error", retryable=True),
    "timeout": Code("an attempt took longer than its timeout", retryable=True),
    "deadline_exceeded": Code("a run or scope had no time left"),
    "attempt_lost": Code("the process that ran an attempt ended without a report", retryable=True),
    "outcome_unknown": Code(
        "an irreversible call inside a step ended without a report: the step waits for who can say what it did"
    ),
    "process_died": Code("the child process of an attempt ended without a report", retryable=True),
    "cancelled": Code("it was cancelled"),
    "terminated": Code("it was terminated"),
    "undone": Code("what it did was taken back"),
    "join_impossible": Code("too few branches succeeded"),
    "late_item": Code("an item of a stream came after the window of its time had been given"),
    "expression_failed": Code("an expression of a document could not be evaluated"),
    "stream_overflow": Code("a buffer of a stream was full, and its policy is to refuse"),
    "stream_not_resumable": Code("the source of a stream cannot go on in the middle"),
    "vetoed": Code("a hook forbade it"),
    "hook_failed": Code("a hook raised, or a critical one was left out"),
    "invalid_answer": Code("a hook answered something that makes no sense where it stands"),
    "foreign_await": Code("a durable function awaited something that is not a call of its context"),
    "nondeterminism": Code("replay decided otherwise than the journal says"),
    "function_too_long": Code("a durable function made more calls than it can"),
    "workflow_deadlock": Code("a run can never advance"),
    # sessions
    "session_not_found": Code("there is no session of this id"),
    "session_exists": Code("a session of this id was created with another owner or other limits"),
    "artifact_not_found": Code("there is no artifact of this name or version"),
    "limit_exceeded": Code("a run or session used all that its limits allow"),
    "invalid_state": Code("something is asked for that the present state does not allow"),
    "unknown_pool": Code("a step names a pool that the app does not have"),
    "pool_unhealthy": Code("no member of a pool is well", retryable=True),
    "update_refused": Code("a run refused an update"),
    "update_unanswered": Code("a run ended, or was left alone, without an answer to an update"),
    "update_timeout": Code("an update was not answered in time; it is still with the run"),
    "unknown_query": Code("a run answers no query of this name"),
    "query_failed": Code("what answers a query raised"),
    "vote_refused": Code("an answer to an approval does not count"),
    "unknown_executor": Code("a step names an executor that the app does not have"),
    # ready-made steps
    "secret_missing": Code("a secret is not where its reference says"),
    "executable_missing": Code("a program is not installed, or cannot be run"),
    "process_failed": Code("a program ended with a status that means failure", retryable=True),
    "task_faulted": Code("a task of an Open Workflow document raised an error, or met one: see its problem details"),
    "no_output": Code("a program said nothing for too long", retryable=True),
    "too_large": Code("an output or answer is larger than is allowed"),
    "http_status": Code("an HTTP service answered with a status that means failure", retryable=True),
    "http_failed": Code("an HTTP service could not be reached, or the connection broke", retryable=True),
    "address_refused": Code("an address is not in the public internet, and not allowed by name"),
    "certificate_refused": Code("the certificate of a service is not to be trusted"),
    "token_refused": Code("an authority gave out no token for a call"),
    "grpc_status": Code("a gRPC service answered with a status that means failure", retryable=True),
    "grpc_failed": Code("a gRPC service could not be reached", retryable=True),
    "invalid_description": Code("the description of an API cannot be used"),
    "unknown_operation": Code("an API has no operation or method of that name"),
    "agent_failed": Code("an agent told of an error, or did not come to an end", retryable=True),
    "agent_asks": Code("an agent of elsewhere asks something before it goes on"),
    "invalid_agent_answer": Code("an agent of elsewhere gave what is not of its protocol, or not of the wanted type"),
    "webhook_failed": Code("a webhook was not taken by its endpoint", retryable=True),
    "webhook_refused": Code("a webhook that came in is not to be trusted"),
    "rejected": Code("a person said no, or nobody answered in time"),
    "outside_workspace": Code("a path leads out of the folder that it is for"),
    # models and agents
    "model_not_configured": Code("no model is configured, or there is no key for it"),
    "unknown_model": Code("nobody knows a model of this name"),
    "model_unauthorized": Code("a provider of models refused the key"),
    "model_rate_limited": Code("a provider of models is asked too often", retryable=True),
    "model_quota_exceeded": Code("what may be spent at a provider of models is spent"),
    "model_unavailable": Code("a model could not be reached, or broke off", retryable=True),
    "model_refused": Code("a provider of models refused a request"),
    "context_too_long": Code("a conversation is longer than a model can read"),
    "answer_filtered": Code("a provider of models withheld an answer"),
    "invalid_model_answer": Code("a model answered something that does not have the form that it was asked for", True),
    "wrong_dimension": Code("vectors have another number of dimensions than the store that they are for"),
    "unknown_tool": Code("no tool of that name is registered"),
    "tool_forbidden": Code("an agent may not use a tool, or not in this way"),
    "tool_failed": Code("a tool of another server answered that it failed", retryable=True),
    "tool_unavailable": Code("a server with tools cannot be reached, or the connection broke", retryable=True),
    "tools_changed": Code("the tools of a server are not those that an unfinished step was told about"),
    "unknown_agent": Code("no agent of that name is registered"),
    "agent_unavailable": Code("an agent is paused, stopped or broken", retryable=True),
    "framework_unsupported": Code("an agent framework is of a version, or an object of a kind, that is not supported"),
    "agent_limit": Code("an agent did not come to an end within what it is allowed"),
    # runs
    "run_failed": Code("a run failed"),
    "run_exists": Code("a run of this id was started with another workflow or input"),
    "run_not_found": Code("there is no run of this id"),
    "illegal_transition": Code("a run cannot go from its status to that one"),
    "fenced": Code("another owner took the run over"),
    "migration_missing": Code("a run is of another version, and nothing says how to take it over"),
    "migration_failed": Code("a migration raised, or what it made does not fit"),
    "no_such_place": Code("a run has no such checkpoint, step or event"),
    "late_outcome": Code("the step did its work after all, when it had been given up and perhaps undone"),
    "irreversible": Code("nothing can undo what the step did"),
    "effects_undecided": Code("steps that changed the world would be done again, and nobody said that they may"),
    "owned_elsewhere": Code("another living process owns the run"),
    "interrupted": Code("the process was asked to stop; the run can be resumed"),
    # stores
    "store_failed": Code("the store could not do what was asked", retryable=True),
    "store_locked": Code("another process keeps the database locked", retryable=True),
    "store_full": Code("there is no space left for the journal"),
    "store_readonly": Code("the database cannot be written"),
    "store_corrupt": Code("the database is damaged or is no database"),
    "store_newer": Code("the database was written by a newer version"),
    "unknown_store": Code("no store has this kind of address"),
    # use
    "usage": Code("a call or command that cannot be understood"),
    "closed": Code("it was used after it was closed"),
}


class RipresaError(Exception):
    """The root of every error that Ripresa raises.

    `code` is stable and stands in `CODES`; `where` is the path of a node, file or field; `hint` says what to do: what
    whoever raised it said, else the advice for its code, which is shown and never recorded.
    Errors are told apart by class and code, never by the text of a message. `unknown` says that nobody knows what the
    attempt of a step did that raised it.
    """

    default_code = "step_failed"
    unknown = False

    def __init__(self, message: str, *, code: str | None = None, op: str = "", where: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.code = code or self.default_code
        self.message = message
        self.op = op
        self.where = where
        self.hint = hint
        if self.code not in CODES:
            raise _no_code(self)

    @property
    def hint(self) -> str:
        """What to do about it. May be worded better in later versions where `said` is empty: nothing to decide by."""
        return self.said or ADVICE.get(self.code, "")

    @hint.setter
    def hint(self, said: str) -> None:
        self.__dict__["hint"] = said

    @property
    def said(self) -> str:
        """What to do about it, as far as whoever raised it said so: a part of what is recorded."""
        return str(self.__dict__.get("hint", ""))

    def __str__(self) -> str:
        place = self.where or self.op
        own = self.code == "step_failed" or "failure" in self.__dict__  # what users wrote, and what was recorded, stays
        hint = self.said if own else self.hint
        return f"[{self.code}] {place and f'{place}: '}{self.message}{hint and f' ({hint})'}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


def _no_code(error: RipresaError) -> InvalidConfig:
    """What is raised in the place of an error whose code is not in the table: never tried again, in doubt as it was."""
    found = InvalidConfig(
        f"{error.message} (it was raised with {error.code!r}, which is not in the table of codes)",
        op=type(error).__name__,
        hint="use a code of ripresa.errors.CODES, or none; an error of your own is a subclass: class Poor(StepError)",
    )
    found.unknown = error.unknown
    return found


def _rebuild(kind: type[RipresaError], args: tuple[Any, ...], fields: dict[str, Any]) -> RipresaError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(fields)
    return error


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a definition: the path of the node, what it is, its code."""

    where: str
    message: str
    code: str = "invalid_workflow"
    severity: Literal["error", "warning"] = "error"
    """A warning is doubtful only: what it is about can run, and `check` alone tells it."""
    advice: str = ""
    """What to do about it, where that is something else than for others of its code."""

    @property
    def hint(self) -> str:
        """What to do about it."""
        return self.advice or ADVICE.get(self.code, "")

    def __str__(self) -> str:
        return f"{self.where}: {self.message} [{self.code}]" if self.where else f"{self.message} [{self.code}]"


class InvalidWorkflow(RipresaError):
    """A definition that cannot run. `problems` lists everything that is wrong with it, not only the first."""

    default_code = "invalid_workflow"

    def __init__(self, problems: Iterable[Problem], *, op: str = "", where: str = "", hint: str = "") -> None:
        self.problems = tuple(problems)
        codes = {problem.code for problem in self.problems}
        code = codes.pop() if len(codes) == 1 else "invalid_workflow"
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        only = str(self.problems[0].message) if len(self.problems) == 1 else f"{len(self.problems)} problems\n{lines}"
        place = where or (self.problems[0].where if len(self.problems) == 1 else "")
        same = [problem.hint for problem in self.problems if problem.code == code]
        super().__init__(only, code=code, op=op, where=place, hint=hint or "; ".join(filter(None, dict.fromkeys(same))))


class InvalidConfig(RipresaError):
    """An option with a value that it cannot have. `complaints` are what is wrong, one by one, where it is several."""

    default_code = "invalid_config"
    complaints: tuple[str, ...] = ()


class InvalidValue(RipresaError):
    """A value that does not fit its declared type (`invalid_input`, `invalid_output`, `not_encodable`)."""

    default_code = "invalid_input"


class BadCall(RipresaError, TypeError):
    """A function of Ripresa was called with arguments that it does not take: a `TypeError` like any other."""

    default_code = "usage"


class DefinitionChanged(RipresaError):
    """The structure of a workflow changed under an unfinished run; `nodes` names what differs."""

    default_code = "definition_changed"
    nodes: tuple[str, ...] = ()


class Nondeterminism(RipresaError):
    """Replay decided otherwise than the journal says."""

    default_code = "nondeterminism"


class RunError(RipresaError):
    """Something about one run: `run` is its id."""

    default_code = "run_failed"

    def __init__(
        self, message: str, *, run: str = "", code: str | None = None, op: str = "", where: str = "", hint: str = ""
    ) -> None:
        super().__init__(message, code=code, op=op, where=where, hint=hint)
        self.run = run


class RunFailed(RunError):
    """A run ended as failed. `failure` is what the journal recorded, with the step's path and attempt."""

    default_code = "run_failed"
    failure: Any = None


class RunCancelled(RunError):
    """A run was cancelled (or, with the code `terminated`, killed): why, and which clean-up handlers failed.

    `at` is the time when it ended; `undone` are the paths of the steps that were undone, in this order, `not_undone`
    those that should have been, each with its failure.
    """

    default_code = "cancelled"
    reason: str = ""
    failures: tuple[Any, ...] = ()
    at: datetime | None = None
    undone: tuple[str, ...] = ()
    not_undone: Mapping[str, Any] = MappingProxyType({})


class RunNotFound(RunError):
    """There is no run of this id."""

    default_code = "run_not_found"


class RunExists(RunError):
    """A run of this id was started with another workflow or input."""

    default_code = "run_exists"


class IllegalTransition(RunError):
    """A run cannot go from its status to the one asked for."""

    default_code = "illegal_transition"


class SessionError(RipresaError):
    """Something about one session: `session` is its id."""

    default_code = "invalid_state"

    def __init__(
        self, message: str, *, session: str = "", code: str | None = None, op: str = "", where: str = "", hint: str = ""
    ) -> None:
        super().__init__(message, code=code, op=op, where=where, hint=hint)
        self.session = session


class Fenced(RunError):
    """Another owner appended to the run's journal: the state held here is stale."""

    default_code = "fenced"


class StoreError(RipresaError):
    """The store could not do what was asked; the code says why."""

    default_code = "store_failed"


class StepFailed(RipresaError):
    """What a durable function sees for a failed call whose exception class cannot be raised again.

    `failure` is what the journal recorded; the code says what happened (`timeout`, `cancelled`, ...).
    """

    default_code = "step_failed"
    failure: Any = None


class StepTimeout(StepFailed, TimeoutError):
    """What a durable function sees when an attempt took longer than its timeout: a `TimeoutError` like any other."""

    default_code = "timeout"


class StepError(RipresaError):
    """Raised by a step to fail with a code of the table and say itself whether trying again may help.

    A code that is not in the table is `InvalidConfig`, which is not tried again.
    `retry_after` is how many seconds the next try, if there is one, waits at least (what a server asked for).
    `unknown` says that nobody knows what the attempt did: an irreversible step then waits for who does, instead of
    failing or being tried again.
    """

    default_code = "step_failed"
    retry_after: float = 0.0
    unknown = False

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        retryable: bool = True,
        hint: str = "",
        retry_after: float = 0.0,
        unknown: bool = False,
    ) -> None:
        self.unknown = unknown
        super().__init__(message, code=code, hint=hint)
        self.retryable = retryable
        self.retry_after = retry_after


class ModelError(StepError):
    """A language model could not be asked, or gave no answer that can be used; the code says which."""

    default_code = "model_unavailable"

    def __init__(self, message: str, *, code: str | None = None, hint: str = "") -> None:
        super().__init__(message, code=code, hint=hint, retryable=_may_help(code or self.default_code))


class ToolFailed(StepError):
    """A tool of another server failed: `content` is what it said, as a JSON value."""

    default_code = "tool_failed"
    server: str = ""
    tool: str = ""
    content: Any = None


def _may_help(code: str) -> bool:
    """Whether trying again may help; never where a code is not in the table, as one of a newer version."""
    return code in CODES and CODES[code].retryable


def asked_wait(error: BaseException) -> float:
    """Seconds that an error asks to wait before the next try."""
    return error.retry_after if isinstance(error, StepError) else 0.0


def is_retryable(error: BaseException) -> bool:
    """Whether trying again may help, by the table of codes, also through wrapping (`__cause__`).

    An error of user code has no code: it is retryable unless it is one that no second try can mend
    (cancellation, exit). A group is retryable if all that is in it is.
    """
    seen: set[int] = set()
    current = error
    while id(current) not in seen:
        seen.add(id(current))
        if isinstance(current, BaseExceptionGroup):
            members: tuple[BaseException, ...] = current.exceptions  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            return all(map(is_retryable, members))
        if isinstance(current, StepError):
            return current.retryable and current.code in CODES
        if isinstance(current, RipresaError) and current.code != "run_failed":
            return _may_help(current.code)
        if current.__cause__ is None:
            return isinstance(current, Exception) and not isinstance(current, RipresaError)
        current = current.__cause__
    return False
