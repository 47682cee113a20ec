"""Every error says what, where and what to do: in Python, on the command line and as JSON, whatever its code."""

import ast
import asyncio
import json
from typing import Any

import pytest

from ripresa import App, Context, InvalidValue, RipresaError, RunFailed, StepError, errors, step, workflow
from ripresa.advice import ADVICE, mending
from ripresa.authoring.failures import error_of, failure_of
from ripresa.cli.plain import error_plain, failure_plain
from ripresa.cli.program import run
from ripresa.cli.telling import tell_error
from ripresa.core.events import Failure
from ripresa.errors import CODES, InvalidWorkflow, Problem
from ripresa.runtime.family import failure_for
from tests.sources import TOGETHER, trees

pytestmark = TOGETHER

#: Those whose place is the step that raises them: the border adds it.
OF_STEPS = {"StepError", "ModelError", "ToolFailed", "StepFailed", "StepTimeout"}

PLACES = {"where", "op", "run", "session"}


def test_there_is_advice_for_every_code_and_for_nothing_else() -> None:
    assert list(ADVICE) == list(CODES)
    assert [code for code, text in ADVICE.items() if len(text) < 10 or text.endswith(",") or "|" in text] == []


@pytest.mark.parametrize("code", CODES)
def test_every_code_is_shown_with_what_where_and_what_to_do(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    error = RipresaError("it broke", code=code, where="g/a")
    assert error.hint == ADVICE[code]
    assert str(error).startswith(f"[{code}] g/a: it broke")
    assert (error.hint in str(error)) == (code != "step_failed")  # there what the user's step said stands alone
    tell_error(error)
    assert capsys.readouterr().err == f"error [{code}] g/a: it broke\n  hint: {error.hint}\n"
    plain = error_plain(error)
    assert (plain["code"], plain["where"], plain["message"], plain["hint"]) == (code, "g/a", "it broke", error.hint)
    recorded = failure_plain(failure_of(error, "g/a", 1))
    assert recorded is not None
    assert (recorded["code"], recorded["path"], recorded["hint"]) == (code, "g/a", error.hint)
    problem = Problem("g/a", "it broke", code)
    tell_error(InvalidWorkflow([problem]))
    assert f"  hint: {problem.hint}\n" in capsys.readouterr().err


def raised() -> dict[str, ast.Call]:
    """The places where an error is made, by file and line."""
    kinds = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, RipresaError)}
    return {
        f"{name}:{node.lineno}": node
        for name, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in kinds - OF_STEPS
        if name != "core/state.py"  # events of the same names
    }


def test_whoever_raises_an_error_says_where() -> None:
    found = raised()
    assert len(found) > 300
    assert [at for at, call in found.items() if not PLACES & {each.arg or "op" for each in call.keywords}] == []


def test_advice_for_a_code_is_no_part_of_what_is_recorded() -> None:
    assert failure_of(InvalidValue("wrong")).message == "wrong"
    assert failure_of(InvalidValue("wrong", hint="mend it")).message == "wrong (mend it)"


def test_an_error_made_of_a_record_reads_as_it_was_recorded() -> None:
    error = error_of(Failure("invalid_input", "wrong", path="a"))
    assert isinstance(error, RipresaError)
    assert (str(error), error.hint) == ("[invalid_input] a: wrong", ADVICE["invalid_input"])


def test_a_hint_may_be_added_later() -> None:
    error = InvalidValue("wrong", op="run")
    assert str(error) == f"[invalid_input] run: wrong ({ADVICE['invalid_input']})"
    error.hint = "give 1"
    assert (error.hint, error.said, str(error)) == ("give 1", "give 1", "[invalid_input] run: wrong (give 1)")


@step
async def doubled(x: int) -> int:
    return x * 2


@step
async def wrong(x: int) -> int:
    return f"not {x}"  # type: ignore[return-value]


@step
async def poor(x: int) -> int:
    raise StepError("there is none", code="http_status", retryable=False)


@workflow
async def told(ctx: Context, x: int) -> str:
    try:
        await poor(x)
    except RipresaError as error:
        return await text(str(error))
    return ""


@step
async def text(given: str) -> str:
    return given


async def failed(call: Any) -> RipresaError:
    async with App("memory:") as app:
        with pytest.raises(RipresaError) as caught:
            await app.run(call, id="r")
        return caught.value


def test_input_that_does_not_fit_says_what_to_do() -> None:
    given: Any = "many"
    error = asyncio.run(failed(doubled(given)))
    assert (error.code, error.where != "", error.hint) == ("invalid_input", True, ADVICE["invalid_input"])


def test_output_that_does_not_fit_says_what_to_do_and_how_the_run_goes_on() -> None:
    error = asyncio.run(failed(wrong(1)))
    assert isinstance(error, RunFailed)
    assert (error.failure.code, error.where) == ("invalid_output", "wrong")
    assert error.hint == f"{ADVICE['invalid_output']}, then: ripresa resume r"
    assert ADVICE["invalid_output"] not in error.failure.message


def test_the_command_that_takes_a_run_up_is_told_once() -> None:
    resume = "ripresa resume {}".format
    assert mending(Failure("store_full", "no room"), "r", resume) == "make room, then: ripresa resume r"
    assert mending(Failure("of_a_newer_version", ""), "r", resume) == "mend the cause, then: ripresa resume r"


def test_a_run_that_failed_of_others_is_taken_up_after_those() -> None:
    inmost = failure_for("it's", "failed", Failure("step_failed", "no", ("builtins.ValueError",)))
    child = failure_for("kid", "failed", inmost)
    assert child is not None
    parent = Failure("step_failed", "of it", ("builtins.ValueError",), cause=child)
    wanted = "mend the cause, then: resume it's, then: resume kid, then: resume q"
    assert mending(parent, "q", "resume {}".format) == wanted
    said = Failure("run_failed", "run 'other' failed: no", ("ripresa.errors.RunFailed",))
    assert mending(said, "q", "resume {}".format) == "mend the cause, then: resume q"


async def test_a_durable_function_sees_no_text_that_a_later_version_may_word_otherwise() -> None:
    async with App("memory:") as app:
        assert await app.run(told(1)) == "[http_status] poor: there is none"


def test_wrong_usage_says_what_to_do_as_json_too(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["show", "nobody", "--store", str(tmp_path / "a.db"), "--json"]) == 3
    seen = capsys.readouterr()
    told = json.loads(seen.out)["error"]
    assert (told["code"], bool(told["hint"]), "  hint: " in seen.err) == ("run_not_found", True, True)
    assert run(["show", "--no-such-option", "--json"]) == 2
    told = json.loads(capsys.readouterr().out)["error"]
    assert (told["code"], told["op"], bool(told["hint"])) == ("usage", "ripresa", True)
