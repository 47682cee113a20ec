"""Starts commands without starting Python for each: a process that has imported everything forks one for each.

It reads jobs as lines of JSON. A job with `cwd`, `args`, `env`, and the paths `input`, `out` and `err` is a command:
the answer is its exit code, or minus the number of the signal that ended it. With `script`, a path, it is that program
which is run instead. With `leave` the answer is at once the number of its process, which ends as a program of its own
does; a job `{"asked": number}` is then answered with how it ended, or with null.
"""

import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import sys
import threading
import traceback
from contextlib import suppress
from typing import Any

from coverage import Coverage
from pydantic import TypeAdapter

import ripresa.cli.program

MAIN = os.path.join(os.path.dirname(ripresa.__file__), "__main__.py")

PATIENCE = 60
"""Seconds after which a command that hangs is ended."""


def become(job: dict[str, Any]) -> None:
    """Be as a process that was just started."""
    os.environ.clear()
    os.environ.update(job["env"])
    os.chdir(job["cwd"])
    files = (job["input"], os.O_RDONLY), (job["out"], os.O_WRONLY), (job["err"], os.O_WRONLY)
    for number, (path, mode) in enumerate(files):
        handle = os.open(path, mode)
        os.dup2(handle, number)
        os.close(handle)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the process
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.path[0] = job["cwd"]
    sys.argv = [MAIN, *job["args"]]
    sys.modules["__main__"].__package__ = "ripresa"  # from which its help takes what it is called


def run_script(path: str) -> int:
    """Do what `python PATH` does."""
    sys.argv, sys.path[0] = [path], os.path.dirname(path)
    try:
        runpy.run_path(path, run_name="__main__")
    except SystemExit as error:
        return int(error.code or 0)
    threading._shutdown()  # type: ignore[attr-defined]  # a program waits for its threads
    return 0


def perform(job: dict[str, Any]) -> int:
    """Do what `python -m ripresa` does, or a program."""
    become(job)
    try:
        return run_script(job["script"]) if "script" in job else ripresa.cli.program.run(job["args"])
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def import_everything() -> None:
    """All that a command may need, whatever its user has installed."""
    for found in pkgutil.walk_packages(ripresa.__path__, "ripresa."):
        if "__main__" not in found.name:
            with suppress(ImportError):
                importlib.import_module(found.name)
    TypeAdapter(list[int])  # the rest of pydantic comes with its first use
    gc.freeze()


def note_what_was_covered() -> None:
    """Where lines are counted: keep which ones this process has run until now."""
    if counted := Coverage.current():
        counted.save()


def forked(job: dict[str, Any]) -> int:
    """The number of the process that performs a job."""
    pid = os.fork()
    if pid:
        return pid
    if "leave" in job:
        sys.exit(perform(job))
    signal.alarm(PATIENCE)
    code = perform(job)
    note_what_was_covered()
    os._exit(code)


def done(job: dict[str, Any]) -> int | None:
    """The answer to a job."""
    if "leave" in job:
        return forked(job)
    if "asked" in job:
        pid, status = os.waitpid(job["asked"], os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None
    return os.waitstatus_to_exitcode(os.waitpid(forked(job), 0)[1])


def serve() -> None:
    """Do jobs until there are no more."""
    import_everything()
    sys.dont_write_bytecode = True  # a file that a test rewrites in the same second is to be read anew
    note_what_was_covered()
    for line in sys.stdin:
        print(json.dumps(done(json.loads(line))), flush=True)


if __name__ == "__main__":
    serve()
