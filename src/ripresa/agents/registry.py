"""A registry of agents by name, each with a life of its own: begun, ready, running, paused, stopped or broken.

An instance like any other; nothing registers itself. What is kept here lives as long as the process: what agents have
done is in the journals of their runs.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

from ..authoring.options import check_name, refuse
from ..authoring.pool import Pool
from ..authoring.step import Step, step
from ..errors import InvalidConfig, RipresaError
from .agent import AgentLike, agent

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

Status: TypeAlias = Literal["init", "ready", "running", "paused", "stopped", "error"]
"""Where an agent is in its life. `running` while it works for at least one step; `error` when it could not be begun."""

LEGAL: Final[dict[Status, tuple[Status, ...]]] = {
    "init": ("ready", "error", "stopped"),
    "ready": ("running", "paused", "stopped", "error"),
    "running": ("ready", "paused", "stopped", "error"),
    "paused": ("ready", "stopped"),
    "stopped": ("init",),
    "error": ("init", "stopped"),
}
"""The statuses that may follow each."""

Made: TypeAlias = Any
"""An agent: a step, or any object with `async run(input, ctx)`; optional: `setup()`, `close()`, `healthy()`."""


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """An agent at this moment: how many steps it works for, how many it has worked for, and what broke it."""

    name: str
    status: Status
    working: int
    done: int
    failed: int
    error: str


class Member:
    """One agent in the registry or in a pool, and its life.

    It is begun (`setup`, if it has one) when it is first needed. A paused, stopped or broken one takes no work:
    `agent_unavailable`.
    """

    def __init__(self, name: str, make: Callable[[], Made]) -> None:
        self.name = name
        self.status: Status = "init"
        self.error = ""
        self._make = make
        self._found: Made = None
        self._step: Step[..., Any] | None = None
        self.working = self.done = self.failed = 0

    def __repr__(self) -> str:
        return f"<agent {self.name}, {self.status}>"

    def _move(self, status: Status) -> None:
        if status not in LEGAL[self.status]:
            raise RipresaError(
                f"agent {self.name!r} is {self.status}: it cannot become {status}",
                code="illegal_transition",
                op="agents",
                where=self.name,
                hint=f"from here it can become {', '.join(LEGAL[self.status])}",
            )
        self.status = status

    async def begin(self) -> None:
        """Make it and set it up: ready. What it raises breaks it, and is raised."""
        if self.status != "init":
            return
        try:
            self._found = self._make()
            self._step = _as_step(self._found, self.name)
            await _told(self._found, "setup")
        except BaseException as error:
            self.error = f"{type(error).__name__}: {error}"
            self._move("error")
            raise
        self.error = ""
        self._move("ready")

    def pause(self) -> None:
        """Take no more work until it is resumed; what is under way goes on."""
        self._move("paused")

    def resume(self) -> None:
        """Take work again."""
        self._move("ready")
        self._settle()

    async def stop(self) -> None:
        """Let it go (`close`, if it has one). It can be begun anew by `restart`."""
        self._move("stopped")
        found, self._found, self._step = self._found, None, None
        await _told(found, "close")

    async def restart(self) -> None:
        """Begin a stopped or broken agent anew."""
        self._move("init")
        await self.begin()

    async def healthy(self) -> bool:
        """Whether it can be given work: it takes any, and says so itself where it has a `healthy`."""
        if self.status == "init":
            return True
        if self.status not in ("ready", "running"):
            return False
        return await _told(self._found, "healthy") is not False

    async def work(self, input: Any) -> Any:
        """What it makes of an input. Raises `RipresaError(agent_unavailable)` where it takes no work."""
        await self.begin()
        if self.status not in ("ready", "running") or self._step is None:
            raise RipresaError(
                f"agent {self.name!r} is {self.status}" + (f": {self.error}" if self.error else ""),
                code="agent_unavailable",
                op="agents",
                where=self.name,
                hint="resume or restart it",
            )
        self.working += 1
        self._settle()
        try:
            result = await self._step.fn(input)
        except Exception:  # not what cancels it: that says nothing of the agent
            self.failed += 1
            raise
        else:
            self.done += 1
            return result
        finally:
            self.working -= 1
            self._settle()

    def _settle(self) -> None:
        """Running while it works, ready else; a paused or stopped one stays so."""
        if self.status in ("ready", "running"):
            self.status = "running" if self.working else "ready"

    @property
    def state(self) -> AgentStatus:
        """It as it stands."""
        return AgentStatus(self.name, self.status, self.working, self.done, self.failed, self.error)


def _as_step(found: object, name: str) -> Step[..., Any]:
    if isinstance(found, Step):
        return cast("Step[..., Any]", found)
    return agent(cast("AgentLike[Any, Any]", found), name=name)


def _bad_maker(make: object) -> str | None:
    return None if callable(make) else f"make is {make!r}, must be a function that gives an agent"


async def _told(found: Made, word: str) -> Any:
    """Call a method that an agent may have."""
    method = None if isinstance(found, Step) else getattr(found, word, None)
    answer = method() if callable(method) else None
    return await answer if inspect.isawaitable(answer) else answer


class Agents:
    """Agents by name: registered as they are or as what makes them, resolved when a step runs."""

    def __init__(self, agents: Iterable[Made] = ()) -> None:
        self._members: dict[str, Member] = {}
        self._makers: dict[str, Callable[[], Made]] = {}
        for each in agents:
            self.register(each)

    def register(self, found: Made, /, *, name: str = "") -> Made:
        """Add an agent under its own name or another; gives it back. Raises `InvalidConfig(duplicate_name)`."""
        known = name or str(getattr(found, "name", "") or type(found).__name__)
        _as_step(found, known)  # refuses what is none
        self._add(known, lambda: found)
        return found

    def provide(self, name: str, make: Callable[[], Made]) -> None:
        """Add what makes an agent, which is called when it is first needed. Raises `InvalidConfig`."""
        refuse("provide", _bad_maker(make))
        self._add(name, make)

    def _add(self, name: str, make: Callable[[], Made]) -> None:
        refuse("register", check_name(name, "name"))
        if name in self._members:
            raise InvalidConfig(
                f"an agent named {name!r} is registered already",
                code="duplicate_name",
                op="register",
                hint="give one of them another name",
            )
        self._members[name] = Member(name, make)
        self._makers[name] = make

    def get(self, name: str) -> Member:
        """The agent of a name. Raises `RipresaError(unknown_agent)`."""
        found = self._members.get(name)
        if found is None:
            there = ", ".join(self._members) or "nothing"
            raise RipresaError(
                f"no agent is registered as {name!r}", code="unknown_agent", op="agents", hint=f"registered: {there}"
            )
        return found

    def step(self, name: str, /, **options: Any) -> Step[[Any], Any]:
        """A step by the agent of a name, which is looked up when it runs; the options are those of `step`."""

        async def perform(input: Any) -> Any:
            return await self.get(name).work(input)

        return step(name=name, **options)(perform)

    def pool(self, name: str, size: int) -> Pool[Member]:
        """So many agents of one kind, for steps that take one at a time: `async with pool.take() as member`.

        Each is made by what was provided under this name. One that is not well is replaced by a new one.
        """
        make = self._makers[self.get(name).name]

        async def replace(member: Member) -> Member:
            if member.status not in ("stopped", "error"):
                await member.stop()
            return Member(member.name, make)

        members = [Member(f"{name}-{number}", make) for number in range(1, size + 1)]
        return Pool(name, members, health=Member.healthy, replace=replace)

    def pooled(self, pool: Pool[Member], /, *, name: str = "", **options: Any) -> Step[[Any], Any]:
        """A step by whichever agent of a pool is free, which it holds meanwhile."""

        async def perform(input: Any) -> Any:
            return await pool.mine().work(input)

        return step(name=name or pool.name, pool=pool, **options)(perform)

    def status(self) -> list[AgentStatus]:
        """All of them as they stand, in alphabetical order."""
        return [self._members[name].state for name in sorted(self._members)]

    @asynccontextmanager
    async def _open(self) -> AsyncGenerator[Agents, None]:
        try:
            yield self
        finally:
            for member in self._members.values():
                if member.status != "stopped":
                    await member.stop()

    def running(self) -> AbstractAsyncContextManager[Agents]:
        """Let all go when a block ends: `async with agents.running():`."""
        return self._open()

    def __contains__(self, name: object) -> bool:
        return name in self._members
