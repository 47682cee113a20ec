"""Like `driver.py`, for an agent: its model is a server that lives in the test, where requests are counted."""

import os
from typing import Any

from ripresa import Agent, App, Retry, tool
from ripresa.testing.model_server import ModelServer
from tests.crash import driver
from tests.crash.driver import Deadly
from tests.crash.notes import job, note


@tool
async def look(word: str) -> str:
    """Look a word up."""
    note(f"look {word}")
    return word.upper()


@tool(retry=Retry(2, 0))
def count(text: str) -> int:
    """Count the letters of a text."""
    note(f"count {text}")
    return len(text)


writer = Agent("writer", input=str, output=str, model="openai:loopback", tools=[look, count], retry=1)


async def main() -> dict[str, Any]:
    """Run the agent to its end."""
    os.environ.update(job.get("env", {}))
    store = Deadly(job["store"], *job.get("kill", ("never", 0)))
    async with App(store) as app:
        result = await app.run(writer("tides"), id="r")
    return {"results": [result], "writes": store.writes}


async def warm_up(folder: str) -> None:
    """Let children find everything imported and built."""
    async with ModelServer("Warm.") as server:
        os.environ.update(server.env)
        await writer("up")


if __name__ == "__main__":
    driver.main, driver.warm_up = main, warm_up
    driver.serve()
