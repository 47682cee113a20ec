"""Documents as files and data: where they are found again, what their targets may lead to, and what they may not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ripresa import App, InvalidConfig, InvalidWorkflow, Library, RipresaError, WorkflowOrchestrator, load_document
from ripresa.runtime.documents import load_target_document
from ripresa.runtime.targets import (
    find_target,
    load_target,
    load_version,
    migrations_beside,
    target_of,
    versions_beside,
)
from tests.authoring import material
from tests.authoring.material import at, call

ran = pytest.mark.parametrize

YAML = """\
id: shouting
steps:
  - type: steps.py:loud
  - {type: subworkflow, config: {workflow: below/other.json}}
"""

STEPS = """\
from ripresa import step

@step
async def loud(text: str) -> str:
    return text.upper()
"""

OTHER = '{"id": "other", "steps": [{"type": "../steps.py:loud", "id": "again"}]}'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "below").mkdir()
    (tmp_path / "flow.yaml").write_text(YAML)
    (tmp_path / "steps.py").write_text(STEPS)
    (tmp_path / "below" / "other.json").write_text(OTHER)
    return tmp_path / "flow.yaml"


async def test_a_file_names_code_and_documents_beside_it(file: Path) -> None:
    flow = load_document(file)
    assert await flow.invoke("a") == "A"
    assert [node.name for node in flow.node.children] == ["loud", "other"]


async def test_a_run_of_a_file_is_found_again_by_the_file(file: Path) -> None:
    flow = load_document(file)
    assert target_of(flow) == str(file)
    assert load_target(str(file)).definition.hash == flow.definition.hash
    assert load_version(str(file), "7").version == "1"
    assert versions_beside(str(file))[0].name == "shouting"
    assert migrations_beside(str(file)) == []
    assert target_of(flow.named("other")) == ""


async def test_a_run_of_data_is_found_again_by_the_data() -> None:
    data = {"id": "data", "steps": [call("shout")]}
    flow = load_document(data)
    again = load_target_document(target_of(flow))
    assert again.definition.hash == flow.definition.hash
    async with App("memory:") as app:
        assert await app.run(flow("a")) == "A"


def test_data_that_is_no_json_has_no_target() -> None:
    data = {"id": "data", "description": "x", "steps": [call("anything", arguments={"value": {1, 2}})]}
    assert target_of(load_document(data)) == ""


def test_what_only_a_library_knows_must_be_registered_by_who_resumes() -> None:
    library = Library({"loud": material.shout})
    target = target_of(load_document({"id": "data", "steps": [{"type": "loud"}]}, library=library))
    assert load_target_document(target, library=library).name == "data"
    assert find_target(target) is None


@ran("name", ["none.yaml", "folder.yaml", "binary.yaml"])
def test_a_file_that_cannot_be_read_is_an_unknown_target(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(RipresaError, match="the file cannot be read") as caught:
        load_document(tmp_path / name)
    assert caught.value.code == "unknown_target"
    assert find_target(str(tmp_path / name)) is None


ATTACKS: list[Any] = [
    {"type": "call", "config": {"step": "os:system"}, "with": "true"},
    {"type": "call", "config": {"step": "builtins:eval"}, "with": "1"},
    {"type": "call", "config": {"step": "subprocess:check_output"}, "with": "true"},
    {"type": "subprocess:Popen", "config": {"args": "true"}},
    {"type": "call", "config": {"step": "pydantic:TypeAdapter"}},
    {"type": "branch", "config": {"when": {"function": "os:system"}, "then": "os:system"}},
    {"type": "choose", "config": {"select": {"function": "os:system"}, "branches": ["os:system"]}},
    {"type": "call", "config": {"step": f"{at('shout')}.fn.__globals__"}},
    {"type": "call", "config": {"step": at("shout")}, "hooks": ["os:system"]},
    {"type": "call", "config": {"step": at("shout")}, "undo": "os:remove"},
    {"type": "call", "config": {"step": "tests.runtime.test_documents:Path.home"}},
    {"type": "call", "config": {"step": "/etc/passwd"}},
]


@ran("attack", ATTACKS, ids=str)
def test_data_reaches_nothing_that_nobody_meant_for_it(attack: Any) -> None:
    with pytest.raises(InvalidWorkflow) as caught:
        load_document({"id": "attack", "steps": [attack]})
    assert {problem.code for problem in caught.value.problems} <= {"unknown_target", "unknown_type"}


def test_where_documents_may_import_from_can_be_bounded() -> None:
    data = {"id": "data", "steps": [call("shout")]}
    assert load_document(data, modules=["tests.authoring.*"])
    with pytest.raises(InvalidWorkflow, match=r"documents may not import 'tests\.authoring\.material' here"):
        load_document(data, modules=[])


def test_a_document_inside_may_import_no_more_than_the_one_around_it(file: Path) -> None:
    with pytest.raises(InvalidWorkflow) as caught:
        load_document(file, modules=["steps.py"])
    assert [problem.where.split(" ")[0] for problem in caught.value.problems] == [f"{file}:4:44"]


def test_a_pattern_of_modules_is_about_the_file_that_is_imported(tmp_path: Path) -> None:
    (tmp_path / "app" / "tools").mkdir(parents=True)
    (tmp_path / "evil.py").write_text("raise SystemError")
    (tmp_path / "app" / "a.yaml").write_text("id: a\nsteps: [{type: tools/../../evil.py:go}]")
    with pytest.raises(InvalidWorkflow, match=r"may not import '\.\./evil\.py'"):
        load_document(tmp_path / "app" / "a.yaml", modules=["tools/*"])


@ran(
    ("modules", "allowed"),
    [(None, True), (["*other.json"], True), (["/*/below/*"], True), ([], False), (["other.json"], False)],
)
def test_data_that_is_bounded_may_hold_only_the_files_that_are_named(file: Path, modules: Any, allowed: bool) -> None:
    (file.parent / "below" / "other.json").write_text('{"id": "other", "steps": [{"type": "pass"}]}')
    held = {"type": "subworkflow", "config": {"workflow": str(file.parent / "below" / "other.json")}}
    if allowed:
        assert load_document({"id": "data", "steps": [held]}, modules=modules)
    else:
        with pytest.raises(InvalidWorkflow, match="documents may not reach this file here"):
            load_document({"id": "data", "steps": [held]}, modules=modules)


def test_a_file_that_is_bounded_may_hold_those_of_its_folder(file: Path) -> None:
    held = "id: {}\nsteps: [{{type: subworkflow, config: {{workflow: {}}}}}]"
    (file.parent / "below" / "one.yaml").write_text(held.format("one", "../two.yaml"))
    (file.parent / "two.yaml").write_text("id: two\nsteps: [{type: pass}]")
    (file.parent / "flow.yaml").write_text(held.format("flow", "below/one.yaml"))
    assert load_document(file, modules=[])
    with pytest.raises(InvalidWorkflow, match="may not reach this file"):
        load_document(file.parent / "below" / "one.yaml", modules=[])


def test_a_document_that_holds_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("id: a\nsteps: [{type: subworkflow, config: {workflow: b.yaml}}]")
    (tmp_path / "b.yaml").write_text("id: b\nsteps: [{type: subworkflow, config: {workflow: a.yaml}}]")
    with pytest.raises(InvalidWorkflow, match="it holds itself"):
        load_document(tmp_path / "a.yaml")


def test_documents_within_documents_know_the_same_types(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("id: a\nsteps: [{type: subworkflow, config: {workflow: b.yaml}}]")
    (tmp_path / "b.yaml").write_text("id: b\nsteps: [{type: twice}]")
    assert load_document(tmp_path / "a.yaml", library=Library({"twice": material.shout})).name == "a"


@pytest.mark.parametrize("given", ["tasks.*", "*", [3]])
def test_modules_that_are_no_list_of_texts_open_nothing(given: Any) -> None:
    for make in (lambda: load_document({}, modules=given), lambda: WorkflowOrchestrator("memory:", modules=given)):
        with pytest.raises(InvalidConfig, match=r"modules is .*, must be a list of texts"):
            make()


@pytest.mark.parametrize("given", [[1], None, 3])
async def test_what_is_no_document_is_refused(given: Any) -> None:
    with pytest.raises(InvalidConfig, match=r"source is .*, must be the path of a file or a mapping"):
        load_document(given)
    with pytest.raises(InvalidConfig, match=r"workflow is .*, must be a mapping .*; user_id is 3, must be a text"):
        await WorkflowOrchestrator("memory:").execute_workflow(given, user_id=3)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def test_a_bounded_document_does_not_open_the_network_for_itself() -> None:
    config: dict[str, Any] = {"method": "GET", "url": "http://127.0.0.1/"}
    opened = {"id": "x", "steps": [{"type": "http", "config": {**config, "allow": ["127.0.0.1"]}}]}
    load_document({"id": "x", "steps": [{"type": "http", "config": config}]}, modules=[])
    with pytest.raises(InvalidWorkflow, match=r"config\.allow: is not for documents"):
        load_document(opened, modules=[])
    load_document(opened, modules=["ripresa.steps.documents"])
    load_document(opened)
