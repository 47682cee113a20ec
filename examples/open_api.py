"""An operation of a described API as a step: called by its name, with parameters that are checked and put in place.

python examples/open_api.py        # against a small service of its own
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from ripresa import App, RunFailed, chain, step
from ripresa.steps import openapi

TIDES: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Tides", "version": "1"},
    "paths": {
        "/ports/{port}/tides": {
            "get": {
                "operationId": "findTides",
                "parameters": [
                    {"name": "port", "in": "path", "required": True, "schema": {"type": "string"}},
                    {"name": "days", "in": "query", "schema": {"type": "integer", "maximum": 7}},
                    {"name": "kind", "in": "query", "schema": {"type": "array", "items": {"enum": ["high", "low"]}}},
                ],
            }
        }
    },
}


@dataclass
class Tide:
    asked: str


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The service: the description of itself, or what it was asked."""
    target = (await reader.readuntil(b"\r\n\r\n")).decode().split(" ", 2)[1]
    body = json.dumps(TIDES if target == "/openapi.json" else {"asked": target})
    writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n{body}".encode())
    writer.close()


@step
async def plan(port: str) -> dict[str, Any]:
    return {"port": port, "days": 2, "kind": ["high", "low"]}


async def main() -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    tides = openapi(f"http://{place}/openapi.json", "findTides", returns=Tide, effect="read", allow=[place])
    async with App("memory:") as app:
        print((await app.run(chain(plan).then(tides)("St Ives"))).asked)
        try:
            await app.run(tides({"port": "Oban", "days": 30}))
        except RunFailed as error:
            print(error.failure.code, error.failure.message)
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
