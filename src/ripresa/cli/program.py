"""The program around the commands: the one place where errors become messages and exit codes."""

from __future__ import annotations

import os
import sys
from typing import Any, cast

import typer

from ..errors import RipresaError
from .called import program
from .commands import cli
from .exits import COMPLETED, USAGE, UserCodeFailed, exit_of
from .output import own_output

# The root of what a command line can be wrong about; typer brings it along without giving it a public name.
UsageError: Any = typer.BadParameter.__mro__[1]


def run(args: list[str]) -> int:
    """Perform a command; its exit code."""
    for stream in (sys.stdout, sys.stderr):
        cast("Any", stream).reconfigure(errors="replace")
    with own_output():
        return _ended(args)


def _ended(args: list[str]) -> int:
    try:
        code = _run(args)
        sys.stdout.flush()
        return code
    except (BrokenPipeError, SystemExit):  # `| head` has seen enough; typer makes it an exit in the middle of a command
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return COMPLETED


def _run(args: list[str]) -> int:
    try:
        code = cli(args or ["--help"], prog_name=program(), standalone_mode=False)
    except UsageError as error:
        context = f" ({error.ctx.command_path} --help says more)" if error.ctx else ""
        return _refused(RipresaError(error.format_message() + context, code="usage", op="ripresa"), args)
    except RipresaError as error:
        return _refused(error, args)
    except UserCodeFailed as error:
        from .telling import tell_user_error

        tell_user_error(error.__cause__ or error)
        return USAGE
    return code if isinstance(code, int) else COMPLETED


def _refused(error: RipresaError, args: list[str]) -> int:
    from .telling import print_json, tell_error

    tell_error(error)
    if "--json" in args:
        from .plain import error_plain

        print_json({"error": error_plain(error)})
    return exit_of(error)
