"""Exceptions become data, and data exceptions."""

from __future__ import annotations

import pickle
import sys
import traceback
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import pytest

from ripresa import Failure, InvalidValue, RipresaError, StepError, StepFailed, is_retryable
from ripresa.authoring.failures import error_of, failure_of, place_of, printable
from ripresa.core.retry import FILE_MODULE


class Broken(Exception):
    """Its text raises."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class Odd(Exception):
    """Cannot be made of a message."""

    def __new__(cls, *, number: int) -> Odd:
        return super().__new__(cls)

    def __init__(self, *, number: int) -> None:
        super().__init__(number)


class Outer:
    class Inner(ValueError):
        """A class inside a class."""


def raised(error: BaseException) -> BaseException:
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


def test_where_something_failed_is_its_path_or_the_last_line_of_the_users_code() -> None:
    library = Path(traceback.__file__).parent
    lines = [(str(library / "asyncio/tasks.py"), 644), ("/venv/lib/site-packages/x.py", 7)]

    def told(*frames: tuple[str, int]) -> Failure:
        text = "".join(f'  File "{file}", line {line}, in f\n    f()\n' for file, line in frames)
        return Failure("step_failed", "no", traceback=f"Traceback (most recent call last):\n{text}ValueError: no")

    assert place_of(told(("flow.py", 3), ("flow.py", 12), *lines)) == "flow.py:12"
    assert place_of(told(*lines)) == "/venv/lib/site-packages/x.py:7"
    assert place_of(told()) == ""
    assert place_of(replace(told(("flow.py", 3)), path="fetch")) == "fetch"


def test_a_failure_keeps_what_was_raised() -> None:
    failure = failure_of(raised(Outer.Inner("wet")), "chain/fetch", 2)
    assert (failure.code, failure.message, failure.path, failure.attempt) == ("step_failed", "wet", "chain/fetch", 2)
    assert failure.types == (f"{__name__}.Outer.Inner", "ValueError", "Exception")
    assert failure.retryable
    assert "raise error" in failure.traceback
    assert "ripresa/" not in failure.traceback.replace(__file__, "")


def test_a_coded_error_keeps_code_and_hint() -> None:
    failure = failure_of(InvalidValue("wrong", hint="mend it"))
    assert (failure.code, failure.message, failure.retryable) == ("invalid_input", "wrong (mend it)", False)
    assert failure_of(StepError("later")).message == "later"
    assert failure_of(StepError("never", retryable=False)).retryable is False


def test_causes_are_kept() -> None:
    error = ValueError("outer")
    error.__cause__ = KeyError("inner")
    cause = failure_of(error).cause
    assert cause is not None
    assert (cause.message, cause.types[0]) == ("inner", "KeyError")


def test_a_group_of_one_is_what_is_in_it() -> None:
    assert failure_of(ExceptionGroup("all", [ValueError("one")])).message == "one"
    assert (
        failure_of(ExceptionGroup("all", [ValueError("one"), ValueError("two")])).message
        == "all: ValueError: one; ValueError: two"
    )


def test_a_recorded_failure_stays_as_it_is() -> None:
    failure = Failure("timeout", "too long")
    error = error_of(failure)
    assert failure_of(error) is failure


def test_an_exception_whose_text_raises_is_recorded_too() -> None:
    assert failure_of(Broken()).message == "<Broken whose text raised RuntimeError>"


def test_text_that_cannot_be_written_is_replaced() -> None:
    assert failure_of(ValueError("a\ud800")).message == "a?"
    assert printable("tides") == "tides"


def test_an_exception_comes_back_as_its_own_class() -> None:
    error = error_of(failure_of(Outer.Inner("wet"), "chain/fetch", 2))
    assert type(error) is Outer.Inner
    assert error.args == ("wet",)
    assert error.__notes__ == ["in step 'chain/fetch', attempt 2"]


def test_a_class_that_is_not_loaded_is_stood_in_for_by_one_of_its_name_and_nearest_base() -> None:
    failure = Failure("step_failed", "wet", ("gone.module.Error", "ripresa.gone.Error", "int", "KeyError"))
    error = error_of(failure)
    assert isinstance(error, KeyError)
    assert (type(error).__module__, type(error).__name__, error.args) == ("gone.module", "Error", ("wet",))
    assert type(error_of(failure)) is type(error)


def test_a_class_inside_a_function_comes_back_by_its_name() -> None:
    class Soaked(ValueError):
        """Nobody finds it by its name."""

    error = error_of(failure_of(raised(Soaked("wet"))))
    assert isinstance(error, ValueError)
    assert type(error).__name__ == "Soaked"
    assert failure_of(error).types[0].endswith("<locals>.Soaked")
    assert failure_of(error) is getattr(error, "failure")  # noqa: B009


class Counted(ValueError):
    made: ClassVar[list[str]] = []

    def __init_subclass__(cls) -> None:
        cls.made.append(cls.__name__)


def test_no_class_is_made_of_one_that_would_hear_of_it() -> None:
    name = f"{__name__}.Counted"
    assert type(error_of(Failure("step_failed", "wet", ("gone.module.Error", name, "ValueError")))) is Counted
    assert Counted.made == []


def test_what_cannot_be_made_again_is_a_step_failed() -> None:
    for failure in (
        Failure("step_failed", "wet", ("gone.Error",), path="a"),
        Failure("step_failed", "wet", (f"{__name__}.Odd",), path="a"),
        Failure("timeout", "wet", ("ValueError",), path="a"),
        Failure("a code of the future", "wet", path="a"),
    ):
        error = error_of(failure)
        assert isinstance(error, StepFailed)
        assert (error.message, error.failure, error.where) == ("wet", failure, "a")
    assert getattr(error_of(Failure("timeout", "wet")), "code", "") == "timeout"


@pytest.mark.parametrize("types", [(), ("ripresa.errors.StepError",), ("ripresa.errors.ModelError",), ("ValueError",)])
def test_a_code_that_only_a_newer_version_knows_is_kept_and_not_tried_again(types: tuple[str, ...]) -> None:
    failure = Failure("of_the_future", "wet", types, retryable=True, path="a", cause=Failure("of_the_future", "cold"))
    error = error_of(failure)
    assert getattr(error, "failure") == failure  # noqa: B009
    if not types or types != ("ValueError",):
        assert isinstance(error, RipresaError)
        assert (error.code, error.message, error.where, error.hint) == ("of_the_future", "wet", "a", "")
        assert str(error) == "[of_the_future] a: wet"
        assert not is_retryable(error)
        assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert failure_of(error) is failure
    assert isinstance(error.__cause__, RipresaError)
    assert error.__cause__.code == "of_the_future"


def test_a_class_of_a_file_is_found_under_the_name_of_its_module(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"{FILE_MODULE}abc__"
    module = ModuleType(name)
    module.__file__ = "/somewhere/script.py"
    kind = type("Wet", (ValueError,), {"__module__": name})
    module.Wet = kind  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, name, module)
    failure = failure_of(raised(kind("wet")))
    assert failure.types[0] == "script.Wet"
    assert FILE_MODULE not in failure.traceback
    assert type(error_of(failure)) is kind
