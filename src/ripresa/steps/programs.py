"""Steps that run a program or a Python script: without a shell, bounded, and with nothing left running."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic, cast, overload

from typing_extensions import TypeVar, Unpack

from ..authoring.call import Call
from ..authoring.encoding import decode
from ..authoring.options import bad_count, refuse
from ..authoring.step import Step
from ..core.durations import Duration, seconds
from ..errors import InvalidValue, StepError
from .making import StepOptions, divided, made, own_name, within
from .places import folder_inside
from .process import Bounds, Ended, Program, run_program, usual_environment
from .recipes import kept
from .secret import Secret, hide

R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")

_TOLD = 2000
"""How much of what a program said at its end stands in the message of its failure."""


@dataclass(frozen=True, slots=True)
class Command:
    """What one call gives a program: further arguments, its standard input, the folder (inside the step's own)."""

    args: tuple[str, ...] = ()
    stdin: str = ""
    cwd: str = ""


@dataclass(frozen=True, slots=True)
class Completed:
    """How a program ended that counts as a success. What is no UTF-8 in its output is replaced."""

    exit: int
    stdout: str
    stderr: str = ""


class ShellOptions(StepOptions, total=False):
    """The options of `shell` and `python`."""

    ok: Collection[int]
    final: Collection[int]
    env: Mapping[str, str | Secret]
    pass_env: Iterable[str]
    cwd: str | os.PathLike[str]
    silence: Duration | None
    max_output: int
    grace: Duration


class ProgramStep(Step[..., R_co], Generic[R_co]):
    """A step that runs a program; it is given its standard input, or a `Command`."""

    def __call__(self, given: str | Command = "", /) -> Call[R_co]:
        """See `Step`."""
        return super().__call__(given)


@overload
def shell(*argv: str, **options: Unpack[ShellOptions]) -> ProgramStep[Completed]: ...
@overload
def shell(*argv: str, returns: type[T], **options: Unpack[ShellOptions]) -> ProgramStep[T]: ...
def shell(*argv: str, returns: Any = Completed, **options: Any) -> Any:
    """A step that runs a program with these arguments, without a shell.

    `wc = shell("wc", "-w")`, then `await wc("a text")`. A text is its standard input; a `Command` adds arguments after
    those here (put "--" last where they come from data). With `returns` its standard output is read as JSON of that
    type, else the result is a `Completed`. `ok` are the exit statuses of success (0), `final` those that no other
    attempt can mend. It is given the usual variables of the environment alone (`PATH`, `HOME`, the locale), those named
    in `pass_env`, and `env`, where a `Secret` may stand. `cwd` is the folder that it and a `Command` stay in, `timeout`
    how long it may take, `silence` how long it may say nothing, `max_output` how many bytes it may write. When it is
    stopped its process group gets TERM, and after `grace` KILL. The other options are those of `ripresa.step`. Raises
    `InvalidConfig`.
    """
    every, own = divided(options)
    refuse("shell", *bad_argv(argv))
    settings = _settings("shell", own)
    every.setdefault("name", own_name("shell", Path(argv[0]).name))
    made = _program_step(argv, settings, returns, every)
    again = partial(shell, *argv, returns=returns, **own)
    return kept(made, "shell", again, {"command": argv, **own}, returns=None if returns is Completed else returns)


@overload
def python(script: str | Path, *args: str, **options: Unpack[ShellOptions]) -> ProgramStep[Completed]: ...
@overload
def python(script: str | Path, *args: str, returns: type[T], **options: Unpack[ShellOptions]) -> ProgramStep[T]: ...
def python(script: str | Path, *args: str, returns: Any = Completed, **options: Any) -> Any:
    """A step that runs a Python script in a process of its own: its text, or a `Path` to its file.

    It runs isolated (`-I`: no `PYTHON...` variables, no user site, nothing imported from the working directory) with
    the interpreter of this process. All else is as with `shell`.
    """
    every, own = divided(options)
    code = ("-c", script) if isinstance(script, str) else (os.path.abspath(script),)
    argv = (sys.executable, "-I", *code, *args)
    refuse("python", *bad_argv(argv), "script is '', must be a text or a Path" if script == "" else None)
    settings = _settings("python", own)
    every.setdefault("name", own_name("python", "python" if isinstance(script, str) else script.stem))
    made = _program_step(argv, settings, returns, every)
    what = {"script": script} if isinstance(script, str) else {"file": os.path.abspath(script)}
    again = partial(python, script, *args, returns=returns, **own)
    given = {**what, **({"args": args} if args else {}), **own}
    return kept(made, "python", again, given, returns=None if returns is Completed else returns)


def _program_step(argv: tuple[str, ...], settings: Settings, returns: Any, every: dict[str, Any]) -> ProgramStep[Any]:
    every.setdefault("effect", "idempotent")
    limit = None if every.get("timeout") is None else seconds(every["timeout"], "timeout")
    run = partial(_run, argv, settings, returns)

    async def run_it(given: str | Command | None = "", /) -> Any:
        command = Command(stdin=given or "") if given is None or isinstance(given, str) else given
        return await within(limit, repr(argv[0]), run(command, every["effect"]))

    return made(ProgramStep[Any], run_it, (argv, settings), returns, every)


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of its kind, checked."""

    ok: tuple[int, ...] = (0,)
    final: tuple[int, ...] = ()
    env: Mapping[str, str | Secret] = field(default_factory=dict[str, "str | Secret"])
    pass_env: tuple[str, ...] = ()
    cwd: Path = Path()
    silence: float | None = None
    max_output: int = 1_048_576
    grace: float = 2.0


def _settings(op: str, given: dict[str, Any]) -> Settings:
    unknown = sorted(set(given) - set(Settings.__slots__))
    refuse(
        op,
        f"there is no option {', '.join(unknown)}" if unknown else None,
        bad_count(given.get("max_output", 1), "max_output"),
        *(_bad_statuses(given.get(name, ()), name) for name in ("ok", "final")),
        *bad_variables(given.get("env", {}), given.get("pass_env", ())),
    )
    fixed = dict(given)
    for name in ("ok", "final", "pass_env"):
        if name in fixed:
            fixed[name] = tuple(fixed[name])
    if "env" in fixed:
        fixed["env"] = dict(fixed["env"])
    if "cwd" in fixed:
        fixed["cwd"] = Path(fixed["cwd"])
    if fixed.get("silence") is not None:
        fixed["silence"] = seconds(fixed["silence"], "silence")
    if "grace" in fixed:
        fixed["grace"] = seconds(fixed["grace"], "grace")
    return Settings(**fixed)


def bad_argv(argv: tuple[Any, ...]) -> list[str]:
    """What is wrong with a program and its arguments."""
    if not argv or argv[0] == "":
        return ["argv is empty, must name a program"]
    return [f"argv has {each!r}, must be texts without \\0" for each in argv if not _is_argument(each)]


def _is_argument(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value


def _bad_statuses(value: Any, name: str) -> str | None:
    statuses = list(cast("Collection[object]", value)) if isinstance(value, Collection) else [None]
    good = all(type(each) is int and -64 <= each <= 255 for each in statuses)
    return None if good else f"{name} is {value!r}, must be exit statuses from 0 to 255 (a signal is negative)"


def bad_variables(env: Any, passed: Any) -> list[str]:
    """What is wrong with variables that a program is given, and with the names of those that are passed on."""
    if not isinstance(env, Mapping) or isinstance(passed, str):
        return ["env must be a mapping, and pass_env a list of names"]
    given = cast("Mapping[object, object]", env)
    names = [*given, *cast("Iterable[object]", passed)]
    bad = [f"{name!r} is no name of a variable" for name in names if not _is_argument(name) or "=" in str(name)]
    values = [name for name, value in given.items() if not isinstance(value, Secret) and not _is_argument(value)]
    return [*bad, *(f"env has no text and no Secret for {name!r}" for name in values)]


async def _run(argv: tuple[str, ...], settings: Settings, returns: Any, command: Command, effect: str) -> Any:
    for each in command.args:
        if not _is_argument(each):
            raise InvalidValue(f"the argument {each!r} has a \\0", op="shell")
    env, secrets = usual_environment(settings.pass_env), list[str]()
    for name, value in settings.env.items():
        env[name] = value if isinstance(value, str) else value.read()
        secrets += [] if isinstance(value, str) else [env[name]]
    program = Program((*argv, *command.args), folder_inside(settings.cwd, command.cwd), env, settings.grace)
    try:
        ended = await run_program(
            program, command.stdin.encode(), Bounds(settings.max_output, silence=settings.silence)
        )
    except StepError as error:
        if error.code == "no_output" and effect == "irreversible":
            error.unknown = True
        raise
    return _result(argv[0], settings, returns, ended, secrets)


def _result(name: str, settings: Settings, returns: Any, ended: Ended, secrets: list[str]) -> Any:
    said, complaint = (hide(each.decode("utf-8", "replace"), secrets) for each in (ended.output, ended.errors))
    if ended.status not in settings.ok:
        what = f"ended with status {ended.status}" if ended.status >= 0 else f"was killed by signal {-ended.status}"
        told = (complaint.strip() or said.strip())[-_TOLD:]
        raise StepError(
            f"{Path(name).name!r} {what}{': ' if told else ''}{told}",
            code="process_failed",
            retryable=ended.status not in settings.final,
            unknown=ended.status < 0,
        )
    if returns is Completed:
        return Completed(ended.status, said, complaint)
    try:
        return decode(said.encode(), returns, where=Path(name).name, code="invalid_output")
    except ValueError as error:
        raise InvalidValue(str(error), code="invalid_output", where=Path(name).name) from error
