"""A run that a script began is taken up by the command line, and what it failed of keeps its name."""

import subprocess
import sys
from types import ModuleType

import pytest

from ripresa import RipresaError, StepError
from ripresa.cli.telling import form_option
from ripresa.core.retry import module_key, type_key
from tests.cli.program import Terminal, environment

SCRIPT = """
import asyncio
import os
import sys
from pathlib import Path

from ripresa import App, Context, chain, fallback, step, workflow


class Odd(Exception):
    pass


@step
async def odd(n: int) -> int:
    raise Odd("so odd")


@step
async def even(n: int) -> int:
    return 2 * n


@step
async def dies(n: int) -> int:
    if not Path("died").exists():
        Path("died").touch()
        os._exit(9)
    return n


flow = chain(fallback(odd, even, on=Odd), name="flow").then(dies)


@workflow
async def function(ctx: Context, n: int) -> int:
    try:
        await odd(n)
    except Odd:
        n = await even(n)
    return await dies(n)


async def main() -> None:
    async with App() as app:
        await app.run({"flow": flow, "function": function}[sys.argv[1]](3), id="a")


if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.mark.parametrize("how", [["script.py"], ["-m", "script"]])
@pytest.mark.parametrize("form", ["flow", "function"])
def test_a_run_that_a_script_began_is_resumed_by_the_command_line(
    terminal: Terminal, how: list[str], form: str
) -> None:
    terminal.write("script.py", SCRIPT)
    began = subprocess.run([sys.executable, *how, form], cwd=terminal.directory, env=environment())
    assert began.returncode == 9
    assert terminal("resume", "a", "--quiet").out == "6\n"


def test_the_name_of_a_type_does_not_say_how_its_file_was_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    program = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", program)
    assert module_key("__main__") == "__main__"  # typed at a prompt
    program.__file__ = "/somewhere/survey.py"
    assert module_key("__main__") == "survey"
    loaded = ModuleType("__file_abc__")
    loaded.__file__ = "/somewhere/survey.py"
    monkeypatch.setitem(sys.modules, "__file_abc__", loaded)
    assert module_key("__file_abc__") == "survey"
    assert module_key("a.survey") == "a.survey"
    assert type_key(StepError) == "ripresa.errors.StepError"
    assert type_key(ValueError) == "ValueError"


def test_an_error_of_ours_that_a_step_raised_can_be_raised_again() -> None:
    from ripresa.authoring.failures import error_of, failure_of

    for error in (StepError("no", retryable=False), RipresaError("no", code="step_failed")):
        again = error_of(failure_of(error, "a", 1))
        assert isinstance(again, type(error))
        assert (again.code, again.message, again.where) == ("step_failed", "no", "a")
        assert str(again) == "[step_failed] a: no"
    assert error_of(failure_of(StepError("no", retryable=False))).retryable is False  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("form", "option"),
    [
        ("", ()),
        ("str", ("--form", "JSON")),
        ("Review(title:str)", ("--form", '{"title": ...}')),
        ("R(a:dict[str,Q(b:int,c:int)],d:int)", ("--form", '{"a": ..., "d": ...}')),
    ],
)
def test_a_form_is_suggested_with_its_fields(form: str, option: tuple[str, ...]) -> None:
    assert form_option(form) == option
