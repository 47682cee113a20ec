"""Open Workflow documents that call MCP servers and A2A agents by the methods of their protocols."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from ripresa import App, InvalidWorkflow, Surroundings, load_document
from ripresa.authoring.owf.problems import ROOT, problem_of
from ripresa.steps.open_workflow import world_of
from tests.agents import mcp_program
from tests.authoring.owf import data_of, load, problem, run, wrong
from tests.steps.service import Answer, Asked, Service, service

PROGRAM = str(Path(mcp_program.__file__))
STDIO = f"stdio: {{command: '{sys.executable}', arguments: ['{PROGRAM}'], environment: {{KEY: '${{ .key }}'}}}}"
HTTP = "http: {endpoint: 'https://tools.org/mcp', headers: {x-tenant: '${ .tenant }'}}"


def mcp(method: str, more: str = "", transport: str = HTTP) -> str:
    return f"- a: {{call: mcp, with: {{method: {method}, transport: {{{transport}}}{more}}}}}"


# --- programs


def test_a_tool_of_a_program_is_called() -> None:
    text = mcp("tools/call", ", parameters: {name: read, arguments: {path: '${ .file }'}}", STDIO)
    found = run(text, {"file": "x", "key": "k"})
    assert found["content"] == [{"type": "text", "text": "text of x"}]


def test_what_a_program_is_given_as_a_key_is_hidden_in_what_it_answers() -> None:
    more = ", parameters: {name: tell, arguments: {name: KEY%s}}"
    found = run(mcp("tools/call", more % "", STDIO), {"key": "opensesame"})
    assert found["content"][0]["text"] == "it is ***"
    told = problem(mcp("tools/call", more % ", fail: 1", STDIO), {"key": "opensesame"})
    assert (told["type"], told["instance"]) == (f"{ROOT}runtime", "/do/0/a")
    assert "tell of the MCP server failed" in told["detail"]
    assert "opensesame" not in told["detail"]


def test_a_bounded_document_starts_no_servers() -> None:
    with pytest.raises(InvalidWorkflow, match="mcp-stdio is not available to this document"):
        load_document(data_of(mcp("tools/list", "", STDIO)), modules=[])


# --- servers at URLs


class Tools:
    """An MCP server at a URL, with prompts and resources."""

    def __init__(self) -> None:
        self.initialized: list[dict[str, Any]] = []

    def __call__(self, asked: Asked) -> Answer:
        if asked.method != "POST":
            return Answer(405)
        message = json.loads(asked.body)
        if "id" not in message:
            return Answer(202)
        method: str = message["method"]
        params: dict[str, Any] = message.get("params") or {}
        if method == "initialize":
            self.initialized.append(params)
        found = self.found(method, params, asked)
        body = {"error": {"code": -32601, "message": "no such method"}} if found is None else {"result": found}
        if method == "tools/call" and params["name"] == "slow":
            return Answer(silent=True)
        text = json.dumps({"jsonrpc": "2.0", "id": message["id"], **body})
        return Answer(200, text, {"content-type": "application/json", "mcp-session-id": "s"})

    def found(self, method: str, params: dict[str, Any], asked: Asked) -> Any:
        match method:
            case "prompts/list":
                return {"prompts": [{"name": "greet", "description": asked.headers.get("x-tenant")}]}
            case "prompts/get":
                text = f"{params['name']} {params['arguments']['who']} as {asked.headers.get('authorization')}"
                return {"messages": [{"role": "user", "content": {"type": "text", "text": text}}]}
            case "resources/list":
                return {"resources": [{"uri": "file:///a", "name": params.get("cursor", "")}]}
            case "resources/templates/list":
                return {"resourceTemplates": [{"uriTemplate": "file:///{a}", "name": "a"}]}
            case "resources/read":
                return {"contents": [{"uri": params["uri"], "text": "in it"}]}
            case "tools/call" if params["name"] == "refused":
                return None
            case _:
                return mcp_program.answer(method, params)


class Unfitting(Tools):
    """One whose tool gives what it said that it does not."""

    def found(self, method: str, params: dict[str, Any], asked: Asked) -> Any:
        schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
        if method == "tools/list":
            return {"tools": [{"name": "misfit", "inputSchema": {"type": "object"}, "outputSchema": schema}]}
        return super().found(method, params, asked)


def test_what_does_not_fit_is_a_fault() -> None:
    told, _ = called(mcp("tools/call", ", parameters: {name: misfit}"), Unfitting())
    assert "does not fit" in told["detail"]


def called(text: str, answer: Any, given: Any = None, **more: Any) -> tuple[Any, Service]:
    async def go() -> tuple[Any, Service]:
        async with service(answer) as found, App("memory:") as app:
            surroundings = Surroundings(stand_ins={"https://tools.org": found.url}, secret=lambda name: f"the {name}")
            outcome = await (await app.start(load(text, surroundings, **more)(given))).outcome()
            if outcome.status == "completed":
                return outcome.value, found
            return problem_of(getattr(outcome.error, "failure")), found  # noqa: B009

    return asyncio.run(go())


@pytest.mark.parametrize(
    ("method", "parameters", "found"),
    [
        ("prompts/list", "", {"prompts": [{"name": "greet", "description": "me"}]}),
        ("resources/list", "{cursor: '2'}", {"resources": [{"uri": "file:///a", "name": "2"}]}),
        ("resources/templates/list", "", {"resourceTemplates": [{"uriTemplate": "file:///{a}", "name": "a"}]}),
        ("resources/read", "'${ {uri: .at} }'", {"contents": [{"uri": "file:///a", "text": "in it"}]}),
    ],
)
def test_every_method_gives_the_result_of_the_protocol(method: str, parameters: str, found: Any) -> None:
    more = f", parameters: {parameters}" if parameters else ""
    told, _ = called(mcp(method, more), Tools(), {"at": "file:///a", "tenant": "me"})
    assert {name: told[name] for name in found} == found


def test_tools_are_listed() -> None:
    told, _ = called(mcp("tools/list"), Tools())
    assert [each["name"] for each in told["tools"]] == ["environment", "read", "die"]
    assert told["nextCursor"] == "2"


@pytest.mark.parametrize(
    ("policy", "header"),
    [("bearer: {token: '${ $secrets.word }'}", "Bearer ***"), ("basic: {username: a, password: b}", "***")],
)
def test_who_asks_is_proved_and_hidden(policy: str, header: str) -> None:
    transport = f"http: {{endpoint: {{uri: 'https://tools.org/mcp', authentication: {{{policy}}}}}}}"
    more = ", parameters: {name: greet, arguments: {who: ann}}"
    told, _ = called(mcp("prompts/get", more, transport), Tools(), use={"secrets": ["word"]})
    assert told["messages"][0]["content"]["text"] == f"greet ann as {header}"


def test_a_document_names_itself_and_the_version_of_the_protocol() -> None:
    tools = Tools()
    called(mcp("tools/list", ", client: {name: me, version: '3'}, protocolVersion: '2025-06-18'"), tools)
    assert tools.initialized[0]["clientInfo"] == {"name": "me", "version": "3"}
    told, _ = called(mcp("tools/list", ", protocolVersion: '1999-01-01'"), Tools())
    assert (told["type"], "must be one of 2024-11-05" in told["detail"]) == (f"{ROOT}configuration", True)
    told, _ = called(mcp("tools/list", ", protocolVersion: '2026-07-28'"), Tools())
    assert "tools" in told or told["type"] == f"{ROOT}runtime"


@pytest.mark.parametrize(
    ("text", "kind", "why"),
    [
        (mcp("tools/call", ", parameters: {name: refused}"), "runtime", "no such method"),
        (mcp("tools/call", ", parameters: {name: slow}, timeout: PT0.5S"), "timeout", "it took longer than 0.5 s"),
        (mcp("tools/call", ", parameters: {tool: read}"), "validation", "has no parameter tool"),
        (mcp("tools/call"), "validation", "tools/call lacks name"),
        (mcp("tools/call", ", parameters: '${ 3 }'"), "validation", "are 3, must be an object"),
        (mcp("tools/list", "", "http: {endpoint: 'ftp://a.b'}"), "configuration", "ftp://a.b"),
        (
            mcp("tools/list", "", "http: {endpoint: 'http://127.0.0.1:1'}"),
            "communication",
            "not in the public internet",
        ),
    ],
)
def test_what_goes_wrong_is_a_fault_of_the_task(text: str, kind: str, why: str) -> None:
    told, _ = called(text, Tools())
    assert why in told["detail"]
    assert told["type"] == ROOT + kind


TOP = "document: {dsl: '1.0.3', namespace: test, name: order, version: '0.1.0'}\ndo:\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (mcp("initialize"), "is 'initialize', must be one of tools/list"),
        ("- a: {call: mcp, with: {}}", "lacks method"),
        ("- a: {call: mcp, with: {method: tools/list}}", "must have one of http, stdio"),
        (mcp("tools/list", "", "options: {a: b}, " + HTTP), "there are no options of transports"),
        (mcp("tools/list", ", client: {name: a}"), "lacks version"),
        (mcp("tools/list", ", server: {}"), "server: is no key here"),
        (mcp("tools/list", ", timeout: soon"), "is 'soon', must be an ISO 8601 duration"),
        (mcp("tools/list", "", "http: {endpoint: {uri: x, authentication: {digest: {}}}}"), "digest is for http"),
        ("- a: {call: a2a, with: {method: message/send}}", "lacks agentCard or server"),
        ("- a: {call: a2a, with: {server: x}}", "lacks method"),
        ("- a: {call: a2a, with: {method: tasks/make, server: x}}", "is 'tasks/make', must be one of message/send"),
    ],
)
def test_what_is_wrong_is_told_when_the_document_is_read(text: str, why: str) -> None:
    assert why in " ".join(wrong(TOP + text))


# --- A2A


class Agent:
    """An agent of A2A 0.3 by JSON-RPC."""

    def __init__(self, card: Any = None) -> None:
        self.card = {"name": "a", "url": "https://tools.org/rpc"} if card is None else card

    def __call__(self, asked: Asked) -> Answer:
        if asked.path == "/card.json":
            return Answer(200, json.dumps(self.card))
        message = json.loads(asked.body)
        told = {"asked": message, "by": asked.headers.get("authorization")}
        match message["method"]:
            case "message/stream":
                pieces = "".join(f"data: {json.dumps({'id': 1, 'result': {'n': n}})}\n\n" for n in (1, 2))
                return Answer(200, pieces, {"content-type": "text/event-stream"})
            case "tasks/resubscribe":
                return Answer(200, "data: nonsense\n\n", {"content-type": "text/event-stream"})
            case "tasks/cancel":
                return Answer(200, json.dumps({"id": 1, "error": {"code": -32001, "message": "no such task"}}))
            case "tasks/list":
                return Answer(200, "[]")
            case "tasks/pushNotificationConfig/get":
                return Answer(200, "no JSON")
            case _:
                return Answer(200, json.dumps({"jsonrpc": "2.0", "id": 1, "result": told}))


CARD = "agentCard: {endpoint: 'https://tools.org/card.json'}"
SAYS = "parameters: {message: {parts: [{kind: text, text: '${ .what }'}]}}"


def a2a(method: str, *more: str) -> str:
    return f"- a: {{call: a2a, with: {{method: {method}, {', '.join(more)}}}}}"


def test_an_agent_is_sent_a_message() -> None:
    told, _ = called(a2a("message/send", CARD, SAYS), Agent(), {"what": "hello"})
    asked = told["asked"]
    assert (asked["jsonrpc"], asked["method"]) == ("2.0", "message/send")
    message = asked["params"]["message"]
    assert (message["role"], message["parts"][0]["text"]) == ("user", "hello")
    assert len(message["messageId"]) == 36
    own = "parameters: {message: {messageId: mine, role: agent, parts: []}}"
    told, _ = called(a2a("message/send", "server: 'https://tools.org/rpc'", own), Agent())
    assert told["asked"]["params"]["message"] == {"messageId": "mine", "role": "agent", "parts": []}


def test_a_stream_is_the_list_of_its_results() -> None:
    assert called(a2a("message/stream", CARD, SAYS), Agent(), {"what": "x"})[0] == [{"n": 1}, {"n": 2}]


def test_who_asks_an_agent_is_proved_where_its_card_is_and_nowhere_else() -> None:
    proof = "authentication: {bearer: {token: opensesame}}"
    card = f"agentCard: {{endpoint: {{uri: 'https://tools.org/card.json', {proof}}}}}"
    assert called(a2a("tasks/get", card), Agent())[0]["by"] == "Bearer ***"
    told, asked = called(a2a("tasks/get", card), Agent({"url": "https://elsewhere.org/rpc"}))
    assert "would have secrets sent to https://elsewhere.org/rpc" in told["detail"]
    assert [each.path for each in asked.asked] == ["/card.json"]
    server = f"server: {{uri: 'https://tools.org/rpc', {proof}}}"
    assert called(a2a("tasks/get", server), Agent())[0]["by"] == "Bearer ***"


@pytest.mark.parametrize(
    "card",
    [
        {"url": "/rpc", "preferredTransport": "JSONRPC"},
        {"url": "x", "preferredTransport": "GRPC", "additionalInterfaces": [{"transport": "JSONRPC", "url": "rpc"}]},
    ],
)
def test_a_card_says_where_json_rpc_is_spoken(card: Any) -> None:
    assert called(a2a("tasks/get", CARD, "parameters: {id: t}"), Agent(card))[0]["asked"]["params"] == {"id": "t"}


@pytest.mark.parametrize(
    ("method", "card", "kind", "why"),
    [
        ("tasks/cancel", None, "runtime", "tasks/cancel failed: no such task (-32001)"),
        ("tasks/list", None, "runtime", "is no answer of JSON-RPC"),
        ("tasks/resubscribe", None, "runtime", "is no JSON"),
        ("tasks/pushNotificationConfig/get", None, "communication", "is no JSON"),
        ("tasks/get", {"supportedInterfaces": []}, "configuration", "names no place for JSON-RPC of A2A 0.3"),
        ("tasks/get", [], "configuration", "names no place for JSON-RPC of A2A 0.3"),
    ],
)
def test_what_an_agent_refuses_is_a_fault_of_the_task(method: str, card: Any, kind: str, why: str) -> None:
    told, _ = called(a2a(method, CARD), Agent(card))
    assert (told["type"], told["instance"]) == (ROOT + kind, "/do/0/a")
    assert why in told["detail"]


def test_parameters_of_an_agent_are_an_object() -> None:
    told, _ = called(a2a("tasks/get", CARD, "parameters: '${ 3 }'"), Agent())
    assert "must be an object" in told["detail"]


def test_a_message_outside_of_a_run_has_an_id_of_its_own() -> None:
    def nothing(namespace: str, name: str, version: str) -> None:
        return None

    async def go() -> Any:
        async with service(Agent()) as found:
            world = world_of(Surroundings(allow=["127.0.0.1"]), nothing, None)
            asked: dict[str, Any] = {
                "method": "message/send",
                "server": {"uri": found.url},
                "parameters": {"message": {}},
            }
            return await world.performers["a2a"](asked, None)

    assert len(asyncio.run(go())["asked"]["params"]["message"]["messageId"]) == 36
