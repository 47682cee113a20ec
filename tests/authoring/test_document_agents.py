"""Models with tools, agents, people and webhooks in documents."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ripresa import App, InvalidWorkflow, Library, Maker, chain, load_document, step, tool
from ripresa.testing.answers import Answer, ToolUse
from ripresa.testing.fake_model import FakeModel
from tests.authoring.test_document_ready import flow, ran
from tests.steps.test_people import asked


@tool
async def depth(port: str) -> str:
    """How deep the water is at a port."""
    return f"3 m at {port}"


@tool(permission="ports.close")
def close(port: str) -> str:
    """Close a port."""
    return f"closed {port}"


@step
def sail(value: int) -> int:
    return value


TOOLS = Library({"depth": depth, "close": close, "sail": sail, "flow": chain(sail), "wrong": Maker(lambda: 3)})


@ran(
    ("kind", "config"),
    [
        ("llm", {"prompt": "Look at ${{ input }}", "tools": ["depth"], "model": "m", "temperature": 0.5}),
        ("llm", {"prompt": "Look", "tools": [f"{__name__}:depth", "close"], "permissions": ["ports.*"]}),
        ("agent", {"instructions": "Look.", "tools": ["depth"], "turns": 3, "input": "string"}),
        (
            "agent",
            {
                "instructions": "",
                "role": "a pilot",
                "tools": [f"{__name__}:depth", "close"],
                "permissions": ["ports.close"],
            },
        ),
    ],
)
async def test_a_model_calls_the_tools_that_a_document_names(kind: str, config: Any) -> None:
    fake = FakeModel(Answer(uses=(ToolUse("depth", {"port": "Oban"}),)), "It is deep.")
    made = load_document({"id": "flow", "steps": [{"id": "it", "type": kind, "config": config}]}, library=TOOLS)
    async with App("memory:", models={"*": fake}) as app:
        assert await app.run(made("Oban")) == "It is deep."
    assert "3 m at Oban" in str(fake.requests[1].body)
    assert "Oban" in str(fake.requests[0].body)


async def test_an_agent_answers_in_the_form_of_a_schema() -> None:
    schema = {"type": "object", "properties": {"metres": {"type": "integer"}}, "required": ["metres"]}
    for kind in ("agent", "llm"):
        config = {"output": schema, "tools": ["depth"], "instructions" if kind == "agent" else "prompt": "How deep?"}
        made = load_document({"id": "flow", "steps": [{"type": kind, "config": config}]}, library=TOOLS)
        async with App("memory:", models={"*": FakeModel(Answer(value={"metres": 3}))}) as app:
            assert await app.run(made("Oban")) == {"metres": 3}


async def test_a_person_fills_in_what_a_document_asks() -> None:
    made = flow({"id": "ask", "type": "human", "config": {"question": "How deep?", "form": "integer"}})
    async with App("memory:") as app:
        handle = await app.start(made("Oban"))
        await asked(handle)
        await handle.approve(by="ann", form=3)
        assert await handle.result() == 3


async def test_an_endpoint_is_told_what_a_document_tells() -> None:
    told = {"id": "tell", "type": "webhook", "config": {"endpoint": "shop", "event": "tide.rose"}}
    more = {"id": "more", "type": "webhook", "config": {**told["config"], "data": {"at": "${{ input }}"}}}  # type: ignore[dict-item]
    async with App("memory:") as app:
        handle = await app.start(flow(told, more)("Oban"))
        await handle.result()
        sent = await app.store.outgoing_of(handle.id)
    assert [json.loads(each.body)["data"] for each in sent] == ["Oban", {"at": "Oban"}]
    assert {(each.target, json.loads(each.body)["type"]) for each in sent} == {("shop", "tide.rose")}


@ran(
    ("kind", "config", "message"),
    [
        ("llm", {"prompt": "x", "tools": "depth"}, "[0].config.tools: is 'depth', must be a list of targets"),
        (
            "llm",
            {"prompt": "x", "tools": ["deep"]},
            "[0].config.tools[0]: there is no tool 'deep' (did you mean depth?)",
        ),
        ("llm", {"prompt": "x", "tools": ["flow"]}, "[0].config.tools[0]: flow is <chain chain>, which is no step"),
        ("llm", {"prompt": "x", "tools": ["close"]}, "[0]: agent 'llm' has no permission 'ports.close'"),
        ("agent", {"tools": ["close"], "instructions": "x"}, "[0]: agent 'agent' has no permission 'ports.close'"),
        ("agent", {"toolz": ["close"]}, "[0].config.toolz: is no key here; did you mean tools?"),
        ("agent", {"instructions": "x", "tools": [3]}, "[0].config.tools: is [3], must be a list of targets"),
        (
            "llm",
            {"prompt": "x", "tools": [{"command": ["x"]}]},
            "[0].config.tools: tools of llm are named: declare the server, under",
        ),
        ("agent", {"instructions": "x", "tools": [{"cmd": ["x"]}]}, "[0]: an MCP server has no cmd"),
        ("agent", {"output": "strng", "instructions": "x"}, "[0].config.output: 'strng' is no type"),
        (
            "http",
            {"method": "GET", "auth": "x"},
            "[0].config.auth: the reference of a secret is not 'env:NAME' or 'file:PATH' (write auth: env:NAME, never",
        ),
        ("http", {"method": "GET", "pages": {"last": "x"}}, "[0].config.pages: is {'last': 'x'}, must be an object"),
        ("http", {"method": "GET", "pages": 3}, "[0].config.pages: is 3, must be an object of cursor"),
        ("http", {"methd": "GET", "zzz": 1, "method": "GET", "pages": 3}, "[0].config.pages: is 3, must be an object"),
        ("llm", {"prompt": "x", "tools": ["nosuch"]}, "[0].config.tools[0]: there is no tool 'nosuch' (there are "),
        ("wrong", {}, "[0].config: wrong made 3, which is no step or flow"),
        ("python", {"script": "1", "file": "a.py"}, "[0]: it has either a script or a file"),
    ],
)
def test_what_is_wrong_with_tools_and_agents_is_told(kind: str, config: Any, message: str) -> None:
    data = {"id": "flow", "steps": [{"type": kind, "config": config}]}
    with pytest.raises(InvalidWorkflow) as caught:
        load_document(data, library=TOOLS)
    told = [f"{problem.where}: {problem.message}" for problem in caught.value.problems]
    assert any(each.startswith(f"steps{message}") for each in told), told


def test_a_model_that_stands_by_its_name_alone_lacks_its_prompt() -> None:
    with pytest.raises(InvalidWorkflow) as caught:
        load_document({"id": "flow", "steps": ["llm"]})
    assert "flow/llm: takes (value, prompt, model" in str(caught.value)


class Deaf:
    """An agent that takes no context."""

    async def run(self, value: str) -> str:
        return value


def test_what_is_no_agent_is_refused_where_a_document_names_it() -> None:
    with pytest.raises(InvalidWorkflow) as caught:
        load_document({"id": "flow", "steps": ["deaf", {"type": "lmm"}]}, library=Library({"deaf": Deaf()}))
    assert "steps[0]: run of Deaf takes (value)" in str(caught.value)
    assert "lmm" in str(caught.value)
