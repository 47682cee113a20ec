"""Starts commands without starting Python for each: a process that has imported everything forks one for each.

It reads jobs as lines of JSON: `cwd`, `args`, `env`, and the paths `input`, `out` and `err`; it answers with the exit
code of the command, or minus the number of the signal that ended it.
"""

import gc
import importlib
import json
import os
import pkgutil
import sys
import traceback
from contextlib import suppress
from typing import Any

from pydantic import TypeAdapter

import ripresa.cli.program

MAIN = os.path.join(os.path.dirname(ripresa.__file__), "__main__.py")


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
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.path[0] = job["cwd"]
    sys.argv = [MAIN, *job["args"]]
    sys.modules["__main__"].__package__ = "ripresa"  # from which its help takes what it is called


def perform(job: dict[str, Any]) -> int:
    """Do what `python -m ripresa` does."""
    become(job)
    try:
        return ripresa.cli.program.run(job["args"])
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


def serve() -> None:
    """Do jobs until there are no more."""
    import_everything()
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            os._exit(perform(json.loads(line)))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
