"""A graph of LangGraph as a link of a chain, with one of our flows as its node; it goes on where it broke off.

python examples/adapter_langgraph.py

With OPENAI_API_KEY a model of OpenAI answers (not if RIPRESA_REAL_MODELS=0), else scripted answers over HTTP.
"""

import asyncio
import operator
from typing import Annotated, Any, TypedDict

from langgraph.graph import START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from openai import AsyncOpenAI

from ripresa import App, Retry, agent, as_runnable, chain, current, step
from ripresa.testing.loopback import client_or_scripted


class Voyage(TypedDict):
    port: str
    log: Annotated[list[str], operator.add]


@step
async def load(state: dict[str, Any]) -> dict[str, Any]:
    return {"log": [f"loaded after {len(state['log'])} entry"]}


async def sail(state: Voyage) -> dict[str, Any]:
    if current().attempt == 1:
        raise OSError("no wind")
    return {"log": [f"sailed at attempt {current().attempt}"]}


def voyage(model: str, client: AsyncOpenAI) -> CompiledStateGraph[Voyage, None, Voyage, Voyage]:
    async def plan(state: Voyage) -> dict[str, Any]:
        prompt = f"In five words: how does one sail to {state['port']}?"
        answer = await client.chat.completions.create(model=model, messages=[{"role": "user", "content": prompt}])
        return {"log": [answer.choices[0].message.content]}

    builder = StateGraph(Voyage)
    builder.add_node("plan", plan)
    builder.add_node("load", as_runnable(chain(load)))
    builder.add_node("sail", sail)
    builder.add_edge(START, "plan")
    builder.add_edge("plan", "load")
    builder.add_edge("load", "sail")
    return builder.compile(name="voyage")


@step
async def report(values: Any) -> str:
    return "; ".join(values["log"])


async def main() -> None:
    async with client_or_scripted("planned to Oban") as (model, client), App("memory:") as app:
        flow = chain(agent(voyage(model, client), retry=Retry(2, 0))).then(report)
        handle = await app.start(flow({"port": "Oban", "log": []}))
        print(await handle.result())
        kinds = [type(recorded.event).__name__ async for recorded in handle.events()]
        print("supersteps recorded:", kinds.count("CallRecorded"))


if __name__ == "__main__":
    asyncio.run(main())
