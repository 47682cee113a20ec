"""An agent of pydantic-ai as a link of a chain: each of its requests and each call of its tools is journaled.

python examples/adapter_pydantic_ai.py

With OPENAI_API_KEY a model of OpenAI answers (not if RIPRESA_REAL_MODELS=0), else scripted answers over HTTP.
"""

import asyncio

from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from ripresa import App, chain, step
from ripresa.core.events import CallRecorded
from ripresa.testing.answers import use, value
from ripresa.testing.loopback import client_or_scripted

HEIGHTS = {"Oban": 3.5, "Brest": 6.1}


class Tide(BaseModel):
    port: str
    height: float


@step
async def announce(tide: Tide) -> str:
    return f"{tide.height} m in {tide.port}"


async def main() -> None:
    script = use("height_in", port="Brest"), value({"port": "Brest", "height": 6.1})
    async with client_or_scripted(*script) as (name, client):
        model = OpenAIChatModel(name, provider=OpenAIProvider(openai_client=client))
        pilot = Agent(model, name="pilot", output_type=Tide, instructions="Look heights up.")

        @pilot.tool_plain(metadata={"ripresa": {"effect": "read"}})
        def height_in(port: str) -> float:
            """How high the tide is in a port, in metres."""
            return HEIGHTS[port]

        async with App("memory:") as app:
            handle = await app.start(chain(pilot).then(announce)("How high is it in Brest?"))
            print(await handle.result())
            async for recorded in handle.events():
                if isinstance(recorded.event, CallRecorded):
                    print("recorded:", recorded.event.key.partition(":")[0])
            print((await handle.status()).tokens, "tokens")


if __name__ == "__main__":
    asyncio.run(main())
