"""Ripresa as an MCP server."""

import asyncio
import gc
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from mcp import Client, MCPDeprecationWarning, MCPError
from mcp.types import ResourceTemplateReference

from ripresa import App, Context, InvalidConfig, McpServer, Retry, Signal, chain, current, step, workflow
from ripresa.server.desk import KEY, Desk
from ripresa.server.mcp import mcp_desk
from ripresa.stores.memory import Memory, MemoryStore


@dataclass
class Topic:
    name: str
    depth: int = 1


@dataclass
class Report:
    text: str


@step
async def write(topic: Topic) -> Report:
    """Write about a topic."""
    current().save_artifact("report.txt", f"about {topic.name}", media_type="text/plain")
    current().save_artifact("picture.png", b"\x89PNG", media_type="image/png")
    return Report(f"{topic.name} {topic.depth}")


@step
async def fail(topic: str) -> str:
    raise ValueError(f"not about {topic}")


report = chain(write).named("report")
broken = chain(fail).named("broken")
edited = Signal("edited", str)


@workflow
async def publish(ctx: Context, title: str, times: int = 1) -> str:
    """Publish a title."""
    text = await ctx.wait_for(edited)
    decision = await ctx.approval("Publish?", text)
    return f"{title}: {text}" * times if decision.granted else "nothing"


@workflow
async def nothing(ctx: Context) -> str:
    return "done"


@asynccontextmanager
async def serving(*workflows: Any) -> AsyncGenerator[tuple[App, Client, Desk]]:
    async with App("memory:", workflows=workflows, patience=0.05) as app:
        desk = mcp_desk(app, workflows)
        async with Client(desk.server(), cache=None) as client:
            yield app, client, desk


async def called(client: Client, tool: str, **arguments: Any) -> Any:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    return result.structured_content


async def opened(client: Client) -> Any:
    for _ in range(500):
        if found := (await called(client, "list_approvals"))["approvals"]:
            return found
        await asyncio.sleep(0.01)
    raise AssertionError("nobody is asked")


async def refused(client: Client, tool: str, **arguments: Any) -> str:
    result: Any = await client.call_tool(tool, arguments)
    assert result.is_error
    return str(result.structured_content["error"]["code"])


async def test_a_workflow_is_a_tool_with_the_schema_of_its_input() -> None:
    async with serving(report, publish, nothing) as (_, client, _desk):
        tools = {each.name: each for each in (await client.list_tools()).tools}
    assert list(tools)[:3] == ["report", "publish", "nothing"]
    schema = tools["report"].input_schema
    assert schema["required"] == ["input"]
    assert schema["properties"]["input"]["properties"]["name"] == {"title": "Name", "type": "string"}
    given = tools["publish"].input_schema["properties"]["input"]
    assert (given["required"], sorted(given["properties"])) == (["title"], ["times", "title"])
    assert "Publish a title." in (tools["publish"].description or "")
    assert "input" not in tools["nothing"].input_schema["properties"]
    assert "text" in json.dumps(tools["report"].output_schema)
    hints = tools["inspect_run"].annotations
    assert hints is not None
    assert (hints.read_only_hint, hints.destructive_hint) == (True, False)


async def test_a_run_is_started_once_by_its_id() -> None:
    async with serving(report) as (app, client, _):
        first = await called(client, "report", input={"name": "tides", "depth": 2}, id="r")
        assert (first["status"], first["output"], first["run"]) == ("completed", {"text": "tides 2"}, "r")
        assert await called(client, "report", input={"name": "tides", "depth": 2}, id="r") == first
        assert await refused(client, "report", input={"name": "winds"}, id="r") == "run_exists"
        assert await refused(client, "report", input={"nam": "winds"}) == "invalid_input"
        assert await refused(client, "report", input={"name": "a"}, wait=-1) == "invalid_input"
        assert await refused(client, "report", name="winds") == "invalid_input"
        meta: Any = {"ripresa/idempotency-key": "key"}
        by_key: Any = await client.call_tool("report", {"input": {"name": "k"}}, meta=meta)
        assert by_key.structured_content["run"] == "key"
        meta = {"ripresa/idempotency-key": "k" * 300}
        by_key = await client.call_tool("report", {"input": {"name": "k"}}, meta=meta)
        assert len(by_key.structured_content["run"]) == 64
        head = (await app.runs(limit=1)).runs[0]
        assert head.workflow == "report"


async def test_a_step_that_is_tried_again_starts_one_run() -> None:
    tries: list[int] = []

    @step(retry=Retry(2, 0))
    async def ask(name: str) -> Any:
        found = await server.call("report", {"input": {"name": name}})
        tries.append(1)
        if len(tries) == 1:
            raise ConnectionError("the answer is lost")
        return found["run"]

    async with App("memory:", workflows=[report]) as app:
        server = McpServer("ripresa", server=mcp_desk(app, [report]).server())
        async with App("memory:") as other:
            run = await other.run(chain(ask)("tides"), id="asks")
        assert [head.id for head in (await app.runs()).runs] == [run] == ["asks/ask"]


async def test_a_completed_run_that_is_resumed_is_told_with_its_result() -> None:
    async with serving(report) as (_, client, _desk):
        found = await called(client, "report", input={"name": "winds"}, id="r")
        assert found["status"] == "completed"
        assert await called(client, "resume_run", run="r") == found


async def test_a_run_that_fails_says_why() -> None:
    async with serving(broken) as (_, client, _desk):
        found = await called(client, "broken", input="winds", id="r")
        assert (found["status"], found["error"]["code"]) == ("failed", "step_failed")
        assert "not about winds" in found["error"]["message"]
        again = await called(client, "resume_run", run="r")
        assert again["status"] == "failed"
        whole = await called(client, "inspect_run", run="r")
        assert whole["steps"][0]["attempt"] == 2
        listed = await called(client, "list_runs", status=["failed"])
        assert ([each["id"] for each in listed["runs"]], listed["more"]) == (["r"], False)
        assert await refused(client, "inspect_run", run="other") == "run_not_found"
        with pytest.raises(MCPError, match="there is no tool"):
            await client.call_tool("no_tool", {})


async def test_a_run_that_waits_is_signalled_and_answered() -> None:
    async with serving(publish) as (_, client, _desk):
        found = await called(client, "publish", input={"title": "Tides", "times": 2}, id="r", wait=0)
        assert found["run"] == "r"
        assert await called(client, "signal_run", run="r", name="edited", value="text", id="1") == {"done": True}
        assert await called(client, "signal_run", run="r", name="edited", value="text", id="1") == {"done": False}
        asked = await opened(client)
        assert (asked[0]["question"], asked[0]["about"]) == ("Publish?", "text")
        assert (await called(client, "wait_for_run", run="r", wait=0))["waiting_for"] == ["Publish?"]
        digest = asked[0]["digest"]
        assert await refused(client, "answer_approval", run="r", granted=True, by="ann", digest="x") == "vote_refused"
        await called(client, "answer_approval", run="r", granted=True, by="ann", digest=digest)
        ended = await called(client, "wait_for_run", run="r")
        assert (ended["status"], ended["output"]) == ("completed", "Tides: textTides: text")
        assert (await called(client, "list_workflows"))["workflows"][0]["tool"] == "publish"


async def test_a_run_is_rejected_or_cancelled() -> None:
    async with serving(publish, nothing) as (_, client, _desk):
        assert (await called(client, "nothing"))["output"] == "done"
        for run in ("a", "b"):
            await called(client, "publish", input={"title": "Tides"}, id=run, wait=0)
        await called(client, "cancel_run", run="a", reason="enough")
        assert (await called(client, "wait_for_run", run="a"))["status"] == "cancelled"
        await called(client, "signal_run", run="b", name="edited", value="text")
        waiting = await called(client, "wait_for_run", run="b", wait=0.05)
        assert waiting["status"] in ("running", "waiting")
        await opened(client)
        await called(client, "answer_approval", run="b", granted=False, by="ann", comment="no")
        assert (await called(client, "wait_for_run", run="b"))["output"] == "nothing"


async def test_what_a_run_does_is_told_as_progress() -> None:
    told: list[tuple[float, str | None]] = []

    async def tell(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, message))

    async with serving(report) as (_, client, _desk):
        await client.call_tool("report", {"input": {"name": "tides"}}, progress_callback=tell)
    assert [each[0] for each in told] == sorted(each[0] for each in told)
    assert any(message == "RunCompleted" for _, message in told)


async def test_a_call_that_is_cancelled_leaves_its_run_alone() -> None:
    async with serving(publish) as (app, client, _):
        calling = asyncio.create_task(client.call_tool("publish", {"input": {"title": "Tides"}, "id": "r"}))
        for _ in range(500):
            if (await app.runs()).runs:
                break
            await asyncio.sleep(0.01)
        calling.cancel()
        await asyncio.wait({calling})
        assert (await called(client, "inspect_run", run="r"))["status"] in ("running", "waiting")


async def test_two_workflows_of_one_name_are_refused() -> None:
    async with App("memory:") as app:
        with pytest.raises(InvalidConfig) as caught:
            mcp_desk(app, [report, chain(fail).named("report")])
    assert caught.value.code == "duplicate_name"
    with pytest.raises(InvalidConfig) as caught:
        async with serving(chain(fail).named("list_runs")):
            pass
    assert caught.value.code == "duplicate_name"


async def test_a_run_of_this_id_that_was_left_is_taken_up() -> None:
    memory = Memory()
    async with App(MemoryStore(memory), workflows=[publish], patience=0.05) as app:
        await app.start(publish("Tides"), id="r")
    async with App(MemoryStore(memory), patience=0.05) as app, Client(mcp_desk(app, [publish]).server()) as client:
        await called(client, "publish", input={"title": "Tides"}, id="r", wait=0.01)
        assert "r" in app.engine.drivers
        await called(client, "publish", input={"title": "Tides"}, id="r", wait=0)


# --- resources


async def read(client: Client, uri: str) -> Any:
    (content,) = (await client.read_resource(uri)).contents
    return content


async def test_runs_are_resources() -> None:
    async with serving(report) as (_, client, _desk):
        await called(client, "report", input={"name": "tides"}, id="a/b")
        (listed,) = (await client.list_resources()).resources
        assert (str(listed.uri), listed.name) == ("ripresa://runs/a%2Fb", "a/b")
        assert json.loads((await read(client, str(listed.uri))).text)["status"] == "completed"
        journal = (await read(client, f"{listed.uri}/journal")).text.splitlines()
        assert json.loads(journal[0])["event"] == "RunStarted"
        artifact = await read(client, f"{listed.uri}/artifacts/report.txt")
        assert (artifact.text, artifact.mime_type) == ("about tides", "text/plain")
        assert (await read(client, f"{listed.uri}/artifacts/picture.png")).blob == "iVBORw=="
        assert len((await client.list_resource_templates()).resource_templates) == 3
        for wrong in ("ripresa://runs/none", "file:///etc/passwd", f"{listed.uri}/x/y/z", f"{listed.uri}/artifacts/no"):
            with pytest.raises(MCPError):
                await read(client, wrong)


async def test_pages_of_runs_follow_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ripresa.server.records.PAGE", 1)
    async with serving(nothing) as (_, client, _desk):
        for id in ("a", "b"):
            await called(client, "nothing", id=id)
        first = await client.list_resources()
        second = await client.list_resources(cursor=first.next_cursor)
        names = [each.name for page in (first, second) for each in page.resources]
    assert (sorted(names), second.next_cursor) == (["a", "b"], None)


async def test_holes_are_completed() -> None:
    async with serving(report) as (_, client, _desk):
        await called(client, "report", input={"name": "tides"}, id="run-1")
        where = ResourceTemplateReference(type="ref/resource", uri="ripresa://runs/{run}/artifacts/{name}")
        found = await client.complete(where, {"name": "run", "value": "run"})
        assert found.completion.values == ["run-1"]
        found = await client.complete(where, {"name": "name", "value": "r"}, {"run": "run-1"})
        assert found.completion.values == ["report.txt"]
        assert (await client.complete(where, {"name": "name", "value": ""})).completion.values == []


async def test_who_watches_a_run_is_told_that_it_has_moved() -> None:
    async with serving(publish) as (_, client, _desk):
        await called(client, "publish", input={"title": "Tides"}, id="r", wait=0)
        async with client.listen(resource_subscriptions=["ripresa://runs/r"]) as changes:
            await called(client, "cancel_run", run="r")
            async with asyncio.timeout(5):
                async for change in changes:
                    assert "ripresa://runs/r" in str(change)
                    break


async def test_clients_of_before_2026_are_told_too() -> None:
    told: list[str] = []

    async def hear(message: Any) -> None:
        if getattr(message, "method", "") == "notifications/resources/updated":
            told.append(str(message.params.uri))

    async with App("memory:", workflows=[publish], patience=0.05) as app:
        desk = mcp_desk(app, [publish])
        async with Client(desk.server(), mode="legacy", message_handler=hear) as client:
            uri = "ripresa://runs/r"
            await called(client, "publish", input={"title": "Tides"}, id="r", wait=0)
            session: Any = client.session
            with pytest.warns(MCPDeprecationWarning):
                await session.subscribe_resource(uri)
            await called(client, "signal_run", run="r", name="other")
            for _ in range(500):
                if told:
                    break
                await asyncio.sleep(0.01)
            with pytest.warns(MCPDeprecationWarning):
                await session.unsubscribe_resource(uri)
            assert (set(told), len(desk.watchers.clients)) == ({uri}, 0)


async def test_who_has_gone_watches_nothing_and_nobody_watches_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ripresa.server.desk.MOST_WATCHED", 3)
    async with App("memory:", workflows=[report]) as app:
        desk = mcp_desk(app, [report])
        async with Client(desk.server(), mode="legacy") as client:
            session: Any = client.session
            for number in (0, 1, 2):
                with pytest.warns(MCPDeprecationWarning):
                    await session.subscribe_resource(f"ripresa://runs/{number}")
            with pytest.warns(MCPDeprecationWarning), pytest.raises(MCPError, match="watches at most 3"):
                await session.subscribe_resource("ripresa://runs/3")
            assert [len(each) for each in desk.watchers.clients.values()] == [3]
            bus = desk.watchers.bus
            desk.server()
            assert desk.watchers.bus is bus
        del session, client
        for _ in range(100):
            gc.collect()
            if not desk.watchers.clients:
                break
            await asyncio.sleep(0.01)
        assert len(desk.watchers.clients) == 0


async def test_one_who_cannot_be_told_keeps_it_from_nobody_else() -> None:
    told: list[str] = []
    heard = asyncio.Event()

    class Gone:
        async def send_resource_updated(self, uri: str) -> None:
            raise ConnectionError("gone")

    class There:
        async def send_resource_updated(self, uri: str) -> None:
            told.append(uri)
            heard.set()

    clients = [Gone(), There(), Gone()]
    desk = Desk("d", [])
    for each in clients:
        desk.watchers.clients[each] = {"test://a"}
    desk.watchers.changed("test://b")
    desk.watchers.changed("test://a")
    async with asyncio.timeout(5):
        await heard.wait()
    assert told == ["test://a"]


async def test_ids_keys_and_cursors_that_are_none_are_refused() -> None:
    async with serving(report) as (app, client, _desk):
        for wrong in (5, ["a"], 0, False):
            assert await refused(client, "report", input={"name": "x"}, id=wrong) == "invalid_input"
        for key in (None, 5):
            meta: Any = {KEY: key}
            assert not (await client.call_tool("report", {"input": {"name": "x"}}, meta=meta)).is_error
        ids = {each.id for each in (await app.runs()).runs}
        assert (len(ids), ids & {"None", "5"}) == (2, set())
        with pytest.raises(MCPError, match="no such page") as caught:
            await client.list_resources(cursor="garbage")
        assert caught.value.code == -32602
