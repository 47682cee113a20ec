"""MCP servers that ask in the middle of a call: people, a model, and for the folders that they may work in."""

import asyncio
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from mcp.server import MCPServer, Server
from mcp.server.mcpserver import Elicit, ElicitationResult, Resolve
from mcp.server.mcpserver.resolve import ListRoots, Sample
from mcp.types import (
    CallToolResult,
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequest,
    ElicitRequestURLParams,
    ImageContent,
    InputRequiredResult,
    ListRootsRequest,
    ListRootsResult,
    ListToolsResult,
    SamplingMessage,
    TextContent,
)
from mcp.types import Tool as McpTool
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from ripresa import (
    Agent,
    App,
    Context,
    InvalidConfig,
    Limits,
    McpServer,
    RipresaError,
    RunFailed,
    ToolFailed,
    chain,
    llm,
    supervised,
    workflow,
)
from ripresa.agents.mcp_sampling import Sampler
from ripresa.context import take_notes
from ripresa.core.events import CallRecorded, Interacted
from ripresa.steps import mcp_asked
from ripresa.steps.asking import Voice
from ripresa.steps.halts import form_of
from ripresa.steps.mcp_line import Heard
from ripresa.stores.memory import Memory, MemoryStore
from ripresa.testing.answers import Answer, ToolUse, use
from ripresa.testing.fake_model import FakeModel
from tests.runtime.stage import journal_of


class Seat(BaseModel):
    row: int = Field(ge=1, le=30, description="Which row")
    side: Literal["window", "aisle"]
    meal: str | None = None


ran: list[str] = []


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()


async def which_seat(flight: str) -> Elicit[Seat]:
    ran.append("asked")
    return Elicit(f"Which seat on {flight}?", Seat)


async def think(flight: str) -> Sample:
    return Sample([SamplingMessage(role="user", content=TextContent(type="text", text=flight))], max_tokens=9)


async def where() -> ListRoots:
    return ListRoots()


def airline() -> MCPServer[Any]:
    made: MCPServer[Any] = MCPServer("airline", log_level="ERROR")

    @made.tool(structured_output=False)
    async def book(flight: str, seat: Annotated[ElicitationResult[Seat], Resolve(which_seat)]) -> str:
        """Book a flight."""
        ran.append(seat.action)
        return f"{flight}: {seat.data!r}" if seat.action == "accept" else f"{flight}: {seat.action}"

    @made.tool(structured_output=False)
    async def board(flight: str, thought: Annotated[CreateMessageResult, Resolve(think)]) -> str:
        """Ask a model."""
        return str(getattr(thought.content, "text", ""))

    @made.tool(structured_output=False)
    async def look(roots: Annotated[ListRootsResult, Resolve(where)]) -> str:
        """Say where it works."""
        return ", ".join(str(each.uri) for each in roots.roots)

    @made.tool(structured_output=False)
    async def weather() -> str:
        """The weather."""
        ran.append("weather")
        return "calm"

    return made


def asking(**options: Any) -> McpServer:
    return McpServer("air", server=airline(), **options)


async def opened(app: App, count: int = 1) -> list[Any]:
    for _ in range(200):
        found = await app.approvals()
        if len(found) >= count:
            return found
        await asyncio.sleep(0.01)
    raise AssertionError("nobody asks")


SEAT = {"row": 7, "side": "window"}
BOTH = Answer(uses=(ToolUse("air_weather", {}, "1"), ToolUse("air_book", {"flight": "BA 1"}, "2")))


async def test_people_answer_what_a_tool_of_an_agent_asks_by_its_form() -> None:
    fake = FakeModel(BOTH, "Booked.")
    clerk = Agent("clerk", input=str, output=str, tools=[asking(questions=True)])
    async with App("memory:", models={"*": fake}) as app:
        handle = await app.start(chain(supervised(clerk, assignees=["ann"]))("To Rome."))
        (question,) = await opened(app)
        assert (question.question, question.assignees) == ("Which seat on BA 1?", ("ann",))
        form = question.about.pop("form")
        assert question.about == {"agent": "clerk", "tool": "air_book", "arguments": {"flight": "BA 1"}}
        assert form["properties"]["row"]["description"] == "Which row"
        for wrong in ({"row": 99, "side": "window"}, {"row": 7, "side": "wing"}, {"side": "aisle"}):
            with pytest.raises(RipresaError, match="not filled in right"):
                await handle.approve(by="ann", form=wrong)
        await handle.approve(by="ann", form=SEAT)
        assert await handle.result() == "Booked."
        told = [each.kind for each in await journal_of(handle) if isinstance(each, Interacted)]
    assert fake.requests[1].results == ["calm", "BA 1: Seat(row=7, side='window', meal=None)"]
    assert ran.count("weather") == 1
    assert told.count("question") == 1


@pytest.mark.parametrize("reject", [True, False])
async def test_a_step_waits_for_people_wherever_it_stands(reject: bool) -> None:
    book = asking(questions=True).step("book", input=dict[str, str], output=str).with_(name="book")

    @workflow
    async def booking(ctx: Context, flight: str) -> str:
        return await book({"flight": flight})

    async with App("memory:") as app:
        for made in (chain(book)({"flight": "BA 1"}), book({"flight": "BA 1"}), booking("BA 1")):
            handle = await app.start(made)
            (question,) = await opened(app)
            assert (question.name, question.about["arguments"]) == ("book", {"flight": "BA 1"})
            if reject:
                await handle.reject(by="ann")
            else:
                await handle.approve(by="ann", form={**SEAT, "meal": "soup"})
            wanted = "decline" if reject else "Seat(row=7, side='window', meal='soup')"
            assert await handle.result() == f"BA 1: {wanted}"


async def test_what_was_asked_and_done_survives_the_process() -> None:
    memory, fake = Memory(), FakeModel(BOTH, "Booked.")
    clerk = Agent("clerk", input=str, output=str, tools=[asking(questions=True)])
    flow = chain(clerk)
    async with App(MemoryStore(memory), models={"*": fake}) as app:
        handle = await app.start(flow("To Rome."), id="r")
        await opened(app)
    async with App(MemoryStore(memory), workflows=[flow], models={"*": fake}) as app:
        handle = await app.resume("r")
        await handle.approve(by="ann", form=SEAT)
        assert await handle.result() == "Booked."
    assert (ran.count("weather"), ran.count("accept"), len(fake.requests)) == (1, 1, 2)


async def test_nobody_in_time_is_no_choice_and_where_nobody_is_asked_it_is_declined() -> None:
    fake = FakeModel(use("air_book", flight="BA 1"), "Done.")
    clerk = Agent("clerk", input=str, output=str, tools=[asking(questions=True)])
    async with App("memory:", models={"*": fake}) as app:
        assert await app.run(supervised(clerk, timeout=0.01, expiry="reject")("?")) == "Done."
    assert fake.requests[1].results == ["BA 1: cancel"]
    server = asking(questions=True)
    assert await server.call("book", {"flight": "BA 2"}) == "BA 2: decline"
    assert await server.step("book")({"flight": "BA 3"}) == "BA 3: decline"
    with pytest.raises(ToolFailed, match="elicitation"):
        await asking().call("book", {"flight": "BA 4"})
    with pytest.raises(InvalidConfig, match="make it an Agent"):
        llm("?", output=str, tools=[server])


async def test_a_server_asks_the_model_that_it_may_once_and_within_the_limits() -> None:
    fake = FakeModel("To Rome, then.", cost=0.5)
    board = asking(sampling="thinks").step("board", output=str)
    async with App("memory:", models={"thinks": fake}) as app:
        handle = await app.start(board({"flight": "BA 1"}), limits=Limits(money=5))
        assert await handle.result() == "To Rome, then."
        status, journal = await handle.status(), await journal_of(handle)
        assert (status.cost, status.tokens > 0) == (0.5, True)
        assert [each.key.partition(":")[0] for each in journal if isinstance(each, CallRecorded)] == ["sampling"]
        assert [each.kind for each in journal if isinstance(each, Interacted)] == ["request", "answer"]
        with pytest.raises(RunFailed, match="limit of tokens"):
            await app.run(board({"flight": "BA 1"}), limits=Limits(tokens=5))
    assert [each.prompt for each in fake.requests] == ["BA 1"]
    with pytest.raises(ToolFailed, match="sampling"):
        await asking().call("board", {"flight": "BA 4"})


async def test_a_server_is_told_the_folders_that_it_may_work_in(tmp_path: Path) -> None:
    assert await asking(roots=[tmp_path, "/srv"]).call("look") == f"{tmp_path.as_uri()}, file:///srv"
    with pytest.raises(ToolFailed, match="roots"):
        await asking().call("look")


def test_what_cannot_be_asked_is_refused_when_it_is_said() -> None:
    with pytest.raises(InvalidConfig, match=r"questions is 'yes'.*sampling is 7.*roots is '/srv'"):
        asking(questions="yes", sampling=7, roots="/srv")


def test_forms_have_the_types_and_bounds_that_are_asked_for() -> None:
    several = {"type": "array", "items": {"anyOf": [{"const": "a"}, {"const": "b"}]}, "maxItems": 1}
    properties = {"a-b": {"type": "boolean"}, "some": several, "free": {"type": "array"}, "text": {"minLength": 2}}
    read = TypeAdapter[Any](form_of({"properties": properties, "required": ["a-b"]})).validate_python
    assert read({"a-b": True, "some": ["a"], "free": ["x"], "text": "ok"})
    for wrong in ({}, {"a-b": True, "some": ["c"]}, {"a-b": True, "some": ["a", "b"]}, {"a-b": True, "text": "o"}):
        with pytest.raises(ValidationError):
            read(wrong)
    assert form_of({}) is form_of(None) is None


async def low(asks: list[Any], **options: Any) -> tuple[McpServer, list[Any]]:
    """What the tool of a server says it was answered, which asks these, one after the other."""
    given: list[Any] = []

    async def called(context: Any, params: Any) -> Any:
        given.append(params.input_responses)
        if len(given) <= len(asks):
            return asks[len(given) - 1]
        return CallToolResult(content=[TextContent(type="text", text="done")])

    async def listed(context: Any, params: Any) -> ListToolsResult:
        return ListToolsResult(tools=[McpTool(name="ask", input_schema={"type": "object"})])

    server: Any = Server("low", on_list_tools=listed, on_call_tool=called)
    return McpServer("low", server=server, **options), given


def needs(state: str | None = None, **requests: Any) -> InputRequiredResult:
    return InputRequiredResult(input_requests=requests or None, request_state=state)


async def test_a_page_that_is_to_be_opened_is_a_question_and_what_else_is_asked_is_answered_with_it() -> None:
    page = ElicitRequest(params=ElicitRequestURLParams(message="Pay first.", url="https://pay.example"))
    asks = needs("s", pay=page, where=ListRootsRequest())
    server, given = await low([asks, needs("t")], questions=True, roots=["/srv"])
    async with App("memory:") as app:
        handle = await app.start(chain(server.step("ask", output=str))({}))
        (question,) = await opened(app)
        assert (question.question, question.about["form"]) == (
            "Pay first. (open https://pay.example, and say whether it is done)",
            None,
        )
        await handle.approve(by="ann")
        assert await handle.result() == "done"
    assert (given[1]["pay"].action, given[1]["where"].roots[0].name) == ("accept", "srv")


async def test_a_tool_of_an_agent_may_ask_again_when_it_was_answered() -> None:
    texts = ("Pay first.", "Then sign.")
    asks = [ElicitRequest(params=ElicitRequestURLParams(message=text, url="https://pay.example")) for text in texts]
    server, given = await low([needs(str(at), asked=ask) for at, ask in enumerate(asks)], questions=True)
    clerk = Agent("clerk", input=str, output=str, tools=[server])
    fake = FakeModel(Answer(uses=(ToolUse("low_ask", {}, "1"),)), "Done.")
    async with App("memory:", models={"*": fake}) as app:
        handle = await app.start(chain(supervised(clerk))("go"))
        for text in texts:
            (question,) = await opened(app)
            assert question.question.startswith(text)
            await handle.approve(by="ann")
        assert await handle.result() == "Done."
    assert len(given) == 3


async def test_a_server_that_asks_without_end_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcp_asked, "REST", 0)
    server, _ = await low([needs("again")] * 99, questions=True)
    with pytest.raises(ToolFailed, match="asks without end"):
        await server.call("ask")


async def test_a_model_is_asked_texts_alone_and_within_a_call() -> None:
    sampler, picture = Sampler("air", Voice()), ImageContent(type="image", data="AAAA", mime_type="image/png")
    params = CreateMessageRequestParams(messages=[SamplingMessage(role="user", content=picture)], max_tokens=1)
    assert "as part of a call" in (await sampler(None, params)).message
    take_notes(Heard())
    assert "texts alone" in (await sampler(None, params)).message
    server, _ = await low([needs(think=CreateMessageRequest(params=params))], sampling="thinks")
    with pytest.raises(ToolFailed, match="texts alone"):
        await server.call("ask")
