"""One child process as its parent sees it: started, asked, killed, and always waited for."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from typing import cast

from .frames import Inbound, Message, pack

_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[3])['path']; "
    "from ripresa.executors.child import main; main(*sys.argv[1:])"
)
"""The path is set before anything else is imported (`-m` would not): Ripresa is found where the parent found it, and
with `-P` nothing in the working directory gets in between."""


MARK = "RIPRESA_CHILD"
"""Set in the environment of children: a script without a guard, imported in one, must not start more."""


def import_path() -> list[str]:
    """What a child needs as its `sys.path` to find the same modules."""
    return list(map(str, sys.path))  # where paths are strings by rule, not by force


def start() -> Child:
    """Start a process. Raises `OSError`.

    It leads a session of its own, so that a signal reaches whatever it starts too, and Ctrl-C does not.
    """
    path = import_path()
    setup = json.dumps({"path": path, "argv": sys.argv, "parent": os.getpid()})
    with ExitStack() as if_it_fails, ExitStack() as always:
        ours, theirs = socket.socketpair()
        if_it_fails.enter_context(ours)
        always.enter_context(theirs)
        held, lifeline = os.pipe()
        if_it_fails.callback(os.close, lifeline)
        always.callback(os.close, held)
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", _PROGRAM, str(theirs.fileno()), str(held), setup],
            pass_fds=(theirs.fileno(), held),
            stdin=subprocess.DEVNULL,
            env={**os.environ, MARK: "1"},
            start_new_session=True,
        )
        if_it_fails.pop_all()
    return Child(process, ours, lifeline, path)


class Child(asyncio.Protocol):
    """A process that does one job at a time.

    Law: when the connection ends, for whatever reason, its process group is killed and the process waited for.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], channel: socket.socket, lifeline: int, path: list[str]
    ) -> None:
        self.path = path
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._process = process
        self._channel = channel
        self._lifeline = lifeline
        self._inbound = Inbound()
        self._reply: asyncio.Future[Message | None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.WriteTransport | None = None
        self._reaper: asyncio.Task[None] | None = None

    async def connect(self) -> bool:
        """Wait until it is ready for a job; False if it ended before."""
        await asyncio.get_running_loop().connect_accepted_socket(lambda: self, self._channel)
        return await self._reply is not None

    def is_there(self) -> bool:
        """Whether an idle child still holds its end of the connection."""
        try:
            return self._channel.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    async def ask(self, head: bytes, body: bytes) -> Message | None:
        """Give it a job and wait for the answer; None if it ended without one."""
        assert self._transport is not None
        self._reply = asyncio.get_running_loop().create_future()
        self._transport.write(pack(head, body))
        return await self._reply

    def hang_up(self) -> None:
        """Let it end by itself."""
        assert self._transport is not None
        self._transport.write_eof()

    def kill(self) -> None:
        """Kill it and all that it has started."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):  # it has just ended
                os.killpg(self._process.pid, signal.SIGKILL)
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        message = self._inbound.feed(data)
        if message is not None and not self._reply.done():
            self._reply.set_result(message)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self.kill()
        if not self._reply.done():
            self._reply.set_result(None)
        self._reaper = asyncio.get_running_loop().create_task(self._reap())

    async def _reap(self) -> None:
        """Wait for the end of the process: without a watcher of child processes, of which every loop has another."""
        pause = 0.0005
        try:
            while (status := self._process.poll()) is None:
                await asyncio.sleep(pause)
                pause = min(2 * pause, 0.05)
            self.ended.set_result(status)
        finally:
            os.close(self._lifeline)
