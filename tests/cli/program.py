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
        preexec_fn=hear_ctrl_c,
    )


def served(job: dict[str, Any]) -> int | None:
    """What the server answers."""
    process = server()
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(job) + "\n")
    process.stdin.flush()
    answer: int | None = json.loads(process.stdout.readline())
    return answer


class Begun:
    """A command that runs in a process of its own, forked from one that has started already."""

    def __init__(self, job: dict[str, Any], files: list[Path]) -> None:
        pid = served({**job, "leave": True})
        assert pid is not None
        self.pid = pid
        self.returncode: int | None = None
        self._files = files

    def told(self) -> list[str]:
        """What it has said so far on standard output, and as an error."""
        return [path.read_text(encoding="utf-8") for path in self._files[1:]]

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def poll(self) -> int | None:
        """How it ended, if it has."""
        if self.returncode is None:
            self.returncode = served({"asked": self.pid})
        return self.returncode

    def communicate(self, timeout: float = 30.0) -> tuple[str, str]:
        wait_for(lambda: self.poll() is not None, timeout)
        out, err = self.told()
        for path in self._files:
            path.unlink()
        return out, err


class Terminal:
    """A directory in which commands are typed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._begun = 0

    def write(self, name: str, text: str) -> None:
        (self.directory / name).write_text(text, encoding="utf-8")

    def __call__(self, *args: str, input: str = "", **env: str) -> Ended:
        """A command in a process of its own, forked from one that has started already."""
        return self._ended(*self._job("", args, input, env))

    def script(self, path: Path, **env: str) -> Ended:
        """What `python PATH` does here, in a process forked from one that has imported everything already."""
        job, files = self._job("", (), "", env)
        return self._ended({**job, "script": str(path.resolve())}, files)

    def _ended(self, job: dict[str, Any], files: list[Path]) -> Ended:
        code = served(job)
        assert code is not None
        out, err = (path.read_text(encoding="utf-8") for path in files[1:])
        for path in files:
            path.unlink()
        return Ended(code, out, err)

    def start(self, *args: str) -> Begun:
        """The same beside what comes next."""
        self._begun += 1
        return Begun(*self._job(str(self._begun), args, "", {}))

    def _job(
        self, mark: str, args: tuple[str, ...], input: str, env: dict[str, str]
    ) -> tuple[dict[str, Any], list[Path]]:
        """What the server is to do, and the files of standard input, output and errors."""
        names = ("input", "out", "err")
        files = [self.directory / f".{name}{mark}" for name in names]
        for path, text in zip(files, (input, "", ""), strict=True):
            path.write_text(text, encoding="utf-8")
        job = {"cwd": str(self.directory.resolve()), "args": args, "env": environment(**env)}
        return {**job, **dict(zip(names, map(str, files), strict=True))}, files

    def here(self, *args: str) -> Ended:
        """The same in this process, which is quicker: for what ends before anything is run."""
        out, err = TextIOWrapper(BytesIO(), "utf-8"), TextIOWrapper(BytesIO(), "utf-8")
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.chdir(self.directory)
            patch.setattr(sys, "path", [*sys.path])
            patch.setattr(sys, "dont_write_bytecode", True)  # as in `server.py`
            patch.delenv("RIPRESA_STORE", raising=False)
            code = run(list(args))
        for stream in (out, err):
            stream.seek(0)
        return Ended(code, out.read(), err.read())


def hear_ctrl_c() -> None:
    """Programs in the background of a shell ignore Ctrl-C, and so does what they start; those of a terminal do not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until something that another process does has happened."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def ended(process: Begun | subprocess.Popen[str], seconds: float = 30.0) -> Ended:
    out, err = process.communicate(timeout=seconds)
    assert process.returncode is not None
    return Ended(process.returncode, out, err)


def killed(process: Begun | subprocess.Popen[str]) -> Ended:
    """End a process as the loss of power would."""
    process.kill()
    return ended(process)
