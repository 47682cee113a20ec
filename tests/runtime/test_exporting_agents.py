"""Agents, prompts, teams, memory, knowledge and MCP servers: as documents say them, and as they come back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ripresa import (
    Agent,
    AgentBounds,
    App,
    Handoff,
    InvalidWorkflow,
    Knowledge,
    McpServer,
    Meeting,
    Memory,
    ModelEndpoint,
    Retry,
    RipresaError,
    Runnable,
    Sandbox,
    SQLiteVectors,
    StepContext,
    Tools,
    agent,
    chain,
    debate,
    export_document,
    group_chat,
    handoff,
    llm,
    load_document,
    map_each,
    parallel,
    step,
    supervised,
    supervisor,
    tool,
)
from ripresa.core.definition import describe
from ripresa.steps import OAuth2, Secret
from ripresa.testing.fake_model import FakeModel
from tests.agents.test_teams import final, hand
from tests.authoring.material import Page, Scores, shout
from tests.authoring.test_document_agents import close, depth
from tests.authoring.test_document_schema import complaints
from tests.runtime.test_exporting import loud


@tool(approval="May it be sent?")
async def send(to: str) -> str:
    return f"sent to {to}"


class Own:
    """An agent of one's own."""

    name = "own"

    async def run(self, input: str, ctx: StepContext) -> str:
        return input


class Shelf:
    """A store of vectors of one's own."""

    async def put(self, passages: Sequence[Any]) -> None: ...

    async def nearest(self, vector: Sequence[float], limit: int) -> list[Any]:
        return []

    async def remove(self, ids: Sequence[str]) -> None: ...


own, shelf = Own(), Shelf()


async def embed(texts: Sequence[str]) -> list[list[float]]:
    return [[float(len(text)), 1.0] for text in texts]


def enough(meeting: Meeting[str]) -> bool:
    return len(meeting.said) > 1


@step
async def answers(meeting: Meeting[str]) -> Handoff[str] | str:
    return meeting.topic


def named(name: str = "pilot", **options: Any) -> Agent[str, str]:
    return Agent(name, input=str, output=str, **options)


def files(**options: Any) -> McpServer:
    return McpServer("files", command=["files"], **options)


def book(**options: Any) -> Knowledge:
    return Knowledge("book", SQLiteVectors("book.db", 2), "openai:text-embedding-3-small", **options)


REMOTE = McpServer("web", url="https://mcp.example.org", headers={"Key": Secret("env:KEY")}, retry=Retry(3, wait=2.0))

ASKED = OAuth2("https://id.example.org", client="us", secret=Secret("env:S"))
WITH_TOKEN = McpServer("token", url="https://mcp.example.org", auth=ASKED)
BEARER = McpServer("bearer", url="https://mcp.example.org", auth=Secret("env:TOKEN"))

LEAVES: list[Any] = [
    shout,
    llm("Sum up {input}", input=str, output=str, name="sum_up"),
    llm(
        "{url}",
        input=Page,
        output=Page,
        system="Be {words}",
        retry=1,
        temperature=0.5,
        max_tokens=9,
        stream=True,
        patience="3 s",
    ),
    llm("{state.best} of {input}", input=str, output=str, state=Scores, fallback=["m"], memory=Memory("own", 3)),
    llm("{input}", input=str, output=str, tools=[depth, "close"], toolbox=Tools([close]), permissions=["ports.*"]),
    llm("{input}", input=str, output=str, tools=[files(allow=["read_*"]).only("read_x"), REMOTE], timeout=3),
    named(),
    named("other", role="a pilot", instructions="Look.", bounds=AgentBounds(3, 4, 1), stream=True, patience=4, retry=2),
    named("third", model=ModelEndpoint("x", "http://127.0.0.1:9"), memory=Memory(), tools=[named("inner"), depth]),
    named("fourth", tools=[book().look_up, files()], timeout=9, retry=Retry(2, wait=3.0)),
    Agent("typed", input=Page, output=Page, tools=["depth"], toolbox=Tools([depth])),
    named("asks", tools=[send], timeout=3),
    named(
        "options",
        tools=[named("inner", timeout=3), depth.with_(name="deep", retry=Retry(2, 1)), shout.with_(hooks=[loud])],
    ),
    supervised(named("asked", tools=[send]), assignees=["ann"], quorum=2, timeout="1 day", expiry="reject"),
    named("some", tools=[files().only("read_x", "find_*"), WITH_TOKEN, BEARER]),
    files().only("read_x", "read_y").step("read_x"),
    files().step("read_file", arguments={"path": "a"}, output=str, retry=2),
    REMOTE.step("find", input=Page),
    *(getattr(book(limit=3, retry=1), what) for what in ("learn", "look_up", "forget")),
    Knowledge("own_book", shelf, embed).look_up,
    own,
    agent(own),
]


def teams(below: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    links = st.lists(below, min_size=1, max_size=3, unique_by=lambda link: link.name)
    lead = st.just(named("lead"))
    return st.one_of(
        links.map(lambda found: chain(*found[:1], name="flow")),
        st.builds(lambda found: parallel(found, chain(found, name="again"), name="sides"), below),
        st.builds(lambda found: map_each(found, name="all"), below),
        st.builds(lambda first, found: supervisor(first, *found, name="team"), lead, links),
        st.builds(lambda count: handoff(named("a"), named("b"), answers, at_most=count), st.integers(1, 10)),
        st.builds(lambda many: group_chat(named("a"), answers, at_most=many, until=enough), st.integers(1, 3)),
        st.builds(lambda many: group_chat(named("a"), chair=answers, at_most=many, name="talk"), st.integers(1, 3)),
        st.builds(lambda rounds: debate(named("a"), named("b"), judge=named("c"), rounds=rounds), st.integers(1, 3)),
    )


def came_back(flow: Any) -> dict[str, Any]:
    said = export_document(flow)
    assert complaints(said) == []
    again = load_document(json.loads(json.dumps(said)))
    assert list(describe(again.node)) == list(describe(flow.node))
    assert again.definition.hash == flow.definition.hash
    assert export_document(again) == said
    return said


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: getattr(leaf, "name", ""))
def test_it_comes_back_as_it_is_written(leaf: Any) -> None:
    came_back(chain(leaf, name="whole").with_state(Scores))


@given(st.recursive(st.sampled_from(LEAVES), teams, max_leaves=5))
@settings(max_examples=60, deadline=None)
def test_whatever_is_made_of_them_comes_back(link: Any) -> None:
    flow: Any = chain(link, name="whole")
    assert isinstance(flow, Runnable)
    came_back(flow)


def test_what_is_declared_stands_at_the_head() -> None:
    said = came_back(chain(named("a", tools=[files(), book().look_up]), name="whole"))
    assert said["servers"] == {"files": {"command": ["files"]}}
    assert said["knowledge"] == {"book": {"path": "book.db", "size": 2, "embedder": "openai:text-embedding-3-small"}}


async def test_a_team_and_its_memory_that_a_document_declares_do_their_work() -> None:
    lead = {"id": "lead", "type": "agent", "config": {"instructions": "Lead.", "input": "string", "memory": "notes"}}
    worker = {"id": "worker", "type": "prompt", "config": {"prompt": "Do: {input}", "input": "string"}}
    loud = {"id": "loud", "type": "sequence", "config": {"steps": [f"{shout.fn.__module__}:shout"]}}
    talk = {"id": "talk", "type": "group_chat", "config": {"speakers": [lead, worker_of("b")], "at_most": 2}}
    team = {"id": "team", "type": "supervisor", "config": {"lead": {**lead, "config": {"instructions": "Lead."}},
            "workers": [worker, loud]}}  # fmt: skip
    fake = FakeModel(hand("loud", "go"), hand("worker", "it"), "done", final("all done"))
    made = load_document({"id": "flow", "steps": [team]})
    async with App("memory:", models={"*": fake}) as app:
        handle = await app.start(made("What now?"))
        assert await handle.result() == "all done"
        assert [each.kind for each in (await handle.status()).interactions if each.kind in ("delegate", "reply")] == [
            "delegate", "reply", "delegate", "reply", "reply",
        ]  # fmt: skip
    assert "Do: it" in str(fake.requests[2].body)
    remembering = load_document({"id": "flow", "steps": [talk]})
    assert remembering.definition.is_dynamic


def worker_of(name: str) -> dict[str, Any]:
    return {"id": name, "type": "agent", "config": {"instructions": "Speak.", "input": "string"}}


@pytest.mark.parametrize("memory", [True, "own", {"last": 2}])
async def test_steps_of_documents_remember_what_was_said_in_a_session(memory: Any) -> None:
    asked = {"llm": "prompt", "agent": "instructions"}
    for kind, key in asked.items():
        config = {key: "Talk.", "memory": memory, "patience": "1 min"}
        made = load_document({"id": "f", "steps": [{"type": kind, "config": config}]})
        fake = FakeModel("first", "second")
        async with App("memory:", models={"*": fake}) as app:
            session = await app.sessions.create("it", owner="ann")
            for said in ("one", "two"):
                await app.run(made(said), session=session.id)
        assert "first" in str(fake.requests[1].body)


@pytest.mark.parametrize(
    ("part", "where", "message"),
    [
        ({"knowledge": {"a": 3}}, "knowledge.a", "is 3, must be an object with path and size, or vectors"),
        ({"knowledge": {"a": {"embedder": "m"}}}, "knowledge.a", "either a path, with a size, or vectors"),
        ({"knowledge": {"a": {"embedder": "m", "path": "x"}}}, "knowledge.a", "lacks the size of its vectors"),
        ({"knowledge": {"a": {"path": "x"}}}, "knowledge.a", "lacks embedder"),
        ({"knowledge": {"a": {"embedder": "m", "vectors": "no:such"}}}, "knowledge.a.vectors", "no"),
        ({"knowledge": {"a/b": {"embedder": "m", "path": "x", "size": 1}}}, "knowledge.a/b", "must not contain '/'"),
        (
            {"knowledge": {"a": {"embedder": "m", "path": "x", "size": 1}}, "servers": {"a": {"command": ["x"]}}},
            "knowledge.a",
            "'a' is a server of this document, too",
        ),
        (
            {"knowledge": {"a": {"embedder": "${{ 1 }}", "path": "x", "size": 1}}},
            "knowledge.a",
            "knowledge is made when the document is read",
        ),
        (
            {"steps": [{"type": "knowledge", "config": {"of": "bok"}}]},
            "steps[0].config.of",
            "there is no knowledge 'bok'",
        ),
        (
            {
                "steps": [{"type": "knowledge", "config": {"of": "bok"}}],
                "knowledge": {"book": {"path": "x", "size": 2, "embedder": "m"}},
            },
            "steps[0].config.of",
            "did you mean book?",
        ),
        (
            {"steps": [{"type": "group_chat", "config": {"speakers": ["shoot"], "at_most": 2, "until": "a:b"}}]},
            "steps[0].config.speakers[0]",
            "there is no step type 'shoot'",
        ),
        (
            {"steps": [{"type": "agent", "config": {"instructions": "x", "tools": [{"type": "supervisor"}]}}]},
            "steps[0].config.tools[0].config",
            "lacks lead",
        ),
        (
            {
                "steps": [
                    {
                        "type": "agent",
                        "config": {"instructions": "x", "tools": [{"type": "human", "config": {"question": "x"}}]},
                    }
                ]
            },
            "steps[0].config.tools[0]",
            "which is no step",
        ),
    ],
)
def test_what_is_wrong_with_them_is_told_at_its_place(part: dict[str, Any], where: str, message: str) -> None:
    with pytest.raises(InvalidWorkflow) as caught:
        load_document({"id": "flow", "steps": ["pass"], **part})
    told = [(problem.where, problem.message) for problem in caught.value.problems]
    assert any(at == where and message in text for at, text in told), told


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"memory": 3}, "memory: is 3, must be true, a name, or an object of name, last"),
        ({"memory": {"lost": 3}}, "memory: is {'lost': 3}, must be"),
        ({"memory": {"model": {"name": "x"}}}, "model of memory is {'name': 'x'}, must name a model"),
        ({"model": {"url": "x"}}, "a model has no url, but name, base_url, key_variable"),
        ({"patience": 0}, "patience: is 0"),
        ({"approval": {"who": 3}}, "approval has who, may have assignees, quorum, timeout, expiry"),
        ({"approval": {"quorum": 2}}, "no tool of agent asks for approval"),
    ],
)
def test_options_that_are_none_are_told(config: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidWorkflow) as caught:
        load_document({"id": "flow", "steps": [{"type": "agent", "config": {"instructions": "x", **config}}]})
    assert message in str(caught.value)


def test_documents_that_may_import_nothing_say_neither_where_a_model_is_nor_what_is_in_a_file() -> None:
    asked: dict[str, Any] = {"type": "prompt", "config": {"prompt": "{input}", "input": "string"}}
    assert load_document({"id": "flow", "steps": [asked]}, modules=[]).name == "flow"
    asked["config"] = {"prompt": "x", "model": {"name": "x", "base_url": "http://127.0.0.1:1"}}
    with pytest.raises(InvalidWorkflow, match="a model at an address is not for documents that may import"):
        load_document({"id": "flow", "steps": [asked]}, modules=[])
    known = {"book": {"path": "book.db", "size": 2, "embedder": "m"}}
    with pytest.raises(InvalidWorkflow, match=r"knowledge.book: .*documents may not import"):
        load_document({"id": "flow", "knowledge": known, "steps": ["pass"]}, modules=[])


@pytest.mark.parametrize(
    ("flow", "message"),
    [
        (chain(llm("x", input=str, output=str, model=FakeModel("x"))), "'llm' can stand in no document: its model is"),
        (chain(named(memory=Memory(summary=3, model=ModelEndpoint("x")))), "its memory's model is ModelEndpoint"),
        (chain(named(tools=[files().only("a", "b").only("a")])), "its choice of tools is"),
        (chain(named(tools=[files().only("a,b")])), "its choice of tools is"),
        (chain(named(tools=[files(timeout=None)])), "'files' can stand in no document: its timeout is None"),
        (chain(named(tools=[files(sandbox=Sandbox(root="box", paths=("path",)))])), "its sandbox is Sandbox"),
        (chain(Knowledge("k", Shelf(), "m").look_up), "it stands at the top level of no module"),
        (chain(supervised(named(tools=[send], timeout=3))), "its options beside those of supervised is Options"),
        (chain(agent(Own(), name="renamed")), "it stands at the top level of no module"),
        (chain(named(tools=[files(), files(trust=True)])), "two MCP servers of one name are declared"),
    ],
    ids=str,
)
def test_what_no_document_can_say_is_refused(flow: Any, message: str) -> None:
    with pytest.raises(RipresaError) as caught:
        export_document(flow)
    assert caught.value.code == "not_exportable"
    assert message in caught.value.message


async def test_an_agent_under_another_name_still_asks_people_and_says_its_name() -> None:
    made: Any = named("pilot", tools=[send]).with_(name="sender")
    assert (type(made), made.name, made.talker.name) == (Agent, "sender", "sender")
    assert made.stand_in is not None
    assert made.stand_in.name == "sender"


def test_agents_take_knowledge_that_a_document_declares_by_its_name() -> None:
    known = {"book": {"path": "book.db", "size": 2, "embedder": "openai:text-embedding-3-small"}}
    ask = {"type": "agent", "config": {"instructions": "Read.", "input": "string", "tools": ["book"]}}
    said = came_back(load_document({"id": "flow", "knowledge": known, "steps": [ask]}))
    assert said["knowledge"] == known
    with pytest.raises(InvalidWorkflow) as caught:
        load_document({"id": "flow", "knowledge": {"book": {"path": "x"}}, "steps": [ask]})
    assert {problem.where for problem in caught.value.problems} == {"knowledge.book"}
