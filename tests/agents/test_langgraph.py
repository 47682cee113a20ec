"""Graphs of LangGraph and runnables of LangChain as steps, and one of ours as a runnable, against the real packages."""

# pyright: basic

import asyncio
import operator
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import pytest
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, FakeListLLM, GenericFakeChatModel, LangSmithParams
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda
from langgraph.errors import InvalidUpdateError
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Send, interrupt
from openai import AsyncOpenAI
from pydantic import BaseModel, Field

from ripresa import (
    Agents,
    App,
    Context,
    InvalidConfig,
    Limits,
    Memory,
    Retry,
    RipresaError,
    RunFailed,
    agent,
    as_runnable,
    chain,
    current,
    step,
    supervised,
    workflow,
)
from ripresa.core.events import ApprovalRequested, CallRecorded
from ripresa.runtime.feed import StepProgressed, TextWritten
from ripresa.testing.model_server import ModelServer
from tests.runtime.stage import journal_of


class Count(TypedDict):
    number: int
    log: Annotated[list[str], operator.add]


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with ModelServer() as found:
        yield found


class LoopbackChat(BaseChatModel):
    """A chat model of LangChain over real HTTP, as a package of a provider has one."""

    url: str

    @property
    def _llm_type(self) -> str:
        return "loopback"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        raise NotImplementedError

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        async with AsyncOpenAI(base_url=self.url, api_key="x", max_retries=0) as client:
            said: Any = [{"role": "user", "content": str(each.content)} for each in messages]
            answer = await client.chat.completions.create(model="loopback", messages=said)
        assert answer.usage is not None
        usage: Any = {
            "input_tokens": answer.usage.prompt_tokens,
            "output_tokens": answer.usage.completion_tokens,
            "total_tokens": answer.usage.total_tokens,
        }
        text = answer.choices[0].message.content or ""
        message = AIMessage(text, usage_metadata=usage, response_metadata={"model_name": "loopback"})
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        result = await self._agenerate(messages)
        for word in str(result.generations[0].message.content).split(" "):
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=word))
            if run_manager is not None:
                await run_manager.on_llm_new_token(word, chunk=chunk)
            yield chunk


def counting(notes: list[str]) -> Any:
    """Two supersteps, of which the second has two nodes side by side and fails the first time that it is run."""

    def begin(state: Count) -> dict[str, Any]:
        notes.append("begin")
        return {"number": state["number"] + 1, "log": ["begin"]}

    async def left(state: Count) -> dict[str, Any]:
        found = await current().call(doubled, state["number"])
        return {"log": [f"left {found}"]}

    async def doubled(number: int) -> int:
        notes.append("doubled")
        return 2 * number

    def right(state: Count) -> dict[str, Any]:
        notes.append("right")
        if notes.count("right") == 1:
            raise OSError("gone")
        return {"log": ["right"]}

    builder = StateGraph(Count)
    builder.add_node("begin", begin)
    builder.add_node("left", left)
    builder.add_node("right", right)
    builder.add_edge(START, "begin")
    builder.add_edge("begin", "left")
    builder.add_edge("begin", "right")
    return builder.compile(name="counting")


DONE: dict[str, Any] = {"number": 2, "log": ["begin", "left 4", "right"]}


# --- a compiled graph as a step


async def test_a_graph_goes_on_from_the_superstep_that_failed() -> None:
    notes: list[str] = []
    flow = chain(agent(counting(notes), retry=Retry(2, 0)))
    async with App("memory:") as app:
        handle = await app.start(flow({"number": 1, "log": []}))
        told = [each.message async for each in handle.watch() if isinstance(each, StepProgressed)]
        assert await handle.result() == DONE
        calls = [event.key for event in await journal_of(handle) if isinstance(event, CallRecorded)]
    assert notes.count("begin") == 1
    assert sorted(notes) == ["begin", "doubled", "right", "right"]
    assert [">" in key for key in calls] == [False, True, False]  # what a node journals is kept though its step failed
    assert set(told) == {"begin", "left", "right"}


async def test_a_graph_stands_wherever_a_step_stands() -> None:
    made = counting(["right"])

    @step
    async def last(values: Any) -> str:
        return str(values["log"][-1])

    @workflow
    async def twice(ctx: Context, value: Any) -> list[Any]:
        return await ctx.map(made, [value, value])

    start = {"number": 1, "log": []}
    async with App("memory:") as app:
        assert await app.run(chain(made).then(last)(start)) == "right"
        assert await app.run(twice(start)) == [DONE, DONE]
        agents = Agents([made])
        assert await app.run(agents.step("counting")(start)) == DONE
    assert await current().call(made, start) == DONE


async def test_models_inside_count_and_are_told(server: ModelServer) -> None:
    server.reply("high and low", "again")
    model = LoopbackChat(url=server.url)

    async def answer(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("answer", answer)
    builder.add_edge(START, "answer")
    told = agent(builder.compile(), stream=True)
    async with App("memory:") as app:
        handle = await app.start(chain(told)({"messages": [HumanMessage("How is the tide?")]}))
        written = [each.text async for each in handle.watch() if isinstance(each, TextWritten)]
        found = await handle.result()
        assert (await handle.status()).tokens == 0
        plain = agent(builder.compile())
        assert (await app.run(chain(plain)({"messages": []})))["messages"][-1]["content"] == "again"
    assert found["messages"][-1]["content"] == "highandlow"
    assert "".join(written) == "highandlow"


@dataclass
class Sign:
    text: str


def words_of(text: str) -> dict[str, Any]:
    return {"words": text.split(), "found": []}


async def test_a_graph_may_send_itself_work_and_is_given_its_context() -> None:
    class Words(TypedDict):
        words: list[str]
        found: Annotated[list[str], operator.add]

    async def look(state: Any, runtime: Runtime[Sign]) -> dict[str, Any]:
        return {"found": [f"{runtime.context.text}{state}"]}

    builder = StateGraph(Words, context_schema=Sign)
    builder.add_node("begin", lambda state: {})
    builder.add_node("look", look)
    builder.add_edge(START, "begin")
    builder.add_conditional_edges("begin", lambda state: [Send("look", word) for word in state["words"]], ["look"])
    made = agent(builder.compile(), name="look", deps=Sign("> "), input=str, output=dict[str, Any], prompt=words_of)
    async with App("memory:") as app:
        found = await app.run(chain(made)("a b"))
    assert sorted(found["found"]) == ["> a", "> b"]


async def test_its_types_may_be_said() -> None:
    class Numbers(BaseModel):
        number: int
        log: list[str]

    made = agent(counting(["right"]), input=Numbers, output=Numbers, prompt=Numbers.model_dump)
    async with App("memory:") as app:
        assert await app.run(chain(made)(Numbers(number=1, log=[]))) == Numbers(**DONE)


async def test_an_endless_graph_is_stopped() -> None:
    builder = StateGraph(Count)
    builder.add_node("again", lambda state: {"number": state["number"] + 1})
    builder.add_edge(START, "again")
    builder.add_edge("again", "again")
    with pytest.raises(RipresaError, match="within 5 supersteps") as caught:
        await agent(builder.compile().with_config(recursion_limit=5))({"number": 1, "log": []})
    assert caught.value.code == "agent_limit"


async def test_what_cannot_be_run_is_refused() -> None:
    builder = StateGraph(Count)
    with pytest.raises(RipresaError, match="compile") as caught:
        chain(builder)  # type: ignore[call-overload]
    assert caught.value.code == "framework_unsupported"
    with pytest.raises(InvalidConfig, match="memory means nothing here"):
        agent(counting([]), memory=Memory())
    with pytest.raises(RipresaError) as caught:
        await agent(counting([]))(None)
    assert caught.value.code == "invalid_input"


# --- people


class Choice(BaseModel):
    port: str


def asking() -> Any:
    async def ask(state: Count) -> dict[str, Any]:
        return {"log": [str(interrupt("Which port?"))]}

    async def confirm(state: Count) -> dict[str, Any]:
        return {"log": [str(interrupt({"so": state["log"]}))]}

    builder = StateGraph(Count)
    builder.add_node("ask", ask)
    builder.add_node("confirm", confirm)
    builder.add_edge(START, "ask")
    builder.add_edge("ask", "confirm")
    return builder.compile()


async def asked_of(app: App, handle: Any, number: int) -> Any:
    """What people are asked, when they have been asked so often."""
    async for recorded in handle.events():
        number -= isinstance(recorded.event, ApprovalRequested)
        if not number:
            break
    return (await app.approvals())[0]


@pytest.mark.parametrize(
    ("form", "said"), [(None, ["True", "True"]), (Choice, ["{'port': 'Oban'}", "{'port': 'Oban'}"])]
)
async def test_people_answer_what_a_graph_asks(form: Any, said: list[str]) -> None:
    async with App("memory:") as app:
        handle = await app.start(supervised(asking(), form=form, name="ask")({"number": 1, "log": []}))
        questions: list[tuple[str, Any]] = []
        for number in (1, 2):
            asked = await asked_of(app, handle, number)
            questions.append((asked.question, asked.about))
            await handle.approve(by="ann", form=None if form is None else {"port": "Oban"})
        assert (await handle.result())["log"] == said
    assert questions == [("Which port?", "Which port?"), ("What shall ask go on with?", {"so": said[:1]})]


async def test_a_no_is_an_answer_too() -> None:
    async with App("memory:") as app:
        handle = await app.start(supervised(asking(), form=Choice)({"number": 1, "log": []}))
        for number in (1, 2):
            await asked_of(app, handle, number)
            await handle.reject(by="ann")
        assert (await handle.result())["log"] == ["False", "False"]


async def test_a_step_cannot_wait_for_people() -> None:
    with pytest.raises(RipresaError, match='waits for people: "Which port') as caught:
        await agent(asking())({"number": 1, "log": []})
    assert caught.value.code == "framework_unsupported"
    with pytest.raises(InvalidConfig, match="is no agent and no compiled graph"):
        supervised(3)  # type: ignore[call-overload]


# --- limits


class Priced(GenericFakeChatModel):
    """A chat model of LangChain that is called by a name and says what it used."""

    called: str = ""
    asked: list[str] = Field(default_factory=list[str])
    most: int | None = None
    tells: bool = True

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self.asked.append(str(messages[-1].content))
        usage: Any = {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100} if self.tells else None
        message = AIMessage("high", usage_metadata=usage, response_metadata={"model_name": self.called})
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return LangSmithParams(ls_provider="loopback", ls_model_name=self.called, ls_max_tokens=self.most or 0)


def priced(name: str, **options: Any) -> Priced:
    return Priced(messages=iter(()), called=name, **options)


WHY = {"awaited": "limit of unpriced", "threaded": "limit of unpriced", "blocking": "without being awaited"}


def answering(model: Priced, way: str) -> Any:
    """A graph that asks a model twice: awaited, in a thread of LangGraph, or blocking the event loop."""

    async def awaited(state: Count) -> dict[str, Any]:
        return {"log": [(await model.ainvoke("tide")).text, (await model.ainvoke("wind")).text]}

    def threaded(state: Count) -> dict[str, Any]:
        return {"log": [model.invoke("tide").text, model.invoke("wind").text]}

    async def blocking(state: Count) -> dict[str, Any]:
        return threaded(state)

    builder = StateGraph(Count)
    builder.add_node("answer", {"awaited": awaited, "threaded": threaded, "blocking": blocking}[way])
    builder.add_edge(START, "answer")
    return builder.compile()


@pytest.mark.parametrize("way", ["awaited", "threaded", "blocking"])
@pytest.mark.parametrize(
    ("name", "limits", "asked", "limit"),
    [
        ("nobody-knows-this", Limits(money=5), [], "unpriced"),
        ("nobody-knows-this", Limits(money=5, unpriced=1), ["tide"], "unpriced"),
        ("gpt-4o", Limits(money=0.003), ["tide"], "money"),
        ("gpt-4o", Limits(money=5), ["tide", "wind"], ""),
    ],
)
async def test_a_model_in_a_graph_is_not_asked_beyond_the_limits(
    way: str, name: str, limits: Limits, asked: list[str], limit: str
) -> None:
    model = priced(name)
    async with App("memory:") as app:
        handle = await app.start(chain(agent(answering(model, way)))({"number": 1, "log": []}), limits=limits)
        if limit:
            with pytest.raises(RunFailed, match=f"limit of {limit}"):
                await handle.result()
        else:
            await handle.result()
        status = await handle.status()
    assert model.asked == asked
    assert (status.tokens, status.unpriced) == (1100 * len(asked), len(asked) * (name != "gpt-4o"))


async def test_a_runnable_holds_what_its_model_may_write_and_one_that_tells_nothing_has_no_price() -> None:
    model, silent = priced("gpt-4o", most=500), priced("gpt-4o", tells=False)
    async with App("memory:") as app:
        with pytest.raises(RunFailed, match="limit of tokens"):
            await app.run(chain(agent(model, name="told"))("tide"), limits=Limits(tokens=500))
        assert model.asked == []
        told = await app.start(chain(agent(silent, name="told"))("tide"), limits=Limits(money=5))
        await told.result()
        assert (await told.status()).unpriced == 1


async def test_a_session_that_limits_money_holds_models_in_graphs(tmp_path: Path) -> None:
    start: Any = {"number": 1, "log": []}
    async with App(f"sqlite:{tmp_path / 'runs.db'}") as app:
        await app.sessions.create("s", limits=Limits(money=5))
        for way in WHY:
            model = priced("nobody-knows-this")
            handle = await app.start(chain(agent(answering(model, way)))(start), session="s")
            with pytest.raises(RunFailed, match=WHY[way]):
                await handle.result()
            assert model.asked == []


def test_a_meter_asks_for_models_that_take_texts_too() -> None:
    async def measured() -> list[str]:
        model = FakeListLLM(responses=["high"])
        async with App("memory:") as app:
            with pytest.raises(RunFailed, match="limit of unpriced"):
                await app.run(chain(agent(model, name="told"))("tide"), limits=Limits(money=5))
            return [await app.run(chain(agent(model, name="told"))("tide"))]

    assert asyncio.run(measured()) == ["high"]


# --- runnables


async def test_a_runnable_is_one_step(server: ModelServer) -> None:
    server.reply("high", "low tide")
    made = ChatPromptTemplate.from_template("How is {what}?") | LoopbackChat(url=server.url) | StrOutputParser()
    async with App("memory:") as app:
        handle = await app.start(chain(made).then(shout)({"what": "the tide"}))
        assert await handle.result() == "HIGH"
        assert (await handle.status()).tokens > 0
        handle = await app.start(chain(agent(made, name="told", stream=True))({"what": "it"}))
        written = [each.text async for each in handle.watch() if isinstance(each, TextWritten)]
        assert await handle.result() == "lowtide"
    assert "".join(written) == "lowtide"
    assert server.requests[0].prompt == "How is the tide?"
    assert agent(made).parameters.returns is str


@step
async def shout(text: str) -> str:
    return text.upper()


class UnknownTypes(Runnable):  # type: ignore[type-arg]
    def invoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:
        return input


class NoTypes(UnknownTypes):
    @property
    def OutputType(self) -> Any:
        raise TypeError("it does not say")


async def test_a_runnable_that_says_no_type_gives_any() -> None:
    assert agent(NoTypes()).parameters.returns is Any
    assert agent(UnknownTypes()).parameters.returns is Any
    assert agent(RunnableLambda(lambda value: value)).parameters.returns is Any
    more: RunnableLambda[int, int] = RunnableLambda(lambda value: value + 1)
    assert await agent(more, input=str, output=int, prompt=len)("abc") == 4


# --- one of ours as a runnable


@step
async def measured(state: dict[str, Any]) -> dict[str, Any]:
    return {"number": len(state["log"]), "log": ["measured"]}


async def test_a_flow_is_a_node_of_a_graph() -> None:
    builder = StateGraph(Count)
    builder.add_node("measured", as_runnable(chain(measured)))
    builder.add_edge(START, "measured")
    builder.add_edge("measured", END)
    graph = builder.compile()
    assert await graph.ainvoke({"number": 0, "log": ["a", "b"]}) == {"number": 2, "log": ["a", "b", "measured"]}
    async with App("memory:") as app:
        assert (await app.run(chain(graph)({"number": 0, "log": ["a"]})))["number"] == 1


async def test_a_flow_has_all_that_a_runnable_has() -> None:
    found = as_runnable(chain(shout).then(step(len)))
    assert await found.ainvoke("tide") == 4
    assert await found.abatch(["a", "bc"]) == [1, 2]
    assert [piece async for piece in found.astream("tide")] == [4]
    assert await (found | RunnableLambda(lambda number: number + 1)).ainvoke("tide") == 5
    assert await asyncio.to_thread(found.invoke, "tide") == 4
    assert await asyncio.to_thread(found.batch, ["a", "bc"]) == [1, 2]
    assert await asyncio.to_thread(lambda: list(found.stream("tide"))) == [4]
    assert as_runnable(shout).get_input_jsonschema()["type"] == "string"
    assert as_runnable(shout).get_output_jsonschema()["type"] == "string"
    drawn = found.get_graph().draw_mermaid()
    assert all(name in drawn for name in ("__start__", "shout", "len", "__end__"))
    assert await as_runnable(shout).ainvoke("a") == "A"


async def test_with_an_app_each_call_is_a_run() -> None:
    async with App("memory:") as app:
        found = as_runnable(chain(shout), app=app)
        assert await found.ainvoke("tide", {"configurable": {"ripresa_run": "r"}}) == "TIDE"
        assert (await (await app.handle("r")).status()).output == b'"TIDE"'
        assert await found.ainvoke("tide") == "TIDE"
        with pytest.raises(RipresaError, match="belongs to one event loop"):
            await asyncio.to_thread(found.invoke, "tide")


async def test_what_is_used_wrongly_is_told() -> None:
    with pytest.raises(RipresaError, match="await its ainvoke"):
        as_runnable(shout).invoke("tide")
    with pytest.raises(InvalidConfig, match="is no step, flow or workflow"):
        as_runnable(3)


BLOCKED = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("langchain_core", "langgraph", "pydantic_ai", "agents"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
import asyncio
from ripresa import App, RipresaError, agent, as_runnable, chain

class Own:
    async def run(self, input: str, ctx) -> str:
        return input.upper()

async def main():
    async with App("memory:") as app:
        print(await app.run(chain(agent(Own())).then(Own())("tide")))
    try:
        as_runnable(chain(agent(Own())))
    except RipresaError as error:
        print(error.code, error.hint)

asyncio.run(main())
"""


def test_without_the_frameworks_everything_else_works() -> None:
    done = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["TIDE", "extra_missing pip install langgraph"], done.stderr


async def test_an_input_that_is_none_of_the_graph_has_a_code_and_says_what_it_takes() -> None:
    class Counted(TypedDict):
        number: int

    def add(counted: Counted) -> Any:
        return 3 if counted["number"] else {"number": 1}

    builder: Any = StateGraph(Counted)
    builder.add_node("add", add)
    builder.add_edge(START, "add")
    graph: Any = builder.compile()
    made: Any = agent(graph)
    with pytest.raises(RipresaError, match=r"Expected dict, got x \(it takes Counted: number\)") as caught:
        await made("x")
    assert caught.value.code == "invalid_input"
    with pytest.raises(InvalidUpdateError):
        await made({"number": 1})


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"number": "many", "log": []}, "number"),
        ({"number": 1, "log": ["a", 2]}, "log.1"),
        ({"number": 1, "log": [], "kind": "no"}, "kind"),
    ],
)
async def test_an_input_with_a_field_of_the_wrong_type_names_the_field(given: Any, path: str) -> None:
    class Counted(TypedDict):
        number: int
        log: Annotated[list[str], operator.add]
        kind: NotRequired[Literal["a", "b"] | None]
        said: NotRequired[list[Any]]

    reached: list[Any] = []
    builder: Any = StateGraph(Counted)
    builder.add_node("add", reached.append)
    builder.add_edge(START, "add")
    made: Any = agent(builder.compile(name="counts"))
    async with App("memory:") as app:
        with pytest.raises(RunFailed, match=path) as caught:
            await app.run(chain(made)(given))
    failure = caught.value.failure
    assert (failure.code, reached) == ("invalid_input", [])
    assert f"{path}: Input should be" in failure.message
    async with App("memory:") as app:
        await app.run(chain(made)({"number": 1, "log": ["a"], "kind": None, "said": [("user", "hello")]}))
    assert len(reached) == 1
