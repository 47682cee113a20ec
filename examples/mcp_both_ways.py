"""Ripresa serves a workflow as an MCP server, and another run uses it as a tool.

    python examples/mcp_both_ways.py

The server is a program like any other that speaks the protocol: here it is `ripresa mcp` with this very file.
"""

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

from ripresa import App, McpServer, chain, step


@step
async def height(port: str) -> float:
    """How high the tide is today."""
    return {"Brest": 6.1, "Oban": 3.5}[port]


tide = chain(height).named("tide")


def server(store: Path) -> McpServer:
    """This file, served; what it may do without asking is said here, not there."""
    command = [sys.executable, "-m", "ripresa", "mcp", f"{Path(__file__).resolve()}:tide", "--store", f"sqlite:{store}"]
    return McpServer("tides", command=command, effects={"tide": "idempotent", "inspect_run": "read"}, deny=["answer_*"])


@step
def told(answer: dict[str, Any]) -> str:
    return f"{answer['output']} m, says run {answer['run']}"


async def main(folder: Path) -> None:
    tides = server(folder / "served.db")
    ask = chain(tides.step("tide", retry=2)).then(told)
    async with App("memory:") as app, tides.running():
        print("offered:", *(each.name for each in await tides.listed()))
        print(await app.run(ask({"input": "Brest", "id": "brest"})))
        print("again:", await app.run(ask({"input": "Brest", "id": "brest"})))
        print("it was", (await tides.call("inspect_run", {"run": "brest"}))["status"])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(main(Path(name)))
