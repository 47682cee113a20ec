"""A function is found again by name in another process, or it is said why not."""

import asyncio
import importlib.util
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ripresa.errors import InvalidConfig, RipresaError
from ripresa.executors.targets import file_name, find, target_of
from tests.executors import jobs

HERE = "tests.executors.jobs"


def loaded(path: Path, name: str) -> ModuleType:
    """A file as a program loads it by its path."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "script"  # no suffix: a program like any other
    path.write_text(
        "from ripresa.authoring.step import step\n"
        "class Odd(Exception): ...\n"
        "@step\n"
        "def work(number: int) -> int: return number\n"
        "if __name__ == '__main__': raise SystemExit('it ran')\n",
        encoding="utf-8",
    )
    before = set(sys.modules)
    yield path
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("fn", "target", "function"),
    [
        (jobs.mirrored, f"{HERE}:mirrored", jobs.mirrored.fn),
        (jobs.mirrored.fn, f"{HERE}:mirrored", jobs.mirrored.fn),
        (jobs.mirrored.with_(name="other"), f"{HERE}:mirrored", jobs.mirrored.fn),
        (jobs.mirrored_later, f"{HERE}:mirrored_later", jobs.mirrored_later.fn),
        (jobs.hidden, f"{HERE}:plain", jobs.plain),
        (jobs.Tools.double, f"{HERE}:Tools.double", jobs.Tools.double.fn),
        (math.sqrt, "math:sqrt", math.sqrt),
        (asyncio.sleep, "asyncio.tasks:sleep", asyncio.sleep),
    ],
)
def test_a_target_leads_back_to_the_plain_function(fn: Any, target: str, function: Callable[..., Any]) -> None:
    assert target_of(fn) == target
    assert find(target) is function


@pytest.mark.parametrize(
    "fn",
    [
        jobs.nameless,
        jobs.outer(),
        jobs.half_done,
        jobs.Tools().method,
        jobs.shadowed_before,
        lambda: None,
    ],
)
def test_what_has_no_name_of_its_own_is_refused_with_advice(fn: Callable[..., Any]) -> None:
    with pytest.raises(InvalidConfig, match="cannot be found by its name") as caught:
        target_of(fn)
    assert caught.value.hint


def test_a_step_that_is_refused_is_named() -> None:
    from ripresa.authoring.step import step

    with pytest.raises(InvalidConfig) as caught:
        target_of(step(name="inner one")(jobs.outer()))
    assert caught.value.where == "inner one"


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("no.such.module:work", "No module named 'no'"),
        ("tests.executors.no_such:work", "No module named"),
        ("/no/such/file.py:work", "No such file"),
        (f"{HERE}:no_such", "has no function 'no_such'"),
        (f"{HERE}:Tools.no_such.more", "has no function"),
        (f"{HERE}:number", "has no function 'number'"),
    ],
)
def test_a_target_that_leads_nowhere_is_a_coded_error(target: str, why: str) -> None:
    with pytest.raises(RipresaError, match=why) as caught:
        find(target)
    assert caught.value.code == "unknown_target"


def test_a_file_that_was_loaded_by_its_path_is_found_by_its_path(script: Path) -> None:
    path = script.rename(script.with_suffix(".py"))
    work = loaded(path, "loaded_by_path").work
    target = target_of(work)
    assert target == f"{path}:work"
    assert find(target) is not work.fn
    assert find(target) is find(target)
    assert find(target)(3) == 3
    assert sys.modules[file_name(str(path))].__file__ == str(path)


def test_another_module_of_the_same_name_does_not_answer_for_a_file(script: Path) -> None:
    path = script.rename(script.with_name("abc.py"))
    real = sys.modules["abc"]
    try:
        assert target_of(loaded(path, "abc").work) == f"{path}:work"
    finally:
        sys.modules["abc"] = real


def test_a_module_of_a_package_that_is_not_there_is_found_by_its_file(script: Path) -> None:
    path = script.rename(script.with_suffix(".py"))
    assert target_of(loaded(path, "nowhere.work").work) == f"{path}:work"


def as_main(monkeypatch: pytest.MonkeyPatch, file: Path | None, spec_name: str | None) -> Callable[..., Any]:
    main = ModuleType("__main__")
    if file is not None:
        main.__file__ = str(file)
        exec(compile(file.read_text(encoding="utf-8").partition("if")[0], str(file), "exec"), main.__dict__)
    else:
        exec("def work(): ...", main.__dict__)
    main.__spec__ = importlib.util.spec_from_file_location(spec_name, file) if spec_name else None
    monkeypatch.setitem(sys.modules, "__main__", main)
    function: Callable[..., Any] = main.work
    return function


@pytest.mark.parametrize("spec_name", [None, "__main__"])  # `python script`, `python directory`
def test_the_program_itself_is_found_by_its_file_and_does_not_run_again(
    monkeypatch: pytest.MonkeyPatch, script: Path, spec_name: str | None
) -> None:
    target = target_of(as_main(monkeypatch, script, spec_name))
    assert target == f"{script}:work"
    assert find(target)(4) == 4


def test_a_program_that_was_run_as_a_module_is_found_by_the_modules_name(
    monkeypatch: pytest.MonkeyPatch, script: Path
) -> None:
    path = script.rename(script.with_name("run_as_a_module.py"))
    monkeypatch.syspath_prepend(str(path.parent))
    target = target_of(as_main(monkeypatch, path, "run_as_a_module"))
    assert target == "run_as_a_module:work"
    assert find(target)(5) == 5


def test_a_program_without_a_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidConfig, match="__main__ is no file"):
        target_of(as_main(monkeypatch, None, None))


def test_a_file_that_fails_is_run_again_the_next_time(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    script.write_text("raise ValueError('not yet')", encoding="utf-8")
    with pytest.raises(ValueError, match="not yet"):
        find(f"{script}:work")
    script.write_text(text, encoding="utf-8")
    assert find(f"{script}:work")(6) == 6
