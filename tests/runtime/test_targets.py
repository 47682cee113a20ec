"""Targets: from a text to the code and back."""

import sys
from pathlib import Path

import pytest

from ripresa import Context, chain, step, workflow
from ripresa.cli.inputs import load
from ripresa.errors import RipresaError
from ripresa.runtime.targets import find_target, is_own, load_target, target_of


@step
async def one(value: int) -> int:
    return value + 1


flow = chain(one)
twin = chain(one)


@workflow
async def function(ctx: Context, value: int) -> int:
    return await one(value)


class Holder:
    inner = function


def test_what_stands_in_a_module_is_found_again() -> None:
    for runnable, name in ((flow, "flow"), (twin, "twin"), (function, "function")):
        target = target_of(runnable)
        assert target.endswith(f":{name}")
        assert load_target(target) is runnable
        assert target_of(runnable) == target
    single = load_target(f"{__name__}:one")
    assert target_of(single) == f"{__name__}:one"
    assert load_target(f"{__name__}:Holder.inner") is function


def test_what_stands_nowhere_has_no_target() -> None:
    @workflow
    async def local(ctx: Context) -> None: ...

    assert target_of(chain(one)) == ""
    assert target_of(local) == ""


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("flow", "names no object"),
        (":flow", "names no object"),
        ("here.py:", "names no object"),
        ("nowhere.py:flow", "no file"),
        ("no_such_module:flow", "no module"),
        ("ripresa.no_such_module:flow", "no module"),
        ("tests.runtime.test_targets:nothing", "has no 'nothing'"),
        ("tests.runtime.test_targets:Holder", "is a type"),
        ("ripresa.errors:nothing", "has no 'nothing'"),
    ],
)
def test_a_target_that_names_nothing_says_why(target: str, why: str) -> None:
    with pytest.raises(RipresaError, match=why) as caught:
        load_target(target)
    assert caught.value.code == "unknown_target"
    assert caught.value.hint


def test_a_file_is_imported_once_and_its_neighbours_are_found(tmp_path: Path) -> None:
    (tmp_path / "neighbour_of_mine.py").write_text(
        "from ripresa import step\n@step\ndef two(value: int) -> int:\n    return 2\n"
    )
    code = tmp_path / "mine.py"
    code.write_text("from ripresa import chain\nfrom neighbour_of_mine import two\nflow = chain(two)\n")
    try:
        found = load_target(f"{code}:flow")
        assert load_target(f"{code}:flow") is found
        assert target_of(found) == f"{code}:flow"
    finally:
        sys.path.remove(str(tmp_path))
        del sys.modules["neighbour_of_mine"]


def test_what_the_code_raises_comes_through_with_a_word(tmp_path: Path) -> None:
    code = tmp_path / "broken.py"
    code.write_text("raise ValueError('at import')\n")
    for _ in range(2):
        with pytest.raises(ValueError, match="at import") as caught:
            load_target(f"{code}:flow")
        assert any("broken.py" in note for note in caught.value.__notes__)
    sys.path.remove(str(tmp_path))
    package = tmp_path / "lame"
    package.mkdir()
    (package / "__init__.py").write_text("import not_there_at_all\n")
    sys.path.insert(0, str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="not_there_at_all"):
        load_target("lame:flow")
    sys.path.remove(str(tmp_path))


def test_the_working_directory_is_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in_the_working_directory.py").write_text(
        "from ripresa import chain\nflow = chain(lambda value: value)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(tmp_path)])
    assert load_target("in_the_working_directory:flow").name == "chain"
    del sys.modules["in_the_working_directory"]


def test_a_script_is_its_own_module(monkeypatch: pytest.MonkeyPatch) -> None:
    main = sys.modules[__name__]
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert load_target(f"{__file__}:flow") is flow


def test_a_worker_is_told_what_it_cannot_import(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "broken.py").write_text("1 / 0", encoding="utf-8")
    assert find_target(f"{tmp_path}/broken.py:flow") is None
    assert "cannot be imported" in caplog.text


def package(folder: Path, name: str) -> Path:
    """A package with a workflow in one of its modules."""
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").touch()
    (folder / name / "flows.py").write_text("from ripresa import chain\nflow = chain(lambda value: value)\n")
    return folder


def forget(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """As another process would begin."""
    for known in (name, f"{name}.flows"):
        monkeypatch.delitem(sys.modules, known)
    is_own.cache_clear()


def test_a_module_of_the_working_directory_is_found_from_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    there = package(tmp_path / "there", "recorded_with_folder")
    monkeypatch.chdir(there)
    load("recorded_with_folder.flows:flow")
    target = target_of(load_target("recorded_with_folder.flows:flow"))
    assert target == f"{there.as_posix()}/recorded_with_folder.flows:flow"
    monkeypatch.chdir(tmp_path)
    forget(monkeypatch, "recorded_with_folder")
    sys.path.remove(str(there))
    assert target_of(load_target(target)) == target
    forget(monkeypatch, "recorded_with_folder")
    elsewhere = "/no/such/folder/recorded_with_folder.flows:flow"  # on another machine, it is where Python finds it
    assert target_of(load_target(elsewhere)) == "recorded_with_folder.flows:flow"
    forget(monkeypatch, "recorded_with_folder")


def test_what_stands_elsewhere_than_in_the_working_directory_is_named_by_its_module_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = package(tmp_path / "there", "found_by_the_path")
    monkeypatch.setattr(sys, "path", [str(there), *sys.path])
    monkeypatch.chdir(tmp_path)
    assert target_of(load("found_by_the_path.flows:flow")) == "found_by_the_path.flows:flow"
    forget(monkeypatch, "found_by_the_path")


def test_a_folder_without_the_module_is_told() -> None:
    with pytest.raises(RipresaError) as caught:
        load_target(f"{Path(__file__).parent.as_posix()}/no_such_module:flow")
    assert f"looked in {Path(__file__).parent} and sys.path" in caught.value.hint
