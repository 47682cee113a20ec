"""Steps that let a coding agent of the command line work: in a worktree of its own, with its conversation journaled.

Law: it is a success only if the program ended with status 0, and told of a final event, and of no error. A program that
is missing is an error; no other takes its place.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, assert_never, cast
from uuid import uuid4

from typing_extensions import Unpack

from ..authoring.call import Call
from ..authoring.options import bad_choice, bad_count, refuse
from ..authoring.step import Step
from ..context import current
from ..core.durations import Duration, seconds
from ..errors import InvalidConfig, InvalidValue, StepError, StepTimeout
from .acp_talk import AcpTalk
from .dialects import DIALECTS, Broke, Dialect, Said, SessionSeen, Sign, Turned, Used
from .making import StepOptions, divided, made, within
from .process import DRAIN, PIECE, Ear, Process, Program, started, usual_environment
from .recipes import kept
from .secret import Secret, hide
from .worktrees import Worktree, commit_of

HOMES: Final = ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME")
"""Where programs keep what they know of their user, besides `HOME`."""

_TOLD: Final = 2000
_log = logging.getLogger("ripresa")
_SESSION: Final = re.compile(r"\w[\w.:-]{0,199}", re.ASCII)


@dataclass(frozen=True, slots=True)
class AgentWork:
    """What a coding agent did: what it said in the end, and its changes as a diff against the commit `base`.

    `session` is the id of its conversation, `tokens` and `cost` what this attempt used; the cost is None where the
    agent has not said all of it.
    """

    text: str
    session: str = ""
    diff: str = ""
    files: tuple[str, ...] = ()
    base: str = ""
    tokens: int = 0
    cost: float | None = 0.0


class AgentOptions(StepOptions, total=False):
    """The options of `cli_agent`."""

    workspace: str | os.PathLike[str]
    at: str
    in_place: bool
    acp: bool | None
    worktrees: str | os.PathLike[str]
    model: str
    program: str | Sequence[str]
    args: Sequence[str]
    env: Mapping[str, str | Secret]
    pass_env: Iterable[str]
    silence: Duration
    grace: Duration
    max_diff: int


class AgentStep(Step[..., AgentWork]):
    """A step that lets a coding agent work on a prompt."""

    def __call__(self, prompt: str, /) -> Call[AgentWork]:
        """See `Step`."""
        return super().__call__(prompt)


def cli_agent(dialect: str | Dialect = "kilo", /, **options: Unpack[AgentOptions]) -> AgentStep:
    """A step that lets a coding agent of the command line work on the prompt that it is given, unattended.

    `dialect` is `kilo`, `kilocode` (before version 7), `codex`, `gemini`, `claude`, `opencode`, or a `Dialect` of one's
    own. It works in a fresh git worktree of the repository `workspace` at the commit `at` ("HEAD"), under `worktrees`
    (".ripresa/worktrees"), which goes when it succeeded; the diff is the result. `in_place` lets it work in `workspace`
    itself, without a diff. `program` is where its program is if not in the path, `args` are further arguments, `model`
    its model. Where the agent speaks the Agent Client Protocol (`kilo`, `gemini`, `opencode`), the extra `acp` is there
    and no `model` is chosen, it is spoken to by that, else by lines of JSON; `acp` says which alone. It is given the
    environment as `shell` does. `silence` is how long it may tell of no event (10 minutes), `timeout` how long it may
    take at all. The id of its conversation is journaled, so that another attempt takes it up where it was; what it used
    counts against the limits of the run. Raises `InvalidConfig`.
    """
    given: dict[str, Any] = dict(options)
    every, own = divided(given)
    names = tuple(DIALECTS)
    known = dialect if isinstance(dialect, Dialect) else DIALECTS.get(dialect)
    refuse(
        "cli_agent",
        None if known is not None else bad_choice(dialect, "dialect", names),
        bad_count(own.get("max_diff", 1), "max_diff"),
        _unknown(own),
        _bad_acp(known, own),
        None if own.get("acp") in (None, True, False) else f"acp is {own['acp']!r}, must be true, false or None",
        *(_not_texts(own.get(name, ()), name) for name in ("args", "pass_env")),
        *_bad_env(own.get("env", {})),
    )
    assert known is not None
    spec = _spec(known, own)
    every.setdefault("name", known.name)
    limit = None if every.get("timeout") is None else seconds(every["timeout"], "timeout")

    async def work(prompt: str, /) -> AgentWork:
        return await within(limit, known.name, _work(spec, prompt))

    again = partial(cli_agent, dialect, **cast("AgentOptions", own))
    return kept(made(AgentStep, work, spec, AgentWork, every), "cli_agent", again, {"dialect": dialect, **own})


@dataclass(frozen=True, slots=True)
class Spec:
    """The options of its kind, checked."""

    dialect: Dialect
    workspace: Path = Path()
    at: str = "HEAD"
    in_place: bool = False
    acp: bool | None = None
    worktrees: Path = Path(".ripresa/worktrees")
    model: str = ""
    args: tuple[str, ...] = ()
    env: Mapping[str, str | Secret] = field(default_factory=dict[str, "str | Secret"])
    pass_env: tuple[str, ...] = ()
    silence: float = 600.0
    grace: float = 5.0
    max_diff: int = 10_485_760


def _unknown(own: Mapping[str, Any]) -> str | None:
    unknown = sorted(set(own) - set(AgentOptions.__annotations__))
    return f"there is no option {', '.join(unknown)}" if unknown else None


def _bad_acp(dialect: Dialect | None, own: Mapping[str, Any]) -> str | None:
    if dialect is None or not own.get("acp"):
        return None
    if not dialect.acp:
        return f"acp: {dialect.name} does not speak the Agent Client Protocol by itself"
    return (
        "model cannot be chosen by the Agent Client Protocol: it is the agent's setting" if own.get("model") else None
    )


def _not_texts(value: Any, name: str) -> str | None:
    texts = not isinstance(value, str) and all(isinstance(each, str) and "\0" not in each for each in value)
    return None if texts else f"{name} is {value!r}, must be a list of texts"


def _bad_env(env: Any) -> list[str]:
    if not isinstance(env, Mapping):
        return ["env must be a mapping"]
    given = cast("Mapping[object, object]", env)
    return [
        f"env has no text and no Secret for {name!r}" for name in given if not isinstance(given[name], str | Secret)
    ]


def _spec(dialect: Dialect, own: dict[str, Any]) -> Spec:
    fixed: dict[str, Any] = dict(own)
    program = fixed.pop("program", None)
    if program is not None:
        first = (program,) if isinstance(program, str) else tuple(program)
        if not first or not all(first):
            raise InvalidConfig(f"program is {program!r}, must name a program", op="cli_agent")
        dialect = replace(dialect, argv=(*first, *dialect.argv[1:]), acp=(*first, *dialect.acp[1:]))
    for name, read in _READ.items():
        if name in fixed:
            fixed[name] = read(fixed[name])
    return Spec(dialect, **fixed)


_READ: Final[Mapping[str, Callable[[Any], Any]]] = {
    "args": tuple,
    "pass_env": tuple,
    "workspace": Path,
    "worktrees": Path,
    "env": dict,
    "silence": lambda value: seconds(value, "silence"),
    "grace": lambda value: seconds(value, "grace"),
}
"""How options become what they are kept as."""


# --- one attempt


async def _work(spec: Spec, prompt: str) -> AgentWork:
    if not prompt.strip():
        raise InvalidValue("the prompt is empty", op="cli_agent")
    worktree = None if spec.in_place else await _worktree(spec)
    place = spec.workspace.resolve() if worktree is None else worktree.place
    if worktree is None and not place.is_dir():
        raise StepError(f"there is no folder {place.name!r}", code="outside_workspace", retryable=False)
    env, secrets = usual_environment((*HOMES, *spec.pass_env)), list[str]()
    for name, value in spec.env.items():
        env[name] = value if isinstance(value, str) else value.read()
        secrets += [] if isinstance(value, str) else [env[name]]
    if not spec.dialect.priced:
        await current().ensure(cost=None)
    program = Program((), place, {**env, "PWD": str(place)}, spec.grace)
    talk, session = await _held(spec, program, secrets, prompt)
    work = AgentWork(talk.text, session, tokens=talk.tokens, cost=talk.cost if talk.priced else None)
    if worktree is None:
        return work
    diff, files = await worktree.changes(spec.max_diff)
    for file in files:
        current().touched(file)
    await worktree.remove()
    return replace(work, diff=hide(diff, secrets), files=tuple(files), base=worktree.base)


async def _held(spec: Spec, program: Program, secrets: list[str], prompt: str) -> tuple[AcpTalk | Talk, str]:
    """The conversation that was had, and the id of its session: by the Agent Client Protocol, or by lines of JSON.

    If nobody says which, a program that does not even answer the greeting of the protocol is asked by lines of JSON.
    """
    if _speaks(spec):
        first = AcpTalk(spec, program, secrets)
        try:
            return first, await first.hold(prompt)
        except StepError as error:
            if spec.acp or first.greeted or error.code == "executable_missing":
                raise
            _log.info("a coding agent does not speak ACP: it is asked by lines of JSON", extra={"why": error.message})
    talk = Talk(spec, program, secrets)
    return talk, await talk.hold(prompt)


def _speaks(spec: Spec) -> bool:
    """Whether the agent is to be spoken to by the Agent Client Protocol, at first."""
    if spec.acp is not None:
        return spec.acp
    return bool(spec.dialect.acp) and not spec.model and find_spec("acp") is not None


async def _worktree(spec: Spec) -> Worktree:
    """The worktree of this step: the same for all its attempts, at the commit that the first one found."""
    repository = spec.workspace.resolve()

    async def base() -> str:
        return await commit_of(repository, spec.at)

    context = current()
    key = f"{context.idempotency_key}" if context.run else uuid4().hex
    place = spec.worktrees.resolve() / sha256(f"{repository}\0{key}".encode()).hexdigest()[:24]
    worktree = Worktree(repository, place, await context.call_with_key("base", base))
    await worktree.make()
    return worktree


async def _finish(process: Process) -> None:
    """Hear no more of a program that has ended, though what escaped from it may still hold its output."""
    await process.wait()
    await asyncio.sleep(DRAIN)
    process.stdout.feed_eof()


class Talk:
    """One conversation with a program: what it was, is and has come to."""

    def __init__(self, spec: Spec, program: Program, secrets: list[str]) -> None:
        self.text = ""
        self.tokens = 0
        self.cost = 0.0
        self.priced = True
        self._spec = spec
        self._program = program
        self._secrets = secrets
        self._session = ""
        self._final = False
        self._errors: list[str] = []
        self._count = 0
        self._complaint = bytearray()
        self._ear = Ear(spec.silence)
        self._process: Process

    async def hold(self, prompt: str) -> str:
        """Have it, from the prompt to the end; the id of the session.

        The session is journaled as soon as it is known. A later attempt finds it and goes on with it.
        """
        resumed = True

        async def begin() -> str:
            nonlocal resumed
            resumed = False
            await self._open(stack, group, prompt, "")
            await self._listen(lambda: self._session != "")
            return self._session

        try:
            async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
                known = await current().call_with_key("session", begin)
                if resumed:
                    self._session = known
                    await self._open(stack, group, prompt, known)
                await self._listen(lambda: False)
                status = await self._process.wait()
                for task in self._tasks:
                    task.cancel()
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from None
        self._judge(status)
        return self._session

    async def _open(self, stack: AsyncExitStack, group: asyncio.TaskGroup, prompt: str, session: str) -> None:
        argv = self._spec.dialect.command(self._spec.model, session, self._spec.args)
        try:
            self._process = process = await stack.enter_async_context(started(replace(self._program, argv=argv)))
        except StepError as error:
            if error.code == "executable_missing" and self._spec.dialect.install:
                error.hint = self._spec.dialect.install
            raise
        self._ear.hear()
        self._tasks = [
            group.create_task(process.feed(prompt.encode())),
            group.create_task(self._keep_complaint(process.stderr)),
            group.create_task(self._ear.listen(self._spec.dialect.name)),
            group.create_task(_finish(process)),
        ]

    async def _keep_complaint(self, stream: asyncio.StreamReader) -> None:
        while piece := await stream.read(PIECE):
            self._complaint += piece
            del self._complaint[:-PIECE]

    async def _listen(self, until: Callable[[], bool]) -> None:
        """Read events until this is so, or there are no more."""
        while not until():
            try:
                line = await self._process.stdout.readuntil(b"\n")
            except asyncio.IncompleteReadError as error:
                line = error.partial
                if not line:
                    return
            except asyncio.LimitOverrunError:
                message = f"{self._spec.dialect.name} wrote a line of more than 16 MiB"
                raise StepError(message, code="too_large", retryable=False) from None
            self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            return  # programs say other things too
        if not isinstance(event, dict):
            return
        self._ear.hear()
        self._count += 1
        found = cast("dict[str, Any]", event)
        current().progress(self._count, None, str(found.get("type", ""))[:80])
        for sign in self._spec.dialect.read(found):
            self._note(sign)

    def _note(self, sign: Sign) -> None:
        match sign:
            case SessionSeen():
                if _SESSION.fullmatch(sign.id):  # it becomes an argument
                    self._session = self._session or sign.id
            case Said():
                said = sign.text if sign.whole else self.text + sign.text
                self.text = hide(said, self._secrets)
            case Used():
                self._use(sign)
            case Turned():
                self._final = sign.final
            case Broke():
                self._errors.append(hide(sign.message, self._secrets))
            case _ as never:
                assert_never(never)

    def _use(self, used: Used) -> None:
        tokens = max(used.tokens - self.tokens, 0) if used.total else used.tokens
        self.tokens += tokens
        if used.cost is not None:
            cost = max(used.cost - self.cost, 0.0) if used.total else used.cost
            self.cost += cost
            current().usage(tokens=tokens, cost=cost)
        elif tokens:
            self.priced = False
            current().usage(tokens=tokens, cost=None)

    def _judge(self, status: int) -> None:
        """Raise what went wrong, if anything did."""
        dialect = self._spec.dialect
        if status in dialect.late:
            raise StepTimeout(f"{dialect.name} says that its time was up (status {status})", op="cli_agent")
        if self._errors:
            why = self._errors[0]
        elif status < 0:
            why = f"it was killed by signal {-status}"
        elif status:
            said = hide(self._complaint.decode("utf-8", "replace").strip(), self._secrets)
            why = f"it ended with status {status}{': ' if said else ''}{said[-_TOLD:]}"
        elif not self._final:
            why = "it ended without a final event"
        else:
            return
        raise StepError(
            f"{dialect.name}: {why}", code="agent_failed", retryable=status not in dialect.final, unknown=status < 0
        )
