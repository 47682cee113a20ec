"""Like `agent_driver.py`, for an agent of pydantic-ai in a chain."""

import os
from typing import Any

from openai import AsyncOpenAI
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from ripresa import App, chain
from ripresa.testing.model_server import ModelServer
from tests.crash import driver
from tests.crash.driver import Deadly
from tests.crash.notes import job, note


def flow(url: str) -> Any:
    """A chain of one agent, whose model is at an address."""
    client = AsyncOpenAI(base_url=url, api_key="loopback", max_retries=0)
    model = OpenAIChatModel("loopback", provider=OpenAIProvider(openai_client=client))
    writer = Agent(model, name="writer")

    @writer.tool_plain
    async def look(word: str) -> str:
        """Look a word up."""
        note(f"look {word}")
        return word.upper()

    @writer.tool_plain
    def count(text: str) -> int:
        """Count the letters of a text."""
        note(f"count {text}")
        return len(text)

    return chain(writer)


async def main() -> dict[str, Any]:
    """Run the agent to its end."""
    os.environ.update(job.get("env", {}))
    store = Deadly(job["store"], *job.get("kill", ("never", 0)))
    async with App(store) as app:
        result = await app.run(flow(os.environ["OPENAI_BASE_URL"])("tides"), id="r")
    return {"results": [result], "writes": store.writes}


async def warm_up(folder: str) -> None:
    """Let children find everything imported and built."""
    async with ModelServer("Warm.") as server, App("memory:") as app:
        await app.run(flow(server.url)("up"))


if __name__ == "__main__":
    driver.main, driver.warm_up = main, warm_up
    driver.serve()
