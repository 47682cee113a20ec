"""Agents of the OpenAI Agents SDK that hand on to each other, as a link of a chain; each of their calls is journaled.

python examples/adapter_openai_agents.py

With OPENAI_API_KEY a model of OpenAI answers (not if RIPRESA_REAL_MODELS=0), else scripted answers over HTTP.
"""

import asyncio

from agents import Agent, OpenAIChatCompletionsModel, function_tool

from ripresa import App, agent, chain, step
from ripresa.testing.answers import use
from ripresa.testing.loopback import client_or_scripted


@function_tool
async def height_in(port: str) -> float:
    """How high the tide is in a port, in metres."""
    return {"Oban": 3.5, "Brest": 6.1}[port]


@step
async def announce(text: str) -> str:
    return f"Attention: {text}"


async def main() -> None:
    script = use("transfer_to_pilot"), use("height_in", port="Brest"), "6.1 m in Brest"
    async with client_or_scripted(*script) as (name, client):
        model = OpenAIChatCompletionsModel(name, client)
        pilot = Agent("pilot", instructions="Look heights up.", model=model, tools=[height_in])
        desk = Agent("desk", instructions="Hand on to who knows.", model=model, handoffs=[pilot])
        made = agent(desk, tools={"height_in": {"effect": "read"}})
        async with App("memory:") as app:
            handle = await app.start(chain(made).then(announce)("How high is it in Brest?"))
            print(await handle.result())
            for told in (await handle.status()).interactions:
                if told.kind in ("handoff", "call"):
                    print(told.sender, told.kind, told.receiver)


if __name__ == "__main__":
    asyncio.run(main())
