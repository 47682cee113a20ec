"""Standard output belongs to the command alone: what child processes and native code write to it goes beside it."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager

OUT = 1
ERR = 2


@contextmanager
def own_output() -> Generator[None]:
    """Let file descriptor 1 be standard error while this lasts, and `sys.stdout` what it was.

    What replaces `sys.stdout` reaches Python's own printing only: a program that a step starts, and a library that
    writes by itself, have the descriptor. Nothing is done where standard output is something else than it.
    """
    found = sys.stdout
    try:
        is_ours = found.fileno() == OUT
    except OSError:  # it is kept in memory
        is_ours = False
    if not is_ours:
        yield
        return
    found.flush()
    before = os.dup(OUT)  # not inherited by child processes, as neither is the next
    own = open(os.dup(OUT), "w", 1 if found.isatty() else -1, found.encoding, "replace")  # noqa: SIM115
    os.dup2(ERR, OUT)
    sys.stdout = own
    try:
        yield
    finally:
        sys.stdout = found
        os.dup2(before, OUT)
        os.close(before)
        own.close()
