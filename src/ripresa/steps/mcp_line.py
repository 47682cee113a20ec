"""Connections to MCP servers: one for each event loop, shared by all who hold it, made anew where it broke.

Law: a connection lives in a task of its own, since what opens it has to close it. When nobody holds it any longer it is
closed, and of a server that was started as a program nothing is alive then.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from weakref import WeakKeyDictionary

from ..context import current, notes
from ..errors import RipresaError, StepError
from .guard import Guard
from .mcp_asked import NOTHING, Asked
from .oauth import OAuth2, token_of
from .process import PIECE, Process, Program, started, usual_environment
from .secret import Secret, hide
from .transport import client as http_client

if TYPE_CHECKING:
    import httpx2
    from mcp import Client
    from tenacity import RetryCallState

T = TypeVar("T")

_log = logging.getLogger("ripresa.mcp")

TRIES: Final = 3
"""How often a server is tried to be reached before an attempt fails."""

LEAVING: Final = 2.0
"""Seconds that a server at a URL has to take note that a session ends; it is not waited for longer."""

READABLE: Final = ("application/json", "text/event-stream")

_TOLD: Final = 500
_KEPT: Final = 16_384


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is: a program that speaks by its standard input and output, a URL, or an object in this process.

    `patience` is how many seconds it may take until it can be used. `client` is the name and version that it is told,
    `mode` how the version of the protocol is found.
    """

    command: tuple[str, ...] = ()
    cwd: Path = Path()
    env: Mapping[str, str | Secret] = field(default_factory=dict[str, "str | Secret"])
    pass_env: tuple[str, ...] = ()
    grace: float = 2.0
    url: str = ""
    headers: Mapping[str, str | Secret] = field(default_factory=dict[str, "str | Secret"])
    guard: Guard = field(default_factory=Guard)
    server: Any = None
    patience: float = 30.0
    auth: Secret | OAuth2 | None = None
    client: tuple[str, str] | None = None
    mode: str = "auto"
    asked: Asked = NOTHING

    def secrets(self) -> list[str]:
        """The secrets that it is given, for texts in which they must not stand."""
        given = (*self.env.values(), *self.headers.values(), self.auth)
        named = [each for each in given if isinstance(each, Secret)]
        return [each.read() for each in named]


@dataclass(slots=True)
class Heard:
    """What the answer to a call of a tool was, as HTTP: an error of JSON-RPC does not tell who has made it.

    `gone` says that the server knows no such session, and has not looked at the call; `unread` that what it answered is
    nothing that the protocol knows.
    """

    gone: bool = False
    unread: bool = False


async def _listen(answer: httpx2.Response) -> None:
    heard = notes()
    if not isinstance(heard, Heard) or answer.request.method != "POST":
        return
    if json.loads(answer.request.content).get("method") != "tools/call":
        return
    kind = answer.headers.get("content-type", "").lower()
    heard.gone = answer.status_code == 404 and "mcp-session-id" in answer.request.headers
    heard.unread = answer.status_code < 400 and not kind.startswith(READABLE)


def _plain(values: Mapping[str, str | Secret]) -> dict[str, str]:
    return {name: value if isinstance(value, str) else value.read() for name, value in values.items()}


class Line:
    """One connection, from when it was made until it breaks or nobody needs it."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._stop = asyncio.Event()
        self._ready = asyncio.Event()
        self._complaints = bytearray()
        self._task = asyncio.create_task(self._keep(), name="ripresa: MCP")
        self._uses = 0
        self._left = False
        self._secrets: list[str] = []
        self.client: Client
        self.listed: Any = None
        """What the server was found to offer; None where that is not known, or not any longer."""

    async def _keep(self) -> None:
        async with AsyncExitStack() as stack:
            self._secrets = self._address.secrets()
            self.client = await self._opened(stack)
            self._ready.set()
            await self._stop.wait()
            if self._address.url:
                asyncio.get_running_loop().call_later(LEAVING, self._task.cancel)

    async def _opened(self, stack: AsyncExitStack) -> Client:
        from mcp import Client
        from mcp.client.streamable_http import streamable_http_client
        from mcp_types import Implementation

        address, where = self._address, self._address.server
        if address.url:
            http = await stack.enter_async_context(http_client(address.guard, address.patience, streams=True))
            http.event_hooks = {"response": [_listen]}
            http.headers.update(_plain(address.headers))
            if isinstance(address.auth, Secret):
                http.headers["authorization"] = f"Bearer {address.auth.read()}"
            elif address.auth is not None:
                http.auth = bearer(address.auth, address.guard, address.patience, self._secrets)
            where = streamable_http_client(address.url, http_client=http)
        elif address.command:
            env = usual_environment(address.pass_env) | _plain(address.env)
            program = Program(address.command, address.cwd, env, address.grace)
            process = await stack.enter_async_context(started(program))
            where = spoken(process, address.grace, self._complain)
        name, version = address.client or ("ripresa", _version())
        us, mode = Implementation(name=name, version=version), cast("Any", address.mode)
        told = address.asked.callbacks()
        made = Client(where, client_info=us, cache=None, message_handler=self._heard, mode=mode, **told)
        return await stack.enter_async_context(made)

    async def _heard(self, message: Any) -> None:
        if getattr(message, "method", "") == "notifications/tools/list_changed":
            self.listed = None

    def _complain(self, piece: bytes) -> None:
        self._complaints.extend(piece)
        del self._complaints[:-_KEPT]

    async def open(self) -> None:
        """Wait until it can be used. Raises `StepError(tool_unavailable)` where it cannot."""
        ready = asyncio.ensure_future(self._ready.wait())
        try:
            await asyncio.wait((ready, self._task), timeout=self._address.patience, return_when="FIRST_COMPLETED")
        finally:
            ready.cancel()
            if not self._ready.is_set() or self._task.done():
                await self._end()
        if not self._ready.is_set():
            if not self._task.cancelled():
                raise self.broken(self._task.exception())
            raise self.broken(TimeoutError(f"it said nothing for {self._address.patience:g} s"))

    @property
    def is_broken(self) -> bool:
        """Whether it cannot be used any longer."""
        return self._left or self._task.done()

    async def use(self, work: Callable[[Client], Awaitable[T]]) -> T:
        """What the server answers. Raises what the client raises, and `StepError(tool_unavailable)` where it broke."""
        self._uses += 1
        doing = asyncio.ensure_future(work(self.client))
        try:
            await asyncio.wait((doing, self._task), return_when="FIRST_COMPLETED")
            if not doing.done():
                raise self.broken(None if self._task.cancelled() else self._task.exception())
            return doing.result()
        finally:
            if not doing.done():
                doing.cancel()
                await asyncio.wait((doing,))
                _ = doing.cancelled() or doing.exception()
            self._uses -= 1
            if self._left and not self._uses:
                self._stop.set()

    def leave(self) -> None:
        """Use it for nothing new; it is closed when what is under way has ended."""
        self._left = True
        if not self._uses:
            self._stop.set()

    async def close(self) -> None:
        """Close it, whatever is under way."""
        self._left = True
        self._stop.set()
        await asyncio.wait((self._task,), timeout=self._address.patience)
        await self._end()

    async def _end(self) -> None:
        self._task.cancel()
        await asyncio.wait((self._task,))
        if not self._task.cancelled():
            self._task.exception()  # whatever it is, it was raised already, or nobody needs it

    @property
    def patience(self) -> float:
        """How many seconds it may take until it can be used."""
        return self._address.patience

    @property
    def has_secrets(self) -> bool:
        """Whether the server was given any."""
        return bool(self._secrets)

    def hidden(self, text: str) -> str:
        """A text without the secrets that the server was given."""
        return hide(text, self._secrets)

    def broken(self, error: BaseException | None) -> StepError:
        """Why it cannot be used."""
        while isinstance(error, BaseExceptionGroup):
            error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
        if isinstance(error, RipresaError) and not isinstance(error, StepError):
            raise error
        if isinstance(error, StepError):
            return error
        why = "the connection ended" if error is None else f"{type(error).__name__}: {error}"
        complaint = self._complaints.decode("utf-8", "replace").strip()[-_TOLD:]
        text = self.hidden(f"{why}; it complained: {complaint}" if complaint else why)
        return StepError(text, code="tool_unavailable", unknown=True)


def bearer(oauth: OAuth2, guard: Guard, patience: float, secrets: list[str]) -> httpx2.Auth:
    """Puts a token to each request; another one where that is refused, once. Tokens are noted among the `secrets`."""
    import httpx2

    class Bearer(httpx2.Auth):
        """The token of an authority."""

        async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
            answer = yield await self._signed(request, "")
            if answer.status_code == 401:
                yield await self._signed(request, request.headers["authorization"].removeprefix("Bearer "))

        async def _signed(self, request: httpx2.Request, stale: str) -> httpx2.Request:
            token = await token_of(oauth, guard, patience, stale)
            if token not in secrets:
                secrets.append(token)
            request.headers["authorization"] = f"Bearer {token}"
            return request

    return Bearer()


def _version() -> str:
    from .. import __version__

    return __version__


@asynccontextmanager
async def spoken(process: Process, grace: float, complain: Callable[[bytes], None]) -> AsyncGenerator[Any, None]:
    """A program's standard input and output as a transport of the MCP client: a message on each line."""
    import anyio
    from mcp.shared.message import SessionMessage
    from mcp_types import jsonrpc_message_adapter

    come_in, come = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    go, go_out = anyio.create_memory_object_stream[SessionMessage](0)
    gone = (anyio.ClosedResourceError, anyio.BrokenResourceError)

    async def hear() -> None:
        async with come_in:
            with suppress(*gone, ConnectionError):
                while line := await _line(process):
                    try:
                        message = SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
                    except ValueError as error:
                        await come_in.send(error)
                    else:
                        await come_in.send(message)

    async def say() -> None:
        async with go_out:
            with suppress(*gone, ConnectionError):
                async for message in go_out:
                    text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                    process.stdin.write(text.encode() + b"\n")
                    await process.stdin.drain()

    async def note() -> None:
        while piece := await process.stderr.read(PIECE):
            complain(piece)

    async with anyio.create_task_group() as group:
        group.start_soon(hear)
        group.start_soon(say)
        group.start_soon(note)
        try:
            yield come, go
        finally:
            with anyio.CancelScope(shield=True):
                process.stdin.close()  # as the protocol says it: it is to end by itself, and is killed if it does not
                with anyio.move_on_after(grace):
                    await process.wait()
            group.cancel_scope.cancel()
            for stream in (come, come_in, go, go_out):
                stream.close()


async def _line(process: Process) -> bytes:
    try:
        return await process.stdout.readline()
    except ValueError as error:  # longer than any line may be
        raise ConnectionError("a line is too long") from error


class Lines:
    """The connections to one server, one in each event loop that uses it."""

    def __init__(self, name: str, address: Address) -> None:
        self._name = name
        self._address = address
        self._switches: WeakKeyDictionary[asyncio.AbstractEventLoop, _Switch] = WeakKeyDictionary()

    @property
    def here(self) -> _Switch:
        """That of the running event loop."""
        loop = asyncio.get_running_loop()
        found = self._switches.get(loop)
        if found is None:
            found = self._switches[loop] = _Switch(self._name, self._address)
        return found


class _Switch:
    """The connection of one event loop."""

    def __init__(self, name: str, address: Address) -> None:
        self._name = name
        self._address = address
        self._holders = 0
        self._line: Line | None = None
        self._connecting = asyncio.Lock()

    @asynccontextmanager
    async def held(self) -> AsyncGenerator[None, None]:
        """Keep the connection, once it is made, for as long as this is open.

        Inside a run nobody waits until a session at a URL has ended: an attempt that has its answer is not to lose it.
        """
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
            line = self._line
            if not self._holders and line is not None:
                self._line = None
                if self._address.url and current().run:
                    line.leave()
                else:
                    await line.close()

    async def line(self) -> Line:
        """A connection that can be used; whoever asks holds it. Raises `StepError(tool_unavailable)`."""
        async with self._connecting:
            if self._line is None or self._line.is_broken:
                self._line = await self._reached()
            return self._line

    async def _reached(self) -> Line:
        try:
            import_module("mcp")  # to say at once that it is not there
            import tenacity
        except ImportError as error:
            raise extra_missing() from error
        tries = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(_may_help),
            stop=tenacity.stop_after_attempt(TRIES) | tenacity.stop_after_delay(self._address.patience),
            wait=tenacity.wait_exponential(multiplier=0.1, max=2.0) + tenacity.wait_random(0, 0.1),
            before_sleep=self._noted,
            reraise=True,
        )
        return await tries(self._opened)

    async def _opened(self) -> Line:
        line = Line(self._address)
        try:
            await line.open()
        except StepError as error:
            raise _unreached(self._name, error) from error
        return line

    def _noted(self, state: RetryCallState) -> None:
        """For whoever follows along: nothing is lost yet, and an attempt that fails says why by itself."""
        error = state.outcome and state.outcome.exception()
        _log.info(
            "an MCP server is tried again",
            extra={"server": self._name, "tries": state.attempt_number, "why": str(error)},
        )


def extra_missing() -> RipresaError:
    """That the library for MCP is not installed."""
    message = "MCP servers need an optional dependency"
    return RipresaError(message, code="extra_missing", op="mcp", hint="pip install 'ripresa[mcp]'")


def _may_help(error: BaseException) -> bool:
    return isinstance(error, StepError) and error.retryable


def _unreached(name: str, error: StepError) -> StepError:
    """Nothing was asked of the server yet: it is known that nothing was done."""
    message = f"the MCP server {name!r} cannot be reached: {error.message}"
    return StepError(message, code=error.code, retryable=error.retryable, hint=error.said)
