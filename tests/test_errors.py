"""Errors: one tree, one table of codes, and everything in both is used."""

import ast
import copy
import pickle
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from ripresa import errors
from ripresa.advice import ADVICE
from ripresa.errors import (
    CODES,
    Code,
    IllegalTransition,
    InvalidConfig,
    InvalidWorkflow,
    ModelError,
    Problem,
    RipresaError,
    RunCancelled,
    RunError,
    RunFailed,
    StepError,
    StoreError,
    ToolFailed,
    is_retryable,
)
from tests.sources import TOGETHER, trees

pytestmark = TOGETHER

#: Codes of which the source has no literal where they are raised, each with the reason.
NAMED_ELSEWHERE: dict[str, str] = {
    "terminated": "`cancel_error` takes the status of the run as its code",
    "undone": "the same",
    "store_locked": "`stores/failures.py` has a table from what SQLite and the system say",
    "store_full": "the same table",
    "store_readonly": "the same table",
}

KINDS = sorted(
    (kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, RipresaError)),
    key=lambda kind: kind.__name__,
)


# --- the table


def literals(node: ast.AST) -> Iterator[str]:
    """The texts that an expression may be."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp(body=body, orelse=orelse):
            yield from literals(body)
            yield from literals(orelse)
        case _:
            pass


def codes_in(tree: ast.AST) -> Iterator[str]:  # noqa: C901 - one arm for each place that a code can stand in
    """Codes by where they stand: arguments `code=`, class attributes, problems, failures, lost attempts."""
    for node in ast.walk(tree):
        match node:
            case ast.keyword(arg="code", value=value):
                yield from literals(value)
            case ast.Assign(targets=[ast.Name(id="default_code" | "code")], value=value):
                yield from literals(value)
            case ast.AnnAssign(target=ast.Name(id="code"), value=ast.Constant(value=str(code))):
                yield code
            case ast.Call(func=ast.Name(id="Problem"), args=[_, _, value]):
                yield from literals(value)
            case ast.Call(func=ast.Name(id="Failure"), args=[value, *_]):
                yield from literals(value)
            case ast.Assign(targets=[ast.Name(id="LOST")], value=ast.Dict(values=values)):
                for value in values:
                    assert isinstance(value, ast.Tuple)
                    yield from literals(value.elts[0])
            case ast.Call(func=ast.Attribute(attr="note"), args=[_, value, *_]):
                yield from literals(value)
            case ast.arguments():
                for name, default in zip(node.kwonlyargs, node.kw_defaults, strict=True):
                    if name.arg == "code" and default is not None:
                        yield from literals(default)
            case _:
                pass


@cache
def used() -> dict[str, str]:
    """A file in which each code stands."""
    return {code: name for name, tree in trees().items() for code in codes_in(tree)}


def test_every_code_that_is_used_stands_in_the_table() -> None:
    assert {code: place for code, place in used().items() if code not in CODES} == {}


def test_every_code_in_the_table_is_used_or_has_a_reason() -> None:
    assert [code for code in CODES if code not in used()] == [code for code in CODES if code in NAMED_ELSEWHERE]
    assert NAMED_ELSEWHERE.keys() <= CODES.keys()


def test_every_code_says_what_it_means() -> None:
    assert [code for code, row in CODES.items() if not row.meaning or not code.isidentifier()] == []
    assert CODES["timeout"] == Code("an attempt took longer than its timeout", retryable=True)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_has_its_code_in_the_table_and_says_when_it_is_raised(kind: type[RipresaError]) -> None:
    assert kind.default_code in CODES
    assert kind.__doc__


def test_a_code_that_is_not_in_the_table_is_no_code() -> None:
    with pytest.raises(InvalidConfig) as caught:
        RipresaError("it broke", code="unheard_of")
    error = caught.value
    assert error.message == "it broke (it was raised with 'unheard_of', which is not in the table of codes)"
    assert (error.code, error.op, error.unknown) == ("invalid_config", "RipresaError", False)
    assert "class Poor(StepError)" in error.hint
    assert not is_retryable(error)


def test_a_code_of_a_model_error_that_is_not_in_the_table_is_told_as_any_other() -> None:
    with pytest.raises(InvalidConfig, match="raised with 'unheard_of'"):
        ModelError("it broke", code="unheard_of")


def test_an_error_whose_code_is_not_in_the_table_is_in_doubt_as_it_was() -> None:
    with pytest.raises(InvalidConfig) as caught:
        StepError("the line broke off", code="broken", unknown=True)
    assert caught.value.unknown


# --- what an error says


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (RipresaError("it broke"), "[step_failed] it broke"),
        (InvalidConfig("x is 0", op="App"), f"[invalid_config] App: x is 0 ({ADVICE['invalid_config']})"),
        (StoreError("no space", code="store_full", hint="delete runs"), "[store_full] no space (delete runs)"),
        (
            RunFailed("it failed", run="r", where="a/b", hint="mend it"),
            "[run_failed] a/b: it failed (mend it)",
        ),
        (IllegalTransition("it is over", run="r"), f"[illegal_transition] it is over ({ADVICE['illegal_transition']})"),
        (StepError("no", code="timeout", hint="wait"), "[timeout] no (wait)"),
        (Problem("g/a", "is twice", "duplicate_name"), "g/a: is twice [duplicate_name]"),
        (Problem("", "is empty"), "is empty [invalid_workflow]"),
    ],
)
def test_an_error_says_code_place_and_what_to_do(error: object, text: str) -> None:
    assert str(error) == text


def test_the_parts_of_an_error_can_be_asked_for() -> None:
    error = RunError("broken", run="r1", code="owned_elsewhere", op="resume", where="a", hint="wait")
    assert error.args == ("broken",)
    assert vars(error) == {
        "code": "owned_elsewhere",
        "message": "broken",
        "op": "resume",
        "where": "a",
        "hint": "wait",
        "run": "r1",
    }


# --- invalid workflows


def test_an_invalid_workflow_lists_everything_that_is_wrong_with_it() -> None:
    problems = [Problem("g/a", "depends on b, which is not there", "unknown_dependency"), Problem("g", "is empty")]
    error = InvalidWorkflow(iter(problems), op="graph", hint="look")
    assert error.problems == tuple(problems)
    assert (error.code, error.where) == ("invalid_workflow", "")
    assert str(error) == (
        "[invalid_workflow] graph: 2 problems\n"
        "  - g/a: depends on b, which is not there [unknown_dependency]\n"
        "  - g: is empty [invalid_workflow] (look)"
    )


def test_the_only_problem_is_the_error() -> None:
    error = InvalidWorkflow([Problem("g", "a and b need each other", "cycle")])
    assert (error.code, error.where, str(error)) == (
        "cycle",
        "g",
        "[cycle] g: a and b need each other (take one of these dependencies away)",
    )
    assert InvalidWorkflow([Problem("g", "x", "cycle")], where="file.py").where == "file.py"


def test_problems_of_one_code_give_the_error_this_code() -> None:
    assert InvalidWorkflow([Problem("a", "x", "cycle"), Problem("b", "y", "cycle")]).code == "cycle"


# --- to another process and back


def sample(kind: type[RipresaError]) -> RipresaError:
    if kind is InvalidWorkflow:
        return InvalidWorkflow([Problem("a", "x", "cycle"), Problem("b", "y")], op="check", hint="look")
    if kind is StepError:
        return StepError("mine", code="store_locked", retryable=False, hint="look")
    if kind is ToolFailed:
        failed = ToolFailed("mine", code="tool_failed", retryable=False, hint="look")
        failed.server, failed.content = "files", [{"type": "text", "text": "no"}]
        return failed
    if kind is ModelError:
        return ModelError("mine", code="model_rate_limited", hint="look")
    options: dict[str, Any] = {"op": "do", "where": "a/b", "hint": "look"}
    if issubclass(kind, RunError):
        options["run"] = "r1"
    error = kind("it broke", **options)
    if isinstance(error, RunCancelled):
        error.reason, error.failures = "enough", ("f",)
    return error


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("way", ["pickle", "copy", "deepcopy"])
def test_errors_survive_the_way_to_another_process(kind: type[RipresaError], way: str) -> None:
    error = sample(kind)
    error.add_note("by the way")
    again = pickle.loads(pickle.dumps(error)) if way == "pickle" else getattr(copy, way)(error)
    assert type(again) is kind
    assert (again.args, vars(again), str(again)) == (error.args, vars(error), str(error))


class Own(StepError):
    def __init__(self, url: str, status: int) -> None:
        super().__init__(f"{url} said {status}", retryable=status >= 500)
        self.status = status


def test_errors_of_users_with_arguments_of_their_own_survive_it_too() -> None:
    again = pickle.loads(pickle.dumps(Own("example.org", 503)))
    assert (str(again), again.status, again.retryable) == ("[step_failed] example.org said 503", 503, True)


# --- whether trying again may help


def wrapped(error: BaseException, *causes: BaseException) -> BaseException:
    """The error, caused by the next, and so on."""
    for outer, inner in zip((error, *causes), causes, strict=False):
        outer.__cause__ = inner
    return error


def circle(first: BaseException, second: BaseException) -> BaseException:
    wrapped(first, second, first)
    return first


RETRYABLE: list[tuple[BaseException, bool]] = [
    (ValueError(), True),
    (TimeoutError(), True),
    (ExceptionGroup("several", [ValueError()]), True),
    (ExceptionGroup("several", [ValueError(), StepError("x", retryable=False)]), False),
    (KeyboardInterrupt(), False),
    (SystemExit(1), False),
    (GeneratorExit(), False),
    (BaseExceptionGroup("several", [KeyboardInterrupt()]), False),
    (StepError("x"), True),
    (StepError("x", retryable=False), False),
    (StepError("x", code="timeout", retryable=False), False),
    (RipresaError("x", code="timeout"), True),
    (RipresaError("x", code="deadline_exceeded"), False),
    (StoreError("x", code="store_locked"), True),
    (StoreError("x", code="store_full"), False),
    (RunFailed("x"), False),
    (wrapped(RunFailed("x"), ValueError()), True),
    (wrapped(RunFailed("x"), StepError("y", retryable=False)), False),
    (wrapped(RunFailed("x"), RunFailed("y"), StoreError("z", code="store_full")), False),
    (wrapped(ValueError(), StepError("y", retryable=False)), False),
    (wrapped(ValueError(), RipresaError("y", code="invalid_input")), False),
    (wrapped(ValueError(), KeyError()), True),
    (wrapped(ValueError(), KeyboardInterrupt()), False),
    (circle(ValueError(), KeyError()), False),
    (circle(RunFailed("x"), RunFailed("y")), False),
]


@pytest.mark.parametrize(("error", "retryable"), RETRYABLE, ids=lambda value: repr(value)[:40])
def test_whether_trying_again_may_help(error: BaseException, retryable: bool) -> None:
    assert is_retryable(error) is retryable


@pytest.mark.parametrize("code", CODES)
def test_the_table_decides_for_errors_of_the_engine(code: str) -> None:
    expected = CODES[code].retryable if code != "run_failed" else False
    assert is_retryable(RipresaError("x", code=code)) is expected
