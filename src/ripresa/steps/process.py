"""Runs one program in a process group of its own, without a shell.

Law: however a program is left (its end, an error, a timeout, cancellation), nothing of its group is alive afterwards.
It does not outlive this process either: it inherits one end of a pipe, and when the other closes with this process, the
kernel kills the group (on Linux; see `executors.child`). What a program starts in a session of its own escapes.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from ..errors import StepError

LINE: Final = 16 * 1024 * 1024
"""The longest line, in bytes, that is read of a program."""

PIECE: Final = 65_536

DRAIN: Final = 1.0
"""Seconds for which output is read after the end of a program whose children escaped with it."""

USUAL: Final = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR")
"""The variables of the environment that every program is given."""


@dataclass(frozen=True, slots=True)
class Program:
    """What is to be run, and where; nothing of the environment but `env`. `grace` seconds lie between TERM and KILL."""

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str]
    grace: float = 2.0


def usual_environment(passed: tuple[str, ...] = ()) -> dict[str, str]:
    """The variables that every program is given, and those that are to be passed on by name."""
    return {name: os.environ[name] for name in (*USUAL, *passed) if name in os.environ}


def find_program(name: str, cwd: Path, env: Mapping[str, str]) -> str:
    """Where a program is: a path is taken from `cwd`, a bare name is looked for in `PATH`.

    Raises `StepError(executable_missing)`.
    """
    place = str(cwd / name) if os.sep in name else name
    found = shutil.which(place, path=env.get("PATH", os.defpath))
    if found is None and os.sep in name and os.path.isfile(place):
        raise _missing(name, "it is not executable", "make it executable, or run what interprets it")
    if found is None:
        raise _missing(name, "there is no such program")
    return os.path.abspath(found)


def _missing(name: str, why: str, hint: str = "install it, or give its path") -> StepError:
    return StepError(f"{name!r} cannot be run: {why}", code="executable_missing", retryable=False, hint=hint)


class Process:
    """A program that runs; see `started`."""

    def __init__(self, process: subprocess.Popen[bytes], lifeline: int, grace: float) -> None:
        self._process = process
        self._lifeline = lifeline
        self._grace = grace
        self._ended = asyncio.Event()
        self._transports: list[asyncio.BaseTransport] = []
        self.stdin: asyncio.StreamWriter
        self.stdout: asyncio.StreamReader
        self.stderr: asyncio.StreamReader

    @property
    def pid(self) -> int:
        """Its id, and that of its group."""
        return self._process.pid

    async def connect(self) -> None:
        """Make streams of its pipes."""
        loop = asyncio.get_running_loop()
        _watch(self._process, self._ended)
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        protocol = asyncio.StreamReaderProtocol(asyncio.StreamReader())
        transport, _ = await loop.connect_write_pipe(lambda: protocol, process.stdin)
        self._transports.append(transport)
        self.stdin = asyncio.StreamWriter(transport, protocol, None, loop)
        self.stdout = await self._reader(process.stdout)
        self.stderr = await self._reader(process.stderr)

    async def _reader(self, pipe: IO[bytes]) -> asyncio.StreamReader:
        reader = asyncio.StreamReader(limit=LINE)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        self._transports.append(transport)
        return reader

    async def feed(self, text: bytes) -> None:
        """Write all of its standard input and close it. A program that does not read it all is left in peace."""
        with suppress(ConnectionError):
            self.stdin.write(text)
            await self.stdin.drain()
        self.stdin.close()

    async def wait(self) -> int:
        """Wait for its end and kill what it left running; its exit status, or minus the number of its signal."""
        await self._ended.wait()
        if self._process.returncode is None:
            self._signal(signal.SIGKILL)  # it is not waited for yet, so that its group is still its own
        return self._process.wait()

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    async def close(self) -> None:
        """End it and all that it started: TERM, and KILL after the grace, or at once if this is cancelled."""
        task = asyncio.ensure_future(self._stop())
        hurried: asyncio.CancelledError | None = None
        while not task.done():
            try:
                await asyncio.shield(task)
            except asyncio.CancelledError as error:
                hurried = error
                if self._process.returncode is None:
                    self._signal(signal.SIGKILL)
        for transport in self._transports:
            if not transport.is_closing():
                transport.abort() if isinstance(transport, asyncio.WriteTransport) else transport.close()
        pipes = self._process.stdin, self._process.stdout, self._process.stderr
        for pipe in pipes[len(self._transports) :]:  # connecting them was interrupted
            if pipe is not None:
                pipe.close()
        os.close(self._lifeline)
        if hurried is not None:
            raise hurried

    async def _stop(self) -> None:
        try:
            if self._process.returncode is None and not self._ended.is_set():
                self._signal(signal.SIGTERM)
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._grace):
                        await self._ended.wait()
                self._signal(signal.SIGKILL)
            await self.wait()
        except asyncio.CancelledError:  # the loop itself is being closed
            self._signal(signal.SIGKILL)
            self._process.wait()
            raise


def _watch(process: subprocess.Popen[bytes], ended: asyncio.Event) -> None:
    """Set `ended` when the process has, without waiting for it."""
    loop = asyncio.get_running_loop()
    if sys.platform != "linux":  # pragma: no cover - nothing there tells of an end

        def look() -> None:
            ended.set() if process.poll() is not None else loop.call_later(0.02, look)

        look()
        return
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError:  # no descriptor is left

        def ask() -> None:
            over = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            ended.set() if over is not None else loop.call_later(0.02, ask)

        ask()
        return

    def over() -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        ended.set()

    loop.add_reader(descriptor, over)


def _spawn(program: Program) -> Process:
    executable = find_program(program.argv[0], program.cwd, program.env)
    with ExitStack() as always, ExitStack() as if_it_fails:
        held, lifeline = os.pipe()
        always.callback(os.close, held)
        if_it_fails.callback(os.close, lifeline)
        try:
            process = subprocess.Popen(
                program.argv,
                executable=executable,
                cwd=program.cwd,
                env=dict(program.env),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(held,),
                start_new_session=True,
            )
        except OSError as error:
            raise _missing(program.argv[0], error.strerror or str(error)) from error
        _hold(held, process.pid)
        if_it_fails.pop_all()
    return Process(process, lifeline, program.grace)


def _hold(descriptor: int, group: int) -> None:
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):  # a kernel that is only half a Linux
            fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGKILL)
            fcntl.fcntl(descriptor, fcntl.F_SETOWN, -group)
            fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_ASYNC)


@asynccontextmanager
async def started(program: Program) -> AsyncGenerator[Process, None]:
    """Run a program for as long as this is open; when it is left, nothing of the program's group is alive.

    Raises `StepError(executable_missing)`.
    """
    process = _spawn(program)
    try:
        await process.connect()
        yield process
    finally:
        await process.close()


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a program may say: bytes of standard output, bytes of standard error that are kept, of its end.

    `silence` is how many seconds it may say nothing.
    """

    output: int = 1_048_576
    errors: int = 65_536
    silence: float | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended, and what it said."""

    status: int
    output: bytes
    errors: bytes


class Ear:
    """Hears what a program says, and that it says nothing for too long."""

    def __init__(self, silence: float | None) -> None:
        self._silence = silence
        self._heard = asyncio.get_running_loop().time()

    def hear(self) -> None:
        """Something was said."""
        self._heard = asyncio.get_running_loop().time()

    async def listen(self, who: str) -> None:
        """Raise `StepError(no_output)` when nothing was heard for too long."""
        if self._silence is None:
            return
        loop = asyncio.get_running_loop()
        while (rest := self._heard + self._silence - loop.time()) > 0:  # noqa: ASYNC110 - what is heard only moves it
            await asyncio.sleep(rest)
        raise StepError(f"{who} said nothing for {self._silence:g} s and was stopped", code="no_output")


async def run_program(program: Program, text: bytes, bounds: Bounds) -> Ended:
    """Run a program to its end with this standard input.

    Raises `StepError(executable_missing, too_large, no_output)`.
    """
    ear, output, errors = Ear(bounds.silence), bytearray(), bytearray()

    def take(piece: bytes) -> None:
        output.extend(piece)
        if len(output) > bounds.output:
            message = f"{program.argv[0]!r} wrote more than {bounds.output:,} bytes to its standard output"
            raise StepError(message, code="too_large", retryable=False, hint="raise max_output")

    def keep(piece: bytes) -> None:
        errors.extend(piece)
        del errors[: -bounds.errors]

    async with started(program) as process:
        try:
            async with asyncio.TaskGroup() as group:
                readers = [
                    group.create_task(_read(process.stdout, take, ear)),
                    group.create_task(_read(process.stderr, keep, ear)),
                ]
                others = [
                    group.create_task(process.feed(text)),
                    group.create_task(ear.listen(repr(program.argv[0]))),
                ]
                status = await process.wait()
                await asyncio.wait(readers, timeout=DRAIN)
                for task in (*readers, *others):
                    task.cancel()
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from None
    return Ended(status, bytes(output), bytes(errors))


async def _read(stream: asyncio.StreamReader, take: Callable[[bytes], None], ear: Ear) -> None:
    while piece := await stream.read(PIECE):
        ear.hear()
        take(piece)
