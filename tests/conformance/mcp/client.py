"""Ripresa as a client of the servers of the published MCP conformance suite: what `McpServer` offers is used."""

import asyncio
import os
import sys

from ripresa import McpServer
from ripresa.errors import RipresaError

CALLS: dict[str, tuple[str, dict[str, int]]] = {
    "tools_call": ("add_numbers", {"a": 2, "b": 3}),
    "sse-retry": ("test_reconnection", {}),
}


async def main(url: str) -> None:
    server = McpServer("conformance", url=url, patience=5)
    async with server.running():
        offered = await server.listed()
        print([each.name for each in offered])
        scenario = os.environ.get("MCP_CONFORMANCE_SCENARIO", "")
        if scenario in CALLS:
            print(await server.call(*CALLS[scenario]))


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1]))
    except RipresaError as error:
        sys.exit(str(error))
