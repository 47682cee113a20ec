"""MCP servers that a document declares: what is wrong with them, where, and what is exported of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ripresa import InvalidWorkflow, Library, RipresaError, chain, export_document, load_document
from ripresa.authoring.document.text import document_of
from ripresa.core.definition import describe
from tests.authoring.test_document_agents import TOOLS
from tests.authoring.test_document_schema import complaints

FILES = {
    "command": ["files", "/srv"],
    "env": {"TOKEN": {"secret": "env:TOKEN"}, "PLAIN": "x"},
    "prefix": "",
    "effects": {"read_*": "read"},
    "retry": {"attempts": 3},
}
WEB = {"url": "http://127.0.0.1:1/mcp", "allow": ["list_*", "read"], "headers": {"A": "b"}, "timeout": "5 s"}
STEPS: list[dict[str, Any]] = [
    {"type": "llm", "config": {"prompt": "Look.", "tools": ["files/read_file", "depth", "web"]}},
    {"type": "agent", "config": {"instructions": "Look.", "tools": ["web/list_*", "web/read"]}},
    {"type": "mcp", "config": {"server": "files", "tool": "read_file"}},
    {"type": "call", "config": {"step": {"type": "mcp", "config": {"server": "web", "tool": "read"}}}},
]
TEXT = """\
id: flow
servers:
  files: {command: [files]}
  web: {url: "https://x.org/mcp", allow: [read], approval: Really?}
  %s
steps:
  - type: agent
    config:
      instructions: x
      tools: [%s]
"""


def loaded(*steps: dict[str, Any], **servers: Any) -> Any:
    return load_document({"id": "flow", "servers": servers, "steps": list(steps)}, library=TOOLS)


def problems(text: str) -> list[str]:
    from ripresa.authoring.document.library import Shelf
    from ripresa.authoring.document.load import flow_of
    from ripresa.runtime.documents import DECLARED_BY, READY, reaching

    reach = reaching(__import__("pathlib").Path.cwd(), None)
    with pytest.raises(InvalidWorkflow) as caught:
        flow_of(document_of(text, "flow.yaml"), lambda types: Shelf(Library(), reach, READY, types, DECLARED_BY))
    return [f"{each.where}: {each.message}" for each in caught.value.problems]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step["type"])
def test_what_uses_a_declared_server_is_exported_with_it_and_comes_back(step: dict[str, Any]) -> None:
    flow = loaded(step, files=FILES, web=WEB)
    data = export_document(flow)
    assert complaints(data) == []
    said = json.dumps(step)
    assert data["servers"] == {name: each for name, each in (("files", FILES), ("web", WEB)) if name in said}
    (made,) = data["steps"] if "steps" in data else data["config"]["steps"]
    config = step["config"].get("step", step)["config"]
    made = made["config"]["step"]["config"]
    assert [each.split(":")[-1] for each in made.get("tools", [])] == config.get("tools", [])
    assert made.get("server") == config.get("server")
    again = load_document(json.loads(json.dumps(data)))
    assert list(describe(again.node)) == list(describe(flow.node))
    assert again.definition.hash == flow.definition.hash
    assert export_document(again) == data


def test_two_servers_of_one_name_are_in_no_document() -> None:
    one, other = (loaded(STEPS[2], files={**FILES, "trust": trust}) for trust in (True, False))
    with pytest.raises(RipresaError, match="two MCP servers of one name") as caught:
        export_document(chain(one).then(other))
    assert caught.value.code == "not_exportable"
    same: Any = [loaded(STEPS[2], files=FILES) for _ in range(2)]
    assert export_document(chain(same[0]).then(same[1]))["servers"] == {"files": FILES}


@pytest.mark.parametrize(
    ("server", "problem"),
    [
        ("bad: 3", "5:8 servers.bad: is 3, must be an object with command or url"),
        ("bad: {comand: [x]}", "5:9 servers.bad.comand: is no key here; did you mean command?"),
        ("bad: {command: x}", "5:18 servers.bad.command: is 'x', must be a list of texts"),
        ("bad: {timeout: soon, url: x}", "5:18 servers.bad.timeout: is 'soon', must be a length of time"),
        ("bad: {prefix: 3, command: [x]}", "5:17 servers.bad.prefix: is 3, must be a text, which may be empty"),
        ("bad: {}", "5:8 servers.bad: give one of command, url and server, not none"),
        ("bad: {command: [x], url: 'https://x.org'}", "5:8 servers.bad: give one of command, url and server"),
        ("bad: {command: [x], env: {A: 3}}", "5:8 servers.bad: env has no text and no Secret"),
        (
            "bad: {command: [x], env: {A: '${{ input }}'}}",
            "5:8 servers.bad: a server is made when the document is read",
        ),
        ("bad: {command: [x], retry: {times: 3}}", "5:8 servers.bad: retry has 'times', may have attempts"),
        ("bad: {command: [x], effects: {'*': reversible}}", "5:8 servers.bad: effects has 'reversible' for '*'"),
        ("a/b: {command: [x]}", "5:3 servers.a/b: the name of a server is 'a/b', must not contain '/'"),
    ],
)
def test_a_server_that_is_declared_wrongly_is_told_at_its_place(server: str, problem: str) -> None:
    (found,) = problems(TEXT % (server, "files"))
    assert found.startswith(f"flow.yaml:{problem}"), found


@pytest.mark.parametrize(
    ("tools", "problem"),
    [
        ("file", "10:15 steps[0].config.tools[0]: there is no MCP server 'file'; did you mean files?"),
        ("files, fils/x", "10:22 steps[0].config.tools[1]: there is no MCP server 'fils'; did you mean files?"),
        ("abc/x", "10:15 steps[0].config.tools[0]: there is no MCP server 'abc'; there are files, web"),
        ("web/write", "10:15 steps[0].config.tools[0]: web is not allowed the tool 'write'"),
    ],
)
def test_tools_that_no_server_has_are_told_at_their_place(tools: str, problem: str) -> None:
    (found,) = problems(TEXT % ("", tools))
    assert found.startswith(f"flow.yaml:{problem}"), found


def test_what_is_wrong_with_a_server_is_told_once_and_not_where_it_is_used() -> None:
    assert len(problems(TEXT % ("bad: {command: 3}", "bad, bad/read, files"))) == 1
    with pytest.raises(InvalidWorkflow) as caught:
        loaded({"type": "mcp", "config": {"server": "bad", "tool": "x"}}, bad=3)
    assert [each.where for each in caught.value.problems] == ["servers.bad"]


def test_what_is_asked_about_is_for_agents() -> None:
    with pytest.raises(InvalidWorkflow, match="people are asked about tools of web, which needs an agent"):
        loaded({"type": "llm", "config": {"prompt": "x", "tools": ["web"]}}, web={**WEB, "approval": "Really?"})
    agent = {"type": "agent", "config": {"instructions": "x", "tools": ["web"]}}
    assert loaded(agent, web={**WEB, "approval": "Really?"}).definition.is_dynamic


def test_a_server_and_a_type_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidWorkflow, match="'look' is a type of this document, too"):
        load_document({"id": "flow", "types": {"look": "a:b"}, "servers": {"look": WEB}, "steps": ["pass"]})


def test_documents_that_may_import_nothing_declare_no_servers() -> None:
    with pytest.raises(InvalidWorkflow, match=r"servers.files: .*documents may not import"):
        load_document({"id": "flow", "servers": {"files": FILES}, "steps": ["pass"]}, modules=[])


def test_the_schema_knows_what_a_server_is() -> None:
    assert complaints({"id": "x", "servers": {"files": FILES, "web": WEB}, "steps": STEPS}) == []
    for wrong in ({"comand": ["x"]}, {}, {**FILES, **WEB}, {**WEB, "trust": 1}, 3):
        assert complaints({"id": "x", "servers": {"files": wrong}, "steps": ["pass"]})
