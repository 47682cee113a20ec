"""A graph of LangGraph as a link of a chain, with one of our flows as its node; it goes on where it broke off.

python examples/adapter_langgraph.py
"""

import asyncio
import operator
from typing import Annotated, Any, TypedDict

from langgraph.graph import START, StateGraph

from ripresa import App, Retry, agent, as_runnable, chain, current, step


class Voyage(TypedDict):
    port: str
    log: Annotated[list[str], operator.add]


async def plan(state: Voyage) -> dict[str, Any]:
    return {"log": [f"planned to {state['port']}"]}


@step
async def load(state: dict[str, Any]) -> dict[str, Any]:
    return {"log": [f"loaded after {len(state['log'])} entry"]}


async def sail(state: Voyage) -> dict[str, Any]:
    if current().attempt == 1:
        raise OSError("no wind")
    return {"log": [f"sailed at attempt {current().attempt}"]}


builder = StateGraph(Voyage)
builder.add_node("plan", plan)
builder.add_node("load", as_runnable(chain(load)))
builder.add_node("sail", sail)
builder.add_edge(START, "plan")
builder.add_edge("plan", "load")
builder.add_edge("load", "sail")
voyage = agent(builder.compile(name="voyage"), retry=Retry(2, 0))


@step
async def report(values: Any) -> str:
    return "; ".join(values["log"])


async def main() -> None:
    async with App("memory:") as app:
        handle = await app.start(chain(voyage).then(report)({"port": "Oban", "log": []}))
        print(await handle.result())
        kinds = [type(recorded.event).__name__ async for recorded in handle.events()]
        print("supersteps recorded:", kinds.count("CallRecorded"))


if __name__ == "__main__":
    asyncio.run(main())
