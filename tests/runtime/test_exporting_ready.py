"""Ready-made steps in flows of Python are exported as what makes them, and come back as the same."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ripresa import (
    Agent,
    App,
    Graph,
    InvalidWorkflow,
    Library,
    Maker,
    Retry,
    RipresaError,
    chain,
    export_document,
    load_document,
    map_each,
    step,
    tool,
)
from ripresa.core.definition import describe
from ripresa.runtime.targets import load_target
from ripresa.steps import (
    OIDC,
    Dialect,
    OAuth2,
    Pages,
    Secret,
    a2a_agent,
    cli_agent,
    grpc,
    http,
    human,
    openapi,
    python,
    shell,
)
from ripresa.testing.fake_model import FakeModel
from tests.authoring.test_document_schema import complaints

HERE = Path(__file__)


@dataclass
class Depth:
    metres: int = 0


@tool
async def look(port: str) -> str:
    """Look at a port."""
    return port


@step
async def give(value: str) -> str:
    return value


class Says:
    def __init__(self, word: str) -> None:
        self.word = word

    async def __call__(self, text: str) -> str:
        return text + self.word


def saying(word: str) -> Any:
    return step(name="saying")(Says(word))


says = Maker(saying)


def came_back(flow: Any) -> dict[str, Any]:
    data = export_document(flow)
    assert complaints(data) == []
    again = load_document(json.loads(json.dumps(data)))
    assert list(describe(again.node)) == list(describe(flow.node))
    assert again.definition.hash == flow.definition.hash
    assert export_document(again) == data
    return data


def in_graph() -> Any:
    graph: Any = Graph("graph", input=str)
    first = graph.add(shell("cat")(graph.input))
    graph.add(http("GET", "https://example.com")())
    return graph.returns(graph.add(shell("wc")(), after=[first]).out)


OPEN_ID = OIDC("https://id.org", client="a", client_auth="none", scopes=("b",))

FLOWS: list[tuple[Any, dict[str, Any]]] = [
    (
        chain(give).then(shell("cat", "-n", env={"A": Secret("env:X"), "B": "c"}, ok={1, 0}, cwd=Path("x"), timeout=3)),
        {"type": "shell", "config": {"command": ["cat", "-n"], "env": {"A": {"secret": "env:X"}, "B": "c"},
                                     "ok": [0, 1], "cwd": "x"}},
    ),
    (
        chain(python("print(1)", "a", returns=list[int], silence=timedelta(seconds=2), retry=Retry(2, on=(KeyError,)))),
        {"type": "python", "config": {"script": "print(1)", "args": ["a"], "silence": 2.0, "returns": "list[integer]"}},
    ),
    (chain(http("GET", auth=None)), {"type": "http", "config": {"method": "GET", "auth": None}}),
    (chain(python(HERE)), {"type": "python", "config": {"file": str(HERE)}}),
    (
        chain(http("GET", "https://x.org/{p}", auth=("me", Secret("env:X")), pages=Pages("a.b"), returns=Depth)),
        {"type": "http", "config": {"method": "GET", "url": "https://x.org/{p}", "pages": {"cursor": "a.b"},
                                    "auth": {"basic": {"user": "me", "password": "env:X"}},
                                    "returns": f"{__name__}:Depth"}},
    ),
    (
        chain(http("POST", effect="idempotent", auth=Secret("env:X"), ok=range(200, 203))),
        {"type": "http", "config": {"method": "POST", "auth": "env:X", "ok": [200, 201, 202]}},
    ),
    (
        chain(http("GET", headers={"a": Secret("env:B")}, auth=OPEN_ID)),
        {"type": "http", "config": {"method": "GET", "headers": {"a": {"secret": "env:B"}},
                                    "auth": {"oidc": {"authority": "https://id.org", "client": "a",
                                                      "client_auth": "none", "scopes": ["b"]}}}},
    ),
    (
        chain(http("GET", auth=OAuth2("https://id.org", client="a", secret=Secret("env:X")))),
        {"type": "http", "config": {"method": "GET", "auth": {"oauth2": {"authority": "https://id.org", "client": "a",
                                                                         "secret": "env:X"}}}},
    ),
    (
        chain(openapi("https://x.org/api.json", "find", server="https://y.org")),
        {"type": "openapi", "config": {"document": "https://x.org/api.json", "operation": "find",
                                       "server": "https://y.org"}},
    ),
    (
        chain(grpc("x.org", "a.B/C", proto="c.proto", metadata={"k": Secret("env:X")}, returns=Depth)),
        {"type": "grpc", "config": {"target": "x.org", "method": "a.B/C", "proto": "c.proto",
                                    "metadata": {"k": {"secret": "env:X"}},
                                    "returns": "tests.runtime.test_exporting_ready:Depth"}},
    ),
    (
        chain(http("GET", "https://x.org", stream="events", most=3)),
        {"type": "http", "config": {"method": "GET", "url": "https://x.org", "stream": "events", "most": 3}},
    ),
    (
        chain(cli_agent("codex", model="x", args=["a"], timeout="5 min")),
        {"type": "cli_agent", "config": {"dialect": "codex", "model": "x", "args": ["a"]}},
    ),
    (
        chain(a2a_agent("https://x.org", returns=Depth, auth=Secret("env:X"), headers={"a": Secret("env:B")}, poll=3)),
        {"type": "a2a_agent", "config": {"url": "https://x.org", "auth": "env:X", "poll": 3,
                                         "headers": {"a": {"secret": "env:B"}}, "returns": f"{__name__}:Depth"}},
    ),
    (
        chain(a2a_agent("https://x.org", name="tides", asks="return")),
        {"type": "a2a_agent", "config": {"url": "https://x.org", "asks": "return"}},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("flow", "made"), FLOWS, ids=lambda found: "" if isinstance(found, dict) else str(found))
def test_a_ready_made_step_is_exported_as_what_makes_it(flow: Any, made: dict[str, Any]) -> None:
    data = came_back(flow)
    assert data["steps"][-1]["config"] == {"step": made}


@pytest.mark.parametrize(
    "flow",
    [
        in_graph(),
        chain(map_each(shell("cat"))),
        chain(give).then(human("May I?", form=Depth, timeout="3 days")),
        chain(human("May I?", assignees=["ann"])),
    ],
    ids=str,
)
def test_they_come_back_wherever_they_stand(flow: Any) -> None:
    came_back(flow)


@pytest.mark.parametrize(
    "item",
    [
        {"type": "shell", "config": {"command": ["cat"]}, "retry": 2},
        {"type": "agent", "config": {"instructions": "x", "tools": [f"{__name__}:look"], "output": "string"}},
        {"type": "agent", "config": {"instructions": "x", "output": {"type": "object"}}},
        {"type": "llm", "config": {"prompt": "${{ input }}", "tools": [f"{__name__}:look"]}},
        {"type": "llm", "config": {"prompt": "look"}},
        {"type": "call", "config": {"step": "llm", "arguments": {"prompt": "look"}}},
        {"type": "agent", "config": {"instructions": "x", "tools": [{"command": ["server"]}, f"{__name__}:look"]}},
        {"type": "mcp", "config": {"server": {"command": ["server"]}, "tool": "x"}},
        {"type": "human", "config": {"question": "Why?"}},
        {"type": "webhook", "config": {"endpoint": "shop", "event": "rose"}},
        {"type": f"{__name__}:Says", "config": {"word": "!"}},
        {"type": f"{__name__}:says", "config": {"word": "!"}},
    ],
    ids=lambda item: item["type"],
)
def test_what_a_document_made_is_exported_as_it_was_made(item: Any) -> None:
    came_back(load_document({"id": "flow", "steps": [{"id": "it", **item}]}))


async def test_what_came_back_runs_alike() -> None:
    flow = chain(give).then(shell("cat", "-"))
    async with App("memory:") as app:
        assert (await app.run(load_document(export_document(flow))("x"))).stdout == "x"


REFUSED: list[tuple[Any, str]] = [
    (chain(cli_agent(Dialect("own", ("own",), str))), "its dialect is Dialect"),  # type: ignore[arg-type]
    (
        chain(Agent("pilot", input=str, output=str, model=FakeModel("x"))),
        "'pilot' can stand in no document: its model is",
    ),
    (
        load_document({"id": "flow", "steps": [{"type": "own"}]}, library=Library({"own": Maker(lambda: saying("x"))})),
        "'own' can stand in no document: what makes it stands at the top level of no module",
    ),
]


@pytest.mark.parametrize(("flow", "message"), REFUSED, ids=str)
def test_what_no_config_can_say_is_refused(flow: Any, message: str) -> None:
    with pytest.raises(RipresaError) as caught:
        export_document(flow)
    assert caught.value.code == "not_exportable"
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({"type": "shell", "confg": {}}, ".confg: is no key here; did you mean config?"),
        ({"config": {}}, ": lacks type"),
        ({"type": "shel", "config": {}}, ".type: there is no step type 'shel'"),
        ({"type": f"{__name__}:give"}, f": {__name__}:give makes no step of a config: name it alone"),
        ({"type": "shell", "config": {"command": 3}}, ".config.command: is 3, must be a list of texts"),
    ],
)
def test_what_is_wrong_with_what_makes_a_step_is_told(made: Any, message: str) -> None:
    with pytest.raises(InvalidWorkflow) as caught:
        load_document({"id": "flow", "steps": [{"type": "call", "config": {"step": made}}]})
    told = [f"{problem.where}: {problem.message}" for problem in caught.value.problems]
    assert any(each.startswith(f"steps[0].config.step{message}") for each in told), told


def test_files_of_the_folder_are_named_by_their_paths_from_there(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "flows.py").write_text(
        "from ripresa import chain, step, workflow, stream\n"
        "class Topic(dict): pass\n"
        "@step\nasync def one(value: Topic) -> str: return ''\n"
        "@workflow\nasync def many(ctx, value: str) -> str: return value\n"
        "async def items():\n    yield 1\n"
        "flow = chain(one).then(many)\n"
    )
    flow = load_target(f"{tmp_path}/below/flows.py:flow")
    data = export_document(flow, folder=tmp_path)
    assert [item["config"]["step"] for item in data["steps"]] == ["below/flows.py:one", "below/flows.py:many"]
    (tmp_path / "flow.json").write_text(json.dumps(data))
    assert load_document(tmp_path / "flow.json").definition.hash == flow.definition.hash
    other = export_document(flow, folder=tmp_path / "elsewhere")
    assert other == export_document(flow)
    assert other["steps"][0]["config"]["step"] == f"{tmp_path}/below/flows.py:one"


def test_a_type_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "kinds.py").write_text("from dataclasses import dataclass\n@dataclass\nclass Port: name: str\n")
    (tmp_path / "flow.json").write_text('{"id": "flow", "input": "list[kinds.py:Port] | null", "steps": ["pass"]}')
    given = load_document(tmp_path / "flow.json").input_type
    assert str(given).startswith("list[") or "Port" in str(given)
