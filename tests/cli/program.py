"""The command line as its users have it: a process of its own, in a directory of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ripresa.cli.program import run

COMMAND = (sys.executable, "-m", "ripresa")
ROOT = Path(__file__).parents[2]
MEASURED = any(name.startswith("COVERAGE_PROCESS") for name in os.environ)


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.out, self.err
        return json.loads(self.out)


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RIPRESA")}
    return {**kept, "COLUMNS": "200", **more}


@cache
def server() -> subprocess.Popen[str]:
    """The program of `server.py`, which ends when nobody can ask it any more."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.cli.server"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )


def served(job: dict[str, Any]) -> int:
    """The exit code of a command."""
    process = server()
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(job) + "\n")
    process.stdin.flush()
    return int(process.stdout.readline())


class Terminal:
    """A directory in which commands are typed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def write(self, name: str, text: str) -> None:
        (self.directory / name).write_text(text, encoding="utf-8")

    def __call__(self, *args: str, input: str = "", **env: str) -> Ended:
        """A command in a process of its own, forked from one that has started already."""
        if MEASURED:  # what is measured begins with the process
            return self.anew(*args, input=input, **env)
        paths = [self.directory / f".{name}" for name in ("input", "out", "err")]
        for path, text in zip(paths, (input, "", ""), strict=True):
            path.write_text(text, encoding="utf-8")
        given, out, err = map(str, paths)
        code = served(
            {
                "cwd": str(self.directory.resolve()),
                "args": args,
                "env": environment(**env),
                "input": given,
                "out": out,
                "err": err,
            }
        )
        told = [path.read_text(encoding="utf-8") for path in paths[1:]]
        for path in paths:
            path.unlink()
        return Ended(code, *told)

    def anew(self, *args: str, input: str = "", **env: str) -> Ended:
        """A command in a process that is started for it."""
        ended = subprocess.run(
            [*COMMAND, *args],
            cwd=self.directory,
            input=input,
            capture_output=True,
            text=True,
            timeout=60,
            env=environment(**env),
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    def here(self, *args: str) -> Ended:
        """The same in this process, which is quicker: for what ends before anything is run."""
        out, err = TextIOWrapper(BytesIO(), "utf-8"), TextIOWrapper(BytesIO(), "utf-8")
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.chdir(self.directory)
            patch.setattr(sys, "path", [*sys.path])
            patch.delenv("RIPRESA_STORE", raising=False)
            code = run(list(args))
        for stream in (out, err):
            stream.seek(0)
        return Ended(code, out.read(), err.read())

    def start(self, *args: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMMAND, *args],
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
            preexec_fn=hear_ctrl_c,
        )


def hear_ctrl_c() -> None:
    """Programs in the background of a shell ignore Ctrl-C, and so does what they start; those of a terminal do not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until something that another process does has happened."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def ended(process: subprocess.Popen[str], seconds: float = 30.0) -> Ended:
    out, err = process.communicate(timeout=seconds)
    return Ended(process.returncode, out, err)


def killed(process: subprocess.Popen[str]) -> Ended:
    """End a process as the loss of power would."""
    process.kill()
    return ended(process)
