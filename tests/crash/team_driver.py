"""Like `agent_driver.py`, for a team: a lead, a researcher with a tool, and a writer."""

import os
from typing import Any

from ripresa import Agent, App, supervisor, tool
from ripresa.testing.model_server import ModelServer
from tests.crash import driver
from tests.crash.driver import Deadly
from tests.crash.notes import job, note


@tool
async def look(word: str) -> str:
    """Look a word up."""
    note(f"look {word}")
    return word.upper()


lead = Agent("lead", input=str, output=str, model="openai:loopback", role="a lead", retry=1)
researcher = Agent("researcher", input=str, output=str, model="openai:loopback", role="a researcher", tools=[look])
writer = Agent("writer", input=str, output=str, model="openai:loopback", role="a writer", retry=1)
desk = supervisor(lead, researcher, writer, at_most=5, name="desk")


async def main() -> dict[str, Any]:
    """Run the team to its end."""
    os.environ.update(job.get("env", {}))
    store = Deadly(job["store"], *job.get("kill", ("never", 0)))
    async with App(store) as app:
        result = await app.run(desk("tides"), id="r")
        handle = await app.handle("r")
        told = [str(each) for each in await handle.interactions() if each.kind in ("delegate", "reply")]
    return {"results": [result, *told], "writes": store.writes}


async def warm_up(folder: str) -> None:
    """Let children find everything imported and built."""
    async with ModelServer("Warm.") as server:
        os.environ.update(server.env)
        await writer("up")
    _ = desk.definition


if __name__ == "__main__":
    driver.main, driver.warm_up = main, warm_up
    driver.serve()
