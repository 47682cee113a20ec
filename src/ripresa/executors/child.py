"""The program of a child process.

Law: a child never outlives its parent, not even one that hangs and not even a parent that is killed. The parent holds
the other end of the lifeline and never writes to it: when it closes, the child's whole process group is killed. On
Linux the kernel does that by itself, also while the child hangs in C code (PR_SET_PDEATHSIG would leave out what the
child has started, and means the thread that started it, not the process). Elsewhere a thread does; it also watches
the parent itself, of whose end of the lifeline a fork may hold a copy.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import threading
from contextlib import suppress

_PIECE = 1 << 18


def main(channel: str, lifeline: str, setup: str) -> None:
    """Say that the child is ready, then do one job after the other until the parent hangs up.

    `channel` and `lifeline` are numbers of descriptors, `setup` is JSON.
    """
    given = json.loads(setup)
    sys.argv[:] = given["argv"]
    _hold(int(lifeline), given["parent"])
    with suppress(ConnectionError):  # the parent is gone, and the child is about to be
        _serve(socket.socket(fileno=int(channel)))


def _serve(channel: socket.socket) -> None:
    from .frames import Inbound, pack
    from .perform import perform

    channel.set_inheritable(False)
    # What user code forks must not keep the channel open. This also keeps it open here until the process has ended.
    os.register_at_fork(after_in_child=channel.close)
    channel.sendall(pack(b"", b""))
    inbound = Inbound()
    while piece := channel.recv(_PIECE):
        message = inbound.feed(piece)
        if message is not None:
            channel.sendall(pack(*perform(*message)))


def _hold(lifeline: int, parent: int) -> None:
    os.set_inheritable(lifeline, False)
    ends = select.poll()
    ends.register(lifeline, select.POLLIN)
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):  # a kernel that is only half a Linux
            fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
            fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
            fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
        with suppress(OSError):
            ends.register(os.pidfd_open(parent), select.POLLIN)
    if os.getppid() != parent:
        sys.exit("the parent is gone")
    threading.Thread(target=_watch, args=(ends,), name="ripresa-lifeline", daemon=True).start()


def _watch(ends: select.poll) -> None:
    ends.poll()
    os.killpg(0, signal.SIGKILL)  # pragma: no cover - nothing is left to say that it ran
