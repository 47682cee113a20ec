"""Like `agent_driver.py`, for agents of the OpenAI Agents SDK, a graph of LangGraph and an agent in a document."""

import json
import os
from typing import Any, TypedDict

from agents import Agent, OpenAIChatCompletionsModel, function_tool
from langgraph.graph import END, START, StateGraph
from openai import AsyncOpenAI

from ripresa import App, chain, load_document, step
from ripresa.testing.model_server import ModelServer
from tests.crash import driver
from tests.crash.agent_driver import count, look
from tests.crash.driver import Deadly
from tests.crash.notes import job, note

TOOLS: list[Any] = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in ("look", "count")
]


def client_of(url: str) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=url, api_key="loopback", max_retries=0)


def openai_agent(url: str) -> Any:
    """A chain of one agent of the SDK, whose model is at an address."""

    @function_tool(name_override="look")
    async def looks(word: str) -> str:
        """Look a word up."""
        note(f"look {word}")
        return word.upper()

    @function_tool(name_override="count")
    async def counts(text: str) -> int:
        """Count the letters of a text."""
        note(f"count {text}")
        return len(text)

    model = OpenAIChatCompletionsModel("loopback", client_of(url))
    return chain(Agent("writer", model=model, tools=[looks, counts]))("tides")


class Talk(TypedDict):
    """What has been said: messages as the model is sent them."""

    said: list[Any]


def langgraph_agent(url: str) -> Any:
    """A chain of one graph, in which a model and its tools take turns."""
    client = client_of(url)

    async def ask(talk: Talk) -> Talk:
        answer = await client.chat.completions.create(model="loopback", messages=talk["said"], tools=TOOLS)
        return {"said": [*talk["said"], answer.choices[0].message.model_dump(mode="json", exclude_none=True)]}

    async def use(talk: Talk) -> Talk:
        told: list[Any] = []
        for called in talk["said"][-1]["tool_calls"]:
            name, arguments = called["function"]["name"], called["function"]["arguments"]
            given = next(iter(json.loads(arguments).values()))
            note(f"{name} {given}")
            content = given.upper() if name == "look" else str(len(given))
            told.append({"role": "tool", "tool_call_id": called["id"], "content": content})
        return {"said": [*talk["said"], *told]}

    def uses(talk: Talk) -> str:
        return "use" if talk["said"][-1].get("tool_calls") else END

    builder: Any = StateGraph(Talk)
    builder.add_node("ask", ask)
    builder.add_node("use", use)
    builder.add_edge(START, "ask")
    builder.add_conditional_edges("ask", uses)
    builder.add_edge("use", "ask")
    compiled: Any = builder.compile(name="writer")
    return chain(compiled).then(last)({"said": [{"role": "user", "content": "tides"}]})


@step
async def last(talk: Any) -> str:
    """What was said last."""
    return str(talk["said"][-1]["content"])


def document_agent(url: str) -> Any:
    """A document of one agent, with tools by name."""
    here = "tests.crash.agent_driver"
    config = {
        "model": "openai:loopback",
        "instructions": "Write.",
        "tools": [f"{here}:{look.name}", f"{here}:{count.name}"],
    }
    document = {"id": "writes", "input": "string", "steps": [{"id": "writer", "type": "agent", "config": config}]}
    flow: Any = load_document(document)
    return flow("tides")


KINDS = {"openai": openai_agent, "langgraph": langgraph_agent, "document": document_agent}


async def main() -> dict[str, Any]:
    """Run the agent to its end."""
    os.environ.update(job.get("env", {}))
    store = Deadly(job["store"], *job.get("kill", ("never", 0)))
    async with App(store) as app:
        result = await app.run(KINDS[job["kind"]](os.environ["OPENAI_BASE_URL"]), id="r")
    return {"results": [result], "writes": store.writes}


async def warm_up(folder: str) -> None:
    """Let children find everything imported and built."""
    async with ModelServer(*["Warm."] * 3) as server, App("memory:") as app:
        os.environ.update(server.env)
        for kind in KINDS.values():
            await app.run(kind(server.url))


if __name__ == "__main__":
    driver.main, driver.warm_up = main, warm_up
    driver.serve()
