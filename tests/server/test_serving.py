"""The MCP server as it is reached: over standard input and output, and over HTTP."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, MCPError
from mcp.types import CallToolResult, ImageContent, ResourceTemplateReference

from ripresa import App, InvalidConfig, McpServer, RipresaError, StepError, tool
from ripresa.cli.serving import mcp
from ripresa.server.desk import Desk, Request, ServedTool, served
from ripresa.server.mcp import lines_of, mcp_desk, served_over_http
from ripresa.server.running import served as answered
from ripresa.server.serving import Address, listening
from ripresa.steps import Secret
from tests.server.flows import doubled

FLOWS = f"{Path(__file__).with_name('flows.py')}:doubled"
ROOT = Path(__file__).parents[2]
MEASURING = [name for name in os.environ if name.startswith("COVERAGE")]
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}


def command(store: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "ripresa", "mcp", FLOWS, "--store", f"sqlite:{store}", *more]


async def test_a_program_serves_whoever_started_it(tmp_path: Path) -> None:
    server = McpServer("ripresa", command=command(tmp_path / "runs.db"), cwd=ROOT, pass_env=MEASURING)
    async with server.running():
        found = await server.call("doubled", {"input": 4, "id": "r"})
        assert (found["status"], found["output"]) == ("completed", 8)
        assert [each.name for each in await server.only("doubled").listed()] == ["doubled"]
    async with App(f"sqlite:{tmp_path / 'runs.db'}") as app:
        assert (await app.runs()).runs[0].id == "r"


def test_a_program_that_is_asked_to_stop_does(tmp_path: Path) -> None:
    process = subprocess.Popen(
        command(tmp_path / "runs.db", "--http", "127.0.0.1:0", "--token", "env:TOKEN"),
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TOKEN": "sesame"},
    )
    assert process.stderr is not None
    with process.stderr:
        told = process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 130
    assert "serving at http://127.0.0.1:" in told


async def test_over_http_only_this_machine_is_answered() -> None:
    async with App("memory:", workflows=[doubled]) as app, served_over_http(mcp_desk(app, [doubled]), Address()) as url:
        async with Client(url) as client:
            result: Any = await client.call_tool("doubled", {"input": 4})
            assert result.structured_content["output"] == 8
        async with httpx2.AsyncClient(trust_env=False) as http:
            for header in ({"host": "evil.example"}, {"origin": "http://evil.example"}):
                accept = {"accept": "application/json, text/event-stream", **header}
                assert (await http.post(url, json=INITIALIZE, headers=accept)).status_code in (403, 421)


async def test_others_need_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "sesame")
    with pytest.raises(InvalidConfig, match="nothing keeps anybody out"):
        async with served_over_http(Desk("d", []), Address("0.0.0.0")):
            pass
    async with served_over_http(Desk("d", []), Address(), Secret("env:TOKEN")) as url:
        async with httpx2.AsyncClient(trust_env=False) as http:
            assert (await http.post(url, json=INITIALIZE)).status_code == 401
        with pytest.raises(StepError):
            await McpServer("far", url=url).listed()
        monkeypatch.setenv("AUTHORIZATION", "Bearer sesame")
        assert await McpServer("far", url=url, headers={"authorization": Secret("env:AUTHORIZATION")}).listed() == []


async def test_lines_are_read_as_they_come() -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall(b"a\nb")
    found = lines_of(ours.fileno())
    assert await anext(found) == "a"
    theirs.sendall("ä\n\nlast".encode())
    theirs.shutdown(socket.SHUT_WR)
    assert [line async for line in found] == ["bä", ""]
    ours.close()
    theirs.close()


async def test_without_the_library_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcp.server", None)
    with pytest.raises(RipresaError) as caught:
        async with served_over_http(Desk("d", []), Address()):
            pass
    assert caught.value.code == "extra_missing"


async def test_a_tool_may_give_what_is_no_object() -> None:
    @tool(effect="read")
    async def count(text: str) -> int:
        """Count."""
        return len(text)

    async with Client(Desk("d", [served(count)]).server()) as client:
        (listed,) = (await client.list_tools()).tools
        result: Any = await client.call_tool("count", {"text": "abc"})
        assert (listed.output_schema, result.content[0].text, result.structured_content) == (None, "3", None)
        assert (await client.call_tool("count", {"texts": "abc"})).is_error
        assert (await client.list_resources()).resources == []
        with pytest.raises(MCPError, match="there is no resource"):
            await client.read_resource("test://x")
        where = ResourceTemplateReference(type="ref/resource", uri="test://{x}")
        assert (await client.complete(where, {"name": "x", "value": ""})).completion.values == []


async def test_a_tool_may_give_what_the_library_knows() -> None:
    async def shows(arguments: dict[str, Any], request: Request) -> Any:
        return CallToolResult(content=[ImageContent(type="image", data="AAAA", mime_type="image/png")])

    desk = Desk("d", [ServedTool("show", "Shows.", {"type": "object"}, shows)])
    async with Client(desk.server()) as client:
        assert (await client.call_tool("show", {})).content[0].type == "image"


async def test_another_address_of_this_machine_is_answered() -> None:
    desk = Desk("d", [])
    async with served_over_http(desk, Address("127.0.0.2")) as url, httpx2.AsyncClient(trust_env=False) as http:
        accept = {"accept": "application/json, text/event-stream"}
        assert (await http.post(url, json=INITIALIZE, headers=accept)).status_code == 200
        for header in ({"host": "evil.example"}, {"origin": "http://evil.example"}):
            assert (await http.post(url, json=INITIALIZE, headers={**accept, **header})).status_code in (403, 421)


async def test_what_does_not_begin_to_serve_says_so() -> None:
    opened, address = listening(Address())
    with opened, pytest.raises(RipresaError, match="cannot listen") as caught:
        listening(address)
    assert caught.value.code == "not_available"

    async def nothing(scope: Any, receive: Any, send: Any) -> None:
        """It is never asked."""

    began = False
    with pytest.raises((OSError, ValueError)):
        async with answered(nothing, opened):  # which is closed
            began = True
    assert not began


def test_a_worker_that_dies_ends_the_server_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def die(app: App) -> None:
        raise RipresaError("the store is gone", code="not_available", op="work")

    monkeypatch.setattr(App, "work", die)
    with pytest.raises(RipresaError, match="the store is gone"):
        mcp([FLOWS], http="127.0.0.1:0", store="memory:")
